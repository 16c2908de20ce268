//! Messages that a start finds in two places: their files are in the deferred store, and their frames stand in the log.
//!
//! A kill may come between the file's name and the log's word of it. Alone each of the two would count. So the log is told that the
//! message moved, at once or before its file goes; and a frame stays until the name outlasts a power cut.

use super::Note;
use super::committer::{Batch, Item};
use super::shared::{Shared, locked};
use crate::envelope::MessageId;
use std::sync::Arc;

/// A message that is in the deferred store, and its frame stands in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Double {
    pub id: MessageId,
    /// The segment of its frame.
    pub generation: u64,
    /// Its frame says that it is there. Else there is no word of its having moved: alone it would be a message.
    pub external: bool,
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
            locked(&self.unnamed).insert(double.id, double.generation);
        }
    }

    /// Tries again to have such names outlast it.
    pub fn keep_names(&self) {
        locked(&self.unnamed).retain(|id, generation| match self.deferred.adopt(*id) {
            Ok(()) => {
                self.log().release(*generation);
                false
            }
            Err(error) => {
                tracing::warn!(%id, %error, "the folder of a deferred message cannot be synced; its segment of the log stays");
                true
            }
        });
    }
}

/// Has the names of these messages outlast a power cut. Where they may not, their frames stay.
pub(super) fn keep_doubles(shared: &Shared, doubles: &[Double]) {
    for double in doubles {
        // A kill may have come between the name and its sync: without that, a power cut would leave neither.
        if let Err(error) = shared.deferred.adopt(double.id) {
            tracing::warn!(id = %double.id, %error, "the folder of a deferred message cannot be synced");
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
        let named = !locked(&shared.unnamed).contains_key(id);
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
