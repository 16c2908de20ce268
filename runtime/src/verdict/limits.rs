//! Counters of `limit` rules: sliding windows and connections at once, per client or per rule.
//!
//! A window is kept as seventeen slices of a sixteenth each: no stretch of the stated length ever
//! holds more than the stated count; a client may wait up to a sixteenth longer than it had to.
//! Tables are bounded: when one is full, the keys that matter least are forgotten.

use edict_table::model::Rate;
use edict_table::value::network::client_key;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Slices of a window; one more is kept, since the oldest still reaches into the window.
const SLICES: u64 = 16;
const KEPT: usize = SLICES as usize + 1;
/// Keys kept in each table.
const MAX_KEYS: usize = 1 << 17;

/// What is counted apart: a rule by its name's hash, what of it, and the client (unspecified: all).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Key {
    rule: u64,
    client: IpAddr,
}

impl Key {
    /// The key of a rule (by name, so that counts outlive a reload), for one client or for all.
    #[must_use]
    pub fn new(rule: &str, client: Option<IpAddr>) -> Self {
        let hash = blake3::hash(rule.as_bytes());
        let first = hash.as_bytes().first_chunk::<8>().copied().unwrap_or_default();
        let client = client.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), client_key);
        Self { rule: u64::from_le_bytes(first), client }
    }
}

/// Which counter of a rule.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Counter {
    /// Connections in a window.
    Connections,
    /// Messages in a window.
    Messages,
    /// Failed logins in a window.
    Logins,
}

/// All counters.
#[derive(Debug, Default)]
pub struct Limits {
    windows: Mutex<HashMap<(Key, Counter), Window>>,
    open: Mutex<HashMap<Key, u32>>,
}

#[derive(Debug)]
struct Window {
    seconds: u32,
    /// Number of the newest slice.
    newest: u64,
    counts: [u32; KEPT],
    /// Reserved, and not known yet whether they count.
    reserved: u32,
}

impl Window {
    fn new(seconds: u32) -> Self {
        Self { seconds: seconds.max(1), newest: 0, counts: [0; KEPT], reserved: 0 }
    }

    fn slice(&self, now: i64) -> u64 {
        let length = (u64::from(self.seconds) * 1000 / SLICES).max(1);
        u64::try_from(now).unwrap_or(0) / length
    }

    /// Forgets the slices that have left the window. A clock that goes back changes nothing.
    fn advance(&mut self, now: i64) {
        let slice = self.slice(now);
        let gone = slice.saturating_sub(self.newest).min(KEPT as u64);
        for step in 1..=gone {
            if let Some(count) = self.counts.get_mut(((self.newest + step) % KEPT as u64) as usize) {
                *count = 0;
            }
        }
        if gone == KEPT as u64 {
            self.counts = [0; KEPT];
        }
        self.newest = self.newest.max(slice);
    }

    fn total(&self) -> u64 {
        self.counts.iter().map(|&c| u64::from(c)).sum()
    }

    fn add(&mut self) {
        if let Some(count) = self.counts.get_mut((self.newest % KEPT as u64) as usize) {
            *count = count.saturating_add(1);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Limits {
    /// Counts one more where the rate allows it; false, and nothing is counted, where it does not.
    /// `now` is in Unix milliseconds.
    #[must_use]
    pub fn take(&self, key: Key, counter: Counter, rate: Rate, now: i64) -> bool {
        let mut windows = lock(&self.windows);
        let window = window(&mut windows, key, counter, rate, now);
        let fine = window.total() < u64::from(rate.count);
        if fine {
            window.add();
        }
        fine
    }

    /// Reserves one for what may come to count, so that no more are under way at once than may count.
    #[must_use]
    pub fn reserve(self: &Arc<Self>, key: Key, counter: Counter, rate: Rate, now: i64) -> Room {
        let mut windows = lock(&self.windows);
        let window = window(&mut windows, key, counter, rate, now);
        if window.total() >= u64::from(rate.count) {
            return Room::None;
        }
        if window.total() + u64::from(window.reserved) >= u64::from(rate.count) {
            return Room::Later;
        }
        window.reserved += 1;
        Room::Taken(Reserved { limits: Arc::clone(self), key, counter })
    }

    /// Whether one more would be allowed. Counts nothing.
    #[must_use]
    pub fn has_room(&self, key: Key, counter: Counter, rate: Rate, now: i64) -> bool {
        lock(&self.windows).get_mut(&(key, counter)).is_none_or(|window| {
            window.advance(now);
            window.total() < u64::from(rate.count)
        })
    }

    /// Holds one of `most` places for as long as the result lives; none where all are taken.
    #[must_use]
    pub fn hold(self: &Arc<Self>, key: Key, most: u32) -> Option<Held> {
        let mut open = lock(&self.open);
        // Bounded by the connections of the server.
        let count = open.entry(key).or_insert(0);
        if *count >= most {
            if *count == 0 {
                open.remove(&key);
            }
            return None;
        }
        *count += 1;
        Some(Held { limits: Arc::clone(self), key })
    }
}

/// The window of a key. Where all are taken, those that matter least make room.
fn window(
    windows: &mut HashMap<(Key, Counter), Window>,
    key: Key,
    counter: Counter,
    rate: Rate,
    now: i64,
) -> &mut Window {
    if windows.len() >= MAX_KEYS && !windows.contains_key(&(key, counter)) {
        windows.retain(|_, w| {
            w.advance(now);
            w.total() > 1 || w.reserved > 0
        });
        if windows.len() >= MAX_KEYS {
            windows.clear();
        }
    }
    let window = windows.entry((key, counter)).or_insert_with(|| Window::new(rate.seconds));
    if window.seconds != rate.seconds.max(1) {
        *window = Window::new(rate.seconds);
    }
    window.advance(now);
    window
}

/// What came of asking for a reservation.
#[derive(Debug)]
pub enum Room {
    /// Here it is.
    Taken(Reserved),
    /// All that is left is reserved by others, and may come back.
    Later,
    /// All has been used.
    None,
}

/// A reservation in a window; given back when dropped.
#[derive(Debug)]
pub struct Reserved {
    limits: Arc<Limits>,
    key: Key,
    counter: Counter,
}

impl Reserved {
    /// It counts.
    pub fn count(self, now: i64) {
        if let Some(window) = lock(&self.limits.windows).get_mut(&(self.key, self.counter)) {
            window.advance(now);
            window.add();
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let key = (self.key, self.counter);
        let mut windows = lock(&self.limits.windows);
        if let Some(window) = windows.get_mut(&key) {
            window.reserved = window.reserved.saturating_sub(1);
            if window.reserved == 0 && window.total() == 0 {
                windows.remove(&key);
            }
        }
    }
}

/// One held place among connections at once.
#[derive(Debug)]
pub struct Held {
    limits: Arc<Limits>,
    key: Key,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut open = lock(&self.limits.open);
        if let Some(count) = open.get_mut(&self.key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { count: 3, seconds: 60 };

    fn key(ip: &str) -> Key {
        Key::new("rule", Some(ip.parse().unwrap()))
    }

    #[test]
    fn no_window_holds_more_than_stated() {
        let limits = Limits::default();
        let mut taken = Vec::new();
        let mut now = 1_000_000;
        for step in 0..2000 {
            now += 700 + (step * 7919) % 900;
            if limits.take(key("192.0.2.1"), Counter::Messages, RATE, now) {
                taken.push(now);
            }
        }
        assert!(taken.len() > 50);
        for window in taken.windows(RATE.count as usize + 1) {
            assert!(window[window.len() - 1] - window[0] >= 60_000, "{window:?}");
        }
    }

    #[test]
    fn refusals_do_not_count_and_keys_are_apart() {
        let limits = Limits::default();
        let now = 5_000_000;
        for _ in 0..3 {
            assert!(limits.take(key("2001:db8::1"), Counter::Connections, RATE, now));
        }
        for _ in 0..10 {
            assert!(!limits.take(key("2001:db8::2"), Counter::Connections, RATE, now), "the same /64");
        }
        assert!(limits.take(key("2001:db8:0:1::1"), Counter::Connections, RATE, now));
        assert!(limits.take(key("2001:db8::1"), Counter::Messages, RATE, now));
        assert!(limits.take(key("2001:db8::1"), Counter::Connections, RATE, now + 64_000));
    }

    #[test]
    fn reservations_are_counted_or_given_back() {
        let limits = Arc::new(Limits::default());
        let reserve = || limits.reserve(key("192.0.2.1"), Counter::Logins, RATE, 5_000_000);
        let mut taken = Vec::new();
        for _ in 0..3 {
            match reserve() {
                Room::Taken(reserved) => taken.push(reserved),
                room => panic!("{room:?}"),
            }
        }
        assert!(matches!(reserve(), Room::Later));
        taken.pop();
        assert!(matches!(reserve(), Room::Taken(_)), "and back at once");
        taken.into_iter().for_each(|reserved| reserved.count(5_000_000));
        let Room::Taken(last) = reserve() else { panic!("one was given back") };
        last.count(5_000_000);
        assert!(matches!(reserve(), Room::None));
    }

    #[test]
    fn places_come_back() {
        let limits = Arc::new(Limits::default());
        let first = limits.hold(key("192.0.2.1"), 1);
        assert!(first.is_some());
        assert!(limits.hold(key("192.0.2.1"), 1).is_none());
        assert!(limits.hold(key("192.0.2.2"), 1).is_some());
        drop(first);
        assert!(limits.hold(key("192.0.2.1"), 1).is_some());
        assert!(lock(&limits.open).len() <= 1);
    }
}
