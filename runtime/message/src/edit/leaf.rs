//! One text leaf: reading it, and writing insertions into it with as few bytes changed as can be.
//!
//! Three rungs. *Splice*: the new text in the part's own charset and encoding, every old byte stays (of base64, the
//! bytes behind the insertion move). *Encoding*: the charset stays, the part becomes quoted-printable since
//! 7bit cannot hold the new bytes (base64 where most of its bytes are not ASCII). *Upgrade*: the part becomes UTF-8. HTML never needs the last: what its
//! charset lacks is written as entities.

use super::{Edit, Untouched, encode, field};
use crate::charset;
use crate::decode::{self, Transfer};
use crate::limits::{MAX_LEAF, MAX_LINE, MAX_REWRITE};
use crate::mime::Part;
use std::borrow::Cow;

/// A text leaf, decoded.
pub(super) struct Leaf<'a> {
    /// Its number in the tree.
    pub number: usize,
    /// Where it lies.
    pub part: &'a Part,
    /// Its body as it travels.
    pub raw: &'a [u8],
    /// Its body with the transfer encoding undone.
    pub bytes: Cow<'a, [u8]>,
    /// Its text, where ASCII bytes do not mean ASCII (UTF-16, ISO-2022-JP): such a part is written anew.
    pub wide: Option<String>,
    /// text/html rather than text/plain.
    pub html: bool,
}

/// Text to put at an offset of [`Leaf::view`].
#[derive(Clone, Debug)]
pub(super) struct Insertion {
    /// Where.
    pub at: usize,
    /// What, with the leaf's line ends.
    pub text: String,
}

/// A leaf with its insertions made.
#[derive(Debug, Default)]
pub(super) struct Rewrite {
    /// Over the message.
    pub edits: Vec<Edit>,
    /// What the part must decode to now; none for parts too large to compare.
    pub decoded: Option<Vec<u8>>,
    /// What was put in, in order, as its readers see it, entities in place.
    pub inserted: Vec<String>,
    /// The charset its header must name, where that changed.
    pub charset: Option<String>,
}

impl<'a> Leaf<'a> {
    /// Reads a part.
    pub(super) fn load(message: &'a [u8], part: &'a Part, number: usize) -> Result<Self, Untouched> {
        let raw = message.get(part.body.clone()).unwrap_or_default();
        let html = part.media() == "text/html";
        match part.transfer {
            Transfer::Unknown => return Err(Untouched::Malformed),
            Transfer::Base64 if !is_sound_base64(raw) => return Err(Untouched::Malformed),
            Transfer::Base64 | Transfer::Quoted
                if decode::decoded_len(raw, part.transfer) > MAX_LEAF as u64 =>
            {
                return Err(Untouched::TooLarge);
            }
            _ => {}
        }
        let bytes = decode::decode(raw, part.transfer, usize::MAX);
        let known = part.content.get("charset").and_then(charset::lookup);
        let wide = match known {
            Some(encoding) if !encoding.is_ascii_compatible() => {
                if bytes.len() > MAX_REWRITE {
                    return Err(Untouched::TooLarge);
                }
                let label = part.content.get("charset").unwrap_or_default();
                Some(charset::decode(&bytes, label).ok_or(Untouched::Charset)?.into_owned())
            }
            _ => None,
        };
        Ok(Self { number, part, raw, bytes, wide, html })
    }

    /// Bytes in which ASCII means ASCII; insertions are placed in these.
    pub(super) fn view(&self) -> &[u8] {
        self.wide.as_deref().map_or(&self.bytes, str::as_bytes)
    }

    /// The text as a reader sees it, of large parts the ends alone.
    pub(super) fn seen(&self) -> String {
        let whole = self.view();
        let half = MAX_LEAF / 2;
        let pieces = match (whole.get(..half), whole.len().checked_sub(half).and_then(|at| whole.get(at..))) {
            (Some(head), Some(tail)) if whole.len() > MAX_LEAF => [head, tail],
            _ => [whole, &[]],
        };
        let label = if self.wide.is_some() { Some("utf-8") } else { self.part.content.get("charset") };
        let mut out = String::new();
        for piece in pieces {
            let text = charset::read(piece, label);
            if self.html {
                out.push_str(&crate::html::text(&text));
            } else {
                out.push_str(&text);
            }
        }
        out
    }

    /// The line end inside the decoded text; `message` is that of the message.
    pub(super) fn eol(&self, message: &'static str) -> &'static str {
        if self.part.transfer != Transfer::Base64 && self.wide.is_none() {
            return message;
        }
        match memchr::memchr(b'\n', self.view()) {
            Some(at) if at == 0 || self.view().get(at - 1) != Some(&b'\r') => "\n",
            _ => "\r\n",
        }
    }

    /// Makes the insertions, which stand in order. `eol` is the message's.
    pub(super) fn rewrite(
        &self,
        insertions: &[Insertion],
        message: &[u8],
        eol: &'static str,
    ) -> Result<Rewrite, Untouched> {
        let label = self.part.content.get("charset");
        if let Some(text) = &self.wide {
            return self.anew(put_str(text, insertions), insertions, label, message, eol);
        }
        let seven = self.part.transfer == Transfer::Seven;
        let mut ready = Vec::with_capacity(insertions.len());
        let mut eight = false;
        for insertion in insertions {
            let text =
                if self.html { entities(&insertion.text, label, seven) } else { insertion.text.clone() };
            match charset::encode(&text, label.unwrap_or("us-ascii")) {
                Some(bytes) => {
                    eight |= !bytes.is_ascii();
                    ready.push((insertion.at, bytes, text));
                }
                None => return self.upgrade(insertions, message, eol),
            }
        }
        let inserted: Vec<String> = ready.iter().map(|(_, _, text)| text.clone()).collect();
        let pieces: Vec<(usize, Vec<u8>)> = ready.into_iter().map(|(at, bytes, _)| (at, bytes)).collect();
        let long = pieces.iter().any(|(_, b)| b.split(|b| *b == b'\n').any(|l| l.len() > MAX_LINE));
        let decoded = (self.bytes.len() <= MAX_LEAF).then(|| put(&self.bytes, &pieces));
        if self.part.transfer.is_identity() && (long || (seven && eight)) {
            let decoded = decoded.filter(|_| self.bytes.len() <= MAX_REWRITE).ok_or(Untouched::TooLarge)?;
            let (name, body) = fresh(&decoded, eol);
            let edits = vec![
                self.transfer_edit(name, message, eol)?,
                Edit { range: self.part.body.clone(), bytes: body },
            ];
            return Ok(Rewrite { edits: sorted(edits), decoded: Some(decoded), inserted, charset: None });
        }
        let edits = match self.part.transfer {
            Transfer::Quoted => self.splice_quoted(&pieces, eol),
            Transfer::Base64 => self.splice_base64(&pieces, eol),
            _ => {
                let start = self.part.body.start;
                pieces.into_iter().map(|(at, bytes)| Edit { range: start + at..start + at, bytes }).collect()
            }
        };
        Ok(Rewrite { edits, decoded, inserted, charset: None })
    }

    /// The last rung: the part becomes UTF-8, if its bytes are surely of the charset it names.
    fn upgrade(
        &self,
        insertions: &[Insertion],
        message: &[u8],
        eol: &'static str,
    ) -> Result<Rewrite, Untouched> {
        if self.bytes.len() > MAX_REWRITE {
            return Err(Untouched::TooLarge);
        }
        let named = self.part.content.get("charset").filter(|l| !charset::is_ascii_label(l));
        // Nothing is said, or ASCII: valid UTF-8 is UTF-8, anything else would be a guess.
        let label = named.unwrap_or("utf-8");
        // Insertions stand at line ends, which are places in the text as well.
        let mut at = 0;
        let mut out = String::with_capacity(self.bytes.len() + 1024);
        for insertion in insertions {
            let before = self.bytes.get(at..insertion.at).unwrap_or_default();
            out.push_str(&charset::decode(before, label).ok_or(Untouched::Charset)?);
            out.push_str(&insertion.text);
            at = insertion.at;
        }
        let rest = self.bytes.get(at..).unwrap_or_default();
        out.push_str(&charset::decode(rest, label).ok_or(Untouched::Charset)?);
        self.anew(out, insertions, Some("utf-8"), message, eol)
    }

    /// Writes the whole part anew, in a charset that holds the text; UTF-8 if the one asked for does not.
    fn anew(
        &self,
        text: String,
        insertions: &[Insertion],
        label: Option<&str>,
        message: &[u8],
        eol: &'static str,
    ) -> Result<Rewrite, Untouched> {
        let label = label.unwrap_or("utf-8");
        let utf8 = charset::lookup(label) == Some(encoding_rs::UTF_8);
        let own = (!utf8).then(|| charset::encode(&text, label)).flatten();
        let (label, decoded) = match own.filter(|b| charset::decode(b, label).is_some_and(|t| t == text)) {
            Some(bytes) => (label, bytes),
            None => (if utf8 { label } else { "utf-8" }, text.into_bytes()),
        };
        let now = self.part.content.get("charset");
        let changed = !now.is_some_and(|n| n.eq_ignore_ascii_case(label));
        let long = decoded.split(|b| *b == b'\n').any(|l| l.len() > MAX_LINE);
        let eight = !decoded.is_ascii();
        let (transfer, body) = match self.part.transfer {
            Transfer::Base64 => (None, encode::base64(&decoded, 0, eol)),
            Transfer::Quoted => (None, encode::quoted(&decoded, 0, eol)),
            Transfer::Eight if !long => (None, decoded.clone()),
            Transfer::Seven if !long && !eight => (None, decoded.clone()),
            Transfer::Binary if !long => (Some("8bit"), decoded.clone()),
            _ => {
                let (name, body) = fresh(&decoded, eol);
                (Some(name), body)
            }
        };
        let mut edits = Vec::new();
        if changed {
            edits.push(self.charset_edit(label, message, eol)?);
        }
        if let Some(name) = transfer {
            edits.push(self.transfer_edit(name, message, eol)?);
        }
        // Base64 keeps the line end that stood behind it.
        let tail = self.raw.len() - self.raw.trim_ascii_end().len();
        let keep = if self.part.transfer == Transfer::Base64 { tail } else { 0 };
        edits.push(Edit { range: self.part.body.start..self.part.body.end - keep, bytes: body });
        let inserted = insertions.iter().map(|i| i.text.clone()).collect();
        Ok(Rewrite {
            edits: sorted(edits),
            decoded: Some(decoded),
            inserted,
            charset: changed.then(|| label.to_owned()),
        })
    }

    fn splice_quoted(&self, pieces: &[(usize, Vec<u8>)], eol: &str) -> Vec<Edit> {
        let mut edits = Vec::new();
        for (at, bytes) in pieces {
            let mut place = None;
            let mut count = 0;
            decode::each(self.raw, Transfer::Quoted, |_, from| {
                if count == *at {
                    place = Some(from);
                }
                count += 1;
                place.is_none()
            });
            let end = place.is_none();
            let place = place.unwrap_or(self.raw.len());
            let before = self.raw.get(..place).unwrap_or_default();
            let column = before.len() - before.iter().rposition(|b| *b == b'\n').map_or(0, |lf| lf + 1);
            let fresh = bytes.starts_with(eol.as_bytes());
            let mut out = Vec::new();
            let open = before.trim_ascii_end().last() == Some(&b'=') && column > 0 && end;
            if open {
                // The body ends in a soft break without its line end.
                out.extend_from_slice(eol.as_bytes());
            } else if column > 0 && !end && (!fresh || matches!(before.last(), Some(b' ' | b'\t'))) {
                out.push(b'=');
                out.extend_from_slice(eol.as_bytes());
            }
            let column = if out.is_empty() { column } else { 0 };
            out.extend(encode::quoted(bytes, column, eol));
            if !end && !bytes.ends_with(eol.as_bytes()) {
                out.push(b'=');
                out.extend_from_slice(eol.as_bytes());
            }
            let place = self.part.body.start + place;
            edits.push(Edit { range: place..place, bytes: out });
        }
        edits
    }

    /// One edit from the group that holds the first insertion to the end of the base64.
    fn splice_base64(&self, pieces: &[(usize, Vec<u8>)], eol: &str) -> Vec<Edit> {
        let Some((first, _)) = pieces.first() else { return Vec::new() };
        let group = first - first % 3;
        let data_end = self.raw.trim_ascii_end().len();
        let mut place = None;
        let mut count = 0;
        decode::each(self.raw, Transfer::Base64, |_, from| {
            if count == group {
                place = Some(from);
            }
            count += 1;
            place.is_none()
        });
        let place = place.unwrap_or(data_end);
        let before = self.raw.get(..place).unwrap_or_default();
        let column = before.len() - before.iter().rposition(|b| *b == b'\n').map_or(0, |lf| lf + 1);
        let moved: Vec<(usize, Vec<u8>)> = pieces.iter().map(|(at, b)| (at - group, b.clone())).collect();
        let rest = put(self.bytes.get(group..).unwrap_or_default(), &moved);
        let start = self.part.body.start;
        vec![Edit { range: start + place..start + data_end, bytes: encode::base64(&rest, column, eol) }]
    }

    fn transfer_edit(&self, name: &str, message: &[u8], eol: &str) -> Result<Edit, Untouched> {
        field::transfer_edit(self.header_open()?, message, name, eol)
    }

    fn charset_edit(&self, label: &str, message: &[u8], eol: &str) -> Result<Edit, Untouched> {
        field::charset_edit(self.header_open()?, message, label, eol)
    }

    /// The part, where a blank line ends its header so that fields can be added.
    fn header_open(&self) -> Result<&Part, Untouched> {
        if self.part.body.start > self.part.header.end { Ok(self.part) } else { Err(Untouched::Malformed) }
    }
}

/// A body in the encoding that suits it: quoted-printable, or base64 where most of it would be escapes.
fn fresh(decoded: &[u8], eol: &str) -> (&'static str, Vec<u8>) {
    let escapes = decoded.iter().filter(|b| !b.is_ascii() || **b == b'=').count();
    if escapes > decoded.len() / 6 {
        let mut body = encode::base64(decoded, 0, eol);
        body.extend_from_slice(eol.as_bytes());
        ("base64", body)
    } else {
        ("quoted-printable", encode::quoted(decoded, 0, eol))
    }
}

fn sorted(mut edits: Vec<Edit>) -> Vec<Edit> {
    edits.sort_by_key(|e| (e.range.start, e.range.end));
    edits
}

/// Bytes with pieces put in at offsets, which stand in order.
fn put(bytes: &[u8], pieces: &[(usize, Vec<u8>)]) -> Vec<u8> {
    let edits: Vec<Edit> = pieces.iter().map(|(at, b)| Edit { range: *at..*at, bytes: b.clone() }).collect();
    super::apply(bytes, &edits)
}

fn put_str(text: &str, insertions: &[Insertion]) -> String {
    let mut out = String::with_capacity(text.len() + 256);
    let mut at = 0;
    for insertion in insertions {
        out.push_str(text.get(at..insertion.at).unwrap_or_default());
        out.push_str(&insertion.text);
        at = insertion.at;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// Only the alphabet, white space, and padding at the end.
fn is_sound_base64(raw: &[u8]) -> bool {
    let mut padding = 0;
    let mut digits = 0_usize;
    for byte in raw.iter().filter(|b| !b.is_ascii_whitespace()) {
        match byte {
            b'=' => padding += 1,
            b'+' | b'/' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' if padding == 0 => digits += 1,
            _ => return false,
        }
    }
    padding <= 2 && (digits + padding).is_multiple_of(4)
}

/// HTML in which what the charset lacks is written as entities.
fn entities(html: &str, label: Option<&str>, ascii_only: bool) -> String {
    if html.is_ascii() {
        return html.to_owned();
    }
    let label = label.filter(|_| !ascii_only).unwrap_or("us-ascii");
    let mut out = String::with_capacity(html.len() + 32);
    let mut one = [0; 4];
    for c in html.chars() {
        if c.is_ascii() || charset::encode(c.encode_utf8(&mut one), label).is_some() {
            out.push(c);
        } else {
            out.push_str(&format!("&#{};", u32::from(c)));
        }
    }
    out
}
