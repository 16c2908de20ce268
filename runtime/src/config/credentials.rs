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
    /// What no server can be told.
    pub(super) fn check(&self, name: &str) -> Result<(), String> {
        match &self.login {
            login if login.is_empty() => Err(format!("credentials `{name}`: the login is empty")),
            // RFC 4616 2, RFC 5802 5.1.
            login if login.contains(char::is_control) => {
                Err(format!("credentials `{name}`: the login holds a control character"))
            }
            _ => Ok(()),
        }
    }

    /// Paths are relative to the configuration's folder.
    pub(super) fn rebase(&mut self, base: &Path) {
        self.password_file = base.join(&self.password_file);
    }
}
