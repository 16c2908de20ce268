//! Mails: one that no rule matches, which is timed, and samples that hit rules or just miss them.

use crate::rules::{Entry, Rule, Set, entry, literal, network, rule};
use std::net::Ipv4Addr;

/// What rules ask of a mail.
#[derive(Clone, Debug)]
pub struct Mail {
    pub client: Ipv4Addr,
    pub helo: String,
    pub sender: String,
    pub recipient: String,
    pub inbound: bool,
    pub login: String,
    pub subject: String,
}

impl Mail {
    /// The one that no rule matches.
    pub fn plain() -> Self {
        Self {
            client: Ipv4Addr::new(192, 0, 2, 7),
            helo: "mail.partner.example".to_owned(),
            sender: "ann.smith@mail.partner.example".to_owned(),
            recipient: "bob.jones@in.example".to_owned(),
            inbound: true,
            login: String::new(),
            subject: "notes of the meeting on monday, and the offer".to_owned(),
        }
    }

    /// The domain of the sender.
    pub fn domain(&self) -> &str {
        self.sender.split_once('@').map_or("", |(_, domain)| domain)
    }

    /// What lists hold of a sender: `ann@a.example`, `a.example`, `.a.example`, `.example`, `ann@`.
    pub fn keys(&self) -> Vec<String> {
        let (local, domain) = self.sender.split_once('@').unwrap_or_default();
        let mut keys = vec![self.sender.clone(), domain.to_owned(), format!("{local}@")];
        keys.extend(domain.match_indices('.').map(|(at, _)| domain[at..].to_owned()));
        keys
    }
}

/// Mails that hit a rule from the beginning, the middle and the end of a set, and near misses.
pub fn samples(set: Set, size: usize) -> Vec<Mail> {
    let mut out = vec![Mail::plain()];
    let places = [0, 1, 2, 3, 4, 5, size / 2, size / 2 + 1, size / 2 + 2, size - 3, size - 2, size - 1];
    // Those past the end hit nothing.
    for place in places.into_iter().chain(size..size + 6) {
        let hit = match set {
            Set::Mixed => of_rule(&rule(place), place),
            Set::Senders => of_entry(&entry(place)),
            Set::Networks => Mail { client: inside(place), ..Mail::plain() },
            Set::Patterns => Mail { subject: format!("fwd: {} yes", literal(place)), ..Mail::plain() },
        };
        let other = match set {
            Set::Mixed => Mail {
                inbound: false,
                login: "ann".to_owned(),
                recipient: "x@in.example".to_owned(),
                ..hit.clone()
            },
            Set::Senders => Mail { sender: hit.sender.replace("blocked", "blocke"), ..hit.clone() },
            Set::Networks => {
                Mail { client: Ipv4Addr::from_bits(inside(place).to_bits() ^ 0x8000_0000), ..hit.clone() }
            }
            Set::Patterns => Mail { subject: hit.subject.replace(' ', "  "), ..hit.clone() },
        };
        out.extend([hit, other]);
    }
    out
}

fn inside(place: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(network(place).addr().to_bits() + 9)
}

fn of_rule(rule: &Rule, place: usize) -> Mail {
    let plain = Mail::plain();
    match rule {
        Rule::Sender(who) => Mail { sender: who.clone(), ..plain },
        Rule::Domain(d) if place % 4 == 0 => Mail { sender: format!("ann@{d}"), ..plain },
        Rule::Domain(d) => Mail { sender: format!("ann@mx.{d}"), ..plain },
        Rule::Network(_) => Mail { client: inside(place), ..plain },
        Rule::Pair(to, from) => Mail { recipient: to.clone(), sender: format!("ann@mx.{from}"), ..plain },
        Rule::Helo(name) => Mail { helo: name.clone(), ..plain },
    }
}

fn of_entry(entry: &Entry) -> Mail {
    let sender = match entry {
        Entry::Address(who) => who.clone(),
        Entry::Domain(d) => format!("ann@{d}"),
        Entry::Below(d) => format!("ann@mx.{d}"),
    };
    Mail { sender, ..Mail::plain() }
}
