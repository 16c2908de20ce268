//! What this daemon still has to tell the shared counters: confirm, settle or refund a message.
//!
//! Confirm and settle follow from records in the log: they are found again by its replay, or lie in the
//! database from the checkpoint on. A refund is lost in a crash; what is neither confirmed nor known to
//! the log is refunded at the next start. Each may be done twice and works once.

use crate::envelope::{MessageId, Usage};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// Marks in a record's usage, with the message's name behind them.
const HELD: &str = "@held:";
const OWED: &str = "@owed:";

/// What is to be done; for one message in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Chore {
    /// It came to nothing.
    Refund,
    /// It is durable.
    Confirm,
    /// It is durable, and Redis was not asked.
    Settle,
}

/// The chores by message.
#[derive(Debug, Default)]
pub struct Outbox {
    inner: Mutex<Inner>,
    /// Rung when something is added.
    pub bell: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Inner {
    chores: BTreeMap<(MessageId, Chore), Vec<Usage>>,
    /// Reserved by this process, not decided yet.
    live: HashSet<MessageId>,
}

impl Outbox {
    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a chore.
    pub fn push(&self, id: MessageId, chore: Chore, usage: Vec<Usage>) {
        self.with(|inner| inner.chores.insert((id, chore), usage));
        self.bell.notify_one();
    }

    /// Adds what a durable record asks for; returns its usage without marks.
    #[must_use]
    pub fn read(&self, usage: &[Usage]) -> Vec<Usage> {
        let mut real: Vec<Usage> = usage.iter().filter(|usage| !is_mark(usage)).cloned().collect();
        for mark in usage.iter().filter(|usage| is_mark(usage)) {
            if let Some(id) = mark.key.strip_prefix(HELD).and_then(|id| id.parse().ok()) {
                self.push(id, Chore::Confirm, Vec::new());
            } else if let Some(id) = mark.key.strip_prefix(OWED).and_then(|id| id.parse().ok()) {
                self.push(id, Chore::Settle, real.clone());
            }
        }
        real.shrink_to_fit();
        real
    }

    /// A reservation begins; until it ends nobody else may judge it.
    pub fn begin(&self, id: MessageId) {
        self.with(|inner| inner.live.insert(id));
    }

    /// It has ended. What is to be done then stands here already.
    pub fn end(&self, id: MessageId) {
        self.with(|inner| inner.live.remove(&id));
    }

    /// Whether a reservation found in Redis belongs to nothing that this daemon knows of.
    #[must_use]
    pub fn is_orphan(&self, id: MessageId) -> bool {
        self.with(|inner| !inner.live.contains(&id) && !inner.chores.contains_key(&(id, Chore::Confirm)))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.with(|inner| inner.chores.len())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next chore; it stays until [`Outbox::done`].
    #[must_use]
    pub fn first(&self) -> Option<(MessageId, Chore, Vec<Usage>)> {
        self.with(|inner| inner.chores.first_key_value().map(|((id, chore), u)| (*id, *chore, u.clone())))
    }

    /// It is done.
    pub fn done(&self, id: MessageId, chore: Chore) {
        self.with(|inner| inner.chores.remove(&(id, chore)));
    }

    /// What has to outlast the log: message, and the usage to settle or none to confirm.
    #[must_use]
    pub fn lasting(&self) -> Vec<(MessageId, Vec<Usage>)> {
        self.with(|inner| {
            let lasting = inner.chores.iter().filter(|((_, chore), _)| *chore != Chore::Refund);
            lasting.map(|((id, _), usage)| (*id, usage.clone())).collect()
        })
    }
}

fn is_mark(usage: &Usage) -> bool {
    usage.key.starts_with('@')
}

/// The mark of a message whose usage Redis holds.
#[must_use]
pub fn held(id: MessageId, at: i64) -> Usage {
    mark(format!("{HELD}{id}"), at)
}

/// The mark of a message whose usage Redis does not know.
#[must_use]
pub fn owed(id: MessageId, at: i64) -> Usage {
    mark(format!("{OWED}{id}"), at)
}

fn mark(key: String, at: i64) -> Usage {
    Usage { key, at, messages: 0, recipients: 0, bytes: 0 }
}
