//! What must hold for every message, however it is made: property tests over recipients, aliases, fates,
//! copies and bytes that no mail program would write.

use crate::support::{Desk, Mail, Rules, When, message};
use edict_runtime::envelope::{DispatchKind, Fate, Record};
use edict_table::facts::Direction;
use edict_table::value::Address;
use proptest::prelude::*;
use std::collections::BTreeSet;

const NAMES: [&str; 8] = ["a", "b", "c", "d", "postmaster", "a+x", "E", "\"q r\""];
const DOMAINS: [&str; 5] = ["example.com", "second.example", "other.example", "far.example", "EXAMPLE.com"];

fn address() -> impl Strategy<Value = String> {
    (0..NAMES.len(), 0..DOMAINS.len())
        .prop_map(|(name, domain)| format!("{}@{}", NAMES[name], DOMAINS[domain]))
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![4 => Just(Fate::Deliver), 1 => Just(Fate::Hold), 1 => Just(Fate::Discard)]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just("Subject: x".to_owned()),
        Just("Bcc: hidden@x.example".to_owned()),
        Just("X-Edict-Recipient: <forged@x.example>".to_owned()),
        Just("Content-Type: multipart/mixed; boundary=b".to_owned()),
        Just("Content-Type: text/html".to_owned()),
        Just("--b".to_owned()),
        Just("--b--".to_owned()),
        Just(String::new()),
        Just(" folded".to_owned()),
        "[ -~]{0,80}",
        "\\PC{0,20}",
    ];
    let lines =
        proptest::collection::vec(line, 0..20).prop_map(|lines| (lines.join("\r\n") + "\r\n").into_bytes());
    prop_oneof![8 => lines, 1 => proptest::collection::vec(any::<u8>(), 0..200)]
}

fn apply(record: &Record, place: usize) -> Vec<u8> {
    let variant = &record.variants[record.dispatches[place].variant as usize];
    let mut out = Vec::new();
    let mut at = 0;
    for splice in &variant.splices {
        let (start, end) = (splice.start as usize, splice.end as usize);
        assert!(at <= start && start <= end && end <= record.bytes.len(), "splices in order and in range");
        out.extend_from_slice(&record.bytes[at..start]);
        out.extend_from_slice(&splice.bytes);
        at = end;
    }
    out.extend_from_slice(&record.bytes[at..]);
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn everybody_gets_it_once_and_nobody_learns_of_copies(
        aliases in proptest::collection::btree_map(address(), proptest::collection::vec(address(), 1..4), 0..4),
        owned in any::<bool>(),
        given in proptest::collection::vec((address(), fate()), 1..8),
        to in proptest::collection::vec(address(), 0..4),
        options in prop_oneof![Just(""), Just("record"), Just("modified"), Just("modified record")],
        submitted in any::<bool>(),
        sender in prop_oneof![Just(String::new()), address()],
        bytes in bytes(),
    ) {
        let mut rules = Rules::new();
        let mut keys = BTreeSet::new();
        for (key, members) in &aliases {
            let key = Address::parse(key).unwrap();
            // As the compiler makes them: for inside addresses, each key once.
            if ["example.com", "second.example"].contains(&key.domain()) && keys.insert(key.clone()) {
                let members: Vec<&str> = members.iter().map(String::as_str).collect();
                rules = rules.alias(key.as_str(), &members, owned.then_some("owner@example.com"));
            }
        }
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        if !to.is_empty() {
            rules = rules.bcc("copy rule", When::Always, &to, options);
        }
        let table = rules.disclaimer("legal", 100, When::Going(&[Direction::Outbound]), |_| {}).load();
        let names: Vec<&str> = given.iter().map(|(name, _)| name.as_str()).collect();
        let mail = if submitted {
            Mail::submitted(&table, &sender, &names)
        } else {
            Mail::arriving(&table, &sender, &names)
        };
        let mail = mail.bytes(bytes.clone()).with(|incoming| {
            incoming.recipients.iter_mut().zip(&given).for_each(|(have, (_, fate))| have.fate = *fate);
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let desk = Desk::new();
        let receipt = runtime.block_on(desk.send(mail));
        prop_assert!(receipt.is_ok(), "{:?}", receipt);
        if given.iter().all(|(_, fate)| *fate == Fate::Discard) {
            prop_assert!(desk.shelf.records.lock().unwrap().is_empty());
            return Ok(());
        }
        let record = desk.last();
        prop_assert!(record.variants[0].splices.is_empty());
        prop_assert!(record.dispatches.iter().all(|dispatch| !dispatch.recipients.is_empty()));
        let mut reached = BTreeSet::new();
        for (place, dispatch) in record.dispatches.iter().enumerate() {
            let text = apply(&record, place);
            let copy = dispatch.kind != DispatchKind::Message;
            prop_assert_eq!(text.starts_with(b"X-Edict-Copy: "), copy);
            if copy {
                prop_assert_eq!(dispatch.sender.as_str(), "postmaster@example.com");
                continue;
            }
            if text.is_ascii() {
                prop_assert!(!message(&record, place).contains("copy rule"));
            }
            for target in &dispatch.recipients {
                let address = Address::parse(&target.address).unwrap();
                prop_assert_eq!(target.inside, table.is_inside(address.domain()));
                prop_assert!(reached.insert(address), "{} gets it twice", target.address);
            }
        }
        // Whoever no alias changes and no verdict drops is among them.
        for (name, fate) in &given {
            let address = Address::parse(name).unwrap();
            if *fate != Fate::Discard && table.alias(&address).is_none() {
                prop_assert!(reached.contains(&address), "{} does not get it", name);
            }
        }
        // The message itself stands unharmed behind our trace fields, a submitted Bcc excepted.
        if !submitted {
            prop_assert!(record.bytes.ends_with(&bytes));
        }
    }
}
