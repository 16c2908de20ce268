//! Whether a message can pass some predicates and fail others, and which message does.
//!
//! Predicates on facts that hang together form a group; groups are independent, so a contradiction is always within one,
//! but for a few facts that hang on one other ([`linked`]). It comes back as few claims as possible. Facts are as the daemon finds them: who is submitted,
//! what is inside, which direction that makes.

mod author;
pub(super) mod cover;
mod envelope;
mod exact;
mod facts;
mod linked;
pub mod mailbox;
pub mod number;
mod owner;
mod pattern;
mod region;
pub mod shape;
mod space;
pub mod text;
mod words;

pub use space::{Keys, Space};

use super::world::World;
use edict_table::fact::Fact;
use edict_table::model::{Predicate, PredicateId, Test};
use edict_table::value::Domain;
use facts::one;
use std::collections::BTreeMap;

/// What came of a question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer<T> {
    /// Yes, and here it is.
    Found(T),
    /// No, for certain.
    Impossible,
    /// It could not be told within bounds.
    Unknown,
}

/// A predicate and whether it holds.
pub type Claim = (PredicateId, bool);

/// What came of a set of claims.
#[derive(Debug)]
pub enum Outcome {
    /// A message for which all of them are so.
    Found(Box<World>),
    /// These of them can not be so together.
    Conflict(Vec<Claim>),
    /// It could not be told.
    Unknown,
}

/// Facts that hang together.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
enum Group {
    Envelope,
    Name,
    Helo,
    Sender,
    Attachments,
    /// A fact by itself; a header field by its name.
    Alone(Fact),
    Subject,
    /// The envelope, its sender, what DNS says of both, and From: these hang on who is trusted.
    Trust,
}

fn group(predicate: &Predicate) -> (Group, &str) {
    let group = match predicate.fact {
        Fact::ClientIp
        | Fact::AuthUser
        | Fact::Submitted
        | Fact::Direction
        | Fact::Recipient
        | Fact::RecipientLocal
        | Fact::RecipientDomain => Group::Envelope,
        Fact::ClientName | Fact::ClientUnverified | Fact::ClientNameless => Group::Name,
        Fact::Helo | Fact::HeloUnqualified | Fact::HeloMalformed | Fact::HeloUnresolvable => Group::Helo,
        Fact::Sender
        | Fact::SenderLocal
        | Fact::SenderDomain
        | Fact::SenderUnqualified
        | Fact::SenderUnresolvable
        | Fact::SenderUnknown => Group::Sender,
        Fact::AttachmentName | Fact::AttachmentType | Fact::AttachmentSize | Fact::AttachmentCount => {
            Group::Attachments
        }
        Fact::Subject => Group::Subject,
        Fact::Header if predicate.parameter == "subject" => return (Group::Subject, ""),
        fact => Group::Alone(fact),
    };
    (group, &predicate.parameter)
}

type Part<'t> = Vec<(&'t Predicate, bool)>;

fn split<'t>(part: &Part<'t>, fact: Fact) -> (Vec<&'t Test>, Vec<&'t Test>) {
    let of = |wanted: bool| {
        part.iter().filter(|(p, holds)| p.fact == fact && *holds == wanted).map(|(p, _)| &p.test).collect()
    };
    (of(true), of(false))
}

fn flag(part: &Part<'_>, fact: Fact) -> Option<bool> {
    part.iter().find(|(p, _)| p.fact == fact).map(|(_, holds)| *holds)
}

/// Directions as bits, as in [`Test::OneOf`], and [`GIVEN`].
pub type Directions = u8;

/// Asked while the message comes in, with the sender as the client gave it: later it may have been replaced.
pub const GIVEN: Directions = 16;

const TRUST: [(Group, &str); 6] = [
    (Group::Envelope, ""),
    (Group::Sender, ""),
    (Group::Alone(Fact::Spf), ""),
    (Group::Alone(Fact::Dmarc), ""),
    (Group::Alone(Fact::From), ""),
    (Group::Alone(Fact::Header), "from"),
];

/// Finds a message for which all claims are so, among those of the given directions.
#[must_use]
pub fn solve(space: &Space<'_>, claims: &[Claim], directions: Directions) -> Outcome {
    let mut groups: BTreeMap<(Group, &str), Vec<Claim>> = BTreeMap::new();
    // Who and where from is always found out, whether anything asks for it or not.
    groups.insert((Group::Envelope, ""), Vec::new());
    for claim in claims {
        if let Some(predicate) = space.predicate(claim.0) {
            groups.entry(group(predicate)).or_default().push(*claim);
        }
    }
    if let Some(few) = linked::conflict(space, claims) {
        return Outcome::Conflict(few);
    }
    let Some(mut world) = World::plain() else { return Outcome::Unknown };
    let mut unknown = false;
    for ((group, _), claims) in &groups {
        match one(space, *group, claims, directions, &mut world) {
            Answer::Found(()) => {}
            Answer::Impossible => {
                return Outcome::Conflict(fewest(space, *group, claims.clone(), directions));
            }
            Answer::Unknown => unknown = true,
        }
    }
    if unknown {
        return Outcome::Unknown;
    }
    // Each for itself they can be so. That keeps contradictions small where they are one's own.
    let both = groups.iter().filter(|(group, _)| TRUST.contains(group));
    let trust: Vec<Claim> = both.flat_map(|(_, claims)| claims.iter().copied()).collect();
    match one(space, Group::Trust, &trust, directions, &mut world) {
        Answer::Found(()) => {}
        Answer::Impossible => {
            return Outcome::Conflict(fewest(space, Group::Trust, trust, directions));
        }
        Answer::Unknown => return Outcome::Unknown,
    }
    if !linked::settle(space, claims, &mut world) {
        return Outcome::Unknown;
    }
    for zone in &space.zones {
        if !world.listed.iter().any(|(known, _)| known == zone) {
            world.listed.push(((*zone).to_owned(), false));
        }
    }
    Outcome::Found(Box::new(world))
}

fn inside_domain(space: &Space<'_>) -> Option<Domain> {
    space.inside.iter().next().and_then(|key| Domain::parse(key.trim_start_matches('@')).ok())
}

/// Drops what a contradiction does not need.
fn fewest(space: &Space<'_>, group: Group, mut claims: Vec<Claim>, directions: Directions) -> Vec<Claim> {
    let mut at = 0;
    while at < claims.len() && claims.len() > 1 {
        let mut fewer = claims.clone();
        fewer.remove(at);
        let Some(mut world) = World::plain() else { break };
        if one(space, group, &fewer, directions, &mut world) == Answer::Impossible {
            claims = fewer;
        } else {
            at += 1;
        }
    }
    claims
}
