//! Charset labels and the conversions that parts need, on top of encoding_rs.
//!
//! Stricter than the WHATWG labels where it writes: what is labelled ISO-8859-x gets no byte that only
//! the Windows code page of the same shape knows, since mail programs disagree about those.

use encoding_rs::{Encoding, WINDOWS_1252};
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_whatever_comes() {
        assert_eq!(raw(b"Gr\xfc\xdfe"), "Grüße");
        assert_eq!(raw("Grüße".as_bytes()), "Grüße");
        assert_eq!(read(b"\xcf\xf0\xe8", Some("windows-1251")), "При");
        assert_eq!(read(b"\xff", Some("utf-8")), "\u{fffd}");
        assert_eq!(read(b"+AGE-", Some("utf-7")), "+AGE-");
    }
}
