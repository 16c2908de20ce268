//! Delivery: a message to one next hop, once. Maildirs, LMTP, SMTP to relays and MX.
//!
//! Knows nothing of the queue: it is given a [`Letter`] and says what became of each recipient.

pub mod client;
pub mod connect;
mod fit;
pub mod known;
mod login;
pub mod maildir;
pub mod mx;
mod offers;
pub mod probe;
pub mod reply;
pub mod send;
pub mod stuff;
pub mod through;
pub mod tls;

use crate::envelope::{Dispatch, MessageId, Record, Ret, Target};
use reply::Reply;

/// One transaction with a next hop: a variant of a message for recipients who share it.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// The message's name.
    pub id: MessageId,
    /// Unix milliseconds of its acceptance.
    pub received: i64,
    /// Place of the dispatch in its record.
    pub place: u16,
    /// Its envelope.
    pub dispatch: &'a Dispatch,
    /// Whom this transaction is for: places among the dispatch's recipients.
    pub targets: &'a [u16],
    /// The variant's bytes.
    pub bytes: &'a [u8],
    /// It may have been delivered before.
    pub again: bool,
    /// What of it may go out at once.
    pub pace: Pace,
}

/// What of a transaction may go out before it is known what is said to the rest, where the next hop offers that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// Its commands, and a small message with them.
    Whole,
    /// Its commands.
    Commands,
    /// One command.
    StepByStep,
}

impl<'a> Letter<'a> {
    /// The recipients, those that are there.
    pub fn recipients(&self) -> impl Iterator<Item = &'a Target> {
        let recipients = &self.dispatch.recipients;
        self.targets.iter().filter_map(move |t| recipients.get(usize::from(*t)))
    }
}

/// The status of a login that did not come about (RFC 4954 6).
pub(crate) const LOGIN_REFUSED: (u8, u16, u16) = (4, 7, 8);

/// Why a recipient was not served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reason {
    /// Class, subject, detail (RFC 3463).
    pub status: (u8, u16, u16),
    /// What is told to people; printable, one line.
    pub text: String,
    /// The next hop, where it was its reply.
    pub remote: Option<String>,
    /// It is our own, and may tell who the next hop is.
    pub names_hop: bool,
}

impl Reason {
    /// A reason of our own.
    pub fn new(status: (u8, u16, u16), text: impl Into<String>) -> Self {
        Self { status, text: text.into(), remote: None, names_hop: false }
    }

    /// The same, where the text may tell who the next hop is.
    pub fn of_hop(status: (u8, u16, u16), text: impl Into<String>) -> Self {
        Self { names_hop: true, ..Self::new(status, text) }
    }

    /// Whether it is for want of what a server offers that a message has no form for it ([`fit`]): another one may take it.
    pub(crate) fn is_of_offers(&self) -> bool {
        self.remote.is_none() && fit::LACKING.contains(&self.status)
    }

    /// The same, while it is not the last word.
    pub(crate) fn for_now(&self) -> Self {
        Self { status: (4, self.status.1, self.status.2), ..self.clone() }
    }

    /// A reply of a next hop.
    #[must_use]
    pub fn reply(reply: &Reply, remote: &str) -> Self {
        let class = if reply.permanent() { 5 } else { 4 };
        let status = reply.enhanced.filter(|s| s.0 == class).unwrap_or((class, 0, 0));
        Self { status, text: reply.line(), remote: Some(remote.to_owned()), names_hop: false }
    }
}

/// What became of a recipient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The next hop has it.
    Delivered {
        /// It honours DSN requests (RFC 3461), or this is a mailbox: then it is final.
        by_hop: Hand,
    },
    /// Not now.
    Deferred(Reason),
    /// Never.
    Failed(Reason),
}

/// Into whose hand a delivered message went, for notices of success (RFC 3461 6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hand {
    /// A mailbox here: delivered.
    Mailbox,
    /// A next hop that takes care of notices.
    Careful,
    /// A next hop that knows nothing of notices: relayed.
    Careless,
}

fn ret_word(ret: Ret) -> &'static str {
    match ret {
        Ret::Full => "FULL",
        Ret::Headers => "HDRS",
    }
}

/// The variant of a record that a dispatch gets.
#[must_use]
pub fn bytes_for<'a>(record: &'a Record, dispatch: &Dispatch) -> std::borrow::Cow<'a, [u8]> {
    stuff::variant(record, dispatch.variant)
}

/// Makes the bytes of a record those that one of its dispatches gets. Nothing else of it is to be used then.
pub fn settle_variant(record: &mut Record, dispatch: u16) {
    if let Some(place) = record.dispatches.get(usize::from(dispatch)).map(|dispatch| dispatch.variant) {
        stuff::settle(record, place);
    }
}
