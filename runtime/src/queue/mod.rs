//! The queue: what is in the spool and waits for delivery. Under construction.

use crate::envelope::Record;
use crate::live::Live;
use crate::spool::{Recovery, Spool, SpoolError};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Where mail for outside recipients goes that no route names a relay for.
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
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Our name in EHLO, trace and report fields, where the table gives none.
    pub hostname: String,
    /// The folder that holds `<domain>/<local>/` Maildirs.
    pub mail: PathBuf,
    /// Mail that leaves.
    pub outside: Outside,
    /// Wait before the second attempt; each later one doubles, up to [`Settings::retry_max`].
    pub retry_first: Duration,
    /// The longest wait between two attempts.
    pub retry_max: Duration,
    /// From acceptance to giving up.
    pub lifetime: Duration,
    /// Connections to one relay host at a time.
    pub connections: usize,
}

impl Settings {
    /// The defaults, with Maildirs under this folder and nothing leaving.
    #[must_use]
    pub fn new(hostname: String, mail: PathBuf) -> Self {
        Self {
            hostname,
            mail,
            outside: Outside::Maildir,
            retry_first: Duration::from_secs(15),
            retry_max: Duration::from_secs(3600),
            lifetime: Duration::from_secs(5 * 86400),
            connections: 20,
        }
    }
}

/// What the queue did since it was started, and what it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
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
#[derive(Clone, Debug)]
pub struct Queue {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    spool: Spool,
    queued: AtomicU64,
}

impl Queue {
    /// Starts delivery of what was recovered and of what is submitted. Inside a tokio runtime.
    #[must_use]
    pub fn start(spool: Spool, recovery: Recovery, live: Arc<Live>, settings: Settings) -> Self {
        let _ = (recovery, live, settings);
        Self { inner: Arc::new(Inner { spool, queued: AtomicU64::new(0) }) }
    }

    /// Makes a record durable and schedules its delivery. `Ok` is what a 250 may promise.
    ///
    /// # Errors
    /// As [`Spool::append`].
    pub async fn submit(&self, record: Record) -> Result<(), SpoolError> {
        self.inner.spool.append(Arc::new(record)).await?;
        self.inner.queued.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Whether a message can be taken now; asked before DATA.
    ///
    /// # Errors
    /// As [`Spool::ready`].
    pub fn ready(&self) -> Result<(), SpoolError> {
        self.inner.spool.ready()
    }

    /// What was done and what is held.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters { queued: self.inner.queued.load(Ordering::Relaxed), ..Counters::default() }
    }

    /// Finishes attempts under way for at most so long; starts none. What is left is on disk.
    pub async fn drain(&self, deadline: Duration) {
        let _ = deadline;
    }
}
