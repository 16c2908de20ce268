//! Rules of equal rank that match one message: nothing decides between them, or only their names do.

use super::meeting::Meeting;
use super::query::{MAX_ROUNDS, Question, Reply, Say, ask_within};
use super::theory::{Directions, Space};
use super::world::World;
use super::{DEFAULT_TEXTS, Finding, Prover, blocks, has_ties, is_asked, parts};
use edict_table::model::{Action, ConditionId, Kind, Mode, Rule, Verdict};
use std::cell::Cell;

/// The most rules of equal rank that one rule is asked about. Where equals are an error, nearly all of
/// them; verdict rules are many, and there only a lint hangs on it.
const MAX_EQUALS: usize = 2_000;
const MAX_EQUAL_VERDICTS: usize = 32;

/// The first of them that one question is about; there are more in each that follows.
const FIRST: usize = MAX_EQUAL_VERDICTS;
/// The most rounds of one rule in any case, and the most that all take beyond that.
const OWN_ROUNDS: usize = 32;
pub(super) const MAX_MORE_ROUNDS: usize = 200_000;

impl Prover<'_> {
    /// A rule of equal rank that can match the same message.
    pub(super) fn equals(&mut self, space: &Space<'_>, meeting: &Meeting, place: usize) -> Option<Finding> {
        let table = self.table;
        let rule = table.rules.get(place)?;
        if rule.mode != Mode::Enforce {
            return None;
        }
        let most = if rule.kind() == Kind::Verdict { MAX_EQUAL_VERDICTS } else { MAX_EQUALS };
        let near = meeting.equals(space, place, most);
        // Of verdict rules no more are looked at: their names decide, which only a lint tells.
        let cut = near.cut && has_ties(rule.kind());
        let equals = near.equals;
        parts(rule).find_map(|part| {
            let asked = |at: &&usize| table.rules.get(**at).is_some_and(|other| is_asked(other, part));
            let mut equals: Vec<usize> = equals.iter().filter(asked).copied().collect();
            let (mut left, mut chunk) = (MAX_ROUNDS.min(OWN_ROUNDS.saturating_add(self.rounds)), FIRST);
            let mut found = None;
            let before = space.rounds();
            // Most find somebody at once: who is far behind costs something only where he is looked at.
            while !equals.is_empty() && left > 0 && found.is_none() {
                let rest = equals.split_off(chunk.min(equals.len()));
                let start = space.rounds();
                found = self.equals_in(space, place, part, &equals, left);
                left = left.saturating_sub(space.rounds() - start);
                equals = rest;
                chunk = chunk.saturating_mul(4);
            }
            let used = space.rounds() - before;
            self.rounds = self.rounds.saturating_sub(used.saturating_sub(OWN_ROUNDS));
            if found.is_none() && (cut || !equals.is_empty()) {
                self.unfinished.insert(place);
            }
            found
        })
    }

    /// The same among some equals, in directions in which all of them are asked.
    fn equals_in(
        &mut self,
        space: &Space<'_>,
        place: usize,
        part: Directions,
        equals: &[usize],
        rounds: usize,
    ) -> Option<Finding> {
        let rule = self.table.rules.get(place)?;
        let kind = rule.kind();
        let condition = |at: &usize| self.table.rules.get(*at).map(|other| other.condition);
        let any: Vec<ConditionId> = equals.iter().filter_map(condition).collect();
        let must = [rule.condition];
        let question = Question { must: &must, any: &any, directions: part };
        let mut other_place = None;
        let avoided = Cell::new(false);
        let mut judge = |world: &World, strict: bool| {
            self.matching(kind, world);
            let mut own = false;
            let mut found = None;
            for id in &self.matched {
                let at = id.0 as usize;
                let Some(other) = self.rule_at(*id) else { continue };
                let equal = equals.contains(&at);
                if at == place {
                    own = true;
                } else if strict
                    && !own
                    && !equal
                    && found.is_none()
                    && is_asked(other, part)
                    && blocks(other, rule)
                {
                    // A third one decides this mail: it would show nothing.
                    avoided.set(avoided.get() || other.priority == rule.priority);
                    return Say::Avoid(other.condition);
                } else if other.priority < rule.priority && is_asked(other, part) && blocks(other, rule) {
                    // Neither of the two would be asked.
                    return Say::Avoid(other.condition);
                } else if found.is_none() && equal {
                    found = Some(at);
                }
            }
            other_place = found;
            if own && found.is_some() { Say::Take } else { Say::Stop }
        };
        let mut reply = ask_within(space, &question, rounds, |world| judge(world, kind == Kind::Verdict));
        let shown = matches!(reply, Reply::Found(_));
        if !shown && avoided.get() {
            reply = ask_within(space, &question, rounds, |world| judge(world, false));
        }
        if matches!(reply, Reply::Unfinished) {
            self.unfinished.insert(place);
        }
        let (Reply::Found(world), Some(other)) = (reply, other_place) else { return None };
        let example = if shown { world.example(&self.table.profile.time_zone) } else { Vec::new() };
        Some(match kind {
            Kind::Verdict => Finding::ByName { first: other, second: place, example },
            _ => Finding::Undecided { first: other, second: place, example },
        })
    }
}

/// Whether two rules of equal priority would both want to decide, with different results.
pub(super) fn contend(a: &Rule, b: &Rule) -> bool {
    if a.priority != b.priority {
        return false;
    }
    match (&a.action, &b.action) {
        // Who wrote no reply does not mind which one is sent.
        (Action::Verdict(a), Action::Verdict(b)) => {
            let minds =
                |v: &Verdict| v.reply.as_ref().is_some_and(|r| !DEFAULT_TEXTS.contains(&r.text.as_str()));
            a.verb == b.verb && a.reply != b.reply && minds(a) && minds(b)
        }
        (Action::Quota(a), Action::Quota(b)) => a.per == b.per && a != b,
        (Action::Disclaimer(a), Action::Disclaimer(b)) => !(a.proceed && b.proceed),
        (Action::Route(a), Action::Route(b)) => a != b,
        _ => false,
    }
}
