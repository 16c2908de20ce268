//! The files of a rule set, in memory. The compiler reads no disk: who calls it has read them.
//!
//! Files are kept sorted by path, so that a [`FileId`] is a place in a vector; line starts are found
//! once for each file, when somebody first asks for a place in it.

use crate::span::{FileId, Span};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// All files of a rule folder by path relative to it, with `/`, sorted by bytes.
///
/// Ids are places in that order: insert every file before asking for one.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<File>,
    /// What lies in the folder and is no file: each with what it is.
    others: BTreeMap<String, &'static str>,
}

#[derive(Clone, Debug)]
struct File {
    path: String,
    bytes: Vec<u8>,
    /// Offsets of the first byte of each line. A file of 4 GiB or more gets what fits.
    lines: OnceLock<Vec<u32>>,
}

/// The root of a rule set.
pub const MAIN: &str = "main.edict";

/// What stands for [`MAIN`] where a rule set has none, so that this can be told.
pub const ABSENT_MAIN: FileId = FileId(u32::MAX);

/// A place as people read it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
}

impl Sources {
    /// Adds a file, or replaces it.
    pub fn insert(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        let file = File { path: path.into(), bytes: bytes.into(), lines: OnceLock::new() };
        match self.search(&file.path) {
            Ok(place) => {
                if let Some(old) = self.files.get_mut(place) {
                    *old = file;
                }
            }
            Err(place) => self.files.insert(place, file),
        }
    }

    /// Notes what lies in the folder and is no file, as `a folder` or `a named pipe`, so that this can be told of it.
    pub fn note(&mut self, path: impl Into<String>, what: &'static str) {
        self.others.insert(path.into(), what);
    }

    /// What lies at a path that is no file.
    #[must_use]
    pub fn other(&self, path: &str) -> Option<&'static str> {
        let path = path.trim_end_matches('/');
        let below = format!("{path}/");
        let place = self.files.partition_point(|file| file.path < below);
        let folder = self.files.get(place).is_some_and(|file| file.path.starts_with(&below));
        self.others.get(path).copied().or(folder.then_some("a folder"))
    }

    fn search(&self, path: &str) -> Result<usize, usize> {
        self.files.binary_search_by(|file| file.path.as_str().cmp(path))
    }

    fn file(&self, file: FileId) -> Option<&File> {
        self.files.get(file.0 as usize)
    }

    /// The id of a path.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<FileId> {
        let place = self.search(path).ok()?;
        u32::try_from(place).ok().map(FileId)
    }

    /// Path of a file.
    #[must_use]
    pub fn path(&self, file: FileId) -> &str {
        if file == ABSENT_MAIN {
            return MAIN;
        }
        self.file(file).map_or("", |file| &file.path)
    }

    /// Bytes of a file.
    #[must_use]
    pub fn bytes(&self, file: FileId) -> &[u8] {
        self.file(file).map_or(&[], |file| &file.bytes)
    }

    /// Every path with its bytes, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|file| (file.path.as_str(), file.bytes.as_slice()))
    }

    /// Line and column of an offset. Columns count characters; invalid UTF-8 counts as one for each
    /// run that would be replaced.
    #[must_use]
    pub fn place(&self, file: FileId, offset: u32) -> Place {
        let Some(file) = self.file(file) else {
            return Place { line: 1, column: 1 };
        };
        let lines = file.lines.get_or_init(|| line_starts(&file.bytes));
        let end = (offset as usize).min(file.bytes.len());
        let line = lines.partition_point(|start| *start as usize <= end).max(1);
        let start = lines.get(line - 1).map_or(0, |start| *start as usize);
        let head = file.bytes.get(start..end).unwrap_or_default();
        // No editor counts the byte order mark.
        let head = if start == 0 { head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head) } else { head };
        let column = String::from_utf8_lossy(head).chars().count() + 1;
        Place {
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
        }
    }

    /// The text of a span, with invalid UTF-8 replaced.
    #[must_use]
    pub fn text(&self, span: Span) -> String {
        let bytes = self.bytes(span.file).get(span.start as usize..span.end as usize).unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    }
}

fn line_starts(bytes: &[u8]) -> Vec<u32> {
    let mut out = vec![0];
    for (at, byte) in bytes.iter().enumerate() {
        if *byte == b'\n' {
            let Ok(start) = u32::try_from(at + 1) else { break };
            out.push(start);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_sorted_and_replaced() {
        let mut sources = Sources::default();
        for path in ["b.edict", "a/c.edict", "b.edict", "a.edict"] {
            sources.insert(path, path.as_bytes());
        }
        let paths: Vec<&str> = sources.iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["a.edict", "a/c.edict", "b.edict"]);
        let id = sources.find("b.edict").unwrap();
        assert_eq!((sources.path(id), sources.bytes(id)), ("b.edict", &b"b.edict"[..]));
        assert_eq!(sources.find("c"), None);
        assert_eq!(sources.path(FileId(9)), "");
    }

    #[test]
    fn places() {
        let mut sources = Sources::default();
        sources.insert("x", "ab\nü c\n\nd".as_bytes());
        for (offset, line, column) in
            [(0, 1, 1), (2, 1, 3), (3, 2, 1), (5, 2, 2), (8, 3, 1), (9, 4, 1), (99, 4, 2)]
        {
            assert_eq!(sources.place(FileId(0), offset), Place { line, column }, "{offset}");
        }
        sources.insert("x", "\u{feff}ab\nc");
        for (offset, line, column) in [(3, 1, 1), (4, 1, 2), (6, 2, 1)] {
            assert_eq!(sources.place(FileId(0), offset), Place { line, column }, "{offset} behind a mark");
        }
        sources.insert("x", "\n\n");
        assert_eq!(sources.place(FileId(0), 2), Place { line: 3, column: 1 });
        assert_eq!(sources.place(FileId(7), 2), Place { line: 1, column: 1 });
    }
}
