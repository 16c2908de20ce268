//! Adding disclaimers: what applies, where it goes, the edits, the check.
//!
//! All or nothing: where one of the two leaves cannot take the text, neither gets it. Pure; memory beyond the
//! message is bounded by the leaves that are edited.

use super::choose::{self, Chosen};
use super::leaf::{Insertion, Leaf, Rewrite};
use super::marker::{self, Words};
use super::{Edit, Order, Untouched, check, place, quote, render, wrap};
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
    let edits = add(message, &tree, &head, orders, &mut results);
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
    let above = orders.iter().zip(results.iter()).any(|(o, r)| r.is_ok() && o.above_quote);
    let numbers = numbers(message, tree, &places, above)?;
    // One leaf at a time is decoded, so that two large ones need no more memory than one.
    let load = |number: usize| {
        let part = tree.parts.get(number).ok_or(Untouched::NoText)?;
        Leaf::load(message, part, number)
    };
    for number in &numbers {
        let leaf = load(*number)?;
        if let Some(reason) = inline_pgp(&leaf) {
            return protected(message, tree, head, orders, results, reason);
        }
        mark_known(&leaf, orders, results);
    }
    let open: Vec<&Order<'_>> =
        orders.iter().zip(results.iter()).filter(|(_, r)| r.is_ok()).map(|(o, _)| o).collect();
    if open.is_empty() {
        return Ok(Vec::new());
    }
    let eol = header::line_end(message);
    let mut edits = Vec::new();
    for number in numbers {
        let leaf = load(number)?;
        let mut rewrite = rewrite(&leaf, message, &open, eol)?;
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

/// Places that are looked at for quoted text.
const MAX_PLACES: usize = 16;

/// The leaves to edit: those of the place that holds quoted text where the text is to stand above it, else of
/// the last.
fn numbers(message: &[u8], tree: &Tree, places: &[Chosen], above: bool) -> Result<Vec<usize>, Untouched> {
    let of = |place: &Chosen| -> Vec<usize> { place.text.into_iter().chain(place.html).collect() };
    if above && places.len() > 1 {
        for place in places.iter().take(MAX_PLACES) {
            for number in of(place) {
                let part = tree.parts.get(number).ok_or(Untouched::NoText)?;
                let leaf = Leaf::load(message, part, number)?;
                let quoted =
                    if leaf.html { quote::in_html(leaf.view()) } else { quote::in_text(leaf.view()) };
                if quoted.is_some() {
                    return Ok(of(place));
                }
            }
        }
    }
    let last = places.last().map(of).unwrap_or_default();
    if last.is_empty() { Err(Untouched::NoText) } else { Ok(last) }
}

/// Whether a leaf is signed or encrypted inside its text (RFC 4880 7). Quoted PGP blocks do not count.
fn inline_pgp(leaf: &Leaf<'_>) -> Option<Untouched> {
    let view = leaf.view();
    // In HTML a `>` ends the tag before it; in text it is a quote sign.
    let begins = |what: &[u8]| {
        memchr::memmem::find_iter(view, what).any(|at| match at.checked_sub(1).and_then(|n| view.get(n)) {
            None | Some(b'\n') => true,
            Some(b'>') => leaf.html,
            Some(_) => false,
        })
    };
    if begins(b"-----BEGIN PGP MESSAGE-----") {
        Some(Untouched::Encrypted)
    } else if begins(b"-----BEGIN PGP SIGNED MESSAGE-----") {
        Some(Untouched::Signed)
    } else {
        None
    }
}

/// Marks the orders whose disclaimer a leaf has already.
fn mark_known(leaf: &Leaf<'_>, orders: &[Order<'_>], results: &mut [Result<(), Untouched>]) {
    let once = |o: &Order<'_>, r: &Result<(), Untouched>| r.is_ok() && o.replies == Replies::Once;
    if !orders.iter().zip(results.iter()).any(|(o, r)| once(o, r)) {
        return;
    }
    let words = Words::new(&leaf.seen());
    for (order, result) in orders.iter().zip(results.iter_mut()) {
        if once(order, result)
            && (leaf.html && marker::has_class(leaf.view(), &marker::class(order)) || words.hold(order))
        {
            *result = Err(Untouched::AlreadyThere);
        }
    }
}

/// The edits of one leaf for all orders.
fn rewrite(
    leaf: &Leaf<'_>,
    message: &[u8],
    orders: &[&Order<'_>],
    eol: &'static str,
) -> Result<Rewrite, Untouched> {
    let mut insertions: Vec<Insertion> = Vec::new();
    for order in orders {
        let new = place::insertion(leaf, order, eol)?;
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
