//! Words that look alike and say the opposite: `known` is two letters from `unknown`. No edit may be offered
//! there that a machine applies, for the rule would then check clean and do the reverse.

use super::words::{distance, folded};
use crate::diag::Diagnostic;
use crate::span::Span;

/// What turns or exchanges the meaning of the word behind it, longest first.
const PREFIXES: &[&str] = &[
    "without", "with", "dont", "never", "anti", "well", "post", "not", "non", "out", "dis", "mis", "mal",
    "min", "max", "pre", "no", "un", "in", "im", "ir", "il", "ex", "de", "",
];
const BETWEEN: [char; 3] = ['.', '-', '_'];

/// Edits of words that cannot be read.
pub trait Likely {
    /// Adds the edit that writes a word nearest to the one that stands there, as `text`: not where the two may say
    /// the opposite, for nobody reads what a machine applies.
    #[must_use]
    fn nearest(self, written: &str, meant: &str, span: Span, text: &str) -> Self;
}

impl Likely for Diagnostic {
    fn nearest(self, written: &str, meant: &str, span: Span, text: &str) -> Self {
        if !reverses(written, meant) {
            return self.fix(format!("write `{text}`"), span, text);
        }
        let caution = format!("`{meant}` is the nearest there is, but may say the opposite of `{written}`");
        if self.label.starts_with("did you mean") { self.label(caution) } else { self.help(caution) }
    }
}

/// Whether the word meant may be the reverse of the word written: without a prefix of one of them, or with another
/// one, they are as near as they stand.
#[must_use]
pub fn reverses(written: &str, meant: &str) -> bool {
    if turned(written, meant) {
        return true;
    }
    let parts = |word: &str| word.split(BETWEEN).map(str::to_owned).collect::<Vec<_>>();
    let (ours, theirs) = (parts(written), parts(meant));
    ours.len() == theirs.len() && ours.len() > 1 && ours.iter().zip(&theirs).any(|(a, b)| turned(a, b))
}

fn turned(written: &str, meant: &str) -> bool {
    if written.eq_ignore_ascii_case(meant) {
        return false;
    }
    let (written, meant) = (folded(written), folded(meant));
    let whole = distance(&written, &meant);
    PREFIXES.iter().any(|mine| {
        let Some(rest) = without(&written, mine) else { return false };
        PREFIXES.iter().filter(|other| *other != mine).any(|other| {
            let Some(stem) = without(&meant, other) else { return false };
            // `uknown` for `unknown`: the prefix stands there but for a letter.
            let begun =
                mine.is_empty() && other.chars().any(|c| written.iter().take(other.len()).any(|w| *w == c));
            let apart = distance(rest, stem);
            let near = apart <= rest.len().max(stem.len()) / 3;
            near && (apart < whole || (apart == whole && !begun))
        })
    })
}

/// The word behind a prefix, if enough is left to be one.
fn without<'a>(word: &'a [char], prefix: &str) -> Option<&'a [char]> {
    const SHORTEST: usize = 3;
    let begins = word.iter().zip(prefix.chars()).filter(|(a, b)| **a == *b).count() == prefix.len();
    let rest = word.get(prefix.len()..).filter(|_| begins)?;
    let rest = match rest {
        [first, behind @ ..] if BETWEEN.contains(first) => behind,
        _ => rest,
    };
    (rest.len() >= SHORTEST).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opposites_and_slips() {
        for (written, meant) in [
            ("known", "unknown"),
            ("knwon", "unknown"),
            ("resolvable", "unresolvable"),
            ("qualified", "unqualified"),
            ("isqualified", "unqualified"),
            ("wellformed", "malformed"),
            ("unsubmitted", "submitted"),
            ("unsubmited", "submitted"),
            ("notsubmitted", "submitted"),
            ("untrusted", "trusted"),
            ("client.notls", "client.tls"),
            ("non-good", "good"),
            ("not-auto-submitted", "auto-submitted"),
            ("external", "internal"),
            ("max-size", "min-size"),
        ] {
            assert!(reverses(written, meant), "{written} for {meant}");
        }
        for (written, meant) in [
            ("unkown", "unknown"),
            ("uknown", "unknown"),
            ("unresolveable", "unresolvable"),
            ("submited", "submitted"),
            ("trustd", "trusted"),
            ("inbond", "inbound"),
            ("nternal", "internal"),
            ("god", "good"),
            ("hostnme", "hostname"),
            ("max_hops", "max-hops"),
            ("Banner", "banner"),
            ("uneless", "unless"),
            ("discrad", "discard"),
            ("nte", "note"),
            ("imprt", "import"),
        ] {
            assert!(!reverses(written, meant), "{written} for {meant}");
        }
    }
}
