//! A range of a source file. A leaf: imports nothing of the package.

/// Bytes `start..end` of a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Span {
    /// Which file, a place in [`Sources`](crate::source::Sources).
    pub file: FileId,
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last byte.
    pub end: u32,
}

/// Place of a file in [`Sources`](crate::source::Sources).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct FileId(pub u32);

impl Span {
    /// From the start of one to the end of the other, in the first one's file.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self { file: self.file, start: self.start, end: other.end.max(self.start) }
    }
}

/// Whether a place is in one of several spans, which are sorted and do not overlap.
#[must_use]
pub fn within(spans: &[Span], place: Span) -> bool {
    let behind = spans.partition_point(|span| (span.file, span.start) <= (place.file, place.start));
    behind
        .checked_sub(1)
        .and_then(|at| spans.get(at))
        .is_some_and(|span| span.file == place.file && place.start < span.end)
}
