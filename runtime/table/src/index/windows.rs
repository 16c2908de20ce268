//! A summary of the literals of a text fact: where in a text one of them can stand at all.
//!
//! Each literal stands for one window of its bytes, the one that is rarest in mail. Where none of these windows is, no literal is; and
//! telling so takes a look into a filter at each place of the text, none of which has to wait for the one before, as the states of an
//! automaton do. The automaton then runs over the stretches around what was found, and over all the rest where that is not little.
//! So a text costs less than one pass of the automaton, and never much more.

use super::filter::Filter;
use std::ops::Range;

/// Literals longer than this have no summary: the stretches would be as long as texts are.
const LONGEST: usize = 128;
/// The window is sought so far into a literal.
const BEGINNING: usize = 32;
/// The filter gets room for so many times the windows, so that false alarms are fewer than one in a thousand places ...
const ROOM: usize = 8;
/// ... up to this many, a megabyte.
const MOST: usize = 1 << 19;
/// What a run of the automaton costs to begin, in bytes of text.
const START: usize = 32;
/// So many bytes are always run over before the rest is.
const FREE: usize = 256;

/// The summary.
#[derive(Debug)]
pub(crate) struct Windows {
    filter: Filter,
    /// Bytes of a window: 3 or 4.
    width: usize,
    /// How far before its window a literal begins at most.
    before: usize,
    /// How far behind the beginning of its window it ends at most.
    behind: usize,
}

/// The stretches to run over, one after the other.
pub(crate) struct Stretches<'w, 't> {
    windows: &'w Windows,
    text: &'t [u8],
    /// Up to here no literal begins that was not run over.
    at: usize,
    spent: usize,
}

impl Windows {
    /// None where literals are too short or too long to gain anything.
    pub(crate) fn new(literals: &[String]) -> Option<Self> {
        let width = literals.iter().map(String::len).min()?.min(4);
        if width < 3 || literals.iter().any(|literal| literal.len() > LONGEST) {
            return None;
        }
        let mut windows = Self {
            filter: Filter::new(literals.len().saturating_mul(ROOM).min(MOST)),
            width,
            before: 0,
            behind: 0,
        };
        for literal in literals {
            let bytes = literal.as_bytes();
            let all = bytes.windows(width).take(BEGINNING).enumerate();
            let (at, window) = all.min_by_key(|(_, window)| commonness(window))?;
            windows.filter.add(hash(window));
            windows.before = windows.before.max(at);
            windows.behind = windows.behind.max(bytes.len() - at);
        }
        Some(windows)
    }

    /// Where to run over a text.
    pub(crate) fn stretches<'w, 't>(&'w self, text: &'t str) -> Stretches<'w, 't> {
        Stretches { windows: self, text: text.as_bytes(), at: 0, spent: 0 }
    }

    /// The first place from here on with a window of a literal.
    fn next(&self, text: &[u8], from: usize, to: usize) -> Option<usize> {
        let text = text.get(from..to)?;
        let found = match self.width {
            4 => text.windows(4).position(|window| self.filter.may_hold(hash(window))),
            _ => text.windows(3).position(|window| self.filter.may_hold(hash(window))),
        };
        found.map(|at| from + at)
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.filter.bytes()
    }
}

impl Iterator for Stretches<'_, '_> {
    type Item = Range<usize>;

    #[inline]
    fn next(&mut self) -> Option<Range<usize>> {
        let (windows, text) = (self.windows, self.text);
        let Some(first) = windows.next(text, self.at, text.len()) else {
            self.at = text.len();
            return None;
        };
        let start = first.saturating_sub(windows.before);
        let mut last = first;
        // As long as further windows stand where this stretch would end, it goes on.
        let mut end = (first + windows.behind).min(text.len());
        while let Some(more) = windows.next(text, last + 1, (end + windows.width - 1).min(text.len())) {
            last = more;
            end = (more + windows.behind).min(text.len());
            if end - start > self.budget(last) {
                break;
            }
        }
        self.spent += end - start + START;
        if self.spent > self.budget(last) {
            end = text.len();
        }
        self.at = end;
        Some(start..end)
    }
}

impl Stretches<'_, '_> {
    /// What may be spent on stretches up to a place.
    fn budget(&self, at: usize) -> usize {
        FREE + at / 4
    }
}

#[inline(always)]
fn hash(window: &[u8]) -> u64 {
    let number = match *window {
        [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
        [a, b, c] => u32::from_le_bytes([a, b, c, 0]),
        _ => 0,
    };
    let product = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // The filter takes words by the upper bits and bits by the lower ones, which need mixing.
    product ^ product >> 32
}

/// How common a window is in mail, roughly.
fn commonness(window: &[u8]) -> u32 {
    const COMMON: &[u8] = b" etaoinshrdlcumwfgypbvk";
    let one = |byte: &u8| COMMON.iter().position(|common| common == byte).map_or(1, |at| 32 - at as u32);
    window.iter().map(one).sum()
}
