//! Transfer encodings: lenient reading, exact positions, writing.
//!
//! Reading never fails: mail programs show what they can of a damaged part, and so do we. Positions map a
//! decoded offset back to the encoded byte it came from, so that an edit can stand in the middle of a part
//! and leave the rest of it alone.

use std::borrow::Cow;

/// A transfer encoding (RFC 2045 6).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Transfer {
    /// 7bit, or no field.
    #[default]
    Seven,
    /// 8bit.
    Eight,
    /// binary.
    Binary,
    /// quoted-printable.
    Quoted,
    /// base64.
    Base64,
    /// Something else: read as it lies, never edited.
    Unknown,
}

impl Transfer {
    /// Reads the field's value.
    pub(crate) fn parse(value: &str) -> Self {
        let token = value.split([';', ' ', '\t', '(']).find(|t| !t.is_empty()).unwrap_or_default();
        match token.to_ascii_lowercase().as_str() {
            "" | "7bit" => Self::Seven,
            "8bit" => Self::Eight,
            "binary" => Self::Binary,
            "quoted-printable" => Self::Quoted,
            "base64" => Self::Base64,
            _ => Self::Unknown,
        }
    }

    /// The bytes travel as they are.
    pub(crate) fn is_identity(self) -> bool {
        matches!(self, Self::Seven | Self::Eight | Self::Binary | Self::Unknown)
    }
}

/// The value of two hexadecimal digits.
pub(crate) fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// Calls `sink` with each decoded byte and the offset of the first encoded byte it came from.
/// Stops early where `sink` returns false.
pub(crate) fn each(bytes: &[u8], transfer: Transfer, sink: impl FnMut(u8, usize) -> bool) {
    match transfer {
        Transfer::Quoted => each_quoted(bytes, sink),
        Transfer::Base64 => each_base64(bytes, sink),
        _ => {
            let mut sink = sink;
            for (at, byte) in bytes.iter().enumerate() {
                if !sink(*byte, at) {
                    return;
                }
            }
        }
    }
}

fn each_quoted(bytes: &[u8], mut sink: impl FnMut(u8, usize) -> bool) {
    let mut at = 0;
    while let Some((end, next)) = crate::header::line_at(bytes, at) {
        let line = bytes.get(at..end).unwrap_or_default();
        // White space at the end of a line was added on the way (RFC 2045 6.7, rule 3).
        let line = line.trim_ascii_end();
        let soft = line.last() == Some(&b'=');
        let line = if soft { line.strip_suffix(b"=").unwrap_or(line) } else { line };
        let mut i = 0;
        while let Some(&byte) = line.get(i) {
            let pair = (byte == b'=').then(|| hex_pair(*line.get(i + 1)?, *line.get(i + 2)?)).flatten();
            if !sink(pair.unwrap_or(byte), at + i) {
                return;
            }
            i += if pair.is_some() { 3 } else { 1 };
        }
        if !soft {
            for place in end..next {
                if let Some(&byte) = bytes.get(place)
                    && !sink(byte, place)
                {
                    return;
                }
            }
        }
        at = next;
    }
}

fn base64_value(byte: u8) -> Option<u32> {
    Some(match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

/// The alphabet of base64 as a table.
const IS_BASE64: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        #[expect(clippy::indexing_slicing, reason = "constant evaluation, bounded by the loop")]
        if byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/' {
            table[byte as usize] = true;
        }
        byte += 1;
    }
    table
};

fn each_base64(bytes: &[u8], mut sink: impl FnMut(u8, usize) -> bool) {
    let mut group = 0_u32;
    let mut digits = 0_u32;
    let mut start = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte == b'=' {
            // The end of a quantum; another may follow where parts were glued together.
            if !base64_rest(group, digits, start, &mut sink) {
                return;
            }
            (group, digits) = (0, 0);
            continue;
        }
        let Some(value) = base64_value(byte) else { continue };
        if digits == 0 {
            start = at;
        }
        group = (group << 6) | value;
        digits += 1;
        if digits == 4 {
            let [_, a, b, c] = group.to_be_bytes();
            if !(sink(a, start) && sink(b, start) && sink(c, start)) {
                return;
            }
            (group, digits) = (0, 0);
        }
    }
    base64_rest(group, digits, start, &mut sink);
}

/// What is left of a quantum that was not filled.
fn base64_rest(group: u32, digits: u32, start: usize, sink: &mut impl FnMut(u8, usize) -> bool) -> bool {
    let [_, a, b, _] = (group << (6 * (4_u32.saturating_sub(digits)))).to_be_bytes();
    match digits {
        2 => sink(a, start),
        3 => sink(a, start) && sink(b, start),
        _ => true,
    }
}

/// Base64 of an encoded word: any byte outside the alphabet refuses it, missing padding does not.
pub(crate) fn base64_strict(bytes: &[u8]) -> Option<Vec<u8>> {
    let data = bytes.trim_ascii();
    let end = data.iter().rposition(|b| *b != b'=').map_or(0, |last| last + 1);
    let (digits, padding) = data.split_at_checked(end)?;
    let fine =
        padding.len() <= 2 && digits.len() % 4 != 1 && digits.iter().all(|b| base64_value(*b).is_some());
    fine.then(|| {
        let mut out = Vec::with_capacity(digits.len());
        each_base64(digits, |byte, _| {
            out.push(byte);
            true
        });
        out
    })
}

/// The decoded bytes; borrowed where the encoding changes nothing. At most `limit` bytes are decoded.
pub(crate) fn decode(bytes: &[u8], transfer: Transfer, limit: usize) -> Cow<'_, [u8]> {
    if transfer.is_identity() {
        return Cow::Borrowed(bytes.get(..limit).unwrap_or(bytes));
    }
    let mut out = Vec::with_capacity(bytes.len().min(limit));
    each(bytes, transfer, |byte, _| {
        out.push(byte);
        out.len() < limit
    });
    Cow::Owned(out)
}

/// How many bytes a part decodes to.
pub(crate) fn decoded_len(bytes: &[u8], transfer: Transfer) -> u64 {
    if transfer.is_identity() {
        return bytes.len() as u64;
    }
    let mut count = 0;
    if transfer == Transfer::Base64 {
        // Attachments are large: count digits between paddings instead of decoding them.
        for quanta in bytes.split(|b| *b == b'=') {
            let digits =
                quanta.iter().filter(|b| IS_BASE64.get(usize::from(**b)) == Some(&true)).count() as u64;
            count += digits / 4 * 3 + (digits % 4).saturating_sub(1);
        }
        return count;
    }
    each(bytes, transfer, |_, _| {
        count += 1;
        true
    });
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8], transfer: Transfer) -> Vec<u8> {
        assert_eq!(decoded_len(bytes, transfer), decode(bytes, transfer, usize::MAX).len() as u64);
        decode(bytes, transfer, usize::MAX).into_owned()
    }

    #[test]
    fn quoted_printable() {
        for (raw, want) in [
            ("a=3Db=\r\nc \t\r\nd", "a=bc\r\nd"),
            ("=C3=BC", "ü"),
            ("x=ZZ=4", "x=ZZ=4"),
            ("end=", "end"),
            ("lf=\nonly=20\n", "lfonly \n"),
        ] {
            assert_eq!(decoded(raw.as_bytes(), Transfer::Quoted), want.as_bytes(), "{raw}");
        }
    }

    #[test]
    fn base64() {
        for (raw, want) in [
            ("aGVsbG8=\r\n", "hello"),
            ("aGVs\r\nbG8", "hello"),
            ("aGVsbG8=aGVsbG8=", "hellohello"),
            ("a G V s", "hel"),
            ("=", ""),
            ("a", ""),
        ] {
            assert_eq!(decoded(raw.as_bytes(), Transfer::Base64), want.as_bytes(), "{raw}");
        }
        assert_eq!(base64_strict(b"aGk"), Some(b"hi".to_vec()));
        assert_eq!(base64_strict(b"a*k="), None);
        assert_eq!(base64_strict(b"a==="), None);
    }

    #[test]
    fn positions_point_at_the_encoded_byte() {
        let mut places = Vec::new();
        each(b"a=3D=\r\nb\r\n", Transfer::Quoted, |byte, at| {
            places.push((byte, at));
            true
        });
        assert_eq!(places, [(b'a', 0), (b'=', 1), (b'b', 7), (b'\r', 8), (b'\n', 9)]);
    }

    #[test]
    fn names() {
        assert_eq!(Transfer::parse(" BASE64 (x)"), Transfer::Base64);
        assert_eq!(Transfer::parse("8bit;"), Transfer::Eight);
        assert_eq!(Transfer::parse("x-uuencode"), Transfer::Unknown);
    }
}
