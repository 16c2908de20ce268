//! Turns of deferred messages: no next hop takes those of others.
//!
//! A deferred message that is due is read only to wait for a worker, so each hop has a share of what waits in memory. What
//! is due beyond that stays on disk; its lane knows its name, and calls it when there is room.

use super::crowd::Want;
use super::hop::{Lane, SHARE};
use super::shares::Origin;
use super::{Inner, now};
use crate::envelope::{MessageId, Record};
use crate::spool::deferred::State;
use std::sync::Arc;

/// Deferred messages that are under way at a time.
pub(super) const MAX_DEFERRED: usize = if cfg!(test) { 400 } else { 10_000 };
/// One that nobody calls is looked at again after so long, and up to twice that, in milliseconds.
const LATEST: i64 = 1_800_000;
/// The same, for whoever asks how far ahead anything may be planned.
pub(super) const FARTHEST: i64 = 2 * LATEST;

/// What a message waits for outside of memory.
pub(super) enum Full {
    /// This lane has enough of others; its sender's turn there.
    Lane(Arc<Lane>, u64),
    /// Mail for many other destinations is in memory.
    Crowd(Want),
}

impl Inner {
    /// How many deferred messages may wait for one hop: fewer while many wait in all. Those that may have one each leave some.
    pub(super) fn share(&self) -> usize {
        match self.turns.available_permits() {
            free if free > MAX_DEFERRED / 2 => SHARE,
            free if free > MAX_DEFERRED / 4 => SHARE / 10,
            _ => 1,
        }
    }

    /// What a message waits for, where each hop of it is full, or there is no room for it.
    pub(super) fn full_lane(
        &self,
        record: &Record,
        state: &State,
        full: impl Fn(&Lane, u64) -> bool,
    ) -> Option<Full> {
        let now = now();
        let ways = self.ways.load_full();
        let mut found = None;
        for (place, dispatch) in (0u16..).zip(&record.dispatches) {
            if dispatch.hold && !state.released {
                continue;
            }
            let (sender, origin) = (turn_of(&dispatch.sender), Origin::of(dispatch));
            for (target, hop) in (0u16..).zip(ways.guide.hops(dispatch, now)) {
                if state.settled.binary_search(&(place, target)).is_ok() {
                    continue;
                }
                found = Some(match self.lane_for(&hop, origin) {
                    Ok(lane) if !full(&lane, sender) => return None,
                    Ok(lane) => Full::Lane(lane, sender),
                    Err(want) => Full::Crowd(want),
                });
            }
        }
        found
    }

    /// Leaves a message that is due on disk where each hop that it waits for has its share of others.
    pub(super) fn parks(&self, record: &Record, state: &State) -> bool {
        let (id, share, now) = (record.id, self.share(), now());
        let Some(full) = self.full_lane(record, state, |lane, sender| lane.is_full(id, sender, share)) else {
            return false;
        };
        let later = LATEST + i64::try_from(fastrand::u64(0..LATEST.unsigned_abs())).unwrap_or(0);
        let due = now + later;
        // Planned first: it may be called in this very moment.
        self.index().give_back(id, due);
        match full {
            Full::Crowd(want) => self.join_crowd(want, id, due),
            Full::Lane(lane, sender) => {
                if !lane.parks((id, due), sender, share) {
                    self.wake(vec![(id, due)]);
                }
            }
        }
        true
    }

    /// Lets the scheduler look at these now, where they are planned for these times still.
    pub(super) fn wake(&self, planned: Vec<(MessageId, i64)>) {
        if planned.is_empty() {
            return;
        }
        let now = now();
        {
            let mut index = self.index();
            planned.into_iter().for_each(|(id, due)| index.wake(id, due, now));
        }
        self.bell.notify_one();
    }
}

/// Whose turn a message of this sender takes.
pub(super) fn turn_of(sender: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(sender.as_bytes())
}
