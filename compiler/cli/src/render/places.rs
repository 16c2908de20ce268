//! Where diagnostics stand, and the names under which their files are shown.

use edict_compiler::source::{Place, Sources};
use edict_compiler::span::{FileId, Span};
use std::ops::Range;
use std::path::Path;

/// The places of a rule set.
pub struct Places<'a> {
    sources: &'a Sources,
    prefix: String,
}

/// A span as people read it. Lines and columns from 1, columns in characters; the end is behind the last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Region {
    /// Where it begins.
    pub start: Place,
    /// Where it ends.
    pub end: Place,
}

impl<'a> Places<'a> {
    /// `root` is the rule folder as it was given; files are shown under it.
    pub fn new(sources: &'a Sources, root: &Path) -> Self {
        let root = root.to_string_lossy();
        let root = root.strip_prefix("./").unwrap_or(&root);
        let prefix = match root.trim_end_matches('/') {
            "" if root.starts_with('/') => "/".to_owned(),
            "" | "." => String::new(),
            "-" => String::new(),
            root => format!("{root}/"),
        };
        Self { sources, prefix }
    }

    /// The bytes of a file.
    pub fn bytes(&self, file: FileId) -> &'a [u8] {
        self.sources.bytes(file)
    }

    /// A file relative to the rule folder.
    pub fn relative(&self, file: FileId) -> &'a str {
        self.sources.path(file)
    }

    /// A file as it is reached from the current folder.
    pub fn shown(&self, file: FileId) -> String {
        format!("{}{}", self.prefix, self.sources.path(file))
    }

    /// Where a span stands.
    pub fn region(&self, span: Span) -> Region {
        let end = span.end.max(span.start);
        Region { start: self.sources.place(span.file, span.start), end: self.sources.place(span.file, end) }
    }

    /// The line of an offset: its number from 0, and its bytes without the line end and without a byte order mark,
    /// which takes no column.
    pub fn line(&self, file: FileId, offset: u32) -> (usize, Range<usize>) {
        let bytes = self.bytes(file);
        let offset = (offset as usize).min(bytes.len());
        let (head, tail) = bytes.split_at_checked(offset).unwrap_or_default();
        let mark = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let start = head.iter().rposition(|b| *b == b'\n').map_or(mark, |at| at + 1);
        let end = tail.iter().position(|b| *b == b'\n').map_or(bytes.len(), |at| offset + at);
        let start = start.min(end);
        let line = bytes.get(start..end).unwrap_or_default();
        let trimmed = line.strip_suffix(b"\r").unwrap_or(line).len();
        let place = self.sources.place(file, u32::try_from(offset).unwrap_or(u32::MAX));
        (place.line.saturating_sub(1) as usize, start..start + trimmed)
    }
}
