//! The walker: which parts a message has and where they lie (RFC 2046).
//!
//! One pass over the lines, no recursion, nothing decoded, no byte copied but boundaries and the few
//! parameters of each part. Delimiters are whole lines, so that two parsers seldom disagree. Past
//! [`MAX_DEPTH`] or [`MAX_PARTS`] the rest is one leaf and the tree says malformed.

use crate::decode::Transfer;
use crate::header::{self, line_at};
use crate::limits::{MAX_DEPTH, MAX_HEADER, MAX_PARTS};
use crate::param::{self, Structured};
use memchr::memmem;
use std::ops::Range;

/// What a part holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Kind {
    /// Bytes of some type.
    #[default]
    Leaf,
    /// Other parts.
    Multipart,
    /// A message of its own, which is its only child.
    Message,
}

/// One part.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    /// The part that holds it; none for the message itself.
    pub parent: Option<usize>,
    /// Its header, without the blank line.
    pub header: Range<usize>,
    /// Its body. The line end before a delimiter belongs to the delimiter.
    pub body: Range<usize>,
    /// What it holds.
    pub kind: Kind,
    /// Media type and parameters; `text/plain` where nothing readable is said.
    pub content: Structured,
    /// Content-Type is there.
    pub typed: bool,
    /// The transfer encoding.
    pub transfer: Transfer,
    /// `inline`, `attachment`, or empty.
    pub disposition: String,
    /// The file name, decoded.
    pub name: Option<String>,
    /// Its Content-ID, without the brackets.
    pub id: Option<String>,
    /// A multipart's closing delimiter was seen.
    pub closed: bool,
}

impl Part {
    /// Its media type, lower case.
    pub(crate) fn media(&self) -> &str {
        &self.content.value
    }

    /// Whether a reader has to open it: said so, or a file that is not text.
    pub(crate) fn is_attachment(&self) -> bool {
        if self.kind == Kind::Multipart {
            return false;
        }
        self.disposition == "attachment"
            || self.kind == Kind::Message
            || self.name.is_some()
            || !self.media().starts_with("text/")
    }
}

/// A message taken apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    /// The message itself first, then in the order of their headers.
    pub parts: Vec<Part>,
    /// Past the limits, or not to be read.
    pub malformed: bool,
}

impl Tree {
    /// The children of a part, in order.
    pub(crate) fn children(&self, of: usize) -> impl Iterator<Item = usize> {
        self.parts.iter().enumerate().filter(move |(_, p)| p.parent == Some(of)).map(|(at, _)| at)
    }
}

/// A part that is being read.
struct Open {
    part: usize,
    /// The delimiter without `--`; none for leaves, messages and multiparts that were closed.
    boundary: Option<Vec<u8>>,
}

struct Walker<'a> {
    message: &'a [u8],
    tree: Tree,
    stack: Vec<Open>,
    /// The innermost part is still in its header.
    in_header: bool,
}

/// The longest Content-ID that is kept.
const MAX_ID: usize = 250;

/// A Content-ID without its brackets.
pub(crate) fn bare_id(id: &str) -> &str {
    let id = id.trim();
    id.strip_prefix('<').and_then(|inner| inner.strip_suffix('>')).unwrap_or(id)
}

/// Takes a message apart.
pub(crate) fn walk(message: &[u8]) -> Tree {
    let mut walker = Walker { message, tree: Tree::default(), stack: Vec::new(), in_header: false };
    let dashes = memmem::Finder::new(b"\n--");
    walker.begin(None, 0);
    let mut at = 0;
    loop {
        if !walker.in_header && !message.get(at..).unwrap_or_default().starts_with(b"--") {
            // Nothing in a body but a delimiter is of interest, and each begins like this.
            let Some(found) = message.get(at..).and_then(|rest| dashes.find(rest)) else { break };
            at += found + 1;
        }
        let Some((end, next)) = line_at(message, at) else { break };
        let line = message.get(at..end).unwrap_or_default();
        if line.starts_with(b"--")
            && let Some((level, closing)) = walker.delimiter(line)
        {
            walker.cut(level, at, closing, next);
        } else if walker.in_header {
            walker.header_line(at, end, next);
        }
        at = next;
    }
    walker.finish()
}

impl Walker<'_> {
    /// Begins a part whose header starts here.
    fn begin(&mut self, parent: Option<usize>, at: usize) {
        let part = self.tree.parts.len();
        self.tree.parts.push(Part { parent, header: at..at, body: at..at, ..Part::default() });
        self.stack.push(Open { part, boundary: None });
        self.in_header = true;
    }

    /// The innermost open multipart whose delimiter the line is, and whether it closes it.
    fn delimiter(&self, line: &[u8]) -> Option<(usize, bool)> {
        let line = line.get(2..)?;
        self.stack.iter().enumerate().rev().find_map(|(level, open)| {
            let rest = line.strip_prefix(open.boundary.as_deref()?)?;
            let (rest, closing) = match rest.strip_prefix(b"--") {
                Some(rest) => (rest, true),
                None => (rest, false),
            };
            rest.iter().all(|b| matches!(b, b' ' | b'\t')).then_some((level, closing))
        })
    }

    /// A delimiter line of the multipart at `level`.
    fn cut(&mut self, level: usize, at: usize, closing: bool, next: usize) {
        if self.in_header {
            self.end_header(at, at);
        }
        let mut end = at;
        for byte in [b'\n', b'\r'] {
            if end > 0 && self.message.get(end - 1) == Some(&byte) {
                end -= 1;
            }
        }
        while self.stack.len() > level + 1 {
            if let Some(open) = self.stack.pop() {
                self.close(open.part, end);
            }
        }
        let Some(top) = self.stack.last_mut() else { return };
        let parent = top.part;
        if closing {
            top.boundary = None;
            if let Some(part) = self.tree.parts.get_mut(parent) {
                part.closed = true;
            }
        } else if self.tree.parts.len() >= MAX_PARTS {
            self.tree.malformed = true;
            top.boundary = None;
        } else {
            self.begin(Some(parent), next);
        }
    }

    /// A line inside the header of the innermost part.
    fn header_line(&mut self, at: usize, end: usize, next: usize) {
        let start =
            self.stack.last().and_then(|o| self.tree.parts.get(o.part)).map_or(at, |p| p.header.start);
        if end == at {
            self.end_header(at, next);
        } else if next - start > MAX_HEADER {
            self.tree.malformed = true;
            self.end_header(at, at);
        }
    }

    /// The header of the innermost part ends; its body begins at `body`.
    fn end_header(&mut self, end: usize, body: usize) {
        self.in_header = false;
        let depth = self.stack.len();
        let Some(open) = self.stack.last_mut() else { return };
        let number = open.part;
        let parent = self.tree.parts.get(number).and_then(|p| p.parent);
        let digest =
            parent.and_then(|p| self.tree.parts.get(p)).is_some_and(|p| p.media() == "multipart/digest");
        let Some(part) = self.tree.parts.get_mut(number) else { return };
        part.header.end = end.max(part.header.start);
        part.body = body..body;
        let bytes = self.message.get(part.header.clone()).unwrap_or_default();
        self.tree.malformed |= describe(bytes, part, digest);
        let mut inner = false;
        match part.kind {
            Kind::Leaf => {}
            _ if depth >= MAX_DEPTH => {
                self.tree.malformed = true;
                part.kind = Kind::Leaf;
            }
            Kind::Multipart => match part.content.get("boundary").filter(|b| !b.is_empty()) {
                Some(boundary) => open.boundary = Some(boundary.trim_end().as_bytes().to_vec()),
                None => {
                    self.tree.malformed = true;
                    part.kind = Kind::Leaf;
                }
            },
            Kind::Message => inner = true,
        }
        if inner {
            self.begin(Some(number), body);
        }
    }

    /// The message ends.
    fn finish(mut self) -> Tree {
        if self.in_header {
            self.end_header(self.message.len(), self.message.len());
        }
        while let Some(open) = self.stack.pop() {
            self.close(open.part, self.message.len());
        }
        self.tree
    }

    fn close(&mut self, part: usize, end: usize) {
        if let Some(part) = self.tree.parts.get_mut(part) {
            part.body.end = end.max(part.body.start);
        }
    }
}

/// Reads what a part's header says of its content. True where it cannot be read soundly.
fn describe(bytes: &[u8], part: &mut Part, digest: bool) -> bool {
    let read = header::fields(bytes);
    let mut malformed = read.malformed;
    let (mut typed, mut encoded) = (0, 0);
    let mut file = None;
    for field in &read.fields {
        if field.is("content-type") {
            typed += 1;
            if typed == 1 {
                match param::parse(field.value) {
                    Some(content) => part.content = content,
                    None => malformed = true,
                }
            }
        } else if field.is("content-transfer-encoding") {
            encoded += 1;
            if encoded == 1 {
                part.transfer = Transfer::parse(&crate::words::unfold(field.value));
            }
        } else if field.is("content-disposition") {
            match param::parse(field.value) {
                Some(disposition) => {
                    file = disposition.get("filename").map(str::to_owned).or(file);
                    part.disposition = disposition.value;
                }
                None => malformed = true,
            }
        } else if field.is("content-id") && field.value.len() <= MAX_ID {
            part.id = Some(bare_id(&crate::words::unfold(field.value)).to_owned());
        }
    }
    // Two types or two encodings: readers choose differently.
    malformed |= typed > 1 || encoded > 1;
    part.typed = typed > 0;
    if !part.content.value.contains('/') {
        let default = if digest && !part.typed { "message/rfc822" } else { "text/plain" };
        default.clone_into(&mut part.content.value);
    }
    let named = file.or_else(|| part.content.get("name").map(str::to_owned));
    part.name = named.filter(|name| !name.trim().is_empty());
    part.kind = if part.media().starts_with("multipart/") {
        Kind::Multipart
    } else if matches!(part.media(), "message/rfc822" | "message/global") && part.transfer.is_identity() {
        Kind::Message
    } else {
        Kind::Leaf
    };
    malformed
}

#[cfg(test)]
mod tests;
