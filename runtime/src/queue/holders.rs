//! Who has a message is written down while others of its recipients are still served, and what is to be told of him: after a
//! kill he does not get it again, and his author hears of it all the same.
//!
//! A message in the log needs a note there. The log forgets its notes when it moves on, so of one in the deferred store the
//! state says it, too: one task of the message writes that, each time all that is known by then. It is a part of the attempt.
//! Until that is written, and at the end of the attempt until the message is stored or gone, the log [is kept](KeptLog).

use super::Inner;
use super::entry::{Entry, Place};
use super::settlers::DISK_WAIT;
use crate::deliver::Outcome;
use crate::envelope::MessageId;
use crate::spool::deferred::Fates;
use crate::spool::{KeptLog, Note};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How far the state of a message lags behind what is known of its attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Saving {
    /// Nobody writes it.
    #[default]
    Idle,
    /// It is being written.
    Busy,
    /// The same, and more is known since.
    Behind,
}

impl Inner {
    /// Some have the message before their part of the attempt is done.
    pub(super) fn know_early(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        dispatch: u16,
        targets: &[u16],
        outcomes: &[Outcome],
    ) {
        let delivered = targets.iter().zip(outcomes);
        let delivered = delivered.filter(|(_, outcome)| matches!(outcome, Outcome::Delivered { .. }));
        let settled: Vec<(u16, u16)> = delivered.map(|(target, _)| (dispatch, *target)).collect();
        if settled.is_empty() {
            return;
        }
        // First where whoever moves the message looks, then in the log.
        let words = {
            let mut progress = entry.progress();
            let words = progress.words(dispatch, targets, outcomes);
            progress.results.early.extend_from_slice(&settled);
            progress.results.words.extend_from_slice(&words);
            words
        };
        self.write_known(entry, Fates { settled, words });
    }

    /// Notes who needs nothing more, and what is told of them.
    pub(super) fn note_known(&self, entry: &Entry, known: Fates) {
        let id = entry.id;
        if !matches!(entry.place(), Place::Log(_)) {
            // The frame of one in the log keeps its notes.
            keep_log(entry, self.spool.keep_log());
        }
        if !(known.words.is_empty() && known.settled.is_empty()) {
            self.spool.note(&note_of(id, known));
        }
    }

    /// Has the log say anew what it alone knows of a message, where it has moved on since it is kept for that: all that came
    /// since would stay for as long as the disk refuses the rest. Not where notices were begun: the log knows their names, too.
    pub(super) async fn say_anew(&self, entry: &Entry, note: impl FnOnce() -> Note) {
        let moved_on = entry.progress().kept.as_ref().is_some_and(KeptLog::is_behind);
        if !moved_on || self.draining() {
            return;
        }
        // Kept first: what is known from here on is noted behind that.
        let kept = self.spool.keep_log();
        let note = note();
        if self.spool.note_durably(&note).await.is_ok() {
            entry.progress().kept = Some(kept);
        }
    }

    /// Writes down what the progress of the attempt says already.
    pub(super) fn write_known(self: &Arc<Self>, entry: &Arc<Entry>, known: Fates) {
        self.note_known(entry, known);
        // Whoever moves it just now adds what came meanwhile.
        if entry.place() == Place::Deferred {
            self.save_later(entry);
        }
    }

    /// Has what is known of an attempt written into the state of its message.
    pub(super) fn save_later(self: &Arc<Self>, entry: &Arc<Entry>) {
        {
            let mut progress = entry.progress();
            if progress.outstanding == 0 {
                // The last one ends it in this very moment, and writes all of it.
                return;
            }
            if progress.saving != Saving::Idle {
                progress.saving = Saving::Behind;
                return;
            }
            progress.saving = Saving::Behind;
            progress.outstanding += 1;
        }
        let (inner, entry) = (Arc::clone(self), Arc::clone(entry));
        inner.settling.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            let mut told = false;
            while let Some((known, kept)) = to_save(&entry) {
                let Err(error) = inner.merge(&entry, known).await else { continue };
                if !std::mem::replace(&mut told, true) {
                    let id = entry.id;
                    tracing::warn!(%id, %error, "who has a message is noted in the log alone for now; it is tried again");
                }
                if let Some(kept) = kept {
                    keep_log(&entry, kept);
                }
                let all = || note_of(entry.id, entry.progress().results.fates());
                inner.say_anew(&entry, all).await;
                if !inner.may_save_again(&entry).await {
                    break;
                }
            }
            inner.part_done(entry);
            inner.settling.fetch_sub(1, Ordering::SeqCst);
        });
    }

    /// Waits before a state is written again that could not be; the attempt does not end meanwhile. False where it ends then, which
    /// writes all of it.
    async fn may_save_again(&self, entry: &Entry) -> bool {
        {
            let _waits = self.settlers.waits();
            tokio::select! {
                () = tokio::time::sleep(DISK_WAIT) => {}
                () = self.stop() => {}
            }
        }
        let mut progress = entry.progress();
        let on = progress.outstanding > 1 && !self.draining();
        progress.saving = if on { Saving::Behind } else { Saving::Idle };
        on
    }

    /// Adds what is known of recipients to the state of a deferred message. An error: the log alone says it.
    async fn merge(&self, entry: &Entry, known: Fates) -> io::Result<()> {
        let id = entry.id;
        let _mover = self.movers.acquire().await;
        let spool = self.spool.clone();
        let merge = move || spool.deferred().merge(id, &known.settled, &known.words);
        tokio::task::spawn_blocking(merge).await.map_err(io::Error::other).flatten()
    }
}

/// What the log is told of recipients.
pub(super) fn note_of(id: MessageId, known: Fates) -> Note {
    // One for both: it is never known of a recipient that he has the message, and not that his author is to hear of it.
    if known.words.is_empty() { Note::Settled(id, known.settled) } else { Note::Known(id, known) }
}

/// Keeps the log for a message, where it is not kept already.
pub(super) fn keep_log(entry: &Entry, kept: KeptLog) {
    let mut progress = entry.progress();
    let before = progress.kept.take();
    progress.kept = Some(kept.or_older(before));
}

/// What is to be written next, if anything, and what keeps the log until it is.
fn to_save(entry: &Entry) -> Option<(Fates, Option<KeptLog>)> {
    let mut progress = entry.progress();
    if progress.saving != Saving::Behind {
        progress.saving = Saving::Idle;
        return None;
    }
    progress.saving = Saving::Busy;
    Some((progress.results.fates(), progress.kept.take()))
}
