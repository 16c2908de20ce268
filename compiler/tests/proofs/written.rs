//! How addresses and texts are written, and what lists hold of them: each condition is asked by itself. A message that
//! is found is shown to the table, a no is held against every message of a small world, and nothing stays open.

use super::{condition, table};
use edict_compiler::prove::query::{Question, Reply, Say, ask};
use edict_compiler::prove::theory::{GIVEN, Space};
use edict_compiler::prove::world::World;
use edict_table::decide::{self, Scratch};
use edict_table::facts::{Direction, HeaderField};
use edict_table::load::Loaded;
use edict_table::model::{Kind, Table};
use edict_table::value::Address;
use proptest::prelude::*;
use std::sync::Arc;

const HEAD: &str = "edict 1\nprofile { local-domains [a.b] }\n\
    list some: address = [a@a.b, b@b.b, a+b@a.b, @.a.a, @ab, b+@]\n\
    group staff = [a@a.b, bb@a.b, a@b.a]\n\
    list names: text = [\"a\", \"ab\", \"a+b\", \"b+\"]\n\
    list places: domain = [b.b, .a, ba]\n";

/// Asked of the sender, and of recipients with the fact replaced.
const ADDRESSES: &[&str] = &[
    "sender matches \"*@a.b\"",
    "sender matches \"a@*\"",
    "sender matches \"a*b\"",
    "sender matches \"*+*\"",
    "sender matches \"?@?.b\"",
    "sender matches \"*a@a*\"",
    "sender matches \"*@*.*\"",
    "sender matches \"*@[*\"",
    "sender matches \"a*@*.?b\"",
    "sender matches \"???\"",
    "sender is a@a.b",
    "sender is @a.b",
    "sender is @.b",
    "sender is a@",
    "sender is a+b@",
    "sender in some",
    "sender in group staff",
    "sender.local is \"a\"",
    "sender.local in names",
    "sender.local matches \"a?\"",
    "sender.local matches \"?+*\"",
    "sender.local contains any of [\"b\", \"+a\"]",
    "sender.local starts with \"a\"",
    "sender.domain is b.b",
    "sender.domain in places",
    "sender.domain in local-domains",
    "sender.domain matches \"?.?\"",
    "sender.domain matches \"a*\"",
    "sender.domain is unqualified",
];

const TEXTS: &[&str] = &[
    "subject is present",
    "subject is \"ab\"",
    "subject in words",
    "subject matches \"?*\"",
    "subject matches \"a*b\"",
    "subject matches \"?b?\"",
    "subject matches \"* *\"",
    "subject contains \"ab\"",
    "subject contains any of [\"a\", \"b \", \"bb\"]",
    "subject contains any of [\"a\", \"b\", \"c\", \"x\", \"q\", \"z\"]",
    "subject starts with any of [\"b\", \"ca\"]",
    "subject ends with \"a\"",
    "header(\"Subject\") contains \"b\"",
    "header(\"Subject\") is present",
    "header(\"X\") matches \"?*\"",
    "header(\"X\") is present",
    "header(\"X\") in words",
    "header(\"X\") contains \"ab\"",
];

/// All words of these letters, up to a length.
fn words(letters: &str, most: u32) -> Vec<String> {
    let letters: Vec<char> = letters.chars().collect();
    let word = |len: u32, n: usize| {
        (0..len).map(|at| letters[n / letters.len().pow(at) % letters.len()]).collect::<String>()
    };
    (1..=most)
        .flat_map(|len| (0..letters.len().pow(len)).map(move |n| (len, n)))
        .map(|(l, n)| word(l, n))
        .collect()
}

/// Addresses by all short words.
fn addresses() -> Vec<Address> {
    let mut domains: Vec<String> = words("ab.", 4);
    domains.push("[192.0.2.1]".to_owned());
    let locals = words("ab+x", 3);
    let each = |local: &String| {
        domains
            .iter()
            .filter_map(|domain| Address::parse(&format!("{local}@{domain}")).ok())
            .collect::<Vec<_>>()
    };
    locals.iter().flat_map(each).collect()
}

fn from(sender: Option<Address>) -> World {
    let mut world = World::plain().unwrap();
    world.recipient = Address::parse("carl@a.b").unwrap();
    world.sender = sender;
    world
}

fn to(recipient: Address) -> World {
    let mut world = World::plain().unwrap();
    world.submitted = recipient.domain() != "a.b";
    world.direction = if world.submitted { Direction::Outbound } else { Direction::Inbound };
    world.auth_user = world.submitted.then(|| "ann".to_owned());
    world.recipient = recipient;
    world
}

/// One message for each set of up to two values of a field.
fn written() -> Vec<World> {
    let mut values: Vec<String> = words("abx ", 3).into_iter().filter(|w| !w.contains("  ")).collect();
    values.push(String::new());
    let mut out = vec![World::plain().unwrap()];
    for one in &values {
        for other in [None, Some("ab"), Some("c"), Some("")] {
            for names in [["subject", "subject"], ["x", "subject"], ["x", "x"]] {
                let mut world = World::plain().unwrap();
                let field =
                    |name: &str, value: &str| HeaderField { name: name.to_owned(), value: value.to_owned() };
                world.header.fields.push(field(names[0], one));
                world.header.fields.extend(other.map(|value| field(names[1], value)));
                out.push(world);
            }
        }
    }
    out
}

/// Which rules match.
fn matching(loaded: &Loaded, world: &World, scratch: &mut Scratch) -> Vec<usize> {
    let mut matched = Vec::new();
    scratch.begin(loaded);
    world.facts(|facts| decide::matching(loaded, Kind::Verdict, facts, scratch, &mut matched));
    matched.iter().map(|id| id.0 as usize).collect()
}

fn exact(table: &Table, worlds: &[World]) -> Result<(), TestCaseError> {
    let loaded = Loaded::new(Arc::new(edict_table::emit::emit(table))).unwrap();
    let space = Space::new(table);
    let mut scratch = Scratch::new();
    let mut seen = vec![None; table.rules.len()];
    for world in worlds {
        for rule in matching(&loaded, world, &mut scratch) {
            seen[rule] = Some(world);
        }
    }
    for (place, rule) in table.rules.iter().enumerate() {
        let must = [rule.condition];
        let question = Question { must: &must, any: &[], directions: 7 | GIVEN };
        match ask(&space, &question, |_| Say::Take) {
            Reply::Found(world) => {
                let matched = matching(&loaded, &world, &mut scratch).contains(&place);
                prop_assert!(matched, "{} does not match {:#?}", rule.name, world.lines("UTC"));
            }
            Reply::Never { .. } => {
                let lines = seen[place].map(|world| world.lines("UTC"));
                prop_assert!(lines.is_none(), "{} matches {:#?}", rule.name, lines);
            }
            Reply::Unknown | Reply::Unfinished => prop_assert!(false, "{} stays open", rule.name),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn senders_are_exact(rules in proptest::collection::vec((condition(ADDRESSES), 1u8..2, 1u8..2), 4..12)) {
        let worlds: Vec<World> = addresses().into_iter().map(Some).chain([None]).map(from).collect();
        exact(&table(HEAD, &rules), &worlds)?;
    }

    #[test]
    fn recipients_are_exact(rules in proptest::collection::vec((condition(ADDRESSES), 1u8..2, 1u8..2), 4..12)) {
        let of_recipient = |text: &String| text.replace("sender", "recipient").replace("recipient.domain is unqualified", "recipient.domain matches \"?\"");
        let rules: Vec<(String, u8, u8)> = rules.iter().map(|(c, v, p)| (of_recipient(c), *v, *p)).collect();
        let worlds: Vec<World> = addresses().into_iter().map(to).collect();
        exact(&table(HEAD, &rules), &worlds)?;
    }

    #[test]
    fn texts_are_exact(rules in proptest::collection::vec((condition(TEXTS), 1u8..2, 1u8..2), 4..12)) {
        let head = "edict 1\nprofile { local-domains [a.b] }\n\
            list words: text = [\"a\", \"ab\", \"c\", \"bb\", \"x\", \"ba\", \"ca\"]\n";
        exact(&table(head, &rules), &written())?;
    }
}
