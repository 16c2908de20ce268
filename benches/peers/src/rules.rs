//! The rule sets, as Edict's tables and as plain data for the linear scan and the other engines.

use crate::time;
use edict_table::emit::try_emit;
use edict_table::fact::Fact;
use edict_table::facts::{Direction, Facts, HeaderFacts, HeaderField, Slot};
use edict_table::load::Loaded;
use edict_table::model::*;
use edict_table::value::{Address, Domain};
use ipnet::Ipv4Net;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// The client of the mail.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
/// Its subject.
pub const SUBJECT: &str = "notes of the meeting on monday, and the offer";

/// What a rule of the mixed set asks; all rules reject.
pub enum Rule {
    /// This sender, inbound.
    Sender(String),
    /// A sender at this domain or below it.
    Domain(String),
    /// A client in this network, without a login.
    Network(Ipv4Net),
    /// This recipient, from a domain below this one.
    Pair(String, String),
    /// This HELO.
    Helo(String),
}

/// The rule at a place of the mixed set.
pub fn rule(i: usize) -> Rule {
    match i % 6 {
        0 | 1 => Rule::Sender(format!("user{i}@sender{}.example", i % 97)),
        2 => Rule::Domain(format!("d{i}.example")),
        3 => Rule::Network(network(i)),
        4 => Rule::Pair(format!("box{i}@in.example"), format!("from{i}.example")),
        _ => Rule::Helo(format!("helo{i}.example")),
    }
}

/// A network of 256 addresses.
pub fn network(i: usize) -> Ipv4Net {
    let address = Ipv4Addr::new(11 + (i % 100) as u8, (i / 25_600 % 256) as u8, (i / 100 % 256) as u8, 0);
    Ipv4Net::new(address, 24).expect("a prefix")
}

/// The literal of a text rule.
pub fn literal(i: usize) -> String {
    const WORDS: [&str; 8] =
        ["offer", "invoice", "account", "winner", "delivery", "password", "update", "meeting"];
    format!("{} {} {i}", WORDS[i % 8], WORDS[i / 8 % 8])
}

/// A message that no rule matches.
pub struct Mail {
    pub helo: Domain,
    pub sender: Address,
    pub recipient: Address,
    header: HeaderFacts,
}

impl Mail {
    /// The one message.
    pub fn new() -> Self {
        let subject = HeaderField { name: "subject".to_owned(), value: SUBJECT.to_owned() };
        Self {
            helo: Domain::parse("mail.partner.example").expect("a domain"),
            sender: Address::parse("ann.smith@mail.partner.example").expect("an address"),
            recipient: Address::parse("bob.jones@in.example").expect("an address"),
            header: HeaderFacts { fields: vec![subject], ..HeaderFacts::default() },
        }
    }

    /// As Edict takes it.
    pub fn facts(&self) -> Facts<'_> {
        Facts {
            client_ip: Slot::Known(IpAddr::V4(CLIENT)),
            helo: Slot::Known(&self.helo),
            auth_user: Slot::Absent,
            sender: Slot::Known(&self.sender),
            submitted: Slot::Known(false),
            recipient: Slot::Known(&self.recipient),
            direction: Slot::Known(Direction::Inbound),
            header: Slot::Known(&self.header),
            ..Facts::default()
        }
    }
}

#[derive(Default)]
struct Maker(Table);

impl Maker {
    fn node(&mut self, condition: Condition) -> u32 {
        self.0.conditions.push(condition);
        self.0.conditions.len() as u32 - 1
    }

    fn test(&mut self, fact: Fact, test: Test) -> u32 {
        self.0.predicates.push(Predicate { fact, parameter: String::new(), test });
        let place = self.0.predicates.len() as u32 - 1;
        self.node(Condition::Test(place))
    }

    fn is(&mut self, fact: Fact, kind: ListKind, entries: &[String]) -> u32 {
        let entries = entries.iter().collect::<Entries>().sorted();
        self.0.lists.push(List { name: None, kind, entries });
        let list = self.0.lists.len() as u32 - 1;
        self.test(fact, Test::InList(list))
    }

    fn reject(&mut self, condition: u32) {
        let reply = Reply { code: 550, enhanced: (5, 7, 1), text: "Refused by policy".to_owned() };
        self.0.rules.push(edict_table::model::Rule {
            name: format!("rule {:07}", self.0.rules.len()),
            priority: 100,
            mode: Mode::Enforce,
            condition,
            action: Action::Verdict(Verdict { verb: Verb::Reject, reply: Some(reply) }),
        });
    }

    fn done(mut self) -> Table {
        self.0.profile.local_domains = vec!["in.example".to_owned()];
        self.0.canonical();
        self.0
    }
}

/// Rules of six shapes, each on values of its own.
pub fn mixed(rules: usize) -> Table {
    use ListKind::{Mailbox, Network};
    let mut m = Maker::default();
    let login = m.test(Fact::AuthUser, Test::Present);
    let stranger = m.node(Condition::Not(login));
    let inbound = m.test(Fact::Direction, Test::OneOf(1));
    for i in 0..rules {
        let condition = match rule(i) {
            Rule::Sender(who) => {
                let who = m.is(Fact::Sender, Mailbox, &[who]);
                m.node(Condition::All(vec![who, inbound]))
            }
            Rule::Domain(d) => m.is(Fact::SenderDomain, Mailbox, &[format!("@{d}"), format!("@.{d}")]),
            Rule::Network(net) => {
                let net = m.is(Fact::ClientIp, Network, &[net.to_string()]);
                m.node(Condition::All(vec![net, stranger]))
            }
            Rule::Pair(to, from) => {
                let to = m.is(Fact::Recipient, Mailbox, &[to]);
                let from = m.is(Fact::SenderDomain, Mailbox, &[format!("@.{from}")]);
                m.node(Condition::All(vec![to, from]))
            }
            Rule::Helo(helo) => m.is(Fact::Helo, Mailbox, &[format!("@{helo}")]),
        };
        m.reject(condition);
    }
    m.done()
}

/// One rule on a list of so many senders: a third each of addresses, domains, and domains with those below.
pub fn senders(entries: usize) -> Table {
    let mut m = Maker::default();
    let all: Vec<String> = (0..entries).map(sender_key).collect();
    let list = m.is(Fact::Sender, ListKind::Mailbox, &all);
    m.reject(list);
    m.done()
}

/// An entry, as Edict's lists have it.
pub fn sender_key(i: usize) -> String {
    match i % 3 {
        0 => format!("user{i}@blocked{}.example", i % 1000),
        1 => format!("@blocked{i}.example"),
        _ => format!("@.blocked{i}.example"),
    }
}

/// One rule on a list of so many networks.
pub fn networks(entries: usize) -> Table {
    let mut m = Maker::default();
    let all: Vec<String> = (0..entries).map(|i| network(i).to_string()).collect();
    let list = m.is(Fact::ClientIp, ListKind::Network, &all);
    m.reject(list);
    m.done()
}

/// So many rules, each on a literal in the subject.
pub fn patterns(rules: usize) -> Table {
    let mut m = Maker::default();
    for i in 0..rules {
        let test = m.test(Fact::Subject, Test::Contains(vec![literal(i)]));
        m.reject(test);
    }
    m.done()
}

/// Emits and loads.
pub fn load(table: &Table) -> Loaded {
    Loaded::new(Arc::new(try_emit(table).expect("a table"))).expect("a sound table")
}

/// The mixed set one rule after the other: what a programmer writes first.
pub fn linear(rules: usize, mail: &Mail) -> f64 {
    let all: Vec<Rule> = (0..rules).map(rule).collect();
    let (sender, domain) = (mail.sender.as_str(), mail.sender.domain());
    let (recipient, helo) = (mail.recipient.as_str(), mail.helo.as_str());
    let below = |domain: &str, parent: &str| {
        domain.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
    };
    let (inbound, login) = black_box((true, false));
    time(|| {
        let hit = black_box(&all).iter().position(|rule| match rule {
            Rule::Sender(who) => who == sender && inbound,
            Rule::Domain(d) => d == domain || below(domain, d),
            Rule::Network(net) => net.contains(&CLIENT) && !login,
            Rule::Pair(to, from) => to == recipient && below(domain, from),
            Rule::Helo(name) => name == helo,
        });
        assert_eq!(black_box(hit), None);
    })
}
