//! Memory of an evaluation, reused from message to message.
//!
//! Nothing is cleared between messages: every mark carries the number of the transaction or recipient
//! that made it, and an older number counts as no mark.

use crate::facts::FactSet;
use crate::load::Loaded;

/// How far a column is evaluated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum State {
    /// The fact is not final.
    #[default]
    Open,
    /// A lookup failed for now.
    Unknown,
    /// What fires has fired.
    Done,
}

/// A column's evaluation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ColumnMark {
    /// The transaction or recipient it belongs to.
    pub(super) mark: u32,
    pub(super) state: State,
    /// The tests that fired, a range of the list of its scope.
    pub(super) from: u32,
    pub(super) to: u32,
}

/// Memory of an evaluation, reused from message to message. Grows to the table's size once.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The table it fits.
    pub(super) table: u64,
    clock: u32,
    pub(super) transaction: u32,
    pub(super) recipient: u32,
    /// For each test the mark of when it fired, times two; or that plus one: it was asked and failed.
    pub(super) tests: Vec<u32>,
    pub(super) columns: Vec<ColumnMark>,
    /// Tests that fired, of transaction facts and of recipient facts.
    pub(super) fired: [Vec<u32>; 2],
    /// For each matcher, the last value it was asked about.
    pub(super) asked: Vec<u32>,
    pub(super) value: u32,
    /// Rules that hang on a failed lookup.
    pub(super) unknown: Vec<u32>,
    /// What parts recipients.
    pub(super) parts: Vec<(u64, u64)>,
    /// An address without its extension.
    pub(super) text: String,
    /// The image was not what had been checked.
    pub(super) corrupt: bool,
}

/// Marks are kept below this, so that they can be doubled.
const MARKS: u32 = u32::MAX / 2 - 1;

impl Scratch {
    /// A fresh one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything: a new transaction, or another table.
    #[inline]
    pub fn begin(&mut self, table: &Loaded) {
        if self.table != table.id {
            self.fit(table);
        }
        self.tick();
        self.transaction = self.clock;
        self.recipient = self.clock;
        self.corrupt = false;
        self.fired.iter_mut().for_each(Vec::clear);
    }

    /// Makes room for another table.
    #[cold]
    fn fit(&mut self, table: &Loaded) {
        self.table = table.id;
        self.clock = 0;
        self.value = 0;
        let tests = table.columns.last().map_or(0, |c| c.end as usize);
        self.tests.clear();
        self.tests.resize(tests, 0);
        self.columns.clear();
        self.columns.resize(table.columns.len(), ColumnMark::default());
        self.asked.clear();
        self.asked.resize(table.matchers.len(), 0);
    }

    /// The facts whose values were looked up for this transaction and recipient: what decisions cost so far.
    #[must_use]
    pub fn looked_up(&self, table: &Loaded) -> FactSet {
        let mut out = FactSet::EMPTY;
        for (column, known) in table.columns.iter().zip(&self.columns) {
            if known.mark == self.mark(column.recipient) && known.state != State::Open {
                out.insert(column.fact);
            }
        }
        out
    }

    /// Forgets the facts of a recipient; those of the transaction stay.
    pub fn next_recipient(&mut self) {
        let before = self.transaction;
        self.tick();
        // After a wrap the transaction's marks are gone with all others: it is evaluated anew.
        if self.clock <= before {
            self.transaction = self.clock;
            self.fired.iter_mut().for_each(Vec::clear);
        }
        self.recipient = self.clock;
        if let Some(fired) = self.fired.get_mut(1) {
            fired.clear();
        }
    }

    fn tick(&mut self) {
        if self.clock >= MARKS {
            self.clock = 0;
            self.tests.fill(0);
            self.columns.fill(ColumnMark::default());
        }
        self.clock += 1;
    }

    /// A number for the next value that matchers are asked about.
    pub(super) fn next_value(&mut self) -> u32 {
        if self.value == u32::MAX {
            self.value = 0;
            self.asked.fill(0);
        }
        self.value += 1;
        self.value
    }

    /// The mark of a scope.
    pub(super) fn mark(&self, recipient: bool) -> u32 {
        if recipient { self.recipient } else { self.transaction }
    }

    /// A test holds.
    #[inline]
    pub(super) fn fire(&mut self, test: u32, recipient: bool) {
        let mark = self.mark(recipient) * 2;
        if let Some(slot) = self.tests.get_mut(test as usize)
            && *slot != mark
        {
            *slot = mark;
            if let Some(fired) = self.fired.get_mut(usize::from(recipient)) {
                fired.push(test);
            }
        }
    }

    /// Whether a test holds: none where it has neither fired nor failed.
    #[inline]
    pub(super) fn fired(&self, test: u32, recipient: bool) -> Option<bool> {
        let mark = self.mark(recipient) * 2;
        match self.tests.get(test as usize) {
            Some(slot) if *slot == mark => Some(true),
            Some(slot) if *slot == mark + 1 => Some(false),
            _ => None,
        }
    }

    /// Notes the answer of a test that is on no list of what fired.
    pub(super) fn note(&mut self, test: u32, recipient: bool, holds: bool) {
        let mark = self.mark(recipient) * 2;
        if let Some(slot) = self.tests.get_mut(test as usize) {
            *slot = mark + u32::from(!holds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emit::emit;
    use crate::model::Table;
    use std::sync::Arc;

    #[test]
    fn the_clock_starts_anew() {
        let table = Loaded::new(Arc::new(emit(&Table::default()))).unwrap();
        let mut scratch = Scratch::new();
        scratch.begin(&table);
        scratch.tests.resize(2, 0);
        scratch.clock = MARKS - 2;
        scratch.begin(&table);
        scratch.fire(0, false);
        scratch.next_recipient();
        scratch.fire(1, true);
        assert_eq!((scratch.fired(0, false), scratch.fired(1, true)), (Some(true), Some(true)));
        // The next one wraps: every mark is gone, and the transaction is evaluated anew.
        scratch.next_recipient();
        assert_eq!(scratch.transaction, scratch.recipient);
        assert_eq!((scratch.fired(0, false), scratch.fired(1, true)), (None, None));
        assert!(scratch.fired.iter().all(Vec::is_empty));
        scratch.value = u32::MAX;
        scratch.asked = vec![7];
        assert_eq!((scratch.next_value(), scratch.asked.clone()), (1, vec![0]));
    }
}
