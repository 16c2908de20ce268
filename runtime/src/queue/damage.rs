//! Messages that cannot be read: what may pass is read again, what rotted is set aside for people, and told to its sender.

use super::backlog::MOST_READS;
use super::entry::{Entry, Place, Results};
use super::notice::{Event, Line};
use super::settle::Told;
use super::{Inner, now};
use crate::deliver::Reason;
use crate::envelope::{MessageId, Variant};
use crate::spool::deferred::State;
use crate::spool::{Position, SpoolError};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The longest wait before a message under way is read again.
const READ_WAIT: Duration = Duration::from_secs(60);

impl Inner {
    /// Waits before something is read again that could not be read, longer each time.
    ///
    /// # Errors
    /// The error, when the queue drains: the restart reads it.
    pub(super) async fn read_again(
        &self,
        id: MessageId,
        error: &SpoolError,
        tries: u32,
    ) -> Result<(), SpoolError> {
        if self.draining() {
            return Err(error.clone());
        }
        tracing::warn!(%id, %error, "a message under way cannot be read now; it is tried again");
        let wait = Duration::from_millis(u64::try_from(self.wait(tries)).unwrap_or(0));
        tokio::select! {
            () = tokio::time::sleep(wait.min(READ_WAIT)) => {}
            () = self.stop() => {}
        }
        Ok(())
    }

    /// Takes a message that is damaged out of the queue, with what became of this attempt.
    pub(super) async fn give_up_damaged(
        self: &Arc<Self>,
        entry: &Entry,
        error: &SpoolError,
        results: &Results,
        told: &Told,
    ) -> Result<(), SpoolError> {
        match entry.place() {
            Place::Deferred => {
                let settled = entry.state.settled.iter().copied().chain(results.settled());
                // Nor is anybody told again.
                let settled = settled.chain(told.known_to_fail()).collect();
                self.set_aside(entry.id, error, State { settled, ..entry.state.clone() }).await
            }
            Place::Log(position) | Place::Moving(position) => {
                self.set_aside_log(entry.id, position, error);
                Ok(())
            }
        }
    }

    /// Takes a damaged message in the log out of the queue.
    pub(super) fn set_aside_log(&self, id: MessageId, position: Position, error: &SpoolError) {
        tracing::error!(%id, %error, "a message in the spool's log is lost");
        let spool = self.spool.clone();
        tokio::task::spawn_blocking(move || {
            spool.keep_damaged(position);
            spool.release(position);
        });
        self.gone(id);
    }

    /// Takes a damaged deferred message out of the queue; its file stays for people. Its sender is told, where its head
    /// still says who that is.
    pub(super) async fn set_aside(
        self: &Arc<Self>,
        id: MessageId,
        error: &SpoolError,
        state: State,
    ) -> Result<(), SpoolError> {
        if *error == SpoolError::Gone {
            tracing::error!(%id, "the file of a deferred message is gone");
            self.gone(id);
            return Ok(());
        }
        tracing::error!(%id, %error, "a deferred message cannot be read; its file is set aside");
        let (mut told, mut tries) = (Told::default(), self.settlers.tries());
        let (mut counted, mut reads) = (false, 0);
        loop {
            // Not in memory while the spool has no room for the notice.
            let turn = tries.turn().await;
            let spool = self.spool.clone();
            let head = tokio::task::spawn_blocking(move || spool.deferred().load_head(id)).await;
            let mut record = match head {
                Ok(Ok((record, _))) => record,
                // The disk may give it later.
                Ok(Err(error @ SpoolError::Unreadable(_))) if reads < MOST_READS => {
                    drop(turn);
                    reads += 1;
                    self.read_again(id, &error, reads).await?;
                    continue;
                }
                _ => break,
            };
            reads = 0;
            // Of its text nothing is returned, and so nothing is changed in it.
            record.variants.fill(Variant::default());
            let reason = Reason::new((5, 3, 0), "the message was damaged on the disk of this server");
            let mut lines = Vec::new();
            for (dispatch, of) in (0u16..).zip(&record.dispatches) {
                for (target, _) in (0u16..).zip(&of.recipients) {
                    if !state.settled.contains(&(dispatch, target)) {
                        lines.push(Line { dispatch, target, event: Event::Failed(reason.clone()) });
                    }
                }
            }
            if !std::mem::replace(&mut counted, true) {
                self.failed.fetch_add(lines.len() as u64, Ordering::Relaxed);
            }
            match self.tell(&record, &lines, state.attempts, now(), &mut told).await {
                Ok(()) => break,
                Err(error) if error.is_final() => return Err(error),
                Err(_) => {}
            }
        }
        drop(tries);
        if let Err(error) = self.spool.set_aside_deferred(id).await {
            tracing::error!(%id, %error, "nor can it be set aside");
        }
        self.gone(id);
        Ok(())
    }

    /// The same in a task of its own.
    pub(super) fn set_aside_later(self: &Arc<Self>, id: MessageId, error: SpoolError) {
        let inner = Arc::clone(self);
        inner.settling.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            let set_aside = match inner.state_of_damaged(id).await {
                Ok(state) => inner.set_aside(id, &error, state).await,
                Err(error) => Err(error),
            };
            if let Err(error) = set_aside {
                // It is where it was: the restart finds it.
                tracing::error!(%id, %error, "the sender of a damaged message cannot be told");
            }
            inner.settling.fetch_sub(1, Ordering::SeqCst);
        });
    }

    /// The state of a message that is to be set aside: who has it is not told that he will not. One that the disk does not give for
    /// long is as one that is not there.
    async fn state_of_damaged(&self, id: MessageId) -> Result<State, SpoolError> {
        let mut reads = 0;
        loop {
            let spool = self.spool.clone();
            let state = tokio::task::spawn_blocking(move || spool.deferred().state(id)).await;
            match state.map_err(|e| SpoolError::Unreadable(e.to_string())).flatten() {
                Err(error @ SpoolError::Unreadable(_)) if reads < MOST_READS => {
                    reads += 1;
                    self.read_again(id, &error, reads).await?;
                }
                state => return Ok(state.unwrap_or_default()),
            }
        }
    }
}
