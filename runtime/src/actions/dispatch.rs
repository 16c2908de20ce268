//! Envelopes: who gets which variant from which sender, in the fewest dispatches.
//!
//! Recipients share a dispatch when sender, variant and hold are the same: what would be one transaction for the next hop is
//! one, whether their mail was submitted or not. Decides nothing that the earlier steps have not decided.

use super::copies::Copy;
use super::finals::Final;
use crate::envelope::{Body, Dispatch, DispatchKind, Incoming, Notify, Target, Variant};
use edict_table::facts::Direction;

/// Puts dispatches together, in the order in which their first recipients came.
#[derive(Debug)]
pub struct Dispatches<'a> {
    incoming: &'a Incoming,
    /// Whether the stored bytes hold anything beyond ASCII.
    eight_bit: bool,
    list: Vec<Dispatch>,
}

impl<'a> Dispatches<'a> {
    /// Starts a message.
    #[must_use]
    pub fn new(incoming: &'a Incoming, stored: &[u8]) -> Self {
        Self { incoming, eight_bit: !stored.is_ascii(), list: Vec::new() }
    }

    /// A final recipient: its envelope sender, and the variant with its place in the record.
    pub fn recipient(&mut self, end: &Final, sender: &str, place: u16, variant: &Variant) {
        let given = self.incoming.recipients.get(end.given).map(|given| given.wire.clone());
        let target = Target {
            address: end.wire.clone(),
            given: given.filter(|given| end.expanded && *given != end.wire),
            inside: end.inside,
            notify: end.notify,
            orcpt: end.orcpt.clone(),
        };
        // Whoever owns the list hears of it; the author's ENVID means nothing to him (RFC 3461 5.2.7.1).
        let own = end.owner.is_none();
        let dispatch = Dispatch {
            kind: DispatchKind::Message,
            sender: sender.to_owned(),
            ret: self.incoming.sender.ret.filter(|_| own),
            envid: self.incoming.sender.envid.clone().filter(|_| own),
            hold: end.hold,
            // By this recipient: a trusted server may pass on inbound mail beside its own.
            submitted: matches!(end.direction, Direction::Outbound | Direction::Internal).into(),
            ..self.blank(place, variant)
        };
        self.add(dispatch, target);
    }

    /// A blind copy. Lost ones are reported to its owner, with nothing of the author's.
    pub fn copy(&mut self, copy: &Copy, owner: &str, place: u16, variant: &Variant) {
        let target = Target {
            address: copy.wire.clone(),
            given: copy.expanded.clone(),
            inside: copy.inside,
            notify: Notify { given: true, success: false, failure: true, delay: false },
            orcpt: None,
        };
        let dispatch = Dispatch {
            kind: DispatchKind::Copy(copy.rule.clone()),
            sender: owner.to_owned(),
            ..self.blank(place, variant)
        };
        self.add(dispatch, target);
    }

    fn blank(&self, place: u16, variant: &Variant) -> Dispatch {
        let incoming = self.incoming;
        let needs_eight = self.eight_bit || variant.splices.iter().any(|splice| !splice.bytes.is_ascii());
        let body = match incoming.sender.body {
            Body::SevenBit if needs_eight => Body::EightBitMime,
            body => body,
        };
        Dispatch {
            kind: DispatchKind::Message,
            sender: String::new(),
            recipients: Vec::new(),
            variant: place,
            body,
            smtputf8: incoming.sender.smtputf8,
            ret: None,
            envid: None,
            hold: false,
            client_ip: incoming.client.ip,
            auth_user: incoming.client.auth_user.clone(),
            submitted: incoming.submitted.into(),
        }
    }

    fn add(&mut self, new: Dispatch, target: Target) {
        // Apart, since a next hop without SMTPUTF8 must not cost the others their mail.
        let smtputf8 = new.smtputf8 || !new.sender.is_ascii() || !target.address.is_ascii();
        let same = |have: &&mut Dispatch| {
            have.kind == new.kind
                && have.sender == new.sender
                && have.variant == new.variant
                && have.hold == new.hold
                && have.smtputf8 == smtputf8
                && have.envid == new.envid
                && have.ret == new.ret
        };
        match self.list.iter_mut().rev().find(same) {
            Some(have) => {
                let behind = u16::try_from(have.recipients.len()).unwrap_or(u16::MAX);
                have.submitted.add(new.submitted.at(0), behind);
                have.recipients.push(target);
            }
            None => self.list.push(Dispatch { recipients: vec![target], smtputf8, ..new }),
        }
    }

    /// The dispatches of the record.
    #[must_use]
    pub fn finish(self) -> Vec<Dispatch> {
        self.list
    }
}
