//! Sets that facts are compared with: `in` lists, groups and brackets, and texts that are searched for.

use super::Context;
use super::condition::unfit;
use super::named::Place;
use super::names::Sort;
use super::operand::{bare_text, kind_of, one_value, word};
use super::wording::type_name;
use crate::ast::{self, Entry, FactTest, Needles, Value, Word};
use crate::data::{repeats, shown_network};
use crate::diag::Diagnostic;
use crate::model::{ListType, Op, Set};
use crate::span::Span;
use edict_table::fact::{Fact, Row, Type};
use std::collections::BTreeSet;

pub fn within(ctx: &mut Context<'_>, row: &Row, set: &ast::Set, test: &FactTest) -> Option<Op> {
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
        let operator = if matches!(set, ast::Set::Group(_)) { "in group" } else { "in LIST" };
        return unfit(ctx, row, test, operator);
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
                    Entry::Value(value) => match one_value(ctx, row, value, Place::Among(row, test)) {
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
            let shown = |entry: &str| match row.ty {
                Type::Domain => entry.trim_start_matches('@').to_owned(),
                Type::Network => shown_network(entry).to_owned(),
                _ => entry.to_owned(),
            };
            ctx.extend(repeats(&mut out, row.ty == Type::Text, shown));
            Some(Op::In(Set::Values(kind_of(row.ty), out.into_iter().map(|(entry, _)| entry).collect())))
        }
    }
}

/// The numbers of `in [a, b]`, each once.
pub fn numbers(ctx: &mut Context<'_>, row: &Row, entries: &ast::Entries) -> Option<BTreeSet<u64>> {
    let mut out = BTreeSet::new();
    let mut sound = true;
    for entry in &entries.entries {
        let number = match entry {
            Entry::Value(value) if row.ty == Type::Size => ctx.size(value),
            Entry::Value(value) => ctx.count(value),
            Entry::Group(name) => {
                no_group(ctx, row, name);
                None
            }
        };
        sound &= number.is_some();
        out.extend(number);
    }
    sound.then_some(out).filter(|_| not_empty(ctx, entries))
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

/// What to ask in place of a fact that no group can hold.
pub fn whole_address(row: &Row, name: &str, not: &str) -> String {
    match row.fact {
        Fact::SenderDomain | Fact::SenderLocal => {
            format!("ask the whole address: `sender {not}in group {name}`")
        }
        Fact::RecipientDomain | Fact::RecipientLocal => {
            format!("ask the whole address: `recipient {not}in group {name}`")
        }
        _ => {
            format!(
                "a group is asked of `sender`, `recipient`, `from`, `to`, `cc` or `auth.user`, as in `sender {not}in group {name}`"
            )
        }
    }
}

fn no_group(ctx: &mut Context<'_>, row: &Row, name: &Word) {
    let fact = row.name;
    let help = whole_address(row, &name.value, "");
    ctx.report(
        Diagnostic::error("E1124", format!("`{fact}` cannot be in group `{}`", name.value), name.span)
            .label("a group holds addresses")
            .help(help),
    );
}

/// Whether entries of a list of this type can be compared with values of a fact of that type.
pub fn suits(fact: Type, list: ListType) -> bool {
    matches!(
        (fact, list),
        (Type::Address, ListType::Address | ListType::Domain)
            | (Type::Domain, ListType::Domain)
            | (Type::Network, ListType::Network)
            | (Type::Text, ListType::Text)
    )
}

/// The type of a list that a fact of a type is asked of.
fn wanted(ty: Type) -> ListType {
    match ty {
        Type::Domain => ListType::Domain,
        Type::Network => ListType::Network,
        Type::Text => ListType::Text,
        _ => ListType::Address,
    }
}

/// What to ask of a list in place of a fact whose values it cannot hold. Another party than the one that was asked for is
/// named as such: what a client is says its network, what a stranger writes as sender does not.
pub fn elsewhere(row: &Row, ty: ListType, name: &str, not: &str) -> String {
    let whole = row.name.trim_end_matches(".domain").trim_end_matches(".local");
    let local = matches!(row.fact, Fact::SenderLocal | Fact::RecipientLocal);
    let sent = local || matches!(row.fact, Fact::SenderDomain | Fact::RecipientDomain);
    let client = matches!(row.fact, Fact::ClientName | Fact::Helo);
    let needs = format!("`{}` needs a list of {}", row.name, wanted(row.ty).plural());
    match ty {
        ListType::Address if sent => format!("write `{whole} {not}in {name}`: addresses are compared whole"),
        ListType::Address if row.fact == Fact::AuthUser => {
            format!(
                "{needs}, or a group, as in `auth.user {not}in group NAME`; where the sender is meant write `sender {not}in {name}`"
            )
        }
        ListType::Address => format!(
            "{needs}; where the sender is meant write `sender {not}in {name}`, where the recipient, `recipient {not}in {name}`"
        ),
        ListType::Domain if local => format!("write `{whole}.domain {not}in {name}`"),
        ListType::Domain if row.fact == Fact::ClientIp => {
            format!("write `client.name {not}in {name}` for the client's host name")
        }
        ListType::Domain => format!(
            "{needs}; where the sender's domain is meant write `sender.domain {not}in {name}`, where the recipient's, `recipient.domain {not}in {name}`"
        ),
        ListType::Network if client => format!("write `client.ip {not}in {name}`"),
        ListType::Network => format!("{needs}; where the client is meant write `client.ip {not}in {name}`"),
        ListType::Text => format!(
            "{needs}: `list {name}: {} = [...]`; texts are searched for, as in `{not}subject contains any of {name}`",
            wanted(row.ty).name()
        ),
    }
}

fn named_list(ctx: &mut Context<'_>, row: &Row, name: &Word, test: &FactTest) -> Option<Op> {
    let place = ctx.find_list(name, wanted(row.ty), true)?;
    let list = ctx.model.lists.get_mut(place)?;
    list.used = true;
    if suits(row.ty, list.ty) {
        return Some(Op::In(Set::List(place)));
    }
    let (ty, span) = (list.ty, list.span);
    let fact = row.name;
    let help = elsewhere(row, ty, &name.value, if test.negated { "not " } else { "" });
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

pub fn search(
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
            // A part of a login is no name that could stand bare.
            let literal = needle(ctx, value, Place::Search(row, test, operator), false)?;
            Some(one(vec![literal]))
        }
        Needles::Inline(entries) => {
            let mut out = BTreeSet::new();
            let mut sound = true;
            for entry in &entries.entries {
                match entry {
                    Entry::Value(value) => {
                        match needle(ctx, value, Place::Search(row, test, operator), bare_text(row.fact)) {
                            Some(literal) => drop(out.insert(literal)),
                            None => sound = false,
                        }
                    }
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

fn needle(ctx: &mut Context<'_>, value: &Value, place: Place<'_>, words: bool) -> Option<String> {
    if ctx.names_set(value, place) {
        return None;
    }
    let literal = ctx.text(value, words)?;
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
