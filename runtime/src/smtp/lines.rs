//! Finds command lines. Only CRLF ends one (RFC 5321 2.3.8).
//!
//! A bare LF is told at once, wherever it stands: a client that ends lines so would otherwise wait for
//! an answer that never comes, and a front that took it for a line end would read what others do not.

use memchr::{memchr, memchr2};

/// What stands at the front of the input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// No whole line yet.
    Partial,
    /// A line of so many bytes; CRLF follows.
    Line(usize),
    /// A line that is over the limit, with its CRLF, or the front of one that will be.
    Long,
    /// A LF without CR.
    BareLf,
}

/// Looks for a line of at most `max` bytes.
pub(super) fn find(input: &[u8], max: usize) -> Found {
    match memchr(b'\n', input) {
        None if input.len() > max + 1 => Found::Long,
        None => Found::Partial,
        Some(0) => Found::BareLf,
        Some(end) if input.get(end - 1) != Some(&b'\r') => Found::BareLf,
        Some(end) if end - 1 > max => Found::Long,
        Some(end) => Found::Line(end - 1),
    }
}

/// Whether a line without its CRLF holds what no command may: a bare CR or a NUL.
pub(super) fn is_dirty(line: &[u8]) -> bool {
    memchr2(b'\r', 0, line).is_some()
}

/// Skips the rest of a line that is too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Skip {
    after_cr: bool,
    skipped: usize,
}

/// Where skipping stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Skipped {
    /// All of the input belongs to the line.
    All,
    /// The line ended after so many bytes.
    Ended(usize),
    /// A LF without CR.
    BareLf,
    /// More than anyone should have to skip.
    Hopeless,
}

/// The longest line that is skipped, in bytes.
const MAX_SKIP: usize = 1 << 20;

impl Skip {
    /// Goes on with more of the input.
    pub(super) fn feed(&mut self, input: &[u8]) -> Skipped {
        match memchr(b'\n', input) {
            None => {
                self.skipped = self.skipped.saturating_add(input.len());
                if self.skipped > MAX_SKIP {
                    return Skipped::Hopeless;
                }
                if let Some(&last) = input.last() {
                    self.after_cr = last == b'\r';
                }
                Skipped::All
            }
            Some(0) if self.after_cr => Skipped::Ended(1),
            Some(end) if end > 0 && input.get(end - 1) == Some(&b'\r') => Skipped::Ended(end + 1),
            Some(_) => Skipped::BareLf,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5321 2.3.8.
    #[test]
    fn only_crlf_ends_a_line() {
        for (input, want) in [
            (&b""[..], Found::Partial),
            (b"NOOP", Found::Partial),
            (b"NOOP\r", Found::Partial),
            (b"NOOP\r\n", Found::Line(4)),
            (b"\r\n", Found::Line(0)),
            (b"NOOP\nQUIT\r\n", Found::BareLf),
            (b"\n", Found::BareLf),
            (b"12345678\r\n", Found::Line(8)),
            (b"12345678\r", Found::Partial),
            (b"123456789\r\n", Found::Long),
            (b"1234567890", Found::Long),
        ] {
            assert_eq!(find(input, 8), want, "{input:?}");
        }
        assert!(is_dirty(b"NO\0OP") && is_dirty(b"NO\rOP") && !is_dirty(b"NOOP"));
    }

    #[test]
    fn skipping_ends_at_crlf_only() {
        let mut skip = Skip::default();
        assert_eq!(skip.feed(b"abc\rdef\r"), Skipped::All);
        assert_eq!(skip.feed(b"\nNOOP\r\n"), Skipped::Ended(1));
        assert_eq!(Skip::default().feed(b"x\r\n"), Skipped::Ended(3));
        assert_eq!(Skip::default().feed(b"x\n"), Skipped::BareLf);
        assert_eq!(Skip::default().feed(&vec![b'x'; MAX_SKIP + 1]), Skipped::Hopeless);
    }
}
