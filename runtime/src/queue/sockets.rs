//! Connections to next hops: how many may be open at a time, and who may have them.
//!
//! Servers that hang hold theirs for minutes, and one newsletter may find hundreds of them. So the bound for all has others
//! inside, one narrower than the other: for what goes by MX, and for connections of domains that have not shown yet that they
//! take mail. Within one bound it is first come, first served. Connections to the local server are none of these: mail that
//! stays here waits for no stranger, and they are as few as one hop may have.

use super::route::Hop;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Fewer connections than these are not parted.
const PARTED: usize = 4;

/// How many connections of each kind may still be opened.
pub(super) struct Sockets {
    /// The bounds, from the widest to the narrowest.
    bounds: [Arc<Semaphore>; 3],
}

/// Who asks: the place of the narrowest bound on him.
#[derive(Clone, Copy)]
enum Rank {
    /// A relay that the operator named.
    Relay,
    /// The servers of a domain that took mail when it was last tried.
    Proven,
    /// Those of another one.
    Unproven,
}

/// A place among the connections that may be open; the local server needs none.
pub(super) struct Place {
    /// One of each bound, from the widest to the narrowest.
    permits: Vec<OwnedSemaphorePermit>,
}

impl Sockets {
    /// For so many connections in all.
    pub fn new(all: usize) -> Self {
        let all = all.clamp(1, Semaphore::MAX_PERMITS);
        let by_mx = all - if all < PARTED { 0 } else { all.div_ceil(8) };
        // One less than for those that are proven, where there is more than one.
        let unproven = (all / 2).min(by_mx - 1).max(1);
        Self { bounds: [all, by_mx, unproven].map(|most| Arc::new(Semaphore::new(most))) }
    }

    fn up_to(&self, rank: Rank) -> impl DoubleEndedIterator<Item = &Arc<Semaphore>> {
        self.bounds.iter().take(rank as usize + 1)
    }

    /// A place for a connection to this hop, when its turn comes; `proven`: the hop took mail when it was last tried.
    pub async fn place(&self, hop: &Hop, proven: bool) -> Place {
        let rank = match hop {
            Hop::Mx(_) if proven => Rank::Proven,
            Hop::Mx(_) => Rank::Unproven,
            Hop::Local => return Place { permits: Vec::new() },
            Hop::Relay(_) | Hop::Nowhere(_) => Rank::Relay,
        };
        let mut permits = Vec::with_capacity(self.bounds.len());
        // The narrowest first: who waits for it takes nothing from those that are not bound by it.
        for bound in self.up_to(rank).rev() {
            // Nobody closes them.
            permits.extend(Arc::clone(bound).acquire_owned().await.ok());
        }
        permits.reverse();
        Place { permits }
    }

    /// Whether others may wait for the place of a connection to this hop that works.
    pub fn is_short(&self, hop: &Hop) -> bool {
        let rank = match hop {
            Hop::Mx(_) => Rank::Proven,
            Hop::Local => return false,
            Hop::Relay(_) | Hop::Nowhere(_) => Rank::Relay,
        };
        self.up_to(rank).any(|bound| bound.available_permits() == 0)
    }
}

impl Place {
    /// The hop takes mail.
    pub fn prove(&mut self) {
        self.permits.truncate(Rank::Proven as usize + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of each rank may be open, where the other ranks have none.
    fn most(sockets: &Sockets) -> [usize; 3] {
        [Rank::Relay, Rank::Proven, Rank::Unproven]
            .map(|rank| sockets.up_to(rank).map(|bound| bound.available_permits()).min().unwrap())
    }

    #[test]
    fn each_rank_leaves_some_to_those_above_it() {
        for (all, want) in [
            (500, [500, 437, 250]),
            (8, [8, 7, 4]),
            (4, [4, 3, 2]),
            (3, [3, 3, 1]),
            (2, [2, 2, 1]),
            (1, [1; 3]),
            (0, [1; 3]),
        ] {
            assert_eq!(most(&Sockets::new(all)), want, "{all}");
        }
        most(&Sockets::new(usize::MAX));
    }
}
