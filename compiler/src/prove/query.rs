//! Asks for a message by conditions: a small SAT problem over the conditions at hand, with messages as
//! its theory.
//!
//! Only the conditions of one question become clauses. Each model of them is cut down to the tests that
//! matter and handed to [`super::theory`]: a message comes back, or a contradiction that becomes a
//! clause, and the search goes on.

use super::lits::Lits;
use super::theory::{self, Claim, Directions, Outcome, Space};
use super::world::World;
use batsat::{Lit, SolverInterface, lbool};
use edict_table::model::{Condition, ConditionId, PredicateId};
use std::collections::{BTreeMap, HashMap};

/// The most rounds of one question.
pub const MAX_ROUNDS: usize = 400;

/// What a question asks for.
#[derive(Clone, Copy, Debug)]
pub struct Question<'q> {
    /// All of these hold.
    pub must: &'q [ConditionId],
    /// Where there are any, at least one of these holds.
    pub any: &'q [ConditionId],
    /// Directions of the message.
    pub directions: Directions,
}

/// What whoever asks says to a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Say {
    /// That is it.
    Take,
    /// Another, for which this condition does not hold.
    Avoid(ConditionId),
    /// It is not what it should be: stop.
    Stop,
}

/// What came of a question.
#[derive(Debug)]
pub enum Reply {
    /// A message that was taken.
    Found(Box<World>),
    /// There is none.
    Never {
        /// The conditions to avoid which left nothing; none where nothing had to be avoided.
        blame: Vec<ConditionId>,
        /// The last contradiction among tests.
        clash: Vec<Claim>,
    },
    /// It could not be told.
    Unknown,
    /// It was not told within the bounds: nobody looked to the end.
    Unfinished,
}

struct Encoder<'s, 't> {
    space: &'s Space<'t>,
    lits: Lits,
    conditions: HashMap<ConditionId, Lit>,
}

impl Encoder<'_, '_> {
    /// The literal of a condition, with the clauses that define it.
    fn condition(&mut self, at: ConditionId) -> Lit {
        if let Some(lit) = self.conditions.get(&at) {
            return *lit;
        }
        let lit = match self.space.table.conditions.get(at as usize).cloned() {
            None | Some(Condition::True) => {
                let lit = self.lits.fresh();
                self.lits.clause(&[lit]);
                lit
            }
            Some(Condition::Test(predicate)) => self.lits.predicate(predicate),
            Some(Condition::Not(inner)) => !self.condition(inner),
            Some(Condition::All(parts)) => {
                let parts: Vec<Lit> = parts.iter().map(|p| self.condition(*p)).collect();
                let lit = self.lits.fresh();
                for part in &parts {
                    self.lits.clause(&[!lit, *part]);
                }
                let all: Vec<Lit> = parts.iter().map(|p| !*p).chain(std::iter::once(lit)).collect();
                self.lits.clause(&all);
                lit
            }
            Some(Condition::Any(parts)) => {
                let parts: Vec<Lit> = parts.iter().map(|p| self.condition(*p)).collect();
                let lit = self.lits.fresh();
                for part in &parts {
                    self.lits.clause(&[lit, !*part]);
                }
                let any: Vec<Lit> = parts.iter().copied().chain(std::iter::once(!lit)).collect();
                self.lits.clause(&any);
                lit
            }
        };
        self.conditions.insert(at, lit);
        lit
    }

    fn is(&self, lit: Lit) -> bool {
        self.lits.solver.value_lit(lit) == lbool::TRUE
    }

    fn holds(&self, at: ConditionId) -> bool {
        self.conditions.get(&at).is_some_and(|lit| self.is(*lit))
    }

    /// Collects tests that are enough for a condition to be what the model says.
    fn reasons(&self, at: ConditionId, out: &mut BTreeMap<PredicateId, bool>) {
        let value = self.holds(at);
        match self.space.table.conditions.get(at as usize) {
            None | Some(Condition::True) => {}
            Some(Condition::Test(predicate)) => drop(out.insert(*predicate, value)),
            Some(Condition::Not(inner)) => self.reasons(*inner, out),
            Some(Condition::All(parts)) if value => parts.iter().for_each(|p| self.reasons(*p, out)),
            Some(Condition::Any(parts)) if !value => parts.iter().for_each(|p| self.reasons(*p, out)),
            // One of them is enough; the one that needs nothing new if there is one.
            Some(Condition::All(parts) | Condition::Any(parts)) => {
                let wanted = |p: &&ConditionId| self.holds(**p) == value;
                let known = |p: &&ConditionId| {
                    matches!(self.space.table.conditions.get(**p as usize),
                        Some(Condition::Test(t)) if out.get(t) == Some(&value))
                };
                let pick = parts.iter().filter(wanted).find(known).or_else(|| parts.iter().find(wanted));
                if let Some(pick) = pick {
                    self.reasons(*pick, out);
                }
            }
        }
    }
}

/// Takes a condition apart into what must all be so, each with whether it must hold.
fn parts(space: &Space<'_>, at: ConditionId, holds: bool, out: &mut Vec<(ConditionId, bool)>) {
    match space.table.conditions.get(at as usize) {
        Some(Condition::Not(inner)) => parts(space, *inner, !holds, out),
        Some(Condition::All(inner)) if holds => inner.iter().for_each(|part| parts(space, *part, true, out)),
        Some(Condition::Any(inner)) if !holds => {
            inner.iter().for_each(|part| parts(space, *part, false, out))
        }
        _ => out.push((at, holds)),
    }
}

/// Parts of a condition that contradict each other whatever their tests come to; empty where they do not.
#[must_use]
pub fn contradiction(space: &Space<'_>, at: ConditionId) -> Vec<(ConditionId, bool)> {
    let mut encoder = Encoder { space, lits: Lits::default(), conditions: HashMap::new() };
    let mut all = Vec::new();
    parts(space, at, true, &mut all);
    // What has to hold comes first.
    all.sort_unstable_by_key(|(at, holds)| (!holds, *at));
    all.dedup();
    // Both sides of one test say it best.
    let both = all.iter().find(|(at, holds)| !holds && all.contains(&(*at, true)));
    if let Some((at, _)) = both {
        return vec![(*at, true), (*at, false)];
    }
    let lits: Vec<Lit> = all
        .iter()
        .map(|(at, holds)| {
            let lit = encoder.condition(*at);
            if *holds { lit } else { !lit }
        })
        .collect();
    if encoder.lits.solver.solve_limited(&lits) != lbool::FALSE {
        return Vec::new();
    }
    let core: Vec<Lit> = encoder.lits.solver.unsat_core().to_vec();
    let blamed = |lit: &Lit| core.iter().any(|c| c.var() == lit.var());
    all.into_iter().zip(&lits).filter(|(_, lit)| blamed(lit)).map(|(part, _)| part).collect()
}

/// Looks for a message. `judge` sees each one that fits and says what to do about it.
pub fn ask(space: &Space<'_>, question: &Question<'_>, judge: impl FnMut(&World) -> Say) -> Reply {
    ask_within(space, question, MAX_ROUNDS, judge)
}

/// The same with no more than so many rounds.
pub(super) fn ask_within(
    space: &Space<'_>,
    question: &Question<'_>,
    rounds: usize,
    mut judge: impl FnMut(&World) -> Say,
) -> Reply {
    let mut encoder = Encoder { space, lits: Lits::default(), conditions: HashMap::new() };
    for at in question.must {
        let lit = encoder.condition(*at);
        encoder.lits.clause(&[lit]);
    }
    if !question.any.is_empty() {
        let any: Vec<Lit> = question.any.iter().map(|at| encoder.condition(*at)).collect();
        encoder.lits.clause(&any);
    }
    let mut avoided: Vec<(ConditionId, Lit)> = Vec::new();
    let mut clash = Vec::new();
    let (mut tainted, mut short) = (false, false);
    space.took_short();
    for _ in 0..rounds {
        space.count_round();
        let assumptions: Vec<Lit> = avoided.iter().map(|(_, lit)| *lit).collect();
        let result = encoder.lits.solver.solve_limited(&assumptions);
        if result != lbool::TRUE {
            if tainted || result != lbool::FALSE {
                return if short { Reply::Unfinished } else { Reply::Unknown };
            }
            let core: Vec<Lit> = encoder.lits.solver.unsat_core().to_vec();
            let blamed = |lit: &Lit| core.iter().any(|c| c.var() == lit.var());
            let blame = avoided.iter().filter(|(_, lit)| blamed(lit)).map(|(at, _)| *at).collect();
            return Reply::Never { blame, clash };
        }
        let mut reasons = BTreeMap::new();
        for at in question.must.iter().chain(avoided.iter().map(|(at, _)| at)) {
            encoder.reasons(*at, &mut reasons);
        }
        if let Some(one) = question.any.iter().find(|at| encoder.holds(**at)) {
            encoder.reasons(*one, &mut reasons);
        }
        let claims: Vec<Claim> = reasons.into_iter().collect();
        let blocked = match theory::solve(space, &claims, question.directions) {
            Outcome::Found(world) => match judge(&world) {
                Say::Take => return Reply::Found(world),
                Say::Stop => return Reply::Unknown,
                Say::Avoid(at) => {
                    if avoided.iter().any(|(known, _)| *known == at) {
                        // Asked to avoid what it avoided: theory and table disagree.
                        return Reply::Unknown;
                    }
                    let lit = !encoder.condition(at);
                    avoided.push((at, lit));
                    continue;
                }
            },
            Outcome::Conflict(few) => {
                clash.clone_from(&few);
                few
            }
            Outcome::Unknown => {
                tainted = true;
                short |= space.took_short();
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
    Reply::Unfinished
}
