//! A message that goes on to its next hop before its end is here: when it may, and with what.
//!
//! Nothing is decided here. The next hop gets the end of a message only after its verdict, and what it got of one
//! that is refused or stored instead it throws away with the connection.

use super::session::{Phase, Session, authentication};
use super::settings::Results;
use crate::acceptor::Expected;
use crate::envelope::Incoming;
use crate::verdict::transaction::Ahead;

/// A message up to this size goes on whole: it is here before the next hop could have taken its front.
const SMALL: u64 = 64 << 10;

/// What a client's messages were like so far. Whoever sends each to one recipient (newsletters, notices) will do so again: their
/// DATA can go to the next hop along with the recipient, which saves a turn of writing and reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Habit {
    /// There was one to a single recipient.
    one: bool,
    /// There was another one, or a guess was wrong: no more are made, since each costs a connection.
    broken: bool,
    /// A guess was made, and its message is not here yet.
    guessed: bool,
}

impl Habit {
    /// Whether the recipient in hand is likely its message's only one. `first`: there is none before it.
    fn guess(&mut self, first: bool) -> bool {
        self.broken |= self.guessed || !first;
        self.guessed = self.one && !self.broken;
        self.guessed
    }

    /// The next hop was not told to expect the message.
    pub(super) fn untold(&mut self) {
        self.guessed = false;
    }

    /// A message came to its end.
    pub(super) fn ended(&mut self, recipients: usize) {
        self.guessed = false;
        self.one = true;
        self.broken |= recipients != 1;
    }
}

impl Session {
    /// What is known of the message whose recipient is offered; `rest` is what its client sent behind that.
    pub(super) fn expected(&mut self, rest: &[u8]) -> Expected {
        let Some(transaction) = &self.transaction else { return Expected::default() };
        let first = transaction.accepted() == 1;
        let alone = match rest {
            [] => self.habit.guess(first),
            // Who sends commands in groups shows what comes (RFC 2920).
            next => next.get(..6).is_some_and(|next| next.eq_ignore_ascii_case(b"DATA\r\n")),
        };
        Expected { size: transaction.announced, last: alone && first && transaction.is_settled() }
    }

    /// Whether a message is on its way in that goes to the next hop whatever the rules could still find in it.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.in_data() && self.is_passing() && self.transaction.as_ref().is_some_and(|t| t.is_settled())
    }

    /// What is here of a message that goes on before its end.
    #[must_use]
    pub fn received(&self) -> Option<&[u8]> {
        let ahead = self.transaction.as_ref().is_some_and(|t| matches!(t.ahead, Ahead::Since(_)));
        match &self.phase {
            Phase::Data(receiver) | Phase::Chunk(receiver, ..) if ahead => Some(receiver.bytes()),
            _ => None,
        }
    }

    /// A message that may go on from now on, with its header alone. Each is given once.
    pub fn head(&mut self, now: i64) -> Option<Incoming> {
        let passing = self.is_passing();
        let (Phase::Data(receiver) | Phase::Chunk(receiver, ..)) = &self.phase else { return None };
        let transaction = self.transaction.as_mut().filter(|t| passing && t.ahead == Ahead::Open)?;
        if receiver.size() <= SMALL || receiver.flaw().is_some() {
            return None;
        }
        transaction.ahead = Ahead::Never;
        let bytes = receiver.bytes();
        // One without a header, or with an endless one, takes the slow way.
        let end = memchr::memmem::find(bytes, b"\r\n\r\n").filter(|at| *at > 0)? + 4;
        let head = bytes.get(..end)?;
        let untold = self.settings.results == Results::Always && !transaction.untold(&self.peer).is_empty();
        if untold || !transaction.passes_by_header(&self.peer, head) {
            return None;
        }
        transaction.ahead = Ahead::Since(now);
        let told = authentication(&self.settings, &self.peer, transaction);
        Some(transaction.with_head(&self.peer, head.to_vec(), now, told))
    }
}
