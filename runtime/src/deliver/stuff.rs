//! A stored message as it goes over the wire: splices applied, lines as CRLF, dots stuffed.
//!
//! Never lets a bare CR or LF out (RFC 5321 2.3.8): each becomes a CRLF, so that no next hop can see an
//! end of data where we see none.

use crate::envelope::{Record, Splice, Variant};
use std::borrow::Cow;
use std::ops::Range;

/// The splices of a variant that fit into so many bytes, in order.
fn fitting(splices: &[Splice], length: usize) -> impl Iterator<Item = (Range<usize>, &[u8])> {
    let mut at = 0usize;
    splices.iter().filter_map(move |splice| {
        let (start, end) = (splice.start as usize, splice.end as usize);
        let fits = at <= start && start <= end && end <= length;
        fits.then(|| {
            at = end;
            (start..end, splice.bytes.as_slice())
        })
    })
}

/// The bytes of a variant. Splices that do not fit are left out.
#[must_use]
pub fn variant(record: &Record, place: u16) -> Cow<'_, [u8]> {
    match record.variants.get(usize::from(place)) {
        Some(Variant { splices }) if !splices.is_empty() => {
            let added: usize = splices.iter().map(|s| s.bytes.len()).sum();
            let mut out = Vec::with_capacity(record.bytes.len() + added);
            let mut at = 0usize;
            for (range, bytes) in fitting(splices, record.bytes.len()) {
                out.extend_from_slice(record.bytes.get(at..range.start).unwrap_or_default());
                out.extend_from_slice(bytes);
                at = range.end;
            }
            out.extend_from_slice(record.bytes.get(at..).unwrap_or_default());
            Cow::Owned(out)
        }
        _ => Cow::Borrowed(&record.bytes),
    }
}

/// Makes the record's bytes those of a variant, where they lie; its other variants fit no more.
pub fn settle(record: &mut Record, place: u16) {
    let Some(wanted) = record.variants.get_mut(usize::from(place)) else { return };
    let splices = std::mem::take(&mut wanted.splices);
    let fitting: Vec<(Range<usize>, &[u8])> = fitting(&splices, record.bytes.len()).collect();
    record.bytes.reserve_exact(fitting.iter().map(|(_, bytes)| bytes.len()).sum());
    for (range, bytes) in fitting.into_iter().rev() {
        record.bytes.splice(range, bytes.iter().copied());
    }
}

/// Whether every line ends with CRLF, the last one too, and nothing else stands in the way of a text.
#[must_use]
pub fn is_lines(message: &[u8]) -> bool {
    has_whole_ends(message, |_, _| false) && memchr::memchr(0, message).is_none()
}

/// Whether each CR stands before a LF, each LF behind a CR, and a pair of them at the end; and no two bytes beside
/// each other are those that `odd` names. In pieces, each without a branch: the compiler makes wide compares of it.
fn has_whole_ends(bytes: &[u8], odd: impl Fn(u8, u8) -> bool) -> bool {
    const PIECE: usize = 1024;
    let behind = bytes.get(1..).unwrap_or_default();
    bytes.first() != Some(&b'\n')
        && (bytes.is_empty() || bytes.ends_with(b"\r\n"))
        && bytes.chunks(PIECE).zip(behind.chunks(PIECE)).all(|(these, next)| {
            let pairs = these.iter().zip(next);
            !pairs.fold(false, |found, (a, b)| found | ((*a == b'\r') != (*b == b'\n')) | odd(*a, *b))
        })
}

/// Whether [`stuff`] would only copy these lines.
#[must_use]
pub fn is_plain(lines: &[u8]) -> bool {
    lines.first() != Some(&b'.') && has_whole_ends(lines, |a, b| (a == b'\n') & (b == b'.'))
}

/// The message in lines that end with CRLF, as a chunk carries it.
#[must_use]
pub fn lines(message: &[u8]) -> Cow<'_, [u8]> {
    if is_lines(message) {
        return Cow::Borrowed(message);
    }
    let mut out = Vec::with_capacity(message.len() + 2);
    each_line(message, |line| {
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
    });
    Cow::Owned(out)
}

/// What ends the data.
pub const END: &[u8] = b".\r\n";

/// Splits a long message at line ends into pieces of about this many bytes, for [`stuff`].
pub fn pieces(message: &[u8], size: usize) -> impl Iterator<Item = &[u8]> {
    let mut rest = message;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.get(size..).and_then(|tail| memchr::memchr(b'\n', tail)).map(|at| size + at + 1);
        let (piece, after) = rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or((rest, &[]));
        rest = after;
        Some(piece)
    })
}

/// Appends whole lines, stuffed; a last line without an end gets one. [`END`] is to follow the last.
pub fn stuff(lines: &[u8], out: &mut Vec<u8>) {
    if is_plain(lines) {
        out.extend_from_slice(lines);
        return;
    }
    out.reserve(lines.len() + lines.len() / 64 + 5);
    each_line(lines, |line| put(line, out));
}

/// Calls with each line, whatever ends it.
fn each_line(lines: &[u8], mut each: impl FnMut(&[u8])) {
    let mut rest = lines;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest);
        let (line, after) = match end {
            Some(at) => rest.split_at_checked(at + 1).unwrap_or((rest, &[])),
            None => (rest, &[][..]),
        };
        rest = after;
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        // What is left may hold a bare CR, which ends a line of its own.
        let mut line = line.strip_suffix(b"\r").unwrap_or(line);
        while let Some((first, more)) =
            memchr::memchr(b'\r', line).and_then(|at| Some((line.get(..at)?, line.get(at + 1..)?)))
        {
            each(first);
            line = more;
        }
        each(line);
    }
}

fn put(line: &[u8], out: &mut Vec<u8>) {
    if line.first() == Some(&b'.') {
        out.push(b'.');
    }
    out.extend_from_slice(line);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stuffed(message: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in pieces(message, 3) {
            stuff(piece, &mut out);
        }
        out.extend_from_slice(END);
        out
    }

    fn lines_of(message: &[u8]) -> Vec<u8> {
        lines(message).into_owned()
    }

    /// SMTP smuggling, outbound (lettre CVE-2021-38189, RUSTSEC-2026-0561): RFC 5321 2.3.8, 4.1.1.4, 4.5.2.
    #[test]
    fn known_cases() {
        for (message, want) in [
            (&b""[..], &b".\r\n"[..]),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b"a", b"a\r\n.\r\n"),
            (b".\r\n", b"..\r\n.\r\n"),
            (b"a\r\n.\r\nMAIL FROM:<x>\r\n", b"a\r\n..\r\nMAIL FROM:<x>\r\n.\r\n"),
            // Smuggling: each of these would end the data for some next hop.
            (b"a\n.\nb\r\n", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\r.\rb\r\n", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\r\r\nb", b"a\r\n\r\nb\r\n.\r\n"),
            (b"a\r\n\r", b"a\r\n\r\n.\r\n"),
        ] {
            assert_eq!(stuffed(message), want, "{message:?}");
        }
    }

    /// Whether copied or changed where it lies, a variant is the same; splices that do not fit are left out.
    fn both_ways(bytes: &[u8], splices: Vec<Splice>) -> Vec<u8> {
        let mut record = crate::spool::test_record(1, bytes.to_vec());
        record.variants.push(Variant { splices });
        let copied = variant(&record, 1).into_owned();
        settle(&mut record, 1);
        assert_eq!(record.bytes, copied);
        assert_eq!(variant(&record, 1), copied);
        copied
    }

    #[test]
    fn variants_that_do_not_fit() {
        let splice = |start, end, text: &str| Splice { start, end, bytes: text.as_bytes().to_vec() };
        for (splices, want) in [
            (vec![splice(0, 0, "<"), splice(1, 2, "B"), splice(3, 3, ">")], "<aBc>"),
            (vec![splice(2, 3, "C"), splice(0, 1, "A")], "abC"),
            (vec![splice(2, 1, "x"), splice(3, 9, "x"), splice(9, 9, "x")], "abc"),
            (vec![splice(0, 3, "")], ""),
        ] {
            assert_eq!(both_ways(b"abc", splices), want.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn one_end_and_no_bare_ends(message in prop::collection::vec(
            prop_oneof![Just(b'.'), Just(b'\r'), Just(b'\n'), Just(b'a')], 0..60)) {
            let out = stuffed(&message);
            let text = String::from_utf8(out).unwrap();
            let lines: Vec<&str> = text.strip_suffix("\r\n").unwrap().split("\r\n").collect();
            prop_assert!(lines.iter().all(|l| !l.contains(['\r', '\n'])));
            prop_assert_eq!(lines.iter().filter(|l| **l == ".").count(), 1);
            prop_assert_eq!(*lines.last().unwrap(), ".");
            // A chunk carries the same lines without the dots.
            let chunk = String::from_utf8(lines_of(&message)).unwrap();
            let dots: String = chunk.split_inclusive("\r\n").map(|l| format!("{}{l}", if l.starts_with('.') { "." } else { "" })).collect();
            prop_assert_eq!(&(dots + ".\r\n"), &text);
            prop_assert_eq!(is_lines(&message), chunk.as_bytes() == &*message);
            prop_assert_eq!(is_plain(&message), text.as_bytes() == [&*message, END].concat());
        }

        #[test]
        fn long_ones_are_looked_at_in_pieces(place in 0_usize..5000, odd in prop::sample::select(vec![b'\r', b'\n', b'.'])) {
            let mut message = b"line\r\n".repeat(833);
            message.extend_from_slice(b"\r\n");
            if let Some(byte) = message.get_mut(place) {
                *byte = odd;
            }
            let same = stuffed(&message) == [&*message, END].concat();
            prop_assert_eq!(is_plain(&message), same);
            prop_assert_eq!(is_lines(&message), lines_of(&message) == message);
        }

        #[test]
        fn sound_messages_come_back(lines in prop::collection::vec("[.a-z]{0,5}", 0..20)) {
            let message: String = lines.iter().map(|l| format!("{l}\r\n")).collect();
            let out = String::from_utf8(stuffed(message.as_bytes())).unwrap();
            let body = out.strip_suffix(".\r\n").unwrap();
            let back: String = body.split_inclusive("\r\n").map(|l| l.strip_prefix('.').unwrap_or(l)).collect();
            prop_assert_eq!(back, message);
        }
    }

    #[test]
    fn splices() {
        let mut record = crate::spool::test_record(1, b"0123456789".to_vec());
        let splice = |start, end, bytes: &str| Splice { start, end, bytes: bytes.as_bytes().to_vec() };
        record
            .variants
            .push(Variant { splices: vec![splice(0, 0, ">"), splice(2, 4, "xyz"), splice(10, 10, "<")] });
        record
            .variants
            .push(Variant { splices: vec![splice(5, 2, "bad"), splice(4, 99, "bad"), splice(9, 10, "z")] });
        assert_eq!(&*variant(&record, 0), b"0123456789");
        assert_eq!(&*variant(&record, 1), b">01xyz456789<");
        assert_eq!(&*variant(&record, 2), b"012345678z");
        assert_eq!(&*variant(&record, 9), b"0123456789");
    }
}
