//! Replies: code, class and text.

use super::cursor::{Cursor, Tok, short};
use super::words::items_with;
use crate::ast::{Reply, Spanned};
use crate::diag::Diagnostic;
use crate::lex::{TokenKind, leaf};

/// Reads what stands behind `reply`: code, class and text, of which one at least is there.
pub(super) fn reply(c: &mut Cursor<'_>) -> Option<Reply> {
    let start = c.peek().map(|t| t.span);
    let mut reply = Reply { code: None, enhanced: None, text: None, span: c.last_span() };
    let number = |t: &Tok<'_>| t.kind == TokenKind::Word && t.text.starts_with(|d: char| d.is_ascii_digit());
    while let Some(token) = c.peek().filter(number) {
        c.bump();
        let dotted = token.text.contains('.');
        if dotted
            && reply.enhanced.is_none()
            && let Some(enhanced) = leaf::enhanced(token.text)
        {
            reply.enhanced = Some(Spanned::new(enhanced, token.span));
        } else if !dotted
            && reply.code.is_none()
            && reply.enhanced.is_none()
            && let Some(code) = reply_code(token.text)
        {
            reply.code = Some(Spanned::new(code, token.span));
        } else {
            let what = if dotted { "enhanced status code" } else { "reply code" };
            let label = if dotted {
                "a class is written `5.7.1`, behind the code, once"
            } else if reply.code.is_some() || reply.enhanced.is_some() {
                "the code stands first, once"
            } else {
                "codes have three digits; refusals are from 400 to 599"
            };
            let diagnostic =
                Diagnostic::error("E0028", format!("`{}` is no {what} here", short(token.text)), token.span)
                    .label(label)
                    .help("write a code, a class and a text, as in `reply 554 5.7.1 \"not here\"`");
            c.report(diagnostic);
            return None;
        }
    }
    let text = c.peek().is_some_and(|t| matches!(t.kind, TokenKind::Text | TokenKind::Block));
    if text {
        reply.text = c.expect_text("a text");
    } else if c.word().is_some_and(|w| items_with(w).next().is_none()) && !c.starts_line(0) {
        c.expect_text("the reply's text")?;
        return None;
    }
    if reply.code.is_none() && reply.enhanced.is_none() && reply.text.is_none() {
        c.expected("a reply such as `554 5.7.1 \"not here\"`");
        return None;
    }
    reply.span = c.since(start.unwrap_or_else(|| c.last_span()));
    Some(reply)
}

/// Three digits, the first from 2 to 5.
pub(super) fn reply_code(word: &str) -> Option<u16> {
    let code: u16 = word.parse().ok()?;
    (word.len() == 3 && (200..600).contains(&code)).then_some(code)
}
