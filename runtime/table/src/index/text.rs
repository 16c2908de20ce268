//! All literals of one text fact in one Aho-Corasick automaton.
//!
//! Literals of contains, starts with and ends with, and those that globs and regexes require. Built when
//! a table is loaded; a DFA up to [`DFA_PATTERNS`], a contiguous NFA above, where a DFA would take too
//! much memory.

use super::windows::Windows;
use aho_corasick::automaton::{Automaton, OverlappingState};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Input, MatchKind, dfa::DFA, packed};
use memchr::memmem;
use std::collections::HashMap;
use std::ops::Range;

/// The most literals (and 64 times as many bytes) of which a DFA is made.
const DFA_PATTERNS: usize = 1000;
/// The most literals that are sought at once before an automaton runs, and the longest text that is done for: made up
/// for it, a text can be full of what looks like them, and an automaton does not care.
const FEW: usize = 32;
const BRIEF: usize = 1024;

/// What a literal is there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// The test holds wherever it stands.
    Contains,
    /// The test holds if it stands at the start.
    Starts,
    /// The test holds if it stands at the end.
    Ends,
    /// The matcher of this place is to be asked.
    Ask(u32),
}

/// A literal's use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Use {
    /// The test.
    pub(crate) predicate: u32,
    /// What for.
    pub(crate) role: Role,
}

/// Collects literals.
#[derive(Default)]
pub(crate) struct Builder {
    patterns: Vec<String>,
    known: HashMap<String, u32>,
    uses: Vec<(u32, Use)>,
    always: Vec<Use>,
}

impl Builder {
    /// Adds a literal for a test. The empty one is in every text.
    pub(crate) fn add(&mut self, literal: &str, one: Use) {
        if literal.is_empty() {
            self.always.push(one);
            return;
        }
        let next = u32::try_from(self.patterns.len()).unwrap_or(u32::MAX);
        let id = *self.known.entry(literal.to_owned()).or_insert_with(|| {
            self.patterns.push(literal.to_owned());
            next
        });
        self.uses.push((id, one));
    }

    /// Adds a matcher without a literal: it is asked about every text.
    pub(crate) fn always(&mut self, one: Use) {
        self.always.push(one);
    }

    /// Builds the automaton. None where it is too large for the library.
    pub(crate) fn build(mut self) -> Option<TextIndex> {
        self.uses.sort_by_key(|u| u.0);
        let mut ends = Vec::with_capacity(self.patterns.len());
        let mut at = 0;
        for id in 0..u32::try_from(self.patterns.len()).ok()? {
            at += self.uses.get(at..).unwrap_or_default().partition_point(|u| u.0 <= id);
            ends.push(u32::try_from(at).ok()?);
        }
        let bytes: usize = self.patterns.iter().map(String::len).sum();
        let dfa = self.patterns.len() <= DFA_PATTERNS && bytes <= 64 * DFA_PATTERNS;
        let kind = MatchKind::Standard;
        let engine = if self.patterns.is_empty() {
            Engine::Nothing
        } else if dfa {
            Engine::Dfa(DFA::builder().match_kind(kind).build(&self.patterns).ok()?)
        } else {
            Engine::Nfa(NFA::builder().match_kind(kind).build(&self.patterns).ok()?)
        };
        let quick = Quick::new(&self.patterns);
        // Of a few literals the library itself knows a byte that must be there, and seeks that faster.
        let windows = if engine.seeks() { None } else { Windows::new(&self.patterns) };
        let uses = self.uses.into_iter().map(|u| u.1).collect();
        Some(TextIndex { engine, quick, windows, ends, uses, always: self.always })
    }
}

/// The automaton, of its own type: a call through the library's common one costs a short text more than its bytes.
#[derive(Debug)]
enum Engine {
    Nothing,
    Dfa(DFA),
    Nfa(NFA),
}

impl Engine {
    /// Whether it skips over most of a text by itself.
    fn seeks(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Dfa(dfa) => dfa.prefilter().is_some(),
            Self::Nfa(nfa) => nfa.prefilter().is_some(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Dfa(dfa) => dfa.memory_usage(),
            Self::Nfa(nfa) => nfa.memory_usage(),
        }
    }
}

/// A search for the first literal. Nearly always there is none, and an automaton need not begin.
#[derive(Debug)]
enum Quick {
    None,
    One(memmem::Finder<'static>),
    Few(packed::Searcher),
}

impl Quick {
    fn new(literals: &[String]) -> Self {
        match literals {
            [one] => Self::One(memmem::Finder::new(one).into_owned()),
            few if few.len() <= FEW => {
                let found = packed::Config::new().builder().extend(few).build();
                found.map_or(Self::None, Self::Few)
            }
            _ => Self::None,
        }
    }
}

/// The index of one text fact.
#[derive(Debug)]
pub(crate) struct TextIndex {
    engine: Engine,
    quick: Quick,
    /// Where to run it.
    windows: Option<Windows>,
    /// For each pattern, where its uses end.
    ends: Vec<u32>,
    uses: Vec<Use>,
    always: Vec<Use>,
}

impl TextIndex {
    /// Calls `hit` for each use of each literal that stands in the text, where it must stand for that
    /// use. A use may come more than once.
    pub(crate) fn scan(&self, text: &str, mut hit: impl FnMut(&Use)) {
        for one in &self.always {
            hit(one);
        }
        match &self.engine {
            Engine::Nothing => {}
            Engine::Dfa(dfa) => self.run(dfa, text, &mut hit),
            Engine::Nfa(nfa) => self.run(nfa, text, &mut hit),
        }
    }

    /// The automaton over what may hold a literal.
    #[inline(always)]
    fn run(&self, automaton: &impl Automaton, text: &str, hit: &mut impl FnMut(&Use)) {
        let first = match &self.quick {
            Quick::One(literal) => literal.find(text.as_bytes()),
            Quick::Few(literals) if text.len() <= BRIEF => literals.find(text).map(|found| found.start()),
            _ => return self.run_over(automaton, text, hit),
        };
        if let Some(first) = first {
            self.stretch(automaton, text, first..text.len(), hit);
        }
    }

    /// The same without a look for the first one.
    #[inline(always)]
    fn run_over(&self, automaton: &impl Automaton, text: &str, hit: &mut impl FnMut(&Use)) {
        match &self.windows {
            Some(windows) => {
                for stretch in windows.stretches(text) {
                    self.stretch(automaton, text, stretch, hit);
                }
            }
            None => self.stretch(automaton, text, 0..text.len(), hit),
        }
    }

    /// The automaton over a stretch of a text.
    fn stretch(
        &self,
        automaton: &impl Automaton,
        text: &str,
        over: Range<usize>,
        hit: &mut impl FnMut(&Use),
    ) {
        let mut state = OverlappingState::start();
        let input = Input::new(text).range(over);
        loop {
            if automaton.try_find_overlapping(&input, &mut state).is_err() {
                return;
            }
            let Some(found) = state.get_match() else { return };
            let pattern = found.pattern().as_usize();
            let end = self.ends.get(pattern).map_or(0, |e| *e as usize);
            let start = pattern.checked_sub(1).and_then(|p| self.ends.get(p)).map_or(0, |e| *e as usize);
            for one in self.uses.get(start..end).unwrap_or_default() {
                let stands = match one.role {
                    Role::Starts => found.start() == 0,
                    Role::Ends => found.end() == text.len(),
                    Role::Contains | Role::Ask(_) => true,
                };
                if stands {
                    hit(one);
                }
            }
        }
    }

    /// Bytes of memory, and how many literals.
    pub(crate) fn size(&self) -> (usize, usize) {
        let windows = self.windows.as_ref().map_or(0, Windows::bytes);
        (
            self.engine.bytes() + windows + self.uses.len() * size_of::<Use>() + self.ends.len() * 4,
            self.ends.len(),
        )
    }

    /// Tests whose pattern is asked about every text.
    pub(crate) fn unfiltered(&self) -> impl Iterator<Item = u32> {
        self.always.iter().filter(|one| matches!(one.role, Role::Ask(_))).map(|one| one.predicate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn index(literals: &[String]) -> TextIndex {
        let mut builder = Builder::default();
        for (literal, place) in literals.iter().zip(0..) {
            let role = [Role::Contains, Role::Starts, Role::Ends][place as usize % 3];
            builder.add(literal, Use { predicate: place, role });
        }
        builder.build().unwrap()
    }

    fn found(index: &TextIndex, text: &str) -> Vec<u32> {
        let mut out = Vec::new();
        index.scan(text, |one| out.push(one.predicate));
        out.sort_unstable();
        out.dedup();
        out
    }

    fn stand(literals: &[String], text: &str) -> Vec<u32> {
        let stands = |(literal, place): &(&String, u32)| match place % 3 {
            0 => text.contains(literal.as_str()),
            1 => text.starts_with(literal.as_str()),
            _ => text.ends_with(literal.as_str()),
        };
        literals.iter().zip(0..).filter(stands).map(|(_, place)| place).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever is found by stretches is what stands in the text: with few letters, so that literals share windows and
        /// stand in each other, and with texts of every length around that of a stretch.
        #[test]
        fn what_stands_in_a_text_is_found(
            literals in proptest::collection::vec("[abü ]{3,12}", 1..12),
            text in "[abü ]{0,40}|[ab]{200,400}|([c-z]{0,60}[abü ]{0,20}){0,20}",
            put in proptest::collection::vec((0usize..12, 0usize..400), 0..4),
        ) {
            let mut text = text;
            for (which, at) in put {
                let literal = &literals[which % literals.len()];
                let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
                text.insert_str(at, literal);
            }
            let index = index(&literals);
            let few = matches!(&index.engine, Engine::Dfa(dfa) if dfa.prefilter().is_some());
            prop_assert_eq!(index.windows.is_some(), !few);
            prop_assert_eq!(found(&index, &text), stand(&literals, &text));
        }
    }

    /// A text of nothing but windows of literals: the automaton runs over it once, not around each of them.
    #[test]
    fn a_text_full_of_windows_is_run_over_once() {
        let literals: Vec<String> = (0..100).map(|i| format!("{:0100}", i)).collect();
        let windows = Windows::new(&literals).unwrap();
        for text in
            ["0".repeat(100_000), "0000 and ".repeat(10_000), "0000".to_owned() + &" ".repeat(100_000)]
        {
            let run: usize = windows.stretches(&text).map(|stretch| stretch.len()).sum();
            assert!(run <= text.len() + text.len() / 4 + 1000, "{run} of {}", text.len());
        }
        assert_eq!(windows.stretches(&"nothing of it ".repeat(1000)).count(), 0);
    }
}
