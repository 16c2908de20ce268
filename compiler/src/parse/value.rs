//! Values: texts, words, amounts, counts, dates.

use super::cursor::{Cursor, Tok, short};
use crate::ast::{Class, Moment, Spanned, Value};
use crate::diag::Diagnostic;
use crate::lex::TokenKind;
use crate::lex::leaf::{self, Amount, AmountError};
use crate::span::Span;

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
        // What joins tests is no value, and one may be left out before it.
        TokenKind::Word if matches!(token.text, "and" | "or") => {
            if c.in_list() {
                let message = format!("`{}` is no entry", token.text);
                let help = format!("entries are parted by commas alone: take the `{}` out", token.text);
                c.report(Diagnostic::error("E0017", message, token.span).help(help));
            } else {
                c.expected(what);
            }
            None
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
    let priority = c.text(c.last_span()) == "priority";
    for _ in 0..taken {
        c.bump();
    }
    let span = c.since(token.span);
    let written = c.text(span);
    let plain: String = written.chars().filter(char::is_ascii_digit).collect();
    // Three digits behind a point or comma may be thousands, fewer are a fraction.
    let thousands = groups || spaced || written.rsplit([',', '.']).next().is_some_and(|last| last.len() == 3);
    let help = if negative && token.text.starts_with('+') {
        format!("write `{plain}`: no number here has a sign")
    } else if negative && priority {
        "the lowest number is `0`, and comes first: write that, and a higher one for the rules behind it"
            .to_owned()
    } else if negative {
        "nothing here is below 0: write a number without a sign".to_owned()
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
