//! The workers of next hops: take jobs, deliver, hand in the outcomes.

use super::Inner;
use super::attempt::{Connection, Loaded, Tried, attempt, connect, letter};
use super::entry::{Job, LARGE};
use super::hop::{AfterFailure, Lane, Seat};
use super::room::{Ask, For};
use super::route::Hop;
use super::shares::Rank;
use super::wish::{Wish, stopped};
use crate::deliver::client::Trouble;
use crate::deliver::{Letter, Outcome, Reason, bytes_for, maildir, settle_variant};
use crate::envelope::{Record, Target};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a connection to a relay waits for another message. Tests see workers end, too.
const RELAY_REST: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 30 });
/// The same for a server of somebody else's.
pub(super) const MX_REST: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 3 });
/// How long one connection is used.
const MAX_AGE: Duration = Duration::from_secs(300);
/// The same, and how long a connection is used, while all that may be open are, or a better server was passed over.
const SHORT_REST: Duration = Duration::from_millis(200);
const TURN: Duration = Duration::from_secs(5);
/// The first and the longest wait where the log has no room for notes.
const NOTE_WAIT: Duration = Duration::from_millis(10);
const LONGEST_NOTE_WAIT: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 5000 });
/// Jobs that share one sync of their folders.
const MAILDIR_BATCH: usize = 64;

/// Counts a worker while it lives.
struct Counted(Arc<Inner>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.workers.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Inner {
    /// Starts a worker that the lane counts already.
    pub(super) fn start_worker(self: &Arc<Self>, lane: &Arc<Lane>) {
        self.workers.fetch_add(1, Ordering::SeqCst);
        let (counted, mut seat) = (Counted(Arc::clone(self)), Seat::new(Arc::clone(lane)));
        tokio::spawn(async move {
            // A reload may change how mail stays here: then it goes on in the other way.
            loop {
                let maildir = counted.0.ways.load().is_maildir(&seat.lane.hop);
                let after = match maildir {
                    true => local(&counted.0, &mut seat).await,
                    false => remote(&counted.0, &mut seat).await,
                };
                if after == After::End {
                    break;
                }
            }
            let lane = Arc::clone(&seat.lane);
            drop(seat);
            counted.0.vacate(&lane);
        });
    }

    /// The lane's mail can go now, as far as is known: what waits has all the workers that it may have.
    fn reached(self: &Arc<Self>, lane: &Arc<Lane>) {
        let (more, moved) = lane.reached();
        for _ in 0..more {
            self.start_worker(lane);
        }
        if matches!(lane.hop, Hop::Mx(_)) {
            self.proven.add(&lane.hop);
        }
        if moved {
            self.call_crowd();
        }
    }

    /// Waits until what becomes of mail can be written down. False: no more is to be begun.
    async fn may_begin(&self) -> bool {
        let mut wait = NOTE_WAIT;
        while !self.stopping() {
            if self.spool.can_note() {
                return true;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop() => {}
            }
            wait = wait.saturating_mul(2).min(LONGEST_NOTE_WAIT);
        }
        false
    }

    /// No more is to be begun: the daemon ends, or nothing can be recorded.
    pub(super) fn stopping(&self) -> bool {
        self.draining() || self.spool.failed()
    }
}

/// What becomes of a worker that returns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    /// It ends, and the lane does not count it any more.
    End,
    /// Its lane is to be served in the other way.
    Change,
}

/// Reads the message of a job. None: it cannot be read; its recipients were told so.
async fn load(inner: &Arc<Inner>, lane: &Lane, mut job: Job) -> Option<Loaded> {
    if matches!(job.entry.wish(), Wish::Hold | Wish::Remove) {
        inner.defer_job(job, &stopped());
        return None;
    }
    let maildir = inner.ways.load().is_maildir(&lane.hop);
    let reader = if maildir { For::Maildir } else { For::Hop(job.room.take()) };
    match job.entry.record(reader).await {
        Ok((mut record, permit)) if usize::from(job.dispatch) < record.dispatches.len() => {
            // One that was read for this job alone is changed where it lies: never in memory twice.
            if let Some(own) = Arc::get_mut(&mut record) {
                settle_variant(own, job.dispatch);
            }
            Some((job, record, permit))
        }
        Ok(_) => {
            // Its head was another one when it was scheduled.
            tracing::error!(id = %job.entry.id, "a message in the queue has changed");
            inner.defer_job(job, &Reason::new((4, 3, 0), "the message is damaged"));
            None
        }
        Err(error) => {
            tracing::error!(id = %job.entry.id, %error, "a message in the queue cannot be read");
            inner.defer_job(job, &Reason::new((4, 3, 0), error.to_string()));
            None
        }
    }
}

async fn local(inner: &Arc<Inner>, seat: &mut Seat) -> After {
    let lane = Arc::clone(&seat.lane);
    // Folders are there at once, whatever was the matter with another way.
    inner.reached(&lane);
    loop {
        inner.refill(&lane);
        let jobs = seat.next(MAILDIR_BATCH, RELAY_REST).await;
        if jobs.is_empty() || !inner.may_begin().await {
            return After::End;
        }
        if !inner.ways.load().is_maildir(&lane.hop) {
            jobs.into_iter().rev().for_each(|job| lane.put_back(job));
            return After::Change;
        }
        let mut loaded = Vec::with_capacity(jobs.len());
        let mut bytes = 0;
        for job in jobs {
            // A batch holds what is in memory anyway, and large messages one by one.
            bytes += job.entry.size;
            loaded.extend(load(inner, &lane, job).await);
            if bytes > super::entry::LARGE {
                deliver_local(inner, std::mem::take(&mut loaded)).await;
                bytes = 0;
            }
        }
        deliver_local(inner, loaded).await;
    }
}

async fn deliver_local(inner: &Arc<Inner>, loaded: Vec<Loaded>) {
    if loaded.is_empty() {
        return;
    }
    let ways = inner.ways.load_full();
    let (mail, hostname) = (ways.settings.mail.clone(), ways.hostname());
    let known = Arc::clone(&ways.settings.known);
    let work = tokio::task::spawn_blocking(move || {
        let outcomes = {
            // Loading saw to it that each job has its dispatch.
            let dispatches =
                loaded.iter().map(|(job, record, _)| record.dispatches.get(usize::from(job.dispatch)));
            let variants: Vec<_> = loaded
                .iter()
                .zip(dispatches)
                .map(|((_, record, _), dispatch)| dispatch.map(|d| bytes_for(record, d)).unwrap_or_default())
                .collect();
            let letters: Vec<Letter<'_>> = loaded
                .iter()
                .zip(&variants)
                .filter_map(|((job, record, _), bytes)| letter((&known, &Hop::Local), job, record, bytes))
                .collect();
            maildir::deliver(&mail, &hostname, &letters)
        };
        (loaded, outcomes)
    });
    match work.await {
        Ok((loaded, outcomes)) => {
            for ((job, record, _), outcomes) in loaded.into_iter().zip(outcomes) {
                log_each(&job, &record, &Hop::Local, &outcomes);
                inner.finish(job, outcomes, &Hop::Local);
            }
        }
        // Only a panic of ours; the jobs are gone with it, the log still has them.
        Err(error) => tracing::error!(%error, "a local delivery broke off; it is made again after a restart"),
    }
}

async fn remote(inner: &Arc<Inner>, seat: &mut Seat) -> After {
    let lane = &Arc::clone(&seat.lane);
    let rest = if matches!(lane.hop, Hop::Mx(_)) { MX_REST } else { RELAY_REST };
    let mut session: Option<Connection> = None;
    // The next job, where it was taken while the one before was under way.
    let mut waiting: Option<Loaded> = None;
    loop {
        inner.refill(lane);
        let ways = inner.ways.load_full();
        let rank = Rank::of(&lane.hop, true);
        let by_mx = rank == Some(Rank::Proven);
        let crowded = rank.is_some_and(|rank| ways.sockets.is_short(rank)) || (by_mx && inner.crowd.waits());
        // Where connections are short, nobody rests on one that others wait for; nor is a better server left out for long.
        let short = crowded || session.as_ref().is_some_and(|c| c.session.lesser);
        let longest = if short { TURN } else { MAX_AGE };
        let old =
            session.take_if(|c| !c.session.usable() || (waiting.is_none() && c.session.age() > longest));
        if let Some(old) = old {
            old.session.quit().await;
        }
        let rest = if short { SHORT_REST } else { rest };
        let loaded = match waiting.take() {
            Some(loaded) => {
                if seat.turn_to(loaded.0.lane) {
                    inner.start_worker(lane);
                }
                Some(loaded)
            }
            None => {
                let Some(mut job) = seat.next(1, rest).await.pop() else { break };
                if inner.ways.load().is_maildir(&lane.hop) {
                    lane.put_back(job.without_room());
                    if let Some(connection) = session {
                        connection.session.quit().await;
                    }
                    return After::Change;
                }
                if job.wants_room() && lane.has_aside() {
                    inner.wait_for_room(lane, job);
                    continue;
                }
                // What is not in memory is not read for a server that is not there.
                if job.entry.hot().is_none() && session.is_none() && inner.may_begin().await {
                    match connect(inner, lane, job.origin).await {
                        Ok(open) => session = Some(open),
                        Err(trouble) => {
                            match unreached(inner, seat, (job.without_room(), None), trouble).await {
                                true => continue,
                                false => return After::End,
                            }
                        }
                    }
                }
                if job.wants_room() {
                    job.room = inner.rooms.try_take(lane, Ask::of(&job));
                    if job.room.is_none() {
                        // It costs others neither this connection nor its place meanwhile.
                        inner.wait_for_room(lane, job);
                        continue;
                    }
                }
                if inner.may_begin().await { load(inner, lane, job).await } else { None }
            }
        };
        if !inner.may_begin().await {
            break;
        }
        let Some((job, record, room)) = loaded else { continue };
        // A host of ours is told of the next message behind the end of this one; whoever runs an MX may be old.
        // Its turn over, a connection ends with the message in hand.
        let on = |c: &Connection| c.session.runs_ahead() && c.session.age() <= longest;
        let ahead = matches!(lane.hop, Hop::Relay(_)) && session.as_ref().is_some_and(on);
        let next = if ahead && inner.spool.can_note() { lane.another(job.lane, LARGE) } else { None };
        let next = match next {
            Some(next) => load(inner, lane, next).await,
            None => None,
        };
        match attempt(inner, lane, &mut session, (&job, &record), next.as_ref()).await {
            Ok(Tried { outcomes, closing: None, .. }) => {
                waiting = next;
                inner.reached(lane);
                inner.finish(job, outcomes, &lane.hop);
            }
            Ok(Tried { outcomes, closing: Some(reason), silent }) => {
                session = None;
                if let Some((next, ..)) = next {
                    lane.put_back(next);
                }
                drop((record, room));
                inner.finish(job, outcomes, &lane.hop);
                if silent && lane.bears_silence() {
                    continue;
                }
                // What else waits is not thrown at it at once.
                if !waits_after(inner, seat, None, reason).await {
                    return After::End;
                }
            }
            Err(trouble) => {
                match next {
                    Some(next) if matches!(trouble, Trouble::Never(..)) => waiting = Some(next),
                    Some((next, ..)) => lane.put_back(next),
                    None => {}
                }
                session = None;
                drop(room);
                if !unreached(inner, seat, (job, Some(record)), trouble).await {
                    return After::End;
                }
            }
        }
    }
    if let Some(connection) = session {
        connection.session.quit().await;
    }
    After::End
}

/// No connection came about for a job, whose message may not have been read. False: its worker is to end.
async fn unreached(
    inner: &Arc<Inner>,
    seat: &mut Seat,
    (job, record): (Job, Option<Arc<Record>>),
    trouble: Trouble,
) -> bool {
    let lane = Arc::clone(&seat.lane);
    if let Trouble::Never(..) = trouble {
        let outcomes = vec![Outcome::Failed(trouble.reason()); job.targets.len()];
        let record = match record {
            Some(record) => Some((record, None)),
            // As it is once more, to tell its author.
            None => job.entry.record(For::Record).await.ok(),
        };
        if let Some((record, _)) = &record {
            log_each(&job, record, &lane.hop, &outcomes);
        }
        drop(record);
        // It is known again what becomes of its mail.
        inner.reached(&lane);
        inner.finish(job, outcomes, &lane.hop);
        return true;
    }
    drop(record);
    let reason = trouble.reason();
    tracing::info!(hop = %lane.hop, reason = reason.text, "a next hop cannot be reached");
    waits_after(inner, seat, Some(job), reason).await
}

/// Says what became of each recipient of a job where no server did: who has it in his mailbox, and why one failed. Where nobody is to
/// be told, this is all that is left of it.
fn log_each(job: &Job, record: &Record, hop: &Hop, outcomes: &[Outcome]) {
    let id = job.entry.id;
    let Some(dispatch) = record.dispatches.get(usize::from(job.dispatch)) else { return };
    for (target, outcome) in job.targets.iter().zip(outcomes) {
        let Some(Target { address: to, .. }) = dispatch.recipients.get(usize::from(*target)) else {
            continue;
        };
        match outcome {
            Outcome::Delivered { .. } => tracing::info!(%id, to, "delivered into a mailbox"),
            Outcome::Failed(reason) => tracing::info!(%id, to, %hop, reason = reason.text, "failed"),
            Outcome::Deferred(reason) if *hop == Hop::Local => {
                tracing::info!(%id, to, reason = reason.text, "deferred");
            }
            Outcome::Deferred(_) => {}
        }
    }
}

/// What a worker does where its hop takes nothing now: it waits, to try again, or is to end.
async fn waits_after(inner: &Arc<Inner>, seat: &mut Seat, job: Option<Job>, reason: Reason) -> bool {
    let lane = &seat.lane;
    let mut patient = true;
    if matches!(lane.hop, Hop::Mx(_)) {
        // One that never took mail has its next try on time; others that were never tried wait for its place.
        patient = lane.is_proven() || !inner.crowd.waits();
        inner.proven.remove(&lane.hop);
    }
    match seat.failed(job, reason, patient) {
        AfterFailure::Wait(wait) => {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = inner.stop() => {}
            }
            true
        }
        AfterFailure::Leave => false,
        AfterFailure::GiveUp(jobs, reason) => {
            for job in jobs {
                inner.defer_job(job, &reason);
            }
            // Nothing of theirs is tried either.
            inner.look_anew(&seat.lane);
            false
        }
    }
}
