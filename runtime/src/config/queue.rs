//! `queue`: when delivery is tried again, for how long, and over how many connections.
//!
//! Plain data.

use super::{LONGEST, at_most, not_zero};
use serde::Deserialize;

/// Retry times and bounds of the queue.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueConfig {
    /// Seconds before the second attempt; doubled each time.
    pub first_retry_seconds: u64,
    /// The longest pause between two attempts, in seconds.
    pub longest_retry_seconds: u64,
    /// Hours after which a message comes back to its sender.
    pub lifetime_hours: u64,
    /// Hours after which its sender is told that it waits, where it was submitted here; never where 0.
    pub warn_hours: u64,
    /// Connections to one relay or LMTP server at once.
    pub connections: u32,
    /// Connections to the servers of one domain at once, where mail goes by MX.
    pub connections_per_domain: u32,
    /// Connections to all next hops together, but for the local server.
    pub connections_in_all: u32,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            first_retry_seconds: 60,
            longest_retry_seconds: 4000,
            lifetime_hours: 120,
            warn_hours: 4,
            connections: 20,
            connections_per_domain: 5,
            connections_in_all: 500,
        }
    }
}

impl QueueConfig {
    /// What reads well but cannot be meant.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.first_retry_seconds == 0 || self.longest_retry_seconds < self.first_retry_seconds {
            return Err("`queue`: 0 < first_retry_seconds <= longest_retry_seconds must hold".to_owned());
        }
        at_most("queue.longest_retry_seconds", self.longest_retry_seconds, LONGEST)?;
        not_zero("queue.lifetime_hours", self.lifetime_hours)?;
        at_most("queue.lifetime_hours", self.lifetime_hours, LONGEST / 3600)?;
        at_most("queue.warn_hours", self.warn_hours, LONGEST / 3600)?;
        not_zero("queue.connections", self.connections)?;
        not_zero("queue.connections_per_domain", self.connections_per_domain)?;
        not_zero("queue.connections_in_all", self.connections_in_all)
    }
}
