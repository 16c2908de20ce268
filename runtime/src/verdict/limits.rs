//! Counters of `limit` rules: sliding windows and connections at once, per client or per rule.
//!
//! A window is kept as seventeen slices of a sixteenth each: no stretch of the stated length ever
//! holds more than the stated count; a client may wait up to a sixteenth longer than it had to.
//! The table of windows is bounded. When it is full, a new key takes the place of one that is far from its bound; a key
//! that is at its bound, or that counts all clients, keeps its place. Where no place is found the new key goes
//! uncounted: whoever has so many addresses gains no more by that than by taking a fresh one each time.

use edict_table::model::Rate;
use edict_table::value::network::client_key;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Slices of a window; one more is kept, since the oldest still reaches into the window.
const SLICES: u64 = 16;
const KEPT: usize = SLICES as usize + 1;
/// Windows kept.
const MAX_KEYS: usize = 1 << 17;
/// Places of a full table that are looked at for one new key.
const LOOKS: usize = 16;

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

    /// Counts all clients together. There are no more of these than rules.
    fn is_for_all(&self) -> bool {
        self.client.is_unspecified()
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
    windows: Mutex<Windows>,
    open: Mutex<HashMap<Key, u32>>,
}

/// Windows in slots, so that a hand can go round them in small steps when there is no room.
#[derive(Debug)]
struct Windows {
    places: HashMap<(Key, Counter), usize>,
    slots: Vec<((Key, Counter), Window)>,
    hand: usize,
    most: usize,
}

impl Default for Windows {
    fn default() -> Self {
        Self { places: HashMap::new(), slots: Vec::new(), hand: 0, most: MAX_KEYS }
    }
}

impl Windows {
    fn get(&mut self, key: &(Key, Counter)) -> Option<&mut Window> {
        let place = *self.places.get(key)?;
        self.slots.get_mut(place).map(|(_, window)| window)
    }

    /// The window of a key, a new one where there was none; none where there is no room for one.
    fn window(&mut self, key: (Key, Counter), rate: Rate, now: i64) -> Option<&mut Window> {
        if !self.places.contains_key(&key) {
            let end = self.slots.len();
            let place = if end < self.most {
                end
            } else if let Some(place) = self.expendable(now) {
                place
            } else if key.0.is_for_all() {
                // Must not be lost in a crowd, and there are few of them.
                end
            } else {
                return None;
            };
            let new = (key, Window::new(rate));
            match self.slots.get_mut(place) {
                Some(slot) => {
                    let (old, _) = std::mem::replace(slot, new);
                    self.places.remove(&old);
                }
                None => self.slots.push(new),
            }
            self.places.insert(key, place);
        }
        let window = self.get(&key)?;
        if window.seconds != rate.seconds.max(1) {
            *window = Window::new(rate);
        }
        window.bound = rate.count;
        window.advance(now);
        Some(window)
    }

    /// Of the next few slots, one that counts nothing any more, else the one that is farthest from its bound.
    fn expendable(&mut self, now: i64) -> Option<usize> {
        let mut least: Option<(usize, u64, u64)> = None;
        for _ in 0..LOOKS.min(self.slots.len()) {
            let place = self.hand;
            self.hand = (place + 1) % self.slots.len().max(1);
            let Some(((key, _), window)) = self.slots.get_mut(place) else { continue };
            window.advance(now);
            let (total, bound) = (window.total(), u64::from(window.bound));
            if window.reserved > 0 {
                continue;
            }
            if total == 0 {
                return Some(place);
            }
            if total >= bound || key.is_for_all() {
                continue;
            }
            // Below its bound a total fits 32 bits, so the products fit.
            if least.is_none_or(|(_, t, b)| total * b < t * bound) {
                least = Some((place, total, bound));
            }
        }
        least.map(|(place, ..)| place)
    }
}

#[derive(Debug)]
struct Window {
    seconds: u32,
    /// What the total was last held against.
    bound: u32,
    /// Number of the newest slice.
    newest: u64,
    counts: [u32; KEPT],
    /// Reserved, and not known yet whether they count.
    reserved: u32,
}

impl Window {
    fn new(rate: Rate) -> Self {
        let seconds = rate.seconds.max(1);
        Self { seconds, bound: rate.count, newest: 0, counts: [0; KEPT], reserved: 0 }
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
    /// With room for so many windows.
    #[cfg(test)]
    fn with_room(most: usize) -> Self {
        Self { windows: Mutex::new(Windows { most, ..Windows::default() }), ..Self::default() }
    }

    /// Counts one more where the rate allows it; false, and nothing is counted, where it does not.
    /// `now` is in Unix milliseconds.
    #[must_use]
    pub fn take(&self, key: Key, counter: Counter, rate: Rate, now: i64) -> bool {
        let mut windows = lock(&self.windows);
        let Some(window) = windows.window((key, counter), rate, now) else { return rate.count > 0 };
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
        let taken = || Room::Taken(Reserved { limits: Arc::clone(self), key, counter });
        let Some(window) = windows.window((key, counter), rate, now) else {
            return if rate.count > 0 { taken() } else { Room::None };
        };
        if window.total() >= u64::from(rate.count) {
            return Room::None;
        }
        if window.total() + u64::from(window.reserved) >= u64::from(rate.count) {
            return Room::Later;
        }
        window.reserved += 1;
        taken()
    }

    /// Whether one more would be allowed. Counts nothing.
    #[must_use]
    pub fn has_room(&self, key: Key, counter: Counter, rate: Rate, now: i64) -> bool {
        lock(&self.windows).get(&(key, counter)).is_none_or(|window| {
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
        if let Some(window) = lock(&self.limits.windows).get(&(self.key, self.counter)) {
            window.advance(now);
            window.add();
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some(window) = lock(&self.limits.windows).get(&(self.key, self.counter)) {
            window.reserved = window.reserved.saturating_sub(1);
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

    /// A client by number, each in a /64 of its own.
    fn client(number: u32) -> Key {
        key(&format!("2001:db8:{:x}:{:x}::1", number >> 16, number & 0xffff))
    }

    fn kept(limits: &Limits) -> usize {
        let windows = lock(&limits.windows);
        assert_eq!(windows.places.len(), windows.slots.len());
        windows.slots.len()
    }

    /// Connection and command exhaustion: a crowd that fills the table lets nobody back in who is shut out.
    #[test]
    fn a_full_table_keeps_those_who_are_shut_out() {
        let limits = Limits::with_room(64);
        let all = Key::new("rule", None);
        let now = 1_000_000;
        let shut: Vec<Key> = (0..8).map(client).collect();
        for key in &shut {
            for _ in 0..RATE.count {
                assert!(limits.take(*key, Counter::Logins, RATE, now));
            }
        }
        assert!(limits.take(all, Counter::Messages, Rate { count: 2, seconds: 60 }, now));
        // Each counts twice, so that no window is worth nothing.
        for number in 100..1_000 {
            assert!(limits.take(client(number), Counter::Logins, RATE, now));
            assert!(limits.take(client(number), Counter::Logins, RATE, now));
            assert!(kept(&limits) <= 64);
        }
        for key in &shut {
            assert!(!limits.has_room(*key, Counter::Logins, RATE, now));
            assert!(!limits.take(*key, Counter::Logins, RATE, now));
        }
        let rate = Rate { count: 2, seconds: 60 };
        assert!(limits.take(all, Counter::Messages, rate, now));
        assert!(!limits.take(all, Counter::Messages, rate, now), "the count of all is not forgotten");
        // The window over, they come in as ever, and their places go to others.
        let later = now + 64_000;
        assert!(shut.iter().all(|key| limits.has_room(*key, Counter::Logins, RATE, later)));
        for number in 2_000..2_200 {
            assert!(limits.take(client(number), Counter::Logins, RATE, later));
        }
        assert_eq!(kept(&limits), 64);
    }

    /// A guess that is being checked keeps its place, or a crowd could let the same client guess at will.
    #[test]
    fn a_full_table_keeps_reservations() {
        let limits = Arc::new(Limits::with_room(16));
        let now = 1_000_000;
        let held: Vec<Room> =
            (0..RATE.count).map(|_| limits.reserve(client(1), Counter::Logins, RATE, now)).collect();
        assert!(held.iter().all(|room| matches!(room, Room::Taken(_))));
        for number in 100..200 {
            assert!(limits.take(client(number), Counter::Logins, RATE, now));
        }
        assert!(matches!(limits.reserve(client(1), Counter::Logins, RATE, now), Room::Later));
        drop(held);
        assert!(matches!(limits.reserve(client(1), Counter::Logins, RATE, now), Room::Taken(_)));
        assert_eq!(kept(&limits), 16);
    }

    #[test]
    fn those_who_count_least_are_forgotten_first() {
        let limits = Limits::with_room(16);
        let now = 1_000_000;
        for number in 0..16 {
            for _ in 0..=u32::from(number % 4 == 0) {
                assert!(limits.take(client(number), Counter::Messages, RATE, now));
            }
        }
        for number in 100..112 {
            assert!(limits.take(client(number), Counter::Messages, RATE, now));
        }
        for number in [0, 4, 8, 12] {
            assert!(limits.take(client(number), Counter::Messages, RATE, now));
            assert!(!limits.has_room(client(number), Counter::Messages, RATE, now), "counted three");
        }
    }

    #[test]
    fn a_table_of_those_who_are_shut_out_shuts_out_nobody_else() {
        let limits = Limits::with_room(32);
        let now = 1_000_000;
        for number in 0..32 {
            for _ in 0..RATE.count {
                assert!(limits.take(client(number), Counter::Messages, RATE, now));
            }
        }
        for _ in 0..10 {
            assert!(limits.take(client(100), Counter::Messages, RATE, now));
        }
        assert!((0..32).all(|number| !limits.has_room(client(number), Counter::Messages, RATE, now)));
        assert_eq!(kept(&limits), 32);
        // A rule that takes nothing takes nothing, and one for all clients together is counted nevertheless.
        assert!(!limits.take(client(101), Counter::Messages, Rate { count: 0, seconds: 60 }, now));
        let taken = (0..10).filter(|_| limits.take(Key::new("rule", None), Counter::Messages, RATE, now));
        assert_eq!(taken.count(), 3);
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
