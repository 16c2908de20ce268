//! Which rules and which of their tests no test block decided.
//!
//! A rule is decided by a mail that it was the verdict of, or that it matched. A test within a rule is
//! decided once it was yes for one mail and no for another; what an index passes over counts as no.

use crate::explained::word;
use crate::flow::{Happening, Known};
use edict_compiler::prove::describe::claim;
use edict_table::decide::{Scratch, Shape, Trace, Truth, explain_rule};
use edict_table::fact::Stage;
use edict_table::load::{Loaded, RuleId};
use edict_table::model::{Kind, Mode, Table};
use std::collections::BTreeMap;

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Coverage {
    rules: Vec<bool>,
    /// By rule and predicate: whether it was yes, whether it was no.
    tests: BTreeMap<(u32, u32), (bool, bool)>,
}

impl Coverage {
    /// Takes in a mail.
    pub fn add(&mut self, table: &Loaded, happening: &Happening, known: &Known) {
        let count = u32::try_from(table.rule_count()).unwrap_or(u32::MAX);
        self.rules.resize(table.rule_count(), false);
        for person in &happening.people {
            let Some(who) = known.people.get(person.place) else { continue };
            if let Some(rule) = person.decided.rule() {
                self.decided(rule);
            }
            for id in (0..count).map(RuleId) {
                let mut scratch = Scratch::new();
                scratch.begin(table);
                let facts = known.facts(who, Stage::Body);
                let Some(explained) = explain_rule(table, id, &facts, &mut scratch) else { continue };
                let watched = table.rule(id).is_some_and(|rule| rule.mode == Mode::Audit);
                if (watched || explained.kind != Kind::Verdict) && explained.trace.value == Truth::Yes {
                    self.decided(id);
                }
                self.leaves(id.0, &explained.trace);
            }
        }
        for reach in happening.sent.iter().flat_map(|sent| &sent.reaches) {
            reach.quotas.iter().chain(&reach.route).for_each(|id| self.decided(*id));
        }
    }

    fn decided(&mut self, id: RuleId) {
        if let Some(seen) = self.rules.get_mut(id.0 as usize) {
            *seen = true;
        }
    }

    fn leaves(&mut self, rule: u32, trace: &Trace) {
        if let Shape::Test(predicate) = trace.shape {
            let seen = self.tests.entry((rule, predicate)).or_default();
            seen.0 |= trace.value == Truth::Yes;
            seen.1 |= trace.value == Truth::No;
        }
        trace.children.iter().for_each(|child| self.leaves(rule, child));
    }

    /// How many rules were decided, of how many.
    pub fn count(&self, table: &Loaded) -> (usize, usize) {
        (self.rules.iter().filter(|seen| **seen).count(), table.rule_count())
    }

    /// What was not decided, one line each, in the order of the table.
    pub fn gaps(&self, table: &Loaded, model: &Table) -> Vec<String> {
        let mut out = Vec::new();
        let count = u32::try_from(table.rule_count()).unwrap_or(u32::MAX);
        for id in (0..count).map(RuleId) {
            let Some(rule) = table.rule(id) else { continue };
            let at = format!("{}:{}: {} \"{}\"", rule.file, rule.line, word(&rule), rule.name);
            if !self.rules.get(id.0 as usize).is_some_and(|seen| *seen) {
                out.push(format!("{at}: decided by no test"));
                continue;
            }
            for ((_, predicate), (yes, no)) in self.tests.range((id.0, 0)..=(id.0, u32::MAX)) {
                let Some(predicate) = model.predicates.get(*predicate as usize) else { continue };
                let text = claim(model, predicate, true);
                match (yes, no) {
                    (false, _) => out.push(format!("{at}: `{text}` was never true")),
                    (_, false) => out.push(format!("{at}: `{text}` was never false")),
                    _ => {}
                }
            }
        }
        out
    }
}
