//! `next_hops`: how servers that mail goes on to are found, trusted, and waited for.
//!
//! Plain data; the file of roots is read when the daemon starts.

use super::{not_zero, time};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// How next hops are found, trusted and waited for.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NextHopsConfig {
    /// Name servers to ask; the system's where empty.
    pub name_servers: Vec<SocketAddr>,
    /// The port of servers that MX records name.
    pub mx_port: u16,
    /// PEM: certificates of authorities to trust in place of the system's.
    pub roots: Option<PathBuf>,
    /// Seconds until a connection stands, per address.
    pub connect_seconds: u64,
    /// Seconds to a reply.
    pub command_seconds: u64,
    /// Seconds in which a piece of a message must be taken.
    pub data_seconds: u64,
    /// Seconds to the reply to a whole message.
    pub end_seconds: u64,
}

impl Default for NextHopsConfig {
    fn default() -> Self {
        Self {
            name_servers: Vec::new(),
            mx_port: 25,
            roots: None,
            connect_seconds: 30,
            command_seconds: 300,
            data_seconds: 180,
            end_seconds: 600,
        }
    }
}

impl NextHopsConfig {
    /// Makes paths relative to the configuration's folder.
    pub(super) fn rebase(&mut self, base: &Path) {
        self.roots.iter_mut().for_each(|path| *path = base.join(&*path));
    }

    /// What reads well but cannot be meant.
    pub(super) fn check(&self) -> Result<(), String> {
        not_zero("next_hops.mx_port", self.mx_port)?;
        time("next_hops.connect_seconds", self.connect_seconds)?;
        time("next_hops.command_seconds", self.command_seconds)?;
        time("next_hops.data_seconds", self.data_seconds)?;
        time("next_hops.end_seconds", self.end_seconds)
    }
}
