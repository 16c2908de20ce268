//! From the configuration to the settings of the queue: files of passwords and roots are read here.

use super::DaemonError;
use crate::config::{Config, Credential, Local, Outside};
use crate::deliver::client::Timeouts;
use crate::journal::{self, Journal};
use crate::queue::{self, Login};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The settings of the queue.
///
/// # Errors
/// A file that cannot be read.
pub(super) fn settings(config: &Config, hostname: &str) -> Result<queue::Settings, DaemonError> {
    let mut settings = queue::Settings::new(hostname.to_owned(), config.data.join("mail"));
    settings.local = match &config.local {
        Local::Maildir => queue::Local::Maildir,
        Local::LmtpUnix(path) => queue::Local::LmtpUnix(path.clone()),
        Local::Lmtp(to) => queue::Local::LmtpTcp(to.host.clone(), to.port),
    };
    settings.outside = match &config.outside {
        Outside::Maildir => queue::Outside::Maildir,
        Outside::Relay(to) => queue::Outside::Relay(to.host.clone(), to.port),
        Outside::Mx => queue::Outside::Mx,
    };
    settings.logins = logins(config)?;
    let times = &config.queue;
    let hours = |hours: u64| Duration::from_secs(hours.saturating_mul(3600));
    settings.retry_first = Duration::from_secs(times.first_retry_seconds);
    settings.retry_max = Duration::from_secs(times.longest_retry_seconds);
    settings.lifetime = hours(times.lifetime_hours);
    settings.warn_after = if times.warn_hours == 0 { Duration::MAX } else { hours(times.warn_hours) };
    settings.connections = times.connections as usize;
    settings.connections_per_domain = times.connections_per_domain as usize;
    settings.connections_in_all = times.connections_in_all as usize;
    let hops = &config.next_hops;
    settings.timeouts = Timeouts {
        connect: Duration::from_secs(hops.connect_seconds),
        command: Duration::from_secs(hops.command_seconds),
        data: Duration::from_secs(hops.data_seconds),
        end: Duration::from_secs(hops.end_seconds),
    };
    settings.name_servers.clone_from(&hops.name_servers);
    settings.mx_port = hops.mx_port;
    settings.roots = hops.roots.as_deref().map(roots).transpose()?;
    Ok(settings)
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

/// The logins at relays; a password is the first line of its file.
fn logins(config: &Config) -> Result<BTreeMap<String, Login>, DaemonError> {
    let read = |(name, credential): (&String, &Credential)| {
        let path = &credential.password_file;
        let text =
            std::fs::read_to_string(path).map_err(|e| DaemonError::Data(path.clone(), e.to_string()))?;
        let password = text.lines().next().unwrap_or_default().to_owned();
        if password.is_empty() {
            return Err(DaemonError::Data(path.clone(), "the first line holds no password".to_owned()));
        }
        Ok((name.clone(), Login { login: credential.login.clone(), password }))
    };
    config.credentials.iter().map(read).collect()
}

/// Certificates of authorities.
fn roots(path: &Path) -> Result<RootCertStore, DaemonError> {
    let failed = |e: String| DaemonError::Data(path.to_owned(), e);
    let text = std::fs::read(path).map_err(|e| failed(e.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|e| failed(format!("no certificate can be read: {e}")))?;
        roots.add(certificate).map_err(|e| failed(e.to_string()))?;
    }
    if roots.is_empty() { Err(failed("it holds no certificate".to_owned())) } else { Ok(roots) }
}
