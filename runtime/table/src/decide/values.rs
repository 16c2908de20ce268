//! A fact's value out of [`Facts`].

use crate::fact::Fact;
use crate::facts::{Attachment, Facts, HeaderFacts, Slot};
use crate::value::{Address, Domain};
use std::net::IpAddr;

/// A value, by how it is looked up.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    /// Yes or no.
    Flag(bool),
    /// A number, or Unix seconds (0 before 1970).
    Number(u64),
    /// The place of an enum's word.
    Word(u8),
    /// An address of a client.
    Ip(&'a IpAddr),
    /// A domain in normal form.
    Domain(&'a str),
    /// A mailbox.
    Address(&'a Address),
    /// Folded text.
    Text(&'a str),
    /// Several domains.
    Domains(&'a [Domain]),
    /// Several mailboxes.
    Addresses(&'a [Address]),
    /// All header fields; those of the column's name count.
    Fields(&'a HeaderFacts),
    /// Several texts.
    Texts(&'a [String]),
    /// The names, types or sizes of attachments.
    Attachments(&'a [Attachment]),
}

/// Reads a fact. Many values of which there is none are absent.
pub(super) fn read<'a>(fact: Fact, parameter: &str, facts: &'a Facts<'_>) -> Slot<Value<'a>> {
    let header = facts.header;
    match fact {
        Fact::ClientIp => match &facts.client_ip {
            Slot::Known(ip) => Slot::Known(Value::Ip(ip)),
            Slot::Absent => Slot::Absent,
            Slot::Unknown => Slot::Unknown,
            Slot::Pending => Slot::Pending,
        },
        Fact::ClientName => facts.client_name.map(|d| Value::Domain(d.as_str())),
        Fact::ClientUnverified => facts.client_unverified.map(Value::Flag),
        Fact::ClientNameless => facts.client_nameless.map(Value::Flag),
        Fact::ClientListed => {
            let asked = facts.client_listed.iter().find(|(zone, _)| zone == parameter);
            asked.map_or(Slot::Pending, |(_, answer)| answer.map(Value::Flag))
        }
        Fact::ClientTls => facts.client_tls.map(Value::Flag),
        Fact::Helo => facts.helo.map(|d| Value::Domain(d.as_str())),
        Fact::HeloUnqualified => facts.helo.map(|d| Value::Flag(unqualified(d.as_str()))),
        Fact::HeloMalformed => facts.helo_malformed.map(Value::Flag),
        Fact::HeloUnresolvable => facts.helo_unresolvable.map(Value::Flag),
        Fact::AuthUser => facts.auth_user.map(Value::Text),
        Fact::Sender => facts.sender.map(Value::Address),
        Fact::SenderLocal => facts.sender.map(|a| Value::Text(a.local())),
        Fact::SenderDomain => facts.sender.map(|a| Value::Domain(a.domain())),
        Fact::SenderUnqualified => facts.sender.map(|a| Value::Flag(unqualified(a.domain()))),
        Fact::SenderUnresolvable => facts.sender_unresolvable.map(Value::Flag),
        Fact::SenderUnknown => facts.sender_unknown.map(Value::Flag),
        Fact::Submitted => facts.submitted.map(Value::Flag),
        Fact::Recipient => facts.recipient.map(Value::Address),
        Fact::RecipientLocal => facts.recipient.map(|a| Value::Text(a.local())),
        Fact::RecipientDomain => facts.recipient.map(|a| Value::Domain(a.domain())),
        Fact::Direction => facts.direction.map(|d| Value::Word(d as u8)),
        Fact::RecipientCount => facts.recipient_count.map(Value::Number),
        Fact::Size => facts.size.map(Value::Number),
        Fact::Hops => header.map(|h| Value::Number(h.hops)),
        Fact::Subject => flat(header.map(|h| Slot::from_option(h.subject()))).map(Value::Text),
        Fact::Header => {
            let any = |h: &'a HeaderFacts| {
                Slot::from_option(h.fields.iter().any(|f| f.name == parameter).then_some(h))
            };
            flat(header.map(any)).map(Value::Fields)
        }
        Fact::From => some(header.map(|h| h.from.as_slice())).map(Value::Addresses),
        Fact::To => some(header.map(|h| h.to.as_slice())).map(Value::Addresses),
        Fact::Cc => some(header.map(|h| h.cc.as_slice())).map(Value::Addresses),
        Fact::AutoSubmitted => header.map(|h| Value::Flag(h.auto_submitted)),
        Fact::AutoForwarded => header.map(|h| Value::Flag(h.auto_forwarded)),
        Fact::Signed => header.map(|h| Value::Flag(h.signed)),
        Fact::Encrypted => header.map(|h| Value::Flag(h.encrypted)),
        Fact::Reply => header.map(|h| Value::Flag(h.reply)),
        Fact::Malformed => match header {
            Slot::Known(h) if h.malformed => Slot::Known(Value::Flag(true)),
            Slot::Pending => Slot::Pending,
            _ => facts.body.map(|b| Value::Flag(b.malformed)),
        },
        Fact::Spf => facts.spf.map(Value::Word),
        Fact::Dmarc => facts.dmarc.map(Value::Word),
        Fact::DkimDomain => some(facts.dkim_domains).map(Value::Domains),
        Fact::Body => some(facts.body.map(|b| b.texts.as_slice())).map(Value::Texts),
        Fact::AttachmentName => {
            let named = |all: &'a [Attachment]| {
                Slot::from_option(all.iter().any(|a| a.name.is_some()).then_some(all))
            };
            flat(facts.body.map(|b| named(&b.attachments))).map(Value::Attachments)
        }
        Fact::AttachmentType | Fact::AttachmentSize => {
            some(facts.body.map(|b| b.attachments.as_slice())).map(Value::Attachments)
        }
        Fact::AttachmentCount => facts.body.map(|b| Value::Number(b.attachments.len() as u64)),
        Fact::Time => facts.time.map(|t| Value::Number(u64::try_from(t).unwrap_or(0))),
    }
}

/// A name without a dot that is no address literal.
pub(super) fn unqualified(domain: &str) -> bool {
    !domain.contains('.') && !domain.starts_with('[')
}

fn flat<T>(slot: Slot<Slot<T>>) -> Slot<T> {
    match slot {
        Slot::Known(inner) => inner,
        Slot::Pending => Slot::Pending,
        Slot::Unknown => Slot::Unknown,
        Slot::Absent => Slot::Absent,
    }
}

fn some<T>(slot: Slot<&[T]>) -> Slot<&[T]> {
    match slot {
        Slot::Known([]) => Slot::Absent,
        slot => slot,
    }
}
