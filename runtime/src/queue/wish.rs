//! What an admin wants of a message that is under way: its attempt heeds it, and a kill does not undo it.
//!
//! Such a message goes to the deferred store, whose state says what is wanted, before the admin is told; its attempt goes on
//! meanwhile. One that is to be thrown away is one whose recipients need nothing more.

use super::admin::{Done, QueueError};
use super::entry::{Entry, Place};
use super::{Inner, Queue, now};
use crate::deliver::Reason;
use crate::envelope::{MessageId, Record};
use crate::spool::SpoolError;
use crate::spool::deferred::State;
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// How long an admin waits for the end of an attempt that takes no wishes any more.
const END_WAIT: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });
/// How often is looked whether it came.
const LOOK: Duration = Duration::from_millis(5);

/// What an admin wants of a message that is under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Wish {
    /// Nothing out of the ordinary.
    #[default]
    None,
    /// What is left of it is to be kept.
    Hold,
    /// What is held of it is to go.
    Release,
    /// What is left of it is to be thrown away.
    Remove,
}

/// Why it is not tried.
pub(super) fn stopped() -> Reason {
    Reason::new((4, 3, 0), "stopped by the postmaster")
}

impl Wish {
    /// What it makes of what is left after the attempt.
    pub fn becomes(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Hold => Some("held"),
            Self::Release => Some("released"),
            Self::Remove => Some("removed"),
        }
    }

    /// Has a state say it.
    pub fn put_into(self, state: &mut State, record: &Record) {
        match self {
            Self::None => return,
            Self::Hold => {
                state.held = true;
                return;
            }
            Self::Release => state.release(now()),
            Self::Remove => {
                let each = (0u16..).zip(&record.dispatches);
                let all =
                    each.flat_map(|(place, of)| (0u16..).zip(&of.recipients).map(move |(t, _)| (place, t)));
                (state.settled, state.held) = (all.collect(), false);
            }
        }
        state.due = now();
    }
}

impl Inner {
    /// Sees to it that a message that waits is in the deferred store and nobody takes it up, and says when it was due. An error
    /// inside: it is under way, and takes the wish along.
    pub(super) async fn take_planned(
        self: &Arc<Self>,
        id: MessageId,
        wish: Wish,
    ) -> Result<Result<i64, Done>, QueueError> {
        let end = Instant::now() + END_WAIT;
        let mut ending = false;
        loop {
            let entry = match self.find(id) {
                // What was left of it is as the wish would have it: nothing is.
                Err(QueueError::Unknown(_)) if ending && wish != Wish::Hold => {
                    self.spool.flush().await.map_err(|e| QueueError::Disk(e.to_string()))?;
                    return Ok(Err(Done::Now));
                }
                found => found?,
            };
            let Some(entry) = entry else {
                self.store_for_admin(id).await.map_err(|e| QueueError::Disk(e.to_string()))?;
                // It may have been taken up in between: it is among those under way then.
                let due = self.index().reserve(id);
                if let Some(due) = due {
                    return Ok(Ok(due));
                }
                continue;
            };
            if wish == Wish::None {
                return match entry.wish() {
                    Wish::None | Wish::Release => {
                        entry.hurry();
                        Ok(Err(Done::AtEnd))
                    }
                    Wish::Hold => Err(QueueError::Held(id)),
                    Wish::Remove => Err(QueueError::Removed(id)),
                };
            }
            if let Some(done) = self.wish(&entry, wish).await? {
                return Ok(Err(done));
            }
            ending = true;
            if Instant::now() >= end || self.draining() {
                return Err(QueueError::Ending(id));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Has the attempt of a message heed a wish, which is durable on return. None: it is at its end, where it may heed it; it
    /// is in nobody's way for long.
    async fn wish(self: &Arc<Self>, entry: &Arc<Entry>, wish: Wish) -> Result<Option<Done>, QueueError> {
        // The admin at the desk alone sets it.
        if entry.wish() == Wish::Remove && wish != Wish::Remove {
            return Err(QueueError::Removed(entry.id));
        }
        if !entry.join() {
            entry.set_wish(wish);
            return Ok(None);
        }
        let before = entry.set_wish(wish);
        let written = self.write_wish(entry, wish).await;
        match written {
            Ok(()) if matches!(wish, Wish::Hold | Wish::Remove) => self.withdraw(entry),
            Ok(()) => {}
            Err(_) => drop(entry.set_wish(before)),
        }
        let done = if entry.progress().outstanding > 1 { Done::AtEnd } else { Done::Now };
        self.part_done(Arc::clone(entry));
        written.map_err(|e| QueueError::Disk(e.to_string()))?;
        tracing::info!(id = %entry.id, ?wish, "wanted of a message under way");
        Ok(Some(done))
    }

    /// What of a message waits for its turn at a hop is not tried any more.
    fn withdraw(self: &Arc<Self>, entry: &Arc<Entry>) {
        let lanes: Vec<_> =
            self.lanes.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for lane in lanes {
            let jobs = lane.withdraw(entry);
            if !jobs.is_empty() {
                jobs.into_iter().for_each(|job| self.defer_job(job, &stopped()));
                self.refill(&lane);
            }
        }
    }

    async fn write_wish(self: &Arc<Self>, entry: &Arc<Entry>, wish: Wish) -> Result<(), SpoolError> {
        loop {
            if self.relocate_open(entry).await? {
                return Ok(());
            }
            // Whoever moved it may not have seen the wish.
            if entry.settled_place().await == Place::Deferred {
                break;
            }
        }
        let (spool, id) = (self.spool.clone(), entry.id);
        let known = entry.progress().results.fates();
        let write = move || -> Result<(), SpoolError> {
            let store = spool.deferred();
            let record = store.load_head(id)?.0;
            let written = store.change(id, |state| {
                state.add(&known.settled, &known.words);
                wish.put_into(state, &record);
            });
            written.map(drop).map_err(|e| SpoolError::Unreadable(e.to_string()))
        };
        let written = tokio::task::spawn_blocking(write).await;
        written.map_err(|e| SpoolError::Unreadable(io::Error::other(e).to_string()))?
    }

    /// Does to a deferred message what came too late for the end of its attempt.
    pub(super) async fn fulfil(self: &Arc<Self>, id: MessageId, wish: Wish) {
        let queue = Queue { inner: Arc::clone(self) };
        let done = match wish {
            Wish::None => Ok(Done::Now),
            Wish::Hold => queue.hold(id).await,
            Wish::Release => queue.release(id).await,
            Wish::Remove => queue.remove(id).await,
        };
        match done {
            // Whoever waits for it at the desk was first.
            Ok(_) | Err(QueueError::Unknown(_)) => {}
            Err(error) => {
                tracing::warn!(%id, ?wish, %error, "what was wanted of a message cannot be done to it")
            }
        }
    }
}
