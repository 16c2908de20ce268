//! Arguments and configuration file, settled into one configuration.

use crate::config::{self, Config, ConfigError, HostPort, Listener, Outside};
use edict_table::value::Domain;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What the command line says. Arguments win over the configuration file.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The table in the program.
    pub embedded: &'static [u8],
    /// `--table`
    pub table: Option<PathBuf>,
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--listen`, each in role `mx`
    pub listen: Vec<SocketAddr>,
    /// `--data`
    pub data: Option<PathBuf>,
    /// `--relay`
    pub relay: Option<HostPort>,
}

/// Reads the configuration file, if any, and lets the arguments win.
///
/// # Errors
/// What is wrong with the file.
pub fn settle(launch: &Launch) -> Result<Config, ConfigError> {
    let mut config = match &launch.config {
        Some(path) => config::read(path)?,
        None => Config::default(),
    };
    if let Some(table) = &launch.table {
        config.table = Some(table.clone());
    }
    if !launch.listen.is_empty() {
        config.listeners = launch.listen.iter().copied().map(Listener::at).collect();
    }
    if let Some(data) = &launch.data {
        config.data.clone_from(data);
    }
    if let Some(relay) = &launch.relay {
        config.outside = Outside::Relay(relay.clone());
    }
    Ok(config)
}

/// The name of this machine in normal form; `localhost` where it has none that SMTP can say.
#[must_use]
pub fn machine_name() -> String {
    let name = rustix::system::uname();
    let name = Domain::parse(&name.nodename().to_string_lossy());
    name.map_or_else(|_| "localhost".to_owned(), |domain| domain.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch() -> Launch {
        Launch { embedded: b"", table: None, config: None, listen: Vec::new(), data: None, relay: None }
    }

    #[test]
    fn nothing_given_is_the_stated_default() {
        let config = settle(&launch()).unwrap();
        assert_eq!(config.listeners, [Listener::default()]);
        assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:2525");
        assert_eq!((config.data, config.outside), (PathBuf::from("edict-data"), Outside::Maildir));
    }

    #[test]
    fn arguments_win() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edictd.ron");
        std::fs::write(&path, "(data: \"from-file\", hostname: \"mx.example.com\")").unwrap();
        let given = Launch {
            config: Some(path),
            data: Some(PathBuf::from("from-arguments")),
            relay: Some("127.0.0.1:25".parse().unwrap()),
            listen: vec!["127.0.0.1:99".parse().unwrap()],
            ..launch()
        };
        let config = settle(&given).unwrap();
        assert_eq!(config.data, PathBuf::from("from-arguments"));
        assert_eq!(config.hostname.as_deref(), Some("mx.example.com"));
        assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:99");
        assert!(matches!(config.outside, Outside::Relay(_)));
    }
}
