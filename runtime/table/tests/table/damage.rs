//! One damaged table of each class, with what the loader says; and the corpus that fuzzing starts from.
//!
//! `EDICT_WRITE_CORPUS=1` writes these tables into the corpus, which is to be done when the format changes.

use crate::common::random;
use crate::common::rng::Rng;
use crate::hostile::{HEADER, RECORD, exercise, load, mend, number};
use edict_table::emit::emit;
use edict_table::model::{Action, Condition, ListKind, Reply, Route, Table, Verb, Verdict, Via};
use std::ops::Range;
use std::path::PathBuf;

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

fn table() -> Table {
    random::table(&mut Rng(7), 12)
}

/// Where a section lies, by its number in `format.rs`.
fn section(bytes: &[u8], kind: u32) -> Range<usize> {
    let count = u32::from_le_bytes(bytes[24..28].try_into().unwrap()) as usize;
    for at in (0..count).map(|i| HEADER + i * RECORD) {
        if bytes[at..at + 4] == kind.to_le_bytes() {
            let start = number(bytes, at + 8);
            return start..start + number(bytes, at + 16);
        }
    }
    panic!("no section {kind}");
}

/// Writes a number over one of a section's.
fn put(kind: u32, at: usize, value: u32) -> Vec<u8> {
    let mut bytes = emit(&table());
    let place = section(&bytes, kind).start + at;
    bytes[place..place + 4].copy_from_slice(&value.to_le_bytes());
    mend(&mut bytes);
    bytes
}

/// A sound artifact of a table that no compiler makes.
fn odd(change: impl FnOnce(&mut Table)) -> Vec<u8> {
    let mut table = table();
    change(&mut table);
    emit(&table)
}

fn raw(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = emit(&table());
    change(&mut bytes);
    bytes
}

fn replying(text: &str, code: u16, class: u8) -> Vec<u8> {
    odd(|t| {
        let reply = Some(Reply { code, enhanced: (class, 7, 1), text: text.to_owned() });
        t.rules[0].action = Action::Verdict(Verdict { verb: Verb::Reject, reply });
        t.canonical();
    })
}

/// Name, bytes, and a piece of what is said about it.
fn classes() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    vec![
        ("empty", Vec::new(), "does not begin as a decision table"),
        ("other-file", b"edict 1\nprofile {}\n".to_vec(), "does not begin as a decision table"),
        ("text-transfer", raw(|b| _ = b.remove(6)), "does not begin as a decision table"),
        ("cut-in-header", raw(|b| b.truncate(50)), "cut off"),
        ("cut-in-sections", raw(|b| b.truncate(400)), "cut off"),
        ("cut-at-end", raw(|b| b.truncate(b.len() - 8)), "cut off"),
        ("something-behind", raw(|b| b.extend([0; 16])), "something behind"),
        ("bit-in-policy", raw(|b| b[2000] ^= 1), "checksum"),
        ("bit-in-provenance", raw(|b| *b.iter_mut().rev().nth(9).unwrap() ^= 1), "checksum"),
        ("bit-in-checksum", raw(|b| b[80] ^= 1), "checksum"),
        (
            "fewer-sections",
            raw(|b| {
                b[24] = 40;
                mend(b)
            }),
            "number of sections",
        ),
        (
            "section-elsewhere",
            raw(|b| {
                b[HEADER + 8] ^= 8;
                mend(b)
            }),
            "place of section `profile`",
        ),
        (
            "section-too-long",
            raw(|b| {
                b[HEADER + 16 + 6] = 1;
                mend(b)
            }),
            "place of section `profile`",
        ),
        ("profile-of-nonsense", put(1, 0, u32::MAX), "section `profile`"),
        ("list-of-no-kind", put(7, 8, 9), "kind of a list"),
        ("list-with-other-count", put(7, 12, 1000), "number of entries"),
        ("fact-unknown", put(8, 0, 200), "a fact"),
        ("test-of-no-kind", put(9, 4, 77), "a test that does not fit its fact"),
        ("test-in-other-column", put(9, 0, 5), "a fact"),
        ("test-order-twice", put(10, 0, 1), "order of tests"),
        ("node-of-no-kind", put(12, 0, 9), "a condition"),
        ("child-is-parent", put(13, 0, 10_000), "children"),
        ("rule-without-condition", put(15, 12, 10_000), "condition of a rule"),
        ("rule-without-action", put(15, 16, 10_000), "an action"),
        ("rule-without-name", put(15, 0, 1 << 30), "name of a rule"),
        ("rule-out-of-order", put(15, 8, 1 << 30), "order of rules"),
        ("set-backwards", put(16, 4, 1 << 20), "ends of sets"),
        ("slot-beside-key", put(20, 12, 3), "slot"),
        ("slots-of-one-home", put(20, 0, 0), "wrong slot"),
        ("key-of-nothing", put(21, 0, 5000), "in no list"),
        ("key-past-end", put(21, 4, 0x0000_ffff), "past the end"),
        ("alias-of-nothing", put(25, 0, 9), "another key"),
        ("network-starts-late", put(26, 0, 7), "networks"),
        ("network-set-of-nothing", put(27, 0, 7000), "networks"),
        ("posting-backwards", put(32, 0, u32::MAX), "postings"),
        ("posting-of-no-rule", put(33, 0, 5000), "postings"),
        ("group-of-no-column", put(38, 0, 5000), "postings"),
        ("guard-of-nothing", put(40, 0, 5000), "guard"),
        ("origin-in-no-file", put(256, 0, 5000), "file of a rule"),
        ("reply-with-line-break", replying("no\r\n250 ok", 550, 5), "reply"),
        ("reply-of-other-class", replying("no", 550, 2), "reply"),
        ("reject-with-250", replying("no", 250, 2), "reply"),
        (
            "relay-of-nothing",
            odd(|t| {
                t.relays.clear();
                let route = Route { via: Via::Relay("none".to_owned()), local: false };
                t.rules[0].action = Action::Route(route);
                t.canonical()
            }),
            "relay",
        ),
        ("zone-of-nothing", odd(|t| t.profile.trusted_networks.push("none".to_owned())), "trusted network"),
        ("domain-not-normal", odd(|t| t.profile.local_domains.push("A.Example".to_owned())), "local domain"),
        (
            "one-name-twice",
            odd(|t| {
                t.rules[1].name = t.rules[0].name.clone();
                t.canonical()
            }),
            "name of a rule",
        ),
        (
            "list-of-texts-on-mailbox",
            odd(|t| t.lists.iter_mut().for_each(|l| l.kind = ListKind::Text)),
            "fit",
        ),
        (
            "condition-explodes",
            odd(|t| {
                for _ in 0..40 {
                    let last = t.conditions.len() as u32 - 1;
                    t.conditions.push(Condition::All(vec![last, last]));
                }
            }),
            "too large",
        ),
    ]
}

#[test]
fn each_class_is_refused_with_its_reason() {
    let mut wrong = Vec::new();
    for (name, bytes, reason) in classes() {
        let said = load(bytes).map_or_else(|e| e.to_string(), |_| "taken".to_owned());
        if !said.contains(reason) {
            wrong.push(format!("{name}: {said}"));
        }
    }
    assert_eq!(wrong, [] as [String; 0]);
}

/// Every kept file is refused, or decided without a panic, as it is and with its checksum mended.
#[test]
fn the_corpus_does_no_harm() {
    if std::env::var_os("EDICT_WRITE_CORPUS").is_some() {
        std::fs::create_dir_all(corpus()).unwrap();
        std::fs::write(corpus().join("sound"), emit(&table())).unwrap();
        for (name, bytes, _) in classes() {
            std::fs::write(corpus().join(name), bytes).unwrap();
        }
    }
    let mut files = 0;
    for entry in std::fs::read_dir(corpus()).unwrap() {
        let mut bytes = std::fs::read(entry.unwrap().path()).unwrap();
        if let Ok(loaded) = load(bytes.clone()) {
            exercise(&loaded, 1);
        }
        mend(&mut bytes);
        if let Ok(loaded) = load(bytes) {
            exercise(&loaded, 2);
        }
        files += 1;
    }
    assert!(files > classes().len() / 2, "{files}");
}
