//! Connections to next hops: how many may be open at a time, and who may have them.
//!
//! Servers that hang hold theirs for minutes, and one newsletter may find hundreds of them. So the bound for all has others
//! inside, one narrower than the other: for what goes beyond the local server, for what goes by MX, and for connections of
//! domains that have not shown yet that they take mail. Within one bound it is first come, first served.

use super::route::Hop;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Fewer connections than these are not parted.
const PARTED: usize = 4;

/// How many connections of each kind may still be opened.
pub(super) struct Sockets {
    /// The bounds, from the widest to the narrowest.
    bounds: [Arc<Semaphore>; 4],
}

/// Who asks: the place of the narrowest bound on him.
#[derive(Clone, Copy)]
enum Rank {
    /// The local server.
    Local,
    /// A relay that the operator named.
    Relay,
    /// The servers of a domain that took mail when it was last tried.
    Proven,
    /// Those of another one.
    Unproven,
}

/// A place among the connections that may be open.
pub(super) struct Place {
    /// One of each bound, from the widest to the narrowest.
    permits: Vec<OwnedSemaphorePermit>,
}

impl Sockets {
    /// For so many connections in all; `local`: some are needed for a local server.
    pub fn new(all: usize, local: bool) -> Self {
        let all = all.clamp(1, Semaphore::MAX_PERMITS);
        let kept = if all < PARTED { 0 } else { all.div_ceil(8) };
        let beyond = all - if local { kept } else { 0 };
        let by_mx = beyond - kept;
        // One less than for those that are proven, where there is more than one.
        let unproven = (all / 2).min(by_mx - 1).max(1);
        Self { bounds: [all, beyond, by_mx, unproven].map(|most| Arc::new(Semaphore::new(most))) }
    }

    fn up_to(&self, rank: Rank) -> impl DoubleEndedIterator<Item = &Arc<Semaphore>> {
        self.bounds.iter().take(rank as usize + 1)
    }

    /// A place for a connection to this hop, when its turn comes; `proven`: the hop took mail when it was last tried.
    pub async fn place(&self, hop: &Hop, proven: bool) -> Place {
        let rank = match hop {
            Hop::Mx(_) if proven => Rank::Proven,
            Hop::Mx(_) => Rank::Unproven,
            Hop::Local => Rank::Local,
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
            Hop::Local => Rank::Local,
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
    fn most(sockets: &Sockets) -> [usize; 4] {
        [Rank::Local, Rank::Relay, Rank::Proven, Rank::Unproven]
            .map(|rank| sockets.up_to(rank).map(|bound| bound.available_permits()).min().unwrap())
    }

    #[test]
    fn each_rank_leaves_some_to_those_above_it() {
        for (all, local, want) in [
            (500, true, [500, 437, 374, 250]),
            (500, false, [500, 500, 437, 250]),
            (8, true, [8, 7, 6, 4]),
            (4, true, [4, 3, 2, 1]),
            (3, true, [3, 3, 3, 1]),
            (2, true, [2, 2, 2, 1]),
            (1, true, [1; 4]),
            (0, true, [1; 4]),
        ] {
            assert_eq!(most(&Sockets::new(all, local)), want, "{all} {local}");
        }
        most(&Sockets::new(usize::MAX, true));
    }
}
