//! Lists in brackets: entries, commas, and brackets that are missing or of another kind.

use super::cursor::Cursor;
use super::value::value;
use crate::ast::{Entries, Entry, Word};
use crate::diag::Diagnostic;
use crate::lex::TokenKind;
use crate::span::Span;
use crate::tree::NodeKind;

/// Reads `[a, b]`, or one entry alone.
pub(super) fn entries(c: &mut Cursor<'_>, what: &str) -> Option<Entries> {
    if c.at_kind(TokenKind::OpenBracket) || at_other_bracket(c) {
        return c.node(NodeKind::Entries, |c| {
            let (entries, span) = bracketed(c, |c| entry(c, what))?;
            Some(Entries { entries, span })
        });
    }
    let entry = entry(c, what)?;
    let span = entry.span();
    Some(Entries { entries: vec![entry], span })
}

/// Reads `[a, b]`, or reports that it is missing.
pub(super) fn list<T>(
    c: &mut Cursor<'_>,
    what: &str,
    each: impl FnMut(&mut Cursor<'_>) -> Option<T>,
) -> Option<(Vec<T>, Span)> {
    if !c.at_kind(TokenKind::OpenBracket) && !at_other_bracket(c) {
        c.expected(&format!("`[` and {what}"));
        return None;
    }
    c.node(NodeKind::Entries, |c| bracketed(c, each))
}

/// Whether another bracket stands where that of a list should.
pub(super) fn at_other_bracket(c: &Cursor<'_>) -> bool {
    c.peek().is_some_and(|t| matches!(t.kind, TokenKind::OpenParen | TokenKind::OpenBrace))
        && !c.starts_line(0)
}

/// Why another closing bracket ends a list here; none where it is no end of one. A `}` is one where the block around the list has
/// a `}` of its own behind it.
fn closes_list(c: &Cursor<'_>) -> bool {
    const FAR: usize = 2_000;
    match c.peek().map(|t| t.kind) {
        Some(TokenKind::CloseParen) => true,
        Some(TokenKind::CloseBrace) => {
            let mut depth = 0_i32;
            for ahead in 0..FAR {
                let Some(token) = c.nth(ahead) else { break };
                match token.kind {
                    TokenKind::OpenBrace => depth += 1,
                    TokenKind::CloseBrace => depth -= 1,
                    TokenKind::Word if ahead > 0 && c.item_ahead(ahead) => break,
                    _ => {}
                }
            }
            depth + c.blocks < 0
        }
        _ => false,
    }
}

fn bracketed<T>(
    c: &mut Cursor<'_>,
    mut each: impl FnMut(&mut Cursor<'_>) -> Option<T>,
) -> Option<(Vec<T>, Span)> {
    let foreign = match c.peek().filter(|_| at_other_bracket(c)) {
        Some(token) => {
            c.other_bracket("[", "a list stands between `[` and `]`");
            Some((
                token.span,
                if token.kind == TokenKind::OpenParen {
                    TokenKind::CloseParen
                } else {
                    TokenKind::CloseBrace
                },
            ))
        }
        None => None,
    };
    let open = match foreign {
        Some((span, _)) => span,
        None => c.eat(TokenKind::OpenBracket)?,
    };
    let mut out = Vec::new();
    let mut commas: Option<Diagnostic> = None;
    let mut sound = foreign.is_none();
    // Lists hold no lists: brackets inside are told once, and what is in them is read on.
    let mut inner = 0_usize;
    loop {
        if c.eat(TokenKind::CloseBracket).is_some() {
            let more = c.peek().is_some_and(|t| matches!(t.kind, TokenKind::Comma | TokenKind::CloseBracket));
            if inner > 0 && more {
                inner -= 1;
                let _ = c.eat(TokenKind::Comma);
                continue;
            }
            break;
        }
        if c.at_kind(TokenKind::OpenBracket) {
            if inner == 0 && sound {
                let span = c.peek().map_or(open, |t| t.span);
                c.report(
                    Diagnostic::error("E0017", "a list in a list", span)
                        .also(open, "the list around it")
                        .help("write all entries into one pair of brackets, as in `[a, b, c]`"),
                );
            }
            sound = false;
            inner += 1;
            c.bump();
            continue;
        }
        let Some(token) = c.peek() else {
            unclosed(c, open);
            return None;
        };
        // Its partner closes what was opened by another bracket, which has been told.
        if foreign.is_some_and(|(_, close)| token.kind == close) {
            c.bump();
            break;
        }
        if closes_list(c) {
            c.other_bracket("]", "a list ends with `]`");
            return None;
        }
        if matches!(token.kind, TokenKind::CloseBrace | TokenKind::OpenBrace) || clause_in_list(c) {
            unclosed(c, open);
            return None;
        }
        if token.kind == TokenKind::Comma {
            let diagnostic = Diagnostic::error("E0021", "a comma without an entry before it", token.span);
            c.report(diagnostic.help("one comma stands between two entries: remove this one").fix(
                "remove it",
                token.span,
                "",
            ));
            c.bump();
            continue;
        }
        let read = c.node(NodeKind::Entry, |c| each(c));
        let last = c.last_span();
        match read {
            Some(entry) => out.push(entry),
            None => {
                sound = false;
                pass_over_entry(c);
            }
        }
        if c.eat(TokenKind::Comma).is_some() || c.at_kind(TokenKind::CloseBracket) {
            continue;
        }
        // The same mistake all down a list is one mistake.
        let starts =
            c.peek().is_some_and(|t| matches!(t.kind, TokenKind::Word | TokenKind::Text | TokenKind::Block));
        if starts && !clause_in_list(c) && sound {
            let behind = Span { start: last.end, ..last };
            let (before, next) = (c.text(last), c.peek().map_or("", |t| t.text));
            let certain = c.peek().is_some_and(|t| t.span.start > last.end) && are_whole(before, next);
            let diagnostic = commas.take().unwrap_or_else(|| {
                Diagnostic::error("E0021", "a comma is missing between two entries", last)
                    .label("behind this")
                    .help(comma_help(before, next))
            });
            commas = Some(if certain && diagnostic.fixes.len() < 100 {
                diagnostic.fix("write `,`", behind, ",")
            } else {
                diagnostic
            });
        } else if starts && !sound {
            pass_over_entry(c);
            let _ = c.eat(TokenKind::Comma);
        } else if !c.peek().is_none_or(|t| matches!(t.kind, TokenKind::CloseBrace | TokenKind::CloseParen))
            && !c.at_kind(TokenKind::OpenBrace)
            && !clause_in_list(c)
        {
            c.expected("`,` or `]`");
            pass_over_entry(c);
            let _ = c.eat(TokenKind::Comma);
            sound = false;
        }
    }
    if let Some(diagnostic) = commas {
        c.report(diagnostic);
    }
    sound.then(|| (out, c.since(open)))
}

/// Whether two neighbours in a list are an entry each, beyond doubt: two texts, or two words that are more than a name. A
/// comma behind `-`, `not` or a mistyped `group` would make an entry of it that nobody meant.
fn are_whole(before: &str, next: &str) -> bool {
    let text = |s: &str| s.starts_with('"');
    let word = |s: &str| {
        s.starts_with(|c: char| c.is_alphanumeric() || c == '@' || c == '.')
            && s.contains(['@', '.', ':', '/'])
    };
    (text(before) && text(next)) || (word(before) && word(next))
}

/// What to do where two entries stand side by side.
fn comma_help(before: &str, next: &str) -> String {
    let sign = |s: &str| !s.starts_with('"') && !s.contains(char::is_alphanumeric);
    for word in [before, next] {
        match word {
            "not" => {
                return "a list names what it holds: leave out by `unless`, or by a list of its own"
                    .to_owned();
            }
            "and" | "or" => return format!("entries are parted by commas alone: take the `{word}` out"),
            _ if sign(word) => return format!("entries are parted by commas alone: take the `{word}` out"),
            _ => {}
        }
    }
    let names = [before, next].iter().all(|s| !s.contains(['"', '@', '.', ':', '/']));
    let group = if names { "; a group is written `group NAME`" } else { "" };
    format!(
        "entries are parted by commas, as in `[a, b]`; where the two are one word, take the space out{group}"
    )
}

fn unclosed(c: &mut Cursor<'_>, open: Span) {
    if !c.cut() && !c.swallowed(open, ']') {
        let last = c.last_span();
        let diagnostic = Diagnostic::error("E0020", "this list is not closed", open)
            .also(last, "the last entry is here")
            .help("write `]` where it ends");
        c.report(diagnostic);
    }
}

/// Whether a clause seems to start here though a bracket is open: a keyword first on its line, and no
/// comma or bracket behind it.
fn clause_in_list(c: &Cursor<'_>) -> bool {
    let parted = c.nth(1).is_none_or(|t| !matches!(t.kind, TokenKind::Comma | TokenKind::CloseBracket));
    let group = c.at_word("group") && c.nth(2).is_none_or(|t| t.kind != TokenKind::Equals);
    c.next_clause() && parted && !group
}

/// Passes over tokens up to a comma or bracket of this list.
fn pass_over_entry(c: &mut Cursor<'_>) {
    c.open(NodeKind::Error);
    let mut depth = 0_usize;
    while let Some(token) = c.peek() {
        match token.kind {
            TokenKind::Comma | TokenKind::CloseBracket if depth == 0 => break,
            TokenKind::OpenBrace | TokenKind::CloseBrace | TokenKind::CloseParen => break,
            _ if clause_in_list(c) => break,
            TokenKind::OpenBracket => depth += 1,
            TokenKind::CloseBracket => depth -= 1,
            _ => {}
        }
        c.bump();
    }
    c.close();
}

/// Reads a value or `group NAME`.
fn entry(c: &mut Cursor<'_>, what: &str) -> Option<Entry> {
    if let Some(token) = c.peek().filter(|t| t.is_word("group"))
        && c.nth(1).is_some_and(|t| matches!(t.kind, TokenKind::Comma | TokenKind::CloseBracket))
    {
        let diagnostic = Diagnostic::error("E0017", "`group` has no name behind it", token.span)
            .label("a group's name should follow")
            .help("write `group NAME`, with no comma between the two");
        c.report(diagnostic);
        c.bump();
        return None;
    }
    let names_group = c.at_word("group")
        && c.nth(1).is_some_and(|t| t.kind == TokenKind::Word || t.kind == TokenKind::Text);
    if names_group {
        c.bump();
        return c.expect_word("a group's name").map(Entry::Group);
    }
    value(c, what).map(Entry::Value)
}

/// Reads bare words alone, one or `[a, b]`.
pub(super) fn words(c: &mut Cursor<'_>, what: &str) -> Option<Vec<Word>> {
    if c.at_kind(TokenKind::OpenBracket) || at_other_bracket(c) {
        return list(c, what, |c| c.expect_word(what)).map(|(words, _)| words);
    }
    c.expect_word(what).map(|word| vec![word])
}

/// Entries, one of which at least is there.
pub(super) fn some_entries(c: &mut Cursor<'_>, what: &str) -> Option<Entries> {
    let entries = entries(c, what)?;
    if entries.entries.is_empty() {
        let diagnostic = Diagnostic::error("E0017", format!("expected {what} in this list"), entries.span);
        c.report(diagnostic.label("nothing is in it").help(format!("write {what} between the brackets")));
        return None;
    }
    Some(entries)
}
