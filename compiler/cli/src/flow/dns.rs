//! The DNS of a test or an explanation: what was given, and harmless answers for the rest.
//!
//! A name nobody spoke of resolves and is on no list, and a client nobody spoke of has a name, [`NAME`].

use edict_table::facts::Slot;
use edict_table::value::{Domain, canonical_ip};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The confirmed name of a client of which nothing else is said. No policy speaks of it, and it gives no rights.
pub const NAME: &str = "mx.elsewhere.example";

/// What DNS tells of a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Named {
    /// The forward-confirmed name.
    pub name: Slot<Domain>,
    /// Reverse and forward name disagree, or there is none.
    pub unverified: Slot<bool>,
    /// There is no reverse name.
    pub nameless: Slot<bool>,
}

impl Named {
    pub fn new(name: Slot<Domain>, unverified: Slot<bool>, nameless: Slot<bool>) -> Self {
        Self { name, unverified, nameless }
    }

    /// A client of this name.
    pub fn of(name: &str) -> Self {
        let name = Slot::from_option(Domain::parse(name).ok());
        Self::new(name, Slot::Known(false), Slot::Known(false))
    }
}

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
    /// Gives an answer. False, and nothing is given, where the name has one.
    pub fn set(&mut self, name: &str, answer: Answer) -> bool {
        let name = asked(name);
        let fresh = self.get(&name).is_none();
        if fresh {
            self.answers.push((name, answer));
        }
        fresh
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
            Some(Answer::Records(records)) => {
                // Where there are MX records addresses do not count, and a null MX says that there is no mail (RFC 7505).
                let mut exchanges = records.iter().filter_map(|record| match record {
                    Record::Mx(host) => Some(host != "."),
                    _ => None,
                });
                let address = records.iter().any(|record| matches!(record, Record::Address(_)));
                let found = exchanges.next().map_or(address, |first| first || exchanges.any(|real| real));
                Slot::Known(!found)
            }
        }
    }

    /// The name of a client. As the daemon has it, what cannot be told for now is unknown.
    pub fn client(&self, ip: IpAddr) -> Named {
        let unknown = |nameless| Named::new(Slot::Unknown, Slot::Unknown, nameless);
        let records = match self.get(&ip.to_string()) {
            None => return Named::of(NAME),
            Some(Answer::Nothing) => {
                return Named::new(Slot::Absent, Slot::Known(true), Slot::Known(true));
            }
            Some(Answer::Failure) => return unknown(Slot::Unknown),
            Some(Answer::Records(records)) => records,
        };
        let pointers = || records.iter().filter(|record| matches!(record, Record::Ptr(_)));
        let nameless = Slot::Known(pointers().next().is_none());
        let mut failed = false;
        for record in pointers() {
            let Record::Ptr(name) = record else { continue };
            let Ok(domain) = Domain::parse(name.trim_end_matches('.')) else { continue };
            match self.get(domain.as_str()) {
                Some(Answer::Failure) => failed = true,
                Some(Answer::Records(back)) if back.contains(&Record::Address(ip)) => {
                    return Named { nameless, ..Named::of(domain.as_str()) };
                }
                _ => {}
            }
        }
        if failed { unknown(nameless) } else { Named::new(Slot::Absent, Slot::Known(true), nameless) }
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
    if let Some(ip) = reverse(name) {
        return ip.to_string();
    }
    match (name.parse::<IpAddr>(), Domain::parse(name)) {
        (Ok(ip), _) => canonical_ip(ip).to_string(),
        (_, Ok(domain)) => domain.as_str().to_owned(),
        _ => name.to_ascii_lowercase(),
    }
}

/// The address that a reverse name (`9.113.0.203.in-addr.arpa`) asks about.
fn reverse(name: &str) -> Option<IpAddr> {
    let name = name.to_ascii_lowercase();
    if let Some(labels) = name.strip_suffix(".in-addr.arpa") {
        let text = labels.rsplit('.').collect::<Vec<_>>().join(".");
        return text.parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    }
    let labels: Vec<&str> = name.strip_suffix(".ip6.arpa")?.rsplit('.').collect();
    let digits = labels.len() == 32 && labels.iter().all(|label| label.len() == 1);
    let bits = u128::from_str_radix(&labels.concat(), 16).ok().filter(|_| digits)?;
    Some(canonical_ip(IpAddr::V6(Ipv6Addr::from_bits(bits))))
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
        assert_eq!(dns.client("2001:db8::9".parse().unwrap()).unverified, Slot::Unknown);
        dns.set(
            "9.2.0.192.list.example",
            Answer::Records(vec![Record::Address("127.0.0.2".parse().unwrap())]),
        );
        assert_eq!(dns.unresolvable("null.example"), Slot::Known(true));
        let both = [Record::Mx(".".to_owned()), Record::Address(ip)];
        dns.set("no-mail.example", Answer::Records(both.to_vec()));
        assert_eq!(dns.unresolvable("no-mail.example"), Slot::Known(true));
        assert_eq!(dns.unresolvable("slow.example"), Slot::Unknown);
        assert_eq!(dns.unresolvable("other.example"), Slot::Known(false));
        assert!(dns.listed(ip, "list.example") && !dns.listed(ip, "other.example"));
        assert_eq!(dns.client(ip), Named::of(NAME));
        dns.set("9.2.0.192.in-addr.arpa", Answer::Records(vec![Record::Ptr("mx.example.".to_owned())]));
        assert_eq!(dns.client(ip), Named::new(Slot::Absent, Slot::Known(true), Slot::Known(false)));
        dns.set("mx.example", Answer::Records(vec![Record::Address(ip)]));
        assert_eq!(dns.client(ip), Named::of("mx.example"));
        for (name, answer, want) in [
            ("192.0.2.10", Answer::Nothing, [Slot::Known(true), Slot::Known(true)]),
            ("192.0.2.11", Answer::Failure, [Slot::Unknown, Slot::Unknown]),
            ("192.0.2.12", Answer::Records(vec![Record::Txt]), [Slot::Known(true), Slot::Known(true)]),
            (
                "192.0.2.13",
                Answer::Records(vec![Record::Ptr("slow.example".to_owned())]),
                [Slot::Unknown, Slot::Known(false)],
            ),
        ] {
            dns.set(name, answer);
            let got = dns.client(name.parse().unwrap());
            assert_eq!([got.unverified, got.nameless], want, "{name}");
            assert!(!matches!(got.name, Slot::Known(_)), "{name}");
        }
        let six = format!("1.{}8.b.d.0.1.0.0.2.ip6.arpa", "0.".repeat(23));
        assert_eq!(asked(&six), "2001:db8::1");
        assert_eq!(asked("9.2.0.in-addr.arpa"), "9.2.0.in-addr.arpa");
    }
}
