//! Names of messages: milliseconds and a counter, never given twice, also when the clock is set back.
//!
//! Upper 42 bits are Unix milliseconds (until the year 2109), lower 22 a counter within one. A name is
//! always above the last one. A file holds a ceiling that no name of this run may pass before it is moved
//! on, so that a start after a crash begins above everything that was ever given.

use crate::envelope::MessageId;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

const COUNTER_BITS: u32 = 22;
/// How far the ceiling is moved: an hour of names.
const STEP: u64 = 3_600_000 << COUNTER_BITS;
/// How far names go on without it before it is tried again: ten seconds of them.
const STEP_UNWRITTEN: u64 = 10_000 << COUNTER_BITS;

/// Gives names.
#[derive(Debug)]
pub struct IdSource {
    last: AtomicU64,
    ceiling: AtomicU64,
    path: PathBuf,
    moving: Mutex<()>,
}

impl IdSource {
    /// Opens the source; its file is made where it is missing. A full disk is no reason not to start: what waits on it
    /// is to be delivered, which makes room.
    ///
    /// # Errors
    /// The file cannot be read or written for another reason, or holds something else.
    pub fn open(path: &Path, now: i64) -> io::Result<Self> {
        let before = match fs::read_to_string(path) {
            Ok(text) => text.trim().parse::<u64>().map_err(|_| io::ErrorKind::InvalidData)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        let last = before.max(stamp(now));
        let ceiling = match store(path, last.saturating_add(STEP)) {
            Ok(()) => last.saturating_add(STEP),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
            {
                tracing::error!(path = %path.display(), %error, "the ceiling of message names is not written");
                last
            }
            Err(error) => return Err(error),
        };
        let (last, ceiling) = (AtomicU64::new(last), AtomicU64::new(ceiling));
        Ok(Self { last, ceiling, path: path.to_owned(), moving: Mutex::new(()) })
    }

    /// A name that was never given before.
    pub fn next(&self, now: i64) -> MessageId {
        let now = stamp(now);
        let next = |last: u64| Some(now.max(last.saturating_add(1)));
        let last = self.last.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).unwrap_or_default();
        let id = now.max(last.saturating_add(1));
        if id >= self.ceiling.load(Ordering::Acquire) {
            self.move_ceiling(id);
        }
        MessageId(id)
    }

    fn move_ceiling(&self, id: u64) {
        let _moving = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        if id < self.ceiling.load(Ordering::Acquire) {
            return;
        }
        let mut ceiling = id.saturating_add(STEP);
        // Without the file, names repeat only if the clock is set back before the next start.
        if let Err(error) = store(&self.path, ceiling) {
            tracing::error!(path = %self.path.display(), %error, "the ceiling of message names is not written");
            ceiling = id.saturating_add(STEP_UNWRITTEN);
        }
        self.ceiling.store(ceiling, Ordering::Release);
    }
}

fn stamp(now: i64) -> u64 {
    let millis = u64::try_from(now).unwrap_or(0).min((1 << (64 - COUNTER_BITS)) - 1);
    millis << COUNTER_BITS
}

/// Written aside, synced, renamed; the folder synced.
fn store(path: &Path, ceiling: u64) -> io::Result<()> {
    let aside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(format!("{ceiling}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_never_given_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids");
        let mut seen = HashSet::new();
        let mut last = MessageId(0);
        // The clock stands, goes on, goes back by a day, and the daemon starts anew each time.
        for now in [1_000_000_000_000, 1_000_000_000_001, 999_913_600_000, 0, -5] {
            let source = IdSource::open(&path, now).unwrap();
            for step in 0..5_000 {
                let id = source.next(now + step / 1_000);
                assert!(id > last, "names rise");
                assert!(seen.insert(id));
                last = id;
            }
        }
    }

    #[test]
    fn the_ceiling_moves_before_it_is_passed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids");
        let source = IdSource::open(&path, 1_000).unwrap();
        for hours in 0..50 {
            let id = source.next(1_000 + hours * 3_600_000);
            let ceiling: u64 = fs::read_to_string(&path).unwrap().trim().parse().unwrap();
            assert!(id.0 < ceiling);
        }
    }

    #[test]
    fn threads_get_names_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let source = IdSource::open(&folder.path().join("ids"), 1_000).unwrap();
        let mut all: Vec<MessageId> = std::thread::scope(|scope| {
            let worker = || (0..10_000).map(|_| source.next(1_000)).collect::<Vec<_>>();
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(worker)).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        });
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 40_000);
    }

    #[test]
    fn a_damaged_file_is_not_taken_for_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids");
        fs::write(&path, "x").unwrap();
        assert!(IdSource::open(&path, 0).is_err());
    }

    /// Whatever is written to `/dev/full` finds no room.
    #[test]
    fn a_full_disk_gives_names_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids");
        let first = IdSource::open(&path, 1_000).unwrap().next(1_000);
        std::os::unix::fs::symlink("/dev/full", path.with_extension("new")).unwrap();
        let source = IdSource::open(&path, 1_000).unwrap();
        let mut last = first;
        for _ in 0..100 {
            let id = source.next(1_000);
            assert!(id > last);
            last = id;
        }
        // With room again, the ceiling goes above what was given meanwhile.
        fs::remove_file(path.with_extension("new")).unwrap();
        source.next(60_000_000);
        let next = IdSource::open(&path, 0).unwrap().next(0);
        assert!(next > last);
    }
}
