//! Conditions. `not` binds closest, then `and`, then `or`.
//!
//! Recursion happens in parentheses and behind `not` only, and is bounded by [`MAX_NESTING`].

use super::cursor::{Cursor, short};
use super::operator::{OPERATORS, operator};
use crate::ast::{Expr, FactRef, FactTest, MAX_NESTING, Spanned};
use crate::diag::Diagnostic;
use crate::lex::TokenKind;
use crate::span::Span;
use crate::tree::NodeKind;
use edict_table::fact::REGISTRY;

/// What to write where the second test leaves its fact out.
const EACH_NAMES_ITS_FACT: &str = "each test names what it is about, as in `size > 5 KiB and size < 1 MiB`; several values stand in a list, as in `subject contains any of [\"a\", \"b\"]`";

/// Reads a condition.
pub(super) fn condition(c: &mut Cursor<'_>) -> Option<Expr> {
    c.depth = 0;
    let expr = c.node(NodeKind::Condition, any)?;
    // The chains of `and` and `or` between two parentheses nest too.
    if nesting(&expr) > MAX_NESTING {
        too_deep(c, expr.span());
        return None;
    }
    Some(expr)
}

fn too_deep(c: &mut Cursor<'_>, span: Span) {
    let diagnostic =
        Diagnostic::error("E0025", format!("this condition nests more than {MAX_NESTING} deep"), span).help(
            "several `when` must all hold, several `unless` must all fail: use them in place of parentheses",
        );
    c.report(diagnostic);
}

fn nesting(expr: &Expr) -> usize {
    match expr {
        Expr::And(parts, _) | Expr::Or(parts, _) => 1 + parts.iter().map(nesting).max().unwrap_or(0),
        Expr::Not(inner, _) => 1 + nesting(inner),
        Expr::Test(_) => 0,
    }
}

fn any(c: &mut Cursor<'_>) -> Option<Expr> {
    chain(c, &["or", "||"], all, Expr::Or)
}

fn all(c: &mut Cursor<'_>) -> Option<Expr> {
    chain(c, &["and", "&&"], one, Expr::And)
}

/// `part { word part }`; the second of the two words is foreign and reported.
fn chain<'a>(
    c: &mut Cursor<'a>,
    words: &[&'static str; 2],
    part: fn(&mut Cursor<'a>) -> Option<Expr>,
    build: fn(Vec<Expr>, Span) -> Expr,
) -> Option<Expr> {
    let [word, foreign] = *words;
    let first = part(c)?;
    if !c.at_word(word) && !c.at_word(foreign) {
        return Some(first);
    }
    let start = first.span();
    let mut parts = vec![first];
    while let Some(token) = c.peek() {
        if token.is_word(foreign) {
            let diagnostic =
                Diagnostic::error("E0023", format!("`{foreign}` is written `{word}`"), token.span);
            c.report(diagnostic.help(format!("write `{word}`")).fix(
                format!("write `{word}`"),
                token.span,
                word,
            ));
        } else if !token.is_word(word) {
            break;
        }
        c.bump();
        parts.push(part(c)?);
    }
    let span = c.since(start);
    Some(build(parts, span))
}

fn one(c: &mut Cursor<'_>) -> Option<Expr> {
    // The next clause is no test: a half-written one before it stays open.
    let Some(token) = c.peek().filter(|t| !t.is_word("when") && !t.is_word("unless")) else {
        let before = c.text(c.last_span());
        let help =
            format!("write a test behind it, as in `{before} sender in partners`, or take `{before}` out");
        if let Some(diagnostic) = c.missing("a test") {
            c.report(diagnostic.help(help));
        }
        return None;
    };
    let foreign = token.is_word("!");
    if foreign {
        let close = c.nth(1).is_some_and(|next| next.span.start == token.span.end);
        c.report(
            Diagnostic::error("E0023", "`!` is written `not`", token.span)
                .label("`not` stands before the whole test")
                .help("write `not`, as in `not submitted` or `not (submitted or client.tls)`")
                .fix("write `not`", token.span, if close { "not " } else { "not" }),
        );
    }
    if not_ours(c) {
        return None;
    }
    let deeper = token.is_word("not") || foreign || token.kind == TokenKind::OpenParen;
    if !deeper {
        return c.node(NodeKind::Test, test).map(Expr::Test);
    }
    if c.depth >= MAX_NESTING {
        too_deep(c, token.span);
        return None;
    }
    c.bump();
    c.depth += 1;
    let inner = if token.kind == TokenKind::OpenParen { c.node(NodeKind::Condition, any) } else { one(c) };
    c.depth -= 1;
    let inner = inner?;
    if token.kind != TokenKind::OpenParen {
        let span = c.since(token.span);
        return Some(Expr::Not(Box::new(inner), span));
    }
    if c.eat(TokenKind::CloseParen).is_none() {
        if !missing_connective(c) {
            let diagnostic = c.missing("`)`").map(|d| d.also(token.span, "for this `(`"));
            if let Some(diagnostic) = diagnostic {
                c.report(diagnostic);
            }
        }
        return None;
    }
    Some(inner)
}

/// Reports words that other languages put before a test, where one stands there.
fn not_ours(c: &mut Cursor<'_>) -> bool {
    let Some(token) = c.peek().filter(|t| t.kind == TokenKind::Word) else { return false };
    let Some(next) = c.nth(1).filter(|next| next.kind == TokenKind::Word && is_fact(next.text)) else {
        return false;
    };
    if c.starts_line(1) {
        return false;
    }
    let test = short(next.text);
    let help = match token.text {
        "no" | "non" | "dont" | "don't" | "isnt" | "isn't" | "never" | "neither" | "nor" | "without" => {
            format!("`not` stands before the whole test: write `not {test}`")
        }
        "either" => format!("`or` alone joins two tests: `{test} or …`"),
        "both" | "all" => format!("`and` alone joins two tests: `{test} and …`"),
        "if" | "any" | "where" | "when" => format!("take it out: the test begins with `{test}`"),
        _ => return false,
    };
    let message = format!("`{}` is no word of conditions", token.text);
    c.report(Diagnostic::error("E0023", message, token.span).label("no test begins so").help(help));
    true
}

/// Reports two tests in a row, where that is what stands here.
pub(super) fn missing_connective(c: &mut Cursor<'_>) -> bool {
    let starts =
        |t: &super::cursor::Tok<'_>| t.kind == TokenKind::Word && (t.text == "not" || is_fact(t.text));
    let Some(token) = c.peek().filter(starts) else { return false };
    // Nobody but the author knows which word is missing, and each makes another rule of it: no edit by machine.
    let diagnostic = Diagnostic::error("E0024", "two tests stand side by side", token.span)
        .label("expected `and`, `or`, `when` or `unless` before this")
        .help("write `and` where both must hold (it binds closer than `or`), `or` where one is enough, `unless` before an exception");
    c.report(diagnostic);
    true
}

/// Whether a word is a fact, or the first word of one.
pub(super) fn is_fact(word: &str) -> bool {
    REGISTRY.iter().any(|row| row.name.split(' ').next() == Some(word))
}

fn test(c: &mut Cursor<'_>) -> Option<FactTest> {
    let fact = fact(c)?;
    let start = fact.span;
    let (negated, op) = operator(c, &fact)?;
    let span = c.since(start);
    Some(FactTest { fact, negated, op, span })
}

fn fact(c: &mut Cursor<'_>) -> Option<FactRef> {
    let Some(token) = c.peek().filter(|t| t.kind == TokenKind::Word) else {
        let diagnostic = c.missing("a test such as `sender in partners`");
        let half = c.peek().is_some_and(|t| {
            matches!(
                t.kind,
                TokenKind::Text | TokenKind::Less | TokenKind::AtMost | TokenKind::More | TokenKind::AtLeast
            )
        });
        if let Some(diagnostic) = diagnostic {
            c.report(if half { diagnostic.help(EACH_NAMES_ITS_FACT) } else { diagnostic });
        }
        return None;
    };
    if OPERATORS.contains(&token.text) || matches!(token.text, "and" | "or") {
        c.report(
            Diagnostic::error("E0017", format!("expected a fact before `{}`", token.text), token.span)
                .help("a test begins with what it is about, as in `subject contains \"invoice\"`"),
        );
        return None;
    }
    c.bump();
    let name = Spanned::new(token.text.to_owned(), token.span);
    let mut parameter = None;
    if let Some(open) = c.eat(TokenKind::OpenParen) {
        parameter = Some(c.expect_text("the name of a header field")?);
        if c.eat(TokenKind::CloseParen).is_none() {
            let diagnostic = c.missing("`)`").map(|d| d.also(open, "for this `(`"));
            if let Some(diagnostic) = diagnostic {
                c.report(diagnostic);
            }
            return None;
        }
    } else if token.text == "header"
        && c.peek().is_some_and(|t| matches!(t.kind, TokenKind::OpenBracket | TokenKind::OpenBrace))
        && c.nth(1).is_some_and(|t| t.kind == TokenKind::Text)
    {
        c.other_bracket("(", "the name of a header field stands in parentheses");
        c.bump();
        if c.peek().is_some_and(|t| {
            matches!(t.kind, TokenKind::CloseBracket | TokenKind::CloseBrace | TokenKind::CloseParen)
        }) {
            c.bump();
        }
        return None;
    } else if token.text == "header"
        && let Some(text) = c.peek().filter(|t| t.kind == TokenKind::Text)
    {
        let written = format!("({})", text.text);
        let diagnostic =
            Diagnostic::error("E0017", "the name of a header field stands in parentheses", text.span)
                .help(format!("write `header{written}`"))
                .fix("add the parentheses", text.span, written);
        c.report(diagnostic);
        return None;
    }
    let span = c.since(token.span);
    Some(FactRef { name, parameter, span })
}
