//! The other end of the admin socket: what `edictd status` and its like send and print.

use super::render;
use super::server::PAGE;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;

/// The largest answer taken, in bytes: a listing of a very long queue.
const MAX_ANSWER: usize = 1 << 30;
/// How long an answer may take; a reload of a large table is the longest.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is asked of the daemon.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// Table and counters.
    Status,
    /// Load the table again.
    Reload,
    /// Take the table before the last reload.
    Rollback,
    /// The queue.
    Queue,
    /// One message of it.
    Message(String),
    /// Keep it.
    Hold(String),
    /// Let it go.
    Release(String),
    /// Try now.
    Retry(String),
    /// Throw it away.
    Remove(String),
    /// Usage of one user or of all.
    Usage(Option<String>),
    /// Start a user's day anew.
    ResetUsage(String),
}

/// How an answer is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// For people.
    Human,
    /// For machines.
    Json,
}

/// What came back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// To be printed; ends with a line end.
    pub text: String,
    /// The daemon did what was asked.
    pub good: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no daemon answers at {path}: {error}", path = .0.display(), error = .1)]
    Connect(PathBuf, std::io::Error),
    /// The conversation broke off.
    #[error("the daemon did not answer well: {0}")]
    Talk(String),
}

impl Ask {
    /// Method and path. A queue longer than one answer is asked for from behind message `after` on.
    fn request(&self, after: Option<&str>) -> (Method, String) {
        let one = |id: &str, verb: &str| format!("/queue/{}{verb}", escape(id));
        match self {
            Self::Status => (Method::GET, "/status".to_owned()),
            Self::Reload => (Method::POST, "/reload".to_owned()),
            Self::Rollback => (Method::POST, "/rollback".to_owned()),
            Self::Queue => {
                let page = after.map(|id| format!("?after={}", escape(id)));
                (Method::GET, format!("/queue{}", page.unwrap_or_default()))
            }
            Self::Message(id) => (Method::GET, one(id, "")),
            Self::Hold(id) => (Method::POST, one(id, "/hold")),
            Self::Release(id) => (Method::POST, one(id, "/release")),
            Self::Retry(id) => (Method::POST, one(id, "/retry")),
            Self::Remove(id) => (Method::DELETE, one(id, "")),
            Self::Usage(None) => (Method::GET, "/usage".to_owned()),
            Self::Usage(Some(user)) => (Method::GET, format!("/usage/{}", escape(user))),
            Self::ResetUsage(user) => (Method::POST, format!("/usage/{}/reset", escape(user))),
        }
    }
}

/// Percent-encodes a path segment (RFC 3986 2.1).
pub(super) fn escape(segment: &str) -> String {
    let mut out = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@+".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Asks the daemon behind a socket and waits for its answer.
///
/// # Errors
/// Where nobody listens, or what answers is no admin socket.
pub fn ask(socket: &Path, ask: &Ask, format: Format) -> Result<Answer, ClientError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| ClientError::Talk(e.to_string()))?;
    let talk = async {
        let stream =
            UnixStream::connect(socket).await.map_err(|e| ClientError::Connect(socket.to_owned(), e))?;
        exchange(stream, ask).await.map_err(ClientError::Talk)
    };
    let (good, body) = runtime.block_on(async {
        let limit = tokio::time::timeout(PATIENCE, talk);
        limit.await.map_err(|_| ClientError::Talk("it took too long".to_owned()))?
    })?;
    let text = match format {
        Format::Json => format!("{}\n", body.trim_end()),
        Format::Human => render::human(ask, good, &body),
    };
    Ok(Answer { text, good })
}

async fn exchange(stream: UnixStream, ask: &Ask) -> Result<(bool, String), String> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    let driver = tokio::spawn(connection);
    let mut all: Vec<serde_json::Value> = Vec::new();
    let answer = loop {
        let last = all.last().and_then(|row| row.get("id")).and_then(serde_json::Value::as_str);
        let (good, body) = once(&mut sender, ask.request(last)).await?;
        if *ask != Ask::Queue || !good {
            break (good, body);
        }
        let page: Vec<serde_json::Value> = serde_json::from_str(&body).map_err(|e| e.to_string())?;
        let more = page.len() == PAGE;
        all.extend(page);
        if !more {
            break (true, serde_json::Value::Array(all).to_string());
        }
    };
    driver.abort();
    Ok(answer)
}

async fn once(
    sender: &mut SendRequest<Empty<Bytes>>,
    (method, path): (Method, String),
) -> Result<(bool, String), String> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "edictd")
        .body(Empty::<Bytes>::new())
        .map_err(|e| e.to_string())?;
    let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
    let good = response.status().is_success();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|e| e.to_string())?;
    Ok((good, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_segment() {
        assert_eq!(Ask::Remove("../x?y".to_owned()).request(None).1, "/queue/..%2Fx%3Fy");
        assert_eq!(Ask::Usage(Some("a b@ü".to_owned())).request(None).1, "/usage/a%20b@%C3%BC");
    }
}
