//! The end of data: hops, attachments, forwarding, and the verdicts that hang on content.
//!
//! Only what a rule or a setting asks for is read out of a message, the header before the body.

use super::lookup;
use super::owner::may_write;
use super::peer::Peer;
use super::ruling::{CORRUPT, Ruled, ruled};
use super::transaction::{Gate, Recipient, Standing, Transaction};
use crate::envelope::Refusal;
use edict_message::facts::{body_facts, header_facts};
use edict_table::decide;
use edict_table::fact::{Fact, Stage};
use edict_table::facts::{BodyFacts, Direction, FactSet, HeaderFacts, Slot};
use edict_table::load::Loaded;
use edict_table::model::SenderMust;
use edict_table::value::Address;
use memchr::memchr;

/// The longest reply that names rule and recipients, in bytes.
const MAX_REPLY: usize = 460;

impl Transaction {
    /// DATA: the number of recipients is final.
    pub(crate) fn at_data(&mut self, peer: &Peer) -> Gate {
        self.settle(peer, None)
    }

    /// The end of data. `message` is as received, without stuffed dots.
    pub(crate) fn at_end(&mut self, peer: &Peer, message: &[u8]) -> Gate {
        if let Some(reply) = self.bounds(peer, message) {
            return Gate::refuse(reply);
        }
        self.settle(peer, Some(message))
    }

    /// The settings that stand whatever the rules say.
    fn bounds(&mut self, peer: &Peer, message: &[u8]) -> Option<&'static str> {
        let table = std::sync::Arc::clone(&self.table);
        let profile = table.profile();
        if received_fields(message) > profile.max_hops as usize {
            return Some("554 5.4.6 too many hops: this message goes in circles");
        }
        // Decoded, nothing is longer than it was encoded.
        if let Some(most) = profile.max_attachment_size
            && message.len() as u64 > most
            && self.body_of(message).attachments.iter().any(|a| a.size > most)
        {
            return Some("552 5.3.4 an attachment is longer than this server takes");
        }
        if let Some(login) = &peer.login
            && profile.sender_must != SenderMust::BeAnything
            && !may_write(&table, &login.folded, self.header_of(message))
        {
            return Some("550 5.7.1 From must hold addresses of this login, and no others");
        }
        let leaves = |r: &Recipient| {
            r.given.direction == Direction::Outbound
                || (r.submitted && leads_outside(&table, &r.given.address))
        };
        if self.recipients.iter().any(leaves)
            && !self.may_forward(peer)
            && self.header_of(message).auto_forwarded
        {
            return Some("550 5.7.1 mail that was forwarded automatically may not leave");
        }
        None
    }

    /// Whether this sender's automatic forwarding may leave (mission A5).
    fn may_forward(&self, peer: &Peer) -> bool {
        let setting = &self.table.profile().auto_forwarding;
        let holds = |key: &str| setting.except.binary_search_by(|e| e.as_str().cmp(key)).is_ok();
        let among = |address: &Address| {
            holds(address.as_str())
                || holds(&format!("@{}", address.domain()))
                || holds(&format!("{}@", address.local()))
                || edict_table::value::domain::parents(address.domain()).any(|up| holds(&format!("@.{up}")))
        };
        let exempt = !setting.except.is_empty()
            && (self.sender.as_ref().is_some_and(among)
                || peer.login.as_ref().is_some_and(|l| {
                    holds(&l.folded) || Address::parse(&l.folded).is_ok_and(|address| among(&address))
                }));
        setting.on != exempt
    }

    fn header_of(&mut self, message: &[u8]) -> &HeaderFacts {
        self.header.get_or_insert_with(|| header_facts(message))
    }

    fn body_of(&mut self, message: &[u8]) -> &BodyFacts {
        self.body.get_or_insert_with(|| body_facts(message))
    }

    /// Finds out more about the message; false where there is nothing more to find.
    fn learn(&mut self, need: FactSet, message: &[u8]) -> bool {
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
                Ruled::Open(need) if !lookup::at_mail(need).is_empty() => {
                    return Gate::Ask(lookup::at_mail(need));
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

    fn settle_one(&mut self, peer: &Peer, place: usize, message: Option<&[u8]>) -> Ruled {
        self.with_scratch(|_, scratch| scratch.next_recipient());
        loop {
            let found = self.with_scratch(|this, scratch| {
                let Some(recipient) = this.recipients.get(place) else {
                    return Ruled::Open(FactSet::EMPTY);
                };
                let mut facts = this.facts(peer);
                facts.recipient = Slot::Known(&recipient.given.address);
                facts.direction = Slot::Known(recipient.given.direction);
                facts.submitted = Slot::Known(recipient.submitted);
                facts.recipient_count = Slot::Known(this.recipients.len() as u64);
                if let Some(message) = message {
                    facts.size = Slot::Known(message.len() as u64);
                    facts.header = this.header.as_ref().map_or(Slot::Pending, Slot::Known);
                    facts.body = this.body.as_ref().map_or(Slot::Pending, Slot::Known);
                    facts.dmarc = Slot::Unknown;
                    facts.dkim_domains = Slot::Unknown;
                }
                ruled(&this.table, decide::verdict(&this.table, &facts, scratch))
            });
            match (&found, message) {
                (Ruled::Open(need), Some(message)) if self.learn(*need, message) => {}
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

/// Whether an alias sends mail for this address on to the outside. What a catch-all catches is not known here.
fn leads_outside(table: &Loaded, address: &Address) -> bool {
    let alias = table.alias(address).filter(|alias| !alias.key.starts_with('@'));
    let outside =
        |member: &String| Address::parse(member).is_ok_and(|member| !table.is_inside(member.domain()));
    alias.is_some_and(|alias| alias.members.iter().any(outside))
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

/// The Received fields of a message's own header (RFC 5321 6.3).
fn received_fields(message: &[u8]) -> usize {
    const NAME: &[u8] = b"received:";
    let mut rest = message;
    let mut count = 0;
    while !rest.starts_with(b"\r\n") && !rest.is_empty() {
        if rest.get(..NAME.len()).is_some_and(|front| front.eq_ignore_ascii_case(NAME)) {
            count += 1;
        }
        let Some(end) = memchr(b'\n', rest) else {
            break;
        };
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_are_counted_in_the_header_only() {
        let message = b"Received: a\r\n  b\r\nRECEIVED: c\r\nX-Received: d\r\n\r\nReceived: e\r\n";
        assert_eq!(received_fields(message), 2);
        assert_eq!(received_fields(b""), 0);
        assert_eq!(received_fields(b"\r\nReceived: e\r\n"), 0);
        assert_eq!(received_fields(b"Received: x"), 1);
    }

    #[test]
    fn long_replies_are_cut_between_characters() {
        let mut text = "ä".repeat(10);
        shorten(&mut text, 5);
        assert_eq!(text, "ää...");
    }
}
