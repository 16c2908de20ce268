//! The table in force, and the last one before it.
//!
//! A swap is one pointer. A transaction takes [`Live::current`] at MAIL and keeps it to its end.

pub mod image;

use arc_swap::ArcSwap;
use edict_table::load::Loaded;
use std::sync::{Arc, Mutex, PoisonError};

/// The table in force.
#[derive(Debug)]
pub struct Live {
    current: ArcSwap<Loaded>,
    before: Mutex<Option<Arc<Loaded>>>,
}

impl Live {
    /// Starts with a table.
    #[must_use]
    pub fn new(table: Arc<Loaded>) -> Self {
        Self { current: ArcSwap::new(table), before: Mutex::new(None) }
    }

    /// The table in force.
    #[must_use]
    pub fn current(&self) -> Arc<Loaded> {
        self.current.load_full()
    }

    /// Puts a table in force; the one before is kept for [`Live::rollback`].
    pub fn publish(&self, table: Arc<Loaded>) {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        *before = Some(self.current.swap(table));
    }

    /// The table before the last [`Live::publish`].
    #[must_use]
    pub fn before(&self) -> Option<Arc<Loaded>> {
        self.before.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts the table before the last [`Live::publish`] in force again. None where there is none.
    pub fn rollback(&self) -> Option<Arc<Loaded>> {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let old = before.take()?;
        *before = Some(self.current.swap(Arc::clone(&old)));
        Some(old)
    }
}
