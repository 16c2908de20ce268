//! What is asked of a fact: operators, those of other languages, and their operands.

use super::condition::is_fact;
use super::cursor::{Cursor, named, short};
use super::foreign::{FOREIGN, doubled, foreign, forms, measured, pattern};
use super::list::{at_other_bracket, entries};
use super::opposite::{certain, reverses};
use super::search::{matches, needles};
use super::value::value;
use super::words::nearest;
use crate::ast::{Comparison, FactRef, Op, Set, Spanned};
use crate::diag::Diagnostic;
use crate::lex::{TokenKind, leaf};
use crate::span::Span;

/// Words that begin what is asked of a fact, and what people write in their place.
pub(super) const OPERATORS: &[&str] = &["is", "in", "not", "contains", "starts", "ends", "matches"];

pub(super) fn operator(c: &mut Cursor<'_>, fact: &FactRef) -> Option<(bool, Op)> {
    let Some(token) = c.peek() else { return Some((false, Op::Holds)) };
    let comparison = |comparison| Some(Spanned::new(comparison, token.span));
    let compare = match token.kind {
        TokenKind::Less => comparison(Comparison::Less),
        TokenKind::AtMost => comparison(Comparison::AtMost),
        TokenKind::More => comparison(Comparison::More),
        TokenKind::AtLeast => comparison(Comparison::AtLeast),
        TokenKind::Equals | TokenKind::NotEquals | TokenKind::Null => {
            let ours = if token.kind == TokenKind::Equals { "is" } else { "is not" };
            if let Some(next) = c.nth(1).filter(|next| next.span.start == token.span.end) {
                if next.is_word("~") {
                    return pattern(c, "=~", token.span.to(next.span));
                }
                let turned = match (token.kind, next.kind) {
                    (TokenKind::Equals, TokenKind::More) => Some(("=>", ">=")),
                    (TokenKind::Equals, TokenKind::Less) => Some(("=<", "<=")),
                    _ => None,
                };
                if let Some((theirs, ours)) = turned {
                    return foreign(c, theirs, ours, token.span.to(next.span));
                }
            }
            return foreign(c, token.text, ours, token.span);
        }
        TokenKind::Word => return worded(c, fact),
        TokenKind::Text | TokenKind::Block | TokenKind::Regex | TokenKind::OpenBracket
            if !c.starts_line(0) =>
        {
            let message = format!("expected a test of `{}`, found {}", short(&fact.name.value), named(token));
            c.report(Diagnostic::error("E0017", message, token.span).help(forms()));
            return None;
        }
        _ => None,
    };
    let Some(compare) = compare else { return Some((false, Op::Holds)) };
    if let Some(next) = c.nth(1).filter(|next| next.kind == TokenKind::Equals && next.text == "=")
        && matches!(token.kind, TokenKind::Less | TokenKind::More)
        && !c.starts_line(1)
    {
        let whole = format!("{}=", token.text);
        let span = token.span.to(next.span);
        let diagnostic = Diagnostic::error("E0023", format!("`{} =` is no test", token.text), span)
            .label("one sign, cut in two")
            .help(format!("`{whole}` is written as one word"));
        c.report(diagnostic.fix(format!("write `{whole}`"), span, whole));
        return None;
    }
    c.bump();
    let bound = value(c, "a number")?;
    Some((false, Op::Compare(compare, bound)))
}

fn worded(c: &mut Cursor<'_>, fact: &FactRef) -> Option<(bool, Op)> {
    let token = c.peek()?;
    match token.text {
        "is" => {
            c.bump();
            is(c, fact, token.span)
        }
        "in" => {
            c.bump();
            Some((false, Op::In(set(c)?)))
        }
        "not" => {
            let next = c.nth(1)?;
            if let Some(meant) =
                [("present", "absent"), ("absent", "present")].iter().find(|(state, _)| next.is_word(state))
            {
                let (state, meant) = meant;
                let span = token.span.to(next.span);
                let name = short(c.text(fact.span));
                let diagnostic = Diagnostic::error("E0023", format!("`not {state}` is no test"), span)
                    .label("a state stands behind `is`")
                    .help(format!("write `{name} is {meant}`"))
                    .fix(format!("write `is {meant}`"), span, format!("is {meant}"));
                c.report(diagnostic);
                return None;
            }
            if next.kind == TokenKind::Null {
                let name = short(c.text(fact.span));
                let diagnostic = Diagnostic::error("E0023", "`<>` is no value", next.span)
                    .help(format!("the null sender is an absent one: write `{name} is present`"));
                c.report(diagnostic);
                return None;
            }
            if next.is_word("in") {
                c.bump();
                c.bump();
                return Some((true, Op::In(set(c)?)));
            }
            let name = short(&fact.name.value);
            let span = fact.span.to(token.span);
            let message = format!("`not` cannot stand before `{}`", short(next.text));
            let with = if matches!(next.text, "starts" | "ends") { " with" } else { "" };
            // On a line of its own it belongs to what follows.
            let below = c.starts_line(0);
            let help = if below {
                format!(
                    "`not` stands before a test, in `when` or `unless`, and turns no clause: leave all of `{} …` out where it is not wanted, the `not` alone where it is",
                    short(next.text)
                )
            } else {
                format!("write `not` before the whole test: `not {name} {}{with} …`", short(next.text))
            };
            let diagnostic = Diagnostic::error("E0023", message, token.span).help(help);
            let plain = fact.parameter.is_none() && !below;
            c.report(if plain {
                diagnostic.fix("put `not` first", span, format!("not {name}"))
            } else {
                diagnostic
            });
            None
        }
        "contains" => {
            c.bump();
            Some((false, Op::Contains(needles(c, fact, "contains", token.span)?)))
        }
        "starts" | "ends" => {
            c.bump();
            c.expect_keyword("with")?;
            let starts = token.text == "starts";
            let name = if starts { "starts with" } else { "ends with" };
            let span = c.since(token.span);
            let needles = needles(c, fact, name, span)?;
            Some((false, if starts { Op::StartsWith(needles) } else { Op::EndsWith(needles) }))
        }
        "matches" => {
            c.bump();
            matches(c)
        }
        word => {
            let ours = FOREIGN.iter().find(|(theirs, _)| *theirs == word).map(|(_, ours)| *ours);
            if matches!(word, "&&" | "||") || c.starts_line(0) {
                return Some((false, Op::Holds));
            }
            if measured(c, fact, token, None).is_some() {
                return None;
            }
            // A keyword of the grammar or another fact ends a bare test; what is near an operator is a slip.
            let ends = matches!(word, "and" | "or")
                || super::words::items_with(word).next().is_some()
                || is_fact(word);
            match ours.or_else(|| nearest(word, OPERATORS.iter().copied())) {
                Some(near) if !ends && ours.is_none() && !certain(word, near) => {
                    let error =
                        Diagnostic::error("E0023", format!("`{}` is no test", short(word)), token.span);
                    c.report(if reverses(word, near) {
                        error
                            .label(format!("`{near}` is the nearest there is, but may say the opposite"))
                            .help(format!("put `not` before the whole test for the opposite; {}", forms()))
                    } else {
                        error.label(format!("did you mean `{near}`?")).help(forms())
                    });
                    None
                }
                Some("matches") if !ends && matches!(word, "~" | "like") => pattern(c, word, token.span),
                Some(ours) if !ends => foreign(c, word, ours, token.span),
                _ if ends => Some((false, Op::Holds)),
                _ => {
                    let diagnostic =
                        Diagnostic::error("E0023", format!("`{}` is no test", short(word)), token.span)
                            .help(forms());
                    c.report(diagnostic);
                    None
                }
            }
        }
    }
}

fn is(c: &mut Cursor<'_>, fact: &FactRef, start: Span) -> Option<(bool, Op)> {
    let negated = c.eat_word("not").is_some();
    let so_far = c.since(start);
    let Some(token) = c.peek() else {
        c.expected("a value");
        return None;
    };
    match (token.kind, token.text) {
        (TokenKind::Word, "present") => {
            c.bump();
            Some((negated, Op::Present))
        }
        (TokenKind::Word, "absent") => {
            c.bump();
            Some((negated, Op::Absent))
        }
        (TokenKind::Word, "listed") => {
            c.bump();
            c.expect_keyword("in")?;
            Some((negated, Op::ListedIn(c.expect_text("the zone of a DNS list")?)))
        }
        (TokenKind::Word, "is") => {
            foreign(c, "is is", if negated { "is not" } else { "is" }, so_far.to(token.span))
        }
        (TokenKind::Word, "in")
            if c.nth(1).is_some_and(|t| {
                matches!(t.kind, TokenKind::Word | TokenKind::OpenBracket) && !c.starts_line(1)
            }) =>
        {
            foreign(c, "is in", if negated { "not in" } else { "in" }, so_far.to(token.span))
        }
        (TokenKind::OpenBracket, _) if named_by_address(c, fact) => {
            let inner = c.nth(1).map_or("", |t| t.text);
            let name = short(&fact.name.value);
            let shown = short(inner.trim_start_matches("IPv6:"));
            let diagnostic = Diagnostic::error("E0023", format!("`{name}` is a name, and no address in brackets"), token.span)
                .label("an address stands here")
                .help(format!("a greeting with an address in place of a name leaves `{name}` absent: to ask for the client write `client.ip {} {shown}`", if negated { "is not" } else { "is" }));
            c.report(diagnostic);
            None
        }
        (TokenKind::OpenBracket, _) => foreign(c, "is […]", if negated { "not in" } else { "in" }, so_far),
        (TokenKind::Word, "group")
            if c.nth(1).is_some_and(|t| t.kind == TokenKind::Word) && !c.starts_line(1) =>
        {
            foreign(c, "is group", if negated { "not in" } else { "in" }, so_far)
        }
        (TokenKind::Null, _) => {
            let name = short(&fact.name.value);
            let state = if negated { "present" } else { "absent" };
            let span = so_far.to(token.span);
            let diagnostic = Diagnostic::error("E0023", "`<>` is no value", token.span)
                .help(format!("the null sender is an absent one: write `{name} is {state}`"))
                .fix(format!("write `is {state}`"), span, format!("is {state}"));
            c.report(diagnostic);
            None
        }
        (TokenKind::Less | TokenKind::More | TokenKind::AtMost | TokenKind::AtLeast, sign) if negated => {
            let name = short(c.text(fact.span));
            let diagnostic =
                Diagnostic::error("E0023", format!("`is not {sign}` is no test"), so_far.to(token.span))
                    .label("`not` stands before the whole test")
                    .help(format!("write `not {name} {sign} …`"));
            let span = fact.span.to(token.span);
            c.report(if fact.parameter.is_none() {
                diagnostic.fix("put `not` first", span, format!("not {} {sign}", fact.name.value))
            } else {
                diagnostic
            });
            None
        }
        (TokenKind::Less | TokenKind::More | TokenKind::AtMost | TokenKind::AtLeast, sign) => {
            foreign(c, &format!("is {sign}"), sign, so_far.to(token.span))
        }
        (TokenKind::Equals | TokenKind::NotEquals, sign) => {
            let span = so_far.to(token.span);
            let twice = negated && token.kind == TokenKind::NotEquals;
            let ours = if negated || token.kind == TokenKind::NotEquals { "is not" } else { "is" };
            let theirs = format!("{} {sign}", if negated { "is not" } else { "is" });
            if twice {
                let diagnostic = Diagnostic::error("E0023", format!("`{theirs}` is no test"), span)
                    .label("`not`, and `!` once more")
                    .help("write `is`, or `is not`, whichever is meant");
                c.report(diagnostic);
                return None;
            }
            foreign(c, &theirs, ours, span)
        }
        (TokenKind::Word, word) if !c.starts_line(0) && doubled(c, fact, word, negated, so_far) => None,
        _ => Some((negated, Op::Is(value(c, "a value")?))),
    }
}

/// Whether a word of conditions stands where a name should.
pub(super) fn at_connective(c: &Cursor<'_>) -> bool {
    c.word().is_some_and(|word| matches!(word, "and" | "or" | "not" | "is" | "in"))
}

/// `helo is [192.0.2.1]`: one address in brackets, as clients without a name greet.
fn named_by_address(c: &Cursor<'_>, fact: &FactRef) -> bool {
    let inner = c.nth(1).map_or("", |t| t.text);
    let address = inner.strip_prefix("IPv6:").unwrap_or(inner);
    matches!(fact.name.value.as_str(), "helo" | "client.name")
        && address.parse::<std::net::IpAddr>().is_ok()
        && c.nth(2).is_some_and(|t| t.kind == TokenKind::CloseBracket)
}

fn set(c: &mut Cursor<'_>) -> Option<Set> {
    let Some(token) = c.peek().filter(|_| !at_connective(c)) else {
        c.expected("the name of a list, or values in `[…]`");
        return None;
    };
    if token.kind == TokenKind::OpenBracket || at_other_bracket(c) {
        return entries(c, "a value").map(Set::Inline);
    }
    let group = token.is_word("group")
        && c.nth(1).is_some_and(|t| matches!(t.kind, TokenKind::Word | TokenKind::Text));
    if group {
        c.bump();
        return c.expect_word("a group's name").map(Set::Group);
    }
    if token.is_word("list") && c.nth(1).is_some_and(|t| t.kind == TokenKind::Word) && !c.starts_line(1) {
        let diagnostic = Diagnostic::error("E0017", "a list is named without `list` before it", token.span);
        c.report(diagnostic.help("the name alone stands behind `in`").fix("remove it", token.span, ""));
        c.bump();
    }
    if matches!(token.kind, TokenKind::Text | TokenKind::Block) {
        // Brackets make values of it, a name a list, a path the file of one: only the writer knows.
        let text = leaf::text(token.text);
        let message = "`in` takes the name of a list without quotes, or values in `[…]`";
        let help = if text.contains(['/', '.']) {
            format!(
                "a file is read by a list: `list NAME: address from \"{text}\"`, then `in NAME`; a value stands in brackets"
            )
        } else {
            format!("write `in {text}` for the list of that name, or the values in brackets")
        };
        c.report(Diagnostic::error("E0017", message, token.span).help(help));
        c.bump();
        return None;
    }
    c.expect_word("the name of a list, or values in `[…]`").map(Set::List)
}
