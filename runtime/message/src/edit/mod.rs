//! Edits as splices over the original bytes.
//!
//! An edit names a range of the original and what stands there instead; everything outside the ranges is
//! the same before and after. Edits of one list lie in order and do not overlap.

mod check;
mod choose;
mod disclaim;
mod encode;
mod expand;
mod field;
mod known;
mod leaf;
mod marker;
mod order;
mod place;
mod quote;
mod render;
mod seven;
mod splice;
mod survey;
mod wrap;

pub use disclaim::{Outcome, disclaim, disclaim_all};
pub use expand::{Escape, Variables, expand};
pub use order::{Order, Untouched};
pub use seven::{Stuck, has_utf8_header, seven_bit};

use std::ops::Range;

/// Replaces a range of the original. An empty range inserts, empty bytes remove.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Edit {
    /// In the original message.
    pub range: Range<usize>,
    /// What stands there instead.
    pub bytes: Vec<u8>,
}

/// The message with the edits made. Edits that overlap an earlier one or lie outside are left out.
#[must_use]
pub fn apply(message: &[u8], edits: &[Edit]) -> Vec<u8> {
    let added: usize = edits.iter().map(|e| e.bytes.len()).sum();
    let removed: usize = edits.iter().map(|e| e.range.len()).sum();
    let mut out = Vec::with_capacity((message.len() + added).saturating_sub(removed));
    let mut at = 0;
    for edit in edits {
        let Some(kept) = message.get(at..edit.range.start) else { continue };
        if edit.range.end < edit.range.start || edit.range.end > message.len() {
            continue;
        }
        out.extend_from_slice(kept);
        out.extend_from_slice(&edit.bytes);
        at = edit.range.end;
    }
    out.extend_from_slice(message.get(at..).unwrap_or_default());
    out
}
