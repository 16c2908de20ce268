//! Quoted text in text/plain.

use super::labels::{self, Block};
use super::{Quoted, is_attribution, opens};
use crate::header::line_at;
use std::ops::Range;

/// Lines that are looked at. Nobody writes that much above a quote.
const MAX_LINES: usize = 20_000;
/// Lines of an attribution.
const WRAPPED: usize = 4;
/// A line that is shorter, together with the word that follows, was not wrapped by a program.
const WIDTH: usize = 56;

struct Lines<'a> {
    text: &'a [u8],
    places: Vec<Range<usize>>,
}

impl<'a> Lines<'a> {
    fn get(&self, n: usize) -> &'a [u8] {
        self.places.get(n).and_then(|l| self.text.get(l.clone())).unwrap_or_default()
    }

    fn from(&self, n: usize) -> impl Iterator<Item = &'a [u8]> {
        (n..self.places.len()).map(|m| self.get(m))
    }

    fn is_blank(&self, n: usize) -> bool {
        self.get(n).trim_ascii().is_empty()
    }
}

/// Looks for quoted text.
pub(super) fn find(text: &[u8], reply: bool) -> Quoted {
    let mut lines = Lines { text, places: Vec::new() };
    let mut at = 0;
    while let Some((end, next)) = line_at(text, at) {
        lines.places.push(at..end);
        at = next;
        if lines.places.len() > MAX_LINES {
            break;
        }
    }
    let mut out = Quoted::default();
    // The first line of the quote that a text can stand above.
    let mut first = None;
    let mut signature = false;
    for n in 0..lines.places.len() {
        let this = lines.get(n).trim_ascii();
        if this.is_empty() {
            continue;
        }
        if this.first() == Some(&b'>') {
            let place = lines.places.get(n).cloned().unwrap_or_default();
            match out.ranges.last_mut() {
                Some(last) if lines.text.get(last.end..place.start).is_some_and(is_line_end) => {
                    last.end = place.end;
                }
                _ => out.ranges.push(place),
            }
            if first.is_none() {
                // Apple Mail quotes the attribution itself.
                let named = attribution(&lines, n);
                let inside = this.get(1..).is_some_and(is_attribution);
                first = named.or((reply || inside).then_some(n));
            }
            signature = false;
        } else if begins_quote(&lines, n, reply) {
            let start = lines.places.get(n).map_or(text.len(), |l| l.start);
            out.ranges.push(start..text.len());
            out.open = true;
            first = first.or(Some(n));
            break;
        } else if lines.get(n).trim_ascii_start() == b"-- " {
            signature = true;
        } else if !signature {
            out.below |= first.is_some();
        }
    }
    // What the author wrote: neither quoted, nor the line that names whom he quotes, nor a signature.
    let begin = first.unwrap_or(lines.places.len());
    let own = (0..begin).take_while(|n| lines.get(*n) != b"-- ");
    out.own = out.below || own.into_iter().any(|n| !lines.is_blank(n) && lines.get(n).first() != Some(&b'>'));
    if let Some(n) = first.filter(|_| !out.below) {
        let above = (0..n).any(|m| !lines.is_blank(m));
        out.above = above.then(|| lines.places.get(n).map(|l| l.start)).flatten();
    }
    out
}

fn is_line_end(bytes: &[u8]) -> bool {
    matches!(bytes, b"\n" | b"\r\n")
}

/// Whether a quote without signs begins with this line.
fn begins_quote(lines: &Lines<'_>, n: usize, reply: bool) -> bool {
    let this = lines.get(n).trim_ascii();
    labels::begin_quote(this, reply, || Block::read(lines.from(n)), || Block::read(lines.from(n + 1)))
}

/// The first line of `On … wrote:` above the quoted line `n`. It may be wrapped, and other text may stand right above it.
fn attribution(lines: &Lines<'_>, n: usize) -> Option<usize> {
    let mut last = n.checked_sub(1)?;
    if lines.is_blank(last) {
        last = last.checked_sub(1)?;
    }
    let quoted = |n: usize| lines.get(n).trim_ascii_start().first() == Some(&b'>');
    if quoted(last) {
        return None;
    }
    let mut first = last;
    while !opens(lines.get(first)) && last - first + 1 < WRAPPED {
        let Some(up) = first.checked_sub(1) else { break };
        let above = lines.get(up).trim_ascii_end();
        let word = lines.get(first).trim_ascii_start().split(|b| *b == b' ').next().unwrap_or_default();
        let ended = matches!(above.last(), None | Some(b'.' | b'!' | b'?' | b':'));
        if ended || quoted(up) || above.len() + 1 + word.len() < WIDTH {
            break;
        }
        first = up;
    }
    let whole = lines.text.get(lines.places.get(first)?.start..lines.places.get(last)?.end)?;
    is_attribution(whole).then_some(first)
}
