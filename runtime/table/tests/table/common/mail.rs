//! Random mail: owned facts, and the view of them at a stage.

use super::random::{TEXTS, address, domain};
use super::rng::Rng;
use edict_table::fact::Stage;
use edict_table::facts::{Attachment, BodyFacts, Direction, Facts, HeaderFacts, HeaderField, Slot};
use edict_table::value::{Address, Domain};
use std::net::IpAddr;

/// What belongs to a recipient.
pub struct Recipient {
    pub submitted: Slot<bool>,
    pub recipient: Slot<Address>,
    pub direction: Slot<Direction>,
}

/// A message as it is in the end.
pub struct Mail {
    pub client_ip: Slot<IpAddr>,
    pub client_name: Slot<Domain>,
    pub client_unverified: Slot<bool>,
    pub client_nameless: Slot<bool>,
    pub client_listed: Vec<(String, Slot<bool>)>,
    pub client_tls: Slot<bool>,
    pub helo: Slot<Domain>,
    pub helo_malformed: Slot<bool>,
    pub helo_unresolvable: Slot<bool>,
    pub auth_user: Slot<String>,
    pub sender: Slot<Address>,
    pub sender_unresolvable: Slot<bool>,
    pub sender_unknown: Slot<bool>,
    pub spf: Slot<u8>,
    pub dmarc: Slot<u8>,
    pub recipient_count: Slot<u64>,
    pub size: Slot<u64>,
    pub header: Slot<HeaderFacts>,
    pub dkim: Slot<Vec<Domain>>,
    pub body: Slot<BodyFacts>,
    pub time: Slot<i64>,
    pub recipients: Vec<Recipient>,
}

fn slot<T>(rng: &mut Rng, open: usize, value: impl FnOnce(&mut Rng) -> T) -> Slot<T> {
    if rng.one_in(open) {
        return if rng.one_in(2) { Slot::Unknown } else { Slot::Pending };
    }
    if rng.one_in(6) {
        return Slot::Absent;
    }
    Slot::Known(value(rng))
}

fn flag(rng: &mut Rng) -> bool {
    rng.one_in(2)
}

fn header(rng: &mut Rng) -> HeaderFacts {
    let names = ["subject", "x-a", "x-b", "x-c"];
    let count = rng.below(5);
    let addresses = |rng: &mut Rng| (0..rng.below(3)).map(|_| address(rng)).collect();
    HeaderFacts {
        fields: (0..count)
            .map(|_| HeaderField { name: (*rng.pick(&names)).to_owned(), value: text(rng) })
            .collect(),
        from: addresses(rng),
        to: addresses(rng),
        cc: addresses(rng),
        hops: rng.below(5) as u64,
        auto_submitted: flag(rng),
        auto_forwarded: flag(rng),
        signed: flag(rng),
        encrypted: flag(rng),
        reply: flag(rng),
        malformed: flag(rng),
    }
}

/// A text of some words.
pub fn text(rng: &mut Rng) -> String {
    let count = rng.below(4);
    (0..count).map(|_| *rng.pick::<&str>(TEXTS)).collect::<Vec<_>>().join(if rng.one_in(2) {
        " "
    } else {
        ""
    })
}

fn body(rng: &mut Rng) -> BodyFacts {
    BodyFacts {
        texts: (0..rng.below(3)).map(|_| text(rng)).collect(),
        attachments: (0..rng.below(3))
            .map(|_| Attachment {
                name: if rng.one_in(3) { None } else { Some(text(rng)) },
                media_type: text(rng),
                size: rng.below(6) as u64,
            })
            .collect(),
        malformed: flag(rng),
    }
}

impl Mail {
    /// A random message; one fact in `open` stays open or unknown for good.
    pub fn random(rng: &mut Rng, open: usize) -> Self {
        let ip = |rng: &mut Rng| -> IpAddr {
            let n = rng.below(6);
            match rng.below(3) {
                0 => format!("10.{}.0.{}", rng.below(3), n).parse().unwrap(),
                1 => format!("192.0.2.{n}").parse().unwrap(),
                _ => format!("2001:db8:{}::{n}", rng.below(2)).parse().unwrap(),
            }
        };
        Self {
            client_ip: slot(rng, open, ip),
            client_name: slot(rng, open, domain),
            client_unverified: slot(rng, open, flag),
            client_nameless: slot(rng, open, flag),
            client_listed: ["zone.example", "other.example"]
                .iter()
                .filter_map(|z| {
                    let answer = slot(rng, open, flag);
                    (!rng.one_in(open)).then(|| ((*z).to_owned(), answer))
                })
                .collect(),
            client_tls: slot(rng, open, flag),
            helo: slot(rng, open, domain),
            helo_malformed: slot(rng, open, flag),
            helo_unresolvable: slot(rng, open, flag),
            auth_user: slot(rng, open, |rng| (*rng.pick(&["ann", "bob@a.example"])).to_owned()),
            sender: slot(rng, open, address),
            sender_unresolvable: slot(rng, open, flag),
            sender_unknown: slot(rng, open, flag),
            spf: slot(rng, open, |rng| rng.below(7) as u8),
            dmarc: slot(rng, open, |rng| rng.below(7) as u8),
            recipient_count: slot(rng, open, |rng| rng.below(5) as u64),
            size: slot(rng, open, |rng| rng.below(6) as u64),
            header: slot(rng, open, header),
            dkim: slot(rng, open, |rng| (0..rng.below(3)).map(|_| domain(rng)).collect()),
            body: slot(rng, open, body),
            time: slot(rng, open, |rng| rng.below(6) as i64 - 1),
            recipients: (0..1 + rng.below(3)).map(|_| Recipient::random(rng, open)).collect(),
        }
    }

    /// Puts in new content.
    pub fn new_content(&mut self, rng: &mut Rng, open: usize) {
        self.recipient_count = slot(rng, open, |rng| rng.below(5) as u64);
        self.size = slot(rng, open, |rng| rng.below(6) as u64);
        self.header = slot(rng, open, header);
        self.body = slot(rng, open, body);
        self.dmarc = slot(rng, open, |rng| rng.below(7) as u8);
        self.dkim = slot(rng, open, |rng| (0..rng.below(3)).map(|_| domain(rng)).collect());
    }

    /// What is known of it for a recipient at a stage.
    pub fn at(&self, stage: Stage, recipient: usize) -> Facts<'_> {
        let to = &self.recipients[recipient];
        fn when<T>(now: Stage, from: Stage, slot: Slot<T>) -> Slot<T> {
            if now >= from { slot } else { Slot::Pending }
        }
        use Stage::{Body, Connect, Data, Header, Mail, Rcpt};
        Facts {
            client_ip: when(stage, Connect, self.client_ip),
            client_name: when(stage, Connect, by_ref(&self.client_name)),
            client_unverified: when(stage, Connect, self.client_unverified),
            client_nameless: when(stage, Connect, self.client_nameless),
            client_listed: if stage >= Mail { &self.client_listed } else { &[] },
            client_tls: when(stage, Mail, self.client_tls),
            helo: when(stage, Mail, by_ref(&self.helo)),
            helo_malformed: when(stage, Mail, self.helo_malformed),
            helo_unresolvable: when(stage, Mail, self.helo_unresolvable),
            auth_user: when(stage, Mail, by_ref(&self.auth_user).map(String::as_str)),
            sender: when(stage, Mail, by_ref(&self.sender)),
            sender_unresolvable: when(stage, Mail, self.sender_unresolvable),
            sender_unknown: when(stage, Mail, self.sender_unknown),
            spf: when(stage, Mail, self.spf),
            submitted: when(stage, Rcpt, to.submitted),
            recipient: when(stage, Rcpt, by_ref(&to.recipient)),
            direction: when(stage, Rcpt, to.direction),
            recipient_count: when(stage, Data, self.recipient_count),
            size: when(stage, Header, self.size),
            header: when(stage, Header, by_ref(&self.header)),
            dmarc: when(stage, Header, self.dmarc),
            dkim_domains: when(stage, Header, by_ref(&self.dkim).map(Vec::as_slice)),
            body: when(stage, Body, by_ref(&self.body)),
            time: when(stage, Connect, self.time),
        }
    }
}

impl Recipient {
    /// A random one.
    pub fn random(rng: &mut Rng, open: usize) -> Self {
        let directions = [Direction::Inbound, Direction::Outbound, Direction::Internal, Direction::Forwarded];
        Self {
            submitted: slot(rng, open, flag),
            recipient: slot(rng, open, address),
            direction: slot(rng, open, |rng| *rng.pick(&directions)),
        }
    }
}

fn by_ref<T>(slot: &Slot<T>) -> Slot<&T> {
    match slot {
        Slot::Pending => Slot::Pending,
        Slot::Unknown => Slot::Unknown,
        Slot::Absent => Slot::Absent,
        Slot::Known(value) => Slot::Known(value),
    }
}
