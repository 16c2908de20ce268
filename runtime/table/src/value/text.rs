//! Text without case: NFC, Unicode simple case folding, runs of white space as one space.
//!
//! Limits: simple folding only (`ß` is not `ss`), as the language states.

use memchr::memmem::Finder;
use memchr::{memchr2, memchr3};
use std::borrow::Cow;
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// Texts of so many bytes are worth preparing a search for.
const LONG: usize = 64;

/// Folds case and normalises to NFC; white space stays as it is. Used for local parts and names.
#[must_use]
pub fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Cow::Owned(text.to_ascii_lowercase());
        }
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(found) = rest.bytes().position(|b| !b.is_ascii()) {
        // An ASCII character composes with marks behind it and with nothing before it: what lies between it and
        // the next one can be folded alone, and mail is mostly ASCII.
        let (plain, from) = rest.split_at_checked(found.saturating_sub(1)).unwrap_or(("", rest));
        push_lower(&mut out, plain);
        let end = from.bytes().skip(1).position(|b| b.is_ascii()).map_or(from.len(), |n| n + 1);
        let (odd, after) = from.split_at_checked(end).unwrap_or((from, ""));
        fold_odd(&mut out, odd);
        rest = after;
    }
    push_lower(&mut out, rest);
    Cow::Owned(out)
}

fn push_lower(out: &mut String, ascii: &str) {
    out.extend(ascii.chars().map(|c| c.to_ascii_lowercase()));
}

fn fold_odd(out: &mut String, text: &str) {
    let folded: String = text.nfc().map(fold_char).collect();
    // Folding can leave a sequence that composes differently.
    if is_nfc(&folded) {
        out.push_str(&folded);
    } else {
        out.extend(folded.nfc());
    }
}

/// Folds a text fact or a text literal: as [`fold`], and every run of white space is one space.
#[must_use]
pub fn fold_text(text: &str) -> Cow<'_, str> {
    if text.len() >= LONG && text.is_ascii() && memchr2(b'\x0b', b'\x0c', text.as_bytes()).is_none() {
        let mut out = collapse_ascii(text);
        out.make_ascii_lowercase();
        return Cow::Owned(out);
    }
    if is_plain(text) {
        return fold(text);
    }
    let out = collapse(text);
    match fold(&out) {
        Cow::Borrowed(_) => Cow::Owned(out),
        Cow::Owned(folded) => Cow::Owned(folded),
    }
}

/// Makes every run of white space one space.
fn collapse(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_space = false;
    for c in text.chars() {
        if c.is_whitespace() {
            if !in_space {
                out.push(' ');
            }
            in_space = true;
        } else {
            out.push(c);
            in_space = false;
        }
    }
    out
}

/// The same for ASCII without vertical tabs and form feeds, a line at a time: bodies are long, and mostly such text. Pairs of
/// spaces are few, and looked for in all that follows.
fn collapse_ascii(text: &str) -> String {
    let bytes = text.as_bytes();
    let rest = |from| bytes.get(from..).unwrap_or_default();
    let two = Finder::new("  ");
    let pair = |from| two.find(rest(from)).map_or(bytes.len(), |at| from + at);
    let mut out = String::with_capacity(text.len());
    let (mut at, mut spaces) = (0, pair(0));
    loop {
        let end = memchr3(b'\t', b'\r', b'\n', rest(at)).map_or(bytes.len(), |line| at + line);
        while spaces < end {
            out.push_str(text.get(at..=spaces).unwrap_or_default());
            at = spaces + rest(spaces).iter().take_while(|b| **b == b' ').count();
            spaces = pair(at);
        }
        out.push_str(text.get(at..end).unwrap_or_default());
        if end == bytes.len() {
            return out;
        }
        if !out.ends_with(' ') {
            out.push(' ');
        }
        at = end + rest(end).iter().take_while(|b| matches!(**b, b' ' | b'\t' | b'\r' | b'\n')).count();
        if spaces < at {
            spaces = pair(at);
        }
    }
}

/// True where collapsing white space would change nothing.
fn is_plain(text: &str) -> bool {
    let mut before = false;
    if text.is_ascii() {
        return text.bytes().all(|b| {
            let fine = (b != b' ' || !before) && !matches!(b, b'\t'..=b'\r');
            before = b == b' ';
            fine
        });
    }
    text.chars().all(|c| {
        let space = c.is_whitespace();
        let fine = !space || (c == ' ' && !before);
        before = space;
        fine
    })
}

fn fold_char(c: char) -> char {
    unicode_case_mapping::case_folded(c).and_then(|n| char::from_u32(n.get())).unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_case_and_white_space() {
        for (text, want) in [
            ("Hello", "hello"),
            ("a \t\r\n b", "a b"),
            ("ΜΆΪΟΣ", "μάϊοσ"),
            ("ς", "σ"),
            ("u\u{308}", "ü"),
            ("\u{212a}", "k"),
            ("Straße", "straße"),
        ] {
            assert_eq!(fold_text(text), want, "{text:?}");
            assert_eq!(fold_text(want), want, "folding is idempotent: {want:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn ascii_is_collapsed_as_by_character(text in "[aB \t\r\n]{0,40}", line in "[a-zA-Z0-9 .]{0,80}") {
            let text = format!("{text}{line}{text}\r\n{line}");
            proptest::prop_assert_eq!(collapse_ascii(&text), collapse(&text));
            let folded = collapse(&text).to_ascii_lowercase();
            proptest::prop_assert_eq!(fold_text(&text).into_owned(), folded);
        }

        #[test]
        fn folding_in_pieces_is_folding_the_whole(
            text in "[a-cA-C \u{300}\u{301}\u{308}\u{323}\u{212a}\u{17f}ÄäßΣς\u{1100}\u{1161}\u{11a8}\u{ac00}\u{344}Ǆ]{0,12}"
        ) {
            let whole: String = text.nfc().map(fold_char).collect();
            let whole: String = whole.nfc().collect();
            proptest::prop_assert_eq!(fold(&text).into_owned(), whole);
        }
    }
}
