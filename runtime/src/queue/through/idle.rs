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

    /// One that may serve another message in these ways: the last one in, which the next hop has waited for least. Those that
    /// may not are closed.
    pub fn take(&self, hop: &Hop, ways: u64, now: Instant) -> Option<Box<Session>> {
        loop {
            let (session, since) = self.all().get_mut(hop)?.pop()?;
            let rested = now.saturating_duration_since(since);
            if rested < REST && session.ways == ways && is_young(&session, now) {
                return Some(session);
            }
            session.part();
        }
    }

    /// Keeps one, if it may serve another message; else it is closed.
    pub fn put(&self, hop: &Hop, session: Box<Session>, now: Instant) {
        if !session.usable() || !is_young(&session, now) {
            return session.part();
        }
        let mut all = self.all();
        match all.get_mut(hop) {
            Some(resting) => resting.push((session, now)),
            None => drop(all.insert(hop.clone(), vec![(session, now)])),
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

impl Drop for Idle {
    fn drop(&mut self) {
        self.old(0, true).into_iter().for_each(Session::part);
    }
}

/// Whether a connection may serve another message.
fn is_young(session: &Session, now: Instant) -> bool {
    now.saturating_duration_since(session.opened()) < if session.lesser { LESSER_AGE } else { MAX_AGE }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::client::Timeouts;
    use tokio::io::{AsyncReadExt, DuplexStream};

    fn open(ways: u64) -> (Box<Session>, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(1 << 10);
        let mut session = Session::new(Box::new(ours), "hop".to_owned(), false, Timeouts::default());
        session.ways = ways;
        (Box::new(session), theirs)
    }

    /// All that the hop heard up to the end of the connection.
    async fn heard(mut hop: DuplexStream) -> String {
        let mut all = String::new();
        hop.read_to_string(&mut all).await.unwrap();
        all
    }

    /// RFC 5321 4.1.1.10: whyever one is closed, the hop is told so before.
    #[tokio::test]
    async fn those_that_rest_are_left_with_a_quit() {
        let (hop, now) = (Hop::Local, Instant::now());
        let idle = Idle::default();
        // One that was used for long, and one that a better server was passed over for.
        let ((old, first), (mut lesser, second)) = (open(1), open(1));
        lesser.lesser = true;
        let ends = [old.opened() + MAX_AGE, lesser.opened() + LESSER_AGE];
        idle.put(&hop, old, ends[0]);
        idle.put(&hop, lesser, ends[1]);
        assert_eq!([heard(first).await, heard(second).await], ["QUIT\r\n"; 2]);
        // Of two that rest the last one serves, and those that rested for long or go by old ways do not.
        let ((one, first), (other, second)) = (open(1), open(1));
        idle.put(&hop, one, now);
        idle.put(&hop, other, now);
        assert!(idle.take(&hop, 1, now).is_some());
        assert_eq!(heard(second).await, "", "whoever took it has it");
        assert!(idle.take(&hop, 1, now + REST).is_none());
        assert_eq!(heard(first).await, "QUIT\r\n");
        let (one, first) = open(1);
        idle.put(&hop, one, now);
        assert!(idle.take(&hop, 2, now).is_none());
        assert_eq!(heard(first).await, "QUIT\r\n");
        // And at the end.
        let (one, first) = open(1);
        idle.put(&hop, one, now);
        drop(idle);
        assert_eq!(heard(first).await, "QUIT\r\n");
    }
}
