//! Values that stand where a test is meant: behind `or` and `and` without their fact, `spf is fail or softfail`, or alone,
//! `when outbound`. The fact that stands before them, or the only ones that know such a word, say what to write.

use super::Context;
use super::condition::condition;
use crate::ast::{Expr, FactTest, Needles, Op, Set};
use crate::diag::Diagnostic;
use crate::model::Cond;
use crate::parse::words::nearest;
use edict_table::fact::{Fact, REGISTRY, Row, Type};
use edict_table::value::{Domain, parse_network};

/// Resolves parts that `or` or `and` joins, so that each one's mistakes are told: values without a fact in one message.
pub(super) fn every(ctx: &mut Context<'_>, parts: &[Expr], joined: &str) -> Option<Vec<Cond>> {
    let mut all: Vec<Option<Cond>> = Vec::with_capacity(parts.len());
    let mut rest = parts;
    while let Some((part, behind)) = rest.split_first() {
        rest = behind;
        all.push(condition(ctx, part));
        let Some((owner, turned)) = owner(part) else { continue };
        let mut values: Vec<&FactTest> = behind.iter().map_while(|part| value(owner, part)).collect();
        rest = behind.get(values.len()..).unwrap_or_default();
        // `and` binds closer, so the last value may stand with tests of its own.
        if let Some((Expr::And(inner, _), after)) = rest.split_first()
            && let Some((first, others)) = inner.split_first()
            && let Some(last) = value(owner, first)
        {
            values.push(last);
            rest = after;
            all.extend(others.iter().map(|part| condition(ctx, part)));
        }
        if !values.is_empty() {
            told(ctx, owner, turned, &values, joined);
            all.push(None);
        }
    }
    all.into_iter().collect()
}

/// The test that values behind a part belong to, and whether a `not` stands before it.
fn owner(part: &Expr) -> Option<(&FactTest, bool)> {
    match part {
        Expr::Test(test) if !matches!(test.op, Op::Holds) => Some((test, false)),
        Expr::Not(inner, _) => owner(inner).map(|(test, turned)| (test, !turned)),
        Expr::And(parts, _) => parts.last().and_then(owner),
        _ => None,
    }
}

/// The row of a fact, and of a state the words that the same fact can be.
fn row(test: &FactTest) -> Option<&'static Row> {
    Fact::by_name(&test.fact.name.value).filter(|fact| *fact != Fact::Time).map(Fact::row)
}

fn states(name: &str) -> impl Iterator<Item = &'static str> {
    let states = REGISTRY.iter().filter_map(move |row| row.name.strip_prefix(name)?.strip_prefix(" is "));
    states.filter(|state| !state.starts_with("listed"))
}

/// A part that is a value of the fact before it, and no slip in the name of another fact.
fn value<'e>(owner: &FactTest, part: &'e Expr) -> Option<&'e FactTest> {
    let Expr::Test(test) = part else { return None };
    let name = test.fact.name.value.as_str();
    if !matches!(test.op, Op::Holds) || test.fact.parameter.is_some() || Fact::by_name(name).is_some() {
        return None;
    }
    if states(&owner.fact.name.value).any(|state| state == name) {
        return Some(test);
    }
    let far = || nearest(name, REGISTRY.iter().map(|row| row.name).filter(|n| !n.contains(' '))).is_none();
    let row = row(owner)?;
    let number = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
    let fits = match row.ty {
        Type::Enum(words) => words.contains(&name),
        Type::Address | Type::Domain | Type::Network => {
            name.contains('@') || parse_network(name).is_ok() || (name.contains('.') && far())
        }
        Type::Text => name.contains('@') || (owner.fact.parameter.is_none() && far() && !name.contains('.')),
        Type::Count => number,
        _ => false,
    };
    fits.then_some(test)
}

fn told(ctx: &mut Context<'_>, owner: &FactTest, turned: bool, values: &[&FactTest], joined: &str) {
    let (Some(first), Some(last)) = (values.first(), values.last()) else { return };
    let names: Vec<&str> = values.iter().map(|test| test.fact.name.value.as_str()).collect();
    let fact = ctx.sources.text(owner.fact.span);
    let fact = fact.as_str();
    let before = if turned { "not " } else { "" };
    let state = |word: &str| states(fact).any(|state| state == word);
    let help = match &owner.op {
        // Whether each or all of them are left out, only the writer knows.
        Op::Is(value) if state(&value.text) && (owner.negated || turned) => {
            let each = |joined: &str| {
                let all: Vec<String> = std::iter::once(value.text.as_str())
                    .chain(names.iter().copied())
                    .map(|word| format!("{fact} is not {word}"))
                    .collect();
                all.join(joined)
            };
            format!(
                "each test names its fact, and has its own `not`: write `({})` where none of them may hold, `({})` where one that does not is enough",
                each(" and "),
                each(" or ")
            )
        }
        Op::Is(value) if state(&value.text) => {
            let all: Vec<String> = std::iter::once(value.text.as_str())
                .chain(names.iter().copied())
                .map(|word| format!("{fact} is {word}"))
                .collect();
            format!("each test names its fact: write `{}`", all.join(&format!(" {joined} ")))
        }
        Op::Is(value) => {
            let not = if owner.negated { "not " } else { "" };
            let many = row(owner).is_some_and(|row| row.many) && joined == "and" && !owner.negated;
            let value = ctx.sources.text(value.span);
            let set = format!("{before}{fact} {not}in [{value}, {}]", names.join(", "));
            if many {
                let all: Vec<String> = names.iter().map(|name| format!(" and {fact} is {name}")).collect();
                format!(
                    "each test names its fact: write `{fact} is {value}{}`, or `{set}` where one of them is enough",
                    all.concat()
                )
            } else if joined == "and" && !owner.negated {
                format!("`{fact}` is one of them at a time: where either will do write `{set}`")
            } else {
                format!("several values stand in a list: write `{set}`")
            }
        }
        Op::In(Set::Inline(_)) => {
            format!("put it into the brackets before it: `[..., {}]`", names.join(", "))
        }
        Op::Contains(Needles::One(value)) => format!(
            "several texts stand in a list: write `{before}{fact} contains any of [{}, \"{}\"]`",
            ctx.sources.text(value.span),
            names.join("\", \"")
        ),
        Op::In(_) => {
            let own = if owner.negated || turned { ", and has its own `not`" } else { "" };
            let is = if owner.negated || turned { "is not" } else { "is" };
            let all: Vec<String> = names.iter().map(|name| format!("`{fact} {is} {name}`")).collect();
            format!("each test names its fact{own}, as in {}", all.join(" and "))
        }
        _ => format!(
            "each test names its fact, as in `{fact} is ...`; several texts stand in a list, as in `{fact} contains any of [...]`"
        ),
    };
    let (first, last) = (first.span, last.span);
    let what = match names.as_slice() {
        [one] => format!("`{one}` is a value, not a test"),
        _ => format!("`{}` are values, not tests", names.join("`, `")),
    };
    ctx.report(
        Diagnostic::error("E1106", what, first.to(last))
            .label("nothing says what is to be compared with it")
            .also(owner.span, "the test before it")
            .help(help),
    );
}

/// Tells a value that stands alone where a test is meant. False where it is none.
pub(super) fn alone(ctx: &mut Context<'_>, test: &FactTest) -> bool {
    let name = test.fact.name.value.as_str();
    if !matches!(test.op, Op::Holds) || test.fact.parameter.is_some() {
        return false;
    }
    let phrase = format!(" is {name}");
    let asked: Vec<&str> = REGISTRY
        .iter()
        .filter_map(|row| match row.ty {
            Type::Enum(words) => (words.contains(&name) && !name.is_empty()).then_some(row.name),
            _ => row.name.strip_suffix(phrase.as_str()),
        })
        .collect();
    let domain = name.contains('.') && Domain::parse(name).is_ok();
    let far = || nearest(name, REGISTRY.iter().map(|row| row.name).filter(|n| !n.contains(' '))).is_none();
    let help = if !asked.is_empty() {
        let all: Vec<String> = asked.iter().map(|fact| format!("`{fact} is {name}`")).collect();
        format!("write {}", all.join(" or "))
    } else if name.contains('@') {
        format!(
            "each test names its fact, as in `sender is {name}`; several values stand in a list, as in `sender in [..., {name}]`"
        )
    } else if parse_network(name).is_ok() {
        format!(
            "each test names its fact, as in `client.ip is {name}`; several values stand in a list, as in `client.ip in [..., {name}]`"
        )
    } else if domain && far() && !renamed(name) {
        format!(
            "each test names its fact, as in `sender.domain is {name}`; several values stand in a list, as in `sender.domain in [..., {name}]`"
        )
    } else {
        return false;
    };
    ctx.report(
        Diagnostic::error("E1106", format!("`{name}` is a value, not a test"), test.fact.name.span)
            .label("nothing says what is to be compared with it")
            .help(help),
    );
    true
}

/// Whether a name with a dot looks like a fact of this or another language: its parts are words of facts.
fn renamed(name: &str) -> bool {
    const PARTS: &[&str] = &[
        "mail",
        "envelope",
        "rcpt",
        "remote",
        "peer",
        "header",
        "headers",
        "message",
        "msg",
        "smtp",
        "from",
        "to",
        "cc",
        "client",
        "sender",
        "recipient",
        "auth",
        "attachment",
        "dkim",
        "spf",
        "dmarc",
        "tls",
        "helo",
        "ip",
    ];
    name.split('.').next().is_some_and(|first| PARTS.contains(&first))
}
