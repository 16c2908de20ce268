//! `shared_quota`: counters of quotas that several daemons share.
//!
//! Plain data; the connection is made elsewhere.

use serde::Deserialize;

/// Where several daemons count together.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedQuota {
    /// `redis://host:port/db`, or `unix:///path`.
    pub url: String,
    /// Before the name of every key.
    #[serde(default = "SharedQuota::prefix")]
    pub prefix: String,
    /// What happens to outbound mail while Redis does not answer.
    #[serde(default)]
    pub when_down: WhenDown,
    /// Milliseconds to wait for a connection, and for each answer.
    #[serde(default = "SharedQuota::timeout_ms")]
    pub timeout_ms: u64,
}

impl SharedQuota {
    fn prefix() -> String {
        "edict:".to_owned()
    }

    fn timeout_ms() -> u64 {
        1_000
    }
}

/// What happens while the shared counters cannot be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenDown {
    /// 451: the client comes back.
    #[default]
    Defer,
    /// Counted by each daemon alone, and brought together later.
    CountLocally,
}
