//! What a machine decides about its SMTP front, beside the rules: roles, time and memory bounds.
//!
//! Plain data. Times are the server side of RFC 5321 4.5.3.2.

use edict_table::value::canonical_ip;
use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// What a listener is for (`listeners` in docs/edictd.ron).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Role {
    /// Port 25: mail from strangers.
    #[default]
    Mx,
    /// Port 587: mail of users.
    Submission,
    /// Port 465: the same, TLS from the first byte (RFC 8314 3.3).
    Submissions,
}

impl Role {
    /// A port for mail of users.
    #[must_use]
    pub fn is_submission(self) -> bool {
        matches!(self, Self::Submission | Self::Submissions)
    }

    /// For logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mx => "mx",
            Self::Submission => "submission",
            Self::Submissions => "submissions",
        }
    }
}

/// When `Authentication-Results` (RFC 8601) is written into mail of strangers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Results {
    /// It tells what rules had found out; nothing is asked for its sake.
    #[default]
    AsComputed,
    /// SPF, DKIM and DMARC are asked of each message that is taken.
    Always,
    /// Never.
    Never,
}

/// One listener.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Endpoint {
    /// What it is for.
    pub role: Role,
    /// Who may speak for somebody else.
    pub proxies: Arc<Proxies>,
}

/// Clients that may say whom they speak for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Proxies {
    /// By a PROXY header, which each of their connections must begin with.
    pub proxy: Vec<IpNet>,
    /// By XCLIENT.
    pub xclient: Vec<IpNet>,
}

impl Proxies {
    /// Whether connections from there begin with a PROXY header.
    #[must_use]
    pub fn sends_header(&self, client: IpAddr) -> bool {
        holds(&self.proxy, client)
    }

    /// Whether XCLIENT is obeyed from there.
    #[must_use]
    pub fn may_xclient(&self, client: IpAddr) -> bool {
        holds(&self.xclient, client)
    }
}

fn holds(networks: &[IpNet], client: IpAddr) -> bool {
    let client = canonical_ip(client);
    networks.iter().any(|network| network.contains(&client))
}

/// Bounds of all sessions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Name of this host where the profile names none.
    pub hostname: String,
    /// Connections at once, over all listeners; one more gets a quick 421.
    pub max_connections: usize,
    /// Connections of one client at once (IPv6 by /64), over all listeners; trusted networks excepted.
    pub max_per_client: u32,
    /// The wait for a whole command.
    pub command_timeout: Duration,
    /// How long a client may stay that was refused in the greeting.
    pub refused_timeout: Duration,
    /// The wait for more of a message.
    pub data_timeout: Duration,
    /// How long a message may come slowly when memory is short.
    pub slow_timeout: Duration,
    /// The wait for a client to take a reply.
    pub write_timeout: Duration,
    /// Bytes of a command line without its CRLF. RFC 5321 asks for 512 and what extensions add.
    pub max_line: usize,
    /// Bytes of messages in flight over all sessions, each counted twice; past it, 452 4.3.1.
    pub max_memory: u64,
    /// When `Authentication-Results` is written.
    pub results: Results,
    /// Our name in it; the name of this host where absent.
    pub authserv_id: Option<String>,
    /// How long an error reply is held back once a client has made too many.
    pub error_delay: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hostname: "localhost".to_owned(),
            max_connections: 2000,
            max_per_client: 100,
            command_timeout: Duration::from_secs(300),
            refused_timeout: Duration::from_secs(30),
            data_timeout: Duration::from_secs(180),
            slow_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            max_line: 4096,
            max_memory: 1 << 30,
            results: Results::default(),
            authserv_id: None,
            error_delay: Duration::from_secs(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5321 4.5.3.2, 4.5.3.2.7: five minutes for a command; three for a block of data, as clients are to give.
    #[test]
    fn waits_are_as_long_as_asked_for() {
        let settings = Settings::default();
        assert!(settings.command_timeout >= Duration::from_secs(5 * 60));
        assert!(settings.data_timeout >= Duration::from_secs(3 * 60));
    }
}
