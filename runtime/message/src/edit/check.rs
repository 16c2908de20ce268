//! Reading an edited message back before anyone gets it.
//!
//! What was not edited is compared by construction; so a *skeleton* is read back, the message without the
//! bodies of parts that did not change. It must have the same parts with the same names and types, the edited
//! ones must decode to what was meant, and mail-parser, which shares no code with the walker, must see the old
//! text with the new in one place.

use super::leaf::{Leaf, Rewrite};
use super::{Edit, apply};
use crate::decode;
use crate::header::line_at;
use crate::limits::{MAX_LEAF, MAX_LINE};
use crate::mime::{Kind, Part, Tree, walk};
use mail_parser::{MessageParser, PartType};

/// Bytes kept around an insertion into a part too large to be read back whole.
const WINDOW: usize = 4096;

/// Whether the edits do what was meant and nothing else.
pub(super) fn holds(message: &[u8], tree: &Tree, done: &[(&Leaf<'_>, &Rewrite)]) -> bool {
    let mut edits: Vec<Edit> = done.iter().flat_map(|(_, r)| r.edits.iter().cloned()).collect();
    edits.sort_by_key(|e| (e.range.start, e.range.end));
    if !lines_fit(&edits) || !in_order(&edits, message.len()) {
        return false;
    }
    let mut cuts = cuts(tree, done);
    cuts.append(&mut edits);
    cuts.sort_by_key(|e| (e.range.start, e.range.end));
    if !in_order(&cuts, message.len()) {
        return false;
    }
    let skeleton = apply(message, &cuts);
    let read = walk(&skeleton);
    if read.parts.len() != tree.parts.len() || read.malformed {
        return false;
    }
    for (number, (old, new)) in tree.parts.iter().zip(&read.parts).enumerate() {
        let edited = done.iter().find(|(leaf, _)| leaf.number == number);
        if !same_part(old, new, edited.map(|(_, r)| *r)) {
            return false;
        }
        if let Some((leaf, rewrite)) = edited
            && !reads_back(&skeleton, new, leaf, rewrite, message)
        {
            return false;
        }
    }
    true
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

/// What the skeleton leaves out: bodies of unchanged leaves, and of large changed ones all but the surroundings.
fn cuts(tree: &Tree, done: &[(&Leaf<'_>, &Rewrite)]) -> Vec<Edit> {
    let mut out = Vec::new();
    let mut leave = |range: std::ops::Range<usize>| {
        if range.start < range.end {
            out.push(Edit { range, bytes: Vec::new() });
        }
    };
    for (number, part) in tree.parts.iter().enumerate().filter(|(_, p)| p.kind == Kind::Leaf) {
        let edited = done.iter().find(|(leaf, _)| leaf.number == number);
        let Some((leaf, rewrite)) = edited else {
            leave(part.body.clone());
            continue;
        };
        if leaf.raw.len() <= 2 * MAX_LEAF {
            continue;
        }
        let mut at = part.body.start;
        for edit in rewrite.edits.iter().filter(|e| e.range.start >= part.body.start) {
            leave(at..edit.range.start.saturating_sub(WINDOW).max(at));
            at = (edit.range.end + WINDOW).min(part.body.end);
        }
        leave(at..part.body.end);
    }
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

fn reads_back(skeleton: &[u8], new: &Part, leaf: &Leaf<'_>, rewrite: &Rewrite, message: &[u8]) -> bool {
    let Some(expected) = &rewrite.decoded else { return true };
    let body = skeleton.get(new.body.clone()).unwrap_or_default();
    if *decode::decode(body, new.transfer, usize::MAX) != **expected {
        return false;
    }
    let now = entity(skeleton, new).and_then(|bytes| second_opinion(&bytes));
    if rewrite.charset.is_some() {
        // The old label may have been wrong, and mail-parser believed it. The new one is UTF-8.
        return std::str::from_utf8(expected)
            .is_ok_and(|text| insertions(text, &now.unwrap_or_default(), &[]));
    }
    let old = entity(message, leaf.part).and_then(|bytes| second_opinion(&bytes));
    match (old, now) {
        (Some(old), Some(now)) => insertions(&old, &now, &rewrite.inserted),
        // Nothing was there for mail-parser to see; now there is.
        (None, Some(now)) => insertions("", &now, &rewrite.inserted),
        (_, None) => false,
    }
}

/// A part as a message of its own, of its content fields alone.
fn entity(message: &[u8], part: &Part) -> Option<Vec<u8>> {
    let header = message.get(part.header.clone())?;
    let mut out = Vec::with_capacity(part.body.len() + 256);
    for field in crate::header::fields(header).fields {
        if field.name.get(..8).is_some_and(|n| n.eq_ignore_ascii_case(b"content-")) {
            out.extend_from_slice(header.get(field.range)?);
        }
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(message.get(part.body.clone())?);
    Some(out)
}

/// The text that mail-parser sees in a part.
fn second_opinion(entity: &[u8]) -> Option<String> {
    let message = MessageParser::default().parse(entity)?;
    match message.parts.into_iter().next()?.body {
        PartType::Text(text) | PartType::Html(text) => Some(text.into_owned()),
        _ => None,
    }
}

/// Whether a text is another with all of `inserted` put in, white space aside.
fn insertions(old: &str, new: &str, inserted: &[String]) -> bool {
    let visible = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    let (old, new) = (visible(old), visible(new));
    let inserted: Vec<String> = inserted.iter().map(|i| visible(i)).collect();
    if new.len() != old.len() + inserted.iter().map(String::len).sum::<usize>() {
        return false;
    }
    let front = old.bytes().zip(new.bytes()).take_while(|(a, b)| a == b).count();
    let back = old.bytes().rev().zip(new.bytes().rev()).take_while(|(a, b)| a == b).count();
    // One insertion: what is before and behind it is all there was. Several: the ends and each of them.
    match inserted.as_slice() {
        [] => front == old.len(),
        [_] => front + back >= old.len(),
        several => several.iter().all(|i| memchr::memmem::find(new.as_bytes(), i.as_bytes()).is_some()),
    }
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
