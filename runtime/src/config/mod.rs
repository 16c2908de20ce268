//! `edictd.ron`: what a machine has and rules must not hold: sockets, paths, users, credentials.
//!
//! Reading is strict: an unknown key is an error with its place. Paths are relative to the file's
//! folder. Nothing here opens a socket. Every key is shown in docs/edictd.ron. Each area has a file of
//! its own, with its types, its defaults, and where need be `check` (what cannot be meant) and `rebase`.

mod admin_http;
mod auth;
mod authentication;
mod clients;
mod credentials;
mod dkim;
mod journal;
mod listeners;
mod local;
mod next_hops;
mod outside;
mod queue;
mod quota;
mod restart;
mod signers;
#[cfg(test)]
mod tests;
mod through;
mod tls;

pub use admin_http::AdminHttp;
pub use auth::AuthConfig;
pub use authentication::{AuthenticationConfig, When};
pub use clients::ClientConfig;
pub use credentials::Credential;
pub use dkim::DkimKey;
pub use journal::JournalConfig;
pub use listeners::{Listener, Network, Place, Role};
pub use local::Local;
pub use next_hops::NextHopsConfig;
pub use outside::{HostPort, Outside};
pub use queue::QueueConfig;
pub use quota::{SharedQuota, WhenDown};
pub use signers::Signers;
pub use through::PassThrough;
pub use tls::{CertificateFiles, MinimumVersion, TlsConfig};

use crate::files;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The largest configuration file read, in bytes.
const MAX_CONFIG: u64 = 1 << 20;

/// The configuration file. Everything has a default, so that `()` is a whole one.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The table to load; the embedded one where absent.
    pub table: Option<PathBuf>,
    /// Who must have signed a table; empty where it need not be signed.
    pub signers: Signers,
    /// Spool, mailboxes, counters.
    pub data: PathBuf,
    /// Where to listen.
    pub listeners: Vec<Listener>,
    /// Name of this host in greetings and trace fields, where the profile names none.
    pub hostname: Option<String>,
    /// Where mail for inside recipients goes.
    pub local: Local,
    /// Where mail goes that leaves, and for which no route names a way.
    pub outside: Outside,
    /// How next hops are found, trusted and waited for.
    pub next_hops: NextHopsConfig,
    /// File of users, `address:password-hash` a line.
    pub users: Option<PathBuf>,
    /// Who checks passwords.
    pub auth: AuthConfig,
    /// Certificates; without, neither STARTTLS nor `submissions`.
    pub tls: Option<TlsConfig>,
    /// Logins at relays, by the name that rules use.
    #[serde(deserialize_with = "names_once")]
    pub credentials: BTreeMap<String, Credential>,
    /// The admin socket; `admin.sock` in the data folder where absent.
    pub admin: Option<PathBuf>,
    /// Admin pages for browsers of this machine; on the admin socket alone where absent.
    pub admin_http: Option<AdminHttp>,
    /// Retry times of the queue.
    pub queue: QueueConfig,
    /// Lets mail that needs nothing of ours go on without being stored; off where absent.
    pub pass_through: Option<PassThrough>,
    /// Bounds on clients.
    pub clients: ClientConfig,
    /// What is told of the authenticity of mail.
    pub authentication: AuthenticationConfig,
    /// Counters of quotas that several daemons share; this one's own where absent.
    pub shared_quota: Option<SharedQuota>,
    /// Attributes of users for disclaimers: `{user.phone}` is the `phone` of whoever is logged in.
    #[serde(deserialize_with = "names_once")]
    pub attributes: BTreeMap<String, BTreeMap<String, String>>,
    /// Where the log goes; standard error where absent.
    pub log: Option<PathBuf>,
    /// Keys that submitted mail is signed with; read again on SIGHUP.
    pub dkim: Vec<DkimKey>,
    /// A record of envelopes, headers and verdicts; none where absent.
    pub journal: Option<JournalConfig>,
    /// Seconds that SIGTERM waits for what is in flight.
    pub drain_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            table: None,
            signers: Signers::default(),
            data: PathBuf::from("edict-data"),
            listeners: vec![Listener::default()],
            hostname: None,
            local: Local::Maildir,
            outside: Outside::Maildir,
            next_hops: NextHopsConfig::default(),
            users: None,
            auth: AuthConfig::default(),
            tls: None,
            credentials: BTreeMap::new(),
            admin: None,
            admin_http: None,
            queue: QueueConfig::default(),
            pass_through: None,
            clients: ClientConfig::default(),
            authentication: AuthenticationConfig::default(),
            shared_quota: None,
            attributes: BTreeMap::new(),
            log: None,
            dkim: Vec::new(),
            journal: None,
            drain_seconds: 30,
        }
    }
}

impl Config {
    /// The admin socket.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        self.admin.clone().unwrap_or_else(|| admin_socket(&self.data))
    }
}

/// The admin socket of a daemon that has this data folder and names no other.
#[must_use]
pub fn admin_socket(data: &Path) -> PathBuf {
    data.join("admin.sock")
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
    let text = files::text(path, MAX_CONFIG).map_err(|error| match error.kind() {
        std::io::ErrorKind::FileTooLarge => {
            ConfigError::Meaning(path.to_owned(), "over 1 MiB is no configuration".to_owned())
        }
        _ => ConfigError::Read(path.to_owned(), error),
    })?;
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
    // Some editors begin files with it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut config: Config = options.from_str(text).map_err(|e| ConfigError::Syntax {
        path: path.to_owned(),
        line: e.span.start.line,
        column: e.span.start.col,
        what: e.code.to_string(),
    })?;
    paths(&config).map_err(|what| ConfigError::Meaning(path.to_owned(), what))?;
    rebase(&mut config, path.parent().unwrap_or(Path::new("")));
    meaning(&config).map_err(|what| ConfigError::Meaning(path.to_owned(), what))?;
    Ok(config)
}

/// Paths that are written name something.
fn paths(config: &Config) -> Result<(), String> {
    let some = [
        ("table", config.table.as_ref()),
        ("users", config.users.as_ref()),
        ("admin", config.admin.as_ref()),
        ("log", config.log.as_ref()),
        ("journal.folder", config.journal.as_ref().map(|journal| &journal.folder)),
    ];
    not_empty("data", &config.data)?;
    config.local.check()?;
    some.into_iter()
        .filter_map(|(name, path)| Some((name, path?)))
        .try_for_each(|(name, path)| not_empty(name, path))
}

/// Paths are relative to the folder of the file.
fn rebase(config: &mut Config, base: &Path) {
    let join = |path: &mut PathBuf| *path = base.join(&*path);
    join(&mut config.data);
    config.table.iter_mut().for_each(join);
    config.users.iter_mut().for_each(join);
    config.admin.iter_mut().for_each(join);
    config.log.iter_mut().for_each(join);
    config.auth.rebase(base);
    config.tls.iter_mut().for_each(|tls| tls.rebase(base));
    config.journal.iter_mut().for_each(|journal| journal.rebase(base));
    config.local.rebase(base);
    config.next_hops.rebase(base);
    config.admin_http.iter_mut().flat_map(|http| &mut http.token_file).for_each(join);
    config.credentials.values_mut().for_each(|credential| credential.rebase(base));
    config.dkim.iter_mut().for_each(|key| join(&mut key.key_file));
}

/// What reads well but cannot be meant.
fn meaning(config: &Config) -> Result<(), String> {
    listeners::check(&config.listeners, config.tls.is_some())?;
    config.tls.as_ref().map_or(Ok(()), TlsConfig::check)?;
    if let Some(name) = &config.hostname {
        edict_table::value::Domain::parse(name).map_err(|e| format!("hostname `{name}`: {e}"))?;
    }
    dkim::check(&config.dkim)?;
    config.admin_http.as_ref().map_or(Ok(()), AdminHttp::check)?;
    config.queue.check()?;
    config.next_hops.check()?;
    config.journal.as_ref().map_or(Ok(()), JournalConfig::check)?;
    if let Some(bounds) = &config.pass_through {
        bounds.check()?;
    }
    config.clients.check()?;
    at_most("drain_seconds", config.drain_seconds, LONGEST)?;
    config.credentials.iter().try_for_each(|(name, credential)| credential.check(name))?;
    config.authentication.check()
}

/// The longest time that is meant by anybody, in seconds: ten years. What is far beyond cannot be added to a time.
const LONGEST: u64 = 10 * 366 * 86_400;

/// For a time of which none makes no sense.
fn time(name: &str, value: u64) -> Result<(), String> {
    not_zero(name, value)?;
    at_most(name, value, LONGEST)
}

fn at_most(name: &str, value: u64, most: u64) -> Result<(), String> {
    if value > most { Err(format!("`{name}` is at most {most}, not {value}")) } else { Ok(()) }
}

/// For a path: an empty one names the folder of the configuration by chance.
fn not_empty(name: &str, path: &Path) -> Result<(), String> {
    if path.as_os_str().is_empty() { Err(format!("`{name}` names nothing: write a path")) } else { Ok(()) }
}

/// Maps in which no name stands twice: of two, one would be gone without a word.
fn names_once<'de, D, V>(from: D) -> Result<BTreeMap<String, V>, D::Error>
where
    D: serde::Deserializer<'de>,
    V: Deserialize<'de>,
{
    struct Names<V>(std::marker::PhantomData<V>);
    impl<'de, V: Deserialize<'de>> serde::de::Visitor<'de> for Names<V> {
        type Value = BTreeMap<String, V>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a map of names")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut out = BTreeMap::new();
            while let Some((name, value)) = map.next_entry::<String, V>()? {
                if out.contains_key(&name) {
                    return Err(serde::de::Error::custom(format!("`{name}` stands here twice")));
                }
                out.insert(name, value);
            }
            Ok(out)
        }
    }
    from.deserialize_map(Names(std::marker::PhantomData))
}

/// For a number of which 0 makes no sense.
fn not_zero(name: &str, value: impl Into<u64>) -> Result<(), String> {
    if value.into() == 0 { Err(format!("`{name}` cannot be 0")) } else { Ok(()) }
}
