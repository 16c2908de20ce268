//! When a rule can be decided, as far as the table alone tells (mail-flow: When a rule may be decided).
//!
//! A bound from above: a message may let a rule be decided earlier, since a condition is often settled by
//! the first of its facts.

use edict_table::fact::Stage;
use edict_table::model::{Condition, Kind, Mode, Table};

/// When one rule is decided at the latest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decided {
    /// Every fact of its own condition is final.
    pub own: Stage,
    /// Also no rule of better rank can still match.
    pub stage: Stage,
    /// The rule (place in [`Table::rules`]) that holds it back, where one does.
    pub waits_for: Option<usize>,
}

/// For each rule of the table.
pub fn decided(table: &Table) -> Vec<Decided> {
    let conditions = of_conditions(table);
    let own = |place: u32| conditions.get(place as usize).copied().unwrap_or(Stage::Connect);
    let mut latest: Option<(Stage, usize)> = None;
    let mut out = Vec::with_capacity(table.rules.len());
    for (place, rule) in table.rules.iter().enumerate() {
        let own = own(rule.condition);
        let verdict = rule.kind() == Kind::Verdict;
        let before = latest.filter(|(stage, _)| verdict && *stage > own);
        out.push(Decided {
            own,
            stage: before.map_or(own, |(stage, _)| stage),
            waits_for: before.map(|(_, place)| place),
        });
        if verdict && rule.mode == Mode::Enforce && latest.is_none_or(|(stage, _)| own > stage) {
            latest = Some((own, place));
        }
    }
    out
}

/// For each condition node, the latest stage of its facts. Children stand before parents.
fn of_conditions(table: &Table) -> Vec<Stage> {
    let mut out: Vec<Stage> = Vec::with_capacity(table.conditions.len());
    for condition in &table.conditions {
        let of = |child: &u32| out.get(*child as usize).copied().unwrap_or(Stage::Connect);
        let stage = match condition {
            Condition::True => Stage::Connect,
            Condition::Test(predicate) => {
                table.predicates.get(*predicate as usize).map_or(Stage::Connect, |p| p.fact.row().stage)
            }
            Condition::Not(child) => of(child),
            Condition::All(children) | Condition::Any(children) => {
                children.iter().map(of).max().unwrap_or(Stage::Connect)
            }
        };
        out.push(stage);
    }
    out
}
