//! `credentials`: logins at relays.
//!
//! Passwords stand in files of their own, which are read elsewhere.

use serde::Deserialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// A login at a relay.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// Login name.
    pub login: String,
    /// File whose first line is the password.
    pub password_file: PathBuf,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("login", &self.login).finish_non_exhaustive()
    }
}

impl Credential {
    /// Paths are relative to the configuration's folder.
    pub(super) fn rebase(&mut self, base: &Path) {
        self.password_file = base.join(&self.password_file);
    }
}
