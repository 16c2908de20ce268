//! The seam between the front and what happens to a message behind it.
//!
//! The front (`smtp`) calls an [`Acceptor`]; `actions` is the one that serves. Tests bring their own.

use crate::envelope::{Incoming, MessageId, Refusal};
pub use crate::queue::through::{Offered, Through};
use edict_table::load::Loaded;
use edict_table::value::Address;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

/// What the front asks before it says 250 to a recipient outside.
#[derive(Clone, Copy, Debug)]
pub struct QuotaQuery<'a> {
    /// The table of the transaction.
    pub table: &'a Loaded,
    /// The login.
    pub auth_user: Option<&'a str>,
    /// The client.
    pub client_ip: IpAddr,
    /// Envelope sender in policy form; none for `<>`.
    pub sender: Option<&'a Address>,
    /// The recipient in policy form, as given.
    pub recipient: &'a Address,
}

/// What became of an accepted message, for the log line of its transaction.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Receipt {
    /// What was done, one short phrase each: `bcc "archive outbound" to archive@example.com`.
    pub effects: Vec<String>,
}

/// The answer to the end of data, once it is durable; [`Refusal::silence`] where there is none.
pub type Accepting<'a> = Pin<Box<dyn Future<Output = Result<Receipt, Refusal>> + Send + 'a>>;

/// The answer to a recipient that was offered.
pub type Offering<'a> = Pin<Box<dyn Future<Output = Offered> + Send + 'a>>;

/// What is known of a message whose first recipient is offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Expected {
    /// SIZE= where the client gave it.
    pub size: Option<u64>,
    /// No other recipient is expected, and no rule can refuse the message: its DATA may go along. Where the client
    /// does something else after all, that costs the connection to the next hop.
    pub last: bool,
}

/// Takes messages off the front's hands. An `Ok` means that everything the 250 promises is on disk.
pub trait Acceptor: Send + Sync {
    /// A fresh name for a transaction; never given twice, also after a restart.
    fn next_id(&self) -> MessageId;

    /// Whether a message can be taken at all now; asked before DATA.
    ///
    /// # Errors
    /// The 4xx reply: 452 4.3.1 when the disk is full or cannot be written.
    fn ready(&self) -> Result<(), Refusal>;

    /// Whether the sender has used up a quota already; asked at RCPT for outbound recipients.
    ///
    /// # Errors
    /// The reply of the quota's rule.
    fn over_quota(&self, query: &QuotaQuery<'_>) -> Result<(), Refusal>;

    /// Whether an inside address (on the wire, as the client gave it) is one that forwarded mail was sent
    /// under, so that a bounce to it has somewhere to go. Only `<>` may write to such an address.
    fn returns(&self, table: &Loaded, recipient: &str) -> bool {
        let _ = (table, recipient);
        false
    }

    /// Applies aliases, copies, quotas and disclaimers and makes the result durable. Where every
    /// recipient is to be discarded nothing is stored.
    fn accept(&self, incoming: Box<Incoming>) -> Accepting<'_>;

    /// Whether there is a way through to next hops, so that [`Acceptor::offer`] is worth a call.
    fn passes(&self) -> bool {
        false
    }

    /// Asks the next hop for the last recipient of a message whose end is not here yet; `so_far` has no other
    /// recipient and no bytes. `open` is the transaction with the hop; after [`Offered::Store`] there is none.
    fn offer<'a>(
        &'a self,
        open: &'a mut Option<Through>,
        so_far: &Incoming,
        expected: Expected,
    ) -> Offering<'a> {
        let _ = (so_far, expected);
        *open = None;
        Box::pin(std::future::ready(Offered::Store))
    }

    /// The header of a message as its next hop is to get it, where only that much of the message is here. None where
    /// it takes the whole to tell.
    fn head(&self, so_far: &Incoming) -> Option<Vec<u8>> {
        let _ = so_far;
        None
    }

    /// As [`Acceptor::accept`], for a message whose recipients the next hop took. An `Ok` means that the hop
    /// has the message, or that it is on disk.
    fn pass(&self, open: Through, incoming: Box<Incoming>) -> Accepting<'_> {
        drop(open);
        self.accept(incoming)
    }
}
