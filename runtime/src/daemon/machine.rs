//! What the daemon asks of the system for itself: descriptors for its connections, a back seat for reloads.
//!
//! Neither is needed to serve: where the system refuses, the log says so.

use crate::config::Config;
use rustix::process::{Resource, getrlimit, setpriority_process, setrlimit};
use rustix::thread::gettid;

/// Descriptors for everything but clients and next hops: files that are read at a time, the spool's log, probes,
/// name servers, lists, the admin socket.
const OTHERS: u64 = 1024;
/// How much a reload gives way to the threads that serve.
const BACK_SEAT: i32 = 10;

/// How many may be in use beside clients.
fn others(config: &Config) -> u64 {
    let passed = config.pass_through.map_or(0, |bounds| bounds.connections);
    // One to a server that puts a message off stays open while another server is asked for it. Those to the local server,
    // which is the only one, come on top.
    let delivering = 2 * u64::from(config.queue.connections_in_all) + u64::from(config.queue.connections);
    OTHERS + delivering + u64::from(passed)
}

/// Raises the number of descriptors to what all connections need, as far as the system allows.
pub fn raise_descriptors(config: &Config) {
    let wanted = u64::from(config.clients.connections) + others(config);
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    limit.current = Some(limit.maximum.map_or(wanted, |most| most.min(wanted)));
    let set = setrlimit(Resource::Nofile, limit);
    if set.is_err() || limit.current.is_some_and(|current| current < wanted) {
        let have = getrlimit(Resource::Nofile).current.unwrap_or(wanted);
        tracing::warn!(have, wanted, "too few file descriptors for all connections: raise LimitNOFILE");
    }
}

/// How many clients there are descriptors for: past them a quick 421 is better than a connection that nobody
/// takes.
#[must_use]
pub fn room(config: &Config) -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit.saturating_sub(others(config)).max(limit / 2)).unwrap_or(usize::MAX)
}

/// Lets this thread run when others do not need the processor. It cannot be taken back.
pub fn step_back() {
    if let Err(error) = setpriority_process(Some(gettid()), BACK_SEAT) {
        tracing::debug!(%error, "a reload runs like any other work");
    }
}

/// Takes memory in small pages. A huge page holds two megabytes for the few that a thread needs. The allocator is
/// built to leave them alone as well: it has memory before this is said. Where the system knows no such thing there is nothing to turn off.
pub(super) fn small_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "memory is taken as the system likes");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that is asked next has a connection beside the one that put the message off.
    #[test]
    fn each_connection_has_a_descriptor() {
        let mut config = Config::default();
        let before = others(&config);
        config.queue.connections_in_all += 100;
        config.pass_through = Some(crate::config::PassThrough { connections: 10 });
        assert_eq!(others(&config), before + 210);
    }
}
