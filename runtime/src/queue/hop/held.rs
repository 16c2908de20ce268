//! What a lane and its workers hold of what all share: its berth among the destinations in memory, connections, and the
//! right to ask other servers.

use super::{ERRANDS, Lane, LaneState};
use crate::queue::route::Hop;
use crate::queue::shares::{Origin, Rank};
use crate::queue::sockets::{Place, Turn};
use std::sync::Arc;

/// Counts a worker that asks another server while it does.
pub(in crate::queue) struct Errand(Arc<Lane>);

impl Drop for Errand {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.errands = state.errands.saturating_sub(1);
    }
}

/// Somebody who waits for a connection of his lane.
pub(in crate::queue) struct Waiting {
    lane: Arc<Lane>,
    turn: Arc<Turn>,
}

impl Waiting {
    /// It, when it comes. Once.
    pub async fn place(&self) -> Place {
        self.turn.place().await
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.lane.state().waits.retain(|other| !Arc::ptr_eq(other, &self.turn));
        self.turn.end();
    }
}

impl Lane {
    /// Sees to it that it has a berth, where it needs one, for mail of this origin. False: there is none for him.
    pub(super) fn takes_berth(&self, state: &mut LaneState, origin: Origin) -> bool {
        let Hop::Mx(_) = self.hop else { return true };
        if state.berth.is_none() {
            let rank = if state.proven { Rank::Proven } else { Rank::Unproven };
            state.berth = self.berths.place(rank, origin);
        }
        state.berth.is_some()
    }

    pub fn has_berth(&self) -> bool {
        self.state().berth.is_some()
    }

    /// Gives its berth to others where nothing waits here and nobody is at work. True where it had one.
    pub fn leave_berth(&self) -> bool {
        let berth = {
            let mut state = self.state();
            let empty = state.workers == 0 && state.is_empty();
            if empty { state.berth.take() } else { None }
        };
        berth.is_some()
    }

    /// Somebody who waits for a connection for a job of this origin, and for what else waits here.
    pub fn wait(self: &Arc<Self>, turn: Arc<Turn>, origin: Origin) -> Waiting {
        let others: Vec<Origin> = {
            let mut state = self.state();
            state.waits.push(Arc::clone(&turn));
            state.queue.first_of_each().map(|job| job.origin).collect()
        };
        turn.join(origin);
        others.into_iter().for_each(|other| turn.join(other));
        Waiting { lane: Arc::clone(self), turn }
    }

    /// Lets a worker ask another server for recipients that its own puts off, while few others do: that one may be silent,
    /// and the first serves others well meanwhile.
    pub fn errand(self: &Arc<Self>) -> Option<Errand> {
        let mut state = self.state();
        let may = state.errands < (state.limit / ERRANDS).max(1);
        state.errands += usize::from(may);
        may.then(|| Errand(Arc::clone(self)))
    }
}
