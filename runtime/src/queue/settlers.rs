//! Turns of attempts that are recorded: each has its message in memory.
//!
//! Whoever finds no room on the disk, for a notice or for the message itself, gives his turn back and lets go of the message
//! while he waits, so that mail which needs no room is done with, and makes some. Of those that wait, few try again at a time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// How many attempts are recorded at a time.
pub(super) const MOST: usize = 64;
/// How many of those that found no room try again at a time, and how long each of them waits before that.
const MOST_AGAIN: usize = 8;
pub(super) const DISK_WAIT: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 5000 });

/// All turns.
pub(super) struct Settlers {
    turns: Semaphore,
    again: Semaphore,
    /// Whoever tried last found no room.
    in_vain: AtomicBool,
    /// How many wait for room.
    waiting: AtomicUsize,
}

impl Default for Settlers {
    fn default() -> Self {
        Self {
            turns: Semaphore::new(MOST),
            again: Semaphore::new(MOST_AGAIN),
            in_vain: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
        }
    }
}

/// The tries of one attempt to be recorded, the last of which finds room.
pub(super) struct Tries<'a> {
    settlers: &'a Settlers,
    begun: bool,
    waits: Option<Waits<'a>>,
    again: Option<SemaphorePermit<'a>>,
}

/// Whoever waits for room on the disk, for as long as this is there.
pub(super) struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Settlers {
    pub fn tries(&self) -> Tries<'_> {
        Tries { settlers: self, begun: false, waits: None, again: None }
    }

    /// Counts somebody among those that wait for room.
    pub fn waits(&self) -> Waits<'_> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Waits(&self.waiting)
    }

    /// How many wait for room.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// How many turns nobody has.
    #[cfg(test)]
    pub fn free(&self) -> usize {
        self.turns.available_permits()
    }
}

impl<'a> Tries<'a> {
    /// A turn. Whoever asks for another one found no room in the one before, which is over: he waits for some first.
    pub async fn turn(&mut self) -> SemaphorePermit<'a> {
        if std::mem::replace(&mut self.begun, true) {
            self.settlers.in_vain.store(true, Ordering::Relaxed);
            self.waits.get_or_insert_with(|| self.settlers.waits());
            // To the end of the line: one that never finds room keeps none from the others.
            drop(self.again.take());
            self.again = Some(get(&self.settlers.again).await);
            if self.settlers.in_vain.load(Ordering::Relaxed) {
                tokio::time::sleep(DISK_WAIT).await;
            }
        }
        get(&self.settlers.turns).await
    }
}

impl Drop for Tries<'_> {
    fn drop(&mut self) {
        if self.again.is_some() {
            // The others need not wait for long.
            self.settlers.in_vain.store(false, Ordering::Relaxed);
        }
    }
}

async fn get(turns: &Semaphore) -> SemaphorePermit<'_> {
    match turns.acquire().await {
        Ok(turn) => turn,
        // Nobody closes them.
        Err(_) => std::future::pending().await,
    }
}
