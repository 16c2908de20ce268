//! Destinations without number: how many of them are known at a time, and who waits because his is none of these.
//!
//! Anybody may name domains, and a stranger has us write to as many as he likes. So what is in memory is bounded over all of
//! them: a destination by MX has a berth while it has mail or a worker, domains that are not proven have half of
//! the berths, and nobody has more of them than he leaves to others. A message without a berth waits
//! on disk, and here as its name and place alone, by whoever caused it; it is called when there is room. Where some of its
//! recipients have one and others do not, it goes to those; the others are as good as untried, and the message is looked at
//! again right after.

use super::Inner;
use super::fair::Fair;
use super::hop::{LATE, Lane};
use super::route::Hop;
use super::shares::{Origin, Rank};
use super::sockets::{Place, Sockets};
use crate::deliver::Reason;
use crate::envelope::MessageId;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Destinations by MX with mail in memory.
pub(super) const BERTHS: usize = if cfg!(test) { 64 } else { 2000 };
/// Those of them that are not proven.
const UNPROVEN: usize = BERTHS / 2;
/// Domains that are remembered as proven: between so many and twice as many.
const REMEMBERED: usize = if cfg!(test) { 100 } else { 10_000 };

/// When those are looked at again who had no berth in an attempt that others of their message had one for, and up to twice
/// that, in milliseconds: then they wait here, where all who are left have none.
const SOON: u64 = if cfg!(test) { 50 } else { 1000 };
const NO_BERTH: &str = "mail for many other domains waits";

/// When a message in the log is due: it waits to be called.
pub(super) const IN_LOG: i64 = i64::MIN;

/// The berths.
pub(super) fn berths() -> Arc<Sockets> {
    Arc::new(Sockets::within([usize::MAX, BERTHS, UNPROVEN]))
}

/// Why somebody is put off who was not tried.
pub(super) fn lacks_berth() -> Reason {
    Reason::new((4, 4, 5), NO_BERTH)
}

/// Whether this was said of somebody for want of a berth, and not by a server.
pub(super) fn is_of_berths(text: &str) -> bool {
    text == NO_BERTH
}

/// In how many milliseconds they are looked at again.
pub(super) fn soon() -> u64 {
    fastrand::u64(SOON..2 * SOON)
}

/// What a message waits for here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Want {
    pub rank: Rank,
    pub origin: Origin,
}

/// Those who wait.
#[derive(Default)]
pub(super) struct Crowd(Mutex<State>);

#[derive(Default)]
struct State {
    /// Their names, with when they are looked at in any case: those for proven domains, and the others.
    waiting: [Fair<(MessageId, i64), Origin>; 2],
    /// Which of both has its turn.
    turn: bool,
    /// Who was called, and the berth that is kept for him until he comes.
    coming: HashMap<MessageId, (Place, Instant)>,
}

impl State {
    fn len(&self) -> usize {
        self.waiting.iter().map(Fair::len).sum()
    }

    fn of(&mut self, rank: Rank) -> &mut Fair<(MessageId, i64), Origin> {
        let [proven, unproven] = &mut self.waiting;
        if rank == Rank::Unproven { unproven } else { proven }
    }

    /// The next one who may go: of both kinds in turn.
    fn next(&mut self, berths: &Sockets) -> Option<(Want, (MessageId, i64))> {
        self.turn = !self.turn;
        let mut ranks = [Rank::Proven, Rank::Unproven];
        if self.turn {
            ranks.reverse();
        }
        ranks.into_iter().find_map(|rank| {
            // Where none is to be had, not each origin is asked for; else only those who have some may not have another.
            let waiting = if berths.is_out(rank) { None } else { Some(self.of(rank)) };
            let (origin, found) = waiting?.pop_of(|origin| berths.may(rank, origin))?;
            Some((Want { rank, origin }, found))
        })
    }
}

impl Crowd {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody waits.
    pub fn waits(&self) -> bool {
        self.state().len() > 0
    }

    /// How many wait.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.state().len()
    }

    /// One that was called is here: its berth is there to be had. True where one was kept.
    pub fn came(&self, id: MessageId) -> bool {
        let kept = self.state().coming.remove(&id);
        kept.is_some()
    }
}

/// Domains that took mail when they were last tried, as hashes. The oldest are forgotten first.
#[derive(Default)]
pub(super) struct Proven {
    hasher: RandomState,
    known: Mutex<[HashSet<u64>; 2]>,
}

impl Proven {
    fn known(&self) -> MutexGuard<'_, [HashSet<u64>; 2]> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn has(&self, hop: &Hop) -> bool {
        let hash = self.hasher.hash_one(hop);
        self.known().iter().any(|known| known.contains(&hash))
    }

    pub fn add(&self, hop: &Hop) {
        let hash = self.hasher.hash_one(hop);
        let [young, old] = &mut *self.known();
        if young.insert(hash) && young.len() >= REMEMBERED {
            *old = std::mem::take(young);
        }
    }

    pub fn remove(&self, hop: &Hop) {
        let hash = self.hasher.hash_one(hop);
        self.known().iter_mut().for_each(|known| _ = known.remove(&hash));
    }
}

impl Inner {
    /// The queue of a hop for one more message that `origin` causes; or what that waits for.
    pub(super) fn lane_for(&self, hop: &Hop, origin: Origin) -> Result<Arc<Lane>, Want> {
        let Hop::Mx(_) = hop else { return Ok(self.lane(hop)) };
        let there = self.lanes.lock().unwrap_or_else(PoisonError::into_inner).get(hop).cloned();
        let proven = match &there {
            Some(lane) if lane.has_berth() => return Ok(Arc::clone(lane)),
            Some(lane) => lane.is_proven(),
            None => self.proven.has(hop),
        };
        let rank = if proven { Rank::Proven } else { Rank::Unproven };
        match self.berths.may(rank, origin) {
            true => Ok(there.unwrap_or_else(|| self.lane(hop))),
            false => Err(Want { rank, origin }),
        }
    }

    /// Has a message wait for a berth, which is planned for then.
    pub(super) fn join_crowd(&self, want: Want, id: MessageId, due: i64) {
        {
            let mut state = self.crowd.state();
            // Who was looked at meanwhile waits in another place: none stands here twice for long.
            let index = self.index();
            if state.len() >= 2 * (index.len() + BERTHS) {
                for waiting in &mut state.waiting {
                    waiting.take_if(|(id, due)| !index.is_waiting(*id, *due));
                }
            }
            state.of(want.rank).push(want.origin, (id, due));
        }
        // There may be one by now.
        if self.berths.may(want.rank, want.origin) {
            self.call_crowd();
        }
    }

    /// Calls those that there are berths for.
    pub(super) fn call_crowd(&self) {
        let mut called = Vec::new();
        {
            let mut state = self.crowd.state();
            while let Some((want, (id, due))) = state.next(&self.berths) {
                if !self.index().is_waiting(id, due) {
                    continue;
                }
                let Some(place) = self.berths.place(want.rank, want.origin) else {
                    // Somebody took it meanwhile; others may have one all the same.
                    state.of(want.rank).push_front(want.origin, (id, due));
                    continue;
                };
                state.coming.insert(id, (place, Instant::now()));
                called.push((id, due));
            }
        }
        self.call_any(called);
    }

    /// All of them are to be looked at anew.
    pub(super) fn dissolve_crowd(&self) {
        let waiting = std::mem::take(&mut self.crowd.state().waiting);
        self.call_any(waiting.into_iter().flat_map(Fair::into_all).collect());
    }

    /// Has these looked at now, wherever they wait.
    fn call_any(&self, all: Vec<(MessageId, i64)>) {
        if all.is_empty() {
            return;
        }
        let (log, deferred): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, due)| *due == IN_LOG);
        self.wake(deferred);
        self.call(log.into_iter().map(|(id, _)| id).collect());
    }

    /// A message that was called is taken up now, or does not come.
    pub(super) fn came(&self, id: MessageId) {
        if self.crowd.came(id) {
            self.call_crowd();
        }
    }

    /// Nobody works for a hop any more: where nothing waits for it, others have its berth.
    pub(super) fn vacate(&self, lane: &Lane) {
        if lane.leave_berth() {
            self.call_crowd();
        }
    }

    /// Whoever was called and did not come was taken care of elsewhere.
    pub(super) fn tidy_crowd(&self) {
        let late = {
            let mut state = self.crowd.state();
            let now = Instant::now();
            let late: Vec<MessageId> = state
                .coming
                .iter()
                .filter(|(_, (_, since))| now.saturating_duration_since(*since) > LATE)
                .map(|(id, _)| *id)
                .collect();
            late.into_iter().filter_map(|id| state.coming.remove(&id)).collect::<Vec<_>>()
        };
        drop(late);
        self.call_crowd();
    }
}
