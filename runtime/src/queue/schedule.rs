//! When deferred messages are due, and the task that takes them up; what a restart finds.

use super::entry::{Entry, LARGE, Place, Start};
use super::{Inner, now};
use crate::envelope::{MessageId, Record};
use crate::spool::deferred::State;
use crate::spool::{Note, Position, Recovered, Recovery, SpoolError};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

/// Recovered messages are taken up while fewer than this are under way.
const MAX_UNDER_WAY: usize = 20_000;
/// How often the log is looked at for segments that a waiting message keeps from being reused.
const SWEEP: Duration = Duration::from_secs(10);
/// Segments of the log in use before messages have to leave it.
const MAX_SEGMENTS: usize = 8;
/// After a restart the deferred messages are looked at within this time, spread, in milliseconds.
const SPREAD: i64 = 5000;
/// Messages whose failed reads are counted.
const MAX_TROUBLED: usize = 10_000;

/// When a message is due that is being read to be taken up: only whoever reads it changes that, or an admin, whose word
/// counts more than what was read.
const TAKING: i64 = i64::MAX - 1;

/// Deferred messages by the time at which they are due, in Unix milliseconds, held ones at the end; and by name.
/// All that is in memory of a message that waits.
#[derive(Debug, Default)]
pub(super) struct Index {
    due: BTreeSet<(i64, MessageId)>,
    names: BTreeMap<MessageId, i64>,
}

impl Index {
    /// Plans a message, anew where it was planned already. True where it is the first that is due.
    pub fn insert(&mut self, due: i64, id: MessageId) -> bool {
        if let Some(old) = self.names.insert(id, due) {
            self.due.remove(&(old, id));
        }
        self.due.insert((due, id));
        self.due.first() == Some(&(due, id))
    }

    /// Takes a message out, and says when it was due.
    pub fn remove(&mut self, id: MessageId) -> Option<i64> {
        let due = self.names.remove(&id)?;
        self.due.remove(&(due, id));
        // Whoever was about to take it up lets it be.
        Some(if due == TAKING { now() } else { due })
    }

    /// Takes out a message that was read to be taken up. False: an admin was here meanwhile, and it is not to be.
    pub fn finish_taking(&mut self, id: MessageId) -> bool {
        self.names.get(&id) == Some(&TAKING) && self.remove(id).is_some()
    }

    /// Plans a message anew that was read to be taken up, unless an admin was here meanwhile.
    pub fn give_back(&mut self, id: MessageId, due: i64) {
        if self.names.get(&id) == Some(&TAKING) {
            self.insert(due, id);
        }
    }

    /// The first message that is due, and when.
    pub fn first(&self) -> Option<(i64, MessageId)> {
        self.due.first().copied()
    }

    /// Makes a message due that waits for a later time; one that is held goes on waiting.
    pub fn wake(&mut self, id: MessageId, now: i64) {
        if self.names.get(&id).is_some_and(|due| (now + 1..TAKING).contains(due)) {
            self.insert(now, id);
        }
    }

    pub fn contains(&self, id: MessageId) -> bool {
        self.names.contains_key(&id)
    }

    /// The messages behind one, in order of their names, with when they are due.
    pub fn behind(&self, after: Option<MessageId>) -> impl Iterator<Item = (MessageId, i64)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.names.range((from, Bound::Unbounded)).map(|(id, due)| (*id, *due))
    }
}

impl Inner {
    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the last run settled of deferred messages, where their states do not say so.
    fn settled(&self) -> MutexGuard<'_, HashMap<MessageId, Vec<(u16, u16)>>> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
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
    *inner.settled() = recovery.settled;
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
    let its = Arc::clone(inner);
    tokio::spawn(async move { take_up_log(&its, recovery.log).await });
    let its = Arc::clone(inner);
    tokio::spawn(async move { run(&its).await });
    let its = Arc::clone(inner);
    tokio::spawn(async move { sweep(&its).await });
}

/// Moves messages out of the oldest segments while the log is long: one that waits for a slow hop, or
/// is in its hands, would keep a segment's space for as long. The attempt goes on meanwhile.
async fn sweep(inner: &Arc<Inner>) {
    while !inner.draining() {
        tokio::select! {
            () = tokio::time::sleep(SWEEP) => {}
            () = inner.stop() => return,
        }
        while inner.spool.span() > MAX_SEGMENTS && !inner.draining() {
            if inner.unpin().await == 0 {
                break;
            }
        }
    }
}

impl Inner {
    /// Moves what pins the oldest segment to the deferred store; says how many messages.
    pub(super) async fn unpin(self: &Arc<Self>) -> usize {
        let pinned: Vec<Arc<Entry>> = {
            let active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
            let pins = |e: &&Arc<Entry>| matches!(e.place(), Place::Log(at) if self.spool.pins(at));
            active.values().filter(pins).cloned().collect()
        };
        let mut moved = 0;
        for entry in pinned {
            match self.relocate(&entry).await {
                Ok(()) => moved += 1,
                Err(error) => {
                    tracing::warn!(id = %entry.id, %error, "a message cannot leave the log yet");
                    return 0;
                }
            }
        }
        moved
    }

    /// Copies a message under way to the deferred store and lets the log forget it.
    async fn relocate(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<(), SpoolError> {
        let start = |place| match place {
            Place::Log(position) => Some(Place::Moving(position)),
            _ => None,
        };
        let Place::Log(position) = entry.move_from(start) else { return Ok(()) };
        // Recipients that are served from now on are noted in the log, which recovery joins to it.
        let state = State { due: now(), ..entry.state.clone() };
        let (spool, id) = (self.spool.clone(), entry.id);
        let copied = tokio::task::spawn_blocking(move || {
            let record = spool.read(position)?;
            spool.deferred().put(&record, &state).map_err(|e| SpoolError::Unreadable(e.to_string()))
        });
        let copied = copied.await.map_err(|e| SpoolError::Unreadable(e.to_string())).flatten();
        let noted = match copied {
            Ok(()) => self.spool.note_durably(&Note::Moved(id)).await,
            Err(error) => Err(error),
        };
        if let Err(error) = noted {
            let back = |place| match place {
                Place::Moving(position) => Some(Place::Log(position)),
                _ => None,
            };
            if entry.move_from(back) == Place::Finished {
                self.spool.note(&Note::Done(id));
                self.spool.release(position);
                self.gone(id);
            }
            return Err(error);
        }
        let arrive = |place| match place {
            Place::Moving(_) => Some(Place::Deferred),
            _ => None,
        };
        let finished = entry.move_from(arrive) == Place::Finished;
        self.spool.release(position);
        if finished {
            self.forget_deferred(id).await;
            self.gone(id);
        }
        Ok(())
    }
}

async fn take_up_log(inner: &Arc<Inner>, log: Vec<Recovered>) {
    for found in log {
        while inner.under_way.load(Ordering::Relaxed) >= MAX_UNDER_WAY {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if inner.draining() {
            return;
        }
        let record = match inner.read_log(found.id, found.position).await {
            Ok(record) => Arc::new(record),
            Err(SpoolError::Unreadable(_)) => return,
            Err(error) => {
                inner.set_aside_log(found.id, found.position, &error);
                continue;
            }
        };
        let size = record.bytes.len();
        let state = State { settled: found.settled, ..State::default() };
        let place = Place::Log(found.position);
        let start = Start { place, state, again: true, size, permit: None };
        let entry = Entry::new(inner, &record, start);
        inner.schedule(entry, &record);
    }
}

impl Inner {
    /// Reads a message in the log, again until the disk lets it. [`SpoolError::Unreadable`] only when the queue drains.
    async fn read_log(&self, id: MessageId, position: Position) -> Result<Record, SpoolError> {
        let mut tries = 0;
        loop {
            let spool = self.spool.clone();
            let read = tokio::task::spawn_blocking(move || spool.read(position)).await;
            match read.map_err(|e| SpoolError::Unreadable(e.to_string())).flatten() {
                Err(error @ SpoolError::Unreadable(_)) => {
                    tries += 1;
                    self.read_again(id, &error, tries).await?;
                }
                other => return other,
            }
        }
    }
}

async fn run(inner: &Arc<Inner>) {
    // How often in a row messages could not be read.
    let mut troubled: HashMap<MessageId, u32> = HashMap::new();
    while !inner.draining() && !inner.spool.failed() {
        let (id, wait) = {
            let mut index = inner.index();
            match index.first() {
                Some((due, id)) if due <= now() => {
                    // It stays in the list until it is under way.
                    index.insert(TAKING, id);
                    (Some(id), 0)
                }
                Some((due, _)) => (None, due.saturating_sub(now())),
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
            continue;
        }
        troubled.remove(&id);
        match read {
            Ok(Some((record, size, state))) => {
                if inner.parks(&record, &state) {
                    continue;
                }
                let start = Start { place: Place::Deferred, state, again: true, size, permit: Some(permit) };
                let record = Arc::new(record);
                let entry = Entry::new(inner, &record, start);
                inner.schedule(entry, &record);
            }
            Ok(None) => {}
            Err(error) => {
                if inner.index().finish_taking(id) {
                    inner.set_aside_later(id, error);
                }
            }
        }
    }
}

/// Reads a deferred message that is due. None: its state says that it is not.
fn take(inner: &Inner, id: MessageId) -> Result<Option<(Record, usize, State)>, SpoolError> {
    let store = inner.spool.deferred();
    let mut state = store.state(id)?;
    if state.held || state.due > now() {
        inner.index().give_back(id, state.planned());
        return Ok(None);
    }
    let (head, size) = store.load_head(id)?;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let record = if size <= LARGE { store.load(id)? } else { head };
    if let Some(before) = inner.settled().get(&id) {
        state.settled.extend_from_slice(before);
        state.settled.sort_unstable();
        state.settled.dedup();
    }
    Ok(Some((record, size, state)))
}
