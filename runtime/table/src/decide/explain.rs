//! Why a decision is what it is: the value of every part of a rule. Slow; allocates.

use super::eval::Eval;
use super::scratch::Scratch;
use super::truth::Truth;
use crate::facts::Facts;
use crate::format::op;
use crate::load::view::range;
use crate::load::{Loaded, RuleId};
use crate::model::{Kind, PredicateId};

/// A rule and the values of its parts.
#[derive(Clone, PartialEq, Debug)]
pub struct Explanation {
    /// The rule.
    pub rule: RuleId,
    /// Its kind.
    pub kind: Kind,
    /// Its condition.
    pub trace: Trace,
}

/// A part of a condition, with its value.
#[derive(Clone, PartialEq, Debug)]
pub struct Trace {
    /// What it is.
    pub shape: Shape,
    /// Its value.
    pub value: Truth,
    /// Its parts, in the order they were written.
    pub children: Vec<Trace>,
}

/// What a part of a condition is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// Always.
    True,
    /// A test, as a place in [`Table::predicates`](crate::model::Table::predicates) of
    /// [`Loaded::to_table`].
    Test(PredicateId),
    /// The opposite of its one child.
    Not,
    /// All children.
    All,
    /// Any child.
    Any,
}

/// Every rule of every kind, in the order of the table.
#[must_use]
pub fn explain(table: &Loaded, facts: &Facts<'_>, scratch: &mut Scratch) -> Vec<Explanation> {
    Kind::ALL
        .into_iter()
        .flat_map(|kind| table.rules_of(kind))
        .filter_map(|rule| explain_rule(table, rule, facts, scratch))
        .collect()
}

/// One rule. None where there is no such rule.
#[must_use]
pub fn explain_rule(
    table: &Loaded,
    rule: RuleId,
    facts: &Facts<'_>,
    scratch: &mut Scratch,
) -> Option<Explanation> {
    let back = table.predicate_order();
    let mut eval = Eval::new(table, facts, scratch);
    let kind = *Kind::ALL.get(usize::from(eval.view.rules.get(rule.0 as usize)?.kind))?;
    let condition = eval.condition(rule.0);
    Some(Explanation { rule, kind, trace: trace(&mut eval, &back, condition)? })
}

/// The value of one rule by itself, whatever ranks before it. None where there is no such rule.
#[must_use]
pub fn rule_value(table: &Loaded, rule: RuleId, facts: &Facts<'_>, scratch: &mut Scratch) -> Option<Truth> {
    let mut eval = Eval::new(table, facts, scratch);
    let condition = eval.view.rules.get(rule.0 as usize)?.condition.get();
    Some(eval.node(condition))
}

fn trace(eval: &mut Eval<'_, '_>, back: &[u32], place: u32) -> Option<Trace> {
    let node = *eval.view.nodes.get(place as usize)?;
    let value = eval.node(place);
    let below = |eval: &mut Eval<'_, '_>| -> Option<Vec<Trace>> {
        let children = range(eval.table.children_as_written()?, node.a, node.b);
        children.iter().map(|child| trace(eval, back, child.get())).collect()
    };
    let (shape, children) = match node.op.get() {
        op::TRUE => (Shape::True, Vec::new()),
        op::TEST => (Shape::Test(*back.get(node.a.get() as usize)?), Vec::new()),
        op::NOT => (Shape::Not, vec![trace(eval, back, node.a.get())?]),
        op::ALL => (Shape::All, below(eval)?),
        _ => (Shape::Any, below(eval)?),
    };
    Some(Trace { shape, value, children })
}
