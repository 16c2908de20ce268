//! Disclaimers that a leaf has already: in what it quotes, or where an earlier way through here put them.

use super::leaf::Leaf;
use super::marker::{self, Words};
use super::{Order, render};
use crate::html;
use crate::limits::MAX_KNOWN;
use std::ops::Range;

/// Which disclaimers the quoted text of a leaf holds.
pub(super) fn in_quotes(leaf: &Leaf<'_>, quoted: &[Range<usize>], orders: &[Order<'_>]) -> Vec<bool> {
    let view = leaf.view();
    let mut words = Words::default();
    let mut room = MAX_KNOWN;
    for range in quoted {
        let piece = view.get(range.start..range.end.min(range.start + room)).unwrap_or_default();
        room -= piece.len();
        let text = leaf.text(piece);
        if leaf.html { words.add(&html::text(&text)) } else { words.add(&text) }
    }
    let marked = |order: &Order<'_>| {
        let class = marker::class(order);
        let mut pieces = quoted.iter().filter_map(|range| view.get(range.clone()));
        leaf.html && pieces.any(|piece| marker::has_class(piece, &class))
    };
    orders.iter().map(|order| marked(order) || words.hold(order)).collect()
}

/// Marks the disclaimers that end at a place as an edit would have put them there, one after the other.
pub(super) fn mark_in_place(leaf: &Leaf<'_>, end: usize, orders: &[Order<'_>], known: &mut [bool]) {
    let room: usize =
        orders.iter().map(|o| 8 * render::plain_source(o).len() + 16 * o.html.map_or(64, str::len)).sum();
    let window = leaf.view().get(end.saturating_sub(room + 1024)..end).unwrap_or_default();
    let text = leaf.text(window);
    if leaf.html {
        let mut rest: &str = &text;
        while let Some((order, before)) =
            orders.iter().enumerate().find_map(|(n, o)| Some((n, html_end(rest, o)?)))
        {
            mark(known, order);
            rest = before;
        }
    } else {
        let mut lines: Vec<String> = text.lines().map(marker::letters).filter(|l| !l.is_empty()).collect();
        while let Some((order, kept)) =
            orders.iter().enumerate().find_map(|(n, o)| Some((n, text_end(&lines, o)?)))
        {
            mark(known, order);
            lines.truncate(kept);
        }
    }
}

fn mark(known: &mut [bool], order: usize) {
    if let Some(known) = known.get_mut(order) {
        *known = true;
    }
}

/// What stands before the element of a disclaimer at the end of HTML.
fn html_end<'a>(html: &'a str, order: &Order<'_>) -> Option<&'a str> {
    let element = render::element(order, "\n");
    let open = element.trim_start().lines().next().filter(|line| !line.is_empty())?;
    let at = html.rfind(open)?;
    let (before, found) = html.split_at_checked(at)?;
    (bare(found) == bare(&element)).then_some(before)
}

/// Without white space, and with entities read.
fn bare(html: &str) -> String {
    html::decoded(html).split_whitespace().collect()
}

/// How many lines stand before a disclaimer at the end of them.
fn text_end(lines: &[String], order: &Order<'_>) -> Option<usize> {
    let wanted = marker::letters(&render::plain_source(order));
    let mut rest: &str = &wanted;
    for (number, line) in lines.iter().enumerate().rev() {
        rest = rest.strip_suffix(line.as_str())?;
        if rest.is_empty() {
            return Some(number);
        }
    }
    None
}
