//! `queue`: when delivery is tried again, and for how long.
//!
//! Plain data.

use super::not_zero;
use serde::Deserialize;

/// Retry times of the queue.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueConfig {
    /// Seconds before the second attempt; doubled each time.
    pub first_retry_seconds: u64,
    /// The longest pause between two attempts, in seconds.
    pub longest_retry_seconds: u64,
    /// Hours after which a message comes back to its sender.
    pub lifetime_hours: u64,
    /// Connections to one next hop at once.
    pub connections: u32,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self { first_retry_seconds: 60, longest_retry_seconds: 4000, lifetime_hours: 120, connections: 20 }
    }
}

impl QueueConfig {
    /// What reads well but cannot be meant.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.first_retry_seconds == 0 || self.longest_retry_seconds < self.first_retry_seconds {
            return Err("`queue`: 0 < first_retry_seconds <= longest_retry_seconds must hold".to_owned());
        }
        not_zero("queue.lifetime_hours", self.lifetime_hours)?;
        not_zero("queue.connections", self.connections)
    }
}
