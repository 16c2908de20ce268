//! What stands whatever the rules say: the relay guard, hops and loops, attachments, whose From it is, automatic
//! forwarding. Pure. The session refuses by it, `edict explain` tells by it.
//!
//! Header and body are read only where a setting asks. Limits of size are the receiver's.

use super::inside::{Existence, exists, has_mailbox, is_routed, real_address};
use crate::users::Users;
use edict_message::facts::{body_facts, header_facts, is_forwarded};
use edict_table::facts::{BodyFacts, Direction, HeaderFacts};
use edict_table::load::Loaded;
use edict_table::model::SenderMust;
use edict_table::owner::{may_send_as, may_write};
use edict_table::value::Address;
use memchr::{memchr, memmem};

/// The most often that a message may have come through this server before (RFC 5321 6.3): a filter and a list or
/// two send it back, a circle does not end.
const MAX_OWN: usize = 8;

/// A setting that refuses, and the reply.
pub type Bound = (&'static str, &'static str);

/// Whether a client may not send to this address: a stranger reaches inside ones only, and by no detour (RFC 5321
/// 7.9). `inside`: at a local or relay domain.
#[must_use]
pub fn guarded(stranger: bool, inside: bool, address: &Address) -> Option<Bound> {
    (stranger && (!inside || is_routed(address))).then_some(("the relay guard", "550 5.7.1 relaying denied"))
}

/// Whether a login may not send as this envelope sender. `<>` anybody may send.
#[must_use]
pub fn foreign_sender(table: &Loaded, login: Option<&str>, sender: Option<&Address>) -> Option<Bound> {
    let (login, sender) = login.zip(sender)?;
    (!may_send_as(table, login, sender))
        .then_some(("sender-must", "553 5.7.1 this login may not send as this address"))
}

/// Whether a sender at one of our domains is nobody's: a user, an alias or a name that is listed. `users` tells who has
/// a mailbox at local domains.
pub(super) fn unknown_sender(table: &Loaded, users: &Users, sender: &Address) -> bool {
    let real = real_address(table, sender);
    let sender = real.as_ref().unwrap_or(sender);
    table.is_inside(sender.domain()) && exists(table, users, sender) == Existence::No
}

/// The same as far as the table tells: at relay domains.
#[must_use]
pub fn absent_sender(table: &Loaded, sender: &Address) -> bool {
    let real = real_address(table, sender);
    absent(table, real.as_ref().unwrap_or(sender)).is_some()
}

/// Whether an address at a relay domain is none of those that are named. What exists at local domains the daemon
/// alone knows.
#[must_use]
pub fn absent(table: &Loaded, address: &Address) -> Option<Bound> {
    let passed = table.is_inside(address.domain()) && !table.is_local(address.domain());
    (passed && exists(table, &Users::default(), address) == Existence::No)
        .then_some(("recipients", "550 5.1.1 no such mailbox"))
}

/// Whether an address exists only if the daemon has such a user: no alias, no list and no reserved name says so.
#[must_use]
pub fn rests_on_users(table: &Loaded, address: &Address) -> bool {
    table.is_local(address.domain()) && exists(table, &Users::default(), address) == Existence::No
}

/// A message of which parts are read when somebody asks.
#[derive(Debug, Default)]
pub struct Reading<'a> {
    /// As received, without stuffed dots.
    pub message: &'a [u8],
    /// Its header, where it was read.
    pub header: Option<HeaderFacts>,
    /// Its body, where it was read.
    pub body: Option<BodyFacts>,
}

impl Reading<'_> {
    fn header(&mut self) -> &HeaderFacts {
        self.header.get_or_insert_with(|| header_facts(self.message))
    }

    fn is_forwarded(&self) -> bool {
        self.header.as_ref().map_or_else(|| is_forwarded(self.message), |header| header.auto_forwarded)
    }

    fn body(&mut self) -> &BodyFacts {
        self.body.get_or_insert_with(|| body_facts(self.message))
    }
}

/// Who sends, and to whom.
#[derive(Clone, Debug)]
pub struct Sent<'a> {
    /// The login, folded.
    pub login: Option<&'a str>,
    /// From must be the login's.
    pub own_from: bool,
    /// The sender in policy form.
    pub sender: Option<&'a Address>,
    /// The recipients as given, and whether a catch-all takes each ([`caught`]).
    pub recipients: Vec<(&'a Address, Direction, bool)>,
    /// The name of this server.
    pub hostname: &'a str,
}

/// The first setting that refuses a message at the end of its data.
#[must_use]
pub fn refused(table: &Loaded, sent: &Sent<'_>, reading: &mut Reading<'_>) -> Option<Bound> {
    let profile = table.profile();
    let trail = Trail::of(reading.message, sent.hostname);
    if trail.hops > profile.max_hops as usize {
        return Some(("max-hops", "554 5.4.6 too many hops: this message goes in circles"));
    }
    if trail.own > MAX_OWN || trail.was_delivered(table, &sent.recipients) {
        return Some(("loops", "554 5.4.6 this message was here before: it goes in circles"));
    }
    // Decoded, nothing is longer than it was encoded.
    if let Some(most) = profile.max_attachment_size
        && reading.message.len() as u64 > most
        && reading.body().attachments.iter().any(|a| a.size > most)
    {
        return Some(("max-attachment-size", "552 5.3.4 an attachment is longer than this server takes"));
    }
    if let Some(login) = sent.login
        && sent.own_from
        && profile.sender_must != SenderMust::BeAnything
        && !may_write(table, login, reading.header())
    {
        return Some(("sender-must", "550 5.7.1 From must hold addresses of this login, and no others"));
    }
    let leaves = |(address, direction, caught): &(&Address, Direction, bool)| match direction {
        Direction::Outbound => true,
        Direction::Internal => leads_outside(table, address, *caught),
        Direction::Inbound | Direction::Forwarded => false,
    };
    if sent.recipients.iter().any(leaves) && !may_forward(table, sent) && reading.is_forwarded() {
        return Some(("auto-forwarding", "550 5.7.1 mail that was forwarded automatically may not leave"));
    }
    None
}

/// Whether an alias sends mail for this address on to the outside.
fn leads_outside(table: &Loaded, address: &Address, caught: bool) -> bool {
    let alias = table.alias(address).filter(|alias| caught || !alias.key.starts_with('@'));
    let outside = |member: &str| Address::parse(member).is_ok_and(|member| !table.is_inside(member.domain()));
    alias.is_some_and(|alias| alias.all().any(|(member, _)| outside(member)))
}

/// Whether a catch-all takes mail for an address, since nobody has it by himself.
#[must_use]
pub fn caught(table: &Loaded, users: &Users, address: &Address) -> bool {
    table.alias(address).is_some_and(|alias| alias.key.starts_with('@'))
        && !has_mailbox(table, users, address)
}

/// Whether this sender's automatic forwarding may leave (`auto-forwarding`). The exceptions are about who sends: the envelope
/// sender and the login.
fn may_forward(table: &Loaded, sent: &Sent<'_>) -> bool {
    let setting = &table.profile().auto_forwarding;
    let exempt = !setting.except.is_empty()
        && (sent.sender.is_some_and(|sender| is_exempt(table, sender))
            || sent
                .login
                .is_some_and(|login| addresses(table, login).iter().any(|own| is_exempt(table, own))));
    setting.on != exempt
}

/// The addresses of a login. A bare one has its mailbox at each local domain.
fn addresses(table: &Loaded, login: &str) -> Vec<Address> {
    if login.contains('@') {
        return Address::parse(login).into_iter().collect();
    }
    let at = |domain: &String| Address::parse(&format!("{login}@{domain}")).ok();
    table.profile().local_domains.iter().filter_map(at).collect()
}

/// Whether an exception holds an address: with its extension or, at inside domains, without, and by any name of its domain.
fn is_exempt(table: &Loaded, address: &Address) -> bool {
    let setting = &table.profile().auto_forwarding;
    let holds = |key: &str| setting.except.binary_search_by(|e| e.as_str().cmp(key)).is_ok();
    let real = real_address(table, address).unwrap_or_else(|| address.clone());
    let aliases = table.profile().domain_aliases.iter().filter(|(_, domain)| domain == real.domain());
    let domains = aliases.map(|(alias, _)| alias.as_str()).chain([real.domain(), address.domain()]);
    let base = real.base().filter(|_| table.is_inside(real.domain()));
    let locals: Vec<&str> = [Some(real.local()), base].into_iter().flatten().collect();
    let local = locals.iter().any(|local| holds(&format!("{local}@")));
    let whole = |domain: &str| {
        holds(&format!("@{domain}"))
            || edict_table::value::domain::parents(domain).any(|up| holds(&format!("@.{up}")))
            || locals.iter().any(|local| holds(&format!("{local}@{domain}")))
    };
    local || domains.into_iter().any(whole)
}

/// The way that a message came, by its trace fields.
#[derive(Debug, Default)]
struct Trail<'a> {
    /// Received fields (RFC 5321 6.3).
    hops: usize,
    /// Those that this server wrote.
    own: usize,
    /// Values of Delivered-To.
    delivered: Vec<&'a [u8]>,
}

impl<'a> Trail<'a> {
    /// Reads the message's own header, in one pass.
    fn of(message: &'a [u8], hostname: &str) -> Self {
        let mut trail = Self::default();
        let mut rest = message;
        while !rest.starts_with(b"\r\n") && !rest.is_empty() {
            let mut end = line(rest);
            while rest.get(end).is_some_and(|next| matches!(next, b' ' | b'\t')) {
                end += line(rest.get(end..).unwrap_or_default());
            }
            let (field, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            if let Some(value) = value(field, b"received") {
                trail.hops += 1;
                trail.own += usize::from(is_by(value, hostname));
            } else if let Some(value) = value(field, b"delivered-to")
                && trail.delivered.len() < MAX_DELIVERED
            {
                trail.delivered.push(value.trim_ascii());
            }
            rest = after;
        }
        trail
    }

    /// Whether it was in a mailbox already that it is to reach now: something there sends it round.
    fn was_delivered(&self, table: &Loaded, recipients: &[(&Address, Direction, bool)]) -> bool {
        let addresses = self.delivered.iter().filter_map(|value| std::str::from_utf8(value).ok());
        let addresses = addresses.filter_map(|text| Address::parse(text).ok());
        addresses.filter(|address| table.is_local(address.domain())).any(|address| {
            recipients.iter().any(|(given, ..)| {
                **given == address
                    || table
                        .alias(given)
                        .is_some_and(|alias| alias.all().any(|(member, _)| member == address.as_str()))
            })
        })
    }
}

/// The most Delivered-To fields that are looked at.
const MAX_DELIVERED: usize = 50;

/// The length of the first line, its end included.
fn line(text: &[u8]) -> usize {
    memchr(b'\n', text).map_or(text.len(), |end| end + 1)
}

/// The value of a field of this name; white space may stand before the colon (RFC 5322 4.5).
fn value<'a>(field: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (front, rest) = field.split_at_checked(name.len())?;
    let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    rest.get(blanks..)?.strip_prefix(b":").filter(|_| front.eq_ignore_ascii_case(name))
}

/// Whether a Received field says that this host wrote it: `by HOST`.
fn is_by(value: &[u8], hostname: &str) -> bool {
    if hostname.is_empty() {
        return false;
    }
    let value = value.to_ascii_lowercase();
    let wanted = format!("by {}", hostname.to_ascii_lowercase());
    memmem::find_iter(&value, wanted.as_bytes()).any(|at| {
        let before = at.checked_sub(1).and_then(|place| value.get(place));
        let after = value.get(at + wanted.len());
        before.is_none_or(u8::is_ascii_whitespace)
            && after.is_none_or(|byte| byte.is_ascii_whitespace() || matches!(byte, b';' | b'('))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_are_counted_in_the_header_only() {
        let hops = |message: &'static [u8]| Trail::of(message, "mx.example.com").hops;
        assert_eq!(hops(b"Received: a\r\n  b\r\nRECEIVED: c\r\nX-Received: d\r\n\r\nReceived: e\r\n"), 2);
        assert_eq!(hops(b""), 0);
        assert_eq!(hops(b"\r\nReceived: e\r\n"), 0);
        assert_eq!(hops(b"Received: x"), 1);
        assert_eq!(hops(b"X: y\r\n received: z\r\n"), 0);
        assert_eq!(hops(b"Received : a\r\nReceived\t : b\r\nReceivedx: c\r\nReceived x: d\r\n"), 2);
    }

    /// Mail loops (RFC 5321 6.3): our own Received fields, and Delivered-To.
    #[test]
    fn our_own_traces_are_known_again() {
        let message = b"Received: from a (b [192.0.2.1])\r\n\tby MX.example.com with ESMTP id 1;\r\n x\r\n\
            Received: from mx.example.com by other.example\r\n\
            Received: by mx.example.com; x\r\nReceived: by mx.example.com.other.example; x\r\n\
            Delivered-To : Bob@Example.com\r\nDelivered-To: (x)\r\n\r\nReceived: by mx.example.com\r\n";
        let trail = Trail::of(message, "mx.example.com");
        assert_eq!((trail.hops, trail.own), (4, 2));
        assert_eq!(trail.delivered, [&b"Bob@Example.com"[..], b"(x)"]);
    }
}
