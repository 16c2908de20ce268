//! Charset labels and the conversions that parts need, on top of encoding_rs.
//!
//! Stricter than the WHATWG labels where it writes: what is labelled ISO-8859-x gets no byte that only
//! the Windows code page of the same shape knows, since mail programs disagree about those.

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use std::borrow::Cow;

/// The encoding behind a label, where it is one that can be read and written.
pub(crate) fn lookup(label: &str) -> Option<&'static Encoding> {
    let found = Encoding::for_label(label.trim().as_bytes())?;
    (found.name() != "replacement" && found.name() != "x-user-defined").then_some(found)
}

/// Whether the label says US-ASCII.
pub(crate) fn is_ascii_label(label: &str) -> bool {
    let label = label.trim();
    ["us-ascii", "ascii", "ansi_x3.4-1968", "iso-ir-6", "csascii", "us"]
        .iter()
        .any(|known| label.eq_ignore_ascii_case(known))
}

/// Raw 8-bit text without a label: UTF-8 if valid, else windows-1252.
pub(crate) fn raw(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0,
    }
}

/// Text for reading: never fails, odd bytes become U+FFFD; unlabelled and unknown ones as [`raw`].
pub(crate) fn read<'a>(bytes: &'a [u8], label: Option<&str>) -> Cow<'a, str> {
    let known = label.filter(|l| !is_ascii_label(l)).and_then(lookup);
    match known {
        Some(encoding) => encoding.decode(bytes).0,
        None => raw(bytes),
    }
}

/// Whether a label names an ISO-8859 set, whose C1 range is not to be written.
fn is_iso(label: &str) -> bool {
    let label = label.trim().to_ascii_lowercase();
    label.starts_with("iso") && !label.starts_with("iso-2022") || label.starts_with("latin") || label == "l1"
}

/// Encodes text for a part that is labelled so; `None` where the charset cannot hold it.
pub(crate) fn encode(text: &str, label: &str) -> Option<Vec<u8>> {
    if text.is_ascii() {
        return Some(text.as_bytes().to_vec());
    }
    if is_ascii_label(label) {
        return None;
    }
    let encoding = lookup(label)?;
    if encoding == UTF_8 {
        return Some(text.as_bytes().to_vec());
    }
    if encoding.output_encoding() != encoding {
        return None;
    }
    let (bytes, _, unmappable) = encoding.encode(text);
    let c1 = is_iso(label) && bytes.iter().any(|b| (0x80..0xa0).contains(b));
    (!unmappable && !c1).then(|| bytes.into_owned())
}

/// Decodes a labelled part without loss; `None` where a byte is not of that charset.
pub(crate) fn decode<'a>(bytes: &'a [u8], label: &str) -> Option<Cow<'a, str>> {
    if is_ascii_label(label) {
        return bytes.is_ascii().then(|| String::from_utf8_lossy(bytes));
    }
    let (text, _, broken) = lookup(label)?.decode(bytes);
    (!broken).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_only_what_the_label_holds() {
        assert_eq!(encode("Grüße", "ISO-8859-1"), Some(b"Gr\xfc\xdfe".to_vec()));
        assert_eq!(encode("5 €", "iso-8859-1"), None);
        assert_eq!(encode("5 €", "windows-1252"), Some(b"5 \x80".to_vec()));
        assert_eq!(encode("5 €", "iso-8859-15"), Some(b"5 \xa4".to_vec()));
        assert_eq!(encode("ü", "us-ascii"), None);
        assert_eq!(encode("plain", "x-unknown"), Some(b"plain".to_vec()));
        assert_eq!(encode("ü", "utf-16le"), None);
    }

    #[test]
    fn reads_whatever_comes() {
        assert_eq!(raw(b"Gr\xfc\xdfe"), "Grüße");
        assert_eq!(raw("Grüße".as_bytes()), "Grüße");
        assert_eq!(read(b"\xcf\xf0\xe8", Some("windows-1251")), "При");
        assert_eq!(read(b"\xff", Some("utf-8")), "\u{fffd}");
        assert_eq!(read(b"+AGE-", Some("utf-7")), "+AGE-");
        assert_eq!(decode(b"\xff", "utf-8"), None);
    }
}
