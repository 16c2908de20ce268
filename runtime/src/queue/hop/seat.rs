//! What a worker has of its lane while it lives: the jobs in its hands, its rest, what it does when its hop fails.

use super::{Down, FIRST_WAIT, LAST_WAIT, Lane, LaneState, PATIENCE};
use crate::deliver::known::REFUSED_FOR;
use crate::deliver::{LOGIN_REFUSED, Reason};
use crate::queue::entry::Job;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// A worker's place in its lane, which counts the worker while it has one.
pub(in crate::queue) struct Seat {
    pub lane: Arc<Lane>,
    /// Calls the worker when it rests, and tells it from others.
    bell: Arc<Notify>,
    /// It has jobs in hand.
    busy: bool,
    /// Whose job it has in hand, where that is bounded.
    sender: Option<u64>,
    left: bool,
}

/// What a worker does after its connection failed.
pub(in crate::queue) enum AfterFailure {
    /// It waits so long and tries again; the job is back in the queue.
    Wait(Duration),
    /// Another one does; it ends.
    Leave,
    /// These jobs count as attempted; it ends.
    GiveUp(Vec<Job>, Reason),
}

impl Seat {
    /// For a worker that the lane counts already.
    pub fn new(lane: Arc<Lane>) -> Self {
        Self { lane, bell: Arc::new(Notify::new()), busy: false, sender: None, left: false }
    }

    /// The worker has nothing in hand any more.
    fn free(&mut self, state: &mut LaneState) {
        state.change_hands(self.sender.take(), None);
        state.busy = state.busy.saturating_sub(usize::from(std::mem::replace(&mut self.busy, false)));
    }

    /// It has something in hand now, of this sender where that is bounded.
    fn take_on(&mut self, state: &mut LaneState, sender: Option<u64>) {
        state.change_hands(None, sender);
        state.busy += 1;
        (self.sender, self.busy) = (sender, true);
    }

    /// Ends the worker.
    fn leave(&mut self, state: &mut LaneState) {
        if !std::mem::replace(&mut self.left, true) {
            self.free(state);
            state.leave(&self.bell);
        }
    }

    /// The worker goes on with a job of this sender, which it took before. The sender whom it leaves may have another one in
    /// its place, though those who rest found nothing that they might take. True: that one is to be started, and is counted
    /// already.
    pub fn turn_to(&mut self, sender: u64) -> bool {
        let mut state = self.lane.state();
        let old = self.sender.replace(sender);
        state.change_hands(old, Some(sender));
        let waits = |old: &u64| *old != sender && state.queue.count(*old) > 0;
        if state.closed || state.down.is_some() || !old.as_ref().is_some_and(waits) {
            return false;
        }
        state.call_one()
    }

    /// Takes up to `most` jobs; waits for the first for so long. Empty: the worker ends. Who takes them one by one takes those
    /// of senders who may have another worker.
    pub async fn next(&mut self, most: usize, rest: Duration) -> Vec<Job> {
        let lane = Arc::clone(&self.lane);
        loop {
            {
                let mut state = lane.state();
                if state.closed {
                    self.leave(&mut state);
                    return Vec::new();
                }
                self.free(&mut state);
                if most == 1 {
                    if let Some(job) = state.take_bounded() {
                        self.take_on(&mut state, Some(job.lane));
                        return vec![job];
                    }
                } else if state.queue.len() > 0 {
                    self.take_on(&mut state, None);
                    return std::iter::from_fn(|| state.take()).take(most).collect();
                }
                state.resting.push(Arc::clone(&self.bell));
            }
            if tokio::time::timeout(rest, self.bell.notified()).await.is_ok() {
                continue;
            }
            {
                let mut state = lane.state();
                if state.resting.iter().any(|other| Arc::ptr_eq(other, &self.bell)) {
                    self.leave(&mut state);
                    return Vec::new();
                }
            }
            // Called in that very moment.
            self.bell.notified().await;
        }
    }

    /// The hop was not reached with this job in hand; or it takes nothing for now, whatever became of the last one. `patient`:
    /// it is tried again at once, before anybody counts as attempted.
    pub fn failed(&mut self, job: Option<Job>, reason: Reason, patient: bool) -> AfterFailure {
        let lane = Arc::clone(&self.lane);
        let mut state = lane.state();
        (state.proven, state.answered) = (false, false);
        self.free(&mut state);
        let now = Instant::now();
        let waits = job.as_ref().map_or(now, |job| job.since);
        if state.closed {
            self.leave(&mut state);
            return AfterFailure::Leave;
        }
        let down = state.down.get_or_insert_with(|| Down {
            since: now,
            until: now,
            tries: 0,
            reason: reason.clone(),
            prober: None,
        });
        if down.is_probed() && !down.is_probed_by(&self.bell) {
            job.into_iter().for_each(|job| state.put_front(job));
            self.leave(&mut state);
            return AfterFailure::Leave;
        }
        let jitter = 0.8 + 0.4 * fastrand::f64();
        let wait = match reason.status {
            // Before, it would not be tried.
            LOGIN_REFUSED => REFUSED_FOR.mul_f64(jitter.max(1.0)),
            _ => FIRST_WAIT.saturating_mul(1 << down.tries.min(10)).min(LAST_WAIT).mul_f64(jitter),
        };
        down.tries += 1;
        down.reason = reason.clone();
        down.until = now + wait;
        if patient && now.duration_since(down.since) + wait < PATIENCE && now.duration_since(waits) < PATIENCE
        {
            down.prober = Some(Arc::clone(&self.bell));
            job.into_iter().for_each(|job| state.put_front(job));
            return AfterFailure::Wait(wait);
        }
        let mut jobs: Vec<Job> = job.into_iter().collect();
        jobs.extend(std::iter::from_fn(|| state.take()));
        self.leave(&mut state);
        AfterFailure::GiveUp(jobs, reason)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let lane = Arc::clone(&self.lane);
        self.leave(&mut lane.state());
    }
}
