//! Connections to next hops that rest between two probes. Each that is closed hears QUIT; nobody waits for that.

use super::super::client::Session;
use crate::queue::Hop;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So many are kept, each so long.
const MOST: usize = 8;
const REST: Duration = Duration::from_secs(15);

struct Resting {
    hop: Hop,
    session: Session,
    since: Instant,
}

/// Those that rest, the oldest first.
#[derive(Default)]
pub(super) struct Idle(Mutex<Vec<Resting>>);

impl Idle {
    fn all(&self) -> MutexGuard<'_, Vec<Resting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One to this hop. Those that rested for long are closed.
    pub fn take(&self, hop: &Hop, now: Instant) -> Option<Session> {
        let mut all = self.all();
        let is_old = |resting: &mut Resting| now.saturating_duration_since(resting.since) >= REST;
        let old: Vec<Resting> = all.extract_if(.., is_old).collect();
        let place = all.iter().position(|resting| resting.hop == *hop);
        let taken = place.map(|place| all.remove(place).session);
        drop(all);
        part(old);
        taken
    }

    /// Keeps one, where there is room; else it is closed.
    pub fn put(&self, hop: Hop, session: Session, since: Instant) {
        let mut all = self.all();
        if all.len() < MOST {
            all.push(Resting { hop, session, since });
        } else {
            drop(all);
            session.part();
        }
    }

    /// Keeps so many, and closes the oldest ones.
    pub fn shrink_to(&self, most: usize) {
        let mut all = self.all();
        let beyond = all.len().saturating_sub(most);
        let old: Vec<Resting> = all.drain(..beyond).collect();
        drop(all);
        part(old);
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

fn part(old: Vec<Resting>) {
    old.into_iter().for_each(|resting| resting.session.part());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::client::Timeouts;
    use tokio::io::{AsyncReadExt, DuplexStream};

    fn open() -> (Session, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(1 << 10);
        (Session::new(Box::new(ours), "hop".to_owned(), false, Timeouts::default()), theirs)
    }

    /// All that hops heard up to the end of their connections.
    async fn heard(hops: impl IntoIterator<Item = DuplexStream>) -> Vec<String> {
        let mut all = Vec::new();
        for mut hop in hops {
            let mut text = String::new();
            hop.read_to_string(&mut text).await.unwrap();
            all.push(text);
        }
        all
    }

    /// RFC 5321 4.1.1.10: whyever one is closed, the hop is told so before.
    #[tokio::test]
    async fn those_that_rest_are_left_with_a_quit() {
        let (idle, now) = (Idle::default(), Instant::now());
        let mut hops: Vec<DuplexStream> = Vec::new();
        // One is too many.
        for _ in 0..=MOST {
            let (session, hop) = open();
            idle.put(Hop::Local, session, now);
            hops.push(hop);
        }
        assert_eq!(heard(hops.pop()).await, ["QUIT\r\n"]);
        // The oldest make room.
        idle.shrink_to(2);
        let kept = hops.split_off(MOST - 2);
        assert_eq!(heard(hops).await, ["QUIT\r\n"; MOST - 2]);
        // Who takes one has it; the other one has rested for too long by then.
        let taken = idle.take(&Hop::Local, now).unwrap();
        assert!(idle.take(&Hop::Local, now + REST).is_none());
        drop(taken);
        assert_eq!(heard(kept).await, ["", "QUIT\r\n"]);
        // And at the end.
        let (session, hop) = open();
        idle.put(Hop::Local, session, now);
        drop(idle);
        assert_eq!(heard([hop]).await, ["QUIT\r\n"]);
    }
}
