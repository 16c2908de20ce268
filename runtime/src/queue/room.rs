//! Room in memory for large messages: they are read whole to be delivered, so there are few of them at a time.
//!
//! A next hop may keep its message for as long as it is slow. So no hop has more than a quarter of what there is for all; what goes by
//! MX leaves a quarter to the operator's relays, and domains that have not shown yet that they take mail leave another one to those
//! that have; and in each of these bounds nobody causes more than is left free afterwards, so that whoever comes next finds some
//! ([`Shares`](super::shares::Shares) part connections in the same way). A job that finds none is [set aside](super::hop) without a
//! connection, and others go meanwhile: first the one that came first, then, where others hold it up, the smallest. Mail for
//! Maildirs and the recording of attempts have room of their own, and go on whatever hops do. A message that is larger than a hop's
//! share counts as much, so that it has room at all.

use super::Inner;
use super::entry::Job;
use super::hop::Lane;
use super::shares::{Origin, Rank};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// KiB of large messages in the hands of all next hops.
const FOR_HOPS: usize = if cfg!(test) { 4 << 10 } else { 64 << 10 };
/// Of one of them, of Maildirs, and of attempts that are recorded.
pub(super) const SHARE: usize = FOR_HOPS / 4;
/// Of all, of what goes by MX, and of that for domains that are not proven: as [`Rank`] has it.
const BOUNDS: [usize; 3] = [FOR_HOPS, FOR_HOPS - SHARE, FOR_HOPS / 2];

/// The room there is.
pub(super) struct Rooms {
    hops: Arc<Hops>,
    maildirs: Arc<Semaphore>,
    records: Arc<Semaphore>,
}

impl Default for Rooms {
    fn default() -> Self {
        let of = |most| Arc::new(Semaphore::new(most));
        Self { hops: Arc::default(), maildirs: of(SHARE), records: of(SHARE) }
    }
}

/// What a large message is read for.
pub(super) enum For {
    /// To be delivered to a next hop, with the room that was found for it.
    Hop(Option<Room>),
    /// To be put into Maildirs.
    Maildir,
    /// To record what became of it.
    Record,
}

/// Room that one message has.
pub(super) struct Room {
    _permit: Option<OwnedSemaphorePermit>,
    _held: Option<Held>,
}

/// What a message needs: so many KiB, for whoever caused it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ask {
    pub wanted: usize,
    origin: Origin,
}

impl Ask {
    pub fn of(job: &Job) -> Self {
        Self { wanted: wanted(job.entry.size), origin: job.origin }
    }
}

#[cfg(test)]
impl Ask {
    pub fn for_test(wanted: usize, who: u64) -> Self {
        Self { wanted, origin: Origin::for_test(who) }
    }
}

fn wanted(size: usize) -> usize {
    (size / 1024).clamp(1, SHARE)
}

/// Whoever waits for room for one of two messages of a hop: the first of those that wait there, and the smallest.
struct Waits {
    lane: Arc<Lane>,
    asks: [Ask; 2],
    tell: oneshot::Sender<(Room, Ask)>,
}

/// What next hops hold.
#[derive(Default)]
struct Hops(Mutex<State>);

#[derive(Default)]
struct State {
    /// Within each bound.
    taken: [usize; 3],
    /// The same of each one who caused it.
    of: [HashMap<Origin, usize>; 3],
    /// The same of each hop, by where its lane is.
    lanes: HashMap<usize, usize>,
    waiting: Vec<Waits>,
}

/// A part of it.
struct Held {
    hops: Arc<Hops>,
    lane: Arc<Lane>,
    rank: Rank,
    ask: Ask,
}

fn key(lane: &Arc<Lane>) -> usize {
    Arc::as_ptr(lane).addr()
}

fn rank(lane: &Lane) -> Rank {
    // The local server is ours, too.
    Rank::of_lane(lane).unwrap_or(Rank::Own)
}

impl State {
    fn of_lane(&self, lane: &Arc<Lane>) -> usize {
        self.lanes.get(&key(lane)).copied().unwrap_or_default()
    }

    /// Whether its own hop leaves it room.
    fn lane_may(&self, lane: &Arc<Lane>, ask: Ask) -> bool {
        self.of_lane(lane) + ask.wanted <= SHARE
    }

    fn may(&self, lane: &Arc<Lane>, ask: Ask) -> bool {
        let own = |of: &HashMap<Origin, usize>| of.get(&ask.origin).copied().unwrap_or_default();
        let mut bounds = BOUNDS.iter().zip(self.taken.iter().zip(&self.of)).take(rank(lane) as usize + 1);
        self.lane_may(lane, ask)
            && bounds.all(|(most, (taken, of))| {
                let free = most.checked_sub(taken + ask.wanted);
                free.is_some_and(|free| own(of) + ask.wanted <= free)
            })
    }

    /// Which of two may go. The second passes the first only where others hold that up.
    fn pick(&self, lane: &Arc<Lane>, [first, smallest]: [Ask; 2]) -> Option<Ask> {
        if self.may(lane, first) {
            return Some(first);
        }
        (self.lane_may(lane, first) && self.may(lane, smallest)).then_some(smallest)
    }

    fn change(&mut self, lane: &Arc<Lane>, rank: Rank, ask: Ask, change: impl Fn(&mut usize)) {
        for (taken, of) in self.taken.iter_mut().zip(&mut self.of).take(rank as usize + 1) {
            change(taken);
            let own = of.entry(ask.origin).or_default();
            change(own);
            if *own == 0 {
                of.remove(&ask.origin);
            }
        }
        let own = self.lanes.entry(key(lane)).or_default();
        change(own);
        if *own == 0 {
            self.lanes.remove(&key(lane));
        }
    }
}

impl Hops {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: &Arc<Self>, state: &mut State, lane: &Arc<Lane>, ask: Ask) -> Room {
        let rank = rank(lane);
        state.change(lane, rank, ask, |held| *held += ask.wanted);
        let held = Held { hops: Arc::clone(self), lane: Arc::clone(lane), rank, ask };
        Room { _permit: None, _held: Some(held) }
    }

    /// Gives room to those who may have some now.
    fn serve(self: &Arc<Self>) {
        let mut given = Vec::new();
        {
            let mut state = self.state();
            state.waiting.retain(|waits| !waits.tell.is_closed());
            let mut waiting = std::mem::take(&mut state.waiting);
            for waits in waiting.extract_if(.., |_| true) {
                match state.pick(&waits.lane, waits.asks) {
                    Some(ask) => given.push((waits.tell, (self.take(&mut state, &waits.lane, ask), ask))),
                    None => state.waiting.push(waits),
                }
            }
        }
        for (tell, room) in given {
            // Whoever does not wait any more gives it back, which needs the lock.
            drop(tell.send(room));
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let wanted = self.ask.wanted;
        self.hops.state().change(&self.lane, self.rank, self.ask, |held| *held = held.saturating_sub(wanted));
        self.hops.serve();
    }
}

impl Rooms {
    /// Room for a message that goes to a hop, where there is some now.
    pub fn try_take(&self, lane: &Arc<Lane>, ask: Ask) -> Option<Room> {
        let mut state = self.hops.state();
        state.may(lane, ask).then(|| self.hops.take(&mut state, lane, ask))
    }

    /// Room for one of two, when there is some, and for which.
    pub async fn take(&self, lane: &Arc<Lane>, asks: [Ask; 2]) -> Option<(Room, Ask)> {
        let (tell, told) = oneshot::channel();
        self.hops.state().waiting.push(Waits { lane: Arc::clone(lane), asks, tell });
        self.hops.serve();
        told.await.ok()
    }

    /// KiB in the hands of a hop.
    #[cfg(test)]
    pub fn of(&self, lane: &Arc<Lane>) -> usize {
        self.hops.state().of_lane(lane)
    }
}

impl Inner {
    /// Room for a message of so many bytes that goes to no hop, when there is some.
    pub(super) async fn room(&self, size: usize, reader: For) -> Option<Room> {
        let rooms = match reader {
            For::Hop(room) => return room,
            For::Maildir => &self.rooms.maildirs,
            For::Record => &self.rooms.records,
        };
        let wanted = u32::try_from(wanted(size)).unwrap_or(1);
        let permit = Arc::clone(rooms).acquire_many_owned(wanted).await.ok();
        Some(Room { _permit: permit, _held: None })
    }

    /// Lets a large job wait for room, while others of its hop go.
    pub(super) fn wait_for_room(self: &Arc<Self>, lane: &Arc<Lane>, job: Job) {
        if !lane.set_aside(job) {
            return;
        }
        let (inner, lane) = (Arc::clone(self), Arc::clone(lane));
        tokio::spawn(async move {
            while let Some(asks) = lane.asks() {
                let found = tokio::select! {
                    found = inner.rooms.take(&lane, asks) => found,
                    // Another one may be smaller.
                    () = lane.aside_bell.notified() => continue,
                    () = inner.stop() => return,
                };
                let Some((room, ask)) = found else { continue };
                if lane.come_forward(ask, room) {
                    inner.start_worker(&lane);
                }
            }
        });
    }
}
