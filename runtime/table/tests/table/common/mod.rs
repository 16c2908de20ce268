//! What the integration tests share: random tables and mail, and the reference interpreter.

pub mod mail;
pub mod random;
pub mod reference;
pub mod rng;

use edict_table::emit::try_emit;
use edict_table::load::Loaded;
use edict_table::model::Table;
use std::sync::Arc;

/// Emits and loads.
pub fn load(table: &Table) -> Loaded {
    Loaded::new(Arc::new(try_emit(table).expect("emits"))).expect("loads")
}
