//! Drives one session on one connection: reads, writes, waits, and asks whom the session wants asked.
//!
//! Bounds in time: a whole command, more of a message, its average rate and the whole of it, a client that takes
//! no reply, one that was refused, one that is slow while memory is short. Nothing here decides anything about mail.

use super::context::Context;
use super::input::Input;
use super::log;
use super::memory::Counted;
use super::session::{Session, Step};
use super::settings::Settings;
use super::tls::Stream;
use crate::acceptor::Through;
use crate::verdict::audit::Job;
use crate::verdict::lookup::{Answer, Question};
use crate::within::within;
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
/// The least bytes of a message each second while memory is short.
const LIVELY_RATE: u64 = 16 << 10;
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
    CrowdedOut,
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
            None => Pace::new(progress, &settings),
            Some(pace) => pace.after(used as u64, progress, &settings),
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
                if let Some(open) = through.as_mut().filter(|_| session.in_message()) {
                    send_ahead(&mut session, open, context, &mut progress, &mut pace).await;
                }
                let quiet = if session.in_data() { settings.data_timeout } else { settings.command_timeout };
                let ends = [pace.map(|pace| pace.due), turned.map(|since| since + settings.refused_timeout)];
                let deadline = ends.into_iter().flatten().fold(progress + quiet, Instant::min);
                let is_slow = |now| {
                    let slow = pace.is_some_and(|pace| now >= pace.lively) && session.holds_memory();
                    slow && context.is_pressed(settings.max_memory)
                };
                // Memory may become short at any time: a message is looked at now and then.
                let next = |from| match pace {
                    Some(pace) => deadline.min(pace.lively.max(from + settings.slow_timeout / 4)),
                    None => deadline,
                };
                // A deadline that came nearer than the timer stands must not be missed.
                // Where that is past already, the timer fires once and is moved on.
                let first = next(progress);
                if timer.deadline() > first {
                    Sleep::reset(timer.as_mut(), first);
                }
                let wake = loop {
                    tokio::select! {
                        biased;
                        more = input.fill(&mut io) => break if more? { Wake::Bytes } else { Wake::Gone },
                        () = timer.as_mut() => {
                            let now = Instant::now();
                            if now >= deadline {
                                break Wake::TimedOut;
                            }
                            if is_slow(now) {
                                break Wake::CrowdedOut;
                            }
                            Sleep::reset(timer.as_mut(), next(now));
                        }
                        () = stop.as_mut(), if !stopping => break Wake::Stop,
                    }
                };
                match wake {
                    Wake::Bytes => {}
                    // TLS has a last word of its own for those who said theirs (RFC 8446 6.1).
                    Wake::Gone => return shut(&mut io, settings.write_timeout).await,
                    Wake::Stop => {
                        stopping = true;
                        session.drain();
                    }
                    Wake::TimedOut | Wake::CrowdedOut => {
                        if matches!(wake, Wake::CrowdedOut) {
                            session.crowded_out();
                        } else {
                            session.timed_out();
                        }
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
                    Some(open) => context.acceptor.pass(open, incoming),
                    None => context.acceptor.accept(incoming),
                };
                session.accepted(accepting.await);
            }
            Step::Offer(so_far, expected) => {
                write(&mut io, session.output(), settings.write_timeout).await?;
                session.offered(context.acceptor.offer(&mut through, &so_far, expected).await);
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
    let so_far = session.head(now());
    let Some(message) = session.received() else { return };
    let begin = Instant::now();
    if let Some(so_far) = so_far
        && let Some(head) = context.acceptor.head(&so_far)
    {
        open.begin(&head, so_far.bytes.len()).await;
    }
    open.follow(message).await;
    // A slow next hop is not the client's fault.
    let waited = begin.elapsed();
    *progress += waited;
    if let Some(pace) = pace {
        pace.begin += waited;
        pace.due += waited;
        pace.lively += waited;
    }
}

/// The time of one message, from its first byte to its end; that of chunks (BDAT) goes on between them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Pace {
    begin: Instant,
    /// When it is given up unless more comes.
    due: Instant,
    /// The same where memory is short.
    lively: Instant,
}

impl Pace {
    fn new(now: Instant, settings: &Settings) -> Self {
        Self { begin: now, due: now + settings.data_timeout, lively: now + settings.slow_timeout }
    }

    /// Each byte buys time, but only so much can be bought ahead, and none past the longest time.
    fn after(self, bytes: u64, now: Instant, settings: &Settings) -> Self {
        let wait = settings.data_timeout;
        let bought = |rate| Duration::from_millis(bytes.saturating_mul(1000) / rate);
        let due = (self.due + bought(MIN_RATE)).min(now + wait + CREDIT).min(self.begin + wait + LONGEST);
        // However fast the rest of it came, it is slow once its pause has been this long.
        let lively = (self.lively + bought(LIVELY_RATE)).min(now + settings.slow_timeout);
        Self { due, lively, ..self }
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
    let most = context.settings.load().max_memory;
    let mut counted = Counted::default();
    let turn = Arc::clone(&context.audits)
        .try_acquire_owned()
        .ok()
        .filter(|_| context.holders.count_kept(&context.metrics, &mut counted, None, job.held(), most));
    let Some(turn) = turn else {
        tracing::warn!(
            id = job.about().id,
            "too many lookups for rules in mode audit, or no memory for more: not decided for this message"
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
        context.holders.free(&context.metrics, &mut counted);
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
    within(most, whole).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
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
        let settings = Settings::default();
        let (begin, wait) = (Instant::now(), settings.data_timeout);
        let after =
            |pace: Pace, bytes, seconds| pace.after(bytes, begin + Duration::from_secs(seconds), &settings);
        let new = Pace::new(begin, &settings);
        assert_eq!(new.due, begin + wait);
        assert_eq!(after(new, 0, 100).due, begin + wait, "nothing buys nothing");
        assert_eq!(after(new, 5000, 100).due, begin + wait + Duration::from_secs(10));
        let fast = after(new, 100 << 20, 1);
        assert_eq!(fast.due, begin + Duration::from_secs(1) + wait + CREDIT);
        // At the least rate for ever: an hour.
        let slow = (1..10_000).fold(new, |pace, second| after(pace, 500, second));
        assert_eq!(slow.due, begin + wait + LONGEST);
    }

    /// Connection and command exhaustion: while memory is short, a message must keep coming.
    #[test]
    fn slow_messages_are_known() {
        let settings = Settings::default();
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let new = Pace::new(begin, &settings);
        assert_eq!(new.lively, at(30));
        // All at once, and then nothing.
        assert_eq!(new.after(20 << 20, at(1), &settings).lively, at(31));
        // At the least rate it is never slow, at half of it soon.
        let with = |rate: u64| {
            (1..600).map(at).scan(new, move |pace, now| {
                let slow = now >= pace.lively;
                *pace = pace.after(rate, now, &Settings::default());
                Some(slow)
            })
        };
        assert!(with(LIVELY_RATE).all(|slow| !slow));
        assert_eq!(with(LIVELY_RATE / 2).position(|slow| slow), Some(58));
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
