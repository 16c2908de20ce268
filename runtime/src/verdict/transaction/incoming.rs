//! The message as it is handed on: to the next hop before its end is here, to the acceptor with everything decided.

use super::{Ahead, Passing, Standing, Transaction};
use crate::envelope::{Authentication, Fate, Incoming};
use crate::verdict::peer::Peer;
use edict_table::load::RuleId;
use std::sync::Arc;

impl Transaction {
    /// What may be offered to a next hop: the message with its last recipient alone, and no bytes. None where
    /// that cannot be any more.
    pub(crate) fn so_far(&mut self, peer: &Peer, now: i64) -> Option<Incoming> {
        let last = self.recipients.last()?;
        if self.passing == Passing::Stored || last.given.fate != Fate::Deliver {
            self.passing = Passing::Stored;
            return None;
        }
        Some(Incoming {
            id: self.id,
            client: peer.client(self.trusted),
            submitted: last.submitted,
            sender: self.reverse.clone(),
            sender_address: self.sender.clone(),
            recipients: vec![last.given.clone()],
            bytes: Vec::new(),
            table: Arc::clone(&self.table),
            received: now,
            authentication: Authentication::default(),
        })
    }

    /// Whether all recipients get the message, whatever rules could still find in it.
    pub(crate) fn is_settled(&self) -> bool {
        self.recipients.iter().all(|r| r.standing != Standing::Open && r.given.fate == Fate::Deliver)
    }

    /// The message as it will be taken, with this much of it.
    pub(crate) fn with_head(
        &self,
        peer: &Peer,
        head: Vec<u8>,
        now: i64,
        authentication: Authentication,
    ) -> Incoming {
        Incoming {
            id: self.id,
            client: peer.client(self.trusted),
            submitted: self.recipients.iter().any(|r| r.submitted),
            sender: self.reverse.clone(),
            sender_address: self.sender.clone(),
            recipients: self.recipients.iter().map(|r| r.given.clone()).collect(),
            bytes: head,
            table: Arc::clone(&self.table),
            received: now,
            authentication,
        }
    }

    /// The message with everything that was decided. The transaction is empty afterwards.
    pub(crate) fn take_incoming(
        &mut self,
        peer: &Peer,
        bytes: Vec<u8>,
        now: i64,
        authentication: Authentication,
    ) -> Incoming {
        let recipients = std::mem::take(&mut self.recipients);
        // Nobody decides on it any more, and storing it may take a while.
        (self.header, self.body) = (None, None);
        // What went ahead tells of that moment.
        let received = if let Ahead::Since(then) = self.ahead { then } else { now };
        Incoming {
            id: self.id,
            client: peer.client(self.trusted),
            submitted: recipients.iter().any(|r| r.submitted),
            sender: std::mem::take(&mut self.reverse),
            sender_address: self.sender.take(),
            recipients: recipients.into_iter().map(|r| r.given).collect(),
            bytes,
            table: Arc::clone(&self.table),
            received,
            authentication,
        }
    }

    /// The rules that settled its recipients, each recipient with its fate.
    pub(crate) fn settled(&self) -> impl Iterator<Item = (&str, Fate, Option<RuleId>)> {
        self.recipients.iter().map(|r| match r.standing {
            Standing::Settled(rule) => (r.given.wire.as_str(), r.given.fate, rule),
            Standing::Open => (r.given.wire.as_str(), r.given.fate, None),
        })
    }
}
