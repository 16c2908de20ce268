//! The files of a rule set, in memory. The compiler reads no disk: who calls it has read them.

use crate::span::{FileId, Span};
use std::collections::BTreeMap;

/// All files of a rule folder by path relative to it, with `/`, sorted by bytes.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: BTreeMap<String, Vec<u8>>,
}

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
        self.files.insert(path.into(), bytes.into());
    }

    /// The id of a path.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<FileId> {
        let place = self.files.keys().position(|p| p == path)?;
        u32::try_from(place).ok().map(FileId)
    }

    /// Path of a file.
    #[must_use]
    pub fn path(&self, file: FileId) -> &str {
        self.files.keys().nth(file.0 as usize).map_or("", String::as_str)
    }

    /// Bytes of a file.
    #[must_use]
    pub fn bytes(&self, file: FileId) -> &[u8] {
        self.files.values().nth(file.0 as usize).map_or(&[], Vec::as_slice)
    }

    /// Every path with its bytes, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }

    /// Line and column of an offset. Columns count characters; invalid UTF-8 counts as one each byte.
    #[must_use]
    pub fn place(&self, file: FileId, offset: u32) -> Place {
        let bytes = self.bytes(file);
        let before = bytes.get(..offset as usize).unwrap_or(bytes);
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |p| p + 1);
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let head = before.get(line_start..).unwrap_or_default();
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
