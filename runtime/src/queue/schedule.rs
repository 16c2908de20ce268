//! When deferred messages are due, and the task that takes them up; what a restart finds.

use super::ages::waits;
use super::entry::{Entry, LARGE, Place, Start};
use super::holders;
use super::index::{Index, TAKING};
use super::turns::FARTHEST;
use super::{Inner, now};
use crate::envelope::{MessageId, Record};
use crate::spool::deferred::{Fates, State};
use crate::spool::{Recovery, SpoolError};
use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

/// How often the log is looked at for segments that a waiting message keeps from being reused.
const SWEEP: Duration = Duration::from_secs(10);
/// Segments of the log in use before messages have to leave it.
const MAX_SEGMENTS: usize = 8;
/// After a restart the deferred messages are looked at within this time, spread, in milliseconds.
const SPREAD: i64 = 5000;
/// Where the disk is short: the least part of what comes free that messages may take outside the log, as a divisor.
const WORTH: u64 = 4;
/// Messages that cannot leave the log, before the others are not tried either.
const MOST_STUCK: usize = 10;
/// Messages whose failed reads are counted.
const MAX_TROUBLED: usize = 10_000;

impl Inner {
    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the last run knew of recipients, where no state says so.
    pub(super) fn fates(&self) -> MutexGuard<'_, HashMap<MessageId, Fates>> {
        self.fates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers when a deferred message is due.
    pub(super) fn plan(&self, id: MessageId, state: &State) {
        let due = state.planned();
        // Where the clock was set forward, others may be due as well, and nobody has seen it yet.
        if self.index().insert(due, id) || due <= now() {
            self.bell.notify_one();
        }
    }
}

/// Starts the tasks that take up recovered and deferred messages.
pub(super) fn start(inner: &Arc<Inner>, recovery: Recovery) {
    {
        let mut fates = inner.fates();
        recovery.settled.into_iter().for_each(|(id, settled)| fates.entry(id).or_default().settled = settled);
        recovery.words.into_iter().for_each(|(id, words)| fates.entry(id).or_default().words = words);
    }
    // Some may be delivered before it is known again whom they told of.
    let log = recovery.log.iter().map(|found| found.id);
    let there = log.chain(recovery.deferred.iter().copied()).filter(|id| id.is_of_notice());
    let mut made: Vec<MessageId> = recovery.sent_notices.into_iter().chain(there).collect();
    made.sort_unstable();
    let _first = inner.made_before.set(made);
    let start = now();
    {
        let mut index = inner.index();
        let total = recovery.deferred.len().max(1);
        for (n, id) in recovery.deferred.into_iter().enumerate() {
            // When each is due stands in its state, which is read then.
            let share = i64::try_from(n * usize::try_from(SPREAD).unwrap_or(0) / total).unwrap_or(0);
            index.insert(start + share, id);
        }
    }
    inner.recall(recovery.log);
    let its = Arc::clone(inner);
    tokio::spawn(async move { its.take_up().await });
    let its = Arc::clone(inner);
    tokio::spawn(async move { run(&its).await });
    let its = Arc::clone(inner);
    tokio::spawn(async move { sweep(&its).await });
    let its = Arc::clone(inner);
    tokio::spawn(async move { its.watch_ages().await });
}

/// Moves messages out of the oldest segments while the log is long: one that waits for a slow hop, or
/// is in its hands, would keep a segment's space for as long. The attempt goes on meanwhile.
async fn sweep(inner: &Arc<Inner>) {
    while !inner.draining() {
        tokio::select! {
            () = tokio::time::sleep(SWEEP) => {}
            () = inner.stop() => return,
        }
        let lanes: Vec<_> =
            inner.lanes.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        // Some that were called may have gone another way: others are to have their room.
        for lane in lanes {
            inner.refill(&lane);
            inner.vacate(&lane);
        }
        inner.tidy_crowd();
        inner.shorten().await;
        inner.spool.reclaim();
    }
}

impl Inner {
    /// Has messages leave the log where it is long, or where the disk is short and a few of them keep much of it.
    pub(super) async fn shorten(self: &Arc<Self>) {
        while !self.draining() {
            let long = self.spool.span() > MAX_SEGMENTS;
            if !long && !self.spool.is_short() {
                return;
            }
            let most = if long { u64::MAX } else { self.spool.pinned() / WORTH };
            if self.unpin(most).await == 0 {
                return;
            }
        }
    }

    /// Moves what pins the oldest segment to the deferred store, where that takes so many bytes at most; says how many
    /// messages.
    pub(super) async fn unpin(self: &Arc<Self>, most: u64) -> usize {
        let pinning = self.spool.pinning();
        let waiting = self.index().lying(&pinning);
        let pinned: Vec<Arc<Entry>> = {
            let active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
            let pins = |e: &&Arc<Entry>| matches!(e.place(), Place::Log(at) if pinning(at));
            active.values().filter(pins).cloned().collect()
        };
        let at = |entry: &Arc<Entry>| match entry.place() {
            Place::Log(position) => Some(position),
            Place::Moving(_) | Place::Deferred => None,
        };
        let all = waiting.iter().map(|(_, position)| *position).chain(pinned.iter().filter_map(at));
        if all.fold(0, |sum: u64, position| sum.saturating_add(position.as_file())) > most {
            return 0;
        }
        // One that cannot be read keeps no others here; where the disk is full it is the same for all.
        let (mut moved, mut stuck) = (0, 0);
        for (id, _) in waiting {
            if stuck >= MOST_STUCK {
                return 0;
            }
            match self.store_waiting(id, 0).await {
                Ok(()) => moved += 1,
                Err(error) => {
                    tracing::warn!(%id, %error, "a message cannot leave the log yet");
                    stuck += 1;
                }
            }
        }
        for entry in pinned {
            if stuck >= MOST_STUCK {
                return 0;
            }
            match self.relocate(&entry).await {
                Ok(left) => moved += usize::from(left),
                Err(error) => {
                    tracing::warn!(id = %entry.id, %error, "a message cannot leave the log yet");
                    stuck += 1;
                }
            }
        }
        moved
    }

    /// Copies a message under way to the deferred store and lets the log forget it. False: it leaves the log by itself.
    async fn relocate(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<bool, SpoolError> {
        if !entry.join() {
            return Ok(false);
        }
        let moved = self.relocate_open(entry).await;
        self.part_done(Arc::clone(entry));
        moved
    }

    /// The same for a part of its attempt. What an admin wants of it goes along.
    pub(super) async fn relocate_open(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<bool, SpoolError> {
        let start = |place| match place {
            Place::Log(position) => Some(Place::Moving(position)),
            _ => None,
        };
        let Place::Log(position) = entry.move_from(start) else { return Ok(false) };
        // Read from here on: who wishes something later finds it on the move.
        let wish = entry.wish();
        let known = entry.progress().results.fates();
        let mut state = State { due: now(), ..entry.state.clone() };
        state.add(&known.settled, &known.words);
        let id = entry.id;
        let state = move |record: &Record| {
            wish.put_into(&mut state, record);
            state
        };
        let copied = self.copy_to_store(id, position, state).await;
        entry.move_from(|_| Some(if copied.is_ok() { Place::Deferred } else { Place::Log(position) }));
        copied?;
        // Who was served meanwhile stands in the log alone, which its frame keeps no longer. What was kept for notes before is
        // kept until the state is written after them.
        let (more, kept) = {
            let progress = entry.progress();
            (progress.results.fates() != known, progress.kept.is_some())
        };
        if more {
            holders::keep_log(entry, self.spool.keep_log_of(position));
        }
        if more || kept {
            self.save_later(entry);
        }
        self.spool.release(position);
        Ok(true)
    }
}

async fn run(inner: &Arc<Inner>) {
    // How often in a row messages could not be read.
    let mut troubled: HashMap<MessageId, u32> = HashMap::new();
    while !inner.draining() && !inner.spool.failed() {
        let (id, wait) = {
            let (now, farthest) = (now(), inner.longest_wait().max(FARTHEST));
            let mut index = inner.index();
            let early = index.bring_forward(now.saturating_add(farthest), now);
            if early > 0 {
                tracing::warn!(
                    messages = early,
                    "the clock was set back: mail that would wait too long for it is due now"
                );
            }
            match index.first() {
                Some((due, id)) if due <= now => {
                    // It stays in the list until it is under way.
                    index.insert(TAKING, id);
                    (Some(id), 0)
                }
                Some((due, _)) => (None, due.saturating_sub(now)),
                None => (None, i64::MAX),
            }
        };
        let Some(id) = id else {
            let wait = Duration::from_millis(u64::try_from(wait.clamp(1, 3_600_000)).unwrap_or(1));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = inner.bell.notified() => {}
                () = inner.stop() => {}
            }
            continue;
        };
        let permit = tokio::select! {
            permit = Arc::clone(&inner.turns).acquire_owned() => permit,
            () = inner.stop() => return,
        };
        let Ok(permit) = permit else { return };
        let its = Arc::clone(inner);
        let read = tokio::task::spawn_blocking(move || take(&its, id)).await;
        let read = read.map_err(|e| SpoolError::Unreadable(e.to_string())).flatten();
        if let Err(SpoolError::Unreadable(reason)) = &read {
            if troubled.len() >= MAX_TROUBLED {
                troubled.clear();
            }
            let tries = troubled.entry(id).or_default();
            *tries += 1;
            tracing::warn!(%id, reason, "a deferred message cannot be read now; it is tried again");
            inner.index().give_back(id, now() + inner.wait(*tries));
            inner.came(id);
            continue;
        }
        troubled.remove(&id);
        // What was kept for it is there now.
        let called = inner.crowd.came(id);
        match read {
            Ok(Some((record, _, state)))
                if !inner.is_out_of_time(&record, &state) && inner.parks(&record, &state) => {}
            Ok(Some((record, size, state))) => {
                let late = inner.is_out_of_time(&record, &state);
                let reason = (late && inner.has_no_place(&record, &state)).then(waits);
                let (place, permit) = (Place::Deferred, Some(permit));
                let start = Start { place, state, again: true, waited: false, size, permit };
                let record = Arc::new(record);
                let entry = Entry::new(inner, &record, start);
                inner.schedule_or_put_off(entry, &record, reason.as_ref());
            }
            Ok(None) => {}
            Err(error) => {
                if inner.index().finish_taking(id) {
                    inner.set_aside_later(id, error);
                }
            }
        }
        if called {
            inner.call_crowd();
        }
    }
}

/// Reads a deferred message that is due. None: its state says that it is not.
fn take(inner: &Inner, id: MessageId) -> Result<Option<(Record, usize, State)>, SpoolError> {
    let store = inner.spool.deferred();
    let mut state = store.state(id)?;
    // What no retry can be that far ahead of was written while the clock was wrong.
    let early = state.due.saturating_sub(now());
    {
        let mut index = inner.index();
        if state.held || (early > 0 && early <= inner.longest_wait() && !index.is_hurried(id)) {
            index.give_back(id, state.planned());
            return Ok(None);
        }
    }
    let (head, size) = store.load_head(id)?;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let record = if size <= LARGE { store.load(id)? } else { head };
    if let Some(before) = inner.fates().get(&id) {
        state.add(&before.settled, &before.words);
    }
    Ok(Some((record, size, state)))
}
