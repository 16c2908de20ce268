//! One text leaf: reading it, and writing insertions into it with as few bytes changed as can be.
//!
//! Three rungs. *Splice*: the new text in the part's own charset and encoding, every old byte stays (of base64, the
//! bytes behind the insertion move). *Encoding*: the charset stays, the part becomes quoted-printable since
//! 7bit cannot hold the new bytes (base64 where most of its bytes are not ASCII). *Upgrade*: the part becomes UTF-8.
//! HTML never needs the last: what its charset lacks is written as entities.
//!
//! Parts too large to be written anew climb the last two by their labels alone: 7bit becomes 8bit, and ASCII is
//! UTF-8 already.

use super::{Edit, Untouched, encode, field, splice};
use crate::charset;
use crate::decode::{self, Transfer};
use crate::header;
use crate::limits::{MAX_LEAF, MAX_LINE, MAX_REWRITE, MAX_RUN, MAX_WHOLE};
use crate::mime::{Part, Tree};
use std::borrow::Cow;

/// What was left out of a part: behind so many bytes of those that were kept, so many more.
type Gaps = Vec<(usize, usize)>;

/// A text leaf, decoded.
pub(super) struct Leaf<'a> {
    /// Its number in the tree.
    pub number: usize,
    /// Where it lies.
    pub part: &'a Part,
    tree: &'a Tree,
    /// Its body as it travels.
    pub raw: &'a [u8],
    /// Its body with the transfer encoding undone; of large ones without most of each long run of letters.
    pub bytes: Cow<'a, [u8]>,
    gaps: Gaps,
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
    /// The same as bytes, with the edits that put it there; for parts too large to compare.
    pub splices: Vec<(Edit, Vec<u8>)>,
    /// The charset its header must name, where that changed.
    pub charset: Option<String>,
}

impl<'a> Leaf<'a> {
    /// Reads a part.
    pub(super) fn load(message: &'a [u8], tree: &'a Tree, number: usize) -> Result<Self, Untouched> {
        let part = tree.parts.get(number).ok_or(Untouched::NoText)?;
        let raw = message.get(part.body.clone()).unwrap_or_default();
        let html = part.media() == "text/html";
        match part.transfer {
            Transfer::Unknown => return Err(Untouched::Malformed),
            Transfer::Base64 if !is_sound_base64(raw) => return Err(Untouched::Malformed),
            _ => {}
        }
        let large =
            !part.transfer.is_identity() && decode::decoded_len(raw, part.transfer) > MAX_WHOLE as u64;
        let (bytes, gaps) = if large {
            let (bytes, gaps) = without_runs(raw, part.transfer).ok_or(Untouched::TooLarge)?;
            (Cow::Owned(bytes), gaps)
        } else {
            (decode::decode(raw, part.transfer, usize::MAX), Gaps::new())
        };
        let known = part.content.get("charset").and_then(charset::lookup);
        let wide = match known {
            Some(encoding) if !encoding.is_ascii_compatible() => {
                if large || bytes.len() > MAX_REWRITE {
                    return Err(Untouched::TooLarge);
                }
                let label = part.content.get("charset").unwrap_or_default();
                Some(charset::decode(&bytes, label).ok_or(Untouched::Charset)?.into_owned())
            }
            _ => None,
        };
        Ok(Self { number, part, tree, raw, bytes, gaps, wide, html })
    }

    /// Bytes in which ASCII means ASCII; insertions are placed in these.
    pub(super) fn view(&self) -> &[u8] {
        self.wide.as_deref().map_or(&self.bytes, str::as_bytes)
    }

    /// Whether the part is small enough to be compared as a whole after the edit.
    pub(super) fn is_whole(&self) -> bool {
        self.gaps.is_empty() && self.bytes.len() <= MAX_WHOLE
    }

    /// A piece of the view as text.
    pub(super) fn text<'b>(&self, piece: &'b [u8]) -> Cow<'b, str> {
        let label = if self.wide.is_some() { Some("utf-8") } else { self.part.content.get("charset") };
        charset::read(piece, label)
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
        let mut pieces = Vec::with_capacity(insertions.len());
        let mut inserted = Vec::with_capacity(insertions.len());
        for insertion in insertions {
            let text =
                if self.html { entities(&insertion.text, label, seven) } else { insertion.text.clone() };
            match charset::encode(&text, label.unwrap_or("us-ascii")) {
                Some(bytes) => {
                    pieces.push((insertion.at, bytes));
                    inserted.push(text);
                }
                None => return self.upgrade(insertions, message, eol),
            }
        }
        let eight = pieces.iter().any(|(_, bytes)| !bytes.is_ascii());
        let long = is_long(&pieces);
        if self.part.transfer.is_identity() && (long || (seven && eight)) {
            if self.bytes.len() > MAX_REWRITE {
                return self.relabel(&pieces, inserted, None, message, eol);
            }
            let decoded = put(&self.bytes, &pieces);
            let (name, body) = fresh(&decoded, eol);
            let edits = vec![
                self.transfer_edit(name, message, eol)?,
                Edit { range: self.part.body.clone(), bytes: body },
            ];
            return Ok(Rewrite {
                edits: sorted(edits),
                decoded: Some(decoded),
                inserted,
                ..Rewrite::default()
            });
        }
        self.splice(&pieces, inserted, eol)
    }

    /// The first rung: the pieces go in, and nothing else changes.
    fn splice(
        &self,
        pieces: &[(usize, Vec<u8>)],
        inserted: Vec<String>,
        eol: &str,
    ) -> Result<Rewrite, Untouched> {
        let whole = self.is_whole();
        let placed: Vec<(usize, &[u8])> =
            pieces.iter().map(|(at, bytes)| (self.decoded_at(*at), bytes.as_slice())).collect();
        let mut splices = match self.part.transfer {
            Transfer::Quoted => splice::quoted(self.raw, &placed, eol),
            Transfer::Base64 if whole => splice::base64(self.raw, &self.bytes, &placed, eol),
            Transfer::Base64 => splice::base64_apart(self.raw, &placed, eol).ok_or(Untouched::TooLarge)?,
            _ => placed
                .iter()
                .map(|(at, bytes)| (Edit { range: *at..*at, bytes: bytes.to_vec() }, bytes.to_vec()))
                .collect(),
        };
        let start = self.part.body.start;
        for (edit, _) in &mut splices {
            edit.range = start + edit.range.start..start + edit.range.end;
        }
        let edits = splices.iter().map(|(edit, _)| edit.clone()).collect();
        let decoded = whole.then(|| put(&self.bytes, pieces));
        if whole {
            splices.clear();
        }
        Ok(Rewrite { edits, decoded, inserted, splices, charset: None })
    }

    /// A part too large to be written anew: new labels where they are true of what is there.
    fn relabel(
        &self,
        pieces: &[(usize, Vec<u8>)],
        inserted: Vec<String>,
        label: Option<&str>,
        message: &[u8],
        eol: &'static str,
    ) -> Result<Rewrite, Untouched> {
        let eight = pieces.iter().any(|(_, bytes)| !bytes.is_ascii());
        let renamed = self.part.transfer == Transfer::Seven && eight;
        if is_long(pieces) && self.part.transfer.is_identity() || renamed && self.is_in_seven(message) {
            return Err(Untouched::TooLarge);
        }
        let mut rewrite = self.splice(pieces, inserted, eol)?;
        let mut edits = Vec::new();
        if let Some(label) = label {
            edits.push(self.charset_edit(label, message, eol)?);
        }
        if renamed {
            edits.push(self.transfer_edit("8bit", message, eol)?);
        }
        edits.append(&mut rewrite.edits);
        // What is too large to be compared has a label that is true of any of its bytes.
        Ok(Rewrite { edits: sorted(edits), charset: label.map(str::to_owned), ..rewrite })
    }

    /// Whether a multipart around it says 7bit, which would then be wrong (RFC 2045 6.4).
    fn is_in_seven(&self, message: &[u8]) -> bool {
        let mut above = self.part.parent;
        while let Some(part) = above.and_then(|number| self.tree.parts.get(number)) {
            let fields = header::fields(message.get(part.header.clone()).unwrap_or_default());
            if part.transfer == Transfer::Seven
                && fields.fields.iter().any(|f| f.is("content-transfer-encoding"))
            {
                return true;
            }
            above = part.parent;
        }
        false
    }

    /// The offset in the decoded part of a place in `bytes`.
    fn decoded_at(&self, at: usize) -> usize {
        at + self.gaps.iter().take_while(|(place, _)| *place <= at).map(|(_, length)| length).sum::<usize>()
    }

    /// The last rung: the part becomes UTF-8, if its bytes are surely of the charset it names.
    fn upgrade(
        &self,
        insertions: &[Insertion],
        message: &[u8],
        eol: &'static str,
    ) -> Result<Rewrite, Untouched> {
        let named = self.part.content.get("charset").filter(|l| !charset::is_ascii_label(l));
        if !self.is_whole() || self.bytes.len() > MAX_REWRITE {
            // ASCII is UTF-8 already; what lies in the gaps is ASCII.
            let ascii = self.bytes.is_ascii() && named.is_none_or(|label| charset::lookup(label).is_some());
            if !ascii && named.is_some() {
                return Err(Untouched::TooLarge);
            }
            if std::str::from_utf8(&self.bytes).is_err() {
                return Err(Untouched::Charset);
            }
            let pieces: Vec<_> = insertions.iter().map(|i| (i.at, i.text.clone().into_bytes())).collect();
            let inserted = insertions.iter().map(|i| i.text.clone()).collect();
            return self.relabel(&pieces, inserted, Some("utf-8"), message, eol);
        }
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
            splices: Vec::new(),
        })
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

/// Whether a line of any piece is too long to travel as it is.
fn is_long(pieces: &[(usize, Vec<u8>)]) -> bool {
    pieces.iter().any(|(_, bytes)| bytes.split(|b| *b == b'\n').any(|line| line.len() > MAX_LINE))
}

/// A large part decoded, without most of each long run of letters and digits: pictures inside of HTML, which
/// hold no tag and no word. None where it is too large all the same.
fn without_runs(raw: &[u8], transfer: Transfer) -> Option<(Vec<u8>, Gaps)> {
    let mut length = 0_usize;
    each_kept(raw, transfer, |_, keep| {
        length += usize::from(keep);
        length <= MAX_LEAF
    });
    if length > MAX_LEAF {
        return None;
    }
    let mut bytes = Vec::with_capacity(length);
    let mut gaps = Gaps::new();
    each_kept(raw, transfer, |byte, keep| {
        if keep {
            bytes.push(byte);
        } else {
            match gaps.last_mut().filter(|(at, _)| *at == bytes.len()) {
                Some((_, missing)) => *missing += 1,
                None => gaps.push((bytes.len(), 1)),
            }
        }
        true
    });
    Some((bytes, gaps))
}

/// Each decoded byte, and whether it is kept. Stops where `take` says so.
fn each_kept(raw: &[u8], transfer: Transfer, mut take: impl FnMut(u8, bool) -> bool) {
    let mut run = 0_usize;
    decode::each(raw, transfer, |byte, _| {
        let letter = byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
        run = if letter { run + 1 } else { 0 };
        take(byte, run <= MAX_RUN)
    });
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

/// Only the alphabet, white space, and padding at the end, which some programs leave out.
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
    padding <= 2 && (digits + padding).is_multiple_of(4) || padding == 0 && digits % 4 != 1
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
