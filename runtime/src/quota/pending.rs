//! What the log holds and the database does not, until a checkpoint.
//!
//! Where checkpoints fail it is summed up by counter and slot: it must not grow with each message that the log
//! takes meanwhile. No disk here.

use super::amount::slot_of;
use super::disk::Delta;
use std::collections::BTreeMap;

/// The usage that is to be stored.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Up to this record all is stored.
    pub covered: u64,
    /// What is not.
    pub deltas: Vec<Delta>,
    /// The last record of the last checkpoint that was begun: nobody knows whether the database has what it was to store,
    /// before the database says so.
    pub tried: u64,
    /// The database holds chores for the shared counters.
    chores: bool,
}

impl Pending {
    pub fn new(covered: u64, chores: bool) -> Self {
        Self { covered, chores, tried: covered, deltas: Vec::new() }
    }

    /// Whether the database would be the same after a checkpoint without chores.
    pub fn has_nothing_to(&self, seq: u64) -> bool {
        !self.chores && self.deltas.iter().all(|delta| delta.seq > seq)
    }

    /// What records up to this one added.
    pub fn up_to(&self, seq: u64) -> Vec<Delta> {
        self.deltas.iter().filter(|delta| delta.seq <= seq).cloned().collect()
    }

    /// It is stored.
    pub fn saved(&mut self, seq: u64, chores: bool) {
        self.deltas.retain(|delta| delta.seq > seq);
        (self.covered, self.chores) = (seq, chores);
    }

    /// It is not: sums it up, apart what may be stored already.
    pub fn fold(&mut self, seq: u64) {
        let mut sums: BTreeMap<(u64, String, i64, i32), Delta> = BTreeMap::new();
        let (old, new): (Vec<Delta>, Vec<Delta>) = self.deltas.drain(..).partition(|delta| delta.seq <= seq);
        for mut delta in old {
            delta.seq = if delta.seq <= self.tried { self.tried } else { seq };
            match sums.entry((delta.seq, delta.key.clone(), slot_of(delta.at), delta.day)) {
                std::collections::btree_map::Entry::Vacant(place) => {
                    place.insert(delta);
                }
                std::collections::btree_map::Entry::Occupied(mut sum) => {
                    let sum = sum.get_mut();
                    sum.amount = sum.amount.plus(delta.amount);
                    // A reset that comes takes all of it, one that came took its part before.
                    sum.at = sum.at.max(delta.at);
                }
            }
        }
        self.deltas = sums.into_values().chain(new).collect();
    }
}
