//! The listeners that are open, and how a reload changes them.
//!
//! A reload first opens whatever is new, which may fail, then commits, which cannot. A listener that is taken
//! away takes no connection any more; those that it has go on. Limit: an address that overlaps with one
//! still open (`0.0.0.0:25` for `127.0.0.1:25`) cannot be opened in the same reload that closes the other.

use super::passed::Passed;
use crate::config::{Listener, Place};
use crate::smtp::{Context, Endpoint, serve_until};
use arc_swap::ArcSwap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Connections that may wait to be taken; the system's own bound is mostly as high. Past it TCP drops the client's
/// last step and says so again after 1, 2, 4, 8 and 16 seconds: a greeting that comes after half a minute.
const BACKLOG: u32 = 4096;

/// Why a place cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {0}: {1}")]
pub struct ListenError(Place, io::Error);

/// All listeners of the daemon.
#[derive(Debug)]
pub struct Listeners {
    context: Arc<Context>,
    passed: Passed,
    shutdown: watch::Receiver<bool>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    running: Vec<Running>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Running {
    place: Place,
    endpoint: Arc<ArcSwap<Endpoint>>,
    /// One for each socket of the place.
    closed: watch::Sender<bool>,
}

/// Sockets that are open and not served yet.
#[derive(Debug)]
pub struct Prepared(Vec<(Place, Vec<TcpListener>)>);

impl Listeners {
    /// None yet. Sessions end when `shutdown` turns true.
    #[must_use]
    pub fn new(context: Arc<Context>, passed: Passed, shutdown: watch::Receiver<bool>) -> Self {
        Self { context, passed, shutdown, open: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens what is wanted and not open. Within a runtime only.
    ///
    /// # Errors
    /// The first place that cannot be had; then nothing has changed.
    pub fn prepare(&self, wanted: &[Listener]) -> Result<Prepared, ListenError> {
        let open = self.lock();
        let missing = wanted.iter().filter(|l| !open.running.iter().any(|r| r.place == l.address));
        missing
            .map(|listener| {
                let failed = |error| ListenError(listener.address.clone(), error);
                Ok((listener.address.clone(), self.sockets(&listener.address).map_err(failed)?))
            })
            .collect::<Result<_, _>>()
            .map(Prepared)
    }

    fn sockets(&self, place: &Place) -> io::Result<Vec<TcpListener>> {
        let passed = self.passed.of(place)?;
        match place {
            Place::Address(address) if passed.is_empty() => Ok(vec![bind(*address)?]),
            _ => passed.into_iter().map(TcpListener::from_std).collect(),
        }
    }

    /// Serves what was prepared, and brings the others in line with what is wanted.
    pub fn commit(&self, prepared: Prepared, wanted: &[Listener]) {
        let mut open = self.lock();
        open.running.retain(|running| {
            let stays = wanted.iter().any(|listener| listener.address == running.place);
            if !stays {
                tracing::info!(address = %running.place, "no longer listening");
                running.closed.send_replace(true);
            }
            stays
        });
        for listener in wanted {
            let endpoint = Endpoint { role: listener.role.into(), proxies: Arc::new(listener.proxies()) };
            if let Some(running) = open.running.iter().find(|r| r.place == listener.address) {
                running.endpoint.store(Arc::new(endpoint));
            }
        }
        for (place, sockets) in prepared.0 {
            let Some(listener) = wanted.iter().find(|listener| listener.address == place) else { continue };
            let endpoint = Endpoint { role: listener.role.into(), proxies: Arc::new(listener.proxies()) };
            let role = endpoint.role.name();
            let endpoint = Arc::new(ArcSwap::from_pointee(endpoint));
            let (closed, closing) = watch::channel(false);
            for socket in sockets {
                if let Ok(address) = socket.local_addr() {
                    tracing::info!(%address, role, "listening");
                }
                let (endpoint, context) = (Arc::clone(&endpoint), Arc::clone(&self.context));
                let serving = serve_until(socket, endpoint, context, closing.clone(), self.shutdown.clone());
                open.tasks.spawn(serving);
            }
            open.running.push(Running { place, endpoint, closed });
        }
        let places: Vec<Place> = open.running.iter().map(|running| running.place.clone()).collect();
        for (name, address) in self.passed.unused(&places) {
            tracing::warn!(name, %address, "systemd passed a socket that no listener uses");
        }
        while open.tasks.try_join_next().is_some() {}
    }

    /// Waits for the sessions of all listeners to end.
    pub async fn ended(&self) {
        let mut tasks = std::mem::take(&mut self.lock().tasks);
        while tasks.join_next().await.is_some() {}
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
