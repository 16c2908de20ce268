//! Finds again what is in the log: at open, before anything is written.
//!
//! Reads the live segments in order of generation and judges each frame by itself: a bad payload is
//! stepped over, behind a bad header the next sound one is looked for, and what follows the last sound
//! frame is a torn tail and is left. What the disk does not give is damage like any other: reading goes on behind it, and
//! the segment's file is never written again. Sequence numbers have no gaps: what is missing is told, and a segment
//! with damage is copied to `….bad` for people before it is used again. New frames go into a new segment, so that nothing old can join them;
//! where there is none to begin, behind the last frame, if nothing in its segment looks like a frame behind that, and none of
//! its writes or syncs ever failed.
//! A frame that was never acknowledged but is whole counts: to drop it could be to lose one that was. One whose message is in
//! the deferred store as well is told, so that the log hears of it before that file goes, since alone it would count again, and so
//! that it stays until that file has its name for good. A file
//! of a message that the log says is done was left behind, and goes. What the log knows of messages in folders that cannot be read
//! is kept for a start that can.

use super::deferred::{Deferred, Hidden, Words};
use super::disk::{Disk, Handle, Mode, read_exact};
use super::frame::{self, FRAME_HEADER, Kind, SEGMENT_HEADER, SegmentHeader, u32_at};
use super::segment::{self, Log, Segment};
use super::{Ledger, Note, Options, Position, SpoolError, folder_error};
use crate::envelope::{MessageId, Record};
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Bytes of a segment that are read at once.
const PIECE: usize = 256 << 10;
/// Bytes that are read at once around a place that cannot be read: a page, as the system reads.
const PAGE: usize = 4 << 10;
/// Pages in a row that cannot be read, before only each sixteenth is tried: each may cost seconds.
const PATIENCE: u32 = 256;

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

/// A message that is in the deferred store, and its frame stands in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Double {
    pub id: MessageId,
    /// The segment of its frame.
    pub generation: u64,
    /// Its frame says that it is there. Else there is no word of its having moved: alone it would be a message.
    pub external: bool,
}

/// Scans the log.
pub(super) fn recover(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    options: Options,
    ledger: &dyn Ledger,
    deferred: &Deferred,
) -> Result<(Log, Recovery, Vec<Double>), SpoolError> {
    let failed = |e: io::Error| folder_error(folder, &e);
    disk.make_dir(folder).map_err(failed)?;
    let mut log = Log { next_seq: 1, next_generation: 1, ..Log::default() };
    let mut segments = Vec::new();
    let mut unreadable = Vec::new();
    let mut lost = false;
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
        let file = match disk.open(&segment::path(folder, number), Mode::Write) {
            // It has the name of a segment, and is none.
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                let kept = segment::set_aside(&**disk, folder, number).map_err(failed)?;
                tracing::error!(folder = %kept.display(), "a folder among the segments of the spool's log is set aside");
                continue;
            }
            file => file.map_err(failed)?,
        };
        let whole = file.length().map_err(failed)? == u64::from(options.segment) && !unfit.contains(&number);
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
            None => disk.remove(&segment::path(folder, number)).map_err(failed)?,
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
            "neither header of a segment of the spool's log can be read: what stands in it is kept for people"
        );
        lost = true;
    }
    segments.sort_by_key(|(_, header, ..)| header.generation);
    let tail = segments.iter().map(|(_, header, ..)| header.tail).max().unwrap_or(0);
    let stored = deferred.scan().map_err(|e| SpoolError::Failed(format!("deferred store: {e}")))?;
    // Where the last segment is free of anything old, if it is.
    let mut clean_to = None;
    let mut found = Found { stored, ..Found::default() };
    found.remember(deferred.hidden(), deferred);
    let mut damaged: Vec<(u32, u64)> = Vec::new();
    for (number, header, whole, file) in segments {
        log.next_generation = log.next_generation.max(header.generation + 1);
        log.next_seq = log.next_seq.max(header.first);
        if header.generation < tail {
            if whole {
                log.free.push(number);
            } else {
                disk.remove(&segment::path(folder, number)).map_err(failed)?;
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
    let (recovery, doubles, kept) = found.finish(deferred, lost);
    if let (false, Some(oldest)) = (kept, log.live.front_mut()) {
        // Not released as long as this process runs: the log grows instead.
        oldest.unreleased += 1;
    }
    for message in &recovery.log {
        if let Some(segment) = log.find_mut(message.position.generation) {
            segment.unreleased += 1;
        }
    }
    // Only where there is no other, also none that nothing needs: a place that cannot be synced reads as sound, and would be
    // met again at each start where it could not be marked.
    let alone = log.free.is_empty() && log.released().0 == 0;
    // Where it is full, the first append begins a segment.
    log.offset = clean_to.filter(|_| sound && alone).unwrap_or(options.segment);
    for number in unfit.into_iter().filter(|number| log.live.iter().all(|s| s.number != *number)) {
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
    Ok((log, recovery, doubles))
}

/// Splits the payload of a message frame.
pub(super) fn decode_message(payload: &[u8]) -> Option<Record> {
    let head_end = 4usize.checked_add(u32_at(payload, 0)? as usize)?;
    let mut record: Record = postcard::from_bytes(payload.get(4..head_end)?).ok()?;
    record.bytes = payload.get(head_end..)?.to_vec();
    Some(record)
}

fn decode_head(kind: Kind, payload: &[u8]) -> Option<Record> {
    let head = match kind {
        Kind::Message => payload.get(4..4usize.checked_add(u32_at(payload, 0)? as usize)?)?,
        _ => payload,
    };
    postcard::from_bytes(head).ok()
}

/// A segment, read piece by piece: a whole one in memory would stay there long after a restart.
struct Window<'a> {
    file: &'a dyn Handle,
    /// Where what may be read ends.
    end: usize,
    /// Where in the segment the piece begins.
    start: usize,
    bytes: Vec<u8>,
    unread: Option<Unread>,
    /// Pages in a row that could not be read.
    row: u32,
}

/// What a segment turned out to be.
struct Seen {
    /// The highest sequence number in it.
    last: u64,
    unread: Option<Unread>,
    /// Behind its last sound frame, where that ends: nothing there looks like a frame.
    clean: Option<u32>,
}

/// Where a segment cannot be read.
struct Unread {
    /// How often it could not.
    places: u64,
    /// The first one.
    first: usize,
    error: io::Error,
}

impl Window<'_> {
    /// So many bytes from a place on; the caller sees to it that they end before the end. None where the disk does not give
    /// them.
    fn get(&mut self, at: usize, length: usize) -> io::Result<Option<&[u8]>> {
        if at < self.start || at + length > self.start + self.bytes.len() {
            let more = length.max(PIECE).min(self.end.saturating_sub(at));
            self.start = at;
            self.bytes = match read_exact(self.file, at as u64, more) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(error),
                Err(error) => self.by_pages(at, more, error),
            };
            if self.bytes.len() < length {
                return Ok(None);
            }
            self.row = 0;
        }
        let from = at - self.start;
        Ok(Some(self.bytes.get(from..from + length).ok_or(io::ErrorKind::UnexpectedEof)?))
    }

    /// What can be read from a place on, as far as the first page that cannot.
    fn by_pages(&mut self, from: usize, length: usize, error: io::Error) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let at = from + bytes.len();
            let page = (PAGE - at % PAGE).min(length - bytes.len());
            match read_exact(self.file, at as u64, page) {
                Ok(mut more) => bytes.append(&mut more),
                Err(_) => {
                    let unread = self.unread.get_or_insert(Unread { places: 0, first: at, error });
                    unread.places += 1;
                    break;
                }
            }
        }
        bytes
    }

    /// Where to read on behind a place that cannot be read.
    fn behind(&mut self, at: usize) -> usize {
        self.row += 1;
        let step = if self.row > PATIENCE { 16 * PAGE } else { PAGE };
        (at / PAGE * PAGE).saturating_add(step)
    }
}

#[derive(Default)]
struct Found {
    messages: HashMap<MessageId, Recovered>,
    external: HashMap<MessageId, Position>,
    /// Large messages that the log told a former start of.
    taken: HashSet<MessageId>,
    /// What was settled of messages that are not in the log: of deferred ones.
    elsewhere: HashMap<MessageId, Vec<(u16, u16)>>,
    /// What is told of recipients, wherever their message is.
    words: HashMap<MessageId, Words>,
    sent_notices: HashSet<MessageId>,
    /// What is in the deferred store, sorted: under its name, and under a provisional one.
    stored: (Vec<MessageId>, Vec<MessageId>),
    /// What is there and needs nothing more.
    done: HashSet<MessageId>,
    /// What needs nothing more and may be there all the same: in a folder that cannot be read, or it cannot be removed.
    gone: HashSet<MessageId>,
    damaged: u64,
    /// The sequence number behind the last sound frame.
    next: Option<u64>,
}

impl Found {
    /// Takes what former starts kept of messages in folders that they could not read: it was noted before all that follows.
    fn remember(&mut self, hidden: Hidden, deferred: &Deferred) {
        self.taken.extend(hidden.taken);
        let settled = hidden.settled.into_iter().map(|(id, settled)| Note::Settled(id, settled));
        let words = hidden.words.into_iter().map(|(id, words)| Note::Words(id, words));
        for note in settled.chain(words).chain(hidden.done.into_iter().map(Note::Done)) {
            self.note(note, deferred);
        }
    }

    /// Reads one segment.
    fn segment(
        &mut self,
        file: &dyn Handle,
        header: &SegmentHeader,
        cut: bool,
        ledger: &dyn Ledger,
        deferred: &Deferred,
    ) -> io::Result<Seen> {
        let length = u32::try_from(file.length()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
        // The copy of the header is gone with what was cut off.
        let end = if cut { length } else { segment::end(length) } as usize;
        let mut window = Window { file, end, start: 0, bytes: Vec::new(), unread: None, row: 0 };
        let mut at = SEGMENT_HEADER;
        // The last number seen, and the one that follows the last sound frame.
        let (mut last, mut next) = (0, header.first);
        let mut clean = Some(at);
        while let Some(room) = end.checked_sub(at + FRAME_HEADER) {
            let Some(head) = window.get(at, FRAME_HEADER)? else {
                at = window.behind(at);
                continue;
            };
            let frame = frame::decode(head, header.nonce);
            clean = clean.filter(|_| frame.is_none());
            // Sequence numbers rise: a copy of a frame inside a message is none.
            let fits = frame
                .filter(|f| room >= f.length as usize && f.seq > last.max(header.first.saturating_sub(1)));
            let Some(frame) = fits else {
                at += 8;
                continue;
            };
            let payload = window.get(at + FRAME_HEADER, frame.length as usize)?;
            if let Some(payload) = payload.filter(|payload| frame::sound(&frame, payload, header.nonce)) {
                self.damaged += frame.seq.saturating_sub(next);
                next = frame.seq + 1;
                let position = Position {
                    seq: frame.seq,
                    generation: header.generation,
                    offset: u32::try_from(at).unwrap_or(u32::MAX),
                    length: frame.length,
                    external: frame.kind == Kind::External,
                };
                self.frame(position, frame.kind, payload, ledger, deferred);
                clean = Some(at + frame::frame_size(frame.length as usize));
            }
            last = last.max(frame.seq);
            at += frame::frame_size(frame.length as usize);
        }
        self.next = Some(next);
        // A torn frame's number is given again; not that of one which may be there, and be read another time.
        let last =
            if window.unread.is_some() { last.max(next.saturating_sub(1)) } else { next.saturating_sub(1) };
        let clean = clean.and_then(|at| u32::try_from(at).ok());
        Ok(Seen { last, unread: window.unread, clean })
    }

    fn note(&mut self, note: Note, deferred: &Deferred) {
        match note {
            Note::Settled(id, mut settled) => {
                if let Some(message) = self.messages.get_mut(&id) {
                    message.settled.append(&mut settled);
                } else {
                    self.elsewhere.entry(id).or_default().append(&mut settled);
                }
            }
            Note::Words(id, mut words) => self.words.entry(id).or_default().append(&mut words),
            Note::Done(id) => {
                self.messages.remove(&id);
                self.words.remove(&id);
                self.elsewhere.remove(&id);
                if id.is_of_notice() {
                    self.sent_notices.insert(id);
                }
                let (ids, new) = &self.stored;
                if ids.binary_search(&id).is_ok() || new.binary_search(&id).is_ok() {
                    self.done.insert(id);
                }
                if deferred.may_hide(id) {
                    self.gone.insert(id);
                }
            }
            Note::Moved(id) => {
                if let Some(mut message) = self.messages.remove(&id) {
                    self.elsewhere.entry(id).or_default().append(&mut message.settled);
                }
            }
        }
    }

    fn frame(
        &mut self,
        position: Position,
        kind: Kind,
        payload: &[u8],
        ledger: &dyn Ledger,
        deferred: &Deferred,
    ) {
        if kind == Kind::Note {
            match postcard::from_bytes(payload) {
                Ok(note) => self.note(note, deferred),
                Err(_) => self.damaged += 1,
            }
            return;
        }
        let Some(record) = decode_head(kind, payload) else {
            self.damaged += 1;
            return;
        };
        if !record.usage.is_empty() {
            ledger.replay(position.seq, &record.usage);
        }
        self.done.remove(&record.id);
        self.gone.remove(&record.id);
        if kind == Kind::External {
            self.external.insert(record.id, position);
        } else {
            let Record { id, received, .. } = record;
            self.messages.insert(id, Recovered { id, position, received, settled: Vec::new() });
        }
    }

    /// `lost`: a segment is missing. The last part says whether what is known of messages that cannot be read is kept.
    fn finish(mut self, deferred: &Deferred, lost: bool) -> (Recovery, Vec<Double>, bool) {
        let (mut ids, mut new) = std::mem::take(&mut self.stored);
        for id in &self.done {
            if let Err(error) = deferred.remove(*id) {
                tracing::error!(%id, %error, "a finished message cannot be removed");
                self.gone.insert(*id);
            }
        }
        for stored in [&mut ids, &mut new] {
            stored.retain(|id| !self.done.contains(id));
        }
        for id in new {
            // With damage in the log its frame may be what is missing: rather twice than not at all.
            let taken = self.external.contains_key(&id) || self.taken.contains(&id);
            if lost || self.damaged > 0 || taken {
                if let Err(error) = deferred.adopt(id) {
                    // It is found by that as well.
                    tracing::warn!(%id, %error, "a large message keeps its provisional name");
                }
                // Whole before its frame is written: half of one was promised to nobody.
                if !taken && matches!(deferred.load(id), Err(SpoolError::Damaged(_))) {
                    tracing::warn!(%id, "half of a large message that was not taken is set aside");
                    if let Err(error) = deferred.set_aside(id) {
                        tracing::warn!(%id, %error, "nor can it be set aside");
                    }
                    continue;
                }
                if let Err(place) = ids.binary_search(&id) {
                    ids.insert(place, id);
                }
            } else if let Err(error) = deferred.forget_new(id) {
                tracing::warn!(%id, %error, "the file of a message that was not taken stays until a restart");
            }
        }
        // Moved, though the note of it was lost: the deferred store knows more, but for what was noted since.
        let moved = self.messages.extract_if(|id, _| ids.binary_search(id).is_ok());
        let large = self.external.iter().filter(|(id, _)| ids.binary_search(id).is_ok());
        let large = large.map(|(id, position)| (*id, position.generation, true));
        let mut doubles: Vec<Double> =
            large.map(|(id, generation, external)| Double { id, generation, external }).collect();
        for (id, message) in moved {
            doubles.push(Double { id, generation: message.position.generation, external: false });
            self.elsewhere.entry(id).or_default().extend(message.settled);
        }
        for id in self.words.keys().filter(|id| ids.binary_search(id).is_ok()) {
            self.elsewhere.entry(*id).or_default();
        }
        let mut hidden = self.hidden(&ids, deferred);
        let any_hidden = hidden != Hidden::default();
        let mut unmerged = HashMap::new();
        for (id, settled) in self.elsewhere.into_iter().filter(|(id, _)| ids.binary_search(id).is_ok()) {
            let words = self.words.get(&id).map(Vec::as_slice).unwrap_or_default();
            match deferred.merge(id, &settled, words) {
                Ok(()) => drop(self.words.remove(&id)),
                Err(error) => {
                    tracing::warn!(%id, %error, "whom a message was delivered to is not in its state yet");
                    hidden.settled.push((id, settled.clone()));
                    hidden.words.extend((!words.is_empty()).then(|| (id, words.to_vec())));
                    unmerged.insert(id, settled);
                }
            }
        }
        let stored = deferred.keep_hidden(&hidden).inspect_err(|error| {
            let log_grows = any_hidden;
            tracing::error!(%error, log_grows, "what became of deferred messages that cannot be read stands in the log alone");
        });
        self.words.retain(|id, _| self.messages.contains_key(id) || unmerged.contains_key(id));
        let mut log: Vec<Recovered> = self.messages.into_values().collect();
        for message in &mut log {
            message.settled.sort_unstable();
            message.settled.dedup();
        }
        log.sort_by_key(|m| m.position);
        let (damaged, words, sent_notices) = (self.damaged, self.words, self.sent_notices);
        let recovery = Recovery { log, deferred: ids, damaged, settled: unmerged, words, sent_notices };
        (recovery, doubles, stored.is_ok() || !any_hidden)
    }

    /// What is known of messages that may lie in a folder that cannot be read. `ids` can be.
    fn hidden(&self, ids: &[MessageId], deferred: &Deferred) -> Hidden {
        let there = |id: &MessageId| ids.binary_search(id).is_ok() || self.messages.contains_key(id);
        let hides = |id: &&MessageId| deferred.may_hide(**id) && !there(id) && !self.gone.contains(*id);
        let settled = self.elsewhere.iter().filter(|(id, of)| hides(id) && !of.is_empty());
        let words = self.words.iter().filter(|(id, _)| hides(id));
        Hidden {
            settled: settled.map(|(id, settled)| (*id, settled.clone())).collect(),
            words: words.map(|(id, words)| (*id, words.clone())).collect(),
            done: self.gone.iter().copied().collect(),
            taken: self.external.keys().chain(&self.taken).filter(hides).copied().collect(),
        }
    }
}
