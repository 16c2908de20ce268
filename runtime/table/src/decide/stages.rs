//! The earliest moment at which each rule can be decided, by the shape of the conditions: a bound. Where rules ask
//! the same, or one test follows from another, the truth may come later; nothing comes earlier.

use crate::fact::{Fact, Stage};
use crate::format::op;
use crate::load::view::range;
use crate::load::{Loaded, RuleId};
use crate::model::{Kind, Mode};

/// When a rule can be decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RuleStage {
    /// The rule.
    pub rule: RuleId,
    /// The first stage at which its condition can hold.
    pub holds: Stage,
    /// The first stage at which it can decide: its condition can hold, and every better ranked verdict
    /// rule in force can be out of the way. Kinds other than verdicts have no such rules before them.
    pub decides: Stage,
    /// The better ranked rule that it has to wait for, where it has.
    pub waits_for: Option<RuleId>,
}

/// For each rule, in the order of the table, the earliest stage at which some message can have it decided.
#[must_use]
pub fn rules_by_stage(table: &Loaded) -> Vec<RuleStage> {
    let view = table.view();
    // For each condition, the earliest stage at which it can be yes, and at which it can be no.
    let mut earliest: Vec<(Stage, Stage)> = Vec::with_capacity(view.nodes.len());
    for node in view.nodes {
        let known = |id: u32| earliest.get(id as usize).copied().unwrap_or((Stage::Body, Stage::Body));
        let children = || range(view.children, node.a, node.b).iter().map(|c| known(c.get()));
        let all = |of: fn((Stage, Stage)) -> Stage| children().map(of).max().unwrap_or(Stage::Connect);
        let any = |of: fn((Stage, Stage)) -> Stage| children().map(of).min().unwrap_or(Stage::Body);
        let this = match node.op.get() {
            // Never no: the last stage stands for that.
            op::TRUE => (Stage::Connect, Stage::Body),
            op::TEST => {
                let column = view.predicates.get(node.a.get() as usize).map(|p| p.column.get());
                let column = column.and_then(|c| table.columns.get(c as usize));
                let stage = column.map_or(Stage::Body, |c| c.fact.row().stage);
                // A header that cannot be read is enough; that all is well is known at the very end.
                let early = column.is_some_and(|c| c.fact == Fact::Malformed);
                (if early { Stage::Header } else { stage }, stage)
            }
            op::NOT => {
                let (yes, no) = known(node.a.get());
                (no, yes)
            }
            op::ALL => (all(|c| c.0), any(|c| c.1)),
            _ => (any(|c| c.0), all(|c| c.1)),
        };
        earliest.push(this);
    }
    let mut out = Vec::with_capacity(view.rules.len());
    let mut slowest: Option<(Stage, RuleId)> = None;
    for (rule, place) in view.rules.iter().zip(0u32..) {
        let id = RuleId(place);
        let (holds, fails) =
            earliest.get(rule.condition.get() as usize).copied().unwrap_or((Stage::Body, Stage::Body));
        let verdict = rule.kind == Kind::Verdict as u8;
        let before = slowest.filter(|(stage, _)| verdict && *stage > holds);
        let decides = before.map_or(holds, |(stage, _)| stage);
        out.push(RuleStage { rule: id, holds, decides, waits_for: before.map(|(_, id)| id) });
        let enforced = rule.mode == Mode::Enforce as u8;
        if verdict && enforced && slowest.is_none_or(|(stage, _)| fails > stage) {
            slowest = Some((fails, id));
        }
    }
    out
}
