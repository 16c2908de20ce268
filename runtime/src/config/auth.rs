//! `auth`: who checks passwords. Plain data.

use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Who checks passwords.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthConfig {
    /// The daemon, by the hashes in the file `users`.
    #[default]
    Users,
    /// Dovecot, behind this unix socket. The file `users` still says which mailboxes exist.
    Dovecot(PathBuf),
}

impl AuthConfig {
    /// Paths are relative to the configuration's folder.
    pub(super) fn rebase(&mut self, base: &Path) {
        if let Self::Dovecot(socket) = self {
            *socket = base.join(&*socket);
        }
    }
}
