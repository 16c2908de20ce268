//! The solver with a literal for each test, which both encodings of conditions stand on.

use batsat::{BasicSolver, Lit, SolverInterface};
use edict_table::model::PredicateId;
use std::collections::BTreeMap;

/// A solver and the literals of the tests that it has met.
#[derive(Default)]
pub(super) struct Lits {
    pub(super) solver: BasicSolver,
    pub(super) predicates: BTreeMap<PredicateId, Lit>,
}

impl Lits {
    pub(super) fn fresh(&mut self) -> Lit {
        Lit::new(self.solver.new_var_default(), true)
    }

    pub(super) fn clause(&mut self, lits: &[Lit]) {
        self.solver.add_clause_reuse(&mut lits.to_vec());
    }

    pub(super) fn predicate(&mut self, at: PredicateId) -> Lit {
        if let Some(lit) = self.predicates.get(&at) {
            return *lit;
        }
        let lit = self.fresh();
        self.predicates.insert(at, lit);
        lit
    }
}
