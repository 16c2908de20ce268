//! Counters of `limit` rules: sliding windows and connections at once, per client or per rule.
//!
//! A window is kept as seventeen slices of a sixteenth each: no stretch of the stated length ever
//! holds more than the stated count; a client may wait up to a sixteenth longer than it had to.
//! The table of windows is bounded. When it is full, a new key takes the place of one that is far from its bound; a key
//! that is at its bound, or that counts all clients, keeps its place. Where no place is found the new key goes
//! uncounted: whoever has so many addresses gains no more by that than by taking a fresh one each time.

#[cfg(test)]
mod tests;
mod window;

use edict_table::model::Rate;
use edict_table::value::network::client_key;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use window::Windows;

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
