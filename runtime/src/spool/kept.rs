//! Whoever needs what the log knows has it kept: notes alone keep no segment.

use super::segment::Segment;
use super::shared::Shared;
use super::{Position, Spool};
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// The log keeps what is noted from some moment on for as long as this is there.
pub struct KeptLog {
    shared: Arc<Shared>,
    /// The segment that was written to then, or is the first one to be.
    generation: u64,
    stays: bool,
}

impl Spool {
    /// Has the log keep what is noted from now on.
    #[must_use]
    pub fn keep_log(&self) -> KeptLog {
        let mut log = self.shared.log();
        let generation = log.live.back().map_or(log.next_generation, Segment::generation);
        *log.kept.entry(generation).or_default() += 1;
        KeptLog { shared: Arc::clone(&self.shared), generation, stays: false }
    }

    /// Has the log keep what is noted from a record on that is not released yet.
    #[must_use]
    pub fn keep_log_of(&self, position: Position) -> KeptLog {
        *self.shared.log().kept.entry(position.generation).or_default() += 1;
        KeptLog { shared: Arc::clone(&self.shared), generation: position.generation, stays: false }
    }
}

impl KeptLog {
    /// Whether the log has moved on since.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.shared.log().live.back().is_some_and(|segment| segment.generation() > self.generation)
    }

    /// The one of two that keeps more.
    #[must_use]
    pub fn or_older(self, other: Option<Self>) -> Self {
        match other {
            Some(other) if other.generation <= self.generation => other,
            _ => self,
        }
    }

    /// The next start needs it: the log keeps it until then.
    pub fn stays(mut self) {
        self.stays = true;
    }
}

impl Drop for KeptLog {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        let mut log = self.shared.log();
        if let Entry::Occupied(mut kept) = log.kept.entry(self.generation) {
            *kept.get_mut() -= 1;
            if *kept.get() == 0 {
                kept.remove();
            }
        }
    }
}

impl std::fmt::Debug for KeptLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptLog").field("generation", &self.generation).finish_non_exhaustive()
    }
}
