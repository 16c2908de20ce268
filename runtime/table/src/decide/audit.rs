//! Verdict rules that are on trial (`mode audit`): what each would have changed.
//!
//! They take no part in the verdict; each is held against the enforced one by itself.

use super::eval::Eval;
use super::truth::Truth;
use super::{NO_RULE, Ruling, Scratch};
use crate::facts::{FactSet, Facts};
use crate::load::{ACCEPT, Loaded, RuleId};
use crate::model::{Kind, Mode};

/// What rules on trial come to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Audit {
    /// They would have changed the verdict. Best rank first.
    pub changed: Vec<RuleId>,
    /// Facts that others hang on.
    pub open: FactSet,
}

/// The audit rules that would have changed the enforced verdict, had they been in force, each by itself:
/// they hold, rank before the rule that decided, and end differently. Best rank first.
#[must_use]
pub fn audited(table: &Loaded, facts: &Facts<'_>, scratch: &mut Scratch, enforced: Ruling) -> Vec<RuleId> {
    audit(table, facts, scratch, enforced).changed
}

/// The same, with the facts that the audit rules hang on whose value is still open.
#[must_use]
pub fn audit(table: &Loaded, facts: &Facts<'_>, scratch: &mut Scratch, enforced: Ruling) -> Audit {
    let mut eval = Eval::new(table, facts, scratch);
    let (cut, outcome) = match enforced {
        Ruling::Default => (NO_RULE, Some(ACCEPT)),
        Ruling::By(rule) => (rule.0, Some(eval.outcome(rule.0))),
        Ruling::Unknown => {
            eval.stand(false);
            (eval.scratch.unknown.iter().copied().min().unwrap_or(0), None)
        }
        Ruling::Corrupt => return Audit::default(),
    };
    let mut rules = eval.rules_of_kind(Kind::Verdict);
    rules.end = rules.end.min(cut);
    let mut out = Audit::default();
    let mut open = Vec::new();
    let cold = eval.cold();
    eval.search(cold, &rules, &mut |eval, found| {
        let ids = found.rules.iter().map(|id| id.get());
        // A rule that would end the same changes nothing, whatever becomes of it.
        let ids = ids.filter(|id| *id < cut && Some(eval.outcome(*id)) != outcome);
        match found.value {
            Truth::Yes => out.changed.extend(ids.map(RuleId)),
            Truth::Pending => open.extend(ids),
            Truth::No | Truth::Unknown => {}
        }
        NO_RULE
    });
    for id in open {
        let condition = eval.condition(id);
        eval.hangs_on(condition, Truth::Pending, &mut out.open);
    }
    out.changed.sort_unstable();
    out.changed.dedup();
    out
}

/// Whether any verdict rule is on trial. Looks once, then remembers.
#[must_use]
pub fn has_audits(table: &Loaded) -> bool {
    *table.audits.get_or_init(|| {
        table.rules_of(Kind::Verdict).filter_map(|id| table.rule(id)).any(|rule| rule.mode == Mode::Audit)
    })
}
