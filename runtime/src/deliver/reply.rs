//! Replies of a next hop, read strictly and within bounds (RFC 5321 4.2, RFC 2034).
//!
//! A line is `NNN`, then nothing, a space or a hyphen and text, and ends with CRLF. All lines of a reply
//! carry the same code. What does not fit is an error, after which the connection is of no use. Text is
//! made printable and cut: it goes into logs and notices.

use std::fmt::Write as _;

/// Bytes that are read at once.
const READ: usize = 512;
/// The longest line taken, CRLF included. RFC 5321 4.5.3.1.5 says 512.
const MAX_LINE: usize = 2048;
/// The most bytes of one reply.
const MAX_REPLY: usize = 32 << 10;
/// The most lines of one reply.
const MAX_LINES: usize = 128;
/// The text that is kept of a reply, in bytes.
const MAX_TEXT: usize = 480;

/// A whole reply.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// Class, subject, detail, where given and of the code's class.
    pub enhanced: Option<(u8, u16, u16)>,
    /// The lines' texts, joined by spaces, without the enhanced code; printable, bounded.
    pub text: String,
    /// The lines' texts, for EHLO.
    pub lines: Vec<String>,
}

impl Reply {
    /// 2xx
    #[must_use]
    pub fn positive(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// 5xx
    #[must_use]
    pub fn permanent(&self) -> bool {
        self.code >= 500
    }

    /// As one line: `550 5.1.1 no such user`.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = String::with_capacity(self.text.len() + 16);
        // Writing into a string cannot fail.
        let _ = match self.enhanced {
            Some((a, b, c)) => write!(line, "{} {a}.{b}.{c} ", self.code),
            None => write!(line, "{} ", self.code),
        };
        line.push_str(&self.text);
        line
    }
}

/// What is wrong with a reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReplyError {
    /// A line, or the reply, is longer than anything honest.
    #[error("its reply is too long")]
    Long,
    /// Not a reply.
    #[error("its reply is malformed")]
    Malformed,
    /// A reply to nothing: from here on nobody knows which reply belongs to which command.
    #[error("it answers what it was not asked")]
    Unasked,
}

/// Takes bytes as they come and gives replies as they are whole.
#[derive(Debug, Default)]
pub struct Replies {
    buffer: Vec<u8>,
    start: usize,
    /// Bytes behind `start` that hold no line end.
    scanned: usize,
    current: Option<Reply>,
    bytes: usize,
    count: usize,
    keep_lines: bool,
}

impl Replies {
    /// Adds bytes from the connection.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.room().extend_from_slice(bytes);
    }

    /// Where bytes from the connection are to be added.
    pub fn room(&mut self) -> &mut Vec<u8> {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        } else if self.start > 4096 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.reserve(READ);
        &mut self.buffer
    }

    /// Whether nothing is left over: no byte, no half reply. To be asked before TLS starts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.buffer.len() && self.current.is_none()
    }

    /// Keep each line's text of the next replies (EHLO).
    pub fn keep_lines(&mut self, on: bool) {
        self.keep_lines = on;
    }

    /// The next whole reply, if there is one.
    ///
    /// # Errors
    /// Where what came is none, or never ends. Nothing more is to be read then.
    pub fn take(&mut self) -> Result<Option<Reply>, ReplyError> {
        loop {
            let waiting = self.buffer.get(self.start..).unwrap_or_default();
            let fresh = waiting.get(self.scanned..).unwrap_or_default();
            let Some(found) = memchr::memchr(b'\n', fresh) else {
                self.scanned = waiting.len();
                return if waiting.len() > MAX_LINE { Err(ReplyError::Long) } else { Ok(None) };
            };
            let length = self.scanned + found + 1;
            let line = waiting.get(..length).unwrap_or_default();
            if length > MAX_LINE {
                return Err(ReplyError::Long);
            }
            let (code, more, text) = split(line)?;
            self.bytes += length;
            self.count += 1;
            if self.bytes > MAX_REPLY || self.count > MAX_LINES {
                return Err(ReplyError::Long);
            }
            let reply = self.current.get_or_insert_with(|| Reply { code, ..Reply::default() });
            if reply.code != code {
                return Err(ReplyError::Malformed);
            }
            let (enhanced, text) = enhanced(code, text);
            if reply.enhanced.is_none() {
                reply.enhanced = enhanced;
            }
            append(&mut reply.text, text);
            if self.keep_lines {
                reply.lines.push(printable(text));
            }
            self.start += length;
            self.scanned = 0;
            if !more {
                (self.bytes, self.count) = (0, 0);
                return Ok(self.current.take());
            }
        }
    }
}

/// Splits a line into code, whether more follow, and text.
fn split(line: &[u8]) -> Result<(u16, bool, &[u8]), ReplyError> {
    let line = line.strip_suffix(b"\r\n").ok_or(ReplyError::Malformed)?;
    if memchr::memchr(b'\r', line).is_some() {
        return Err(ReplyError::Malformed);
    }
    let (digits, rest) = line.split_at_checked(3).ok_or(ReplyError::Malformed)?;
    let mut code = 0u16;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(ReplyError::Malformed);
        }
        code = code * 10 + u16::from(digit - b'0');
    }
    if !(200..600).contains(&code) {
        return Err(ReplyError::Malformed);
    }
    match rest.split_first() {
        None => Ok((code, false, rest)),
        Some((b' ', text)) => Ok((code, false, text)),
        Some((b'-', text)) => Ok((code, true, text)),
        Some(_) => Err(ReplyError::Malformed),
    }
}

/// Takes a number of at most so many digits off the front.
fn number(text: &[u8], most: usize) -> Option<(u16, &[u8])> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, rest) =
        text.split_at_checked(digits).filter(|(digits, _)| (1..=most).contains(&digits.len()))?;
    Some((digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0')), rest))
}

/// Takes an enhanced status code off the front of a text, where it is one of the code's class.
fn enhanced(code: u16, text: &[u8]) -> (Option<(u8, u16, u16)>, &[u8]) {
    let parse = || {
        let (class, rest) = number(text, 1)?;
        let (subject, rest) = number(rest.strip_prefix(b".")?, 3)?;
        let (detail, rest) = number(rest.strip_prefix(b".")?, 3)?;
        if class != code / 100 || !matches!(class, 2 | 4 | 5) {
            return None;
        }
        let rest = if rest.is_empty() { rest } else { rest.strip_prefix(b" ")? };
        Some(((u8::try_from(class).ok()?, subject, detail), rest))
    };
    match parse() {
        Some((status, rest)) => (Some(status), rest),
        None => (None, text),
    }
}

fn append(out: &mut String, text: &[u8]) {
    if out.len() >= MAX_TEXT || text.is_empty() {
        return;
    }
    if !out.is_empty() {
        out.push(' ');
    }
    let room = MAX_TEXT.saturating_sub(out.len());
    let text = text.get(..room.min(text.len())).unwrap_or_default();
    match std::str::from_utf8(text).ok().filter(|_| is_printable(text)) {
        Some(text) => out.push_str(text),
        None => out.push_str(&printable(text)),
    }
}

fn is_printable(text: &[u8]) -> bool {
    // No stop at the first odd one: the compiler can compare many at once.
    text.iter().fold(true, |all, b| all & (b' '..=b'~').contains(b))
}

/// Text without control characters.
#[must_use]
pub fn printable(text: &[u8]) -> String {
    let plain = is_printable(text);
    let text = String::from_utf8_lossy(text);
    if plain {
        return text.into_owned();
    }
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8], cut: usize) -> Result<Vec<Reply>, ReplyError> {
        let mut replies = Replies::default();
        let mut out = Vec::new();
        for chunk in bytes.chunks(cut.max(1)) {
            replies.feed(chunk);
            while let Some(reply) = replies.take()? {
                out.push(reply);
            }
        }
        Ok(out)
    }

    #[test]
    fn sound_replies() {
        for (bytes, code, enhanced, text) in [
            (&b"250 2.1.5 ok\r\n"[..], 250, Some((2, 1, 5)), "ok"),
            (b"250\r\n", 250, None, ""),
            (b"250 2.0.0\r\n", 250, Some((2, 0, 0)), ""),
            (b"550-5.1.1 no\r\n550 5.1.1 such user\r\n", 550, Some((5, 1, 1)), "no such user"),
            (b"550 4.1.1 of another class\r\n", 550, None, "4.1.1 of another class"),
            (b"250 1.2\r\n", 250, None, "1.2"),
            (b"550 5.1.1.1 x\r\n", 550, None, "5.1.1.1 x"),
            (b"550 5.1.1000 x\r\n", 550, None, "5.1.1000 x"),
            (b"250 2.1.5\tx\r\n", 250, None, "2.1.5?x"),
            (b"220 a\x1b[2Jb\0\xff\r\n", 220, None, "a?[2Jb?\u{fffd}"),
        ] {
            for cut in [1, 2, 5, 1000] {
                let replies = all(bytes, cut).unwrap();
                assert_eq!(replies.len(), 1);
                assert_eq!((replies[0].code, replies[0].enhanced), (code, enhanced));
                assert_eq!(replies[0].text, text);
            }
        }
        assert_eq!(all(b"250 a\r\n354 b\r\n", 1000).unwrap().len(), 2);
    }

    #[test]
    fn hostile_replies() {
        for bytes in [
            &b"\r\n"[..],
            b"hello\r\n",
            b"25\r\n",
            b"250 bare line feed\n",
            b"250 a\rb\r\n",
            b"250_x\r\n",
            b"199 x\r\n",
            b"600 x\r\n",
            b"250-a\r\n550 b\r\n",
            b"2 0 x\r\n",
        ] {
            assert_eq!(all(bytes, 3), Err(ReplyError::Malformed), "{bytes:?}");
        }
        assert_eq!(all(&vec![b'2'; 5000], 700), Err(ReplyError::Long));
        assert_eq!(all(&b"250-x\r\n".repeat(1000), 700), Err(ReplyError::Long));
        let wide = [b"250-".to_vec(), vec![b'a'; 1900], b"\r\n".to_vec()].concat();
        assert_eq!(all(&wide.repeat(100), 700), Err(ReplyError::Long));
    }

    #[test]
    fn text_is_bounded() {
        let line = [b"550-5.0.0 ".to_vec(), vec![b'a'; 400], b"\r\n".to_vec()].concat();
        let bytes = [line.repeat(4), b"550 5.0.0 end\r\n".to_vec()].concat();
        let reply = &all(&bytes, 100).unwrap()[0];
        assert!(reply.text.len() <= MAX_TEXT && reply.line().starts_with("550 5.0.0 aaa"));
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(prop_oneof![Just(b'2'), Just(b'5'), Just(b'0'),
            Just(b' '), Just(b'-'), Just(b'.'), Just(b'\r'), Just(b'\n'), any::<u8>()], 0..200), cut in 1usize..20) {
            let _ = all(&bytes, cut);
        }
    }
}
