//! One transaction with a next hop: MAIL, RCPT, then DATA or BDAT, and what its replies mean.
//!
//! Everything that need not wait goes out at once where PIPELINING is offered (RFC 2920), a small message
//! with it where CHUNKING is (RFC 3030). Whatever comes back, each recipient gets an outcome.

mod commands;
mod message;

use super::client::{Session, Trouble};
use super::fit;
use super::reply::{Reply, ReplyError};
use super::{Letter, Outcome, Pace, Reason};
use crate::envelope::Target;
use std::borrow::Cow;

/// A message up to this goes out with its commands, before it is known who is refused.
const EARLY: usize = 64 << 10;

/// Too many recipients (RFC 3463 3.6).
const OVER_LIMIT: (u8, u16, u16) = (4, 5, 3);

/// Recipients that a server did not take for now, or whose message it takes in no form: it has none for them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PutOff {
    /// Their places among the targets.
    pub places: Vec<usize>,
    /// It takes nothing for now, or not this message; where not, it spoke of these recipients alone.
    pub all: bool,
}

/// What became of a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    /// One for each target, in their order.
    pub outcomes: Vec<Outcome>,
    /// What ended the connection, if it did.
    pub trouble: Option<Trouble>,
    /// Why it takes nothing now, whatever the message: it said 421, or broke off.
    pub closing: Option<Reason>,
    /// Whom it did not take for now: another server may.
    pub put_off: PutOff,
    /// A kept connection turned out to be of no use before it answered anything: nobody has the message.
    pub stale: bool,
    /// All of the message went out with its commands, and nothing at all was said: whether it was taken, nobody knows.
    pub wordless: bool,
    /// The replies that took the message, each with the place of the first target that it is for.
    pub said: Vec<(usize, String)>,
    /// The target at whose RCPT it ended: the first one without an answer.
    pub hung_at: Option<usize>,
}

impl Sent {
    /// What was said of the message to the target at this place, where it was taken.
    #[must_use]
    pub fn said_of(&self, place: usize) -> &str {
        self.said
            .iter()
            .rfind(|(first, _)| *first <= place)
            .map(|(_, said)| said.as_str())
            .unwrap_or_default()
    }
}

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
    /// What took the message, and from which place on.
    taken: Vec<(usize, String)>,
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
        Sent { outcomes, trouble, closing, put_off, stale, wordless, said: told.taken, hung_at: told.hung_at }
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
        Told { begun, said, refused, put_off, hung_at, taken }: &mut Told,
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
        // RFC 5321 4.3.1: where PIPELINING is not offered nothing goes along with it.
        let alone = reset && !self.offers.pipelining;
        if alone {
            self.nothing_unasked().await?;
            *begun = true;
            self.put(command).await?;
            self.hear_reset().await?;
            self.out.clear();
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
        if reset && !alone {
            self.hear_reset().await?;
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
            (Some(_), Some(_)) => self.ends(&accepted, (outcomes, taken)).await,
            (Some(_), None) if accepted.is_empty() => Ok(()),
            (Some(bytes), None) => self.chunks(bytes, &accepted, (outcomes, taken)).await,
            (None, _) => self.data(pipelining, &fitted.bytes, &accepted, (outcomes, taken), next).await,
        }
    }

    /// Hears that what was left of the transaction before is gone.
    pub(super) async fn hear_reset(&mut self) -> Result<(), Trouble> {
        let reply = self.first(true).await?;
        match reply.positive() {
            true => Ok(()),
            false => Err(Trouble::Refused(format!("it does not take RSET: {}", reply.line()))),
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

    /// Whether it wants TLS (RFC 3207 4) that did not come about this time: the next time it may.
    pub(super) fn misses_tls_for(&self, reply: &Reply) -> bool {
        self.misses_tls && reply.code == 530
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
        if self.misses_tls_for(reply) {
            return Ok(Some(Outcome::Deferred(Reason { status: (4, 7, 0), ..reason })));
        }
        if reply.code == 421 {
            self.usable = false;
            self.closing.get_or_insert_with(|| reason.clone());
        }
        Ok(Some(if reply.permanent() { Outcome::Failed(reason) } else { Outcome::Deferred(reason) }))
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
