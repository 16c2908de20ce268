//! Files that stayed in the deferred store though their messages are in the log: to store them failed, and so may have what was to
//! undo it. While the message is in the log nothing comes of that. A file that outlasts it would be a message again at a later
//! start, when the log has moved on; so they go together.

use crate::envelope::MessageId;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Messages in the log that may have such files.
#[derive(Default)]
pub(super) struct Leftovers {
    /// There were some; nearly always there are none.
    any: AtomicBool,
    ids: Mutex<HashSet<MessageId>>,
}

impl Leftovers {
    fn ids(&self) -> MutexGuard<'_, HashSet<MessageId>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message may have one.
    pub fn insert(&self, id: MessageId) {
        self.ids().insert(id);
        self.any.store(true, Ordering::SeqCst);
    }

    pub fn contains(&self, id: MessageId) -> bool {
        self.any.load(Ordering::SeqCst) && self.ids().contains(&id)
    }

    /// It is gone, or its message is where it is.
    pub fn remove(&self, id: MessageId) {
        if self.any.load(Ordering::SeqCst) {
            self.ids().remove(&id);
        }
    }
}
