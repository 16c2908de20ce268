//! What clients wrote, made fit for logs, replies and trace fields: no CR, no ESC, no NUL, bounded.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// The most characters of one client-given text in a log line.
const MAX_LOGGED: usize = 320;

/// Shows text in a log line: printable ASCII and letters as they are, all else as `\u{…}`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clean<'a>(pub(crate) &'a str);

impl<'a> Clean<'a> {
    /// As text; nearly all of it is shown as it is.
    pub(crate) fn text(self) -> Cow<'a, str> {
        if self.is_clean() { Cow::Borrowed(self.0) } else { Cow::Owned(self.to_string()) }
    }

    fn is_clean(self) -> bool {
        // No stop at the first odd one: the compiler can compare many at once.
        let plain = |b: u8| (b' '..=b'~').contains(&b) & (b != b'\\');
        self.0.len() <= MAX_LOGGED && self.0.bytes().fold(true, |all, b| all & plain(b))
    }
}

impl fmt::Display for Clean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            return f.write_str(self.0);
        }
        for (place, c) in self.0.chars().enumerate() {
            if place == MAX_LOGGED {
                return f.write_char('…');
            }
            // Alphanumerics hold no control, no bidirectional mark and no separator.
            if (c.is_ascii_graphic() && c != '\\') || c == ' ' || (!c.is_ascii() && c.is_alphanumeric()) {
                f.write_char(c)?;
            } else {
                write!(f, "{}", c.escape_unicode())?;
            }
        }
        Ok(())
    }
}

/// Text for a reply: what is not printable ASCII becomes `?` (RFC 5321 4.2), at most `max` bytes.
pub(crate) fn reply_text(text: &str, max: usize) -> Cow<'_, [u8]> {
    let shown = |b: u8| (b' '..=b'~').contains(&b);
    if text.len() <= max && text.bytes().fold(true, |all, b| all & shown(b)) {
        return Cow::Borrowed(text.as_bytes());
    }
    text.chars().take(max).map(|c| u8::try_from(c).ok().filter(|b| shown(*b)).unwrap_or(b'?')).collect()
}

/// A reply of somebody else with an enhanced status code, as every reply here has one (RFC 2034 4): where it has none of its
/// class, that says what the code says and no more.
pub(crate) fn with_status(reply: &str) -> String {
    let (code, text) = reply.split_once(' ').unwrap_or((reply, ""));
    let class = code.get(..1).unwrap_or_default();
    let status: Vec<&str> = text.split(' ').next().unwrap_or_default().split('.').collect();
    let number = |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    if status.len() == 3 && status.first() == Some(&class) && status.iter().all(number) {
        return reply.to_owned();
    }
    format!("{code} {class}.0.0 {text}").trim_end().to_owned()
}

/// What HELO said, as a trace field may hold it: letters, digits and what stands in domains and
/// address literals; all else becomes `?`.
pub(crate) fn helo_text(text: &str) -> String {
    text.chars()
        .take(255)
        .map(|c| if c.is_ascii_alphanumeric() || ".-_:[]".contains(c) { c } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Log and trace injection: EHLO, addresses and replies with CR, ESC, NUL.
    #[test]
    fn nothing_steers_a_terminal_or_a_header() {
        let hostile = "a\r\nX: y\u{1b}[2J\0\u{202e}\u{9b}\u{85}jörg\\";
        let shown = Clean(hostile).to_string();
        assert_eq!(shown, "a\\u{d}\\u{a}X: y\\u{1b}[2J\\u{0}\\u{202e}\\u{9b}\\u{85}jörg\\u{5c}");
        assert_eq!(&*reply_text(hostile, 12), b"a??X: y?[2J?");
        assert_eq!(&*reply_text("250 Ok~", 7), b"250 Ok~");
        assert_eq!(&*reply_text("250 Ok~", 6), b"250 Ok");
        assert_eq!(helo_text("mx.example(\r\n"), "mx.example???");
        assert!(Clean(&"x".repeat(5000)).to_string().len() < 400);
        assert_eq!(Clean("ann@example.com").to_string(), "ann@example.com");
    }
    /// RFC 2034.
    #[test]
    fn every_reply_has_a_status() {
        for (reply, want) in [
            ("550 5.1.1 no such user", "550 5.1.1 no such user"),
            ("450 4.7.100", "450 4.7.100"),
            ("550 no such user", "550 5.0.0 no such user"),
            ("550 4.1.1 of another class", "550 5.0.0 4.1.1 of another class"),
            ("550 5.1 cut", "550 5.0.0 5.1 cut"),
            ("550 5.1.1.1 more", "550 5.0.0 5.1.1.1 more"),
            ("550", "550 5.0.0"),
        ] {
            assert_eq!(with_status(reply), want);
        }
    }
}
