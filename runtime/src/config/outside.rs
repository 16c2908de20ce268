//! `outside`: where mail goes that leaves, and how a host and port are written.
//!
//! Plain data; no name is looked up here.

use serde::Deserialize;
use std::fmt;

/// Where mail goes that leaves, and for which no route names a way.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outside {
    /// Nowhere: it lands in Maildirs here. For trying rules out.
    #[default]
    Maildir,
    /// To this relay, `host:port`.
    Relay(HostPort),
    /// To the MX of each recipient's domain.
    Mx,
}

/// `host:port`, as `[2001:db8::1]:25` for IPv6.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct HostPort {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl TryFrom<String> for HostPort {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl std::str::FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no `host:port`");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port: u16 = port.parse().map_err(|_| wrong())?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = match bare {
            Some(inner) if inner.parse::<std::net::Ipv6Addr>().is_ok() => inner.to_owned(),
            Some(_) => return Err(wrong()),
            None => {
                edict_table::value::Domain::parse(host).map_err(|e| format!("{}: {e}", wrong()))?.to_string()
            }
        };
        if port == 0 { Err(wrong()) } else { Ok(Self { host, port }) }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}
