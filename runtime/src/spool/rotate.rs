//! Goes from one segment of the log to the next: gives old ones back, reuses them, makes new ones ahead of need.

use super::SpoolError;
use super::frame::SegmentHeader;
use super::segment::{self, FIRST};
use super::shared::{Shared, locked};
use crate::files::is_full;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Free segments that are kept where the disk is short: what the log goes on in.
const SPARE_WHEN_SHORT: usize = 1;
/// Between two tries to save the counters, or what is owed to the deferred store, where no frame asks for room, in milliseconds.
pub(super) const SAVE_AGAIN: u64 = 2000;

/// Segments that the log can go on in, or give back to the disk: free ones, and the oldest that hold nothing needed.
/// Those stay as they are while the counters cannot be saved.
pub(super) fn reusable(shared: &Shared) -> usize {
    let held_up = is_held_up(shared);
    let log = shared.log();
    let released = if held_up { 0 } else { log.released().0 };
    released + log.free.len()
}

/// Whether the counters could not be saved when they were to be.
pub(super) fn is_held_up(shared: &Shared) -> bool {
    shared.unsaved_at.load(Ordering::Relaxed) != u64::MAX
}

/// Free segments that are kept for the log now.
fn spare(shared: &Shared) -> usize {
    if shared.short() { shared.options.spare.min(SPARE_WHEN_SHORT) } else { shared.options.spare }
}

/// Whether more segments can be reused than are kept: each time the log moves on, it leaves one behind.
pub(super) fn has_surplus(shared: &Shared) -> bool {
    reusable(shared) > spare(shared) + 1
}

/// Gives segments back to the disk that nothing needs, without a frame that asks for room. The log goes on in
/// one of them, whose header says that the others are not part of it any more: only then they may go.
pub(super) fn reclaim(shared: &Arc<Shared>) {
    let unsaved = shared.unsaved_at.load(Ordering::Relaxed);
    let waits = unsaved != u64::MAX && shared.now().saturating_sub(unsaved) < SAVE_AGAIN;
    if shared.check().is_err() || waits || !(has_surplus(shared) || is_held_up(shared) || shared.is_owed()) {
        return;
    }
    retire(shared);
    if shared.log().free.len() <= spare(shared) + 1 {
        return;
    }
    match switch(shared) {
        Ok(()) => tracing::info!(segments = reusable(shared), "segments of the spool's log were given back"),
        Err(error) => tracing::warn!(%error, "segments of the spool's log cannot be given back yet"),
    }
}

/// At a start: has the log go on in another segment where there is one, also one that nothing needs any more. A place that
/// cannot be synced reads as sound, and would be met again at each start where it could not be marked. What cannot be given
/// back now, since the disk has no room for the counters, is no other: notes of what becomes of mail go where they can.
pub(super) fn begin_elsewhere(shared: &Shared) {
    if shared.log().free.is_empty() {
        retire(shared);
    }
    let mut log = shared.log();
    if !log.free.is_empty() {
        log.offset = shared.options.segment;
    }
}

/// Takes the oldest segments that hold nothing needed out of the log.
fn retire(shared: &Shared) {
    shared.keep_owed();
    let (count, seq) = {
        let log = shared.log();
        (log.released().0, log.next_seq.saturating_sub(1))
    };
    if count == 0 {
        return;
    }
    if let Err(error) = shared.ledger.checkpoint(seq) {
        if shared.unsaved_at.swap(shared.now(), Ordering::Relaxed) == u64::MAX {
            tracing::warn!(%error, "the usage counters could not be saved; the log grows instead");
            // What was thought to be room is none.
            shared.look_again();
        }
        return;
    }
    if shared.unsaved_at.swap(u64::MAX, Ordering::Relaxed) != u64::MAX {
        tracing::info!("the usage counters are saved again");
    }
    let mut log = shared.log();
    let gone: Vec<_> = log.live.drain(..count).map(|s| (s.number, s.whole, s.rotten)).collect();
    for (number, whole, rotten) in gone {
        // One that was cut short, or has a bad place, is not what writes can count on.
        match (rotten, whole) {
            (true, _) => log.rotten.push(number),
            (false, true) => log.free.push(number),
            (false, false) => log.broken.push(number),
        }
    }
}

/// Goes on in another segment: gives back the oldest ones that hold nothing needed, takes a free one or
/// makes one.
pub(super) fn switch(shared: &Arc<Shared>) -> Result<(), SpoolError> {
    retire(shared);
    let mut number = shared.log().free.pop();
    if number.is_none() {
        // A file may just be in the making.
        let _making = locked(&shared.making);
        number = shared.log().free.pop();
        if number.is_none() {
            number = Some(make(shared)?);
        }
    }
    let Some(number) = number else { return Err(SpoolError::Full) };
    // Nothing changes before it is open: it may be had later, when a descriptor is free.
    let file = match segment::open(&*shared.disk, &shared.log_folder, number) {
        Ok(file) => file,
        Err(error) => {
            tracing::warn!(%error, "cannot open another segment of the spool's log");
            let mut log = shared.log();
            log.free.push(number);
            return Err(SpoolError::Slow);
        }
    };
    let nonce = segment::nonce().map_err(|e| shared.fail("random number", &e))?;
    let header = {
        let mut log = shared.log();
        let generation = log.next_generation;
        log.next_generation += 1;
        let tail = log.live.front().map_or(generation, segment::Segment::generation);
        SegmentHeader { generation, nonce, tail, first: log.next_seq }
    };
    let begun = match segment::begin(file, number, shared.options.segment, header) {
        Ok(begun) => begun,
        Err(error) => {
            let failed = shared.fail("new segment", &error);
            shared.mark_unfit(number);
            return Err(failed);
        }
    };
    let mut log = shared.log();
    log.live.push_back(begun);
    log.offset = FIRST;
    // The header says where the log begins now, durably: what stood before is nothing's any more.
    let mut gone = std::mem::take(&mut log.broken);
    let kept = log.free.len().min(spare(shared));
    gone.extend(log.free.drain(kept..));
    let rotten = std::mem::take(&mut log.rotten);
    let prepare = log.free.is_empty() && log.released().0 == 0;
    drop(log);
    remove(shared, &gone);
    for number in rotten {
        match segment::set_aside(&*shared.disk, &shared.log_folder, number) {
            Ok(kept) => {
                tracing::error!(file = %kept.display(), "a segment that cannot be read everywhere is kept for people")
            }
            Err(error) => {
                tracing::error!(%error, "a segment that cannot be read everywhere cannot be set aside")
            }
        }
    }
    if prepare {
        prepare_one(shared);
    }
    Ok(())
}

/// Sees to it that there is a free segment behind the one being written.
pub(super) fn have_spare(shared: &Arc<Shared>) -> Result<(), SpoolError> {
    if shared.log().free.is_empty() {
        retire(shared);
    }
    // A file may just be in the making.
    let _making = locked(&shared.making);
    if !shared.log().free.is_empty() {
        return Ok(());
    }
    let number = make(shared)?;
    shared.log().free.push(number);
    Ok(())
}

fn remove(shared: &Shared, numbers: &[u32]) {
    for number in numbers {
        if let Err(error) = shared.disk.remove(&segment::path(&shared.log_folder, *number)) {
            tracing::warn!(%error, "cannot remove a segment that is not needed");
        } else if let Err(error) = segment::unmark(&*shared.disk, &shared.log_folder, *number) {
            tracing::warn!(number, %error, "what was said of a segment that is gone cannot be removed");
        }
    }
}

fn make(shared: &Shared) -> Result<u32, SpoolError> {
    // Half of one would fill the disk for a moment, for whoever else writes there, and each note that waits asks for one. It is
    // looked at anew each time; where it cannot be told, it is tried.
    let size = u64::from(shared.options.segment);
    if shared.disk.space(&shared.folder).is_ok_and(|space| space.bytes < size) {
        return Err(SpoolError::Full);
    }
    let number = {
        let mut log = shared.log();
        log.next_number += 1;
        log.next_number - 1
    };
    match segment::create(&*shared.disk, &shared.log_folder, number, shared.options.segment) {
        Ok(()) => Ok(number),
        Err(error) => {
            tracing::warn!(%error, "cannot make another segment for the spool's log");
            // What was there before is as it was: no reason to stop for good.
            Err(if is_full(&error) { SpoolError::Full } else { SpoolError::Slow })
        }
    }
}

/// Makes a free segment beside the log's thread, so that it need not wait for one later.
pub(super) fn prepare_one(shared: &Arc<Shared>) {
    let keeper = Arc::clone(shared);
    let shared = Arc::clone(shared);
    let made = std::thread::Builder::new().name("spool-make".to_owned()).spawn(move || {
        let _making = locked(&shared.making);
        let room = shared.disk.space(&shared.folder);
        let wanted = shared.log().free.is_empty()
            && room.is_ok_and(|s| s.bytes > shared.options.reserve + u64::from(shared.options.segment));
        if wanted && let Ok(number) = make(&shared) {
            shared.log().free.push(number);
        }
    });
    match made {
        Ok(thread) => {
            let mut makers = locked(&keeper.makers);
            makers.retain(|thread| !thread.is_finished());
            makers.push(thread);
        }
        Err(error) => tracing::warn!(%error, "no thread to make a segment; the log makes it itself"),
    }
}
