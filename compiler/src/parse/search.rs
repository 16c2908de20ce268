//! What texts are searched for: texts and lists behind `contains`, `starts with`, `ends with`, patterns behind `matches`.

use super::cursor::{Cursor, short};
use super::foreign::{foreign, several};
use super::list::{at_other_bracket, entries};
use super::operator::at_connective;
use super::value::value;
use crate::ast::{FactRef, Needles, Op, Spanned, Value};
use crate::diag::Diagnostic;
use crate::lex::{TokenKind, leaf};
use crate::span::Span;

pub(super) fn needles(c: &mut Cursor<'_>, fact: &FactRef, operator: &str, start: Span) -> Option<Needles> {
    if several(c, fact, operator) {
        return None;
    }
    if c.at_word("any") {
        c.bump();
        c.expect_keyword("of")?;
        if at_connective(c) {
            c.expected("the name of a list, or texts in `[…]`");
            return None;
        }
        return match c.peek() {
            Some(t) if t.kind == TokenKind::OpenBracket || at_other_bracket(c) => {
                entries(c, "a text").map(Needles::Inline)
            }
            Some(t) if matches!(t.kind, TokenKind::Text | TokenKind::Block) => {
                let written = format!("[{}]", t.text);
                c.report(
                    Diagnostic::error(
                        "E0017",
                        "`any of` takes several texts in `[…]`, or the name of a list",
                        t.span,
                    )
                    .help(format!(
                        "write `{operator} {}` for this one, or `any of {}`",
                        short(t.text),
                        short(&written)
                    ))
                    .fix("put it in brackets", t.span, written),
                );
                c.bump();
                None
            }
            _ => c.expect_word("the name of a list, or texts in `[…]`").map(Needles::List),
        };
    }
    if c.at_kind(TokenKind::OpenBracket) {
        return foreign(c, &format!("{operator} […]"), &format!("{operator} any of"), start).and(None);
    }
    let text: Value = text_value(c, operator, start)?;
    Some(Needles::One(text))
}

/// A value that should be a text; a bare word is reported with its quotes, a regex with its own operator.
fn text_value(c: &mut Cursor<'_>, operator: &str, start: Span) -> Option<Value> {
    if let Some((inner, span)) = c.regex_here() {
        let diagnostic = Diagnostic::error("E0017", format!("`{operator}` takes a text, not a regex"), span)
            .label("a regex");
        let (instead, place) = match operator {
            "starts with" => (format!("matches /^({inner})/"), "`^` is the start of the text"),
            "ends with" => (format!("matches /({inner})$/"), "`$` is the end of the text"),
            _ => (format!("matches /{inner}/"), "it is found anywhere in the text"),
        };
        let help = format!("write `{}`; {place}", short(&instead));
        c.report(diagnostic.help(help).fix("ask with `matches`", start.to(span), instead));
        return None;
    }
    // A word alone may name a list of another file: whether it does, only `resolve` knows.
    if c.word().is_some() && !c.lone_word() {
        c.expect_text("a text")?;
        return None;
    }
    value(c, "a text")
}

pub(super) fn matches(c: &mut Cursor<'_>) -> Option<(bool, Op)> {
    let Some(token) = c.peek() else {
        c.expected("a glob in quotes or a `/regex/`");
        return None;
    };
    match token.kind {
        TokenKind::Regex => {
            c.bump();
            let regex = leaf::regex(token.text);
            if regex.is_empty() {
                c.report(
                    Diagnostic::error("E0007", "this regex is empty", token.span)
                        .help("it would match everything"),
                );
                return None;
            }
            Some((false, Op::Regex(Spanned::new(regex, token.span))))
        }
        TokenKind::Text => Some((false, Op::Glob(c.expect_text("a glob")?))),
        TokenKind::Word if c.at_word("any") => {
            let diagnostic = Diagnostic::error("E0023", "`matches` takes one pattern", token.span)
                .help("write a test for each and `or` between them, or one `/regex/` with `|`");
            c.report(diagnostic);
            None
        }
        _ => {
            c.expect_text("a glob in quotes or a `/regex/`")?;
            None
        }
    }
}
