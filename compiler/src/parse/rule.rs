//! Rules of every kind: head, common clauses, and the clauses of each kind.

use super::block::block;
use super::condition::{condition, missing_connective};
use super::cursor::{Cursor, short};
use super::list::some_entries;
use super::reply::reply;
use super::value::{count, count_up_to, moment, value};
use super::words::clauses;
use crate::ast::{
    Action, Active, Class, Item, LimitBound, LimitOf, Mode, QuotaBound, QuotaOf, Rule, Spanned, Window,
};
use crate::diag::Diagnostic;
use crate::lex::{TokenKind, leaf};
use crate::span::Span;
use edict_table::model::{LimitPer, OnSigned, QuotaPer, Replies, Verb};

/// Reads a rule behind its keyword, which was taken.
pub(super) fn rule(c: &mut Cursor<'_>, item: &'static str, keyword: Span) -> Option<Item> {
    let name = c.expect_text("the rule's name in quotes");
    let mut rule = Rule {
        keyword,
        name: name.clone().unwrap_or(crate::ast::Text { value: String::new(), block: false, span: keyword }),
        when: Vec::new(),
        unless: Vec::new(),
        priority: None,
        mode: None,
        active: None,
        note: None,
        action: action(item)?,
        broken: false,
        span: keyword,
    };
    let seen = block(c, item, |c, clause| read(c, item, &mut rule, clause));
    rule.span = c.since(keyword);
    rule.broken = c.broken_since(keyword);
    if !rule.broken {
        complete(c, item, &rule, seen.block);
    }
    name.map(|_| Item::Rule(rule))
}

fn action(item: &str) -> Option<Action> {
    let verdict = |verb| Action::Verdict { verb, reply: None };
    Some(match item {
        "allow" => verdict(Verb::Allow),
        "reject" => verdict(Verb::Reject),
        "defer" => verdict(Verb::Defer),
        "hold" => verdict(Verb::Hold),
        "discard" => verdict(Verb::Discard),
        "limit" => Action::Limit { per: None, bounds: Vec::new(), reply: None },
        "bcc" => Action::Bcc { to: None, modified: None, record: None },
        "quota" => Action::Quota { per: None, bounds: Vec::new(), warn: None, reply: None },
        "disclaimer" => Action::Disclaimer {
            text: None,
            html: None,
            above_quote: None,
            replies: None,
            signed: None,
            proceed: None,
        },
        "route" => Action::Route { via: None, local: None },
        _ => return None,
    })
}

/// Reports the clause without which a rule of this kind does nothing.
fn complete(c: &mut Cursor<'_>, item: &'static str, rule: &Rule, block: bool) {
    let lacks = match &rule.action {
        Action::Limit { bounds, .. } if bounds.is_empty() => "at most 60 messages per minute",
        Action::Bcc { to: None, .. } => "to [archive@example.com]",
        Action::Quota { bounds, .. } if bounds.is_empty() => "at most 500 messages per day",
        Action::Disclaimer { text: None, html: None, .. } => "text \"disclaimers/legal.txt\"",
        Action::Route { via: None, .. } => "via mx",
        _ => return,
    };
    if block {
        let clause = lacks.split(' ').next().unwrap_or_default();
        let clause = if clause == "at" { "at most" } else { clause };
        let diagnostic = Diagnostic::error("E0030", format!("this `{item}` has no `{clause}`"), rule.keyword)
            .help(format!("write `{lacks}` in its block"));
        c.report(diagnostic);
    }
}

fn read(c: &mut Cursor<'_>, item: &str, rule: &mut Rule, clause: &'static str) -> Option<()> {
    match clause {
        // What ends in something that does not belong there was not read as it was meant.
        "when" => {
            let read = condition_clause(c, item)?;
            if !c.junk(item) {
                rule.when.push(read);
            }
        }
        "unless" => {
            let read = condition_clause(c, item)?;
            if !c.junk(item) {
                rule.unless.push(read);
            }
        }
        "priority" => rule.priority = Some(count_up_to(c, "a number", u64::from(u32::MAX))?),
        "mode" => {
            let modes = [("enforce", Mode::Enforce), ("audit", Mode::Audit), ("off", Mode::Off)];
            rule.mode = Some(c.choice("mode", &modes)?);
        }
        "active" => rule.active = Some(active(c)?),
        "note" => rule.note = Some(c.expect_text("a text")?),
        _ => return own(c, &mut rule.action, clause),
    }
    Some(())
}

fn condition_clause(c: &mut Cursor<'_>, item: &str) -> Option<crate::ast::Expr> {
    let expr = condition(c)?;
    // What follows decides whether the condition ended here: two facts in a row never do.
    let clause = c.word().is_none_or(|w| clauses(item).contains(&w));
    if !clause && missing_connective(c) {
        return None;
    }
    if let Some(token) = c.peek().filter(|t| t.kind == TokenKind::CloseParen && !c.closes_block()) {
        let diagnostic = Diagnostic::error("E0019", "no `(` is open here", token.span)
            .help("remove it, or write `(` where the group of tests begins");
        c.report(diagnostic.fix("remove it", token.span, ""));
        c.bump();
        return None;
    }
    Some(expr)
}

fn active(c: &mut Cursor<'_>) -> Option<Active> {
    let start = c.last_span();
    let from = if c.eat_word("from").is_some() { Some(moment(c)?) } else { None };
    let date = |t: super::cursor::Tok<'_>| t.kind == TokenKind::Word && leaf::date(t.text).is_some();
    let other = c.peek().filter(|t| matches!(t.text, "to" | "till" | "through" | "and" | "-" | "bis"));
    if let Some(token) = other.filter(|_| from.is_some() && c.nth(1).is_some_and(date)) {
        let diagnostic =
            Diagnostic::error("E0017", format!("expected `until`, found `{}`", token.text), token.span)
                .label("before the last day")
                .help("write `active from 2026-12-01 until 2027-01-15`; the last day is in force too")
                .fix("write `until`", token.span, "until");
        c.report(diagnostic);
        return None;
    }
    let until = if c.eat_word("until").is_some() { Some(moment(c)?) } else { None };
    if from.is_none() && until.is_none() {
        c.expected("`from` or `until` and a date");
        return None;
    }
    Some(Active { from, until, span: c.since(start) })
}

fn own(c: &mut Cursor<'_>, action: &mut Action, clause: &'static str) -> Option<()> {
    match (action, clause) {
        (Action::Verdict { reply: slot, .. }, "reply")
        | (Action::Limit { reply: slot, .. }, "reply")
        | (Action::Quota { reply: slot, .. }, "reply") => *slot = Some(reply(c)?),
        (Action::Limit { per, .. }, "per") => {
            other_kind(c, "limit", &["user", "sender", "sender.domain"], "per ")?;
            *per = Some(
                c.choice("key of a limit", &[("client.ip", LimitPer::ClientIp), ("rule", LimitPer::Rule)])?,
            );
        }
        (Action::Limit { bounds, .. }, "at") => bounds.push(limit_bound(c)?),
        (Action::Quota { per, .. }, "per") => {
            other_kind(c, "quota", &["client.ip"], "per ")?;
            let keys = [
                ("user", QuotaPer::User),
                ("sender", QuotaPer::Sender),
                ("sender.domain", QuotaPer::SenderDomain),
                ("rule", QuotaPer::Rule),
            ];
            *per = Some(c.choice("key of a quota", &keys)?);
        }
        (Action::Quota { bounds, .. }, "at") => bounds.push(quota_bound(c)?),
        (Action::Quota { warn, .. }, "warn") => *warn = Some(per_cent(c)?),
        (Action::Bcc { to, .. }, "to") => *to = Some(some_entries(c, "an address")?),
        (Action::Bcc { modified, .. }, "copy") => {
            *modified = Some(c.choice("kind of copy", &[("original", false), ("modified", true)])?);
        }
        (Action::Bcc { record, .. }, "record") => *record = Some(c.expect_keyword("envelope")?),
        (Action::Disclaimer { text, .. }, "text") => *text = Some(c.expect_text("a file's name in quotes")?),
        (Action::Disclaimer { html, .. }, "html") => *html = Some(c.expect_text("a file's name in quotes")?),
        (Action::Disclaimer { above_quote, .. }, "place") => {
            *above_quote = Some(c.choice("place", &[("end", false), ("above-quote", true)])?);
        }
        (Action::Disclaimer { replies, .. }, "replies") => {
            let words = [("once", Replies::Once), ("always", Replies::Always), ("never", Replies::Never)];
            *replies = Some(c.choice("way with replies", &words)?);
        }
        (Action::Disclaimer { signed, .. }, "signed") => {
            let words = [("skip", OnSigned::Skip), ("wrap", OnSigned::Wrap), ("reject", OnSigned::Reject)];
            *signed = Some(c.choice("way with signed mail", &words)?);
        }
        (Action::Disclaimer { proceed, .. }, "continue") => *proceed = Some(c.last_span()),
        (Action::Route { via, .. }, "via") => *via = Some(c.expect_word("a relay's name, `mx` or `local`")?),
        (Action::Route { local, .. }, "local") => {
            *local = Some(c.choice("answer", &[("yes", true), ("no", false)])?)
        }
        _ => return None,
    }
    Some(())
}

/// Reports a word that a `limit` has and a `quota` has not, or the other way round: the rule is of the other kind.
fn other_kind(c: &mut Cursor<'_>, kind: &'static str, words: &[&str], before: &str) -> Option<()> {
    let Some(token) = c.peek().filter(|t| words.contains(&t.text)) else { return Some(()) };
    let (other, is) = if kind == "limit" {
        (
            "quota",
            "a `limit` slows down a client, by `connections` or `messages` in seconds, minutes or hours; a `quota` counts what a user sends in a day",
        )
    } else {
        (
            "limit",
            "a `quota` counts what a user sends in a day, in `messages`, `recipients` or `MiB`; a `limit` slows down a client",
        )
    };
    let diagnostic = Diagnostic::error(
        "E0022",
        format!("`{before}{}` belongs to a `{other}`, not to a `{kind}`", token.text),
        token.span,
    )
    .label(format!("no `{kind}` counts so"))
    .help(format!("{is}: write `{other}` before the rule's name, or correct this line"));
    c.wrong_kind(diagnostic);
    None
}

/// `most 30 connections per minute`, behind `at`.
fn limit_bound(c: &mut Cursor<'_>) -> Option<LimitBound> {
    let start = c.last_span();
    c.expect_keyword("most")?;
    let count = count(c, "a number")?;
    if c.at_word("per") || c.at_word("at") {
        c.expected("`connections` or `messages`");
        return None;
    }
    other_kind(c, "limit", &["recipients", "recipient", "B", "KB", "KiB", "MB", "MiB", "GB", "GiB"], "")?;
    let of = c.choice(
        "thing that a limit counts",
        &[
            ("connections", LimitOf::Connections),
            ("connection", LimitOf::Connections),
            ("messages", LimitOf::Messages),
            ("message", LimitOf::Messages),
        ],
    )?;
    let begin = c.peek().map(|t| t.span);
    let window = if c.eat_word("at").is_some() {
        c.expect_keyword("once")?;
        Window::Once
    } else if c.at_word("per") && !per_clause(c) {
        c.bump();
        Window::Seconds(window(c)?)
    } else {
        c.expected("`at once` or `per minute`");
        return None;
    };
    let window = Spanned::new(window, c.since(begin.unwrap_or(start)));
    Some(LimitBound { count, of, window, span: c.since(start) })
}

/// Whether the clause `per KEY` starts here in place of a bound's own `per`.
fn per_clause(c: &Cursor<'_>) -> bool {
    let key = |word: &str| ["client.ip", "user", "sender", "sender.domain", "rule"].contains(&word);
    c.nth(1).is_some_and(|t| t.kind == TokenKind::Word && key(t.text))
}

/// A unit of time, or a number of them.
fn window(c: &mut Cursor<'_>) -> Option<u64> {
    let units = [("second", 1), ("minute", 60), ("hour", 3600), ("day", 86400)];
    let digits = c.word().is_some_and(|w| w.starts_with(|d: char| d.is_ascii_digit()));
    if !digits {
        return c.choice("time", &units).map(|unit| unit.value);
    }
    let time = value(c, "a time")?;
    if let Class::Duration(seconds) = time.class {
        return Some(seconds);
    }
    let diagnostic = Diagnostic::error("E0026", format!("`{}` is no time", short(&time.text)), time.span)
        .help("write `minute`, or a number and `s`, `min`, `h` or `d`, as in `10 min`");
    c.report(diagnostic);
    None
}

/// `most 500 messages per day`, behind `at`.
fn quota_bound(c: &mut Cursor<'_>) -> Option<QuotaBound> {
    let start = c.last_span();
    c.expect_keyword("most")?;
    if c.nth(1).is_some_and(|t| t.text.starts_with("connection")) {
        c.bump();
        other_kind(c, "quota", &["connections", "connection"], "")?;
    }
    let (count, of) = quantity(c)?;
    if !c.at_word("per") || per_clause(c) {
        c.expected("`per day`");
        return None;
    }
    c.bump();
    let rolling = c.eat_word("rolling").is_some();
    if let Some(token) = c.peek().filter(|t| ["second", "minute", "hour"].contains(&t.text)) {
        let message = format!("a `quota` counts by the day, not by the {}", token.text);
        let diagnostic = Diagnostic::error("E0022", message, token.span)
            .label("no `quota` counts so")
            .help(format!(
                "write `per day`; by the {} only a `limit` counts, and that counts what a client sends: `limit` before the rule's name, and `per client.ip` in it",
                token.text
            ));
        c.wrong_kind(diagnostic);
        return None;
    }
    c.choice("window of a quota", &[("day", ())])?;
    Some(QuotaBound { count, of, rolling, span: c.since(start) })
}

/// `500 messages`, `20 recipients`, `200 MiB`.
pub(super) fn quantity(c: &mut Cursor<'_>) -> Option<(Spanned<u64>, Spanned<QuotaOf>)> {
    let amount = value(c, "a number")?;
    match amount.class {
        Class::Size(bytes) => {
            Some((Spanned::new(bytes, amount.span), Spanned::new(QuotaOf::Bytes, amount.span)))
        }
        Class::Number(_) if c.at_word("per") || c.next_clause() || c.at_word("expect") => {
            c.expected("`messages` or `recipients`");
            None
        }
        Class::Number(number) => {
            let of = c.choice(
                "thing that a quota counts",
                &[
                    ("messages", QuotaOf::Messages),
                    ("message", QuotaOf::Messages),
                    ("recipients", QuotaOf::Recipients),
                    ("recipient", QuotaOf::Recipients),
                ],
            )?;
            Some((Spanned::new(number, amount.span), of))
        }
        _ => {
            let diagnostic = Diagnostic::error(
                "E0026",
                format!("`{}` is no number of messages or bytes", short(&amount.text)),
                amount.span,
            )
            .help("write `500 messages`, `100 recipients` or `200 MiB`");
            c.report(diagnostic);
            None
        }
    }
}

/// `at 80 %`, behind `warn`.
fn per_cent(c: &mut Cursor<'_>) -> Option<Spanned<u8>> {
    c.expect_keyword("at")?;
    let Some(token) = c.peek().filter(|t| t.kind == TokenKind::Word && !c.next_clause()) else {
        c.expected("a share such as `80 %`");
        return None;
    };
    c.bump();
    let digits = token.text.strip_suffix('%').unwrap_or(token.text);
    let signed = digits.len() != token.text.len() || c.eat_word("%").is_some();
    let number = match leaf::amount(digits, None) {
        Ok(leaf::Amount::Number(n)) => u8::try_from(n).ok().filter(|n| (1..=100).contains(n)),
        _ => None,
    };
    let span = c.since(token.span);
    let Some(number) = number.filter(|_| signed) else {
        let diagnostic = Diagnostic::error("E0026", format!("`{}` is no share", short(token.text)), span);
        c.report(diagnostic.help("write a number from 1 to 100 and `%`, as in `warn at 80 %`"));
        return None;
    };
    Some(Spanned::new(number, span))
}
