//! Goes from one segment of the log to the next: gives old ones back, reuses them, makes new ones ahead of need.

use super::SpoolError;
use super::committer::{Shared, locked};
use super::frame::SegmentHeader;
use super::segment::{self, FIRST};
use std::io;
use std::sync::Arc;

/// Goes on in another segment: gives back the oldest ones that hold nothing needed, takes a free one or
/// makes one.
pub(super) fn switch(shared: &Arc<Shared>) -> Result<(), SpoolError> {
    let (mut count, seq) = {
        let log = shared.log();
        (log.released().0, log.next_seq.saturating_sub(1))
    };
    if count > 0
        && let Err(error) = shared.ledger.checkpoint(seq)
    {
        tracing::warn!(%error, "the usage counters could not be saved; the log grows instead");
        count = 0;
    }
    let (mut surplus, mut broken) = (Vec::new(), Vec::new());
    let mut number = {
        let mut log = shared.log();
        let gone: Vec<(u32, bool)> = log.live.drain(..count).map(|s| (s.number, s.whole)).collect();
        for (number, whole) in gone {
            // One that was cut short is not what writes can count on.
            if whole { log.free.push(number) } else { broken.push(number) }
        }
        let number = log.free.pop();
        while log.free.len() > shared.options.spare {
            surplus.extend(log.free.pop());
        }
        number
    };
    remove(shared, &broken);
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
            log.free.extend(surplus);
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
    let begun = segment::begin(file, number, shared.options.segment, header)
        .map_err(|e| shared.fail("new segment", &e))?;
    let mut log = shared.log();
    log.live.push_back(begun);
    log.offset = FIRST;
    let prepare = log.free.is_empty();
    drop(log);
    remove(shared, &surplus);
    if prepare {
        prepare_one(shared);
    }
    Ok(())
}

fn remove(shared: &Shared, numbers: &[u32]) {
    for number in numbers {
        if let Err(error) = shared.disk.remove(&segment::path(&shared.log_folder, *number)) {
            tracing::warn!(%error, "cannot remove a segment that is not needed");
        }
    }
}

fn make(shared: &Shared) -> Result<u32, SpoolError> {
    let number = {
        let mut log = shared.log();
        log.next_number += 1;
        log.next_number - 1
    };
    match segment::create(&*shared.disk, &shared.log_folder, number, shared.options.segment) {
        Ok(()) => Ok(number),
        Err(error) => {
            tracing::warn!(%error, "cannot make another segment for the spool's log");
            let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
            // What was there before is as it was: no reason to stop for good.
            Err(if full { SpoolError::Full } else { SpoolError::Slow })
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
