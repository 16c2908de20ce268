//! Header values as text: unfolding, raw 8-bit, and encoded words (RFC 2047).
//!
//! Lenient about where an encoded word stands, since filters must see what mail programs show. What cannot
//! be taken apart (no end, unknown charset or encoding, broken base64) stays raw. Linear in its input.

use crate::charset;
use crate::decode::{base64_strict, hex_pair};
use std::borrow::Cow;

/// The longest charset label taken.
const MAX_LABEL: usize = 64;

/// Unfolds: line ends vanish, the white space behind them stays. Raw bytes become text.
pub(crate) fn unfold(value: &[u8]) -> Cow<'_, str> {
    if memchr::memchr2(b'\r', b'\n', value).is_some() {
        let flat: Vec<u8> = value.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
        return Cow::Owned(charset::raw(&flat).trim().to_owned());
    }
    match charset::raw(value) {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// The text of an unstructured field.
pub(crate) fn text(value: &[u8]) -> Cow<'_, str> {
    match unfold(value) {
        Cow::Borrowed(text) => decode(text),
        Cow::Owned(text) => Cow::Owned(decode(&text).into_owned()),
    }
}

/// Words of one charset in a row: a character may be split between them.
struct Run<'a> {
    label: &'a str,
    bytes: Vec<u8>,
}

/// Decodes the encoded words in a text.
pub(crate) fn decode(text: &str) -> Cow<'_, str> {
    // Few texts have a `=` at all.
    if memchr::memchr(b'=', text.as_bytes()).is_none() || !text.contains("=?") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut run: Option<Run<'_>> = None;
    // White space seen behind a word: it counts unless another word follows.
    let mut gap = "";
    let mut rest = text;
    while !rest.is_empty() {
        if let Some((label, bytes, after)) = word(rest) {
            rest = after;
            gap = "";
            match &mut run {
                Some(open) if open.label.eq_ignore_ascii_case(label) => open.bytes.extend_from_slice(&bytes),
                _ => {
                    flush(&mut out, run.take());
                    run = Some(Run { label, bytes });
                }
            }
            let blank = rest.len() - rest.trim_start().len();
            if blank > 0 {
                (gap, rest) = rest.split_at_checked(blank).unwrap_or(("", rest));
            }
            continue;
        }
        flush(&mut out, run.take());
        out.push_str(gap);
        gap = "";
        // Up to the next possible word, at least one character.
        let from = rest.chars().next().map_or(1, char::len_utf8);
        let to = rest.get(from..).and_then(|r| r.find("=?")).map_or(rest.len(), |found| from + found);
        let (plain, after) = rest.split_at_checked(to).unwrap_or((rest, ""));
        out.push_str(plain);
        rest = after;
    }
    flush(&mut out, run);
    out.push_str(gap);
    Cow::Owned(out)
}

fn flush(out: &mut String, run: Option<Run<'_>>) {
    if let Some(run) = run {
        out.push_str(&charset::read(&run.bytes, Some(run.label)));
    }
}

/// The encoded word at the beginning of a text: label, bytes, what follows.
fn word(text: &str) -> Option<(&str, Vec<u8>, &str)> {
    let rest = text.strip_prefix("=?")?;
    let (label, rest) = rest.split_once('?').filter(|(label, _)| {
        !label.is_empty() && label.len() <= MAX_LABEL && label.bytes().all(|b| b.is_ascii_graphic())
    })?;
    // RFC 2231 5: a language may follow the charset.
    let label = label.split_once('*').map_or(label, |(charset, _)| charset);
    if !charset::is_ascii_label(label) {
        charset::lookup(label)?;
    }
    let mut chars = rest.chars();
    let encoding = chars.next()?;
    let rest = chars.as_str().strip_prefix('?')?;
    let (data, after) = rest.split_once('?')?;
    let after = after.strip_prefix('=')?;
    let bytes = match encoding {
        'q' | 'Q' => quoted(data),
        'b' | 'B' => base64_strict(data.as_bytes())?,
        _ => return None,
    };
    Some((label, bytes, after))
}

/// The `Q` encoding: `_` is a space, `=XX` a byte; anything else is itself.
fn quoted(data: &str) -> Vec<u8> {
    let data = data.as_bytes();
    let mut out = Vec::with_capacity(data.len());
    let mut at = 0;
    while let Some(&byte) = data.get(at) {
        let pair = (byte == b'=').then(|| hex_pair(*data.get(at + 1)?, *data.get(at + 2)?)).flatten();
        out.push(pair.unwrap_or(if byte == b'_' { b' ' } else { byte }));
        at += if pair.is_some() { 3 } else { 1 };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes() {
        for (raw, want) in [
            (" plain", "plain"),
            ("=?utf-8?q?Gr=C3=BC=C3=9Fe_an?= alle", "Grüße an alle"),
            ("=?utf-8?B?R3LDvMOf?=\r\n =?UTF-8?B?ZSE=?=", "Grüße!"),
            ("=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "ü"),
            ("=?iso-8859-1*de?Q?J=F6rg?= x", "Jörg x"),
            ("=?utf-8?q?a?= =?iso-8859-1?q?=FC?=", "aü"),
            ("a =?utf-8?q?b?=", "a b"),
            ("=?utf-8?b?YQ?=", "a"),
            ("=?koi8-r?B?8NLJ18XU?=", "Привет"),
        ] {
            assert_eq!(text(raw.as_bytes()), want, "{raw}");
        }
    }

    #[test]
    fn broken_words_stay_raw() {
        for raw in [
            "=?utf-8?q?no end",
            "=?utf-8?x?abc?=",
            "=?no-such-set?q?abc?=",
            "=?utf-8?B?!!!!?=",
            "=?utf-8?",
            "=?",
            "=??q?a?=",
            "x=?utf-8?q",
        ] {
            assert_eq!(text(raw.as_bytes()), raw);
        }
    }

    #[test]
    fn raw_bytes_are_utf8_or_windows_1252() {
        assert_eq!(text("Grüße".as_bytes()), "Grüße");
        assert_eq!(text(b"Gr\xfc\xdfe \x80"), "Grüße €");
    }

    #[test]
    fn many_openings_cost_little() {
        let text = "=?".repeat(200_000);
        assert_eq!(decode(&text), text);
        let text = "=?utf-8?q?".repeat(50_000);
        assert_eq!(decode(&text).len(), text.len());
    }
}
