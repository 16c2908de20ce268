//! A message that is being worked on, and the jobs it is made of.

use super::Inner;
use super::aside::Aside;
use super::crowd;
use super::holders::Saving;
use super::room::{For, Room};
use super::shares::Origin;
use super::wish::Wish;
use crate::deliver::{Hand, Outcome};
use crate::envelope::{MessageId, Record};
use crate::spool::deferred::{Fates, State, Word, Words};
use crate::spool::{KeptLog, Position, SpoolError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedSemaphorePermit};

/// Bytes of messages that are kept in memory while they wait.
const HOT_BYTES: usize = 16 << 20;
/// A message larger than this is read off the runtime's threads, and takes [`Room`].
pub(super) const LARGE: usize = 256 << 10;

/// Where a message lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// In the log, before the end of its first attempt.
    Log(Position),
    /// Still in the log, while it is copied to the deferred store.
    Moving(Position),
    /// In the deferred store.
    Deferred,
}

/// A message under way.
pub(super) struct Entry {
    pub id: MessageId,
    /// Unix milliseconds.
    pub received: i64,
    /// Bytes of the message.
    pub size: usize,
    place: Mutex<Place>,
    /// As it was when the attempt began.
    pub state: State,
    /// It may have been delivered before.
    pub again: bool,
    /// It waited in the log for being called.
    pub waited: bool,
    hot: Mutex<Option<Arc<Record>>>,
    heat: usize,
    pub progress: Mutex<Progress>,
    wish: Mutex<Wish>,
    /// An admin wants it thrown away.
    pub removed: Notify,
    /// Somebody is to be told where it is late.
    pub warns: AtomicBool,
    inner: Arc<Inner>,
    /// Bounds how many deferred messages are under way.
    permit: Option<OwnedSemaphorePermit>,
}

/// How far an attempt is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Parts that are not finished: jobs, and whoever keeps the attempt from ending for a moment.
    pub outstanding: usize,
    pub results: Results,
    /// Whether it is written down who has the message.
    pub saving: Saving,
    /// Until its state says what is known, or the message is gone, the log does.
    pub kept: Option<KeptLog>,
    /// More is to be done at the end than to forget the message.
    pub slow: bool,
    /// Recipients of whom the author is to be told when they have it, sorted; nearly always nobody.
    pub asking: Vec<(u16, u16)>,
}

/// What became of recipients in an attempt.
#[derive(Debug, Default)]
pub(super) struct Results {
    /// Of each (dispatch, place in it) whose part is done.
    pub each: Vec<(u16, u16, Outcome)>,
    /// Recipients that have the message though their part is not done: others of it are asked for elsewhere.
    pub early: Vec<(u16, u16)>,
    /// What the author was told meanwhile, and is to be told at the end.
    pub words: Words,
    /// Those of whom more was done before the end; nearly always nobody.
    pub aside: Option<Box<Aside>>,
}

impl Progress {
    /// What the author is to be told of those of a dispatch who have the message now.
    pub fn words(&self, dispatch: u16, targets: &[u16], outcomes: &[Outcome]) -> Words {
        if self.asking.is_empty() {
            return Words::new();
        }
        let asking = |target: &u16| self.asking.binary_search(&(dispatch, *target)).is_ok();
        let each = targets.iter().zip(outcomes).filter(|(target, _)| asking(target));
        let word = |(target, outcome): (&u16, &Outcome)| match outcome {
            Outcome::Delivered { by_hop: Hand::Mailbox } => Some((dispatch, *target, Word::Delivered)),
            Outcome::Delivered { by_hop: Hand::Careless } => Some((dispatch, *target, Word::Relayed)),
            Outcome::Delivered { by_hop: Hand::Careful } | Outcome::Deferred(_) | Outcome::Failed(_) => None,
        };
        each.filter_map(word).collect()
    }
}

impl Results {
    /// What is known of recipients by now.
    pub fn fates(&self) -> Fates {
        Fates { settled: self.settled(), words: self.words.clone() }
    }

    /// Recipients that need nothing more by now, sorted.
    pub fn settled(&self) -> Vec<(u16, u16)> {
        let delivered = self.each.iter().filter(|(.., o)| matches!(o, Outcome::Delivered { .. }));
        let delivered = delivered.map(|(dispatch, target, _)| (*dispatch, *target));
        let given_up = self.aside.iter().flat_map(|aside| &aside.settled);
        let mut all: Vec<(u16, u16)> = delivered.chain(given_up.chain(&self.early).copied()).collect();
        all.sort_unstable();
        // Of whom it was known early, it is known once more when his part is done.
        all.dedup();
        all
    }
}

/// Some recipients of one dispatch with one next hop.
pub(super) struct Job {
    pub entry: Arc<Entry>,
    pub dispatch: u16,
    pub targets: Vec<u16>,
    /// Whose turn it takes.
    pub lane: u64,
    /// Who caused it.
    pub origin: Origin,
    /// When it came into its hop's queue.
    pub since: Instant,
    /// They were put off before, in this attempt.
    pub again: bool,
    /// Where it is large and goes to a next hop: what it has in memory. It is given back without the lock of any lane.
    pub room: Option<Room>,
}

impl Job {
    /// Whether it needs room in memory that it does not have.
    pub fn wants_room(&self) -> bool {
        self.entry.size > LARGE && self.room.is_none()
    }

    /// It, to wait on: others have its room meanwhile.
    pub fn without_room(self) -> Self {
        Self { room: None, ..self }
    }

    /// Whether some of them were put off before; who had no berth was not.
    pub fn was_put_off(&self) -> bool {
        let State { attempts, reasons, .. } = &self.entry.state;
        let its = |dispatch, target| dispatch == self.dispatch && self.targets.contains(&target);
        let mut put_off = reasons.iter().filter(|(.., text)| !crowd::is_of_berths(text));
        self.again || *attempts > 0 || put_off.any(|(dispatch, target, _)| its(*dispatch, *target))
    }
}

/// What an entry is made from.
pub(super) struct Start {
    pub place: Place,
    pub state: State,
    pub again: bool,
    pub waited: bool,
    pub size: usize,
    pub permit: Option<OwnedSemaphorePermit>,
}

impl Entry {
    /// Keeps the record in memory if there is room for it and it has its bytes.
    pub fn new(inner: &Arc<Inner>, record: &Arc<Record>, start: Start) -> Arc<Self> {
        let whole = record.bytes.len() == start.size;
        let heat = record.bytes.len() + 1024;
        let held = inner.hot_bytes.fetch_add(heat, Ordering::Relaxed);
        let fits = whole && start.size <= LARGE && held + heat <= HOT_BYTES;
        if !fits {
            inner.hot_bytes.fetch_sub(heat, Ordering::Relaxed);
        }
        inner.under_way.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self {
            id: record.id,
            received: record.received,
            size: start.size,
            place: Mutex::new(start.place),
            state: start.state,
            again: start.again,
            waited: start.waited,
            hot: Mutex::new(fits.then(|| Arc::clone(record))),
            heat: if fits { heat } else { 0 },
            progress: Mutex::default(),
            wish: Mutex::default(),
            removed: Notify::new(),
            warns: AtomicBool::new(false),
            inner: Arc::clone(inner),
            permit: start.permit,
        })
    }

    /// It was deferred before.
    pub fn is_retry(&self) -> bool {
        self.permit.is_some()
    }

    /// Makes whoever calls a part of the attempt, which does not end before he is [done](Inner::part_done). False: it is at
    /// its end.
    pub fn join(&self) -> bool {
        let mut progress = self.progress();
        let runs = progress.outstanding > 0;
        progress.outstanding += usize::from(runs);
        runs
    }

    pub fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn place(&self) -> Place {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes where it lies, if `change` has a new place for the one it is at. Gives back the old one.
    pub fn move_from(&self, change: impl FnOnce(Place) -> Option<Place>) -> Place {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let old = *place;
        if let Some(new) = change(old) {
            *place = new;
        }
        old
    }

    /// Where it lies, once it is not on the move.
    pub async fn settled_place(&self) -> Place {
        loop {
            match self.place() {
                Place::Moving(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                place => return place,
            }
        }
    }

    /// The record, where it is in memory.
    pub fn hot(&self) -> Option<Arc<Record>> {
        self.hot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn wish(&self) -> Wish {
        *self.wish.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last wish counts. Gives back the one before.
    pub fn set_wish(&self, wish: Wish) -> Wish {
        let before = std::mem::replace(&mut *self.wish.lock().unwrap_or_else(PoisonError::into_inner), wish);
        if wish == Wish::Remove {
            self.removed.notify_one();
        }
        // Who was put off may have waited for that.
        self.progress().results.aside.iter().for_each(|aside| aside.ring());
        before
    }

    /// The record with its bytes, and for a large one the room that it has in memory.
    pub async fn record(&self, reader: For) -> Result<(Arc<Record>, Option<Room>), SpoolError> {
        if let Some(record) = self.hot() {
            return Ok((record, None));
        }
        let place = self.place();
        let mut room = None;
        if self.size > LARGE {
            room = self.inner.room(self.size, reader).await;
        } else if let Place::Log(position) | Place::Moving(position) = place
            && let Ok(record) = self.inner.spool.read(position)
        {
            // Small, and as a rule still in the page cache.
            return Ok((Arc::new(record), None));
        }
        let (spool, id) = (self.inner.spool.clone(), self.id);
        let read = tokio::task::spawn_blocking(move || match place {
            // It may be on the move: the deferred store has it then.
            Place::Log(position) | Place::Moving(position) => {
                spool.read(position).or_else(|error| match spool.deferred().load(id) {
                    Err(SpoolError::Gone) => Err(error),
                    moved => moved,
                })
            }
            Place::Deferred => spool.deferred().load(id),
        });
        let record = read.await.map_err(|e| SpoolError::Unreadable(e.to_string()))??;
        Ok((Arc::new(record), room))
    }
}

impl Entry {
    /// Its record, where a large one may be without its bytes: it is not read whole for its recipients alone.
    pub async fn head(&self) -> Result<(Arc<Record>, Option<Room>), SpoolError> {
        if self.size <= LARGE || self.hot().is_some() || self.place() != Place::Deferred {
            return self.record(For::Record).await;
        }
        let (spool, id) = (self.inner.spool.clone(), self.id);
        let read = tokio::task::spawn_blocking(move || spool.deferred().load_head(id));
        let (head, _) = read.await.map_err(|e| SpoolError::Unreadable(e.to_string()))??;
        Ok((Arc::new(head), None))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.inner.hot_bytes.fetch_sub(self.heat, Ordering::Relaxed);
        self.inner.under_way.fetch_sub(1, Ordering::Relaxed);
        if self.inner.draining()
            && let Some(kept) = self.progress().kept.take()
        {
            // What is known may not be in its state: the next start finds it in the log.
            kept.stays();
        }
    }
}
