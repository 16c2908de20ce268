//! The end of data: hops, attachments, forwarding, and the verdicts that hang on content.
//!
//! Only what a rule or a setting asks for is read out of a message, the header before the body.

use super::authentic::result;
use super::bounds::{self, Reading, Sent};
use super::lookup;
use super::peer::Peer;
use super::ruling::{CORRUPT, Ruled, ruled};
use super::transaction::{Gate, Standing, Transaction};
use crate::envelope::{Fate, Refusal};
use edict_message::facts::{body_facts, header_facts};
use edict_table::decide::{self, Scratch};
use edict_table::fact::{Fact, Stage};
use edict_table::facts::{BodyFacts, FactSet, Facts, HeaderFacts, Slot};

/// The longest reply that names rule and recipients, in bytes.
const MAX_REPLY: usize = 460;

/// What is known at the end of the data beside header and body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct End {
    /// Bytes, as received.
    pub(super) size: u64,
}

impl Transaction {
    /// DATA: the number of recipients is final.
    pub(crate) fn at_data(&mut self, peer: &Peer) -> Gate {
        self.settle(peer, None)
    }

    /// The end of data. `message` is as received, without stuffed dots; `hostname` is ours.
    pub(crate) fn at_end(&mut self, peer: &Peer, hostname: &str, message: &[u8]) -> Gate {
        if let Some(reply) = self.bounds(peer, hostname, message) {
            return Gate::refuse(reply);
        }
        self.settle(peer, Some(message))
    }

    /// The settings that stand whatever the rules say.
    fn bounds(&mut self, peer: &Peer, hostname: &str, message: &[u8]) -> Option<&'static str> {
        let mut reading = Reading { message, header: self.header.take(), body: self.body.take() };
        let sent = Sent {
            login: peer.login.as_ref().map(|login| login.folded.as_str()),
            own_from: true,
            sender: self.sender.as_ref(),
            recipients: self
                .recipients
                .iter()
                .map(|r| (&r.given.address, r.given.direction, r.caught))
                .collect(),
            hostname,
        };
        let bound = bounds::refused(&self.table, &sent, &mut reading);
        (self.header, self.body) = (reading.header, reading.body);
        bound.map(|(_, reply)| reply)
    }

    /// Whether this header decides alone that everybody gets the message. Decides nothing: the end of the data does.
    pub(crate) fn passes_by_header(&self, peer: &Peer, head: &[u8]) -> bool {
        let header = header_facts(head);
        // What is found out here must not be taken for what the whole message says.
        let mut scratch = Scratch::new();
        scratch.begin(&self.table);
        (0..self.recipients.len()).all(|place| {
            let Some(recipient) = self.recipients.get(place) else { return false };
            if recipient.standing != Standing::Open {
                return recipient.given.fate == Fate::Deliver;
            }
            let Some(mut facts) = self.end_facts(peer, place, None) else { return false };
            facts.header = Slot::Known(&header);
            scratch.next_recipient();
            let found = ruled(&self.table, decide::verdict(&self.table, &facts, &mut scratch));
            matches!(found, Ruled::Settled(Fate::Deliver, _))
        })
    }

    /// Bytes of what was read out of the message and is kept.
    pub(crate) fn held(&self) -> u64 {
        let header = self.header.iter().flat_map(|header| &header.fields);
        let header: usize = header.map(|f| size_of_val(f) + f.name.capacity() + f.value.capacity()).sum();
        let texts = self.body.iter().flat_map(|body| &body.texts);
        let texts: usize = texts.map(|text| size_of_val(text) + text.capacity()).sum();
        let attachments = self.body.iter().flat_map(|body| &body.attachments);
        let attachments: usize = attachments
            .map(|a| size_of_val(a) + a.name.as_ref().map_or(0, String::capacity) + a.media_type.capacity())
            .sum();
        (header + texts + attachments) as u64
    }

    fn header_of(&mut self, message: &[u8]) -> &HeaderFacts {
        self.header.get_or_insert_with(|| header_facts(message))
    }

    fn body_of(&mut self, message: &[u8]) -> &BodyFacts {
        self.body.get_or_insert_with(|| body_facts(message))
    }

    /// Finds out more about the message; false where there is nothing more to find.
    pub(super) fn read_more(&mut self, need: FactSet, message: &[u8]) -> bool {
        let content = |f: Fact| {
            matches!(f.row().stage, Stage::Header | Stage::Body)
                && !matches!(f, Fact::Dmarc | Fact::DkimDomain)
        };
        if !need.iter().any(content) {
            return false;
        }
        if self.header.is_none() {
            self.header_of(message);
        } else if self.body.is_none() {
            self.body_of(message);
        } else {
            return false;
        }
        true
    }

    /// Decides what is open; with the message, nothing stays open.
    fn settle(&mut self, peer: &Peer, message: Option<&[u8]>) -> Gate {
        let mut refusals: Vec<(usize, Refusal)> = Vec::new();
        for place in 0..self.recipients.len() {
            if !self.recipients.get(place).is_some_and(|r| r.standing == Standing::Open) {
                continue;
            }
            match self.settle_one(peer, place, message) {
                Ruled::Settled(fate, rule) => {
                    if let Some(recipient) = self.recipients.get_mut(place) {
                        recipient.given.fate = fate;
                        recipient.standing = Standing::Settled(rule);
                    }
                }
                Ruled::Refused(refusal) => refusals.push((place, refusal)),
                Ruled::Open(_) if message.is_none() => {}
                // A rule of worse rank can hang on a lookup, and comes up once content has spoken.
                Ruled::Open(need) if !lookup::at_end(need).is_empty() => {
                    return Gate::Ask(lookup::at_end(need));
                }
                Ruled::Open(need) => {
                    tracing::error!(
                        ?need,
                        table = self.table.digest(),
                        "a verdict stays open after the data"
                    );
                    return Gate::refuse(CORRUPT);
                }
            }
        }
        self.one_reply(refusals)
    }

    /// The facts of a recipient from DATA on; with `end`, those of the message too.
    pub(super) fn end_facts<'a>(
        &'a self,
        peer: &'a Peer,
        place: usize,
        end: Option<End>,
    ) -> Option<Facts<'a>> {
        let recipient = self.recipients.get(place)?;
        let mut facts = self.facts(peer);
        facts.recipient = Slot::Known(&recipient.given.address);
        facts.direction = Slot::Known(recipient.given.direction);
        facts.submitted = Slot::Known(recipient.submitted);
        facts.recipient_count = Slot::Known(self.recipients.len() as u64);
        if let Some(end) = end {
            facts.size = Slot::Known(end.size);
            facts.header = self.header.as_ref().map_or(Slot::Pending, Slot::Known);
            facts.body = self.body.as_ref().map_or(Slot::Pending, Slot::Known);
            let found = self.authentic.as_ref();
            facts.dkim_domains = match found.map(|found| &found.domains) {
                Some(Slot::Known(domains)) => Slot::Known(domains.as_slice()),
                Some(_) => Slot::Unknown,
                None => Slot::Pending,
            };
            facts.dmarc = match self.is_ours(peer) {
                true => Slot::Known(result::NONE),
                false => found.map_or(Slot::Pending, |found| found.dmarc),
            };
        }
        Some(facts)
    }

    fn settle_one(&mut self, peer: &Peer, place: usize, message: Option<&[u8]>) -> Ruled {
        self.with_scratch(|_, scratch| scratch.next_recipient());
        loop {
            let found = self.with_scratch(|this, scratch| {
                let end = message.map(|message| End { size: message.len() as u64 });
                let Some(facts) = this.end_facts(peer, place, end) else {
                    return Ruled::Open(FactSet::EMPTY);
                };
                ruled(&this.table, decide::verdict(&this.table, &facts, scratch))
            });
            match (&found, message) {
                (Ruled::Open(need), Some(message)) if self.read_more(*need, message) => {}
                _ => return found,
            }
        }
    }

    /// One reply for all: any refusal refuses the whole message, a permanent one before one for now.
    fn one_reply(&self, refusals: Vec<(usize, Refusal)>) -> Gate {
        let permanent = refusals.iter().position(|(_, r)| r.reply.starts_with('5'));
        let Some((first, said)) = refusals.get(permanent.unwrap_or(0)) else {
            return Gate::Pass;
        };
        let mut refusal = said.clone();
        if self.recipients.get(*first).is_some_and(|r| r.submitted) {
            // A sender of ours is told which rule, and about whom, so that he can mend it.
            let whom: Vec<&str> = refusals
                .iter()
                .filter(|(_, r)| r == said)
                .filter_map(|(place, _)| self.recipients.get(*place).map(|r| r.given.wire.as_str()))
                .collect();
            if let Some((name, ..)) = &refusal.rule {
                refusal.reply.push_str(&format!(" (rule \"{name}\": {})", whom.join(", ")));
            } else {
                refusal.reply.push_str(&format!(" ({})", whom.join(", ")));
            }
            shorten(&mut refusal.reply, MAX_REPLY);
        }
        Gate::Refuse(refusal)
    }
}

fn shorten(text: &mut String, most: usize) {
    if text.len() > most {
        let mut end = most;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str("...");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_replies_are_cut_between_characters() {
        let mut text = "ä".repeat(10);
        shorten(&mut text, 5);
        assert_eq!(text, "ää...");
    }
}
