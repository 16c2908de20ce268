//! Globs and regexes, and the literals without which they cannot match.
//!
//! A regex is parsed when the table is loaded and compiled when it is first needed ([`super::store`]). Regexes
//! are never joined into one automaton: the union of some forty of them takes hundreds of megabytes.

use super::glob::Glob;
use super::store::{NEST_LIMIT, Store, compile};
use crate::model::Test;
use regex_syntax::hir::{Class, Hir, HirKind};

/// The longest regex or glob, in bytes.
const LENGTH_LIMIT: usize = 8192;
/// The most alternatives of literals taken from one regex.
const ALTERNATIVES: usize = 64;

/// A glob or a regex.
#[derive(Debug)]
pub(crate) enum Matcher {
    /// From end to end.
    Glob(Glob),
    /// Somewhere.
    Regex {
        /// As written.
        pattern: String,
        /// Its place in the store.
        place: usize,
    },
}

/// Why a pattern is not taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PatternError {
    /// Longer than 8192 bytes.
    #[error("a pattern has at most 8192 bytes")]
    Long,
    /// What the regex parser says.
    #[error("{0}")]
    Syntax(String),
    /// It compiles to more than the limit.
    #[error("the regex is too large: it compiles to more than 1 MiB")]
    Size,
}

/// Whether a regex can stand in a table: parses, and compiles within bounds.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_regex(pattern: &str) -> Result<(), PatternError> {
    parse(pattern)?;
    compile(pattern).map(|_| ()).ok_or(PatternError::Size)
}

fn parse(pattern: &str) -> Result<Hir, PatternError> {
    if pattern.len() > LENGTH_LIMIT {
        return Err(PatternError::Long);
    }
    regex_syntax::ParserBuilder::new()
        .case_insensitive(true)
        .nest_limit(NEST_LIMIT)
        .build()
        .parse(pattern)
        .map_err(|e| PatternError::Syntax(e.to_string()))
}

/// The globs and regexes of a table, each with its test.
#[derive(Debug)]
pub(crate) struct Matchers {
    all: Vec<(u32, Matcher)>,
    store: Store,
}

impl Matchers {
    /// Whose regexes together may keep so many bytes compiled.
    pub(crate) fn new(all: Vec<(u32, Matcher)>, budget: usize) -> Self {
        let regexes = all.iter().filter(|(_, m)| matches!(m, Matcher::Regex { .. })).count();
        Self { all, store: Store::new(regexes, budget) }
    }

    /// Whether a text matches; none where there is no such matcher or its regex does not compile.
    pub(crate) fn matches(&self, place: u32, text: &str) -> Option<bool> {
        match &self.all.get(place as usize)?.1 {
            Matcher::Glob(glob) => Some(glob.matches(text)),
            Matcher::Regex { pattern, place } => self.store.is_match(*place, pattern, text),
        }
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Compiled regexes and their caches.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }
}

impl Matcher {
    /// Takes a pattern; a regex must parse. `place` is how many regexes the table has before it.
    pub(crate) fn regex(pattern: &str, place: usize) -> Result<Self, PatternError> {
        parse(pattern)?;
        Ok(Self::Regex { pattern: pattern.to_owned(), place })
    }

    /// Takes a pattern.
    pub(crate) fn glob(pattern: &str) -> Result<Self, PatternError> {
        if pattern.len() > LENGTH_LIMIT {
            return Err(PatternError::Long);
        }
        Ok(Self::Glob(Glob::new(pattern)))
    }
}

/// Literals of which a folded text holds at least one if the glob or regex matches it. None where nothing of use is
/// known, and for tests of other kinds.
#[must_use]
pub fn required(test: &Test) -> Option<Vec<String>> {
    match test {
        Test::Glob(pattern) => Glob::new(pattern).literal().map(|literal| vec![literal]),
        Test::Regex(pattern) => {
            let mut all = required_of(&parse(pattern).ok()?)?;
            all.sort_unstable();
            all.dedup();
            Some(all)
        }
        _ => None,
    }
}

fn required_of(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Literal(_) | HirKind::Class(_) => {
            let mut run = String::new();
            plain(hir, &mut run).then_some(vec![run])
        }
        HirKind::Capture(capture) => required_of(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => required_of(&repetition.sub),
        HirKind::Concat(parts) => of_sequence(parts),
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(required_of(part)?);
                if all.len() > ALTERNATIVES {
                    return None;
                }
            }
            Some(all)
        }
        _ => None,
    }
    .filter(|all| all.iter().all(|literal| literal.len() > 1))
}

/// The best of what each part of a sequence requires; plain parts side by side are one literal.
fn of_sequence(parts: &[Hir]) -> Option<Vec<String>> {
    let mut best: Option<Vec<String>> = None;
    let mut offer = |all: Vec<String>| {
        let worth = |all: &[String]| {
            (all.iter().map(String::len).min().unwrap_or(0).min(8), std::cmp::Reverse(all.len()))
        };
        if best.as_ref().is_none_or(|b| worth(&all) > worth(b)) {
            best = Some(all);
        }
    };
    let mut run = String::new();
    for part in parts {
        if plain(part, &mut run) {
            continue;
        }
        if !run.is_empty() {
            offer(vec![std::mem::take(&mut run)]);
        }
        if let Some(all) = required_of(part) {
            offer(all);
        }
    }
    if !run.is_empty() {
        offer(vec![run]);
    }
    best
}

/// Adds what a part must be in folded text, where that is one text: a literal, or a class in which a
/// single character is its own folded form (`[Kk\u{212a}]`).
fn plain(hir: &Hir, run: &mut String) -> bool {
    match hir.kind() {
        HirKind::Literal(literal) => match std::str::from_utf8(&literal.0) {
            Ok(text) => {
                run.push_str(text);
                true
            }
            Err(_) => false,
        },
        HirKind::Class(Class::Unicode(class)) => {
            let mut only = None;
            for range in class.iter() {
                if u32::from(range.end()) - u32::from(range.start()) > 4 {
                    return false;
                }
                for c in range.start()..=range.end() {
                    let mut buffer = [0; 4];
                    if crate::value::fold(c.encode_utf8(&mut buffer)) == *buffer_text(c, &mut [0; 4]) {
                        if only.is_some() {
                            return false;
                        }
                        only = Some(c);
                    }
                }
            }
            match only {
                Some(c) => {
                    run.push(c);
                    true
                }
                None => false,
            }
        }
        _ => false,
    }
}

fn buffer_text(c: char, buffer: &mut [u8; 4]) -> &str {
    c.encode_utf8(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pattern: &str) -> Option<Vec<String>> {
        required(&Test::Regex(pattern.to_owned()))
    }

    #[test]
    fn required_literals() {
        let want = |all: &[&str]| Some(all.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        assert_eq!(of("invoice"), want(&["invoice"]));
        assert_eq!(of("Invoice [0-9]+ due"), want(&["invoice "]));
        assert_eq!(of("(win|lose) [0-9]"), want(&["lose", "win"]));
        assert_eq!(of("(abc)+"), want(&["abc"]));
        assert_eq!(of("(abc)?"), None);
        assert_eq!(of("^[0-9]+$"), None);
        assert_eq!(of("a|b"), None);
        assert_eq!(of("Kelvin"), want(&["kelvin"]));
        assert_eq!(of("stra[sß]e"), want(&["stra"]));
    }

    #[test]
    fn matching_is_case_folded() {
        let m = Matchers::new(vec![(0, Matcher::regex("In.oice", 0).unwrap())], 1 << 20);
        assert_eq!(m.matches(0, "my invoice"), Some(true));
        assert_eq!(m.matches(0, "voice"), Some(false));
        assert_eq!(m.matches(1, "voice"), None);
        assert!(matches!(check_regex("("), Err(PatternError::Syntax(_))));
        assert_eq!(check_regex(r"(\w{100}){100}"), Err(PatternError::Size));
        assert_eq!(check_regex(r"a+b"), Ok(()));
    }
}
