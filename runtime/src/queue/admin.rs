//! What an admin sees of the queue and does to it.
//!
//! Reads states and heads from disk when asked; nothing is kept for it. What is done to a message is durable before it is
//! told; in the middle of an attempt it is a [wish](super::wish).

use super::entry::{Entry, Place};
use super::wish::Wish;
use super::{Inner, Queue, now};
use crate::envelope::{DispatchKind, MessageId, Record};
use crate::spool::SpoolError;
use crate::spool::deferred::State;
use serde::Serialize;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// The most of a message's header that is shown, in bytes.
const MAX_HEADER: usize = 32 << 10;

/// How often is looked for messages whose files are not there though the queue has them, and how long is waited in between.
pub(super) const MOST_LOOKS: u32 = if cfg!(test) { 3000 } else { 50 };
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Why an admin's wish was not fulfilled.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum QueueError {
    /// No such message.
    #[error("there is no message {0} in the queue")]
    Unknown(MessageId),
    /// It waits for somebody to release it.
    #[error("message {0} is held: release it first")]
    Held(MessageId),
    /// Nothing calls it back.
    #[error("message {0} was removed; its last attempt is not over yet")]
    Removed(MessageId),
    /// What became of its attempt is being written down.
    #[error(
        "message {0} is at the end of an attempt that cannot be recorded yet: what is wanted is not on disk"
    )]
    Ending(MessageId),
    /// The disk says no.
    #[error("{0}")]
    Disk(String),
}

/// When something is done to a message. It is on disk in either case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Done {
    /// It is done.
    Now,
    /// An attempt is under way, which it does not interrupt: a server that takes the message just now has it.
    AtEnd,
}

/// Where a message stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It is being delivered, or waits for its first attempt.
    Active,
    /// It waits for another attempt.
    Deferred,
    /// It waits for somebody to release it.
    Held,
}

/// A message in the queue.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Listed {
    /// Its name.
    pub id: String,
    /// Where it stands.
    pub state: Standing,
    /// What becomes of what is left of it after the attempt under way, where an admin wants something: `held`, `released`,
    /// `removed`.
    pub then: Option<&'static str>,
    /// Bytes.
    pub size: u64,
    /// Unix milliseconds of its acceptance.
    pub received: i64,
    /// Envelope sender of the first dispatch; empty for `<>`.
    pub sender: String,
    /// Final addresses that are not settled.
    pub recipients: Vec<Waiting>,
    /// Attempts made.
    pub attempts: u32,
    /// Unix milliseconds of the next attempt; none while active or held.
    pub due: Option<i64>,
}

/// An entry of the list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(untagged)]
pub enum Entered {
    /// A message.
    Message(Box<Listed>),
    /// One that cannot be read.
    Unreadable {
        /// Its name.
        id: String,
        /// `unreadable`.
        state: &'static str,
        /// Why.
        error: String,
    },
}

/// A part of the list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Page {
    /// In order of their names.
    pub messages: Vec<Entered>,
    /// Where more follow, the name that they stand behind.
    pub after: Option<String>,
}

/// A recipient that is not settled.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Waiting {
    /// Final address.
    pub address: String,
    /// `message`, `copy` (a blind copy), `notice`.
    pub kind: &'static str,
    /// Waits for somebody to release it, whatever is tried for others.
    pub held: bool,
    /// What was last said of it.
    pub reason: Option<String>,
}

/// One message in full.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Shown {
    /// As in the list.
    #[serde(flatten)]
    pub listed: Listed,
    /// The policy digest under which it was accepted.
    pub table: String,
    /// Its header as stored, cut where long.
    pub header: String,
}

impl Queue {
    /// What is in the queue, in order of names, from behind `after` on: at most `limit` of those that were there when the call
    /// came. Whatever is gone by now is left out.
    ///
    /// # Errors
    /// [`QueueError::Disk`] where nothing could be read at all.
    pub async fn page(&self, after: Option<MessageId>, limit: usize) -> Result<Page, QueueError> {
        let mut all: Vec<MessageId> = {
            // Locked for both: nothing moves from one to the other meanwhile.
            let index = self.inner.index();
            let active = self.inner.active.lock().unwrap_or_else(PoisonError::into_inner);
            let under_way = active.keys().copied().filter(|id| after.is_none_or(|a| *id > a));
            // One more than asked for: then others follow.
            let waiting = index.waiting_behind(after).take(limit.saturating_add(1));
            let deferred = index.behind(after).take(limit.saturating_add(1)).map(|(id, _)| id);
            under_way.chain(waiting).chain(deferred).collect()
        };
        all.sort_unstable();
        all.dedup();
        let more = all.len() > limit;
        all.truncate(limit);
        let after = all.last().filter(|_| more).map(MessageId::to_string);
        let inner = Arc::clone(&self.inner);
        let read = move || {
            let found = inner.look_at(all, || std::thread::sleep(LOOK_AGAIN));
            let enter = |(id, found): (MessageId, Result<Listed, SpoolError>)| match found {
                Ok(listed) => Entered::Message(Box::new(listed)),
                Err(error) => {
                    let (id, error) = (id.to_string(), error.to_string());
                    Entered::Unreadable { id, state: "unreadable", error }
                }
            };
            found.into_iter().map(enter).collect()
        };
        let messages =
            tokio::task::spawn_blocking(read).await.map_err(|e| QueueError::Disk(e.to_string()))?;
        Ok(Page { messages, after })
    }

    /// The messages of a [page](Self::page).
    pub async fn list(&self, after: Option<MessageId>, limit: usize) -> Vec<Listed> {
        let entered = self.page(after, limit).await.map(|page| page.messages).unwrap_or_default();
        let message = |entered| match entered {
            Entered::Message(listed) => Some(*listed),
            Entered::Unreadable { .. } => None,
        };
        entered.into_iter().filter_map(message).collect()
    }

    /// One message with its header.
    ///
    /// # Errors
    /// [`QueueError::Unknown`] or what the disk says.
    pub async fn show(&self, id: MessageId) -> Result<Shown, QueueError> {
        let entry = self.inner.find(id)?;
        let inner = Arc::clone(&self.inner);
        let read = move || -> Result<Shown, QueueError> {
            // One that was under way may be deferred by now, or gone.
            let found = inner.look(id, entry).or_else(|_| inner.look(id, None));
            let (listed, record) = found.map_err(|error| match error {
                SpoolError::Gone => QueueError::Unknown(id),
                error => QueueError::Disk(error.to_string()),
            })?;
            let bytes = match record.bytes.is_empty() {
                true => inner.spool.deferred().load(id).map(|r| r.bytes).unwrap_or_default(),
                false => record.bytes.clone(),
            };
            let end = memchr::memmem::find(&bytes, b"\r\n\r\n").map_or(bytes.len(), |at| at + 2);
            let head = bytes.get(..end.min(MAX_HEADER)).unwrap_or_default();
            let header = String::from_utf8_lossy(head).replace("\r\n", "\n");
            Ok(Shown { listed, table: record.table.clone(), header })
        };
        tokio::task::spawn_blocking(read).await.map_err(|e| QueueError::Disk(e.to_string()))?
    }

    /// Keeps a message in the queue until it is released. Durable on return.
    ///
    /// # Errors
    /// [`QueueError::Unknown`], [`QueueError::Removed`], [`QueueError::Ending`] or what the disk says.
    pub async fn hold(&self, id: MessageId) -> Result<Done, QueueError> {
        self.change(id, Wish::Hold, |state| {
            state.held = true;
            Ok(())
        })
        .await
    }

    /// Lets a held message go, also one that a rule holds. Durable on return.
    ///
    /// # Errors
    /// As [`hold`](Self::hold).
    pub async fn release(&self, id: MessageId) -> Result<Done, QueueError> {
        let now = now();
        self.change(id, Wish::Release, move |state| {
            state.release(now);
            state.due = now;
            Ok(())
        })
        .await
    }

    /// Tries a deferred message now; of one under way, those who were put off and wait for the others.
    ///
    /// # Errors
    /// [`QueueError::Unknown`], [`QueueError::Held`], [`QueueError::Removed`] or what the disk says.
    pub async fn retry(&self, id: MessageId) -> Result<Done, QueueError> {
        self.inner.try_hops_now(|_| true);
        self.bring_forward(id).await
    }

    async fn bring_forward(&self, id: MessageId) -> Result<Done, QueueError> {
        let due = now();
        // One under way is being tried, and what else is wanted of it stays so.
        self.change(id, Wish::None, move |state| {
            if state.held {
                return Err(QueueError::Held(id));
            }
            state.due = due;
            Ok(())
        })
        .await
    }

    /// Throws a message away; nobody is told. Durable on return: no later attempt is made.
    ///
    /// # Errors
    /// [`QueueError::Unknown`], [`QueueError::Ending`] or what the disk says.
    pub async fn remove(&self, id: MessageId) -> Result<Done, QueueError> {
        let inner = Arc::clone(&self.inner);
        self.at_desk(async move {
            let due = match inner.take_planned(id, Wish::Remove).await? {
                Ok(due) => due,
                Err(done) => return Ok(done),
            };
            if let Err(error) = inner.spool.remove_deferred(id).await {
                inner.index().insert(due, id);
                return Err(QueueError::Disk(error.to_string()));
            }
            tracing::info!(%id, "removed from the queue");
            inner.index().remove(id);
            inner.gone(id);
            Ok(Done::Now)
        })
        .await
    }

    /// Changes the state of a deferred message, or leaves a wish with one under way.
    async fn change(
        &self,
        id: MessageId,
        wish: Wish,
        change: impl FnOnce(&mut State) -> Result<(), QueueError> + Send + 'static,
    ) -> Result<Done, QueueError> {
        let inner = Arc::clone(&self.inner);
        self.at_desk(async move {
            let due = match inner.take_planned(id, wish).await? {
                Ok(due) => due,
                Err(done) => return Ok(done),
            };
            let its = Arc::clone(&inner);
            let work = move || {
                let mut refused = Ok(());
                let changed = its.spool.deferred().change(id, |state| refused = change(state));
                refused.and_then(|()| changed.map_err(|e| QueueError::Disk(e.to_string())))
            };
            let changed = tokio::task::spawn_blocking(work).await;
            match changed.map_err(|e| QueueError::Disk(e.to_string())).flatten() {
                Ok(state) => {
                    inner.plan(id, &state);
                    Ok(Done::Now)
                }
                Err(error) => {
                    inner.index().insert(due, id);
                    Err(error)
                }
            }
        })
        .await
    }

    /// Does something when no other admin does. It is done to its end, whether or not whoever asked waits for it.
    async fn at_desk(
        &self,
        work: impl Future<Output = Result<Done, QueueError>> + Send + 'static,
    ) -> Result<Done, QueueError> {
        let inner = Arc::clone(&self.inner);
        inner.settling.fetch_add(1, Ordering::SeqCst);
        let task = async move {
            let done = {
                let _desk = inner.desk.lock().await;
                work.await
            };
            inner.settling.fetch_sub(1, Ordering::SeqCst);
            done
        };
        tokio::spawn(task).await.map_err(|e| QueueError::Disk(e.to_string())).flatten()
    }
}

impl Inner {
    /// The entry of a message under way; none for one that waits.
    pub(super) fn find(&self, id: MessageId) -> Result<Option<Arc<Entry>>, QueueError> {
        // The index is locked for both: nothing moves from one to the other meanwhile.
        let index = self.index();
        if let Some(entry) = self.active.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
            return Ok(Some(Arc::clone(entry)));
        }
        if index.contains(id) { Ok(None) } else { Err(QueueError::Unknown(id)) }
    }

    /// Reads what is known of messages wherever they go meanwhile; those that are gone are left out. Waits in between for all of them
    /// together, so that a page takes no longer for many than for one. Blocks.
    pub(super) fn look_at(
        &self,
        ids: Vec<MessageId>,
        mut wait: impl FnMut(),
    ) -> Vec<(MessageId, Result<Listed, SpoolError>)> {
        let mut all: Vec<_> = ids.into_iter().map(|id| (id, None)).collect();
        for looks in 0..=MOST_LOOKS {
            let mut moving = false;
            all.retain_mut(|(id, found)| {
                if matches!(found, None | Some(Err(SpoolError::Gone))) {
                    *found = self.look_now(*id);
                    moving |= matches!(found, Some(Err(SpoolError::Gone)));
                }
                found.is_some()
            });
            if !moving {
                break;
            }
            // They move, or they are in the middle of being forgotten.
            if looks < MOST_LOOKS {
                wait();
            }
        }
        all.into_iter().filter_map(|(id, found)| Some((id, found?))).collect()
    }

    /// Reads what is known of a message; none where it is gone. Blocks.
    fn look_now(&self, id: MessageId) -> Option<Result<Listed, SpoolError>> {
        let mut again = true;
        loop {
            let entry = self.find(id).ok()?;
            match self.look(id, entry) {
                Ok((listed, _)) => return Some(Ok(listed)),
                // Once more, for whatever stands in its place by now.
                Err(error) if error != SpoolError::Gone && again => again = false,
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Reads what is known of a message. Blocks.
    pub(super) fn look(
        &self,
        id: MessageId,
        entry: Option<Arc<Entry>>,
    ) -> Result<(Listed, Record), SpoolError> {
        let waiting = if entry.is_none() { self.index().position(id) } else { None };
        let then = entry.as_ref().and_then(|entry| entry.wish().becomes());
        let (record, size, state, standing) = match (entry, waiting) {
            (Some(entry), _) => {
                let record = match (entry.hot(), entry.place()) {
                    (Some(record), _) => (*record).clone(),
                    (None, Place::Log(position) | Place::Moving(position)) => self.spool.read(position)?,
                    (None, Place::Deferred) => self.spool.deferred().load_head(id)?.0,
                };
                (record, entry.size as u64, entry.state_so_far(), Standing::Active)
            }
            (None, Some(position)) => {
                let record = self.spool.read(position)?;
                let size = record.bytes.len() as u64;
                let settled = self.fates().get(&id).map(|fates| fates.settled.clone()).unwrap_or_default();
                (record, size, State { settled, ..State::default() }, Standing::Active)
            }
            (None, None) => {
                let (record, size) = self.spool.deferred().load_head(id)?;
                let mut state = self.spool.deferred().state(id)?;
                if self.index().is_hurried(id) {
                    state.due = state.due.min(now());
                }
                let standing = if state.held { Standing::Held } else { Standing::Deferred };
                (record, size, state, standing)
            }
        };
        let mut recipients = Vec::new();
        for (place, dispatch) in (0u16..).zip(&record.dispatches) {
            for (target, recipient) in (0u16..).zip(&dispatch.recipients) {
                if state.settled.binary_search(&(place, target)).is_ok() {
                    continue;
                }
                let reason = state.reasons.iter().find(|(d, t, _)| (*d, *t) == (place, target));
                let held = state.held || (dispatch.hold && !state.released);
                recipients.push(Waiting {
                    held,
                    address: recipient.address.clone(),
                    kind: match dispatch.kind {
                        DispatchKind::Message => "message",
                        DispatchKind::Copy(_) => "copy",
                        DispatchKind::Notice => "notice",
                    },
                    reason: reason.map(|(.., text)| text.clone()),
                });
            }
        }
        let listed = Listed {
            id: id.to_string(),
            state: standing,
            then,
            size,
            received: record.received,
            sender: record.dispatches.first().map(|d| d.sender.clone()).unwrap_or_default(),
            recipients,
            attempts: state.attempts,
            due: (standing == Standing::Deferred).then_some(state.due),
        };
        Ok((listed, record))
    }
}
