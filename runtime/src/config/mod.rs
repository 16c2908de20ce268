//! `edictd.ron`: what a machine has and rules must not hold: sockets, paths, users, credentials.
//!
//! Reading is strict: an unknown key is an error with its place. Paths are relative to the file's
//! folder. Nothing here opens a socket. Every key is shown in docs/edictd.ron.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The largest configuration file read, in bytes.
const MAX_CONFIG: u64 = 1 << 20;

/// The configuration file. Everything has a default, so that `()` is a whole one.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The table to load; the embedded one where absent.
    pub table: Option<PathBuf>,
    /// Spool, mailboxes, counters.
    pub data: PathBuf,
    /// Where to listen.
    pub listeners: Vec<Listener>,
    /// Name of this host in greetings and trace fields, where the profile names none.
    pub hostname: Option<String>,
    /// Where mail goes that leaves, and for which no route names a relay.
    pub outside: Outside,
    /// File of users, `address:password-hash` a line.
    pub users: Option<PathBuf>,
    /// Logins at relays, by the name that rules use.
    pub credentials: BTreeMap<String, Credential>,
    /// The admin socket; `admin.sock` in the data folder where absent.
    pub admin: Option<PathBuf>,
    /// Retry times of the queue.
    pub queue: QueueConfig,
    /// Bounds on clients.
    pub clients: ClientConfig,
    /// Counters of quotas that several daemons share; this one's own where absent.
    pub shared_quota: Option<SharedQuota>,
    /// Attributes of users for disclaimers: `{user.phone}` is the `phone` of whoever is logged in.
    pub attributes: BTreeMap<String, BTreeMap<String, String>>,
    /// Seconds that SIGTERM waits for what is in flight.
    pub drain_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            table: None,
            data: PathBuf::from("edict-data"),
            listeners: vec![Listener::default()],
            hostname: None,
            outside: Outside::Maildir,
            users: None,
            credentials: BTreeMap::new(),
            admin: None,
            queue: QueueConfig::default(),
            clients: ClientConfig::default(),
            shared_quota: None,
            attributes: BTreeMap::new(),
            drain_seconds: 30,
        }
    }
}

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

/// Where mail goes that leaves, and for which no route names a relay.
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

/// Retry times of the queue.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueConfig {
    /// Seconds before the second attempt; doubled each time.
    pub first_retry_seconds: u64,
    /// The longest pause between two attempts, in seconds.
    pub longest_retry_seconds: u64,
    /// Hours after which a message comes back to its sender.
    pub lifetime_hours: u64,
    /// Connections to one next hop at once.
    pub connections: u32,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self { first_retry_seconds: 60, longest_retry_seconds: 4000, lifetime_hours: 120, connections: 20 }
    }
}

/// Bounds on clients.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientConfig {
    /// Connections in all.
    pub connections: u32,
    /// Seconds to wait for a command.
    pub command_seconds: u64,
    /// Seconds to wait for more of a message.
    pub data_seconds: u64,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self { connections: 2000, command_seconds: 300, data_seconds: 180 }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    Read(PathBuf, std::io::Error),
    /// It is no RON, or a key is unknown or of the wrong type.
    #[error("{path}:{line}:{column}: {what}", path = .path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong there.
        what: String,
    },
    /// It reads well, but cannot be.
    #[error("{path}: {what}", path = .0.display(), what = .1)]
    Meaning(PathBuf, String),
}

/// Reads a configuration file.
///
/// # Errors
/// Says what is wrong and where.
pub fn read(path: &Path) -> Result<Config, ConfigError> {
    let failed = |error| ConfigError::Read(path.to_owned(), error);
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > MAX_CONFIG {
        return Err(ConfigError::Meaning(path.to_owned(), "over 1 MiB is no configuration".to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    parse(&text, path)
}

/// Reads a configuration from text; `path` says what its paths are relative to.
///
/// # Errors
/// Says what is wrong and where.
pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let options = ron::Options::default()
        .with_default_extension(ron::extensions::Extensions::IMPLICIT_SOME)
        .with_recursion_limit(64);
    let mut config: Config = options.from_str(text).map_err(|e| ConfigError::Syntax {
        path: path.to_owned(),
        line: e.span.start.line,
        column: e.span.start.col,
        what: e.code.to_string(),
    })?;
    let base = path.parent().unwrap_or(Path::new(""));
    let rebase = |p: &mut PathBuf| *p = base.join(&*p);
    rebase(&mut config.data);
    config.table.iter_mut().for_each(rebase);
    config.users.iter_mut().for_each(rebase);
    config.admin.iter_mut().for_each(rebase);
    config.credentials.values_mut().for_each(|c| rebase(&mut c.password_file));
    meaning(&config).map_err(|what| ConfigError::Meaning(path.to_owned(), what))?;
    Ok(config)
}

/// What reads well but cannot be meant.
fn meaning(config: &Config) -> Result<(), String> {
    if config.listeners.is_empty() {
        return Err("`listeners` is empty: the daemon would take no mail".to_owned());
    }
    let mut seen = std::collections::BTreeSet::new();
    for listener in &config.listeners {
        if !seen.insert(listener.address) {
            return Err(format!("`{}` is listed twice in `listeners`", listener.address));
        }
    }
    if let Some(name) = &config.hostname {
        edict_table::value::Domain::parse(name).map_err(|e| format!("hostname `{name}`: {e}"))?;
    }
    let queue = &config.queue;
    if queue.first_retry_seconds == 0 || queue.longest_retry_seconds < queue.first_retry_seconds {
        return Err("`queue`: 0 < first_retry_seconds <= longest_retry_seconds must hold".to_owned());
    }
    for (name, value) in [
        ("queue.lifetime_hours", queue.lifetime_hours),
        ("queue.connections", u64::from(queue.connections)),
        ("clients.connections", u64::from(config.clients.connections)),
        ("clients.command_seconds", config.clients.command_seconds),
        ("clients.data_seconds", config.clients.data_seconds),
    ] {
        if value == 0 {
            return Err(format!("`{name}` cannot be 0"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(text: &str) -> String {
        parse(text, Path::new("etc/edictd.ron")).unwrap_err().to_string()
    }

    #[test]
    fn nothing_written_is_a_whole_configuration() {
        let config = parse("()", Path::new("edictd.ron")).unwrap();
        assert_eq!(config, Config::default());
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let config = parse("(table: \"a.table\", data: \"/srv/mail\")", Path::new("etc/edictd.ron")).unwrap();
        assert_eq!(config.table, Some(PathBuf::from("etc/a.table")));
        assert_eq!(config.data, PathBuf::from("/srv/mail"));
    }

    #[test]
    fn the_documented_example_is_valid() {
        let text = include_str!("../../../docs/edictd.ron");
        let config = parse(text, Path::new("edictd.ron")).unwrap();
        assert_eq!(config.listeners.len(), 2);
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        assert!(
            fails("(\n  tabel: \"x\",\n)").starts_with("etc/edictd.ron:2:"),
            "{}",
            fails("(\n  tabel: \"x\",\n)")
        );
        assert!(fails("(listeners: [])").contains("listeners"));
        assert!(fails("(outside: relay(\"nowhere\"))").contains("host:port"));
        assert!(fails("(queue: (first_retry_seconds: 0))").contains("first_retry_seconds"));
        let twice = "(listeners: [(address: \"127.0.0.1:25\"), (address: \"127.0.0.1:25\")])";
        assert!(fails(twice).contains("twice"));
    }

    #[test]
    fn hosts_and_ports() {
        for (text, host, port) in [
            ("mx.example.com:25", "mx.example.com", 25),
            ("[::1]:2525", "::1", 2525),
            ("127.0.0.1:1", "127.0.0.1", 1),
        ] {
            let read: HostPort = text.parse().unwrap();
            assert_eq!((read.host.as_str(), read.port, read.to_string().as_str()), (host, port, text));
        }
        for text in ["", "x", "x:", ":25", "x:0", "x:70000", "[x]:25", "a b:25"] {
            assert!(text.parse::<HostPort>().is_err(), "{text:?}");
        }
    }
}
