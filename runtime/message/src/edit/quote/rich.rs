//! Quoted text in text/html.
//!
//! No tree is built: a stack of the open blocks tells where an element can stand, and counts of the texts seen
//! tell what stands above a place.

use super::labels::{self, Block};
use super::{MAX_ATTRIBUTION, Quoted, is_attribution};
use crate::html::{self, Token};
use std::cell::Cell;
use std::ops::Range;

/// Open blocks that are kept track of.
const MAX_STACK: usize = 100;
/// Quotes that are kept track of.
const MAX_QUOTES: usize = 10_000;
/// Places behind which a quoted header is looked for.
const MAX_HEADERS: usize = 500;
/// Bytes behind a separator in which a quoted header is looked for.
const NEAR: usize = 4096;

/// Blocks that can hold a `div`.
const FLOW: &[&[u8]] = &[
    b"div",
    b"td",
    b"th",
    b"li",
    b"dd",
    b"blockquote",
    b"center",
    b"section",
    b"article",
    b"main",
    b"header",
    b"footer",
    b"form",
    b"fieldset",
    b"figure",
    b"details",
    b"body",
    b"html",
];
/// Blocks that cannot, and would be closed or left by one.
const NARROW: &[&[u8]] = &[
    b"p", b"h1", b"h2", b"h3", b"h4", b"h5", b"h6", b"pre", b"dt", b"table", b"thead", b"tbody", b"tfoot",
    b"tr", b"ul", b"ol", b"dl", b"address", b"caption", b"head", b"select",
];

struct Open<'a> {
    name: &'a [u8],
    start: usize,
    /// Texts seen before it.
    texts: usize,
    narrow: bool,
}

/// A line of text as it is shown.
#[derive(Clone, Default)]
struct Line {
    /// Where an element can stand right before it, if anywhere.
    at: Option<usize>,
    /// Where it begins.
    start: usize,
    texts: usize,
    text: Vec<u8>,
    /// What was known of the author's text before it.
    own: bool,
    below: bool,
}

/// What text is inside of.
enum Inside<'a> {
    /// A quote, or the line that names whom it quotes.
    Quote {
        name: &'a [u8],
        depth: usize,
        start: usize,
    },
    Signature {
        name: &'a [u8],
        depth: usize,
    },
}

struct Finder<'a> {
    html: &'a [u8],
    reply: bool,
    stack: Vec<Open<'a>>,
    /// Open blocks past the bound.
    deep: usize,
    /// Places behind which a header was looked for.
    headers: Cell<usize>,
    /// Texts seen outside of quotes.
    texts: usize,
    line: Line,
    /// The last line with text before `line`.
    before: Line,
    inside: Option<Inside<'a>>,
    signature: bool,
    /// Where the first quote begins, once there is one.
    found: Option<(usize, bool)>,
    out: Quoted,
}

/// Looks for quoted text.
pub(super) fn find(html: &[u8], reply: bool) -> Quoted {
    let mut finder = Finder {
        html,
        reply,
        stack: Vec::new(),
        deep: 0,
        headers: Cell::new(0),
        texts: 0,
        line: Line { at: Some(0), ..Line::default() },
        before: Line::default(),
        inside: None,
        signature: false,
        found: None,
        out: Quoted::default(),
    };
    for token in html::tokens(html) {
        match token {
            Token::Text(range) => finder.text(range),
            Token::Tag { range, name, close: false } => finder.open(range, name),
            Token::Tag { range, name, close: true } => finder.close(range, name),
            Token::Hidden { .. } => {}
        }
        if finder.out.open {
            break;
        }
    }
    finder.finish()
}

impl<'a> Finder<'a> {
    fn finish(mut self) -> Quoted {
        if let Some(Inside::Quote { start, .. }) = self.inside {
            self.out.ranges.push(start..self.html.len());
        }
        if let Some((at, seen)) = self.found
            && seen
            && !self.out.below
        {
            self.out.above = Some(at);
        }
        self.out
    }

    fn text(&mut self, range: Range<usize>) {
        let text = self.html.get(range).unwrap_or_default();
        if !is_visible(text) || matches!(self.inside, Some(Inside::Quote { .. })) {
            return;
        }
        self.signature |= self.line.text.is_empty() && super::trim_spaces(text) == b"--";
        if self.inside.is_none() && !self.signature {
            self.out.own = true;
            self.out.below |= self.found.is_some();
        }
        self.texts += 1;
        // One byte more than can be, so that a longer line is known.
        let room = (MAX_ATTRIBUTION + 1).saturating_sub(self.line.text.len());
        self.line.text.extend_from_slice(text.get(..room).unwrap_or(text));
    }

    fn open(&mut self, range: Range<usize>, name: Range<usize>) {
        let (tag, name) = (self.bytes(&range), self.bytes(&name));
        match &mut self.inside {
            Some(Inside::Quote { name: own, depth, .. } | Inside::Signature { name: own, depth }) => {
                *depth += usize::from(name.eq_ignore_ascii_case(own));
                if matches!(self.inside, Some(Inside::Quote { .. })) {
                    return;
                }
            }
            None => {}
        }
        match mark(name, tag) {
            Some(Mark::Rest { sure }) if sure || self.reply || self.block(range.end).is_sure() => {
                self.begin(&range, false);
                self.rest(range.start);
                return;
            }
            Some(Mark::Quote { sure }) if sure || self.reply => {
                self.begin(&range, name.eq_ignore_ascii_case(b"blockquote"));
                self.inside = Some(Inside::Quote { name, depth: 1, start: range.start });
                return;
            }
            None if self.reply
                && name.eq_ignore_ascii_case(b"blockquote")
                && self.attribution().is_some() =>
            {
                self.begin(&range, true);
                self.inside = Some(Inside::Quote { name, depth: 1, start: range.start });
                return;
            }
            Some(Mark::Signature) if self.inside.is_none() => {
                self.inside = Some(Inside::Signature { name, depth: 1 });
            }
            _ => {}
        }
        if name.eq_ignore_ascii_case(b"br") || name.eq_ignore_ascii_case(b"hr") {
            self.new_line(range.end);
        } else if is_one_of(FLOW, name) || is_one_of(NARROW, name) {
            self.push(name, range.start);
        }
    }

    /// Everything from here on is quoted.
    fn rest(&mut self, start: usize) {
        self.out.ranges.push(start..self.html.len());
        self.out.open = true;
        self.inside = None;
    }

    /// A quote begins. What names whom it quotes stands before it, where a line has that shape.
    fn begin(&mut self, range: &Range<usize>, named: bool) {
        self.signature = false;
        if self.found.is_some() {
            return;
        }
        let line = self.attribution().filter(|_| named);
        let place = line.and_then(|line| Some((line.at?, line.texts > 0)));
        let own = line.map_or(self.out.own, |line| line.own);
        self.found = Some(place.unwrap_or((range.start, self.texts > 0)));
        self.out.own = own;
    }

    /// The last line, where it names whom a quote below it quotes.
    fn attribution(&self) -> Option<&Line> {
        let line = if self.line.text.is_empty() { &self.before } else { &self.line };
        is_attribution(&without_entities(&line.text)).then_some(line)
    }

    fn close(&mut self, range: Range<usize>, name: Range<usize>) {
        let name = self.bytes(&name);
        match &mut self.inside {
            Some(Inside::Quote { name: own, depth, start }) => {
                if name.eq_ignore_ascii_case(own) {
                    *depth -= 1;
                    if *depth == 0 {
                        if self.out.ranges.len() < MAX_QUOTES {
                            self.out.ranges.push(*start..range.end);
                        }
                        self.inside = None;
                        self.new_line(range.end);
                    }
                }
                return;
            }
            Some(Inside::Signature { name: own, depth }) if name.eq_ignore_ascii_case(own) => {
                *depth -= 1;
                if *depth == 0 {
                    self.inside = None;
                }
            }
            _ => {}
        }
        if !(is_one_of(FLOW, name) || is_one_of(NARROW, name)) {
            return;
        }
        if self.deep > 0 {
            self.deep -= 1;
        } else if let Some(at) = self.stack.iter().rposition(|open| open.name.eq_ignore_ascii_case(name)) {
            self.stack.truncate(at);
        }
        self.new_line(range.end);
    }

    fn push(&mut self, name: &'a [u8], start: usize) {
        // What a tag closes without saying so.
        let closed: &[&[u8]] = match name.to_ascii_lowercase().as_slice() {
            b"td" | b"th" => &[b"p", b"td", b"th"],
            b"tr" => &[b"p", b"td", b"th", b"tr"],
            b"li" => &[b"p", b"li"],
            _ => &[b"p"],
        };
        while self.deep == 0 && self.stack.last().is_some_and(|open| is_one_of(closed, open.name)) {
            self.stack.pop();
        }
        self.new_line(start);
        if self.stack.len() >= MAX_STACK {
            self.deep += 1;
        } else {
            self.stack.push(Open { name, start, texts: self.texts, narrow: is_one_of(NARROW, name) });
        }
    }

    fn new_line(&mut self, at: usize) {
        if !self.line.text.is_empty() {
            self.before = std::mem::take(&mut self.line);
            self.quoted_header(at);
        }
        self.line.text.clear();
        self.line.texts = self.texts;
        self.line.at = self.climb(at);
        self.line.start = at;
        (self.line.own, self.line.below) = (self.out.own, self.out.below);
    }

    /// Whether the line that ends here begins a quote by its words, as in plain text.
    fn quoted_header(&mut self, end: usize) {
        let line = &self.before;
        let text = super::trim_spaces(&line.text);
        if line.text.len() > MAX_ATTRIBUTION
            || !labels::begin_quote(text, self.reply, || self.block(line.start), || self.block(end))
        {
            return;
        }
        let (start, seen) = (line.start, line.texts > 0);
        // The line is not the author's.
        (self.out.own, self.out.below) = (line.own, line.below);
        if self.found.is_none() {
            self.found = Some((line.at.unwrap_or(start), seen));
        }
        self.rest(start);
    }

    /// The nearest place before `at` where an element can stand, with no text in between.
    fn climb(&self, at: usize) -> Option<usize> {
        if self.deep > 0 {
            return None;
        }
        let mut place = at;
        for open in self.stack.iter().rev() {
            if !open.narrow {
                break;
            }
            if open.texts != self.texts {
                return None;
            }
            place = open.start;
        }
        Some(place)
    }

    /// The labels behind a place.
    fn block(&self, at: usize) -> Block {
        if self.headers.replace(self.headers.get() + 1) >= MAX_HEADERS {
            return Block::default();
        }
        let near = self.html.get(at..).unwrap_or_default();
        let near = String::from_utf8_lossy(near.get(..NEAR).unwrap_or(near));
        let text = html::text(&near);
        Block::read(text.lines().map(str::as_bytes))
    }

    fn bytes(&self, range: &Range<usize>) -> &'a [u8] {
        self.html.get(range.clone()).unwrap_or_default()
    }
}

fn is_one_of(names: &[&[u8]], name: &[u8]) -> bool {
    names.iter().any(|n| name.eq_ignore_ascii_case(n))
}

/// Text without its entities: the digits of `&#39;` are none.
fn without_entities(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let end = after.iter().take(10).position(|b| *b == b';');
        rest = match end {
            Some(end) if byte == b'&' => after.get(end + 1..).unwrap_or_default(),
            _ => {
                out.push(byte);
                after
            }
        };
    }
    out
}

/// Whether text shows anything but white space.
fn is_visible(text: &[u8]) -> bool {
    let mut rest = text.trim_ascii_start();
    while !rest.is_empty() {
        rest = match rest.strip_prefix(b"&nbsp;").or_else(|| rest.strip_prefix(b"&#160;")) {
            Some(after) => after.trim_ascii_start(),
            None => match rest.strip_prefix("\u{a0}".as_bytes()).or_else(|| rest.strip_prefix(b"\xa0")) {
                Some(after) => after.trim_ascii_start(),
                None => return true,
            },
        };
    }
    false
}

/// What a tag says of the text behind it.
enum Mark {
    /// The element is quoted. `sure` where no author's page looks so.
    Quote {
        sure: bool,
    },
    /// Everything behind the tag is.
    Rest {
        sure: bool,
    },
    Signature,
}

/// Class names of elements that hold a quote, or name whom it quotes.
const QUOTES: &[&[u8]] = &[
    b"gmail_quote",
    b"gmail_attr",
    b"moz-cite-prefix",
    b"moz-forward-container",
    b"yahoo_quoted",
    b"protonmail_quote",
    b"zmail_extra",
];
const SIGNATURES: &[&[u8]] =
    &[b"moz-signature", b"gmail_signature", b"k9mail-signature", b"protonmail_signature_block"];

/// What mail programs put in front of what they quote, and around it.
fn mark(name: &[u8], tag: &[u8]) -> Option<Mark> {
    // Cheap first: most tags have no attributes.
    if tag.len() < name.len() + 6 {
        return None;
    }
    let value = |attribute: &[u8]| html::attribute(tag, attribute).unwrap_or_default();
    let has = |value: &[u8], wanted: &[&[u8]]| wanted.iter().any(|w| contains(value, w));
    let (class, id) = (value(b"class"), value(b"id"));
    if name.eq_ignore_ascii_case(b"hr") {
        // Zimbra; Outlook on the web.
        let sure = has(id, &[b"zwchr", b"stopspelling"]);
        let rest = sure || value(b"tabindex") == b"-1";
        return rest.then_some(Mark::Rest { sure });
    }
    if name.eq_ignore_ascii_case(b"blockquote") {
        let sure = value(b"type").eq_ignore_ascii_case(b"cite") || has(class, QUOTES);
        let quote = sure || has(class, &[b"quote", b"cite"]);
        return quote.then_some(Mark::Quote { sure });
    }
    if has(class, SIGNATURES) {
        return Some(Mark::Signature);
    }
    if has(class, QUOTES) || contains(id, b"reply-intro") {
        return Some(Mark::Quote { sure: true });
    }
    if value(b"name").eq_ignore_ascii_case(b"quote") {
        return Some(Mark::Quote { sure: true });
    }
    if has(class, &[b"outlookmessageheader"])
        || has(id, &[b"divrplyfwdmsg", b"appendonsend", b"mail-editor-reference-message-container"])
    {
        return Some(Mark::Rest { sure: true });
    }
    // Outlook for Windows and Mac: a line above, nothing else.
    let style: Vec<u8> = value(b"style").iter().filter(|b| !b.is_ascii_whitespace()).copied().collect();
    let line = contains(&style, b"border:none;border-top:solid") && contains(&style, b"padding:3.0pt");
    line.then_some(Mark::Rest { sure: false })
}

fn contains(value: &[u8], wanted: &[u8]) -> bool {
    value.windows(wanted.len()).any(|w| w.eq_ignore_ascii_case(wanted))
}
