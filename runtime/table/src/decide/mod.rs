//! The one evaluator.
//!
//! Pure: the same table and facts give the same answer, and a fact that is not known yet is *pending*, so
//! the earliest sound moment of a decision falls out of it. Where nothing matches, a decision costs the
//! lookups of its facts' values and allocates nothing.

mod audit;
mod cost;
mod eval;
mod explain;
mod matching;
mod scratch;
mod signature;
mod stages;
mod truth;
mod values;
mod walk;
mod zones;

pub use crate::index::matcher::{PatternError, check_regex, required as required_literals};
pub use audit::{Audit, audit, audited, has_audits};
pub use cost::{Lookup, lookups};
pub use explain::{Explanation, Shape, Trace, explain, explain_rule, rule_value};
pub use matching::{candidates, matching};
pub use scratch::Scratch;
pub use signature::signature;
pub use stages::{RuleStage, rules_by_stage};
pub use truth::Truth;

use crate::facts::{FactSet, Facts};
use crate::load::{ACCEPT, Loaded, RuleId};
use eval::Eval;
use scratch::State;
use walk::{Found, Search};

/// Where the verdict rules stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// No fact that is still pending can change it.
    Final(Ruling),
    /// Open: nothing can be decided without these facts, which the best ranked open rule hangs on; at
    /// least one of them is needed. Other rules may need others later, of earlier stages too.
    Need(FactSet),
}

/// A final verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ruling {
    /// No rule matched: the message is accepted.
    Default,
    /// This rule decides.
    By(RuleId),
    /// It hangs on lookups that failed for now: 451 4.4.3.
    Unknown,
    /// The table cannot be read where it must: 451 4.3.0, logged.
    Corrupt,
}

/// No rule.
const NO_RULE: u32 = u32::MAX;

/// What a search for the verdict found. Rules that hang on failed lookups are in the scratch.
#[derive(Clone, Copy)]
struct Standing {
    /// The best rule that holds.
    best: u32,
    /// The best open rule.
    pending: u32,
    /// Whether the search went past the first open rule.
    past: bool,
}

impl Standing {
    /// Rules from here on do not count.
    fn cut(self) -> u32 {
        if self.past { self.best } else { self.best.min(self.pending) }
    }
}

/// Decides the verdict rules in force (audit rules take no part).
///
/// In order of rank, over the rules that are not *no*: the first that is open needs its facts; the first
/// that holds decides; but where rules before it hang on failed lookups and would end differently, it
/// cannot be told.
#[must_use]
pub fn verdict(table: &Loaded, facts: &Facts<'_>, scratch: &mut Scratch) -> Outcome {
    let mut eval = Eval::new(table, facts, scratch);
    let standing = eval.stand(false);
    let outcome = eval.conclude(standing);
    if eval.scratch.corrupt { Outcome::Final(Ruling::Corrupt) } else { outcome }
}

impl<'a> Eval<'a, '_> {
    /// Searches the verdicts in force: cheap columns first, then what has no index, then texts.
    /// With `past`, the best rule that holds is found even behind an open one.
    fn stand(&mut self, past: bool) -> Standing {
        let search = self.hot();
        let table = self.table;
        let mut standing = Standing { best: NO_RULE, pending: NO_RULE, past };
        self.scratch.unknown.clear();
        let mut note = |eval: &mut Self, found: Found<'a>| {
            let first = found.rules.first().map_or(NO_RULE, |id| id.get());
            match found.value {
                Truth::Yes => standing.best = standing.best.min(first),
                Truth::Pending => standing.pending = standing.pending.min(first),
                Truth::Unknown => {
                    let ids = found.rules.iter().map(|id| id.get()).take_while(|id| *id < standing.cut());
                    eval.scratch.unknown.extend(ids);
                }
                Truth::No => {}
            }
            standing.cut()
        };
        let (cheap, texts) = table.hot_columns.split_at_checked(table.hot_cheap).unwrap_or_default();
        let mut cut = NO_RULE;
        for place in cheap {
            // Nearly always nothing fires, and this is all there is to do.
            let Some(column) = table.columns.get(*place as usize) else { continue };
            if column.hot_best < cut && self.column_of(*place, column) != (State::Done, false) {
                cut = self.one_column(search, *place, cut, &mut note);
            }
        }
        self.residual_rules(search, &(0..cut), &mut |eval, found| {
            cut = cut.min(note(eval, found));
            cut
        });
        for place in texts {
            cut = self.one_column(search, *place, cut, &mut note);
        }
        standing
    }

    /// Searches a column unless all its rules rank past the cut; returned is the new cut.
    #[inline(never)]
    fn one_column(
        &mut self,
        search: Search<'a>,
        place: u32,
        mut cut: u32,
        note: &mut impl FnMut(&mut Self, Found<'a>) -> u32,
    ) -> u32 {
        if self.table.columns.get(place as usize).is_none_or(|c| c.hot_best >= cut) {
            return cut;
        }
        self.column_rules(search, place, &(0..cut), &mut |eval, found| {
            cut = cut.min(note(eval, found));
            cut
        });
        cut
    }

    fn conclude(&mut self, standing: Standing) -> Outcome {
        let cut = standing.best.min(standing.pending);
        let mut outcome = None;
        for place in 0..self.scratch.unknown.len() {
            let Some(rule) = self.scratch.unknown.get(place).copied().filter(|rule| *rule < cut) else {
                continue;
            };
            let this = self.outcome(rule);
            if *outcome.get_or_insert(this) != this {
                return Outcome::Final(Ruling::Unknown);
            }
        }
        if standing.pending < standing.best {
            let mut facts = FactSet::EMPTY;
            let condition = self.condition(standing.pending);
            self.hangs_on(condition, Truth::Pending, &mut facts);
            self.zones_beside(&mut facts);
            return Outcome::Need(facts);
        }
        let (last, ruling) = if standing.best == NO_RULE {
            (ACCEPT, Ruling::Default)
        } else {
            (self.outcome(standing.best), Ruling::By(RuleId(standing.best)))
        };
        Outcome::Final(if outcome.is_none_or(|o| o == last) { ruling } else { Ruling::Unknown })
    }
}
