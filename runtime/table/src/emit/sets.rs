//! Distinct sets of lists, and for each the tests that hold for a value in just these lists.

use super::{EmitError, count};
use std::collections::HashMap;

/// Sets of lists, each once. Set 0 is empty.
#[derive(Default)]
pub(super) struct Sets {
    ends: Vec<u32>,
    lists: Vec<u32>,
    single: HashMap<u32, u32>,
    many: HashMap<Vec<u32>, u32>,
}

impl Sets {
    /// With the empty set.
    pub(super) fn new() -> Self {
        Self { ends: vec![0], ..Self::default() }
    }

    /// The id of a set; `lists` is sorted, each once.
    pub(super) fn id(&mut self, lists: &[u32]) -> Result<u32, EmitError> {
        let known = match lists {
            [] => return Ok(0),
            [one] => self.single.get(one),
            many => self.many.get(many),
        };
        if let Some(id) = known {
            return Ok(*id);
        }
        let id = count(self.ends.len(), "sets of lists")?;
        self.lists.extend_from_slice(lists);
        self.ends.push(count(self.lists.len(), "members of sets")?);
        match lists {
            [one] => self.single.insert(*one, id),
            many => self.many.insert(many.to_vec(), id),
        };
        Ok(id)
    }

    /// Ends and members.
    pub(super) fn lists(&self) -> (&[u32], &[u32]) {
        (&self.ends, &self.lists)
    }

    /// Ends and tests: for each set the tests on any of its lists, ascending. `tests` gives those on a list.
    pub(super) fn tests(&self, tests: &[Vec<u32>]) -> Result<(Vec<u32>, Vec<u32>), EmitError> {
        let mut ends = Vec::with_capacity(self.ends.len());
        let mut all: Vec<u32> = Vec::new();
        let mut start = 0;
        for end in &self.ends {
            let from = all.len();
            for list in self.lists.get(start..*end as usize).unwrap_or_default() {
                all.extend(tests.get(*list as usize).into_iter().flatten());
            }
            if let Some(these) = all.get_mut(from..) {
                these.sort_unstable();
            }
            ends.push(count(all.len(), "tests of sets")?);
            start = *end as usize;
        }
        Ok((ends, all))
    }
}
