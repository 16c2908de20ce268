//! The parts of an attempt: a message's recipients by next hop, each part a job in its hop's queue; and how they end.

use super::crowd;
use super::entry::{Entry, Job, Place, Progress, Results};
use super::holders;
use super::notice::tells_of_delay;
use super::route::Hop;
use super::shares::Origin;
use super::{Inner, now, turns};
use crate::deliver::{Outcome, Reason};
use crate::envelope::{Record, Target};
use crate::spool::deferred::Fates;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Recipients of one transaction: what every server takes (RFC 5321 4.5.3.1.8).
const MAX_RECIPIENTS: usize = 100;

impl Inner {
    /// Begins an attempt for all who are not settled.
    pub(super) fn schedule(self: &Arc<Self>, entry: Arc<Entry>, record: &Record) {
        self.schedule_or_put_off(entry, record, None);
    }

    /// The same; with a reason, nobody is tried for now.
    pub(super) fn schedule_or_put_off(
        self: &Arc<Self>,
        entry: Arc<Entry>,
        record: &Record,
        reason: Option<&Reason>,
    ) {
        let state = &entry.state;
        let held = record.dispatches.iter().any(|dispatch| dispatch.hold && !state.released);
        let mut slow = held || !state.settled.is_empty();
        let mut asking = Vec::new();
        let open = |place, target, recipient: &Target| {
            let open = state.settled.binary_search(&(place, target)).is_err();
            if open && recipient.notify.success {
                slow = true;
                asking.push((place, target));
            }
            open
        };
        let jobs = self.jobs(&entry, record, false, open);
        {
            let mut progress = entry.progress();
            progress.outstanding = jobs.len();
            progress.slow = slow;
            progress.asking = asking;
        }
        entry.warns.store(tells_of_delay(record, state), Ordering::Relaxed);
        if !self.enter(&entry) {
            return;
        }
        if jobs.is_empty() {
            self.settle_later(entry, Results::default());
            return;
        }
        drop(entry);
        for (hop, job) in jobs {
            match reason {
                None => self.hand_over(&hop, job),
                Some(reason) => self.defer_job(job, reason),
            }
        }
    }

    /// Parts those recipients that are wanted by next hop, in the ways of now. `again`: they were put off before.
    pub(super) fn jobs(
        &self,
        entry: &Arc<Entry>,
        record: &Record,
        again: bool,
        mut wanted: impl FnMut(u16, u16, &Target) -> bool,
    ) -> Vec<(Hop, Job)> {
        let now = now();
        let (mut jobs, mut alone): (Vec<(Hop, Job)>, _) = (Vec::new(), Vec::new());
        let ways = self.ways.load_full();
        for (place, dispatch) in (0u16..).zip(&record.dispatches) {
            if dispatch.hold && !entry.state.released {
                continue;
            }
            let first = jobs.len();
            let (lane, origin) = (turns::turn_of(&dispatch.sender), Origin::of(dispatch));
            let hops = ways.guide.hops(dispatch, now);
            for ((target, recipient), hop) in (0u16..).zip(&dispatch.recipients).zip(hops) {
                if !wanted(place, target, recipient) {
                    continue;
                }
                // Whoever makes his hop hang does so in a transaction of his own, behind the others.
                let hangs = ways.settings.known.hangs(&hop, &recipient.address);
                let mut open = jobs.iter_mut().skip(first);
                let same = open.find(|(h, j)| *h == hop && j.targets.len() < MAX_RECIPIENTS);
                if let Some((_, job)) = same.filter(|_| !hangs) {
                    job.targets.push(target);
                    continue;
                }
                let job = Job {
                    entry: Arc::clone(entry),
                    dispatch: place,
                    targets: vec![target],
                    lane,
                    origin,
                    since: Instant::now(),
                    again,
                    room: None,
                };
                if hangs { alone.push((hop, job)) } else { jobs.push((hop, job)) }
            }
        }
        // Who had no berth the last time has one before those who had.
        let reasons = &entry.state.reasons;
        let without = |(dispatch, target, text): &(u16, u16, String)| {
            crowd::is_of_berths(text).then_some((*dispatch, *target))
        };
        let without: BTreeSet<(u16, u16)> = reasons.iter().filter_map(without).collect();
        if !without.is_empty() {
            // Which of them is chance, so that none is the last each time.
            fastrand::shuffle(&mut jobs);
            let waited =
                |job: &Job| job.targets.iter().any(|target| without.contains(&(job.dispatch, *target)));
            jobs.sort_by_key(|(_, job)| !waited(job));
        }
        jobs.append(&mut alone);
        jobs
    }

    /// Gives a job, which its attempt counts, to its next hop.
    pub(super) fn hand_over(self: &Arc<Self>, hop: &Hop, job: Job) {
        if self.draining() {
            // It is on disk.
            return;
        }
        if let Hop::Nowhere(why) = hop {
            return self.defer_job(job, &Reason::of_hop((4, 3, 5), why.clone()));
        }
        let lane = self.lane(hop);
        match lane.push(job) {
            Ok(false) => {}
            Ok(true) => self.start_worker(&lane),
            Err(back) => {
                let (job, reason) = *back;
                self.defer_job(job, &reason);
            }
        }
    }

    /// Hands in what became of a job's recipients.
    pub(super) fn finish(self: &Arc<Self>, job: Job, outcomes: Vec<Outcome>, hop: &Hop) {
        let Job { entry, dispatch, targets, lane, origin, again, .. } = job;
        let (mut settled, mut failed, mut deferred) = (Vec::new(), 0, 0);
        for (target, outcome) in targets.iter().zip(&outcomes) {
            match outcome {
                Outcome::Delivered { .. } => settled.push((dispatch, *target)),
                Outcome::Deferred(_) => deferred += 1,
                Outcome::Failed(_) => failed += 1,
            }
        }
        let delivered = settled.len() as u64;
        self.delivered.fetch_add(delivered, Ordering::Relaxed);
        if failed + deferred > 0 {
            self.deferred.fetch_add(deferred, Ordering::Relaxed);
            self.failed.fetch_add(failed, Ordering::Relaxed);
        }
        let over = if deferred > 0 { over_limit(&targets, &outcomes) } else { Vec::new() };
        deferred -= over.len() as u64;
        let (results, words) = {
            let mut progress = entry.progress();
            let words = progress.words(dispatch, &targets, &outcomes);
            progress.results.words.extend_from_slice(&words);
            let each = targets.into_iter().zip(outcomes).map(|(target, outcome)| (dispatch, target, outcome));
            let done = each.filter(|(_, target, _)| !over.contains(target));
            progress.results.each.extend(done);
            let ended = if over.is_empty() { self.part(&entry, &mut progress) } else { None };
            if ended.is_none() && failed + deferred > 0 {
                self.look_soon(&entry, &mut progress.results.aside);
            }
            (ended, words)
        };
        let known = Fates { settled, words };
        match results {
            None if known.settled.is_empty() => {}
            None => self.write_known(&entry, known),
            Some((_, false)) => self.forget_log(&entry),
            Some((results, true)) => {
                self.note_known(&entry, known);
                return self.settle_later(entry, results);
            }
        }
        if !over.is_empty() {
            let since = Instant::now();
            let job = Job { entry, dispatch, targets: over, lane, origin, since, again, room: None };
            self.hand_over(hop, job);
        }
    }

    /// One part of an attempt is done. At the last one, what came of all, and whether more is to be done than to forget the
    /// message.
    fn part(&self, entry: &Entry, progress: &mut Progress) -> Option<(Results, bool)> {
        progress.outstanding = progress.outstanding.saturating_sub(1);
        if progress.outstanding > 0 {
            return None;
        }
        let results = std::mem::take(&mut progress.results);
        let all = results.each.iter().all(|(.., o)| matches!(o, Outcome::Delivered { .. }));
        let there = entry.place() == Place::Deferred || self.leftovers.contains(entry.id);
        let slow = progress.slow || !all || results.aside.is_some() || there;
        Some((results, slow))
    }

    /// The part of an attempt is done that somebody took upon himself with [`Progress::outstanding`].
    pub(super) fn part_done(self: &Arc<Self>, entry: Arc<Entry>) {
        let results = self.part(&entry, &mut entry.progress());
        match results {
            None => {}
            Some((_, false)) => self.forget_log(&entry),
            Some((results, true)) => self.settle_later(entry, results),
        }
    }

    /// None of a job's recipients could be tried.
    pub(super) fn defer_job(self: &Arc<Self>, job: Job, reason: &Reason) {
        let outcomes = vec![Outcome::Deferred(reason.clone()); job.targets.len()];
        let nowhere = Hop::Nowhere(String::new());
        self.finish(job, outcomes, &nowhere);
    }

    /// Settles an attempt in a task of its own.
    pub(super) fn settle_later(self: &Arc<Self>, entry: Arc<Entry>, results: Results) {
        let inner = Arc::clone(self);
        inner.settling.fetch_add(1, Ordering::SeqCst);
        if !matches!(entry.place(), Place::Log(_)) {
            holders::keep_log(&entry, inner.spool.keep_log());
        }
        let task: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
            let id = entry.id;
            if let Err(error) = inner.settle(&entry, results).await {
                // What is on disk is as it was: the restart finds it.
                tracing::error!(%id, %error, "an attempt cannot be recorded");
            }
            inner.settling.fetch_sub(1, Ordering::SeqCst);
        });
        tokio::spawn(task);
    }
}

/// Who was one too many for a transaction, where a next hop took some recipients: they go in another one at once, whoever else
/// was put off (RFC 5321 4.5.3.1.10). Each one delivers something, so there is an end to it.
fn over_limit(targets: &[u16], outcomes: &[Outcome]) -> Vec<u16> {
    let mut over = Vec::new();
    let mut delivered = false;
    for (target, outcome) in targets.iter().zip(outcomes) {
        match outcome {
            Outcome::Delivered { .. } => delivered = true,
            Outcome::Deferred(reason) if reason.status == (4, 5, 3) => over.push(*target),
            Outcome::Deferred(_) | Outcome::Failed(_) => {}
        }
    }
    if delivered { over } else { Vec::new() }
}
