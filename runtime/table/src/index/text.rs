//! All literals of one text fact in one Aho-Corasick automaton.
//!
//! Literals of contains, starts with and ends with, and those that globs and regexes require. Built when
//! a table is loaded; a DFA up to [`DFA_PATTERNS`], a contiguous NFA above, where a DFA would take too
//! much memory.

use aho_corasick::automaton::OverlappingState;
use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind};
use std::collections::HashMap;

/// The most literals (and 64 times as many bytes) of which a DFA is made.
const DFA_PATTERNS: usize = 1000;

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
        let automaton = if self.patterns.is_empty() {
            None
        } else {
            let kind = if dfa { AhoCorasickKind::DFA } else { AhoCorasickKind::ContiguousNFA };
            let built =
                AhoCorasick::builder().match_kind(MatchKind::Standard).kind(Some(kind)).build(&self.patterns);
            Some(built.ok()?)
        };
        let uses = self.uses.into_iter().map(|u| u.1).collect();
        Some(TextIndex { automaton, ends, uses, always: self.always })
    }
}

/// The index of one text fact.
#[derive(Debug)]
pub(crate) struct TextIndex {
    automaton: Option<AhoCorasick>,
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
        let Some(automaton) = &self.automaton else { return };
        let mut state = OverlappingState::start();
        let input = Input::new(text);
        loop {
            if automaton.try_find_overlapping(input.clone(), &mut state).is_err() {
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
        let automaton = self.automaton.as_ref().map_or(0, AhoCorasick::memory_usage);
        (automaton + self.uses.len() * size_of::<Use>() + self.ends.len() * 4, self.ends.len())
    }

    /// Tests whose pattern is asked about every text.
    pub(crate) fn unfiltered(&self) -> impl Iterator<Item = u32> {
        self.always.iter().filter(|one| matches!(one.role, Role::Ask(_))).map(|one| one.predicate)
    }
}
