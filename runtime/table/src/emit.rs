//! Table to bytes. Under construction.

use crate::model::Table;

/// Turns a table into its artifact: deterministic, the same on every host.
#[must_use]
pub fn emit(table: &Table) -> Vec<u8> {
    let _ = table;
    Vec::new()
}
