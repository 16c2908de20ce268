//! Predicates of a table in the words of the language.

use super::theory::Claim;
use edict_table::fact::{Fact, Type};
use edict_table::model::{Condition, ConditionId, ListId, ListKind, Predicate, Table, Test};

/// How many entries of a list without a name are shown.
const SHOWN: usize = 4;

/// A part of a contradiction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// As a rule would write it.
    pub text: String,
    /// What a `not` or an `unless` takes out, where it is that.
    pub excluded: Option<String>,
}

/// Claims of a contradiction.
#[must_use]
pub fn told_claims(table: &Table, claims: &[Claim]) -> Vec<Told> {
    let of = |(at, holds): &Claim| {
        let predicate = table.predicates.get(*at as usize)?;
        let excluded = !holds && !has_opposite(predicate);
        Some(Told {
            text: claim(table, predicate, *holds),
            excluded: excluded.then(|| claim(table, predicate, true)),
        })
    };
    claims.iter().filter_map(of).collect()
}

/// Conditions of a contradiction.
#[must_use]
pub fn told_conditions(table: &Table, parts: &[(ConditionId, bool)]) -> Vec<Told> {
    let of = |(at, holds): &(ConditionId, bool)| {
        let opposite = match table.conditions.get(*at as usize) {
            Some(Condition::Test(test)) => table.predicates.get(*test as usize).is_some_and(has_opposite),
            _ => false,
        };
        let excluded = !holds && !opposite;
        Told { text: condition(table, *at, *holds), excluded: excluded.then(|| condition(table, *at, true)) }
    };
    parts.iter().map(of).collect()
}

/// Whether the opposite of a test is written without `not`: `is absent`, `>` for `<=`.
fn has_opposite(predicate: &Predicate) -> bool {
    matches!(predicate.test, Test::Present | Test::Less(_) | Test::AtMost(_))
}

/// How deep a condition is told; what lies below is left out.
const DEEP: usize = 3;

/// A condition as a rule would write it, or its opposite.
#[must_use]
pub fn condition(table: &Table, at: ConditionId, holds: bool) -> String {
    told(table, at, holds, 0)
}

fn told(table: &Table, at: ConditionId, holds: bool, depth: usize) -> String {
    let (parts, word) = match table.conditions.get(at as usize) {
        None | Some(Condition::True) => return if holds { "always" } else { "never" }.to_owned(),
        Some(Condition::Test(predicate)) => {
            let predicate = table.predicates.get(*predicate as usize);
            return predicate.map(|predicate| claim(table, predicate, holds)).unwrap_or_default();
        }
        Some(Condition::Not(inner)) => return told(table, *inner, !holds, depth),
        Some(Condition::All(parts)) => (parts, if holds { "and" } else { "or" }),
        Some(Condition::Any(parts)) => (parts, if holds { "or" } else { "and" }),
    };
    if depth >= DEEP {
        return "...".to_owned();
    }
    let mut all: Vec<String> =
        parts.iter().take(SHOWN).map(|part| told(table, *part, holds, depth + 1)).collect();
    if parts.len() > SHOWN {
        all.push("...".to_owned());
    }
    let joined = all.join(&format!(" {word} "));
    if depth > 0 { format!("({joined})") } else { joined }
}

/// One predicate as a rule would write it.
#[must_use]
pub fn claim(table: &Table, predicate: &Predicate, holds: bool) -> String {
    let row = predicate.fact.row();
    let fact = match predicate.fact {
        Fact::Header => format!("header(\"{}\")", predicate.parameter),
        Fact::ClientListed => format!("client.ip is listed in \"{}\"", predicate.parameter),
        _ => row.name.to_owned(),
    };
    let not = if holds { "" } else { "not " };
    let quoted = |all: &[String]| -> String {
        match all {
            [one] => format!("\"{one}\""),
            [first, ..] => format!("any of [\"{first}\", ...]"),
            [] => String::new(),
        }
    };
    match &predicate.test {
        Test::Set => format!("{not}{fact}"),
        Test::Present if holds => format!("{fact} is present"),
        Test::Present => format!("{fact} is absent"),
        Test::InList(list) => membership(table, &fact, *list, holds, row.ty == Type::Domain),
        Test::Contains(all) => format!("{not}{fact} contains {}", quoted(all)),
        Test::StartsWith(all) => format!("{not}{fact} starts with {}", quoted(all)),
        Test::EndsWith(all) => format!("{not}{fact} ends with {}", quoted(all)),
        Test::Glob(glob) => format!("{not}{fact} matches \"{glob}\""),
        Test::Regex(regex) => format!("{not}{fact} matches /{regex}/"),
        Test::Less(n) => format!("{fact} {} {}", if holds { "<" } else { ">=" }, number(row.ty, *n)),
        Test::AtMost(n) => format!("{fact} {} {}", if holds { "<=" } else { ">" }, number(row.ty, *n)),
        Test::More(n) => format!("{not}{fact} > {}", number(row.ty, *n)),
        Test::Equal(n) => format!("{fact} is {not}{}", number(row.ty, *n)),
        Test::OneOf(bits) => {
            let words = if let Type::Enum(words) = row.ty { words } else { &[] };
            let set: Vec<&str> =
                words.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0).map(|(_, w)| *w).collect();
            match set.as_slice() {
                [one] => format!("{fact} is {not}{one}"),
                _ => format!("{fact} {not}in [{}]", set.join(", ")),
            }
        }
    }
}

fn membership(table: &Table, fact: &str, list: ListId, holds: bool, domain: bool) -> String {
    let Some(list) = table.lists.get(list as usize) else { return fact.to_owned() };
    // Keys of domains begin with an `@` that nobody writes there.
    let shown = |key: &str| match list.kind {
        ListKind::Mailbox if domain => key.trim_start_matches('@').to_owned(),
        ListKind::Network => crate::data::shown_network(key).to_owned(),
        _ => key.to_owned(),
    };
    let not = if holds { "" } else { "not " };
    match (&list.name, list.entries.get(0), list.entries.len()) {
        (Some(name), ..) => format!("{fact} {not}in {name}"),
        (None, Some(one), 1) => format!("{fact} is {not}{}", shown(one)),
        (None, Some(_), count) => {
            let first: Vec<String> = list.entries.iter().take(SHOWN).map(shown).collect();
            let more = if count > SHOWN { ", ..." } else { "" };
            format!("{fact} {not}in [{}{more}]", first.join(", "))
        }
        (None, None, _) => format!("{fact} {not}in []"),
    }
}

/// A number as rules write it: sizes with the largest binary unit that is exact.
pub(super) fn number(ty: Type, value: u64) -> String {
    if ty == Type::Time {
        return jiff::Timestamp::from_second(i64::try_from(value).unwrap_or(0))
            .map(|t| t.to_string())
            .unwrap_or_default();
    }
    if ty == Type::Size { bytes(value) } else { value.to_string() }
}

/// A size as rules write it, exactly.
#[must_use]
pub fn bytes(value: u64) -> String {
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if value != 0 && value.is_multiple_of(1 << shift) {
            return format!("{} {unit}", value >> shift);
        }
    }
    format!("{value} B")
}

/// The named lists without an entry that a condition asks.
#[must_use]
pub fn empty_lists(table: &Table, at: ConditionId) -> Vec<String> {
    let mut out = Vec::new();
    let mut waiting = vec![at];
    while let Some(at) = waiting.pop() {
        match table.conditions.get(at as usize) {
            Some(Condition::Test(predicate)) => {
                if let Some(Predicate { test: Test::InList(list), .. }) =
                    table.predicates.get(*predicate as usize)
                    && let Some(list) = table.lists.get(*list as usize)
                    && list.entries.is_empty()
                    && let Some(name) = &list.name
                {
                    out.push(name.clone());
                }
            }
            Some(Condition::Not(inner)) => waiting.push(*inner),
            Some(Condition::All(parts) | Condition::Any(parts)) => waiting.extend(parts),
            Some(Condition::True) | None => {}
        }
    }
    out.sort();
    out.dedup();
    out
}

/// Whether a condition asks for a direction by the name `forwarded`.
#[must_use]
pub fn names_forwarded(table: &Table, at: ConditionId) -> bool {
    match table.conditions.get(at as usize) {
        None | Some(Condition::True) => false,
        Some(Condition::Test(predicate)) => table.predicates.get(*predicate as usize).is_some_and(|p| {
            p.fact == Fact::Direction && matches!(p.test, Test::OneOf(bits) if bits & super::FORWARDED != 0)
        }),
        Some(Condition::Not(inner)) => names_forwarded(table, *inner),
        Some(Condition::All(parts) | Condition::Any(parts)) => {
            parts.iter().any(|part| names_forwarded(table, *part))
        }
    }
}
