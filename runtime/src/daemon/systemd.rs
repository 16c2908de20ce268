//! What systemd is told (sd_notify(3)): ready, reloading, stopping. Nothing where it does not listen.
//!
//! `Type=notify-reload` waits after SIGHUP for `RELOADING=1` with a time no older than its signal, then for
//! `READY=1`. A message that cannot be sent is logged, and changes nothing.

use sd_notify::NotifyState;

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd cannot be told");
    }
}

/// The daemon serves, after its start or a reload.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload begins.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "systemd cannot be told"),
    }
}

/// The daemon takes nothing new and finishes what is in flight.
pub fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}
