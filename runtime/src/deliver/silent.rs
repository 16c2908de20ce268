//! Servers that let whoever asks for TLS wait in vain, where nobody insists on it: asked once in a while, not for each
//! connection, since that takes minutes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long they are not asked for it.
const FOR: Duration = Duration::from_secs(3600);
/// Servers that are remembered.
const MOST: usize = 1000;

/// The servers, and when each is to be asked again.
#[derive(Debug, Default)]
pub struct Silent(Mutex<HashMap<SocketAddr, Instant>>);

impl Silent {
    fn known(&self) -> MutexGuard<'_, HashMap<SocketAddr, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has(&self, server: SocketAddr) -> bool {
        self.known().get(&server).is_some_and(|until| Instant::now() < *until)
    }

    /// Remembers one; where there are too many it is asked each time, as if it was not known.
    pub(super) fn add(&self, server: SocketAddr) {
        self.add_until(server, Instant::now() + FOR);
    }

    fn add_until(&self, server: SocketAddr, until: Instant) {
        let mut known = self.known();
        if known.len() >= MOST {
            let now = Instant::now();
            known.retain(|_, until| now < *until);
        }
        if known.len() < MOST {
            known.insert(server, until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_forgets() {
        let silent = Silent::default();
        let server = |port| SocketAddr::from(([192, 0, 2, 1], port));
        silent.add(server(1));
        silent.add_until(server(2), Instant::now());
        assert!(silent.has(server(1)) && !silent.has(server(2)) && !silent.has(server(3)));
        (3..5000).for_each(|port| silent.add(server(port)));
        assert_eq!(silent.known().len(), MOST);
        assert!(silent.has(server(1)) && silent.has(server(3)));
        assert!(!silent.known().contains_key(&server(2)), "room is made by those whose time is over");
    }
}
