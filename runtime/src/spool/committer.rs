//! The log's thread: takes all that waits, writes it at once, syncs once, tells the waiters.
//!
//! No delay is added for those who wait; notes that nobody waits for ride along, or go by themselves
//! after [`NOTE_DELAY`]. A failed write or sync is final: the call is never made again.

mod space;

use super::deferred::Deferred;
use super::disk::{Disk, read_exact};
use super::frame::{self, FRAME_HEADER, Kind};
use super::recover::Double;
use super::rotate::{self, have_spare, prepare_one, switch};
use super::segment::{self, Log};
use super::{Ledger, Note, Options, Position, SpoolError, read_error};
use crate::envelope::{MessageId, Record};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};

/// How long a note waits for company.
const NOTE_DELAY: Duration = Duration::from_millis(10);
/// Bytes that may wait for the log's thread before the spool is slow.
const MAX_WAITING: usize = 64 << 20;
/// How long what waits may wait before the spool is slow.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// Notes that are kept while no segment can be had.
const MAX_LATE: usize = 100_000;
/// The commit buffer's size is given back above this.
const KEEP_BUFFER: usize = 4 << 20;

type Told = Result<Position, SpoolError>;

/// Something to be written.
pub(super) struct Item {
    kind: Kind,
    head: Vec<u8>,
    record: Option<Arc<Record>>,
    tell: Option<oneshot::Sender<Told>>,
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

#[derive(Default)]
struct Pending {
    items: Vec<Item>,
    bytes: usize,
    urgent: bool,
    since: Option<Instant>,
    /// The log's thread sleeps until it is woken, rather than for [`NOTE_DELAY`] at most.
    asleep: bool,
    /// Segments that nothing needs are to be given back.
    reclaim: bool,
    /// The log is to find room for notes.
    room: bool,
    stop: bool,
}

/// What the spool's handles and its thread share.
pub(super) struct Shared {
    pub disk: Arc<dyn Disk>,
    pub folder: PathBuf,
    pub log_folder: PathBuf,
    pub options: Options,
    pub ledger: Arc<dyn Ledger>,
    pub deferred: Deferred,
    log: Mutex<Log>,
    /// Held while a segment's file is made.
    pub making: Mutex<()>,
    /// The threads that make them.
    pub makers: Mutex<Vec<JoinHandle<()>>>,
    /// Messages in the deferred store whose frames a restart would take for messages of the log, had they no file.
    doubles: Mutex<HashSet<MessageId>>,
    /// Messages that stand in the deferred store under a name that a power cut may take away, and the segments of their frames.
    unnamed: Mutex<HashMap<MessageId, u64>>,
    /// There is room in the log for notes of what is under way.
    can_note: AtomicBool,
    /// Notes wait for room.
    late: AtomicBool,
    /// It was said that there is no room.
    told: AtomicBool,
    /// When it was last looked for.
    room_at: AtomicU64,
    pending: Mutex<Pending>,
    wake: Condvar,
    failed: OnceLock<String>,
    /// Rung when it failed.
    fell: Notify,
    begun: Instant,
    space_at: AtomicU64,
    space_full: AtomicBool,
    space_short: AtomicBool,
    /// When the counters could not be saved, in milliseconds since it began: what is released stays until they are.
    pub unsaved_at: AtomicU64,
    _lock: Option<File>,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub fn new(
        disk: Arc<dyn Disk>,
        folder: PathBuf,
        options: Options,
        ledger: Arc<dyn Ledger>,
        deferred: Deferred,
        log: Log,
        lock: Option<File>,
    ) -> Arc<Self> {
        let log_folder = folder.join("log");
        Arc::new(Self {
            disk,
            folder,
            log_folder,
            options,
            ledger,
            deferred,
            log: Mutex::new(log),
            making: Mutex::default(),
            makers: Mutex::default(),
            doubles: Mutex::default(),
            unnamed: Mutex::default(),
            can_note: AtomicBool::new(false),
            late: AtomicBool::new(false),
            told: AtomicBool::new(false),
            room_at: AtomicU64::new(u64::MAX),
            pending: Mutex::default(),
            wake: Condvar::new(),
            failed: OnceLock::new(),
            fell: Notify::new(),
            begun: Instant::now(),
            space_at: AtomicU64::new(u64::MAX),
            space_full: AtomicBool::new(false),
            space_short: AtomicBool::new(false),
            unsaved_at: AtomicU64::new(u64::MAX),
            _lock: lock,
        })
    }

    pub fn log(&self) -> MutexGuard<'_, Log> {
        locked(&self.log)
    }

    /// The largest frame that goes into the log.
    pub fn largest(&self) -> usize {
        self.options.segment as usize / 4
    }

    pub fn check(&self) -> Result<(), SpoolError> {
        self.reason().map_or(Ok(()), |reason| Err(SpoolError::Failed(reason.clone())))
    }

    /// What failed, if anything did.
    pub fn reason(&self) -> Option<&String> {
        self.failed.get()
    }

    /// Resolves once something failed.
    pub async fn failure(&self) -> String {
        loop {
            let mut fell = pin!(self.fell.notified());
            // Heard from now on: it may fail between the two next lines.
            fell.as_mut().enable();
            if let Some(reason) = self.reason() {
                return reason.clone();
            }
            fell.await;
        }
    }

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

    /// Whether the log has a frame of a deferred message and no word of its having moved.
    pub fn is_double(&self, id: MessageId) -> bool {
        locked(&self.doubles).contains(&id)
    }

    /// Now it has.
    pub fn is_noted(&self, id: MessageId) {
        locked(&self.doubles).remove(&id);
    }

    /// Has a segment kept for the frame of a message whose name in the deferred store may not outlast a power cut.
    fn pin(&self, double: &Double) {
        if let Some(segment) = self.log().find_mut(double.generation) {
            segment.unreleased += 1;
            locked(&self.unnamed).insert(double.id, double.generation);
        }
    }

    /// Tries again to have such names outlast it.
    pub fn keep_names(&self) {
        locked(&self.unnamed).retain(|id, generation| match self.deferred.adopt(*id) {
            Ok(()) => {
                self.log().release(*generation);
                false
            }
            Err(error) => {
                tracing::warn!(%id, %error, "the folder of a deferred message cannot be synced; its segment of the log stays");
                true
            }
        });
    }

    pub fn read(&self, position: Position) -> Result<Record, SpoolError> {
        let damaged = |why: &str| SpoolError::Damaged(why.to_owned());
        let (file, nonce) = {
            let log = self.log();
            let segment = log.find(position.generation).ok_or(SpoolError::Gone)?;
            (Arc::clone(&segment.file), segment.header.nonce)
        };
        let bytes = read_exact(&*file, u64::from(position.offset), FRAME_HEADER + position.length as usize)
            .map_err(|e| {
            let error = read_error(&e);
            if let (SpoolError::Unreadable(_), Some(segment)) =
                (&error, self.log().find_mut(position.generation))
            {
                segment.rotten = true;
            }
            error
        })?;
        let header = frame::decode(&bytes, nonce).ok_or_else(|| damaged("bad frame"))?;
        let payload = bytes.get(FRAME_HEADER..).unwrap_or_default();
        if header.seq != position.seq || !frame::sound(&header, payload, nonce) {
            return Err(damaged("checksum"));
        }
        match header.kind {
            Kind::Message => super::recover::decode_message(payload).ok_or_else(|| damaged("bad head")),
            Kind::External => {
                let head: Record = postcard::from_bytes(payload).map_err(|_| damaged("bad head"))?;
                self.deferred.load(head.id)
            }
            Kind::Note => Err(damaged("no message")),
        }
    }

    /// Keeps a copy of the segment that a damaged record stands in.
    pub fn keep_damaged(&self, position: Position) {
        // One that cannot be read cannot be copied: it is set aside itself.
        let number = self.log().find(position.generation).filter(|s| !s.rotten).map(|segment| segment.number);
        if let Some(number) = number {
            segment::keep_copy(&*self.disk, &self.log_folder, number, position.generation);
        }
    }

    /// Has no start write into a segment again of which a write or sync failed.
    pub(super) fn mark_unfit(&self, number: u32) {
        match segment::mark_unfit(&*self.disk, &self.log_folder, number) {
            Ok(()) => tracing::warn!(number, "nothing is written any more into a segment of the spool's log"),
            // The next start goes on in another one all the same, if there is one.
            Err(error) => tracing::warn!(number, %error, "that a segment cannot be written is not noted"),
        }
    }

    pub(super) fn fail(&self, what: &str, error: &io::Error) -> SpoolError {
        let reason = format!("{what}: {error}");
        if self.failed.set(reason.clone()).is_ok() {
            tracing::error!(reason, "the spool stopped; nothing is accepted until a restart");
            self.fell.notify_waiters();
        }
        SpoolError::Failed(reason)
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

/// The end of a segment that is kept for notes where there is no other to go on in: 20,000 of them and more.
pub(super) fn for_notes(segment: u32) -> usize {
    segment as usize / 32
}

/// Writes, before the thread runs, that these messages are in the deferred store. Where there is no room for that, or
/// nobody knows whether the disk has their names there, it is remembered.
pub(super) fn note_doubles(shared: &Arc<Shared>, doubles: &[Double]) {
    // First of all: a note may need another segment, and that the one of a frame.
    for double in doubles {
        // A kill may have come between the name and its sync: without that, a power cut would leave neither.
        if let Err(error) = shared.deferred.adopt(double.id) {
            tracing::warn!(id = %double.id, %error, "the folder of a deferred message cannot be synced");
            shared.pin(double);
        }
    }
    let mut batch = Batch::default();
    let mut room = true;
    for Double { id, .. } in doubles.iter().filter(|double| !double.external) {
        let named = !locked(&shared.unnamed).contains_key(id);
        if room
            && named
            && let Err((_, error)) = batch.add(shared, Item::note(&Note::Moved(*id), None))
        {
            tracing::warn!(%error, "that messages are in the deferred store cannot be noted in the log yet");
            room = false;
        }
        if !(room && named) {
            locked(&shared.doubles).insert(*id);
        }
    }
    batch.flush(shared);
}

/// Starts the thread.
pub(super) fn start(shared: &Arc<Shared>) -> Result<Stopper, SpoolError> {
    let its = Arc::clone(shared);
    let thread = std::thread::Builder::new()
        .name("spool-log".to_owned())
        .spawn(move || run(&its))
        .map_err(|e| SpoolError::Failed(e.to_string()))?;
    Ok(Stopper { shared: Arc::clone(shared), thread: Some(thread) })
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

fn tell(to: Option<oneshot::Sender<Told>>, what: Told) {
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

/// Frames that are laid out and not yet written.
#[derive(Default)]
struct Batch {
    buffer: Vec<u8>,
    laid: Vec<(Item, Position)>,
}

impl Batch {
    fn add(&mut self, shared: &Arc<Shared>, item: Item) -> Result<(), (Item, SpoolError)> {
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
    fn flush(&mut self, shared: &Shared) {
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
