//! Finds again what is in the log: at open, before anything is written.
//!
//! Reads the live segments in order of generation and judges each frame by itself: a bad payload is
//! stepped over, behind a bad header the next sound one is looked for, and what follows the last sound
//! frame is a torn tail and is left. What the disk does not give is damage like any other: reading goes on behind it, and
//! the segment's file is never written again. Sequence numbers have no gaps: what is missing is told, and a segment
//! with damage is copied to `….bad` for people before it is used again.
//!
//! New frames go into a new segment, so that nothing old can join them; where there is none to begin
//! ([`begin_elsewhere`](super::rotate::begin_elsewhere)), behind the last frame, if nothing in its segment looks like a frame behind
//! that, and none of its writes or syncs ever failed.
//!
//! A frame that was never acknowledged but is whole counts: to drop it could be to lose one that was. After a kill it may never
//! have been synced, nor what was done to the folders of the deferred store: all of that is synced before anything rests on it. One whose message is in
//! the deferred store as well is told, so that the log hears of it before that file goes, since alone it would count again, and
//! so that it stays until that file has its name for good. A file of a message that the log says is done was left behind, and
//! goes. What the log knows of messages in folders that cannot be read is kept for a start that can.

mod found;
mod window;

pub(super) use found::decode_message;

use super::deferred::{Deferred, Hidden, Words};
use super::disk::{Disk, Mode};
use super::doubles::Double;
use super::segment::{self, Log, Segment};
use super::{Ledger, Options, Position, SpoolError, folder_error};
use crate::envelope::MessageId;
use found::{Found, Seen};
use rustix::io::Errno;
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A message that still stands in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovered {
    /// Its name.
    pub id: MessageId,
    /// Where it stands.
    pub position: Position,
    /// Unix milliseconds of its acceptance.
    pub received: i64,
    /// Recipients (dispatch, place in it) that need nothing more.
    pub settled: Vec<(u16, u16)>,
}

/// What was found at open.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recovery {
    /// Messages in the log, oldest first. Whether an attempt was under way when the last run ended is
    /// not known.
    pub log: Vec<Recovered>,
    /// Messages in the deferred store.
    pub deferred: Vec<MessageId>,
    /// Frames that are damaged or missing, with something sound behind them.
    pub damaged: u64,
    /// What is settled of deferred messages and could not be added to their states, on a full disk for one.
    pub settled: HashMap<MessageId, Vec<(u16, u16)>>,
    /// What is told of recipients of messages in the log, and of others where it could not be added to their states.
    pub words: HashMap<MessageId, Words>,
    /// Notices that need nothing more, as far as the log goes back.
    pub sent_notices: HashSet<MessageId>,
}

/// Whether a disk says that it has lost what a file is, and no more than that: not that somebody may not read it.
fn is_damage(error: &io::Error) -> bool {
    let codes = [Errno::IO, Errno::UCLEAN].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

/// Scans the log. The last part is what it alone knows of deferred messages.
pub(super) fn recover(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    options: Options,
    ledger: &dyn Ledger,
    deferred: &Deferred,
) -> Result<(Log, Recovery, Vec<Double>, Option<Hidden>), SpoolError> {
    let failed = |e: io::Error| folder_error(folder, &e);
    let mut log = Log { next_seq: 1, next_generation: 1, ..Log::default() };
    let mut segments = Vec::new();
    let mut unreadable = Vec::new();
    let mut lost = false;
    // The next start tries again; their numbers are not given again.
    let mut stays = HashSet::new();
    let mut remove = |number| {
        if let Err(error) = disk.remove(&segment::path(folder, number)) {
            tracing::warn!(number, %error, "a segment of the spool's log that is not needed cannot be removed");
            stays.insert(number);
        }
    };
    let names = disk.list(folder).map_err(failed)?;
    let unfit: HashSet<u32> = names.iter().filter_map(|name| segment::number_of_unfit(name)).collect();
    for name in names {
        let Some(number) = segment::number(&name) else {
            if name.ends_with(".new")
                && let Err(error) = disk.remove(&folder.join(&name))
            {
                tracing::warn!(name, %error, "a half-made file of the spool's log cannot be removed");
            }
            continue;
        };
        log.next_number = log.next_number.max(number.saturating_add(1));
        let path = segment::path(folder, number);
        let file = match disk.open(&path, Mode::Write) {
            // It has the name of a segment, and is none.
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                let kept = segment::set_aside(&**disk, folder, number).map_err(failed)?;
                tracing::error!(folder = %kept.display(), "a folder among the segments of the spool's log is set aside");
                continue;
            }
            // Its inode is what the disk does not give.
            Err(error) if is_damage(&error) => {
                unreadable.push((number, error));
                continue;
            }
            file => file.map_err(|e| folder_error(&path, &e))?,
        };
        let whole = file.length().map_err(|e| folder_error(&path, &e))? == u64::from(options.segment)
            && !unfit.contains(&number);
        let header = match segment::header(&*file, options.segment) {
            Ok(header) => header,
            Err(error) => {
                unreadable.push((number, error));
                continue;
            }
        };
        match header {
            Some(header) => segments.push((number, header, whole, file)),
            None if !segment::is_blank(&*file, options.segment).map_err(failed)? => {
                let kept = segment::set_aside(&**disk, folder, number).map_err(failed)?;
                tracing::error!(
                    file = %kept.display(),
                    "a segment of the spool's log lost both its headers: what stands in it is kept for people"
                );
                lost = true;
            }
            // Never begun.
            None if whole => log.free.push(number),
            None => remove(number),
        }
    }
    for (number, error) in unreadable {
        // Where nothing can be read at all it is the disk that is away, and the mail is safe as long as nobody touches it.
        if segments.is_empty() {
            return Err(failed(error));
        }
        let kept = segment::set_aside(&**disk, folder, number).map_err(failed)?;
        tracing::error!(
            file = %kept.display(), %error,
            "a segment of the spool's log cannot be read, not even its headers: what stands in it is kept for people"
        );
        lost = true;
    }
    segments.sort_by_key(|(_, header, ..)| header.generation);
    let tail = segments.iter().map(|(_, header, ..)| header.tail).max().unwrap_or(0);
    let stored = deferred.scan().map_err(|e| SpoolError::Failed(format!("deferred store: {e}")))?;
    // Where the last segment is free of anything old, if it is.
    let mut clean_to = None;
    let mut found = Found::new(stored);
    found.remember(deferred.hidden(), deferred);
    let mut damaged: Vec<(u32, u64)> = Vec::new();
    for (number, header, whole, file) in segments {
        log.next_generation = log.next_generation.max(header.generation + 1);
        log.next_seq = log.next_seq.max(header.first);
        if header.generation < tail {
            if whole {
                log.free.push(number);
            } else {
                remove(number);
            }
            continue;
        }
        // What the one before lacks at its end: a tail that was torn has no numbers.
        let missing = found.next.map_or(0, |next| header.first.saturating_sub(next));
        found.damaged += missing;
        if let Some(before) = log.live.back().filter(|before| missing > 0 && !before.rotten)
            && before.generation() + 1 == header.generation
        {
            damaged.push((before.number, before.generation()));
        }
        // A kill leaves frames that read as if they had been synced. What is begun for their sake must not outlast them.
        let synced = file.sync();
        if let Err(error) = &synced {
            tracing::error!(number, %error, "a segment of the spool's log cannot be synced: a power cut may take what stands at its end");
            if let Err(error) = segment::mark_unfit(&**disk, folder, number) {
                tracing::warn!(number, %error, "that a segment cannot be written is not noted");
            }
        }
        let whole = whole && synced.is_ok();
        let counted = found.damaged;
        // A header that cannot be read is not there.
        let short = file.length().map_err(failed)? != u64::from(options.segment);
        let cut = short && segment::is_cut(&*file).unwrap_or(true);
        let Seen { last, unread, clean } =
            found.segment(&*file, &header, cut, ledger, deferred).map_err(failed)?;
        if let Some(unread) = &unread {
            let path = segment::path(folder, number);
            tracing::error!(
                file = %path.display(), places = unread.places, first = unread.first, error = %unread.error,
                "a segment of the spool's log cannot be read everywhere: the rest is in the queue, its file is kept for people"
            );
            lost = true;
        }
        if cut {
            found.damaged += 1;
            let path = segment::path(folder, number);
            tracing::error!(file = %path.display(), "a segment of the spool's log is cut short: what stood behind is lost");
        }
        // One that cannot be read cannot be copied either.
        if found.damaged > counted && unread.is_none() {
            damaged.push((number, header.generation));
        }
        log.next_seq = log.next_seq.max(last + 1);
        clean_to = clean.filter(|_| whole && unread.is_none());
        let rotten = unread.is_some();
        let file = Arc::from(file);
        log.live.push_back(Segment { number, header, file, whole, rotten, unreleased: 0, last });
    }
    log.next_seq = log.next_seq.max(ledger.covered().saturating_add(1));
    let sound = found.damaged == 0 && !lost && found.next == Some(log.next_seq);
    let (recovery, doubles, unkept) = found.finish(deferred, lost);
    for message in &recovery.log {
        if let Some(segment) = log.find_mut(message.position.generation) {
            segment.unreleased += 1;
        }
    }
    // Where it is full, the first append begins a segment.
    log.offset = clean_to.filter(|_| sound).unwrap_or(options.segment);
    let there = |number: &u32| stays.contains(number) || log.live.iter().any(|s| s.number == *number);
    for number in unfit.into_iter().filter(|number| !there(number)) {
        if let Err(error) = segment::unmark(&**disk, folder, number) {
            tracing::warn!(number, %error, "what was said of a segment of the spool's log that is gone cannot be removed");
        }
    }
    if recovery.damaged > 0 {
        tracing::error!(frames = recovery.damaged, "damaged frames in the spool's log were stepped over");
    }
    damaged.dedup();
    for (number, generation) in damaged {
        segment::keep_copy(&**disk, folder, number, generation);
    }
    Ok((log, recovery, doubles, unkept))
}
