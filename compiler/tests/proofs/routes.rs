//! Routes: one without `local yes` is not asked about mail to inside recipients, and keeps nobody from deciding there.

use super::condition;
use edict_compiler::prove::world::World;
use edict_compiler::prove::{Finding, prove};
use edict_compiler::source::Sources;
use edict_compiler::{Options, compile};
use edict_table::decide::{self, Scratch};
use edict_table::facts::Direction;
use edict_table::load::Loaded;
use edict_table::model::{Action, Kind, Rule, Table};
use edict_table::value::Address;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

const TESTS: &[&str] = &[
    "recipient.domain in local-domains",
    "recipient.domain is in.example",
    "recipient.domain is out.example",
    "recipient is ann@",
    "recipient is ann@in.example",
    "direction is inbound",
    "direction in [internal, outbound]",
    "direction is forwarded",
    "submitted",
];

/// Condition, `local yes`, priority, relay.
type Routes = [(String, bool, u8, u8)];

fn table(rules: &Routes) -> Table {
    let mut text = "edict 1\nprofile { local-domains [in.example] }\n\
        relay r0 { host r0.example:25 }\nrelay r1 { host r1.example:25 }\n"
        .to_owned();
    for (at, (condition, local, priority, relay)) in rules.iter().enumerate() {
        let local = if *local { "local yes" } else { "" };
        text.push_str(&format!(
            "route \"rule {at}\" {{ priority {priority} {local} when {condition} via r{relay} }}\n"
        ));
    }
    let mut sources = Sources::default();
    sources.insert("main.edict", text.as_bytes());
    let compilation = compile(&sources, &Options { proofs: false });
    compilation.table.unwrap_or_else(|| panic!("{text}\n{:#?}", compilation.diagnostics))
}

/// One message of every sort that the tests tell apart.
fn worlds() -> Vec<World> {
    let mut out = Vec::new();
    for local in ["ann", "bob"] {
        for (domain, direction) in [
            ("in.example", Direction::Inbound),
            ("in.example", Direction::Internal),
            ("out.example", Direction::Outbound),
            ("out.example", Direction::Forwarded),
            ("third.example", Direction::Outbound),
            ("third.example", Direction::Forwarded),
        ] {
            let mut world = World::plain().unwrap();
            world.recipient = Address::parse(&format!("{local}@{domain}")).unwrap();
            world.direction = direction;
            world.submitted = matches!(direction, Direction::Internal | Direction::Outbound);
            world.auth_user = world.submitted.then(|| "ann".to_owned());
            out.push(world);
        }
    }
    out
}

/// Whether the daemon asks a route: inside only where it says `local yes`.
fn is_asked(rule: &Rule, direction: Direction) -> bool {
    let inside = matches!(direction, Direction::Inbound | Direction::Internal);
    !inside || matches!(&rule.action, Action::Route(route) if route.local)
}

/// Rules that never match, rules that never decide, and those of equal rank with one before them.
type Found = (BTreeSet<usize>, BTreeSet<usize>, BTreeSet<usize>);

fn want(table: &Table) -> Found {
    let loaded = Loaded::new(Arc::new(edict_table::emit::emit(table))).unwrap();
    let (mut scratch, mut matched) = (Scratch::new(), Vec::new());
    let (mut matches, mut decides, mut equal) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for world in worlds() {
        scratch.begin(&loaded);
        world.facts(|facts| decide::matching(&loaded, Kind::Route, facts, &mut scratch, &mut matched));
        let asked: Vec<usize> = matched
            .iter()
            .map(|id| id.0 as usize)
            .filter(|at| is_asked(&table.rules[*at], world.direction))
            .collect();
        matches.extend(&asked);
        let best = asked.iter().map(|at| table.rules[*at].priority).min();
        let first: Vec<usize> =
            asked.into_iter().filter(|at| Some(table.rules[*at].priority) == best).collect();
        decides.extend(&first);
        equal.extend(
            first.iter().filter(|at| {
                first.iter().any(|o| o < at && table.rules[*o].action != table.rules[**at].action)
            }),
        );
    }
    let never = (0..table.rules.len()).filter(|rule| !matches.contains(rule)).collect();
    (never, matches.difference(&decides).copied().collect(), equal)
}

fn found(table: &Table) -> Found {
    let mut out = Found::default();
    for finding in prove(table) {
        match finding {
            Finding::Never { rule, .. } => drop(out.0.insert(rule)),
            Finding::Overruled { rule, by, .. } => {
                assert!(by.iter().all(|other| table.rules[*other].priority < table.rules[rule].priority));
                out.1.insert(rule);
            }
            Finding::Undecided { second, .. } => drop(out.2.insert(second)),
            Finding::ByName { .. } | Finding::Delays { .. } | Finding::Unfinished { .. } => {
                panic!("{finding:?}")
            }
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn routes_are_exact(
        rules in proptest::collection::vec((condition(TESTS), any::<bool>(), 1u8..4, 0u8..2), 1..6)
    ) {
        let table = table(&rules);
        prop_assert_eq!(found(&table), want(&table), "{:#?}", rules);
    }
}

/// The store for all inside mail, and a smarthost for what leaves.
#[test]
fn the_rest_of_what_leaves_is_no_conflict() {
    let rules = [
        ("recipient.domain in local-domains".to_owned(), true, 100, 0),
        ("recipient.domain in local-domains or recipient.domain is out.example".to_owned(), false, 50, 1),
    ];
    assert_eq!(found(&table(&rules)), Found::default());
}
