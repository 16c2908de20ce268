//! Messages that wait for their first attempt while their hop has enough of others: their bytes are in the log, and in memory
//! is only where.
//!
//! A hop holds [`FRESH`] of them, fewer while many are held in all. Of what comes in beyond that its lane knows the names, by
//! sender, and calls them in turn when there is room. What a restart finds in the log goes the same way. So a slow hop
//! takes neither the memory nor the turns of others, however much waits for it.

use super::crowd::IN_LOG;
use super::entry::{Entry, Place, Start};
use super::hop::Lane;
use super::turns::{Full, MAX_DEFERRED};
use super::{Inner, now};
use crate::envelope::{MessageId, Record};
use crate::spool::deferred::{Fates, State};
use crate::spool::{Note, Position, Recovered, SpoolError};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Messages on their first attempt that wait in memory for one hop.
pub(super) const FRESH: usize = if cfg!(test) { 40 } else { 1000 };
/// The same for all hops together; each has one at least.
const FRESH_IN_ALL: usize = 10_000;
/// No more are taken up while so many attempts are being recorded, or so many wait for room on the disk.
const MOST_SETTLING: usize = if cfg!(test) { 50 } else { 1000 };
const MOST_WAITING: usize = 10_000;
/// The first and the longest wait while nothing can be read from the log.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LAST_WAIT: Duration = Duration::from_secs(60);
/// Messages that cannot be read at a time without holding up the others.
const MOST_TROUBLED: usize = 100;
/// How often a message in the log is read, for an hour or so, before it is one that the disk has lost.
pub(super) const MOST_READS: u32 = 64;
/// One that an admin wants something of is not taken up on its own for so long, in milliseconds.
const FOR_ADMIN: i64 = 60_000;

/// How often in a row messages could not be read, and when they are read again.
type Troubled = HashMap<MessageId, (u32, Instant)>;

/// One that was called and for which lane, if for one.
type Called = (MessageId, Option<Coming>);

/// A lane counts who was called for it until he came, and calls no more for his room meanwhile: they would be read in vain,
/// and lose their place among the others.
struct Coming(Arc<Lane>);

impl Drop for Coming {
    fn drop(&mut self) {
        self.0.came();
    }
}

/// Those that were called.
#[derive(Default)]
pub(super) struct Backlog {
    called: Mutex<VecDeque<Called>>,
    bell: Notify,
}

impl Backlog {
    fn called(&self) -> MutexGuard<'_, VecDeque<Called>> {
        self.called.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// How many messages on their first attempt may wait in memory for one hop.
    fn fresh_share(&self) -> usize {
        let retries = MAX_DEFERRED.saturating_sub(self.turns.available_permits());
        match self.under_way.load(Ordering::Relaxed).saturating_sub(retries) {
            fresh if fresh < FRESH_IN_ALL / 2 => FRESH,
            fresh if fresh < FRESH_IN_ALL => FRESH / 10,
            _ => 1,
        }
    }

    /// Schedules a message that came in, or leaves it where it lies.
    pub(super) fn admit(self: &Arc<Self>, record: &Arc<Record>, position: Position) {
        let share = self.fresh_share();
        let state = State::default();
        // Where little is under way no hop has its share; nearly always that is all there is to it.
        let little = self.under_way.load(Ordering::Relaxed) < FRESH / 2;
        let closed = |lane: &Lane, sender| lane.is_closed_to(sender, share);
        let full = if little { None } else { self.full_lane(record, &state, closed) };
        if full.is_some() && position.external {
            self.plan(record.id, &State { due: now(), ..state });
            return;
        }
        if let Some(full) = full {
            // Remembered first: it may be called in this very moment.
            self.index().wait(record.id, position, false, record.received);
            self.leave_in_log(full, record.id);
            return;
        }
        let place = if position.external { Place::Deferred } else { Place::Log(position) };
        let size = record.bytes.len();
        let start = Start { place, state, again: false, waited: false, size, permit: None };
        self.schedule(Entry::new(self, record, start), record);
    }

    fn leave_in_log(&self, full: Full, id: MessageId) {
        match full {
            Full::Crowd(want) => self.join_crowd(want, id, IN_LOG),
            Full::Lane(lane, sender) => {
                lane.shelve(id, sender);
                // The last one that it held may have gone meanwhile.
                self.refill(&lane);
            }
        }
    }

    /// Calls those that a lane has room for now.
    pub(super) fn refill(&self, lane: &Arc<Lane>) {
        loop {
            let (parked, shelved) = lane.unpark(self.share(), self.fresh_share());
            self.wake(parked);
            let none = shelved.is_empty();
            let coming = shelved.into_iter().map(|id| (id, Some(Coming(Arc::clone(lane))))).collect();
            // Where none of them waits any more there is room for others.
            if none || self.call_up(coming) {
                return;
            }
        }
    }

    /// All that waits outside of memory for a lane: it is to be looked at anew.
    pub(super) fn look_anew(&self, lane: &Lane) {
        let (parked, shelved) = lane.unpark_all();
        self.wake(parked);
        self.call(shelved);
        self.vacate(lane);
    }

    /// Has messages in the log taken up. False where none of them waits there any more.
    pub(super) fn call(&self, ids: Vec<MessageId>) -> bool {
        self.call_up(ids.into_iter().map(|id| (id, None)).collect())
    }

    fn call_up(&self, mut called: Vec<Called>) -> bool {
        {
            let index = self.index();
            called.retain(|(id, _)| index.waits(*id));
        }
        let any = !called.is_empty();
        if any {
            self.backlog.called().extend(called);
            self.backlog.bell.notify_one();
        }
        any
    }

    /// Remembers what a restart found in the log, and calls it in the order of its coming.
    pub(super) fn recall(&self, log: Vec<Recovered>) {
        let ids = log.iter().map(|found| found.id).collect();
        {
            let (mut index, mut fates) = (self.index(), self.fates());
            for found in log {
                index.wait(found.id, found.position, true, found.received);
                if !found.settled.is_empty() {
                    fates.entry(found.id).or_default().settled = found.settled;
                }
            }
        }
        self.call(ids);
    }

    /// Takes up what is called, for as long as the queue runs.
    pub(super) async fn take_up(self: &Arc<Self>) {
        let mut troubled = Troubled::new();
        while !self.draining() {
            let called = self.backlog.called().pop_front();
            let Some((id, coming)) = called else {
                tokio::select! {
                    () = self.backlog.bell.notified() => {}
                    () = self.stop() => {}
                }
                continue;
            };
            self.until_few_settle().await;
            self.take_up_one(id, &mut troubled).await;
            self.came(id);
            if let Some(lane) = coming.map(|coming| Arc::clone(&coming.0)) {
                // Those may have gone elsewhere whose room was kept.
                self.refill(&lane);
            }
        }
    }

    /// Waits while many attempts are being recorded. Those that wait for room on the disk keep nobody from making some.
    pub(super) async fn until_few_settle(&self) {
        let many = || {
            let (settling, waiting) = (self.settling.load(Ordering::SeqCst), self.settlers.waiting());
            settling.saturating_sub(waiting) > MOST_SETTLING || waiting > MOST_WAITING
        };
        while many() && !self.draining() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn take_up_one(self: &Arc<Self>, id: MessageId, troubled: &mut Troubled) {
        if troubled.get(&id).is_some_and(|(_, next)| Instant::now() < *next) {
            // Somebody else calls it; it is called again in any case.
            return;
        }
        let (taken, there) = {
            let mut index = self.index();
            (index.begin_taking(id), index.position(id).is_some())
        };
        let Some((position, again)) = taken else {
            if !there {
                troubled.remove(&id);
            }
            return;
        };
        let spool = self.spool.clone();
        let read = tokio::task::spawn_blocking(move || spool.read(position)).await;
        match read.map_err(|e| SpoolError::Unreadable(e.to_string())).flatten() {
            Ok(record) => {
                troubled.remove(&id);
                self.take(&Arc::new(record), position, again);
            }
            Err(error @ SpoolError::Unreadable(_))
                if troubled.len() > MOST_TROUBLED
                    || troubled.get(&id).is_none_or(|(tries, _)| *tries < MOST_READS) =>
            {
                self.read_later(id, &error, troubled).await;
            }
            Err(error) => {
                troubled.remove(&id);
                if self.index().finish_waiting(id) {
                    self.set_aside_log(id, position, &error);
                }
            }
        }
    }

    /// Lets a message wait that cannot be read now, longer each time.
    async fn read_later(self: &Arc<Self>, id: MessageId, error: &SpoolError, troubled: &mut Troubled) {
        let (tries, next) = troubled.entry(id).or_insert((0, Instant::now()));
        let wait = FIRST_WAIT.saturating_mul(1 << (*tries).min(10)).min(LAST_WAIT);
        *tries = tries.saturating_add(1);
        *next = Instant::now() + wait;
        tracing::warn!(%id, %error, "a message in the log cannot be read now; it is tried again");
        if !self.index().wait_on(id) {
            troubled.remove(&id);
            return;
        }
        let its = Arc::clone(self);
        let again = async move {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = its.stop() => {}
            }
            its.call(vec![id]);
        };
        // One bad place of a disk holds up nobody else; a disk that gives nothing is let be for a while.
        if troubled.len() > MOST_TROUBLED { again.await } else { drop(tokio::spawn(again)) }
    }

    /// Schedules a message that was called, or lets it wait on.
    fn take(self: &Arc<Self>, record: &Arc<Record>, position: Position, again: bool) {
        let Fates { settled, words } = self.fates().get(&record.id).cloned().unwrap_or_default();
        let state = State { settled, words, ..State::default() };
        let share = self.fresh_share();
        // What was kept for it is there now.
        let called = self.crowd.came(record.id);
        let full = self.full_lane(record, &state, |lane, _| lane.is_crowded(share));
        if let Some(full) = full {
            if self.index().wait_on(record.id) {
                self.leave_in_log(full, record.id);
            }
        } else {
            let size = record.bytes.len();
            let place = Place::Log(position);
            let start = Start { place, state, again, waited: true, size, permit: None };
            self.schedule(Entry::new(self, record, start), record);
        }
        if called {
            self.call_crowd();
        }
    }

    /// Moves a message that waits in the log to the deferred store, where it is due at once.
    pub(super) async fn store_waiting(self: &Arc<Self>, id: MessageId, later: i64) -> Result<(), SpoolError> {
        let Some(position) = self.index().begin_moving(id) else { return Ok(()) };
        let Fates { settled, words } = self.fates().get(&id).cloned().unwrap_or_default();
        let state = State { due: now(), settled, words, ..State::default() };
        if let Err(error) = self.copy_to_store(id, position, |_| state).await {
            self.index().stop_moving(id);
            self.call(vec![id]);
            return Err(error);
        }
        self.spool.release(position);
        self.index().finish_moving(id, now() + later);
        self.bell.notify_one();
        Ok(())
    }

    /// The same for an admin, who does something to it next.
    pub(super) async fn store_for_admin(self: &Arc<Self>, id: MessageId) -> Result<(), SpoolError> {
        loop {
            self.store_waiting(id, FOR_ADMIN).await?;
            if self.index().position(id).is_none() {
                return Ok(());
            }
            // Somebody else is at it.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Copies a message from the log to the deferred store, durably, with the state that its record gets. Where that does not come
    /// about, the log alone has it.
    pub(super) async fn copy_to_store(
        self: &Arc<Self>,
        id: MessageId,
        position: Position,
        state: impl FnOnce(&Record) -> State + Send + 'static,
    ) -> Result<(), SpoolError> {
        let (spool, inner) = (self.spool.clone(), Arc::clone(self));
        let copied = tokio::task::spawn_blocking(move || {
            let record = spool.read(position)?;
            let state = state(&record);
            spool.deferred().put(&record, &state).map_err(|error| {
                // Nor may it be certain that nothing of it is there.
                inner.leftovers.insert(id);
                SpoolError::Unreadable(error.to_string())
            })
        });
        copied.await.map_err(|e| SpoolError::Unreadable(e.to_string())).flatten()?;
        let noted = self.spool.note_durably(&Note::Moved(id)).await;
        if noted.is_ok() {
            self.leftovers.remove(id);
        }
        if let Err(SpoolError::Full | SpoolError::Slow) = noted {
            // A restart would take it up once more.
            if let Err(error) = self.spool.remove_deferred(id).await {
                tracing::error!(%id, %error, "a copy of a message in the log cannot be removed");
                self.leftovers.insert(id);
            }
        }
        noted
    }
}
