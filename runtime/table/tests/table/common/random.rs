//! Random tables from small vocabularies, so that values and lists meet often.

use super::rng::Rng;
use edict_table::fact::{Fact, REGISTRY, Type};
use edict_table::model::*;
use edict_table::value::{Address, Domain, Pattern, fold_text, parse_network};

pub const DOMAINS: &[&str] = &[
    "a.example",
    "b.a.example",
    "c.b.a.example",
    "example",
    "in.example",
    "relay.example",
    "host",
    "[192.0.2.1]",
];
pub const LOCALS: &[&str] = &["ann", "bob", "ann+x", "bob+y+z", "abuse", "+x"];
pub const TEXTS: &[&str] =
    &["a", "ab", "act now", "urgent", "now", "invoice 7", "ünder", "ann", "bob@a.example", "x*y", "aaa"];
const NETWORKS: &[&str] = &[
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.0.2",
    "192.0.2.0/24",
    "192.0.2.3",
    "0.0.0.0/0",
    "2001:db8::/32",
    "2001:db8:1::/48",
    "2001:db8::3",
    "::/0",
    "255.255.255.255",
];
const GLOBS: &[&str] =
    &["*", "a*", "*now", "*@a.example", "?*?", "ann@*", "*ur?ent*", r"x\*y", "*.example", "aa"];
const REGEXES: &[&str] = &[
    "urgent",
    "a+b",
    "^ann",
    "now$",
    "[0-9]",
    "(act|invoice) [a-z0-9]",
    "b.a",
    "Ü",
    "@.*example",
    "^$",
    "x|y",
];

pub fn domain(rng: &mut Rng) -> Domain {
    Domain::parse(rng.pick::<&str>(DOMAINS)).unwrap()
}

pub fn address(rng: &mut Rng) -> Address {
    Address::new(rng.pick::<&str>(LOCALS), &domain(rng))
}

fn pattern(rng: &mut Rng) -> String {
    let d = domain(rng);
    match rng.below(4) {
        0 => Pattern::Exact(address(rng)),
        1 => Pattern::Domain(d),
        2 => Pattern::Subdomains(d),
        _ => Pattern::Local((*rng.pick::<&str>(LOCALS)).to_owned()),
    }
    .key()
}

fn list(rng: &mut Rng, kind: ListKind, name: Option<String>) -> List {
    let count = 1 + rng.below(4);
    let entries: Entries = (0..count)
        .map(|_| match kind {
            ListKind::Mailbox => pattern(rng),
            ListKind::Network => parse_network(rng.pick::<&str>(NETWORKS)).unwrap().to_string(),
            ListKind::Text => fold_text(rng.pick::<&str>(TEXTS)).into_owned(),
        })
        .collect();
    List { name, kind, entries: entries.sorted() }
}

fn literals(rng: &mut Rng) -> Vec<String> {
    let mut all: Vec<String> = (0..1 + rng.below(3)).map(|_| (*rng.pick::<&str>(TEXTS)).to_owned()).collect();
    all.sort();
    all.dedup();
    all
}

fn predicate(rng: &mut Rng, lists: &[List]) -> Predicate {
    let row = rng.pick(REGISTRY);
    let parameter = match row.fact {
        Fact::Header => *rng.pick(&["x-a", "x-b", "subject", "x-none"]),
        Fact::ClientListed => *rng.pick(&["zone.example", "other.example"]),
        _ => "",
    };
    let in_list = |rng: &mut Rng, kind: ListKind| {
        let fitting: Vec<u32> =
            lists.iter().zip(0..).filter(|(l, _)| l.kind == kind).map(|(_, i)| i).collect();
        Test::InList(*rng.pick(&fitting))
    };
    let test = if row.optional && rng.one_in(5) {
        Test::Present
    } else {
        match row.ty {
            Type::Flag => Test::Set,
            Type::Network => in_list(rng, ListKind::Network),
            Type::Domain | Type::Address => match rng.below(5) {
                0 => Test::Glob((*rng.pick::<&str>(GLOBS)).to_owned()),
                1 => Test::Regex((*rng.pick::<&str>(REGEXES)).to_owned()),
                _ => in_list(rng, ListKind::Mailbox),
            },
            Type::Text => match rng.below(6) {
                0 => Test::Contains(literals(rng)),
                1 => Test::StartsWith(literals(rng)),
                2 => Test::EndsWith(literals(rng)),
                3 => Test::Glob((*rng.pick::<&str>(GLOBS)).to_owned()),
                4 => Test::Regex((*rng.pick::<&str>(REGEXES)).to_owned()),
                _ => in_list(rng, ListKind::Text),
            },
            Type::Count | Type::Size | Type::Time => {
                let n = rng.below(6) as u64;
                match rng.below(4) {
                    0 => Test::Less(n),
                    1 => Test::AtMost(n),
                    2 => Test::Equal(n),
                    _ => Test::More(n),
                }
            }
            Type::Enum(words) => Test::OneOf((rng.next() & ((1 << words.len()) - 1)) as u8),
        }
    };
    Predicate { fact: row.fact, parameter: parameter.to_owned(), test }
}

fn verdict(rng: &mut Rng) -> Action {
    let verb = *rng.pick(&[Verb::Allow, Verb::Reject, Verb::Reject, Verb::Defer, Verb::Hold, Verb::Discard]);
    let reply =
        |code, class, text: &str| Some(Reply { code, enhanced: (class, 7, 1), text: text.to_owned() });
    let reply = match verb {
        Verb::Reject => reply(550, 5, rng.pick::<&str>(&["no", "never"])),
        Verb::Defer => reply(450, 4, "later"),
        _ => None,
    };
    Action::Verdict(Verdict { verb, reply })
}

fn action(rng: &mut Rng) -> Action {
    match rng.below(8) {
        0 => Action::Bcc(Bcc {
            to: vec!["archive@in.example".to_owned()],
            modified: false,
            record_envelope: true,
        }),
        1 => Action::Limit(Limit {
            per: LimitPer::ClientIp,
            connections: Some(Rate { count: 3, seconds: 60 }),
            messages: None,
            at_once: None,
            reply: None,
        }),
        2 => Action::Route(Route { via: Via::Relay("smart".to_owned()), local: false }),
        _ => verdict(rng),
    }
}

/// A table of about so many rules.
pub fn table(rng: &mut Rng, rules: usize) -> Table {
    let mut table = Table::default();
    table.profile.local_domains = vec!["in.example".to_owned()];
    table.profile.relay_domains =
        vec![RelayDomain { domain: "relay.example".to_owned(), via: None, recipients: None }];
    table.relays = vec![Relay {
        name: "smart".to_owned(),
        hosts: vec![Host { name: "smart.example".to_owned(), port: 587 }],
        tls: RelayTls::Required,
        credentials: None,
    }];
    for kind in [ListKind::Mailbox, ListKind::Network, ListKind::Text] {
        for number in 0..1 + rng.below(4) {
            let name = rng.one_in(2).then(|| format!("{kind:?}-{number}"));
            table.lists.push(list(rng, kind, name));
        }
    }
    let predicates = 1 + rng.below(2 * rules + 2);
    while table.predicates.len() < predicates {
        let next = predicate(rng, &table.lists);
        if !table.predicates.contains(&next) {
            table.predicates.push(next);
        }
    }
    table.conditions.push(Condition::True);
    for id in 0..table.predicates.len() {
        table.conditions.push(Condition::Test(id as u32));
    }
    for _ in 0..rules {
        let below = |rng: &mut Rng, table: &Table| rng.below(table.conditions.len()) as u32;
        let children =
            |rng: &mut Rng, table: &Table| (0..1 + rng.below(3)).map(|_| below(rng, table)).collect();
        let next = match rng.below(6) {
            0 => Condition::Not(below(rng, &table)),
            1..4 => Condition::All(children(rng, &table)),
            _ => Condition::Any(children(rng, &table)),
        };
        table.conditions.push(next);
    }
    for number in 0..rules {
        let condition = if rng.one_in(30) { 0 } else { 1 + rng.below(table.conditions.len() - 1) as u32 };
        table.rules.push(Rule {
            name: format!("rule {number}"),
            priority: 100 + rng.below(3) as u32,
            mode: if rng.one_in(6) { Mode::Audit } else { Mode::Enforce },
            condition,
            action: action(rng),
        });
    }
    for key in ["ann@in.example", "@a.example", "bob@in.example"] {
        table.aliases.push(Alias {
            lists: Vec::new(),
            key: key.to_owned(),
            members: vec!["Ann@in.example".to_owned(), "x@y.example".to_owned()],
            owner: None,
            may_send: Vec::new(),
        });
    }
    table.provenance.files = vec!["main.edict".to_owned()];
    table.provenance.compiler = "edict 0.1.0".to_owned();
    table.canonical();
    table
}
