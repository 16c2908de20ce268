//! `pass_through`: mail that needs nothing of ours goes on to its relay without being stored.
//!
//! Plain data.

use super::not_zero;
use serde::Deserialize;

/// Bounds of pass-through.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PassThrough {
    /// Connections that are held for it; with none free, mail is stored.
    pub connections: u32,
}

impl Default for PassThrough {
    fn default() -> Self {
        Self { connections: 100 }
    }
}

impl PassThrough {
    /// What reads well but cannot be meant.
    pub(super) fn check(&self) -> Result<(), String> {
        not_zero("pass_through.connections", self.connections)
    }
}
