//! What `sender-must` leaves: the daemon refuses the rest at MAIL, so no rule decides about it.

use super::{compiled, condition, found, table, want};
use edict_compiler::prove::world::World;
use edict_compiler::prove::{Finding, prove};
use edict_table::facts::Direction;
use edict_table::load::Loaded;
use edict_table::owner::may_send_as;
use edict_table::value::Address;
use proptest::prelude::*;
use std::sync::Arc;

pub(super) const ALIASES: &str = "alias sales = ann\nalias team = [ann, bob] { may-send [carl] }\n";

pub(super) fn head(must: &str) -> String {
    format!("edict 1\nprofile {{ local-domains [in.example] sender-must {must} }}\n{ALIASES}")
}

const TESTS: &[&str] = &[
    "auth.user is \"ann@in.example\"",
    "auth.user is \"ann\"",
    "auth.user in [\"bob\", \"bob@in.example\", \"carl\"]",
    "auth.user in [\"x@out.example\", \"ann\"]",
    "auth.user is present",
    "sender is ann@in.example",
    "sender is bob@in.example",
    "sender is sales@in.example",
    "sender in [team@in.example, x@out.example]",
    "sender is x@out.example",
    "sender is @out.example",
    "sender.domain is in.example",
    "sender.local is \"ann\"",
    "sender is absent",
    "direction is outbound",
    "direction is internal",
];

/// One message of every sort that the tests tell apart and the daemon takes.
fn worlds(head: &str) -> Vec<World> {
    let table = compiled(head);
    let loaded = Loaded::new(Arc::new(edict_table::emit::emit(&table))).unwrap();
    let mut out = Vec::new();
    let names =
        ["ann", "ann+x", "bob+x", "sales+x", "team+x", "x+x", "bob", "carl", "dora", "sales", "team", "x"];
    let at = |domain: &str| names.map(|name| format!("{name}@{domain}"));
    let senders: Vec<String> =
        at("in.example").into_iter().chain(at("out.example")).chain(at("else.example")).collect();
    let logins: Vec<String> = names.map(str::to_owned).into_iter().chain(senders.iter().cloned()).collect();
    let senders: Vec<Option<Address>> =
        senders.iter().map(|sender| Address::parse(sender).ok()).chain([None]).collect();
    for sender in &senders {
        for login in logins.iter().map(Some).chain([None]) {
            let fits =
                |login: &String| sender.as_ref().is_none_or(|sender| may_send_as(&loaded, login, sender));
            if !login.is_none_or(fits) {
                continue;
            }
            for (to, direction) in [
                ("dora@in.example", if login.is_some() { Direction::Internal } else { Direction::Inbound }),
                ("dora@out.example", Direction::Outbound),
            ] {
                let mut world = World::plain().unwrap();
                world.sender.clone_from(sender);
                world.auth_user = login.cloned();
                if direction == Direction::Outbound && login.is_none() {
                    world.client_ip = "127.0.0.1".parse().unwrap();
                }
                world.recipient = Address::parse(to).unwrap();
                (world.direction, world.submitted) = (direction, direction != Direction::Inbound);
                out.push(world);
            }
            // A trusted network submits by an inside sender.
            if login.is_none() && sender.as_ref().is_some_and(|sender| sender.domain() == "in.example") {
                let mut world = World::plain().unwrap();
                world.sender.clone_from(sender);
                world.client_ip = "127.0.0.1".parse().unwrap();
                world.recipient = Address::parse("dora@in.example").unwrap();
                (world.direction, world.submitted) = (Direction::Internal, true);
                out.push(world);
            }
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_told_of_logins_is_so(
        must in proptest::sample::select(&["be-anything", "equal-login", "own-address"]),
        rules in proptest::collection::vec((condition(TESTS), 0u8..3, 1u8..3), 1..5),
    ) {
        let head = head(must);
        let table = table(&head, &rules);
        let (found, want) = (found(&table)?, want(&table, &worlds(&head)));
        // Where a login is only excluded, not all senders are tried: something may stay untold.
        prop_assert!(found.0.is_subset(&want.0), "dead rules of {:#?}: {:?}, not {:?}", rules, found.0, want.0);
        prop_assert!(found.1.is_subset(&want.1), "overruled of {:#?}: {:?}, not {:?}", rules, found.1, want.1);
    }
}

/// Whether two quotas with these conditions are said to claim one message, and the login and sender shown.
fn both(head: &str, one: &str, other: &str) -> Option<(String, String)> {
    let quota = |n: usize, when: &str| {
        format!("quota \"r{n}\" {{ per user at most {n} messages per day when {when} }}\n")
    };
    let found = prove(&compiled(&format!("{head}{}{}", quota(1, one), quota(2, other))));
    found.into_iter().find_map(|finding| {
        let Finding::Undecided { example, .. } = finding else { return None };
        let said = |word: &str| example.iter().find_map(|line| line.strip_prefix(word)).map(str::to_owned);
        Some((said("login ")?, said("sender ")?))
    })
}

#[test]
fn nobody_claims_what_is_refused() {
    let (own, equal, any) = (head("own-address"), head("equal-login"), head("be-anything"));
    let ann = "auth.user is \"ann@in.example\"";
    for foreign in [
        "sender is bob@in.example",
        "sender is @.out.example",
        "sender.domain is out.example",
        "sender is team@in.example",
    ] {
        assert_eq!(both(&own, foreign, ann), None, "{foreign}");
        assert_eq!(both(&equal, foreign, ann), None, "{foreign}");
        assert!(both(&any, foreign, ann).is_some(), "{foreign}");
    }
    let pair = |login: &str, sender: &str| Some((login.to_owned(), sender.to_owned()));
    // An alias of her own, and her own address among many.
    assert_eq!(both(&own, "sender is sales@in.example", ann), pair("ann@in.example", "sales@in.example"));
    assert_eq!(both(&equal, "sender is sales@in.example", ann), None);
    assert_eq!(
        both(&own, "sender is team@in.example", "auth.user is \"carl\""),
        pair("carl", "team@in.example")
    );
    let many = "sender in [@.out.example, aaron@in.example, ann@in.example]";
    assert_eq!(
        both(&own, many, "auth.user in [\"zoe\", \"ann@in.example\"]"),
        pair("ann@in.example", "ann@in.example")
    );
    assert_eq!(both(&own, "sender is ann+x@in.example", ann), pair("ann@in.example", "ann+x@in.example"));
    assert_eq!(both(&equal, "sender is ann+x@in.example", ann), None);
}

/// At a domain alias the same names are owned.
#[test]
fn a_domain_alias_is_the_domain() {
    let head =
        "edict 1\nprofile { local-domains [in.example] domain-aliases [alias.example is in.example] }\n";
    let ann = "auth.user is \"ann@in.example\"";
    let found = both(head, "sender.domain is alias.example", ann);
    assert_eq!(found, Some(("ann@in.example".to_owned(), "ann@alias.example".to_owned())));
    assert_eq!(both(head, "sender is bob@alias.example", ann), None);
}

#[test]
fn patterns_find_their_login() {
    let alias = "edict 1\nprofile { local-domains [in.example] }\nalias solo@in.example = [bob@in.example]\n";
    for (one, other) in [
        ("not sender matches \"b*\"", "auth.user matches \"b*\""),
        ("not sender.local starts with \"b\"", "auth.user starts with \"b\""),
        ("sender matches \"s*\"", "auth.user matches \"b*\""),
        ("sender.local starts with \"s\"", "auth.user starts with \"b\""),
        ("sender.local ends with \"z\"", "auth.user starts with \"b\""),
    ] {
        assert!(both(alias, one, other).is_some(), "{one}, {other}");
    }
    let equal = "edict 1\nprofile { local-domains [in.example] sender-must equal-login }\n";
    assert!(both(equal, "not sender matches \"b*\"", "auth.user matches \"b*\"").is_some());
    assert!(both(equal, "sender matches \"s*\"", "auth.user matches \"b*\"").is_none());
}
