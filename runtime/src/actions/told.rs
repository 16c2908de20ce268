//! Notices that an alias owes the author at once (RFC 3461 5.2.7): the message has reached a list, or was passed on
//! to the several members of an alias. Both end what NOTIFY=SUCCESS asked for; an alias with one member passes the
//! wish on with the message.
//!
//! A notice is part of the message's record, as a variant that replaces all of it: what was promised and what is
//! told become durable together. It names the alias and never its members.

use super::Settings;
use crate::directory::{Directory, Member};
use crate::envelope::{
    Body, Dispatch, DispatchKind, Fate, Given, Incoming, MessageId, Notify, Record, Splice, Submitted,
    Target, Variant,
};
use crate::queue::notice::{Event, Report, add_copies};
use edict_table::value::Address;
use std::net::{IpAddr, Ipv4Addr};

/// What becomes of the wish to hear of success at an alias.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// It goes on with the message: there is one member.
    PassedOn,
    /// Told here: there are several members.
    Expanded,
    /// Told here: a list takes it, and its owner answers for the rest.
    Delivered,
}

/// What an alias does with NOTIFY.
#[must_use]
pub fn turn(members: &[Member<'_>]) -> Turn {
    match members {
        [] => Turn::PassedOn,
        all if all.iter().all(|member| member.owner.is_some()) => Turn::Delivered,
        [_] => Turn::PassedOn,
        _ => Turn::Expanded,
    }
}

/// The wish that a member inherits.
#[must_use]
pub fn inherited(notify: Notify, turn: Turn) -> Notify {
    match turn {
        Turn::PassedOn => notify,
        // NOTIFY=SUCCESS alone becomes NEVER: failure was not asked for.
        Turn::Expanded => Notify { success: false, ..notify },
        Turn::Delivered => Notify::default(),
    }
}

/// Adds the notices that the aliases of this message call for.
pub fn add(settings: &Settings, incoming: &Incoming, hostname: &str, record: &mut Record) {
    if incoming.sender.wire.is_empty() {
        return;
    }
    let Some(author) = &incoming.sender_address else { return };
    let mut groups: [Vec<&Given>; 4] = Default::default();
    for given in
        incoming.recipients.iter().filter(|given| given.notify.success && given.fate != Fate::Discard)
    {
        let Some(members) = settings.directory.members(&incoming.table, &given.address) else {
            continue;
        };
        let place = match turn(&members) {
            Turn::PassedOn => continue,
            Turn::Expanded => 0,
            Turn::Delivered => 2,
        };
        // What is held is told once it is released.
        if let Some(group) = groups.get_mut(place + usize::from(given.fate == Fate::Hold)) {
            group.push(given);
        }
    }
    for (place, group) in groups.iter().enumerate().filter(|(_, group)| !group.is_empty()) {
        let event = if place < 2 { Event::Expanded } else { Event::Delivered };
        let text = text(settings, incoming, hostname, record, &event, group);
        let Ok(end) = u32::try_from(record.bytes.len()) else { return };
        let Ok(variant) = u16::try_from(record.variants.len()) else { return };
        let body = if text.is_ascii() { Body::SevenBit } else { Body::EightBitMime };
        record.variants.push(Variant { splices: vec![Splice { start: 0, end, bytes: text }] });
        let mut recipients = targets(&settings.directory, incoming, author);
        add_copies(&mut recipients, settings.directory.notice_copies(&incoming.table));
        let smtputf8 = recipients.iter().any(|target| !target.address.is_ascii());
        record.dispatches.push(Dispatch {
            recipients,
            variant,
            body,
            smtputf8,
            hold: place % 2 == 1,
            ..blank(DispatchKind::Notice, String::new())
        });
    }
}

fn targets(directory: &Directory, incoming: &Incoming, author: &Address) -> Vec<Target> {
    let wire = &incoming.sender.wire;
    let all = directory.authors(&incoming.table, wire, author, incoming.received);
    let target = |(address, inside)| Target {
        given: (address != *wire).then(|| wire.clone()),
        address,
        inside,
        notify: Notify::default(),
        orcpt: None,
    };
    all.into_iter().map(target).collect()
}

fn blank(kind: DispatchKind, sender: String) -> Dispatch {
    Dispatch {
        kind,
        sender,
        recipients: Vec::new(),
        variant: 0,
        body: Body::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
        hold: false,
        client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        auth_user: None,
        submitted: Submitted::No,
    }
}

fn text(
    settings: &Settings,
    incoming: &Incoming,
    hostname: &str,
    record: &Record,
    event: &Event,
    group: &[&Given],
) -> Vec<u8> {
    let target = |given: &&Given| Target {
        address: given.wire.clone(),
        given: None,
        inside: true,
        notify: given.notify,
        orcpt: given.orcpt.clone(),
    };
    let all: Vec<Target> = group.iter().map(target).collect();
    let lines: Vec<(&Target, &Event)> = all.iter().map(|target| (target, event)).collect();
    let about = Dispatch {
        envid: incoming.sender.envid.clone(),
        ..blank(DispatchKind::Message, incoming.sender.wire.clone())
    };
    let seed = format!("{}/told/{}/{}", record.id, event.action(), record.dispatches.len());
    let id = MessageId::of_notice(&seed);
    let (action, now) = (event.action(), incoming.received);
    let report = Report { hostname, record, dispatch: &about, action, lines: &lines, id, now, until: None };
    let mut bytes = report.text();
    let keys = settings.signer.of_domain(hostname);
    if let Some(edit) = keys.and_then(|keys| keys.sign(&id, &bytes, &[])) {
        bytes.splice(edit.range, edit.bytes);
    }
    bytes
}
