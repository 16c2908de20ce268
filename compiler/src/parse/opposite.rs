//! Words that look alike and say the opposite: `known` is two letters from `unknown`, `!in` one sign from `in`, `no`
//! one letter from `on`. No edit may be offered there that a machine applies, for the rule would then check clean and
//! do the reverse. So an edit must be certain, and a hint in words is left where it is not.

use super::words::{distance, folded, habit};
use crate::diag::Diagnostic;
use crate::span::Span;

/// What turns or exchanges the meaning of the word behind it, longest first.
const PREFIXES: &[&str] = &[
    "without", "under", "never", "below", "above", "every", "with", "dont", "over", "anti", "well", "post",
    "some", "not", "non", "out", "dis", "mis", "mal", "min", "max", "pre", "any", "off", "no", "un", "in",
    "im", "ir", "il", "ex", "de", "on", "",
];
/// The same of the word before it.
const SUFFIXES: &[&str] = &["never", "less", "n't", "not", "off", "nt", "no", "on", "n", ""];
/// Parts that turn a name of several: `auth-with-tls`.
const PARTS: &[&str] =
    &["without", "never", "dont", "less", "none", "not", "non", "off", "no", "un", "isnt", "aint"];
/// Words that answer by themselves: never a slip of another word, whatever is near.
const ANSWERS: &[&str] = &[
    "yes", "no", "on", "off", "true", "false", "not", "none", "never", "always", "nothing", "enabled",
    "disabled",
];
const BETWEEN: [char; 3] = ['.', '-', '_'];
/// Shorter words are a letter from too many others.
const SHORTEST: usize = 4;

/// Edits of words that cannot be read.
pub trait Likely {
    /// Adds the edit that writes a word nearest to the one that stands there, as `text`: not where the two may say
    /// the opposite, for nobody reads what a machine applies.
    #[must_use]
    fn nearest(self, written: &str, meant: &str, span: Span, text: &str) -> Self;
}

impl Likely for Diagnostic {
    fn nearest(self, written: &str, meant: &str, span: Span, text: &str) -> Self {
        if habit(written, meant) || certain(written, meant) {
            return self.fix(format!("write `{text}`"), span, text);
        }
        if !reverses(written, meant) {
            return self;
        }
        let caution = format!("`{meant}` is the nearest there is, but may say the opposite of `{written}`");
        if self.label.starts_with("did you mean") { self.label(caution) } else { self.help(caution) }
    }
}

/// Whether a word is surely a slip of the other, so that a machine may write the one for the other.
#[must_use]
pub fn certain(written: &str, meant: &str) -> bool {
    let letters = |word: &str| word.chars().filter(|c| c.is_alphanumeric()).count();
    let others = |word: &str| {
        let kept =
            |c: &char| c.is_numeric() || !(c.is_alphanumeric() || BETWEEN.contains(c) || ":/".contains(*c));
        let mut out: Vec<char> = word.chars().filter(kept).collect();
        out.sort_unstable();
        out
    };
    written.eq_ignore_ascii_case(meant)
        || (letters(written).min(letters(meant)) >= SHORTEST
            && others(written) == others(meant)
            && !answers(written)
            && !other_name(written, meant)
            && !another(written, meant)
            && !reverses(written, meant)
            && !joined(written, meant))
}

/// Whether a word is another one and a word that joins, without the space between: `orwhen`.
fn joined(written: &str, meant: &str) -> bool {
    let rest = written.strip_suffix(meant).or_else(|| written.strip_prefix(meant));
    rest.is_some_and(|rest| matches!(rest, "or" | "and" | "nor" | "but" | "if" | "else"))
}

/// Whether a letter in the place of another makes a word of four another word, as `more` beside `mode`.
fn another(written: &str, meant: &str) -> bool {
    let (written, meant) = (folded(written), folded(meant));
    let sorted = |word: &[char]| {
        let mut word = word.to_vec();
        word.sort_unstable();
        word
    };
    written.len() == SHORTEST && meant.len() == SHORTEST && sorted(&written) != sorted(&meant)
}

/// Whether a part of it makes it another name, as `sales-eu` beside `sales-us`, and no slip.
fn other_name(written: &str, meant: &str) -> bool {
    let parts =
        |word: &str| word.to_lowercase().split([' ', '.', '-', '_']).map(str::to_owned).collect::<Vec<_>>();
    let (ours, theirs) = (parts(written), parts(meant));
    if ours.len() != theirs.len() {
        return ours.concat() != theirs.concat();
    }
    ours.len() > 1
        && ours
            .iter()
            .zip(&theirs)
            .any(|(a, b)| a != b && a.chars().count().min(b.chars().count()) < SHORTEST)
}

/// Whether a word is a whole answer.
#[must_use]
pub fn answers(word: &str) -> bool {
    ANSWERS.iter().any(|answer| word.eq_ignore_ascii_case(answer))
}

/// Whether the word meant may be the reverse of the word written: without a sign or a prefix of one of them, or with
/// another one, they are as near as they stand.
#[must_use]
pub fn reverses(written: &str, meant: &str) -> bool {
    if sign(written) != sign(meant) || turned(written, meant) || ended(written, meant) {
        return true;
    }
    let parts = |word: &str| word.to_lowercase().split(BETWEEN).map(str::to_owned).collect::<Vec<_>>();
    let (ours, theirs) = (parts(written), parts(meant));
    let turns = |parts: &[String]| parts.iter().filter(|part| PARTS.contains(&part.as_str())).count();
    turns(&ours) != turns(&theirs)
        || (ours.len() == theirs.len()
            && ours.len() > 1
            && ours.iter().zip(&theirs).any(|(a, b)| turned(a, b) || ended(a, b)))
}

/// The signs before a word that say no, in this language or another: `!trusted`, `-trusted`.
fn sign(word: &str) -> Vec<char> {
    word.chars().take_while(|c| !c.is_alphanumeric()).filter(|c| "!-~^¬".contains(*c)).collect()
}

fn turned(written: &str, meant: &str) -> bool {
    if written.eq_ignore_ascii_case(meant) {
        return false;
    }
    let (written, meant) = (folded(written), folded(meant));
    // `nin` for `in`, `ever` for `never`.
    if written.strip_prefix(&['n']) == Some(&meant) || meant.strip_prefix(&['n']) == Some(&written) {
        return true;
    }
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

/// Whether an ending of one of them is what parts the two: `trusted-not`, `unlessnot`.
fn ended(written: &str, meant: &str) -> bool {
    let (written, meant) = (folded(written), folded(meant));
    let whole = distance(&written, &meant);
    SUFFIXES.iter().any(|mine| {
        let Some(rest) = before(&written, mine) else { return false };
        SUFFIXES.iter().filter(|other| *other != mine).any(|other| {
            before(&meant, other).is_some_and(|stem| {
                let apart = distance(rest, stem);
                apart <= rest.len().max(stem.len()) / 3 && apart < whole
            })
        })
    })
}

/// The word behind a prefix, if enough is left to be one.
fn without<'a>(word: &'a [char], prefix: &str) -> Option<&'a [char]> {
    let prefix: Vec<char> = prefix.chars().collect();
    let rest = match word.strip_prefix(prefix.as_slice())? {
        [first, behind @ ..] if BETWEEN.contains(first) => behind,
        rest => rest,
    };
    (rest.len() >= STEM).then_some(rest)
}

/// The word before a suffix.
fn before<'a>(word: &'a [char], suffix: &str) -> Option<&'a [char]> {
    let suffix: Vec<char> = suffix.chars().collect();
    let rest = match word.strip_suffix(suffix.as_slice())? {
        [ahead @ .., last] if BETWEEN.contains(last) => ahead,
        rest => rest,
    };
    (rest.len() >= STEM).then_some(rest)
}

/// The shortest that a prefix or suffix leaves of a word.
const STEM: usize = 3;

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
            ("!in", "in"),
            ("-submitted", "submitted"),
            ("^trusted", "trusted"),
            ("~inbound", "inbound"),
            ("nin", "in"),
            ("noff", "off"),
            ("ever", "never"),
            ("unlessnot", "unless"),
            ("trusted-not", "trusted"),
            ("trustednt", "trusted"),
            ("be-nothing", "be-anything"),
            ("auth-with-tls", "auth-without-tls"),
            ("auth-not-for-trusted", "auth-for-trusted"),
        ] {
            assert!(reverses(written, meant), "{written} for {meant}");
            assert!(!certain(written, meant), "{written} for {meant}");
        }
        for (written, meant) in [
            ("unkown", "unknown"),
            ("uknown", "unknown"),
            ("unresolveable", "unresolvable"),
            ("submited", "submitted"),
            ("trustd", "trusted"),
            ("inbond", "inbound"),
            ("nternal", "internal"),
            ("hostnme", "hostname"),
            ("max_hops", "max-hops"),
            ("maxhops", "max-hops"),
            ("Banner", "banner"),
            ("ON", "on"),
            ("uneless", "unless"),
            ("discrad", "discard"),
            ("imprt", "import"),
            ("Europe/Belrin", "Europe/Berlin"),
        ] {
            assert!(!reverses(written, meant), "{written} for {meant}");
            assert!(certain(written, meant), "{written} for {meant}");
        }
        // Perhaps slips, but too short, or signs and digits that no slip of the finger makes.
        for (written, meant) in [
            ("no", "on"),
            ("not", "note"),
            ("not", "no"),
            ("god", "good"),
            ("nte", "note"),
            ("good-3", "good-1"),
            ("hub-c", "hub-a"),
            ("sales-eu", "sales-us"),
            ("sales", "sales-us"),
            ("more", "mode"),
            ("bulk x", "bulk y"),
            ("reject!", "reject"),
            ("@staff", "staff"),
        ] {
            assert!(!certain(written, meant), "{written} for {meant}");
        }
    }
}
