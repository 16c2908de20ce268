//! From a next hop to an open connection: hosts in order, addresses in order, greeting, EHLO.

use super::client::{Session, Timeouts, Trouble};
use crate::queue::Hop;
use edict_table::model::{Host, Relay};
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The most addresses of a host that are tried.
const MAX_ADDRESSES: usize = 6;

/// Opens a connection to a next hop.
///
/// # Errors
/// The trouble with the last host tried.
pub async fn connect(hop: &Hop, hostname: &str, timeouts: Timeouts) -> Result<Session, Trouble> {
    match hop {
        Hop::Relay(relay) => relay_session(relay, hostname, timeouts).await,
        Hop::Local | Hop::Mx(_) | Hop::Nowhere(_) => {
            Err(Trouble::Connect(hop.to_string(), "there is no way to it yet".to_owned()))
        }
    }
}

async fn relay_session(relay: &Relay, hostname: &str, timeouts: Timeouts) -> Result<Session, Trouble> {
    let mut trouble = Trouble::Connect(relay.name.clone(), "it has no hosts".to_owned());
    for host in &relay.hosts {
        match host_session(host, hostname, timeouts).await {
            Ok(session) => return Ok(session),
            Err(error) => trouble = error,
        }
    }
    Err(trouble)
}

async fn host_session(host: &Host, hostname: &str, timeouts: Timeouts) -> Result<Session, Trouble> {
    let failed = |why: String| Trouble::Connect(format!("{}:{}", host.name, host.port), why);
    let name = host.name.trim_start_matches('[').trim_end_matches(']');
    let lookup = timeout(timeouts.connect, tokio::net::lookup_host((name, host.port))).await;
    let addresses: Vec<SocketAddr> = match lookup {
        Err(_) => return Err(failed("its name does not resolve in time".to_owned())),
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Ok(Ok(found)) => found.take(MAX_ADDRESSES).collect(),
    };
    let mut trouble = failed("it has no address".to_owned());
    for address in addresses {
        match timeout(timeouts.connect, TcpStream::connect(address)).await {
            Err(_) => trouble = failed(format!("{address} does not answer")),
            Ok(Err(error)) => trouble = failed(format!("{address}: {error}")),
            Ok(Ok(stream)) => {
                // Replies and commands are written whole: waiting for more would only delay them.
                if let Err(error) = stream.set_nodelay(true) {
                    trouble = failed(error.to_string());
                    continue;
                }
                let peer = format!("{}[{}]:{}", host.name, address.ip(), host.port);
                let mut session = Session::new(Box::new(stream), peer, false, timeouts);
                match greet(&mut session, hostname).await {
                    Ok(()) => return Ok(session),
                    Err(error) => trouble = error,
                }
            }
        }
    }
    Err(trouble)
}

async fn greet(session: &mut Session, hostname: &str) -> Result<(), Trouble> {
    session.greeting().await?;
    session.hello(hostname).await
}
