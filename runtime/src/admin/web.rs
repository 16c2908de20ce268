//! The admin pages on a TCP port of this machine, behind a password: the pages and nothing else of the socket.
//!
//! Other users of the machine can open the port, so connections, their time and what they may send are bounded.

use super::guard::{Door, Secret, guard};
use super::pages;
use crate::daemon::Control;
use axum::middleware;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Connections at a time.
const MAX_CONNECTIONS: usize = 64;
/// For the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// For a connection; browsers open another one.
const LIFETIME: Duration = Duration::from_secs(120);
/// The shortest password taken from a file, in bytes.
const SHORTEST: usize = 16;

/// The password: the first line of a file, which is made for its owner alone where it is missing.
///
/// # Errors
/// The file cannot be read or made, or its first line is too short to keep anybody out.
pub fn password(path: &Path) -> io::Result<String> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut text = String::new();
            for byte in pages::fresh() {
                // Writing to a string cannot fail.
                let _ = write!(text, "{byte:02x}");
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(format!("{text}\n").as_bytes())?;
            tracing::info!(path = %path.display(), "made a password for the admin pages");
            text
        }
        other => other?,
    };
    let line = text.lines().next().unwrap_or_default().trim().to_owned();
    if line.len() < SHORTEST {
        let why = format!("the password on its first line is shorter than {SHORTEST} characters");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    Ok(line)
}

/// Serves the pages.
///
/// # Errors
/// The address cannot be listened on.
pub async fn start(address: SocketAddr, password: &str, control: Arc<Control>) -> io::Result<JoinHandle<()>> {
    let listener = TcpListener::bind(address).await?;
    let door = Arc::new(Door::Tcp(address, Secret::new(password)));
    let service = pages::routes(control).layer(middleware::from_fn_with_state(door, guard));
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    Ok(tokio::spawn(async move {
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the admin pages cannot take a connection");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
            };
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let serve = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIME)
                    .serve_connection(TokioIo::new(stream), service);
                // What a client breaks off is its own affair.
                let _ = tokio::time::timeout(LIFETIME, serve).await;
                drop(permit);
            });
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_password_is_made_once_and_a_short_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let made = password(&path).unwrap();
        assert_eq!((made.len(), password(&path).unwrap()), (64, made.clone()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "short\n").unwrap();
        assert!(password(&path).is_err());
    }
}
