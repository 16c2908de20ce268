//! Quotas: how much mail leaves for whom, exact under concurrency and across crashes.
//!
//! A message reserves at the end of data, in memory ([`book`]). Its usage travels in the record that makes
//! the message durable. What the database ([`disk`]) holds is always the usage of the records up to one
//! place in the spool's log; after a crash the spool replays what lies beyond. A reservation that comes
//! to nothing is taken back when it is dropped. Only accepted outbound mail counts.
//!
//! Limits: rolling days are exact to five minutes on the strict side; one process owns a database.

pub mod amount;
pub mod book;
pub mod disk;
pub mod keys;
pub mod outbox;
mod pending;
pub mod rules;
pub mod shared;
pub mod shared_usage;
pub mod together;

pub use amount::Amount;
pub use disk::StoreError;
pub use keys::{Keys, user_key};

use crate::envelope::{MessageId, Usage};
use crate::files;
use crate::spool::Ledger;
use amount::{Window, date_text, day_of};
use arc_swap::ArcSwapOption;
use book::{Book, Need, Over, Warning};
use disk::{Delta, Disk};
use edict_table::load::Loaded;
use jiff::tz::TimeZone;
use outbox::{Chore, Outbox};
use pending::Pending;
use shared::Shared;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The most users that a list of usage holds.
const MAX_LISTED: usize = 10_000;

/// Between two looks for keys that cannot count any more, in milliseconds.
const SWEEP_MS: i64 = 3_600_000;
/// The quota store.
#[derive(Debug)]
pub struct Quotas {
    book: Book,
    disk: Disk,
    outbox: Outbox,
    /// Where several daemons count together; none where this one counts alone.
    shared: ArcSwapOption<Shared>,
    /// Somebody does what the outbox asks for.
    shares: OnceLock<()>,
    node: String,
    pending: Mutex<Pending>,
    /// When keys that cannot count any more were last forgotten, in Unix milliseconds.
    swept: AtomicI64,
    /// The zone of the last table that was counted for, with its name.
    zone: Mutex<(String, TimeZone)>,
    /// Held over writes: a reset must not slip between what a checkpoint takes and what it stores.
    writing: Mutex<()>,
}

/// Why a message is not counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unheld {
    /// A bound would be exceeded.
    Over(Over),
    /// The shared store cannot be asked, and the configuration says to wait for it.
    Down,
}

/// Usage of one day.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct DayUsage {
    /// `2026-11-24`
    pub date: String,
    /// Messages.
    pub messages: u64,
    /// Recipients.
    pub recipients: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What one user has sent.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct UserUsage {
    /// `ann@example.com`, or `client:192.0.2.7` for mail of nobody known.
    pub user: String,
    /// The calendar day of the profile's zone.
    pub today: DayUsage,
    /// The last 24 hours.
    pub last_24_hours: DayUsage,
    /// Earlier days, newest first, at most 90. Empty in a list of all users.
    pub earlier: Vec<DayUsage>,
}

impl Quotas {
    /// Opens the store in a file, made where it is missing, with the zone (an IANA name) whose days it
    /// counts until a table says otherwise. The spool is to be replayed into it before mail is taken.
    ///
    /// # Errors
    /// The file cannot be read for now, or is held by another process. One that is damaged is set aside, and counting begins
    /// anew: mail is worth more than its numbers.
    pub fn open(path: &Path, zone: &str) -> Result<Self, StoreError> {
        let open = || Self::open_on(Disk::open(path)?, zone);
        // Of some damage the database does not speak: it breaks off.
        let opened = std::panic::catch_unwind(AssertUnwindSafe(open)).unwrap_or(Err(StoreError::Damaged));
        let Err(damage) = opened.as_ref().map(drop) else { return opened };
        if !damage.is_damage() {
            return opened;
        }
        match files::set_aside(path) {
            Ok((kept, _)) => tracing::error!(
                path = %path.display(), kept = %kept.display(), %damage,
                "the usage counters are damaged and set aside: quotas are counted from nothing"
            ),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "damaged usage counters cannot be set aside");
                return opened;
            }
        }
        open()
    }

    fn open_on(disk: Disk, zone: &str) -> Result<Self, StoreError> {
        let found = disk.load()?;
        let book = Book::default();
        for (key, at) in &found.resets {
            book.reset(key, *at);
        }
        for (key, slot, amount) in &found.slots {
            book.restore(key, *slot, *amount);
        }
        let pending = Mutex::new(Pending::new(found.covered, !found.outbox.is_empty()));
        let zone = Mutex::new((zone.to_owned(), zone_named(zone)));
        let outbox = Outbox::default();
        for (id, usage) in found.outbox {
            let chore = if usage.is_empty() { Chore::Confirm } else { Chore::Settle };
            outbox.push(id, chore, usage);
        }
        let node = format!("{:016x}", found.node);
        let (shared, shares) = (ArcSwapOption::empty(), OnceLock::new());
        let (writing, swept) = (Mutex::new(()), AtomicI64::new(0));
        Ok(Self { book, disk, outbox, shared, shares, node, pending, swept, zone, writing })
    }

    /// The zone of a table's profile.
    #[must_use]
    pub fn zone(&self, table: &Loaded) -> TimeZone {
        let name = &table.profile().time_zone;
        let mut zone = self.zone.lock().unwrap_or_else(PoisonError::into_inner);
        if zone.0 != *name {
            *zone = (name.clone(), zone_named(name));
        }
        zone.1.clone()
    }

    /// Counts what a message needs, all of it or nothing.
    ///
    /// # Errors
    /// The first bound that it would exceed.
    pub fn reserve(
        self: &Arc<Self>,
        needs: &[Need],
        now: i64,
        zone: &TimeZone,
    ) -> Result<(Reservation, Vec<Warning>), Over> {
        let swept = self.swept.load(Ordering::Relaxed);
        if now.saturating_sub(swept) > SWEEP_MS
            && self.swept.compare_exchange(swept, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.book.sweep(now);
        }
        let (at, warnings) = self.book.reserve(needs, now, day_of(now, zone))?;
        let usage = needs.iter().map(|need| usage_of(&need.key, at, need.add)).collect();
        Ok((Reservation { quotas: Arc::clone(self), at, usage, remote: None, kept: false }, warnings))
    }

    /// Whether there is room for it; counts nothing.
    ///
    /// # Errors
    /// The first bound that it would exceed.
    pub fn room(&self, needs: &[Need], now: i64, zone: &TimeZone) -> Result<(), Over> {
        self.book.room(needs, now, day_of(now, zone))
    }

    /// What a key has used in a window.
    #[must_use]
    pub fn used(&self, key: &str, window: Window, now: i64, zone: &TimeZone) -> Amount {
        self.book.used(key, window, now, day_of(now, zone))
    }

    /// What a user has sent: today, the last 24 hours, and up to 90 days before.
    ///
    /// # Errors
    /// The history cannot be read.
    pub fn usage(&self, table: &Loaded, user: &str, now: i64) -> Result<UserUsage, StoreError> {
        let zone = self.zone(table);
        let key = user_key(table, user);
        let today = day_of(now, &zone);
        let (mut days, stored) = self.disk.history(&key, i32::MIN, today.number.saturating_sub(1))?;
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = pending.deltas.iter().filter(|delta| delta.seq > stored && delta.key == key);
        for delta in waiting.filter(|delta| delta.day < today.number) {
            match days.iter_mut().find(|(day, _)| *day == delta.day) {
                Some((_, sum)) => *sum = sum.plus(delta.amount),
                None => days.push((delta.day, delta.amount)),
            }
        }
        drop(pending);
        days.sort_by_key(|(day, _)| std::cmp::Reverse(*day));
        let earlier = days.into_iter().map(|(day, amount)| day_usage(date_text(day), amount)).collect();
        Ok(UserUsage { earlier, ..self.current(&key, now, &zone) })
    }

    /// Today's usage of everybody who sent something in the last day, busiest first, at most 10,000.
    #[must_use]
    pub fn usage_of_all(&self, table: &Loaded, now: i64) -> Vec<UserUsage> {
        let zone = self.zone(table);
        let today = day_of(now, &zone);
        let mut all = Vec::new();
        for prefix in keys::KINDS {
            all.extend(self.book.busiest(prefix, Window::Rolling, now, today, MAX_LISTED));
        }
        all.truncate(MAX_LISTED);
        all.into_iter().map(|(key, _)| self.current(&key, now, &zone)).collect()
    }

    fn current(&self, key: &str, now: i64, zone: &TimeZone) -> UserUsage {
        let today = day_of(now, zone);
        let date = date_text(today.number);
        UserUsage {
            user: shown(key),
            today: day_usage(date.clone(), self.book.used(key, Window::CalendarDay, now, today)),
            last_24_hours: day_usage(date, self.book.used(key, Window::Rolling, now, today)),
            earlier: Vec::new(),
        }
    }

    /// Sets a user's counter back to nothing, durably, and logs it. Earlier days stay in the history.
    /// Returns what was forgotten.
    ///
    /// # Errors
    /// It cannot be written. Nothing is reset then, as far as is known: it can be said again.
    pub fn reset(&self, table: &Loaded, user: &str, now: i64) -> Result<Amount, StoreError> {
        let key = user_key(table, user);
        let had = self.forget(&key, now, day_of(now, &self.zone(table)).number)?;
        tracing::warn!(
            key,
            messages = had.messages,
            recipients = had.recipients,
            bytes = had.bytes,
            "quota usage reset"
        );
        Ok(had)
    }

    /// Stores what records up to this one added.
    fn save(&self, seq: u64, chores: &[(MessageId, Vec<Usage>)]) -> Result<(), StoreError> {
        // A checkpoint that ended with an error may stand on the disk all the same.
        let stored = self.disk.covered()?;
        let taken = {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            pending.deltas.retain(|delta| delta.seq > stored);
            pending.tried = seq;
            pending.up_to(seq)
        };
        self.disk.checkpoint(&taken, chores, seq)
    }

    /// Sets a counter back to nothing as of a moment, with its day of the history, durably.
    fn forget(&self, key: &str, at: i64, day: i32) -> Result<Amount, StoreError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.disk.reset(key, at, day)?;
        let had = self.book.reset(key, at);
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.deltas.retain(|delta| delta.key != key || delta.at > at);
        Ok(had)
    }
}

impl Ledger for Quotas {
    fn covered(&self) -> u64 {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).covered
    }

    /// A record found in the log after a start. Those that are counted already are passed over.
    fn replay(&self, seq: u64, usage: &[Usage]) {
        if seq <= self.covered() {
            return;
        }
        for usage in usage.iter().filter(|usage| !usage.key.starts_with('@')) {
            if self.book.outlives_reset(&usage.key, usage.at) {
                self.book.restore(&usage.key, amount::slot_of(usage.at), amount_of(usage));
            }
        }
        self.committed(seq, usage);
    }

    /// Usage was counted when it was reserved; here it is only queued for the database.
    fn committed(&self, seq: u64, usage: &[Usage]) {
        if usage.is_empty() {
            return;
        }
        let usage = self.outbox.read(usage);
        let zone = self.zone.lock().unwrap_or_else(PoisonError::into_inner).1.clone();
        let delta = |usage: &Usage| Delta {
            seq,
            at: usage.at,
            day: day_of(usage.at, &zone).number,
            key: usage.key.clone(),
            amount: amount_of(usage),
        };
        let deltas: Vec<Delta> = usage.iter().map(delta).collect();
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).deltas.extend(deltas);
    }

    fn checkpoint(&self, seq: u64) -> io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if seq <= self.covered() {
            return Ok(());
        }
        let chores = self.outbox.lasting();
        {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            pending.deltas.retain(|delta| delta.seq > seq || self.book.outlives_reset(&delta.key, delta.at));
            // Mail from outside is counted for nobody: that needs no disk, which may be full.
            if chores.is_empty() && pending.has_nothing_to(seq) {
                return Ok(());
            }
        }
        let result = self.save(seq, &chores);
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(()) => pending.saved(seq, !chores.is_empty()),
            Err(_) => pending.fold(seq),
        }
        result.map_err(io::Error::other)
    }
}

fn zone_named(name: &str) -> TimeZone {
    if name == "UTC" {
        return TimeZone::UTC;
    }
    TimeZone::get(name).unwrap_or_else(|error| {
        tracing::error!(zone = name, %error, "unknown time zone: counting days of UTC");
        TimeZone::UTC
    })
}

/// Usage that is counted but whose message is not durable yet. Dropped, it is taken back.
#[derive(Debug)]
#[must_use = "a reservation that is dropped is refunded"]
pub struct Reservation {
    quotas: Arc<Quotas>,
    at: i64,
    usage: Vec<Usage>,
    /// Counted in the shared store under this name.
    remote: Option<MessageId>,
    kept: bool,
}

impl Reservation {
    /// What goes into the message's record.
    #[must_use]
    pub fn usage(&self) -> &[Usage] {
        &self.usage
    }

    /// The record is durable: the usage stays.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.kept {
            if let Some(id) = self.remote {
                self.quotas.outbox.end(id);
            }
        } else {
            let amounts = self.usage.iter().map(|usage| (usage.key.as_str(), amount_of(usage)));
            self.quotas.book.refund(self.at, amounts);
            if let Some(id) = self.remote {
                self.quotas.give_back(id);
            }
        }
    }
}

fn amount_of(usage: &Usage) -> Amount {
    Amount { messages: usage.messages, recipients: usage.recipients, bytes: usage.bytes }
}

fn usage_of(key: &str, at: i64, amount: Amount) -> Usage {
    Usage {
        key: key.to_owned(),
        at,
        messages: amount.messages,
        recipients: amount.recipients,
        bytes: amount.bytes,
    }
}

/// A key as people read it: users by their name alone.
fn shown(key: &str) -> String {
    key.strip_prefix("user:").unwrap_or(key).to_owned()
}

fn day_usage(date: String, amount: Amount) -> DayUsage {
    DayUsage { date, messages: amount.messages, recipients: amount.recipients, bytes: amount.bytes }
}

#[cfg(test)]
mod tests;
