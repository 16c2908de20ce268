//! Writing the journal: entries that wait, bounded and counted, and the thread that writes them.
//!
//! Not synced: a power cut costs the last seconds of the journal, never mail. The files: [`super::files`].

use super::draft::{Draft, Line, Shape, Share};
use super::files::{self, Files};
use super::{Entry, Octets, parts};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes of entries that wait to be written, or whose messages are being taken. For a message of 25 MiB, the largest
/// that is taken unless the profile says otherwise, there is room also in base64.
pub(super) const MAX_WAITING: usize = 64 << 20;
/// Lines that are written without a look at whether the file is still there.
const AT_ONCE: usize = 64;
/// What is written reaches the file within this time.
const FLUSH: Duration = Duration::from_secs(1);

/// What the operator decides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Where the files are.
    pub folder: PathBuf,
    /// Bodies are kept too.
    pub bodies: bool,
    /// A file larger than this is followed by a new one, in bytes.
    pub file_bytes: u64,
    /// How many files are kept.
    pub files: usize,
}

/// The open journal.
#[derive(Debug)]
pub struct Journal {
    /// Bodies are kept too.
    pub bodies: bool,
    sender: Mutex<Option<Sender<Line>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    waiting: Arc<AtomicUsize>,
    dropped: AtomicU64,
    lost: Arc<AtomicU64>,
    left_out: AtomicU64,
}

impl Journal {
    /// Makes the folder and begins a file.
    ///
    /// # Errors
    /// As the system says.
    pub fn open(settings: &Settings) -> io::Result<Self> {
        files::make(&settings.folder)?;
        let mut files = Files::open(settings)?;
        let (sender, lines) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let lost = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lost);
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || write_all(&mut files, &lines, &counted))?;
        Ok(Self {
            bodies: settings.bodies,
            sender: Mutex::new(Some(sender)),
            thread: Mutex::new(Some(thread)),
            waiting,
            dropped: AtomicU64::new(0),
            lost,
            left_out: AtomicU64::new(0),
        })
    }

    /// Puts a message into an entry that has none, with its body where bodies are kept and there is room. None where
    /// there is no room for the header alone: it is dropped.
    #[must_use]
    pub fn draft(&self, mut entry: Entry, message: &[u8]) -> Option<Draft> {
        let (header, body) = parts(message);
        entry.size = message.len() as u64;
        let mut share = Share::new(&self.waiting, MAX_WAITING);
        // In base64 it is a third longer.
        let length = header.len().div_ceil(3) * 4;
        if !share.grow(length) {
            self.drop_one();
            return None;
        }
        entry.header = Some(Octets::new(header));
        let mut draft = Draft { entry, body: Vec::new(), header: length, share };
        if self.bodies {
            self.put_body(&mut draft, &Shape::new(body));
        }
        Some(draft)
    }

    /// A body that there is no room for is left out.
    fn put_body(&self, draft: &mut Draft, body: &Shape<'_>) {
        let length = body.length();
        if draft.share.grow(length) {
            draft.body = body.encode();
            return;
        }
        draft.entry.body_left_out = true;
        let left_out = self.left_out.fetch_add(1, Ordering::Relaxed) + 1;
        if left_out.is_power_of_two() {
            let (size, most_mib) = (draft.entry.size, MAX_WAITING >> 20);
            if length > MAX_WAITING {
                tracing::warn!(
                    left_out,
                    size,
                    most_mib,
                    "a message is too large for the journal: its body is left out"
                );
            } else {
                tracing::warn!(
                    left_out,
                    size,
                    most_mib,
                    "too much waits to be written to the journal: bodies are left out"
                );
            }
        }
    }

    /// Adds an entry.
    pub fn add(&self, mut entry: Entry) {
        let body = entry.body.take();
        let share = Share::new(&self.waiting, MAX_WAITING);
        let mut draft = Draft { entry, body: Vec::new(), header: 0, share };
        if let Some(body) = &body {
            self.put_body(&mut draft, &Shape::of(body));
        }
        self.finish(draft);
    }

    /// Adds an entry, with the time where it has none. Never waits: where too much waits already it is dropped, and the
    /// log says how many were.
    pub fn finish(&self, mut draft: Draft) {
        if draft.entry.time == 0 {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            draft.entry.time = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        }
        let head = match draft.head() {
            Ok(head) => head,
            Err(error) => return tracing::warn!(%error, "an entry of the journal cannot be written"),
        };
        let Draft { body, header, mut share, .. } = draft;
        let counted = share.grow(head.len());
        share.shrink(header);
        let sent = counted && {
            let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
            sender.as_ref().is_some_and(|sender| sender.send(Line { head, body, _share: share }).is_ok())
        };
        if !sent {
            self.drop_one();
        }
    }

    fn drop_one(&self) {
        let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        if dropped.is_power_of_two() {
            tracing::warn!(dropped, "too much waits to be written to the journal: entries are dropped");
        }
    }

    /// Entries that were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Entries that could not be written.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Bodies that were left out.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    /// Waits until all is written.
    #[cfg(test)]
    pub(super) fn wait(&self) {
        while self.waiting.load(Ordering::Relaxed) > 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Writes what waits and closes the file.
    pub fn close(&self) {
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the journal broke off");
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

fn write_all(files: &mut Files, lines: &Receiver<Line>, lost: &AtomicU64) {
    // Entries lost since one was written.
    let (mut failing, mut since) = (false, 0u64);
    loop {
        let result = match lines.recv_timeout(FLUSH) {
            Ok(first) => {
                let found = files.follow();
                let there = found.is_ok();
                // Those that came meanwhile go with it.
                let batch = std::iter::once(first).chain(lines.try_iter()).take(AT_ONCE);
                let result = batch.fold(found, |result, line| {
                    let written = if there { files.write(&[&line.head, &line.body]) } else { Ok(()) };
                    since += u64::from(!there || written.is_err());
                    // Before it counts no more as waiting.
                    lost.fetch_add(u64::from(!there || written.is_err()), Ordering::Relaxed);
                    result.and(written)
                });
                if result.is_ok() && since > 0 {
                    tracing::warn!(
                        lost = std::mem::take(&mut since),
                        "the journal is written again; entries were lost"
                    );
                }
                result
            }
            // That nothing came is no sign that it could be written.
            Err(RecvTimeoutError::Timeout) => match files.flush() {
                Ok(()) if since > 0 => continue,
                flushed => flushed,
            },
            Err(RecvTimeoutError::Disconnected) => break,
        };
        if let Err(error) = &result
            && !failing
        {
            tracing::error!(%error, lost = since, "the journal cannot be written");
        }
        failing = result.is_err();
    }
    if since > 0 {
        tracing::warn!(lost = since, "entries of the journal were lost at its end");
    }
    if let Err(error) = files.flush() {
        tracing::error!(%error, "the end of the journal cannot be written");
    }
}
