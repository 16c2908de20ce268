//! The queue: what is in the spool and waits for delivery.
//!
//! [`Queue::submit`] makes a record durable and hands its recipients, by next hop, to the hops' workers.
//! What fails for now goes to the deferred store and comes back when it is due; what fails for good
//! earns a notice. A record leaves the spool once each recipient is settled.
//!
//! In memory: what is under way, for each deferred message its name and when it is due, for each other one where it lies.

pub mod admin;
mod ages;
mod aside;
mod attempt;
mod backlog;
mod crowd;
mod damage;
mod entry;
mod fair;
pub mod flush;
mod holders;
mod hop;
mod index;
mod leftovers;
pub(crate) mod notice;
mod parts;
mod room;
mod route;
mod schedule;
mod settle;
mod settlers;
mod shares;
mod sockets;
#[cfg(test)]
mod tests;
pub mod through;
mod turns;
mod ways;
mod when;
mod wish;
mod words;
mod work;

pub use route::Hop;
pub(crate) use route::inside as inside_hop;

use crate::deliver::client::Timeouts;
use crate::deliver::connect::Dialer;
pub use crate::deliver::connect::{Local, Login};
use crate::deliver::known::Known;
use crate::deliver::mx::Exchanges;
use crate::deliver::tls::Tls;
use crate::directory::Directory;
use crate::dkim::Signer;
use crate::envelope::{MessageId, Record};
use crate::live::Live;
use crate::spool::deferred::Fates;
use crate::spool::{Recovery, Spool, SpoolError};
use arc_swap::ArcSwap;
use backlog::Backlog;
use crowd::{Crowd, Proven};
use entry::Entry;
use hop::Lane;
use index::Index;
use leftovers::Leftovers;
use room::Rooms;
use route::{Guide, LiveGuide};
use rustls::RootCertStore;
use settlers::Settlers;
use sockets::Sockets;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, Semaphore, watch};
use ways::Ways;

/// Where mail for outside recipients goes that no route names a way for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outside {
    /// Nothing leaves: it lands in Maildirs too.
    Maildir,
    /// To this host and port, which stands in for the MX.
    Relay(String, u16),
    /// To the MX of the recipient's domain.
    Mx,
}

/// What the operator decides on delivery.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our name in EHLO, trace and report fields, where the table gives none.
    pub hostname: String,
    /// The folder that holds `<domain>/<local>/` Maildirs.
    pub mail: PathBuf,
    /// Mail that stays.
    pub local: Local,
    /// Mail that leaves.
    pub outside: Outside,
    /// Logins at relays, by the name that rules use.
    pub logins: BTreeMap<String, Login>,
    /// Wait before the second attempt; each later one doubles, up to [`Settings::retry_max`].
    pub retry_first: Duration,
    /// The longest wait between two attempts.
    pub retry_max: Duration,
    /// From acceptance to giving up.
    pub lifetime: Duration,
    /// From acceptance to a notice of the delay; none where longer than the lifetime.
    pub warn_after: Duration,
    /// Connections to one relay or LMTP server at a time.
    pub connections: usize,
    /// Connections to the servers of one domain at a time.
    pub connections_per_domain: usize,
    /// Connections to all next hops together, but for the local server.
    pub connections_in_all: usize,
    /// Name servers to ask; the system's where empty.
    pub name_servers: Vec<SocketAddr>,
    /// The port of servers that MX records name.
    pub mx_port: u16,
    /// Authorities to trust in place of the system's.
    pub roots: Option<RootCertStore>,
    /// How long next hops may take.
    pub timeouts: Timeouts,
    /// Whom the authors of failed mail stand for.
    pub directory: Directory,
    /// Signs notices.
    pub signer: Signer,
    /// What is known of servers with these settings.
    pub known: Arc<Known>,
}

impl Settings {
    /// What opens connections to next hops.
    pub(crate) fn dialer(&self) -> Dialer {
        Dialer {
            timeouts: self.timeouts,
            local: self.local.clone(),
            logins: self.logins.clone(),
            tls: self.roots.clone().map(Tls::with_roots).unwrap_or_default(),
            exchanges: Exchanges::new(self.name_servers.clone(), self.mx_port),
            known: Arc::clone(&self.known),
        }
    }

    /// The defaults, with Maildirs under this folder and nothing leaving.
    #[must_use]
    pub fn new(hostname: String, mail: PathBuf) -> Self {
        Self {
            hostname,
            mail,
            local: Local::Maildir,
            outside: Outside::Maildir,
            logins: BTreeMap::new(),
            retry_first: Duration::from_secs(15),
            retry_max: Duration::from_secs(3600),
            lifetime: Duration::from_secs(5 * 86400),
            warn_after: Duration::from_secs(4 * 3600),
            connections: 20,
            connections_per_domain: 5,
            connections_in_all: 500,
            name_servers: Vec::new(),
            mx_port: 25,
            roots: None,
            timeouts: Timeouts::default(),
            directory: Directory::offline(),
            signer: Signer::default(),
            known: Arc::default(),
        }
    }
}

/// What the queue did since it was started, and what it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Counters {
    /// Recipients that the next hop or a mailbox took.
    pub delivered: u64,
    /// Recipients that failed for good.
    pub failed: u64,
    /// Attempts that are to be made again, per recipient.
    pub deferred: u64,
    /// Messages in the queue.
    pub queued: u64,
}

/// The queue; cheap to clone.
#[derive(Clone)]
pub struct Queue {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("counters", &self.counters()).finish_non_exhaustive()
    }
}

struct Inner {
    spool: Spool,
    /// How mail goes on; a reload changes it.
    ways: ArcSwap<Ways>,
    lanes: Mutex<HashMap<Hop, Arc<Lane>>>,
    /// How many there may be before those with nothing to do are thrown out.
    most_lanes: AtomicUsize,
    /// Room in memory for destinations by MX, and those who wait for some.
    berths: Arc<Sockets>,
    crowd: Crowd,
    proven: Proven,
    index: Mutex<Index>,
    /// What is to be taken up from the log.
    backlog: Backlog,
    /// Messages in the log that may have files in the deferred store.
    leftovers: Leftovers,
    /// What the last run knew of recipients, where no state says so.
    fates: Mutex<HashMap<MessageId, Fates>>,
    /// Notices that the last run made, sorted.
    made_before: OnceLock<Vec<MessageId>>,
    /// Rung when the index changed in a way that the scheduler must see.
    bell: Notify,
    /// Messages under way.
    active: Mutex<HashMap<MessageId, Arc<Entry>>>,
    hot_bytes: AtomicUsize,
    under_way: AtomicUsize,
    rooms: Rooms,
    begun: Instant,
    /// Bounds how many deferred messages are under way.
    turns: Arc<Semaphore>,
    /// Bounds how many messages move to the deferred store at a time.
    movers: Semaphore,
    settlers: Settlers,
    /// One reload at a time parts anew what waits.
    parting: tokio::sync::Mutex<()>,
    /// One admin at a time changes what waits.
    desk: tokio::sync::Mutex<()>,
    draining: watch::Sender<bool>,
    settling: AtomicUsize,
    workers: AtomicUsize,
    delivered: AtomicU64,
    failed: AtomicU64,
    deferred: AtomicU64,
    queued: AtomicU64,
}

impl Queue {
    /// Starts delivery of what was recovered and of what is submitted. Inside a tokio runtime.
    #[must_use]
    pub fn start(spool: Spool, recovery: Recovery, live: Arc<Live>, settings: Settings) -> Self {
        let queue = Self::at_rest(spool, &recovery, live, settings);
        queue.begin(recovery);
        queue
    }

    /// A queue that leaves alone what was recovered until it is to [`begin`](Self::begin).
    #[must_use]
    pub fn at_rest(spool: Spool, recovery: &Recovery, live: Arc<Live>, settings: Settings) -> Self {
        let guide = LiveGuide::new(live, settings.outside.clone(), settings.directory.clone());
        let tls = settings.roots.clone().map(Tls::with_roots).unwrap_or_default();
        Self::new(spool, recovery, Box::new(guide), tls, settings)
    }

    /// Starts delivery of what was recovered. Inside a tokio runtime, once.
    pub fn begin(&self, recovery: Recovery) {
        schedule::start(&self.inner, recovery);
    }

    #[cfg(test)]
    fn start_with(
        spool: Spool,
        recovery: Recovery,
        guide: Box<dyn Guide>,
        tls: Tls,
        settings: Settings,
    ) -> Self {
        let queue = Self::new(spool, &recovery, guide, tls, settings);
        queue.begin(recovery);
        queue
    }

    fn new(spool: Spool, recovery: &Recovery, guide: Box<dyn Guide>, tls: Tls, settings: Settings) -> Self {
        let queued = recovery.log.len() + recovery.deferred.len();
        let dialer = Dialer { tls, ..settings.dialer() };
        let inner = Arc::new(Inner {
            spool,
            ways: ArcSwap::from_pointee(Ways::new(settings, dialer, guide)),
            lanes: Mutex::default(),
            most_lanes: AtomicUsize::new(hop::MOST_LANES),
            berths: crowd::berths(),
            crowd: Crowd::default(),
            proven: Proven::default(),
            index: Mutex::default(),
            backlog: Backlog::default(),
            fates: Mutex::default(),
            leftovers: Leftovers::default(),
            made_before: OnceLock::new(),
            bell: Notify::new(),
            active: Mutex::default(),
            hot_bytes: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            rooms: Rooms::default(),
            begun: Instant::now(),
            turns: Arc::new(Semaphore::new(turns::MAX_DEFERRED)),
            movers: Semaphore::new(8),
            settlers: Settlers::default(),
            parting: tokio::sync::Mutex::default(),
            desk: tokio::sync::Mutex::default(),
            draining: watch::channel(false).0,
            settling: AtomicUsize::new(0),
            workers: AtomicUsize::new(0),
            delivered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            deferred: AtomicU64::new(0),
            queued: AtomicU64::new(queued as u64),
        });
        Self { inner }
    }

    /// Makes a record durable and schedules its delivery. `Ok` is what a 250 may promise.
    ///
    /// # Errors
    /// As [`Spool::append`].
    pub async fn submit(&self, record: Record) -> Result<(), SpoolError> {
        self.inner.submit(record).await
    }

    /// Whether a message can be taken now; asked before DATA.
    ///
    /// # Errors
    /// As [`Spool::ready`].
    pub fn ready(&self) -> Result<(), SpoolError> {
        self.inner.spool.ready()
    }

    /// Why nothing can be recorded any more, where that is so: then nothing is taken or delivered until a restart.
    #[must_use]
    pub fn stopped(&self) -> Option<String> {
        self.inner.spool.reason()
    }

    /// Resolves, with the reason, once nothing can be recorded any more.
    pub async fn failure(&self) -> String {
        self.inner.spool.failure().await
    }

    /// What was done and what is held.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let inner = &self.inner;
        Counters {
            delivered: read(&inner.delivered),
            failed: read(&inner.failed),
            deferred: read(&inner.deferred),
            queued: read(&inner.queued),
        }
    }

    /// Finishes attempts under way for at most so long; starts none. What is left is on disk.
    pub async fn drain(&self, deadline: Duration) {
        let inner = &self.inner;
        inner.draining.send_replace(true);
        let lanes: Vec<Arc<Lane>> =
            inner.lanes.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        lanes.iter().for_each(|lane| lane.close());
        let busy = || inner.workers.load(Ordering::SeqCst) + inner.settling.load(Ordering::SeqCst) > 0;
        let end = Instant::now() + deadline;
        while busy() && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        inner.active.lock().unwrap_or_else(PoisonError::into_inner).clear();
        if let Err(error) = inner.spool.flush().await {
            tracing::warn!(%error, "the last notes of the queue are not on disk");
        }
    }
}

impl Inner {
    async fn submit(self: &Arc<Self>, record: Record) -> Result<(), SpoolError> {
        let record = Arc::new(record);
        let position = self.spool.append(Arc::clone(&record)).await?;
        self.queued.fetch_add(1, Ordering::Relaxed);
        self.admit(&record, position);
        Ok(())
    }

    fn draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Resolves when the queue drains.
    async fn stop(&self) {
        let mut draining = self.draining.subscribe();
        // The sender lives as long as we do.
        let _ = draining.wait_for(|on| *on).await;
    }

    /// Counts a message among those under way; one that waited outside of memory is not among those any more in the same moment. False where an admin did
    /// something to it since it was read.
    fn enter(&self, entry: &Arc<Entry>) -> bool {
        let mut index = self.index();
        if (entry.is_retry() && !index.finish_taking(entry.id))
            || (entry.waited && !index.finish_waiting(entry.id))
        {
            return false;
        }
        self.active.lock().unwrap_or_else(PoisonError::into_inner).insert(entry.id, Arc::clone(entry));
        true
    }

    /// Our name.
    fn hostname(&self) -> String {
        self.ways.load().hostname()
    }
}

/// Unix milliseconds.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
