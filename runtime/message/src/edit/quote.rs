//! Where the quoted text of a reply or a forwarded message begins, and what of a leaf is quoted.
//!
//! Knows what Outlook, Gmail, Apple Mail, Thunderbird and the usual web mailers write, in any language where their
//! marks are not words. Works on bytes of any charset in which ASCII means ASCII. A rule of dashes or a block of
//! labels is also what people write into new messages: there it counts only with what a quoted header always
//! has, a sender, a date and a subject. Where new text stands below the quote, the end of the message is the
//! end of what the author wrote.

mod labels;
mod plain;
mod rich;

use crate::header::Fields;
use std::ops::Range;

/// What is quoted in a leaf.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Quoted {
    /// Where a text can stand between what the author wrote and the quote below it.
    pub above: Option<usize>,
    /// The author wrote behind a quote as well.
    pub below: bool,
    /// The author wrote something, a signature aside.
    pub own: bool,
    /// The last quote has no mark at its end: what follows in other parts belongs to it.
    pub open: bool,
    /// What is quoted, in order.
    pub ranges: Vec<Range<usize>>,
}

impl Quoted {
    /// Text is quoted here.
    pub(super) fn any(&self) -> bool {
        !self.ranges.is_empty()
    }
}

/// Looks for quoted text. `reply` says that the message is an answer or passes another one on.
pub(super) fn find(view: &[u8], html: bool, reply: bool) -> Quoted {
    if html { rich::find(view, reply) } else { plain::find(view, reply) }
}

/// How subjects of replies and forwarded messages begin, in the languages of the usual programs.
const PREFIXES: &[&str] = &[
    "re",
    "fw",
    "fwd",
    "aw",
    "wg",
    "sv",
    "vs",
    "vb",
    "vl",
    "rv",
    "enc",
    "tr",
    "ref",
    "réf",
    "antw",
    "doorst",
    "odp",
    "pd",
    "ynt",
    "ilt",
    "rif",
    "res",
    "r",
    "i",
    "bls",
    "trs",
    "vá",
    "továbbítás",
    "σχετ",
    "απ",
    "πρθ",
    "ha",
    "на",
    "отв",
    "回复",
    "回覆",
    "答复",
    "转发",
    "轉寄",
    "返信",
    "転送",
    "답장",
    "전달",
];

/// Whether a message answers or passes on another one: says so in its header, or its subject does.
pub(super) fn is_reply(head: &Fields<'_>) -> bool {
    head.fields.iter().any(|field| {
        let named = ["in-reply-to", "references", "x-forwarded-message-id"];
        named.iter().any(|name| field.is(name)) && !field.value.trim_ascii().is_empty()
            || field.is("subject") && is_reply_subject(&crate::words::text(field.value))
    })
}

/// `Re: x`, `AW: x`, `Re[2]: x`, `[list] Fwd: x`.
fn is_reply_subject(subject: &str) -> bool {
    let mut rest = subject.trim_start();
    while let Some((_, after)) = rest.strip_prefix('[').and_then(|tag| tag.split_once(']')) {
        rest = after.trim_start();
    }
    let Some((prefix, _)) = rest.split_once([':', '：']) else { return false };
    let word = prefix.split(['[', '(', '^']).next().unwrap_or_default().trim().to_lowercase();
    PREFIXES.contains(&word.as_str())
}

/// The longest line that can be an attribution, in bytes.
const MAX_ATTRIBUTION: usize = 400;

/// Words that an attribution begins with.
const OPENERS: &[&[u8]] =
    &[b"on", b"am", b"le", b"el", b"il", b"op", b"em", b"den", b"dne", b"dnia", b"quoting"];

/// Whether text has the shape of `On … wrote:`: a colon at the end, and a sender's address or a date in it.
fn is_attribution(text: &[u8]) -> bool {
    let text = trim_spaces(text);
    if text.len() > MAX_ATTRIBUTION || !(text.ends_with(b":") || text.ends_with("：".as_bytes())) {
        return false;
    }
    let digits = text.iter().filter(|b| b.is_ascii_digit()).count();
    text.contains(&b'@')
        || digits >= 3
        || digits > 0 && opens(text)
        || text.to_ascii_lowercase().ends_with(b"forwarded message:")
}

/// Whether text begins with a word that attributions begin with, or a digit.
fn opens(text: &[u8]) -> bool {
    let word = text.trim_ascii_start().split(|b| *b == b' ' || *b == b',').next().unwrap_or_default();
    word.first().is_some_and(u8::is_ascii_digit) || OPENERS.iter().any(|o| word.eq_ignore_ascii_case(o))
}

/// Without white space and no-break spaces, which the French write before a colon.
fn trim_spaces(mut text: &[u8]) -> &[u8] {
    loop {
        text = text.trim_ascii();
        let spaces = [&b"&nbsp;"[..], b"&#160;", "\u{a0}".as_bytes()];
        let Some(less) = spaces.iter().find_map(|s| text.strip_suffix(*s).or_else(|| text.strip_prefix(*s)))
        else {
            return text;
        };
        text = less;
    }
}

#[cfg(test)]
mod tests;
