//! Putting bytes into the middle of an encoded body, which stays as it is around them.
//!
//! Offsets are those of decoded bytes, edits those of the raw body. With each edit comes what it puts in, decoded.

use super::{Edit, encode};
use crate::decode::{self, Transfer};

/// The raw offset of a decoded byte; none where it lies behind the end.
fn place_of(raw: &[u8], transfer: Transfer, at: usize) -> Option<usize> {
    let mut place = None;
    let mut count = 0;
    decode::each(raw, transfer, |_, from| {
        if count == at {
            place = Some(from);
        }
        count += 1;
        place.is_none()
    });
    place
}

/// Bytes since the line began.
fn column(before: &[u8]) -> usize {
    before.len() - before.iter().rposition(|b| *b == b'\n').map_or(0, |lf| lf + 1)
}

/// Into quoted-printable.
pub(super) fn quoted(raw: &[u8], pieces: &[(usize, &[u8])], eol: &str) -> Vec<(Edit, Vec<u8>)> {
    let mut out = Vec::new();
    for (at, bytes) in pieces {
        let place = place_of(raw, Transfer::Quoted, *at);
        let end = place.is_none();
        let place = place.unwrap_or(raw.len());
        let before = raw.get(..place).unwrap_or_default();
        let column = column(before);
        let fresh = bytes.starts_with(eol.as_bytes());
        let mut new = Vec::new();
        let open = before.trim_ascii_end().last() == Some(&b'=') && column > 0 && end;
        if open {
            // The body ends in a soft break without its line end.
            new.extend_from_slice(eol.as_bytes());
        } else if column > 0 && !end && (!fresh || matches!(before.last(), Some(b' ' | b'\t'))) {
            new.push(b'=');
            new.extend_from_slice(eol.as_bytes());
        }
        let column = if new.is_empty() { column } else { 0 };
        new.extend(encode::quoted(bytes, column, eol));
        if !end && !bytes.ends_with(eol.as_bytes()) {
            new.push(b'=');
            new.extend_from_slice(eol.as_bytes());
        }
        out.push((Edit { range: place..place, bytes: new }, bytes.to_vec()));
    }
    out
}

/// Into base64: one edit from the group that holds the first insertion to the end. `decoded` is the whole.
pub(super) fn base64(
    raw: &[u8],
    decoded: &[u8],
    pieces: &[(usize, &[u8])],
    eol: &str,
) -> Vec<(Edit, Vec<u8>)> {
    let Some((first, _)) = pieces.first() else { return Vec::new() };
    let group = first - first % 3;
    let data_end = raw.trim_ascii_end().len();
    let place = place_of(raw, Transfer::Base64, group).unwrap_or(data_end);
    let column = column(raw.get(..place).unwrap_or_default());
    let moved: Vec<Edit> = pieces
        .iter()
        .map(|(at, bytes)| Edit { range: at - group..at - group, bytes: bytes.to_vec() })
        .collect();
    let rest = super::apply(decoded.get(group..).unwrap_or_default(), &moved);
    let bytes = encode::base64(&rest, column, eol);
    vec![(Edit { range: place..data_end, bytes }, Vec::new())]
}

/// Into base64 of which little is to change: the groups that hold an insertion are written anew, with spaces that
/// make it whole groups, and what stands behind stays. None where two insertions share a group.
pub(super) fn base64_apart(raw: &[u8], pieces: &[(usize, &[u8])], eol: &str) -> Option<Vec<(Edit, Vec<u8>)>> {
    let data_end = raw.trim_ascii_end().len();
    let mut out: Vec<(Edit, Vec<u8>)> = Vec::new();
    for (at, bytes) in pieces {
        let lead = at % 3;
        let start = place_of(raw, Transfer::Base64, at - lead).unwrap_or(data_end);
        let next = place_of(raw, Transfer::Base64, at - lead + 3);
        let end = next.unwrap_or(data_end);
        if out.last().is_some_and(|(edit, _)| edit.range.end > start) {
            return None;
        }
        let group = decode::decode(raw.get(start..end)?, Transfer::Base64, 3);
        let mut put = bytes.to_vec();
        if next.is_some() {
            // In front of the last line end a space is seen by nobody.
            let place = put.len() - if put.ends_with(eol.as_bytes()) { eol.len() } else { 0 };
            let spaces = (3 - put.len() % 3) % 3;
            put.splice(place..place, std::iter::repeat_n(b' ', spaces));
        }
        let whole = [group.get(..lead)?, &put, group.get(lead..)?].concat();
        let mut new = encode::base64(&whole, column(raw.get(..start)?), eol);
        if next.is_some() {
            new.extend_from_slice(eol.as_bytes());
        }
        out.push((Edit { range: start..end, bytes: new }, put));
    }
    Some(out)
}

/// Decoded bytes around an edit that are compared.
const NEAR: usize = 1500;

/// Whether an edit of a raw body puts `put` somewhere near, and changes nothing else of what is decoded there. What
/// lies farther away keeps both its bytes and its place in lines or groups.
pub(super) fn puts(raw: &[u8], transfer: Transfer, edit: &Edit, put: &[u8]) -> bool {
    let (start, end) = match transfer {
        Transfer::Quoted => {
            let front = raw.get(..edit.range.start.saturating_sub(NEAR)).unwrap_or_default();
            let back = (edit.range.end + NEAR).min(raw.len());
            let line =
                raw.get(back..).and_then(|r| memchr::memchr(b'\n', r)).map_or(raw.len(), |n| back + n + 1);
            (front.iter().rposition(|b| *b == b'\n').map_or(0, |lf| lf + 1), line)
        }
        Transfer::Base64 => {
            // Groups are counted from the start.
            let digits = raw.get(..edit.range.start).unwrap_or_default();
            let before = decode::decoded_len(digits, transfer) as usize;
            let from = (before - before % 3).saturating_sub(NEAR);
            let to = before - before % 3 + 2 * NEAR;
            let start = place_of(raw, transfer, from).unwrap_or(edit.range.start);
            (start, place_of(raw, transfer, to).unwrap_or(raw.len()))
        }
        _ => return edit.range.is_empty() && edit.bytes == put,
    };
    let piece = |from: usize, to: usize| raw.get(from..to).unwrap_or_default();
    let old = decode::decode(piece(start, end), transfer, usize::MAX);
    let new = [piece(start, edit.range.start), &edit.bytes, piece(edit.range.end, end)].concat();
    let new = decode::decode(&new, transfer, usize::MAX);
    new.len() == old.len() + put.len()
        && memchr::memmem::find_iter(&new, put)
            .any(|at| new.get(..at) == old.get(..at) && new.get(at + put.len()..) == old.get(at..))
}
