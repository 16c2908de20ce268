//! What is done for some recipients of a message while others are still served.
//!
//! A message with recipients at several next hops is one attempt, and a hop may take long. Once some recipients were refused or
//! put off and others are still out after a moment, a task of the message tells its author of the former, and tries the
//! latter again when their own wait is over, as often as that comes before the end of the attempt. There is one such task at
//! most for each message under way; it ends with the attempt. While it does something, it is a part of it.

use super::backlog::MOST_READS;
use super::crowd;
use super::entry::{Entry, Place};
use super::notice::{Event, Line};
use super::room::For;
use super::settle::Told;
use super::wish::Wish;
use super::{Inner, now};
use crate::deliver::{Outcome, Reason};
use crate::spool::SpoolError;
use crate::spool::deferred::{Fates, State, Word, Words};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// How long the other parts are waited for, which end soon as a rule: then what became of all is recorded at once.
const SOON: Duration = Duration::from_millis(if cfg!(test) { 30 } else { 3000 });
/// How long a message is let be that cannot be read now.
const READ_WAIT: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 60 });

/// A recipient: dispatch, place in it.
type Recipient = (u16, u16);

/// What was done for some recipients before the end of an attempt.
#[derive(Debug)]
pub(super) struct Aside {
    /// Recipients who were given up, and whose author was told.
    pub settled: Vec<Recipient>,
    /// Those who were put off, by recipient. Whoever has the message since stands among the results.
    pub put_off: BTreeMap<Recipient, PutOff>,
    bell: Arc<Notify>,
    task: AbortHandle,
}

/// A recipient who was put off.
#[derive(Debug)]
pub(super) struct PutOff {
    pub reason: Reason,
    /// How often he was tried in this attempt.
    pub tries: u32,
    /// When he is tried again; none while he is.
    pub due: Option<Instant>,
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Aside {
    /// Something happened that its task must see.
    pub fn ring(&self) {
        self.bell.notify_one();
    }

    /// Who waits for another try.
    pub fn waiting(&self) -> impl Iterator<Item = (Recipient, &Reason)> {
        self.put_off.iter().filter(|(_, p)| p.due.is_some()).map(|(recipient, p)| (*recipient, &p.reason))
    }
}

impl Entry {
    /// Lets those who were put off be tried now. False where nobody waits for that.
    pub fn hurry(&self) -> bool {
        let mut progress = self.progress();
        let Some(aside) = &mut progress.results.aside else { return false };
        let mut any = false;
        for due in aside.put_off.values_mut().filter_map(|put_off| put_off.due.as_mut()) {
            (*due, any) = (Instant::now(), true);
        }
        aside.ring();
        any
    }

    /// Its state with what is known of this attempt so far. Whom nobody was told of yet still counts among those that wait.
    pub fn state_so_far(&self) -> State {
        let mut state = self.state.clone();
        let progress = self.progress();
        let last = progress.results.each.iter().filter_map(|(dispatch, target, outcome)| match outcome {
            Outcome::Deferred(reason) | Outcome::Failed(reason) => Some((*dispatch, *target, reason)),
            Outcome::Delivered { .. } => None,
        });
        let put_off = progress.results.aside.iter().flat_map(|aside| &aside.put_off);
        let put_off = put_off.map(|((dispatch, target), p)| (*dispatch, *target, &p.reason));
        // The first one found counts.
        let reasons = last.chain(put_off).map(|(dispatch, target, r)| (dispatch, target, r.text.clone()));
        state.reasons = reasons.chain(std::mem::take(&mut state.reasons)).collect();
        let settled = progress.results.settled();
        drop(progress);
        state.settled.extend(settled);
        state.settled.sort_unstable();
        state
    }
}

/// What is to be said and done about who was refused or put off.
#[derive(Default)]
struct Look {
    /// How many results were looked at.
    seen: usize,
    lines: Vec<Line>,
    given_up: Vec<Recipient>,
    put_off: Vec<(Recipient, Reason)>,
    /// Those of them whose author is told of the delay.
    warned: Words,
}

impl Inner {
    /// Some were refused or put off, and others are still served: sees to them soon, unless the attempt ends before.
    pub(super) fn look_soon(self: &Arc<Self>, entry: &Arc<Entry>, aside: &mut Option<Box<Aside>>) {
        let aside = aside.get_or_insert_with(|| {
            let bell = Arc::new(Notify::new());
            let (its, of) = (Arc::clone(&bell), Arc::downgrade(entry));
            let inner = Arc::clone(self);
            let task: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(watch(inner, of, its));
            let task = tokio::spawn(task).abort_handle();
            Box::new(Aside { settled: Vec::new(), put_off: BTreeMap::new(), bell, task })
        });
        aside.ring();
    }

    /// Sees to them now, and says when to do so next, if at any time before the bell is rung.
    async fn look_aside(self: &Arc<Self>, entry: &Arc<Entry>) -> ControlFlow<(), Option<Instant>> {
        // A part of the attempt, which does not end meanwhile.
        if self.stopping() || !entry.join() {
            return ControlFlow::Break(());
        }
        self.settling.fetch_add(1, Ordering::SeqCst);
        let done = match self.tell_of_refusals(entry).await {
            Ok(()) => self.try_again(entry).await,
            Err(error) => Err(error),
        };
        let next = match done {
            Ok(next) => ControlFlow::Continue(next),
            // The end of the attempt finds out what is the matter with it.
            Err(error) if error.is_final() => ControlFlow::Break(()),
            Err(error) => {
                tracing::warn!(id = %entry.id, %error, "some recipients of a message have to wait for the others");
                ControlFlow::Continue(Some(Instant::now() + READ_WAIT))
            }
        };
        self.part_done(Arc::clone(entry));
        self.settling.fetch_sub(1, Ordering::SeqCst);
        next
    }

    /// Sends the notices that recipients call for who were refused or put off since the last time, and writes down who needs
    /// nothing more: in that order, so that a crash in between never loses one.
    async fn tell_of_refusals(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<(), SpoolError> {
        let wish = entry.wish();
        if wish == Wish::Remove {
            // Nobody is told, and nothing is tried: its end throws it away.
            return Ok(());
        }
        let mut tries = self.settlers.tries();
        let mut turn = tries.turn().await;
        let since = if wish == Wish::Release { now() } else { entry.state.since };
        let age = self.age(entry, since, wish);
        let Look { seen, lines, given_up, put_off, warned } = look(entry, age.over, age.late);
        if !lines.is_empty() {
            let (mut told, mut reads) = (Told::default(), 0);
            while !self.tell_aside(entry, &lines, age.until, (&mut told, &mut reads)).await? {
                drop(turn);
                turn = tries.turn().await;
            }
        }
        if given_up.is_empty() && put_off.is_empty() {
            return Ok(());
        }
        {
            let mut progress = entry.progress();
            let results = &mut progress.results;
            let mut place = 0;
            // What came in since is for the next time.
            results.each.retain(|(.., outcome)| {
                place += 1;
                place > seen || matches!(outcome, Outcome::Delivered { .. })
            });
            results.words.extend_from_slice(&warned);
            let Some(aside) = &mut results.aside else { return Ok(()) };
            aside.settled.extend_from_slice(&given_up);
            given_up.iter().for_each(|recipient| drop(aside.put_off.remove(recipient)));
            // Whoever was tried as often goes with the others, in one transaction.
            let mut dues: HashMap<u32, Instant> = HashMap::new();
            let soon = Instant::now() + SOON + Duration::from_millis(crowd::soon());
            for (recipient, reason) in put_off {
                let before = aside.put_off.get(&recipient).map_or(0, |before| before.tries);
                let (tries, due) = if crowd::is_of_berths(&reason.text) {
                    (before, soon)
                } else {
                    let tries = before.saturating_add(1);
                    let due = dues.entry(tries).or_insert_with(|| {
                        let wait = self.wait(entry.state.attempts.saturating_add(tries));
                        Instant::now() + Duration::from_millis(u64::try_from(wait).unwrap_or(0))
                    });
                    (tries, *due)
                };
                aside.put_off.insert(recipient, PutOff { reason, tries, due: Some(due) });
            }
        }
        self.write_down(entry, Fates { settled: given_up, words: warned }).await;
        drop(turn);
        Ok(())
    }

    /// Sends these notices, which are durable on return. False: the spool has no room for all of them now, and the message is not
    /// in memory any more.
    async fn tell_aside(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        lines: &[Line],
        until: i64,
        (told, reads): (&mut Told, &mut u32),
    ) -> Result<bool, SpoolError> {
        let (record, _room) = match entry.record(For::Record).await {
            Ok(found) => {
                *reads = 0;
                found
            }
            // The next look would tell of others with them, in a notice that says again what one said already.
            Err(SpoolError::Unreadable(_)) if told.is_begun() && *reads < MOST_READS && !self.draining() => {
                *reads += 1;
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        match self.tell(&record, lines, entry.state.attempts, until, told).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_final() => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// Notes who needs nothing more, and of whom was told, durably.
    async fn write_down(self: &Arc<Self>, entry: &Arc<Entry>, known: Fates) {
        if known == Fates::default() {
            return;
        }
        self.note_known(entry, known);
        if let Err(error) = self.spool.flush().await {
            tracing::warn!(id = %entry.id, %error, "who was given up is noted at the end of the attempt");
        }
        if entry.place() == Place::Deferred {
            self.save_later(entry);
        }
    }

    /// Tries those again whose time has come, and says when that of the next one comes.
    async fn try_again(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<Option<Instant>, SpoolError> {
        if self.stopping() || matches!(entry.wish(), Wish::Hold | Wish::Remove) {
            // Another wish rings the bell.
            return Ok(None);
        }
        let time = Instant::now();
        let due: BTreeSet<Recipient> = {
            let progress = entry.progress();
            let all = progress.results.aside.iter().flat_map(|aside| &aside.put_off);
            all.filter(|(_, p)| p.due.is_some_and(|due| due <= time))
                .map(|(recipient, _)| *recipient)
                .collect()
        };
        if !due.is_empty() {
            let jobs = {
                let _turn = self.settlers.tries().turn().await;
                let (record, _room) = entry.head().await?;
                self.jobs(entry, &record, true, |place, target, _| due.contains(&(place, target)))
            };
            {
                let mut progress = entry.progress();
                progress.outstanding += jobs.len();
                let aside = progress.results.aside.as_mut();
                let under_way = aside.into_iter().flat_map(|aside| &mut aside.put_off);
                under_way.filter(|(r, _)| due.contains(*r)).for_each(|(_, put_off)| put_off.due = None);
            }
            for (hop, job) in jobs {
                self.hand_over(&hop, job);
            }
        }
        let progress = entry.progress();
        let all = progress.results.aside.iter().flat_map(|aside| aside.put_off.values());
        Ok(all.filter_map(|put_off| put_off.due).min())
    }
}

/// Looks at what came in since the last time. `over`: who is put off is given up; `late`: or his author is told of it.
fn look(entry: &Entry, over: bool, late: bool) -> Look {
    let progress = entry.progress();
    let mut look = Look { seen: progress.results.each.len(), ..Look::default() };
    let warned = |dispatch, target| {
        let word = (dispatch, target, Word::Delay);
        entry.state.words.contains(&word) || progress.results.words.contains(&word)
    };
    for (dispatch, target, outcome) in &progress.results.each {
        let (dispatch, target) = (*dispatch, *target);
        let event = match outcome {
            Outcome::Delivered { .. } => continue,
            Outcome::Deferred(reason) if !over || crowd::is_of_berths(&reason.text) => {
                look.put_off.push(((dispatch, target), reason.clone()));
                if !late || warned(dispatch, target) {
                    continue;
                }
                look.warned.push((dispatch, target, Word::Delay));
                Event::Delayed(reason.clone())
            }
            Outcome::Failed(reason) | Outcome::Deferred(reason) => {
                look.given_up.push((dispatch, target));
                Event::Failed(reason.clone())
            }
        };
        look.lines.push(Line { dispatch, target, event });
    }
    look
}

/// Looks after a message until its attempt ends: soon after the bell was rung, and when somebody's time has come.
async fn watch(inner: Arc<Inner>, entry: Weak<Entry>, bell: Arc<Notify>) {
    let mut next = None;
    loop {
        let time = async {
            match next {
                Some(next) => tokio::time::sleep_until(tokio::time::Instant::from_std(next)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = time => {}
            () = bell.notified() => tokio::time::sleep(SOON).await,
            () = inner.stop() => return,
        }
        // Held no longer than for a look: the message is gone when its attempt has ended.
        let Some(entry) = entry.upgrade() else { return };
        // In a box of its own: of thousands that wait, each takes little.
        match Box::pin(inner.look_aside(&entry)).await {
            ControlFlow::Continue(time) => next = time,
            ControlFlow::Break(()) => return,
        }
    }
}
