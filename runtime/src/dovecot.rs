//! Asks Dovecot whether a password is right, over its auth socket (auth-client protocol 1.1 and later).
//!
//! One connection for each question: `PLAIN` with name and password, whatever the client used. Every line, their
//! number and the time are bounded. What Dovecot says in words goes nowhere: clients get one reply for all.
//! Limits: a unix socket only; no SCRAM. Dovecot could speak it through us, but it refuses whom it does not know at the first
//! message, and held back, where others get a challenge: strangers would learn who exists. A made-up challenge would
//! not hide it, since it looks different for each way in which a site keeps its passwords.

use crate::smtp::Checked;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// The most bytes of all lines of one conversation.
const MAX_ANSWER: u64 = 64 << 10;
/// How long a conversation may take. Dovecot holds failures back, up to 17 seconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// Questions at once. Dovecot's own pauses must not make others wait.
const AT_ONCE: usize = 256;
/// The longest name taken from an answer, in bytes.
const MAX_NAME: usize = 256;

/// On whose behalf a password is checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asker {
    /// The client.
    pub client: IpAddr,
    /// Its connection is encrypted.
    pub tls: bool,
}

/// Dovecot's auth socket.
#[derive(Debug)]
pub struct Dovecot {
    socket: PathBuf,
    turns: Semaphore,
}

impl Dovecot {
    /// Behind this socket. Opens nothing yet.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self { socket, turns: Semaphore::new(AT_ONCE) }
    }

    /// Whether this is somebody's password, and whose.
    pub(crate) async fn check(&self, asker: Asker, name: &str, password: &str) -> Checked {
        let Ok(_turn) = self.turns.acquire().await else {
            return Checked::Unknown;
        };
        let talk = timeout(PATIENCE, self.talk(asker, name, password));
        match talk.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(checked) => checked,
            Err(error) => {
                tracing::warn!(socket = %self.socket.display(), %error, "Dovecot cannot check logins");
                Checked::Unknown
            }
        }
    }

    async fn talk(&self, asker: Asker, name: &str, password: &str) -> io::Result<Checked> {
        let stream = UnixStream::connect(&self.socket).await?;
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read.take(MAX_ANSWER)).lines();
        let hello = format!("VERSION\t1\t1\nCPID\t{}\n", std::process::id());
        write.write_all(hello.as_bytes()).await?;
        let ended = || io::Error::new(io::ErrorKind::UnexpectedEof, "it ended the conversation");
        let wrong = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
        let mut plain = false;
        loop {
            let line = lines.next_line().await?.ok_or_else(ended)?;
            let mut fields = line.split('\t');
            match (fields.next().unwrap_or_default(), fields.next().unwrap_or_default()) {
                ("VERSION", major) if major != "1" => return Err(wrong("it speaks another version")),
                ("MECH", "PLAIN") => plain = true,
                ("DONE", _) => break,
                _ => {}
            }
        }
        if !plain {
            return Err(wrong("it does not offer PLAIN"));
        }
        let response = STANDARD.encode(format!("\0{name}\0{password}"));
        let secured = if asker.tls { "\tsecured" } else { "" };
        let ask = format!("AUTH\t1\tPLAIN\tservice=smtp{secured}\trip={}\tresp={response}\n", asker.client);
        write.write_all(ask.as_bytes()).await?;
        loop {
            let line = lines.next_line().await?.ok_or_else(ended)?;
            if let Some(checked) = answer(&line, name).map_err(wrong)? {
                return Ok(checked);
            }
        }
    }
}

/// What an answer to request 1 says; none where the line is about something else.
fn answer(line: &str, asked: &str) -> Result<Option<Checked>, &'static str> {
    let mut fields = line.split('\t');
    let (verb, id) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
    match (verb, id) {
        ("OK", "1") => {
            let user = fields.find_map(|field| field.strip_prefix("user="));
            let name = unescape(user.unwrap_or(asked)).ok_or("the user cannot be read")?;
            if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
                return Err("the user cannot be read");
            }
            Ok(Some(Checked::Right(name)))
        }
        ("FAIL", "1") => {
            let for_now = fields.any(|field| field == "temp" || field == "code=temp_fail");
            Ok(Some(if for_now { Checked::Unknown } else { Checked::Wrong }))
        }
        ("CONT", "1") => Err("it asks for more than PLAIN has"),
        _ => Ok(None),
    }
}

/// Dovecot writes a tab as `\x01t`, and so on.
fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        out.push(match c {
            '\u{1}' => match rest.next()? {
                '0' => '\0',
                '1' => '\u{1}',
                't' => '\t',
                'r' => '\r',
                'n' => '\n',
                _ => return None,
            },
            c => c,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let right = |name: &str| Ok(Some(Checked::Right(name.to_owned())));
        for (line, want) in [
            ("OK\t1\tuser=ann@example.com\textra", right("ann@example.com")),
            ("OK\t1", right("asked")),
            ("FAIL\t1\tuser=ann\treason=no", Ok(Some(Checked::Wrong))),
            ("FAIL\t1\tuser=ann\ttemp", Ok(Some(Checked::Unknown))),
            ("FAIL\t1\tcode=temp_fail", Ok(Some(Checked::Unknown))),
            ("OK\t2\tuser=other", Ok(None)),
            ("CUID\t1", Ok(None)),
            ("", Ok(None)),
        ] {
            assert_eq!(answer(line, "asked"), want, "{line:?}");
        }
        for line in ["OK\t1\tuser=a\u{1}tb", "OK\t1\tuser=a\u{1}x", "OK\t1\tuser=", "CONT\t1\t"] {
            assert!(answer(line, "asked").is_err(), "{line:?}");
        }
    }
}
