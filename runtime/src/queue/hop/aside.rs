//! Large jobs of a lane that found no room in memory: they wait here, where no worker takes them, until there is some.

use super::{Lane, LaneState};
use crate::queue::entry::Job;
use crate::queue::room::{Ask, Room};

impl LaneState {
    /// All of them, to be handed back.
    pub(super) fn take_aside(&mut self) -> Vec<Job> {
        let jobs: Vec<Job> = self.aside.drain(..).collect();
        self.forget_again(&jobs);
        jobs
    }

    /// Those that are to go.
    pub(super) fn take_aside_if(&mut self, goes: impl Fn(&Job) -> bool) -> Vec<Job> {
        let jobs: Vec<Job> = self.aside.extract_if(.., |job| goes(job)).collect();
        self.forget_again(&jobs);
        jobs
    }

    fn forget_again(&mut self, jobs: &[Job]) {
        let again = jobs.iter().filter(|job| job.entry.is_retry()).count();
        self.again = self.again.saturating_sub(again);
    }
}

impl Lane {
    /// Whether others wait for room already: no connection is opened for one more.
    pub fn has_aside(&self) -> bool {
        !self.state().aside.is_empty()
    }

    /// Lets a job wait for room. True: nobody asks for some yet, and whoever is told so does.
    pub fn set_aside(&self, job: Job) -> bool {
        let mut state = self.state();
        if state.closed {
            // It is on disk.
            return false;
        }
        state.again += usize::from(job.entry.is_retry());
        state.aside.push(job);
        let first = !std::mem::replace(&mut state.asks, true);
        drop(state);
        if !first {
            self.aside_bell.notify_one();
        }
        first
    }

    /// What the first of them needs, and what the smallest. None: there are none, and nobody asks any more.
    pub fn asks(&self) -> Option<[Ask; 2]> {
        let mut state = self.state();
        let first = state.aside.first().map(Ask::of);
        let smallest = state.aside.iter().map(Ask::of).min_by_key(|ask| ask.wanted);
        state.asks = first.is_some();
        Some([first?, smallest?])
    }

    /// Room has come for one of them: it is the next of all. True: a worker is to be started, and is counted already.
    pub fn come_forward(&self, ask: Ask, room: Room) -> bool {
        let mut state = self.state();
        let Some(place) = state.aside.iter().position(|job| Ask::of(job) == ask) else {
            // It was withdrawn. Others ask for that room in turn, which takes their locks.
            drop(state);
            drop(room);
            return false;
        };
        let job = Job { room: Some(room), ..state.aside.remove(place) };
        let sender = job.lane;
        state.queue.push_front(sender, job);
        state.may_have_one(sender) && state.call_one()
    }
}
