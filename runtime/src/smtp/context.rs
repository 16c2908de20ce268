//! What all sessions share: the table in force, the acceptor, users, limits, counters, spare memory.
//!
//! Everything here answers at once and never waits; what takes time is a step that the driver does.

use super::memory::Clients;
use super::sasl::{Checked, Password};
use super::settings::Settings;
use crate::acceptor::Acceptor;
use crate::dovecot::{Asker, Dovecot};
use crate::journal::Journal;
use crate::live::Live;
use crate::users::Users;
use crate::verdict::limits::Limits;
use crate::verdict::lookup::Resolver;
use arc_swap::{ArcSwap, ArcSwapOption};
use edict_table::decide::Scratch;
use ring::rand::{SecureRandom, SystemRandom};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Scratches kept for the next transaction.
const SPARE_SCRATCHES: usize = 64;

/// Messages at once whose rules in `mode audit` are looked up.
const MAX_AUDITS: usize = 64;

/// What all sessions share.
pub struct Context {
    /// The table in force.
    pub live: Arc<Live>,
    /// Takes accepted messages.
    pub acceptor: Arc<dyn Acceptor>,
    /// Who may log in, and which mailboxes exist. Swapped whole on reload.
    pub users: Arc<ArcSwap<Users>>,
    /// Answers lookups; where there is none, they stay unknown.
    pub resolver: Option<Arc<dyn Resolver>>,
    /// For STARTTLS and implicit TLS; where it is empty, neither is there. Swapped whole on reload.
    pub tls: Arc<ArcSwapOption<rustls::ServerConfig>>,
    /// Bounds of sessions. Swapped whole on reload: a session keeps those that it began with.
    pub settings: ArcSwap<Settings>,
    /// Who checks passwords in place of the passwd-file. Swapped whole on reload.
    pub dovecot: ArcSwapOption<Dovecot>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Where verdicts are recorded, if anywhere.
    pub journal: Option<Arc<Journal>>,
    /// Counters of `limit` rules.
    pub limits: Arc<Limits>,
    spare: Mutex<Vec<Scratch>>,
    /// Passwords are checked on so many threads at once as there are processors.
    checks: Semaphore,
    /// Connections that wait for the header of their proxy.
    pub(super) unnamed: AtomicU64,
    /// What each client holds of the memory for messages.
    pub(super) holders: Clients,
    /// Messages whose rules on trial are being looked up.
    pub(super) audits: Arc<Semaphore>,
    random: SystemRandom,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Context {
    /// Puts the parts together, with fresh counters.
    #[must_use]
    pub fn new(
        live: Arc<Live>,
        acceptor: Arc<dyn Acceptor>,
        users: Arc<ArcSwap<Users>>,
        settings: Settings,
    ) -> Self {
        Self {
            live,
            acceptor,
            users,
            resolver: None,
            tls: Arc::default(),
            settings: ArcSwap::from_pointee(settings),
            dovecot: ArcSwapOption::empty(),
            metrics: Arc::default(),
            journal: None,
            limits: Arc::default(),
            spare: Mutex::default(),
            checks: Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)),
            unnamed: AtomicU64::new(0),
            holders: Clients::default(),
            audits: Arc::new(Semaphore::new(MAX_AUDITS)),
            random: SystemRandom::new(),
        }
    }

    /// A scratch for one transaction. Idle sessions hold none: it grows to the size of the table.
    #[must_use]
    pub fn take_scratch(&self) -> Scratch {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// A nonce for a login; none where the system has no random bytes.
    pub(super) fn nonce(&self) -> Option<[u8; 18]> {
        let mut nonce = [0; 18];
        self.random.fill(&mut nonce).ok().map(|()| nonce)
    }

    /// Whose password this is. Takes its turn.
    pub(super) async fn check_password(&self, asker: Asker, name: String, password: Password) -> Checked {
        if let Some(dovecot) = self.dovecot.load_full() {
            return dovecot.check(asker, &name, &password.0).await;
        }
        let Ok(_turn) = self.checks.acquire().await else {
            return Checked::Unknown;
        };
        let users = self.users.load_full();
        let check = tokio::task::spawn_blocking(move || {
            if users.verify(&name, &password.0) { Checked::Right(name) } else { Checked::Wrong }
        });
        check.await.unwrap_or(Checked::Unknown)
    }

    /// Whether more than half of the memory for messages is held: then those that come slowly make room.
    pub(super) fn is_pressed(&self, most: u64) -> bool {
        Metrics::get(&self.metrics.memory) > most / 2
    }

    /// Gives a scratch back.
    pub fn put_scratch(&self, scratch: Scratch) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_SCRATCHES {
            spare.push(scratch);
        }
    }
}

/// Counters since the start.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Connections that were taken.
    pub sessions: AtomicU64,
    /// Connections that are open.
    pub open: AtomicU64,
    /// Connections that were closed at once, with a quick 421 where one can be said.
    pub turned_away: AtomicU64,
    /// Messages that got a 250 and go somewhere.
    pub accepted: AtomicU64,
    /// Messages and recipients that were refused, for good or for now.
    pub refused: AtomicU64,
    /// Messages that got a 250 and were dropped for all recipients.
    pub discarded: AtomicU64,
    /// Bytes counted for messages on their way in.
    pub memory: AtomicU64,
}

impl Metrics {
    /// Counts one more.
    pub fn bump(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Reads a counter.
    #[must_use]
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}
