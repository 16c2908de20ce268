//! An example message: every fact with a value, as the evaluator takes it and as people read it.

use edict_table::fact::{RESULTS, Stage};
use edict_table::facts::{Attachment, BodyFacts, Direction, Facts, HeaderFacts, HeaderField, Slot};
use edict_table::value::address::parse_local;
use edict_table::value::{Address, Domain};
use std::net::{IpAddr, Ipv4Addr};

/// One message for one recipient.
#[derive(Clone, Debug)]
pub struct World {
    /// The client.
    pub client_ip: IpAddr,
    /// Its confirmed name.
    pub client_name: Option<Domain>,
    /// DNS has no reverse name for it.
    pub client_nameless: bool,
    /// DNS lists that are asked, with their answers.
    pub listed: Vec<(String, bool)>,
    /// Encrypted.
    pub tls: bool,
    /// HELO, where it is a domain.
    pub helo: Option<Domain>,
    /// HELO is neither domain nor literal.
    pub helo_malformed: bool,
    /// It has no address.
    pub helo_unresolvable: bool,
    /// The login.
    pub auth_user: Option<String>,
    /// The envelope sender; none for `<>`.
    pub sender: Option<Address>,
    /// Its domain has no address.
    pub sender_unresolvable: bool,
    /// It does not exist.
    pub sender_unknown: bool,
    /// Place in [`RESULTS`].
    pub spf: u8,
    /// By a login or a trusted network.
    pub submitted: bool,
    /// The recipient.
    pub recipient: Address,
    /// Its direction.
    pub direction: Direction,
    /// Recipients in all.
    pub recipient_count: u64,
    /// Bytes.
    pub size: u64,
    /// The header.
    pub header: HeaderFacts,
    /// Place in [`RESULTS`].
    pub dmarc: u8,
    /// Domains with a valid signature.
    pub dkim: Vec<Domain>,
    /// The body.
    pub body: BodyFacts,
    /// Unix seconds.
    pub time: i64,
    /// Facts that the question was about, by which the example is told.
    pub told: Told,
}

/// Which parts of a message were asked for.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "a set of switches, each independent")]
pub struct Told {
    /// Client address.
    pub client: bool,
    /// Recipient count.
    pub count: bool,
    /// Size.
    pub size: bool,
    /// Time.
    pub time: bool,
    /// SPF.
    pub spf: bool,
    /// DMARC.
    pub dmarc: bool,
    /// TLS.
    pub tls: bool,
}

/// Parses what is known to be a domain; [`None`] where it is not.
#[must_use]
pub fn domain(text: &str) -> Option<Domain> {
    Domain::parse(text).ok()
}

impl World {
    /// A plain message that nothing was asked of.
    #[must_use]
    pub fn plain() -> Option<Self> {
        let somewhere = domain("stranger.example")?;
        Some(Self {
            client_ip: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)),
            client_name: None,
            client_nameless: false,
            listed: Vec::new(),
            tls: true,
            helo: None,
            helo_malformed: false,
            helo_unresolvable: false,
            auth_user: None,
            sender: None,
            sender_unresolvable: false,
            sender_unknown: false,
            spf: 0,
            submitted: false,
            recipient: Address::new("someone", &somewhere),
            direction: Direction::Inbound,
            recipient_count: 1,
            size: 4096,
            header: HeaderFacts::default(),
            dmarc: 0,
            dkim: Vec::new(),
            body: BodyFacts::default(),
            time: 0,
            told: Told::default(),
        })
    }

    /// Calls `f` with the message as facts.
    pub fn facts<R>(&self, f: impl FnOnce(&Facts<'_>) -> R) -> R {
        let listed: Vec<(String, Slot<bool>)> =
            self.listed.iter().map(|(zone, listed)| (zone.clone(), Slot::Known(*listed))).collect();
        f(&Facts {
            client_ip: Slot::Known(self.client_ip),
            client_name: Slot::from_option(self.client_name.as_ref()),
            client_unverified: Slot::Known(self.client_name.is_none()),
            client_nameless: Slot::Known(self.client_nameless),
            client_listed: &listed,
            client_tls: Slot::Known(self.tls),
            helo: Slot::from_option(self.helo.as_ref()),
            helo_malformed: Slot::Known(self.helo_malformed),
            helo_unresolvable: Slot::Known(self.helo_unresolvable),
            auth_user: Slot::from_option(self.auth_user.as_deref()),
            sender: Slot::from_option(self.sender.as_ref()),
            sender_unresolvable: Slot::Known(self.sender_unresolvable),
            sender_unknown: Slot::Known(self.sender_unknown),
            spf: Slot::Known(self.spf),
            submitted: Slot::Known(self.submitted),
            recipient: Slot::Known(&self.recipient),
            direction: Slot::Known(self.direction),
            recipient_count: Slot::Known(self.recipient_count),
            size: Slot::Known(self.size),
            header: Slot::Known(&self.header),
            dmarc: Slot::Known(self.dmarc),
            dkim_domains: Slot::Known(&self.dkim),
            body: Slot::Known(&self.body),
            time: Slot::Known(self.time),
        })
    }

    /// Calls `f` with what is known of the message by a stage.
    pub fn facts_until<R>(&self, stage: Stage, f: impl FnOnce(&Facts<'_>) -> R) -> R {
        self.facts(|all| {
            let mut facts = Facts {
                client_ip: all.client_ip,
                client_name: all.client_name,
                client_unverified: all.client_unverified,
                client_nameless: all.client_nameless,
                client_listed: all.client_listed,
                time: all.time,
                ..Facts::default()
            };
            if stage >= Stage::Mail {
                facts.client_tls = all.client_tls;
                facts.helo = all.helo;
                facts.helo_malformed = all.helo_malformed;
                facts.helo_unresolvable = all.helo_unresolvable;
                facts.auth_user = all.auth_user;
                facts.sender = all.sender;
                facts.sender_unresolvable = all.sender_unresolvable;
                facts.sender_unknown = all.sender_unknown;
                facts.spf = all.spf;
            }
            if stage >= Stage::Rcpt {
                facts.recipient = all.recipient;
                facts.direction = all.direction;
                facts.submitted = all.submitted;
            }
            if stage >= Stage::Data {
                facts.recipient_count = all.recipient_count;
            }
            if stage >= Stage::Header {
                facts.size = all.size;
                facts.header = all.header;
                facts.dmarc = all.dmarc;
                facts.dkim_domains = all.dkim_domains;
            }
            if stage >= Stage::Body {
                facts.body = all.body;
            }
            f(&facts)
        })
    }

    /// What is shown of it as the example of a finding: nothing where the one recipient that was found is one that the
    /// relay guard refuses, whatever the rules say.
    #[must_use]
    pub fn example(&self, zone: &str) -> Vec<String> {
        if self.recipient.local().contains('@') { Vec::new() } else { self.lines(zone) }
    }

    /// The message as a `test` block would give it, a line for each part that is there.
    #[must_use]
    pub fn lines(&self, zone: &str) -> Vec<String> {
        let mut out = Vec::new();
        let mut line = |name: &str, value: String| out.push(format!("{name} {value}"));
        line("client", self.client_ip.to_string());
        if let Some(name) = &self.client_name {
            line("client-name", name.to_string());
        }
        for (zone, listed) in &self.listed {
            if *listed {
                line("listed", format!("in {zone}"));
            }
        }
        if let Some(helo) = &self.helo {
            line("helo", helo.to_string());
        }
        if let Some(user) = &self.auth_user {
            line("login", user.clone());
        }
        line("sender", self.sender.as_ref().map_or_else(|| "<>".to_owned(), written));
        line("recipient", written(&self.recipient));
        line("direction", self.direction.name().to_owned());
        for (asked, name, value) in [(self.told.spf, "spf", self.spf), (self.told.dmarc, "dmarc", self.dmarc)]
        {
            if asked && let Some(word) = RESULTS.get(usize::from(value)) {
                line(name, (*word).to_owned());
            }
        }
        if self.told.tls {
            line("tls", if self.tls { "yes" } else { "no" }.to_owned());
        }
        if self.told.count {
            line("recipients", self.recipient_count.to_string());
        }
        for (name, list) in [("from", &self.header.from), ("to", &self.header.to), ("cc", &self.header.cc)] {
            for address in list.iter().map(written) {
                // A field that was asked for as a whole holds it.
                let held = |field: &HeaderField| field.name == name && field.value.contains(&address);
                if !self.header.fields.iter().any(held) {
                    line("header", format!("{name}: {address}"));
                }
            }
        }
        for HeaderField { name, value } in &self.header.fields {
            line("header", format!("{name}: {value}"));
        }
        let flags = [
            (self.client_nameless, "client is nameless"),
            (self.sender_unresolvable, "sender.domain is unresolvable"),
            (self.sender_unknown, "sender is unknown"),
            (self.helo_malformed, "helo is malformed"),
            (self.helo_unresolvable, "helo is unresolvable"),
            (self.header.auto_submitted, "message is auto-submitted"),
            (self.header.auto_forwarded, "message is auto-forwarded"),
            (self.header.signed, "message is signed"),
            (self.header.encrypted, "message is encrypted"),
            (self.header.reply, "message is reply"),
            (self.header.malformed, "message is malformed"),
        ];
        for (set, name) in flags {
            if set {
                line("where", name.to_owned());
            }
        }
        if self.header.hops > 0 {
            line("hops", self.header.hops.to_string());
        }
        for domain in &self.dkim {
            line("dkim", domain.to_string());
        }
        for text in &self.body.texts {
            line("body", text.clone());
        }
        for Attachment { name, media_type, size } in self.body.attachments.iter().take(5) {
            let name = name.as_deref().unwrap_or("without a name");
            line("attachment", format!("{name}, {media_type}, {size} bytes"));
        }
        if self.body.attachments.len() > 5 {
            line("attachments", self.body.attachments.len().to_string());
        }
        if self.told.size {
            line("size", format!("{} bytes", self.size));
        }
        if self.told.time {
            line("time", written_time(zone, self.time));
        }
        out
    }
}

/// A moment as rules and tests write it, in the zone of the profile. An hour that a zone has twice is told in UTC.
fn written_time(zone: &str, seconds: i64) -> String {
    let Ok(at) = jiff::Timestamp::from_second(seconds) else { return String::new() };
    let zone = jiff::tz::TimeZoneDatabase::bundled().get(zone).unwrap_or(jiff::tz::TimeZone::UTC);
    let local = zone.to_datetime(at);
    if zone.to_timestamp(local).is_ok_and(|back| back == at) {
        local.strftime(if local.second() == 0 { "%Y-%m-%dT%H:%M" } else { "%Y-%m-%dT%H:%M:%S" }).to_string()
    } else {
        at.to_string()
    }
}

/// An address as a mail has it: in quotes where its local part needs them.
fn written(address: &Address) -> String {
    let (local, domain) = (address.local(), address.domain());
    if parse_local(local).is_ok_and(|plain| plain == local) {
        return address.to_string();
    }
    format!("\"{}\"@{domain}", local.replace('\\', "\\\\").replace('"', "\\\""))
}
