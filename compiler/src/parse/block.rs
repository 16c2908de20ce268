//! Blocks of clauses, and the ways back after a mistake: to the next clause, to the next item.

use super::condition::is_fact;
use super::cursor::{Cursor, named, short};
use super::testing::PARTS;
use super::words::{ITEMS, RESERVED, clauses, items_with, meant, repeats};
use crate::diag::Diagnostic;
use crate::lex::TokenKind;
use crate::parse::opposite::Likely as _;
use crate::span::Span;
use crate::tree::NodeKind;

/// Clauses that nothing else is called, so that a one-line block can be picked up at them.
const STRONG: &[&str] = &["when", "unless", "reply", "via", "priority", "mode", "note", "active", "expect"];

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

/// Reports a word that is no clause of the item. Answers the clause that is surely meant, to read on with it.
fn unknown(c: &mut Cursor<'_>, item: &'static str, behind: &str) -> Option<&'static str> {
    let token = c.peek()?;
    let (word, span) = (token.text, token.span);
    let known = clauses(item);
    let thing = if item == "profile" { "setting" } else { "clause" };
    let listed = || {
        let words: Vec<String> = known.iter().map(|w| format!("`{w}`")).collect();
        format!("the {thing}s of `{item}` are {}", words.join(", "))
    };
    if let Some((_, today)) = RESERVED.iter().find(|(reserved, _)| *reserved == word) {
        c.starts_here(false);
        c.report(reserved(word, span, today));
        return None;
    }
    if known.contains(&"when") && is_fact(word) {
        let insert = Span { end: span.start, ..span };
        c.report(
            Diagnostic::error("E0015", format!("a test on `{word}` stands behind `when` or `unless`"), span)
                .label("no clause begins so")
                .help(format!("write `when {word} ...`; `unless {word} ...` makes it an exception"))
                .fix("write `when`", insert, "when "),
        );
        return None;
    }
    if word == "then" && known.contains(&"when") {
        c.report(
            Diagnostic::error("E0014", "unknown clause `then`", span).label("nothing stands for it").help(
                format!(
                    "take it out, and what follows: the word before the name, `{item}`, says what happens"
                ),
            ),
        );
        return None;
    }
    if item == "relay" && matches!(word, "user" | "username" | "login" | "password" | "auth" | "secret") {
        c.starts_here(false);
        c.report(
            Diagnostic::error("E0014", format!("unknown clause `{word}`"), span)
                .label("no passwords stand in rules")
                .help(
                    "write `credentials \"provider\"`; under this name `edictd.ron` keeps user and password",
                ),
        );
        return None;
    }
    if item == "test" && lost_expect(c) {
        let insert = Span { end: span.start, ..span };
        // What stands behind it on its line, as far as that is one word or text.
        let operand = c.nth(1).filter(|t| !c.starts_line(1) && t.kind != TokenKind::CloseBrace);
        let said = match operand {
            None => format!("`expect {word}`"),
            Some(t) if matches!(t.kind, TokenKind::Word | TokenKind::Text) && c.starts_line(2) => {
                format!("`expect {word} {}`", short(t.text))
            }
            Some(_) => format!("`expect {word} ...`"),
        };
        c.report(
            Diagnostic::error("E0014", format!("`{word}` is no clause of `test`"), span)
                .label("something to expect")
                .help(format!("write {said}"))
                .fix("write `expect`", insert, "expect "),
        );
        return None;
    }
    // A keyword run together with its number.
    let run = known.iter().find_map(|known| {
        let rest = word.strip_prefix(known)?;
        rest.starts_with(|c: char| c.is_ascii_digit()).then(|| format!("{known} {rest}"))
    });
    if let Some(parted) = run {
        c.report(
            Diagnostic::error("E0014", format!("unknown {thing} `{}`", short(word)), span)
                .label("a space is missing")
                .help(format!("write `{}`", short(&parted)))
                .fix("part the two", span, parted),
        );
        return None;
    }
    let elsewhere: Vec<String> = items_with(word).map(|item| format!("`{item}`")).collect();
    if !elsewhere.is_empty() {
        let message = format!("`{word}` is no {thing} of `{item}`");
        let shown = elsewhere.get(..elsewhere.len().min(6)).unwrap_or_default().join(", ");
        let diagnostic = Diagnostic::error("E0015", message, span).label(format!("belongs into {shown}"));
        c.report(diagnostic.help(listed()));
        return None;
    }
    let likely = meant(word, known);
    if !c.starts_line(0) && !behind.is_empty() && likely.is_none() {
        let message = format!("`{}` does not belong behind this `{behind}`", short(word));
        let diagnostic =
            Diagnostic::error("E0017", message, span).label(format!("expected another {thing} or `}}`"));
        let quote = c.gap_is_empty() && c.last_kind() == Some(TokenKind::Text);
        c.report(match behind {
            _ if quote => diagnostic.help("a `\"` inside of a text is written `\\\"`"),
            "reply" => diagnostic
                .help("code, class and text stand in this order, as in `reply 554 5.7.1 \"not here\"`"),
            "expect" => diagnostic.help(
                "parts follow one another, as in `expect reject 550 by \"block list\" at rcpt for ann@example.com`",
            ),
            "host" if word == "port" || word.bytes().all(|b| b.is_ascii_digit()) => {
                diagnostic.help("a port stands behind a colon, as in `host [smtp.example.com:587]`")
            }
            _ => diagnostic.help(format!(
                "take it out, or write what belongs behind `{behind}`: {}",
                form(behind)
            )),
        });
        return None;
    }
    let diagnostic = Diagnostic::error("E0014", format!("unknown {thing} `{}`", short(word)), span);
    if let Some(likely) = likely {
        c.report(
            diagnostic
                .label(format!("did you mean `{likely}`?"))
                .help(listed())
                .nearest(word, likely, span, likely),
        );
        return Some(likely);
    }
    c.report(diagnostic.help(listed()));
    None
}

/// What stands behind a clause or a setting.
fn form(clause: &str) -> &'static str {
    match clause {
        "when" | "unless" => "tests joined with `and` or `or`, as in `sender in partners and size > 1 MiB`",
        "at" => "`at most 60 messages per minute`",
        "reply" => "`reply 554 5.7.1 \"not here\"`",
        "priority" => "one number, as in `priority 10`",
        "active" => "`active from 2026-12-01 until 2027-01-15`",
        "to" | "local-domains" | "trusted-networks" | "postmaster" | "notice-copies" | "recipient"
        | "host" | "may-send" => "one value, or several as `[a, b]`",
        "note" | "banner" | "text" | "html" | "header" | "body" | "message" => "one text in quotes",
        "max-message-size" | "max-attachment-size" | "size" => "one size, as `25 MiB`",
        _ => "one value",
    }
}

/// The report of a word that is kept for a later edition.
pub(super) fn reserved(word: &str, span: Span, today: &str) -> Diagnostic {
    Diagnostic::error("E0013", format!("`{word}` is reserved for a later edition"), span)
        .label("not in edition 1")
        .help(today)
}

/// Whether an item starts here: a keyword of items that is the first word of its line, with its head
/// behind it or flush left.
pub(super) fn starts_item(c: &Cursor<'_>) -> bool {
    let Some(word) = c.word() else { return false };
    if !ITEMS.contains(&word) || !c.starts_line(0) {
        return false;
    }
    let head = c.nth(1).is_some_and(|t| match word {
        "profile" => t.kind == TokenKind::OpenBrace,
        "list" | "group" | "alias" | "aliases" | "relay" => t.kind == TokenKind::Word,
        _ => matches!(t.kind, TokenKind::Text | TokenKind::Block),
    });
    c.flush_left() || head
}

/// Whether a line of a test says what is to come of the mail, and only `expect` is missing.
fn lost_expect(c: &Cursor<'_>) -> bool {
    let block = c.nth(2).is_some_and(|t| t.kind == TokenKind::OpenBrace);
    c.word().is_some_and(|word| PARTS.contains(&word)) && !block && !c.flush_left()
}

/// Passes over the rest of a clause, up to where the next one starts, the block ends or an item starts.
fn recover(c: &mut Cursor<'_>, known: &[&str], mut one_at_least: bool) {
    c.open(NodeKind::Error);
    let mut depth = 0_usize;
    while let Some(token) = c.peek() {
        let here = token.kind == TokenKind::Word && {
            let line = c.starts_line(0);
            (line && (starts_item(c) && (depth == 0 || c.flush_left())))
                || (depth == 0 && line && (known.contains(&token.text) || meant(token.text, known).is_some()))
                || (depth == 0 && STRONG.contains(&token.text) && known.contains(&token.text))
        };
        if (here || (depth == 0 && token.kind == TokenKind::CloseBrace)) && !one_at_least {
            break;
        }
        if token.kind == TokenKind::CloseBrace && depth == 0 {
            break;
        }
        one_at_least = false;
        match token.kind {
            TokenKind::OpenBrace => depth += 1,
            TokenKind::CloseBrace => depth = depth.saturating_sub(1),
            _ if depth == 0 && c.closes_block() => break,
            _ => {}
        }
        c.bump();
    }
    c.close();
}

/// Passes over what stands before a block, unless an item starts first.
fn to_brace(c: &mut Cursor<'_>) {
    c.open(NodeKind::Error);
    while let Some(token) = c.peek() {
        if token.kind == TokenKind::OpenBrace || starts_item(c) {
            break;
        }
        c.bump();
        if token.kind == TokenKind::CloseBrace {
            break;
        }
    }
    c.close();
}

/// Passes over tokens up to the start of the next item: one at least, and a block in one piece.
pub(super) fn to_item(c: &mut Cursor<'_>) {
    c.open(NodeKind::Error);
    let mut depth = 0_usize;
    let mut first = true;
    while let Some(token) = c.peek() {
        let starts = starts_item(c) && (depth == 0 || c.flush_left());
        if starts && !first {
            break;
        }
        first = false;
        c.bump();
        match token.kind {
            TokenKind::OpenBrace => depth += 1,
            TokenKind::CloseBrace => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    break;
                }
            }
            _ => {}
        }
    }
    c.close();
}
