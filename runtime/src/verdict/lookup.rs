//! Facts that take a lookup: which questions a stage may ask, and what answers look like.
//!
//! The session asks only for facts that a decision needs. Whoever answers bounds the time and says
//! [`Slot::Unknown`] where it could not be told; a verdict that hangs on it is 451 4.4.3.

use super::authentic::ask::Identity;
use super::authentic::{Authentic, Signed};
use edict_table::fact::Fact;
use edict_table::facts::{FactSet, Slot};
use edict_table::value::{Address, Domain};
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

/// A question to DNS or to a next hop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Question {
    /// The forward-confirmed name of an address.
    Name(IpAddr),
    /// Whether HELO's name has an A, AAAA or MX.
    Helo(Domain),
    /// Whether a sender's domain has an MX, A or AAAA, and no null MX (RFC 7505).
    Sender(String),
    /// Whether an address is on the DNS list of this zone.
    Listed(String, IpAddr),
    /// SPF (RFC 7208).
    Spf(Identity),
    /// DKIM of a message, and DMARC where it is wanted.
    Authentic {
        /// Who sends.
        identity: Identity,
        /// SPF, as far as it was asked.
        spf: Slot<u8>,
        /// What is signed; none where it cannot be read.
        signed: Option<Arc<Signed>>,
        /// DMARC is wanted too.
        dmarc: bool,
    },
    /// Whether the next hop of a domain takes this address.
    Exists(Address),
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// To [`Question::Name`]: the name, whether reverse and forward name disagree, and whether there is no reverse name.
    Name(Slot<Domain>, Slot<bool>, Slot<bool>),
    /// To [`Question::Helo`]: whether it does not resolve.
    Helo(Slot<bool>),
    /// To [`Question::Sender`]: the domain, and whether it does not resolve.
    Sender(String, Slot<bool>),
    /// To [`Question::Listed`]: the zone, and whether it lists the client.
    Listed(String, Slot<bool>),
    /// To [`Question::Spf`]: place in [`edict_table::fact::RESULTS`].
    Spf(Option<Address>, Slot<u8>),
    /// To [`Question::Authentic`], with the sender.
    Authentic(Option<Address>, Authentic),
    /// To [`Question::Exists`].
    Exists(Address, Slot<bool>),
}

impl Question {
    /// The answer where nobody can be asked.
    #[must_use]
    pub fn unknown(self) -> Answer {
        match self {
            Self::Name(_) => Answer::Name(Slot::Unknown, Slot::Unknown, Slot::Unknown),
            Self::Helo(_) => Answer::Helo(Slot::Unknown),
            Self::Sender(domain) => Answer::Sender(domain, Slot::Unknown),
            // A list that errs or is silent counts as not listed.
            Self::Listed(zone, _) => Answer::Listed(zone, Slot::Known(false)),
            Self::Spf(identity) => Answer::Spf(identity.sender, Slot::Unknown),
            Self::Authentic { identity, .. } => Answer::Authentic(identity.sender, Authentic::unknown()),
            Self::Exists(address) => Answer::Exists(address, Slot::Unknown),
        }
    }
}

/// Answers of one lookup.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// Answers questions, within a time of its own.
pub trait Resolver: Send + Sync {
    /// Answers one.
    fn answer(&self, question: Question) -> Answering<'_>;
}

/// Of the facts that are needed, those that a lookup can tell once a client has connected.
pub(crate) fn at_connect(need: FactSet) -> FactSet {
    need.only(&[Fact::ClientName, Fact::ClientUnverified, Fact::ClientNameless, Fact::ClientListed])
}

/// Of the facts that are needed, those that a lookup can tell from MAIL on.
pub(crate) fn at_mail(need: FactSet) -> FactSet {
    const FACTS: &[Fact] = &[
        Fact::ClientName,
        Fact::ClientUnverified,
        Fact::ClientNameless,
        Fact::ClientListed,
        Fact::HeloUnresolvable,
        Fact::SenderUnresolvable,
        Fact::Spf,
    ];
    need.only(FACTS)
}

/// Of the facts that are needed, those that a lookup can tell at the end of the data.
pub(crate) fn at_end(need: FactSet) -> FactSet {
    let mut found = at_mail(need);
    for fact in [Fact::DkimDomain, Fact::Dmarc] {
        if need.contains(fact) {
            found.insert(fact);
        }
    }
    found
}
