//! What the text parts of a message hold, and where disclaimers go in them.
//!
//! Each part is decoded by itself and let go, so that two large ones need no more memory than one.

use super::choose::Place;
use super::leaf::Leaf;
use super::quote::{self, Quoted};
use super::{Order, Untouched, known, place};
use crate::mime::Tree;
use edict_table::model::Replies;

/// Places that are looked at, beside the last.
const MAX_PLACES: usize = 16;
/// Leaves of a place that are looked at, beside those that can be edited.
const MAX_LEAVES: usize = 16;

/// What is asked of the parts.
#[derive(Clone, Copy)]
pub(super) struct Questions<'a> {
    /// The disclaimers.
    pub orders: &'a [Order<'a>],
    /// Which of them are still to be carried out.
    pub open: &'a [bool],
    /// The message answers another or passes it on.
    pub reply: bool,
}

impl Questions<'_> {
    fn any(&self, which: impl Fn(&Order<'_>) -> bool) -> bool {
        self.orders.iter().zip(self.open).any(|(order, open)| *open && which(order))
    }

    /// Some disclaimer goes above quoted text.
    pub(super) fn above(&self) -> bool {
        self.any(|order| order.above_quote)
    }

    /// Some disclaimer goes to the end.
    pub(super) fn at_end(&self) -> bool {
        self.any(|order| !order.above_quote)
    }
}

/// What a leaf holds.
struct Seen {
    number: usize,
    html: bool,
    /// Readers see it: HTML, or text that has no HTML beside it.
    shown: bool,
    quoted: Quoted,
    /// Which disclaimers it has.
    known: Vec<bool>,
    /// Why it cannot be edited.
    fault: Option<Fault>,
}

/// Why a leaf cannot be edited.
#[derive(Clone, Copy)]
pub(super) enum Fault {
    /// It cannot be read.
    Unread(Untouched),
    /// It is signed or encrypted inside its text.
    Protected(Untouched),
}

/// A leaf that gets a disclaimer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Spot {
    /// Its number in the tree.
    pub number: usize,
    /// Where in it, if not at the end.
    pub above: Option<usize>,
}

/// The parts of a message, place by place.
pub(super) struct Survey<'a> {
    places: &'a [Place],
    seen: Vec<Vec<Seen>>,
}

impl<'a> Survey<'a> {
    /// Looks at the parts.
    pub(super) fn new(message: &[u8], tree: &Tree, places: &'a [Place], ask: &Questions<'_>) -> Self {
        let first = places.len().saturating_sub(1).min(MAX_PLACES);
        let seen = places.iter().enumerate().map(|(number, place)| {
            if number >= first && number + 1 < places.len() {
                return Vec::new();
            }
            let chosen = |leaf: &usize| place.text == Some(*leaf) || place.html == Some(*leaf);
            let leaves = place.leaves.iter().enumerate();
            let leaves = leaves.filter(|(at, leaf)| *at < MAX_LEAVES || chosen(leaf)).map(|(_, leaf)| *leaf);
            leaves.map(|leaf| look(message, tree, leaf, place, ask)).collect()
        });
        let seen = seen.collect();
        Self { places, seen }
    }

    /// Whether a reader of the message has that disclaimer already.
    pub(super) fn knows(&self, order: usize) -> bool {
        self.seen.iter().flatten().any(|seen| seen.shown && seen.known.get(order) == Some(&true))
    }

    /// Why the leaves cannot be edited.
    pub(super) fn fault(&self, spots: &[Spot]) -> Option<Fault> {
        let of = |spot: &Spot| self.seen.iter().flatten().find(|s| s.number == spot.number);
        let faults: Vec<Fault> = spots.iter().filter_map(of).filter_map(|seen| seen.fault).collect();
        faults.iter().find(|f| matches!(f, Fault::Protected(_))).or(faults.first()).copied()
    }

    /// The end of what is read.
    pub(super) fn at_end(&self) -> Vec<Spot> {
        let last = self.places.last();
        let leaves = last.into_iter().flat_map(|place| place.text.into_iter().chain(place.html));
        leaves.map(|number| Spot { number, above: None }).collect()
    }

    /// Above the quoted text, if there is some and the author wrote nothing below it. Text and HTML of one place agree:
    /// what he wrote below the quote in one he did in the other.
    pub(super) fn above(&self) -> Option<Vec<Spot>> {
        let quoting = |place: &&(usize, &Vec<Seen>)| place.1.iter().any(|seen| seen.quoted.any());
        let at = self.seen.iter().enumerate().find(|place| quoting(&place))?.0;
        let (place, seen) = (self.places.get(at)?, self.seen.get(at)?);
        let mut spots = Vec::new();
        let mut open = false;
        for (html, usual) in [(false, place.text), (true, place.html)] {
            let kind: Vec<&Seen> = seen.iter().filter(|s| s.html == html).collect();
            let first = kind.iter().position(|s| s.quoted.above.is_some());
            let before = first.unwrap_or(kind.len());
            if kind.iter().take(before + 1).any(|s| s.quoted.below) {
                return None;
            }
            let Some(first) = first.and_then(|n| kind.get(n)) else {
                spots.extend(usual.map(|number| Spot { number, above: None }));
                continue;
            };
            open |= first.quoted.open;
            if !first.quoted.open && kind.iter().skip(before + 1).any(|s| s.quoted.own) {
                return None;
            }
            spots.push(Spot { number: first.number, above: first.quoted.above });
        }
        let later = self.seen.iter().skip(at + 1).flatten();
        let below = !open && later.filter(|s| s.shown).any(|s| s.quoted.own);
        (!below && spots.iter().any(|spot| spot.above.is_some())).then_some(spots)
    }
}

fn look(message: &[u8], tree: &Tree, number: usize, place: &Place, ask: &Questions<'_>) -> Seen {
    let html = tree.parts.get(number).is_some_and(|part| part.media() == "text/html");
    let shown = html || place.html.is_none();
    let blank = Seen { number, html, shown, quoted: Quoted::default(), known: Vec::new(), fault: None };
    let leaf = match Leaf::load(message, tree, number) {
        Ok(leaf) => leaf,
        Err(reason) => return Seen { fault: Some(Fault::Unread(reason)), ..blank },
    };
    let once = ask.any(|order| order.replies == Replies::Once);
    let mut quoted =
        if once || ask.above() { quote::find(leaf.view(), html, ask.reply) } else { Quoted::default() };
    let mut known = Vec::new();
    if once && shown {
        known = known::in_quotes(&leaf, &quoted.ranges, ask.orders);
        let ends = [quoted.above, place::end(&leaf).ok()];
        for end in ends.into_iter().flatten() {
            known::mark_in_place(&leaf, end, ask.orders, &mut known);
        }
    }
    // That there are some is enough from here on.
    quoted.ranges = quoted.ranges.first().cloned().into_iter().collect();
    Seen { quoted, known, fault: inline_pgp(&leaf).map(Fault::Protected), ..blank }
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
