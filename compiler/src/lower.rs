//! Checked to table. Total: reports nothing, cannot fail.
//!
//! Lists, predicates and conditions are interned and numbered by content, never by place in the text,
//! so that rules moved between lines and files give the same policy. Unused lists are left out.

mod condition;

use crate::check::Checked;
use crate::model::{Cond, ListRef, Model, Op, RuleMode, Set, Test};
use crate::source::Sources;
use crate::span::{FileId, Span};
use condition::Interner;
use edict_table::model::{
    Entries, Group, List, ListId, ListKind, Origin, Predicate, Provenance, Recipients, Relay, Rule, Table,
    Test as TableTest,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Lowers a checked rule set. `files` are the files that it was made of.
#[must_use]
pub fn lower(checked: &Checked, sources: &Sources, files: &BTreeSet<FileId>) -> Table {
    let model = checked.model();
    let live: Vec<_> = model
        .rules
        .iter()
        .filter_map(|rule| match rule.mode {
            RuleMode::On(mode) => Some((rule, mode)),
            RuleMode::Off => None,
        })
        .collect();
    let lists = Lists::collect(checked, live.iter().map(|(rule, _)| &rule.condition));
    let mut interner = Interner::default();
    let roots: Vec<u32> =
        live.iter().map(|(rule, _)| intern(&mut interner, &lists, model, &rule.condition)).collect();
    let (predicates, conditions, places) = interner.finish();

    let origins = Origins::new(sources, files);
    let mut table = Table {
        profile: model.profile.clone(),
        lists: lists.lists,
        predicates,
        conditions,
        rules: Vec::with_capacity(live.len()),
        aliases: checked.aliases().to_vec(),
        relays: relays(model),
        groups: groups(model),
        provenance: origins.provenance(),
    };
    for ((rule, mode), root) in live.iter().zip(roots) {
        table.rules.push(Rule {
            name: rule.name.clone(),
            priority: rule.priority,
            mode: *mode,
            condition: places.get(root as usize).copied().unwrap_or(0),
            action: rule.action.clone(),
        });
        table.provenance.rules.push(origins.of(rule.span));
    }
    table.canonical();
    table
}

fn relays(model: &Model) -> Vec<Relay> {
    let relay = |r: &crate::model::RelayDef| Relay {
        name: r.name.clone(),
        hosts: r.hosts.iter().map(|(host, _)| host.clone()).collect(),
        tls: r.tls,
        credentials: r.credentials.as_ref().map(|(name, _)| name.clone()),
    };
    model.relays.iter().map(relay).collect()
}

fn groups(model: &Model) -> Vec<Group> {
    let group = |g: &crate::model::GroupDef| {
        let members: BTreeSet<&str> = g.members.iter().map(|m| m.address.as_str()).collect();
        Group { name: g.name.clone(), members: members.into_iter().map(str::to_owned).collect() }
    };
    model.groups.iter().map(group).collect()
}

/// Brings a condition into the interner; the result is its provisional place.
fn intern(interner: &mut Interner, lists: &Lists, model: &Model, cond: &Cond) -> u32 {
    match cond {
        Cond::True => interner.always(),
        Cond::Test(test) => {
            let predicate = predicate(lists, model, test);
            interner.test(predicate)
        }
        Cond::Not(inner) => {
            let inner = intern(interner, lists, model, inner);
            interner.not(inner)
        }
        Cond::All(parts) => {
            let parts = parts.iter().map(|part| intern(interner, lists, model, part)).collect();
            interner.all(parts)
        }
        Cond::Any(parts) => {
            let parts = parts.iter().map(|part| intern(interner, lists, model, part)).collect();
            interner.any(parts)
        }
    }
}

fn predicate(lists: &Lists, model: &Model, test: &Test) -> Predicate {
    let entries = |list: ListRef| -> Vec<String> {
        model.lists.get(list).map(|l| l.entries.iter().map(str::to_owned).collect()).unwrap_or_default()
    };
    let test_of = match &test.op {
        Op::Present => TableTest::Present,
        Op::Set => TableTest::Set,
        Op::In(set) => TableTest::InList(lists.places.get(set).copied().unwrap_or(0)),
        Op::Contains(literals) => TableTest::Contains(literals.clone()),
        Op::ContainsList(list) => TableTest::Contains(entries(*list)),
        Op::StartsWith(literals) => TableTest::StartsWith(literals.clone()),
        Op::StartsWithList(list) => TableTest::StartsWith(entries(*list)),
        Op::EndsWith(literals) => TableTest::EndsWith(literals.clone()),
        Op::EndsWithList(list) => TableTest::EndsWith(entries(*list)),
        Op::Glob(glob) => TableTest::Glob(glob.clone()),
        Op::Regex(regex) => TableTest::Regex(regex.clone()),
        Op::Less(bound) => TableTest::Less(*bound),
        Op::AtMost(bound) => TableTest::AtMost(*bound),
        Op::More(bound) => TableTest::More(*bound),
        Op::Equal(value) => TableTest::Equal(*value),
        Op::OneOf(bits) => TableTest::OneOf(*bits),
    };
    Predicate { fact: test.fact, parameter: test.parameter.clone(), test: test_of }
}

/// The lists of the table, and where each set of the model went.
struct Lists {
    lists: Vec<List>,
    places: HashMap<Set, ListId>,
}

impl Lists {
    fn collect<'a>(checked: &Checked, conditions: impl Iterator<Item = &'a Cond>) -> Self {
        let model = checked.model();
        let mut sets: HashMap<Set, List> = HashMap::new();
        for condition in conditions {
            condition.visit(&mut |test, _| {
                if let Op::In(set) = &test.op
                    && !sets.contains_key(set)
                {
                    sets.insert(set.clone(), list_of(model, set));
                }
            });
        }
        for name in known_lists(model) {
            if let Some(place) = model.lists.iter().position(|l| l.name == name) {
                let set = Set::List(place);
                sets.entry(set.clone()).or_insert_with(|| list_of(model, &set));
            }
        }
        let mut all: Vec<(Set, List)> = sets.into_iter().collect();
        // Names are unique; only lists without one are told apart by what they hold.
        all.sort_by(|(_, a), (_, b)| {
            (&a.name, a.kind).cmp(&(&b.name, b.kind)).then_with(|| a.entries.iter().cmp(b.entries.iter()))
        });
        let mut out = Self { lists: Vec::with_capacity(all.len()), places: HashMap::new() };
        for (set, list) in all {
            if out.lists.last() != Some(&list) {
                out.lists.push(list);
            }
            out.places.insert(set, u32::try_from(out.lists.len()).unwrap_or(u32::MAX).saturating_sub(1));
        }
        out
    }
}

fn known_lists(model: &Model) -> BTreeSet<&str> {
    let of_domains = model.profile.relay_domains.iter().filter_map(|d| d.recipients.as_ref());
    std::iter::once(&model.profile.recipients)
        .chain(of_domains)
        .filter_map(|r| match r {
            Recipients::Known(names) => Some(names.iter().map(String::as_str)),
            _ => None,
        })
        .flatten()
        .collect()
}

fn list_of(model: &Model, set: &Set) -> List {
    match set {
        Set::List(place) => model.lists.get(*place).map_or_else(
            || List { name: None, kind: ListKind::Text, entries: Entries::default() },
            |l| List { name: Some(l.name.clone()), kind: l.ty.kind(), entries: l.entries.clone() },
        ),
        Set::Group(place, kind) => {
            let group = model.groups.get(*place);
            let members: BTreeSet<&str> =
                group.iter().flat_map(|g| &g.members).map(|m| m.address.as_str()).collect();
            let name = group.map(|g| match kind {
                ListKind::Text => format!("logins of group {}", g.name),
                _ => format!("group {}", g.name),
            });
            List { name, kind: *kind, entries: members.into_iter().collect() }
        }
        Set::Values(kind, values) => List { name: None, kind: *kind, entries: values.iter().collect() },
    }
}

/// Turns spans into the origins of the table.
struct Origins<'a> {
    sources: &'a Sources,
    /// Ids of files follow their paths, so the paths of the table come out sorted.
    files: BTreeMap<FileId, u32>,
}

impl<'a> Origins<'a> {
    fn new(sources: &'a Sources, files: &BTreeSet<FileId>) -> Self {
        Self { sources, files: files.iter().copied().zip(0..).collect() }
    }

    fn of(&self, span: Span) -> Origin {
        let place = self.sources.place(span.file, span.start);
        let file = self.files.get(&span.file).copied().unwrap_or(0);
        Origin { file, line: place.line, column: place.column }
    }

    fn provenance(&self) -> Provenance {
        let mut hash = blake3::Hasher::new();
        for file in self.files.keys() {
            for part in [self.sources.path(*file).as_bytes(), self.sources.bytes(*file)] {
                hash.update(&(part.len() as u64).to_le_bytes());
                hash.update(part);
            }
        }
        Provenance {
            source_digest: hash.finalize().to_hex().to_string(),
            files: self.files.keys().map(|file| self.sources.path(*file).to_owned()).collect(),
            rules: Vec::new(),
            compiler: concat!("edict ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}
