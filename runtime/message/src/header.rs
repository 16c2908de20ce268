//! Header fields as bytes: finding, removing, and building new ones.
//!
//! Nothing is decoded here. Limits: [`fields`] keeps at most [`MAX_FIELDS`] of at most [`MAX_HEADER`] bytes. [`each`], and
//! with it what removes fields, keeps none and has no limits: nobody can hide a field behind many others.

use crate::edit::Edit;
use crate::limits::{MAX_FIELDS, MAX_HEADER, MAX_LINE};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::ops::Range;

/// One field where it lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Field<'a> {
    /// As written, without white space before the colon.
    pub name: &'a [u8],
    /// Everything behind the colon, folds included, without the last line end.
    pub value: &'a [u8],
    /// The whole field in the message, line ends included.
    pub range: Range<usize>,
}

impl Field<'_> {
    /// Whether this is the name, whatever its case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// A header taken apart.
#[derive(Clone, Debug, Default)]
pub struct Fields<'a> {
    /// The fields in order.
    pub fields: Vec<Field<'a>>,
    /// Lines that are no field, or more than the limits allow.
    pub malformed: bool,
    /// Offset behind the blank line that ends the header, or behind the header where none does.
    pub body: usize,
}

/// The next line from `at` on: its end without the line end, and where the following one begins.
pub(crate) fn line_at(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = bytes.get(at..)?;
    if rest.is_empty() {
        return None;
    }
    match memchr::memchr(b'\n', rest) {
        None => Some((bytes.len(), bytes.len())),
        Some(lf) => {
            let lf = at + lf;
            let cr = lf > at && bytes.get(lf - 1) == Some(&b'\r');
            Some((lf - usize::from(cr), lf + 1))
        }
    }
}

/// Reads the header at the beginning of a message (or of a part).
#[must_use]
pub fn fields(message: &[u8]) -> Fields<'_> {
    let mut out = Fields { body: message.len(), ..Fields::default() };
    let mut at = 0;
    let mut open: Option<Open> = None;
    while let Some((end, next)) = line_at(message, at) {
        if end == at {
            out.body = next;
            break;
        }
        let line = message.get(at..end).unwrap_or_default();
        let folded = is_folded(line);
        // The field that is open counts; what continues it begins no other.
        let full = !folded && out.fields.len() + usize::from(open.is_some()) >= MAX_FIELDS;
        if next > MAX_HEADER || full {
            out.malformed = true;
            out.body = body_after(message, at);
            break;
        }
        match (folded, open.as_ref(), name_of(line)) {
            (true, Some(_), _) => {}
            (true, None, _) | (false, _, None) => {
                out.fields.extend(open.take().and_then(|open| close(message, open, at)));
                out.malformed = true;
            }
            (false, _, Some(name)) => {
                out.fields.extend(open.take().and_then(|open| close(message, open, at)));
                open = Some((at..at + name.0, at + name.1));
            }
        }
        at = next;
    }
    out.fields.extend(open.and_then(|open| close(message, open, at)));
    out
}

/// All fields of the header at the beginning of a message, one after the other, however many there are.
#[must_use]
pub fn each(message: &[u8]) -> Each<'_> {
    Each { message, at: 0, open: None }
}

/// See [`each`].
#[derive(Clone, Debug)]
pub struct Each<'a> {
    message: &'a [u8],
    at: usize,
    open: Option<Open>,
}

impl<'a> Iterator for Each<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        while let Some((end, next)) = line_at(self.message, self.at) {
            if end == self.at {
                break;
            }
            let line = self.message.get(self.at..end).unwrap_or_default();
            let at = std::mem::replace(&mut self.at, next);
            if is_folded(line) {
                continue;
            }
            let begun = name_of(line).map(|(name, value)| (at..at + name, at + value));
            let before = std::mem::replace(&mut self.open, begun);
            if let Some(field) = before.and_then(|open| close(self.message, open, at)) {
                return Some(field);
            }
        }
        self.open.take().and_then(|open| close(self.message, open, self.at))
    }
}

/// A field that is being read: where its name is, and where its value begins.
type Open = (Range<usize>, usize);

/// Whether the line goes on with the field before it.
fn is_folded(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

/// Length of the name and offset behind the colon, where the line begins a field.
fn name_of(line: &[u8]) -> Option<(usize, usize)> {
    // Names are short: a search for the colon would cost more than it saves.
    let name = line.iter().take_while(|b| (33..=126).contains(*b) && **b != b':').count();
    let blanks = line.get(name..)?.iter().take_while(|b| b.is_ascii_whitespace()).count();
    let colon = name + blanks;
    (name > 0 && line.get(colon) == Some(&b':')).then_some((name, colon + 1))
}

fn close(message: &[u8], (name, value): Open, end: usize) -> Option<Field<'_>> {
    let bytes = message.get(name.clone())?;
    let raw = message.get(value..end).unwrap_or_default();
    let raw = raw.strip_suffix(b"\n").unwrap_or(raw);
    let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
    Some(Field { name: bytes, value: raw, range: name.start..end })
}

/// The offset behind the first blank line from a line start on.
fn body_after(message: &[u8], mut at: usize) -> usize {
    while let Some((end, next)) = line_at(message, at) {
        if end == at {
            return next;
        }
        at = next;
    }
    message.len()
}

/// All fields of a name, in order. The name is compared without case.
#[must_use]
pub fn find<'a>(message: &'a [u8], name: &str) -> Vec<Field<'a>> {
    fields(message).fields.into_iter().filter(|f| f.is(name)).collect()
}

/// Edits that remove every field of a name (a submitted `Bcc`, a forged `Authentication-Results`).
#[must_use]
pub fn remove(message: &[u8], name: &str) -> Vec<Edit> {
    remove_where(message, |field| field.is(name))
}

/// Edits that remove every field for which `which` says so.
#[must_use]
pub fn remove_where(message: &[u8], which: impl Fn(&Field<'_>) -> bool) -> Vec<Edit> {
    each(message)
        .filter(|field| which(field))
        .map(|field| Edit { range: field.range, bytes: Vec::new() })
        .collect()
}

/// The line end a message uses: what ends its first line, CRLF where there is none.
#[must_use]
pub fn line_end(message: &[u8]) -> &'static str {
    match line_at(message, 0) {
        Some((end, next)) if next == end + 1 => "\n",
        _ => "\r\n",
    }
}

/// The longest line that is not folded, where there is a choice (RFC 5322 2.1.1).
const FOLD: usize = 78;

/// Fields to put in front of a message, built so that no value can begin a field or a line of its own.
///
/// ```
/// let mut top = edict_message::header::Builder::default();
/// top.add("X-Edict-Rule", "first\r\nBcc: x@example.com");
/// assert_eq!(top.finish(), b"X-Edict-Rule: first Bcc: x@example.com\r\n");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Builder {
    bytes: Vec<u8>,
}

impl Builder {
    /// One with room for so many bytes.
    #[must_use]
    pub fn with_room(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    /// Adds a field. Characters of the name that no field name holds are dropped; every run of control
    /// characters and line ends in the value becomes one space; long values are folded at spaces,
    /// from 78 bytes on (RFC 5322 2.2.3), and cut where a line would pass 998 bytes.
    pub fn add(&mut self, name: &str, value: &str) -> &mut Self {
        let name = name.bytes().filter(|b| b.is_ascii_graphic() && *b != b':');
        self.bytes.reserve(64 + value.len());
        let begin = self.bytes.len();
        self.bytes.extend(name);
        let name = self.bytes.len() - begin;
        if name == 0 {
            return self;
        }
        self.bytes.push(b':');
        let mut line = begin;
        let value = words(value);
        let mut rest = value.as_bytes();
        while !rest.is_empty() {
            let have = self.bytes.len() - line;
            let most = FOLD.saturating_sub(have + 1);
            // As many whole words as the line still takes.
            let fits = match rest.get(..=most) {
                None => rest.len(),
                Some(words) => memchr::memrchr(b' ', words).unwrap_or(0),
            };
            // Not right behind the name, nor where the line holds less than the name is long.
            let worth = if line == begin { have > name + 1 } else { have > name + 2 };
            if fits == 0 && worth {
                self.bytes.extend_from_slice(b"\r\n");
                line = self.bytes.len();
                continue;
            }
            self.bytes.push(b' ');
            let (put, cut) = match fits {
                0 => (memchr::memchr(b' ', rest).unwrap_or(rest.len()), MAX_LINE.saturating_sub(have + 1)),
                _ => (fits, fits),
            };
            self.bytes.extend_from_slice(front(rest.get(..put).unwrap_or_default(), cut));
            rest = rest.get(put + 1..).unwrap_or_default();
        }
        self.bytes.extend_from_slice(b"\r\n");
        self
    }

    /// The fields, each ended by CRLF.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// A value's words with one space between them; control characters separate words, too.
fn words(value: &str) -> Cow<'_, str> {
    let bytes = value.as_bytes();
    let odd = |a: u8, b: u8| !(b' '..=b'~').contains(&a) | ((a == b' ') & (b == b' '));
    // No stop at the first odd one: the compiler can compare many at once.
    let pairs = bytes.iter().zip(bytes.get(1..).unwrap_or_default());
    let edge = |end: Option<&u8>| end.is_none_or(|b| b.is_ascii_graphic());
    if edge(bytes.first()) && edge(bytes.last()) && !pairs.fold(false, |found, (a, b)| found | odd(*a, *b)) {
        return Cow::Borrowed(value);
    }
    let mut out = String::with_capacity(value.len());
    for word in value.split(|c: char| c == ' ' || c.is_control()).filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    Cow::Owned(out)
}

/// At most so many bytes of a text, no character cut.
fn front(text: &[u8], most: usize) -> &[u8] {
    let goes_on = |at: usize| text.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    let mut end = most.min(text.len());
    while end > 0 && goes_on(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// The edit that puts built fields in front of a message.
#[must_use]
pub fn prepend(fields: Builder) -> Edit {
    Edit { range: 0..0, bytes: fields.finish() }
}

/// The parts of a `Received` field (RFC 5321 4.4). Every text may come from a hostile client.
#[derive(Clone, Debug)]
pub struct Received<'a> {
    /// What HELO or EHLO said.
    pub helo: &'a str,
    /// The client's confirmed name.
    pub client_name: Option<&'a str>,
    /// The client's address.
    pub client_ip: IpAddr,
    /// Our name.
    pub by: &'a str,
    /// `ESMTPSA` and the like (RFC 3848).
    pub protocol: &'a str,
    /// The message's name in the queue.
    pub id: &'a str,
    /// The recipient, only where the message has a single one.
    pub recipient: Option<&'a str>,
    /// Unix seconds.
    pub time: i64,
}

impl Received<'_> {
    /// The field's value: `from helo (name [ip]) by … with … id … for <…>; date`.
    #[must_use]
    pub fn value(&self) -> String {
        let mut out = String::with_capacity(256);
        let add = |out: &mut String, before: &str, what: &str| {
            out.push_str(before);
            out.push_str(&token(what));
        };
        add(&mut out, "from ", self.helo);
        match self.client_name {
            Some(name) => {
                add(&mut out, " (", name);
                out.push(' ');
            }
            None => out.push_str(" ("),
        }
        push_literal(&mut out, self.client_ip);
        add(&mut out, ") by ", self.by);
        add(&mut out, " with ", self.protocol);
        add(&mut out, " id ", self.id);
        if let Some(recipient) = self.recipient {
            add(&mut out, " for <", recipient);
            out.push('>');
        }
        out.push_str("; ");
        out.push_str(&crate::date::rfc5322(self.time, 0));
        out
    }
}

/// Adds an address literal (RFC 5321 4.1.3). IPv4 is written by hand: formatting costs more, and each message has an address.
fn push_literal(out: &mut String, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            let mut before = '[';
            for part in ip.octets() {
                out.push(before);
                let digits = [part / 100, part / 10 % 10, part % 10];
                let blank = digits.iter().take(2).take_while(|digit| **digit == 0).count();
                out.extend(digits.iter().skip(blank).map(|digit| char::from(b'0' + digit)));
                before = '.';
            }
            out.push(']');
        }
        // Writing into a string cannot fail.
        IpAddr::V6(ip) => drop(write!(out, "[IPv6:{ip}]")),
    }
}

/// A text that stays one token inside a trace field: no white space, no comment, no quotes, no control.
fn token(text: &str) -> Cow<'_, str> {
    const MOST: usize = 255;
    let plain =
        |b: u8| b.is_ascii_graphic() & !matches!(b, b'(' | b')' | b'<' | b'>' | b'"' | b';' | b'\\' | b',');
    if text.is_empty() {
        return Cow::Borrowed("unknown");
    }
    if text.len() <= MOST && text.bytes().fold(true, |all, b| all & plain(b)) {
        return Cow::Borrowed(text);
    }
    let kept = |c: char| {
        u8::try_from(c).ok().filter(u8::is_ascii).map_or(!c.is_control() && !c.is_whitespace(), plain)
    };
    Cow::Owned(text.chars().map(|c| if kept(c) { c } else { '?' }).take(MOST).collect())
}

#[cfg(test)]
mod tests;
