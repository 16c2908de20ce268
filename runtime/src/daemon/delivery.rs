//! From the configuration to the settings of the queue: files of passwords and roots are read here.

use super::DaemonError;
use super::reload::ReloadError;
use super::system::System;
use crate::config::{Config, Credential, Local, NextHopsConfig, Outside, QueueConfig};
use crate::deliver::client::Timeouts;
use crate::files;
use crate::journal::{self, Journal};
use crate::queue::{self, Login};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The largest file of roots that is read, in bytes; the whole web's take a third of a MiB.
const MAX_ROOTS: u64 = 4 << 20;
/// The largest file with a password.
const MAX_PASSWORD: u64 = 64 << 10;

/// All that delivery is built from, files of passwords and roots among it.
#[derive(Clone, PartialEq)]
pub(super) struct Sources {
    hostname: String,
    mail: PathBuf,
    local: Local,
    outside: Outside,
    next_hops: NextHopsConfig,
    queue: QueueConfig,
    logins: BTreeMap<String, Login>,
    roots: Option<Vec<u8>>,
    /// What the configuration leaves to it.
    system: System,
}

impl Sources {
    /// Reads what a configuration names.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn read(config: &Config, hostname: &str) -> Result<Self, ReloadError> {
        let read = |path: &PathBuf| files::bytes(path, MAX_ROOTS).map_err(|e| failed(path, e));
        Ok(Self {
            hostname: hostname.to_owned(),
            mail: config.data.join("mail"),
            local: config.local.clone(),
            outside: config.outside.clone(),
            next_hops: config.next_hops.clone(),
            queue: config.queue.clone(),
            logins: logins(config)?,
            roots: config.next_hops.roots.as_ref().map(read).transpose()?,
            system: System::now(config.next_hops.name_servers.is_empty(), config.next_hops.roots.is_none()),
        })
    }

    /// Whether the same name servers are asked.
    pub(super) fn asks_as(&self, other: &Self) -> bool {
        self.next_hops.name_servers == other.next_hops.name_servers && self.system.has_names_of(&other.system)
    }

    /// The settings of the queue; whom addresses stand for and who signs is for the caller to add.
    ///
    /// # Errors
    /// The file of roots holds none.
    pub(super) fn settings(&self) -> Result<queue::Settings, ReloadError> {
        let mut settings = queue::Settings::new(self.hostname.clone(), self.mail.clone());
        settings.local = match &self.local {
            Local::Maildir => queue::Local::Maildir,
            Local::LmtpUnix(path) => queue::Local::LmtpUnix(path.clone()),
            Local::Lmtp(to) => queue::Local::LmtpTcp(to.host.clone(), to.port),
        };
        settings.outside = match &self.outside {
            Outside::Maildir => queue::Outside::Maildir,
            Outside::Relay(to) => queue::Outside::Relay(to.host.clone(), to.port),
            Outside::Mx => queue::Outside::Mx,
        };
        settings.logins.clone_from(&self.logins);
        let times = &self.queue;
        let hours = |hours: u64| Duration::from_secs(hours.saturating_mul(3600));
        settings.retry_first = Duration::from_secs(times.first_retry_seconds);
        settings.retry_max = Duration::from_secs(times.longest_retry_seconds);
        settings.lifetime = hours(times.lifetime_hours);
        settings.warn_after = if times.warn_hours == 0 { Duration::MAX } else { hours(times.warn_hours) };
        settings.connections = times.connections as usize;
        settings.connections_per_domain = times.connections_per_domain as usize;
        settings.connections_in_all = times.connections_in_all as usize;
        let hops = &self.next_hops;
        settings.timeouts = Timeouts {
            connect: Duration::from_secs(hops.connect_seconds),
            command: Duration::from_secs(hops.command_seconds),
            data: Duration::from_secs(hops.data_seconds),
            end: Duration::from_secs(hops.end_seconds),
        };
        settings.name_servers.clone_from(&hops.name_servers);
        settings.mx_port = hops.mx_port;
        if let (Some(path), Some(pem)) = (&hops.roots, &self.roots) {
            settings.roots = Some(roots(path, pem)?);
        }
        Ok(settings)
    }
}

/// Opens the journal, where one is kept.
///
/// # Errors
/// Its folder cannot be used.
pub(super) fn journal(config: &Config) -> Result<Option<Arc<Journal>>, DaemonError> {
    let Some(journal) = &config.journal else { return Ok(None) };
    let settings = journal::Settings {
        folder: journal.folder.clone(),
        bodies: journal.bodies,
        file_bytes: u64::from(journal.file_mib) << 20,
        files: journal.files as usize,
    };
    let opened = Journal::open(&settings);
    let opened = opened.map_err(|e| DaemonError::Data(journal.folder.clone(), e.to_string()))?;
    Ok(Some(Arc::new(opened)))
}

fn failed(path: &Path, error: impl Display) -> ReloadError {
    ReloadError::Data(path.to_owned(), error.to_string())
}

/// The logins at relays; a password is the first line of its file.
fn logins(config: &Config) -> Result<BTreeMap<String, Login>, ReloadError> {
    let read = |(name, credential): (&String, &Credential)| {
        let path = &credential.password_file;
        let bytes = files::bytes(path, MAX_PASSWORD).map_err(|e| failed(path, e))?;
        let text = String::from_utf8(bytes).map_err(|e| failed(path, e))?;
        let password = text.lines().next().unwrap_or_default().to_owned();
        if password.is_empty() {
            return Err(failed(path, "the first line holds no password"));
        }
        Ok((name.clone(), Login { login: credential.login.clone(), password }))
    };
    config.credentials.iter().map(read).collect()
}

/// Certificates of authorities.
fn roots(path: &Path, pem: &[u8]) -> Result<RootCertStore, ReloadError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate =
            certificate.map_err(|e| failed(path, format!("no certificate can be read: {e}")))?;
        roots.add(certificate).map_err(|e| failed(path, e))?;
    }
    if roots.is_empty() { Err(failed(path, "it holds no certificate")) } else { Ok(roots) }
}
