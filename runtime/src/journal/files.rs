//! The files of the journal: numbered, rotated by size, the oldest removed.
//!
//! A start goes on in the newest file, so that many starts do not use up the files that are kept; behind a line that a
//! crash or a full disk tore the next one begins anew. A file that somebody takes away is noticed before anything more is written, and followed by a new
//! one; one that somebody put at the next number is stepped over.

use super::write::Settings;
use rustix::fs::OFlags;
use std::collections::VecDeque;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What stands before and behind the number in a file's name.
const PREFIX: &str = "journal-";
const SUFFIX: &str = ".jsonl";

/// The files of a journal, the newest one open.
pub(super) struct Files {
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
pub(super) struct Lines<W: Write> {
    pub out: BufWriter<W>,
    /// A part of the last line may be missing.
    torn: bool,
}

impl<W: Write> Lines<W> {
    pub fn new(out: W, torn: bool) -> Self {
        Self { out: BufWriter::new(out), torn }
    }

    /// A line in pieces.
    pub fn add(&mut self, line: &[&[u8]]) -> io::Result<()> {
        if self.torn {
            self.out.write_all(b"\n")?;
        }
        let written = line.iter().try_for_each(|piece| self.out.write_all(piece));
        self.torn = written.is_err();
        written
    }

    /// What cannot be written stays for the next time: nothing is torn.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// What did not reach the file.
    fn into_rest(self) -> Vec<u8> {
        self.out.into_parts().1.unwrap_or_default()
    }
}

impl Files {
    pub fn open(settings: &Settings) -> io::Result<Self> {
        let there: VecDeque<u64> = numbers(&settings.folder)?.into();
        let resumed = there.back().and_then(|newest| resume(&settings.folder, *newest, settings.file_bytes));
        if let Some((out, inode, length)) = resumed {
            let (folder, most, keep) = (settings.folder.clone(), settings.file_bytes, settings.files.max(1));
            let mut files = Self { folder, most, keep, there, out, inode, length };
            files.prune();
            return Ok(files);
        }
        let (next, out, inode) = create_next(&settings.folder, last(&there))?;
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

    pub fn write(&mut self, line: &[&[u8]]) -> io::Result<()> {
        let length: u64 = line.iter().map(|piece| piece.len() as u64).sum();
        if self.length > 0 && self.length + length > self.most {
            self.out.flush()?;
            self.begin(last(&self.there))?;
        }
        self.length += length;
        self.out.add(line)
    }

    /// Writes what is held back.
    pub fn flush(&mut self) -> io::Result<()> {
        self.follow()?;
        self.out.flush()
    }

    /// Begins another file, behind that of a number. Gives back the one before.
    fn begin(&mut self, after: Option<u64>) -> io::Result<Lines<File>> {
        let (number, out, inode) = create_next(&self.folder, after)?;
        (self.inode, self.length) = (inode, 0);
        let others = after.map_or(0, |after| after.saturating_add(1))..number;
        if !others.is_empty() {
            tracing::warn!(
                folder = %self.folder.display(), number,
                "there are files of others in the folder of the journal: it goes on behind them"
            );
            self.there.extend(others);
        }
        self.there.push_back(number);
        self.prune();
        Ok(std::mem::replace(&mut self.out, out))
    }

    /// Goes on in another file where nobody can find the one that is open any more.
    pub fn follow(&mut self) -> io::Result<()> {
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
        let there: VecDeque<u64> = there.into();
        let before = self.begin(last(&there).max(Some(current)))?;
        let next = self.there.back().copied().unwrap_or_default();
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

/// Makes the folder.
pub(super) fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Opens a file that is there to go on in it, and says which one it is and how long. None where it is none of ours, or full.
fn resume(folder: &Path, number: u64, most: u64) -> Option<(Lines<File>, (u64, u64), u64)> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    let options = options.read(true).append(true).custom_flags(i32::try_from(flags.bits()).ok()?);
    let file = options.open(path(folder, number)).ok()?;
    let found = file.metadata().ok()?;
    // Nobody else may read ours, and behind the last number there is none.
    let ours = found.is_file() && found.mode() & 0o077 == 0 && number < u64::MAX;
    if !ours || found.len() >= most {
        return None;
    }
    let mut end = [b'\n'];
    if let Some(last) = found.len().checked_sub(1) {
        file.read_exact_at(&mut end, last).ok()?;
    }
    Some((Lines::new(file, end != [b'\n']), (found.dev(), found.ino()), found.len()))
}

/// The last number that another one can follow.
fn last(there: &VecDeque<u64>) -> Option<u64> {
    there.iter().rev().copied().find(|number| *number < u64::MAX)
}

/// A new file: its number, what writes into it, its device and number there.
type Made = (u64, Lines<File>, (u64, u64));

/// Makes the file behind that of a number, or the first: the next one that is nobody's.
fn create_next(folder: &Path, after: Option<u64>) -> io::Result<Made> {
    let mut number = after.map_or(Some(0), |after| after.checked_add(1));
    while let Some(next) = number {
        match create(folder, next) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number = next.checked_add(1),
            made => return made.map(|(out, inode)| (next, out, inode)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
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
    Ok((Lines::new(file, false), (made.dev(), made.ino())))
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
