//! One attempt to deliver a message to a next hop: over an open connection or a new one, and at other servers of the hop where
//! one does not take it for now (RFC 5321 5.1).

use super::Inner;
use super::entry::{Entry, Job};
use super::hop::{Errand, Lane};
use super::room::Room;
use super::route::Hop;
use super::shares::{Origin, Rank};
use super::sockets::Place;
use super::ways::Ways;
use crate::deliver::client::{Session, Trouble};
use crate::deliver::known::Known;
use crate::deliver::send::{PutOff, Sent};
use crate::deliver::{Letter, Outcome, Pace, Reason, bytes_for};
use crate::envelope::Record;
use std::sync::Arc;

/// The most servers of a hop that are asked for one message, where each puts it off.
const MAX_ASKED: usize = 5;

/// A job with its message.
pub(super) type Loaded = (Job, Arc<Record>, Option<Room>);

/// What came of a job that a hop was reached with.
pub(super) struct Tried {
    pub outcomes: Vec<Outcome>,
    /// Why the hop takes no more for now.
    pub closing: Option<Reason>,
    /// It fell silent in the middle of the transaction, or hung up at a recipient, which may be for that one's sake.
    pub silent: bool,
}

/// An open connection, and its share of those that may be open.
pub(super) struct Connection {
    pub session: Session,
    /// What it was opened by.
    ways: Arc<Ways>,
    /// Another server was asked already what this one put off.
    asked_around: bool,
    place: Option<Place>,
}

/// Opens a connection when it is this lane's turn.
pub(super) async fn connect(
    inner: &Arc<Inner>,
    lane: &Arc<Lane>,
    origin: Origin,
) -> Result<Connection, Trouble> {
    let ways = inner.ways.load_full();
    // The local server needs none.
    let place = match Rank::of_lane(lane) {
        None => None,
        Some(rank) => match ways.sockets.place(rank, origin) {
            Some(place) => Some(place),
            None => Some(lane.wait(ways.sockets.turn(rank), origin).place().await),
        },
    };
    let hostname = ways.hostname();
    let session = ways.dialer.connect(&lane.hop, &hostname).await?;
    for _ in 0..lane.greeted() {
        inner.start_worker(lane);
    }
    let session = session.with_signer(ways.settings.signer.clone());
    Ok(Connection { session, ways, asked_around: false, place })
}

/// Why no other server is asked for what one put off.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NotElsewhere {
    /// There may be one, which is not asked now.
    Later,
    /// There is none.
    Never,
}

/// A connection to another server of the hop, in place of one whose server does not take mail for now (RFC 5321 5.1).
/// For recipients alone only once for each connection: it may be they that are put off by all of them. One
/// that was put off before is asked for elsewhere each time, and a message that a server takes in no form always.
async fn elsewhere(
    inner: &Arc<Inner>,
    lane: &Arc<Lane>,
    (job, targets): (&Job, &[u16]),
    open: &mut Connection,
    sent: &Sent,
    (asked, errand): (&mut Vec<String>, &mut Option<Errand>),
) -> Result<Connection, NotElsewhere> {
    // A server that takes nothing, or not this message, has nothing better to do for its worker.
    if !sent.put_off.all && errand.is_none() {
        *errand = lane.errand();
        if errand.is_none() {
            return Err(NotElsewhere::Later);
        }
    }
    let failed = |place: &usize| matches!(sent.outcomes.get(*place), Some(Outcome::Failed(_)));
    if !sent.put_off.all && !sent.put_off.places.iter().any(failed) {
        let first = asked.is_empty() && !job.was_put_off();
        if std::mem::replace(&mut open.asked_around, true) && first {
            return Err(NotElsewhere::Later);
        }
    }
    asked.push(open.session.peer.clone());
    if asked.len() >= MAX_ASKED {
        return Err(NotElsewhere::Never);
    }
    // Who has it is known from now on: others may take long to answer.
    inner.know_early(&job.entry, job.dispatch, targets, &sent.outcomes);
    let ways = Arc::clone(&open.ways);
    let session = match ways.dialer.connect_beyond(&lane.hop, &ways.hostname(), asked).await {
        Ok(session) => session,
        Err(Trouble::NoOther | Trouble::Never(..)) => return Err(NotElsewhere::Never),
        Err(_) => return Err(NotElsewhere::Later),
    };
    let outcome = sent.put_off.places.first().and_then(|place| sent.outcomes.get(*place));
    let reason = match outcome {
        Some(Outcome::Deferred(reason) | Outcome::Failed(reason)) => reason.text.as_str(),
        _ => "",
    };
    let (id, by, peer) = (job.entry.id, &open.session.peer, &session.peer);
    tracing::info!(%id, hop = %lane.hop, by, peer, reason, "put off: another server is asked");
    let session = session.with_signer(ways.settings.signer.clone());
    Ok(Connection { session, ways, asked_around: true, place: open.place.take() })
}

/// Remembers of whom the server of a hop says nothing, or hangs up on: others are not to share a transaction with him. Where
/// commands go in groups it may be one before him in truth, so the next time they go one by one. And of a hop that had a whole
/// message and said nothing to it, that the next ones are to wait for its answers.
fn remember(known: &Known, hop: &Hop, letter: &Letter<'_>, sent: &Sent) {
    let mut recipients = letter.recipients();
    if sent.wordless {
        known.add_curt(hop);
    }
    match &sent.trouble {
        Some(Trouble::Silent | Trouble::Lost(_)) if !sent.stale => {
            if letter.targets.len() > 1 {
                known.add_broken_off(letter.id);
            }
            if let Some(target) = sent.hung_at.and_then(|place| recipients.nth(place)) {
                known.add_hanging(hop, &target.address);
            }
        }
        None => {
            known.forget_broken_off(letter.id);
            if let ([Outcome::Delivered { .. }], Some(target)) = (sent.outcomes.as_slice(), recipients.next())
            {
                known.forget_hanging(hop, &target.address);
            }
        }
        _ => {}
    }
}

pub(super) fn letter<'a>(
    (known, hop): (&Known, &Hop),
    job: &'a Job,
    record: &'a Record,
    bytes: &'a [u8],
) -> Option<Letter<'a>> {
    let letter = Letter {
        id: record.id,
        received: record.received,
        place: job.dispatch,
        dispatch: record.dispatches.get(usize::from(job.dispatch))?,
        targets: &job.targets,
        bytes,
        again: job.again || job.entry.again,
        pace: Pace::Whole,
    };
    // A server that only takes long about a recipient must not find the message behind him: it would have it each time.
    let slow = letter.recipients().any(|target| known.hangs(hop, &target.address));
    let step_by_step = slow || (job.targets.len() > 1 && known.is_broken_off(record.id));
    let pace = match step_by_step {
        true => Pace::StepByStep,
        false if known.is_curt(hop) => Pace::Commands,
        false => Pace::Whole,
    };
    Some(Letter { pace, ..letter })
}

/// One transaction, over the open connection or a new one. An error: no connection came about.
pub(super) async fn attempt(
    inner: &Arc<Inner>,
    lane: &Arc<Lane>,
    connection: &mut Option<Connection>,
    (job, record): (&Job, &Record),
    next: Option<&Loaded>,
) -> Result<Tried, Trouble> {
    let missing = || Tried {
        outcomes: vec![Outcome::Failed(Reason::new((5, 3, 0), "the message is damaged")); job.targets.len()],
        closing: None,
        silent: false,
    };
    let known = Arc::clone(&inner.ways.load().settings.known);
    let Some(dispatch) = record.dispatches.get(usize::from(job.dispatch)) else { return Ok(missing()) };
    let bytes = bytes_for(record, dispatch);
    let Some(letter) = letter((&known, &lane.hop), job, record, &bytes) else { return Ok(missing()) };
    let next = next.and_then(|(job, record, _)| {
        let dispatch = record.dispatches.get(usize::from(job.dispatch))?;
        Some((job, record, bytes_for(record, dispatch)))
    });
    let next =
        next.as_ref().and_then(|(job, record, bytes)| self::letter((&known, &lane.hop), job, record, bytes));
    // A reload may have come while it rested.
    let old = connection.take_if(|open| !Arc::ptr_eq(&open.ways, &inner.ways.load()));
    if let Some(old) = old {
        old.session.quit().await;
    }
    let mut whole = Whole::default();
    let (mut stale, mut asked) = (0, Vec::new());
    // The best server, where it put off this message or some recipients alone: the next message is for it all the same.
    let mut first: Option<Connection> = None;
    let mut errand = None;
    while stale < 2 {
        let mut open = match connection.take() {
            Some(open) => open,
            None => connect(inner, lane, job.origin).await?,
        };
        let targets = whole.targets(&job.targets);
        let letter = Letter { targets: targets.as_deref().unwrap_or(letter.targets), ..letter };
        let mut sent = open.session.send_before(&letter, next.as_ref().filter(|_| asked.is_empty())).await;
        if let Some(trouble) = &sent.trouble {
            tracing::info!(id = %job.entry.id, peer = open.session.peer, %trouble, "a next hop broke off");
        }
        remember(&known, &lane.hop, &letter, &sent);
        if sent.stale {
            stale += 1;
            continue;
        }
        let other = match sent.put_off.places.is_empty() {
            true => Err(NotElsewhere::Never),
            false => {
                elsewhere(inner, lane, (job, letter.targets), &mut open, &sent, (&mut asked, &mut errand))
                    .await
            }
        };
        whole.weigh(&mut sent.outcomes, other.as_ref().err() == Some(&NotElsewhere::Later));
        if let Ok(other) = other {
            log(&job.entry, &letter, &sent, &open.session);
            whole.go_on(&sent.put_off.places, sent.outcomes);
            *connection = Some(other);
            match open.session.usable() && first.is_none() {
                true => first = Some(open),
                false => open.session.leave().await,
            }
            continue;
        }
        let last = Sent { put_off: PutOff::default(), ..sent };
        log(&job.entry, &letter, &last, &open.session);
        let outcomes = whole.end(last.outcomes);
        if let Some(mut kept) = first {
            kept.place = open.place.take();
            open.session.leave().await;
            *connection = Some(kept);
            return Ok(Tried { outcomes, closing: None, silent: false });
        }
        if open.session.usable() {
            open.place.iter_mut().for_each(|place| _ = place.prove());
            *connection = Some(open);
        }
        let silent = match last.trouble {
            Some(Trouble::Silent) => true,
            Some(Trouble::Lost(_)) => last.hung_at.is_some(),
            _ => false,
        };
        return Ok(Tried { outcomes, closing: last.closing, silent });
    }
    Err(Trouble::Lost("it hangs up at once".to_owned()))
}

/// What became of all recipients of a job, and who of them is still to be asked for. Empty while one server has them all, as
/// nearly always.
#[derive(Default)]
struct Whole {
    outcomes: Vec<Outcome>,
    /// Places among the job's recipients.
    open: Vec<usize>,
}

impl Whole {
    /// Those still to be asked for, of the targets of a job; none: all of them.
    fn targets(&self, all: &[u16]) -> Option<Vec<u16>> {
        let open = || self.open.iter().filter_map(|place| all.get(*place).copied()).collect();
        (!self.outcomes.is_empty()).then(open)
    }

    /// What a server takes in no form is no failure while another one may take it: one that said "later", or could not be asked.
    fn weigh(&self, outcomes: &mut [Outcome], later: bool) {
        for (nth, outcome) in outcomes.iter_mut().enumerate() {
            let Outcome::Failed(reason) = &*outcome else { continue };
            if !reason.is_of_offers() {
                continue;
            }
            match self.open.get(nth).and_then(|place| self.outcomes.get(*place)) {
                Some(before @ Outcome::Deferred(_)) => *outcome = before.clone(),
                _ if later => *outcome = Outcome::Deferred(reason.for_now()),
                _ => {}
            }
        }
    }

    /// Takes over what a server said; those that it put off are asked for at another.
    fn go_on(&mut self, put_off: &[usize], outcomes: Vec<Outcome>) {
        if self.outcomes.is_empty() {
            self.open = (0..outcomes.len()).collect();
            self.outcomes = outcomes;
        } else {
            for (place, outcome) in self.open.iter().zip(outcomes) {
                if let Some(slot) = self.outcomes.get_mut(*place) {
                    *slot = outcome;
                }
            }
        }
        self.open = put_off.iter().filter_map(|place| self.open.get(*place).copied()).collect();
    }

    /// The outcomes of all, with what the last server said.
    fn end(&mut self, outcomes: Vec<Outcome>) -> Vec<Outcome> {
        self.go_on(&[], outcomes);
        std::mem::take(&mut self.outcomes)
    }
}

/// Says what a server made of each recipient, but for those that another one is asked for.
fn log(entry: &Entry, letter: &Letter<'_>, sent: &Sent, session: &Session) {
    let (peer, tls) = (&session.peer, session.secrecy);
    for (place, (target, outcome)) in letter.recipients().zip(&sent.outcomes).enumerate() {
        let (id, to) = (entry.id, &target.address);
        if sent.put_off.places.contains(&place) {
            continue;
        }
        match outcome {
            Outcome::Delivered { .. } => {
                tracing::info!(%id, to, peer, %tls, reply = sent.said_of(place), "delivered");
            }
            Outcome::Deferred(reason) => tracing::info!(%id, to, peer, reason = reason.text, "deferred"),
            Outcome::Failed(reason) => tracing::info!(%id, to, peer, reason = reason.text, "failed"),
        }
    }
}
