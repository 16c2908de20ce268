//! How mail goes on, as one configuration says, and what happens where a reload brings another one.
//!
//! What a worker has in its hands ends as it began. All else is parted anew, by the routes, logins, times and certificates of now: at
//! once what waits in memory for its next hop, when it is tried again what waits on disk. Connections that were opened before are not
//! used for another message.

use super::entry::Job;
use super::hop::Lane;
use super::route::{Guide, Hop, LiveGuide};
use super::sockets::Sockets;
use super::{Inner, Queue, Settings};
use crate::deliver::connect::{Dialer, Local};
use crate::live::Live;
use std::sync::{Arc, PoisonError};

/// The ways of one configuration.
pub(super) struct Ways {
    /// How many there were before.
    pub number: u64,
    pub settings: Settings,
    pub dialer: Dialer,
    pub guide: Box<dyn Guide>,
    /// Connections to next hops that may still be opened.
    pub sockets: Arc<Sockets>,
}

impl Ways {
    pub fn new(settings: Settings, dialer: Dialer, guide: Box<dyn Guide>) -> Self {
        let sockets = Arc::new(Sockets::new(settings.connections_in_all));
        Self { number: 0, settings, dialer, guide, sockets }
    }

    /// Our name.
    pub fn hostname(&self) -> String {
        self.guide.hostname().unwrap_or_else(|| self.settings.hostname.clone())
    }

    /// Whether mail for this hop is put into Maildirs.
    pub fn is_maildir(&self, hop: &Hop) -> bool {
        *hop == Hop::Local && self.settings.local == Local::Maildir
    }

    /// The most workers of a hop.
    pub fn limit(&self, hop: &Hop) -> usize {
        let limit = match hop {
            Hop::Local if self.settings.local == Local::Maildir => 2,
            Hop::Mx(_) => self.settings.connections_per_domain,
            _ => self.settings.connections,
        };
        limit.max(1)
    }
}

impl Queue {
    /// Goes on with these settings from now on. The spool and its folder stay what they are.
    pub fn take_over(&self, live: Arc<Live>, settings: Settings) {
        let guide = LiveGuide::new(live, settings.outside.clone(), settings.directory.clone());
        let dialer = settings.dialer();
        self.go_by(Ways::new(settings, dialer, Box::new(guide)));
    }

    /// Another table may send what waits another way.
    pub fn rerouted(&self) {
        let lanes: Vec<Arc<Lane>> =
            self.inner.lanes.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        lanes.iter().for_each(|lane| self.inner.look_anew(lane));
        self.inner.dissolve_crowd();
        self.inner.part_anew_soon();
    }

    /// Goes on in these ways.
    pub(super) fn go_by(&self, mut ways: Ways) {
        let before = self.inner.ways.load_full();
        ways.number = before.number + 1;
        if before.settings.connections_in_all == ways.settings.connections_in_all {
            // Connections that are open count on.
            ways.sockets = Arc::clone(&before.sockets);
        }
        let ways = Arc::new(ways);
        self.inner.ways.store(Arc::clone(&ways));
        let lanes: Vec<Arc<Lane>> =
            self.inner.lanes.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for lane in lanes {
            lane.renew(ways.limit(&lane.hop));
            // It may go another way now.
            self.inner.look_anew(&lane);
        }
        self.inner.dissolve_crowd();
        self.inner.part_anew_soon();
    }
}

impl Inner {
    /// Parts anew what waits in memory and no worker has begun.
    fn part_anew_soon(self: &Arc<Self>) {
        let inner = Arc::clone(self);
        tokio::spawn(async move {
            // Behind the one of a reload before, which may have gone by the ways of before: what it handed over waits by now.
            let _one = inner.parting.lock().await;
            let lanes: Vec<Arc<Lane>> =
                inner.lanes.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
            for lane in lanes {
                for job in lane.withdraw_if(|_| true) {
                    inner.part_anew(&lane.hop, job).await;
                }
                inner.refill(&lane);
                inner.vacate(&lane);
            }
        });
    }

    /// Gives a job that nobody has begun to the next hops that its recipients have now.
    async fn part_anew(self: &Arc<Self>, hop: &Hop, job: Job) {
        let job = job.without_room();
        // One that cannot be read now goes where it was to go.
        let Ok((record, _room)) = job.entry.head().await else { return self.hand_over(hop, job) };
        let its = |dispatch, target| dispatch == job.dispatch && job.targets.contains(&target);
        let parts = self.jobs(&job.entry, &record, job.again, |dispatch, target, _| its(dispatch, target));
        if parts.is_empty() {
            return self.hand_over(hop, job);
        }
        // It counts as one part of its attempt.
        job.entry.progress().outstanding += parts.len() - 1;
        for (hop, part) in parts {
            self.hand_over(&hop, Job { since: job.since, ..part });
        }
    }
}
