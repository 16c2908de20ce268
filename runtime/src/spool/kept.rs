//! Whoever needs what the log knows has it kept: notes alone keep no segment.

use super::segment::Segment;
use super::shared::Shared;
use super::{Position, Spool};
use std::sync::Arc;

/// The log keeps what is noted from some moment on for as long as this is there.
pub struct KeptLog {
    shared: Arc<Shared>,
    /// The segment that was written to then; none where it stays until a restart.
    generation: Option<u64>,
}

impl Spool {
    /// Has the log keep what is noted from now on.
    #[must_use]
    pub fn keep_log(&self) -> KeptLog {
        self.keep(self.shared.log().live.back_mut())
    }

    /// Has the log keep what is noted from a record on that is not released yet.
    #[must_use]
    pub fn keep_log_of(&self, position: Position) -> KeptLog {
        self.keep(self.shared.log().find_mut(position.generation))
    }

    fn keep(&self, segment: Option<&mut Segment>) -> KeptLog {
        let generation = segment.map(|segment| {
            segment.unreleased += 1;
            segment.generation()
        });
        KeptLog { shared: Arc::clone(&self.shared), generation }
    }
}

impl KeptLog {
    /// The one of two that keeps more.
    #[must_use]
    pub fn or_older(self, other: Option<Self>) -> Self {
        match other {
            Some(other) if other.generation <= self.generation => other,
            _ => self,
        }
    }

    /// It is needed by the next start.
    pub fn stays(mut self) {
        self.generation = None;
    }
}

impl Drop for KeptLog {
    fn drop(&mut self) {
        if let Some(generation) = self.generation {
            self.shared.log().release(generation);
        }
    }
}

impl std::fmt::Debug for KeptLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptLog").field("generation", &self.generation).finish_non_exhaustive()
    }
}
