//! Connections to next hops that rest between two messages of pass-through.

use super::super::route::Hop;
use crate::deliver::client::Session;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a connection waits for more mail.
pub(super) const REST: Duration = Duration::from_secs(20);
/// How long one connection is used.
const MAX_AGE: Duration = Duration::from_secs(300);
/// The same of one to a server that a better one was passed over for.
const LESSER_AGE: Duration = Duration::from_secs(5);

/// A connection, and since when it rests. Boxed, since it goes from hand to hand.
type Resting = (Box<Session>, Instant);
/// Hashed for speed: next hops are the operator's own.
type ByHop = HashMap<Hop, Vec<Resting>, foldhash::fast::RandomState>;

#[derive(Default)]
pub(super) struct Idle(Mutex<ByHop>);

impl Idle {
    fn all(&self) -> MutexGuard<'_, ByHop> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that may serve another message in these ways: the last one in, which the next hop has waited for least.
    pub fn take(&self, hop: &Hop, ways: u64) -> Option<Box<Session>> {
        let mut all = self.all();
        let resting = all.get_mut(hop)?;
        let now = Instant::now();
        while let Some((session, since)) = resting.pop() {
            let rested = now.saturating_duration_since(since);
            if rested < REST && session.ways == ways && is_young(&session, now) {
                return Some(session);
            }
        }
        None
    }

    /// Keeps one, if it may serve another message.
    pub fn put(&self, hop: &Hop, session: Box<Session>) {
        let now = Instant::now();
        if session.usable() && is_young(&session, now) {
            let mut all = self.all();
            match all.get_mut(hop) {
                Some(resting) => resting.push((session, now)),
                None => drop(all.insert(hop.clone(), vec![(session, now)])),
            }
        }
    }

    /// Gives out those that have rested longest, so that no more than `most` are left.
    pub fn beyond(&self, most: usize) -> Vec<Session> {
        let mut all = self.all();
        let mut count: usize = all.values().map(Vec::len).sum();
        let mut out = Vec::new();
        while count > most {
            // The first of each hop has rested longest.
            let hops = all.values_mut().filter(|resting| !resting.is_empty());
            let Some(oldest) = hops.min_by_key(|resting| resting.first().map(|(_, since)| *since)) else {
                break;
            };
            out.push(*oldest.remove(0).0);
            count -= 1;
        }
        out
    }

    /// Gives out those that nobody used for a while, or that were opened in other ways than these; all of them at the end.
    pub fn old(&self, ways: u64, at_end: bool) -> Vec<Session> {
        let mut old = Vec::new();
        let mut all = self.all();
        for resting in all.values_mut() {
            let kept = std::mem::take(resting).into_iter().filter_map(|(session, since)| {
                if since.elapsed() < REST && session.ways == ways && !at_end {
                    return Some((session, since));
                }
                old.push(*session);
                None
            });
            *resting = kept.collect();
        }
        all.retain(|_, resting| !resting.is_empty());
        old
    }
}

/// Whether a connection may serve another message.
fn is_young(session: &Session, now: Instant) -> bool {
    now.saturating_duration_since(session.opened()) < if session.lesser { LESSER_AGE } else { MAX_AGE }
}
