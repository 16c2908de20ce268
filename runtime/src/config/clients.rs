//! `clients`: bounds on those who connect.
//!
//! Plain data; policy about clients stands in rules.

use super::not_zero;
use serde::Deserialize;

/// Bounds on clients.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientConfig {
    /// Connections in all.
    pub connections: u32,
    /// Seconds to wait for a command.
    pub command_seconds: u64,
    /// Seconds to wait for more of a message.
    pub data_seconds: u64,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self { connections: 2000, command_seconds: 300, data_seconds: 180 }
    }
}

impl ClientConfig {
    /// What reads well but cannot be meant.
    pub(super) fn check(&self) -> Result<(), String> {
        not_zero("clients.connections", self.connections)?;
        not_zero("clients.command_seconds", self.command_seconds)?;
        not_zero("clients.data_seconds", self.data_seconds)
    }
}
