//! Operators of other languages, and those that are put together as nobody reads them here: each is told with what to
//! write in its place.

use super::cursor::{Cursor, Tok, short};
use crate::ast::{FactRef, Op};
use crate::diag::Diagnostic;
use crate::lex::TokenKind;
use crate::span::Span;

pub(super) const FOREIGN: &[(&str, &str)] = &[
    ("equals", "is"),
    ("eq", "is"),
    ("are", "is"),
    ("has", "contains"),
    ("includes", "contains"),
    ("contain", "contains"),
    ("like", "matches"),
    ("match", "matches"),
    ("~", "matches"),
    ("=~", "matches"),
    ("begins", "starts"),
    ("startswith", "starts with"),
    ("starts-with", "starts with"),
    ("endswith", "ends with"),
    ("ends-with", "ends with"),
    ("gt", ">"),
    ("lt", "<"),
    ("present", "is present"),
    ("exists", "is present"),
    ("absent", "is absent"),
    ("missing", "is absent"),
    ("isnt", "is not"),
    ("isn't", "is not"),
    ("isnot", "is not"),
    ("is-not", "is not"),
    ("is_not", "is not"),
    ("!is", "is not"),
    ("notin", "not in"),
    ("not-in", "not in"),
    ("not_in", "not in"),
    ("!in", "not in"),
    ("&&", "and"),
    ("||", "or"),
];

pub(super) fn forms() -> &'static str {
    "tests are `is`, `is not`, `in`, `not in`, `contains`, `starts with`, `ends with`, `matches`, `<`, `<=`, `>`, `>=`, `is present`, `is absent`"
}

pub(super) fn foreign(c: &mut Cursor<'_>, theirs: &str, ours: &str, span: Span) -> Option<(bool, Op)> {
    let diagnostic = Diagnostic::error("E0023", format!("`{}` is no test", short(theirs)), span)
        .label(format!("did you mean `{ours}`?"))
        .help(forms())
        .fix(format!("write `{ours}`"), span, ours);
    c.report(diagnostic);
    None
}

/// `~` and `like` of other languages, whose patterns are others too.
pub(super) fn pattern(c: &mut Cursor<'_>, theirs: &str, span: Span) -> Option<(bool, Op)> {
    // No edit: what stands in quotes there is a regex, or has `%` for `*`.
    let diagnostic = Diagnostic::error("E0023", format!("`{}` is no test", short(theirs)), span)
        .label("did you mean `matches`?")
        .help("write `matches /…/` for a regex, which is found anywhere in the text, or `matches \"…\"` for a glob, which fits all of it and has `*` and `?`");
    c.report(diagnostic);
    None
}

/// Tells ways to ask for several at once that there are not: `none of`, `all of`.
pub(super) fn several(c: &mut Cursor<'_>, fact: &FactRef, operator: &str) -> bool {
    if let Some(token) = c.peek().filter(|t| t.kind == TokenKind::Word)
        && matches!(token.text, "none" | "neither" | "all" | "each" | "both" | "one" | "some" | "either")
        && let Some(next) = c.nth(1).filter(|next| next.is_word("of"))
    {
        let name = short(c.text(fact.span));
        let (words, span) = (format!("{} of", token.text), token.span.to(next.span));
        let help = match token.text {
            "none" | "neither" => {
                format!("write `not` before the whole test: `not {name} {operator} any of […]`")
            }
            "all" | "each" | "both" => {
                format!("join a test for each: `{name} {operator} \"…\" and {name} {operator} \"…\"`")
            }
            _ => format!("write `{name} {operator} any of […]`"),
        };
        c.report(
            Diagnostic::error("E0023", format!("`{words}` is no way to ask for several"), span)
                .label("`any of` is the only one")
                .help(help),
        );
        return true;
    }
    false
}

/// Whether another operator stands behind `is`, with its operand: told with `not` where it belongs.
pub(super) fn doubled(c: &mut Cursor<'_>, fact: &FactRef, word: &str, negated: bool, so_far: Span) -> bool {
    let Some(token) = c.peek() else { return false };
    if measured(c, fact, token, Some((negated, so_far))).is_some() {
        return true;
    }
    let operand = c.nth(1).is_some_and(|next| {
        !c.starts_line(1)
            && match next.kind {
                TokenKind::Text | TokenKind::Block | TokenKind::Regex | TokenKind::OpenBracket => true,
                TokenKind::Word => matches!(next.text, "with" | "any"),
                _ => false,
            }
    });
    let ours = match word {
        "contains" | "matches" => word,
        "starts" | "ends" => word,
        "containing" | "contain" => "contains",
        "like" | "match" | "matching" | "~" => "matches",
        _ => return false,
    };
    if !operand {
        return false;
    }
    let name = short(c.text(fact.span));
    let span = so_far.to(token.span);
    let theirs = if negated { format!("is not {word}") } else { format!("is {word}") };
    let with = if matches!(ours, "starts" | "ends") { " with" } else { "" };
    let diagnostic = Diagnostic::error("E0023", format!("`{theirs}` is no test"), span);
    let foreign_pattern = matches!(word, "like" | "~");
    c.report(if negated {
        diagnostic
            .label("`not` stands before the whole test, and `is` nowhere in it")
            .help(format!("write `not {name} {ours}{with} …`"))
    } else if foreign_pattern {
        diagnostic.label("`is` has no place in it").help(format!(
            "write `{name} matches /…/` for a regex, or `{name} matches \"…\"` for a glob, which has `*` and `?`"
        ))
    } else {
        diagnostic
            .label("`is` has no place in it")
            .help(format!("write `{name} {ours}{with} …`"))
            .fix("take `is` out", span, ours)
    });
    true
}

/// Tells a comparison in words: `over 5 MiB`, `at least 5 MiB`, `gt 5 MiB`. `before` is what stands before it, `is` or
/// `is not`.
pub(super) fn measured(
    c: &mut Cursor<'_>,
    fact: &FactRef,
    token: Tok<'_>,
    before: Option<(bool, Span)>,
) -> Option<()> {
    let second = c.nth(1).filter(|t| t.kind == TokenKind::Word && !c.starts_line(1))?;
    let (sign, words) = match (token.text, second.text) {
        ("at", "least") => (">=", 2),
        ("at", "most") => ("<=", 2),
        ("greater" | "larger" | "bigger" | "more", "than") => (">", 2),
        ("less" | "smaller" | "fewer" | "lower", "than") => ("<", 2),
        ("over" | "above" | "exceeds" | "greater" | "larger" | "more" | "gt", _) => (">", 1),
        ("under" | "below" | "less" | "smaller" | "lt", _) => ("<", 1),
        ("ge" | "gte", _) => (">=", 1),
        ("le" | "lte", _) => ("<=", 1),
        _ => return None,
    };
    let number = c.nth(words)?;
    if !number.text.starts_with(|d: char| d.is_ascii_digit()) || c.starts_line(words) {
        return None;
    }
    let last = if words == 2 { second.span } else { token.span };
    let span = token.span.to(last);
    let name = short(c.text(fact.span));
    let negated = before.is_some_and(|(negated, _)| negated);
    let whole = before.map_or(span, |(_, is)| is.to(last));
    let diagnostic = Diagnostic::error("E0023", format!("`{}` is no test", short(c.text(whole))), whole);
    c.report(if negated {
        diagnostic
            .label("`not` stands before the whole test, and `is` nowhere in it")
            .help(format!("write `not {name} {sign} …`"))
    } else {
        diagnostic.label(format!("written `{sign}`")).help(format!("write `{name} {sign} …`")).fix(
            format!("write `{sign}`"),
            whole,
            sign,
        )
    });
    Some(())
}
