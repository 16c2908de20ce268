//! `clients`: bounds on those who connect.
//!
//! Plain data; policy about clients stands in rules (`limit`), these bounds keep the machine up.

use super::{at_most, not_zero, time};
use serde::Deserialize;

/// More than any machine has, in MiB: it can still be counted in bytes.
const MOST_MEMORY: u64 = 1 << 30;

/// Bounds on clients.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientConfig {
    /// Connections in all.
    pub connections: u32,
    /// Connections of one client (IPv6 by /64), trusted networks excepted.
    pub connections_per_client: u32,
    /// Seconds to wait for a command.
    pub command_seconds: u64,
    /// Seconds to wait for more of a message.
    pub data_seconds: u64,
    /// Seconds to wait for a client to take a reply.
    pub reply_seconds: u64,
    /// Memory of messages that are on their way in, in MiB.
    pub memory_mib: u64,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            connections: 2000,
            connections_per_client: 100,
            command_seconds: 300,
            data_seconds: 180,
            reply_seconds: 60,
            memory_mib: 1024,
        }
    }
}

impl ClientConfig {
    /// What reads well but cannot be meant.
    pub(super) fn check(&self) -> Result<(), String> {
        not_zero("clients.connections", self.connections)?;
        not_zero("clients.connections_per_client", self.connections_per_client)?;
        time("clients.command_seconds", self.command_seconds)?;
        time("clients.data_seconds", self.data_seconds)?;
        time("clients.reply_seconds", self.reply_seconds)?;
        not_zero("clients.memory_mib", self.memory_mib)?;
        at_most("clients.memory_mib", self.memory_mib, MOST_MEMORY)
    }
}
