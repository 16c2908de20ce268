//! Where the quoted text of a reply or a forwarded message begins.
//!
//! Knows what Outlook, Gmail, Apple Mail, Thunderbird and the usual web mailers write, in any language where their
//! marks are not words. Works on bytes of any charset in which ASCII means ASCII. Answers nothing where new text
//! stands below the quote: there, the end of the message is the end of what the author wrote.

use crate::header::line_at;
use crate::html::{self, Token};

/// The labels that begin a quoted header, as mail programs translate `From:`.
const FROM: &[&str] = &[
    "from",
    "von",
    "de",
    "da",
    "van",
    "från",
    "fra",
    "od",
    "från",
    "lähettäjä",
    "από",
    "от",
    "від",
    "feladó",
    "kimden",
    "发件人",
    "寄件者",
    "差出人",
    "보낸 사람",
    "expéditeur",
];

struct Line {
    start: usize,
    end: usize,
}

/// The offset of the line at which quoted text begins in a plain text.
pub(super) fn in_text(text: &[u8]) -> Option<usize> {
    let mut lines = Vec::new();
    let mut at = 0;
    while let Some((end, next)) = line_at(text, at) {
        lines.push(Line { start: at, end });
        at = next;
        // Nobody writes that much above a quote.
        if lines.len() > 20_000 {
            break;
        }
    }
    let line = |n: usize| lines.get(n).and_then(|l| text.get(l.start..l.end)).unwrap_or_default();
    let count = lines.len();
    let mut found = None;
    for n in 0..count {
        let this = line(n).trim_ascii();
        if this.is_empty() {
            continue;
        }
        if is_rule(this) || is_underscores(this) && (n + 1..count.min(n + 3)).any(|m| is_from(line(m))) {
            found = Some(n);
            break;
        }
        if is_from(this) && (n + 1..count.min(n + 6)).filter(|m| is_labelled(line(*m))).count() >= 2 {
            found = Some(n);
            break;
        }
        if this.first() == Some(&b'>') {
            let below = (n..count).map(line).take_while(|l| *l != b"-- ".as_slice());
            if below
                .into_iter()
                .any(|l| !l.trim_ascii().is_empty() && l.trim_ascii_start().first() != Some(&b'>'))
            {
                return None;
            }
            found = Some(attribution(n, &line).unwrap_or(n));
            break;
        }
    }
    let n = found?;
    let above = (0..n).any(|m| !line(m).trim_ascii().is_empty());
    above.then(|| lines.get(n).map(|l| l.start)).flatten()
}

/// `-----Original Message-----`, `---------- Forwarded message ---------`.
fn is_rule(line: &[u8]) -> bool {
    let inner = line.strip_prefix(b"---").and_then(|l| l.strip_suffix(b"---"));
    line.len() < 120
        && inner.is_some_and(|l| l.iter().any(|b| b.is_ascii_alphabetic() || *b >= 0x80))
        && !line.starts_with(b"-----BEGIN ")
        && !line.starts_with(b"-----END ")
}

fn is_underscores(line: &[u8]) -> bool {
    line.len() >= 10 && line.iter().all(|b| *b == b'_')
}

/// The label before a colon, where the line has the shape of `Label: value`, stars of converted bold print aside.
fn label(line: &[u8]) -> Option<&[u8]> {
    let line = line.trim_ascii();
    let line = line.strip_prefix(b"*").unwrap_or(line);
    let colon = line.iter().take(40).position(|b| *b == b':')?;
    let label = line.get(..colon)?.trim_ascii_end();
    let label = label.strip_suffix(b"*").unwrap_or(label);
    (!label.is_empty() && label.len() <= 36).then_some(label)
}

fn is_labelled(line: &[u8]) -> bool {
    label(line).is_some()
}

fn is_from(line: &[u8]) -> bool {
    label(line).is_some_and(|l| FROM.iter().any(|f| l.eq_ignore_ascii_case(f.as_bytes())))
}

/// The first line of `On … wrote:` above the quoted line `n`, which may be wrapped.
fn attribution<'a>(n: usize, line: &impl Fn(usize) -> &'a [u8]) -> Option<usize> {
    let blank = |m: usize| line(m).trim_ascii().is_empty();
    let mut last = n.checked_sub(1)?;
    if blank(last) {
        last = last.checked_sub(1)?;
    }
    if line(last).trim_ascii_end().last() != Some(&b':') {
        return None;
    }
    let mut first = last;
    while first > 0 && last - first < 3 && !blank(first - 1) {
        first -= 1;
    }
    // A paragraph that is longer holds more than the attribution.
    if first > 0 && !blank(first - 1) {
        first = last;
    }
    let telling = (first..=last).any(|m| {
        let l = line(m);
        l.iter().any(|b| b.is_ascii_digit() || *b == b'@')
            || l.to_ascii_lowercase().ends_with(b"forwarded message:")
    });
    telling.then_some(first)
}

/// The offset of the tag at which quoted text begins in HTML.
pub(super) fn in_html(html: &[u8]) -> Option<usize> {
    let mut seen = false;
    // Where the block of the last text begins, whether text stood before it, and what the text is.
    let mut block = 0;
    let mut block_seen = false;
    let mut attribution = false;
    for token in html::tokens(html) {
        match token {
            Token::Text(range) => {
                let text = html.get(range).unwrap_or_default();
                if is_visible(text) {
                    seen = true;
                    let text = text.trim_ascii_end();
                    attribution = text.last() == Some(&b':') || attribution && text.len() < 3;
                }
            }
            Token::Tag { range, name, close: false } => {
                let tag = html.get(range.clone()).unwrap_or_default();
                let name = html.get(name).unwrap_or_default();
                if name.eq_ignore_ascii_case(b"blockquote") && is_cite(tag) {
                    // `On … wrote:` stands in a block before it where it does not stand inside.
                    let (at, above) = if attribution { (block, block_seen) } else { (range.start, seen) };
                    return above.then_some(at);
                }
                if is_separator(name, tag) {
                    return seen.then_some(range.start);
                }
                if [&b"div"[..], b"p", b"span", b"td"].iter().any(|b| name.eq_ignore_ascii_case(b)) {
                    block = range.start;
                    block_seen = seen;
                }
            }
            Token::Tag { .. } | Token::Hidden { .. } => {}
        }
    }
    None
}

/// Whether text shows anything but white space.
pub(super) fn is_visible(text: &[u8]) -> bool {
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

fn is_cite(tag: &[u8]) -> bool {
    html::attribute(tag, b"type").is_some_and(|v| v.eq_ignore_ascii_case(b"cite"))
        || html::attribute(tag, b"class").is_some_and(|v| contains(v, b"quote") || contains(v, b"cite"))
}

/// Whether an opening tag is one that mail programs put in front of what they quote.
fn is_separator(name: &[u8], tag: &[u8]) -> bool {
    // Cheap first: most tags have no attributes.
    if tag.len() < name.len() + 6 {
        return false;
    }
    let has = |attribute: &[u8], values: &[&[u8]]| {
        html::attribute(tag, attribute).is_some_and(|v| values.iter().any(|wanted| contains(v, wanted)))
    };
    if name.eq_ignore_ascii_case(b"hr") {
        // Outlook on the web, Zimbra.
        return has(b"tabindex", &[b"-1"]) || has(b"id", &[b"zwchr", b"stopspelling"]);
    }
    has(
        b"class",
        &[
            b"gmail_quote",
            b"moz-cite-prefix",
            b"moz-forward-container",
            b"yahoo_quoted",
            b"protonmail_quote",
            b"outlookmessageheader",
            b"zmail_extra",
        ],
    ) || has(
        b"id",
        &[b"divrplyfwdmsg", b"appendonsend", b"mail-editor-reference-message-container", b"reply-intro"],
    ) || html::attribute(tag, b"name").is_some_and(|v| v.eq_ignore_ascii_case(b"quote"))
        || html::attribute(tag, b"style").is_some_and(|style| {
            // Outlook for Windows and Mac: a line above, nothing else.
            let style: Vec<u8> = style.iter().filter(|b| !b.is_ascii_whitespace()).copied().collect();
            contains(&style, b"border:none;border-top:solid") && contains(&style, b"padding:3.0pt")
        })
}

fn contains(value: &[u8], wanted: &[u8]) -> bool {
    value.windows(wanted.len()).any(|w| w.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests;
