//! A disclaimer's text in the form that a part takes: lines, format=flowed, an HTML element.

use super::Order;
use super::marker;
use crate::html::{self, Token};
use crate::param::Structured;
use std::borrow::Cow;

/// Lines of unflowed text and of HTML longer than this are broken at a space. Well below the limit of
/// [`MAX_LINE`](crate::limits::MAX_LINE), for what is in front of it and for charsets that need more bytes.
const BREAK: usize = 900;
/// Where flowed lines are broken (RFC 3676 4.2).
const FLOW: usize = 72;

/// The plain text of a disclaimer; made from its HTML where it has none.
pub(super) fn plain_source<'a>(order: &Order<'a>) -> Cow<'a, str> {
    match (order.text, order.html) {
        (Some(text), _) => Cow::Borrowed(text),
        (None, Some(html)) => Cow::Owned(from_html(html)),
        (None, None) => Cow::Borrowed(""),
    }
}

/// Lines of an HTML text as plain text: no run of blank lines, no white space at the ends.
fn from_html(html: &str) -> String {
    let mut out = String::new();
    let mut blank = true;
    for line in html::text(html).lines() {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.is_empty() && blank {
            continue;
        }
        blank = line.is_empty();
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// The lines of a text without line ends, without control characters, without blank lines at the ends.
fn clean_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text
        .replace("\r\n", "\n")
        .split(['\n', '\r'])
        .map(|l| {
            l.chars().filter(|c| !c.is_control() || *c == '\t').collect::<String>().trim_end().to_owned()
        })
        .collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    let blank = lines.iter().take_while(|l| l.is_empty()).count();
    lines.split_off(blank)
}

/// The disclaimer as lines of a text/plain part, joined by `eol`, without one at the end. Empty where it has no text.
pub(super) fn plain(order: &Order<'_>, content: &Structured, eol: &str) -> String {
    let source = plain_source(order);
    let flowed = content.has("format", "flowed");
    // With DelSp the space at a soft break vanishes (RFC 3676 4.3).
    let soft = if content.has("delsp", "yes") { "  " } else { " " };
    let mut out: Vec<String> = Vec::new();
    for line in clean_lines(&source) {
        if flowed {
            let pieces = broken(&line, FLOW);
            let last = pieces.len().saturating_sub(1);
            for (place, piece) in pieces.into_iter().enumerate() {
                // Space-stuffing (RFC 3676 4.4).
                let stuff = piece.starts_with([' ', '>']) || piece.starts_with("From ");
                let (front, end) = (if stuff { " " } else { "" }, if place < last { soft } else { "" });
                out.push(format!("{front}{piece}{end}"));
            }
        } else {
            out.extend(broken(&line, BREAK).into_iter().map(str::to_owned));
        }
    }
    out.join(eol)
}

/// A line in pieces of at most `width` bytes, broken at single spaces; a word that is longer stays whole.
fn broken(line: &str, width: usize) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = line;
    while rest.len() > width {
        let mut end = width;
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let near = rest.get(..end).and_then(|head| head.rfind(' ')).filter(|at| *at > 0);
        let Some(at) = near.or_else(|| rest.get(end..).and_then(|tail| tail.find(' ')).map(|at| end + at))
        else {
            break;
        };
        let (head, tail) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push(head);
        rest = tail.get(1..).unwrap_or_default();
    }
    out.push(rest);
    out
}

/// The disclaimer as an HTML element with its marker, lines joined by `eol`, one at each end.
/// Empty where the disclaimer has nothing to show.
pub(super) fn element(order: &Order<'_>, eol: &str) -> String {
    let inner: String = match order.html {
        Some(html) => inside_body(html).to_owned(),
        None => {
            let source = plain_source(order);
            clean_lines(&source).iter().map(|l| html::escape(l)).collect::<Vec<_>>().join("<br>\n")
        }
    };
    let lines = clean_lines(&inner);
    if lines.is_empty() {
        return String::new();
    }
    let mut out = format!("{eol}<div class=\"edict-disclaimer {}\">{eol}", marker::class(order));
    for line in lines {
        for piece in broken(&line, BREAK) {
            out.push_str(piece);
            out.push_str(eol);
        }
    }
    out.push_str("</div>");
    out.push_str(eol);
    out
}

/// The inside of the body where the HTML is a whole document.
fn inside_body(html: &str) -> &str {
    let (mut start, mut end) = (0, html.len());
    for token in html::tokens(html.as_bytes()) {
        if let Token::Tag { range, name, close } = token
            && html.get(name).is_some_and(|n| n.eq_ignore_ascii_case("body"))
        {
            if close {
                end = range.start;
            } else if start == 0 {
                start = range.end;
            }
        }
    }
    html.get(start..end).unwrap_or(html)
}
