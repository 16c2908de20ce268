//! What is to be written, laid out as frames; one write and one sync for all of it, and then those who wait are told.
//!
//! Where the segment is full it goes on in another one. A failed write or sync is final: the call is never made again, and
//! nothing goes into that segment at a later start.

use crate::envelope::Record;
use crate::spool::frame::{self, Kind};
use crate::spool::rotate::{have_spare, switch};
use crate::spool::shared::Shared;
use crate::spool::{Note, Position, SpoolError, segment};
use std::sync::Arc;
use tokio::sync::oneshot;

/// The commit buffer's size is given back above this.
const KEEP_BUFFER: usize = 4 << 20;

type Told = Result<Position, SpoolError>;

/// Something to be written.
pub(in crate::spool) struct Item {
    pub kind: Kind,
    head: Vec<u8>,
    pub record: Option<Arc<Record>>,
    pub tell: Option<oneshot::Sender<Told>>,
}

impl Item {
    pub fn record(record: Arc<Record>, head: Vec<u8>, external: bool, tell: oneshot::Sender<Told>) -> Self {
        let kind = if external { Kind::External } else { Kind::Message };
        Self { kind, head, record: Some(record), tell: Some(tell) }
    }

    pub fn note(note: &Note, tell: Option<oneshot::Sender<Told>>) -> Self {
        // Writing into a vector cannot fail; an empty note is stepped over by recovery.
        let head = postcard::to_allocvec(note).unwrap_or_default();
        Self { kind: Kind::Note, head, record: None, tell }
    }

    /// Bytes of its frame's payload.
    pub fn payload(&self) -> usize {
        match (&self.record, self.kind) {
            (Some(record), Kind::Message) => 4 + self.head.len() + record.bytes.len(),
            _ => self.head.len(),
        }
    }
}

/// The end of a segment that is kept for notes where there is no other to go on in: 20,000 of them and more.
pub(in crate::spool) fn for_notes(segment: u32) -> usize {
    segment as usize / 32
}

/// Tells whoever waits for it.
pub(super) fn tell(to: Option<oneshot::Sender<Told>>, what: Told) {
    if let Some(to) = to {
        // Nobody is left to hear it when the caller gave up.
        let _ = to.send(what);
    }
}

/// What a failure says of frames of which some or all may be on the disk.
fn unsure(error: SpoolError) -> SpoolError {
    match error {
        SpoolError::Failed(reason) => SpoolError::Unsure(reason),
        other => other,
    }
}

/// Frames that are laid out and not yet written.
#[derive(Default)]
pub(in crate::spool) struct Batch {
    buffer: Vec<u8>,
    laid: Vec<(Item, Position)>,
}

impl Batch {
    /// Lays an item out behind the others; where there is no room for it, those are written first.
    pub fn add(&mut self, shared: &Arc<Shared>, item: Item) -> Result<(), (Item, SpoolError)> {
        let payload = item.payload();
        let size = frame::frame_size(payload);
        let Ok(length) = u32::try_from(payload) else { return Err((item, SpoolError::TooLarge)) };
        if size > shared.largest() {
            return Err((item, SpoolError::TooLarge));
        }
        let (full, tight) = {
            let log = shared.log();
            let left = (segment::end(shared.options.segment) as usize)
                .checked_sub(log.offset as usize + self.buffer.len() + size)
                .filter(|_| !log.live.is_empty());
            let tight = left.is_some_and(|left| left < for_notes(shared.options.segment));
            (left.is_none(), tight && item.record.is_some() && log.free.is_empty())
        };
        if full || tight {
            self.flush(shared);
            let found = shared.check().and_then(|()| if full { switch(shared) } else { have_spare(shared) });
            if let Err(error) = found {
                return Err((item, error));
            }
        }
        let mut log = shared.log();
        let seq = log.next_seq;
        log.next_seq += 1;
        let Some(current) = log.live.back() else {
            return Err((item, SpoolError::Failed("the log has no segment".to_owned())));
        };
        let position = Position {
            seq,
            generation: current.generation(),
            // Below the segment's size.
            offset: log.offset + u32::try_from(self.buffer.len()).unwrap_or(u32::MAX),
            length,
            external: item.kind == Kind::External,
        };
        let nonce = current.header.nonce;
        drop(log);
        match (&item.record, item.kind) {
            (Some(record), Kind::Message) => {
                let head = u32::try_from(item.head.len()).unwrap_or(u32::MAX).to_le_bytes();
                frame::encode(&mut self.buffer, nonce, seq, item.kind, &[&head, &item.head, &record.bytes]);
            }
            _ => frame::encode(&mut self.buffer, nonce, seq, item.kind, &[&item.head]),
        }
        self.laid.push((item, position));
        Ok(())
    }

    /// Writes and syncs what is laid out, and tells those who wait.
    pub fn flush(&mut self, shared: &Shared) {
        if self.laid.is_empty() {
            return;
        }
        let target = {
            let log = shared.log();
            log.live.back().map(|s| (Arc::clone(&s.file), u64::from(log.offset), s.number))
        };
        let result = match &target {
            None => Err(SpoolError::Failed("the log has no segment".to_owned())),
            Some((file, offset, _)) => file
                .write_at(&self.buffer, *offset)
                .map_err(|e| shared.fail("write", &e))
                .and_then(|()| file.sync().map_err(|e| shared.fail("sync", &e)))
                .map_err(unsure),
        };
        if result.is_ok() {
            let mut log = shared.log();
            log.offset += u32::try_from(self.buffer.len()).unwrap_or(u32::MAX);
            let records = self.laid.iter().filter(|(item, _)| item.record.is_some()).count();
            if let Some(current) = log.live.back_mut() {
                current.unreleased += records as u64;
                current.last = self.laid.last().map_or(current.last, |(_, p)| p.seq);
            }
        }
        // Before anybody hears of it, and begins something.
        shared.weigh();
        self.buffer.clear();
        self.buffer.shrink_to(KEEP_BUFFER);
        for (item, position) in self.laid.drain(..) {
            match &result {
                Ok(()) => {
                    if let Some(record) = item.record.as_ref().filter(|r| !r.usage.is_empty()) {
                        shared.ledger.committed(position.seq, &record.usage);
                    }
                    tell(item.tell, Ok(position));
                }
                Err(error) => tell(item.tell, Err(error.clone())),
            }
        }
        // Nobody waits for that.
        if let (Err(_), Some((.., number))) = (result, target) {
            shared.mark_unfit(number);
        }
    }
}
