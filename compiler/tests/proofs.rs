//! Proofs against brute force: over rule sets whose tests tell few values apart, every message there is
//! goes through the table, and what is found dead or overruled must be exactly what never matches or never
//! decides. The stage that is told for a rule is the first at which the table decides by it for any of these.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use edict_compiler::prove::stages::stages;
use edict_compiler::prove::world::World;
use edict_compiler::prove::{Finding, prove};
use edict_compiler::source::Sources;
use edict_compiler::{Options, compile};
use edict_table::decide::{self, Outcome, Ruling, Scratch, Truth};
use edict_table::fact::Stage;
use edict_table::facts::{Direction, HeaderField};
use edict_table::load::{Image, Loaded};
use edict_table::model::{Kind, Table};
use edict_table::value::Address;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[path = "proofs/authors.rs"]
mod authors;
#[path = "proofs/delays.rs"]
mod delays;
#[path = "proofs/equals.rs"]
mod equals;
#[path = "proofs/extensions.rs"]
mod extensions;
#[path = "proofs/globs.rs"]
mod globs;
#[path = "proofs/large.rs"]
mod large;
#[path = "proofs/linked.rs"]
mod linked;
#[path = "proofs/owners.rs"]
mod owners;
#[path = "proofs/profile.rs"]
mod profile;
#[path = "proofs/routes.rs"]
mod routes;
#[path = "proofs/trust.rs"]
mod trust;
#[path = "proofs/written.rs"]
mod written;

/// Tests that tell apart only what [`worlds`] has.
const TESTS: &[&str] = &[
    "sender is ann@a.example",
    "sender is @a.example",
    "sender is @b.example",
    "sender is @.b.example",
    "sender is ann@",
    "sender in some",
    "sender is present",
    "sender.domain is b.example",
    "sender.local is \"bob\"",
    "size < 1 KiB",
    "size <= 10 KiB",
    "size > 10 KiB",
    "size is 1 KiB",
    "subject contains \"ab\"",
    "subject starts with \"a\"",
    "subject ends with \"b\"",
    "subject is \"ab\"",
    "subject matches \"a*b\"",
    "subject contains any of [\"aa\", \"bb\"]",
    "subject is absent",
    "submitted",
    "direction is inbound",
    "direction in [internal, outbound]",
    "auth.user is present",
];

fn condition(tests: &'static [&'static str]) -> impl Strategy<Value = String> {
    let test = proptest::sample::select(tests).prop_map(str::to_owned);
    test.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 2..4).prop_map(|p| format!("({})", p.join(" and "))),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(|p| format!("({})", p.join(" or "))),
            inner.prop_map(|p| format!("not ({p})")),
        ]
    })
}

const HEAD: &str = "edict 1\nprofile { local-domains [c.example] }\n\
    list some: address = [bob@a.example, @x.b.example, ann@c.example]\n";

fn table(head: &str, conditions: &[(String, u8, u8)]) -> Table {
    let mut text = head.to_owned();
    for (at, (condition, verb, priority)) in conditions.iter().enumerate() {
        let verb = ["allow", "reject", "discard"][usize::from(*verb)];
        text.push_str(&format!("{verb} \"rule {at}\" {{ priority {priority} when {condition} }}\n"));
    }
    compiled(&text)
}

fn compiled(text: &str) -> Table {
    let mut sources = Sources::default();
    sources.insert("main.edict", text.as_bytes());
    let compilation = compile(&sources, &Options { proofs: false });
    compilation.table.unwrap_or_else(|| panic!("{text}\n{:#?}", compilation.diagnostics))
}

/// One message of every sort that the tests tell apart.
fn worlds() -> Vec<World> {
    let mut senders = vec![None];
    for local in ["ann", "bob"] {
        for domain in ["a.example", "b.example", "x.b.example", "y.b.example", "c.example", "d.example"] {
            senders.push(Some(Address::parse(&format!("{local}@{domain}")).unwrap()));
        }
    }
    senders.push(Some(Address::parse("carl@a.example").unwrap()));
    senders.push(Some(Address::parse("carl@x.b.example").unwrap()));
    senders.push(Some(Address::parse("carl@d.example").unwrap()));
    senders.push(Some(Address::parse("carl@b.example").unwrap()));
    senders.push(Some(Address::parse("carl@y.b.example").unwrap()));
    let mut subjects = vec![None];
    let mut last = vec![String::new()];
    for _ in 0..5 {
        last = last.iter().flat_map(|s| ["a", "b", "x"].map(|c| format!("{s}{c}"))).collect();
        subjects.extend(last.iter().cloned().map(Some));
    }
    // One subject for every way to answer all tests on it is enough.
    let answers = |s: &Option<String>| {
        s.as_ref().map(|s| {
            let glob = s.starts_with('a') && s.ends_with('b') && s.len() > 1;
            (
                s.contains("ab"),
                s.starts_with('a'),
                s.ends_with('b'),
                s == "ab",
                glob,
                s.contains("aa") || s.contains("bb"),
            )
        })
    };
    let mut seen = BTreeSet::new();
    subjects.retain(|s| seen.insert(answers(s)));
    let mut out = Vec::new();
    for sender in &senders {
        for size in [1, 1023, 1024, 1025, 10240, 10241] {
            for subject in &subjects {
                for (direction, login) in [
                    (Direction::Inbound, None),
                    (Direction::Internal, Some("ann")),
                    (Direction::Outbound, Some("ann")),
                    (Direction::Internal, None),
                    (Direction::Outbound, None),
                ] {
                    let mut world = World::plain().unwrap();
                    let inside = direction != Direction::Outbound;
                    let to = if inside { "ann@c.example" } else { "ann@d.example" };
                    world.recipient = Address::parse(to).unwrap();
                    world.direction = direction;
                    world.submitted = direction != Direction::Inbound;
                    world.auth_user = login.map(str::to_owned);
                    if world.submitted && login.is_none() {
                        world.client_ip = "127.0.0.1".parse().unwrap();
                    }
                    world.sender.clone_from(sender);
                    world.size = size;
                    if let Some(value) = subject {
                        let field = HeaderField { name: "subject".to_owned(), value: value.clone() };
                        world.header.fields.push(field);
                    }
                    out.push(world);
                }
            }
        }
    }
    out
}

type Rules = [(String, u8, u8)];

/// Rules that never match, and rules that never decide.
type Dead = (BTreeSet<usize>, BTreeSet<usize>);

/// As all messages have it.
fn want(table: &Table, worlds: &[World]) -> Dead {
    let image: Image = Arc::new(edict_table::emit::emit(table));
    let loaded = Loaded::new(image).unwrap();
    let (mut scratch, mut matched) = (Scratch::new(), Vec::new());
    let (mut matches, mut decides) = (BTreeSet::new(), BTreeSet::new());
    for world in worlds {
        scratch.begin(&loaded);
        world.facts(|facts| decide::matching(&loaded, Kind::Verdict, facts, &mut scratch, &mut matched));
        matches.extend(matched.iter().map(|id| id.0 as usize));
        decides.extend(matched.first().map(|id| id.0 as usize));
    }
    let never = (0..table.rules.len()).filter(|rule| !matches.contains(rule)).collect();
    (never, matches.difference(&decides).copied().collect())
}

/// As the proofs have it.
fn found(table: &Table) -> Result<Dead, TestCaseError> {
    let (mut never, mut overruled) = (BTreeSet::new(), BTreeSet::new());
    for finding in prove(table) {
        match finding {
            Finding::Never { rule, .. } => drop(never.insert(rule)),
            Finding::Overruled { rule, example, .. } => {
                prop_assert!(!example.is_empty());
                overruled.insert(rule);
            }
            _ => {}
        }
    }
    Ok((never, overruled))
}

/// What is found dead or overruled is what none of these messages match, or none is decided by.
fn proofs(table: &Table, worlds: &[World], rules: &Rules) -> Result<(), TestCaseError> {
    let (found, want) = (found(table)?, want(table, worlds));
    prop_assert_eq!(found.0, want.0, "dead rules of {:#?}", rules);
    prop_assert_eq!(found.1, want.1, "overruled rules of {:#?}", rules);
    Ok(())
}

/// The stages that are told are those at which the table has a rule hold, and decide, over these messages.
fn staging(table: &Table, worlds: &[World], rules: &Rules) -> Result<(), TestCaseError> {
    let image: Image = Arc::new(edict_table::emit::emit(table));
    let loaded = Loaded::new(image).unwrap();
    let (holds, decides) = seen(&loaded, worlds);
    for stage in stages(table, &loaded) {
        let rule = &table.rules[stage.rule.0 as usize];
        if let Some(first) = holds.get(&stage.rule.0) {
            prop_assert_eq!(stage.holds, *first, "when {} of {:#?} holds", rule.name, rules);
        }
        if let Some(first) = decides.get(&stage.rule.0) {
            prop_assert_eq!(stage.decides, *first, "when {} of {:#?} decides", rule.name, rules);
            prop_assert_eq!(stage.waits_for.is_some(), stage.decides > stage.holds);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn proofs_are_exact(rules in proptest::collection::vec((condition(TESTS), 0u8..3, 1u8..3), 1..6)) {
        proofs(&table(HEAD, &rules), &worlds(), &rules)?;
    }

    #[test]
    fn stages_are_exact(rules in proptest::collection::vec((condition(TESTS), 0u8..3, 1u8..4), 1..6)) {
        staging(&table(HEAD, &rules), &worlds(), &rules)?;
    }
}

/// The first stage at which the table has each rule hold, and decide, over all messages.
fn seen(loaded: &Loaded, worlds: &[World]) -> (BTreeMap<u32, Stage>, BTreeMap<u32, Stage>) {
    let (mut holds, mut decides) = (BTreeMap::new(), BTreeMap::new());
    let (mut scratch, mut found) = (Scratch::new(), Vec::new());
    for world in worlds {
        for stage in Stage::ALL {
            scratch.begin(loaded);
            world.facts_until(stage, |facts| {
                decide::candidates(loaded, Kind::Verdict, facts, &mut scratch, &mut found);
                for (id, _) in found.iter().filter(|(_, value)| *value == Truth::Yes) {
                    let first = holds.entry(id.0).or_insert(stage);
                    *first = stage.min(*first);
                }
                if let Outcome::Final(Ruling::By(id)) = decide::verdict(loaded, facts, &mut scratch) {
                    let first = decides.entry(id.0).or_insert(stage);
                    *first = stage.min(*first);
                }
            });
        }
    }
    (holds, decides)
}

/// What the shape of the conditions alone gets wrong: a refusal by recipient that a welcome with a test of its
/// own on that recipient always waits for.
#[test]
fn correlated_rules_wait() {
    let text = "edict 1\n\
        allow \"welcome\" { priority 10 when recipient is ann@c.example and subject contains \"ab\" }\n\
        reject \"ann\" { when recipient is ann@c.example }\n\
        reject \"domain\" { when recipient is @c.example }\n\
        reject \"local part\" { priority 200 when recipient.local is \"ann\" }\n";
    let mut sources = Sources::default();
    sources.insert("main.edict", text);
    let table = compile(&sources, &Options { proofs: false }).table.unwrap();
    let loaded = Loaded::new(Arc::new(edict_table::emit::emit(&table))).unwrap();
    let told: Vec<(&str, Stage, Option<&str>)> = stages(&table, &loaded)
        .into_iter()
        .map(|s| {
            let waits = s.waits_for.map(|id| table.rules[id.0 as usize].name.as_str());
            (table.rules[s.rule.0 as usize].name.as_str(), s.decides, waits)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("welcome", Stage::Header, None),
            ("ann", Stage::Header, Some("welcome")),
            // Others at the domain, and of that name elsewhere, are refused at once.
            ("domain", Stage::Rcpt, None),
            ("local part", Stage::Rcpt, None),
        ]
    );
}
