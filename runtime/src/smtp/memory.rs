//! Memory of messages on their way in: what all of them hold, what each client holds, and whether one may grow.
//!
//! A message counts twice the buffer that it is received into: as much again is there for what is read out of it and
//! kept, and for the buffer that it moves from when it grows; where more is kept while it waits, that is counted
//! (`tests/front_memory.rs` holds it to that). Not counted is what a decision needs while it is made: one a thread. One client (IPv6 by /64) may hold
//! a quarter of the whole, or one message, and more only while half of the whole is free; trusted networks are not
//! counted apart. Past half, messages that come slowly are given up ([`super::driver`]).

use super::context::Metrics;
use edict_table::value::network::client_key;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a message takes, by the buffer that it is in.
const FACTOR: u64 = 2;
/// The share of one client.
const SHARE: u64 = 4;

/// What clients hold.
#[derive(Debug, Default)]
pub(super) struct Clients(Mutex<HashMap<IpAddr, u64>>);

/// What is counted for one message.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    bytes: u64,
    /// The client, where it is counted apart.
    client: Option<IpAddr>,
}

impl Counted {
    /// Whether anything is held.
    pub(super) fn is_some(&self) -> bool {
        self.bytes > 0
    }
}

impl Clients {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a message of a client with a buffer of so many bytes now, instead of what was counted before. False where
    /// that is more than may be: then nothing is counted for it any more, and it must let go of the buffer.
    pub(super) fn count(
        &self,
        metrics: &Metrics,
        counted: &mut Counted,
        client: Option<IpAddr>,
        buffer: u64,
        most: u64,
    ) -> bool {
        let (before, after) = (counted.bytes, buffer.saturating_mul(FACTOR));
        if before == after {
            return true;
        }
        self.free(metrics, counted);
        if after == 0 {
            return true;
        }
        let all = metrics.memory.fetch_add(after, Ordering::Relaxed).saturating_add(after);
        let client = client.map(client_key);
        let mut fits = all <= most;
        if let Some(client) = client {
            let mut clients = self.lock();
            let own = clients.entry(client).or_insert(0);
            let more = own.saturating_add(after);
            // One message at a time is nobody's excess, however little there is to share.
            fits &= *own == 0 || more <= most / SHARE || all <= most / 2;
            if fits {
                *own = more;
            } else if *own == 0 {
                clients.remove(&client);
            }
        }
        if !fits {
            metrics.memory.fetch_sub(after, Ordering::Relaxed);
            return false;
        }
        *counted = Counted { bytes: after, client };
        true
    }

    /// Counts what is kept of a message beside its buffer, where that is more than what the buffer counts for it.
    /// False as above.
    pub(super) fn count_kept(
        &self,
        metrics: &Metrics,
        counted: &mut Counted,
        client: Option<IpAddr>,
        bytes: u64,
        most: u64,
    ) -> bool {
        let buffer = bytes.div_ceil(FACTOR);
        buffer.saturating_mul(FACTOR) <= counted.bytes || self.count(metrics, counted, client, buffer, most)
    }

    /// Counts nothing for a message any more.
    pub(super) fn free(&self, metrics: &Metrics, counted: &mut Counted) {
        let Counted { bytes, client } = std::mem::take(counted);
        metrics.memory.fetch_sub(bytes, Ordering::Relaxed);
        let Some(client) = client else { return };
        let mut clients = self.lock();
        if let Some(own) = clients.get_mut(&client) {
            *own = own.saturating_sub(bytes);
            if *own == 0 {
                clients.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Room {
        clients: Clients,
        metrics: Metrics,
    }

    impl Room {
        /// Of a hundred, counted double.
        fn count(&self, counted: &mut Counted, client: &str, buffer: u64) -> bool {
            let client = client.parse().ok();
            self.clients.count(&self.metrics, counted, client, buffer, 200)
        }

        fn held(&self) -> u64 {
            let apart: u64 = self.clients.lock().values().sum();
            let all = Metrics::get(&self.metrics.memory);
            assert!(apart <= all);
            all
        }
    }

    /// Connection and command exhaustion: one client cannot take the memory from the others.
    #[test]
    fn one_client_leaves_room_for_others() {
        let room = Room { clients: Clients::default(), metrics: Metrics::default() };
        // All of one /64: half of the whole, and no more.
        let mut hog: Vec<Counted> = vec![Counted::default(); 100];
        let fit = hog.iter_mut().enumerate().filter_map(|(place, message)| {
            room.count(message, &format!("2001:db8::{place:x}"), 1).then_some(())
        });
        assert_eq!(fit.count(), 50);
        assert_eq!(room.held(), 100);
        // Whatever it tries.
        for (place, message) in hog.iter_mut().enumerate() {
            let taken = room.count(message, &format!("2001:db8::{place:x}"), 2);
            assert_eq!(taken, place % 2 == 1 && place < 50, "{place}");
            assert!(room.held() <= 100);
        }
        hog.iter_mut().for_each(|message| room.clients.free(&room.metrics, message));
        assert!(room.count(&mut hog[0], "2001:db8::1", 50));
        let mut others = [Counted::default(), Counted::default()];
        assert!(room.count(&mut others[0], "192.0.2.1", 25));
        assert!(room.count(&mut others[1], "192.0.2.2", 25));
        assert_eq!(room.held(), 200);
        // Nobody has more than there is.
        assert!(!room.count(&mut Counted::default(), "192.0.2.3", 1));
        assert!(!room.count(&mut others[0], "192.0.2.1", 26), "and what was refused is let go");
        assert_eq!(room.held(), 150);
        for message in hog.iter_mut().chain(&mut others) {
            room.clients.free(&room.metrics, message);
        }
        assert_eq!(room.held(), 0);
        assert!(room.clients.lock().is_empty());
    }

    #[test]
    fn one_message_may_be_larger_than_a_share() {
        let room = Room { clients: Clients::default(), metrics: Metrics::default() };
        let (mut one, mut two, mut trusted) = (Counted::default(), Counted::default(), Counted::default());
        for size in [10, 20, 40, 60] {
            assert!(room.count(&mut one, "192.0.2.1", size), "{size}");
        }
        assert!(!room.count(&mut two, "::ffff:192.0.2.1", 1), "the same client");
        assert!(room.count(&mut two, "192.0.2.2", 20));
        assert!(room.clients.count(&room.metrics, &mut trusted, None, 20, 200));
        assert!(!room.clients.count(&room.metrics, &mut trusted, None, 21, 200));
        assert!(!trusted.is_some() && one.is_some());
        assert_eq!(room.held(), 160);
    }
}
