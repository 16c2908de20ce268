//! The rule sets as plain data.

use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// What kind of rule set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Set {
    /// Rules of six shapes on the envelope, each on values of its own.
    Mixed,
    /// One rule on a list of senders.
    Senders,
    /// One rule on a list of networks.
    Networks,
    /// A rule for each literal in the subject.
    Patterns,
}

/// What a rule of the mixed set asks; all rules refuse.
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

/// `11.0.0.` of 11.0.0.0/24: where an engine knows no networks, this is the same test, and a faster one.
pub fn prefix(net: &Ipv4Net) -> String {
    let [a, b, c, _] = net.addr().octets();
    format!("{a}.{b}.{c}.")
}

/// An entry of the list of senders.
pub enum Entry {
    /// `ann@example.com`
    Address(String),
    /// At this domain.
    Domain(String),
    /// Below this domain.
    Below(String),
}

/// The entry at a place.
pub fn entry(i: usize) -> Entry {
    match i % 3 {
        0 => Entry::Address(format!("user{i}@blocked{}.example", i % 1000)),
        1 => Entry::Domain(format!("blocked{i}.example")),
        _ => Entry::Below(format!("blocked{i}.example")),
    }
}

impl Entry {
    /// As a key of Postfix's access maps, and of [`crate::mail::Mail::keys`].
    pub fn key(&self) -> String {
        match self {
            Self::Address(text) | Self::Domain(text) => text.clone(),
            Self::Below(domain) => format!(".{domain}"),
        }
    }
}

/// The literal of a text rule: lower case, letters, digits and blanks.
pub fn literal(i: usize) -> String {
    const WORDS: [&str; 8] =
        ["offer", "invoice", "account", "winner", "delivery", "password", "update", "meeting"];
    format!("{} {} {i} ", WORDS[i % 8], WORDS[i / 8 % 8])
}
