//! `listeners`: where the daemon listens, for whom, and which proxies stand before it.
//!
//! Plain data; nothing here opens a socket.

use crate::smtp::settings::Proxies;
use edict_table::value::network::parse_network;
use ipnet::IpNet;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;

/// What stands before the name of a socket that systemd passes.
const PASSED: &str = "systemd:";

/// One listening socket.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Where.
    pub address: Place,
    /// What it is for.
    #[serde(default)]
    pub role: Role,
    /// Proxies that send a PROXY header before each connection. Nobody else's is read.
    #[serde(default)]
    pub proxy_from: Vec<Network>,
    /// Proxies whose XCLIENT is obeyed.
    #[serde(default)]
    pub xclient_from: Vec<Network>,
}

impl Listener {
    /// In role `mx`, without proxies.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self { address: Place::Address(address), ..Self::default() }
    }

    /// The proxies before it.
    #[must_use]
    pub fn proxies(&self) -> Proxies {
        let networks = |list: &[Network]| list.iter().map(|network| network.0).collect();
        Proxies { proxy: networks(&self.proxy_from), xclient: networks(&self.xclient_from) }
    }
}

/// An address with a port, or sockets that systemd passes by name (`systemd:NAME`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
#[serde(try_from = "String")]
pub enum Place {
    /// Bound by the daemon, or passed by systemd with just this address.
    Address(SocketAddr),
    /// Passed under this name (`FileDescriptorName=`); all of that name.
    Passed(String),
}

impl Default for Place {
    fn default() -> Self {
        Self::Address(SocketAddr::from(([127, 0, 0, 1], 2525)))
    }
}

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix(PASSED) {
            // systemd.socket(5): at most 255 printable characters, no colon.
            let fine = name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
            return if fine && (1..=255).contains(&name.len()) {
                Ok(Self::Passed(name.to_owned()))
            } else {
                Err(format!("`{text}`: a socket of systemd is written `systemd:NAME`"))
            };
        }
        let wrong = |_| format!("`{text}` is no `address:port` and no `systemd:NAME`");
        text.parse().map(Self::Address).map_err(wrong)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Passed(name) => write!(f, "{PASSED}{name}"),
        }
    }
}

/// An address or a network, as rules write it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Network(pub IpNet);

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let network = parse_network(&text).map_err(|e| format!("`{text}`: {e}"))?;
        if network.prefix_len() == 0 {
            return Err(format!("`{text}` is the whole internet: anybody could claim any address"));
        }
        Ok(Self(network))
    }
}

/// What a listener is for (`listeners` in docs/edictd.ron).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Port 25: mail from strangers.
    #[default]
    Mx,
    /// Port 587: mail of users.
    Submission,
    /// Port 465: mail of users, encrypted from the first byte.
    Submissions,
}

impl From<Role> for crate::smtp::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Mx => Self::Mx,
            Role::Submission => Self::Submission,
            Role::Submissions => Self::Submissions,
        }
    }
}

/// What reads well but cannot be meant. `tls` says whether there are certificates.
pub(super) fn check(listeners: &[Listener], tls: bool) -> Result<(), String> {
    if listeners.is_empty() {
        return Err("`listeners` is empty: the daemon would take no mail".to_owned());
    }
    let mut seen = BTreeSet::new();
    for listener in listeners {
        if !seen.insert(&listener.address) {
            return Err(format!("`{}` is listed twice in `listeners`", listener.address));
        }
        if listener.role == Role::Submissions && !tls {
            return Err(format!("`{}` has the role `submissions`, which needs `tls`", listener.address));
        }
    }
    Ok(())
}
