//! Where rules are posted.
//!
//! A *cover* of a condition is a set of tests of which at least one is not *no* wherever the condition is
//! not *no*: of what must hold together, the cover of the cheapest part; of alternatives, the covers of
//! all. A rule is posted under each test of its cover and looked at only where one of them fires. What
//! has no cover (only negations, say) stands in the residual list, equal conditions together.
//!
//! While a column (a fact) is open, no test on it has fired or failed, and the rules posted under its
//! tests may be open too. They stand in groups by what else must hold (the guard), so that the question
//! "which of them is open, and first in rank" costs a look at each guard, not at each rule.

use super::policy::Order;
use super::{EmitError, Sections, count};
use crate::fact::{Fact, Stage, Type};
use crate::format::{GroupRec, ResidualRec, Section};
use crate::model::{Condition, Kind, MAX_DEPTH, Mode, Predicate, Table, Test};
use std::collections::{HashMap, HashSet};

/// No cover.
const NEVER: u32 = u32::MAX;

/// A condition or its opposite: id times two, plus one for the opposite.
type Literal = u32;

/// What is known of each condition node.
pub(super) struct Shapes<'a> {
    table: &'a Table,
    order: &'a Order,
    /// How dear the best cover is, by literal. Lower fires less.
    score: Vec<u32>,
    /// How dear the evaluation is, by node.
    cost: Vec<u32>,
}

impl<'a> Shapes<'a> {
    /// Looks at each node once; children stand before parents.
    pub(super) fn new(table: &'a Table, order: &'a Order) -> Result<Self, EmitError> {
        let total = table.conditions.len();
        count(total.saturating_mul(2), "conditions")?;
        let mut shapes =
            Self { table, order, score: Vec::with_capacity(total * 2), cost: Vec::with_capacity(total) };
        let mut depth: Vec<usize> = Vec::with_capacity(total);
        for (place, condition) in table.conditions.iter().enumerate() {
            let below = |child: &u32| depth.get(*child as usize).copied().map(|d| d + 1);
            let children: &[u32] = match condition {
                Condition::All(children) | Condition::Any(children) => children,
                Condition::Not(child) => std::slice::from_ref(child),
                _ => &[],
            };
            if children.iter().any(|c| *c as usize >= place) {
                return Err(EmitError::Dangling("a condition"));
            }
            let deep = children.iter().filter_map(below).max().unwrap_or(0);
            if deep > MAX_DEPTH {
                return Err(EmitError::Deep);
            }
            let (yes, no, cost) = shapes.look(condition)?;
            shapes.score.extend([yes, no]);
            shapes.cost.push(cost);
            depth.push(deep);
        }
        Ok(shapes)
    }

    fn look(&self, condition: &Condition) -> Result<(u32, u32, u32), EmitError> {
        let best = |children: &[u32], no: u32| {
            children.iter().map(|c| self.score_of(c * 2 + no)).min().unwrap_or(NEVER)
        };
        let all = |children: &[u32], no: u32| {
            children.iter().map(|c| self.score_of(c * 2 + no)).max().unwrap_or(NEVER)
        };
        let cost = |children: &[u32]| children.iter().map(|c| self.cost(*c)).max().unwrap_or(0) + 1;
        Ok(match condition {
            Condition::True => (NEVER, 0, 0),
            Condition::Test(id) => {
                let test = self.table.predicates.get(*id as usize).ok_or(EmitError::Dangling("a test"))?;
                (score(test, self.table), NEVER, test_cost(test))
            }
            Condition::Not(child) => {
                (self.score_of(child * 2 + 1), self.score_of(child * 2), self.cost(*child))
            }
            Condition::All(children) => (best(children, 0), all(children, 1), cost(children)),
            Condition::Any(children) => (all(children, 0), best(children, 1), cost(children)),
        })
    }

    fn score_of(&self, literal: Literal) -> u32 {
        self.score.get(literal as usize).copied().unwrap_or(NEVER)
    }

    /// How dear the evaluation of a node is.
    pub(super) fn cost(&self, node: u32) -> u32 {
        self.cost.get(node as usize).copied().unwrap_or(u32::MAX / 2)
    }

    fn condition(&self, literal: Literal) -> Option<(&'a Condition, u32)> {
        Some((self.table.conditions.get(literal as usize / 2)?, literal % 2))
    }

    /// What must hold together, each once, sorted.
    fn parts(&self, literal: Literal) -> Vec<Literal> {
        let mut seen = HashSet::new();
        let mut open = vec![literal];
        let mut out = Vec::new();
        while let Some(literal) = open.pop() {
            if !seen.insert(literal) {
                continue;
            }
            match self.condition(literal) {
                Some((Condition::Not(child), no)) => open.push(child * 2 + (1 - no)),
                Some((Condition::All(children), 0)) => open.extend(children.iter().map(|c| c * 2)),
                Some((Condition::Any(children), 1)) => open.extend(children.iter().map(|c| c * 2 + 1)),
                _ => out.push(literal),
            }
        }
        out.sort_unstable();
        out
    }

    /// The tests of the best cover, as places in the artifact, each once, sorted.
    fn cover(&self, literal: Literal) -> Vec<u32> {
        let mut seen = HashSet::new();
        let mut open = vec![literal];
        let mut out = Vec::new();
        while let Some(literal) = open.pop() {
            if !seen.insert(literal) {
                continue;
            }
            match self.condition(literal) {
                Some((Condition::Test(id), 0)) => out.extend(self.order.place.get(*id as usize)),
                Some((Condition::Not(child), no)) => open.push(child * 2 + (1 - no)),
                Some((Condition::All(children), no @ 0) | (Condition::Any(children), no @ 1)) => {
                    open.extend(children.iter().map(|c| c * 2 + no).min_by_key(|l| self.score_of(*l)));
                }
                Some((Condition::Any(children), no) | (Condition::All(children), no)) => {
                    open.extend(children.iter().map(|c| c * 2 + no));
                }
                _ => {}
            }
        }
        out.sort_unstable();
        out.dedup();
        out
    }

    /// The one column that a part consists of, where it is nothing but alternatives of tests on it: it is
    /// open then just as the column is.
    fn one_column(&self, literal: Literal) -> Option<u32> {
        let mut seen = HashSet::new();
        let mut open = vec![literal];
        let mut column = None;
        while let Some(literal) = open.pop() {
            if !seen.insert(literal) {
                continue;
            }
            match self.condition(literal)? {
                (Condition::Test(id), 0) => {
                    let place = *self.order.place.get(*id as usize)?;
                    let this = *self.order.column.get(place as usize)?;
                    if *column.get_or_insert(this) != this {
                        return None;
                    }
                }
                (Condition::Not(child), no) => open.push(child * 2 + (1 - no)),
                (Condition::Any(children), 0) => open.extend(children.iter().map(|c| c * 2)),
                (Condition::All(children), 1) => open.extend(children.iter().map(|c| c * 2 + 1)),
                _ => return None,
            }
        }
        column
    }
}

/// How often a test fires, roughly, on a scale on which 10 is a single address; and a little for late
/// facts, since a rule that an early fact rules out is never open later.
fn score(predicate: &Predicate, table: &Table) -> u32 {
    let row = predicate.fact.row();
    let shortest = |all: &[String]| all.iter().map(String::len).min().unwrap_or(0);
    let literal = |length: usize| if length >= 6 { 25 } else { 50 - 4 * u32::try_from(length).unwrap_or(5) };
    let base = match &predicate.test {
        Test::InList(list) => {
            let entries = table.lists.get(*list as usize).map_or(0, |l| l.entries.len()).max(1);
            let kind = match row.ty {
                Type::Address => 10,
                Type::Text => 15,
                _ => 20,
            };
            kind + entries.ilog2()
        }
        Test::Contains(all) | Test::StartsWith(all) | Test::EndsWith(all) => {
            literal(shortest(all)) + all.len().max(1).ilog2()
        }
        Test::Glob(_) | Test::Regex(_) => {
            if crate::index::matcher::required(&predicate.test).is_some() {
                45
            } else {
                90
            }
        }
        Test::Equal(_) => 40,
        Test::Present if predicate.fact == Fact::Header => 50,
        Test::Present => 75,
        Test::Set => 65,
        Test::OneOf(_) => 72,
        Test::Less(_) | Test::AtMost(_) | Test::More(_) => 80,
    };
    base + 3 * stage_number(row.stage)
}

/// How dear it is to evaluate a test, roughly.
fn test_cost(predicate: &Predicate) -> u32 {
    let row = predicate.fact.row();
    let base = match (&predicate.test, row.ty) {
        (Test::Glob(_) | Test::Regex(_), _) => 40,
        (_, Type::Flag | Type::Enum(_) | Type::Count | Type::Size | Type::Time) => 0,
        (_, Type::Network) => 4,
        (_, Type::Domain | Type::Address) => 8,
        (_, Type::Text) => 16,
    };
    base + 100 * stage_number(row.stage)
}

fn stage_number(stage: Stage) -> u32 {
    stage as u32
}

/// The postings of one half: verdicts in force, or everything else.
#[derive(Default)]
struct Half {
    posts: Vec<(u32, u32)>,
    residuals: HashMap<u32, Vec<u32>>,
    groups: HashMap<(u32, bool, Vec<Literal>), Vec<u32>>,
}

/// Fills the sections of postings, residuals and groups.
pub(super) fn write(
    table: &Table,
    order: &Order,
    shapes: &Shapes<'_>,
    out: &mut Sections,
) -> Result<(), EmitError> {
    let mut hot = Half::default();
    let mut cold = Half::default();
    for (rule, id) in table.rules.iter().zip(0u32..) {
        let hot_rule = rule.kind() == Kind::Verdict && rule.mode == Mode::Enforce;
        let half = if hot_rule { &mut hot } else { &mut cold };
        let whole = rule.condition * 2;
        let parts = shapes.parts(whole);
        let best = parts.iter().copied().min_by_key(|l| shapes.score_of(*l));
        let Some(best) = best.filter(|l| shapes.score_of(*l) != NEVER) else {
            half.residuals.entry(rule.condition).or_default().push(id);
            continue;
        };
        let cover = shapes.cover(best);
        half.posts.extend(cover.iter().map(|test| (*test, id)));
        if let Some(column) = shapes.one_column(best) {
            let guard = parts.into_iter().filter(|l| *l != best).collect();
            half.groups.entry((column, false, guard)).or_default().push(id);
        } else {
            let mut columns: Vec<u32> =
                cover.iter().filter_map(|test| order.column.get(*test as usize).copied()).collect();
            columns.dedup();
            for column in columns {
                half.groups.entry((column, true, vec![whole])).or_default().push(id);
            }
        }
    }
    let mut rules = Vec::new();
    let mut guards = Vec::new();
    let total = table.predicates.len();
    for (half, sections) in [
        (hot, [Section::HotEnds, Section::HotRules, Section::HotResiduals, Section::HotGroups]),
        (cold, [Section::ColdEnds, Section::ColdRules, Section::ColdResiduals, Section::ColdGroups]),
    ] {
        half.write(total, sections, &mut rules, &mut guards, out)?;
    }
    out.put_numbers(Section::Guards, &guards);
    out.put_numbers(Section::GroupRules, &rules);
    Ok(())
}

impl Half {
    fn write(
        mut self,
        predicates: usize,
        [ends_at, rules_at, residuals_at, groups_at]: [Section; 4],
        rules: &mut Vec<u32>,
        guards: &mut Vec<u32>,
        out: &mut Sections,
    ) -> Result<(), EmitError> {
        self.posts.sort_unstable();
        let mut ends = Vec::with_capacity(predicates);
        let mut at = 0;
        for test in 0..count(predicates, "tests")? {
            at += self.posts.get(at..).unwrap_or_default().partition_point(|p| p.0 <= test);
            ends.push(count(at, "postings")?);
        }
        out.put_numbers(ends_at, &ends);
        out.put_numbers(rules_at, &self.posts.iter().map(|p| p.1).collect::<Vec<_>>());

        let mut residuals: Vec<(u32, Vec<u32>)> = self.residuals.into_iter().collect();
        residuals.sort_unstable_by(|a, b| a.1.cmp(&b.1));
        let mut records = Vec::with_capacity(residuals.len());
        for (condition, ids) in residuals {
            records.push(ResidualRec {
                condition: condition.into(),
                first: count(rules.len(), "rules")?.into(),
                count: count(ids.len(), "rules")?.into(),
            });
            rules.extend(ids);
        }
        out.put_records(residuals_at, &records);

        let mut groups: Vec<_> = self.groups.into_iter().collect();
        groups.sort_unstable_by(|a, b| (a.0.0, &a.1, &a.0.2).cmp(&(b.0.0, &b.1, &b.0.2)));
        let mut records = Vec::with_capacity(groups.len());
        for ((column, whole, guard), ids) in groups {
            records.push(GroupRec {
                column: column.into(),
                whole: u32::from(whole).into(),
                guard: count(guards.len(), "guards")?.into(),
                guards: count(guard.len(), "guards")?.into(),
                first: count(rules.len(), "rules")?.into(),
                count: count(ids.len(), "rules")?.into(),
            });
            guards.extend(guard);
            rules.extend(ids);
        }
        out.put_records(groups_at, &records);
        Ok(())
    }
}
