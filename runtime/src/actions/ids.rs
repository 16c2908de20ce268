//! Names of messages: milliseconds and a counter, never given twice, also when the clock is set back.
//!
//! Upper 42 bits are Unix milliseconds (until the year 2109), lower 22 a counter within one. A name is
//! always above the last one. A file holds a ceiling that no name of this run may pass before it is moved
//! on, so that a start after a crash begins above everything that was ever given. Where the file is damaged, names go on a
//! year above the clock, each time one more: above all, but where the clock was set back by more than that.

use crate::envelope::MessageId;
use crate::files;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

const COUNTER_BITS: u32 = 22;
/// How far the ceiling is moved: an hour of names.
const STEP: u64 = 3_600_000 << COUNTER_BITS;
/// How far above the clock names go on where the file is damaged: a year of them.
const LEAP: u64 = (365 * 86_400_000) << COUNTER_BITS;
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
    /// Opens the source; its file is made where it is missing, and set aside where it is damaged. A full disk is no reason not to start: what waits on it
    /// is to be delivered, which makes room.
    ///
    /// # Errors
    /// The file cannot be read or written for another reason.
    pub fn open(path: &Path, now: i64) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let before = match fs::read(path) {
            Ok(bytes) => ceiling_in(&bytes).unwrap_or_else(|| above_all(path, now)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(named(error)),
        };
        let last = before.max(stamp(now));
        let ceiling = match store(path, last.saturating_add(STEP)) {
            Ok(()) => last.saturating_add(STEP),
            Err(error) if files::is_full(&error) => {
                tracing::error!(path = %path.display(), %error, "the ceiling of message names is not written");
                last
            }
            Err(error) => return Err(named(error)),
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

/// What the file says; none where it is damaged.
fn ceiling_in(bytes: &[u8]) -> Option<u64> {
    std::str::from_utf8(bytes).ok()?.trim().parse().ok()
}

/// Where names go on that the file says nothing of any more, which is set aside.
fn above_all(path: &Path, now: i64) -> u64 {
    // The clock may have been set back since it was written.
    let written = fs::metadata(path).and_then(|of| of.modified()).ok();
    let written = written.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let written = written.and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or(0);
    let times = match files::set_aside(path) {
        Ok((kept, times)) => {
            tracing::error!(
                path = %path.display(), kept = %kept.display(),
                "the ceiling of message names is damaged and set aside: names go on far above the clock"
            );
            times
        }
        Err(error) => {
            tracing::error!(
                path = %path.display(), %error,
                "the ceiling of message names is damaged: names go on far above the clock"
            );
            1
        }
    };
    // Above what was given since the last time.
    stamp(now.max(written)).saturating_add(LEAP.saturating_mul(times))
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

    /// The clock was ahead by months when names were given, and was set back.
    #[test]
    fn a_damaged_file_is_not_taken_for_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids");
        let now = 1_700_000_000_000;
        let mut last = IdSource::open(&path, now).unwrap().next(now + 300 * 86_400_000);
        for (damage, kept) in [(&b""[..], "ids.bad"), (b"x", "ids.1.bad"), (b"\xff17", "ids.2.bad")] {
            fs::write(&path, damage).unwrap();
            let written = UNIX_EPOCH + std::time::Duration::from_millis(now as u64);
            File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
            let id = IdSource::open(&path, now).unwrap().next(now);
            assert!(id > last, "{damage:?}");
            assert!(!id.is_of_notice());
            assert_eq!(fs::read(folder.path().join(kept)).unwrap(), damage);
            // From now on the file says it.
            last = IdSource::open(&path, now).unwrap().next(now);
            assert!(last > id);
        }
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
