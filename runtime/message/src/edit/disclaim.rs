//! Adding disclaimers: what applies, where it goes, the edits, the check.
//!
//! All or nothing: where one of the two leaves cannot take the text, neither gets it. Pure; memory beyond the
//! message is bounded by the leaves that are edited.

use super::leaf::{Insertion, Leaf, Rewrite};
use super::survey::{Fault, Questions, Spot, Survey};
use super::{Edit, Order, Untouched, check, choose, place, quote, render, wrap};
use crate::header::{self, Fields};
use crate::mime::{self, Tree};
use edict_table::model::{OnSigned, Replies};

/// What became of several disclaimers for one message.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// Over the original; empty where nothing was added.
    pub edits: Vec<Edit>,
    /// For each order, in order.
    pub results: Vec<Result<(), Untouched>>,
}

/// Edits that add one disclaimer, or why the message stays as it is. Never empty where `Ok`.
///
/// # Errors
/// [`Untouched`] says why; the caller asks [`Untouched::refuses`] whether the rule then refuses the message.
pub fn disclaim(message: &[u8], order: &Order<'_>) -> Result<Vec<Edit>, Untouched> {
    let outcome = disclaim_all(message, std::slice::from_ref(order));
    match outcome.results.into_iter().next() {
        Some(Err(reason)) => Err(reason),
        _ => Ok(outcome.edits),
    }
}

/// Adds several disclaimers at once (`continue`): each by its own settings, those at the same place in the
/// order given.
#[must_use]
pub fn disclaim_all(message: &[u8], orders: &[Order<'_>]) -> Outcome {
    let tree = mime::walk(message);
    let head = header::fields(message);
    let mut results: Vec<Result<(), Untouched>> = orders.iter().map(|o| wanted(o, &head)).collect();
    let applying = results.clone();
    let mut edits = add(message, &tree, &head, orders, &mut results);
    if edits.is_err() && applying.iter().filter(|r| r.is_ok()).count() > 1 {
        // One that cannot be added takes no other with it.
        results.clone_from(&applying);
        for number in 0..orders.len() {
            let mut alone: Vec<Result<(), Untouched>> = vec![Err(Untouched::Empty); orders.len()];
            alone.get_mut(number).into_iter().for_each(|slot| *slot = Ok(()));
            let single = add(message, &tree, &head, orders, &mut alone).err();
            let reason = single.or_else(|| alone.get(number).and_then(|r| r.err()));
            if let (Some(reason), Some(result)) = (reason, results.get_mut(number).filter(|r| r.is_ok())) {
                *result = Err(reason);
            }
        }
        edits = add(message, &tree, &head, orders, &mut results);
    }
    let edits = edits.unwrap_or_else(|reason| {
        fail(&mut results, reason);
        Vec::new()
    });
    Outcome { edits, results }
}

/// Gives a reason to every order that was still to be carried out.
fn fail(results: &mut [Result<(), Untouched>], reason: Untouched) {
    for result in results.iter_mut().filter(|r| r.is_ok()) {
        *result = Err(reason);
    }
}

/// Whether an order applies to this message at all.
fn wanted(order: &Order<'_>, head: &Fields<'_>) -> Result<(), Untouched> {
    if render::plain_source(order).trim().is_empty() && order.html.is_none_or(|h| h.trim().is_empty()) {
        return Err(Untouched::Empty);
    }
    let reply = head
        .fields
        .iter()
        .any(|f| (f.is("in-reply-to") || f.is("references")) && !f.value.trim_ascii().is_empty());
    if order.replies == Replies::Never && reply { Err(Untouched::Reply) } else { Ok(()) }
}

fn add(
    message: &[u8],
    tree: &Tree,
    head: &Fields<'_>,
    orders: &[Order<'_>],
    results: &mut [Result<(), Untouched>],
) -> Result<Vec<Edit>, Untouched> {
    if tree.malformed || head.malformed {
        return Err(Untouched::Malformed);
    }
    if let Some(reason) = choose::protected(head, tree) {
        return protected(message, tree, head, orders, results, reason);
    }
    let places = choose::candidates(tree);
    if places.is_empty() {
        return Err(Untouched::NoText);
    }
    let open: Vec<bool> = results.iter().map(Result::is_ok).collect();
    let ask = Questions { orders, open: &open, reply: quote::is_reply(head) };
    let survey = Survey::new(message, tree, &places, &ask);
    for (number, (order, result)) in orders.iter().zip(results.iter_mut()).enumerate() {
        if result.is_ok() && order.replies == Replies::Once && survey.knows(number) {
            *result = Err(Untouched::AlreadyThere);
        }
    }
    let at_end = survey.at_end();
    let above = survey.above().unwrap_or_else(|| at_end.clone());
    for (spots, is_above, wanted) in [(&at_end, false, ask.at_end()), (&above, true, ask.above())] {
        match survey.fault(spots).filter(|_| wanted) {
            Some(Fault::Protected(reason)) => return protected(message, tree, head, orders, results, reason),
            Some(Fault::Unread(reason)) => fail_where(orders, results, is_above, reason),
            None if !choose::is_seen(tree, spots.iter().map(|spot| spot.number)) => {
                fail_where(orders, results, is_above, Untouched::Unseen);
            }
            None => {}
        }
    }
    let open: Vec<&Order<'_>> =
        orders.iter().zip(results.iter()).filter(|(_, r)| r.is_ok()).map(|(o, _)| o).collect();
    if open.is_empty() {
        return Ok(Vec::new());
    }
    let mut numbers: Vec<usize> = at_end.iter().chain(&above).map(|spot| spot.number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let eol = header::line_end(message);
    let mut edits = Vec::new();
    for number in numbers {
        let spot = |order: &Order<'_>| {
            let spots = if order.above_quote { &above } else { &at_end };
            spots.iter().find(|spot| spot.number == number).copied()
        };
        let here: Vec<(&Order<'_>, Spot)> = open.iter().filter_map(|o| Some((*o, spot(o)?))).collect();
        if here.is_empty() {
            continue;
        }
        let leaf = Leaf::load(message, tree, number)?;
        let mut rewrite = rewrite(&leaf, message, &here, eol)?;
        if rewrite.edits.is_empty() {
            continue;
        }
        if !check::holds(message, tree, &leaf, &mut rewrite) {
            return Err(Untouched::Check);
        }
        edits.extend(rewrite.edits);
    }
    if edits.is_empty() {
        return Err(Untouched::Empty);
    }
    edits.sort_by_key(|e| (e.range.start, e.range.end));
    Ok(edits)
}

/// Gives a reason to the orders for one of the two places.
fn fail_where(orders: &[Order<'_>], results: &mut [Result<(), Untouched>], above: bool, reason: Untouched) {
    let all = orders.iter().zip(results.iter_mut());
    for (_, result) in all.filter(|(order, result)| result.is_ok() && order.above_quote == above) {
        *result = Err(reason);
    }
}

/// A message that must not be edited: wrapped for the orders that say so, else left alone.
fn protected(
    message: &[u8],
    tree: &Tree,
    head: &Fields<'_>,
    orders: &[Order<'_>],
    results: &mut [Result<(), Untouched>],
    reason: Untouched,
) -> Result<Vec<Edit>, Untouched> {
    let mut inside = Vec::new();
    for (order, result) in orders.iter().zip(results.iter_mut()).filter(|(_, r)| r.is_ok()) {
        if reason.is_protected() && order.signed == OnSigned::Wrap {
            inside.push(order);
        } else {
            *result = Err(reason);
        }
    }
    if inside.is_empty() { Ok(Vec::new()) } else { wrap::wrap(message, head, tree, &inside) }
}

/// The edits of one leaf for all orders.
fn rewrite(
    leaf: &Leaf<'_>,
    message: &[u8],
    orders: &[(&Order<'_>, Spot)],
    eol: &'static str,
) -> Result<Rewrite, Untouched> {
    let mut insertions: Vec<Insertion> = Vec::new();
    for (order, spot) in orders {
        let new = place::insertion(leaf, order, spot.above, eol)?;
        if new.text.trim().is_empty() {
            continue;
        }
        match insertions.iter_mut().find(|i| i.at == new.at) {
            Some(there) => there.text = join(leaf, &there.text, &new.text, eol),
            None => insertions.push(new),
        }
    }
    insertions.sort_by_key(|i| i.at);
    if insertions.is_empty() { Ok(Rewrite::default()) } else { leaf.rewrite(&insertions, message, eol) }
}

/// Two disclaimers at one place, a blank line between them.
fn join(leaf: &Leaf<'_>, first: &str, second: &str, eol: &'static str) -> String {
    if leaf.html {
        return format!("{first}{}", second.trim_start());
    }
    let eol = leaf.eol(eol);
    let gap = match (first.ends_with('\n'), first.ends_with(&format!("{eol}{eol}"))) {
        (_, true) => String::new(),
        (true, false) => eol.to_owned(),
        (false, false) => format!("{eol}{eol}"),
    };
    format!("{first}{gap}{}", second.trim_start_matches(['\r', '\n']))
}

#[cfg(test)]
mod tests;
