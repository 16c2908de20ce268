//! A next hop's queue and its workers: how many there are, when they rest, what happens when it is down.
//!
//! A worker serves one connection (or one batch of mailboxes). Nobody starts a task per message. The first one is alone
//! until the hop answered: one that hangs holds one connection. While
//! a hop cannot be reached one worker tries again, soon at first; jobs wait for [`PATIENCE`], then they
//! are handed back and new ones are refused until the next try. No sender has the last worker: whatever makes his mail
//! hang, that of others goes. Who tries again does so in its [`Seat`]: whatever
//! way a worker ends, its lane knows that nobody tries any more.

mod aside;
mod held;
mod outside;
mod seat;

pub(super) use held::Errand;
pub(super) use seat::{AfterFailure, Seat};

use super::Inner;
use super::backlog::FRESH;
use super::crowd;
use super::entry::{Entry, Job};
use super::fair::Fair;
use super::route::Hop;

use super::sockets::{Place, Sockets, Turn};
use crate::deliver::{LOGIN_REFUSED, Reason};
use crate::envelope::MessageId;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long jobs wait for a hop that is down before they count as attempted.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// Deferred messages that wait in memory for one hop, where there is room. More than that wait on disk for their turn, so
/// that a hop that hangs takes neither the memory nor the turns of others.
pub(super) const SHARE: usize = 100;
/// More of them are not taken, whoever else they are for.
const MOST_AGAIN: usize = 2 * SHARE;
/// The same for those on their first attempt.
const MOST_FRESH: usize = 3 * FRESH;
/// The part of a lane's workers, as a divisor, that may ask other servers at a time.
const ERRANDS: usize = 4;
/// So many transactions in a row that a hop falls silent in say that it is down; fewer speak of themselves alone.
const SILENCES: usize = 3;
/// Next hops with nothing to do that are kept.
pub(super) const MOST_LANES: usize = 1024;
/// One that was called and did not come for so long keeps no room from others.
pub(super) const LATE: Duration = Duration::from_secs(60);
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LAST_WAIT: Duration = Duration::from_secs(60);

/// A next hop with what waits for it.
pub(super) struct Lane {
    pub hop: Hop,
    /// Rung when more wait for room.
    pub aside_bell: Notify,
    berths: Arc<Sockets>,
    state: Mutex<LaneState>,
}

#[derive(Default)]
struct LaneState {
    queue: Fair<Job>,
    /// Large ones that wait for room in memory, in order.
    aside: Vec<Job>,
    /// Somebody asks for room for them.
    asks: bool,
    /// How many of all these were deferred before.
    again: usize,
    /// Deferred messages that wait for room among those, and when they are looked at in any case.
    parked: Fair<(MessageId, i64)>,
    /// Those of them that were called and did not come yet, and when.
    woken: HashMap<MessageId, Instant>,
    /// Messages in the log that wait for room among the others.
    shelf: Fair<MessageId>,
    /// How many of those were called and did not come yet.
    coming: usize,
    workers: usize,
    /// The most of them.
    limit: usize,
    /// How many of them have jobs in hand: the others rest, or were called and are about to look.
    busy: usize,
    /// How many of them are at work for whom, where that is bounded.
    hands: HashMap<u64, usize>,
    /// How many of them ask another server for recipients that theirs puts off.
    errands: usize,
    /// It took mail when it was last tried.
    proven: bool,
    /// Its part of the memory that destinations without number share.
    berth: Option<Place>,
    /// Those of its workers that wait for a connection.
    waits: Vec<Arc<Turn>>,
    /// How many transactions in a row it fell silent in.
    silences: usize,
    /// One of the workers that there are was answered: there may be more than one.
    answered: bool,
    /// Bells of workers at rest.
    resting: Vec<Arc<Notify>>,
    down: Option<Down>,
    /// Nothing is taken or given any more.
    closed: bool,
}

struct Down {
    since: Instant,
    until: Instant,
    tries: u32,
    reason: Reason,
    /// The bell of the worker that waits to try again.
    prober: Option<Arc<Notify>>,
}

impl Down {
    /// Somebody will try again soon.
    fn is_probed(&self) -> bool {
        self.prober.is_some()
    }

    fn is_probed_by(&self, bell: &Arc<Notify>) -> bool {
        self.prober.as_ref().is_some_and(|prober| Arc::ptr_eq(prober, bell))
    }
}

impl LaneState {
    /// How many wait here for their first attempt.
    fn fresh(&self) -> usize {
        (self.queue.len() + self.aside.len()).saturating_sub(self.again)
    }

    fn put(&mut self, job: Job) {
        self.woken.remove(&job.entry.id);
        self.again += usize::from(job.entry.is_retry());
        self.queue.push(job.lane, job);
    }

    /// Puts a job back, as the next of all.
    fn put_front(&mut self, job: Job) {
        self.again += usize::from(job.entry.is_retry());
        self.queue.push_front(job.lane, job);
    }

    fn take(&mut self) -> Option<Job> {
        let job = self.queue.pop()?;
        self.again = self.again.saturating_sub(usize::from(job.entry.is_retry()));
        Some(job)
    }

    /// Nothing waits here, in memory or outside.
    fn is_empty(&self) -> bool {
        self.queue.len() == 0 && self.aside.is_empty() && self.parked.len() == 0 && self.shelf.len() == 0
    }

    /// Whether another worker may be at work for this sender: all but one, where there is more than one.
    fn may_have_one(&self, sender: u64) -> bool {
        self.hands.get(&sender).is_none_or(|hands| *hands < self.limit.saturating_sub(1).max(1))
    }

    /// Takes the next job of a sender who may have another worker.
    fn take_bounded(&mut self) -> Option<Job> {
        let sender = self.queue.turn(|key| self.may_have_one(key))?;
        let (_, job) = self.queue.pop_of(|key| key == sender)?;
        self.again = self.again.saturating_sub(usize::from(job.entry.is_retry()));
        Some(job)
    }

    /// A worker that was at work for one sender is so for another one.
    fn change_hands(&mut self, old: Option<u64>, new: Option<u64>) {
        if let Some(old) = old
            && let Some(hands) = self.hands.get_mut(&old)
        {
            *hands = hands.saturating_sub(1);
            if *hands == 0 {
                self.hands.remove(&old);
            }
        }
        if let Some(new) = new {
            *self.hands.entry(new).or_default() += 1;
        }
    }

    /// Calls all who rest: what waits may be for them now.
    fn call_all(&mut self) {
        self.resting.drain(..).for_each(|bell| bell.notify_one());
    }

    /// Calls one who rests for a job that waits. True: there is none, and one more is to be started; it is counted.
    fn call_one(&mut self) -> bool {
        if let Some(bell) = self.resting.pop() {
            bell.notify_one();
            return false;
        }
        let most = if self.answered { self.limit } else { 1 };
        let wanted = self.workers < most && !self.down.as_ref().is_some_and(Down::is_probed);
        self.workers += usize::from(wanted);
        wanted
    }

    /// How many workers more are to be started for what waits; they are counted.
    fn add_workers(&mut self) -> usize {
        self.call_all();
        let more = self.queue.len().min(self.limit.saturating_sub(self.workers));
        self.workers += more;
        more
    }

    /// The worker with this bell ends.
    fn leave(&mut self, bell: &Arc<Notify>) {
        self.workers = self.workers.saturating_sub(1);
        self.answered &= self.workers > 0;
        self.resting.retain(|other| !Arc::ptr_eq(other, bell));
        if let Some(down) = self.down.as_mut().filter(|down| down.is_probed_by(bell)) {
            down.prober = None;
        }
    }
}

impl Lane {
    pub fn new(hop: Hop, limit: usize, proven: bool, berths: Arc<Sockets>) -> Self {
        Self {
            hop,
            aside_bell: Notify::new(),
            berths,
            state: Mutex::new(LaneState { limit, proven, ..LaneState::default() }),
        }
    }

    /// Another configuration: so many workers there may be, those that there are go on, and a hop that could not be
    /// reached may be reached now.
    pub fn renew(&self, limit: usize) {
        let mut state = self.state();
        state.limit = limit;
        state.call_all();
        state.down.take_if(|down| !down.is_probed());
    }

    fn state(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job. `Ok(true)`: a worker is to be started, and is counted already. An error hands the
    /// job back: the hop is down.
    pub fn push(&self, job: Job) -> Result<bool, Box<(Job, Reason)>> {
        let mut state = self.state();
        if state.closed {
            // It is on disk; the next run delivers it.
            return Ok(false);
        }
        if let Some(down) = &state.down {
            let now = Instant::now();
            if !down.is_probed() && now < down.until {
                return Err(Box::new((job, down.reason.clone())));
            }
        }
        let most = match job.entry.is_retry() {
            true => state.again >= MOST_AGAIN,
            false => state.fresh() >= MOST_FRESH,
        };
        if most {
            let reason = Reason::new((4, 4, 5), "much other mail waits for its next hop");
            return Err(Box::new((job, reason)));
        }
        let (sender, origin) = (job.lane, job.origin);
        if !self.takes_berth(&mut state, origin) {
            return Err(Box::new((job, crowd::lacks_berth())));
        }
        state.put(job);
        let waits = state.waits.clone();
        // One of those who are at work for him takes it, where there may be no more.
        let more = state.may_have_one(sender) && state.call_one();
        drop(state);
        waits.iter().for_each(|turn| turn.join(origin));
        Ok(more)
    }

    /// Takes one job more for a worker that has one of this sender in hand: one up to so many bytes, and only where nobody
    /// else could take it at once.
    pub fn another(&self, sender: u64, largest: usize) -> Option<Job> {
        let mut state = self.state();
        if state.closed || state.down.is_some() {
            return None;
        }
        let idle = state.busy < state.limit;
        let more = state.may_have_one(sender);
        let next = state.queue.turn(|key| key == sender || state.may_have_one(key))?;
        let hands = state.hands.get(&sender).copied().unwrap_or_default();
        // Another's waits for no more than one connection of somebody whose mail may hang.
        let taken = if next == sender { !idle || !more } else { !idle && hands <= 1 };
        if !taken {
            return None;
        }
        let (_, job) = state.queue.pop_of(|key| key == next)?;
        state.again = state.again.saturating_sub(usize::from(job.entry.is_retry()));
        if job.entry.size > largest {
            state.put_front(job);
            return None;
        }
        Some(job)
    }

    /// Puts a job back that was taken and not begun.
    pub fn put_back(&self, job: Job) {
        let mut state = self.state();
        if !state.closed {
            state.put_front(job);
        }
    }

    /// Takes out the jobs of a message that nobody has begun.
    pub fn withdraw(&self, entry: &Arc<Entry>) -> Vec<Job> {
        self.withdraw_if(|job| Arc::ptr_eq(&job.entry, entry))
    }

    /// Takes out those jobs that nobody has begun.
    pub fn withdraw_if(&self, goes: impl Fn(&Job) -> bool) -> Vec<Job> {
        let mut state = self.state();
        let mut jobs = state.queue.take_if(&goes);
        let again = jobs.iter().filter(|job| job.entry.is_retry()).count();
        state.again = state.again.saturating_sub(again);
        jobs.append(&mut state.take_aside_if(goes));
        jobs
    }

    /// Ends the workers after what they are doing, and forgets what waits: it is on disk.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let mut jobs: Vec<Job> = std::iter::from_fn(|| state.take()).collect();
        jobs.append(&mut state.take_aside());
        (state.parked, state.shelf) = (Fair::default(), Fair::default());
        for bell in state.resting.drain(..) {
            bell.notify_one();
        }
        drop(state);
        drop(jobs);
    }

    /// The hop was reached, or there is another way now. Gives back how many workers more are to be started; they are counted;
    /// and whether its berth is none of those any more that are for domains that are not proven.
    pub fn reached(&self) -> (usize, bool) {
        let mut state = self.state();
        (state.proven, state.silences) = (true, 0);
        let moved = state.berth.as_mut().is_some_and(Place::prove);
        let first = !std::mem::replace(&mut state.answered, true);
        let more = if state.down.take().is_none() && !first { 0 } else { state.add_workers() };
        (more, moved)
    }

    /// The hop, which greeted, fell silent in the middle of a transaction: a recipient may be what it hangs at. True where that
    /// alone does not make it one that is down, and others are tried as before.
    pub fn bears_silence(&self) -> bool {
        let mut state = self.state();
        state.silences += 1;
        state.silences < SILENCES && state.down.is_none()
    }

    /// A connection stands. Others' servers that greet may hang all the same; those of ours are given what waits. Gives back
    /// the same.
    pub fn greeted(&self) -> usize {
        let mut state = self.state();
        if state.down.is_some()
            || matches!(self.hop, Hop::Mx(_))
            || std::mem::replace(&mut state.answered, true)
        {
            return 0;
        }
        state.add_workers()
    }

    /// An admin wants its mail tried now: that it was down is no reason to wait. A login that was refused is not tried more
    /// often for that.
    fn try_now(&self) {
        let mut state = self.state();
        let now = Instant::now();
        if let Some(down) = state.down.as_mut().filter(|down| down.reason.status != LOGIN_REFUSED) {
            down.until = down.until.min(now);
        }
    }

    /// Whether it took mail when it was last tried.
    pub fn is_proven(&self) -> bool {
        self.state().proven
    }

    /// For how long nobody tries again.
    #[cfg(test)]
    pub fn down_for(&self) -> Duration {
        let until = self.state().down.as_ref().map(|down| down.until);
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    /// Whether a worker waits to try again.
    #[cfg(test)]
    pub fn is_probed(&self) -> bool {
        self.state().down.as_ref().is_some_and(Down::is_probed)
    }

    /// How many workers there are, and how many of them rest.
    #[cfg(test)]
    pub fn workers(&self) -> (usize, usize) {
        let state = self.state();
        (state.workers, state.resting.len())
    }

    /// Whether it can be forgotten.
    pub fn is_idle(&self) -> bool {
        let state = self.state();
        let down = state.down.as_ref().is_some_and(|d| d.until > Instant::now());
        state.workers == 0 && state.is_empty() && state.berth.is_none() && !down
    }
}

impl Inner {
    /// Next hops that were down are tried by whatever comes next.
    pub(super) fn try_hops_now(&self, which: impl Fn(&Hop) -> bool) {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.values().filter(|lane| which(&lane.hop)).for_each(|lane| lane.try_now());
    }

    /// The queue of a hop.
    pub(super) fn lane(&self, hop: &Hop) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(hop) {
            return Arc::clone(lane);
        }
        // As many again come before they are looked through again: each costs the same, however many there are.
        if lanes.len() >= self.most_lanes.load(Ordering::Relaxed) {
            lanes.retain(|_, lane| !lane.is_idle());
            self.most_lanes.store((2 * lanes.len()).max(MOST_LANES), Ordering::Relaxed);
        }
        let (limit, proven) = (self.ways.load().limit(hop), self.proven.has(hop));
        let lane = Arc::new(Lane::new(hop.clone(), limit, proven, Arc::clone(&self.berths)));
        lanes.insert(hop.clone(), Arc::clone(&lane));
        lane
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `queue retry` just after a relay was mended makes an attempt; a login that is refused has its minute all the same.
    #[test]
    fn an_admin_has_a_hop_tried_that_was_down() {
        for (status, tried) in [((4, 4, 1), true), (LOGIN_REFUSED, false)] {
            let lane = Lane::new(Hop::Local, 1, false, crowd::berths());
            let now = Instant::now();
            let reason = Reason::new(status, "down");
            let until = now + Duration::from_secs(60);
            lane.state().down = Some(Down { since: now, until, tries: 3, reason, prober: None });
            assert!(!lane.down_for().is_zero());
            lane.try_now();
            assert_eq!(lane.down_for().is_zero(), tried);
        }
    }
}
