//! Checks of lists, sets, networks, tests and rules, each in one pass.

use super::policy::{Values, plain};
use super::view::{Cold, View, piece};
use super::{LoadError, corrupt};
use crate::fact::{Fact, Type};
use crate::format::{DIRECTORY_FROM, NONE, TextRef, index_key, tag};
use crate::index::filter::Filter;
use crate::index::keys::Broken;
use crate::index::networks::Tops;
use crate::index::probe::shape;
use crate::model::Kind;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use zerocopy::little_endian::U32;

/// The kinds of lists as numbers.
const MAILBOX: u32 = 0;
const NETWORK: u32 = 1;
const TEXT: u32 = 2;

impl From<Broken> for LoadError {
    fn from(broken: Broken) -> Self {
        corrupt(broken.0)
    }
}

/// Ends of pieces: ascending, the last one at the end of what they cut up.
fn check_ends(ends: &[U32], length: usize, what: &str) -> Result<(), LoadError> {
    let ascending = ends.is_sorted_by(|a, b| a.get() <= b.get());
    let whole = ends.last().map_or(0, |e| e.get() as usize) == length;
    if ascending && whole { Ok(()) } else { Err(corrupt(what)) }
}

/// What tells in one look that a value is in no list.
#[derive(Debug)]
pub(crate) struct Filters {
    pub(crate) mailboxes: Filter,
    pub(crate) texts: Filter,
    pub(crate) networks: Tops,
}

/// Sets, key indexes, networks, aliases. Returned is, for each set, which shapes of keys stand for it.
pub(super) fn lists(
    view: &View<'_>,
    cold: &Cold<'_>,
    values: &Values,
) -> Result<(Vec<u8>, Filters), LoadError> {
    if cold.lists.iter().any(|l| l.kind.get() > TEXT) {
        return Err(corrupt("the kind of a list"));
    }
    sets(view, cold)?;
    let total = cold.set_list_ends.len();
    let mut shapes = vec![0u8; total];
    let mut counts = vec![0u32; cold.lists.len()];
    let mut held = |set: u32, kind: u32| -> Result<(), Broken> {
        let lists = piece(cold.set_list_ends, cold.set_lists, set);
        if set == 0 || set as usize >= total {
            return Err(Broken("a key in no list"));
        }
        for list in lists {
            let list = list.get() as usize;
            if cold.lists.get(list).is_none_or(|l| l.kind.get() != kind) {
                return Err(Broken("a key in a list of another kind"));
            }
            if let Some(count) = counts.get_mut(list) {
                *count = count.saturating_add(1);
            }
        }
        Ok(())
    };
    let (mut mailboxes, mut texts) = (view.mailboxes.filter(), view.texts_index.filter());
    view.mailboxes.check(&mut mailboxes, |key, set| {
        held(set, MAILBOX)?;
        if let Some(of_set) = shapes.get_mut(set as usize) {
            *of_set |= shape::of(key);
        }
        Ok(())
    })?;
    view.texts_index.check(&mut texts, |_, set| held(set, TEXT))?;
    networks(view, cold)?;
    for network in cold.networks {
        if let Some(count) = counts.get_mut(network.list.get() as usize) {
            *count = count.saturating_add(1);
        }
    }
    if cold.lists.iter().zip(&counts).any(|(list, count)| list.count.get() != *count) {
        return Err(corrupt("the number of entries of a list"));
    }
    if !values.aliases.is_sorted_by(|a, b| a.key < b.key) || cold.aliases.len() != values.aliases.len() {
        return Err(corrupt("the order of aliases"));
    }
    cold.aliases.check(&mut Filter::default(), |key, place| {
        let found = values.aliases.get(place as usize).map(|a| index_key(&a.key));
        if found == Some(key) { Ok(()) } else { Err(Broken("an alias under another key")) }
    })?;
    let networks = Tops::new(view.networks.v4_starts, view.networks.v4_sets);
    Ok((shapes, Filters { mailboxes, texts, networks }))
}

fn sets(view: &View<'_>, cold: &Cold<'_>) -> Result<(), LoadError> {
    let total = cold.set_list_ends.len();
    if total == 0
        || view.set_test_ends.len() != total
        || cold.set_list_ends.first().is_some_and(|e| e.get() != 0)
    {
        return Err(corrupt("the number of sets"));
    }
    check_ends(cold.set_list_ends, cold.set_lists.len(), "the ends of sets of lists")?;
    check_ends(view.set_test_ends, view.set_tests.len(), "the ends of sets of tests")?;
    let mut tests_on = vec![0usize; cold.lists.len()];
    for predicate in view.predicates.iter().filter(|p| p.tag.get() == tag::IN_LIST) {
        *tests_on.get_mut(predicate.a.get() as usize).ok_or_else(|| corrupt("a test on no list"))? += 1;
    }
    for set in 0..u32::try_from(total).map_err(|_| corrupt("the number of sets"))? {
        let lists = piece(cold.set_list_ends, cold.set_lists, set);
        let tests = piece(view.set_test_ends, view.set_tests, set);
        if !lists.is_sorted_by(|a, b| a.get() < b.get()) || !tests.is_sorted_by(|a, b| a.get() < b.get()) {
            return Err(corrupt("the order of a set"));
        }
        let mut expected = 0;
        for list in lists {
            expected +=
                tests_on.get(list.get() as usize).ok_or_else(|| corrupt("a set with no such list"))?;
        }
        let belongs = |test: &U32| {
            view.predicates.get(test.get() as usize).is_some_and(|p| {
                p.tag.get() == tag::IN_LIST && lists.binary_search_by_key(&p.a.get(), |l| l.get()).is_ok()
            })
        };
        if tests.len() != expected || !tests.iter().all(belongs) {
            return Err(corrupt("the tests of a set"));
        }
    }
    Ok(())
}

fn networks(view: &View<'_>, cold: &Cold<'_>) -> Result<(), LoadError> {
    let n = &view.networks;
    let wrong = || corrupt("the networks");
    let ordered = n.v4_starts.is_sorted_by(|a, b| a.get() < b.get())
        && n.v6_starts.is_sorted_by(|a, b| a.get() < b.get())
        && n.v4_starts.first().is_none_or(|s| s.get() == 0)
        && n.v6_starts.first().is_none_or(|s| s.get() == 0)
        && n.v4_starts.len() == n.v4_sets.len()
        && n.v6_starts.len() == n.v6_sets.len();
    if !ordered {
        return Err(wrong());
    }
    let total = cold.set_list_ends.len();
    for set in n.v4_sets.iter().chain(n.v6_sets) {
        let of_networks =
            |list: &U32| cold.lists.get(list.get() as usize).is_some_and(|l| l.kind.get() == NETWORK);
        // Only the first list is looked at: a set mixes no kinds, since each key index saw to its own.
        let first = piece(cold.set_list_ends, cold.set_lists, set.get()).first();
        if set.get() as usize >= total || !first.is_none_or(of_networks) {
            return Err(wrong());
        }
    }
    if n.v4_starts.len() >= DIRECTORY_FROM {
        if n.directory.len() != 0x1_0001 {
            return Err(wrong());
        }
        let mut at = 0usize;
        for (top, entry) in n.directory.iter().enumerate() {
            while n.v4_starts.get(at).is_some_and(|s| (s.get() as usize) < top << 16) {
                at += 1;
            }
            if entry.get() as usize != at {
                return Err(wrong());
            }
        }
    } else if !n.directory.is_empty() {
        return Err(wrong());
    }
    let key = |r: &crate::format::NetworkRec| (r.list.get(), r.family, r.address.get(), r.prefix);
    if !cold.networks.is_sorted_by(|a, b| key(a) < key(b)) {
        return Err(wrong());
    }
    for record in cold.networks {
        let (bits, address) = (if record.family == 4 { 32 } else { 128 }, record.address.get());
        let host = match (record.family, u32::from(record.prefix)) {
            (4 | 6, prefix) if prefix <= bits => bits - prefix,
            _ => return Err(wrong()),
        };
        let loose = if host >= 128 { address != 0 } else { address & ((1 << host) - 1) != 0 };
        let list = cold.lists.get(record.list.get() as usize);
        if loose || (bits == 32 && address >> 32 != 0) || list.is_none_or(|l| l.kind.get() != NETWORK) {
            return Err(wrong());
        }
    }
    Ok(())
}

/// A text that is there.
fn text<'a>(view: &View<'a>, at: TextRef, what: &str) -> Result<&'a str, LoadError> {
    view.text(at).ok_or_else(|| corrupt(what))
}

/// Columns and the tests on them.
pub(super) fn predicates(view: &View<'_>, cold: &Cold<'_>) -> Result<(), LoadError> {
    let mut before: Option<(Fact, &str)> = None;
    let mut at = 0;
    for (column, place) in cold.columns.iter().zip(0u32..) {
        let wrong = || corrupt("a fact");
        let number = u8::try_from(column.fact.get()).map_err(|_| wrong())?;
        let fact = Fact::from_number(number).ok_or_else(wrong)?;
        let parameter = text(view, column.parameter, "the parameter of a fact")?;
        if fact.row().parameter == parameter.is_empty() || !plain(parameter, 1024) {
            return Err(corrupt("the parameter of a fact"));
        }
        if before.is_some_and(|b| b >= (fact, parameter)) || column.first.get() != at {
            return Err(corrupt("the order of facts"));
        }
        before = Some((fact, parameter));
        let end = column.end.get();
        let tests = view.predicates.get(at as usize..end as usize).ok_or_else(wrong)?;
        if tests.is_empty() || tests.iter().any(|t| t.column.get() != place) {
            return Err(wrong());
        }
        let number = |t: &crate::format::PredicateRec| {
            let ordered = matches!(t.tag.get(), tag::LESS | tag::AT_MOST | tag::EQUAL | tag::MORE);
            (t.tag.get(), if ordered { t.number() } else { 0 })
        };
        if !tests.is_sorted_by(|a, b| number(a) <= number(b)) {
            return Err(corrupt("the order of tests"));
        }
        for test in tests {
            self::test(view, cold, fact.row().ty, test)?;
        }
        at = end;
    }
    if at as usize != view.predicates.len() {
        return Err(corrupt("tests on no fact"));
    }
    let mut seen = vec![false; view.predicates.len()];
    for place in cold.order {
        match seen.get_mut(place.get() as usize) {
            Some(slot) if !*slot => *slot = true,
            _ => return Err(corrupt("the order of tests")),
        }
    }
    if cold.order.len() != view.predicates.len() {
        return Err(corrupt("the order of tests"));
    }
    Ok(())
}

fn test(
    view: &View<'_>,
    cold: &Cold<'_>,
    ty: Type,
    test: &crate::format::PredicateRec,
) -> Result<(), LoadError> {
    let fits = match test.tag.get() {
        tag::PRESENT => true,
        tag::SET => ty == Type::Flag,
        tag::IN_LIST => {
            let kind = cold.lists.get(test.a.get() as usize).map(|l| l.kind.get());
            match ty {
                Type::Address | Type::Domain => kind == Some(MAILBOX),
                Type::Network => kind == Some(NETWORK),
                Type::Text => kind == Some(TEXT),
                _ => false,
            }
        }
        tag::CONTAINS | tag::STARTS | tag::ENDS => ty == Type::Text,
        tag::GLOB | tag::REGEX => matches!(ty, Type::Text | Type::Address | Type::Domain),
        tag::LESS | tag::AT_MOST | tag::EQUAL | tag::MORE => {
            matches!(ty, Type::Count | Type::Size | Type::Time)
        }
        tag::ONE_OF => matches!(ty, Type::Enum(_)) && test.a.get() < 256,
        _ => false,
    };
    if !fits {
        return Err(corrupt("a test that does not fit its fact"));
    }
    if (tag::CONTAINS..=tag::REGEX).contains(&test.tag.get()) {
        let first = test.a.get() as usize;
        let literals = cold.literals.get(first..first.saturating_add(test.b.get() as usize));
        for literal in literals.ok_or_else(|| corrupt("a literal"))? {
            text(view, *literal, "a literal")?;
        }
    }
    Ok(())
}

/// Rules: order, names, conditions, actions. Returned is the range of each kind.
pub(super) fn rules(view: &View<'_>, cold: &Cold<'_>, values: &Values) -> Result<[Range<u32>; 6], LoadError> {
    if cold.origins.len() != view.rules.len() {
        return Err(corrupt("the number of origins"));
    }
    if cold.origins.iter().any(|o| o.file.get() != 0 && o.file.get() as usize >= values.files.len()) {
        return Err(corrupt("the file of a rule"));
    }
    let mut kinds: [Range<u32>; 6] = std::array::from_fn(|_| 0..0);
    let mut before: Option<(u8, u32, u8, &str)> = None;
    let mut names = HashSet::with_capacity(view.rules.len());
    for (rule, place) in view.rules.iter().zip(0u32..) {
        let name = text(view, rule.name, "the name of a rule")?;
        if !plain(name, 4096) || !names.insert(name) {
            return Err(corrupt("the name of a rule"));
        }
        let action = values.actions.get(rule.action.get() as usize).ok_or_else(|| corrupt("an action"))?;
        let (kind, verb) = match action {
            crate::model::Action::Verdict(verdict) => (Kind::Verdict, verdict.verb as u8),
            crate::model::Action::Limit(_) => (Kind::Limit, 0),
            crate::model::Action::Bcc(_) => (Kind::Bcc, 0),
            crate::model::Action::Quota(_) => (Kind::Quota, 0),
            crate::model::Action::Disclaimer(_) => (Kind::Disclaimer, 0),
            crate::model::Action::Route(_) => (Kind::Route, 0),
        };
        let rank = (rule.kind, rule.priority.get(), verb, name);
        if rule.kind != kind as u8 || rule.mode > 1 || rule.zero != [0; 2] {
            return Err(corrupt("a rule"));
        }
        if before.is_some_and(|b| b >= rank) {
            return Err(corrupt("the order of rules"));
        }
        if rule.condition.get() as usize >= view.nodes.len() {
            return Err(corrupt("the condition of a rule"));
        }
        before = Some(rank);
        if let Some(range) = kinds.get_mut(kind as usize) {
            if range.start == range.end {
                *range = place..place;
            }
            range.end = place + 1;
        }
    }
    // Empty kinds lie between their neighbours, so that the last end is the number of rules.
    let mut at = 0;
    for range in &mut kinds {
        if range.start == range.end {
            *range = at..at;
        }
        at = range.end;
    }
    Ok(kinds)
}

/// Lists by name.
pub(super) fn named_lists(view: &View<'_>, cold: &Cold<'_>) -> Result<HashMap<String, u32>, LoadError> {
    let mut names = HashMap::new();
    for (list, place) in cold.lists.iter().zip(0u32..) {
        if list.name.offset.get() == NONE {
            continue;
        }
        let name = text(view, list.name, "the name of a list")?;
        if !plain(name, 4096) || names.insert(name.to_owned(), place).is_some() {
            return Err(corrupt("the name of a list"));
        }
    }
    Ok(names)
}
