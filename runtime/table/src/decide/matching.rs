//! Kinds of rules of which all that match count.

use super::eval::Eval;
use super::scratch::Scratch;
use super::truth::Truth;
use super::walk::{Found, Search};
use crate::facts::{FactSet, Facts};
use crate::load::{Loaded, RuleId};
use crate::model::Kind;
use std::ops::Range;

/// The rules of a kind that match, in order of rank, audit rules among them. Rules that hang on
/// pending or unknown facts are left out; returned is which facts those are.
pub fn matching(
    table: &Loaded,
    kind: Kind,
    facts: &Facts<'_>,
    scratch: &mut Scratch,
    out: &mut Vec<RuleId>,
) -> FactSet {
    out.clear();
    let mut hangs = FactSet::EMPTY;
    let mut eval = Eval::new(table, facts, scratch);
    eval.search_kind(kind, &mut |eval, found| match found.value {
        Truth::Yes => out.extend(found.rules.iter().map(|id| RuleId(id.get()))),
        // The rules of a group hang on the same facts.
        open => {
            if let Some(first) = found.rules.first() {
                let condition = eval.condition(first.get());
                eval.hangs_on(condition, open, &mut hangs);
            }
        }
    });
    out.sort_unstable();
    out.dedup();
    hangs
}

/// The rules of a kind that are not *no*, in order of rank, each with its value.
pub fn candidates(
    table: &Loaded,
    kind: Kind,
    facts: &Facts<'_>,
    scratch: &mut Scratch,
    out: &mut Vec<(RuleId, Truth)>,
) {
    out.clear();
    let mut eval = Eval::new(table, facts, scratch);
    eval.search_kind(kind, &mut |_, found| {
        let ids = found.rules.iter().map(|id| RuleId(id.get()));
        out.extend(ids.map(|id| (id, found.value)));
    });
    out.sort_unstable();
    out.dedup();
}

impl<'a> Eval<'a, '_> {
    /// The rules of a kind, as a range.
    pub(super) fn rules_of_kind(&self, kind: Kind) -> Range<u32> {
        self.table.kinds.get(kind as usize).cloned().unwrap_or_default()
    }

    /// Everything of a kind that is not *no*.
    fn search_kind(&mut self, kind: Kind, found: &mut impl FnMut(&mut Self, Found<'a>)) {
        let rules = self.rules_of_kind(kind);
        if rules.is_empty() {
            return;
        }
        let mut each = |eval: &mut Self, one: Found<'a>| {
            found(eval, one);
            u32::MAX
        };
        if kind == Kind::Verdict {
            self.search(self.hot(), &rules, &mut each);
        }
        let cold = self.cold();
        self.search(cold, &rules, &mut each);
    }

    /// Everything in one half that is not *no*.
    pub(super) fn search(
        &mut self,
        search: Search<'a>,
        rules: &Range<u32>,
        found: &mut impl FnMut(&mut Self, Found<'a>) -> u32,
    ) {
        let table = self.table;
        let columns = if search.hot { &table.hot_columns } else { &table.cold_columns };
        for place in columns {
            self.column_rules(search, *place, rules, found);
        }
        self.residual_rules(search, rules, found);
    }
}
