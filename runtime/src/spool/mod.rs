//! The spool: what was accepted, on disk before the 250, until it is delivered.
//!
//! A log of preallocated, recycled segments takes every record; one thread syncs once for all that
//! wait ([`committer`]). After its first failed attempt a message moves to the [`deferred`] store, a file per
//! message, so that none pins a segment. Segments are given back oldest first. What is in the log is
//! found again by [`recover`], which cuts a torn tail and steps over bad records.
//!
//! Where to look: [`frame`] for the bytes, [`segment`] for files and accounts of segments, [`rotate`] for the way from one to the next,
//! [`shared`] for what handles and thread both know, room on the disk among it, [`doubles`] for what is in log and store at once,
//! [`kept`] for who needs the log's notes.
//!
//! Must not know: routes, SMTP, what a delivery is. Limits: one process per data folder (held by a
//! lock); after a failed sync or write nothing is accepted until a restart, since what the disk holds
//! then is not known.

mod committer;
pub mod deferred;
pub mod disk;
mod doubles;
mod frame;
mod kept;
mod recover;
mod rotate;
mod segment;
mod shared;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use sim::SimDisk as TestDisk;
#[cfg(test)]
pub(crate) use tests::{leave_no_room, record as test_record};

pub use kept::KeptLog;
pub use recover::{Recovered, Recovery};

use crate::envelope::{MessageId, Record, Usage};
use crate::files::is_full;
use deferred::{Deferred, Fates, Words};
use disk::{Disk, RealDisk};
use serde::{Deserialize, Serialize};
use shared::Shared;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Why the spool did not take or give a record.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SpoolError {
    /// The disk is full or nearly: 452 4.3.1.
    #[error("the disk under the spool is full")]
    Full,
    /// The disk does not keep up: 451 4.3.0.
    #[error("the disk under the spool does not keep up")]
    Slow,
    /// A write or sync failed; nothing is taken until a restart: 451 4.3.0.
    #[error("the spool stopped: {0}")]
    Failed(String),
    /// The write or sync that failed was that of this record: it may be on the disk all the same, and count at the next
    /// start. Nobody may be told anything of it.
    #[error("the spool stopped: {0}; whether the record is on the disk is not known")]
    Unsure(String),
    /// The record can never be stored.
    #[error("the record is too large for the spool")]
    TooLarge,
    /// The system did not let it be read: it may be there and whole, and is read again later.
    #[error("a spooled message cannot be read: {0}")]
    Unreadable(String),
    /// What stands there is not what was written.
    #[error("a spooled message is damaged: {0}")]
    Damaged(String),
    /// It is not there any more.
    #[error("a spooled message is gone")]
    Gone,
    /// Another process holds the folder.
    #[error("{0} is in use by another process")]
    Locked(PathBuf),
    /// The folder cannot be used.
    #[error("{path}: {reason}")]
    Folder {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

/// Keeps counters (quotas) that live in memory and in a snapshot of its own.
///
/// The log is the truth between two snapshots. Calls come from one thread at a time, in order of `seq`.
pub trait Ledger: Send + Sync {
    /// The highest `seq` that the ledger's snapshot covers; sequence numbers go on above it.
    fn covered(&self) -> u64 {
        0
    }
    /// At open, for each record that survives in the log: its usage counts where `seq` is above what
    /// the snapshot covers.
    fn replay(&self, seq: u64, usage: &[Usage]);
    /// While serving, for each record with usage, once it is durable and before its append resolves.
    fn committed(&self, seq: u64, usage: &[Usage]) {
        let _ = (seq, usage);
    }
    /// Before segments are recycled: make durable whatever records up to and including `seq` added.
    /// May block; the log waits. At this call exactly the records up to `seq` were [`committed`](Self::committed),
    /// or more were replayed.
    ///
    /// # Errors
    /// The segments stay then, and the call comes again.
    fn checkpoint(&self, seq: u64) -> io::Result<()>;
}

/// A ledger that keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLedger;

impl Ledger for NoLedger {
    fn replay(&self, _seq: u64, _usage: &[Usage]) {}
    fn checkpoint(&self, _seq: u64) -> io::Result<()> {
        Ok(())
    }
}

/// Sizes of the spool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Bytes of a segment, at least 64 KiB. Records over a quarter of it go to files of their own.
    pub segment: u32,
    /// Bytes that stay free on the disk: with less left, nothing is accepted.
    pub reserve: u64,
    /// Free segments that are kept for reuse.
    pub spare: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment: 32 << 20, reserve: 128 << 20, spare: 4 }
    }
}

/// Where a record stands in the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Position {
    /// Sequence number of its frame.
    pub seq: u64,
    generation: u64,
    offset: u32,
    length: u32,
    /// The bytes stand in a file of the deferred store.
    pub external: bool,
}

impl Position {
    /// Bytes that the record takes on the disk as a file of its own with a state, at most.
    #[must_use]
    pub fn as_file(&self) -> u64 {
        const BLOCK: u64 = 4096;
        u64::from(self.length).next_multiple_of(BLOCK) + 2 * BLOCK
    }
}

/// Something that happened to a message in the log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Note {
    /// These recipients (dispatch, place in it) need nothing more.
    Settled(MessageId, Vec<(u16, u16)>),
    /// The message needs nothing more.
    Done(MessageId),
    /// The message is in the deferred store from now on.
    Moved(MessageId),
    /// What is told of its recipients. Older versions wrote it before that they are settled.
    Words(MessageId, Words),
    /// Both in one, so that a torn write takes both or none: who has it, and what his author is to hear of that.
    Known(MessageId, Fates),
}

/// A handle on the spool; cheap to clone. The log's thread ends with the last one.
#[derive(Clone)]
pub struct Spool {
    shared: Arc<Shared>,
    _stopper: Arc<committer::Stopper>,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool").field("folder", &self.shared.folder).finish_non_exhaustive()
    }
}

impl Spool {
    /// Opens the spool in a data folder: takes its lock, recovers what is there, replays usage into the
    /// ledger and starts the log's thread. Blocks.
    ///
    /// # Errors
    /// [`SpoolError::Locked`] when another process has it; else what the disk said.
    pub fn open(
        data: &Path,
        options: Options,
        ledger: Arc<dyn Ledger>,
    ) -> Result<(Self, Recovery), SpoolError> {
        let disk = RealDisk;
        disk.make_dir(data).map_err(|e| folder_error(data, &e))?;
        let lock = lock(&data.join("lock"))?;
        Self::open_on(Arc::new(disk), data, options, ledger, Some(lock))
    }

    /// [`Spool::open`] on any disk.
    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        data: &Path,
        options: Options,
        ledger: Arc<dyn Ledger>,
        lock: Option<File>,
    ) -> Result<(Self, Recovery), SpoolError> {
        let folder = data.join("spool");
        let options = Options { segment: options.segment.max(64 << 10) & !7, ..options };
        let (log, store) = (folder.join("log"), folder.join("deferred"));
        disk::make_dirs_durably(&*disk, &[&log, &store]).map_err(|(path, e)| folder_error(path, &e))?;
        let deferred = Deferred::open(Arc::clone(&disk), &store)?;
        let (log, recovery, doubles, unkept) = recover::recover(&disk, &log, options, &*ledger, &deferred)?;
        let shared = Shared::new(disk, folder, options, ledger, deferred, log, lock);
        if let Some(hidden) = unkept {
            shared.owe_hidden(hidden);
        }
        // Before anybody may finish one of them.
        doubles::keep_doubles(&shared, &doubles);
        // From here on segments may be used again.
        rotate::begin_elsewhere(&shared);
        doubles::note_doubles(&shared, &doubles);
        shared.weigh();
        let stopper = committer::start(&shared)?;
        Ok((Self { shared, _stopper: Arc::new(stopper) }, recovery))
    }

    /// Makes a record durable. Resolves once it is, once it is certain that it was not taken, or once nobody can know
    /// before the next start. The record may still become durable when the caller stops waiting.
    ///
    /// # Errors
    /// [`SpoolError::Full`], [`SpoolError::Slow`], [`SpoolError::TooLarge`] or [`SpoolError::Failed`]: it was not taken.
    /// [`SpoolError::Unsure`]: it may be durable.
    pub async fn append(&self, record: Arc<Record>) -> Result<Position, SpoolError> {
        let head = encode_head(&record)?;
        let external = frame::frame_size(4 + head.len() + record.bytes.len()) > self.shared.largest();
        let (tell, told) = oneshot::channel();
        let id = record.id;
        let item = committer::Item::record(Arc::clone(&record), head, external, tell);
        if external {
            if frame::frame_size(item.payload()) > self.shared.largest() {
                return Err(SpoolError::TooLarge);
            }
            let shared = Arc::clone(&self.shared);
            self.shared.check()?;
            // In one go: whoever stops waiting in between leaves no file without a frame.
            let put = move || {
                shared.deferred.put_new(&record).map_err(|error| {
                    tracing::warn!(%id, %error, "the file of a large message cannot be written: it is not taken");
                    // It is a file of its own: all else is as it was.
                    if is_full(&error) { SpoolError::Full } else { SpoolError::Slow }
                })?;
                shared.push(item).inspect_err(|_| {
                    if let Err(error) = shared.deferred.forget_new(id) {
                        tracing::warn!(%id, %error, "the file of a message that was not taken stays until a restart");
                    }
                })
            };
            tokio::task::spawn_blocking(put).await.map_err(|e| SpoolError::Failed(e.to_string()))??;
        } else {
            self.shared.push(item)?;
        }
        let position =
            told.await.map_err(|_| SpoolError::Unsure("the log's thread is gone".to_owned()))??;
        if external {
            let shared = Arc::clone(&self.shared);
            let adopted = tokio::task::spawn_blocking(move || shared.deferred.adopt(id)).await;
            match adopted.map_err(io::Error::other).flatten() {
                Ok(()) => self.release(position),
                // It is durable all the same, as long as its frame stays.
                Err(error) => {
                    tracing::warn!(%id, %error, "a large message keeps its provisional name for now");
                    self.shared.owe_name(id, position.generation);
                }
            }
        }
        Ok(position)
    }

    /// Writes a note with the next commit; nobody waits for it.
    pub fn note(&self, note: &Note) {
        // A spool that failed takes no notes: what they say is then found out again after a restart.
        let _ = self.shared.push(committer::Item::note(note, None));
    }

    /// Writes a note and waits until it is durable.
    ///
    /// # Errors
    /// As [`Spool::append`].
    pub async fn note_durably(&self, note: &Note) -> Result<(), SpoolError> {
        let (tell, told) = oneshot::channel();
        self.shared.push(committer::Item::note(note, Some(tell)))?;
        told.await.map_err(|_| SpoolError::Failed("the log's thread is gone".to_owned()))?.map(drop)
    }

    /// Waits until every note given so far is durable.
    ///
    /// # Errors
    /// As [`Spool::append`].
    pub async fn flush(&self) -> Result<(), SpoolError> {
        self.note_durably(&Note::Settled(MessageId(0), Vec::new())).await
    }

    /// Whether a write or sync failed: nothing can be recorded any more.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.shared.check().is_err()
    }

    /// The same, with the reason.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        self.shared.reason().cloned()
    }

    /// Resolves, with the reason, once a write or sync has failed.
    pub async fn failure(&self) -> String {
        self.shared.failure().await
    }

    /// Says that the log need not keep a record any longer: it is done, or moved and its note durable.
    /// Once per record.
    pub fn release(&self, position: Position) {
        self.shared.log().release(position.generation);
    }

    /// Reads a record back from the log. Blocks.
    ///
    /// # Errors
    /// [`SpoolError::Unreadable`], [`SpoolError::Damaged`] or [`SpoolError::Gone`].
    pub fn read(&self, position: Position) -> Result<Record, SpoolError> {
        self.shared.read(position)
    }

    /// Keeps a copy of the segment that a damaged record stands in, for people; before it is released. Blocks.
    pub fn keep_damaged(&self, position: Position) {
        self.shared.keep_damaged(position);
    }

    /// The store of messages that wait for another attempt.
    #[must_use]
    pub fn deferred(&self) -> &Deferred {
        &self.shared.deferred
    }

    /// Removes a message from the deferred store, durably. Fine when it is gone. Where the log may take its frame there for a
    /// message that nobody has, it is told first.
    ///
    /// # Errors
    /// As the system says; the message is as it was then.
    pub async fn remove_deferred(&self, id: MessageId) -> io::Result<()> {
        self.note_moved(id).await?;
        let shared = Arc::clone(&self.shared);
        let removed = tokio::task::spawn_blocking(move || shared.deferred.remove(id)).await;
        removed.map_err(io::Error::other).flatten()
    }

    /// Sets a message of the deferred store aside that cannot be read: for people to look at, out of the queue. The log is told
    /// as when it is removed.
    ///
    /// # Errors
    /// As the system says; the message is where it was then.
    pub async fn set_aside_deferred(&self, id: MessageId) -> io::Result<()> {
        self.note_moved(id).await?;
        let shared = Arc::clone(&self.shared);
        let kept = tokio::task::spawn_blocking(move || shared.deferred.set_aside(id)).await;
        kept.map_err(io::Error::other).flatten()
    }

    /// Sees to it that the log knows of a message that it is in the deferred store, where it may not.
    async fn note_moved(&self, id: MessageId) -> io::Result<()> {
        if self.shared.is_double(id) {
            let its = Arc::clone(&self.shared);
            let kept = tokio::task::spawn_blocking(move || its.deferred.keep_name(id)).await;
            kept.map_err(io::Error::other).flatten()?;
            self.note_durably(&Note::Moved(id)).await.map_err(io::Error::other)?;
            self.shared.is_noted(id);
        }
        Ok(())
    }

    /// Whether the log has room to note what becomes of mail: what is delivered without it is delivered again after a restart.
    /// Where it has none it is asked to find some, and may have it a moment later.
    #[must_use]
    pub fn can_note(&self) -> bool {
        self.shared.can_note()
    }

    /// Whether a record can be taken now; asked before DATA.
    ///
    /// # Errors
    /// [`SpoolError::Full`], [`SpoolError::Slow`] or [`SpoolError::Failed`].
    pub fn ready(&self) -> Result<(), SpoolError> {
        self.shared.ready()
    }

    /// Has segments of the log given back to the disk that nothing needs, beyond those that are kept for reuse. It
    /// happens beside.
    pub fn reclaim(&self) {
        self.shared.reclaim();
    }

    /// Segments in use, the one being written among them.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.shared.log().live.len()
    }

    /// Segments that cannot be reused: from the oldest one with a record that is needed to the newest.
    #[must_use]
    pub fn span(&self) -> usize {
        let log = self.shared.log();
        log.live.iter().position(|s| s.unreleased > 0).map_or(0, |place| log.live.len() - place)
    }

    /// Whether less is left on the disk than is to stay free.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.shared.measure();
        self.shared.short()
    }

    /// Bytes of the log that come free once nothing of its oldest segment is needed any more.
    #[must_use]
    pub fn pinned(&self) -> u64 {
        let freed = self.shared.log().pinned_by_records().map_or(0, |(_, freed)| freed as u64);
        freed * u64::from(self.shared.options.segment)
    }

    /// Tells of a record whether it stands in the oldest segment that cannot be reused now, where others follow that one.
    pub fn pinning(&self) -> impl Fn(Position) -> bool + use<> {
        let oldest = {
            let log = self.shared.log();
            let place = log.pinned_by_records().map(|(place, _)| place);
            let long = place.filter(|place| log.live.len() - place > 2);
            long.and_then(|place| Some(log.live.get(place)?.generation()))
        };
        move |position: Position| oldest == Some(position.generation)
    }
}

impl SpoolError {
    /// Nothing can be recorded any more, until a restart.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Unsure(_))
    }
}

fn encode_head(record: &Record) -> Result<Vec<u8>, SpoolError> {
    postcard::to_allocvec(record).map_err(|e| SpoolError::Failed(e.to_string()))
}

/// What an error of a read says of what was to be read.
fn read_error(error: &io::Error) -> SpoolError {
    match error.kind() {
        io::ErrorKind::NotFound => SpoolError::Gone,
        // A file of ours is never shorter than what it says of itself.
        io::ErrorKind::UnexpectedEof => SpoolError::Damaged("it is cut short".to_owned()),
        _ => SpoolError::Unreadable(error.to_string()),
    }
}

fn folder_error(path: &Path, error: &io::Error) -> SpoolError {
    SpoolError::Folder { path: path.to_owned(), reason: error.to_string() }
}

/// Takes the lock of a data folder for as long as the file is open.
fn lock(path: &Path) -> Result<File, SpoolError> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path).map_err(|e| folder_error(path, &e))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(SpoolError::Locked(path.to_owned())),
        Err(error) => Err(folder_error(path, &error.into())),
    }
}
