//! Asks the next hop of an inside address whether it takes mail for it (`recipients ask` of the profile, docs/language.md):
//! MAIL with the null sender and RCPT, never DATA.
//!
//! Answers are kept: a yes longer than a no, since a mailbox that was just made must be reached soon; what could
//! not be told only for a moment, so that a hop that is down is not called by every client. Bounds: addresses
//! kept, connections, and the time of one probe. The connections are none of the queue's: a client waits for the answer, and
//! the queue may need all of its own for servers that hang. Must not guess: only what speaks of the address is a no.

mod idle;

use super::client::{Session, Trouble};
use super::connect::{Dialer, Local};
use super::reply::Reply;
use crate::live::Live;
use crate::queue::{self, Hop};
use arc_swap::ArcSwap;
use edict_table::facts::Slot;
use edict_table::value::Address;
use idle::Idle;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How long a yes is kept.
const YES: Duration = Duration::from_secs(3600);
/// How long a no is kept.
const NO: Duration = Duration::from_secs(300);
/// How long nothing is asked again after no answer.
const UNKNOWN: Duration = Duration::from_secs(10);
/// Addresses kept.
const MAX_KEPT: usize = 16_384;
/// Connections open at once, those that rest included; so many probes are made at a time.
const AT_ONCE: usize = 32;
/// The time for one probe, its turn and its connection included.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a next hop said of an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Kept {
    answer: Slot<bool>,
    until: Instant,
}

/// How they are asked, as one configuration says.
#[derive(Debug)]
struct Ways {
    dialer: Dialer,
    hostname: String,
}

impl Ways {
    fn new(settings: &queue::Settings) -> Self {
        Self { dialer: settings.dialer(), hostname: settings.hostname.clone() }
    }
}

/// Asks next hops.
pub struct Prober {
    ways: ArcSwap<Ways>,
    live: Arc<Live>,
    kept: Mutex<HashMap<Address, Kept>>,
    idle: Idle,
    turns: Semaphore,
    patience: Duration,
}

impl std::fmt::Debug for Prober {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prober").field("ways", &self.ways).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Prober {
    /// One that goes the ways of the queue with these settings.
    #[must_use]
    pub fn new(live: Arc<Live>, settings: &queue::Settings) -> Self {
        Self {
            ways: ArcSwap::from_pointee(Ways::new(settings)),
            live,
            kept: Mutex::default(),
            idle: Idle::default(),
            turns: Semaphore::new(AT_ONCE),
            patience: PATIENCE,
        }
    }

    /// Goes the ways of these settings from now on, and forgets what was said on the old ones.
    pub fn take_over(&self, settings: &queue::Settings) {
        self.ways.store(Arc::new(Ways::new(settings)));
        lock(&self.kept).clear();
        self.idle.shrink_to(0);
    }

    /// The same, with so much time for one probe.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Whether the next hop takes mail for an inside address; unknown where it does not say.
    pub async fn exists(&self, address: &Address) -> Slot<bool> {
        let now = Instant::now();
        if let Some(kept) = lock(&self.kept).get(address).filter(|kept| kept.until > now) {
            return kept.answer;
        }
        let answer = match timeout(self.patience, self.ask(address)).await {
            Ok(answer) => answer,
            Err(_) => {
                tracing::warn!(%address, "a next hop does not say in time whether an address exists");
                Slot::Unknown
            }
        };
        self.keep(address, answer);
        answer
    }

    fn keep(&self, address: &Address, answer: Slot<bool>) {
        let now = Instant::now();
        let life = match answer {
            Slot::Known(true) => YES,
            Slot::Known(false) => NO,
            _ => UNKNOWN,
        };
        let mut kept = lock(&self.kept);
        if kept.len() >= MAX_KEPT && !kept.contains_key(address) {
            kept.retain(|_, kept| kept.until > now);
            // What harvesters ask for is not there; whom people write to is.
            if kept.len() >= MAX_KEPT {
                kept.retain(|_, kept| kept.answer == Slot::Known(true));
            }
            if kept.len() >= MAX_KEPT {
                kept.clear();
            }
        }
        kept.insert(address.clone(), Kept { answer, until: now + life });
    }

    async fn ask(&self, address: &Address) -> Slot<bool> {
        let table = self.live.current();
        let ways = self.ways.load_full();
        let hop = queue::inside_hop(&table, address.domain());
        if hop == Hop::Local && ways.dialer.local == Local::Maildir {
            tracing::warn!(%address, "`recipients ask`, but mail stays in Maildirs: there is nobody to ask");
            return Slot::Unknown;
        }
        let hostname = table.profile().hostname.clone().unwrap_or_else(|| ways.hostname.clone());
        drop(table);
        let Ok(_turn) = self.turns.acquire().await else {
            return Slot::Unknown;
        };
        // A connection that rested may have been closed meanwhile; then a fresh one is asked.
        if let Some(mut session) = self.idle.take(&hop, Instant::now())
            && let Ok(reply) = probe(&mut session, address).await
        {
            return self.heard(hop, session, address, &reply);
        }
        // Each one in use has a turn, and whoever puts one to rest still has his: none is left out.
        self.idle.shrink_to(self.turns.available_permits());
        let mut session = match ways.dialer.connect(&hop, &hostname).await {
            Ok(session) => session,
            Err(error) => return unheard(address, &error),
        };
        match probe(&mut session, address).await {
            Ok(reply) => self.heard(hop, session, address, &reply),
            Err(error) => unheard(address, &error),
        }
    }

    fn heard(&self, hop: Hop, session: Session, address: &Address, reply: &Reply) -> Slot<bool> {
        self.idle.put(hop, session, Instant::now());
        let answer = meaning(reply);
        if answer == Slot::Unknown {
            tracing::warn!(%address, reply = reply.line(), "a next hop does not say whether an address exists");
        }
        answer
    }
}

fn unheard(address: &Address, error: &Trouble) -> Slot<bool> {
    tracing::warn!(%address, %error, "a next hop cannot be asked whether an address exists");
    Slot::Unknown
}

/// The reply to RCPT, or to MAIL where that is refused. The connection is ready for the next afterwards.
async fn probe(session: &mut Session, address: &Address) -> Result<Reply, Trouble> {
    let utf8 = !address.as_str().is_ascii();
    // RFC 6531 3.4: an address beyond ASCII may stand in no other transaction.
    let smtputf8 = if utf8 && session.offers().smtputf8 { " SMTPUTF8" } else { "" };
    let mail = session.command(&format!("MAIL FROM:<>{smtputf8}\r\n")).await?;
    if !mail.positive() {
        // It speaks of us, not of the address.
        return Ok(Reply { code: 450, ..mail });
    }
    let reply = match utf8 && !session.offers().smtputf8 {
        true => Reply {
            code: 553,
            enhanced: Some((5, 1, 3)),
            text: "it takes no UTF-8".to_owned(),
            ..Reply::default()
        },
        false => session.command(&format!("RCPT TO:<{}>\r\n", written(address))).await?,
    };
    let reset = session.command("RSET\r\n").await?;
    if reset.positive() { Ok(reply) } else { Err(Trouble::Refused(reset.line())) }
}

/// The address as a command holds it: a local part that is no dot-string in quotes (RFC 5321 4.1.2).
fn written(address: &Address) -> String {
    let local = address.local();
    let atom = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || !c.is_ascii();
    if !local.is_empty() && local.split('.').all(|part| !part.is_empty() && part.chars().all(atom)) {
        return format!("{local}@{}", address.domain());
    }
    let quoted: String = local
        .chars()
        .filter(|c| !c.is_control())
        .flat_map(|c| ['\\'].into_iter().filter(move |_| c == '"' || c == '\\').chain([c]))
        .collect();
    format!("\"{quoted}\"@{}", address.domain())
}

/// A yes, a no, or neither: a mailbox that is full, a policy or a fault say nothing about who exists.
fn meaning(reply: &Reply) -> Slot<bool> {
    match (reply.code, reply.enhanced) {
        (200..=299, _) => Slot::Known(true),
        // RFC 3463 3.2: address status; 1.7 and 1.8 are about the sender.
        (500..=599, Some((5, 1, detail))) if !matches!(detail, 7 | 8) => Slot::Known(false),
        // 5.2.1: disabled, and takes no mail.
        (500..=599, Some((5, 2, 1))) => Slot::Known(false),
        (550 | 551 | 553, None | Some((5, 0, 0))) => Slot::Known(false),
        _ => Slot::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_speaks_of_the_address_is_a_no() {
        let reply = |code, enhanced| Reply { code, enhanced, ..Reply::default() };
        for (code, enhanced, want) in [
            (250, None, Slot::Known(true)),
            (251, Some((2, 1, 5)), Slot::Known(true)),
            (550, Some((5, 1, 1)), Slot::Known(false)),
            (550, None, Slot::Known(false)),
            (553, None, Slot::Known(false)),
            (550, Some((5, 2, 1)), Slot::Known(false)),
            (552, Some((5, 2, 2)), Slot::Unknown),
            (550, Some((5, 7, 1)), Slot::Unknown),
            (550, Some((5, 1, 8)), Slot::Unknown),
            (554, None, Slot::Unknown),
            (450, Some((4, 1, 1)), Slot::Unknown),
            (503, None, Slot::Unknown),
        ] {
            assert_eq!(meaning(&reply(code, enhanced)), want, "{code} {enhanced:?}");
        }
    }

    /// CR/LF injection in addresses: whatever an address holds, it stays one path of one command.
    #[test]
    fn addresses_are_written_as_paths() {
        for (text, want) in [
            ("ann@example.com", "ann@example.com"),
            ("\"a b\"@example.com", "\"a b\"@example.com"),
            ("\"a>\\\"\\\\b\"@example.com", "\"a>\\\"\\\\b\"@example.com"),
            ("\"a..b\"@example.com", "\"a..b\"@example.com"),
        ] {
            assert_eq!(written(&Address::parse(text).unwrap()), want, "{text}");
        }
    }
}
