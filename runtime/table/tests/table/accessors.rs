//! What a loaded table tells besides decisions.

use crate::common::rng::Rng;
use crate::common::{load, random};
use edict_table::decide::rules_by_stage;
use edict_table::emit::{EmitError, emit, try_emit};
use edict_table::fact::{Fact, Stage};
use edict_table::model::*;
use edict_table::value::Address;

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

#[test]
fn lists_aliases_and_domains() {
    let mut table = random::table(&mut Rng(1), 3);
    table.lists.push(List {
        name: Some("members".to_owned()),
        kind: ListKind::Mailbox,
        entries: ["@.sub.example", "@whole.example", "abuse@", "ann@in.example"].into_iter().collect(),
    });
    let loaded = load(&table);
    for (who, want) in [
        ("ann@in.example", true),
        ("Ann+news@in.example", true),
        ("ann+news@out.example", false),
        ("x@a.sub.example", true),
        ("x@sub.example", false),
        ("x@whole.example", true),
        ("abuse@anywhere.example", true),
        ("abuse+x@in.example", true),
        ("bob@in.example", false),
    ] {
        assert_eq!(loaded.list_holds("members", &address(who)), want, "{who}");
    }
    assert!(!loaded.list_holds("no such list", &address("ann@in.example")));
    for (who, want) in [
        ("ann@in.example", Some("ann@in.example")),
        ("ann+x@in.example", Some("ann@in.example")),
        ("carl@a.example", Some("@a.example")),
        ("carl@b.a.example", None),
        ("carl@in.example", None),
    ] {
        assert_eq!(loaded.alias(&address(who)).map(|a| a.key.as_str()), want, "{who}");
    }
    assert!(loaded.is_local("in.example") && !loaded.is_local("relay.example"));
    assert!(loaded.is_inside("relay.example") && !loaded.is_inside("a.example"));
    assert!(loaded.is_trusted("127.0.0.1".parse().unwrap()));
    assert!(loaded.is_trusted("::ffff:127.0.0.9".parse().unwrap()));
    assert!(!loaded.is_trusted("192.0.2.1".parse().unwrap()));
    assert_eq!(loaded.relay("smart").unwrap().hosts.len(), 1);
    assert!(loaded.relay("none").is_none());
    assert_eq!(loaded.digest().len(), 64);
    let total: usize = loaded.sections().iter().filter(|s| s.stored).map(|s| s.bytes).sum();
    assert!(total <= loaded.file_bytes() && total + 8 * 50 > loaded.file_bytes());
}

#[test]
fn rules_by_their_place() {
    let mut table = random::table(&mut Rng(4), 9);
    for (origin, line) in table.provenance.rules.iter_mut().zip(10..) {
        origin.line = line;
    }
    let loaded = load(&table);
    assert_eq!(loaded.rule_count(), table.rules.len());
    let mut seen = 0;
    for kind in Kind::ALL {
        for id in loaded.rules_of(kind) {
            let (have, want) = (loaded.rule(id).unwrap(), &table.rules[id.0 as usize]);
            assert_eq!(
                (have.name, have.kind, have.priority),
                (want.name.as_str(), want.kind(), want.priority)
            );
            assert_eq!((have.mode, have.action), (want.mode, &want.action));
            assert_eq!((have.file, have.line), ("main.edict", 10 + id.0));
            seen += 1;
        }
    }
    assert_eq!(seen, table.rules.len());
}

#[test]
fn moving_a_rule_changes_provenance_only() {
    let mut table = random::table(&mut Rng(5), 9);
    let before = load(&table);
    table.provenance.rules.iter_mut().for_each(|o| o.line += 3);
    table.provenance.source_digest = "other".to_owned();
    let after = load(&table);
    assert_eq!(before.digest(), after.digest());
    assert_ne!(emit(&before.to_table()), emit(&table));
    assert_eq!(emit(&after.to_table()), emit(&table));
    table.profile.max_hops += 1;
    assert_ne!(load(&table).digest(), before.digest());
}

#[test]
fn what_cannot_be_emitted() {
    let mut table = Table::default();
    table.predicates.push(Predicate { fact: Fact::Sender, parameter: String::new(), test: Test::InList(3) });
    assert_eq!(try_emit(&table), Err(EmitError::Dangling("a list")));
    assert!(emit(&table).is_empty());
    let mut table = Table::default();
    table.conditions.push(Condition::True);
    for child in 0..100 {
        table.conditions.push(Condition::Not(child));
    }
    assert_eq!(try_emit(&table), Err(EmitError::Deep));
}

#[test]
fn the_earliest_sound_stage() {
    let mut table = Table::default();
    table.lists.push(List {
        name: None,
        kind: ListKind::Network,
        entries: ["10.0.0.0/8"].into_iter().collect(),
    });
    let tests = [
        (Fact::ClientIp, Test::InList(0)),
        (Fact::Subject, Test::Contains(vec!["hello".to_owned()])),
        (Fact::Submitted, Test::Set),
    ];
    for (place, (fact, test)) in tests.into_iter().enumerate() {
        table.predicates.push(Predicate { fact, parameter: String::new(), test });
        table.conditions.push(Condition::Test(place as u32));
    }
    // Subject, but for submitted mail only: out of the way at RCPT.
    table.conditions.push(Condition::All(vec![1, 2]));
    let mut rule = |name: &str, priority, condition, verb| {
        let reply =
            (verb == Verb::Reject).then(|| Reply { code: 550, enhanced: (5, 7, 1), text: "no".to_owned() });
        table.rules.push(Rule {
            name: name.to_owned(),
            priority,
            mode: Mode::Enforce,
            condition,
            action: Action::Verdict(Verdict { verb, reply }),
        });
    };
    rule("first", 1, 0, Verb::Reject);
    rule("greeting", 2, 3, Verb::Allow);
    rule("second", 3, 0, Verb::Reject);
    table.canonical();
    let stages: Vec<_> = rules_by_stage(&load(&table))
        .into_iter()
        .map(|s| (s.holds, s.decides, s.waits_for.map(|id| id.0)))
        .collect();
    assert_eq!(
        stages,
        [
            (Stage::Connect, Stage::Connect, None),
            (Stage::Header, Stage::Header, None),
            (Stage::Connect, Stage::Rcpt, Some(1)),
        ]
    );
}

#[test]
fn how_rules_are_found() {
    let mut table = Table::default();
    let tests = [
        (Fact::Subject, Test::Regex("[0-9]+".to_owned())),
        (Fact::Subject, Test::Regex("invoice [0-9]+".to_owned())),
        (Fact::ClientUnverified, Test::Set),
    ];
    for (place, (fact, test)) in tests.into_iter().enumerate() {
        table.predicates.push(Predicate { fact, parameter: String::new(), test });
        table.conditions.push(Condition::Test(place as u32));
    }
    table.conditions.push(Condition::Not(2));
    table.conditions.push(Condition::All(vec![0, 1, 2]));
    for (name, condition) in [("a", 3), ("b", 4)] {
        table.rules.push(Rule {
            name: name.to_owned(),
            priority: 100,
            mode: Mode::Enforce,
            condition,
            action: Action::Verdict(Verdict { verb: Verb::Hold, reply: None }),
        });
    }
    let loaded = load(&table);
    assert_eq!(loaded.unindexed_rules().iter().map(|id| id.0).collect::<Vec<_>>(), [0]);
    assert_eq!(loaded.unfiltered_patterns(), [0]);
    let rules: Vec<_> = loaded.rules_of(Kind::Verdict).collect();
    assert_eq!(loaded.posted_under(rules[0]), [] as [u32; 0]);
    assert_eq!(loaded.posted_under(rules[1]), [1]);
}
