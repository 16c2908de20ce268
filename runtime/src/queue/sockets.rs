//! Places, such as connections to next hops: how many may be held at a time, and who may have them.
//!
//! Servers that hang hold theirs for minutes, and one newsletter, or what a stranger has us send back, may find thousands of
//! them. So the bound for all has others inside, one narrower than the other: for what goes by MX, and for domains that have
//! not shown yet that they take mail; and in those nobody has more than he leaves to others ([`Shares`]). Who waits has his
//! turn by whoever caused his mail. Connections to the local server are none of these: mail that
//! stays here waits for no stranger, and they are as few as one hop may have.

use super::fair::Fair;
use super::shares::{Origin, PARTED, Rank, Shares};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The places of one kind.
pub(super) struct Sockets(Mutex<State>);

struct State {
    shares: Shares,
    /// Those who wait, none of whom may have one now; the same one for each who has mail with him.
    waiting: Fair<Arc<Turn>, (Rank, Origin)>,
}

/// Somebody who waits for a place.
pub(super) struct Turn {
    sockets: Arc<Sockets>,
    rank: Rank,
    bell: Notify,
    state: Mutex<Waits>,
}

#[derive(Default)]
struct Waits {
    /// Whose turns he waits for.
    origins: Vec<Origin>,
    /// Whose place he was given, and did not take yet.
    given: Option<Origin>,
    /// He had his turn.
    served: bool,
    /// He needs none any more.
    over: bool,
}

/// A place that is held.
pub(super) struct Place {
    sockets: Arc<Sockets>,
    rank: Rank,
    origin: Origin,
}

impl Sockets {
    /// So many connections in all.
    pub fn new(all: usize) -> Self {
        let all = all.max(1);
        let by_mx = all - if all < PARTED { 0 } else { all.div_ceil(8) };
        // One less than for those that are proven, where there is more than one.
        let unproven = (all / 2).min(by_mx - 1).max(1);
        Self::within([all, by_mx, unproven])
    }

    /// Within these bounds, from the widest to the narrowest.
    pub fn within(bounds: [usize; 3]) -> Self {
        Self(Mutex::new(State { shares: Shares::new(bounds), waiting: Fair::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one may be had now.
    pub fn may(&self, rank: Rank, origin: Origin) -> bool {
        self.state().shares.may(rank, origin)
    }

    /// A place, where one may be had now.
    pub fn place(self: &Arc<Self>, rank: Rank, origin: Origin) -> Option<Place> {
        let mut state = self.state();
        state.shares.may(rank, origin).then(|| {
            state.shares.take(rank, origin);
            Place { sockets: Arc::clone(self), rank, origin }
        })
    }

    /// Somebody who waits, of whom it is not said yet for whom.
    pub fn turn(self: &Arc<Self>, rank: Rank) -> Arc<Turn> {
        Arc::new(Turn { sockets: Arc::clone(self), rank, bell: Notify::new(), state: Mutex::default() })
    }

    /// Whether nobody may have one now.
    pub fn is_out(&self, rank: Rank) -> bool {
        self.state().shares.is_out(rank)
    }

    /// Whether others may wait for a place of this rank that is held.
    pub fn is_short(&self, rank: Rank) -> bool {
        let state = self.state();
        state.shares.is_out(rank) || state.waiting.turn(|(other, _)| other <= rank).is_some()
    }

    /// Gives places to those who may have them now.
    fn serve(state: &mut State) {
        while let Some(((rank, origin), turn)) =
            state.waiting.pop_of(|(rank, origin)| state.shares.may(rank, origin))
        {
            let mut waits = turn.state();
            if !waits.over && !waits.served {
                state.shares.take(rank, origin);
                waits.served = true;
                waits.given = Some(origin);
                turn.bell.notify_one();
            }
        }
    }
}

impl Turn {
    fn state(&self) -> MutexGuard<'_, Waits> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody's mail goes with what waits here: his turn will do, too.
    pub fn join(self: &Arc<Self>, origin: Origin) {
        let mut places = self.sockets.state();
        {
            let mut waits = self.state();
            if waits.over || waits.origins.contains(&origin) {
                return;
            }
            waits.origins.push(origin);
        }
        places.waiting.push((self.rank, origin), Arc::clone(self));
        Sockets::serve(&mut places);
    }

    /// The place, when it comes. Once.
    pub async fn place(&self) -> Place {
        loop {
            let given = self.state().given.take();
            if let Some(origin) = given {
                return self.place_of(origin);
            }
            self.bell.notified().await;
        }
    }

    /// Whoever waited does not do so any more.
    pub fn end(&self) {
        let (given, alone) = {
            let mut waits = self.state();
            waits.over = true;
            (waits.given.take(), waits.origins.len() <= 1 && waits.served)
        };
        // What was not taken is given back.
        drop(given.map(|origin| self.place_of(origin)));
        if !alone {
            let gone = self.sockets.state().waiting.take_if(|turn| turn.is_over());
            drop(gone);
        }
    }

    fn place_of(&self, origin: Origin) -> Place {
        Place { sockets: Arc::clone(&self.sockets), rank: self.rank, origin }
    }

    fn is_over(&self) -> bool {
        self.state().over
    }
}

impl Place {
    /// What it is held for takes mail. True where others may have what it is not any more.
    pub fn prove(&mut self) -> bool {
        let unproven = self.rank == Rank::Unproven;
        if unproven {
            let mut state = self.sockets.state();
            state.shares.give_back(self.rank, Some(Rank::Proven), self.origin);
            self.rank = Rank::Proven;
            Sockets::serve(&mut state);
        }
        unproven
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.sockets.state();
        state.shares.give_back(self.rank, None, self.origin);
        Sockets::serve(&mut state);
    }
}
