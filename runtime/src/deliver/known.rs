//! What is remembered of servers for a while, so that each connection does not find it out anew: who lets the asker for TLS
//! wait in vain, who was not there and took long to say so, whose login was refused, which recipients one falls silent about, who
//! hangs up on a message that came along with its commands.

use super::client::{Session, Trouble};
use super::login::{Login, authenticate};
use crate::envelope::MessageId;
use crate::queue::Hop;
use edict_table::model::Host;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a server is not asked for TLS where nobody insists on it.
const SILENT_FOR: Duration = Duration::from_secs(3600);
/// How long a server that was not there is left alone while there are others.
const AWAY_FOR: Duration = Duration::from_secs(300);
/// How long a login that was refused is not tried: a few failed ones lock an account at many providers.
pub(crate) const REFUSED_FOR: Duration = Duration::from_secs(60);
/// How long a recipient or a message is remembered that a server fell silent about: longer than it waits for another try.
const HANGING_FOR: Duration = Duration::from_secs(6 * 3600);
/// How long messages wait for the answers to their commands at a hop that had nothing to say to one that did not: at first, which may
/// have been its restart, and where it does so again within the hour after that.
const CURT_FIRST: Duration = Duration::from_secs(300);
const CURT_FOR: Duration = Duration::from_secs(3600);
/// Servers that are remembered of each kind.
const MOST: usize = 1000;

/// What all who open connections by one configuration know.
#[derive(Debug, Default)]
pub struct Known {
    /// Servers that are not asked for TLS.
    pub(super) silent: Timed<SocketAddr, ()>,
    /// Servers that only cost time, and what they came to.
    pub(super) away: Timed<SocketAddr, Trouble>,
    /// Recipients whom a hop had no answer for.
    hanging: Timed<(Hop, String), ()>,
    /// Messages to several, during whose commands a server fell silent or hung up.
    broken_off: Timed<MessageId, ()>,
    /// Hops that had a whole message before they said anything, and then said nothing; and until when messages wait for their answers.
    curt: Timed<Hop, Instant>,
    logins: Mutex<HashMap<(Host, String), Arc<Standing>>>,
}

impl Known {
    pub(super) fn is_silent(&self, server: SocketAddr) -> bool {
        self.silent.get(&server).is_some()
    }

    pub(super) fn add_silent(&self, server: SocketAddr) {
        self.silent.add(server, (), SILENT_FOR);
    }

    /// Why a server is left alone. Once its time is over, whoever asks first tries it, and nobody else meanwhile.
    pub(super) fn why_away(&self, server: SocketAddr) -> Option<Trouble> {
        let mut known = self.away.known();
        let (until, trouble) = known.get_mut(&server)?;
        let now = Instant::now();
        if now < *until {
            return Some(trouble.clone());
        }
        *until = now + AWAY_FOR;
        None
    }

    pub(super) fn add_away(&self, server: SocketAddr, trouble: Trouble) {
        self.away.add(server, trouble, AWAY_FOR);
    }

    /// A hop had no answer for a recipient.
    pub(crate) fn add_hanging(&self, hop: &Hop, address: &str) {
        self.hanging.add((hop.clone(), address.to_owned()), (), HANGING_FOR);
    }

    /// Whether a recipient is to go in a transaction of its own: what it makes a hop do is to happen to nobody else.
    pub(crate) fn hangs(&self, hop: &Hop, address: &str) -> bool {
        !self.hanging.is_empty() && self.hanging.get(&(hop.clone(), address.to_owned())).is_some()
    }

    /// The hop has an answer for a recipient.
    pub(crate) fn forget_hanging(&self, hop: &Hop, address: &str) {
        if !self.hanging.is_empty() {
            self.hanging.forget(&(hop.clone(), address.to_owned()));
        }
    }

    /// A server fell silent, or hung up, before it was known what becomes of a message.
    pub(crate) fn add_broken_off(&self, id: MessageId) {
        self.broken_off.add(id, (), HANGING_FOR);
    }

    /// All commands for a message were answered.
    pub(crate) fn forget_broken_off(&self, id: MessageId) {
        if !self.broken_off.is_empty() {
            self.broken_off.forget(&id);
        }
    }

    /// Whether each command for a message is to wait for the answer to the one before: then it is seen which one has none.
    pub(crate) fn is_broken_off(&self, id: MessageId) -> bool {
        !self.broken_off.is_empty() && self.broken_off.get(&id).is_some()
    }

    /// A hop fell silent, or hung up, on a message that had come along with its commands, without a word.
    pub(crate) fn add_curt(&self, hop: &Hop) {
        let mut known = self.curt.known();
        let now = Instant::now();
        let before = known.get(hop).filter(|(until, _)| now < *until).map(|(_, curt)| *curt);
        // A restart cuts all connections at once.
        if before.is_some_and(|until| now < until) {
            return;
        }
        let life = if before.is_some() { CURT_FOR } else { CURT_FIRST };
        put(&mut known, hop.clone(), now + life, life + CURT_FOR);
        drop(known);
        let seconds = life.as_secs();
        tracing::info!(%hop, seconds, "no word for a whole message: those that follow wait for the answers to their commands");
    }

    /// Whether messages for a hop are to wait for the answers to their commands. Whatever becomes of the connection then, nobody
    /// has them, and they go over another one at once.
    pub(crate) fn is_curt(&self, hop: &Hop) -> bool {
        !self.curt.is_empty() && self.curt.get(hop).is_some_and(|until| Instant::now() < until)
    }

    /// How a login stands at a server.
    pub(super) fn standing(&self, host: &Host, login: &Login) -> Arc<Standing> {
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        if logins.len() >= MOST {
            logins.clear();
        }
        Arc::clone(logins.entry((host.clone(), login.login.clone())).or_default())
    }
}

/// A bounded memory, each part of it for a time.
#[derive(Debug)]
pub(super) struct Timed<K, V>(Mutex<HashMap<K, (Instant, V)>>);

impl<K, V> Default for Timed<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Timed<K, V> {
    fn known(&self) -> MutexGuard<'_, HashMap<K, (Instant, V)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, key: &K) -> Option<V> {
        self.known().get(key).filter(|(until, _)| Instant::now() < *until).map(|(_, value)| value.clone())
    }

    fn is_empty(&self) -> bool {
        self.known().is_empty()
    }

    fn add(&self, key: K, value: V, life: Duration)
    where
        K: Clone,
    {
        put(&mut self.known(), key, value, life);
    }

    pub(super) fn forget(&self, key: &K) {
        self.known().remove(key);
    }
}

/// Remembers one; where there are too many it takes the place of the one that would be forgotten first.
fn put<K: Eq + Hash + Clone, V>(known: &mut HashMap<K, (Instant, V)>, key: K, value: V, life: Duration) {
    let now = Instant::now();
    if known.len() >= MOST && !known.contains_key(&key) {
        known.retain(|_, (until, _)| now < *until);
        let first = known.iter().min_by_key(|(_, (until, _))| *until).map(|(key, _)| key.clone());
        if let Some(first) = first.filter(|_| known.len() >= MOST) {
            known.remove(&first);
        }
    }
    known.insert(key, (now + life, value));
}

/// How a login stands at a server.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// One at a time tries, until it is known that the login is taken.
    turn: tokio::sync::Mutex<()>,
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
enum Now {
    #[default]
    Unknown,
    Taken,
    /// So it was said, and until then it is not tried again.
    Refused(Instant, String),
}

impl Standing {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it was refused with a short while ago.
    pub fn refusal(&self) -> Option<Trouble> {
        match &*self.now() {
            Now::Refused(until, why) if Instant::now() < *until => Some(Trouble::Auth(why.clone())),
            _ => None,
        }
    }

    /// Logs in.
    ///
    /// # Errors
    /// What came of it, now or a short while ago.
    pub async fn log_in(&self, session: &mut Session, login: &Login) -> Result<(), Trouble> {
        let proven = matches!(*self.now(), Now::Taken);
        let _turn = if proven { None } else { Some(self.turn.lock().await) };
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        let result = authenticate(session, login).await;
        match &result {
            Ok(()) => *self.now() = Now::Taken,
            Err(Trouble::Auth(why)) => *self.now() = Now::Refused(Instant::now() + REFUSED_FOR, why.clone()),
            // That says nothing of the login.
            Err(_) => {}
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn it_is_bounded_and_forgets() {
        let known = Known::default();
        known.add_silent(server(1));
        known.silent.add(server(2), (), Duration::ZERO);
        assert!(known.is_silent(server(1)) && !known.is_silent(server(2)) && !known.is_silent(server(3)));
        (3..5000).for_each(|port| known.add_silent(server(port)));
        assert_eq!(known.silent.known().len(), MOST);
        assert!(!known.silent.known().contains_key(&server(2)), "room is made by those whose time is over");
        assert!(known.is_silent(server(4999)) && !known.is_silent(server(1)), "and then by the oldest");
    }

    /// RFC 3030: how long no message goes along with its commands. What a restart cuts is one event, after which it is soon tried
    /// as before; who does so again is known for longer.
    #[test]
    fn a_hop_is_curt_for_long_where_it_was_before() {
        let (known, hop) = (Known::default(), Hop::Nowhere(String::new()));
        let left = || known.curt.get(&hop).map(|until| until.saturating_duration_since(Instant::now()));
        let over = || known.curt.known().get_mut(&hop).unwrap().1 = Instant::now();
        assert_eq!([CURT_FIRST, CURT_FOR].map(|time| time.as_secs()), [5 * 60, 60 * 60]);
        assert!(!known.is_curt(&hop));
        (0..10).for_each(|_| known.add_curt(&hop));
        assert!(known.is_curt(&hop) && left() <= Some(CURT_FIRST));
        over();
        assert!(!known.is_curt(&hop));
        (0..10).for_each(|_| known.add_curt(&hop));
        assert!(known.is_curt(&hop) && left() > Some(CURT_FIRST) && left() <= Some(CURT_FOR));
        // Long after the end it is as it was.
        known.curt.known().get_mut(&hop).unwrap().0 = Instant::now();
        assert!(!known.is_curt(&hop));
        known.add_curt(&hop);
        assert!(known.is_curt(&hop) && left() <= Some(CURT_FIRST));
    }

    /// Once its time is over one connection tries a server that was not there, and the others leave it alone meanwhile.
    #[test]
    fn one_tries_again() {
        let known = Known::default();
        assert_eq!(known.why_away(server(1)), None);
        known.away.add(server(1), Trouble::Silent, Duration::ZERO);
        assert_eq!(known.why_away(server(1)), None);
        assert_eq!(known.why_away(server(1)), Some(Trouble::Silent));
        known.away.forget(&server(1));
        assert_eq!(known.why_away(server(1)), None);
    }
}
