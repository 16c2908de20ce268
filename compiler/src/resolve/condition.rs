//! Conditions: each test gets its fact, its type and its operand in normal form.
//!
//! `is absent` is the opposite of present, `>` on a single number the opposite of at most, so that the
//! table has few kinds of test.

use super::fact::fact;
use super::names::Sort;
use super::value::{Bare, is_nothing, nothing};
use super::{Context, pattern};
use crate::ast::{self, Class, Comparison, Entry, Expr, FactTest, Needles, Value, Word};
use crate::data::repeats;
use crate::diag::Diagnostic;
use crate::model::{Cond, ListType, Op, Set, Test};
use crate::parse::words::{SETTINGS, nearest};
use crate::span::Span;
use edict_table::fact::{Fact, REGISTRY, Row, Type};
use edict_table::model::ListKind;
use edict_table::value::Pattern;
use std::collections::BTreeSet;

/// Resolves a condition. None where something in it is wrong, which is told.
pub fn condition(ctx: &mut Context<'_>, expr: &Expr) -> Option<Cond> {
    match expr {
        Expr::And(parts, _) => Some(Cond::all(every(ctx, parts)?)),
        Expr::Or(parts, _) => Some(Cond::any(every(ctx, parts)?)),
        Expr::Not(inner, _) => condition(ctx, inner).map(Cond::negate),
        Expr::Test(test) => resolve(ctx, test),
    }
}

/// Resolves all of them, so that each one's mistakes are told.
pub fn every(ctx: &mut Context<'_>, parts: &[Expr]) -> Option<Vec<Cond>> {
    let all: Vec<Option<Cond>> = parts.iter().map(|part| condition(ctx, part)).collect();
    all.into_iter().collect()
}

fn resolve(ctx: &mut Context<'_>, test: &FactTest) -> Option<Cond> {
    let (row, parameter) = fact(ctx, test)?;
    let make = |op: Op| {
        Cond::Test(Box::new(Test { fact: row.fact, parameter: parameter.clone(), op, span: test.span }))
    };
    let cond = match &test.op {
        // A state, `helo is malformed`, is a flag of its own.
        _ if row.ty == Type::Flag => flag(ctx, test, row).then(|| make(Op::Set))?,
        ast::Op::Holds => {
            ctx.report(
                Diagnostic::error("E1122", format!("`{}` alone is no test", test.fact.name.value), test.span)
                    .label(format!("this is {}, not a yes or no", type_name(row.ty)))
                    .help(example(row)),
            );
            return None;
        }
        ast::Op::Present | ast::Op::Absent => {
            if !row.optional {
                let name = &test.fact.name.value;
                let present = matches!(test.op, ast::Op::Present) != test.negated;
                let (label, help) = if present {
                    let instead = example(row);
                    (
                        "always true",
                        format!(
                            "every message has one: {instead}, or take the test out where others are joined with `and`, else the rule"
                        ),
                    )
                } else {
                    (
                        "never true",
                        "every message has one, so this never holds: in an `or` take this part out, else take the rule out; only facts that can be missing are asked so".to_owned(),
                    )
                };
                ctx.report(
                    Diagnostic::error("E1123", format!("`{name}` is always there"), test.span)
                        .label(label)
                        .help(help),
                );
                return None;
            }
            match test.op {
                ast::Op::Absent => make(Op::Present).negate(),
                _ => make(Op::Present),
            }
        }
        ast::Op::ListedIn(_) => return None,
        ast::Op::Is(value) => make(is(ctx, row, value)?),
        ast::Op::In(set) => make(within(ctx, row, set, test)?),
        ast::Op::Contains(needles) => make(search(ctx, row, needles, test, "contains")?),
        ast::Op::StartsWith(needles) => make(search(ctx, row, needles, test, "starts with")?),
        ast::Op::EndsWith(needles) => make(search(ctx, row, needles, test, "ends with")?),
        ast::Op::Glob(text) => make(pattern::glob(ctx, row, text, test)?),
        ast::Op::Regex(word) => make(pattern::regex(ctx, row, word, test)?),
        ast::Op::Compare(order, value) => {
            let number = match row.ty {
                Type::Count => ctx.count(value)?,
                Type::Size => ctx.size(value)?,
                _ => return unfit(ctx, row, test, order.value.name()),
            };
            match order.value {
                Comparison::Less => make(Op::Less(number)),
                Comparison::AtMost => make(Op::AtMost(number)),
                // Of several values any may pass, which is not the opposite of none passing.
                Comparison::More if row.many || row.optional => make(Op::More(number)),
                Comparison::AtLeast if row.many || row.optional => match number.checked_sub(1) {
                    Some(below) => make(Op::More(below)),
                    None => make(Op::Present),
                },
                Comparison::More => make(Op::AtMost(number)).negate(),
                Comparison::AtLeast => make(Op::Less(number)).negate(),
            }
        }
    };
    cond.visit(&mut |test, _| ctx.tests.push(test.clone()));
    Some(if test.negated { cond.negate() } else { cond })
}

/// What a type is called in messages.
fn type_name(ty: Type) -> &'static str {
    match ty {
        Type::Flag => "a yes or no",
        Type::Network => "an IP address",
        Type::Domain => "a domain",
        Type::Address => "an address",
        Type::Text => "a text",
        Type::Count => "a number",
        Type::Size => "a number of bytes",
        Type::Enum(_) => "one of a few words",
        Type::Time => "a time",
    }
}

/// A result of a check that rules never see: it makes a test unknown.
const TEMPORARY: &str = "temperror";

/// The words of an enum in a row.
fn listed(words: &[&str]) -> String {
    words.iter().copied().filter(|word| !word.is_empty() && *word != TEMPORARY).collect::<Vec<_>>().join(", ")
}

/// A test that a fact takes, for help lines.
fn example(row: &Row) -> String {
    let name = if row.fact == Fact::Header { "header(\"X-Spam-Flag\")" } else { row.name };
    match row.ty {
        Type::Flag => format!("write `{name}` or `not {name}`"),
        Type::Network => format!("write `{name} is 192.0.2.7`, `{name} is 192.0.2.0/24` or `{name} in LIST`"),
        Type::Domain => {
            format!("write `{name} is example.com`, `{name} in LIST` or `{name} matches \"*.example.com\"`")
        }
        Type::Address => {
            format!("write `{name} is ann@example.com`, `{name} is @example.com` or `{name} in LIST`")
        }
        Type::Text => {
            format!("write `{name} is \"...\"`, `{name} contains \"...\"` or `{name} matches \"*...*\"`")
        }
        Type::Count => format!("write `{name} > 10` or `{name} is 1`"),
        Type::Size => format!("write `{name} > 10 MiB` or `{name} <= 50 KiB`"),
        Type::Enum(words) => {
            format!("write `{name} is {}` or `{name} in [{}]`", words.first().unwrap_or(&""), listed(words))
        }
        Type::Time => "write `active from 2026-12-01 until 2027-01-15`".to_owned(),
    }
}

/// Whether a test on a flag is written as one.
fn flag(ctx: &mut Context<'_>, test: &FactTest, row: &Row) -> bool {
    let phrase = row.name.contains(" is ");
    match &test.op {
        ast::Op::Holds if !phrase => true,
        ast::Op::Is(_) | ast::Op::ListedIn(_) if phrase => true,
        _ => {
            let name = row.name;
            ctx.report(
                Diagnostic::error(
                    "E1122",
                    format!("`{name}` is a yes or no, with nothing to compare"),
                    test.span,
                )
                .label("it holds or it does not")
                .help(format!("write `{name}` or `not {name}`")),
            );
            false
        }
    }
}

pub(super) fn unfit<T>(ctx: &mut Context<'_>, row: &Row, test: &FactTest, operator: &str) -> Option<T> {
    let name = &test.fact.name.value;
    ctx.report(
        Diagnostic::error("E1118", format!("`{operator}` cannot be asked of `{name}`"), test.span)
            .label(format!("`{name}` is {}", type_name(row.ty)))
            .help(example(row)),
    );
    None
}

fn values(kind: ListKind, value: String) -> Op {
    Op::In(Set::Values(kind, vec![value]))
}

/// Texts that may stand without quotes, since they are names.
fn bare_text(fact: Fact) -> bool {
    matches!(fact, Fact::AuthUser | Fact::SenderLocal | Fact::RecipientLocal)
}

fn is(ctx: &mut Context<'_>, row: &Row, value: &Value) -> Option<Op> {
    Some(match row.ty {
        Type::Address | Type::Domain | Type::Network | Type::Text => {
            values(kind_of(row.ty), one_value(ctx, row, value, false)?)
        }
        Type::Count => Op::Equal(ctx.count(value)?),
        Type::Size => Op::Equal(ctx.size(value)?),
        Type::Enum(words) => Op::OneOf(1 << word(ctx, row, words, value)?),
        Type::Flag | Type::Time => return None,
    })
}

fn kind_of(ty: Type) -> ListKind {
    match ty {
        Type::Network => ListKind::Network,
        Type::Text => ListKind::Text,
        _ => ListKind::Mailbox,
    }
}

/// One value as the entry of a list of the fact's type.
fn one_value(ctx: &mut Context<'_>, row: &Row, value: &Value, in_set: bool) -> Option<String> {
    match row.ty {
        Type::Address => {
            if state_of_another(ctx, row, value) {
                return None;
            }
            let bare = if in_set { Bare::Taken } else { Bare::Test(row.name) };
            let pattern = ctx.pattern(value, bare)?;
            through_alias(ctx, row, &pattern, value.span);
            Some(pattern.key())
        }
        Type::Domain => {
            if state_of_another(ctx, row, value) || names_something(ctx, row, value) {
                return None;
            }
            if value.class == Class::Text && value.text.is_empty() {
                let diagnostic = Diagnostic::error("E1111", "an empty text is no domain", value.span)
                    .label("a domain is expected here");
                ctx.report(nothing(diagnostic, row.name, value.span));
                return None;
            }
            let pattern = ctx.domain(value, true)?;
            through_alias(ctx, row, &pattern, value.span);
            Some(pattern.key())
        }
        Type::Network => ctx.network(value).map(|n| n.to_string()),
        Type::Text => {
            let local = matches!(row.fact, Fact::SenderLocal | Fact::RecipientLocal);
            if local && value.text.contains('@') {
                let whole = row.name.trim_end_matches(".local");
                let name = row.name;
                ctx.report(
                    Diagnostic::error(
                        "E1114",
                        format!(
                            "`{}` is an address, and `{name}` only what stands before the `@`",
                            value.text
                        ),
                        value.span,
                    )
                    .label("can never be equal")
                    .help(format!("write `{whole} is {}`", value.text)),
                );
                return None;
            }
            if bare_text(row.fact) && (names_something(ctx, row, value) || near_state(ctx, row, value)) {
                return None;
            }
            ctx.text(value, bare_text(row.fact))
        }
        _ => None,
    }
}

/// Tells a word that is a state of other facts: as a domain or an address it would never be met.
fn state_of_another(ctx: &mut Context<'_>, row: &Row, value: &Value) -> bool {
    let phrase = format!(" is {}", value.text);
    let facts: Vec<String> = REGISTRY
        .iter()
        .filter(|other| other.name.ends_with(&phrase))
        .filter_map(|other| other.name.strip_suffix(&phrase))
        .map(|other| format!("`{other}`"))
        .collect();
    if value.class != Class::Word || facts.is_empty() {
        return false;
    }
    let domain = format!("`{}.domain`", row.name);
    let help = if facts.contains(&domain) {
        format!("write `{}.domain is {}`", row.name, value.text)
    } else if row.fact == Fact::Recipient && value.text == "unknown" {
        "take this test out: mail for recipients that are not known is refused by itself, unless the profile says `recipients any`; `recipients known in LIST` there names them".to_owned()
    } else {
        format!("only {} can be `{}`: ask that, or take this test out", facts.join(" and "), value.text)
    };
    ctx.report(
        Diagnostic::error("E1117", format!("`{}` cannot be `{}`", row.name, value.text), value.span)
            .label(format!("`{}` is not asked of `{}`", value.text, row.name))
            .help(help),
    );
    true
}

/// Whether a bare word is the name of a fact or a setting: values are written down, not taken from elsewhere.
fn names_something(ctx: &mut Context<'_>, row: &Row, value: &Value) -> bool {
    let text = value.text.as_str();
    let what = if REGISTRY.iter().any(|other| other.name == text) {
        "a fact"
    } else if SETTINGS.contains(&text) {
        "a setting of the profile"
    } else {
        return false;
    };
    // Words without a dot are no domains; `subject` and `body` may well be logins.
    if value.class != Class::Word || (what == "a fact" && !text.contains('.')) {
        return false;
    }
    ctx.report(
        Diagnostic::error("E1128", format!("`{text}` is {what}, not a value"), value.span)
            .label(format!("`{}` is compared with what is written here, letter by letter", row.name))
            .help(if what == "a fact" {
                "a rule cannot compare two facts: write the value itself, or `in` and the name of a list".to_owned()
            } else {
                format!("write the values themselves, or give them a name: `list NAME: {} = [...]`, then `in NAME`", type_word(row.ty))
            }),
    );
    true
}

/// A mistyped `present` or `absent`, or another language's word for it.
fn near_state(ctx: &mut Context<'_>, row: &Row, value: &Value) -> bool {
    let text = value.text.as_str();
    if value.class != Class::Word {
        return false;
    }
    let meant = if is_nothing(text) {
        Some("absent")
    } else {
        nearest(text, ["present", "absent"]).filter(|_| text.len() > 4)
    };
    let Some(meant) = meant else { return false };
    let name = row.name;
    ctx.report(
        Diagnostic::error("E1117", format!("`{name}` cannot be `{text}`"), value.span)
            .label("no such state")
            .help(format!(
                "write `{name} is {meant}`, or, where the word itself is meant, `{name} is \"{text}\"`"
            )),
    );
    true
}

fn type_word(ty: Type) -> &'static str {
    match ty {
        Type::Domain => "domain",
        _ => "text",
    }
}

/// A recipient at a domain alias is seen at the domain it stands for: such a test never holds.
fn through_alias(ctx: &mut Context<'_>, row: &Row, pattern: &Pattern, span: Span) {
    if !matches!(row.fact, Fact::Recipient | Fact::RecipientDomain) {
        return;
    }
    let domain = match pattern {
        Pattern::Exact(address) => address.domain(),
        Pattern::Domain(domain) => domain.as_str(),
        Pattern::Subdomains(_) | Pattern::Local(_) => return,
    };
    let target = ctx.model.profile.domain_aliases.iter().find(|(from, _)| from == domain);
    if let Some((from, to)) = target {
        let text = format!("no recipient is at `{from}`, which is an alias of `{to}`");
        let diagnostic = Diagnostic::warning("W0102", text, span)
            .label("domain aliases are replaced before rules are asked")
            .help(match pattern {
                Pattern::Exact(address) => format!("write `{}@{to}`", address.local()),
                _ if row.ty == Type::Address => format!("write `@{to}`"),
                _ => format!("write `{to}`"),
            });
        ctx.report(diagnostic);
    }
}

/// The place of an enum's word.
fn word(ctx: &mut Context<'_>, row: &Row, words: &[&str], value: &Value) -> Option<u8> {
    let place = words.iter().position(|w| *w == value.text && value.class == Class::Word);
    if value.text == TEMPORARY && place.is_some() {
        ctx.report(
            Diagnostic::error(
                "E1117",
                format!("`{}` is never `{TEMPORARY}` in a rule", row.name),
                value.span,
            )
            .label("where a lookup fails for now, the test is neither yes nor no")
            .help("take it out: a verdict that hangs on such a check is put off with 451 4.4.3 by itself"),
        );
        return None;
    }
    if let Some(place) = place.and_then(|p| u8::try_from(p).ok()) {
        return Some(place);
    }
    let name = row.name;
    let mut diagnostic =
        Diagnostic::error("E1117", format!("`{name}` cannot be `{}`", value.text), value.span)
            .label("no such word");
    let other = [
        ("outgoing", "outbound"),
        ("incoming", "inbound"),
        ("local", "internal"),
        ("out", "outbound"),
        ("in", "inbound"),
    ];
    let other = other.iter().find(|(from, _)| *from == value.text).map(|(_, to)| *to);
    let other = other.filter(|to| words.contains(to));
    diagnostic = match other.or_else(|| nearest(&value.text, words.iter().copied().filter(|w| !w.is_empty())))
    {
        Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")).fix(
            format!("write `{meant}`"),
            value.span,
            meant,
        ),
        None => diagnostic.help(format!("write one of {}", listed(words))),
    };
    ctx.report(diagnostic);
    None
}

fn within(ctx: &mut Context<'_>, row: &Row, set: &ast::Set, test: &FactTest) -> Option<Op> {
    if let Type::Enum(words) = row.ty {
        let ast::Set::Inline(entries) = set else { return unfit(ctx, row, test, "in LIST") };
        let mut bits = 0;
        let mut sound = true;
        for entry in &entries.entries {
            match entry {
                Entry::Value(value) => match word(ctx, row, words, value) {
                    Some(place) => bits |= 1 << place,
                    None => sound = false,
                },
                Entry::Group(name) => {
                    sound = false;
                    no_group(ctx, row, name);
                }
            }
        }
        return sound.then_some(Op::OneOf(bits)).filter(|_| not_empty(ctx, entries));
    }
    if !matches!(row.ty, Type::Address | Type::Domain | Type::Network | Type::Text) {
        return unfit(ctx, row, test, "in");
    }
    match set {
        ast::Set::List(name) => named_list(ctx, row, name, test),
        ast::Set::Group(name) => {
            let place = ctx.find(Sort::Group, name)?;
            if row.ty != Type::Address && row.fact != Fact::AuthUser {
                no_group(ctx, row, name);
                return None;
            }
            ctx.model.groups.get_mut(place)?.used = true;
            Some(Op::In(Set::Group(place, kind_of(row.ty))))
        }
        ast::Set::Inline(entries) => {
            let mut out: Vec<(String, Span)> = Vec::new();
            let mut sound = true;
            for entry in &entries.entries {
                match entry {
                    Entry::Value(value) => match one_value(ctx, row, value, true) {
                        Some(entry) => out.push((entry, value.span)),
                        None => sound = false,
                    },
                    Entry::Group(name) => match ctx.find(Sort::Group, name) {
                        Some(place) if row.ty == Type::Address || row.fact == Fact::AuthUser => {
                            if let Some(group) = ctx.model.groups.get_mut(place) {
                                group.used = true;
                                let members = group.members.iter();
                                out.extend(members.map(|m| (m.address.as_str().to_owned(), name.span)));
                            }
                        }
                        Some(_) => {
                            no_group(ctx, row, name);
                            sound = false;
                        }
                        None => sound = false,
                    },
                }
            }
            if !sound || !not_empty(ctx, entries) {
                return None;
            }
            let domains = row.ty == Type::Domain;
            let shown = |entry: &str| if domains { entry.trim_start_matches('@') } else { entry }.to_owned();
            ctx.extend(repeats(&mut out, row.ty == Type::Text, shown));
            Some(Op::In(Set::Values(kind_of(row.ty), out.into_iter().map(|(entry, _)| entry).collect())))
        }
    }
}

fn not_empty(ctx: &mut Context<'_>, entries: &ast::Entries) -> bool {
    if entries.entries.is_empty() {
        ctx.report(
            Diagnostic::error("E1126", "nothing is in an empty list", entries.span)
                .label("this test never holds")
                .help("write the values; else take this part out where it stands in an `or`, and the rule where it does not"),
        );
    }
    !entries.entries.is_empty()
}

fn no_group(ctx: &mut Context<'_>, row: &Row, name: &Word) {
    let fact = row.name;
    let help = match row.fact {
        Fact::SenderDomain | Fact::SenderLocal => {
            format!("ask the whole address: `sender in group {}`", name.value)
        }
        Fact::RecipientDomain | Fact::RecipientLocal => {
            format!("ask the whole address: `recipient in group {}`", name.value)
        }
        _ => "ask `sender`, `recipient`, `from`, `to`, `cc` or `auth.user`".to_owned(),
    };
    ctx.report(
        Diagnostic::error("E1124", format!("`{fact}` cannot be in group `{}`", name.value), name.span)
            .label("a group holds addresses")
            .help(help),
    );
}

/// Whether entries of a list of this type can be compared with values of a fact of that type.
fn suits(fact: Type, list: ListType) -> bool {
    matches!(
        (fact, list),
        (Type::Address, ListType::Address | ListType::Domain)
            | (Type::Domain, ListType::Domain)
            | (Type::Network, ListType::Network)
            | (Type::Text, ListType::Text)
    )
}

fn named_list(ctx: &mut Context<'_>, row: &Row, name: &Word, test: &FactTest) -> Option<Op> {
    let ty = match row.ty {
        Type::Domain => ListType::Domain,
        Type::Network => ListType::Network,
        Type::Text => ListType::Text,
        _ => ListType::Address,
    };
    let place = ctx.find_list(name, ty, true)?;
    let list = ctx.model.lists.get_mut(place)?;
    list.used = true;
    if suits(row.ty, list.ty) {
        return Some(Op::In(Set::List(place)));
    }
    let (ty, span) = (list.ty, list.span);
    let fact = row.name;
    let whole = fact.trim_end_matches(".domain");
    let help = match (row.fact, ty) {
        (Fact::SenderDomain | Fact::RecipientDomain, ListType::Address) => {
            format!("write `{whole} in {}`: addresses are compared whole", name.value)
        }
        (_, ListType::Text) if row.ty == Type::Address => {
            format!(
                "ask a text, as `subject contains any of {0}`; or write addresses into the list: `list {0}: address = [ann@example.com]`",
                name.value
            )
        }
        (_, ListType::Network) => format!("write `client.ip in {}`", name.value),
        (_, ListType::Address) if row.fact == Fact::AuthUser => {
            format!("define a list of texts, or a group and write `auth.user in group {}`", name.value)
        }
        (_, ListType::Address) => format!("write `sender in {0}` or `recipient in {0}`", name.value),
        (_, ListType::Domain) => {
            format!("write `sender.domain in {}` or `sender in {}`", name.value, name.value)
        }
        (_, ListType::Text) => format!("write `subject contains any of {}`, or ask another text", name.value),
    };
    let mut diagnostic = Diagnostic::error(
        "E1119",
        format!("`{}` is a list of {}, but `{fact}` is {}", name.value, ty.plural(), type_name(row.ty)),
        test.span,
    )
    .label(format!("{} is never equal to {}", type_name(row.ty), ty.one()));
    if span != Span::default() {
        diagnostic = diagnostic.also(span, "the list is defined here");
    }
    ctx.report(diagnostic.help(help));
    None
}

fn search(
    ctx: &mut Context<'_>,
    row: &Row,
    needles: &Needles,
    test: &FactTest,
    operator: &'static str,
) -> Option<Op> {
    if row.ty != Type::Text {
        if matches!(row.ty, Type::Address | Type::Domain) {
            let name = &test.fact.name.value;
            ctx.report(
                Diagnostic::error("E1118", format!("`{operator}` cannot be asked of `{name}`"), test.span)
                    .label(format!("`{name}` is {}", type_name(row.ty)))
                    .help({
                        let part =
                            if let Needles::One(value) = needles { value.text.as_str() } else { "..." };
                        let glob = match operator {
                            "starts with" => format!("{part}*"),
                            "ends with" => format!("*{part}"),
                            _ => format!("*{part}*"),
                        };
                        let whole = if row.ty == Type::Address { "@example.com" } else { "example.com" };
                        format!("write `{name} matches \"{glob}\"`, or `{name} is {whole}`")
                    }),
            );
            return None;
        }
        return unfit(ctx, row, test, operator);
    }
    let one = |literals: Vec<String>| match operator {
        "contains" => Op::Contains(literals),
        "starts with" => Op::StartsWith(literals),
        _ => Op::EndsWith(literals),
    };
    match needles {
        Needles::One(value) => {
            let literal = needle(ctx, row, value)?;
            Some(one(vec![literal]))
        }
        Needles::Inline(entries) => {
            let mut out = BTreeSet::new();
            let mut sound = true;
            for entry in &entries.entries {
                match entry {
                    Entry::Value(value) => match needle(ctx, row, value) {
                        Some(literal) => drop(out.insert(literal)),
                        None => sound = false,
                    },
                    Entry::Group(name) => {
                        no_group(ctx, row, name);
                        sound = false;
                    }
                }
            }
            (sound && not_empty(ctx, entries)).then(|| one(out.into_iter().collect()))
        }
        Needles::List(name) => {
            let place = ctx.find_list(name, ListType::Text, false)?;
            let list = ctx.model.lists.get_mut(place)?;
            list.used = true;
            if list.ty != ListType::Text {
                let (ty, span) = (list.ty.plural(), list.span);
                ctx.report(
                    Diagnostic::error(
                        "E1119",
                        format!("`{}` is a list of {ty}, not of texts", name.value),
                        name.span,
                    )
                    .label("texts are searched for here")
                    .also(span, "the list is defined here")
                    .help("name a list of texts: `list NAME: text = [\"...\"]`"),
                );
                return None;
            }
            if list.entries.iter().any(|e| e.trim().is_empty()) {
                empty_needle(ctx, name.span);
                return None;
            }
            Some(match operator {
                "contains" => Op::ContainsList(place),
                "starts with" => Op::StartsWithList(place),
                _ => Op::EndsWithList(place),
            })
        }
    }
}

fn needle(ctx: &mut Context<'_>, row: &Row, value: &Value) -> Option<String> {
    let literal = ctx.text(value, bare_text(row.fact))?;
    if literal.trim().is_empty() {
        empty_needle(ctx, value.span);
        return None;
    }
    Some(literal)
}

fn empty_needle(ctx: &mut Context<'_>, span: Span) {
    ctx.report(
        Diagnostic::error("E1125", "a search for nothing always holds", span)
            .label("empty, or white space only")
            .help("write what to look for; to ask whether there is a value write `is present`"),
    );
}
