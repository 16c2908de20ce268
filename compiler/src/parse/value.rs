//! Values, entries between brackets, amounts, dates, replies.

use super::cursor::{Cursor, Tok, short};
use super::words::items_with;
use crate::ast::{Class, Entries, Entry, Moment, Reply, Spanned, Value, Word};
use crate::diag::Diagnostic;
use crate::lex::TokenKind;
use crate::lex::leaf::{self, Amount, AmountError};
use crate::span::Span;
use crate::tree::NodeKind;

/// Reads a value of any class; `what` names it where there is none.
pub(super) fn value(c: &mut Cursor<'_>, what: &str) -> Option<Value> {
    let Some(token) = c.peek() else {
        c.expected(what);
        return None;
    };
    match token.kind {
        TokenKind::Text | TokenKind::Block => {
            c.bump();
            Some(Value { text: leaf::text(token.text), class: Class::Text, span: token.span })
        }
        TokenKind::Word if !c.next_clause() => amount_or_word(c, token),
        _ => {
            c.expected(what);
            None
        }
    }
}

fn amount_or_word(c: &mut Cursor<'_>, token: Tok<'_>) -> Option<Value> {
    malformed(c, token)?;
    let unit = c.nth(1).filter(|t| t.kind == TokenKind::Word && leaf::is_unit(t.text));
    let bare = token.text.bytes().all(|b| b.is_ascii_digit());
    let class = match leaf::amount(token.text, unit.filter(|_| bare).map(|t| t.text)) {
        Ok(Amount::Number(n)) => Class::Number(n),
        Ok(Amount::Size(n)) => Class::Size(n),
        Ok(Amount::Duration(n)) => Class::Duration(n),
        Err(AmountError::TooLarge) => {
            let diagnostic = Diagnostic::error(
                "E0026",
                format!("the number `{}` is too large", short(token.text)),
                token.span,
            );
            c.report(diagnostic.help("the largest is 18446744073709551615"));
            c.bump();
            return None;
        }
        Err(AmountError::NoNumber | AmountError::Unit) => Class::Word,
    };
    c.bump();
    let mut value = Value { text: token.text.to_owned(), class, span: token.span };
    if let Some(unit) = unit.filter(|_| bare) {
        c.bump();
        value.text = format!("{} {}", token.text, unit.text);
        value.span = token.span.to(unit.span);
    } else if let Class::Number(_) = class {
        foreign_unit(c, token.span)?;
    }
    Some(value)
}

/// Reports a number as it is written elsewhere: `1.5 MiB`, `1,5`, `10_000`, `10 000`, `-1 KiB`.
fn malformed(c: &mut Cursor<'_>, token: Tok<'_>) -> Option<()> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let pair = |sign: &[char]| token.text.split_once(sign).is_some_and(|(a, b)| digits(a) && digits(b));
    let unit_at = |c: &Cursor<'_>, ahead: usize| {
        let word = c.nth(ahead).filter(|t| t.kind == TokenKind::Word && !c.starts_line(ahead));
        word.is_some_and(|t| leaf::is_unit(t.text) || leaf::meant_unit(t.text).is_some())
    };
    let glued = |c: &Cursor<'_>, ahead: usize| {
        let end = c.nth(ahead.saturating_sub(1)).map(|t| t.span.end);
        c.nth(ahead).is_some_and(|t| Some(t.span.start) == end)
    };
    // `[10,20]` are two numbers.
    let parts = digits(token.text)
        && c.nth(1).is_some_and(|t| t.kind == TokenKind::Comma)
        && glued(c, 1)
        && glued(c, 2);
    let comma = parts && c.nth(2).is_some_and(|t| digits(t.text)) && !c.in_list();
    let spaced = digits(token.text)
        && c.nth(1).is_some_and(|t| t.text.len() == 3 && digits(t.text))
        && !c.starts_line(1);
    let point = pair(&['.']) && unit_at(c, 1);
    let groups = token.text.contains(['_', '\'']) && token.text.split(['_', '\'']).all(digits);
    let negative = token.text.strip_prefix(['-', '+']).is_some_and(digits);
    let taken = match () {
        () if comma => 3,
        () if spaced => 2,
        () if point || groups || negative => 1,
        () => return Some(()),
    };
    for _ in 0..taken {
        c.bump();
    }
    let span = c.since(token.span);
    let written = c.text(span);
    let plain: String = written.chars().filter(char::is_ascii_digit).collect();
    // Three digits behind a point or comma may be thousands, fewer are a fraction.
    let thousands = groups || spaced || written.rsplit([',', '.']).next().is_some_and(|last| last.len() == 3);
    let help = if negative {
        format!("numbers begin at 0: write `{plain}`, or turn the test round with `not`")
    } else if thousands {
        format!("write the digits alone: `{plain}`")
    } else {
        "whole numbers only: a fraction is said in a smaller unit, as `1536 KiB` for one and a half `MiB`, `90 s` for one and a half minutes".to_owned()
    };
    let diagnostic = Diagnostic::error("E0026", format!("`{}` is no whole number", short(written)), span);
    let fix = thousands && !negative;
    let diagnostic = diagnostic.label("digits alone make a number").help(help);
    c.report(if fix {
        diagnostic.fix(format!("write `{}`", short(&plain)), span, plain)
    } else {
        diagnostic
    });
    if unit_at(c, 0) {
        c.bump();
    }
    None
}

/// A number with a unit that is written otherwise here: `25 mb`, `10 seconds`.
fn foreign_unit(c: &mut Cursor<'_>, number: Span) -> Option<()> {
    let Some(next) = c.peek().filter(|t| t.kind == TokenKind::Word && !c.starts_line(0)) else {
        return Some(());
    };
    let Some(unit) = leaf::meant_unit(next.text) else { return Some(()) };
    let diagnostic = Diagnostic::error("E0026", format!("unknown unit `{}`", short(next.text)), next.span)
        .also(number, "the unit of this number")
        .help(format!(
            "write `{unit}`; sizes are `B`, `KB`, `KiB`, `MB`, `MiB`, `GB`, `GiB`, times `s`, `min`, `h`, `d`"
        ));
    // `m` is metres to nobody, but minutes to some and megabytes to others.
    let certain = next.text.len() > 1;
    c.report(if certain { diagnostic.fix(format!("write `{unit}`"), next.span, unit) } else { diagnostic });
    c.bump();
    None
}

/// Reads digits alone.
pub(super) fn count(c: &mut Cursor<'_>, what: &str) -> Option<Spanned<u64>> {
    let number = |t: &Tok<'_>| !c.starts_line(0) || t.text.starts_with(|d: char| d.is_ascii_digit());
    let next = c.peek().filter(|t| t.kind == TokenKind::Word && !c.next_clause());
    let Some(token) = next.filter(number) else {
        c.expected(what);
        return None;
    };
    malformed(c, token)?;
    match leaf::amount(token.text, None) {
        Ok(Amount::Number(n)) => {
            c.bump();
            Some(Spanned::new(n, token.span))
        }
        Err(AmountError::TooLarge) => {
            let diagnostic = Diagnostic::error(
                "E0026",
                format!("the number `{}` is too large", short(token.text)),
                token.span,
            );
            c.report(diagnostic.help("the largest is 18446744073709551615"));
            None
        }
        _ => {
            let diagnostic =
                Diagnostic::error("E0026", format!("`{}` is no whole number", short(token.text)), token.span);
            c.report(diagnostic.label(format!("expected {what}")).help("write digits alone, as in `100`"));
            None
        }
    }
}

/// Reads a number that fits a smaller type.
pub(super) fn count_up_to<T: TryFrom<u64>>(c: &mut Cursor<'_>, what: &str, most: u64) -> Option<Spanned<T>> {
    let number = count(c, what)?;
    match T::try_from(number.value) {
        Ok(value) if number.value <= most => Some(Spanned::new(value, number.span)),
        _ => {
            let diagnostic = Diagnostic::error(
                "E0026",
                format!("the number `{}` is too large", number.value),
                number.span,
            );
            c.report(diagnostic.help(format!("the largest is {most}")));
            None
        }
    }
}

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
            let diagnostic = commas.take().unwrap_or_else(|| {
                Diagnostic::error("E0021", "a comma is missing between two entries", last)
                    .label("behind this")
                    .help("entries are parted by commas, as in `[a, b]`; where the two are one word, take the space out")
            });
            commas = Some(if diagnostic.fixes.len() < 100 {
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

/// Reads `2026-12-01`, with `T10:30` where a time is wanted.
pub(super) fn moment(c: &mut Cursor<'_>) -> Option<Spanned<Moment>> {
    let Some(token) = c.peek().filter(|t| t.kind == TokenKind::Word && !c.next_clause()) else {
        c.expected("a date such as `2026-12-01`");
        return None;
    };
    c.bump();
    let Some((year, month, day, time)) = leaf::date(token.text) else {
        let shaped = token.text.split(['-', 'T', ':']).count() >= 3
            && token.text.chars().all(|d| d.is_ascii_digit() || matches!(d, '-' | 'T' | ':'));
        let diagnostic =
            Diagnostic::error("E0027", format!("`{}` is no date", short(token.text)), token.span).help(
                "write year, month and day, as in `2026-12-01`, or with a time of day `2026-12-01T10:30`",
            );
        c.report(if shaped {
            diagnostic.label("two digits for month and day, a day that the calendar has, from 1970 on")
        } else {
            diagnostic
        });
        return None;
    };
    Some(Spanned::new(Moment { year, month, day, time }, token.span))
}

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
