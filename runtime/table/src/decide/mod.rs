//! The one evaluator. Under construction.

use crate::facts::{FactSet, Facts};
use crate::load::{Loaded, RuleId};
use crate::model::Kind;

/// Memory of an evaluation, reused from message to message. Grows to the table's size once.
#[derive(Debug, Default)]
pub struct Scratch {}

impl Scratch {
    /// A fresh one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
    /// Forgets everything: a new transaction, or another table.
    pub fn begin(&mut self, table: &Loaded) {
        let _ = table;
    }
    /// Forgets the facts of a recipient; those of the transaction stay.
    pub fn next_recipient(&mut self) {}
}

/// Where the verdict rules stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// No fact that is still pending can change it.
    Final(Ruling),
    /// Open: at least one of these facts is needed.
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

/// Decides the verdict rules in force (audit rules take no part).
#[must_use]
pub fn verdict(table: &Loaded, facts: &Facts<'_>, scratch: &mut Scratch) -> Outcome {
    let _ = (table, facts, scratch);
    Outcome::Final(Ruling::Default)
}

/// A hash of everything that can still part one recipient's open verdict from another's: equal
/// signatures of two recipients of one transaction mean equal verdicts, whatever the content is.
#[must_use]
pub fn signature(table: &Loaded, facts: &Facts<'_>, scratch: &mut Scratch) -> u64 {
    let _ = (table, facts, scratch);
    0
}

/// The rules of a kind that match, in order of rank, audit rules among them. Rules that hang on
/// pending or unknown facts are left out; returned is which facts those are.
pub fn matching(
    table: &Loaded,
    kind: Kind,
    facts: &Facts<'_>,
    scratch: &mut Scratch,
    out: &mut Vec<RuleId>,
) -> FactSet {
    let _ = (table, kind, facts, scratch);
    out.clear();
    FactSet::EMPTY
}
