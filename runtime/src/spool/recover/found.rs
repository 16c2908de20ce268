//! What the frames of the log say, one after the other, and what that makes of the messages in it and in the deferred store.

use super::window::{Unread, Window};
use super::{Recovered, Recovery};
use crate::envelope::{MessageId, Record};
use crate::spool::deferred::{ANY, Deferred, Fates, Hidden, Words};
use crate::spool::disk::Handle;
use crate::spool::doubles::Double;
use crate::spool::frame::{self, FRAME_HEADER, Kind, SEGMENT_HEADER, SegmentHeader, u32_at};
use crate::spool::{Ledger, Note, Position, SpoolError, segment};
use std::collections::{HashMap, HashSet};
use std::io;

/// What was found so far.
#[derive(Default)]
pub(super) struct Found {
    messages: HashMap<MessageId, Recovered>,
    external: HashMap<MessageId, Position>,
    /// Large messages that the log told a former start of, and those whose frames may be lost and that got no name.
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
    pub damaged: u64,
    /// The sequence number behind the last sound frame.
    pub next: Option<u64>,
}

/// What a segment turned out to be.
pub(super) struct Seen {
    /// The highest sequence number in it.
    pub last: u64,
    pub unread: Option<Unread>,
    /// Behind its last sound frame, where that ends: nothing there looks like a frame.
    pub clean: Option<u32>,
}

impl Found {
    /// Nothing yet, but for what the deferred store has: under names, and under provisional ones.
    pub fn new(stored: (Vec<MessageId>, Vec<MessageId>)) -> Self {
        Self { stored, ..Self::default() }
    }

    /// Takes what former starts kept of messages in folders that they could not read: it was noted before all that follows.
    pub fn remember(&mut self, hidden: Hidden, deferred: &Deferred) {
        self.taken.extend(hidden.taken);
        let settled = hidden.settled.into_iter().map(|(id, settled)| Note::Settled(id, settled));
        let words = hidden.words.into_iter().map(|(id, words)| Note::Words(id, words));
        for note in settled.chain(words).chain(hidden.done.into_iter().map(Note::Done)) {
            self.note(note, deferred);
        }
    }

    /// Reads one segment.
    pub fn segment(
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
        let mut window = Window::new(file, end);
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
            Note::Known(id, Fates { settled, words }) => {
                self.note(Note::Words(id, words), deferred);
                self.note(Note::Settled(id, settled), deferred);
            }
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
                if deferred.may_hide() {
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

    /// `lost`: a segment is missing. The last part is what is known of messages in the deferred store and could not be kept there.
    pub fn finish(mut self, deferred: &Deferred, lost: bool) -> (Recovery, Vec<Double>, Option<Hidden>) {
        let (mut ids, mut new) = std::mem::take(&mut self.stored);
        let lost = lost || self.taken.contains(&ANY);
        for id in &self.done {
            if let Err(error) = deferred.remove(*id) {
                tracing::error!(%id, %error, "a finished message cannot be removed");
                self.gone.insert(*id);
            }
        }
        for stored in [&mut ids, &mut new] {
            stored.retain(|id| !self.done.contains(id));
        }
        if deferred.may_hide() && (lost || self.damaged > 0) {
            // So it is for those that are seen later.
            self.taken.insert(ANY);
        }
        for id in new {
            // With damage in the log its frame may be what is missing: rather twice than not at all.
            let taken = self.external.contains_key(&id) || self.taken.contains(&id);
            if lost || self.damaged > 0 || taken {
                if let Err(error) = deferred.adopt(id) {
                    // It is found by that as well.
                    tracing::warn!(%id, %error, "a large message keeps its provisional name");
                    // The next start may know nothing else of it.
                    self.taken.insert(id);
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
        // A former start kept it, and the log says it still.
        for settled in self.elsewhere.values_mut() {
            settled.sort_unstable();
            settled.dedup();
        }
        for words in self.words.values_mut() {
            words.sort_unstable();
            words.dedup();
        }
        let mut hidden = self.hidden(&ids, deferred);
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
        let unkept = deferred.keep_hidden(&hidden).err().and_then(|error| {
            let log_grows = hidden != Hidden::default();
            tracing::error!(%error, log_grows, "what became of deferred messages that cannot be read stands in the log alone");
            log_grows.then_some(hidden)
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
        (recovery, doubles, unkept)
    }

    /// What is known of messages that may lie in a folder that cannot be read. `ids` can be; of large ones among them only those
    /// are told whose name a power cut may take away.
    fn hidden(&self, ids: &[MessageId], deferred: &Deferred) -> Hidden {
        let there = |id: &MessageId| ids.binary_search(id).is_ok() || self.messages.contains_key(id);
        let hides = |id: &&MessageId| deferred.may_hide() && !there(id) && !self.gone.contains(*id);
        let unnamed = |id: &&MessageId| ids.binary_search(id).is_ok() && deferred.adopt(**id).is_err();
        let settled = self.elsewhere.iter().filter(|(id, of)| hides(id) && !of.is_empty());
        let words = self.words.iter().filter(|(id, _)| hides(id));
        let taken: HashSet<&MessageId> = self.external.keys().chain(&self.taken).filter(hides).collect();
        let taken = taken.into_iter().chain(self.taken.iter().filter(unnamed));
        Hidden {
            settled: settled.map(|(id, settled)| (*id, settled.clone())).collect(),
            words: words.map(|(id, words)| (*id, words.clone())).collect(),
            done: self.gone.iter().copied().collect(),
            taken: taken.copied().collect(),
        }
    }
}

/// Splits the payload of a message frame.
pub(in crate::spool) fn decode_message(payload: &[u8]) -> Option<Record> {
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
