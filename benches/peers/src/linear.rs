//! One rule after the other: what a programmer writes first. No peer, since it has to be written anew for each rule set.

use crate::mail::Mail;
use crate::rules::{Rule, Set, entry, literal, network, rule};
use crate::{Engine, timed};
use ipnet::Ipv4Net;
use std::time::Duration;

enum Linear {
    Mixed(Vec<Rule>),
    Senders(Vec<String>),
    Networks(Vec<Ipv4Net>),
    Patterns(Vec<String>),
}

/// With so many rules.
pub fn make(set: Set, size: usize) -> Option<Box<dyn Engine>> {
    Some(Box::new(match set {
        Set::Mixed => Linear::Mixed((0..size).map(rule).collect()),
        Set::Senders => Linear::Senders((0..size).map(|i| entry(i).key()).collect()),
        Set::Networks => Linear::Networks((0..size).map(network).collect()),
        Set::Patterns => Linear::Patterns((0..size).map(literal).collect()),
    }))
}

fn below(domain: &str, parent: &str) -> bool {
    domain.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
}

impl Linear {
    fn refuses(&self, mail: &Mail, keys: &[String]) -> bool {
        let domain = mail.domain();
        match self {
            Self::Mixed(rules) => rules.iter().any(|rule| match rule {
                Rule::Sender(who) => *who == mail.sender && mail.inbound,
                Rule::Domain(d) => d == domain || below(domain, d),
                Rule::Network(net) => net.contains(&mail.client) && mail.login.is_empty(),
                Rule::Pair(to, from) => *to == mail.recipient && below(domain, from),
                Rule::Helo(name) => *name == mail.helo,
            }),
            Self::Senders(all) => all.iter().any(|one| keys.contains(one)),
            Self::Networks(all) => all.iter().any(|net| net.contains(&mail.client)),
            Self::Patterns(all) => all.iter().any(|one| mail.subject.contains(one.as_str())),
        }
    }
}

impl Engine for Linear {
    fn refuses(&mut self, mails: &[Mail]) -> Vec<bool> {
        mails.iter().map(|mail| Linear::refuses(self, mail, &mail.keys())).collect()
    }

    fn time(&mut self, mail: &Mail, count: u64) -> Duration {
        let keys = mail.keys();
        timed(count, || Linear::refuses(self, std::hint::black_box(mail), &keys))
    }
}
