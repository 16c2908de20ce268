//! The store when several daemons share their counters: holding a message's usage there or here, doing
//! the chores, usage and reset of all of them together.

use super::amount::{Day, Window, date_text, day_of};
use super::book::{Need, Warning};
use super::disk::HISTORY_DAYS;
use super::keys;
use super::outbox::{self, Chore};
use super::shared::{Refused, Shared, SharedSettings, WhenDown};
use super::shared_usage::Counter;
use super::{
    Amount, DayUsage, MAX_LISTED, Quotas, Reservation, StoreError, Unheld, UserUsage, day_usage, shown,
    user_key,
};
use crate::envelope::MessageId;
use edict_table::load::Loaded;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

/// Between two attempts to do chores while Redis does not answer.
const AGAIN: Duration = Duration::from_secs(1);

/// Between two looks for counters that another daemon has reset.
const LISTEN: Duration = Duration::from_secs(2);

/// For how long a reset is told to daemons that were away, in milliseconds: past it, what they counted before
/// is of another day.
pub const RESETS_KEPT: i64 = 2 * 24 * 3_600_000;

/// Messages that are taken while Redis does not answer, before mail has to wait for it.
const MAX_OWED: usize = 200_000;

/// The counters cannot be shared.
#[derive(Debug, thiserror::Error)]
pub enum SharedError {
    /// The address cannot be read, or Redis does not answer.
    #[error("shared quota counters: {0}")]
    Redis(#[from] redis::RedisError),
    /// No such counter.
    #[error("nothing is counted for `{0}`; `edictd usage` lists all counters of the last day")]
    Nobody(String),
    /// The daemon is stopping.
    #[error("usage cannot be told now: {0}")]
    Stopped(String),
    /// The counters of this daemon.
    #[error("{0}")]
    Own(#[from] StoreError),
}

impl Quotas {
    /// Shares the counters from now on. After the spool was replayed, before mail is taken; inside a
    /// tokio runtime. Needs no Redis that answers.
    ///
    /// # Errors
    /// The address cannot be read.
    pub fn share(self: &Arc<Self>, settings: SharedSettings) -> Result<(), SharedError> {
        self.share_by(Some(self.prepare(settings)?));
        Ok(())
    }

    /// What [`Quotas::share_by`] takes; nothing is connected yet.
    ///
    /// # Errors
    /// The address cannot be read.
    pub fn prepare(&self, settings: SharedSettings) -> Result<Shared, SharedError> {
        Ok(Shared::new(settings, self.node.clone())?)
    }

    /// Shares the counters by another store from now on, or by none. What a message in hand has reserved stays
    /// in the store that it asked; what is owed goes to the one that comes. Inside a tokio runtime.
    pub fn share_by(self: &Arc<Self>, shared: Option<Shared>) {
        let any = shared.is_some();
        self.shared.store(shared.map(Arc::new));
        self.outbox.bell.notify_one();
        if any && self.shares.set(()).is_ok() {
            tokio::spawn(work_off(Arc::downgrade(self)));
        }
    }

    /// Takes back what an earlier run reserved and the log knows nothing of. False where Redis does not
    /// answer.
    async fn adopt(&self, shared: &Shared) -> bool {
        let Ok(open) = shared.open().await else { return false };
        for id in open {
            if self.outbox.is_orphan(id) {
                tracing::info!(%id, "a reservation without its message is taken back");
                self.outbox.push(id, Chore::Refund, Vec::new());
            }
        }
        true
    }

    /// Resets here what any daemon has reset since, so that nobody is refused at RCPT for what counts no more.
    /// False where Redis does not answer.
    async fn hear(self: &Arc<Self>, shared: &Shared, heard: &mut i64) -> bool {
        let Ok(resets) = shared.resets_since(*heard).await else { return false };
        for (key, at) in resets {
            *heard = (*heard).max(at);
            if !self.book.outlives_reset(&key, at) {
                continue;
            }
            let zone = self.zone.lock().unwrap_or_else(PoisonError::into_inner).1.clone();
            let quotas = Arc::clone(self);
            let done = tokio::task::spawn_blocking(move || quotas.forget(&key, at, day_of(at, &zone).number));
            if !matches!(done.await, Ok(Ok(_))) {
                tracing::error!("a reset by another daemon was not written here");
            }
        }
        true
    }

    /// Does what is to be done, in order. False where Redis does not answer.
    async fn chores(&self, shared: &Shared) -> bool {
        while let Some((id, chore, usage)) = self.outbox.first() {
            let done = match chore {
                Chore::Refund => shared.refund(id).await,
                Chore::Confirm => shared.confirm(id).await,
                Chore::Settle => {
                    let zone = self.zone.lock().unwrap_or_else(PoisonError::into_inner).1.clone();
                    shared.settle(id, &usage, &zone).await
                }
            };
            if done.is_err() {
                return false;
            }
            self.outbox.done(id, chore);
        }
        true
    }

    /// Counts what a message needs, here or in the store that several daemons share.
    ///
    /// # Errors
    /// A bound that it would exceed, or a shared store that cannot be asked.
    pub async fn hold(
        self: &Arc<Self>,
        id: MessageId,
        needs: &[Need],
        now: i64,
        zone: &TimeZone,
    ) -> Result<(Reservation, Vec<Warning>), Unheld> {
        let Some(shared) = self.shared.load_full() else {
            return self.reserve(needs, now, zone).map_err(Unheld::Over);
        };
        // Where nothing is bounded, nobody has to wait for an answer.
        if needs.iter().all(|need| need.bounds.is_empty()) {
            return self.hold_alone(id, needs, now, zone);
        }
        self.outbox.begin(id);
        match shared.reserve(id, needs, now, day_of(now, zone)).await {
            Ok(warnings) => {
                let free: Vec<Need> =
                    needs.iter().map(|need| Need { bounds: Vec::new(), ..need.clone() }).collect();
                let (mut held, _) = self.reserve(&free, now, zone).map_err(|over| {
                    self.give_back(id);
                    Unheld::Over(over)
                })?;
                held.usage.push(outbox::held(id, held.at));
                held.remote = Some(id);
                Ok((held, warnings))
            }
            Err(Refused::Over(over)) => {
                self.outbox.end(id);
                Err(Unheld::Over(over))
            }
            Err(failed) => {
                match failed {
                    // It may have been counted all the same.
                    Refused::Unknown => self.give_back(id),
                    _ => self.outbox.end(id),
                }
                match shared.when_down() {
                    WhenDown::CountLocally if self.outbox.len() < MAX_OWED => {
                        self.hold_alone(id, needs, now, zone)
                    }
                    _ => Err(Unheld::Down),
                }
            }
        }
    }

    /// Counts here, and brings it to the shared counters once the message is durable.
    fn hold_alone(
        self: &Arc<Self>,
        id: MessageId,
        needs: &[Need],
        now: i64,
        zone: &TimeZone,
    ) -> Result<(Reservation, Vec<Warning>), Unheld> {
        let (mut held, warnings) = self.reserve(needs, now, zone).map_err(Unheld::Over)?;
        held.usage.push(outbox::owed(id, held.at));
        Ok((held, warnings))
    }

    pub(super) fn give_back(&self, id: MessageId) {
        self.outbox.push(id, Chore::Refund, Vec::new());
        self.outbox.end(id);
    }

    /// [`Quotas::usage`], of all daemons together where they share. A day that the shared counters do not know,
    /// from before they were shared, is told as this daemon counted it.
    ///
    /// # Errors
    /// The history cannot be read, or Redis does not answer.
    pub async fn usage_everywhere(
        self: &Arc<Self>,
        table: &Arc<Loaded>,
        user: &str,
        now: i64,
    ) -> Result<UserUsage, SharedError> {
        let own = self.aside(table, user, move |quotas, table, user| quotas.usage(table, user, now)).await?;
        let Some(shared) = self.shared.load_full() else { return Ok(own) };
        let today = day_of(now, &self.zone(table));
        let counter = shared.counter(&user_key(table, user)).await?;
        let mut earlier: BTreeMap<String, DayUsage> =
            own.earlier.into_iter().map(|day| (day.date.clone(), day)).collect();
        for (day, amount) in counter.days_before(today.number) {
            let date = date_text(day);
            earlier.insert(date.clone(), day_usage(date, amount));
        }
        let oldest = date_text(today.number.saturating_sub(HISTORY_DAYS));
        let earlier = earlier.into_values().rev().filter(|day| day.date >= oldest).collect();
        Ok(UserUsage { earlier, ..current(own.user, &counter, now, today) })
    }

    /// [`Quotas::usage_of_all`], of all daemons together where they share.
    ///
    /// # Errors
    /// Redis does not answer.
    pub async fn usage_of_all_everywhere(
        self: &Arc<Self>,
        table: &Arc<Loaded>,
        now: i64,
    ) -> Result<Vec<UserUsage>, SharedError> {
        let Some(shared) = self.shared.load_full() else {
            return self.aside(table, "", move |quotas, table, _| Ok(quotas.usage_of_all(table, now))).await;
        };
        let today = day_of(now, &self.zone(table));
        let mut all = Vec::new();
        for prefix in keys::KINDS {
            let keys = shared.keys(prefix).await?;
            let counters = shared.counters(&keys).await?;
            let mut some: Vec<UserUsage> = keys
                .iter()
                .zip(&counters)
                .filter(|(_, counter)| !counter.since(Window::Rolling.first_slot(now, today)).is_zero())
                .map(|(key, counter)| current(shown(key), counter, now, today))
                .collect();
            // A stable sort: those with the same number stay in the order of their names.
            some.sort_by_key(|usage| std::cmp::Reverse(usage.last_24_hours.messages));
            all.extend(some);
        }
        all.truncate(MAX_LISTED);
        Ok(all)
    }

    /// [`Quotas::reset`], also in the shared counters.
    ///
    /// # Errors
    /// There is no such counter; it cannot be written; Redis does not answer.
    pub async fn reset_everywhere(
        self: &Arc<Self>,
        table: &Arc<Loaded>,
        user: &str,
        now: i64,
    ) -> Result<Amount, SharedError> {
        let usage = self.usage_everywhere(table, user, now).await?;
        let days = usage.earlier.iter().chain([&usage.today, &usage.last_24_hours]);
        if days.map(|day| day.messages).sum::<u64>() == 0 && !self.book.knows(&user_key(table, user)) {
            return Err(SharedError::Nobody(user.to_owned()));
        }
        if let Some(shared) = self.shared.load_full() {
            shared.reset(&user_key(table, user), day_of(now, &self.zone(table)), now).await?;
        }
        self.aside(table, user, move |quotas, table, user| quotas.reset(table, user, now)).await
    }

    /// Runs something that waits for the disk off the threads that serve connections.
    async fn aside<T: Send + 'static>(
        self: &Arc<Self>,
        table: &Arc<Loaded>,
        user: &str,
        work: impl FnOnce(&Self, &Loaded, &str) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, SharedError> {
        let (quotas, table, user) = (Arc::clone(self), Arc::clone(table), user.to_owned());
        match tokio::task::spawn_blocking(move || work(&quotas, &table, &user)).await {
            Ok(done) => Ok(done?),
            Err(error) => Err(SharedError::Stopped(error.to_string())),
        }
    }
}

/// Today and the last 24 hours of a counter.
fn current(user: String, counter: &Counter, now: i64, today: Day) -> UserUsage {
    let date = date_text(today.number);
    let used = |window: Window| day_usage(date.clone(), counter.since(window.first_slot(now, today)));
    UserUsage {
        user,
        today: used(Window::CalendarDay),
        last_24_hours: used(Window::Rolling),
        earlier: Vec::new(),
    }
}

/// Unix milliseconds.
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Does what the outbox asks for and hears of resets, for as long as there is a store of counters.
async fn work_off(quotas: Weak<Quotas>) {
    // The store whose open reservations were looked through, and what was heard of resets in it.
    let mut adopted: Option<Arc<Shared>> = None;
    let mut heard = (None, 0);
    // The quota store is not kept while this waits.
    loop {
        let Some(quotas) = quotas.upgrade() else { return };
        let bell = Arc::clone(&quotas.outbox.bell);
        let Some(shared) = quotas.shared.load_full() else {
            drop(quotas);
            let _ = tokio::time::timeout(LISTEN, bell.notified()).await;
            continue;
        };
        let same = |before: &Option<Arc<Shared>>| before.as_ref().is_some_and(|b| Arc::ptr_eq(b, &shared));
        if !same(&adopted) {
            adopted = quotas.adopt(&shared).await.then(|| Arc::clone(&shared));
        }
        if !same(&heard.0) {
            heard = (Some(Arc::clone(&shared)), now().saturating_sub(RESETS_KEPT));
        }
        let well =
            quotas.chores(&shared).await && quotas.hear(&shared, &mut heard.1).await && adopted.is_some();
        drop(quotas);
        if well {
            let _ = tokio::time::timeout(LISTEN, bell.notified()).await;
        } else {
            tokio::time::sleep(AGAIN).await;
        }
    }
}
