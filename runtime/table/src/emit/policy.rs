//! Fills the sections from a table.

use super::covers::{self, Shapes};
use super::keys::{self, Hashed};
use super::networks;
use super::sets::Sets;
use super::{EmitError, Sections, count};
use crate::format::{
    ColumnRec, ListRec, NONE, NodeRec, OriginRec, PredicateRec, RuleRec, Section, TextRef, index_key, op, tag,
};
use crate::model::{Condition, ListKind, Mode, Table, Test};
use serde::Serialize;
use std::collections::HashMap;

/// Texts in one allocation.
#[derive(Default)]
struct Texts(String);

impl Texts {
    fn add(&mut self, text: &str) -> Result<TextRef, EmitError> {
        let offset = count(self.0.len(), "bytes of texts")?;
        self.0.push_str(text);
        count(self.0.len(), "bytes of texts")?;
        Ok(TextRef { offset: offset.into(), length: count(text.len(), "bytes of texts")?.into() })
    }
}

/// Fills every section.
pub(super) fn write(table: &Table, out: &mut Sections) -> Result<(), EmitError> {
    put_value(out, Section::Profile, &table.profile, "the profile")?;
    put_value(out, Section::Relays, &table.relays, "the relays")?;
    put_value(out, Section::Groups, &table.groups, "the groups")?;
    put_value(out, Section::Aliases, &table.aliases, "the aliases")?;
    let mut texts = Texts::default();
    write_lists_heads(table, &mut texts, out)?;
    let order = write_predicates(table, &mut texts, out)?;
    let shapes = Shapes::new(table, &order)?;
    write_nodes(table, &order, &shapes, out)?;
    write_rules(table, &mut texts, out)?;
    write_lists(table, &order, out)?;
    covers::write(table, &order, &shapes, out)?;
    out.put(Section::Strings, texts.0.into_bytes());
    write_provenance(table, out)
}

fn put_value<T: Serialize>(
    out: &mut Sections,
    section: Section,
    value: &T,
    what: &'static str,
) -> Result<(), EmitError> {
    out.put(section, postcard::to_allocvec(value).map_err(|_| EmitError::Value(what))?);
    Ok(())
}

fn write_lists_heads(table: &Table, texts: &mut Texts, out: &mut Sections) -> Result<(), EmitError> {
    count(table.lists.len(), "lists")?;
    let mut records = Vec::with_capacity(table.lists.len());
    for list in &table.lists {
        let name = match &list.name {
            Some(name) => texts.add(name)?,
            None => TextRef { offset: NONE.into(), length: 0.into() },
        };
        let kind = list.kind as u32;
        records.push(ListRec {
            name,
            kind: kind.into(),
            count: count(list.entries.len(), "entries")?.into(),
        });
    }
    out.put_records(Section::Lists, &records);
    Ok(())
}

/// The order of predicates in the artifact: by fact, parameter and test, so that those on one fact are a
/// range, and numbers in it sorted.
pub(super) struct Order {
    /// For each place of the table, the place in the artifact.
    pub(super) place: Vec<u32>,
    /// For each place in the artifact, its column.
    pub(super) column: Vec<u32>,
}

fn write_predicates(table: &Table, texts: &mut Texts, out: &mut Sections) -> Result<Order, EmitError> {
    let total = count(table.predicates.len(), "tests")?;
    let mut written: Vec<u32> = (0..total).collect();
    let all = &table.predicates;
    written.sort_by(|a, b| all.get(*a as usize).cmp(&all.get(*b as usize)));
    let mut order = Order { place: vec![0; all.len()], column: Vec::with_capacity(all.len()) };
    let mut columns: Vec<ColumnRec> = Vec::new();
    let mut records = Vec::with_capacity(all.len());
    let mut literals = Vec::new();
    let mut before: Option<(crate::fact::Fact, &str)> = None;
    for (place, old) in written.iter().enumerate() {
        let Some(predicate) = all.get(*old as usize) else { continue };
        let here = count(place, "tests")?;
        if let Some(slot) = order.place.get_mut(*old as usize) {
            *slot = here;
        }
        let key = (predicate.fact, predicate.parameter.as_str());
        if before != Some(key) {
            before = Some(key);
            columns.push(ColumnRec {
                fact: (predicate.fact as u32).into(),
                parameter: texts.add(&predicate.parameter)?,
                first: here.into(),
                end: here.into(),
            });
        }
        if let Some(column) = columns.last_mut() {
            column.end = (here + 1).into();
        }
        let column = count(columns.len() - 1, "facts")?;
        order.column.push(column);
        let (tag, a, b) = encode(&predicate.test, table, texts, &mut literals)?;
        records.push(PredicateRec { column: column.into(), tag: tag.into(), a: a.into(), b: b.into() });
    }
    out.put_records(Section::Columns, &columns);
    out.put_records(Section::Predicates, &records);
    out.put_records(Section::Literals, &literals);
    out.put_numbers(Section::PredicateOrder, &order.place);
    Ok(order)
}

fn encode(
    test: &Test,
    table: &Table,
    texts: &mut Texts,
    literals: &mut Vec<TextRef>,
) -> Result<(u32, u32, u32), EmitError> {
    let halves = |n: u64| ((n & 0xffff_ffff) as u32, (n >> 32) as u32);
    let mut range = |all: &[String]| -> Result<(u32, u32), EmitError> {
        let first = count(literals.len(), "literals")?;
        for literal in all {
            literals.push(texts.add(literal)?);
        }
        Ok((first, count(all.len(), "literals")?))
    };
    let (tag, (a, b)) = match test {
        Test::Present => (tag::PRESENT, (0, 0)),
        Test::Set => (tag::SET, (0, 0)),
        Test::InList(list) => {
            if *list as usize >= table.lists.len() {
                return Err(EmitError::Dangling("a list"));
            }
            (tag::IN_LIST, (*list, 0))
        }
        Test::Contains(all) => (tag::CONTAINS, range(all)?),
        Test::StartsWith(all) => (tag::STARTS, range(all)?),
        Test::EndsWith(all) => (tag::ENDS, range(all)?),
        Test::Glob(one) => (tag::GLOB, range(std::slice::from_ref(one))?),
        Test::Regex(one) => (tag::REGEX, range(std::slice::from_ref(one))?),
        Test::Less(n) => (tag::LESS, halves(*n)),
        Test::AtMost(n) => (tag::AT_MOST, halves(*n)),
        Test::Equal(n) => (tag::EQUAL, halves(*n)),
        Test::OneOf(mask) => (tag::ONE_OF, (u32::from(*mask), 0)),
        Test::More(n) => (tag::MORE, halves(*n)),
    };
    Ok((tag, a, b))
}

fn write_nodes(table: &Table, order: &Order, shapes: &Shapes, out: &mut Sections) -> Result<(), EmitError> {
    let mut records = Vec::with_capacity(table.conditions.len());
    let mut written: Vec<u32> = Vec::new();
    let mut cheapest: Vec<u32> = Vec::new();
    for condition in &table.conditions {
        let (op, a, b) = match condition {
            Condition::True => (op::TRUE, 0, 0),
            Condition::Test(predicate) => {
                let place = order.place.get(*predicate as usize).ok_or(EmitError::Dangling("a test"))?;
                (op::TEST, *place, 0)
            }
            Condition::Not(child) => (op::NOT, *child, 0),
            Condition::All(children) | Condition::Any(children) => {
                let first = count(written.len(), "conditions")?;
                written.extend_from_slice(children);
                let mut sorted = children.clone();
                sorted.sort_by_key(|child| shapes.cost(*child));
                cheapest.append(&mut sorted);
                let op = if matches!(condition, Condition::All(_)) { op::ALL } else { op::ANY };
                (op, first, count(children.len(), "conditions")?)
            }
        };
        records.push(NodeRec { op: op.into(), a: a.into(), b: b.into() });
    }
    count(records.len() * 2, "conditions")?;
    out.put_records(Section::Nodes, &records);
    out.put_numbers(Section::ChildOrder, &written);
    out.put_numbers(Section::Children, &cheapest);
    Ok(())
}

fn write_rules(table: &Table, texts: &mut Texts, out: &mut Sections) -> Result<(), EmitError> {
    count(table.rules.len(), "rules")?;
    let mut actions = Vec::new();
    let mut known: HashMap<Vec<u8>, u32> = HashMap::new();
    let mut records = Vec::with_capacity(table.rules.len());
    for rule in &table.rules {
        if rule.condition as usize >= table.conditions.len() {
            return Err(EmitError::Dangling("a condition"));
        }
        let bytes = postcard::to_allocvec(&rule.action).map_err(|_| EmitError::Value("an action"))?;
        let next = count(actions.len(), "actions")?;
        let action = *known.entry(bytes).or_insert_with(|| {
            actions.push(&rule.action);
            next
        });
        records.push(RuleRec {
            name: texts.add(&rule.name)?,
            priority: rule.priority.into(),
            condition: rule.condition.into(),
            action: action.into(),
            mode: u8::from(rule.mode == Mode::Audit),
            kind: rule.kind() as u8,
            zero: [0; 2],
        });
    }
    out.put_records(Section::Rules, &records);
    put_value(out, Section::Actions, &actions, "an action")
}

/// Entries of all lists, the sets of lists they are in, and the aliases' keys.
fn write_lists(table: &Table, order: &Order, out: &mut Sections) -> Result<(), EmitError> {
    let mut sets = Sets::new();
    for (kind, slots, keys) in [
        (ListKind::Mailbox, Section::MailboxSlots, Section::MailboxKeys),
        (ListKind::Text, Section::TextSlots, Section::TextKeys),
    ] {
        let total = table.lists.iter().filter(|l| l.kind == kind).map(|l| l.entries.len()).sum();
        let mut all: Vec<Hashed<'_>> = Vec::with_capacity(total);
        for (list, place) in table.lists.iter().zip(0u32..).filter(|(l, _)| l.kind == kind) {
            all.extend(list.entries.iter().map(|entry| {
                keys::hashed(if kind == ListKind::Mailbox { index_key(entry) } else { entry }, place)
            }));
        }
        keys::sort(&mut all);
        let mut lists = Vec::new();
        let mut distinct: Vec<(u64, &str, u32)> = Vec::with_capacity(all.len());
        for run in all.chunk_by(|a, b| a.hash == b.hash && a.key == b.key) {
            lists.clear();
            lists.extend(run.iter().map(|k| k.list));
            lists.dedup();
            if let Some(first) = run.first() {
                distinct.push((first.hash, first.key, sets.id(&lists)?));
            }
        }
        let total = distinct.len();
        let index = keys::build(distinct.into_iter(), total)?;
        out.put_records(slots, &index.slots);
        out.put(keys, index.keys);
    }
    let networks = networks::build(table, &mut sets)?;
    let narrow = networks.v4.starts.iter().map(|s| (*s & 0xffff_ffff) as u32).collect::<Vec<_>>();
    out.put_numbers(Section::V4Starts, &narrow);
    out.put_numbers(Section::V4Sets, &networks.v4.sets);
    out.put_numbers(Section::V4Directory, &networks.directory);
    out.put(Section::V6Starts, networks.v6.starts.iter().flat_map(|s| s.to_le_bytes()).collect());
    out.put_numbers(Section::V6Sets, &networks.v6.sets);
    out.put_records(Section::Networks, &networks.written);

    let mut tests: Vec<Vec<u32>> = vec![Vec::new(); table.lists.len()];
    for (predicate, place) in table.predicates.iter().zip(&order.place) {
        if let Test::InList(list) = predicate.test
            && let Some(of_list) = tests.get_mut(list as usize)
        {
            of_list.push(*place);
        }
    }
    let (test_ends, set_tests) = sets.tests(&tests)?;
    let (list_ends, lists) = sets.lists();
    out.put_numbers(Section::SetListEnds, list_ends);
    out.put_numbers(Section::SetLists, lists);
    out.put_numbers(Section::SetPredicateEnds, &test_ends);
    out.put_numbers(Section::SetPredicates, &set_tests);

    let mut aliases: Vec<Hashed<'_>> =
        table.aliases.iter().zip(0u32..).map(|(a, place)| keys::hashed(index_key(&a.key), place)).collect();
    keys::sort(&mut aliases);
    let total = aliases.len();
    let index = keys::build(aliases.into_iter().map(|k| (k.hash, k.key, k.list)), total)?;
    out.put_records(Section::AliasSlots, &index.slots);
    out.put(Section::AliasKeys, index.keys);
    Ok(())
}

fn write_provenance(table: &Table, out: &mut Sections) -> Result<(), EmitError> {
    let origins: Vec<OriginRec> = table
        .rules
        .iter()
        .enumerate()
        .map(|(place, _)| {
            let origin = table.provenance.rules.get(place).copied().unwrap_or_default();
            OriginRec { file: origin.file.into(), line: origin.line.into(), column: origin.column.into() }
        })
        .collect();
    out.put_records(Section::Origins, &origins);
    let value = (&table.provenance.source_digest, &table.provenance.files, &table.provenance.compiler);
    put_value(out, Section::Provenance, &value, "the provenance")
}
