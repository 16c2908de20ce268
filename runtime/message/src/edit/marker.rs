//! Knowing a disclaimer again in a thread.
//!
//! HTML carries an invisible marker: a class name on the element around the disclaimer, which mail programs keep in
//! quoted text, some with a prefix. Plain text has no place for one that survives quoting, and invisible
//! characters look like spam: there, and in HTML that lost its classes, the words of the disclaimer are the
//! marker, compared without white space, quote signs, punctuation and case. Only quoted text counts: what an author
//! writes, or hides, in a new message is none of it.

use super::Order;
use super::render;
use edict_table::value::fold;

/// Shorter texts than this, in folded letters and digits, must fill a line to be known again.
const SHORT: usize = 24;
/// Lines of a disclaimer that are looked for one by one.
const MAX_LINES: usize = 64;

/// The class name of a disclaimer: `edict-` and its marker.
pub(super) fn class(order: &Order<'_>) -> String {
    let clean: String = order
        .marker
        .chars()
        .take(64)
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    if clean == order.marker && !clean.is_empty() {
        return format!("edict-{clean}");
    }
    // Names that differ only in what was replaced must not meet.
    let hash = fnv(order.marker.as_bytes()) as u32;
    format!("edict-{clean}-{hash:08x}")
}

/// FNV-1a: deterministic, no secret needed.
pub(super) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

/// Whether HTML bytes hold the class name, whatever its prefix and case.
pub(super) fn has_class(html: &[u8], class: &str) -> bool {
    let class = class.as_bytes();
    let mut from = 0;
    while let Some(found) = html.get(from..).and_then(|h| memchr::memchr2(b'e', b'E', h)) {
        let at = from + found;
        let after = html.get(at + class.len()).copied().unwrap_or(b' ');
        if html.get(at..at + class.len()).is_some_and(|h| h.eq_ignore_ascii_case(class))
            && !(after.is_ascii_alphanumeric() || after == b'-')
        {
            return true;
        }
        from = at + 1;
    }
    false
}

/// Folded letters and digits alone.
pub(super) fn letters(text: &str) -> String {
    fold(text).chars().filter(|c| c.is_alphanumeric()).collect()
}

/// The words of quoted text in which disclaimers are looked for.
#[derive(Default)]
pub(super) struct Words {
    all: String,
    /// Short lines, for short disclaimers, behind a line feed each.
    lines: String,
}

impl Words {
    /// Takes text as a reader sees it.
    pub(super) fn add(&mut self, text: &str) {
        for line in text.lines() {
            let line = letters(line);
            self.all.push_str(&line);
            if !line.is_empty() && line.len() < SHORT {
                self.lines.push('\n');
                self.lines.push_str(&line);
            }
        }
    }

    /// Whether the words of a disclaimer are among them: all, or so many of its lines that only what variables
    /// filled in can differ.
    pub(super) fn hold(&self, order: &Order<'_>) -> bool {
        let text = render::plain_source(order);
        let lines: Vec<String> =
            text.lines().take(MAX_LINES).map(letters).filter(|l| !l.is_empty()).collect();
        let whole = lines.concat();
        if whole.is_empty() {
            return false;
        }
        if whole.len() < SHORT {
            return self.lines.split('\n').any(|line| line == whole);
        }
        if self.has(&whole) {
            return true;
        }
        let known: usize = lines.iter().filter(|l| l.len() >= SHORT && self.has(l)).map(String::len).sum();
        known * 10 >= whole.len() * 6
    }

    fn has(&self, needle: &str) -> bool {
        memchr::memmem::find(self.all.as_bytes(), needle.as_bytes()).is_some()
    }
}
