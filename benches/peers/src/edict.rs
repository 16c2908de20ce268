//! Edict's own table: the same evaluator, format and loader as the daemon's.

use crate::mail::Mail;
use crate::rules::{Entry, Rule, Set, entry, literal, network, rule};
use crate::{Engine, timed};
use edict_table::decide::{Outcome, Ruling, Scratch, verdict};
use edict_table::emit::try_emit;
use edict_table::fact::Fact;
use edict_table::facts::{Direction, Facts, HeaderFacts, HeaderField, Slot};
use edict_table::load::Loaded;
use edict_table::model::*;
use edict_table::value::{Address, Domain};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A loaded table.
pub struct Edict(Loaded);

/// The facts of a mail, read from its texts beforehand, as sessions do once for each command.
struct Read {
    client: IpAddr,
    helo: Domain,
    sender: Address,
    recipient: Address,
    inbound: bool,
    login: String,
    header: HeaderFacts,
}

impl Read {
    fn new(mail: &Mail) -> Self {
        let subject = HeaderField { name: "subject".to_owned(), value: mail.subject.clone() };
        Self {
            client: IpAddr::V4(mail.client),
            helo: Domain::parse(&mail.helo).expect("a domain"),
            sender: Address::parse(&mail.sender).expect("an address"),
            recipient: Address::parse(&mail.recipient).expect("an address"),
            inbound: mail.inbound,
            login: mail.login.clone(),
            header: HeaderFacts { fields: vec![subject], ..HeaderFacts::default() },
        }
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            client_ip: Slot::Known(self.client),
            helo: Slot::Known(&self.helo),
            auth_user: if self.login.is_empty() { Slot::Absent } else { Slot::Known(&self.login) },
            sender: Slot::Known(&self.sender),
            submitted: Slot::Known(!self.login.is_empty()),
            recipient: Slot::Known(&self.recipient),
            direction: Slot::Known(if self.inbound { Direction::Inbound } else { Direction::Outbound }),
            header: Slot::Known(&self.header),
            ..Facts::default()
        }
    }
}

impl Edict {
    /// With so many rules or entries.
    pub fn new(set: Set, size: usize) -> Self {
        let table = match set {
            Set::Mixed => mixed(size),
            Set::Senders => senders(size),
            Set::Networks => networks(size),
            Set::Patterns => patterns(size),
        };
        Self(Loaded::new(Arc::new(try_emit(&table).expect("a table"))).expect("a sound table"))
    }

    /// The same, as any engine.
    pub fn make(set: Set, size: usize) -> Option<Box<dyn Engine>> {
        Some(Box::new(Self::new(set, size)))
    }
}

impl Engine for Edict {
    fn refuses(&mut self, mails: &[Mail]) -> Vec<bool> {
        let mut scratch = Scratch::new();
        let one = |mail: &Mail| {
            let read = Read::new(mail);
            scratch.begin(&self.0);
            match verdict(&self.0, &read.facts(), &mut scratch) {
                Outcome::Final(Ruling::Default) => false,
                Outcome::Final(Ruling::By(_)) => true,
                other => panic!("{other:?} on {mail:?}"),
            }
        };
        mails.iter().map(one).collect()
    }

    fn time(&mut self, mail: &Mail, count: u64) -> Duration {
        let read = Read::new(mail);
        let facts = read.facts();
        let mut scratch = Scratch::new();
        timed(count, || {
            scratch.begin(&self.0);
            verdict(&self.0, std::hint::black_box(&facts), &mut scratch) == Outcome::Final(Ruling::Default)
        })
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

fn mixed(rules: usize) -> Table {
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

fn senders(entries: usize) -> Table {
    let mut m = Maker::default();
    let written = |i| match entry(i) {
        Entry::Address(who) => who,
        Entry::Domain(d) => format!("@{d}"),
        Entry::Below(d) => format!("@.{d}"),
    };
    let all: Vec<String> = (0..entries).map(written).collect();
    let list = m.is(Fact::Sender, ListKind::Mailbox, &all);
    m.reject(list);
    m.done()
}

fn networks(entries: usize) -> Table {
    let mut m = Maker::default();
    let all: Vec<String> = (0..entries).map(|i| network(i).to_string()).collect();
    let list = m.is(Fact::ClientIp, ListKind::Network, &all);
    m.reject(list);
    m.done()
}

fn patterns(rules: usize) -> Table {
    let mut m = Maker::default();
    for i in 0..rules {
        let test = m.test(Fact::Subject, Test::Contains(vec![literal(i)]));
        m.reject(test);
    }
    m.done()
}
