//! Rules of equal rank: whichever two match one message are found, and to see that thousands of them do not, nobody
//! looks at each pair.

use super::{compiled, condition};
use edict_compiler::prove::theory::Space;
use edict_compiler::prove::world::World;
use edict_compiler::prove::{Finding, prove, prove_in};
use edict_table::decide::{self, Scratch};
use edict_table::facts::Direction;
use edict_table::load::Loaded;
use edict_table::model::Kind;
use edict_table::value::Address;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

const HEAD: &str = "edict 1\nprofile { local-domains [in.example] }\n\
    list some: address = [bob@in.example, @x.out.example, ann+a@out.example, ann+b@in.example]\n\
    list nets: network = [10.0.0.0/9, 10.200.0.1, 192.0.2.0/24]\n";

const TESTS: &[&str] = &[
    "sender is ann@in.example",
    "sender is ann+b@in.example",
    "sender is ann@out.example",
    "sender is ann+b@out.example",
    "sender is bob@in.example",
    "sender is @out.example",
    "sender is @.out.example",
    "sender is ann@",
    "sender is ann+b@",
    "sender in some",
    "sender.domain is in.example",
    "sender.domain is .out.example",
    "sender.domain in [out.example, x.out.example]",
    "sender.local is \"ann\"",
    "sender.local in [\"ann+b\", \"bob\"]",
    "sender is present",
    "auth.user is \"ann\"",
    "auth.user in [\"bob\", \"carl\"]",
    "client.ip in nets",
    "client.ip in [10.0.0.0/8]",
    "client.ip is 10.200.0.1",
    "size < 2 KiB",
    "size <= 1 KiB",
    "size > 1 KiB",
    "size is 1 KiB",
    "direction is outbound",
    "direction in [inbound, internal]",
    "recipient is ann@in.example",
    "recipient is @out.example",
    "recipient.local is \"ann+b\"",
];

/// One message of every sort that the tests tell apart.
fn worlds() -> Vec<World> {
    let mut senders = vec![None];
    for local in ["ann", "ann+b", "ann+a", "bob", "dora"] {
        for domain in ["in.example", "out.example", "x.out.example", "y.out.example", "else.example"] {
            senders.push(Some(Address::parse(&format!("{local}@{domain}")).unwrap()));
        }
    }
    let mut out = Vec::new();
    for sender in &senders {
        for ip in ["10.1.0.1", "10.200.0.1", "10.200.0.2", "192.0.2.1", "203.0.113.9"] {
            for size in [512, 1024, 1025, 4096] {
                // Whose sender it is by `sender-must`: its own login by its whole name, and inside by the bare one.
                let own = sender.as_ref().map(ToString::to_string);
                let may = |login: &&str| {
                    let base = sender.as_ref().map(|s| s.without_extension().unwrap_or_else(|| s.clone()));
                    base.is_none_or(|s| s.local() == *login && s.domain() == "in.example")
                };
                let bare = ["ann", "bob", "carl", "dora"].into_iter().filter(may);
                let logins: Vec<Option<&str>> = own.as_deref().into_iter().chain(bare).map(Some).collect();
                for (to, direction, logins) in [
                    ("ann@in.example", Direction::Inbound, &[None][..]),
                    ("ann+b@in.example", Direction::Internal, &logins),
                    ("ann@out.example", Direction::Outbound, &logins),
                    ("ann+b@out.example", Direction::Outbound, &logins),
                ] {
                    for login in logins {
                        let mut world = World::plain().unwrap();
                        world.sender.clone_from(sender);
                        world.client_ip = ip.parse().unwrap();
                        world.size = size;
                        world.recipient = Address::parse(to).unwrap();
                        world.direction = direction;
                        world.submitted = direction != Direction::Inbound;
                        world.auth_user = login.map(str::to_owned);
                        out.push(world);
                    }
                }
            }
        }
    }
    out
}

fn disclaimer(number: usize, condition: &str) -> String {
    format!(
        "disclaimer \"rule {number}\" {{ when direction in [outbound, internal] and ({condition}) text \"\"\"\n\
         number {number}\n\"\"\" }}\n"
    )
}

fn all_are_found(conditions: &[String]) -> Result<(), TestCaseError> {
    let mut text = HEAD.to_owned();
    for (at, condition) in conditions.iter().enumerate() {
        text.push_str(&disclaimer(at, condition));
    }
    let table = compiled(&text);
    let loaded = Loaded::new(Arc::new(edict_table::emit::emit(&table))).unwrap();
    let (mut scratch, mut matched) = (Scratch::new(), Vec::new());
    let mut want = BTreeSet::new();
    for world in worlds() {
        scratch.begin(&loaded);
        world.facts(|facts| {
            decide::matching(&loaded, Kind::Disclaimer, facts, &mut scratch, &mut matched);
        });
        want.extend(matched.iter().skip(1).map(|id| id.0 as usize));
    }
    let mut found = BTreeSet::new();
    for finding in prove(&table) {
        if let Finding::Undecided { second, .. } = finding {
            found.insert(second);
        }
    }
    let missing: Vec<&usize> = want.difference(&found).collect();
    prop_assert!(missing.is_empty(), "{missing:?} of {text}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn equals_are_found(conditions in proptest::collection::vec(condition(TESTS), 2..7)) {
        all_are_found(&conditions)?;
    }

    /// Most pairs of single tests have nothing in common but for one fact.
    #[test]
    fn equals_by_few_facts_are_found(
        conditions in proptest::collection::vec(proptest::sample::subsequence(TESTS, 1..4), 2..7),
    ) {
        let joined: Vec<String> = conditions.iter().map(|tests| tests.join(" and ")).collect();
        all_are_found(&joined)?;
    }

    /// Two rules alone, so that nothing else is found in place of what they have in common.
    #[test]
    fn equals_by_either_are_found(rules in proptest::collection::vec(either(), 2..3)) {
        all_are_found(&rules)?;
    }
}

/// One of two tests or their opposites, and a third.
fn either() -> impl Strategy<Value = String> {
    let test = || {
        let test = (proptest::sample::select(TESTS), proptest::bool::weighted(0.2));
        test.prop_map(|(test, not)| if not { format!("not ({test})") } else { test.to_owned() })
    };
    (test(), test(), test()).prop_map(|(a, b, c)| format!("({a} or {b}) and {c}"))
}

type Test = fn(usize) -> String;

/// How each rule of many asks for something of its own.
const KEYS: &[(&str, Test)] = &[
    ("sender", |n| format!("sender is u{n}@in.example")),
    ("lists", |n| format!("sender in [u{n}@in.example, v{n}@out.example, @w{n}.example]")),
    ("login", |n| format!("auth.user is \"u{n}\"")),
    ("sender's domain", |n| format!("sender.domain in [d{n}.example, .d{n}.example]")),
    ("sender's local part", |n| format!("sender.local is \"u{n}\"")),
    ("recipient", |n| format!("recipient is u{n}@out.example")),
    ("recipient's domain", |n| format!("recipient.domain is d{n}.example")),
    ("network", |n| format!("client.ip in [10.{}.{}.0/24]", n / 256, n % 256)),
    ("either", |n| format!("(sender is u{n}@in.example or sender is @e{n}.example)")),
    ("excepted", |n| format!("sender is u{n}@in.example and not recipient is @friend.example")),
];

/// Rounds and pairs of so many rules; nothing is wrong with them.
fn effort(most: usize, rule: &dyn Fn(usize) -> String) -> (usize, usize) {
    let head = "edict 1\nprofile { local-domains [in.example] }\n".to_owned();
    let table = compiled(&(0..most).fold(head, |text, n| text + &rule(n) + "\n"));
    let space = Space::new(&table);
    let found = prove_in(&space);
    assert!(found.is_empty(), "{found:?}");
    (space.rounds(), space.pairs())
}

/// Twice the rules take about twice the effort.
fn grows_with_rules(name: &str, rule: &dyn Fn(usize) -> String) {
    let (few, many) = (effort(60, rule), effort(120, rule));
    assert!(many.0 <= few.0 * 2 + 10, "{name}: {few:?} rounds and pairs, then {many:?}");
    assert!(many.1 <= few.1 * 2 + 10, "{name}: {few:?} rounds and pairs, then {many:?}");
}

#[test]
fn rules_with_keys_of_their_own_are_not_held_against_each_other() {
    for (name, key) in KEYS {
        grows_with_rules(&format!("quotas by {name}"), &|n| {
            format!("quota \"r{n}\" {{ per user at most {} messages per day when {} }}", n + 1, key(n))
        });
        grows_with_rules(&format!("disclaimers by {name}"), &|n| disclaimer(n, &key(n)));
        grows_with_rules(&format!("routes by {name}"), &|n| {
            let relay = format!("relay x{n} {{ host x{n}.example:25 }}");
            format!("{relay}\nroute \"r{n}\" {{ local yes when {} via x{n} }}", key(n))
        });
        grows_with_rules(&format!("copies by {name}"), &|n| {
            format!("bcc \"r{n}\" {{ to copy{n}@in.example when {} }}", key(n))
        });
        for verb in ["reject", "defer", "discard", "hold"] {
            let reply = |n| if verb == "reject" { format!("reply \"no {n}\"") } else { String::new() };
            grows_with_rules(&format!("{verb} by {name}"), &|n| {
                format!("{verb} \"r{n}\" {{ {} when {} }}", reply(n), key(n))
            });
        }
        grows_with_rules(&format!("allows by {name}"), &|n| {
            let content = format!("allow \"a{n}\" {{ when {} and subject contains \"t{n}\" }}", key(n));
            format!("{content}\nreject \"r{n}\" {{ when {} }}", key(n + 1_000))
        });
    }
}

#[test]
fn rules_by_size_are_not_held_against_each_other() {
    grows_with_rules("quotas by size", &|n| {
        let to = n + 1;
        format!(
            "quota \"r{n}\" {{ per user at most {to} messages per day when size > {n} KiB and size <= {to} KiB }}"
        )
    });
}

/// Where rules by different facts never meet for another reason, questions stay few.
#[test]
fn rules_by_keys_of_different_facts_take_few_rounds() {
    let rule = |n: usize| {
        let key = match n % 2 {
            0 => format!("sender is u{n}@in.example and size > 1 MiB"),
            _ => format!("auth.user is \"u{n}\" and size <= 1 MiB"),
        };
        format!("quota \"r{n}\" {{ per user at most {} messages per day when {key} }}", n + 1)
    };
    let (few, many) = (effort(60, &rule).0, effort(120, &rule).0);
    assert!(many <= few * 2 + 10, "{few} rounds, then {many}");
}

/// Which rules are said not to be proved to the end.
fn unfinished(text: &str) -> Vec<usize> {
    let mut out = Vec::new();
    for finding in prove(&compiled(text)) {
        match finding {
            Finding::Unfinished { rules } => out.extend(rules),
            Finding::Undecided { .. } => panic!("{finding:?}"),
            _ => {}
        }
    }
    out
}

/// A rule whose bound is met is named, as long as it may still meet another; one that is proved is not.
#[test]
fn rules_that_take_too_long_are_named() {
    let ors = |from: usize, to: usize| {
        (from..to).map(|n| format!("size is {n} KiB")).collect::<Vec<_>>().join(" or ")
    };
    let quota = |n: usize, when: &str| {
        format!("quota \"r{n}\" {{ per user at most {} messages per day when {when} }}\n", n + 1)
    };
    // What leaves nothing of a fact together is found without a question.
    let apart = quota(0, &ors(1, 40)) + &quota(1, &ors(40, 80));
    assert!(unfinished(&format!("{HEAD}{apart}")).is_empty());
    // The subject of a mail is one, but tests of its beginning are no ranges.
    let begins = |from: u32, to: u32| {
        let letter = |n| format!("subject starts with \"{}z\"", char::from_u32(n).unwrap());
        (0x4e00 + from..0x4e00 + to).map(letter).collect::<Vec<_>>().join(" or ")
    };
    let few = quota(0, &begins(0, 10)) + &quota(1, &begins(10, 20));
    assert!(unfinished(&format!("{HEAD}{few}")).is_empty());
    let many = quota(0, &begins(0, 25)) + &quota(1, &begins(25, 50));
    assert_eq!(unfinished(&format!("{HEAD}{many}")), [1]);
}
