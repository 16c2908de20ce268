//! What an artifact is made of, for `edict show` and `edict bench`.

use super::{Loaded, RuleId, view};
use crate::format::{HEADER, SECTION, SECTIONS, Section};
use crate::index::text::TextIndex;
use crate::model::PredicateId;

/// A part of a table and its size.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SectionSize {
    /// How people call it.
    pub name: String,
    /// Bytes.
    pub bytes: usize,
    /// In the file; else built when the table is loaded.
    pub stored: bool,
    /// Part of the policy, and so of its digest.
    pub policy: bool,
    /// Records, keys or literals, where it has such.
    pub entries: Option<usize>,
}

impl Loaded {
    /// Every part with its size: header and sections of the file, then automata built at load.
    #[must_use]
    pub fn sections(&self) -> Vec<SectionSize> {
        let stored = |name: &str, bytes, policy, entries| SectionSize {
            name: name.to_owned(),
            bytes,
            stored: true,
            policy,
            entries,
        };
        let mut out = vec![stored("header", HEADER + SECTIONS * SECTION, false, None)];
        for (section, place) in Section::ALL.iter().zip(&self.places) {
            let entries = section.record().map(|size| place.len() / size);
            out.push(stored(section.name(), place.len(), (*section as u32) < 256, entries));
        }
        let built = |name: &str, bytes, entries| SectionSize {
            name: name.to_owned(),
            bytes,
            stored: false,
            policy: false,
            entries,
        };
        out.push(built("filter of addresses and domains", self.filters.mailboxes.bytes(), None));
        out.push(built("filter of texts", self.filters.texts.bytes(), None));
        out.push(built("compiled regexes, by now", self.matchers.store().kept(), None));
        for column in &self.columns {
            let Some(text) = &column.text else { continue };
            let (bytes, literals) = text.size();
            out.push(built(&format!("automaton of {}", column.name()), bytes, Some(literals)));
        }
        out
    }

    /// Bytes of the whole artifact.
    #[must_use]
    pub fn file_bytes(&self) -> usize {
        self.bytes().len()
    }
}

/// How rules are found: what `edict bench` and lints name.
impl Loaded {
    /// Rules that no index finds: their conditions are evaluated for every message, unless a better
    /// ranked rule decided before.
    #[must_use]
    pub fn unindexed_rules(&self) -> Vec<RuleId> {
        let view = self.view();
        let residuals = view.hot.residuals.iter().chain(view.cold.residuals);
        let ids = residuals.flat_map(|r| view::range(view.group_rules, r.first, r.count));
        let mut out: Vec<RuleId> = ids.map(|id| RuleId(id.get())).collect();
        out.sort_unstable();
        out
    }

    /// Globs and regexes without a literal that a text must hold to match: each is run over every value of
    /// its fact that a decision looks at. Places in [`Table::predicates`](crate::model::Table::predicates).
    #[must_use]
    pub fn unfiltered_patterns(&self) -> Vec<PredicateId> {
        let back = self.predicate_order();
        let always = self.columns.iter().filter_map(|c| c.text.as_ref()).flat_map(TextIndex::unfiltered);
        let lazy = self.columns.iter().flat_map(|c| c.lazy.iter().map(|l| l.0));
        let mut out: Vec<PredicateId> =
            always.chain(lazy).filter_map(|test| back.get(test as usize).copied()).collect();
        out.sort_unstable();
        out
    }

    /// The tests under which a rule is posted: it is looked at only where one of them holds or is open.
    #[must_use]
    pub fn posted_under(&self, rule: RuleId) -> Vec<PredicateId> {
        let view = self.view();
        let back = self.predicate_order();
        let mut out = Vec::new();
        for (test, place) in back.iter().zip(0u32..) {
            for half in [&view.hot, &view.cold] {
                let ids = view::piece(half.ends, half.rules, place);
                if ids.binary_search_by_key(&rule.0, |id| id.get()).is_ok() {
                    out.push(*test);
                }
            }
        }
        out.sort_unstable();
        out
    }
}
