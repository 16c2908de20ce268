//! What the spool's handles and its thread share: the disk, the log, what waits for it, and what is known of both.
//!
//! The fields that belong to one purpose are used by its module alone: [`committer`](super::committer) what waits,
//! [`doubles`](super::doubles) what stands in two places, `space` what is known of room.

mod space;

use super::committer::Pending;
use super::deferred::Deferred;
use super::disk::{Disk, read_exact};
use super::doubles::Owed;
use super::frame::{self, FRAME_HEADER, Kind};
use super::segment::{self, Log};
use super::{Ledger, Options, Position, SpoolError, read_error};
use crate::envelope::{MessageId, Record};
use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::Notify;

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
    pub doubles: Mutex<HashSet<MessageId>>,
    /// What is to be on the disk there before the log moves on.
    pub owed: Mutex<Owed>,
    /// There is room in the log for notes of what is under way.
    can_note: AtomicBool,
    /// Notes wait for room.
    pub late: AtomicBool,
    /// It was said that there is no room.
    told: AtomicBool,
    /// When it was last looked for.
    room_at: AtomicU64,
    pub pending: Mutex<Pending>,
    pub wake: Condvar,
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
            owed: Mutex::default(),
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
    pub fn mark_unfit(&self, number: u32) {
        match segment::mark_unfit(&*self.disk, &self.log_folder, number) {
            Ok(()) => tracing::warn!(number, "nothing is written any more into a segment of the spool's log"),
            // The next start goes on in another one all the same, if there is one.
            Err(error) => tracing::warn!(number, %error, "that a segment cannot be written is not noted"),
        }
    }

    pub fn fail(&self, what: &str, error: &io::Error) -> SpoolError {
        let reason = format!("{what}: {error}");
        if self.failed.set(reason.clone()).is_ok() {
            tracing::error!(reason, "the spool stopped; nothing is accepted until a restart");
            self.fell.notify_waiters();
        }
        SpoolError::Failed(reason)
    }
}
