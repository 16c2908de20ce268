//! Edits on edits: two rounds of changes to a message as one list of splices over the stored bytes.
//!
//! Pure. Ranges that lie outside, run backwards or overlap an earlier one are left out, so that what is
//! stored can always be applied.

use crate::envelope::{Splice, Variant};
use edict_message::edit::Edit;
use std::ops::Range;

/// A stretch of an edited message: a range of the original, or bytes that were put in.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Kept(Range<usize>),
    Put(Vec<u8>),
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Kept(range) => range.len(),
            Self::Put(bytes) => bytes.len(),
        }
    }

    /// Takes the first `at` bytes off.
    fn split(self, at: usize) -> (Self, Self) {
        match self {
            Self::Kept(range) => {
                let middle = range.start + at.min(range.len());
                (Self::Kept(range.start..middle), Self::Kept(middle..range.end))
            }
            Self::Put(mut bytes) => {
                let tail = bytes.split_off(at.min(bytes.len()));
                (Self::Put(bytes), Self::Put(tail))
            }
        }
    }
}

/// Edits of a message of `length` bytes, as pieces of the result.
fn pieces(length: usize, edits: &[Edit]) -> Vec<Piece> {
    let mut out = Vec::with_capacity(2 * edits.len() + 1);
    let mut at = 0;
    for edit in edits {
        let range = &edit.range;
        if range.start < at || range.end < range.start || range.end > length {
            continue;
        }
        out.push(Piece::Kept(at..range.start));
        out.push(Piece::Put(edit.bytes.clone()));
        at = range.end;
    }
    out.push(Piece::Kept(at..length));
    out
}

/// Reads pieces from front to end.
struct Cursor {
    rest: std::vec::IntoIter<Piece>,
    open: Option<Piece>,
    /// Position in the edited message.
    at: usize,
}

impl Cursor {
    /// Reads up to a position; `keep` gets what lies in between.
    fn until(&mut self, position: usize, mut keep: impl FnMut(Piece)) {
        while self.at < position {
            let Some(piece) = self.open.take().or_else(|| self.rest.next()) else { return };
            let (head, tail) = piece.split(position - self.at);
            self.at += head.len();
            if tail.len() > 0 {
                self.open = Some(tail);
            }
            keep(head);
        }
    }
}

/// Edits over the original that do what `first`, and then `second` over its result, do.
#[must_use]
pub fn compose(length: usize, first: &[Edit], second: &[Edit]) -> Vec<Edit> {
    let between = pieces(length, first);
    let total: usize = between.iter().map(Piece::len).sum();
    let mut cursor = Cursor { rest: between.into_iter(), open: None, at: 0 };
    let mut out = Vec::new();
    for edit in second {
        let range = &edit.range;
        if range.start < cursor.at || range.end < range.start || range.end > total {
            continue;
        }
        cursor.until(range.start, |piece| out.push(piece));
        cursor.until(range.end, drop);
        out.push(Piece::Put(edit.bytes.clone()));
    }
    cursor.until(total, |piece| out.push(piece));
    edits(length, out)
}

/// Pieces back to edits over the original; neighbours become one.
fn edits(length: usize, pieces: Vec<Piece>) -> Vec<Edit> {
    let mut out = Vec::new();
    let mut at = 0;
    let mut put: Vec<u8> = Vec::new();
    for piece in pieces.into_iter().chain([Piece::Kept(length..length)]) {
        match piece {
            Piece::Put(bytes) if put.is_empty() => put = bytes,
            Piece::Put(bytes) => put.extend_from_slice(&bytes),
            Piece::Kept(range) => {
                let last = range.start == length;
                if range.is_empty() && !last {
                    continue;
                }
                if range.start > at || !put.is_empty() {
                    out.push(Edit { range: at..range.start, bytes: std::mem::take(&mut put) });
                }
                at = range.end;
            }
        }
    }
    out
}

/// Edits as a variant of the stored message. None where the message is too long for its offsets.
#[must_use]
pub fn variant(edits: &[Edit]) -> Option<Variant> {
    let splice = |edit: &Edit| {
        Some(Splice {
            start: u32::try_from(edit.range.start).ok()?,
            end: u32::try_from(edit.range.end).ok()?,
            bytes: edit.bytes.clone(),
        })
    };
    edits.iter().map(splice).collect::<Option<_>>().map(|splices| Variant { splices })
}

#[cfg(test)]
mod tests {
    use super::*;
    use edict_message::edit::apply;
    use proptest::prelude::*;

    fn some_edits(length: usize) -> impl Strategy<Value = Vec<Edit>> {
        let bytes = proptest::collection::vec(any::<u8>(), 0..6);
        proptest::collection::vec((0..=length, 0..6usize, bytes), 0..6).prop_map(move |mut all| {
            all.sort();
            let mut at = 0;
            let mut out = Vec::new();
            for (start, count, bytes) in all {
                let start = start.max(at);
                let end = (start + count).min(length);
                at = end;
                out.push(Edit { range: start..end, bytes });
            }
            out
        })
    }

    proptest! {
        #[test]
        fn composed_edits_do_what_both_rounds_do(
            message in proptest::collection::vec(any::<u8>(), 0..40),
            seed in some_edits(40),
            second in some_edits(60),
        ) {
            let first: Vec<Edit> = seed.into_iter().filter(|e| e.range.end <= message.len()).collect();
            let between = apply(&message, &first);
            let second: Vec<Edit> = second.into_iter().filter(|e| e.range.end <= between.len()).collect();
            let want = apply(&between, &second);
            let composed = compose(message.len(), &first, &second);
            prop_assert_eq!(apply(&message, &composed), want);
            for pair in composed.windows(2) {
                prop_assert!(pair[0].range.end <= pair[1].range.start);
            }
        }
    }
}
