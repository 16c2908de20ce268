//! Blocks of clauses.

mod recover;
mod unknown;

pub(super) use recover::{starts_item, to_item};
pub(super) use unknown::reserved;

use super::cursor::{Cursor, named};
use super::words::{clauses, repeats};
use crate::diag::Diagnostic;
use crate::lex::TokenKind;
use crate::span::Span;
use crate::tree::NodeKind;
use recover::{recover, to_brace};
use unknown::{lost_expect, unknown};

/// The clauses that a block had, each with its keyword, and whether the block was there at all.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) clauses: Vec<(&'static str, Span)>,
    pub(super) block: bool,
}

impl Seen {
    pub(super) fn has(&self, clause: &str) -> bool {
        self.clauses.iter().any(|(name, _)| *name == clause)
    }
}

/// Reads `{ … }`. `clause` gets each keyword of the item after it was taken, and answers none where it
/// reported a mistake and the rest of the clause is to be passed over.
pub(super) fn block(
    c: &mut Cursor<'_>,
    item: &'static str,
    mut clause: impl FnMut(&mut Cursor<'_>, &'static str) -> Option<()>,
) -> Seen {
    let mut seen = Seen::default();
    let other = c.at_kind(TokenKind::OpenParen) || c.at_kind(TokenKind::OpenBracket);
    if other && !c.starts_line(0) {
        let brace = c.peek().map_or(c.last_span(), |t| t.span);
        c.other_bracket("{", "a block stands between `{` and `}`");
        c.open(NodeKind::Block);
        seen.block = true;
        clauses_of(c, item, brace, &mut seen, &mut clause);
        c.close();
        return seen;
    }
    if !c.at_kind(TokenKind::OpenBrace) && c.starts_line(0) && c.swallowed(c.last_span(), '{') {
        let brace = c.last_span();
        c.open(NodeKind::Block);
        seen.block = true;
        clauses_of(c, item, brace, &mut seen, &mut clause);
        c.close();
        return seen;
    }
    if !c.at_kind(TokenKind::OpenBrace) {
        // A head that could not be read has had its message.
        if !c.broken_since(c.last_span())
            && let Some(diagnostic) = c.missing("`{`")
        {
            c.report(diagnostic.help(format!("the clauses of a `{item}` stand between `{{` and `}}`")));
        }
        to_brace(c);
    }
    c.open(NodeKind::Block);
    if let Some(brace) = c.eat(TokenKind::OpenBrace) {
        seen.block = true;
        clauses_of(c, item, brace, &mut seen, &mut clause);
    }
    c.close();
    seen
}

fn clauses_of(
    c: &mut Cursor<'_>,
    item: &'static str,
    brace: Span,
    seen: &mut Seen,
    clause: &mut impl FnMut(&mut Cursor<'_>, &'static str) -> Option<()>,
) {
    c.blocks += 1;
    clauses_until(c, item, brace, seen, clause);
    c.blocks -= 1;
}

fn clauses_until(
    c: &mut Cursor<'_>,
    item: &'static str,
    brace: Span,
    seen: &mut Seen,
    clause: &mut impl FnMut(&mut Cursor<'_>, &'static str) -> Option<()>,
) {
    let known = clauses(item);
    let mut behind = "";
    loop {
        let Some(token) = c.peek() else {
            if !c.cut() && !c.swallowed(brace, '}') {
                let last = c.last_span();
                c.report(
                    Diagnostic::error("E0018", format!("the block of this `{item}` is not closed"), brace)
                        .also(last, "the file ends behind this")
                        .help("write `}` where the block ends"),
                );
            }
            return;
        };
        if c.eat(TokenKind::CloseBrace).is_some() {
            return;
        }
        if c.closes_block() {
            // Where the item surely ends here the bracket is a mistake of its own, whatever is wrong in the clause before.
            if c.flush_left() && (c.nth(1).is_none() || c.item_ahead(1)) {
                c.starts_here(false);
            }
            c.other_bracket("}", "a block ends with `}`");
            return;
        }
        if token.kind == TokenKind::OpenBrace && c.last_span() == brace {
            c.report(
                Diagnostic::error("E0017", "a second `{` opens nothing", token.span)
                    .help("a block has one `{`: remove this one")
                    .fix("remove it", token.span, ""),
            );
            c.bump();
            continue;
        }
        if token.kind != TokenKind::Word {
            let message = format!("expected a clause or `}}`, found {}", named(token));
            let diagnostic = Diagnostic::error("E0017", message, token.span);
            c.report(if token.kind == TokenKind::Comma {
                diagnostic.help(if known.contains(&"when") {
                    "tests are joined with `and` or `or`; several values stand in brackets, as in `[a, b]`"
                } else {
                    "several values stand in brackets, as in `[a, b]`"
                })
            } else {
                let first: Vec<String> = known.iter().take(4).map(|word| format!("`{word}`")).collect();
                diagnostic.help(format!(
                    "take it out; each line of a `{item}` begins with a word of its own, as {}",
                    first.join(", ")
                ))
            });
            recover(c, known, true);
            continue;
        }
        let name = known.iter().copied().find(|k| *k == token.text);
        if name.is_none() && starts_item(c) && !(item == "test" && lost_expect(c)) {
            if !c.swallowed(brace, '}') {
                c.report(
                    Diagnostic::error("E0018", format!("the block of this `{item}` is not closed"), brace)
                        .also(token.span, format!("a new `{}` starts here", token.text))
                        .help(format!("write `}}` before this `{}`", token.text)),
                );
            }
            return;
        }
        // Behind a clause on its line a word may belong to it, unless it is the keyword of another.
        if c.starts_line(0) || c.last_span() == brace || name.is_some() {
            c.starts_here(false);
        }
        // A slip of the finger for the `}`: alone on its line, with a new item or nothing behind it.
        let slip = name.is_none() && token.text.chars().count() <= 2 && c.starts_line(0);
        if slip && (c.nth(1).is_none() || c.item_ahead(1)) {
            let message = format!("expected `}}`, found {}", named(token));
            c.report(
                Diagnostic::error("E0017", message, token.span).help("a block ends with `}`: write `}`"),
            );
            c.bump();
            return;
        }
        let Some(name) = name.or_else(|| unknown(c, item, behind)) else {
            recover(c, known, true);
            continue;
        };
        // Only what may stand once, or stands the first time, is kept: the search stays short.
        match seen.clauses.iter().find(|(k, _)| *k == name) {
            Some((_, first)) if !repeats(name) => {
                let diagnostic = Diagnostic::error("E0016", format!("a second `{name}`"), token.span)
                    .also(*first, "the first is here")
                    .help("keep one of them");
                c.report(diagnostic);
            }
            Some(_) => {}
            None => seen.clauses.push((name, token.span)),
        }
        behind = name;
        let read = c.node(NodeKind::Clause, |c| {
            c.bump();
            c.doubled(name);
            clause(c, name)
        });
        if read.is_none() {
            recover(c, known, false);
            behind = "";
        }
    }
}
