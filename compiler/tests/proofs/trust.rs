//! Who is submitted: a login; a trusted network where the recipient is outside or the sender inside.

use super::{condition, found, proofs, table};
use edict_compiler::prove::world::World;
use edict_compiler::prove::{Finding, prove};
use edict_table::fact::RESULTS;
use edict_table::facts::Direction;
use edict_table::value::Address;
use proptest::prelude::*;

const HEAD: &str = "edict 1\nprofile { local-domains [in.example] }\n";

const TESTS: &[&str] = &[
    "client.ip in trusted",
    "client.ip is 127.0.0.1",
    "sender in local-domains",
    "sender is ann@in.example",
    "sender is x@out.example",
    "sender is absent",
    "auth.user is present",
    "auth.user is \"ann@in.example\"",
    "submitted",
    "direction is inbound",
    "direction is internal",
    "direction is outbound",
    "recipient.domain is in.example",
    "spf is fail",
    "spf in [none, pass]",
    "dmarc is pass",
];

/// One message of every sort that the tests tell apart.
fn worlds() -> Vec<World> {
    let mut out = Vec::new();
    let result = |word: &str| u8::try_from(RESULTS.iter().position(|r| *r == word).unwrap()).unwrap();
    for (client, trusted) in [("127.0.0.1", true), ("127.0.0.2", true), ("203.0.113.9", false)] {
        // A login of elsewhere may write its own address alone, a bare one that at the local domain, and every one `<>`.
        for login in [
            None,
            Some("ann@in.example"),
            Some("bob@in.example"),
            Some("ann"),
            Some("bob"),
            Some("x@out.example"),
            Some("y@out.example"),
        ] {
            for sender in [
                None,
                Some("ann@in.example"),
                Some("bob@in.example"),
                Some("x@out.example"),
                Some("y@out.example"),
            ] {
                if sender
                    .zip(login)
                    .is_some_and(|(s, login)| s != login && s != format!("{login}@in.example"))
                {
                    continue;
                }
                for (recipient, inside) in [("carl@in.example", true), ("carl@out.example", false)] {
                    if !inside && !trusted && login.is_none() {
                        continue;
                    }
                    let sender_inside = sender.is_some_and(|s| s.ends_with("@in.example"));
                    let submitted = login.is_some() || !inside || (trusted && sender_inside);
                    let ours = login.is_some() || trusted;
                    for spf in ["none", "pass", "fail", "neutral"] {
                        for dmarc in ["none", "pass", "fail"] {
                            if ours && (spf, dmarc) != ("none", "none") {
                                continue;
                            }
                            let mut world = World::plain().unwrap();
                            world.client_ip = client.parse().unwrap();
                            world.auth_user = login.map(str::to_owned);
                            world.sender = sender.map(|s| Address::parse(s).unwrap());
                            world.recipient = Address::parse(recipient).unwrap();
                            world.submitted = submitted;
                            world.direction = match (submitted, inside) {
                                (_, false) => Direction::Outbound,
                                (true, true) => Direction::Internal,
                                (false, true) => Direction::Inbound,
                            };
                            (world.spf, world.dmarc) = (result(spf), result(dmarc));
                            out.push(world);
                        }
                    }
                }
            }
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn trust_is_exact(rules in proptest::collection::vec((condition(TESTS), 0u8..3, 1u8..3), 1..6)) {
        proofs(&table(HEAD, &rules), &worlds(), &rules)?;
    }
}

/// At a domain alias a sender is inside, though no list of local domains holds it.
#[test]
fn a_domain_alias_is_inside() {
    let head =
        "edict 1\nprofile { local-domains [in.example] domain-aliases [alias.example is in.example] }\n";
    let rule = |condition: &str| [(condition.to_owned(), 1, 100)];
    let internal = "direction is internal and auth.user is absent and sender.domain is";
    assert!(found(&table(head, &rule(&format!("{internal} alias.example")))).unwrap().0.is_empty());
    assert_eq!(found(&table(head, &rule(&format!("{internal} out.example")))).unwrap().0.len(), 1);
}

/// An example that `sender-must` would refuse shows nothing.
#[test]
fn examples_write_own_addresses() {
    for (one, other, login, sender) in [
        ("sender.domain is out.example", "auth.user is present", "login ", "sender "),
        (
            "sender is ann+x@in.example",
            "auth.user is present",
            "login ann@in.example",
            "sender ann+x@in.example",
        ),
        ("submitted", "auth.user is \"carl\"", "login carl", "sender carl@in.example"),
        ("submitted", "auth.user is present", "login ", "sender "),
    ] {
        let rules = [(one.to_owned(), 1, 50), (format!("{one} and {other}"), 1, 100)];
        let findings = prove(&table(HEAD, &rules));
        let Some(Finding::Overruled { example, .. }) = findings.first() else {
            panic!("{one}, {other}: {findings:?}");
        };
        let said = |word: &str| {
            example.iter().find_map(|line| line.strip_prefix(word)?.strip_prefix(' ')).map(str::to_owned)
        };
        assert!(example.iter().any(|line| line.starts_with(login)), "{example:?}");
        assert!(example.iter().any(|line| line.starts_with(sender)), "{example:?}");
        let (user, from) = (said("login").unwrap(), Address::parse(&said("sender").unwrap()).unwrap());
        let from = from.without_extension().unwrap_or(from);
        let own = from.as_str() == user || (from.local() == user && from.domain() == "in.example");
        assert!(own, "{example:?}");
    }
}
