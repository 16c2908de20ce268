//! How a message goes out: in chunks, or as lines behind DATA; and what is said to it.

use super::super::client::{Session, Trouble};
use super::super::fit::Fitted;
use super::super::reply::ReplyError;
use super::super::{Hand, Letter, Outcome, Reason, stuff};
use super::set;
use crate::envelope::Body;
use std::borrow::Cow;
use std::time::Duration;

/// How much of a message is written at once.
const PIECE: usize = 64 << 10;
/// The largest chunk of BDAT; the next one waits for its reply.
const CHUNK: usize = 1 << 20;

impl Session {
    /// The message as its chunks carry it, where they are to be used.
    pub(super) fn chunked<'a>(&self, fitted: &'a Fitted<'_>) -> Option<Cow<'a, [u8]>> {
        self.offers.chunking.then(|| match fitted.body {
            Body::BinaryMime => Cow::Borrowed(&*fitted.bytes),
            _ => stuff::lines(&fitted.bytes),
        })
    }

    pub(super) fn put_chunk(&mut self, bytes: &[u8], last: bool) {
        let last = if last { " LAST" } else { "" };
        self.out.extend_from_slice(format!("BDAT {}{last}\r\n", bytes.len()).as_bytes());
        self.out.extend_from_slice(bytes);
    }

    /// Sends a message in chunks, each after the reply to the one before.
    pub(super) async fn chunks(
        &mut self,
        bytes: &[u8],
        accepted: &[usize],
        (outcomes, taken): (&mut [Option<Outcome>], &mut Vec<(usize, String)>),
    ) -> Result<(), Trouble> {
        let mut rest = bytes;
        loop {
            let (chunk, after) = rest.split_at_checked(CHUNK).unwrap_or((rest, &[]));
            rest = after;
            let last = rest.is_empty();
            // One of an empty message has a piece, too.
            let mut pieces = chunk.chunks(PIECE);
            let (mut piece, mut number) = (pieces.next().unwrap_or_default(), 0);
            loop {
                if self.is_refused_early(accepted, outcomes).await? {
                    return Ok(());
                }
                self.out.clear();
                if number == 0 {
                    let word = if last { " LAST" } else { "" };
                    self.out.extend_from_slice(format!("BDAT {}{word}\r\n", chunk.len()).as_bytes());
                }
                self.out.extend_from_slice(piece);
                let next = pieces.next();
                self.whole = last && next.is_none();
                self.put_data(None, accepted, outcomes).await?;
                number += 1;
                match next {
                    Some(next) => piece = next,
                    None => break,
                }
            }
            self.out.shrink_to(2 * PIECE);
            if last {
                return self.ends(accepted, (outcomes, taken)).await;
            }
            let reply = self.reply(self.timeouts.end).await?;
            if let Some(outcome) = self.judge(&reply)? {
                // The rest of the message has nowhere to go; RSET comes before the next one.
                accepted.iter().for_each(|place| set(outcomes, *place, outcome.clone()));
                return Ok(());
            }
        }
    }

    /// Sends a message by DATA. Where pipelined, the command is out already.
    pub(super) async fn data(
        &mut self,
        asked: bool,
        bytes: &[u8],
        accepted: &[usize],
        (outcomes, taken): (&mut [Option<Outcome>], &mut Vec<(usize, String)>),
        next: Option<&Letter<'_>>,
    ) -> Result<(), Trouble> {
        let command = self.timeouts.command;
        if !asked {
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
                if !self.lmtp {
                    self.reply(self.timeouts.end).await?;
                    self.reset = false;
                }
                return Ok(());
            }
            return self.lines(bytes, accepted, (outcomes, taken), next).await;
        }
        if data.positive() || data.code < 400 {
            return Err(ReplyError::Malformed.into());
        }
        if let Some(outcome) = self.judge(&data)? {
            for place in accepted {
                set(outcomes, *place, outcome.clone());
            }
        }
        Ok(())
    }

    async fn lines(
        &mut self,
        bytes: &[u8],
        accepted: &[usize],
        (outcomes, taken): (&mut [Option<Outcome>], &mut Vec<(usize, String)>),
        next: Option<&Letter<'_>>,
    ) -> Result<(), Trouble> {
        let mut pieces = stuff::pieces(bytes, PIECE).peekable();
        loop {
            self.out.clear();
            let piece = pieces.next().unwrap_or_default();
            let last = pieces.peek().is_none();
            if self.is_refused_early(accepted, outcomes).await? {
                return Ok(());
            }
            if !last && stuff::is_plain(piece) {
                self.put_data(Some(piece), accepted, outcomes).await?;
                continue;
            }
            stuff::stuff(piece, &mut self.out);
            if last {
                self.out.extend_from_slice(stuff::END);
                self.whole = true;
                if let Some(next) = next {
                    self.put_ahead(next);
                }
            }
            self.put_data(None, accepted, outcomes).await?;
            if last {
                break;
            }
        }
        self.out.shrink_to(2 * PIECE);
        self.ends(accepted, (outcomes, taken)).await
    }

    /// Whether the other side refuses a message before its end went out: then it gets no more of it. Another reply would be
    /// taken for the one to the end, and breaks the message off.
    async fn is_refused_early(
        &mut self,
        accepted: &[usize],
        outcomes: &mut [Option<Outcome>],
    ) -> Result<bool, Trouble> {
        let Some(reply) = self.early_word().await? else { return Ok(false) };
        if let Some(outcome) = self.judge(&reply)? {
            accepted.iter().for_each(|place| set(outcomes, *place, outcome.clone()));
        }
        Ok(true)
    }

    /// Writes a piece of a message, or what is in `out`. Where that cannot be done, the other side may have said why before it
    /// hung up.
    async fn put_data(
        &mut self,
        piece: Option<&[u8]>,
        accepted: &[usize],
        outcomes: &mut [Option<Outcome>],
    ) -> Result<(), Trouble> {
        let data = self.timeouts.data;
        let written = match piece {
            Some(piece) => self.put_bytes(piece, data).await,
            None => self.put(data).await,
        };
        let Err(trouble) = written else { return Ok(()) };
        if let Ok(reply) = self.reply(Duration::from_secs(1)).await
            && reply.permanent()
        {
            let outcome = Outcome::Failed(Reason::reply(&reply, &self.peer));
            accepted.iter().for_each(|place| set(outcomes, *place, outcome.clone()));
        }
        Err(trouble)
    }

    /// Reads what became of a message that was sent whole: one reply, over LMTP one for each recipient.
    pub(super) async fn ends(
        &mut self,
        accepted: &[usize],
        (outcomes, taken): (&mut [Option<Outcome>], &mut Vec<(usize, String)>),
    ) -> Result<(), Trouble> {
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
                let refused = self.judge(&reply)?;
                if refused.is_none() {
                    taken.push((*place, reply.line()));
                }
                judged = Some(refused.unwrap_or(Outcome::Delivered { by_hop: hand }));
            }
            if let Some(outcome) = &judged {
                set(outcomes, *place, outcome.clone());
            }
        }
        // After BDAT that was refused the transaction may still be open (RFC 3030 2).
        self.reset = self.offers.chunking && !matches!(judged, Some(Outcome::Delivered { .. }));
        Ok(())
    }
}
