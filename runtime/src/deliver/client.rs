//! One connection to a next hop: SMTP (RFC 5321) or LMTP (RFC 2033) as the client.
//!
//! Greeting, EHLO, commands and replies, within bounds and time; [`super::send`] runs the transactions. After
//! trouble the connection is not used again.

use super::offers::Offers;
use super::reply::{Replies, Reply, ReplyError};
use super::tls::Secrecy;
use super::{LOGIN_REFUSED, Reason};
pub use crate::dkim::Signer;
use crate::within::within;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::unconstrained;
use tokio::time::timeout;

/// How long the rest of a reply may take whose front came unasked.
const REST_OF_REPLY: Duration = Duration::from_secs(1);

/// How long the other side may take (RFC 5321 4.5.3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// Until a connection stands, per address.
    pub connect: Duration,
    /// For a reply to a command, the greeting among them.
    pub command: Duration,
    /// To take a piece of the data.
    pub data: Duration,
    /// For the reply to the end of the data.
    pub end: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        Self { connect: Duration::from_secs(30), command: minutes(5), data: minutes(3), end: minutes(10) }
    }
}

/// Why a connection is of no use.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Trouble {
    /// No connection.
    #[error("no connection to {0}: {1}")]
    Connect(String, String),
    /// It broke.
    #[error("the connection broke: {0}")]
    Lost(String),
    /// Nothing came in time.
    #[error("it said nothing in time")]
    Silent,
    /// It speaks no SMTP.
    #[error("{0}")]
    Reply(#[from] ReplyError),
    /// It does not want to talk.
    #[error("it refused to talk: {0}")]
    Refused(String),
    /// It is ourselves.
    #[error("{0}")]
    Loop(String),
    /// TLS was required and did not come about.
    #[error("no TLS: {0}")]
    Tls(String),
    /// The login was refused, or cannot be done.
    #[error("login: {0}")]
    Auth(String),
    /// All servers that there are were asked before.
    #[error("there is no other server")]
    NoOther,
    /// There will never be a way, with the status that says why.
    #[error("{1}")]
    Never((u8, u16, u16), String),
}

impl Trouble {
    /// As a reason to try again later.
    #[must_use]
    pub fn reason(&self) -> Reason {
        let status = match self {
            Self::Connect(..) | Self::NoOther => (4, 4, 1),
            Self::Lost(_) | Self::Silent => (4, 4, 2),
            Self::Reply(_) => (4, 5, 0),
            Self::Refused(_) => (4, 3, 2),
            Self::Loop(_) => (4, 4, 6),
            Self::Tls(_) => (4, 7, 5),
            Self::Auth(_) => LOGIN_REFUSED,
            Self::Never(status, _) => *status,
        };
        // All but these name the server, or repeat what it or the system says of it.
        let names_hop = !matches!(self, Self::Silent | Self::Reply(_));
        Reason { names_hop, ..Reason::new(status, self.to_string()) }
    }
}

/// A stream of bytes both ways.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// How far the message of a transaction in steps is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Stage {
    /// None is under way.
    #[default]
    None,
    /// DATA is out, and its reply was not read.
    Asked,
    /// The message is on its way; its end is not.
    Sending,
}

/// An open connection, greeted and ready for transactions.
pub struct Session {
    stream: Box<dyn Io>,
    replies: Replies,
    pub(super) offers: Offers,
    /// The next hop's name, for logs and notices.
    pub peer: String,
    pub(super) lmtp: bool,
    pub(super) timeouts: Timeouts,
    pub(super) out: Vec<u8>,
    /// How many bytes of the last write the stream took.
    pub(super) taken: usize,
    /// A transaction is half open.
    pub(super) reset: bool,
    /// The commands of the next letter are out already.
    pub(super) ahead: bool,
    /// The end of the letter's message went out: whether it was taken, a reply alone tells.
    pub(super) whole: bool,
    /// How far the message of a transaction in steps is.
    pub(super) stage: Stage,
    pub(super) usable: bool,
    pub(super) used: u32,
    /// Signs anew what had to be converted for this next hop.
    pub(super) signer: Signer,
    /// It said 421: why it takes nothing now.
    pub(super) closing: Option<Reason>,
    /// A better server of the hop was passed over for it: what comes later is to be offered to that one again (RFC 5321 5.1).
    pub lesser: bool,
    /// Whether others can read along.
    pub secrecy: Secrecy,
    /// TLS was wanted and did not come about this time.
    pub(super) misses_tls: bool,
    /// By which of its user's ways it was opened.
    pub(crate) ways: u64,
    opened: Instant,
    /// What it calls itself in its reply to EHLO.
    name: String,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("peer", &self.peer).field("used", &self.used).finish_non_exhaustive()
    }
}

impl Session {
    /// Signs with these keys what it has to convert.
    #[must_use]
    pub fn with_signer(self, signer: Signer) -> Self {
        Self { signer, ..self }
    }

    /// Wraps a connection before its greeting.
    #[must_use]
    pub fn new(stream: Box<dyn Io>, peer: String, lmtp: bool, timeouts: Timeouts) -> Self {
        Self {
            stream,
            replies: Replies::default(),
            offers: Offers::default(),
            peer,
            lmtp,
            timeouts,
            out: Vec::new(),
            taken: 0,
            reset: false,
            ahead: false,
            whole: false,
            stage: Stage::default(),
            usable: true,
            used: 0,
            signer: Signer::default(),
            closing: None,
            lesser: false,
            secrecy: Secrecy::None,
            misses_tls: false,
            ways: 0,
            opened: Instant::now(),
            name: String::new(),
        }
    }

    /// What was offered.
    #[must_use]
    pub fn offers(&self) -> &Offers {
        &self.offers
    }

    /// Whether it calls itself so. `localhost` is what everybody may be called.
    #[must_use]
    pub fn is(&self, hostname: &str) -> bool {
        self.name.eq_ignore_ascii_case(hostname) && !hostname.eq_ignore_ascii_case("localhost")
    }

    /// Ends the connection; without a word where the next letter's commands are out, since QUIT would be taken for its text.
    pub async fn leave(self) {
        if !self.ahead {
            self.quit().await;
        }
    }

    /// Whether the next letter can be announced behind the end of one.
    #[must_use]
    pub fn runs_ahead(&self) -> bool {
        self.offers.pipelining && !self.offers.chunking && !self.lmtp
    }

    /// Whether another transaction may use it.
    #[must_use]
    pub fn usable(&self) -> bool {
        self.usable && self.stage == Stage::None
    }

    /// When it was opened.
    #[must_use]
    pub fn opened(&self) -> Instant {
        self.opened
    }

    /// How long it stands.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Hears the greeting and says EHLO. Where either is refused it takes leave (RFC 5321 3.1).
    ///
    /// # Errors
    /// Where there is nobody to talk to.
    pub async fn greeted(mut self, name: &str) -> Result<Self, Trouble> {
        let welcome = async {
            self.greeting().await?;
            self.hello(name).await
        };
        match welcome.await {
            Ok(()) => Ok(self),
            Err(trouble) => Err(self.part_for(trouble)),
        }
    }

    /// Reads the greeting.
    ///
    /// # Errors
    /// Where there is none that welcomes.
    pub async fn greeting(&mut self) -> Result<(), Trouble> {
        let reply = self.reply(self.timeouts.command).await?;
        if reply.code == 220 { Ok(()) } else { Err(Trouble::Refused(reply.line())) }
    }

    /// Says EHLO (LHLO), else HELO, and learns what is offered.
    ///
    /// # Errors
    /// Where neither is taken.
    pub async fn hello(&mut self, name: &str) -> Result<(), Trouble> {
        let verb = if self.lmtp { "LHLO" } else { "EHLO" };
        self.replies.keep_lines(true);
        let reply = self.command(&format!("{verb} {name}\r\n")).await;
        self.replies.keep_lines(false);
        let reply = reply?;
        if reply.positive() {
            self.offers = Offers::read(&reply);
            let first = reply.lines.first().map(String::as_str).unwrap_or_default();
            self.name = first.split(' ').next().unwrap_or_default().to_owned();
            return Ok(());
        }
        self.offers = Offers::default();
        if self.lmtp || !reply.permanent() {
            return Err(Trouble::Refused(reply.line()));
        }
        let reply = self.command(&format!("HELO {name}\r\n")).await?;
        if reply.positive() { Ok(()) } else { Err(Trouble::Refused(reply.line())) }
    }

    /// Sends one command line and reads its reply.
    ///
    /// # Errors
    /// As the connection says.
    pub async fn command(&mut self, line: &str) -> Result<Reply, Trouble> {
        self.out.clear();
        self.out.extend_from_slice(line.as_bytes());
        self.write(self.timeouts.command).await?;
        self.reply(self.timeouts.command).await
    }

    /// Exchanges the stream, for TLS; everything learnt before is forgotten (RFC 3207 4.2).
    ///
    /// # Errors
    /// Where bytes came that belong to neither side of the change.
    pub fn exchange(self) -> Result<(Box<dyn Io>, String, bool, Timeouts), Trouble> {
        if self.replies.is_empty() {
            Ok((self.stream, self.peer, self.lmtp, self.timeouts))
        } else {
            Err(Trouble::Tls("it sent more than its consent before TLS".to_owned()))
        }
    }

    /// Takes leave, without waiting for much.
    pub async fn quit(mut self) {
        // A next hop that does not hear it notices the closed connection.
        let _ = timeout(Duration::from_secs(2), self.farewell()).await;
    }

    /// Takes leave of a connection at rest, without waiting for anything: what cannot be written at once is left out.
    pub fn part(mut self) {
        let farewell = pin!(unconstrained(self.farewell()));
        let _ = farewell.poll(&mut Context::from_waker(Waker::noop()));
    }

    /// Takes leave of one that can be talked to and is of no use, and gives back why. What broke or fell silent hears nothing.
    pub(super) fn part_for(self, trouble: Trouble) -> Trouble {
        if !matches!(trouble, Trouble::Lost(_) | Trouble::Silent | Trouble::Reply(_)) {
            self.part();
        }
        trouble
    }

    /// Says QUIT, where it is taken for that: behind commands that were sent ahead it could be a line of a message.
    async fn farewell(&mut self) -> std::io::Result<()> {
        if !self.usable() || self.ahead {
            return Ok(());
        }
        self.stream.write_all(b"QUIT\r\n").await?;
        self.stream.shutdown().await
    }

    /// Writes what is in `out`, unless something was said before that: it belongs to no command.
    pub(super) async fn write(&mut self, limit: Duration) -> Result<(), Trouble> {
        self.nothing_unasked().await?;
        self.put(limit).await
    }

    /// The same for bytes.
    pub(super) async fn write_bytes(&mut self, bytes: &[u8], limit: Duration) -> Result<(), Trouble> {
        self.nothing_unasked().await?;
        self.put_bytes(bytes, limit).await
    }

    /// Whether all that was said was asked for.
    pub(super) async fn nothing_unasked(&mut self) -> Result<(), Trouble> {
        self.look().await?;
        if self.replies.is_empty() {
            return Ok(());
        }
        let said = self.replies.take()?;
        self.refusal(said).map_or_else(Err, |_| Err(ReplyError::Unasked.into()))
    }

    /// What was said though nothing was asked: a refusal, which within a message may be meant for that. The connection ends.
    pub(super) async fn early_word(&mut self) -> Result<Option<Reply>, Trouble> {
        self.look().await?;
        if self.replies.is_empty() {
            return Ok(None);
        }
        let said = match self.replies.take()? {
            // A long one comes in pieces.
            None => self.reply(REST_OF_REPLY).await.ok(),
            whole => whole,
        };
        self.refusal(said).map(Some)
    }

    /// What was said unasked, where it is a refusal.
    fn refusal(&mut self, said: Option<Reply>) -> Result<Reply, Trouble> {
        match said {
            // RFC 5321 3.8: this one may come at any time.
            Some(reply) if reply.code == 421 => Err(Trouble::Lost(format!("it says {}", reply.line()))),
            Some(reply) if reply.code >= 400 => {
                self.usable = false;
                Ok(reply)
            }
            _ => Err(ReplyError::Unasked.into()),
        }
    }

    /// Takes in what has come, and waits for nothing: where nothing has, this does not even ask the system.
    async fn look(&mut self) -> Result<(), Trouble> {
        if !self.replies.is_empty() {
            return Ok(());
        }
        let mut read = pin!(self.stream.read_buf(self.replies.room()));
        // A task that used up its turn would be told that nothing is there.
        match unconstrained(poll_fn(|context| Poll::Ready(read.as_mut().poll(context)))).await {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(0)) => Err(Trouble::Lost("it hung up".to_owned())),
            Poll::Ready(Ok(_)) => Ok(()),
            Poll::Ready(Err(error)) => Err(Trouble::Lost(error.to_string())),
        }
    }

    /// Writes what is in `out`, whatever was said.
    pub(super) async fn put(&mut self, limit: Duration) -> Result<(), Trouble> {
        let out = std::mem::take(&mut self.out);
        let written = self.put_bytes(&out, limit).await;
        self.out = out;
        written
    }

    /// Writes bytes, whatever was said.
    pub(super) async fn put_bytes(&mut self, bytes: &[u8], limit: Duration) -> Result<(), Trouble> {
        self.taken = 0;
        let written = async {
            while let Some(rest) = bytes.get(self.taken..).filter(|rest| !rest.is_empty()) {
                match self.stream.write(rest).await? {
                    0 => return Err(std::io::ErrorKind::WriteZero.into()),
                    taken => self.taken += taken,
                }
            }
            // With TLS what was written may still wait in memory here.
            self.stream.flush().await
        };
        match within(limit, written).await {
            Err(_) => Err(Trouble::Silent),
            Ok(result) => result.map_err(|error| Trouble::Lost(error.to_string())),
        }
    }

    pub(super) async fn reply(&mut self, limit: Duration) -> Result<Reply, Trouble> {
        if let Some(reply) = self.replies.take()? {
            return Ok(reply);
        }
        // One limit for the whole reply: a next hop that drips is as bad as a silent one.
        match within(limit, self.read_reply()).await {
            Err(_) => Err(Trouble::Silent),
            Ok(reply) => reply,
        }
    }

    async fn read_reply(&mut self) -> Result<Reply, Trouble> {
        loop {
            let room = self.replies.room();
            let n = self.stream.read_buf(room).await.map_err(|e| Trouble::Lost(e.to_string()))?;
            if n == 0 {
                return Err(Trouble::Lost("it hung up".to_owned()));
            }
            if let Some(reply) = self.replies.take()? {
                return Ok(reply);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5321 4.5.3.2, 4.5.4: each step has a time of its own, of this length at least.
    #[test]
    fn waits_are_as_long_as_asked_for() {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let waits = Timeouts::default();
        // 4.5.3.2.1 to 4.5.3.2.4: greeting, MAIL and RCPT five minutes, DATA two.
        assert!(waits.command >= minutes(5));
        // 4.5.3.2.5, 4.5.3.2.6: a block of data three, its end ten.
        assert!(waits.data >= minutes(3) && waits.end >= minutes(10));
    }
}
