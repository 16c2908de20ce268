//! Turns of deferred messages: no next hop takes those of others.
//!
//! A deferred message that is due is read only to wait for a worker, so each hop has a share of what waits in memory. What
//! is due beyond that stays on disk; its lane knows its name, and calls it when there is room.

use super::hop::{Lane, SHARE};
use super::{Inner, now};
use crate::envelope::{MessageId, Record};
use crate::spool::deferred::State;
use std::sync::Arc;

/// Deferred messages that are under way at a time.
pub(super) const MAX_DEFERRED: usize = 10_000;
/// One that nobody calls is looked at again after so long, and up to twice that, in milliseconds.
const LATEST: i64 = 1_800_000;
/// The same, for whoever asks how far ahead anything may be planned.
pub(super) const FARTHEST: i64 = 2 * LATEST;

impl Inner {
    /// How many deferred messages may wait for one hop: fewer while many wait in all.
    pub(super) fn share(&self) -> usize {
        match self.turns.available_permits() {
            free if free > MAX_DEFERRED / 2 => SHARE,
            free if free > MAX_DEFERRED / 8 => SHARE / 10,
            _ => 1,
        }
    }

    /// A lane that a message waits for, with its sender's turn there, where each such lane is full.
    pub(super) fn full_lane(
        &self,
        record: &Record,
        state: &State,
        full: impl Fn(&Lane, u64) -> bool,
    ) -> Option<(Arc<Lane>, u64)> {
        let now = now();
        let ways = self.ways.load_full();
        let mut found = None;
        for (place, dispatch) in (0u16..).zip(&record.dispatches) {
            if dispatch.hold && !state.released {
                continue;
            }
            let sender = turn_of(&dispatch.sender);
            for (target, hop) in (0u16..).zip(ways.guide.hops(dispatch, now)) {
                if state.settled.binary_search(&(place, target)).is_ok() {
                    continue;
                }
                let lane = self.lane(&hop);
                if !full(&lane, sender) {
                    return None;
                }
                found = Some((lane, sender));
            }
        }
        found
    }

    /// Leaves a message that is due on disk where each hop that it waits for has its share of others.
    pub(super) fn parks(&self, record: &Record, state: &State) -> bool {
        let (share, now) = (self.share(), now());
        let Some((lane, _)) = self.full_lane(record, state, |lane, _| lane.is_full(share)) else {
            return false;
        };
        let later = LATEST + i64::try_from(fastrand::u64(0..LATEST.unsigned_abs())).unwrap_or(0);
        // Planned first: it may be called in this very moment.
        self.index().give_back(record.id, now + later);
        if !lane.parks(record.id, share) {
            self.wake(vec![record.id]);
        }
        true
    }

    /// Lets the scheduler look at these now.
    pub(super) fn wake(&self, ids: Vec<MessageId>) {
        if ids.is_empty() {
            return;
        }
        let now = now();
        {
            let mut index = self.index();
            ids.into_iter().for_each(|id| index.wake(id, now));
        }
        self.bell.notify_one();
    }
}

/// Whose turn a message of this sender takes.
pub(super) fn turn_of(sender: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(sender.as_bytes())
}
