//! One connection to a next hop: SMTP (RFC 5321) or LMTP (RFC 2033) as the client.
//!
//! Writes a transaction's commands at once where PIPELINING is offered (RFC 2920), passes SIZE,
//! 8BITMIME, SMTPUTF8 and DSN on where offered, and reads replies within bounds and time. Whatever the
//! other side says, each recipient gets an outcome; after trouble the connection is not used again.

use super::reply::{Replies, Reply, ReplyError};
use super::{Hand, Letter, Outcome, Reason, needs_eight_bit, ret_word, stuff};
use crate::envelope::{Body, Target};
use std::fmt::Write as _;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// How much of a message is written at once.
const PIECE: usize = 64 << 10;

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
    /// TLS was required and did not come about.
    #[error("no TLS: {0}")]
    Tls(String),
    /// The login was refused, or cannot be done.
    #[error("login: {0}")]
    Auth(String),
    /// There will never be a way, with the status that says why.
    #[error("{1}")]
    Never((u8, u16, u16), String),
}

impl Trouble {
    /// As a reason to try again later.
    #[must_use]
    pub fn reason(&self) -> Reason {
        let status = match self {
            Self::Connect(..) => (4, 4, 1),
            Self::Lost(_) | Self::Silent => (4, 4, 2),
            Self::Reply(_) => (4, 5, 0),
            Self::Refused(_) => (4, 3, 2),
            Self::Tls(_) => (4, 7, 5),
            Self::Auth(_) => (4, 7, 8),
            Self::Never(status, _) => *status,
        };
        Reason::new(status, self.to_string())
    }
}

/// A stream of bytes both ways.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// What EHLO offered.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Offers {
    /// RFC 2920
    pub pipelining: bool,
    /// RFC 1870: `Some(0)` is offered without a limit.
    pub size: Option<u64>,
    /// RFC 6152
    pub eight_bit: bool,
    /// RFC 3030
    pub binary: bool,
    /// RFC 3030
    pub chunking: bool,
    /// RFC 6531
    pub smtputf8: bool,
    /// RFC 3461
    pub dsn: bool,
    /// RFC 3207
    pub starttls: bool,
    /// RFC 4954: mechanisms, in capitals.
    pub auth: Vec<String>,
}

impl Offers {
    fn read(reply: &Reply) -> Self {
        let mut offers = Self::default();
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split_ascii_whitespace().map(str::to_ascii_uppercase);
            match words.next().as_deref() {
                Some("PIPELINING") => offers.pipelining = true,
                Some("SIZE") => {
                    // A limit that is no number is none.
                    offers.size = Some(words.next().and_then(|n| n.parse().ok()).unwrap_or(0));
                }
                Some("8BITMIME") => offers.eight_bit = true,
                Some("BINARYMIME") => offers.binary = true,
                Some("CHUNKING") => offers.chunking = true,
                Some("SMTPUTF8") => offers.smtputf8 = true,
                Some("DSN") => offers.dsn = true,
                Some("STARTTLS") => offers.starttls = true,
                Some("AUTH") => offers.auth = words.take(16).collect(),
                _ => {}
            }
        }
        offers
    }
}

/// An open connection, greeted and ready for transactions.
pub struct Session {
    stream: Box<dyn Io>,
    replies: Replies,
    offers: Offers,
    /// The next hop's name, for logs and notices.
    pub peer: String,
    lmtp: bool,
    timeouts: Timeouts,
    out: Vec<u8>,
    /// A transaction is half open.
    reset: bool,
    usable: bool,
    used: u32,
    opened: Instant,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("peer", &self.peer).field("used", &self.used).finish_non_exhaustive()
    }
}

/// What became of a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    /// One for each target, in their order.
    pub outcomes: Vec<Outcome>,
    /// What ended the connection, if it did.
    pub trouble: Option<Trouble>,
    /// A kept connection turned out to be closed before it answered anything: nothing was sent.
    pub stale: bool,
}

impl Session {
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
            reset: false,
            usable: true,
            used: 0,
            opened: Instant::now(),
        }
    }

    /// What was offered.
    #[must_use]
    pub fn offers(&self) -> &Offers {
        &self.offers
    }

    /// Whether another transaction may use it.
    #[must_use]
    pub fn usable(&self) -> bool {
        self.usable
    }

    /// How long it stands.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.opened.elapsed()
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
        if self.usable {
            let farewell = async {
                self.stream.write_all(b"QUIT\r\n").await?;
                self.stream.shutdown().await
            };
            // A next hop that does not hear it notices the closed connection.
            let _ = timeout(Duration::from_secs(2), farewell).await;
        }
    }

    /// Runs one transaction.
    pub async fn send(&mut self, letter: &Letter<'_>) -> Sent {
        let targets: Vec<&Target> = letter.recipients().collect();
        let mut outcomes: Vec<Option<Outcome>> = vec![None; targets.len()];
        let reused = self.used > 0;
        self.used += 1;
        let mut answered = false;
        let result = self.transaction(letter, &targets, &mut outcomes, &mut answered).await;
        let trouble = result.err();
        let stale = reused && !answered && matches!(trouble, Some(Trouble::Lost(_)));
        if trouble.is_some() {
            self.usable = false;
        }
        let rest = trouble.as_ref().map(|t| Reason { remote: None, ..t.reason() });
        let rest = rest.unwrap_or_else(|| Reason::new((4, 3, 0), "no reply for this recipient"));
        let outcomes = outcomes.into_iter().map(|o| o.unwrap_or_else(|| Outcome::Deferred(rest.clone())));
        Sent { outcomes: outcomes.collect(), trouble, stale }
    }

    async fn transaction(
        &mut self,
        letter: &Letter<'_>,
        targets: &[&Target],
        outcomes: &mut [Option<Outcome>],
        answered: &mut bool,
    ) -> Result<(), Trouble> {
        if let Some(reason) = self.unfit(letter) {
            fill(outcomes, &Outcome::Failed(reason));
            return Ok(());
        }
        for (target, outcome) in targets.iter().zip(outcomes.iter_mut()) {
            if let Some(reason) = self.unfit_address(&target.address, letter) {
                *outcome = Some(Outcome::Failed(reason));
            }
        }
        let asked: Vec<usize> =
            outcomes.iter().enumerate().filter(|(_, o)| o.is_none()).map(|(place, _)| place).collect();
        if asked.is_empty() {
            return Ok(());
        }
        let command = self.timeouts.command;
        let reset = std::mem::take(&mut self.reset);
        self.out.clear();
        if reset {
            self.out.extend_from_slice(b"RSET\r\n");
        }
        self.put_mail(letter);
        let pipelining = self.offers.pipelining;
        if pipelining {
            for target in asked.iter().filter_map(|place| targets.get(*place)) {
                self.put_rcpt(target);
            }
            self.out.extend_from_slice(b"DATA\r\n");
        }
        self.write(command).await?;
        if reset && !self.reply(command).await?.positive() {
            return Err(Trouble::Refused("it does not take RSET".to_owned()));
        }
        let mail = self.reply(command).await?;
        *answered = true;
        let mail_refused = self.judge(&mail)?;
        if let (Some(outcome), false) = (&mail_refused, pipelining) {
            fill(outcomes, outcome);
            return Ok(());
        }
        self.reset = mail_refused.is_none();
        let mut accepted = Vec::with_capacity(asked.len());
        for place in asked {
            if !pipelining {
                self.out.clear();
                if let Some(target) = targets.get(place) {
                    self.put_rcpt(target);
                }
                self.write(command).await?;
            }
            let reply = self.reply(command).await?;
            let refused = match self.judge(&reply)? {
                // RFC 5321 4.5.3.1.10: some say 552 for too many.
                Some(Outcome::Failed(reason)) if reply.code == 552 && !accepted.is_empty() => {
                    Some(Outcome::Deferred(Reason { status: (4, 5, 3), ..reason }))
                }
                other => other,
            };
            match (&mail_refused, refused) {
                (None, None) => accepted.push(place),
                (Some(outcome), _) => set(outcomes, place, outcome.clone()),
                (None, Some(outcome)) => set(outcomes, place, outcome),
            }
        }
        if !pipelining {
            if accepted.is_empty() {
                return Ok(());
            }
            self.out.clear();
            self.out.extend_from_slice(b"DATA\r\n");
            self.write(command).await?;
        }
        let data = self.reply(command).await?;
        if data.code == 354 {
            if accepted.is_empty() {
                // It wants data for nobody: give it none.
                self.out.clear();
                self.out.extend_from_slice(stuff::END);
                self.write(command).await?;
                self.reset = false;
                if !self.lmtp {
                    self.reply(self.timeouts.end).await?;
                }
                return Ok(());
            }
            return self.data(letter, &accepted, outcomes).await;
        }
        if data.positive() || data.code < 400 {
            return Err(ReplyError::Malformed.into());
        }
        if let Some(outcome) = self.judge(&data)? {
            for place in accepted {
                set(outcomes, place, outcome.clone());
            }
        }
        Ok(())
    }

    async fn data(
        &mut self,
        letter: &Letter<'_>,
        accepted: &[usize],
        outcomes: &mut [Option<Outcome>],
    ) -> Result<(), Trouble> {
        let mut pieces = stuff::pieces(letter.bytes, PIECE).peekable();
        self.out.clear();
        loop {
            if let Some(piece) = pieces.next() {
                stuff::stuff(piece, &mut self.out);
            }
            let last = pieces.peek().is_none();
            if last {
                self.out.extend_from_slice(stuff::END);
            }
            if let Err(trouble) = self.write(self.timeouts.data).await {
                // It may have said why before it hung up.
                if let Ok(reply) = self.reply(Duration::from_secs(1)).await
                    && reply.permanent()
                {
                    let outcome = Outcome::Failed(Reason::reply(&reply, &self.peer));
                    accepted.iter().for_each(|place| set(outcomes, *place, outcome.clone()));
                }
                return Err(trouble);
            }
            self.out.clear();
            if last {
                break;
            }
        }
        self.out.shrink_to(2 * PIECE);
        self.reset = false;
        let hand = if self.lmtp {
            Hand::Mailbox
        } else if self.offers.dsn {
            Hand::Careful
        } else {
            Hand::Careless
        };
        let mut judged = None;
        for place in accepted {
            if judged.is_none() || self.lmtp {
                let reply = self.reply(self.timeouts.end).await?;
                judged = Some(self.judge(&reply)?.unwrap_or(Outcome::Delivered { by_hop: hand }));
            }
            if let Some(outcome) = &judged {
                set(outcomes, *place, outcome.clone());
            }
        }
        Ok(())
    }

    /// What a reply to MAIL, RCPT, DATA or the end of data means. None is consent.
    fn judge(&mut self, reply: &Reply) -> Result<Option<Outcome>, Trouble> {
        if reply.positive() {
            return Ok(None);
        }
        if reply.code < 400 {
            return Err(ReplyError::Malformed.into());
        }
        if reply.code == 421 {
            self.usable = false;
        }
        let reason = Reason::reply(reply, &self.peer);
        Ok(Some(if reply.permanent() { Outcome::Failed(reason) } else { Outcome::Deferred(reason) }))
    }

    /// Why the message cannot go to this next hop at all.
    fn unfit(&self, letter: &Letter<'_>) -> Option<Reason> {
        if let Some(limit) = self.offers.size.filter(|limit| *limit > 0)
            && letter.bytes.len() as u64 > limit
        {
            return Some(Reason::new((5, 3, 4), format!("the message is larger than {} takes", self.peer)));
        }
        if letter.dispatch.body == Body::BinaryMime || (needs_eight_bit(letter) && !self.offers.eight_bit) {
            return Some(Reason::new((5, 6, 3), format!("{} does not take 8-bit messages", self.peer)));
        }
        if letter.dispatch.smtputf8 && !self.offers.smtputf8 {
            return Some(Reason::new(
                (5, 6, 7),
                format!("{} does not take internationalized mail", self.peer),
            ));
        }
        self.unfit_address(&letter.dispatch.sender, letter)
    }

    fn unfit_address(&self, address: &str, letter: &Letter<'_>) -> Option<Reason> {
        if !address.is_ascii() && !letter.dispatch.smtputf8 {
            return Some(Reason::new((5, 6, 7), "the address needs SMTPUTF8"));
        }
        (!wire_safe(address)).then(|| Reason::new((5, 1, 3), "the address cannot be sent"))
    }

    fn put_mail(&mut self, letter: &Letter<'_>) {
        let dispatch = letter.dispatch;
        let mut line = format!("MAIL FROM:<{}>", dispatch.sender);
        if self.offers.size.is_some() {
            // Writing into a string cannot fail.
            let _ = write!(line, " SIZE={}", letter.bytes.len());
        }
        if needs_eight_bit(letter) {
            line.push_str(" BODY=8BITMIME");
        }
        if dispatch.smtputf8 {
            line.push_str(" SMTPUTF8");
        }
        if self.offers.dsn {
            if let Some(ret) = dispatch.ret {
                let _ = write!(line, " RET={}", ret_word(ret));
            }
            if let Some(envid) = dispatch.envid.as_deref().filter(|e| is_xtext(e)) {
                let _ = write!(line, " ENVID={envid}");
            }
        }
        line.push_str("\r\n");
        self.out.extend_from_slice(line.as_bytes());
    }

    fn put_rcpt(&mut self, target: &Target) {
        self.out.extend_from_slice(b"RCPT TO:<");
        self.out.extend_from_slice(target.address.as_bytes());
        self.out.push(b'>');
        if self.offers.dsn {
            let notify = target.notify;
            if notify.given {
                let words =
                    [(notify.success, "SUCCESS"), (notify.failure, "FAILURE"), (notify.delay, "DELAY")];
                let words: Vec<&str> = words.iter().filter(|(on, _)| *on).map(|(_, w)| *w).collect();
                let words = if words.is_empty() { "NEVER".to_owned() } else { words.join(",") };
                self.out.extend_from_slice(format!(" NOTIFY={words}").as_bytes());
            }
            if let Some(orcpt) = target.orcpt.as_deref().filter(|o| is_xtext(o)) {
                self.out.extend_from_slice(format!(" ORCPT={orcpt}").as_bytes());
            }
        }
        self.out.extend_from_slice(b"\r\n");
    }

    async fn write(&mut self, limit: Duration) -> Result<(), Trouble> {
        match timeout(limit, self.stream.write_all(&self.out)).await {
            Err(_) => Err(Trouble::Silent),
            Ok(Err(error)) => Err(Trouble::Lost(error.to_string())),
            Ok(Ok(())) => match self.stream.flush().await {
                Ok(()) => Ok(()),
                Err(error) => Err(Trouble::Lost(error.to_string())),
            },
        }
    }

    async fn reply(&mut self, limit: Duration) -> Result<Reply, Trouble> {
        if let Some(reply) = self.replies.take()? {
            return Ok(reply);
        }
        // One limit for the whole reply: a next hop that drips is as bad as a silent one.
        match timeout(limit, self.read_reply()).await {
            Err(_) => Err(Trouble::Silent),
            Ok(reply) => reply,
        }
    }

    async fn read_reply(&mut self) -> Result<Reply, Trouble> {
        let mut buffer = [0u8; 2048];
        loop {
            let n = self.stream.read(&mut buffer).await.map_err(|e| Trouble::Lost(e.to_string()))?;
            if n == 0 {
                return Err(Trouble::Lost("it hung up".to_owned()));
            }
            self.replies.feed(buffer.get(..n).unwrap_or_default());
            if let Some(reply) = self.replies.take()? {
                return Ok(reply);
            }
        }
    }
}

fn set(outcomes: &mut [Option<Outcome>], place: usize, outcome: Outcome) {
    if let Some(slot) = outcomes.get_mut(place) {
        *slot = Some(outcome);
    }
}

fn fill(outcomes: &mut [Option<Outcome>], outcome: &Outcome) {
    for slot in outcomes.iter_mut().filter(|slot| slot.is_none()) {
        *slot = Some(outcome.clone());
    }
}

/// Whether an address can stand between the brackets of a command: no control characters, and what
/// would end it only inside quotes.
fn wire_safe(address: &str) -> bool {
    let mut quoted = false;
    let mut escaped = false;
    for c in address.chars() {
        if c.is_control() {
            return false;
        }
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ' ' | '<' | '>' if !quoted => return false,
            _ => {}
        }
    }
    !quoted && !escaped && address.len() <= 1000
}

fn is_xtext(text: &str) -> bool {
    text.len() <= 500 && text.bytes().all(|b| (0x21..=0x7e).contains(&b))
}
