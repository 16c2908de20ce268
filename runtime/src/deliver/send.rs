//! One transaction with a next hop: MAIL, RCPT, then DATA or BDAT, and what its replies mean.
//!
//! Everything that need not wait goes out at once where PIPELINING is offered (RFC 2920), a small message
//! with it where CHUNKING is (RFC 3030). Whatever comes back, each recipient gets an outcome.

use super::client::{PutOff, Sent, Session, Trouble};
use super::fit::{self, Fitted};
use super::reply::{Reply, ReplyError};
use super::{Hand, Letter, Outcome, Pace, Reason, ret_word, stuff};
use crate::envelope::{Body, Dispatch, Target};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

/// How much of a message is written at once.
const PIECE: usize = 64 << 10;
/// A message up to this goes out with its commands, before it is known who is refused.
const EARLY: usize = 64 << 10;
/// The largest chunk of BDAT; the next one waits for its reply.
const CHUNK: usize = 1 << 20;

/// Too many recipients (RFC 3463 3.6).
const OVER_LIMIT: (u8, u16, u16) = (4, 5, 3);

/// How far a transaction came.
#[derive(Default)]
struct Told {
    /// Something of it went out, or was out before.
    begun: bool,
    /// The code of the reply to MAIL.
    said: Option<u16>,
    /// It refused MAIL, with this reply.
    refused: Option<Outcome>,
    /// The recipients that RCPT was put off for.
    put_off: usize,
    /// The one whose RCPT had no answer.
    hung_at: Option<usize>,
}

impl Session {
    /// Runs one transaction.
    pub async fn send(&mut self, letter: &Letter<'_>) -> Sent {
        self.send_before(letter, None).await
    }

    /// Runs one transaction. Behind the end of its message go the commands of the `next` one, where the other
    /// side takes that (RFC 2920 3.1): the connection is then for that letter, or to be closed.
    pub async fn send_before(&mut self, letter: &Letter<'_>, next: Option<&Letter<'_>>) -> Sent {
        let targets: Vec<&Target> = letter.recipients().collect();
        let mut outcomes: Vec<Option<Outcome>> = vec![None; targets.len()];
        let reused = self.used > 0;
        self.used += 1;
        let mut told = Told::default();
        self.whole = false;
        let result = self.transaction((letter, next), &targets, &mut outcomes, &mut told, reused).await;
        let mut trouble = result.err();
        // Whoever has all of the message may have taken it, and hung up before a reply came.
        let unheard = told.said.is_none() && matches!(trouble, Some(Trouble::Lost(_))) && !self.whole;
        let wordless =
            told.said.is_none() && matches!(trouble, Some(Trouble::Lost(_) | Trouble::Silent)) && self.whole;
        let stale = reused && trouble.is_some() && (!told.begun || unheard);
        if trouble.is_some() {
            self.usable = false;
        }
        // Who refuses MAIL and hangs up has said all that there is to say.
        if let (Some(refused), Some(Trouble::Lost(_))) = (told.refused, &trouble) {
            trouble = None;
            if let Outcome::Deferred(reason) = refused {
                self.closing.get_or_insert(reason);
            }
        }
        let rest = trouble.as_ref().map(|t| Reason { remote: None, ..t.reason() });
        let rest = rest.unwrap_or_else(|| Reason::new((4, 3, 0), "no reply for this recipient"));
        let put_off = self.put_off(&outcomes, trouble.is_some(), told.put_off);
        let closing = self.closing.take().or_else(|| trouble.is_some().then(|| rest.clone()));
        let outcomes = outcomes.into_iter().map(|o| o.unwrap_or_else(|| Outcome::Deferred(rest.clone())));
        let outcomes = outcomes.collect();
        Sent { outcomes, trouble, closing, put_off, stale, wordless, hung_at: told.hung_at }
    }

    /// Whom another server may take: whose last word here was a 4xx, whose message this one takes in no form, and those that
    /// nothing was said of before the end of the message went out. Who is one too many for a transaction may go over this
    /// connection again.
    fn put_off(&self, outcomes: &[Option<Outcome>], broke: bool, at_rcpt: usize) -> PutOff {
        let another = |outcome: &Option<Outcome>| match outcome {
            Some(Outcome::Deferred(reason)) => reason.status != OVER_LIMIT,
            Some(Outcome::Failed(reason)) => reason.is_of_offers(),
            Some(Outcome::Delivered { .. }) => false,
            None => broke && !self.whole,
        };
        let places: Vec<usize> =
            outcomes.iter().enumerate().filter(|(_, o)| another(o)).map(|(place, _)| place).collect();
        let lacking = outcomes.iter().filter(|o| matches!(o, Some(Outcome::Failed(_))) && another(o)).count();
        let all = broke || self.closing.is_some() || places.len() > at_rcpt + lacking;
        // Behind LMTP stands one store, whatever its addresses.
        if self.lmtp && !all { PutOff::default() } else { PutOff { places, all } }
    }

    async fn transaction(
        &mut self,
        (letter, next): (&Letter<'_>, Option<&Letter<'_>>),
        targets: &[&Target],
        outcomes: &mut [Option<Outcome>],
        Told { begun, said, refused, put_off, hung_at }: &mut Told,
        reused: bool,
    ) -> Result<(), Trouble> {
        let ahead = std::mem::take(&mut self.ahead);
        let mut fitted = match fit::fit(letter, &self.offers, &self.peer) {
            Ok(fitted) => fitted,
            Err(reason) => {
                fill(outcomes, &Outcome::Failed(reason));
                return Ok(());
            }
        };
        // What was converted is no longer what was signed.
        if let Cow::Owned(bytes) = &mut fitted.bytes {
            self.signer.sign_anew(&letter.id, letter.dispatch, bytes);
        }
        let mut asked = Vec::with_capacity(targets.len());
        for (place, target) in targets.iter().enumerate() {
            match fit::address(&target.address, fitted.utf8) {
                Ok(_) => asked.push(place),
                Err(reason) => set(outcomes, place, Outcome::Failed(reason)),
            }
        }
        if asked.is_empty() {
            return Ok(());
        }
        let command = self.timeouts.command;
        let reset = std::mem::take(&mut self.reset);
        self.out.clear();
        if reset {
            self.out.extend_from_slice(b"RSET\r\n");
        }
        if !ahead {
            self.put_mail(letter, &fitted);
        }
        // What was announced is out already, as a group.
        let pipelining = self.offers.pipelining && (ahead || letter.pace != Pace::StepByStep);
        let lines = self.chunked(&fitted);
        // Only to a server that answered in good time before: one that answers MAIL too late has the message by then, and
        // would get it again.
        let along = pipelining && reused && letter.pace == Pace::Whole;
        let early = lines.as_deref().filter(|bytes| along && bytes.len() <= EARLY);
        if pipelining && !ahead {
            for target in asked.iter().filter_map(|place| targets.get(*place)) {
                self.put_rcpt(target, fitted.utf8);
            }
            match (early, &lines) {
                (Some(bytes), _) => self.put_chunk(bytes, true),
                (None, Some(_)) => {}
                (None, None) => self.out.extend_from_slice(b"DATA\r\n"),
            }
        }
        if !ahead {
            // What came while it rested answers nothing of this.
            self.nothing_unasked().await?;
        }
        *begun = true;
        if !ahead {
            self.put(command).await?;
            // Where not all of it could be written, its end did not go out.
            self.whole = early.is_some();
        }
        if reset {
            let reply = self.first(reused).await?;
            if !reply.positive() {
                return Err(Trouble::Refused(format!("it does not take RSET: {}", reply.line())));
            }
        }
        let mail = if reset { self.reply(command).await? } else { self.first(reused).await? };
        *said = Some(mail.code);
        *refused = self.judge(&mail)?;
        if let Some(outcome) = &*refused {
            fill(outcomes, outcome);
            if !pipelining {
                return Ok(());
            }
        }
        self.reset = refused.is_none() || early.is_some();
        let mut accepted = Vec::with_capacity(asked.len());
        for place in asked {
            if !pipelining {
                self.out.clear();
                if let Some(target) = targets.get(place) {
                    self.put_rcpt(target, fitted.utf8);
                }
                self.write(command).await?;
            }
            let reply = self.reply(command).await;
            // Who said 421 hangs up for that, whoever is named then.
            let reply = reply.inspect_err(|_| *hung_at = Some(place).filter(|_| self.closing.is_none()))?;
            let at_rcpt = match self.judge(&reply)? {
                // RFC 5321 4.5.3.1.10: some say 552 for too many.
                Some(Outcome::Failed(reason)) if reply.code == 552 && !accepted.is_empty() => {
                    Some(Outcome::Deferred(Reason { status: OVER_LIMIT, ..reason }))
                }
                // Without a status of its own that is what it means here.
                Some(Outcome::Deferred(reason))
                    if reply.code == 452 && reply.enhanced.is_none() && !accepted.is_empty() =>
                {
                    Some(Outcome::Deferred(Reason { status: OVER_LIMIT, ..reason }))
                }
                other => other,
            };
            match (&*refused, at_rcpt) {
                (None, None) => accepted.push(place),
                // It has its outcome.
                (Some(_), _) => {}
                (None, Some(outcome)) => {
                    *put_off += usize::from(matches!(outcome, Outcome::Deferred(_)));
                    set(outcomes, place, outcome);
                }
            }
        }
        match (&lines, early) {
            (Some(_), Some(_)) if accepted.is_empty() => {
                // It took the bytes for nobody, and says so; whatever it says, nobody got them.
                self.reply(self.timeouts.end).await.map(|_| ())
            }
            (Some(_), Some(_)) => self.ends(&accepted, outcomes).await,
            (Some(_), None) if accepted.is_empty() => Ok(()),
            (Some(bytes), None) => self.chunks(bytes, &accepted, outcomes).await,
            (None, _) => self.data(pipelining, &fitted.bytes, &accepted, outcomes, next).await,
        }
    }

    /// The first reply of a transaction. Over a kept connection a 421 is its end, and not about this message.
    async fn first(&mut self, reused: bool) -> Result<Reply, Trouble> {
        let reply = self.reply(self.timeouts.command).await?;
        if reused && reply.code == 421 {
            // Whatever went out with the commands was not taken.
            self.whole = false;
            return Err(Trouble::Lost(format!("it says {}", reply.line())));
        }
        Ok(reply)
    }

    /// The message as its chunks carry it, where they are to be used.
    fn chunked<'a>(&self, fitted: &'a Fitted<'_>) -> Option<std::borrow::Cow<'a, [u8]>> {
        self.offers.chunking.then(|| match fitted.body {
            Body::BinaryMime => std::borrow::Cow::Borrowed(&*fitted.bytes),
            _ => stuff::lines(&fitted.bytes),
        })
    }

    fn put_chunk(&mut self, bytes: &[u8], last: bool) {
        let last = if last { " LAST" } else { "" };
        self.out.extend_from_slice(format!("BDAT {}{last}\r\n", bytes.len()).as_bytes());
        self.out.extend_from_slice(bytes);
    }

    /// Sends a message in chunks, each after the reply to the one before.
    async fn chunks(
        &mut self,
        bytes: &[u8],
        accepted: &[usize],
        outcomes: &mut [Option<Outcome>],
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
                return self.ends(accepted, outcomes).await;
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
    async fn data(
        &mut self,
        asked: bool,
        bytes: &[u8],
        accepted: &[usize],
        outcomes: &mut [Option<Outcome>],
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
            return self.lines(bytes, accepted, outcomes, next).await;
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
        outcomes: &mut [Option<Outcome>],
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
        self.ends(accepted, outcomes).await
    }

    /// The commands of the next letter, up to the one that asks for its message. None of the message goes out
    /// before all of them are answered, so that nothing is sent twice if the connection breaks.
    fn put_ahead(&mut self, next: &Letter<'_>) {
        let Ok(fitted) = fit::fit(next, &self.offers, &self.peer) else { return };
        let fits = |target: &&Target| fit::address(&target.address, fitted.utf8).is_ok();
        let targets: Vec<&Target> = next.recipients().filter(fits).collect();
        // One that is converted is signed anew first: its size is not known yet.
        if targets.is_empty()
            || next.pace == Pace::StepByStep
            || !self.runs_ahead()
            || matches!(fitted.bytes, Cow::Owned(_))
        {
            return;
        }
        self.put_mail(next, &fitted);
        targets.iter().for_each(|target| self.put_rcpt(target, fitted.utf8));
        self.out.extend_from_slice(b"DATA\r\n");
        self.ahead = true;
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
    async fn ends(&mut self, accepted: &[usize], outcomes: &mut [Option<Outcome>]) -> Result<(), Trouble> {
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
        // After BDAT that was refused the transaction may still be open (RFC 3030 2).
        self.reset = self.offers.chunking && !matches!(judged, Some(Outcome::Delivered { .. }));
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
        let reason = Reason::reply(reply, &self.peer);
        if reply.code == 421 {
            self.usable = false;
            self.closing.get_or_insert_with(|| reason.clone());
        }
        Ok(Some(if reply.permanent() { Outcome::Failed(reason) } else { Outcome::Deferred(reason) }))
    }

    fn put_mail(&mut self, letter: &Letter<'_>, fitted: &Fitted<'_>) {
        let dispatch = letter.dispatch;
        let mut line = format!("MAIL FROM:<{}>", fitted.sender);
        if self.offers.size.is_some() {
            // Writing into a string cannot fail.
            let _ = write!(line, " SIZE={}", fitted.bytes.len());
        }
        match fitted.body {
            Body::SevenBit => {}
            Body::EightBitMime => line.push_str(" BODY=8BITMIME"),
            Body::BinaryMime => line.push_str(" BODY=BINARYMIME"),
        }
        if fitted.utf8 {
            line.push_str(" SMTPUTF8");
        }
        self.put_notice_wishes(&mut line, dispatch);
        line.push_str("\r\n");
        self.out.extend_from_slice(line.as_bytes());
    }

    /// RET and ENVID (RFC 3461), where they are offered.
    pub(super) fn put_notice_wishes(&self, line: &mut String, dispatch: &Dispatch) {
        if self.offers.dsn {
            if let Some(ret) = dispatch.ret {
                let _ = write!(line, " RET={}", ret_word(ret));
            }
            if let Some(envid) = dispatch.envid.as_deref().filter(|e| fit::is_xtext(e)) {
                let _ = write!(line, " ENVID={envid}");
            }
        }
    }

    pub(super) fn put_rcpt(&mut self, target: &Target, utf8: bool) {
        // Those without a form are not asked for.
        let Ok(address) = fit::address(&target.address, utf8) else { return };
        self.out.extend_from_slice(b"RCPT TO:<");
        self.out.extend_from_slice(address.as_bytes());
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
            if let Some(orcpt) = target.orcpt.as_deref().filter(|o| fit::is_xtext(o)) {
                self.out.extend_from_slice(format!(" ORCPT={orcpt}").as_bytes());
            }
        }
        self.out.extend_from_slice(b"\r\n");
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
