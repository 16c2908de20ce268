//! Reading a journal, a file or a folder of them, entry by entry.
//!
//! One line is in memory at a time, at most [`MAX_LINE`]. A line that cannot be read, as a torn one at the
//! end of a file, is told and stepped over.

use super::{Entry, VERSION, files};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// The longest line taken: a message of the largest size a table allows, in base64.
pub const MAX_LINE: u64 = 1 << 30;

/// A line that is no entry.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{path}:{line}: {what}", path = .path.display())]
pub struct Strange {
    /// The file.
    pub path: PathBuf,
    /// From 1.
    pub line: u64,
    /// What is wrong with it.
    pub what: String,
}

/// Gives entries in the order in which they were written.
#[derive(Debug)]
pub struct Reader {
    files: std::vec::IntoIter<PathBuf>,
    open: Option<(PathBuf, BufReader<File>, u64)>,
}

impl Reader {
    /// Opens a file of a journal, or the folder of one.
    ///
    /// # Errors
    /// As the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let files =
            if std::fs::metadata(path)?.is_dir() { files::files(path)? } else { vec![path.to_owned()] };
        Ok(Self { files: files.into_iter(), open: None })
    }

    fn strange(path: &Path, line: u64, what: impl Into<String>) -> Strange {
        Strange { path: path.to_owned(), line, what: what.into() }
    }
}

impl Iterator for Reader {
    type Item = Result<Entry, Strange>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((path, reader, number)) = &mut self.open else {
                let path = self.files.next()?;
                match File::open(&path) {
                    Ok(file) => self.open = Some((path, BufReader::new(file), 0)),
                    // Rotated away meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Some(Err(Self::strange(&path, 0, error.to_string()))),
                }
                continue;
            };
            *number += 1;
            let (mut line, at) = (Vec::new(), *number);
            match reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
                Ok(0) => {
                    self.open = None;
                    continue;
                }
                // The end of a line that was torn, where nothing of it was written.
                Ok(_) if line == b"\n" => continue,
                Ok(_) if line.last() == Some(&b'\n') => {}
                Ok(_) => {
                    let strange = Self::strange(path, at, "the line breaks off");
                    self.open = None;
                    return Some(Err(strange));
                }
                Err(error) => {
                    let strange = Self::strange(path, at, error.to_string());
                    self.open = None;
                    return Some(Err(strange));
                }
            }
            return Some(match serde_json::from_slice::<Entry>(&line) {
                Ok(entry) if entry.version == VERSION => Ok(entry),
                Ok(entry) => Err(Self::strange(path, at, format!("version {} is not known", entry.version))),
                Err(error) => Err(Self::strange(path, at, error.to_string())),
            });
        }
    }
}
