//! Two rules, one by login and one by a sender or From, which `sender-must` holds together: what claims one message is
//! told, and shown with mail that the daemon takes.

use super::owners::{ALIASES, head};
use super::{compiled, condition};
use edict_compiler::prove::world::World;
use edict_compiler::prove::{Finding, prove};
use edict_table::decide::{self, Scratch};
use edict_table::facts::{Direction, HeaderFacts, HeaderField};
use edict_table::load::Loaded;
use edict_table::model::Kind;
use edict_table::owner::{may_send_as, may_write};
use edict_table::value::Address;
use proptest::prelude::*;
use std::sync::Arc;

const PATTERNS: &[&str] = &[
    "sender matches \"b*\"",
    "sender matches \"s*\"",
    "sender matches \"*+*\"",
    "sender.local starts with \"b\"",
    "sender.local starts with \"s\"",
    "sender.local ends with \"n\"",
    "sender.local is \"bob\"",
    "sender.domain is alias.example",
    "sender is absent",
    "auth.user matches \"b*\"",
    "auth.user matches \"?o*\"",
    "auth.user starts with \"b\"",
    "auth.user starts with \"a\"",
    "auth.user ends with \"@in.example\"",
    "auth.user is \"bob\"",
    "auth.user is present",
];

const AUTHORS: &[&str] = &[
    "from is bob@in.example",
    "from is ann@in.example",
    "from is sales@in.example",
    "from is x@out.example",
    "from is present",
    "from matches \"b*\"",
    "header(\"from\") contains \"bob\"",
    "header(\"from\") is present",
    "auth.user is \"ann\"",
    "auth.user in [\"bob@in.example\", \"carl\"]",
    "auth.user starts with \"b\"",
    "auth.user is present",
    "sender is sales@in.example",
    "sender is absent",
    "sender.local starts with \"a\"",
];

/// Mail that leaves, of every sort that these tests tell apart and the daemon takes.
fn leaving(loaded: &Loaded, with_from: bool) -> Vec<World> {
    let few = ["ann", "bob", "bob+x", "sales", "x"];
    let names =
        if with_from { &few[..] } else { &["ann", "bob", "bob+x", "sales", "sales+x", "team", "carl", "x"] };
    let domains: &[&str] = if with_from {
        &["in.example", "out.example"]
    } else {
        &["in.example", "alias.example", "out.example"]
    };
    let addresses: Vec<Address> = domains
        .iter()
        .flat_map(|domain| names.iter().map(move |name| Address::parse(&format!("{name}@{domain}")).unwrap()))
        .collect();
    let logins = addresses
        .iter()
        .map(ToString::to_string)
        .chain(names.iter().map(|name| (*name).to_owned()))
        .map(Some);
    let mut authors: Vec<(Vec<Address>, String)> = vec![(Vec::new(), String::new())];
    for from in addresses.iter().filter(|_| with_from) {
        authors.extend(["", "bob "].map(|name| (vec![from.clone()], format!("{name}<{from}>"))));
        let pairs = addresses.iter().filter(|other| *other > from);
        authors.extend(pairs.map(|other| (vec![from.clone(), other.clone()], format!("{from}, {other}"))));
    }
    let mut out = Vec::new();
    for login in logins.chain([None]) {
        for sender in addresses.iter().cloned().map(Some).chain([None]) {
            let foreign = |login: &String| sender.as_ref().is_some_and(|s| !may_send_as(loaded, login, s));
            if login.as_ref().is_some_and(foreign) {
                continue;
            }
            for (from, value) in &authors {
                let mut world = World::plain().unwrap();
                if !from.is_empty() {
                    let field = HeaderField { name: "from".to_owned(), value: value.clone() };
                    world.header =
                        HeaderFacts { from: from.clone(), fields: vec![field], ..HeaderFacts::default() };
                }
                let refused = |login: &String| !may_write(loaded, login, &world.header);
                if with_from && login.as_ref().is_some_and(refused) {
                    continue;
                }
                if login.is_none() {
                    world.client_ip = "127.0.0.1".parse().unwrap();
                }
                world.sender.clone_from(&sender);
                world.auth_user.clone_from(&login);
                (world.direction, world.submitted) = (Direction::Outbound, true);
                out.push(world);
            }
        }
    }
    out
}

fn aliased(must: &str) -> String {
    format!(
        "edict 1\nprofile {{ local-domains [in.example] domain-aliases [alias.example is in.example] sender-must {must} }}\n{ALIASES}alias solo@in.example = bob@in.example\n"
    )
}

fn loaded(text: &str) -> Loaded {
    Loaded::new(Arc::new(edict_table::emit::emit(&compiled(text)))).unwrap()
}

/// Whether the proofs tell of two disclaimers what the table has: an example is mail that the daemon takes, and where
/// one of these messages is claimed by both there is one.
fn claims_are_found(must: &str, conditions: &[String], worlds: &[World]) -> Result<(), TestCaseError> {
    let rule = |(n, when): (usize, &String)| {
        format!(
            "disclaimer \"r{n}\" {{ when direction is outbound and ({when}) text \"\"\"\n{n}\n\"\"\" }}\n"
        )
    };
    let rules: String = conditions.iter().enumerate().map(rule).collect();
    let text = format!("{}{rules}", aliased(must));
    let (table, loaded) = (compiled(&text), loaded(&text));
    let (mut scratch, mut matched) = (Scratch::new(), Vec::new());
    let met = worlds.iter().find(|world| {
        scratch.begin(&loaded);
        world.facts(|facts| decide::matching(&loaded, Kind::Disclaimer, facts, &mut scratch, &mut matched));
        matched.len() == 2
    });
    let found = prove(&table);
    let shown = found.iter().find_map(|finding| match finding {
        Finding::Undecided { example, .. } => Some(example),
        _ => None,
    });
    let Some(example) = shown else {
        let silent = met.as_ref().map(|world| world.lines("UTC"));
        prop_assert!(met.is_none(), "{}: {:#?} not told of {:#?}", must, silent, conditions);
        return Ok(());
    };
    prop_assert!(!example.is_empty());
    let said = |word: &str| example.iter().find_map(|line| line.strip_prefix(word));
    let Some(login) = said("login ") else { return Ok(()) };
    if must == "be-anything" {
        return Ok(());
    }
    let sender = Address::parse(said("sender ").unwrap()).ok();
    prop_assert!(
        sender.is_none_or(|sender| may_send_as(&loaded, login, &sender)),
        "{}: {:#?} of {:#?}",
        must,
        example,
        conditions
    );
    for value in example.iter().filter_map(|line| line.strip_prefix("header from: ")) {
        for from in value.split(", ") {
            let from = from.rsplit('<').next().unwrap().trim_end_matches('>');
            let own = Address::parse(from).is_ok_and(|from| may_send_as(&loaded, login, &from));
            prop_assert!(own, "{}: {:#?} of {:#?}", must, example, conditions);
        }
    }
    Ok(())
}

/// Each test and its opposite beside each other.
fn pairs(tests: &[&str], with_from: bool) {
    let each: Vec<String> =
        tests.iter().flat_map(|test| [(*test).to_owned(), format!("not {test}")]).collect();
    for must in ["equal-login", "own-address"] {
        let worlds = leaving(&loaded(&aliased(must)), with_from);
        for (at, one) in each.iter().enumerate() {
            for other in each.iter().skip(at + 1) {
                claims_are_found(must, &[one.clone(), other.clone()], &worlds).unwrap();
            }
        }
    }
}

#[test]
fn patterns_of_senders_and_logins_meet() {
    pairs(PATTERNS, false);
}

#[test]
fn authors_are_the_logins() {
    pairs(AUTHORS, true);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Of more tests something may stay untold.
    #[test]
    fn what_is_shown_is_taken(
        must in proptest::sample::select(&["equal-login", "own-address"]),
        rules in proptest::collection::vec(prop_oneof![condition(PATTERNS), condition(AUTHORS)], 2),
    ) {
        claims_are_found(must, &rules, &[])?;
    }
}

/// What nobody may write in From is no conflict, but of a trusted network, which may.
#[test]
fn nobody_claims_what_is_refused_for_its_from() {
    let claims = |must: &str, one: &str, other: &str| {
        let rule = |n: u8, when: &str| {
            format!(
                "disclaimer \"r{n}\" {{ when direction is outbound and {when} text \"\"\"\n{n}\n\"\"\" }}\n"
            )
        };
        let found = prove(&compiled(&format!("{}{}{}", head(must), rule(1, one), rule(2, other))));
        found
            .into_iter()
            .find_map(|f| if let Finding::Undecided { example, .. } = f { Some(example) } else { None })
    };
    let (bob, ann) = ("from is bob@in.example", "auth.user is \"ann\"");
    assert_eq!(claims("own-address", bob, ann), None);
    assert_eq!(claims("equal-login", bob, ann), None);
    assert!(claims("be-anything", bob, ann).is_some());
    let both = "auth.user is present and from is ann@in.example";
    assert_eq!(claims("own-address", both, bob), None);
    // Her own, and that of an alias of hers.
    let hers = claims("own-address", both, "from is sales@in.example").unwrap();
    for line in ["login ann@in.example", "header from: ann@in.example", "header from: sales@in.example"] {
        assert!(hers.iter().any(|l| l == line), "{line}: {hers:#?}");
    }
    // The network that is trusted may write anything.
    let trusted = claims("own-address", bob, "from is ann@in.example").unwrap();
    assert!(
        trusted.iter().any(|line| line == "client 127.0.0.0" || line == "client 127.0.0.1"),
        "{trusted:#?}"
    );
    assert!(!trusted.iter().any(|line| line.starts_with("login ")), "{trusted:#?}");
    // Where only others are excluded, From is her own.
    let other = claims("own-address", "not from is ann@in.example", ann).unwrap();
    assert!(other.iter().any(|line| line.starts_with("header from: ")), "{other:#?}");
}
