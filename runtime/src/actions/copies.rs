//! Blind copies: which targets get one, and what each looks like.
//!
//! Every rule that matches any recipient fires, on the address as given and on the final one. One copy
//! a target, none where the target gets the message anyway, a recording copy excepted. A copy of a copy is
//! never made. Copies see no verdicts, quotas, disclaimers or further copies.

use super::finals::Final;
use super::view::View;
use crate::directory;
use crate::envelope::{Fate, Incoming};
use edict_message::header::{self, Builder};
use edict_message::limits::MAX_FIELDS;
use edict_table::load::{Loaded, RuleId};
use edict_table::model::{Action, Bcc, Kind, Mode};
use edict_table::value::Address;
use std::collections::HashSet;
use std::ops::Range;

/// Copies of one message.
pub const MAX_COPIES: usize = 1_000;
/// The fields that a recording copy carries.
pub const SENDER_FIELD: &str = "X-Edict-Sender";
/// One field for each recipient that the client gave.
pub const RECIPIENT_FIELD: &str = "X-Edict-Recipient";

/// A copy to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Copy {
    /// The first rule in rank that wants it.
    pub rule: String,
    /// The others that want one for the same target, in order of rank: their copy is this one.
    pub also: Vec<String>,
    /// Its target on the wire.
    pub wire: String,
    /// In policy form.
    pub address: Address,
    /// Local or relay domain.
    pub inside: bool,
    /// The rule named another address, which an alias turned into this one.
    pub expanded: Option<String>,
    /// As outside readers get it, rather than as it came.
    pub modified: bool,
    /// With the envelope in header fields.
    pub record: bool,
}

/// The copies that the rules want, in order of rank. Notes go to `effects`.
pub fn wanted(
    incoming: &Incoming,
    finals: &[Final],
    view: &mut View<'_>,
    effects: &mut Vec<String>,
) -> Vec<Copy> {
    let mut out: Vec<Copy> = Vec::new();
    for id in firing(incoming, finals, view) {
        let Some((name, mode, bcc)) = bcc(&incoming.table, id) else { continue };
        if mode == Mode::Audit {
            effects.push(format!("audit: bcc {name:?} would copy to {}", bcc.to.join(", ")));
            continue;
        }
        for copy in targets(&incoming.table, name, bcc) {
            let full = out.len() >= MAX_COPIES;
            match out.iter_mut().find(|have| have.address == copy.address) {
                Some(have) => {
                    have.modified &= copy.modified;
                    have.record |= copy.record;
                    if have.rule != copy.rule && !have.also.contains(&copy.rule) {
                        have.also.push(copy.rule);
                    }
                }
                None if full => {
                    effects.push(format!("bcc {name:?}: no copy past {MAX_COPIES}"));
                    tracing::error!(id = %incoming.id, rule = name, "more than {MAX_COPIES} blind copies");
                    return out;
                }
                None => out.push(copy),
            }
        }
    }
    let reached: HashSet<Address> =
        finals.iter().map(|found| mailbox(&found.address, found.inside)).collect();
    out.retain(|copy| copy.record || !reached.contains(&mailbox(&copy.address, copy.inside)));
    out
}

/// The mailbox behind an address: inside, what follows `+` makes no other.
fn mailbox(address: &Address, inside: bool) -> Address {
    let bare = if inside { address.without_extension() } else { None };
    bare.unwrap_or_else(|| address.clone())
}

/// The rules that match any recipient, by rank.
fn firing(incoming: &Incoming, finals: &[Final], view: &mut View<'_>) -> Vec<RuleId> {
    let mut all: Vec<RuleId> = Vec::new();
    let mut found = Vec::new();
    for given in incoming.recipients.iter().filter(|given| given.fate != Fate::Discard) {
        view.matching(Kind::Bcc, &given.address, given.direction, &mut found);
        all.append(&mut found);
    }
    for end in finals.iter().filter(|end| end.expanded) {
        view.matching(Kind::Bcc, &end.address, end.direction, &mut found);
        all.append(&mut found);
    }
    // Rules of a table stand in order of rank.
    all.sort_unstable();
    all.dedup();
    all
}

fn targets(table: &Loaded, rule: &str, bcc: &Bcc) -> Vec<Copy> {
    let mut out = Vec::new();
    for text in &bcc.to {
        let Some((wire, address)) = directory::parse(table, text) else {
            tracing::error!(rule, target = text, "a copy's target is no address");
            continue;
        };
        for (wire, end, inside) in directory::named(table, &wire, &address) {
            let expanded = (end != address).then(|| text.clone());
            let rule = rule.to_owned();
            let (modified, record) = (bcc.modified, bcc.record_envelope);
            let also = Vec::new();
            out.push(Copy { rule, also, wire, address: end, inside, expanded, modified, record });
        }
    }
    out
}

fn bcc(table: &Loaded, id: RuleId) -> Option<(&str, Mode, &Bcc)> {
    let rule = table.rule(id)?;
    match rule.action {
        Action::Bcc(bcc) => Some((rule.name, rule.mode, bcc)),
        _ => None,
    }
}

/// The fields at the top of a copy: the mark, and the envelope where it is to be kept.
#[must_use]
pub fn top(incoming: &Incoming, mark: &str, record: bool) -> Builder {
    let mut top = Builder::default();
    top.add(super::marker::FIELD, mark);
    if record {
        top.add(SENDER_FIELD, &format!("<{}>", incoming.sender.wire));
        for given in &incoming.recipients {
            top.add(RECIPIENT_FIELD, &format!("<{}>", given.wire));
        }
    }
    top
}

/// Where the message carries such fields already: forged ones, which a recording copy must not keep. Neighbours are one
/// place; none where there are more than [`MAX_FIELDS`] places.
#[must_use]
pub fn forged(message: &[u8]) -> Option<Vec<Range<usize>>> {
    let mut places: Vec<Range<usize>> = Vec::new();
    for field in header::each(message).filter(|f| f.is(SENDER_FIELD) || f.is(RECIPIENT_FIELD)) {
        let full = places.len() == MAX_FIELDS;
        match places.last_mut() {
            Some(last) if last.end == field.range.start => last.end = field.range.end,
            _ if full => return None,
            _ => places.push(field.range),
        }
    }
    Some(places)
}

/// Who sends copies, and hears of those that are lost: the postmaster.
#[must_use]
pub fn owner(table: &Loaded, hostname: &str) -> String {
    let profile = table.profile();
    match (profile.postmaster.first(), profile.local_domains.first()) {
        (Some(address), _) => address.clone(),
        (None, Some(domain)) => format!("postmaster@{domain}"),
        (None, None) => format!("postmaster@{hostname}"),
    }
}
