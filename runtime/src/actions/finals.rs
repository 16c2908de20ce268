//! From the recipients that a client gave to the final addresses: aliases, postmaster, direction.
//!
//! Whom an address stands for is the directory's; here one lookup each is enough. Equal final addresses get one
//! delivery, a directly named one before one through an alias. Decides nothing about copies or texts.
//! Limit: [`MAX_FINALS`] final addresses a message.

use super::told::{self, Turn};
use crate::directory::{Directory, Member};
use crate::envelope::{Fate, Given, Incoming, Notify};
use edict_table::facts::Direction;
use edict_table::load::Loaded;
use edict_table::value::Address;
use std::collections::HashMap;

/// The most final addresses of one message.
pub const MAX_FINALS: usize = 20_000;
/// Up to so many are found by looking at each.
const FEW: usize = 8;

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
pub fn expand(incoming: &Incoming, directory: &Directory) -> Result<Vec<Final>, TooMany> {
    let mut finals: Vec<Final> = Vec::with_capacity(incoming.recipients.len());
    let mut places: HashMap<Address, usize> = HashMap::new();
    for (place, given) in incoming.recipients.iter().enumerate() {
        if given.fate == Fate::Discard {
            continue;
        }
        for found in one(incoming, directory, place, given) {
            let full = finals.len() >= MAX_FINALS;
            let at = match finals.len() > FEW {
                true => places.get(&found.address).copied(),
                false => finals.iter().position(|have| have.address == found.address),
            };
            match at.and_then(|at| finals.get_mut(at)) {
                Some(have) => merge(have, found),
                None if full => return Err(TooMany),
                None => {
                    finals.push(found);
                    if finals.len() > FEW {
                        let new = finals.iter().enumerate().skip(places.len());
                        places.extend(new.map(|(at, end)| (end.address.clone(), at)));
                    }
                }
            }
        }
    }
    Ok(finals)
}

/// The recipients that lead to each final address, by their places: all of them, though one delivery serves them.
pub fn leading(incoming: &Incoming, directory: &Directory) -> HashMap<Address, Vec<usize>> {
    let mut out: HashMap<Address, Vec<usize>> = HashMap::new();
    for (place, given) in incoming.recipients.iter().enumerate().filter(|(_, g)| g.fate != Fate::Discard) {
        for found in one(incoming, directory, place, given) {
            let places = out.entry(found.address).or_default();
            if places.last() != Some(&place) {
                places.push(place);
            }
        }
    }
    out
}

fn one(incoming: &Incoming, directory: &Directory, place: usize, given: &Given) -> Vec<Final> {
    let table: &Loaded = &incoming.table;
    let submitted = matches!(given.direction, Direction::Outbound | Direction::Internal);
    let make = |wire: String, address: Address, expanded: bool, owner: Option<&str>, turn: Turn| {
        let inside = table.is_inside(address.domain());
        let direction = match (submitted, inside) {
            (true, true) => Direction::Internal,
            (true, false) => Direction::Outbound,
            (false, true) => Direction::Inbound,
            (false, false) => Direction::Forwarded,
        };
        // At a list ends what the author asked for, and the owner hears of failures (RFC 3461 5.2.7.1).
        let notify = told::inherited(given.notify, turn);
        let orcpt = if turn == Turn::Delivered { None } else { given.orcpt.clone() };
        let hold = given.fate == Fate::Hold;
        let owner = owner.map(str::to_owned);
        let forwarder = match (direction, &owner) {
            (Direction::Forwarded, None) => rewritten(incoming, directory, given),
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
    if let Some((wire, address)) = returned(incoming, directory, given) {
        return vec![make(wire, address, true, None, Turn::PassedOn)];
    }
    match directory.members(table, &given.address) {
        None => vec![make(given.wire.clone(), given.address.clone(), false, None, Turn::PassedOn)],
        Some(members) => {
            let turn = told::turn(&members);
            members
                .into_iter()
                .map(|Member { wire, address, owner }| {
                    // Its own mailbox keeps the way the client wrote it, without the extension.
                    let own = address == given.address;
                    // A list among several members is the end of the author's wishes for its own.
                    let turn = if owner.is_some() { Turn::Delivered } else { turn };
                    make(if own { given.wire.clone() } else { wire }, address, !own, owner, turn)
                })
                .collect()
        }
    }
}

/// The foreign sender under our name, where the profile wants it and the mail is passed on.
fn rewritten(incoming: &Incoming, directory: &Directory, given: &Given) -> Option<String> {
    let table = &incoming.table;
    let sender = incoming.sender_address.as_ref()?;
    if !table.profile().forward_sender_srs || table.is_inside(sender.domain()) {
        return None;
    }
    let own = given.address.domain();
    let ours = if table.is_local(own) { own } else { table.profile().local_domains.first()? };
    directory.srs().forward(&incoming.sender.wire, ours, incoming.received)
}

/// Where a bounce of mail that we forwarded goes back to.
fn returned(incoming: &Incoming, directory: &Directory, given: &Given) -> Option<(String, Address)> {
    if !incoming.sender.wire.is_empty() || !incoming.table.is_local(given.address.domain()) {
        return None;
    }
    let wire = directory.srs().back(&given.wire, incoming.received)?;
    let address = Address::parse(&wire).ok()?;
    Some((wire, address))
}

/// One delivery for an address that is reached twice: the way with fewest turns, the verdict that lets
/// it through, and everything that anybody asked to be told.
fn merge(have: &mut Final, found: Final) {
    let hold = have.hold && found.hold;
    let turns = |of: &Final| (of.owner.is_some(), of.expanded);
    let (mut kept, other) =
        if turns(&found) < turns(have) { (found, have.clone()) } else { (have.clone(), found) };
    if kept.owner.is_none() && other.owner.is_none() {
        kept.notify = both(kept.notify, other.notify);
    }
    kept.hold = hold;
    *have = kept;
}

/// All that either asks for. Silence asks for failure and delay (RFC 3461 4.1).
fn both(one: Notify, two: Notify) -> Notify {
    let plain = |of: Notify| {
        if of.given { of } else { Notify { given: false, success: false, failure: true, delay: true } }
    };
    let (a, b) = (plain(one), plain(two));
    match one.given || two.given {
        false => Notify::default(),
        true => Notify {
            given: true,
            success: a.success || b.success,
            failure: a.failure || b.failure,
            delay: a.delay || b.delay,
        },
    }
}
