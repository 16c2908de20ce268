//! What a session knows of its client. It outlives transactions: MAIL decides anew from these facts.

use super::authentic::ask::Identity;
use super::lookup::{Answer, Question};
use crate::envelope::Client;
use edict_table::fact::Fact;
use edict_table::facts::{FactSet, Facts, Slot};
use edict_table::load::Loaded;
use edict_table::value::{Address, Domain, canonical_ip, fold};
use std::net::IpAddr;

/// What HELO or EHLO said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Hello {
    /// Fit for trace fields and logs.
    pub(crate) text: String,
    /// EHLO.
    pub(crate) esmtp: bool,
    /// Where it is one and no address literal.
    pub(crate) domain: Option<Domain>,
    /// Neither a domain nor an address literal.
    pub(crate) malformed: bool,
    /// Its name has no A, AAAA or MX.
    pub(crate) unresolvable: Slot<bool>,
}

impl Hello {
    /// Reads the argument of HELO or EHLO; `shown` is the same, made fit for trace fields.
    pub(crate) fn new(text: &str, shown: String, esmtp: bool) -> Self {
        let parsed = Domain::parse(text).ok();
        let malformed = parsed.is_none();
        let domain = parsed.filter(|d| !d.is_literal());
        // Only a domain can fail to resolve.
        let unresolvable = if domain.is_some() { Slot::Pending } else { Slot::Known(false) };
        Self { text: shown, esmtp, domain, malformed, unresolvable }
    }
}

/// A login that was proved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Login {
    /// As the client gave it, cleaned of controls by the one who checked it.
    pub(crate) name: String,
    /// Folded, for rules.
    pub(crate) folded: String,
}

impl Login {
    /// A login of this name.
    pub(crate) fn new(name: &str) -> Self {
        let folded = match Address::parse(name) {
            Ok(address) => address.as_str().to_owned(),
            Err(_) => fold(name).into_owned(),
        };
        Self { name: name.to_owned(), folded }
    }
}

/// A session's client.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Canonical.
    pub(crate) ip: IpAddr,
    /// The same as text: each log line has it.
    pub(crate) ip_text: Box<str>,
    /// Forward-confirmed name.
    pub(crate) name: Slot<Domain>,
    /// Reverse and forward name disagree, or there is none.
    pub(crate) unverified: Slot<bool>,
    /// There is no reverse name.
    pub(crate) nameless: Slot<bool>,
    /// DNS lists asked so far.
    pub(crate) listed: Vec<(String, Slot<bool>)>,
    /// Encrypted.
    pub(crate) tls: bool,
    /// Greeting.
    pub(crate) hello: Option<Hello>,
    /// Login.
    pub(crate) login: Option<Login>,
    /// The last sender's domain that was looked up: whether it does not resolve.
    sender: Option<(String, Slot<bool>)>,
    /// The last sender whose SPF was looked up.
    spf: Option<(Option<Address>, Slot<u8>)>,
    /// The last recipient that a next hop was asked about.
    exists: Option<(Address, Slot<bool>)>,
}

impl Peer {
    /// A client that has connected.
    pub(crate) fn new(ip: IpAddr) -> Self {
        let ip = canonical_ip(ip);
        Self {
            ip,
            ip_text: ip.to_string().into(),
            name: Slot::Pending,
            unverified: Slot::Pending,
            nameless: Slot::Pending,
            listed: Vec::new(),
            tls: false,
            hello: None,
            login: None,
            sender: None,
            spf: None,
            exists: None,
        }
    }

    /// Keeps an answer.
    pub(crate) fn learn(&mut self, answer: Answer) {
        match answer {
            Answer::Name(name, unverified, nameless) => {
                // What a proxy said of the name stands.
                if self.name == Slot::Pending {
                    self.name = name;
                    self.unverified = unverified;
                }
                self.nameless = nameless;
            }
            Answer::Helo(unresolvable) => {
                if let Some(hello) = &mut self.hello {
                    hello.unresolvable = unresolvable;
                }
            }
            Answer::Sender(domain, unresolvable) => self.sender = Some((domain, unresolvable)),
            Answer::Listed(zone, listed) => self.listed.push((zone, listed)),
            Answer::Spf(sender, result) => self.spf = Some((sender, result)),
            Answer::Authentic(sender, found) => {
                if found.spf != Slot::Pending {
                    self.spf = Some((sender, found.spf));
                }
            }
            Answer::Exists(address, exists) => self.exists = Some((address, exists)),
        }
    }

    /// The questions whose answers tell these facts.
    pub(crate) fn questions(&self, table: &Loaded, need: FactSet, sender: Option<&Address>) -> Vec<Question> {
        let mut questions = Vec::new();
        let asked = |zone: &&str| self.listed.iter().any(|(known, _)| known == zone);
        let zones = table.zones_of(need).filter(|zone| !asked(zone));
        questions.extend(zones.map(|zone| Question::Listed(zone.to_owned(), self.ip)));
        let names = [Fact::ClientName, Fact::ClientUnverified, Fact::ClientNameless];
        if names.into_iter().any(|fact| need.contains(fact)) {
            questions.push(Question::Name(self.ip));
        }
        let domain = self.hello.as_ref().and_then(|h| h.domain.as_ref());
        if need.contains(Fact::HeloUnresolvable)
            && let Some(domain) = domain
        {
            questions.push(Question::Helo(domain.clone()));
        }
        if need.contains(Fact::SenderUnresolvable)
            && let Some(sender) = sender
        {
            questions.push(Question::Sender(sender.domain().to_owned()));
        }
        if need.contains(Fact::Spf) {
            questions.push(Question::Spf(self.identity(sender)));
        }
        questions
    }

    /// Who sends, as SPF asks.
    pub(crate) fn identity(&self, sender: Option<&Address>) -> Identity {
        let helo = self.hello.as_ref().and_then(|h| h.domain.as_ref());
        Identity {
            ip: self.ip,
            helo: helo.map(ToString::to_string).unwrap_or_default(),
            sender: sender.cloned(),
        }
    }

    /// Whether a sender's domain does not resolve, as far as it was looked up.
    pub(crate) fn sender_unresolvable(&self, sender: Option<&Address>) -> Slot<bool> {
        match (sender, &self.sender) {
            (None, _) => Slot::Known(false),
            (Some(sender), _) if sender.domain().starts_with('[') => Slot::Known(false),
            (Some(sender), Some((domain, answer))) if domain == sender.domain() => *answer,
            _ => Slot::Pending,
        }
    }

    /// The result of SPF for a sender, as far as it was looked up.
    pub(crate) fn spf(&self, sender: Option<&Address>) -> Slot<u8> {
        match &self.spf {
            Some((asked, answer)) if asked.as_ref() == sender => *answer,
            _ => Slot::Pending,
        }
    }

    /// Whether a next hop takes an address, as far as it was asked.
    pub(crate) fn exists(&self, address: &Address) -> Slot<bool> {
        match &self.exists {
            Some((asked, answer)) if asked == address => *answer,
            _ => Slot::Pending,
        }
    }

    /// The facts that are final when a client has connected.
    pub(crate) fn connect_facts(&self, now: i64) -> Facts<'_> {
        Facts {
            client_ip: Slot::Known(self.ip),
            client_name: by_ref(&self.name),
            client_unverified: self.unverified,
            client_nameless: self.nameless,
            client_listed: &self.listed,
            time: Slot::Known(now.div_euclid(1000)),
            ..Facts::default()
        }
    }

    /// The facts of the client that are final at MAIL.
    pub(crate) fn mail_facts(&self, now: i64) -> Facts<'_> {
        let hello = self.hello.as_ref();
        Facts {
            client_tls: Slot::Known(self.tls),
            helo: Slot::from_option(hello.and_then(|h| h.domain.as_ref())),
            helo_malformed: Slot::from_option(hello.map(|h| h.malformed)),
            helo_unresolvable: hello.map_or(Slot::Absent, |h| h.unresolvable),
            auth_user: Slot::from_option(self.login.as_ref().map(|l| l.folded.as_str())),
            ..self.connect_facts(now)
        }
    }

    /// The client as envelopes carry it.
    pub(crate) fn client(&self, trusted: bool) -> Client {
        let name = match &self.name {
            Slot::Known(name) => Some(name.to_string()),
            _ => None,
        };
        Client {
            ip: self.ip,
            name,
            helo: self.hello.as_ref().map_or_else(String::new, |h| h.text.clone()),
            esmtp: self.hello.as_ref().is_some_and(|h| h.esmtp),
            tls: self.tls,
            auth_user: self.login.as_ref().map(|l| l.name.clone()),
            trusted,
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
