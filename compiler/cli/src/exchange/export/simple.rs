//! Conditions of the shape that maps have: one of some values, and none of some others.

use edict_table::fact::Fact;
use edict_table::model::{Condition, ConditionId, List, Table, Test};

/// A condition: any of `when`, none of `unless`. Nothing in `when` means always.
#[derive(Debug, Default)]
pub struct Simple<'a> {
    /// Any of these must hold.
    pub when: Vec<Atom<'a>>,
    /// None of these may hold.
    pub unless: Vec<Atom<'a>>,
}

/// One test.
#[derive(Clone, Copy, Debug)]
pub struct Atom<'a> {
    /// On what.
    pub fact: Fact,
    /// A header's name.
    pub parameter: &'a str,
    /// The test; of `is absent` the test is [`Test::Present`] and `negated` is set.
    pub test: &'a Test,
    /// It must not hold.
    pub negated: bool,
}

impl<'a> Atom<'a> {
    /// The list that it looks into.
    pub fn list(&self, table: &'a Table) -> Option<&'a List> {
        match self.test {
            Test::InList(id) if !self.negated => table.lists.get(*id as usize),
            _ => None,
        }
    }
}

/// Reads a condition; none where it has another shape.
pub fn simple(table: &Table, condition: ConditionId) -> Option<Simple<'_>> {
    let mut out = Simple::default();
    match node(table, condition)? {
        Condition::True => {}
        Condition::All(children) => {
            let mut positive = 0;
            for child in children {
                match node(table, *child)? {
                    Condition::Not(inner) if !is_absent(table, *child) => {
                        out.unless.extend(any(table, *inner)?)
                    }
                    _ => {
                        positive += 1;
                        out.when.extend(any(table, *child)?);
                    }
                }
            }
            if positive != 1 {
                return None;
            }
        }
        Condition::Not(inner) if !is_absent(table, condition) => out.unless = any(table, *inner)?,
        _ => out.when = any(table, condition)?,
    }
    Some(out)
}

/// Every fact that a condition asks for.
pub fn facts(table: &Table, condition: ConditionId) -> Vec<Fact> {
    let mut out = Vec::new();
    let mut open = vec![condition];
    while let Some(id) = open.pop() {
        match node(table, id) {
            Some(Condition::Test(p)) => out.extend(table.predicates.get(*p as usize).map(|p| p.fact)),
            Some(Condition::Not(child)) => open.push(*child),
            Some(Condition::All(children) | Condition::Any(children)) => open.extend(children),
            Some(Condition::True) | None => {}
        }
    }
    out
}

fn node(table: &Table, id: ConditionId) -> Option<&Condition> {
    table.conditions.get(id as usize)
}

fn any(table: &Table, id: ConditionId) -> Option<Vec<Atom<'_>>> {
    match node(table, id)? {
        Condition::Any(children) => {
            let mut out = Vec::new();
            for child in children {
                out.extend(any(table, *child)?);
            }
            Some(out)
        }
        Condition::Test(place) => atom(table, *place, false).map(|atom| vec![atom]),
        Condition::Not(inner) if is_absent(table, id) => match node(table, *inner)? {
            Condition::Test(place) => atom(table, *place, true).map(|atom| vec![atom]),
            _ => None,
        },
        _ => None,
    }
}

fn atom(table: &Table, place: u32, negated: bool) -> Option<Atom<'_>> {
    let p = table.predicates.get(place as usize)?;
    Some(Atom { fact: p.fact, parameter: &p.parameter, test: &p.test, negated })
}

/// `is absent` is the opposite of `is present`.
fn is_absent(table: &Table, id: ConditionId) -> bool {
    let Some(Condition::Not(inner)) = node(table, id) else { return false };
    let Some(Condition::Test(place)) = node(table, *inner) else { return false };
    table.predicates.get(*place as usize).is_some_and(|p| p.test == Test::Present)
}
