//! Asks for a message by which a condition is sure to hold at a stage, as [`super::query`] does for the whole
//! of a message.
//!
//! What is not known by then is neither yes nor no: a condition has two literals, *surely so* and *surely not*,
//! and a test of a later stage has neither.

use super::lits::Lits;
use super::query::{MAX_ROUNDS, Reply, Say};
use super::theory::{self, Claim, Directions, Outcome, Space};
use super::world::World;
use batsat::{Lit, SolverInterface, lbool};
use edict_table::fact::{Fact, Stage};
use edict_table::model::{Condition, ConditionId, PredicateId};
use std::collections::{BTreeMap, HashMap};

struct Encoder<'s, 't> {
    space: &'s Space<'t>,
    until: Stage,
    lits: Lits,
    /// By condition and what it is to be: true only where it surely is.
    surely: HashMap<(ConditionId, bool), Lit>,
}

impl Encoder<'_, '_> {
    /// Whether a test can be known to be so by now.
    fn is_known(&self, at: PredicateId, holds: bool) -> bool {
        let Some(predicate) = self.space.table.predicates.get(at as usize) else { return false };
        // A header that cannot be read is enough; that all is well is known at the very end.
        let early = predicate.fact == Fact::Malformed && holds;
        let stage = if early { Stage::Header } else { predicate.fact.row().stage };
        stage <= self.until
    }

    fn known(&self, at: ConditionId, holds: bool) -> bool {
        self.surely.get(&(at, holds)).is_some_and(|lit| self.lits.solver.value_lit(*lit) == lbool::TRUE)
    }

    /// The literal of a condition being surely so. It implies its parts; nothing implies it.
    fn surely(&mut self, at: ConditionId, holds: bool) -> Lit {
        if let Some(lit) = self.surely.get(&(at, holds)) {
            return *lit;
        }
        let never = |encoder: &mut Self| {
            let lit = encoder.lits.fresh();
            encoder.lits.clause(&[!lit]);
            lit
        };
        let lit = match self.space.table.conditions.get(at as usize).cloned() {
            None | Some(Condition::True) if holds => self.lits.fresh(),
            None | Some(Condition::True) => never(self),
            Some(Condition::Test(test)) if self.is_known(test, holds) => {
                let lit = self.lits.predicate(test);
                if holds { lit } else { !lit }
            }
            Some(Condition::Test(_)) => never(self),
            Some(Condition::Not(inner)) => self.surely(inner, !holds),
            Some(Condition::All(parts) | Condition::Any(parts)) => {
                let lits: Vec<Lit> = parts.iter().map(|part| self.surely(*part, holds)).collect();
                let lit = self.lits.fresh();
                if self.is_each(at, holds) {
                    lits.iter().for_each(|part| self.lits.clause(&[!lit, *part]));
                } else {
                    let some: Vec<Lit> = lits.into_iter().chain(std::iter::once(!lit)).collect();
                    self.lits.clause(&some);
                }
                lit
            }
        };
        self.surely.insert((at, holds), lit);
        lit
    }

    /// Whether each part has to be so; else one is enough.
    fn is_each(&self, at: ConditionId, holds: bool) -> bool {
        matches!(self.space.table.conditions.get(at as usize), Some(Condition::All(_))) == holds
    }

    /// Collects tests that are enough for a condition to be surely so.
    fn reasons(&self, at: ConditionId, holds: bool, out: &mut BTreeMap<PredicateId, bool>) {
        match self.space.table.conditions.get(at as usize) {
            None | Some(Condition::True) => {}
            Some(Condition::Test(test)) => drop(out.insert(*test, holds)),
            Some(Condition::Not(inner)) => self.reasons(*inner, !holds, out),
            Some(Condition::All(parts) | Condition::Any(parts)) if self.is_each(at, holds) => {
                parts.iter().for_each(|part| self.reasons(*part, holds, out));
            }
            Some(Condition::All(parts) | Condition::Any(parts)) => {
                if let Some(part) = parts.iter().find(|part| self.known(**part, holds)) {
                    self.reasons(*part, holds, out);
                }
            }
        }
    }
}

/// Looks for a message by which a condition surely holds at a stage. `judge` sees each one that fits, and what it
/// says to avoid has to be surely not so.
pub fn ask_early(
    space: &Space<'_>,
    must: ConditionId,
    directions: Directions,
    until: Stage,
    mut judge: impl FnMut(&World) -> Say,
) -> Reply {
    let mut encoder = Encoder { space, until, lits: Lits::default(), surely: HashMap::new() };
    let lit = encoder.surely(must, true);
    encoder.lits.clause(&[lit]);
    let mut avoided: Vec<(ConditionId, Lit)> = Vec::new();
    let mut tainted = false;
    for _ in 0..MAX_ROUNDS {
        let assumptions: Vec<Lit> = avoided.iter().map(|(_, lit)| *lit).collect();
        let result = encoder.lits.solver.solve_limited(&assumptions);
        if result != lbool::TRUE {
            if tainted || result != lbool::FALSE {
                return Reply::Unknown;
            }
            let core: Vec<Lit> = encoder.lits.solver.unsat_core().to_vec();
            let blamed = |lit: &Lit| core.iter().any(|c| c.var() == lit.var());
            let blame = avoided.iter().filter(|(_, lit)| blamed(lit)).map(|(at, _)| *at).collect();
            return Reply::Never { blame, clash: Vec::new() };
        }
        let mut reasons = BTreeMap::new();
        encoder.reasons(must, true, &mut reasons);
        for (at, _) in &avoided {
            encoder.reasons(*at, false, &mut reasons);
        }
        let claims: Vec<Claim> = reasons.into_iter().collect();
        let blocked = match theory::solve(space, &claims, directions) {
            Outcome::Found(world) => match judge(&world) {
                Say::Take => return Reply::Found(world),
                Say::Stop => return Reply::Unknown,
                // Asked to avoid what it avoided: theory and table disagree.
                Say::Avoid(at) if avoided.iter().any(|(known, _)| *known == at) => return Reply::Unknown,
                Say::Avoid(at) => {
                    let lit = encoder.surely(at, false);
                    avoided.push((at, lit));
                    continue;
                }
            },
            Outcome::Conflict(few) => few,
            Outcome::Unknown => {
                tainted = true;
                claims
            }
        };
        let clause: Vec<Lit> = blocked
            .iter()
            .map(|(at, holds)| {
                let lit = encoder.lits.predicate(*at);
                if *holds { !lit } else { lit }
            })
            .collect();
        encoder.lits.clause(&clause);
    }
    Reply::Unknown
}
