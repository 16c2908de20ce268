//! Writing the journal: a thread of its own, files that are rotated by size, the oldest removed.
//!
//! Each start begins a new file, so that a torn tail stays at the end of an old one; behind a line that a full disk tore
//! the next one begins anew. A file that somebody takes away is noticed before anything more is written, and followed by a new
//! one. Not synced: a power cut costs the last seconds of the journal, never mail.

use super::draft::{Draft, Line, Shape, Share};
use super::{Entry, Octets, parts};
use std::collections::VecDeque;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
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
/// What stands before and behind the number in a file's name.
const PREFIX: &str = "journal-";
const SUFFIX: &str = ".jsonl";

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
    left_out: AtomicU64,
}

impl Journal {
    /// Makes the folder and begins a file.
    ///
    /// # Errors
    /// As the system says.
    pub fn open(settings: &Settings) -> io::Result<Self> {
        make(&settings.folder)?;
        let mut files = Files::open(settings)?;
        let (sender, lines) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || write_all(&mut files, &lines))?;
        Ok(Self {
            bodies: settings.bodies,
            sender: Mutex::new(Some(sender)),
            thread: Mutex::new(Some(thread)),
            waiting,
            dropped: AtomicU64::new(0),
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

fn write_all(files: &mut Files, lines: &Receiver<Line>) {
    let mut failing = false;
    loop {
        let result = match lines.recv_timeout(FLUSH) {
            Ok(first) => {
                let found = files.follow();
                let there = found.is_ok();
                // Those that came meanwhile go with it.
                let batch = std::iter::once(first).chain(lines.try_iter()).take(AT_ONCE);
                batch.fold(found, |result, line| {
                    let written = if there { files.write(&[&line.head, &line.body]) } else { Ok(()) };
                    result.and(written)
                })
            }
            Err(RecvTimeoutError::Timeout) => files.flush(),
            Err(RecvTimeoutError::Disconnected) => break,
        };
        if let Err(error) = &result
            && !failing
        {
            tracing::error!(%error, "the journal cannot be written");
        }
        failing = result.is_err();
    }
    if let Err(error) = files.flush() {
        tracing::error!(%error, "the end of the journal cannot be written");
    }
}

/// The files of a journal, the newest one open.
struct Files {
    folder: PathBuf,
    most: u64,
    keep: usize,
    /// Numbers of the files that are there, oldest first.
    there: VecDeque<u64>,
    out: Lines<File>,
    /// Device and number of the file that is open.
    inode: (u64, u64),
    length: u64,
}

/// Lines into a file.
struct Lines<W: Write> {
    out: BufWriter<W>,
    /// A part of the last line may be missing.
    torn: bool,
}

impl<W: Write> Lines<W> {
    fn new(out: W) -> Self {
        Self { out: BufWriter::new(out), torn: false }
    }

    /// A line in pieces.
    fn add(&mut self, line: &[&[u8]]) -> io::Result<()> {
        if self.torn {
            self.out.write_all(b"\n")?;
        }
        let written = line.iter().try_for_each(|piece| self.out.write_all(piece));
        self.torn = written.is_err();
        written
    }

    /// What cannot be written stays for the next time: nothing is torn.
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// What did not reach the file.
    fn into_rest(self) -> Vec<u8> {
        self.out.into_parts().1.unwrap_or_default()
    }
}

impl Files {
    fn open(settings: &Settings) -> io::Result<Self> {
        let there: VecDeque<u64> = numbers(&settings.folder)?.into();
        let next = there.back().map_or(0, |last| last + 1);
        let (out, inode) = create(&settings.folder, next)?;
        let mut files = Self {
            folder: settings.folder.clone(),
            most: settings.file_bytes,
            keep: settings.files.max(1),
            there,
            out,
            inode,
            length: 0,
        };
        files.there.push_back(next);
        files.prune();
        Ok(files)
    }

    fn write(&mut self, line: &[&[u8]]) -> io::Result<()> {
        let length: u64 = line.iter().map(|piece| piece.len() as u64).sum();
        if self.length > 0 && self.length + length > self.most {
            self.out.flush()?;
            let next = self.there.back().map_or(0, |last| last.saturating_add(1));
            self.begin(next)?;
        }
        self.length += length;
        self.out.add(line)
    }

    /// Writes what is held back.
    fn flush(&mut self) -> io::Result<()> {
        self.follow()?;
        self.out.flush()
    }

    /// Begins another file. Gives back the one before.
    fn begin(&mut self, number: u64) -> io::Result<Lines<File>> {
        let (out, inode) = create(&self.folder, number)?;
        (self.inode, self.length) = (inode, 0);
        self.there.push_back(number);
        self.prune();
        Ok(std::mem::replace(&mut self.out, out))
    }

    /// Goes on in another file where nobody can find the one that is open any more.
    fn follow(&mut self) -> io::Result<()> {
        let Some(current) = self.there.back().copied() else { return Ok(()) };
        let gone = match std::fs::metadata(path(&self.folder, current)) {
            Ok(found) => (found.dev(), found.ino()) != self.inode,
            // Whatever else may be the matter, the open file takes what comes.
            Err(error) => matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        };
        if !gone {
            return Ok(());
        }
        // Others may stand in its place, or be gone as well.
        let there = numbers(&self.folder).unwrap_or_default();
        let next = there.last().copied().max(Some(current)).map_or(0, |last| last.saturating_add(1));
        let before = self.begin(next)?;
        self.there = there.into_iter().chain([next]).collect();
        tracing::warn!(
            folder = %self.folder.display(), gone = current, next,
            "a file of the journal was taken away while it was written: the journal goes on in another one"
        );
        // What was held back is for that one.
        let rest = before.into_rest();
        self.length = rest.len() as u64;
        if rest.is_empty() { Ok(()) } else { self.out.add(&[&rest]) }
    }

    fn prune(&mut self) {
        while self.there.len() > self.keep {
            let Some(oldest) = self.there.pop_front() else { return };
            match std::fs::remove_file(path(&self.folder, oldest)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(%error, "an old file of the journal cannot be removed");
                }
                _ => {}
            }
        }
    }
}

fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Makes a file, and says which one it is.
fn create(folder: &Path, number: u64) -> io::Result<(Lines<File>, (u64, u64))> {
    let open = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path(folder, number));
    let file = match open() {
        // Somebody took the folder away meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(folder)?;
            open()?
        }
        other => other?,
    };
    let made = file.metadata()?;
    Ok((Lines::new(file), (made.dev(), made.ino())))
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{PREFIX}{number:010}{SUFFIX}"))
}

/// The numbers of the files in a folder, in order.
fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number =
            name.to_str().and_then(|n| n.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse::<u64>().ok());
        out.extend(number);
    }
    out.sort_unstable();
    Ok(out)
}

/// The files of a journal, oldest first.
///
/// # Errors
/// As the system says.
pub(super) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(numbers(folder)?.into_iter().map(|number| path(folder, number)).collect())
}

#[cfg(test)]
mod tests;
