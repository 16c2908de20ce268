//! The parts that a decision is made of, one by one, so that `edict bench` can say what each costs.

use super::eval::Eval;
use super::scratch::{Scratch, State};
use crate::facts::Facts;
use crate::index::text::TextIndex;
use crate::load::Loaded;

/// The lookup of one fact: every test on it is answered at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lookup {
    place: u32,
    /// The fact, as rules write it.
    pub name: String,
    /// Tests on it.
    pub tests: usize,
    /// Bytes of its automaton, where it has one.
    pub bytes: usize,
    /// Whether verdicts in force are found through it; else it is made only when a rule asks.
    pub finds: bool,
}

/// Every lookup of a table.
#[must_use]
pub fn lookups(table: &Loaded) -> Vec<Lookup> {
    let all = table.columns.iter().zip(0u32..);
    all.map(|(column, place)| Lookup {
        place,
        name: column.name(),
        tests: (column.end - column.first) as usize,
        bytes: column.text.as_ref().map_or(0, |text: &TextIndex| text.size().0),
        finds: column.hot_best != u32::MAX,
    })
    .collect()
}

impl Lookup {
    /// Makes it, unless it was made for this transaction. Whether the fact is known.
    pub fn make(&self, table: &Loaded, facts: &Facts<'_>, scratch: &mut Scratch) -> bool {
        Eval::new(table, facts, scratch).column(self.place) == State::Done
    }
}
