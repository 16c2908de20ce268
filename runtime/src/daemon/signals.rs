//! Signals: HUP reloads, TERM and INT end, USR1 opens the log's file anew.

use super::Control;
use super::log::Log;
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
    pub async fn until_stop(mut self, control: &Arc<Control>, log: &Log) {
        loop {
            tokio::select! {
                _ = self.term.recv() => return,
                _ = self.int.recv() => return,
                _ = self.usr1.recv() => log.reopen(),
                _ = self.hup.recv() => tokio::select! {
                    // It says in the log how it went.
                    _ = control.reload() => {}
                    // One that a slow disk holds up must not keep the daemon from ending.
                    _ = self.term.recv() => return,
                    _ = self.int.recv() => return,
                },
            }
        }
    }
}
