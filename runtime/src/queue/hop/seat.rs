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
        let wait = pause(reason.status, down.tries, fastrand::f64());
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
        jobs.append(&mut state.take_aside());
        self.leave(&mut state);
        AfterFailure::GiveUp(jobs, reason)
    }
}

/// How long a hop is not tried that failed so often before: twice as long each time, and a fifth more or less, so that those
/// that failed together are not tried together. `draw` is from 0 to 1.
fn pause(status: (u8, u16, u16), before: u32, draw: f64) -> Duration {
    let jitter = 0.8 + 0.4 * draw;
    match status {
        // Before, it would not be tried.
        LOGIN_REFUSED => REFUSED_FOR.mul_f64(jitter.max(1.0)),
        _ => FIRST_WAIT.saturating_mul(1 << before.min(10)).min(LAST_WAIT).mul_f64(jitter),
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let lane = Arc::clone(&self.lane);
        self.leave(&mut lane.state());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::crowd;
    use crate::queue::route::Hop;

    const AWAY: (u8, u16, u16) = (4, 4, 1);
    /// A quarter of a second, doubled up to a minute.
    const WAITS: [u64; 12] =
        [250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000, 60_000];

    fn lane() -> Arc<Lane> {
        Arc::new(Lane::new(Hop::Local, 1, false, crowd::berths()))
    }

    fn reason(status: (u8, u16, u16)) -> Reason {
        Reason::new(status, "down")
    }

    /// RFC 5321 4.5.4.1.
    #[test]
    fn a_hop_is_tried_less_often_each_time() {
        for (before, want) in (0..).zip(WAITS) {
            let want = Duration::from_millis(want);
            for (draw, part) in [(0.0, 0.8), (0.5, 1.0), (1.0, 1.2)] {
                let got = pause(AWAY, before, draw);
                assert!((got.as_secs_f64() - want.mul_f64(part).as_secs_f64()).abs() < 1e-6, "{got:?}");
            }
        }
        assert_eq!(pause(AWAY, u32::MAX, 0.5), LAST_WAIT);
        // A login that was refused has its minute, whatever is drawn.
        for before in [0, 1, 100] {
            let waits = [0.0, 0.5, 1.0].map(|draw| pause(LOGIN_REFUSED, before, draw).as_secs());
            assert_eq!(waits, [60, 60, 72]);
        }
    }

    /// RFC 5321 4.5.4.1. However slow the machine is: the bounds of when it is tried move along with its clock.
    #[test]
    fn each_failure_in_a_row_counts() {
        let lane = lane();
        for want in WAITS.map(Duration::from_millis) {
            let earliest = Instant::now() + want.mul_f64(0.79);
            let after = Seat::new(Arc::clone(&lane)).failed(None, reason(AWAY), false);
            let latest = Instant::now() + want.mul_f64(1.21);
            assert!(matches!(after, AfterFailure::GiveUp(..)));
            let until = lane.state().down.as_ref().unwrap().until;
            assert!((earliest..=latest).contains(&until), "{want:?}");
        }
        // Once it was reached, all begins anew.
        lane.reached();
        let _ = Seat::new(Arc::clone(&lane)).failed(None, reason(AWAY), false);
        assert_eq!(lane.state().down.as_ref().unwrap().tries, 1);
    }

    /// Workers whose hops failed at the same time do not try at the same time.
    #[test]
    fn waits_are_spread() {
        let waits: Vec<Duration> = (0..64)
            .map(|_| match Seat::new(lane()).failed(None, reason(AWAY), true) {
                AfterFailure::Wait(wait) => wait,
                _ => panic!("the first failure is waited for"),
            })
            .collect();
        assert!(waits.iter().all(|wait| (200..=300).contains(&wait.as_millis())), "{waits:?}");
        // That all are on one side has a chance of one to 2^63.
        let half = |wait: &Duration| *wait < FIRST_WAIT;
        assert!(waits.iter().any(half) && !waits.iter().all(half), "{waits:?}");
    }
}
