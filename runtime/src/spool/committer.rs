//! The log's thread: takes all that waits, writes it at once, syncs once, tells the waiters.
//!
//! No delay is added for those who wait; notes that nobody waits for ride along, or go by themselves
//! after [`NOTE_DELAY`].

mod batch;

pub(super) use batch::{Batch, Item, for_notes};

use super::SpoolError;
use super::frame::Kind;
use super::rotate::{self, prepare_one};
use super::shared::{Shared, locked};
use batch::tell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a note waits for company.
const NOTE_DELAY: Duration = Duration::from_millis(10);
/// Notes that are kept while no segment can be had.
const MAX_LATE: usize = 100_000;

/// What waits for the thread.
#[derive(Default)]
pub(super) struct Pending {
    pub items: Vec<Item>,
    pub bytes: usize,
    urgent: bool,
    pub since: Option<Instant>,
    /// The log's thread sleeps until it is woken, rather than for [`NOTE_DELAY`] at most.
    pub asleep: bool,
    /// Segments that nothing needs are to be given back.
    pub reclaim: bool,
    /// The log is to find room for notes.
    pub room: bool,
    stop: bool,
}

impl Shared {
    /// Gives the thread something to write.
    pub fn push(&self, item: Item) -> Result<(), SpoolError> {
        self.check()?;
        let mut pending = locked(&self.pending);
        if pending.stop {
            return Err(SpoolError::Failed("it is closed".to_owned()));
        }
        pending.bytes += item.payload();
        let urgent = item.tell.is_some();
        let wake = std::mem::take(&mut pending.asleep) || (urgent && !pending.urgent);
        pending.urgent |= urgent;
        pending.since.get_or_insert_with(Instant::now);
        pending.items.push(item);
        drop(pending);
        if wake {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Gives the space of a large record back whose frame was never laid out: nobody was promised anything.
    pub fn forget_external(&self, item: &Item) {
        let Some(record) = item.record.as_ref().filter(|_| item.kind == Kind::External) else { return };
        if let Err(error) = self.deferred.forget_new(record.id) {
            tracing::warn!(id = %record.id, %error, "the file of a message that was not taken stays until a restart");
        }
    }
}

/// Ends the log's thread, after what is pending is written.
pub(super) struct Stopper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Stopper {
    fn drop(&mut self) {
        locked(&self.shared.pending).stop = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of that thread was reported by itself.
            let _ = thread.join();
        }
        // They hold the folder's lock too.
        let makers = std::mem::take(&mut *locked(&self.shared.makers));
        for thread in makers {
            let _ = thread.join();
        }
    }
}

/// Starts the thread.
pub(super) fn start(shared: &Arc<Shared>) -> Result<Stopper, SpoolError> {
    let its = Arc::clone(shared);
    let thread = std::thread::Builder::new()
        .name("spool-log".to_owned())
        .spawn(move || run_or_fail(&its))
        .map_err(|e| SpoolError::Failed(e.to_string()))?;
    Ok(Stopper { shared: Arc::clone(shared), thread: Some(thread) })
}

/// A panic is a fault of ours; with no thread, whoever waits for it would wait for ever.
fn run_or_fail(shared: &Arc<Shared>) {
    if catch_unwind(AssertUnwindSafe(|| run(shared))).is_err() {
        shared.fail("the log's thread", &std::io::Error::other("it panicked"));
        let mut pending = locked(&shared.pending);
        pending.stop = true;
        // Their senders go with them.
        pending.items.clear();
    }
}

fn run(shared: &Arc<Shared>) {
    let mut batch = Batch::default();
    // The first record shall not wait for a segment to be made.
    if rotate::reusable(shared) == 0 {
        prepare_one(shared);
    }
    // Notes that nobody waits for and that found no segment: they go with what comes next.
    let mut late: Vec<Item> = Vec::new();
    while let Some(items) = next(shared) {
        if std::mem::take(&mut locked(&shared.pending).room) {
            shared.find_room();
        }
        let mut no_room = false;
        for item in std::mem::take(&mut late).into_iter().chain(items) {
            let is_note = item.kind == Kind::Note;
            let may_wait = is_note && item.tell.is_none() && late.len() < MAX_LATE;
            if let Err(error) = shared.check() {
                shared.forget_external(&item);
                tell(item.tell, Err(error));
            } else if no_room && may_wait {
                late.push(item);
            } else if let Err((item, error)) = batch.add(shared, item) {
                // For a record: what is left is for notes.
                no_room |= is_note && matches!(error, SpoolError::Full | SpoolError::Slow);
                if no_room && may_wait {
                    late.push(item);
                } else {
                    shared.forget_external(&item);
                    tell(item.tell, Err(error));
                }
            }
        }
        batch.flush(shared);
        shared.late.store(!late.is_empty(), Ordering::Relaxed);
        shared.weigh();
        if std::mem::take(&mut locked(&shared.pending).reclaim) {
            rotate::reclaim(shared);
        }
    }
    for item in late {
        if shared.check().is_err() || batch.add(shared, item).is_err() {
            break;
        }
    }
    batch.flush(shared);
}

/// Waits for items. None when the spool is closed and everything is written.
fn next(shared: &Shared) -> Option<Vec<Item>> {
    let mut pending = locked(&shared.pending);
    let (mut waited, mut yielded) = (false, false);
    loop {
        if pending.items.is_empty() && (pending.reclaim || pending.room) {
            return Some(Vec::new());
        }
        if !pending.items.is_empty() && (pending.urgent || pending.stop || waited) {
            if !yielded {
                // Whoever waits for this processor with another record gets the same sync. Where it has
                // nothing else to do, this is no delay at all.
                yielded = true;
                drop(pending);
                std::thread::yield_now();
                pending = locked(&shared.pending);
                continue;
            }
            pending.urgent = false;
            pending.bytes = 0;
            pending.since = None;
            return Some(std::mem::take(&mut pending.items));
        }
        if pending.items.is_empty() && pending.stop {
            return None;
        }
        if pending.items.is_empty() && waited {
            pending.asleep = true;
            pending = shared.wake.wait(pending).unwrap_or_else(PoisonError::into_inner);
            pending.asleep = false;
            waited = false;
        } else {
            // A note that comes now needs no wake-up: it is found when the time is over.
            let result = shared.wake.wait_timeout(pending, NOTE_DELAY);
            let (guard, timeout) = result.unwrap_or_else(PoisonError::into_inner);
            pending = guard;
            waited = timeout.timed_out();
        }
    }
}
