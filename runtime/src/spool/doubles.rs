//! Messages that a start finds in two places: their files are in the deferred store, and their frames stand in the log.
//!
//! A kill may come between the file's name and the log's word of it. Alone each of the two would count. So the log is told that the
//! message moved, at once or before its file goes; and a frame stays until the name outlasts a power cut. What the log
//! alone knows of other messages there is owed in the same way.

use super::Note;
use super::committer::{Batch, Item};
use super::deferred::Hidden;
use super::rotate::SAVE_AGAIN;
use super::shared::{Shared, locked};
use crate::envelope::MessageId;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// How often the log tells of what is owed, in milliseconds.
const TELL_AGAIN: u64 = 60_000;

/// A message that is in the deferred store, and its frame stands in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Double {
    pub id: MessageId,
    /// The segment of its frame.
    pub generation: u64,
    /// Its frame says that it is there. Else there is no word of its having moved: alone it would be a message.
    pub external: bool,
}

/// What the deferred store could not take for good yet. Segments of the log stay for it.
#[derive(Default)]
pub(super) struct Owed {
    /// Messages whose name there a power cut may take away, and the segments of their frames.
    names: HashMap<MessageId, u64>,
    /// What the log alone knows of messages there, and its oldest segment then.
    hidden: Option<(Hidden, u64)>,
    /// When it was last tried, in milliseconds since the spool began.
    tried_at: u64,
    /// When the log last told that it is owed still.
    told_at: Option<u64>,
}

impl Shared {
    /// Whether the log has a frame of a deferred message and no word of its having moved.
    pub fn is_double(&self, id: MessageId) -> bool {
        locked(&self.doubles).contains(&id)
    }

    /// Now it has.
    pub fn is_noted(&self, id: MessageId) {
        locked(&self.doubles).remove(&id);
    }

    /// Has a segment kept for the frame of a message whose name in the deferred store may not outlast a power cut.
    fn pin(&self, double: &Double) {
        let there = self.log().find_mut(double.generation).map(|segment| segment.unreleased += 1);
        if there.is_some() {
            self.owe_name(double.id, double.generation);
        }
    }

    /// Has a record of the log released once the name of its message outlasts a power cut.
    pub fn owe_name(&self, id: MessageId, generation: u64) {
        locked(&self.owed).names.insert(id, generation);
    }

    /// Has the log kept, as it is at a start, until this is written.
    pub fn owe_hidden(&self, hidden: Hidden) {
        let generation = self.log().live.front_mut().map(|oldest| {
            oldest.unreleased += 1;
            oldest.generation()
        });
        locked(&self.owed).hidden = Some((hidden, generation.unwrap_or(0)));
    }

    /// Whether something is owed, and may be tried again.
    pub fn is_owed(&self) -> bool {
        let owed = locked(&self.owed);
        let any = !owed.names.is_empty() || owed.hidden.is_some();
        any && self.now().saturating_sub(owed.tried_at) >= SAVE_AGAIN
    }

    /// Tries again what is owed. The log's thread alone does, and a start before it runs.
    pub fn keep_owed(&self) {
        let (names, hidden) = {
            let mut owed = locked(&self.owed);
            (owed.names.clone(), owed.hidden.take())
        };
        // Nobody waits for the disk with the lock: sessions ask.
        let failed = self.deferred.adopt_all(names.keys().copied());
        let messages = failed.len();
        let mut error = failed.first().map(|(_, error)| error.clone());
        let failed: HashSet<MessageId> = failed.into_iter().map(|(id, _)| id).collect();
        for (id, generation) in names.into_iter().filter(|(id, _)| !failed.contains(id)) {
            locked(&self.owed).names.remove(&id);
            self.log().release(generation);
        }
        if let Some((hidden, generation)) = hidden {
            match self.deferred.keep_hidden(&hidden) {
                Ok(()) => self.log().release(generation),
                Err(why) => {
                    error.get_or_insert_with(|| why.to_string());
                    locked(&self.owed).hidden = Some((hidden, generation));
                }
            }
        }
        if let Some(error) = error {
            self.tell_of_owed(messages, &error);
        }
        // From its end: a disk that takes long to fail has the log's thread for no more than that.
        locked(&self.owed).tried_at = self.now();
    }

    /// Says now and then why segments of the log stay.
    fn tell_of_owed(&self, messages: usize, error: &str) {
        let mut owed = locked(&self.owed);
        if owed.told_at.is_none_or(|told| self.now().saturating_sub(told) >= TELL_AGAIN) {
            owed.told_at = Some(self.now());
            tracing::warn!(
                messages,
                error,
                "the folders of deferred messages cannot be synced or written yet; the log grows"
            );
        }
    }
}

/// Has the names of these messages outlast a power cut. Where they may not, their frames stay.
pub(super) fn keep_doubles(shared: &Shared, doubles: &[Double]) {
    // A kill may have come between the name and its sync: without that, a power cut would leave neither.
    let failed = shared.deferred.adopt_all(doubles.iter().map(|double| double.id));
    let failed: HashMap<MessageId, String> = failed.into_iter().collect();
    for double in doubles {
        if let Some(error) = failed.get(&double.id) {
            tracing::warn!(id = %double.id, error, "the folder of a deferred message cannot be synced; its segment of the log stays");
            shared.pin(double);
        }
    }
}

/// Writes, before the thread runs, that these messages are in the deferred store. Where there is no room for that, or
/// nobody knows whether the disk has their names there, it is remembered.
pub(super) fn note_doubles(shared: &Arc<Shared>, doubles: &[Double]) {
    let mut batch = Batch::default();
    let mut room = true;
    for Double { id, .. } in doubles.iter().filter(|double| !double.external) {
        let named = !locked(&shared.owed).names.contains_key(id);
        if room
            && named
            && let Err((_, error)) = batch.add(shared, Item::note(&Note::Moved(*id), None))
        {
            tracing::warn!(%error, "that messages are in the deferred store cannot be noted in the log yet");
            room = false;
        }
        if !(room && named) {
            locked(&shared.doubles).insert(*id);
        }
    }
    batch.flush(shared);
}
