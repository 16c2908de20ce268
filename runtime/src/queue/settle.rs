//! After an attempt: what was delivered is noted, what waits is stored and planned, what failed is told.
//!
//! The order is what keeps mail: a notice is durable before its message is forgotten, the deferred file
//! before the log lets go of the record.

use super::backlog::MOST_READS;
use super::entry::{Entry, Job, Place, Progress};
use super::notice::{self, Event, Line};
use super::room::For;
use super::route::Hop;
use super::wish::Wish;
use super::{Inner, now};
use crate::deliver::{Hand, Outcome, Reason};
use crate::envelope::{DispatchKind, MessageId, Record};
use crate::spool::deferred::State;
use crate::spool::{Note, SpoolError};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// How long to wait before a step that the disk refused is tried again.
const DISK_WAIT: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 5000 });
/// How often a deferred message is read again before it makes room for others.
const READ_TRIES: u32 = 3;

type Results = Vec<(u16, u16, Outcome)>;

impl Inner {
    /// Hands in what became of a job's recipients.
    pub(super) fn finish(self: &Arc<Self>, job: Job, outcomes: Vec<Outcome>, hop: &Hop) {
        let Job { entry, dispatch, targets, .. } = job;
        let mut delivered = 0;
        let mut settled = Vec::new();
        for (target, outcome) in targets.iter().zip(&outcomes) {
            match outcome {
                Outcome::Delivered { .. } => {
                    delivered += 1;
                    settled.push((dispatch, *target));
                }
                Outcome::Deferred(_) => {
                    self.deferred.fetch_add(1, Ordering::Relaxed);
                }
                Outcome::Failed(_) => {
                    self.failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        self.delivered.fetch_add(delivered, Ordering::Relaxed);
        if *hop == Hop::Local && delivered > 0 {
            tracing::info!(id = %entry.id, recipients = delivered, "delivered into mailboxes");
        }
        let results = {
            let mut progress = entry.progress();
            progress.results.extend(targets.into_iter().zip(outcomes).map(|(t, o)| (dispatch, t, o)));
            self.part(&entry, &mut progress)
        };
        match results {
            None if settled.is_empty() => {}
            None => {
                self.spool.note(&Note::Settled(entry.id, settled.clone()));
                if entry.place() == Place::Deferred {
                    self.merge_later(entry, settled);
                }
            }
            Some((_, false)) => self.forget_log(&entry),
            Some((results, true)) => {
                if !settled.is_empty() {
                    self.spool.note(&Note::Settled(entry.id, settled));
                }
                self.settle_later(entry, results);
            }
        }
    }

    /// One part of an attempt is done. At the last one, what came of all, and whether more is to be done than to forget the
    /// message.
    fn part(&self, entry: &Entry, progress: &mut Progress) -> Option<(Results, bool)> {
        progress.outstanding = progress.outstanding.saturating_sub(1);
        if progress.outstanding > 0 {
            return None;
        }
        let all = |r: &Results| r.iter().all(|(.., o)| matches!(o, Outcome::Delivered { .. }));
        let slow = progress.slow || !all(&progress.results) || entry.place() == Place::Deferred;
        Some((std::mem::take(&mut progress.results), slow))
    }

    /// The part of an attempt is done that somebody took upon himself with [`Progress::outstanding`].
    pub(super) fn part_done(self: &Arc<Self>, entry: Arc<Entry>) {
        let results = self.part(&entry, &mut entry.progress());
        match results {
            None => {}
            Some((_, false)) => self.forget_log(&entry),
            Some((results, true)) => self.settle_later(entry, results),
        }
    }

    /// Writes into the state of a deferred message who has it, while others are still served: the log forgets its notes when
    /// it moves on. That is a part of the attempt.
    fn merge_later(self: &Arc<Self>, entry: Arc<Entry>, settled: Vec<(u16, u16)>) {
        if !entry.join() {
            // The last one ends it in this very moment, and writes all of it.
            return;
        }
        let inner = Arc::clone(self);
        inner.settling.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            inner.merge(entry.id, settled).await;
            inner.part_done(entry);
            inner.settling.fetch_sub(1, Ordering::SeqCst);
        });
    }

    /// Adds to what is settled in the state of a deferred message.
    pub(super) async fn merge(&self, id: MessageId, settled: Vec<(u16, u16)>) {
        let _mover = self.movers.acquire().await;
        let spool = self.spool.clone();
        let merged = tokio::task::spawn_blocking(move || spool.deferred().merge_settled(id, &settled)).await;
        if let Err(error) = merged.map_err(std::io::Error::other).flatten() {
            tracing::warn!(%id, %error, "who has a message is noted in the log alone for now");
        }
    }

    /// None of a job's recipients could be tried.
    pub(super) fn defer_job(self: &Arc<Self>, job: Job, reason: &Reason) {
        let outcomes = vec![Outcome::Deferred(reason.clone()); job.targets.len()];
        let nowhere = Hop::Nowhere(String::new());
        self.finish(job, outcomes, &nowhere);
    }

    /// Settles an attempt in a task of its own.
    pub(super) fn settle_later(self: &Arc<Self>, entry: Arc<Entry>, results: Results) {
        let inner = Arc::clone(self);
        inner.settling.fetch_add(1, Ordering::SeqCst);
        let task: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
            let id = entry.id;
            if let Err(error) = inner.settle(&entry, results).await {
                // What is on disk is as it was: the restart finds it.
                tracing::error!(%id, %error, "an attempt cannot be recorded");
            }
            inner.settling.fetch_sub(1, Ordering::SeqCst);
        });
        tokio::spawn(task);
    }

    async fn settle(self: &Arc<Self>, entry: &Arc<Entry>, results: Results) -> Result<(), SpoolError> {
        // When a hop goes down, all that waits for it comes here at once: not all of it is read at once.
        let _turn = self.settlers.acquire().await;
        let mut tries = 0;
        let (record, _permit) = loop {
            match entry.record(For::Record).await {
                Ok(found) => break found,
                Err(SpoolError::Unreadable(_)) if tries >= READ_TRIES && entry.place() == Place::Deferred => {
                    return self.put_off(entry, results).await;
                }
                Err(error @ SpoolError::Unreadable(_)) if tries < MOST_READS => {
                    tries += 1;
                    self.read_again(entry.id, &error, tries).await?;
                }
                Err(error) => return self.give_up_damaged(entry, &error, &results).await,
            }
        };
        let now = now();
        let ways = self.ways.load_full();
        let times = &ways.settings;
        let mut state = entry.state.clone();
        state.reasons.clear();
        let wish = entry.wish();
        // What is to be kept is not given up meanwhile, and of what is thrown away nobody is told.
        let stopped = matches!(wish, Wish::Hold | Wish::Remove);
        let held_before = open_targets(&record, &state).held;
        if wish == Wish::Release {
            state.release(now);
        }
        // What was held is as if it had come when it was released.
        let start = entry.received.max(state.since);
        let age = Duration::from_millis(u64::try_from(now - start).unwrap_or(0));
        let over = is_over_limit(&results);
        let mut lines: Vec<Line> = Vec::new();
        for (dispatch, target, outcome) in results {
            let event = match outcome {
                Outcome::Delivered { by_hop } => {
                    state.settled.push((dispatch, target));
                    match by_hop {
                        Hand::Mailbox => Event::Delivered,
                        Hand::Careless => Event::Relayed,
                        Hand::Careful => continue,
                    }
                }
                Outcome::Failed(reason) => {
                    state.settled.push((dispatch, target));
                    Event::Failed(reason)
                }
                Outcome::Deferred(reason) if age > times.lifetime && !stopped => {
                    state.settled.push((dispatch, target));
                    Event::Failed(reason)
                }
                Outcome::Deferred(reason) => {
                    state.reasons.push((dispatch, target, reason.text.clone()));
                    Event::Delayed(reason)
                }
            };
            lines.push(Line { dispatch, target, event });
        }
        state.settled.sort_unstable();
        state.settled.dedup();
        let warn = !state.warned && age > times.warn_after && !stopped;
        state.warned |= warn;
        lines.retain(|line| match line.event {
            Event::Delayed(_) => warn,
            Event::Failed(_) => wish != Wish::Remove,
            Event::Delivered | Event::Relayed | Event::Expanded => true,
        });
        let lifetime = i64::try_from(times.lifetime.as_millis()).unwrap_or(i64::MAX);
        let until = start.saturating_add(lifetime);
        self.tell(&record, lines, entry.state.attempts, until).await?;
        let open = open_targets(&record, &state);
        if (open.active == 0 && open.held == 0) || wish == Wish::Remove {
            self.forget(entry).await;
            return Ok(());
        }
        state.attempts += u32::from(open.active > 0 && !over);
        state.held = open.active == 0 || wish == Wish::Hold;
        // Those that are released go at once.
        let at_once = (wish == Wish::Release && held_before > 0) || over;
        state.due = if at_once { now } else { now + self.wait(state.attempts) };
        self.keep(entry, Some(&record), state, wish).await
    }

    /// Plans another attempt for a deferred message that cannot be read for longer. Whom it was delivered to is
    /// remembered; who refused it is asked again, since nobody can be told of it.
    async fn put_off(self: &Arc<Self>, entry: &Arc<Entry>, results: Results) -> Result<(), SpoolError> {
        let mut state = entry.state.clone();
        let delivered = results.iter().filter(|(.., o)| matches!(o, Outcome::Delivered { .. }));
        state.settled.extend(delivered.map(|(dispatch, target, _)| (*dispatch, *target)));
        state.settled.sort_unstable();
        state.settled.dedup();
        let wish = entry.wish();
        if wish == Wish::Remove {
            self.forget(entry).await;
            return Ok(());
        }
        state.attempts += 1;
        if wish == Wish::Release {
            state.release(now());
        }
        state.held = wish == Wish::Hold;
        state.due = now() + self.wait(state.attempts);
        self.keep(entry, None, state, wish).await
    }

    /// Sends the notices that an attempt calls for. Each is durable on return.
    pub(super) async fn tell(
        self: &Arc<Self>,
        record: &Record,
        lines: Vec<Line>,
        attempt: u32,
        until: i64,
    ) -> Result<(), SpoolError> {
        if lines.is_empty() {
            return Ok(());
        }
        let hostname = self.hostname();
        let ways = self.ways.load_full();
        let keys = ways.settings.signer.of_domain(&hostname);
        let notices = notice::notices(&*ways.guide, &hostname, record, &lines, attempt, now(), until);
        for mut notice in notices {
            if let Some(edit) = keys.as_ref().and_then(|keys| keys.sign(&notice.id, &notice.bytes, &[])) {
                notice.bytes.splice(edit.range, edit.bytes);
            }
            loop {
                match self.submit(notice.clone()).await {
                    Ok(()) => break,
                    Err(SpoolError::TooLarge) => {
                        tracing::error!(id = %record.id, "a notice is too large to be sent");
                        break;
                    }
                    Err(error @ SpoolError::Failed(_)) => return Err(error),
                    Err(error) => {
                        tracing::warn!(%error, "a notice waits for the spool");
                        tokio::time::sleep(DISK_WAIT).await;
                    }
                }
            }
        }
        Ok(())
    }

    /// The most milliseconds until the next attempt.
    pub(super) fn longest_wait(&self) -> i64 {
        let longest = self.ways.load().settings.retry_max.mul_f64(1.2);
        i64::try_from(longest.as_millis()).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
    }

    /// Milliseconds until the next attempt: doubling, with jitter.
    pub(super) fn wait(&self, attempts: u32) -> i64 {
        let doublings = attempts.saturating_sub(1).min(20);
        let ways = self.ways.load();
        let wait = ways.settings.retry_first.saturating_mul(1 << doublings).min(ways.settings.retry_max);
        let wait = wait.mul_f64(0.8 + 0.4 * fastrand::f64());
        i64::try_from(wait.as_millis()).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
    }

    /// Stores what is left of a message for another attempt; of one that is in the deferred store already, the
    /// state alone.
    async fn keep(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        record: Option<&Arc<Record>>,
        state: State,
        wish: Wish,
    ) -> Result<(), SpoolError> {
        // Bounds how many write at a time; notices do not wait behind them.
        let place = entry.settled_place().await;
        loop {
            let mover = self.movers.acquire().await;
            let (spool, id, record, state) = (self.spool.clone(), entry.id, record.cloned(), state.clone());
            let stored = tokio::task::spawn_blocking(move || match (place, record) {
                (Place::Log(_) | Place::Moving(_), Some(record)) => spool.deferred().put(&record, &state),
                _ => spool.deferred().update(id, &state),
            });
            match stored.await.map_err(std::io::Error::other).flatten() {
                Ok(()) => break,
                Err(error) => {
                    tracing::warn!(id = %entry.id, %error, "a message cannot be stored for its next attempt yet");
                    if self.draining() {
                        return Err(SpoolError::Unreadable(error.to_string()));
                    }
                    // A folder that cannot be written keeps no turn from others.
                    drop(mover);
                    tokio::time::sleep(DISK_WAIT).await;
                }
            }
        }
        if let Place::Log(position) = place {
            self.note_moved(entry.id).await?;
            self.spool.release(position);
        }
        let late = {
            // In one of the two lists at any moment, for whoever looks for it.
            let mut index = self.index();
            self.active.lock().unwrap_or_else(PoisonError::into_inner).remove(&entry.id);
            index.insert(state.planned(), entry.id);
            entry.wish()
        };
        self.bell.notify_one();
        if late != wish {
            self.fulfil(entry.id, late).await;
        }
        Ok(())
    }

    /// Notes durably that a message is in the deferred store. While the log has no room for it nobody may take it up: what
    /// became of it then would not be known after a restart.
    async fn note_moved(&self, id: MessageId) -> Result<(), SpoolError> {
        loop {
            match self.spool.note_durably(&Note::Moved(id)).await {
                Err(error @ (SpoolError::Full | SpoolError::Slow)) if !self.draining() => {
                    tracing::warn!(%id, %error, "the next attempt of a message waits for the spool");
                    tokio::time::sleep(DISK_WAIT).await;
                }
                noted => return noted,
            }
        }
    }

    /// A message in the log needs nothing more.
    fn forget_log(&self, entry: &Entry) {
        match entry.place() {
            Place::Log(position) => {
                self.spool.note(&Note::Done(entry.id));
                self.spool.release(position);
            }
            // No attempt ends while its message is moved.
            Place::Moving(_) | Place::Deferred => {}
        }
        self.gone(entry.id);
    }

    async fn forget(&self, entry: &Arc<Entry>) {
        if entry.settled_place().await == Place::Deferred {
            self.forget_deferred(entry.id).await;
        }
        self.forget_log(entry);
    }

    /// Removes a message's files.
    pub(super) async fn forget_deferred(&self, id: MessageId) {
        let spool = self.spool.clone();
        let removed = tokio::task::spawn_blocking(move || spool.deferred().remove(id)).await;
        if let Err(error) = removed.map_err(std::io::Error::other).flatten() {
            tracing::error!(%id, %error, "a finished message cannot be removed; a restart delivers it again");
        }
    }

    pub(super) fn gone(&self, id: MessageId) {
        self.active.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        self.queued.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a next hop took some recipients, and all others were too many for one transaction: they go in another one at once
/// (RFC 5321 4.5.3.1.10). Each such attempt delivers something, so there is an end to it.
fn is_over_limit(results: &Results) -> bool {
    let delivered = results.iter().any(|(.., outcome)| matches!(outcome, Outcome::Delivered { .. }));
    let deferred = |(.., outcome): &(u16, u16, Outcome)| match outcome {
        Outcome::Deferred(reason) => Some(reason.status == (4, 5, 3)),
        _ => None,
    };
    let over: Vec<bool> = results.iter().filter_map(deferred).collect();
    delivered && !over.is_empty() && over.iter().all(|over| *over)
}

/// How many recipients are not settled.
struct Open {
    active: usize,
    held: usize,
}

fn open_targets(record: &Record, state: &State) -> Open {
    let mut open = Open { active: 0, held: 0 };
    for (place, dispatch) in (0u16..).zip(&record.dispatches) {
        let targets = (0u16..).zip(&dispatch.recipients);
        let left = targets.filter(|(t, _)| state.settled.binary_search(&(place, *t)).is_err()).count();
        if dispatch.hold && !state.released { open.held += left } else { open.active += left }
    }
    open
}

/// Whether anybody is to be told of a dispatch's fate: never of notices, never a null sender.
pub(super) fn has_author(kind: &DispatchKind, sender: &str) -> bool {
    *kind != DispatchKind::Notice && !sender.is_empty()
}
