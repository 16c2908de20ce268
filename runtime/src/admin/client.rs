//! The other end of the admin socket: what `edictd status` and its like send and print.

use super::render;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;

/// The largest answer taken, in bytes: a page of the queue, where each message has a thousand recipients.
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
    /// Try all of them now, or those for one destination.
    RetryMany(Option<String>),
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

/// Where answers and complaints go.
struct Output<'a> {
    out: &'a mut dyn Write,
    complaints: Option<&'a mut dyn Write>,
}

impl<'a> Output<'a> {
    fn of(&mut self, good: bool) -> &mut (dyn Write + 'a) {
        match &mut self.complaints {
            Some(complaints) if !good => *complaints,
            _ => self.out,
        }
    }
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
    /// Nobody takes what is printed.
    #[error("the answer cannot be printed: {0}")]
    Print(#[from] std::io::Error),
}

impl Ask {
    /// Method and path. A queue longer than one answer is asked for from behind message `after` on.
    fn request(&self, after: Option<&str>) -> (Method, String) {
        let one = |id: &str, verb: &str| format!("/queue/{}{verb}", escape(id));
        match self {
            Self::Status => (Method::GET, "/status".to_owned()),
            Self::Reload => (Method::POST, "/reload".to_owned()),
            Self::Rollback => (Method::POST, "/rollback".to_owned()),
            Self::Queue => (Method::GET, page("/queue", [None, after.map(|id| ("after", id))])),
            Self::RetryMany(to) => {
                let to = to.as_deref().map(|to| ("to", to));
                (Method::POST, page("/queue/retry", [to, after.map(|id| ("after", id))]))
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

/// A path with what is asked of it.
fn page(path: &str, query: [Option<(&str, &str)>; 2]) -> String {
    let query: Vec<String> =
        query.into_iter().flatten().map(|(name, value)| format!("{name}={}", escape(value))).collect();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
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

/// Asks the daemon behind a socket and prints its answer, a long queue page by page. True: it did what was asked.
///
/// # Errors
/// Where nobody listens, what answers is no admin socket, or nobody takes the answer.
pub fn ask(
    socket: &Path,
    ask: &Ask,
    format: Format,
    out: &mut dyn Write,
    complaints: &mut dyn Write,
) -> Result<bool, ClientError> {
    // A program reads errors where it reads answers; a person who keeps answers in a file still sees why there is none.
    let mut out = Output {
        complaints: match format {
            Format::Human => Some(complaints),
            Format::Json => None,
        },
        out,
    };
    let out = &mut out;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| ClientError::Talk(e.to_string()))?;
    runtime.block_on(async {
        let stream =
            UnixStream::connect(socket).await.map_err(|e| ClientError::Connect(socket.to_owned(), e))?;
        let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(|e| ClientError::Talk(e.to_string()))?;
        let driver = tokio::spawn(connection);
        let answered = match ask {
            Ask::Queue => list(&mut sender, format, out).await,
            Ask::RetryMany(_) => retry_many(&mut sender, ask, format, out).await,
            _ => answer(&mut sender, ask, format, out).await,
        };
        driver.abort();
        answered
    })
}

async fn answer(
    sender: &mut SendRequest<Empty<Bytes>>,
    ask: &Ask,
    format: Format,
    out: &mut Output<'_>,
) -> Result<bool, ClientError> {
    let (good, body) = once(sender, ask.request(None)).await?;
    out.of(good).write_all(told(ask, format, good, &body).as_bytes())?;
    Ok(good)
}

fn told(ask: &Ask, format: Format, good: bool, body: &str) -> String {
    match format {
        Format::Json => format!("{}\n", body.trim_end()),
        Format::Human => render::human(ask, good, body),
    }
}

/// What is answered of what stands behind a message; none where the daemon says no, which is printed.
async fn part<T: serde::de::DeserializeOwned>(
    sender: &mut SendRequest<Empty<Bytes>>,
    (ask, after): (&Ask, Option<&str>),
    format: Format,
    out: &mut Output<'_>,
) -> Result<Option<T>, ClientError> {
    let (good, body) = once(sender, ask.request(after)).await?;
    if !good {
        out.of(false).write_all(told(ask, format, good, &body).as_bytes())?;
        return Ok(None);
    }
    serde_json::from_str(&body).map(Some).map_err(|e| ClientError::Talk(e.to_string()))
}

/// A part of the queue.
#[derive(serde::Deserialize)]
struct Page {
    messages: Vec<serde_json::Value>,
    /// Behind which message more follow, if there are more.
    after: Option<String>,
}

/// A queue may be long: each page is printed before the next is asked for. False where some of it cannot be read.
async fn list(
    sender: &mut SendRequest<Empty<Bytes>>,
    format: Format,
    out: &mut Output<'_>,
) -> Result<bool, ClientError> {
    let mut table = render::Table::of_queue();
    let mut after: Option<String> = None;
    let (mut begun, mut any, mut unreadable) = (false, false, 0);
    loop {
        let part = part(sender, (&Ask::Queue, after.as_deref()), format, out).await?;
        let Some(Page { messages: page, after: next }) = part else { return Ok(false) };
        let more = next.is_some();
        unreadable += page.iter().filter(|row| row.get("error").is_some()).count();
        let text = match format {
            Format::Human => table.page(&page, more),
            Format::Json => {
                let rows: Vec<String> = page.iter().map(ToString::to_string).collect();
                let front = match (std::mem::replace(&mut begun, true), rows.is_empty()) {
                    (false, _) => "[",
                    (true, true) => "",
                    (true, false) if any => ",",
                    (true, false) => "",
                };
                any |= !rows.is_empty();
                format!("{front}{}{}", rows.join(","), if more { "\n" } else { "]\n" })
            }
        };
        out.out.write_all(text.as_bytes())?;
        if next.is_none() {
            out.out.flush()?;
            if unreadable > 0 && format == Format::Human {
                let what = format!("{unreadable} of these cannot be read\n");
                out.of(false).write_all(what.as_bytes())?;
            }
            return Ok(unreadable == 0);
        }
        after = next;
    }
}

/// Where a queue is long, it is gone through page by page.
async fn retry_many(
    sender: &mut SendRequest<Empty<Bytes>>,
    ask: &Ask,
    format: Format,
    out: &mut Output<'_>,
) -> Result<bool, ClientError> {
    let (mut messages, mut after) = (0, None);
    loop {
        let part = part(sender, (ask, after.as_deref()), format, out).await?;
        let Some(page): Option<Retried> = part else { return Ok(false) };
        messages += page.messages;
        after = page.after;
        if after.is_none() {
            let body = serde_json::json!({ "done": true, "messages": messages }).to_string();
            out.out.write_all(told(ask, format, true, &body).as_bytes())?;
            return Ok(true);
        }
    }
}

/// What was tried of a page.
#[derive(serde::Deserialize)]
struct Retried {
    messages: u64,
    after: Option<String>,
}

async fn once(
    sender: &mut SendRequest<Empty<Bytes>>,
    (method, path): (Method, String),
) -> Result<(bool, String), ClientError> {
    let talk = tokio::time::timeout(PATIENCE, exchange(sender, (method, path)));
    let talk = talk.await.unwrap_or_else(|_| Err("it took too long".to_owned()));
    talk.map_err(ClientError::Talk)
}

async fn exchange(
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
    use std::io::{BufRead, BufReader};

    /// What `queue list` prints and whether it went well, where the daemon answers with these pages.
    fn listed(pages: &[&str], format: Format) -> (bool, String, String) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("admin.sock");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let pages: Vec<String> = pages.iter().map(|page| (*page).to_owned()).collect();
        let daemon = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut asked = Vec::new();
            for page in pages {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                asked.push(line.split(' ').nth(1).unwrap().to_owned());
                while line != "\r\n" {
                    line.clear();
                    reader.read_line(&mut line).unwrap();
                }
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", page.len());
                (&stream).write_all(format!("{head}{page}").as_bytes()).unwrap();
            }
            asked
        });
        let (mut out, mut complaints) = (Vec::new(), Vec::new());
        let good = ask(&socket, &Ask::Queue, format, &mut out, &mut complaints).unwrap();
        assert_eq!(daemon.join().unwrap(), ["/queue", "/queue?after=2", "/queue?after=4"]);
        (good, String::from_utf8(out).unwrap(), String::from_utf8(complaints).unwrap())
    }

    /// Pages follow as long as the daemon says so, whatever is in them; what cannot be read is told.
    #[test]
    fn the_list_goes_on_to_its_end() {
        let empty = r#"{"messages":[],"after":"2"}"#;
        let one = r#"{"messages":[{"id":"3","state":"unreadable","error":"it is damaged"}],"after":"4"}"#;
        let last = r#"{"messages":[{"id":"5","state":"held"}],"after":null}"#;
        let none = r#"{"messages":[],"after":null}"#;
        let parsed = |json: &str| serde_json::from_str::<Vec<serde_json::Value>>(json).unwrap().len();
        for (pages, good, rows) in [
            ([empty, one, last], false, 2),
            ([empty, r#"{"messages":[{"id":"3"},{"id":"4"}],"after":"4"}"#, last], true, 3),
            ([r#"{"messages":[{"id":"1"}],"after":"2"}"#, r#"{"messages":[],"after":"4"}"#, none], true, 1),
            ([empty, r#"{"messages":[],"after":"4"}"#, none], true, 0),
        ] {
            let (went_well, json, complaints) = listed(&pages, Format::Json);
            assert_eq!((went_well, parsed(&json), complaints.as_str()), (good, rows, ""), "{json}");
            let (went_well, text, complaints) = listed(&pages, Format::Human);
            assert_eq!((went_well, complaints.is_empty()), (good, good), "{complaints}");
            assert_eq!(text.lines().count(), rows + 1, "{text}");
        }
        let (_, text, complaints) = listed(&[empty, one, last], Format::Human);
        assert!(text.contains("3   unreadable") && text.contains("it is damaged"), "{text}");
        assert_eq!(complaints, "1 of these cannot be read\n");
    }

    #[test]
    fn names_cannot_leave_their_segment() {
        assert_eq!(Ask::Remove("../x?y".to_owned()).request(None).1, "/queue/..%2Fx%3Fy");
        let many = Ask::RetryMany(Some("a&after=b".to_owned()));
        assert_eq!(many.request(Some("6H2")).1, "/queue/retry?to=a%26after%3Db&after=6H2");
        assert_eq!(Ask::RetryMany(None).request(None).1, "/queue/retry");
        assert_eq!(Ask::Usage(Some("a b@ü".to_owned())).request(None).1, "/usage/a%20b@%C3%BC");
    }
}
