//! Time goes on for what waits for its turn: its author is told that it is late, and it is given up, though nobody tried it.
//!
//! Every few seconds all that waits is looked at: the jobs that no worker has begun, and of what lies in the log when it came, which is in memory.
//! What is late counts as put off, as if its hop had said so; the rest happens at the [end of that attempt](super::settle).
//! What is due again and finds no place is looked at when it is [due](super::schedule), within an hour. Limit: what a
//! worker has in its hands stays there until its hop is done with it.

use super::entry::{Entry, Job, Place, Start};
use super::notice::tells_of_delay;
use super::wish::Wish;
use super::{Inner, now};
use crate::deliver::Reason;
use crate::envelope::{MessageId, Record};
use crate::spool::deferred::{Fates, State};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// How often what waits is looked at. Tests do so themselves.
const LOOK: Duration = Duration::from_secs(if cfg!(test) { 86_400 } else { 10 });

/// Nothing is given up untried so soon after a start, nor what came to its hop's queue so short a time ago: an edictd that stood
/// still for days, or whose clock was set, tries its mail first.
const GRACE: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 600 });

/// Why somebody is put off who was not tried.
pub(super) fn waits() -> Reason {
    Reason::new((4, 4, 5), "it waits for its turn at its next hop")
}

/// Before when a message must have come to be given up, and to be late, in Unix milliseconds.
struct Bounds {
    over: i64,
    late: i64,
}

impl Bounds {
    fn of(inner: &Inner) -> Self {
        let (now, ways) = (now(), inner.ways.load());
        let before = |age: Duration| now.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        Self { over: before(ways.settings.lifetime), late: before(ways.settings.warn_after) }
    }

    /// Whether a message that came then is not to wait any longer without a word, where it waited here for so long.
    fn end_wait(&self, start: i64, waited: Duration, warns: impl FnOnce() -> bool) -> bool {
        if start < self.over { waited >= GRACE } else { start < self.late && warns() }
    }
}

impl Inner {
    /// Whether a message that came, or was released, then is past its lifetime, and whether it is late.
    pub(super) fn past(&self, start: i64) -> (bool, bool) {
        let bounds = Bounds::of(self);
        (start < bounds.over, start < bounds.late)
    }

    /// Whether a message is not to wait any longer without a word: it is past its lifetime, or somebody is to be told that it is late.
    pub(super) fn is_out_of_time(&self, record: &Record, state: &State) -> bool {
        let start = record.received.max(state.since);
        Bounds::of(self).end_wait(start, self.begun.elapsed(), || tells_of_delay(record, state))
    }

    /// Whether each hop that a deferred message waits for has its share of others.
    pub(super) fn has_no_place(&self, record: &Record, state: &State) -> bool {
        let (id, share) = (record.id, self.share());
        self.full_lane(record, state, |lane, sender| lane.is_full(id, sender, share)).is_some()
    }

    /// Looks after what waits for as long as the queue runs.
    pub(super) async fn watch_ages(self: &Arc<Self>) {
        while !self.stopping() {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.stop() => return,
            }
            self.look_at_ages().await;
        }
    }

    /// Puts off what is late and waits.
    pub(super) async fn look_at_ages(self: &Arc<Self>) {
        self.put_off_late_jobs();
        let mut after = None;
        while !self.stopping() {
            let (bounds, run) = (Bounds::of(self), self.begun.elapsed());
            let (old, last) = self.index().older(after, |since, warns| bounds.end_wait(since, run, || warns));
            let Some(last) = last else { return };
            for id in old {
                self.until_few_settle().await;
                if self.stopping() {
                    return;
                }
                self.put_off_late(id).await;
            }
            after = Some(last);
        }
    }

    /// Of the messages in memory, what no worker has begun.
    fn put_off_late_jobs(self: &Arc<Self>) {
        let bounds = Bounds::of(self);
        let is_late = |job: &Job| {
            let entry = &job.entry;
            let start = entry.received.max(entry.state.since);
            let warns = || entry.warns.load(Ordering::Relaxed);
            bounds.end_wait(start, job.since.elapsed(), warns) && entry.wish() == Wish::None
        };
        let lanes: Vec<_> =
            self.lanes.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for lane in lanes {
            if self.stopping() {
                return;
            }
            let jobs = lane.withdraw_if(is_late);
            if jobs.is_empty() {
                continue;
            }
            for job in jobs {
                // Once: who is put off is told of, and has his next try.
                job.entry.warns.store(false, Ordering::Relaxed);
                self.defer_job(job, &waits());
            }
            self.refill(&lane);
        }
    }

    /// One of those that wait in the log.
    async fn put_off_late(self: &Arc<Self>, id: MessageId) {
        let Some(position) = self.index().position(id) else { return };
        let spool = self.spool.clone();
        let read = tokio::task::spawn_blocking(move || spool.read(position)).await;
        // One that cannot be read now is whoever's who takes it up, and so is one that was.
        let Ok(Ok(record)) = read else { return };
        let Fates { settled, words } = self.fates().get(&id).cloned().unwrap_or_default();
        let state = State { settled, words, ..State::default() };
        if !self.is_out_of_time(&record, &state) {
            self.index().hush(id);
            return;
        }
        let Some((position, again)) = self.index().begin_taking(id) else { return };
        let (size, record) = (record.bytes.len(), Arc::new(record));
        let start = Start { place: Place::Log(position), state, again, waited: true, size, permit: None };
        self.schedule_or_put_off(Entry::new(self, &record, start), &record, Some(&waits()));
    }
}
