//! `+extension`: at inside domains a key covers the extensions of its local part, elsewhere itself alone.

use super::{condition, found, proofs, staging, table, want};
use edict_compiler::prove::world::World;
use edict_table::facts::{Direction, HeaderField};
use edict_table::value::Address;
use proptest::prelude::*;

const HEAD: &str = "edict 1\nprofile { local-domains [in.example] }\n\
    list some: address = [ann@in.example, bob@out.example, bob+y@in.example]\n\
    group staff = [ann@in.example, bob@in.example]\n\
    list names: text = [\"ann\", \"bob+y\"]\n";

/// Tests that tell apart only what [`worlds`] has.
const TESTS: &[&str] = &[
    "sender is ann@in.example",
    "sender is ann@out.example",
    "sender is ann+x@in.example",
    "sender is ann+x@out.example",
    "sender is ann@",
    "sender is ann+x@",
    "sender is bob@",
    "sender in some",
    "sender in group staff",
    "sender in local-domains",
    "sender.domain is out.example",
    "sender.local is \"ann\"",
    "sender.local in names",
    "sender.local contains \"+\"",
    "sender.local starts with \"ann+\"",
    "sender.local ends with \"+x\"",
    "recipient is ann@in.example",
    "recipient is ann+x@in.example",
    "recipient is bob@out.example",
    "recipient is ann@",
    "recipient in some",
    "recipient in group staff",
    "recipient.local contains \"+\"",
    "recipient.local is \"bob+y\"",
    "subject contains \"ab\"",
];

/// Tests by which some questions stay open, on the same messages.
const GLOBS: &[&str] = &[
    "sender matches \"*+*\"",
    "recipient matches \"*+*\"",
    "recipient matches \"ann+*\"",
    "recipient in group staff",
    "recipient is ann+x@in.example",
    "recipient.local contains \"+\"",
    "sender in some",
    "sender is ann@",
    "sender.local in names",
];

const LOCALS: &[&str] =
    &["ann", "ann+x", "ann+y", "ann+y+x", "bob", "bob+x", "bob+y", "carl", "carl+x", "carl+y", "+x", "+y"];

/// One message of every sort that the tests tell apart.
fn worlds() -> Vec<World> {
    let address = |domain| move |local: &&str| Address::parse(&format!("{local}@{domain}")).unwrap();
    let at = |domain| LOCALS.iter().map(address(domain)).collect::<Vec<_>>();
    let (inside, outside, third) = (at("in.example"), at("out.example"), at("third.example"));
    let senders: Vec<Option<&Address>> =
        inside.iter().chain(&outside).chain(&third).map(Some).chain([None]).collect();
    let mut out = Vec::new();
    for recipient in inside.iter().chain(&outside).chain(&third) {
        for sender in &senders {
            for login in [None, Some("ann")] {
                let direction = match (recipient.domain() == "in.example", login) {
                    (true, None) => Direction::Inbound,
                    (true, Some(_)) => Direction::Internal,
                    (false, Some(_)) => Direction::Outbound,
                    (false, None) => continue,
                };
                for subject in [None, Some("ab")] {
                    let mut world = World::plain().unwrap();
                    world.recipient = recipient.clone();
                    world.sender = sender.cloned();
                    world.direction = direction;
                    world.submitted = login.is_some();
                    world.auth_user = login.map(str::to_owned);
                    world.header.fields.extend(
                        subject
                            .map(|value| HeaderField { name: "subject".to_owned(), value: value.to_owned() }),
                    );
                    out.push(world);
                }
            }
        }
    }
    out
}

/// All extensions at inside domains are named at once: none of them is looked for.
#[test]
fn extensions_of_a_name_are_its_own() {
    for (last, dead) in [("contains \"+\"", true), ("starts with \"a\"", false)] {
        let condition = format!("sender is ann@ and not sender is ann@in.example and sender.local {last}");
        let (never, _) = found(&table(HEAD, &[(condition, 0, 1)])).unwrap();
        assert_eq!(never.len(), usize::from(dead), "{last}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn extensions_are_exact(rules in proptest::collection::vec((condition(TESTS), 0u8..3, 1u8..3), 1..6)) {
        proofs(&table(HEAD, &rules), &worlds(), &rules)?;
    }

    #[test]
    fn what_is_told_of_globs_is_so(rules in proptest::collection::vec((condition(GLOBS), 0u8..3, 1u8..3), 1..6)) {
        let table = table(HEAD, &rules);
        let (found, want) = (found(&table)?, want(&table, &worlds()));
        prop_assert!(found.0.is_subset(&want.0), "dead rules of {:#?}: {:?}", rules, found.0);
        prop_assert!(found.1.is_subset(&want.1), "overruled rules of {:#?}: {:?}", rules, found.1);
    }

    #[test]
    fn stages_know_extensions(rules in proptest::collection::vec((condition(TESTS), 0u8..3, 1u8..4), 1..6)) {
        staging(&table(HEAD, &rules), &worlds(), &rules)?;
    }
}
