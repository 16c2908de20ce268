//! The facts of one message as the evaluator takes them: each pending, unknown, absent or known.
//!
//! Borrowed and plain: the session, `explain` and the tests fill it in, [`decide`](crate::decide) reads
//! it. Text values are in the form of [`fold_text`](crate::value::fold_text), header names in lower case;
//! who fills them in sees to that. Between two calls for one transaction a fact may only go from
//! pending to something else (for recipient facts: within one recipient).

use crate::fact::Fact;
use crate::value::{Address, Domain};
use std::net::IpAddr;

/// What is known of a fact.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Slot<T> {
    /// Not final yet: a later stage, or nobody looked.
    #[default]
    Pending,
    /// A lookup failed for now (DNS time-out): it can not be told.
    Unknown,
    /// It is final that there is none.
    Absent,
    /// The value.
    Known(T),
}

impl<T> Slot<T> {
    /// Maps the value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Slot<U> {
        match self {
            Self::Pending => Slot::Pending,
            Self::Unknown => Slot::Unknown,
            Self::Absent => Slot::Absent,
            Self::Known(value) => Slot::Known(f(value)),
        }
    }

    /// Known where `Some`, else absent.
    pub fn from_option(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Self::Known)
    }
}

/// The direction of a message for one recipient (the fact `direction`, docs/language.md). Places in [`crate::fact::DIRECTIONS`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Direction {
    /// Not submitted, recipient inside.
    Inbound,
    /// Submitted, recipient outside.
    Outbound,
    /// Submitted, recipient inside.
    Internal,
    /// Not submitted, outside through an alias or a copy.
    Forwarded,
}

impl Direction {
    /// The word that rules write.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::Internal => "internal",
            Self::Forwarded => "forwarded",
        }
    }
}

/// One header field: name in lower case, value decoded and folded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeaderField {
    /// `subject`, `x-campaign`
    pub name: String,
    /// In the form of [`fold_text`](crate::value::fold_text).
    pub value: String,
}

/// One attachment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Attachment {
    /// File name, folded; absent where it has none.
    pub name: Option<String>,
    /// `application/pdf`, folded.
    pub media_type: String,
    /// Decoded bytes.
    pub size: u64,
}

/// What the header of a message tells.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HeaderFacts {
    /// Every field, in order.
    pub fields: Vec<HeaderField>,
    /// Addresses in From.
    pub from: Vec<Address>,
    /// Addresses in To.
    pub to: Vec<Address>,
    /// Addresses in Cc.
    pub cc: Vec<Address>,
    /// Received fields.
    pub hops: u64,
    /// RFC 3834.
    pub auto_submitted: bool,
    /// A client forwarded it by itself.
    pub auto_forwarded: bool,
    /// PGP or S/MIME signed.
    pub signed: bool,
    /// PGP or S/MIME encrypted.
    pub encrypted: bool,
    /// Has In-Reply-To or References.
    pub reply: bool,
    /// Past the parser's limits, or not to be read.
    pub malformed: bool,
}

impl HeaderFacts {
    /// The first Subject.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.fields.iter().find(|f| f.name == "subject").map(|f| f.value.as_str())
    }
}

/// What the decoded parts of a message tell.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BodyFacts {
    /// Each text part, folded.
    pub texts: Vec<String>,
    /// Attachments.
    pub attachments: Vec<Attachment>,
    /// Past the parser's limits, or not to be read. Joins [`HeaderFacts::malformed`].
    pub malformed: bool,
}

/// All facts of one message for one recipient. [`Default`] is all pending.
#[derive(Clone, Debug, Default)]
pub struct Facts<'a> {
    /// [`Fact::ClientIp`]; canonical ([`canonical_ip`](crate::value::canonical_ip)).
    pub client_ip: Slot<IpAddr>,
    /// [`Fact::ClientName`]
    pub client_name: Slot<&'a Domain>,
    /// [`Fact::ClientUnverified`]
    pub client_unverified: Slot<bool>,
    /// [`Fact::ClientNameless`]
    pub client_nameless: Slot<bool>,
    /// [`Fact::ClientListed`]: zones asked so far, with the answer; a zone that is missing is pending.
    pub client_listed: &'a [(String, Slot<bool>)],
    /// [`Fact::ClientTls`]
    pub client_tls: Slot<bool>,
    /// [`Fact::Helo`]: absent where HELO held no domain.
    pub helo: Slot<&'a Domain>,
    /// [`Fact::HeloMalformed`]
    pub helo_malformed: Slot<bool>,
    /// [`Fact::HeloUnresolvable`]
    pub helo_unresolvable: Slot<bool>,
    /// [`Fact::AuthUser`], folded.
    pub auth_user: Slot<&'a str>,
    /// [`Fact::Sender`], and from it the facts on its parts.
    pub sender: Slot<&'a Address>,
    /// [`Fact::SenderUnresolvable`]
    pub sender_unresolvable: Slot<bool>,
    /// [`Fact::SenderUnknown`]
    pub sender_unknown: Slot<bool>,
    /// [`Fact::Spf`], place in [`crate::fact::RESULTS`].
    pub spf: Slot<u8>,
    /// [`Fact::Submitted`]
    pub submitted: Slot<bool>,
    /// [`Fact::Recipient`], and from it the facts on its parts.
    pub recipient: Slot<&'a Address>,
    /// [`Fact::Direction`]
    pub direction: Slot<Direction>,
    /// [`Fact::RecipientCount`]
    pub recipient_count: Slot<u64>,
    /// [`Fact::Size`]
    pub size: Slot<u64>,
    /// Everything of the header.
    pub header: Slot<&'a HeaderFacts>,
    /// [`Fact::Dmarc`], place in [`crate::fact::RESULTS`].
    pub dmarc: Slot<u8>,
    /// [`Fact::DkimDomain`]
    pub dkim_domains: Slot<&'a [Domain]>,
    /// Everything of the body.
    pub body: Slot<&'a BodyFacts>,
    /// [`Fact::Time`], Unix seconds.
    pub time: Slot<i64>,
}

/// A set of facts: what a decision still needs. Where [`Fact::ClientListed`] is among them, also of which DNS lists; two
/// sets of the same facts are equal, whatever the lists.
#[derive(Clone, Copy, Default)]
pub struct FactSet {
    facts: u64,
    /// By their places among the table's zones; the last bit stands for all from there on.
    zones: u64,
}

/// The place from which on zones share a bit.
const LAST_ZONE: usize = 63;

impl FactSet {
    /// None.
    pub const EMPTY: Self = Self { facts: 0, zones: 0 };

    /// Adds one.
    pub fn insert(&mut self, fact: Fact) {
        self.facts |= 1 << (fact as u8);
    }

    /// Adds [`Fact::ClientListed`] for the zone at this place.
    pub(crate) fn insert_zone(&mut self, place: usize) {
        self.insert(Fact::ClientListed);
        self.zones |= 1 << place.min(LAST_ZONE);
    }

    /// Adds all of another set.
    pub fn add(&mut self, other: Self) {
        self.facts |= other.facts;
        self.zones |= other.zones;
    }

    /// Those that are among `facts`.
    #[must_use]
    pub fn only(self, facts: &[Fact]) -> Self {
        let mut mask = Self::EMPTY;
        facts.iter().for_each(|fact| mask.insert(*fact));
        Self { facts: self.facts & mask.facts, ..self }
    }

    /// Whether each of its facts is in another set.
    #[must_use]
    pub(crate) fn is_within(self, other: Self) -> bool {
        self.facts & !other.facts == 0
    }

    /// Whether it is among them.
    #[must_use]
    pub fn contains(self, fact: Fact) -> bool {
        self.facts & (1 << (fact as u8)) != 0
    }

    /// Whether the zone at this place is wanted; where none was named, any is.
    pub(crate) fn wants_zone(self, place: usize) -> bool {
        self.contains(Fact::ClientListed)
            && (self.zones == 0 || self.zones & (1 << place.min(LAST_ZONE)) != 0)
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.facts == 0
    }

    /// Each of them, in the order of the registry.
    pub fn iter(self) -> impl Iterator<Item = Fact> {
        crate::fact::REGISTRY.iter().map(|row| row.fact).filter(move |f| self.contains(*f))
    }
}

impl PartialEq for FactSet {
    fn eq(&self, other: &Self) -> bool {
        self.facts == other.facts
    }
}

impl Eq for FactSet {}

impl std::fmt::Debug for FactSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
