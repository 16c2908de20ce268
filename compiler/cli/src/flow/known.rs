//! Everything that is known of a mail, and the facts of it up to a stage.

use super::dns::Named;
use super::{ClientName, Mail, Unfit};
use edict_message::facts::{body_facts, header_facts};
use edict_runtime::verdict::bounds;
use edict_table::fact::{RESULTS, Stage};
use edict_table::facts::{BodyFacts, Direction, Facts, HeaderFacts, Slot};
use edict_table::load::Loaded;
use edict_table::value::{Address, Domain, canonical_ip, fold_text};
use std::net::IpAddr;

/// What is known.
#[derive(Debug)]
pub struct Known {
    /// Canonical.
    pub client: IpAddr,
    /// In a trusted network.
    pub trusted: bool,
    client_name: Slot<Domain>,
    client_unverified: Slot<bool>,
    client_nameless: Slot<bool>,
    listed: Vec<(String, Slot<bool>)>,
    tls: bool,
    helo: Option<Domain>,
    helo_malformed: bool,
    helo_unresolvable: Slot<bool>,
    login: Option<String>,
    /// None for `<>`.
    pub sender: Option<Address>,
    sender_unresolvable: Slot<bool>,
    sender_unknown: bool,
    spf: u8,
    dmarc: u8,
    dkim: Vec<Domain>,
    /// Each recipient.
    pub people: Vec<Who>,
    size: u64,
    message: Vec<u8>,
    own_from: bool,
    /// Recipients that are taken at RCPT.
    taken: u64,
    /// What the header tells.
    pub header: HeaderFacts,
    /// What the parts tell.
    pub body: BodyFacts,
    time: i64,
}

/// A recipient as it is known at RCPT.
#[derive(Clone, Debug)]
pub struct Who {
    /// As it was given, a domain alias replaced.
    pub wire: String,
    /// In policy form.
    pub address: Address,
    /// Inside or outside.
    pub inside: bool,
    /// By a logged-in client or a trusted network.
    pub submitted: bool,
    /// By the address as given.
    pub direction: Direction,
}

impl Known {
    /// Reads a mail.
    ///
    /// # Errors
    /// An address cannot be read.
    pub fn new(table: &Loaded, mail: &Mail) -> Result<Self, Unfit> {
        let client = canonical_ip(mail.client);
        let trusted = table.is_trusted(client);
        let sender = match mail.sender.as_str() {
            "" | "<>" => None,
            text => Some(Address::parse(text).map_err(|e| Unfit::Sender(text.to_owned(), e.to_string()))?),
        };
        if mail.recipients.is_empty() {
            return Err(Unfit::Nobody);
        }
        let sender_inside = sender.as_ref().is_some_and(|s| table.is_inside(real_domain(table, s.domain())));
        let login = mail.login.as_deref().map(fold_login);
        let people = mail.recipients.iter().map(|text| {
            let (wire, address) = recipient(table, text)?;
            let inside = table.is_inside(address.domain());
            // As the front has it: what another server of ours passes on is inbound.
            let submitted = login.is_some() || (trusted && (sender_inside || !inside));
            let direction = match (submitted, inside) {
                (_, false) => Direction::Outbound,
                (true, true) => Direction::Internal,
                (false, true) => Direction::Inbound,
            };
            Ok(Who { wire, address, inside, submitted, direction })
        });
        let people: Vec<Who> = people.collect::<Result<_, Unfit>>()?;
        let named = match &mail.client_name {
            ClientName::Given(name) => Named::of(name),
            ClientName::Asked => mail.dns.client(client),
            // Why there is none is not in the journal.
            ClientName::NotKept => Named::new(Slot::Absent, Slot::Known(true), Slot::Known(false)),
        };
        let header = header_facts(&mail.message);
        let helo = mail.helo.as_deref().unwrap_or("localhost.localdomain");
        let parsed = Domain::parse(helo).ok();
        let helo_malformed = parsed.is_none();
        let helo = parsed.filter(|domain| !domain.is_literal());
        let unresolvable =
            |domain: Option<&str>| domain.map_or(Slot::Known(false), |d| mail.dns.unresolvable(d));
        Ok(Self {
            client,
            trusted,
            listed: table
                .zones()
                .map(|zone| (zone.to_owned(), Slot::Known(mail.dns.listed(client, zone))))
                .collect(),
            client_name: named.name,
            client_unverified: named.unverified,
            client_nameless: named.nameless,
            tls: mail.tls,
            helo_unresolvable: unresolvable(helo.as_ref().map(Domain::as_str)),
            helo,
            helo_malformed,
            login,
            sender_unresolvable: unresolvable(
                sender.as_ref().map(Address::domain).filter(|d| !d.starts_with('[')),
            ),
            sender_unknown: sender.as_ref().is_some_and(|s| bounds::absent_sender(table, s)),
            spf: mail.spf,
            dmarc: mail.dmarc,
            dkim: mail.dkim.clone(),
            sender,
            taken: people.len() as u64,
            people,
            message: mail.message.clone(),
            own_from: mail.whole || !header.from.is_empty(),
            size: mail.size.unwrap_or(mail.message.len() as u64),
            header,
            body: body_facts(&mail.message),
            time: mail.time.div_euclid(1000),
        })
    }

    /// The message as received.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Whether `sender-must` can be held against From: a mail that is only sketched has none.
    pub fn has_from(&self) -> bool {
        self.own_from
    }

    /// So many recipients are taken at RCPT.
    pub fn count(&mut self, taken: usize) {
        self.taken = taken as u64;
    }

    /// The size that counts, in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The forward-confirmed name of the client.
    pub fn client_name(&self) -> Option<String> {
        match &self.client_name {
            Slot::Known(name) => Some(name.to_string()),
            _ => None,
        }
    }

    /// Whether a recipient is one that only our own may write to.
    pub fn is_strange(&self, who: &Who) -> bool {
        !who.submitted && !who.inside
    }

    /// The folded login.
    pub fn login(&self) -> Option<&str> {
        self.login.as_deref()
    }

    /// The facts of a recipient that are final at a stage.
    pub fn facts<'a>(&'a self, who: &'a Who, stage: Stage) -> Facts<'a> {
        let mut facts = Facts {
            client_ip: Slot::Known(self.client),
            client_name: by_ref(&self.client_name),
            client_unverified: self.client_unverified,
            client_nameless: self.client_nameless,
            client_listed: &self.listed,
            time: Slot::Known(self.time),
            ..Facts::default()
        };
        if stage >= Stage::Mail {
            facts.client_tls = Slot::Known(self.tls);
            facts.helo = Slot::from_option(self.helo.as_ref());
            facts.helo_malformed = Slot::Known(self.helo_malformed);
            facts.helo_unresolvable = self.helo_unresolvable;
            facts.auth_user = Slot::from_option(self.login.as_deref());
            facts.sender = Slot::from_option(self.sender.as_ref());
            facts.sender_unresolvable = self.sender_unresolvable;
            facts.sender_unknown = Slot::Known(self.sender_unknown);
            facts.spf = result(self.spf);
        }
        if stage >= Stage::Rcpt {
            facts.recipient = Slot::Known(&who.address);
            facts.direction = Slot::Known(who.direction);
            facts.submitted = Slot::Known(who.submitted);
        }
        if stage >= Stage::Data {
            facts.recipient_count = Slot::Known(self.taken);
        }
        if stage >= Stage::Header {
            facts.size = Slot::Known(self.size);
            facts.header = Slot::Known(&self.header);
            facts.dmarc = result(self.dmarc);
            facts.dkim_domains = Slot::Known(&self.dkim);
        }
        if stage >= Stage::Body {
            facts.body = Slot::Known(&self.body);
        }
        facts
    }
}

/// A result of SPF or DMARC: as the daemon has it, a check that failed for now has none.
fn result(place: u8) -> Slot<u8> {
    if RESULTS.get(usize::from(place)) == Some(&"temperror") { Slot::Unknown } else { Slot::Known(place) }
}

fn by_ref<T>(slot: &Slot<T>) -> Slot<&T> {
    match slot {
        Slot::Pending => Slot::Pending,
        Slot::Unknown => Slot::Unknown,
        Slot::Absent => Slot::Absent,
        Slot::Known(value) => Slot::Known(value),
    }
}

/// A login as rules see it.
fn fold_login(name: &str) -> String {
    Address::parse(name).map_or_else(|_| fold_text(name).into_owned(), |address| address.as_str().to_owned())
}

/// The domain that a domain alias stands for.
fn real_domain<'a>(table: &'a Loaded, domain: &'a str) -> &'a str {
    let aliases = &table.profile().domain_aliases;
    aliases.iter().find(|(alias, _)| alias == domain).map_or(domain, |(_, real)| real)
}

/// A recipient on the wire and in policy form, a domain alias replaced.
///
/// # Errors
/// It is no address.
pub fn recipient(table: &Loaded, text: &str) -> Result<(String, Address), Unfit> {
    let bad = |e: edict_table::value::AddressError| Unfit::Recipient(text.to_owned(), e.to_string());
    // A bare postmaster is the one of the first local domain (RFC 5321 4.5.1).
    let first = table.profile().local_domains.first().filter(|_| text.eq_ignore_ascii_case("postmaster"));
    let whole = first.map(|domain| format!("{text}@{domain}"));
    let text = whole.as_deref().unwrap_or(text);
    let address = Address::parse(text).map_err(bad)?;
    let real = real_domain(table, address.domain());
    if real == address.domain() {
        return Ok((text.to_owned(), address));
    }
    let (local, _) = text.rsplit_once('@').unwrap_or((text, ""));
    let wire = format!("{local}@{real}");
    let address = Address::parse(&wire).map_err(bad)?;
    Ok((wire, address))
}
