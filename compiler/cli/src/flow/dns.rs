//! The DNS of a test or an explanation: what was given, and harmless answers for the rest.
//!
//! A name nobody spoke of resolves, is on no list, and a client without a name is not held to be one whose
//! names disagree.

use edict_table::facts::Slot;
use edict_table::value::{Domain, canonical_ip};
use std::net::IpAddr;

/// Answers by name.
#[derive(Clone, Debug, Default)]
pub struct Dns {
    answers: Vec<(String, Answer)>,
}

/// What comes back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// No such name.
    Nothing,
    /// No answer in time, or SERVFAIL.
    Failure,
    /// These.
    Records(Vec<Record>),
}

/// A record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// A or AAAA.
    Address(IpAddr),
    /// A mail host; `.` is a null MX.
    Mx(String),
    /// The name of an address.
    Ptr(String),
    /// Text, which nothing here asks for.
    Txt,
}

impl Dns {
    /// Gives an answer.
    pub fn set(&mut self, name: &str, answer: Answer) {
        self.answers.push((asked(name), answer));
    }

    fn get(&self, name: &str) -> Option<&Answer> {
        self.answers.iter().find(|(have, _)| have == name).map(|(_, answer)| answer)
    }

    /// Whether a domain has neither MX nor address, or a null MX (RFC 7505).
    pub fn unresolvable(&self, domain: &str) -> Slot<bool> {
        match self.get(domain) {
            None => Slot::Known(false),
            Some(Answer::Nothing) => Slot::Known(true),
            Some(Answer::Failure) => Slot::Unknown,
            Some(Answer::Records(records)) => Slot::Known(!records.iter().any(|record| match record {
                Record::Address(_) => true,
                Record::Mx(host) => host != ".",
                Record::Ptr(_) | Record::Txt => false,
            })),
        }
    }

    /// The forward-confirmed name of a client, and whether its names disagree or are missing.
    pub fn client(&self, ip: IpAddr) -> (Slot<Domain>, Slot<bool>) {
        let records = match self.get(&ip.to_string()) {
            None => return (Slot::Absent, Slot::Known(false)),
            Some(Answer::Nothing) => return (Slot::Absent, Slot::Known(true)),
            Some(Answer::Failure) => return (Slot::Unknown, Slot::Unknown),
            Some(Answer::Records(records)) => records,
        };
        for record in records {
            let Record::Ptr(name) = record else { continue };
            let Ok(domain) = Domain::parse(name.trim_end_matches('.')) else { continue };
            match self.get(domain.as_str()) {
                Some(Answer::Failure) => return (Slot::Unknown, Slot::Unknown),
                Some(Answer::Records(back)) if back.contains(&Record::Address(ip)) => {
                    return (Slot::Known(domain), Slot::Known(false));
                }
                _ => {}
            }
        }
        (Slot::Absent, Slot::Known(true))
    }

    /// Whether a client is on a DNS list: only 127/8 counts, and a list that fails counts as silent.
    pub fn listed(&self, ip: IpAddr, zone: &str) -> bool {
        let answer = self.get(&format!("{}.{zone}", reversed(ip))).or_else(|| self.get(zone));
        let Some(Answer::Records(records)) = answer else { return false };
        records.iter().any(|record| match record {
            Record::Address(IpAddr::V4(v4)) => v4.octets().first() == Some(&127),
            _ => false,
        })
    }
}

/// A name as it is asked for: a domain as A-labels, an address as it is written without more than it needs.
fn asked(name: &str) -> String {
    let name = name.trim().trim_end_matches('.');
    match (name.parse::<IpAddr>(), Domain::parse(name)) {
        (Ok(ip), _) => canonical_ip(ip).to_string(),
        (_, Ok(domain)) => domain.as_str().to_owned(),
        _ => name.to_ascii_lowercase(),
    }
}

/// The address as lists are asked for it (RFC 5782 2.1, 2.4).
fn reversed(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}")
        }
        IpAddr::V6(v6) => {
            let digits = format!("{:032x}", v6.to_bits());
            digits.chars().rev().map(String::from).collect::<Vec<_>>().join(".")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let ip: IpAddr = "192.0.2.9".parse().unwrap();
        let mut dns = Dns::default();
        dns.set("null.example", Answer::Records(vec![Record::Mx(".".to_owned())]));
        dns.set("slow.example", Answer::Failure);
        dns.set("Bücher.example.", Answer::Nothing);
        assert_eq!(dns.unresolvable("xn--bcher-kva.example"), Slot::Known(true));
        dns.set("2001:DB8:0::9", Answer::Failure);
        assert_eq!(dns.client("2001:db8::9".parse().unwrap()).1, Slot::Unknown);
        dns.set(
            "9.2.0.192.list.example",
            Answer::Records(vec![Record::Address("127.0.0.2".parse().unwrap())]),
        );
        assert_eq!(dns.unresolvable("null.example"), Slot::Known(true));
        assert_eq!(dns.unresolvable("slow.example"), Slot::Unknown);
        assert_eq!(dns.unresolvable("other.example"), Slot::Known(false));
        assert!(dns.listed(ip, "list.example") && !dns.listed(ip, "other.example"));
        dns.set("192.0.2.9", Answer::Records(vec![Record::Ptr("mx.example.".to_owned())]));
        assert_eq!(dns.client(ip), (Slot::Absent, Slot::Known(true)));
        dns.set("mx.example", Answer::Records(vec![Record::Address(ip)]));
        assert_eq!(dns.client(ip).1, Slot::Known(false));
    }
}
