//! `local`: where mail for inside recipients goes.
//!
//! Plain data; no socket is opened here.

use super::HostPort;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Where mail for inside recipients goes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Local {
    /// Into Maildirs below `data`.
    #[default]
    Maildir,
    /// To the LMTP server at this unix socket.
    LmtpUnix(PathBuf),
    /// To the LMTP server at this `host:port`.
    Lmtp(HostPort),
}

impl Local {
    /// What reads well but cannot be meant.
    pub(super) fn check(&self) -> Result<(), String> {
        match self {
            Self::LmtpUnix(path) => super::not_empty("local: lmtp_unix", path),
            Self::Maildir | Self::Lmtp(_) => Ok(()),
        }
    }

    /// Makes the path relative to the configuration's folder.
    pub(super) fn rebase(&mut self, base: &Path) {
        if let Self::LmtpUnix(path) = self {
            *path = base.join(&*path);
        }
    }
}
