//! The message as it is stored: our trace field in front, and what a submission lacks.
//!
//! Mail that only passes through gets a `Received` field, what was found out of its authenticity, and loses fields
//! that claim to be the latter (RFC 5321 6.4, RFC 8601 5). Submitted mail
//! gets a missing or empty Date and Message-ID (RFC 6409 8), and loses a `Bcc` field, which would tell readers
//! about each other, a `Return-Path`, which is for whoever delivers to write (RFC 5321 4.4), and our own earlier signatures where it is signed anew.

use crate::dkim::{Keys, sign};
use crate::envelope::Incoming;
use crate::verdict::authentic::claims;
use edict_message::date::rfc5322;
use edict_message::header::{self, Builder, Field, Received};
use edict_message::limits::MAX_HEADER;
use edict_table::value::Domain;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::borrow::Cow;

/// Room for the rest of the fields on top, in bytes: their names and folds, `Message-ID` and `Date`.
const OWN: usize = 512;

/// Builds the stored bytes. With the keys that will sign them, earlier signatures of that domain go. `hostname` is ours; dates are written in the zone.
#[must_use]
pub fn stored(incoming: &Incoming, hostname: &str, zone: &TimeZone, keys: Option<&Keys>) -> Vec<u8> {
    let seconds = incoming.received.div_euclid(1000);
    let offset = Timestamp::from_second(seconds).map_or(0, |at| zone.to_offset(at).seconds() / 60);
    let told = &incoming.authentication;
    let is_empty = |field: &Field<'_>| field.value.trim_ascii().is_empty();
    let unwanted = |field: &Field<'_>| {
        let replaced = (field.is("Message-ID") || field.is("Date")) && is_empty(field);
        // Our signatures are made anew; a second one from before the changes would only fail.
        let stale = || keys.is_some_and(|keys| sign::is_own(field, |domain| domain == keys.domain()));
        replaced || field.is("Bcc") || field.is("Return-Path") || stale()
    };
    // One that is longer than a header may be is nobody's honest word, and is not read.
    let forged = |field: &Field<'_>| {
        field.is("Authentication-Results")
            && (field.value.len() > MAX_HEADER || claims(field.value, &told.id))
    };
    let goes =
        |field: &Field<'_>| (incoming.submitted && unwanted(field)) || (!told.id.is_empty() && forged(field));
    let (mut is_bare, mut has_id, mut has_date, mut some_go) = (true, false, false, false);
    // To the end of the header, past all limits: what is to go must not be hidden behind two thousand other fields.
    for field in header::each(&incoming.bytes) {
        is_bare = false;
        // Nothing goes of mail that only passes through where no results are written.
        if !incoming.submitted && told.id.is_empty() {
            break;
        }
        has_id |= field.is("Message-ID") && !is_empty(&field);
        has_date |= field.is("Date") && !is_empty(&field);
        some_go |= goes(&field);
    }
    let received = received(incoming, hostname, seconds);
    let results = told.results.as_deref().unwrap_or_default();
    // The message follows in the same bytes: where they had to grow, it would be there three times.
    let mut top = Builder::with_room(received.len() + results.len() + OWN + incoming.bytes.len());
    if told.results.is_some() {
        top.add("Authentication-Results", results);
    }
    top.add("Received", &received);
    if incoming.submitted && !has_id {
        top.add("Message-ID", &format!("<{}@{hostname}>", incoming.id));
    }
    if incoming.submitted && !has_date {
        top.add("Date", &rfc5322(seconds, offset));
    }
    let mut out = top.finish();
    // A message without any header: its text must not become one.
    if is_bare && header::fields(&incoming.bytes).malformed {
        out.extend_from_slice(b"\r\n");
    }
    let mut from = 0;
    // Looked for again and not kept: nobody counts the memory of millions of empty fields.
    let header = if some_go { incoming.bytes.as_slice() } else { &[] };
    for field in header::each(header).filter(goes) {
        out.extend_from_slice(incoming.bytes.get(from..field.range.start).unwrap_or_default());
        from = field.range.end;
    }
    out.extend_from_slice(incoming.bytes.get(from..).unwrap_or_default());
    out
}

/// The value of our `Received` field. A recipient is named only where there is no other: else each
/// reader would learn of one more.
fn received(incoming: &Incoming, hostname: &str, seconds: i64) -> String {
    let client = &incoming.client;
    let recipient = match incoming.recipients.as_slice() {
        [only] => named(&only.wire, incoming.sender.smtputf8),
        _ => None,
    };
    let id = incoming.id.to_string();
    let trace = Received {
        helo: &client.helo,
        client_name: client.name.as_deref(),
        client_ip: client.ip,
        by: hostname,
        protocol: protocol(incoming),
        id: &id,
        recipient: recipient.as_deref(),
        time: seconds,
    };
    trace.value()
}

/// A recipient as the field names it: in ASCII where that can be, so that a message whose header is ASCII stays one that
/// a next hop without SMTPUTF8 can take.
fn named(wire: &str, smtputf8: bool) -> Option<Cow<'_, str>> {
    if wire.is_ascii() {
        return Some(Cow::Borrowed(wire));
    }
    match wire.rsplit_once('@') {
        Some((local, domain)) if local.is_ascii() => {
            Domain::parse(domain).ok().map(|domain| Cow::Owned(format!("{local}@{domain}")))
        }
        _ => smtputf8.then_some(Cow::Borrowed(wire)),
    }
}

/// RFC 3848 and RFC 6531 3.7.3.
fn protocol(incoming: &Incoming) -> &'static str {
    let client = &incoming.client;
    let login = client.auth_user.is_some();
    match (client.esmtp, incoming.sender.smtputf8, client.tls, login) {
        (false, ..) => "SMTP",
        (true, false, false, false) => "ESMTP",
        (true, false, false, true) => "ESMTPA",
        (true, false, true, false) => "ESMTPS",
        (true, false, true, true) => "ESMTPSA",
        (true, true, false, false) => "UTF8SMTP",
        (true, true, false, true) => "UTF8SMTPA",
        (true, true, true, false) => "UTF8SMTPS",
        (true, true, true, true) => "UTF8SMTPSA",
    }
}
