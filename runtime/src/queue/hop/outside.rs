//! Messages that wait outside of memory for a lane that has enough of others: deferred ones on disk, new ones in the log. Their
//! names are here, by sender, and they are called in turn when there is room.

use super::{LATE, Lane, LaneState};
use crate::envelope::MessageId;
use std::time::Instant;

impl LaneState {
    /// Whether a deferred message of this sender is to wait on disk: since others of his do and were not called like it, or since
    /// `share` messages wait here. Whoever has few of those has a place all the same, up to half as many more.
    fn is_full(&self, id: MessageId, sender: u64, share: usize) -> bool {
        let much = self.again >= share + share / 2;
        if self.woken.contains_key(&id) {
            return much;
        }
        let few = || !much && self.queue.count(sender) <= share / 10;
        self.parked.count(sender) > 0 || (self.again >= share && !few())
    }
}

impl Lane {
    /// Whether a deferred message of this sender is to wait on disk, since others do, or since `share` of them wait here: it is
    /// remembered then, with when it is looked at in any case.
    pub fn parks(&self, (id, due): (MessageId, i64), sender: u64, share: usize) -> bool {
        let mut state = self.state();
        let full = !state.closed && state.is_full(id, sender, share);
        if full {
            state.woken.remove(&id);
            state.parked.push(sender, (id, due));
        }
        full
    }

    /// Whether a deferred message of this sender is to wait on disk.
    pub fn is_full(&self, id: MessageId, sender: u64, share: usize) -> bool {
        self.state().is_full(id, sender, share)
    }

    /// Whether a message of this sender that comes in now is to wait in the log: since others of his do, or since `share`
    /// messages wait here. Whoever has few of those has a place all the same, up to twice as many.
    pub fn is_closed_to(&self, sender: u64, share: usize) -> bool {
        let state = self.state();
        let fresh = state.fresh();
        let much = || fresh >= 2 * share || state.queue.count(sender) > share / 10;
        state.shelf.count(sender) > 0 || (fresh >= share && much())
    }

    /// Whether there is no room for one that was called.
    pub fn is_crowded(&self, share: usize) -> bool {
        self.state().fresh() >= 2 * share
    }

    /// Remembers a message that waits in the log.
    pub fn shelve(&self, id: MessageId, sender: u64) {
        let mut state = self.state();
        if !state.closed {
            state.shelf.push(sender, id);
        }
    }

    /// Those that have room now, in turn by sender: deferred ones where up to `again` of them may wait here, and those in the log
    /// where up to `share` may.
    pub fn unpark(&self, again: usize, share: usize) -> (Vec<(MessageId, i64)>, Vec<MessageId>) {
        let mut state = self.state();
        let (mut parked, mut shelved) = (Vec::new(), Vec::new());
        if state.parked.len() > 0 && state.again <= again / 2 {
            // Some may have gone another way.
            let now = Instant::now();
            state.woken.retain(|_, since| now.saturating_duration_since(*since) < LATE);
            let room = again.saturating_sub(state.again + state.woken.len());
            parked.extend(std::iter::from_fn(|| state.parked.pop()).take(room));
            state.woken.extend(parked.iter().map(|(id, _)| (*id, now)));
        }
        let fresh = state.fresh() + state.coming;
        if state.shelf.len() > 0 && fresh <= share / 2 {
            shelved.extend(std::iter::from_fn(|| state.shelf.pop()).take(share.saturating_sub(fresh)));
            state.coming += shelved.len();
        }
        (parked, shelved)
    }

    /// One of those in the log that had room came, or goes another way.
    pub fn came(&self) {
        let mut state = self.state();
        state.coming = state.coming.saturating_sub(1);
    }

    /// All of both: they are to be looked at anew.
    pub fn unpark_all(&self) -> (Vec<(MessageId, i64)>, Vec<MessageId>) {
        let mut state = self.state();
        let (parked, shelf) = (std::mem::take(&mut state.parked), std::mem::take(&mut state.shelf));
        (parked.into_all(), shelf.into_all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::crowd;
    use crate::queue::hop::SHARE;
    use crate::queue::route::Hop;

    /// Deferred mail that comes due while its hop has enough of others waits by sender, in turn, and nobody's goes before what waits.
    #[test]
    fn deferred_mail_waits_by_sender() {
        let lane = Lane::new(Hop::Local, 1, false, crowd::berths());
        let most = SHARE + SHARE / 2;
        let woken = |share| -> Vec<u64> { lane.unpark(share, 1).0.iter().map(|(id, _)| id.0).collect() };
        assert!(!lane.is_full(MessageId(0), 0, SHARE));
        lane.state().again = SHARE;
        assert!(!lane.is_full(MessageId(0), 0, SHARE), "whoever has few has a place");
        lane.state().again = most;
        for n in 0..300 {
            let sender = u64::from(n % 100 == 99);
            assert!(lane.parks((MessageId(n), 0), sender, SHARE));
        }
        assert!(woken(SHARE).is_empty(), "it has enough still");
        lane.state().again = SHARE / 2;
        let first = woken(SHARE);
        assert_eq!(first.get(..7), Some([0, 99, 1, 199, 2, 299, 3].as_slice()));
        assert_eq!(first.len(), SHARE / 2);
        // Those were called; another of the same sender comes behind those who wait, and whoever waits with none does not.
        assert!(woken(SHARE).is_empty());
        assert!(!lane.is_full(MessageId(3), 0, SHARE) && lane.is_full(MessageId(400), 0, SHARE));
        assert!(!lane.is_full(MessageId(401), 1, SHARE));
        assert!(!lane.parks((MessageId(3), 0), 0, SHARE), "it comes");
        lane.state().woken.clear();
        // Where few may wait, no more are read in vain.
        assert!(woken(1).is_empty());
        lane.state().again = 0;
        assert_eq!(woken(1).len(), 1);
        assert!(woken(1).is_empty());
    }
}
