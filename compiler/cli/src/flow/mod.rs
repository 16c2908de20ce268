//! What happens to one mail, offline: verdicts per recipient, then what is done to what was accepted.
//!
//! The one place that `explain`, `test` and `replay` share. It decides nothing itself: verdicts are
//! `edict_table::decide`, everything after them is the daemon's own `actions` and `quota`. What it adds is
//! the order, and what a daemon would look up: DNS answers are given or harmless, every local
//! mailbox that rules do not speak of exists, counters hold what they are said to.

mod after;
mod dns;
mod known;
mod verdict;

pub use dns::{Answer, Dns, Record};
pub use known::{Known, Who, recipient};
pub use verdict::{Decided, Ended, Person};

pub use edict_runtime::actions::copies::Copy;
pub use edict_runtime::actions::rehearse::{Count, Reach, Rehearsal};
use edict_runtime::quota::Amount;
use edict_table::fact::Stage;
use edict_table::load::{Loaded, RuleId};
use edict_table::value::Domain;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// A mail and who brings it.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The client.
    pub client: IpAddr,
    /// Its name.
    pub client_name: ClientName,
    /// What it says in HELO.
    pub helo: Option<String>,
    /// The connection is encrypted.
    pub tls: bool,
    /// The login.
    pub login: Option<String>,
    /// The envelope sender; empty for `<>`.
    pub sender: String,
    /// The recipients, in order.
    pub recipients: Vec<String>,
    /// The message, lines ended by CRLF.
    pub message: Vec<u8>,
    /// It is all there; else what it does not say is taken to be in order.
    pub whole: bool,
    /// Counts in place of the message's own size.
    pub size: Option<u64>,
    /// Unix milliseconds.
    pub time: i64,
    /// The result of SPF, by its place in the registry of facts.
    pub spf: u8,
    /// The result of DMARC, likewise.
    pub dmarc: u8,
    /// Domains with a valid DKIM signature.
    pub dkim: Vec<Domain>,
    /// What DNS says.
    pub dns: Dns,
    /// What the sender has used up today.
    pub usage: Amount,
}

/// How the name of a client is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClientName {
    /// This is it, forward-confirmed.
    Given(String),
    /// `dns` tells.
    Asked,
    /// A recording holds none: there was none, or no rule asked.
    NotKept,
}

impl ClientName {
    /// A name that was given, or else what DNS tells.
    pub fn or_asked(name: Option<String>) -> Self {
        name.map_or(Self::Asked, Self::Given)
    }
}

/// What becomes of the whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whole {
    /// At least one recipient gets it.
    Accept,
    /// 5xx for all.
    Reject,
    /// 4xx for all.
    Defer,
    /// 250, and nobody gets it.
    Discard,
}

impl Whole {
    /// The word in machine output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Reject => "reject",
            Self::Defer => "defer",
            Self::Discard => "discard",
        }
    }
}

/// What happens to a mail.
#[derive(Clone, Debug)]
pub struct Happening {
    /// The whole.
    pub whole: Whole,
    /// What the client is told where it is refused.
    pub reply: Option<String>,
    /// When it is told.
    pub stage: Stage,
    /// The rule that decides the whole, where one does.
    pub rule: Option<RuleId>,
    /// Each recipient by itself.
    pub people: Vec<Person>,
    /// What is done to what was accepted; none where nothing was.
    pub sent: Option<Rehearsal>,
    /// How far quotas are used up, with what was accepted.
    pub counts: Vec<Count>,
}

/// Why a mail cannot be looked at.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unfit {
    /// The sender is no address.
    #[error("the sender `{0}` is no address: {1}")]
    Sender(String, String),
    /// A recipient is no address.
    #[error("the recipient `{0}` is no address: {1}")]
    Recipient(String, String),
    /// Nobody is to get it.
    #[error("there is no recipient")]
    Nobody,
}

/// Lets a mail happen.
///
/// # Errors
/// An address cannot be read.
pub fn happen(table: &Arc<Loaded>, mail: &Mail) -> Result<(Happening, Known), Unfit> {
    let mut known = Known::new(table, mail)?;
    let people: Vec<Person> = verdict::people(table, mail, &mut known);
    // Who was turned away at RCPT is no recipient any more. Of the others a submitted message goes to all or to none;
    // of several refusals that for good is told.
    let late = |person: &&Person| person.decided.is_refused() && person.decided.stage >= Stage::Data;
    let submitted =
        people.iter().filter(late).any(|p| known.people.get(p.place).is_some_and(|who| who.submitted));
    let all_refused = people.iter().all(|person| person.decided.is_refused());
    let for_good = |person: &&Person| person.decided.reply.as_ref().is_some_and(|r| r.starts_with('5'));
    let told = people.iter().filter(late).find(for_good).or_else(|| people.iter().find(late));
    let told = told.or_else(|| people.iter().find(|person| person.decided.is_refused()));
    if let Some(first) = told.filter(|_| all_refused || submitted) {
        let happening = Happening {
            whole: if first.decided.reply.as_ref().is_some_and(|r| r.starts_with('4')) {
                Whole::Defer
            } else {
                Whole::Reject
            },
            reply: first.decided.reply.clone(),
            stage: first.decided.stage,
            rule: first.decided.rule(),
            people,
            sent: None,
            counts: Vec::new(),
        };
        return Ok((happening, known));
    }
    let (counts, sent) = after::send(table, mail, &known, &people);
    let happening = match sent {
        Err(refusal) => Happening {
            whole: if refusal.reply.starts_with('4') { Whole::Defer } else { Whole::Reject },
            rule: refusal.rule.as_ref().and_then(|(name, ..)| rule_named(table, name)),
            reply: Some(refusal.reply),
            stage: Stage::Body,
            people,
            sent: None,
            counts,
        },
        Ok(sent) => {
            let accepted: Vec<&Person> = people.iter().filter(|p| !p.decided.is_refused()).collect();
            let discarded = accepted.iter().all(|person| person.decided.is_discarded(table));
            let told = accepted.iter().map(|p| p.decided.stage).max().unwrap_or(Stage::Body);
            let mut rules: Vec<Option<RuleId>> = accepted.iter().map(|p| p.decided.rule()).collect();
            rules.dedup();
            Happening {
                whole: if discarded { Whole::Discard } else { Whole::Accept },
                reply: None,
                stage: told,
                rule: if let [only] = rules.as_slice() { *only } else { None },
                sent: Some(sent),
                people,
                counts,
            }
        }
    };
    Ok((happening, known))
}

/// A rule by its name.
pub fn rule_named(table: &Loaded, name: &str) -> Option<RuleId> {
    let count = u32::try_from(table.rule_count()).unwrap_or(u32::MAX);
    (0..count).map(RuleId).find(|id| table.rule(*id).is_some_and(|rule| rule.name == name))
}

/// Unix milliseconds.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Line ends as SMTP brings them.
pub fn crlf(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 32);
    let mut before = 0;
    for byte in bytes {
        if *byte == b'\n' && before != b'\r' {
            out.push(b'\r');
        }
        out.push(*byte);
        before = *byte;
    }
    out
}
