//! Signals: HUP reloads, TERM and INT end, USR1 is taken and does nothing while logs go to stderr.

use super::Control;
use std::io;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that the daemon listens to, from the moment this exists.
pub struct Signals {
    hup: Signal,
    term: Signal,
    int: Signal,
    usr1: Signal,
}

impl Signals {
    /// Starts to listen.
    ///
    /// # Errors
    /// What the system said.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            hup: signal(SignalKind::hangup())?,
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            usr1: signal(SignalKind::user_defined1())?,
        })
    }

    /// Handles signals until one says to stop.
    pub async fn until_stop(mut self, control: &Arc<Control>) {
        loop {
            tokio::select! {
                _ = self.term.recv() => return,
                _ = self.int.recv() => return,
                _ = self.usr1.recv() => tracing::info!("logs go to standard error, nothing to reopen"),
                _ = self.hup.recv() => {
                    let control = Arc::clone(control);
                    // Loading blocks, and says in the log how it went.
                    let load = tokio::task::spawn_blocking(move || control.reloader.reload().is_ok());
                    if let Err(error) = load.await {
                        tracing::error!(%error, "the reload broke off, the last good table stays");
                    }
                }
            }
        }
    }
}

/// Logs to standard error; `RUST_LOG` chooses more or less than `info`.
pub fn log_to_stderr() {
    use std::io::IsTerminal;
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // A second daemon in one process (tests) keeps the first one's.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .with_target(false)
        .try_init();
}
