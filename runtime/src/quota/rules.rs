//! From the quota rules that match a message's outbound recipients to what it needs of which counter.
//!
//! Among quotas with the same `per` the first in rank holds for a recipient; different `per` all hold.
//! Usage is counted by key whatever the rules say, so that editing one resets nothing. Audit rules are
//! counted and watched, never held against a message.

use super::amount::{Amount, Unit, Window};
use super::book::{Bound, Need};
use super::keys::Keys;
use edict_table::load::{Loaded, RuleId};
use edict_table::model::{Action, Mode, Quota, QuotaPer};

/// What a message needs.
#[derive(Debug, Default)]
pub struct Plan {
    /// For the book; the number in a bound is a place in `rules`.
    pub needs: Vec<Need>,
    /// The rules that hold.
    pub rules: Vec<RuleId>,
    /// Audit rules: what each would have held against the message, by key.
    pub audits: Vec<(RuleId, String, Vec<Bound>)>,
}

/// Gathers the matches of a message's outbound recipients.
#[derive(Debug)]
pub struct Planner<'a> {
    table: &'a Loaded,
    keys: &'a Keys<'a>,
    recipients: u64,
    /// Rule and for how many recipients it holds; audit rules apart.
    holding: Vec<(RuleId, u64)>,
    watching: Vec<(RuleId, u64)>,
}

impl<'a> Planner<'a> {
    /// Starts a message.
    #[must_use]
    pub fn new(table: &'a Loaded, keys: &'a Keys<'a>) -> Self {
        Self { table, keys, recipients: 0, holding: Vec::new(), watching: Vec::new() }
    }

    /// A final outbound recipient, with the quota rules that match it in order of rank.
    pub fn recipient(&mut self, matching: &[RuleId]) {
        self.recipients += 1;
        let mut held: [bool; 4] = [false; 4];
        for id in matching {
            let Some((rule, quota)) = quota(self.table, *id) else { continue };
            if rule == Mode::Audit {
                note(&mut self.watching, *id);
            } else if let Some(held) = held.get_mut(place(quota.per))
                && !*held
            {
                *held = true;
                note(&mut self.holding, *id);
            }
        }
    }

    /// What the message needs in all, with its size as received.
    #[must_use]
    pub fn finish(self, bytes: u64) -> Plan {
        let mut plan = Plan::default();
        if self.recipients == 0 {
            return plan;
        }
        let whole = Amount { messages: 1, recipients: self.recipients, bytes };
        plan.needs.push(Need { key: self.keys.user.clone(), add: whole, bounds: Vec::new() });
        for (id, recipients) in &self.holding {
            let Some((key, add, bounds)) = self.claim(*id, *recipients, whole) else { continue };
            let number = plan.rules.len();
            plan.rules.push(*id);
            let need = need(&mut plan.needs, key, add);
            need.bounds.extend(bounds.into_iter().map(|bound| (number, bound)));
        }
        for (id, recipients) in &self.watching {
            let Some((key, add, bounds)) = self.claim(*id, *recipients, whole) else { continue };
            need(&mut plan.needs, key.clone(), add);
            plan.audits.push((*id, key, bounds));
        }
        plan
    }

    fn claim(&self, id: RuleId, recipients: u64, whole: Amount) -> Option<(String, Amount, Vec<Bound>)> {
        let (_, quota) = quota(self.table, id)?;
        let name = self.table.rule(id)?.name;
        // A counter of one rule holds what that rule is about, the others all that leaves.
        let add = if quota.per == QuotaPer::Rule { Amount { recipients, ..whole } } else { whole };
        Some((self.keys.of(quota.per, name), add, bounds(quota)))
    }
}

fn need(needs: &mut Vec<Need>, key: String, add: Amount) -> &mut Need {
    let place = needs.iter().position(|need| need.key == key).unwrap_or(needs.len());
    if place == needs.len() {
        needs.push(Need { key, add, bounds: Vec::new() });
    }
    #[expect(clippy::indexing_slicing, reason = "found or pushed just above")]
    &mut needs[place]
}

fn quota(table: &Loaded, id: RuleId) -> Option<(Mode, &Quota)> {
    let rule = table.rule(id)?;
    match rule.action {
        Action::Quota(quota) => Some((rule.mode, quota)),
        _ => None,
    }
}

fn note(list: &mut Vec<(RuleId, u64)>, id: RuleId) {
    match list.iter_mut().find(|(have, _)| *have == id) {
        Some((_, count)) => *count += 1,
        None => list.push((id, 1)),
    }
}

fn place(per: QuotaPer) -> usize {
    match per {
        QuotaPer::User => 0,
        QuotaPer::Sender => 1,
        QuotaPer::SenderDomain => 2,
        QuotaPer::Rule => 3,
    }
}

/// The bounds of a quota.
#[must_use]
pub fn bounds(quota: &Quota) -> Vec<Bound> {
    let window = if quota.rolling { Window::Rolling } else { Window::CalendarDay };
    let all =
        [(Unit::Messages, quota.messages), (Unit::Recipients, quota.recipients), (Unit::Bytes, quota.bytes)];
    let bound = |(unit, most): (Unit, Option<u64>)| {
        let most = most?;
        // Rounded up: 80 % of eight is seven, since six is only 75 %.
        let share =
            |percent: u8| most / 100 * u64::from(percent) + (most % 100 * u64::from(percent)).div_ceil(100);
        // A threshold of nothing would never be passed.
        Some(Bound { unit, most, window, warn_from: quota.warn_percent.map(|p| share(p).max(1)) })
    };
    all.into_iter().filter_map(bound).collect()
}
