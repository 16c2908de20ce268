//! Takes connections from a listener and drives a session on each.
//!
//! Where a proxy stands before the listener, its header is read before anything else, TLS included.

use super::context::{Context, Metrics};
use super::driver::{drive, encrypt};
use super::proxy::{self, Header, Progress};
use super::session::Session;
use super::settings::{Endpoint, Role};
use super::tls::Stream;
use arc_swap::ArcSwap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The pause after an accept that failed: mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a proxy may take for its header.
const HEADER: Duration = Duration::from_secs(10);

/// Serves a listener until `shutdown` turns true (or its sender is gone); then takes no new
/// connection, finishes what is in flight and returns. Dropping the future ends every session at
/// once: a caller bounds the drain with a timeout.
pub async fn serve(
    listener: TcpListener,
    endpoint: Endpoint,
    context: Arc<Context>,
    shutdown: watch::Receiver<bool>,
) {
    let closed = shutdown.clone();
    serve_until(listener, Arc::new(ArcSwap::from_pointee(endpoint)), context, closed, shutdown).await;
}

/// The same for a listener that may change and go while others stay: new connections get the endpoint of
/// that moment, and once `closed` is true none is taken; those that are open go on until `shutdown`.
pub async fn serve_until(
    listener: TcpListener,
    endpoint: Arc<ArcSwap<Endpoint>>,
    context: Arc<Context>,
    mut closed: watch::Receiver<bool>,
    shutdown: watch::Receiver<bool>,
) {
    let mut sessions = JoinSet::new();
    let mut stop = shutdown.clone();
    loop {
        tokio::select! {
            taken = listener.accept() => match taken {
                Ok((stream, client)) => {
                    let endpoint = Endpoint::clone(&endpoint.load());
                    if let Some(open) = Open::take(&context) {
                        // In a box: a task's future is copied whole some nine times on its way, and this one is large.
                        let session = Box::pin(connection(stream, client, endpoint, open, shutdown.clone()));
                        sessions.spawn(session);
                    } else {
                        turn_away(&stream, &endpoint, &context);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot take a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = sessions.join_next(), if !sessions.is_empty() => report(ended),
            () = told(&mut stop) => break,
            () = told(&mut closed) => break,
        }
    }
    drop(listener);
    while let Some(ended) = sessions.join_next().await {
        report(ended);
    }
}

/// Waits until the value is true or nobody can set it any more. Keeps no guard, so that `serve` is `Send`.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a session broke off");
    }
}

/// One of the connections that are allowed at once.
struct Open(Arc<Context>);

impl Open {
    fn take(context: &Arc<Context>) -> Option<Self> {
        let open = &context.metrics.open;
        if open.fetch_add(1, Ordering::Relaxed) >= context.settings.load().max_connections as u64 {
            open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Metrics::bump(&context.metrics.sessions);
        Some(Self(Arc::clone(context)))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.metrics.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One of the connections whose proxy has not said yet whom they are of: no client's bound holds for these, so
/// they are at most half of all.
struct Unnamed<'a>(&'a Context);

impl<'a> Unnamed<'a> {
    fn take(context: &'a Context) -> Option<Self> {
        let most = (context.settings.load().max_connections as u64).div_ceil(2);
        if context.unnamed.fetch_add(1, Ordering::Relaxed) >= most {
            context.unnamed.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Self(context))
    }
}

impl Drop for Unnamed<'_> {
    fn drop(&mut self) {
        self.0.unnamed.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Under overload: a quick 421, without a task, without waiting.
fn turn_away(stream: &TcpStream, endpoint: &Endpoint, context: &Context) {
    Metrics::bump(&context.metrics.turned_away);
    if endpoint.role != Role::Submissions {
        let _ = stream.try_write(b"421 4.3.2 too many connections, try again later\r\n");
    }
}

async fn connection(
    mut stream: TcpStream,
    client: SocketAddr,
    endpoint: Endpoint,
    open: Open,
    shutdown: watch::Receiver<bool>,
) {
    let context = &open.0;
    // Replies are written whole; waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    let mut ip = client.ip();
    if endpoint.proxies.sends_header(ip) {
        let Some(waiting) = Unnamed::take(context) else {
            turn_away(&stream, &endpoint, context);
            return;
        };
        let read = header(&mut stream).await;
        drop(waiting);
        match read {
            Ok(Header::Client(address)) => ip = address,
            Ok(Header::Own) => {}
            Err(error) => {
                tracing::warn!(proxy = %ip, %error, "a connection of a proxy was refused");
                Metrics::bump(&context.metrics.refused);
                if endpoint.role != Role::Submissions {
                    let _ = stream.try_write(b"421 4.3.0 the PROXY header cannot be read\r\n");
                }
                return;
            }
        }
    }
    let implicit = endpoint.role == Role::Submissions;
    let own = stream.local_addr().ok().map(|own| own.ip());
    let mut session = Session::new(Arc::clone(context), endpoint, ip).connected_to(own);
    // A handshake takes time, and comes before the greeting, where clients are counted otherwise.
    if implicit && !session.take_place() {
        tracing::info!(client = %ip, "too many connections of one client: closed before the handshake");
        Metrics::bump(&context.metrics.turned_away);
        return;
    }
    let mut stream = Stream::Plain(stream);
    let result = async {
        if implicit {
            encrypt(&mut stream, context).await?;
            session.encrypted();
        }
        drive(stream, session, context, shutdown).await
    };
    if let Err(error) = result.await
        && error.kind() != io::ErrorKind::ConnectionReset
    {
        tracing::debug!(%error, client = %ip, "a connection broke off");
    }
}

/// Reads a PROXY header and no byte beyond it.
async fn header(stream: &mut TcpStream) -> io::Result<Header> {
    let whole = async {
        let mut bytes = Vec::new();
        loop {
            match proxy::read(&bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))? {
                Progress::Done(header) => return Ok(header),
                Progress::More(more) => {
                    let so_far = bytes.len();
                    bytes.resize(so_far + more, 0);
                    stream.read_exact(bytes.get_mut(so_far..).unwrap_or_default()).await?;
                }
            }
        }
    };
    timeout(HEADER, whole).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
