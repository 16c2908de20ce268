//! What waits in the queue and is not held in memory: deferred messages with when they are due, and messages in the log that
//! wait for their first attempt.

use super::crowd::IN_LOG;
use super::now;
use crate::envelope::MessageId;
use crate::spool::Position;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// When a message is due that is being read to be taken up: only whoever reads it changes that, or an admin, whose word
/// counts more than what was read.
pub(super) const TAKING: i64 = i64::MAX - 1;

/// How many messages are planned anew, or looked at, before others get at the list.
const AT_ONCE: usize = 1000;

/// Deferred messages by the time at which they are due, in Unix milliseconds, held ones at the end; and by name. Those that
/// wait in the log. All that is in memory of a message that waits.
#[derive(Debug, Default)]
pub(super) struct Index {
    due: BTreeSet<(i64, MessageId)>,
    names: BTreeMap<MessageId, i64>,
    /// Those that an admin wants tried now, whatever their states say of when they are due.
    hurried: BTreeSet<MessageId>,
    waiting: BTreeMap<MessageId, Waiting>,
}

/// A message in the log that nobody holds.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    position: Position,
    again: bool,
    stage: Stage,
    /// Of its delay nobody is to be told.
    quiet: bool,
    /// When it came, in Unix seconds, rounded up: together with the rest this takes no more room.
    since: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Until it is called.
    Waits,
    /// It is being read to be taken up.
    Taken,
    /// It is being copied to the deferred store.
    Moves,
}

impl Index {
    /// Plans a message, anew where it was planned already. True where it is the first that is due.
    pub fn insert(&mut self, due: i64, id: MessageId) -> bool {
        if let Some(old) = self.names.insert(id, due) {
            self.due.remove(&(old, id));
        }
        self.due.insert((due, id));
        self.due.first() == Some(&(due, id))
    }

    /// Takes a message out, and says when it was due.
    pub fn remove(&mut self, id: MessageId) -> Option<i64> {
        let due = self.names.remove(&id)?;
        self.due.remove(&(due, id));
        self.hurried.remove(&id);
        // Whoever was about to take it up lets it be.
        Some(if due == TAKING { now() } else { due })
    }

    /// Keeps a message from being taken up while something is done to it, and says when it was due.
    pub fn reserve(&mut self, id: MessageId) -> Option<i64> {
        let due = *self.names.get(&id)?;
        self.insert(i64::MAX, id);
        // Whoever was about to take it up lets it be.
        Some(if due == TAKING { now() } else { due })
    }

    /// Takes out a message that was read to be taken up. False: an admin was here meanwhile, and it is not to be.
    pub fn finish_taking(&mut self, id: MessageId) -> bool {
        self.names.get(&id) == Some(&TAKING) && self.remove(id).is_some()
    }

    /// Plans a message anew that was read to be taken up, unless an admin was here meanwhile.
    pub fn give_back(&mut self, id: MessageId, due: i64) {
        if self.names.get(&id) == Some(&TAKING) {
            self.insert(due, id);
        }
    }

    /// The first message that is due, and when.
    pub fn first(&self) -> Option<(i64, MessageId)> {
        self.due.first().copied()
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.names.len() + self.waiting.len()
    }

    /// Whether a message is planned for this time still, or waits in the log still where it was said to.
    pub fn is_waiting(&self, id: MessageId, due: i64) -> bool {
        if due == IN_LOG { self.waits(id) } else { self.is_planned(id, due) }
    }

    /// Whether a message is planned for this time still.
    pub fn is_planned(&self, id: MessageId, due: i64) -> bool {
        self.names.get(&id) == Some(&due)
    }

    /// Makes a message due that is planned for this later time still.
    pub fn wake(&mut self, id: MessageId, due: i64, now: i64) {
        if due > now && self.is_planned(id, due) {
            self.insert(now, id);
        }
    }

    /// Has a deferred message tried now that is not held. False: there is none.
    pub fn hurry(&mut self, id: MessageId, now: i64) -> bool {
        let Some(due) = self.names.get(&id).copied().filter(|due| *due <= TAKING) else { return false };
        if due != TAKING {
            self.insert(due.min(now), id);
        }
        self.hurried.insert(id);
        true
    }

    /// The same for the first `most` behind one: how many, and the last that was looked at where there may be more.
    pub fn hurry_some(
        &mut self,
        after: Option<MessageId>,
        most: usize,
        now: i64,
    ) -> (usize, Option<MessageId>) {
        let ids: Vec<MessageId> = self.behind(after).take(most).map(|(id, _)| id).collect();
        let last = ids.last().copied().filter(|_| ids.len() == most);
        (ids.into_iter().filter(|id| self.hurry(*id, now)).count(), last)
    }

    /// Whether a message is to be tried whatever its state says.
    pub fn is_hurried(&self, id: MessageId) -> bool {
        self.hurried.contains(&id)
    }

    /// Makes due what is planned for later than that, a few at a time, and says how many: the clock was set back since. What
    /// is held goes on waiting.
    pub fn bring_forward(&mut self, latest: i64, now: i64) -> usize {
        let mut count = 0;
        while count < AT_ONCE {
            let planned = self.due.range(..(TAKING, MessageId(0))).next_back();
            let Some((_, id)) = planned.copied().filter(|(due, _)| *due > latest) else { break };
            self.insert(now, id);
            count += 1;
        }
        count
    }

    pub fn contains(&self, id: MessageId) -> bool {
        self.names.contains_key(&id) || self.waiting.contains_key(&id)
    }

    /// The messages behind one, in order of their names, with when they are due.
    pub fn behind(&self, after: Option<MessageId>) -> impl Iterator<Item = (MessageId, i64)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.names.range((from, Bound::Unbounded)).map(|(id, due)| (*id, *due))
    }

    /// Remembers where a message in the log lies, which may have been delivered before where it comes `again`.
    pub fn wait(&mut self, id: MessageId, position: Position, again: bool, received: i64) {
        let since = u32::try_from(received.saturating_add(999) / 1000).unwrap_or(u32::MAX);
        self.waiting.insert(id, Waiting { position, again, stage: Stage::Waits, quiet: false, since });
    }

    /// Of those in the log behind one, the next few in order of their names: those that waited too long, by when they came in
    /// Unix milliseconds and whether somebody may have to be told; and the last one that was looked at.
    pub fn older(
        &self,
        after: Option<MessageId>,
        too_long: impl Fn(i64, bool) -> bool,
    ) -> (Vec<MessageId>, Option<MessageId>) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (mut old, mut last) = (Vec::new(), None);
        for (id, waiting) in self.waiting.range((from, Bound::Unbounded)).take(AT_ONCE) {
            if too_long(i64::from(waiting.since) * 1000, !waiting.quiet) {
                old.push(*id);
            }
            last = Some(*id);
        }
        (old, last)
    }

    /// Nobody is to be told of the delay of a message in the log.
    pub fn hush(&mut self, id: MessageId) {
        if let Some(waiting) = self.waiting.get_mut(&id) {
            waiting.quiet = true;
        }
    }

    /// Whether a message waits in the log for being called.
    pub fn waits(&self, id: MessageId) -> bool {
        self.waiting.get(&id).is_some_and(|waiting| waiting.stage == Stage::Waits)
    }

    /// A message in the log that is to be read and taken up: where it lies, and whether it comes again.
    pub fn begin_taking(&mut self, id: MessageId) -> Option<(Position, bool)> {
        let waiting = self.waiting.get_mut(&id).filter(|waiting| waiting.stage == Stage::Waits)?;
        waiting.stage = Stage::Taken;
        Some((waiting.position, waiting.again))
    }

    /// Lets a message wait on that was to be taken up. False: it is elsewhere by now.
    pub fn wait_on(&mut self, id: MessageId) -> bool {
        let waiting = self.waiting.get_mut(&id).filter(|waiting| waiting.stage == Stage::Taken);
        waiting.map(|waiting| waiting.stage = Stage::Waits).is_some()
    }

    /// Takes out a message in the log that was read. False: it is elsewhere by now.
    pub fn finish_waiting(&mut self, id: MessageId) -> bool {
        let taken = self.waiting.get(&id).is_some_and(|waiting| waiting.stage == Stage::Taken);
        taken && self.waiting.remove(&id).is_some()
    }

    /// A message in the log is to be moved: whoever was about to take it up lets it be.
    pub fn begin_moving(&mut self, id: MessageId) -> Option<Position> {
        let waiting = self.waiting.get_mut(&id).filter(|waiting| waiting.stage != Stage::Moves)?;
        waiting.stage = Stage::Moves;
        Some(waiting.position)
    }

    /// It could not be moved.
    pub fn stop_moving(&mut self, id: MessageId) {
        if let Some(waiting) = self.waiting.get_mut(&id) {
            waiting.stage = Stage::Waits;
        }
    }

    /// It is in the deferred store now, and due then.
    pub fn finish_moving(&mut self, id: MessageId, due: i64) {
        self.waiting.remove(&id);
        self.insert(due, id);
    }

    /// Where a message lies that waits in the log.
    pub fn position(&self, id: MessageId) -> Option<Position> {
        Some(self.waiting.get(&id)?.position)
    }

    /// Those in the log that lie where `pinned` says, and where each stands.
    pub fn lying(&self, pinned: impl Fn(Position) -> bool) -> Vec<(MessageId, Position)> {
        let waiting = self.waiting.iter().map(|(id, waiting)| (*id, waiting.position));
        waiting.filter(|(_, position)| pinned(*position)).collect()
    }

    /// Those in the log behind one, in order of their names.
    pub fn waiting_behind(&self, after: Option<MessageId>) -> impl Iterator<Item = MessageId> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.waiting.range((from, Bound::Unbounded)).map(|(id, _)| *id)
    }
}
