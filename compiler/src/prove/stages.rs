//! The earliest moment at which each rule can be decided, exactly: for each rule a message is looked for by
//! which it holds, and by which it decides, with nothing known but what is known by then.
//!
//! [`rules_by_stage`] gives a bound from the shape of the conditions alone; where two of them ask the same, or one
//! thing follows from another, the truth may come later. A stage told here was shown by the table itself on a
//! message, or the bound stands where that could not be found out.

use super::directions;
use super::early::ask_early;
use super::query::{Reply, Say};
use super::theory::Space;
use super::world::World;
use edict_table::decide::{self, RuleStage, Scratch, Truth, rules_by_stage};
use edict_table::fact::Stage;
use edict_table::load::{Loaded, RuleId};
use edict_table::model::{ConditionId, Kind, Mode, Table};

/// For each rule of a table, in its order, when it can hold and when it can decide. `table` is what `loaded` holds.
#[must_use]
pub fn stages(table: &Table, loaded: &Loaded) -> Vec<RuleStage> {
    let space = Space::new(table);
    let mut search = Search { table, loaded, scratch: Scratch::new(), found: Vec::new() };
    let mut out = rules_by_stage(loaded);
    for (place, bound) in out.iter_mut().enumerate() {
        search.rule(&space, place, bound);
    }
    out
}

struct Search<'t> {
    table: &'t Table,
    loaded: &'t Loaded,
    scratch: Scratch,
    found: Vec<(RuleId, Truth)>,
}

/// What came of looking at one stage.
enum Look {
    /// It can be so by then.
    Yes,
    /// It cannot; rules of these conditions are in the way, the best first.
    No(Vec<ConditionId>),
    Unknown,
}

impl Search<'_> {
    fn rule(&mut self, space: &Space<'_>, place: usize, bound: &mut RuleStage) {
        let Some(rule) = self.table.rules.get(place) else { return };
        let Some(holds) =
            self.first(bound.holds, &mut |search, stage| search.look(space, place, stage, false))
        else {
            // It never holds: that is for the proofs to tell.
            return;
        };
        bound.holds = holds.0;
        if rule.kind() != Kind::Verdict {
            bound.decides = holds.0;
            return;
        }
        let from = bound.decides.max(holds.0);
        let Some((stage, blame)) =
            self.first(from, &mut |search, stage| search.look(space, place, stage, true))
        else {
            return;
        };
        bound.decides = stage;
        if stage == bound.holds {
            bound.waits_for = None;
        } else if let Some(blame) = blame {
            let better = self.table.rules.iter().take(place);
            let by = better
                .zip(0u32..)
                .find(|(other, _)| other.mode == Mode::Enforce && blame.contains(&other.condition));
            bound.waits_for = by.map(|(_, at)| RuleId(at)).or(bound.waits_for);
        }
    }

    /// The first stage at which it is so, and what was in the way until then. None where it never is.
    fn first(
        &mut self,
        from: Stage,
        look: &mut impl FnMut(&mut Self, Stage) -> Look,
    ) -> Option<(Stage, Option<Vec<ConditionId>>)> {
        let mut blame = None;
        for stage in Stage::ALL.into_iter().filter(|stage| *stage >= from) {
            match look(self, stage) {
                Look::Yes | Look::Unknown => return Some((stage, blame)),
                Look::No(by) => blame = Some(by),
            }
        }
        None
    }

    /// Whether a rule can hold by a stage, or with `alone` decide: no better rule is open or holds.
    fn look(&mut self, space: &Space<'_>, place: usize, stage: Stage, alone: bool) -> Look {
        let Some(rule) = self.table.rules.get(place) else { return Look::Unknown };
        let reply = ask_early(space, rule.condition, directions(rule), stage, |world| {
            self.judge(world, place, stage, alone)
        });
        match reply {
            Reply::Found(_) => Look::Yes,
            Reply::Never { blame, .. } => Look::No(blame),
            Reply::Unknown | Reply::Unfinished => Look::Unknown,
        }
    }

    fn judge(&mut self, world: &World, place: usize, stage: Stage, alone: bool) -> Say {
        let Some(rule) = self.table.rules.get(place) else { return Say::Stop };
        let Self { table, loaded, scratch, found } = self;
        scratch.begin(loaded);
        world.facts_until(stage, |facts| decide::candidates(loaded, rule.kind(), facts, scratch, found));
        for (id, value) in found.iter() {
            if id.0 as usize == place {
                return if *value == Truth::Yes { Say::Take } else { Say::Stop };
            }
            let other = table.rules.get(id.0 as usize).filter(|other| alone && other.mode == Mode::Enforce);
            if let Some(other) = other {
                return Say::Avoid(other.condition);
            }
        }
        Say::Stop
    }
}
