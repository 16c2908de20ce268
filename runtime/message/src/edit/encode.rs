//! Writing transfer encodings (RFC 2045 6.7, 6.8).
//!
//! Both writers take the column at which they begin, so that they can go on in the middle of a line.

/// The longest line of either encoding, without its line end.
const WIDTH: usize = 76;

/// Quoted-printable. The message's line end in `bytes` becomes a line end; every other CR and LF is encoded, and so
/// is white space before a line end or at the end.
pub(super) fn quoted(bytes: &[u8], mut column: usize, eol: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 8);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let rest = bytes.get(at..).unwrap_or_default();
        if rest.starts_with(eol.as_bytes()) {
            out.extend_from_slice(eol.as_bytes());
            column = 0;
            at += eol.len();
            continue;
        }
        let after = bytes.get(at + 1..).unwrap_or_default();
        let last = after.is_empty() || after.starts_with(eol.as_bytes());
        let plain = match byte {
            b' ' | b'\t' => !last,
            b'=' => false,
            _ => byte.is_ascii_graphic(),
        };
        let width = if plain { 1 } else { 3 };
        // A line that goes on needs room for its `=`.
        if column + width > WIDTH - usize::from(!last) {
            out.push(b'=');
            out.extend_from_slice(eol.as_bytes());
            column = 0;
        }
        if plain {
            out.push(byte);
        } else {
            out.push(b'=');
            out.extend(
                [byte >> 4, byte & 15]
                    .map(|d| b"0123456789ABCDEF".get(usize::from(d)).copied().unwrap_or(b'0')),
            );
        }
        column += width;
        at += 1;
    }
    out
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 in lines of at most 76 characters, without a line end behind the last.
pub(super) fn base64(bytes: &[u8], mut column: usize, eol: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() / 3 * 4 + bytes.len() / 57 * 2 + 8);
    for chunk in bytes.chunks(3) {
        if column + 4 > WIDTH {
            out.extend_from_slice(eol.as_bytes());
            column = 0;
        }
        let group = chunk.iter().fold(0_u32, |sum, b| (sum << 8) | u32::from(*b)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = (group >> (18 - 6 * place)) & 63;
            let letter = ALPHABET.get(digit as usize).copied().unwrap_or(b'A');
            out.push(if place <= chunk.len() { letter } else { b'=' });
        }
        column += 4;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Transfer, decode};
    use proptest::prelude::*;

    #[test]
    fn quoted_lines() {
        assert_eq!(quoted(b"a=b \r\n\tx ", 0, "\r\n"), b"a=3Db=20\r\n\tx=20");
        assert_eq!(quoted("ü".as_bytes(), 71, "\r\n"), "=C3=\r\n=BC".as_bytes());
        assert_eq!(quoted(b"a\nb", 0, "\r\n"), b"a=0Ab");
        let long = quoted(&[b'x'; 200], 0, "\r\n");
        assert!(long.split(|b| *b == b'\n').all(|l| l.len() <= WIDTH + 1));
    }

    proptest! {
        #[test]
        fn both_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..400), column in 0_usize..76) {
            let read = |written: &[u8], transfer| decode(written, transfer, usize::MAX).into_owned();
            prop_assert_eq!(&read(&base64(&bytes, column / 4 * 4, "\r\n"), Transfer::Base64), &bytes);
            for eol in ["\r\n", "\n"] {
                prop_assert_eq!(&read(&quoted(&bytes, 0, eol), Transfer::Quoted), &bytes);
            }
            for line in quoted(&bytes, column, "\r\n").split(|b| *b == b'\n') {
                prop_assert!(line.len() <= WIDTH + 1);
            }
        }
    }
}
