//! Allows on content that keep refusals waiting which could be told before the message has come.

use super::meeting::Meeting;
use super::query::{Question, Reply, Say, ask};
use super::theory::Space;
use super::{Finding, Prover, directions};
use edict_table::fact::Stage;
use edict_table::model::{Action, Condition, ConditionId, Mode, Rule, Table, Verb};

/// The most refusals that one allow is asked about.
const MAX_REFUSALS: usize = 32;

/// The most questions about more refusals of allows that delay one, over a whole table: the first is what
/// matters, and the time of a check stays bounded however many allows there are.
pub(super) const MAX_MORE: usize = 1_000;

impl Prover<'_> {
    /// Refusals of worse rank that could be told before the message has come, were it not for this allow.
    pub(super) fn delays(&mut self, space: &Space<'_>, meeting: &Meeting, place: usize) -> Option<Finding> {
        let table = self.table;
        let verb = |rule: &Rule| match &rule.action {
            Action::Verdict(verdict) if rule.mode == Mode::Enforce => Some(verdict.verb),
            _ => None,
        };
        let rule = table.rules.get(place).filter(|rule| verb(rule) == Some(Verb::Allow))?;
        if stage(table, rule.condition) < Stage::Header {
            return None;
        }
        // The worst rank first, as it waits for all.
        let early = table.rules.iter().enumerate().skip(place + 1).rev().filter(|(_, other)| {
            matches!(verb(other), Some(Verb::Reject | Verb::Defer))
                && stage(table, other.condition) < Stage::Header
        });
        let (mut refusals, mut all) = (Vec::new(), true);
        for (asked, (at, other)) in early.enumerate() {
            if asked >= MAX_REFUSALS || (!refusals.is_empty() && self.more == 0) {
                all = false;
                break;
            }
            if meeting.is_apart(space, rule, other) {
                continue;
            }
            self.more -= usize::from(!refusals.is_empty());
            let must = [rule.condition, other.condition];
            let question = Question { must: &must, any: &[], directions: directions(rule) };
            match ask(space, &question, |_| Say::Take) {
                Reply::Found(_) => refusals.push(at),
                Reply::Unfinished => drop(self.unfinished.insert(place)),
                Reply::Never { .. } | Reply::Unknown => {}
            }
        }
        refusals.reverse();
        (!refusals.is_empty()).then_some(Finding::Delays { allow: place, refusals, all })
    }
}

/// The stage from which on all is known that a condition asks.
fn stage(table: &Table, at: ConditionId) -> Stage {
    let mut last = Stage::Connect;
    let mut waiting = vec![at];
    while let Some(at) = waiting.pop() {
        match table.conditions.get(at as usize) {
            Some(Condition::Test(test)) => {
                last = table.predicates.get(*test as usize).map_or(last, |p| last.max(p.fact.row().stage));
            }
            Some(Condition::Not(inner)) => waiting.push(*inner),
            Some(Condition::All(parts) | Condition::Any(parts)) => waiting.extend(parts),
            Some(Condition::True) | None => {}
        }
    }
    last
}
