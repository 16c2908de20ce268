//! After an attempt: what was delivered is noted, what waits is stored and planned, what failed is told.
//!
//! The order is what keeps mail: a notice is durable before its message is forgotten, the deferred file
//! before the log lets go of the record. A kill between the two has the attempt made again; the notice that is made then has the
//! name of the one that is there, and is not sent. What is owed of recipients who had the message before a restart is
//! [told](super::words) with the others.

use super::backlog::MOST_READS;
use super::crowd;
use super::entry::{Entry, Place, Results};
use super::holders::note_of;
use super::notice::{self, Event, Line};
use super::room::For;
use super::when::Age;
use super::wish::Wish;
use super::{Inner, now};
use crate::deliver::{Hand, Outcome, Reason};
use crate::envelope::{DispatchKind, MessageId, Record};
use crate::spool::deferred::{State, Word};
use crate::spool::{Note, SpoolError};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// How long to wait before a note that the log has no room for is tried again.
const NOTE_WAIT: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 5000 });
/// How often a deferred message is read again before it makes room for others.
const READ_TRIES: u32 = 3;

/// What an attempt is judged by from the first look at its message on: whatever is tried again, the same recipients are told the
/// same, in notices of the same names.
struct Verdict {
    now: i64,
    wish: Wish,
    age: Age,
    told: Told,
}

/// What was told already where not all notices are durable yet.
#[derive(Default)]
pub(super) struct Told {
    begun: bool,
    /// The notices that are durable: what they tell of which dispatch, and their names.
    made: Vec<(notice::About, MessageId)>,
    /// Who failed.
    failed: Vec<(u16, u16)>,
}

impl Told {
    /// Whether some of it may be told.
    pub fn is_begun(&self) -> bool {
        self.begun
    }

    /// Those who failed and whose author knows it.
    pub fn known_to_fail(&self) -> impl Iterator<Item = (u16, u16)> {
        let is_made = |dispatch| self.made.iter().any(|(about, _)| *about == (dispatch, "failed"));
        self.failed.iter().copied().filter(move |(dispatch, _)| is_made(*dispatch))
    }
}

/// Why an attempt is not recorded.
enum Unsettled {
    /// The disk does not take it now.
    NoRoom,
    /// Its message cannot be read now.
    Unreadable(SpoolError),
    /// Its message cannot be read any more.
    Damaged(SpoolError),
    /// Nothing can be recorded.
    Failed(SpoolError),
}

/// What is left of a message is stored with this state; what an admin wanted then is in it.
type Left = (State, Wish);

impl Inner {
    pub(super) async fn settle(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        results: Results,
    ) -> Result<(), SpoolError> {
        let mut verdict = None;
        let (mut tries, mut waits, mut reads) = (self.settlers.tries(), false, 0);
        loop {
            // When a hop goes down, all that waits for it comes here at once: not all of it is read at once.
            let turn = tokio::select! {
                turn = tries.turn() => Some(turn),
                () = entry.removed.notified(), if waits => None,
            };
            if waits && entry.wish() == Wish::Remove {
                // That needs neither room nor the message.
                drop((turn, tries));
                return self.forget(entry).await;
            }
            let Some(turn) = turn else { continue };
            let settled = self.try_to_settle(entry, &results, &mut verdict, &mut reads).await;
            drop(turn);
            match settled {
                Ok(None) => {
                    drop(tries);
                    return self.forget(entry).await;
                }
                Ok(Some((state, wish))) => {
                    drop(tries);
                    return self.keep(entry, state, wish).await;
                }
                Err(Unsettled::NoRoom) => {
                    waits = true;
                    self.say_anew_of(entry, &results, verdict.as_ref()).await;
                }
                Err(Unsettled::Unreadable(error)) => {
                    self.say_anew_of(entry, &results, verdict.as_ref()).await;
                    // Whatever else waits keeps its place, and goes first.
                    (tries, waits, reads) = (self.settlers.tries(), true, reads + 1);
                    let _waits = self.settlers.waits();
                    tokio::select! {
                        read = self.read_again(entry.id, &error, reads) => read?,
                        () = entry.removed.notified() => {}
                    }
                }
                Err(Unsettled::Damaged(error)) => {
                    drop(tries);
                    let told = verdict.map(|verdict| verdict.told).unwrap_or_default();
                    return self.give_up_damaged(entry, &error, &results, &told).await;
                }
                Err(Unsettled::Failed(error)) => return Err(error),
            }
        }
    }

    /// Records an attempt, with the message in memory. Some: what is left of it is stored, and to be planned; none: nothing of it is
    /// needed any more.
    async fn try_to_settle(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        results: &Results,
        verdict: &mut Option<Verdict>,
        reads: &mut u32,
    ) -> Result<Option<Left>, Unsettled> {
        // Who failed is then not to be asked for again: his author may know.
        let told = verdict.as_ref().is_some_and(|verdict| verdict.told.is_begun());
        let (record, _room) = match entry.record(For::Record).await {
            Ok(found) => {
                // What fails later is counted anew.
                *reads = 0;
                found
            }
            Err(SpoolError::Unreadable(_))
                if *reads >= READ_TRIES && entry.place() == Place::Deferred && !told =>
            {
                return self.put_off(entry, results).await;
            }
            Err(error @ SpoolError::Unreadable(_)) if *reads < MOST_READS => {
                return Err(Unsettled::Unreadable(error));
            }
            Err(error) => return Err(Unsettled::Damaged(error)),
        };
        let Verdict { now, wish, age, told } = verdict.get_or_insert_with(|| self.verdict(entry));
        let (now, wish) = (*now, *wish);
        let mut state = entry.state.clone();
        state.reasons.clear();
        let held_before = open_targets(&record, &state).held;
        if wish == Wish::Release {
            state.release(now);
        }
        let Results { each, words, aside, .. } = results;
        state.add(&[], words);
        if let Some(aside) = aside {
            state.settled.extend_from_slice(&aside.settled);
        }
        // Who waits in memory for another try waits on disk from now on.
        let waiting = aside.iter().flat_map(|aside| aside.waiting());
        let waiting = waiting.map(|((d, t), reason)| (d, t, Outcome::Deferred(reason.clone())));
        let mut lines: Vec<Line> = Vec::new();
        for (dispatch, target, outcome) in each.iter().cloned().chain(waiting) {
            let event = match outcome {
                Outcome::Delivered { by_hop } => {
                    state.settled.push((dispatch, target));
                    match by_hop {
                        Hand::Mailbox => Event::Delivered,
                        Hand::Careless => Event::Relayed,
                        Hand::Careful => continue,
                    }
                }
                Outcome::Failed(reason) => {
                    state.settled.push((dispatch, target));
                    Event::Failed(reason)
                }
                Outcome::Deferred(reason) if age.over && !crowd::is_of_berths(&reason.text) => {
                    state.settled.push((dispatch, target));
                    Event::Failed(reason)
                }
                Outcome::Deferred(reason) => {
                    state.reasons.push((dispatch, target, reason.text.clone()));
                    Event::Delayed(reason)
                }
            };
            lines.push(Line { dispatch, target, event });
        }
        state.settled.sort_unstable();
        state.settled.dedup();
        state.warned |= age.late;
        self.add_owed(record.id, &entry.state, &state, &mut lines);
        lines.retain(|line| match line.event {
            Event::Delayed(_) => age.late && !state.says(line.dispatch, line.target, Word::Delay),
            Event::Failed(_) => wish != Wish::Remove,
            Event::Delivered | Event::Relayed | Event::Expanded => true,
        });
        match self.tell(&record, &lines, entry.state.attempts, age.until, told).await {
            Ok(()) => {}
            Err(error) if error.is_final() => return Err(Unsettled::Failed(error)),
            Err(_) => return Err(Unsettled::NoRoom),
        }
        state
            .words
            .iter_mut()
            .filter(|(.., word)| *word > Word::Delay)
            .for_each(|(.., word)| *word = Word::Told);
        let open = open_targets(&record, &state);
        if (open.active == 0 && open.held == 0) || wish == Wish::Remove {
            return Ok(None);
        }
        let (tries, due) = self.next_try(&state, aside.as_deref());
        state.attempts = state.attempts.saturating_add(if open.active > 0 { tries } else { 0 });
        state.held = open.active == 0 || wish == Wish::Hold;
        // Those that are released go at once.
        let at_once = wish == Wish::Release && held_before > 0;
        state.due = if at_once { now } else { due };
        self.store(entry, Some(&record), &state).await?;
        Ok(Some((state, wish)))
    }

    /// Has the log say anew what it alone knows of an attempt that cannot be recorded yet.
    async fn say_anew_of(&self, entry: &Entry, results: &Results, verdict: Option<&Verdict>) {
        if !verdict.is_some_and(|verdict| verdict.told.is_begun()) {
            self.say_anew(entry, || note_of(entry.id, results.fates())).await;
        }
    }

    fn verdict(&self, entry: &Entry) -> Verdict {
        let (now, wish) = (now(), entry.wish());
        let since = if wish == Wish::Release { now } else { entry.state.since };
        Verdict { now, wish, age: self.age(entry, since, wish), told: Told::default() }
    }

    /// Plans another attempt for a deferred message that cannot be read for longer. Whom it was delivered to is
    /// remembered; who refused it is asked again, since nobody can be told of it.
    async fn put_off(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        results: &Results,
    ) -> Result<Option<Left>, Unsettled> {
        let mut state = entry.state.clone();
        state.add(&results.settled(), &results.words);
        let wish = entry.wish();
        if wish == Wish::Remove {
            return Ok(None);
        }
        state.attempts += 1;
        if wish == Wish::Release {
            state.release(now());
        }
        state.held = wish == Wish::Hold;
        state.due = now() + self.wait(state.attempts);
        self.store(entry, None, &state).await?;
        Ok(Some((state, wish)))
    }

    /// Sends the notices that an attempt calls for, but for those that were made before. Each is durable on return.
    ///
    /// # Errors
    /// Where it is not [final](SpoolError::is_final), the spool has no room for the rest now: whoever calls lets go of the message,
    /// and tells the same again.
    pub(super) async fn tell(
        self: &Arc<Self>,
        record: &Record,
        lines: &[Line],
        attempt: u32,
        until: i64,
        told: &mut Told,
    ) -> Result<(), SpoolError> {
        if lines.is_empty() {
            return Ok(());
        }
        if !std::mem::replace(&mut told.begun, true) {
            lines.iter().for_each(|line| log_given_up(record, line));
            let failed = lines.iter().filter(|line| matches!(line.event, Event::Failed(_)));
            told.failed = failed.map(|line| (line.dispatch, line.target)).collect();
        }
        let hostname = self.hostname();
        let ways = self.ways.load_full();
        let keys = ways.settings.signer.of_domain(&hostname);
        let notices = notice::notices(&*ways.guide, &hostname, record, lines, attempt, now(), until);
        for (about, mut notice) in notices {
            let name = notice.id;
            if told.made.contains(&(about, name)) {
                continue;
            }
            if self.was_made(name) {
                tracing::info!(id = %record.id, notice = %name, "its author was told of this before the last restart");
                told.made.push((about, name));
                continue;
            }
            if let Some(edit) = keys.as_ref().and_then(|keys| keys.sign(&name, &notice.bytes, &[])) {
                notice.bytes.splice(edit.range, edit.bytes);
            }
            match self.submit(notice).await {
                Ok(()) => {}
                Err(SpoolError::TooLarge) => {
                    tracing::error!(id = %record.id, "a notice is too large to be sent");
                }
                Err(error) => {
                    tracing::warn!(id = %record.id, %error, "a notice waits for the spool");
                    return Err(error);
                }
            }
            told.made.push((about, name));
        }
        Ok(())
    }

    /// Whether the last run made a notice of this name, which is in the spool or was sent: a kill kept that from being written down.
    pub(super) fn was_made(&self, notice: MessageId) -> bool {
        self.made_before.get().is_some_and(|made| made.binary_search(&notice).is_ok())
    }

    /// Stores what is left of a message for another attempt; of one that is in the deferred store already, the
    /// state alone.
    async fn store(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        record: Option<&Arc<Record>>,
        state: &State,
    ) -> Result<(), Unsettled> {
        // Bounds how many write at a time; notices do not wait behind them.
        let place = entry.settled_place().await;
        let _mover = self.movers.acquire().await;
        let (spool, id, record, state) = (self.spool.clone(), entry.id, record.cloned(), state.clone());
        let in_log = place != Place::Deferred;
        let stored = tokio::task::spawn_blocking(move || match (place, record) {
            (Place::Log(_) | Place::Moving(_), Some(record)) => spool.deferred().put(&record, &state),
            _ => spool.deferred().update(id, &state),
        });
        stored.await.map_err(std::io::Error::other).flatten().map_err(|error| {
            tracing::warn!(%id, %error, "a message cannot be stored for its next attempt yet");
            if in_log {
                self.leftovers.insert(id);
            }
            match self.draining() {
                true => Unsettled::Failed(SpoolError::Unreadable(error.to_string())),
                // A folder that cannot be written keeps no turn from others.
                false => Unsettled::NoRoom,
            }
        })
    }

    /// Plans the next attempt of a message that is stored for it.
    async fn keep(self: &Arc<Self>, entry: &Arc<Entry>, state: State, wish: Wish) -> Result<(), SpoolError> {
        let place = entry.settled_place().await;
        if let Place::Log(position) = place {
            self.note_moved(entry.id).await?;
            self.leftovers.remove(entry.id);
            self.spool.release(position);
        }
        let late = {
            // In one of the two lists at any moment, for whoever looks for it.
            let mut index = self.index();
            self.active.lock().unwrap_or_else(PoisonError::into_inner).remove(&entry.id);
            index.insert(state.planned(), entry.id);
            entry.wish()
        };
        self.bell.notify_one();
        if late != wish {
            self.fulfil(entry.id, late).await;
        }
        Ok(())
    }

    /// Notes durably that a message is in the deferred store. While the log has no room for it nobody may take it up: what
    /// became of it then would not be known after a restart.
    async fn note_moved(&self, id: MessageId) -> Result<(), SpoolError> {
        let mut waits = None;
        loop {
            match self.spool.note_durably(&Note::Moved(id)).await {
                Err(error @ (SpoolError::Full | SpoolError::Slow)) if !self.draining() => {
                    tracing::warn!(%id, %error, "the next attempt of a message waits for the spool");
                    waits.get_or_insert_with(|| self.settlers.waits());
                    tokio::time::sleep(NOTE_WAIT).await;
                }
                noted => return noted,
            }
        }
    }

    /// A message in the log needs nothing more.
    pub(super) fn forget_log(&self, entry: &Entry) {
        match entry.place() {
            Place::Log(position) => {
                self.spool.note(&Note::Done(entry.id));
                self.spool.release(position);
            }
            // No attempt ends while its message is moved.
            Place::Moving(_) | Place::Deferred => {}
        }
        self.gone(entry.id);
    }

    /// A message needs nothing more, wherever it is. It is under way until its files are gone, so that the log keeps what it knows
    /// of it, and no admin is told of more than came about.
    ///
    /// # Errors
    /// What the disk says, when the queue drains: the restart finds it.
    async fn forget(&self, entry: &Arc<Entry>) -> Result<(), SpoolError> {
        if entry.settled_place().await == Place::Deferred || self.leftovers.contains(entry.id) {
            let mut waits = None;
            while let Err(error) = self.spool.remove_deferred(entry.id).await {
                if self.stopping() {
                    return Err(SpoolError::Unreadable(error.to_string()));
                }
                if waits.is_none() {
                    tracing::error!(id = %entry.id, %error, "a message that is done with cannot be removed yet; it is tried again");
                    waits = Some(self.settlers.waits());
                }
                self.say_anew(entry, || Note::Done(entry.id)).await;
                tokio::select! {
                    () = tokio::time::sleep(super::settlers::DISK_WAIT) => {}
                    () = self.stop() => {}
                }
            }
            self.leftovers.remove(entry.id);
        }
        self.forget_log(entry);
        Ok(())
    }

    pub(super) fn gone(&self, id: MessageId) {
        self.active.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        self.queued.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Says who was put off until his time was over. Why he was, his next hop may have said of all that waits.
fn log_given_up(record: &Record, line: &Line) {
    let dispatch = record.dispatches.get(usize::from(line.dispatch));
    let target = dispatch.and_then(|dispatch| dispatch.recipients.get(usize::from(line.target)));
    if let (Event::Failed(reason @ Reason { status: (4, ..), .. }), Some(target)) = (&line.event, target) {
        tracing::info!(id = %record.id, to = target.address, reason = reason.text, "given up");
    }
}

/// How many recipients are not settled.
struct Open {
    active: usize,
    held: usize,
}

fn open_targets(record: &Record, state: &State) -> Open {
    let mut open = Open { active: 0, held: 0 };
    for (place, dispatch) in (0u16..).zip(&record.dispatches) {
        let targets = (0u16..).zip(&dispatch.recipients);
        let left = targets.filter(|(t, _)| state.settled.binary_search(&(place, *t)).is_err()).count();
        if dispatch.hold && !state.released { open.held += left } else { open.active += left }
    }
    open
}

/// Whether anybody is to be told of a dispatch's fate: never of notices, never a null sender.
pub(super) fn has_author(kind: &DispatchKind, sender: &str) -> bool {
    *kind != DispatchKind::Notice && !sender.is_empty()
}
