//! `listeners`: where the daemon listens, and for whom.
//!
//! Plain data; nothing here opens a socket.

use serde::Deserialize;
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// One listening socket.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Address and port.
    pub address: SocketAddr,
    /// What it is for.
    #[serde(default)]
    pub role: Role,
}

impl Default for Listener {
    fn default() -> Self {
        Self { address: SocketAddr::from(([127, 0, 0, 1], 2525)), role: Role::Mx }
    }
}

/// What a listener is for (mail-flow: Listeners).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Port 25: mail from strangers.
    #[default]
    Mx,
    /// Port 587: mail of users.
    Submission,
}

impl From<Role> for crate::smtp::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Mx => Self::Mx,
            Role::Submission => Self::Submission,
        }
    }
}

/// What reads well but cannot be meant.
pub(super) fn check(listeners: &[Listener]) -> Result<(), String> {
    if listeners.is_empty() {
        return Err("`listeners` is empty: the daemon would take no mail".to_owned());
    }
    let mut seen = BTreeSet::new();
    for listener in listeners {
        if !seen.insert(listener.address) {
            return Err(format!("`{}` is listed twice in `listeners`", listener.address));
        }
    }
    Ok(())
}
