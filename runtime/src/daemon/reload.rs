//! Loading the configuration and all that it names, at the start and on SIGHUP: everything or nothing.
//!
//! What is in force stays in force until everything new has been read and checked, and every new listener
//! is open. Keys that only a restart can change make a reload that changes them fail (`config::restart`).
//! Loading happens on whatever thread calls, which must not be one that serves connections. Limit: `rollback`
//! goes back to the table before, and to nothing else.

use super::behind::Behind;
use super::listen::{ListenError, Listeners};
use super::settle::{Launch, machine_name, settle};
use super::{machine, systemd};
use crate::config::{AuthConfig, Config, ConfigError, Signers, TlsConfig};
use crate::dkim::{self, Key, KeysError};
use crate::dovecot::Dovecot;
use crate::files;
use crate::live::image;
use crate::smtp::tls::{self, TlsError};
use crate::smtp::{Context, Settings};
use crate::users::{Users, UsersError};
use crate::verdict::dns::DnsError;
use arc_swap::ArcSwap;
use edict_table::load::{LoadError, Loaded};
use edict_table::signed::PublicKey;
use rustls::ServerConfig;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// The largest file of users that is read, in bytes.
const MAX_USERS_FILE: u64 = 1 << 30;
/// The largest file of certificates or keys that is read, in bytes.
const MAX_PEM_FILE: u64 = 1 << 20;

/// Where table and users come from.
#[derive(Clone, Debug)]
pub struct Source {
    /// The table file; the embedded table where absent.
    pub table: Option<PathBuf>,
    /// Who must have signed it. The table in the program is signed by nobody, and refused where anybody must.
    pub signers: Signers,
    /// The table in the program.
    pub embedded: &'static [u8],
    /// The file of users.
    pub users: Option<PathBuf>,
}

/// Why nothing was taken over.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It changes what only a restart can change. The keys.
    #[error("only a restart can change `{0}`: restart the daemon, or put the old value back")]
    Restart(String),
    /// A new listener cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A certificate or its key is refused.
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    Certificate(PathBuf, TlsError),
    /// The certificates are refused together.
    #[error("tls: {0}")]
    Tls(TlsError),
    /// A file cannot be read.
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    Read(PathBuf, io::Error),
    /// The table is refused.
    #[error("{0}: {1}")]
    Table(String, LoadError),
    /// The table is not signed, and must be.
    #[error(
        "{0}: the table is not signed, and `signers` of the configuration asks for a signature: `edict build --sign KEY`"
    )]
    Unsigned(String),
    /// The table is signed by somebody who is not asked for.
    #[error("{0}: the table is signed by {1}, who is not among the `signers` of the configuration")]
    Signer(String, PublicKey),
    /// The users are refused.
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    Users(PathBuf, UsersError),
    /// The keys for DKIM are refused.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A file that delivery needs is of no use.
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    Data(PathBuf, String),
    /// Other name servers cannot be asked.
    #[error("next_hops.name_servers: {0}")]
    Dns(#[from] DnsError),
    /// The counters cannot be shared so.
    #[error("shared_quota: {0}")]
    Shared(String),
    /// The system gave no thread, or took it away.
    #[error("the reload broke off: {0}")]
    Thread(io::Error),
    /// There is nothing to go back to.
    #[error("no table was in force before this one")]
    NothingBefore,
}

impl Source {
    /// What a configuration names.
    #[must_use]
    pub fn of(config: &Config, embedded: &'static [u8]) -> Self {
        Self {
            table: config.table.clone(),
            signers: config.signers.clone(),
            embedded,
            users: config.users.clone(),
        }
    }

    /// What logs and `edictd status` call the source of the table.
    #[must_use]
    pub fn name(&self) -> String {
        self.table.as_ref().map_or_else(|| "embedded".to_owned(), |path| path.display().to_string())
    }

    /// When the table file was last written.
    #[must_use]
    pub fn written(&self) -> Option<SystemTime> {
        std::fs::metadata(self.table.as_ref()?).ok()?.modified().ok()
    }

    /// Reads and checks the table, and who signed it.
    ///
    /// # Errors
    /// Whatever is wrong with the file, its bytes or its signature.
    pub fn load_table(&self) -> Result<Loaded, ReloadError> {
        let image = match &self.table {
            Some(path) => image::read(path).map_err(|e| ReloadError::Read(path.clone(), e))?,
            None => Arc::new(self.embedded),
        };
        let table = Loaded::new(image).map_err(|e| ReloadError::Table(self.name(), e))?;
        check_signer(&self.signers, &table, &self.name())?;
        Ok(table)
    }

    /// Reads and checks the users; none where no file is configured.
    ///
    /// # Errors
    /// Whatever is wrong with the file or one of its lines.
    pub fn load_users(&self) -> Result<Users, ReloadError> {
        let Some(path) = &self.users else {
            return Ok(Users::default());
        };
        let text = files::text(path, MAX_USERS_FILE).map_err(|e| ReloadError::Read(path.clone(), e))?;
        Users::parse(&text).map_err(|e| ReloadError::Users(path.clone(), e))
    }
}

/// Whether a table may be in force by who signed it.
fn check_signer(signers: &Signers, table: &Loaded, name: &str) -> Result<(), ReloadError> {
    match table.signer() {
        signer if signers.take(signer) => Ok(()),
        Some(signer) => Err(ReloadError::Signer(name.to_owned(), signer)),
        None => Err(ReloadError::Unsigned(name.to_owned())),
    }
}

/// What a reload changes, read and checked.
#[derive(Debug)]
pub struct Parts {
    table: Loaded,
    users: Users,
    tls: Option<Arc<ServerConfig>>,
    keys: Vec<Key>,
}

impl Parts {
    /// Reads everything that a configuration names.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn load(config: &Config, embedded: &'static [u8]) -> Result<Self, ReloadError> {
        let source = Source::of(config, embedded);
        let table = source.load_table()?;
        let users = source.load_users()?;
        let tls = config.tls.as_ref().map(load_tls).transpose()?;
        let keys = dkim::load(&config.dkim)?;
        Ok(Self { table, users, tls, keys })
    }

    /// For the start: the table, the users, TLS, and keys for DKIM.
    #[must_use]
    pub fn into_inner(self) -> (Loaded, Users, Option<Arc<ServerConfig>>, Vec<Key>) {
        (self.table, self.users, self.tls, self.keys)
    }
}

/// Reads certificates and keys.
fn load_tls(config: &TlsConfig) -> Result<Arc<ServerConfig>, ReloadError> {
    let read =
        |path: &PathBuf| files::text(path, MAX_PEM_FILE).map_err(|e| ReloadError::Read(path.clone(), e));
    let pairs = config.certificates.iter().map(|files| {
        let (certificate, key) = (read(&files.certificate)?, read(&files.key)?);
        tls::certified(certificate.as_bytes(), key.as_bytes())
            .map_err(|e| ReloadError::Certificate(files.certificate.clone(), e))
    });
    let pairs = pairs.collect::<Result<Vec<_>, _>>()?;
    tls::server_config_of(pairs, config.minimum.0).map_err(ReloadError::Tls)
}

/// Puts what does not need reading in force: who checks passwords, and the bounds on clients.
pub fn apply(config: &Config, hostname: &str, context: &Context) {
    machine::raise_descriptors(config);
    context.settings.store(Arc::new(smtp_settings(config, hostname)));
    let dovecot = match &config.auth {
        AuthConfig::Users => None,
        AuthConfig::Dovecot(socket) => Some(Arc::new(Dovecot::new(socket.clone()))),
    };
    context.dovecot.store(dovecot);
}

/// The name of this host, where the profile names none.
#[must_use]
pub fn hostname(config: &Config) -> String {
    config.hostname.clone().unwrap_or_else(machine_name)
}

/// The bounds of sessions.
#[must_use]
pub fn smtp_settings(config: &Config, hostname: &str) -> Settings {
    let clients = &config.clients;
    Settings {
        hostname: hostname.to_owned(),
        max_connections: (clients.connections as usize).min(machine::room(config)),
        max_per_client: clients.connections_per_client,
        command_timeout: Duration::from_secs(clients.command_seconds),
        data_timeout: Duration::from_secs(clients.data_seconds),
        write_timeout: Duration::from_secs(clients.reply_seconds),
        max_memory: clients.memory_mib.saturating_mul(1 << 20),
        results: config.authentication.results.into(),
        authserv_id: config.authentication.id.clone(),
        ..Settings::default()
    }
}

/// Keeps everything up to date with its files.
#[derive(Debug)]
pub struct Reloader {
    launch: Launch,
    context: Arc<Context>,
    listeners: Arc<Listeners>,
    behind: Behind,
    reloads: AtomicU64,
    drain_seconds: AtomicU64,
    /// The configuration in force. Held for as long as a reload takes.
    config: Mutex<Config>,
    /// The same configuration's sources, for those who only look.
    source: ArcSwap<Source>,
}

impl Reloader {
    /// Watches over what has been loaded by `config`.
    #[must_use]
    pub fn new(
        launch: Launch,
        config: Config,
        context: Arc<Context>,
        listeners: Arc<Listeners>,
        behind: Behind,
    ) -> Self {
        let source = ArcSwap::from_pointee(Source::of(&config, launch.embedded));
        let drain_seconds = AtomicU64::new(config.drain_seconds);
        let (reloads, config) = (AtomicU64::new(0), Mutex::new(config));
        Self { launch, context, listeners, behind, reloads, drain_seconds, config, source }
    }

    /// Where table and users come from.
    #[must_use]
    pub fn source(&self) -> Arc<Source> {
        self.source.load_full()
    }

    /// How many reloads went well since the start.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.reloads.load(Ordering::Relaxed)
    }

    /// How long a stop waits for what is in flight. Waits for no reload.
    #[must_use]
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds.load(Ordering::Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, Config> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads everything again and puts it in force. The digest of the new table. Blocks; within a runtime.
    ///
    /// # Errors
    /// Why not; then everything stays as it was.
    pub fn reload(&self) -> Result<String, ReloadError> {
        let mut config = self.lock();
        systemd::reloading();
        let result = self.take_over(&mut config);
        let kept = self.context.live.current();
        match &result {
            Ok(digest) => systemd::ready(&format!("table {}", short(digest))),
            Err(error) => {
                tracing::error!(%error, kept = short(kept.digest()), "reload refused, all stays as it was");
                systemd::ready(&format!(
                    "table {}, the last reload was refused: {error}",
                    short(kept.digest())
                ));
            }
        }
        result
    }

    fn take_over(&self, config: &mut Config) -> Result<String, ReloadError> {
        let new = settle(&self.launch)?;
        let fixed = config.need_restart(&new);
        if !fixed.is_empty() {
            return Err(ReloadError::Restart(fixed.join("`, `")));
        }
        let parts = Parts::load(&new, self.launch.embedded)?;
        let hostname = hostname(&new);
        let behind = self.behind.prepare(config, &new, &hostname)?;
        let sockets = self.listeners.prepare(&new.listeners)?;
        // From here on nothing can fail.
        let digest = parts.table.digest().to_owned();
        let rules = parts.table.rule_count();
        let source = Source::of(&new, self.launch.embedded);
        let before = self.context.users.load_full();
        self.context.users.store(Arc::new(parts.users.seeded_as(&before)));
        self.context.tls.store(parts.tls);
        self.behind.signer.store(parts.keys);
        self.behind.commit(behind, &new, &hostname, &parts.table);
        apply(&new, &hostname, &self.context);
        self.context.live.publish(Arc::new(parts.table));
        self.behind.queue.rerouted();
        self.listeners.commit(sockets, &new.listeners);
        tracing::info!(table = short(&digest), rules, source = source.name(), "reloaded");
        self.source.store(Arc::new(source));
        self.drain_seconds.store(new.drain_seconds, Ordering::Relaxed);
        *config = new;
        self.reloads.fetch_add(1, Ordering::Relaxed);
        Ok(digest)
    }

    /// Puts the table before the last reload in force again. Its digest.
    ///
    /// # Errors
    /// [`ReloadError::NothingBefore`], or the configuration asks for another signer by now.
    pub fn rollback(&self) -> Result<String, ReloadError> {
        let config = self.lock();
        let before = self.context.live.before().ok_or(ReloadError::NothingBefore)?;
        check_signer(&config.signers, &before, "the table before")?;
        let table = self.context.live.rollback().ok_or(ReloadError::NothingBefore)?;
        self.behind.queue.rerouted();
        tracing::warn!(table = short(table.digest()), "rolled back");
        Ok(table.digest().to_owned())
    }
}

/// The first twelve digits, as logs show a digest.
#[must_use]
pub fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
