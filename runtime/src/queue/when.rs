//! When a message is tried again, and what time says to it: the back-off of its attempts, whether it is late or past its lifetime.

use super::aside::Aside;
use super::crowd;
use super::entry::Entry;
use super::wish::Wish;
use super::{Inner, now};
use crate::spool::deferred::State;
use std::time::Instant;

/// What time says to a message.
pub(super) struct Age {
    /// It is past its lifetime: who is put off is given up.
    pub over: bool,
    /// Its author is to be told that it is late.
    pub late: bool,
    /// Until when it is tried.
    pub until: i64,
}

impl Inner {
    /// What time says to a message that came, or was released, `since` then.
    pub(super) fn age(&self, entry: &Entry, since: i64, wish: Wish) -> Age {
        // What was held is as if it had come when it was released.
        let start = entry.received.max(since);
        let (over, late) = self.past(start);
        // What is to be kept is not given up meanwhile, and of what is thrown away nobody is told.
        let stopped = matches!(wish, Wish::Hold | Wish::Remove);
        let lifetime = self.ways.load().settings.lifetime.as_millis();
        let lifetime = i64::try_from(lifetime).unwrap_or(i64::MAX);
        Age {
            over: over && !stopped,
            // Nobody is told of a delay until a time that is over.
            late: !entry.state.warned && late && !over && !stopped,
            until: start.saturating_add(lifetime),
        }
    }

    /// How often whoever of those that wait was tried least in this attempt, and when the first of them is due. Some may have
    /// been tried more often than others, whose hop took long. Those who had no berth were not tried: they are due soon, and
    /// with others, who have their own time, as after a first attempt; the others' back-off does not grow by that, but by what they were
    /// tried aside.
    pub(super) fn next_try(&self, state: &State, aside: Option<&Aside>) -> (u32, i64) {
        let (mut least, mut new, mut first, mut aside_least) = (None, None, None, None);
        let earlier = |old: Option<u32>, tries: u32| Some(old.map_or(tries, |old| old.min(tries)));
        let without = state.reasons.iter().filter(|(.., text)| crowd::is_of_berths(text)).count();
        if without > 0 && without == state.reasons.len() {
            let tried = aside.and_then(|aside| aside.put_off.values().map(|before| before.tries).min());
            return (tried.unwrap_or(0), now().saturating_add_unsigned(crowd::soon()));
        }
        for (dispatch, target, text) in &state.reasons {
            if crowd::is_of_berths(text) {
                continue;
            }
            let before = aside.and_then(|aside| aside.put_off.get(&(*dispatch, *target)));
            let due = before.and_then(|before| before.due);
            let tries = before.map_or(0, |before| before.tries).saturating_add(u32::from(due.is_none()));
            least = earlier(least, tries);
            aside_least = earlier(aside_least, before.map_or(0, |before| before.tries));
            match due {
                Some(due) => first = Some(first.map_or(due, |first: Instant| first.min(due))),
                None => new = earlier(new, tries),
            }
        }
        let least = least.unwrap_or(1);
        let planned = first.map(|first| {
            let wait = first.saturating_duration_since(Instant::now()).as_millis();
            i64::try_from(wait).unwrap_or(i64::MAX / 4)
        });
        let new = if planned.is_none() { Some(new.unwrap_or(least)) } else { new };
        let wait = new.map(|tries| self.wait(state.attempts.saturating_add(tries)));
        let waiting = (without > 0).then(|| self.wait(1));
        let wait = [planned, wait, waiting].into_iter().flatten().min().unwrap_or(0);
        let tries = if without > 0 { aside_least.unwrap_or(0) } else { least };
        (tries, now().saturating_add(wait))
    }

    /// The most milliseconds until the next attempt.
    pub(super) fn longest_wait(&self) -> i64 {
        let longest = self.ways.load().settings.retry_max.mul_f64(1.2);
        i64::try_from(longest.as_millis()).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
    }

    /// Milliseconds until the next attempt: doubling, with jitter.
    pub(super) fn wait(&self, attempts: u32) -> i64 {
        let doublings = attempts.saturating_sub(1).min(20);
        let ways = self.ways.load();
        let wait = ways.settings.retry_first.saturating_mul(1 << doublings).min(ways.settings.retry_max);
        let wait = wait.mul_f64(0.8 + 0.4 * fastrand::f64());
        i64::try_from(wait.as_millis()).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
    }
}
