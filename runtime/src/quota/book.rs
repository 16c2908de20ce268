//! The counters in memory: what each key has used in the slots that may still count.
//!
//! One mutex, held for a few hash lookups and never over input or output. A reservation counts from
//! the moment it is made; one that is refused or lost is taken back. Who reserves for several keys gets
//! all of them or none. Nothing here touches a disk or reads a clock.

use super::amount::{Amount, Day, SLOTS_KEPT, Unit, Window, slot_of};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// Keys in memory. Past it new keys are refused for now: a stranger cannot make them, but a trusted
/// network with any sender it likes can.
const MAX_KEYS: usize = 1 << 21;

/// One bound on a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bound {
    /// What is counted.
    pub unit: Unit,
    /// At most so many.
    pub most: u64,
    /// Over this time.
    pub window: Window,
    /// Warn from this many on.
    pub warn_from: Option<u64>,
}

/// What one message needs of one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Need {
    /// The counter.
    pub key: String,
    /// What is added.
    pub add: Amount,
    /// What it may not exceed; the caller's number for the rule that says so.
    pub bounds: Vec<(usize, Bound)>,
}

/// A bound that does not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over {
    /// The caller's number of the rule, and what ran out.
    Bound(usize, Unit),
    /// No room for another key.
    Full,
}

/// A bound that was passed just now and wants a warning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Warning {
    /// The caller's number of the rule.
    pub rule: usize,
    /// What runs low.
    pub unit: Unit,
    /// Used, this message included.
    pub used: u64,
    /// Of so many.
    pub most: u64,
}

/// What is used of one key.
#[derive(Debug, Default)]
struct Entry {
    /// By slot, ascending.
    slots: VecDeque<(i64, Amount)>,
    /// What counted at or before this moment counts no more.
    reset_at: Option<i64>,
}

impl Entry {
    fn used_since(&self, first_slot: i64) -> Amount {
        let within = self.slots.iter().rev().take_while(|(slot, _)| *slot >= first_slot);
        within.fold(Amount::default(), |sum, (_, amount)| sum.plus(*amount))
    }

    fn add(&mut self, slot: i64, amount: Amount) {
        let newest = self.slots.back().map_or(slot, |(newest, _)| *newest);
        while self
            .slots
            .front()
            .is_some_and(|(oldest, _)| *oldest < newest.max(slot).saturating_sub(SLOTS_KEPT))
        {
            self.slots.pop_front();
        }
        // Nearly always the newest; a clock that was set back lands further in front.
        let place = self.slots.iter().rposition(|(have, _)| *have <= slot);
        match place.and_then(|place| self.slots.get_mut(place).map(|entry| (place, entry))) {
            Some((_, (have, sum))) if *have == slot => *sum = sum.plus(amount),
            Some((place, _)) => self.slots.insert(place + 1, (slot, amount)),
            None => self.slots.push_front((slot, amount)),
        }
    }

    fn take_back(&mut self, slot: i64, amount: Amount) {
        if let Some((_, sum)) = self.slots.iter_mut().rev().find(|(have, _)| *have == slot) {
            *sum = sum.minus(amount);
        }
    }

    fn outlives(&self, at: i64) -> bool {
        self.reset_at.is_none_or(|reset| at > reset)
    }
}

/// All counters.
#[derive(Debug, Default)]
pub struct Book {
    entries: Mutex<Entries>,
}

impl Book {
    /// Counts all needs of a message, or none. Returns the moment under which they count (later than
    /// any reset) and what to warn of.
    ///
    /// # Errors
    /// The first bound that would be exceeded.
    pub fn reserve(&self, needs: &[Need], now: i64, today: Day) -> Result<(i64, Vec<Warning>), Over> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, warnings) = check(&entries, needs, now, today)?;
        for need in needs {
            match entries.get_mut(&need.key) {
                Some(entry) => entry.add(slot_of(at), need.add),
                None => entries.entry(need.key.clone()).or_default().add(slot_of(at), need.add),
            }
        }
        Ok((at, warnings))
    }

    /// Whether [`Book::reserve`] would say yes now; counts nothing.
    ///
    /// # Errors
    /// The first bound that would be exceeded.
    pub fn room(&self, needs: &[Need], now: i64, today: Day) -> Result<(), Over> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        check(&entries, needs, now, today).map(|_| ())
    }

    /// Takes back what was reserved at a moment.
    pub fn refund<'a>(&self, at: i64, amounts: impl Iterator<Item = (&'a str, Amount)>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, amount) in amounts {
            if let Some(entry) = entries.get_mut(key)
                && entry.outlives(at)
            {
                entry.take_back(slot_of(at), amount);
            }
        }
    }

    /// Counts what is durable already: a counter read from disk, or a record of the spool after a crash.
    pub fn restore(&self, key: &str, slot: i64, amount: Amount) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        match entries.get_mut(key) {
            Some(entry) => entry.add(slot, amount),
            None => entries.entry(key.to_owned()).or_default().add(slot, amount),
        }
    }

    /// Whether something of that moment still counts for the key.
    #[must_use]
    pub fn outlives_reset(&self, key: &str, at: i64) -> bool {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).is_none_or(|entry| entry.outlives(at))
    }

    /// Whether anything was ever counted for a key, or reset.
    #[must_use]
    pub fn knows(&self, key: &str) -> bool {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).contains_key(key)
    }

    /// What a key has used in a window.
    #[must_use]
    pub fn used(&self, key: &str, window: Window, now: i64, today: Day) -> Amount {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).map(|entry| entry.used_since(window.first_slot(now, today))).unwrap_or_default()
    }

    /// Sets a key back to nothing; whatever counted at `at` or before counts no more. Returns what
    /// the slots held.
    pub fn reset(&self, key: &str, at: i64) -> Amount {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.entry(key.to_owned()).or_default();
        let had = entry.used_since(i64::MIN);
        entry.slots.clear();
        entry.reset_at = entry.reset_at.max(Some(at));
        had
    }

    /// The keys with a prefix that used anything in a window, with what they used, at most `most` of
    /// them: those with most messages first.
    #[must_use]
    pub fn busiest(
        &self,
        prefix: &str,
        window: Window,
        now: i64,
        today: Day,
        most: usize,
    ) -> Vec<(String, Amount)> {
        let first = window.first_slot(now, today);
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<(String, Amount)> = entries
            .iter()
            .filter(|(key, _)| key.starts_with(prefix))
            .map(|(key, entry)| (key.clone(), entry.used_since(first)))
            .filter(|(_, amount)| !amount.is_zero())
            .collect();
        drop(entries);
        all.sort_by(|a, b| (b.1.messages, &a.0).cmp(&(a.1.messages, &b.0)));
        all.truncate(most);
        all
    }

    /// Forgets keys whose slots are all too old to count.
    pub fn sweep(&self, now: i64) {
        let oldest = slot_of(now) - SLOTS_KEPT;
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, entry| {
            let recent = entry.slots.back().is_some_and(|(newest, _)| *newest >= oldest);
            recent || entry.reset_at.is_some_and(|reset| slot_of(reset) >= oldest)
        });
    }
}

type Entries = HashMap<String, Entry>;

fn check(entries: &Entries, needs: &[Need], now: i64, today: Day) -> Result<(i64, Vec<Warning>), Over> {
    let mut warnings = Vec::new();
    let mut at = now;
    let mut fresh = 0;
    for need in needs {
        let entry = entries.get(&need.key);
        fresh += usize::from(entry.is_none());
        if let Some(reset) = entry.and_then(|entry| entry.reset_at) {
            at = at.max(reset.saturating_add(1));
        }
        for (rule, bound) in &need.bounds {
            let first = bound.window.first_slot(now, today);
            let before = entry.map_or(0, |entry| entry.used_since(first).of(bound.unit));
            let after = before.saturating_add(need.add.of(bound.unit));
            if after > bound.most {
                return Err(Over::Bound(*rule, bound.unit));
            }
            if bound.warn_from.is_some_and(|from| before < from && from <= after) {
                warnings.push(Warning { rule: *rule, unit: bound.unit, used: after, most: bound.most });
            }
        }
    }
    if entries.len().saturating_add(fresh) > MAX_KEYS { Err(Over::Full) } else { Ok((at, warnings)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::amount::{SLOT_MS, day_of};
    use jiff::tz::TimeZone;

    const NOW: i64 = 1_800_000_000_000;
    const HOUR: i64 = 3_600_000;

    fn one(messages: u64, recipients: u64, bytes: u64) -> Amount {
        Amount { messages, recipients, bytes }
    }

    fn need(key: &str, add: Amount, unit: Unit, most: u64, window: Window) -> Need {
        Need {
            key: key.to_owned(),
            add,
            bounds: vec![(7, Bound { unit, most, window, warn_from: Some(most * 8 / 10) })],
        }
    }

    fn today(now: i64) -> Day {
        day_of(now, &TimeZone::UTC)
    }

    #[test]
    fn all_keys_of_a_message_or_none() {
        let book = Book::default();
        let needs = [
            need("a", one(1, 1, 1), Unit::Messages, 5, Window::CalendarDay),
            need("b", one(1, 1, 1), Unit::Messages, 0, Window::CalendarDay),
        ];
        assert_eq!(book.reserve(&needs, NOW, today(NOW)), Err(Over::Bound(7, Unit::Messages)));
        assert!(book.used("a", Window::CalendarDay, NOW, today(NOW)).is_zero());
    }

    /// pains.md 1.3: "label says messages, counter counts recipients".
    #[test]
    fn each_unit_counts_what_it_says() {
        for (unit, fits) in [(Unit::Messages, 10), (Unit::Recipients, 3), (Unit::Bytes, 1)] {
            let book = Book::default();
            let needs = [need("a", one(1, 3, 7), unit, 10, Window::CalendarDay)];
            let taken = (0..50).filter(|_| book.reserve(&needs, NOW, today(NOW)).is_ok()).count();
            assert_eq!(taken, fits, "{unit:?}");
        }
    }

    /// pains.md 1.3: "rejected message still uses quota".
    #[test]
    fn a_refund_leaves_nothing_behind() {
        let book = Book::default();
        let needs = [need("a", one(1, 3, 7), Unit::Messages, 1, Window::CalendarDay)];
        for _ in 0..100 {
            let (at, _) = book.reserve(&needs, NOW, today(NOW)).unwrap();
            assert!(book.reserve(&needs, NOW, today(NOW)).is_err());
            book.refund(at, needs.iter().map(|need| (need.key.as_str(), need.add)));
        }
        assert!(book.used("a", Window::Rolling, NOW, today(NOW)).is_zero());
    }

    /// pains.md 1.3: "never resets".
    #[test]
    fn a_calendar_day_ends_at_midnight_and_a_rolling_one_after_a_day() {
        let book = Book::default();
        let midnight = today(NOW).first_slot * SLOT_MS + 24 * HOUR;
        let calendar = [need("c", one(1, 1, 1), Unit::Messages, 1, Window::CalendarDay)];
        let rolling = [need("r", one(1, 1, 1), Unit::Messages, 1, Window::Rolling)];
        for needs in [&calendar, &rolling] {
            book.reserve(needs, midnight - HOUR, today(midnight - HOUR)).unwrap();
            assert!(book.reserve(needs, midnight - 1, today(midnight - 1)).is_err());
        }
        book.reserve(&calendar, midnight, today(midnight)).unwrap();
        assert!(book.reserve(&rolling, midnight, today(midnight)).is_err());
        let later = midnight + 23 * HOUR + SLOT_MS;
        book.reserve(&rolling, later, today(later)).unwrap();
    }

    #[test]
    fn one_warning_where_the_threshold_is_passed() {
        let book = Book::default();
        let needs = [need("a", one(1, 1, 1), Unit::Messages, 10, Window::CalendarDay)];
        let warned: Vec<u64> = (0..10)
            .flat_map(|_| book.reserve(&needs, NOW, today(NOW)).unwrap().1)
            .map(|warning| warning.used)
            .collect();
        assert_eq!(warned, [8]);
    }

    #[test]
    fn a_reset_forgets_also_what_is_under_way() {
        let book = Book::default();
        let needs = [need("a", one(1, 1, 1), Unit::Messages, 2, Window::CalendarDay)];
        let (at, _) = book.reserve(&needs, NOW, today(NOW)).unwrap();
        assert_eq!(book.reset("a", NOW), one(1, 1, 1));
        assert!(!book.outlives_reset("a", at));
        let (later, _) = book.reserve(&needs, NOW, today(NOW)).unwrap();
        assert!(later > NOW && book.outlives_reset("a", later));
        book.refund(at, needs.iter().map(|need| (need.key.as_str(), need.add)));
        assert_eq!(book.used("a", Window::CalendarDay, NOW, today(NOW)), one(1, 1, 1));
    }

    #[test]
    fn a_clock_that_jumps_loses_nothing_of_the_day() {
        let book = Book::default();
        for at in [NOW, NOW - HOUR, NOW + HOUR, NOW - HOUR, NOW] {
            book.restore("a", slot_of(at), one(1, 0, 0));
        }
        assert_eq!(book.used("a", Window::Rolling, NOW + HOUR, today(NOW)).messages, 5);
        assert_eq!(book.busiest("a", Window::Rolling, NOW, today(NOW), 9).len(), 1);
        book.sweep(NOW + 26 * HOUR);
        assert_eq!(book.used("a", Window::Rolling, NOW + HOUR, today(NOW)).messages, 5);
        book.sweep(NOW + 30 * HOUR);
        assert!(book.used("a", Window::Rolling, NOW + HOUR, today(NOW)).is_zero());
    }
}
