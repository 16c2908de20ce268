//! From the recipients that a client gave to the final addresses: aliases, postmaster, direction.
//!
//! Aliases are expanded at compile time; here one lookup each is enough. Equal final addresses get one
//! delivery, a directly named one before one through an alias. Decides nothing about copies or texts.
//! Limit: [`MAX_FINALS`] final addresses a message.

use super::srs::Srs;
use crate::envelope::{Fate, Given, Incoming, Notify};
use edict_table::facts::Direction;
use edict_table::load::Loaded;
use edict_table::model::Alias;
use edict_table::value::{Address, Domain};
use std::collections::HashMap;

/// The most final addresses of one message.
pub const MAX_FINALS: usize = 20_000;

/// A final address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Final {
    /// On the wire.
    pub wire: String,
    /// In policy form.
    pub address: Address,
    /// By the final address.
    pub direction: Direction,
    /// Local or relay domain.
    pub inside: bool,
    /// The recipient that led here: a place in [`Incoming::recipients`].
    pub given: usize,
    /// An alias or the postmaster setting led here.
    pub expanded: bool,
    /// The owner of the alias, who takes the place of the envelope sender.
    pub owner: Option<String>,
    /// The envelope sender as the next hop is told it, where forwarding changed it.
    pub forwarder: Option<String>,
    /// NOTIFY=; the owner's own where there is one.
    pub notify: Notify,
    /// ORCPT=
    pub orcpt: Option<String>,
    /// Kept in the queue until released.
    pub hold: bool,
}

/// Too many final addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("more than {MAX_FINALS} final addresses")]
pub struct TooMany;

/// Expands every recipient that is not discarded.
///
/// # Errors
/// More than [`MAX_FINALS`].
pub fn expand(incoming: &Incoming, srs: &Srs) -> Result<Vec<Final>, TooMany> {
    let mut finals: Vec<Final> = Vec::with_capacity(incoming.recipients.len());
    let mut places: HashMap<Address, usize> = HashMap::new();
    for (place, given) in incoming.recipients.iter().enumerate() {
        if given.fate == Fate::Discard {
            continue;
        }
        for found in one(incoming, srs, place, given) {
            let full = finals.len() >= MAX_FINALS;
            match places.get(&found.address).and_then(|at| finals.get_mut(*at)) {
                Some(have) => merge(have, found),
                None if full => return Err(TooMany),
                None => {
                    places.insert(found.address.clone(), finals.len());
                    finals.push(found);
                }
            }
        }
    }
    Ok(finals)
}

/// Expands an address of the daemon's own mail or of a copy: the final addresses with their wire form
/// and whether they are inside. Wire and policy form of an address that no alias changes stay as they are.
#[must_use]
pub fn resolve(table: &Loaded, wire: &str, address: &Address) -> Vec<(String, Address, bool)> {
    let members = match members(table, address) {
        Some((members, _)) => members,
        None => vec![(wire.to_owned(), address.clone())],
    };
    let inside = |address: &Address| table.is_inside(address.domain());
    members.into_iter().map(|(wire, address)| (wire, address.clone(), inside(&address))).collect()
}

fn one(incoming: &Incoming, srs: &Srs, place: usize, given: &Given) -> Vec<Final> {
    let table: &Loaded = &incoming.table;
    let submitted = matches!(given.direction, Direction::Outbound | Direction::Internal);
    let make = |wire: String, address: Address, expanded: bool, owner: Option<&str>| {
        let inside = table.is_inside(address.domain());
        let direction = match (submitted, inside) {
            (true, true) => Direction::Internal,
            (true, false) => Direction::Outbound,
            (false, true) => Direction::Inbound,
            (false, false) => Direction::Forwarded,
        };
        // An alias with an owner is a list (RFC 3461 5.2.7.1): what the author asked to be told of ends
        // here, and the owner hears of failures.
        let (notify, orcpt) = match owner {
            Some(_) => (Notify::default(), None),
            None => (given.notify, given.orcpt.clone()),
        };
        let hold = given.fate == Fate::Hold;
        let owner = owner.map(str::to_owned);
        let forwarder = match (direction, &owner) {
            (Direction::Forwarded, None) => rewritten(incoming, srs, given),
            _ => None,
        };
        Final {
            wire,
            address,
            direction,
            inside,
            given: place,
            expanded,
            owner,
            forwarder,
            notify,
            orcpt,
            hold,
        }
    };
    if let Some((wire, address)) = returned(incoming, srs, given) {
        return vec![make(wire, address, true, None)];
    }
    match members(table, &given.address) {
        None => vec![make(given.wire.clone(), given.address.clone(), false, None)],
        Some((members, owner)) => members
            .into_iter()
            .map(|(wire, address)| {
                // Its own mailbox keeps the way the client wrote it, without the extension.
                let own = address == given.address;
                make(if own { given.wire.clone() } else { wire }, address, !own, owner)
            })
            .collect(),
    }
}

/// The foreign sender under our name, where the profile wants it and the mail is passed on.
fn rewritten(incoming: &Incoming, srs: &Srs, given: &Given) -> Option<String> {
    let table = &incoming.table;
    let sender = incoming.sender_address.as_ref()?;
    if !table.profile().forward_sender_srs || table.is_inside(sender.domain()) {
        return None;
    }
    let own = given.address.domain();
    let ours = if table.is_local(own) { own } else { table.profile().local_domains.first()? };
    srs.forward(&incoming.sender.wire, ours, incoming.received)
}

/// Where a bounce of mail that we forwarded goes back to.
fn returned(incoming: &Incoming, srs: &Srs, given: &Given) -> Option<(String, Address)> {
    if !incoming.sender.wire.is_empty() || !incoming.table.is_local(given.address.domain()) {
        return None;
    }
    let wire = srs.back(&given.wire, incoming.received)?;
    let address = Address::parse(&wire).ok()?;
    Some((wire, address))
}

type Members<'a> = (Vec<(String, Address)>, Option<&'a str>);

/// Whom an address stands for, and the owner; none where it stands for itself.
fn members<'a>(table: &'a Loaded, address: &Address) -> Option<Members<'a>> {
    let alias = table.alias(address);
    let named = |alias: &Alias| alias.key == address.as_str();
    // A rule that names postmaster@ itself is nearer than the setting; a catch-all is not.
    if !alias.is_some_and(named)
        && let Some(postmasters) = postmasters(table, address)
    {
        return Some((postmasters, None));
    }
    let alias = alias?;
    let members: Vec<(String, Address)> =
        alias.members.iter().filter_map(|member| parse(table, member)).collect();
    if members.is_empty() {
        tracing::error!(alias = %alias.key, "no member of an alias can be read: delivering to the address itself");
        return None;
    }
    Some((members, alias.owner.as_deref()))
}

/// The addresses of the profile that get mail for postmaster and mailer-daemon of local domains.
fn postmasters(table: &Loaded, address: &Address) -> Option<Vec<(String, Address)>> {
    let served = is_postmaster(address) && table.is_local(address.domain());
    if !served || table.profile().postmaster.is_empty() {
        return None;
    }
    let mut out = Vec::new();
    for text in &table.profile().postmaster {
        let Some((wire, member)) = parse(table, text) else { continue };
        // One step of aliases only, and none for a postmaster address: no circle.
        match table.alias(&member).filter(|_| !is_postmaster(&member)) {
            Some(alias) => out.extend(alias.members.iter().filter_map(|text| parse(table, text))),
            None => out.push((wire, member)),
        }
    }
    if out.is_empty() { None } else { Some(out) }
}

fn is_postmaster(address: &Address) -> bool {
    matches!(address.local(), "postmaster" | "mailer-daemon")
}

/// An address of a rule on the wire and in policy form, a domain alias replaced by what it stands for.
pub(super) fn parse(table: &Loaded, text: &str) -> Option<(String, Address)> {
    let address = Address::parse(text).ok()?;
    let aliases = &table.profile().domain_aliases;
    let Some((_, real)) = aliases.iter().find(|(alias, _)| alias == address.domain()) else {
        return Some((text.to_owned(), address));
    };
    let domain = Domain::parse(real).ok()?;
    let (local, _) = text.rsplit_once('@')?;
    Some((format!("{local}@{domain}"), Address::new(address.local(), &domain)))
}

/// One delivery for an address that is reached twice: the way with fewest turns, the verdict that lets
/// it through, and everything that anybody asked to be told.
fn merge(have: &mut Final, found: Final) {
    let hold = have.hold && found.hold;
    let turns = |of: &Final| (of.owner.is_some(), of.expanded);
    let (mut kept, other) =
        if turns(&found) < turns(have) { (found, have.clone()) } else { (have.clone(), found) };
    if kept.owner.is_none() && other.owner.is_none() && kept.notify.given && other.notify.given {
        kept.notify.success |= other.notify.success;
        kept.notify.failure |= other.notify.failure;
        kept.notify.delay |= other.notify.delay;
    }
    kept.hold = hold;
    *have = kept;
}
