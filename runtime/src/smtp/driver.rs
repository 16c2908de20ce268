//! Drives one session on one connection: reads, writes, waits, and asks whom the session wants asked.
//!
//! Bounds in time: a whole command, more of a message, its average rate and the whole of it, a client that takes
//! no reply, one that was refused. Nothing here decides anything about mail.

use super::context::Context;
use super::input::Input;
use super::log;
use super::session::{Session, Step};
use super::tls::Stream;
use crate::acceptor::Through;
use crate::verdict::audit::Job;
use crate::verdict::lookup::{Answer, Question};
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};

/// The least average of a message's bytes each second, after the time-out for data has passed once.
const MIN_RATE: u64 = 500;
/// The most time that a message can buy ahead by being faster than that.
const CREDIT: Duration = Duration::from_secs(120);
/// The longest time for a message beyond the time-out for data, however fast it comes.
const LONGEST: Duration = Duration::from_secs(3600);
/// Output buffers larger than this are let go once written.
const SMALL_OUTPUT: usize = 1024;
/// How long a closed connection is read on, so that the client sees the last reply before a reset.
const LINGER: Duration = Duration::from_millis(500);

/// Rounds of lookups for the rules on trial of one message: what one answer leaves open, the next may tell.
const MAX_ROUNDS: usize = 8;

/// The longest handshake.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// Unix milliseconds.
pub(super) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Why reading ended without bytes.
enum Wake {
    Bytes,
    Gone,
    TimedOut,
    Stop,
}

/// Drives a session to its end.
pub(super) async fn drive(
    mut io: Stream,
    mut session: Session,
    context: &Arc<Context>,
    mut shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    let settings = context.settings.load_full();
    let mut input = Input::default();
    let mut stop = std::pin::pin!(async move {
        let _ = shutdown.wait_for(|stop| *stop).await;
    });
    let mut stopping = false;
    // One timer for the whole connection: it is moved on only when it fires too early.
    let mut timer = std::pin::pin!(sleep(settings.command_timeout));
    let mut progress = Instant::now();
    let mut pace: Option<Pace> = None;
    // When a client that was refused in the greeting was.
    let mut turned: Option<Instant> = None;
    // The transaction with the next hop, where the message is to be passed on.
    let mut through: Option<Through> = None;
    // When the check of a password began.
    let mut check: Option<Instant> = None;
    loop {
        let (used, step) = session.step(input.bytes(), now());
        input.consume(used);
        for job in session.audits() {
            try_out(context, job);
        }
        if used > 0 {
            progress = Instant::now();
        }
        pace = session.in_message().then(|| match pace {
            None => Pace::new(progress, settings.data_timeout),
            Some(pace) => pace.after(used as u64, progress, settings.data_timeout),
        });
        if session.is_turned() && turned.is_none() {
            turned = Some(Instant::now());
        }
        if !matches!(step, Step::Read | Step::Write) {
            // Whoever waits for somebody else leaves the buffer to those who read meanwhile.
            input.park();
        }
        match step {
            Step::Read => {
                check = None;
                write(&mut io, session.output(), settings.write_timeout).await?;
                if let Some(open) = &mut through {
                    send_ahead(&mut session, open, context, &mut progress, &mut pace).await;
                }
                let quiet = if session.in_data() { settings.data_timeout } else { settings.command_timeout };
                let ends = [pace.map(|pace| pace.due), turned.map(|since| since + settings.refused_timeout)];
                let deadline = ends.into_iter().flatten().fold(progress + quiet, Instant::min);
                // A deadline that came nearer than the timer stands must not be missed.
                if timer.deadline() > deadline {
                    Sleep::reset(timer.as_mut(), deadline);
                }
                let wake = loop {
                    tokio::select! {
                        biased;
                        more = input.fill(&mut io) => break if more? { Wake::Bytes } else { Wake::Gone },
                        () = timer.as_mut() => {
                            if Instant::now() >= deadline {
                                break Wake::TimedOut;
                            }
                            Sleep::reset(timer.as_mut(), deadline);
                        }
                        () = stop.as_mut(), if !stopping => break Wake::Stop,
                    }
                };
                match wake {
                    Wake::Bytes => {}
                    Wake::Gone => return Ok(()),
                    Wake::Stop => {
                        stopping = true;
                        session.drain();
                    }
                    Wake::TimedOut => {
                        session.timed_out();
                        write(&mut io, session.output(), settings.write_timeout).await?;
                        return shut(&mut io, settings.write_timeout).await;
                    }
                }
            }
            Step::Write => write(&mut io, session.output(), settings.write_timeout).await?,
            Step::Wait(pause) => match check.take() {
                Some(began) => sleep_until(whole_pauses(began, Instant::now(), pause)).await,
                None => sleep(pause).await,
            },
            Step::Accept(incoming) => {
                write(&mut io, session.output(), settings.write_timeout).await?;
                let accepting = match through.take().filter(|_| session.is_passing()) {
                    Some(open) => context.acceptor.pass(open, *incoming),
                    None => context.acceptor.accept(*incoming),
                };
                session.accepted(accepting.await);
            }
            Step::Offer(so_far, size) => {
                write(&mut io, session.output(), settings.write_timeout).await?;
                session.offered(context.acceptor.offer(&mut through, *so_far, size).await);
            }
            Step::Verify { name, password } => {
                write(&mut io, session.output(), settings.write_timeout).await?;
                check = Some(Instant::now());
                let outcome = context.check_password(session.asker(), name, password).await;
                session.verified(outcome, now());
            }
            Step::StartTls => {
                write(&mut io, session.output(), settings.write_timeout).await?;
                // What came in the clear behind STARTTLS is never looked at (CVE-2011-0411).
                input.discard();
                encrypt(&mut io, context).await?;
                session.encrypted();
            }
            Step::Look(questions) => {
                write(&mut io, session.output(), settings.write_timeout).await?;
                session.answered(look(context, questions).await);
            }
            Step::Close => {
                write(&mut io, session.output(), settings.write_timeout).await?;
                // With nothing left unread, closing cannot take the last reply away from the client.
                if session.has_quit() && input.bytes().is_empty() && matches!(io, Stream::Plain(_)) {
                    return Ok(());
                }
                shut(&mut io, settings.write_timeout).await?;
                drop(session);
                return linger(&mut io, &mut input).await;
            }
        }
        if through.is_some() && !session.is_passing() {
            // Its transaction ended in another way; the connection serves the next one.
            through = None;
        }
    }
}

/// Lets the next hop have what it can have before the end of the message is here.
async fn send_ahead(
    session: &mut Session,
    open: &mut Through,
    context: &Context,
    progress: &mut Instant,
    pace: &mut Option<Pace>,
) {
    if session.is_certain() {
        // It makes ready while the client sends.
        open.announce().await;
    }
    let begin = Instant::now();
    if let Some(so_far) = session.head(now())
        && let Some(head) = context.acceptor.head(&so_far)
    {
        open.begin(&head, so_far.bytes.len()).await;
    }
    if let Some(message) = session.received() {
        open.follow(message).await;
    }
    // A slow next hop is not the client's fault.
    let waited = begin.elapsed();
    *progress += waited;
    if let Some(pace) = pace {
        pace.begin += waited;
        pace.due += waited;
    }
}

/// The time of one message, from its first byte to its end; that of chunks (BDAT) goes on between them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Pace {
    begin: Instant,
    /// When it is given up unless more comes.
    due: Instant,
}

impl Pace {
    fn new(now: Instant, wait: Duration) -> Self {
        Self { begin: now, due: now + wait }
    }

    /// Each byte buys time, but only so much can be bought ahead, and none past the longest time.
    fn after(self, bytes: u64, now: Instant, wait: Duration) -> Self {
        let bought = self.due + Duration::from_millis(bytes.saturating_mul(1000) / MIN_RATE);
        let due = bought.min(now + wait + CREDIT).min(self.begin + wait + LONGEST);
        Self { due, ..self }
    }
}

/// When a failed login is answered: at a whole number of pauses since it began, so that the time the check
/// took, which differs between kinds of hashes and with whether there is such a user, is not told.
fn whole_pauses(began: Instant, now: Instant, pause: Duration) -> Instant {
    let taken = now.saturating_duration_since(began).as_micros();
    let count = taken.div_euclid(pause.as_micros().max(1)) + 1;
    began + pause.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The server's side of a handshake, within the time for a command, at most half a minute.
pub(super) async fn encrypt(io: &mut Stream, context: &Context) -> io::Result<()> {
    let config = context.tls.load_full().ok_or(io::ErrorKind::NotConnected)?;
    let most = context.settings.load().command_timeout.min(HANDSHAKE);
    timeout(most, io.encrypt(config)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Has questions answered, all at the same time.
async fn look(context: &Context, questions: Vec<Question>) -> Vec<Answer> {
    let Some(resolver) = &context.resolver else {
        return questions.into_iter().map(Question::unknown).collect();
    };
    let asked: Vec<_> = questions
        .into_iter()
        .map(|question| {
            let (resolver, asked) = (Arc::clone(resolver), question.clone());
            (question, tokio::spawn(async move { resolver.answer(asked).await }))
        })
        .collect();
    let mut answers = Vec::with_capacity(asked.len());
    for (question, answer) in asked {
        // A lookup that broke off is one that could not be told; it is not asked again and again.
        answers.push(answer.await.unwrap_or_else(|_| question.unknown()));
    }
    answers
}

/// Has rules on trial answered in the background; with too many at once, some are not.
fn try_out(context: &Arc<Context>, mut job: Job) {
    let Ok(turn) = Arc::clone(&context.audits).try_acquire_owned() else {
        tracing::warn!(
            id = job.about().id,
            "too many lookups for rules in mode audit: not decided for this message"
        );
        return;
    };
    let context = Arc::clone(context);
    tokio::spawn(async move {
        let _turn = turn;
        for _ in 0..MAX_ROUNDS {
            let questions = job.questions();
            if questions.is_empty() {
                break;
            }
            let findings = job.answered(look(&context, questions).await);
            log::audit(&job.about(), "end-of-data", &findings);
        }
    });
}

async fn write<S: AsyncWrite + Unpin>(io: &mut S, output: &mut Vec<u8>, most: Duration) -> io::Result<()> {
    if output.is_empty() {
        return Ok(());
    }
    let whole = async {
        io.write_all(output).await?;
        io.flush().await
    };
    timeout(most, whole).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    output.clear();
    if output.capacity() > SMALL_OUTPUT {
        *output = Vec::new();
    }
    Ok(())
}

/// Ends our side. TLS has a last word of its own, which a client that reads nothing could keep back for ever.
async fn shut<S: AsyncWrite + Unpin>(io: &mut S, most: Duration) -> io::Result<()> {
    timeout(most, io.shutdown()).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Reads what still comes, for a short while.
async fn linger<S: AsyncRead + Unpin>(io: &mut S, input: &mut Input) -> io::Result<()> {
    let rest = async {
        while input.fill(io).await? {
            input.discard();
        }
        Ok(())
    };
    timeout(LINGER, rest).await.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BDAT state and memory: what was sent fast buys a pause, and no more; a message has an end in time.
    #[test]
    fn a_message_has_its_time() {
        let (begin, wait) = (Instant::now(), Duration::from_secs(180));
        let after =
            |pace: Pace, bytes, seconds| pace.after(bytes, begin + Duration::from_secs(seconds), wait);
        let new = Pace::new(begin, wait);
        assert_eq!(new.due, begin + wait);
        assert_eq!(after(new, 0, 100).due, begin + wait, "nothing buys nothing");
        assert_eq!(after(new, 5000, 100).due, begin + wait + Duration::from_secs(10));
        let fast = after(new, 100 << 20, 1);
        assert_eq!(fast.due, begin + Duration::from_secs(1) + wait + CREDIT);
        // At the least rate for ever: an hour.
        let slow = (1..10_000).fold(new, |pace, second| after(pace, 500, second));
        assert_eq!(slow.due, begin + wait + LONGEST);
    }

    /// AUTH guessing: how long a check took cannot be told from when its failure is answered.
    #[test]
    fn failures_are_answered_at_whole_pauses() {
        let (began, pause) = (Instant::now(), Duration::from_secs(1));
        for (taken, answered) in [(0, 1000), (1, 1000), (180, 1000), (999, 1000), (1000, 2000), (2500, 3000)]
        {
            let now = began + Duration::from_millis(taken);
            assert_eq!(whole_pauses(began, now, pause), began + Duration::from_millis(answered), "{taken}");
        }
    }
}
