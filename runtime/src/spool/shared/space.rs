//! Room on the disk: whether a record can be taken, and what is given back where there is little.

use super::{Shared, locked};
use crate::spool::committer::for_notes;
use crate::spool::{SpoolError, rotate, segment};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Bytes that may wait for the log's thread before the spool is slow.
const MAX_WAITING: usize = 64 << 20;
/// How long what waits may wait before the spool is slow.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// How long an answer on free space is used, in milliseconds.
const SPACE_AGE: u64 = 250;
/// How long room for notes is not looked for again, in milliseconds.
const ROOM_AGE: u64 = if cfg!(test) { 20 } else { 1000 };

impl Shared {
    pub fn ready(&self) -> Result<(), SpoolError> {
        self.check()?;
        {
            let pending = locked(&self.pending);
            let waits = pending.since.is_some_and(|since| since.elapsed() > MAX_WAIT);
            if pending.bytes > MAX_WAITING || waits {
                return Err(SpoolError::Slow);
            }
        }
        self.measure();
        if self.space_full.load(Ordering::Relaxed) { Err(SpoolError::Full) } else { Ok(()) }
    }

    /// Looks how much is left on the disk, where nobody did a moment ago.
    pub fn measure(&self) {
        let now = self.now();
        let at = self.space_at.load(Ordering::Relaxed);
        if at == u64::MAX || now.saturating_sub(at) >= SPACE_AGE {
            self.space_at.store(now, Ordering::Relaxed);
            let full = match self.disk.space(&self.folder) {
                Ok(space) => {
                    self.space_short.store(space.bytes < self.options.reserve, Ordering::Relaxed);
                    self.reclaim();
                    // What the log goes on in takes no more of the disk.
                    let ours = (rotate::reusable(self) as u64).saturating_mul(self.options.segment.into());
                    space.bytes.saturating_add(ours) < self.options.reserve || space.files < 1000
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot tell how much space is left under the spool");
                    true
                }
            };
            if self.space_full.swap(full, Ordering::Relaxed) != full {
                let keep_mib = self.options.reserve >> 20;
                match full {
                    true => tracing::warn!(
                        keep_mib,
                        "mail is put off with 452: less than is to stay free is left on the disk of the spool"
                    ),
                    false => tracing::info!("the disk of the spool has room: mail is taken again"),
                }
            }
        }
    }

    /// Milliseconds since it began.
    pub fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(0)
    }

    /// Has the next who asks look again.
    pub fn look_again(&self) {
        self.space_at.store(u64::MAX, Ordering::Relaxed);
    }

    /// Whether the log has room for the notes of what is begun now. Where it has none it is asked to find some.
    pub fn can_note(&self) -> bool {
        if self.can_note.load(Ordering::Acquire) {
            return true;
        }
        let now = self.now();
        let at = self.room_at.load(Ordering::Relaxed);
        if at != u64::MAX && now.saturating_sub(at) < ROOM_AGE {
            return false;
        }
        self.room_at.store(now, Ordering::Relaxed);
        let mut pending = locked(&self.pending);
        pending.room = true;
        pending.asleep = false;
        drop(pending);
        self.wake.notify_one();
        false
    }

    /// Finds out whether there is such room: half of what is kept for notes may be used by what is under way already.
    pub fn weigh(&self) {
        let room = {
            let log = self.log();
            let left = segment::end(self.options.segment).saturating_sub(log.offset) as usize;
            !log.free.is_empty() || (!log.live.is_empty() && left >= for_notes(self.options.segment) / 2)
        };
        let can_note = room && !self.late.load(Ordering::Relaxed);
        self.can_note.store(can_note, Ordering::Release);
        if can_note && self.told.swap(false, Ordering::Relaxed) {
            tracing::info!("the spool's log has room again: mail is delivered");
        }
    }

    /// Sees to it that there is another segment to go on in.
    pub fn find_room(self: &Arc<Self>) {
        if self.can_note.load(Ordering::Acquire) {
            return;
        }
        if let Err(error) = self.check().and_then(|()| rotate::have_spare(self))
            && !self.told.swap(true, Ordering::Relaxed)
        {
            tracing::error!(%error, "no mail is delivered: the spool's log has no room to note what becomes of it");
        }
    }

    /// Whether less was left on the disk than is to stay free when somebody looked.
    pub fn short(&self) -> bool {
        self.space_short.load(Ordering::Relaxed)
    }

    /// Has segments given back that nothing needs, where there are more than are kept, or where they could not be given back,
    /// for what is owed to the deferred store as well.
    pub fn reclaim(&self) {
        if !rotate::has_surplus(self) && !rotate::is_held_up(self) && !self.is_owed() {
            return;
        }
        let mut pending = locked(&self.pending);
        pending.reclaim = true;
        pending.asleep = false;
        drop(pending);
        self.wake.notify_one();
    }
}
