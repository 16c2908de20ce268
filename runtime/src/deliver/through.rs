//! A transaction in steps, for mail that is passed through while its client waits.
//!
//! MAIL with the first RCPT, more RCPTs, DATA, then the message. The caller is told whether the end of the
//! message went out: up to there nothing has happened, and the message may still go another way. Only for
//! next hops that take eight bits, since the bytes are not known when MAIL is said.

use super::client::{Session, Stage, Trouble};
use super::reply::{Reply, ReplyError};
use super::{fit, stuff};
use crate::acceptor::Expected;
use crate::envelope::{Body, Dispatch, Target};
use std::fmt::Write as _;
use std::time::Duration;
use tokio::time::Instant;

/// How much of a message is written at once.
const PIECE: usize = 64 << 10;
/// What TLS can put into one record (RFC 8446 5.1), which the other side can read whole or not at all.
const RECORD: usize = 16 << 10;

/// How long handing a message over may take. The longest is all together: the word, the rest of it and two pieces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waits {
    /// For the next hop to take a piece of it.
    pub piece: Duration,
    /// For the next hop to take all of it but its end.
    pub all: Duration,
    /// For the word on it, once its end is out.
    pub word: Duration,
}

/// What became of a message that was handed over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Handed {
    /// The next hop has it.
    Taken(Reply),
    /// It does not want it.
    Refused(Reply),
    /// The end of the message never went out, or it was answered with 421: nobody has it.
    Unsent(Trouble),
    /// The end went out, or some of it, and no answer came: the next hop may have it.
    Unknown(Trouble),
}

impl Session {
    /// Whether this next hop takes such mail as it comes.
    #[must_use]
    pub fn takes(&self, dispatch: &Dispatch, target: &Target) -> bool {
        let utf8 = dispatch.smtputf8;
        self.offers.eight_bit
            && !self.lmtp
            && dispatch.body != Body::BinaryMime
            && (!utf8 || self.offers.smtputf8)
            // The notice that it was relayed is ours to write then.
            && (!target.notify.success || self.offers.dsn)
            && fit::address(&dispatch.sender, utf8).is_ok()
            && fit::address(&target.address, utf8).is_ok()
    }

    /// Opens a transaction with its first recipient. Some: the reply that refuses one of the two. Where it is the last one,
    /// DATA goes along if the other side takes that (RFC 2920 3.1), and its reply is left for later.
    ///
    /// # Errors
    /// The connection is of no use; no message was sent.
    pub async fn open(
        &mut self,
        dispatch: &Dispatch,
        target: &Target,
        expected: Expected,
    ) -> Result<Option<Reply>, Trouble> {
        let result = self.try_open(dispatch, target, expected).await;
        self.usable &= result.is_ok();
        result
    }

    async fn try_open(
        &mut self,
        dispatch: &Dispatch,
        target: &Target,
        expected: Expected,
    ) -> Result<Option<Reply>, Trouble> {
        let command = self.timeouts.command;
        let reset = std::mem::take(&mut self.reset);
        let pipelining = self.offers.pipelining;
        self.used += 1;
        self.out.clear();
        if reset {
            self.out.extend_from_slice(b"RSET\r\n");
            // RFC 5321 4.3.1.
            if !pipelining {
                self.write(command).await?;
                self.hear_reset().await?;
                self.out.clear();
            }
        }
        let sender = fit::address(&dispatch.sender, dispatch.smtputf8).unwrap_or_default();
        let mut line = String::with_capacity(sender.len() + 64);
        line.extend(["MAIL FROM:<", &sender, ">"]);
        if let Some(size) = expected.size.filter(|_| self.offers.size.is_some()) {
            // Writing into a string cannot fail.
            let _ = write!(line, " SIZE={size}");
        }
        line.push_str(" BODY=8BITMIME");
        if dispatch.smtputf8 {
            line.push_str(" SMTPUTF8");
        }
        self.put_notice_wishes(&mut line, dispatch);
        line.push_str("\r\n");
        self.out.extend_from_slice(line.as_bytes());
        if pipelining {
            self.put_rcpt(target, dispatch.smtputf8);
            if expected.last {
                self.out.extend_from_slice(b"DATA\r\n");
            }
        }
        self.write(command).await?;
        self.reset = true;
        if reset && pipelining {
            self.hear_reset().await?;
        }
        let mail = self.reply(command).await?;
        let refused = self.refused(mail)?;
        if !pipelining {
            if refused.is_some() {
                return Ok(refused);
            }
            return self.try_add(target, dispatch.smtputf8).await;
        }
        let rcpt = match self.reply(command).await {
            // Who refuses MAIL for good and hangs up has said all that there is to say.
            Err(Trouble::Lost(_)) if refused.as_ref().is_some_and(Reply::permanent) => {
                self.usable = false;
                return Ok(refused);
            }
            rcpt => rcpt?,
        };
        let refused = refused.or(self.refused(rcpt)?);
        match (&refused, expected.last) {
            (None, true) => self.stage = Stage::Asked,
            // What was refused stays so, whatever comes of the connection.
            (Some(_), true) => self.usable &= self.data_for_nobody().await.is_ok(),
            (_, false) => {}
        }
        Ok(refused)
    }

    /// Reads the reply to a DATA that has no recipient. Whoever asks for the message all the same gets an empty one, for
    /// nobody (RFC 2920 3.1).
    async fn data_for_nobody(&mut self) -> Result<(), Trouble> {
        let reply = self.reply(self.timeouts.command).await?;
        match reply.code {
            354 => {
                self.write_bytes(stuff::END, self.timeouts.command).await?;
                self.reply(self.timeouts.end).await?;
                Ok(())
            }
            code if code < 400 => Err(ReplyError::Malformed.into()),
            _ => self.refused(reply).map(|_| ()),
        }
    }

    /// Whether the message must follow now, or the connection end.
    #[must_use]
    pub fn said_data(&self) -> bool {
        self.stage != Stage::None
    }

    /// Names one more recipient. Some: the reply that refuses it.
    ///
    /// # Errors
    /// The connection is of no use; no message was sent.
    pub async fn add(&mut self, target: &Target, utf8: bool) -> Result<Option<Reply>, Trouble> {
        let result = self.try_add(target, utf8).await;
        self.usable &= result.is_ok();
        result
    }

    async fn try_add(&mut self, target: &Target, utf8: bool) -> Result<Option<Reply>, Trouble> {
        self.out.clear();
        self.put_rcpt(target, utf8);
        self.write(self.timeouts.command).await?;
        let reply = self.reply(self.timeouts.command).await?;
        self.refused(reply)
    }

    /// Says DATA, and leaves its reply for later. From here on the connection ends where the message does not
    /// follow: there is no other way to take DATA back.
    ///
    /// # Errors
    /// The connection is of no use; no message was sent.
    pub async fn ask_for_data(&mut self) -> Result<(), Trouble> {
        if self.stage != Stage::None {
            return Ok(());
        }
        self.out.clear();
        self.out.extend_from_slice(b"DATA\r\n");
        self.stage = Stage::Asked;
        self.write(self.timeouts.command).await
    }

    /// Sends the front of a message, or what follows it: whole lines. Some: the reply that refuses all of it.
    ///
    /// # Errors
    /// The connection is of no use; nobody has the message.
    pub async fn send_part(&mut self, lines: &[u8]) -> Result<Option<Reply>, Trouble> {
        let refused = self.may_send().await?;
        if refused.is_none() {
            for piece in stuff::pieces(lines, PIECE) {
                if let Some(reply) = self.early_word().await? {
                    return Ok(Some(reply));
                }
                self.out.clear();
                stuff::stuff(piece, &mut self.out);
                self.put(self.timeouts.data).await?;
            }
        }
        Ok(refused)
    }

    /// Hands the message over, or what was not sent of it, and waits for what becomes of it.
    pub async fn hand_over(&mut self, rest: &[u8], waits: &Waits) -> Handed {
        let handed = match self.send_rest(rest, waits).await {
            Ok(None) => self.last_word(waits.word).await,
            Ok(Some(handed)) => handed,
            Err(trouble) => Handed::Unsent(trouble),
        };
        self.usable &= matches!(handed, Handed::Taken(_) | Handed::Refused(_));
        handed
    }

    /// Sends the message to its end. Some: that is what becomes of it. An error: its end did not go out.
    async fn send_rest(&mut self, rest: &[u8], waits: &Waits) -> Result<Option<Handed>, Trouble> {
        if let Some(reply) = self.may_send().await? {
            return Ok(Some(Handed::Refused(reply)));
        }
        let limit = waits.piece.min(self.timeouts.data);
        let mut pieces = stuff::pieces(rest, PIECE).peekable();
        let mut began = None;
        loop {
            // A reply that is there before the end is out would be taken for the word on the message.
            if let Some(reply) = self.early_word().await? {
                return Ok(Some(Handed::Refused(reply)));
            }
            self.out.clear();
            if let Some(piece) = pieces.next() {
                stuff::stuff(piece, &mut self.out);
            }
            // The end goes along with what is left, in one record.
            if pieces.peek().is_none() && self.out.len() + stuff::END.len() <= RECORD {
                break;
            }
            // Those that are taken slowly, one after the other, are more than a client can wait for. Most messages have none.
            let began = *began.get_or_insert_with(Instant::now);
            self.put(limit).await?;
            if began.elapsed() > waits.all {
                return Err(Trouble::Silent);
            }
        }
        let dot = self.out.len();
        self.out.extend_from_slice(stuff::END);
        let end = self.out.len();
        let written = self.put(limit).await;
        self.out.shrink_to(2 * PIECE);
        match written {
            Ok(()) => Ok(None),
            // A dot without its line end may be enough for somebody. What was taken whole and not sent waits in a record of TLS.
            Err(trouble) if self.taken > dot && self.taken < end => Ok(Some(Handed::Unknown(trouble))),
            Err(trouble) => Err(trouble),
        }
    }

    /// Waits for what becomes of a message whose end is out.
    async fn last_word(&mut self, limit: Duration) -> Handed {
        self.stage = Stage::None;
        self.reset = false;
        let reply = match self.reply(limit.min(self.timeouts.end)).await {
            Ok(reply) => reply,
            Err(trouble) => return Handed::Unknown(trouble),
        };
        let closing = reply.code == 421;
        match self.refused(reply.clone()) {
            Ok(None) => Handed::Taken(reply),
            Ok(Some(reply)) => Handed::Refused(reply),
            // It takes nothing now, this message among it.
            Err(trouble) if closing => Handed::Unsent(trouble),
            Err(trouble) => Handed::Unknown(trouble),
        }
    }

    /// The word on DATA, which is said here where it was not before.
    async fn may_send(&mut self) -> Result<Option<Reply>, Trouble> {
        if self.stage == Stage::Sending {
            return Ok(None);
        }
        self.ask_for_data().await?;
        let reply = self.reply(self.timeouts.command).await?;
        self.stage = if reply.code == 354 { Stage::Sending } else { Stage::None };
        match reply.code {
            354 => Ok(None),
            code if code < 400 => Err(ReplyError::Malformed.into()),
            _ => self.refused(reply),
        }
    }

    /// None is consent. A 421 is trouble: it is about the connection, and not about this mail.
    fn refused(&mut self, reply: Reply) -> Result<Option<Reply>, Trouble> {
        match reply.code {
            421 => Err(Trouble::Lost(format!("it says {}", reply.line()))),
            _ if reply.positive() => Ok(None),
            // The message may go once it does.
            _ if self.misses_tls_for(&reply) => Err(Trouble::Tls(format!("it says {}", reply.line()))),
            code if code < 400 => Err(ReplyError::Malformed.into()),
            _ => Ok(Some(reply)),
        }
    }
}

#[cfg(test)]
mod tests;
