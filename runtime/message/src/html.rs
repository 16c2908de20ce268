//! HTML as bytes: where its tags, comments and text lie, and the text a reader sees.
//!
//! Follows the shape of the HTML tokenizer as far as places matter: quotes hide `>` only behind `=`, an
//! unclosed comment or tag runs to the end. Works on any charset in which ASCII bytes mean ASCII. No tree
//! is built and no style is read: text hidden by CSS counts as seen. Linear.

use std::ops::Range;

/// A piece of HTML.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Token {
    /// Text between tags, entities not decoded.
    Text(Range<usize>),
    /// A tag. The second range is its name.
    Tag { range: Range<usize>, name: Range<usize>, close: bool },
    /// A comment, a declaration, or the inside of script, style and the like: not seen.
    Hidden { range: Range<usize>, cut: bool },
}

/// Elements whose inside is not text that a reader sees in place.
const RAW: &[&[u8]] =
    &[b"script", b"style", b"title", b"textarea", b"xmp", b"noembed", b"noframes", b"template"];

/// Walks through HTML.
pub(crate) struct Tokens<'a> {
    html: &'a [u8],
    at: usize,
    /// The raw element just opened.
    raw: Option<&'static [u8]>,
}

/// Begins a walk.
pub(crate) fn tokens(html: &[u8]) -> Tokens<'_> {
    Tokens { html, at: 0, raw: None }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let start = self.at;
        let rest = self.html.get(start..).filter(|r| !r.is_empty())?;
        if let Some(name) = self.raw.take() {
            let (end, cut) = match close_of(rest, name) {
                Some(found) => (start + found, false),
                None => (self.html.len(), true),
            };
            if end > start {
                self.at = end;
                return Some(Token::Hidden { range: start..end, cut });
            }
        }
        if rest.starts_with(b"<!--") {
            // `<!-->` and `<!--->` are whole comments.
            let inner = rest.get(2..).unwrap_or_default();
            let end = memchr::memmem::find(inner, b"-->").map(|found| start + 2 + found + 3);
            return Some(self.hidden(start, end));
        }
        if matches!(rest, [b'<', b'!' | b'?', ..]) {
            let end = memchr::memchr(b'>', rest).map(|found| start + found + 1);
            return Some(self.hidden(start, end));
        }
        if is_tag(rest) {
            return Some(self.tag(start, rest));
        }
        let from = usize::from(rest.first() == Some(&b'<'));
        let mut end = from;
        while let Some(found) = rest.get(end..).and_then(|r| memchr::memchr(b'<', r)) {
            end += found;
            if rest.get(end..).is_some_and(|r| is_tag(r) || matches!(r, [b'<', b'!' | b'?', ..])) {
                self.at = start + end;
                return Some(Token::Text(start..self.at));
            }
            end += 1;
        }
        self.at = self.html.len();
        Some(Token::Text(start..self.at))
    }
}

fn is_tag(rest: &[u8]) -> bool {
    match rest {
        [b'<', b'/', c, ..] => c.is_ascii_alphabetic(),
        [b'<', c, ..] => c.is_ascii_alphabetic(),
        _ => false,
    }
}

/// Where `</name` begins.
fn close_of(html: &[u8], name: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = html.get(from..).and_then(|h| memchr::memmem::find(h, b"</")) {
        let at = from + found;
        let after = html.get(at + 2..).unwrap_or_default();
        if after.get(..name.len()).is_some_and(|n| n.eq_ignore_ascii_case(name))
            && !after.get(name.len()).is_some_and(u8::is_ascii_alphanumeric)
        {
            return Some(at);
        }
        from = at + 2;
    }
    None
}

impl Tokens<'_> {
    fn hidden(&mut self, start: usize, end: Option<usize>) -> Token {
        self.at = end.unwrap_or(self.html.len());
        Token::Hidden { range: start..self.at, cut: end.is_none() }
    }

    fn tag(&mut self, start: usize, rest: &[u8]) -> Token {
        let close = rest.get(1) == Some(&b'/');
        let name_at = 1 + usize::from(close);
        let after = rest.get(name_at..).unwrap_or_default();
        let length = after.iter().position(|b| b.is_ascii_whitespace() || matches!(b, b'/' | b'>'));
        let name = name_at..name_at + length.unwrap_or(after.len());
        // 0: between attributes, 1: behind `=`, else inside that quote.
        let mut state = 0_u8;
        let mut end = None;
        for (place, &byte) in rest.iter().enumerate().skip(name.end) {
            match (state, byte) {
                (0 | 1, b'>') => {
                    end = Some(start + place + 1);
                    break;
                }
                (0, b'=') => state = 1,
                (1, b'"' | b'\'') => state = byte,
                (1, b) if !b.is_ascii_whitespace() => state = 0,
                (quote, b) if quote > 1 && b == quote => state = 0,
                _ => {}
            }
        }
        let Some(end) = end else { return self.hidden(start, None) };
        if !close {
            let bytes = rest.get(name.clone()).unwrap_or_default();
            self.raw = RAW.iter().find(|raw| bytes.eq_ignore_ascii_case(raw)).copied();
        }
        self.at = end;
        Token::Tag { range: start..end, name: start + name.start..start + name.end, close }
    }
}

/// The value of an attribute of an opening tag, without its quotes.
pub(crate) fn attribute<'a>(tag: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let mut at = tag.iter().position(u8::is_ascii_whitespace)?;
    loop {
        let skip = |from: usize, stop: fn(&u8) -> bool| {
            tag.get(from..).and_then(|t| t.iter().position(stop)).map(|n| from + n)
        };
        at = skip(at, |b| !b.is_ascii_whitespace() && *b != b'/')?;
        let name_end = skip(at, |b| b.is_ascii_whitespace() || matches!(b, b'=' | b'>'))?;
        let name = tag.get(at..name_end)?;
        let next = skip(name_end, |b| !b.is_ascii_whitespace())?;
        if tag.get(next) != Some(&b'=') {
            if name.is_empty() {
                return None;
            }
            at = next;
            continue;
        }
        let from = skip(next + 1, |b| !b.is_ascii_whitespace())?;
        let (start, end) = match tag.get(from) {
            Some(&quote @ (b'"' | b'\'')) => {
                (from + 1, from + 1 + memchr::memchr(quote, tag.get(from + 1..)?)?)
            }
            _ => (from, skip(from, |b| b.is_ascii_whitespace() || *b == b'>')?),
        };
        if name.eq_ignore_ascii_case(wanted) {
            return tag.get(start..end);
        }
        at = end + usize::from(start > from);
    }
}

/// Elements that stand in a line of text without parting words.
const INLINE: &[&str] = &[
    "a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "del", "dfn", "em", "font", "i", "ins", "kbd",
    "label", "mark", "nobr", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "tt", "u",
    "var", "wbr",
];

/// The text a reader sees. Blocks, breaks and cells part words; entities are decoded.
pub(crate) fn text(html: &str) -> String {
    let mut out = String::with_capacity(html.len() / 2);
    for token in tokens(html.as_bytes()) {
        match token {
            Token::Text(range) => entities(html.get(range).unwrap_or_default(), &mut out),
            Token::Tag { name, .. } => {
                let name = html.get(name).unwrap_or_default();
                if !INLINE.iter().any(|inline| name.eq_ignore_ascii_case(inline)) && !out.ends_with('\n') {
                    out.push('\n');
                }
            }
            Token::Hidden { .. } => {}
        }
    }
    out
}

/// HTML with its entities read.
pub(crate) fn decoded(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    entities(html, &mut out);
    out
}

/// The longest entity looked at, `&` and `;` included.
const MAX_ENTITY: usize = 34;

fn entities(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let window = after.as_bytes().get(..MAX_ENTITY).unwrap_or(after.as_bytes());
        let name = memchr::memchr(b';', window).and_then(|end| after.get(..end));
        match name {
            Some(name)
                if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'#') =>
            {
                let entity = format!("&{name};");
                mail_parser::decoders::html::add_html_token(out, entity.as_bytes(), false);
                rest = after.get(name.len() + 1..).unwrap_or_default();
            }
            _ => {
                out.push('&');
                rest = after;
            }
        }
    }
    out.push_str(rest);
}

/// Text as HTML text: the five characters that could end it become entities.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_as_seen() {
        for (html, want) in [
            ("<p>Hello <b>wo</b>rld</p>", "\nHello world\n"),
            ("<div>act</div><div>now</div>", "\nact\nnow\n"),
            ("a<br>b<td>c", "a\nb\nc"),
            ("<head><title>T</title><style>p{}</style></head>x", "\nx"),
            ("a<!-- x > y -->b<!doctype html>c", "abc"),
            ("&lt;b&gt; &amp; &uuml;&#252;&#xfc; &nosuch; & x; AT&T", "<b> & üüü &nosuch; & x; AT&T"),
            ("1 < 2 <3", "1 < 2 <3"),
            ("<a title=\"x>y\">z</a>", "z"),
            ("<p title=don't>x", "\nx"),
            ("x<!-- unclosed", "x"),
            ("<script>if (a < b) '</p>'</SCRIPT >y", "\ny"),
        ] {
            assert_eq!(text(html), want, "{html}");
        }
    }

    #[test]
    fn attributes() {
        let tag = br#"<div CLASS = "a b" id=x disabled data-y='z>' style="c"/>"#;
        for (name, want) in [("class", "a b"), ("id", "x"), ("data-y", "z>"), ("style", "c")] {
            assert_eq!(attribute(tag, name.as_bytes()), Some(want.as_bytes()), "{name}");
        }
        for tag in [&b"<div>"[..], b"<div disabled>", b"<div =>", b"<div a=", b"<div a=\"x", b"<hr/>"] {
            assert_eq!(attribute(tag, b"class"), None);
        }
    }

    #[test]
    fn escapes() {
        assert_eq!(escape("<a href=\"x\">'&"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
    }

    #[test]
    fn linear_on_hostile_input() {
        for piece in ["<", "<a", "<!--", "&", "</script", "<script>", "<a b=\"", "&#"] {
            let html = piece.repeat(200_000);
            assert!(text(&html).len() <= html.len());
        }
    }
}
