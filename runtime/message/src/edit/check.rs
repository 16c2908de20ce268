//! Reading an edited message back before anyone gets it.
//!
//! What was not edited is compared by construction; so a *skeleton* is read back, the message without the
//! bodies of parts that did not change. It must have the same parts with the same names and types, the edited
//! ones must decode to what was meant, and mail-parser, which shares no code with the walker, must see the old
//! text with the new in one place.

use super::Edit;
use super::leaf::{Leaf, Rewrite};
use super::splice;
use crate::decode;
use crate::header::line_at;
use crate::limits::MAX_LINE;
use crate::mime::{Kind, Part, Tree, walk};
use mail_parser::{MessageParser, PartType};
use std::ops::Range;

/// Bytes kept around an insertion into a part too large to be read back whole.
const WINDOW: usize = 4096;

/// Whether the edits of one leaf do what was meant and nothing else.
pub(super) fn holds(message: &[u8], tree: &Tree, leaf: &Leaf<'_>, rewrite: &mut Rewrite) -> bool {
    if !lines_fit(&rewrite.edits) || !in_order(&rewrite.edits, message.len()) {
        return false;
    }
    let skeleton = skeleton(message, tree, leaf, &rewrite.edits);
    let read = walk(&skeleton);
    if read.parts.len() != tree.parts.len() || read.malformed {
        return false;
    }
    tree.parts.iter().zip(&read.parts).enumerate().all(|(number, (old, new))| {
        let edited = (number == leaf.number).then_some(&mut *rewrite);
        same_part(old, new, edited.as_deref())
            && edited.is_none_or(|r| reads_back(&skeleton, new, leaf, r, message))
    })
}

/// The edited message without the bodies of the other leaves.
fn skeleton(message: &[u8], tree: &Tree, leaf: &Leaf<'_>, edits: &[Edit]) -> Vec<u8> {
    let mut steps: Vec<(Range<usize>, &[u8])> = edits.iter().map(|e| (e.range.clone(), &*e.bytes)).collect();
    steps.extend(cuts(tree, leaf, edits).into_iter().map(|range| (range, &[][..])));
    steps.sort_by_key(|(range, _)| (range.start, range.end));
    let kept = message.len() - steps.iter().map(|(range, _)| range.len()).sum::<usize>().min(message.len());
    let mut out = Vec::with_capacity(kept + steps.iter().map(|(_, b)| b.len()).sum::<usize>());
    let mut at = 0;
    for (range, bytes) in steps {
        out.extend_from_slice(message.get(at..range.start).unwrap_or_default());
        out.extend_from_slice(bytes);
        at = range.end.max(at);
    }
    out.extend_from_slice(message.get(at..).unwrap_or_default());
    out
}

/// No line that an edit writes is too long, and no control character came in.
fn lines_fit(edits: &[Edit]) -> bool {
    edits.iter().all(|edit| {
        edit.bytes.split(|b| *b == b'\n').all(|line| line.len() <= MAX_LINE + 1) && !edit.bytes.contains(&0)
    })
}

/// In order, apart, and inside the message.
pub(super) fn in_order(edits: &[Edit], length: usize) -> bool {
    let mut at = 0;
    edits.iter().all(|edit| {
        let fine = at <= edit.range.start && edit.range.start <= edit.range.end && edit.range.end <= length;
        at = edit.range.end;
        fine
    })
}

/// What the skeleton leaves out: bodies of other leaves, and of a large edited one all but the surroundings.
fn cuts(tree: &Tree, leaf: &Leaf<'_>, edits: &[Edit]) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let leaves = tree.parts.iter().enumerate().filter(|(_, p)| p.kind == Kind::Leaf);
    for (_, part) in leaves.filter(|(number, _)| *number != leaf.number) {
        out.push(part.body.clone());
    }
    if !leaf.is_whole() {
        let body = &leaf.part.body;
        let mut at = body.start;
        for edit in edits.iter().filter(|e| e.range.start >= body.start) {
            out.push(at..edit.range.start.saturating_sub(WINDOW).max(at));
            at = (edit.range.end + WINDOW).min(body.end);
        }
        out.push(at..body.end);
    }
    out.retain(|range| !range.is_empty());
    out
}

fn same_part(old: &Part, new: &Part, edited: Option<&Rewrite>) -> bool {
    let charset = match edited.and_then(|r| r.charset.as_deref()) {
        Some(label) => new.content.get("charset") == Some(label),
        None => new.content == old.content,
    };
    charset
        && old.parent == new.parent
        && old.kind == new.kind
        && old.media() == new.media()
        && old.name == new.name
        && old.disposition == new.disposition
        && old.closed == new.closed
        && (edited.is_some() || old.transfer == new.transfer)
}

/// Whether the edited part decodes to what was meant, for us and for mail-parser. Takes what was expected out of
/// `rewrite`, so that it is not held any longer.
fn reads_back(skeleton: &[u8], new: &Part, leaf: &Leaf<'_>, rewrite: &mut Rewrite, message: &[u8]) -> bool {
    let Some(expected) = rewrite.decoded.take() else {
        let start = leaf.part.body.start;
        return rewrite.splices.iter().all(|(edit, put)| {
            let range = edit.range.start - start..edit.range.end - start;
            splice::puts(leaf.raw, leaf.part.transfer, &Edit { range, bytes: edit.bytes.clone() }, put)
        });
    };
    let body = skeleton.get(new.body.clone()).unwrap_or_default();
    if !decodes_to(body, new, &expected) {
        return false;
    }
    if rewrite.charset.is_some() {
        // The old label may have been wrong, and mail-parser believed it. The new one is UTF-8.
        return second_opinion(skeleton, new, |now| {
            std::str::from_utf8(&expected).is_ok_and(|text| visible(text).eq(visible(now)))
        });
    }
    drop(expected);
    let entity = message.get(leaf.part.header.start..leaf.part.body.end).unwrap_or_default();
    let test = |old: &str| second_opinion(skeleton, new, |now| has_inserted(old, now, &rewrite.inserted));
    match missing_padding(leaf) {
        // mail-parser drops what is not padded.
        0 => opinion(entity, test),
        more => opinion(&[entity.trim_ascii_end(), b"==".get(..more).unwrap_or_default()].concat(), test),
    }
}

/// How many `=` the base64 of a part lacks.
fn missing_padding(leaf: &Leaf<'_>) -> usize {
    if leaf.part.transfer != decode::Transfer::Base64 {
        return 0;
    }
    let digits = leaf.raw.iter().filter(|b| !b.is_ascii_whitespace()).count();
    (4 - digits % 4) % 4
}

fn decodes_to(body: &[u8], part: &Part, expected: &[u8]) -> bool {
    if part.transfer.is_identity() {
        return body == expected;
    }
    let mut count = 0;
    let mut same = true;
    decode::each(body, part.transfer, |byte, _| {
        same = expected.get(count) == Some(&byte);
        count += 1;
        same
    });
    same && count == expected.len()
}

/// What mail-parser, given the part alone, says to a test of its text.
fn second_opinion(message: &[u8], part: &Part, test: impl FnOnce(&str) -> bool) -> bool {
    opinion(message.get(part.header.start..part.body.end).unwrap_or_default(), test)
}

fn opinion(entity: &[u8], test: impl FnOnce(&str) -> bool) -> bool {
    let Some(read) = MessageParser::default().parse(entity) else {
        // An empty part is nothing to mail-parser.
        return test("");
    };
    match read.parts.first().map(|p| &p.body) {
        Some(PartType::Text(text) | PartType::Html(text)) => test(text),
        _ => false,
    }
}

fn visible(text: &str) -> impl DoubleEndedIterator<Item = char> {
    text.chars().filter(|c| !c.is_whitespace())
}

/// Whether a text is another with all of `inserted` put in, white space aside.
fn has_inserted(old: &str, new: &str, inserted: &[String]) -> bool {
    let length = |text: &str| visible(text).count();
    let (was, now) = apart(old, new);
    let before = length(was);
    if length(now) != before + inserted.iter().map(|i| length(i)).sum::<usize>() {
        return false;
    }
    // With several insertions only the ends and the length are compared; the bytes were compared before.
    before == 0 || inserted.len() > 1 || {
        let front = visible(old).zip(visible(new)).take_while(|(a, b)| a == b).count();
        let back = visible(old).rev().zip(visible(new).rev()).take_while(|(a, b)| a == b).count();
        front + back >= length(old)
    }
}

/// What is left of two texts without the beginning and the end that they share.
fn apart<'a>(old: &'a str, new: &'a str) -> (&'a str, &'a str) {
    let same = old.bytes().zip(new.bytes()).take_while(|(a, b)| a == b).count();
    let front = old.floor_char_boundary(same).min(new.floor_char_boundary(same));
    let (old, new) = (old.get(front..).unwrap_or_default(), new.get(front..).unwrap_or_default());
    let same = old.bytes().rev().zip(new.bytes().rev()).take_while(|(a, b)| a == b).count();
    let cut = |text: &str| text.ceil_char_boundary(text.len() - same);
    let back = (old.len() - cut(old)).min(new.len() - cut(new));
    let end = |text: &str| text.len() - back;
    (old.get(..end(old)).unwrap_or_default(), new.get(..end(new)).unwrap_or_default())
}

/// Whether a line of `bytes` could be taken for a delimiter of that boundary.
pub(super) fn has_boundary(bytes: &[u8], boundary: &str) -> bool {
    let mut at = 0;
    while let Some((end, next)) = line_at(bytes, at) {
        let line = bytes.get(at..end).unwrap_or_default();
        if line.strip_prefix(b"--").is_some_and(|l| l.starts_with(boundary.as_bytes())) {
            return true;
        }
        at = next;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The whole texts compared, which is what is meant.
    fn slowly(old: &str, new: &str, inserted: &[String]) -> bool {
        let length = |text: &str| visible(text).count();
        let (before, after) = (length(old), length(new));
        let front = visible(old).zip(visible(new)).take_while(|(a, b)| a == b).count();
        let back = visible(old).rev().zip(visible(new).rev()).take_while(|(a, b)| a == b).count();
        after == before + inserted.iter().map(|i| length(i)).sum::<usize>()
            && (front + back >= before || inserted.len() > 1)
    }

    proptest! {
        #[test]
        fn what_two_texts_share_is_not_counted_twice(
            front in "[ab\u{e9}\u{ea}\u{1f600}\u{1f601} ]{0,6}", old in "[ab\u{e9} ]{0,2}",
            new in "[ab\u{e9}\u{ea}\u{1f600} ]{0,6}", back in "[ab\u{e9}\u{ea} ]{0,6}",
            inserted in prop::collection::vec("[ab\u{e9} ]{0,4}", 0..3))
        {
            let (old, new) = (format!("{front}{old}{back}"), format!("{front}{new}{back}"));
            prop_assert_eq!(has_inserted(&old, &new, &inserted), slowly(&old, &new, &inserted));
        }
    }
}
