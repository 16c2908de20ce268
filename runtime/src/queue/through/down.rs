//! Next hops that mail is not offered to while its client waits, since it would wait in vain.

use super::super::route::Hop;
use super::PATIENCE;
use crate::deliver::client::Trouble;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a next hop that cannot be reached is left alone.
const UNREACHED: Duration = Duration::from_secs(2);
/// The same of one that says nothing: as long as that cost a client, twice as long each time, up to this.
const LONGEST: Duration = Duration::from_secs(60);
/// How long others are held off while one finds out: a wait for the recipient, one for DATA, and what its client takes in between.
const PROBE: Duration = Duration::from_secs(30);

/// What is known of them; those are the operator's own, and few.
#[derive(Debug, Default)]
pub(super) struct Down(Mutex<HashMap<Hop, Away>>);

#[derive(Debug)]
struct Away {
    until: Instant,
    /// How long it was left alone for the last time since it said nothing; zero where it could not be reached.
    silent: Duration,
    /// A client finds out whether it speaks again; the others have until then to wait for that.
    probed: bool,
}

/// Whether a client may ask a next hop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    Free,
    /// It is the one that finds out whether a silent hop speaks again: what it finds is to be told, or the turn given back.
    Probe,
    Held,
}

impl Down {
    fn known(&self) -> MutexGuard<'_, HashMap<Hop, Away>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a next hop is to be left alone. Once its time is over, one client finds out whether a silent one speaks again,
    /// and the others do not wait for that.
    pub fn turn(&self, hop: &Hop) -> Turn {
        let mut known = self.known();
        if known.is_empty() {
            return Turn::Free;
        }
        let now = Instant::now();
        match known.get_mut(hop) {
            None => Turn::Free,
            Some(away) if away.until > now => Turn::Held,
            Some(away) if away.silent.is_zero() => {
                known.remove(hop);
                Turn::Free
            }
            Some(away) => {
                (away.until, away.probed) = (now + PROBE, true);
                Turn::Probe
            }
        }
    }

    /// A next hop cannot be reached. What is known of its silence stays.
    pub fn add_unreached(&self, hop: &Hop) {
        let until = Instant::now() + UNREACHED;
        let mut known = self.known();
        let new = Away { until, silent: Duration::ZERO, probed: false };
        let away = known.entry(hop.clone()).or_insert(new);
        away.until = if std::mem::take(&mut away.probed) { until } else { away.until.max(until) };
    }

    /// A next hop said nothing in time.
    pub fn add_silent(&self, hop: &Hop) {
        let now = Instant::now();
        let mut known = self.known();
        let new = Away { until: now, silent: Duration::ZERO, probed: false };
        let away = known.entry(hop.clone()).or_insert(new);
        // Of many that wait at the same time the first one tells.
        if std::mem::take(&mut away.probed) || away.until <= now {
            away.silent = (2 * away.silent).clamp(PATIENCE, LONGEST);
            away.until = now + away.silent;
        }
    }

    /// A connection is of no use: where nothing was said in time, others are not to wait for that.
    pub fn note(&self, hop: &Hop, trouble: &Trouble) {
        if *trouble == Trouble::Silent {
            self.add_silent(hop);
        }
    }

    /// The client whose turn it was waits for the word on its message, which may take so long.
    pub fn prolong(&self, hop: &Hop, by: Duration) {
        if let Some(away) = self.known().get_mut(hop).filter(|away| away.probed) {
            away.until = Instant::now() + by;
        }
    }

    /// The client whose turn it was did not find out.
    pub fn give_back(&self, hop: &Hop) {
        if let Some(away) = self.known().get_mut(hop).filter(|away| away.probed) {
            (away.until, away.probed) = (Instant::now(), false);
        }
    }

    /// A next hop said what becomes of a message.
    pub fn forget(&self, hop: &Hop) {
        let mut known = self.known();
        if !known.is_empty() {
            known.remove(hop);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One client waits for a silent hop at a time, less often each time, until it speaks.
    #[test]
    fn one_finds_out_whether_a_silent_hop_speaks_again() {
        let (down, hop) = (Down::default(), Hop::Mx("far.example".to_owned()));
        let silent = || down.known().get(&hop).map_or(Duration::ZERO, |away| away.silent);
        let over = || down.known().get_mut(&hop).unwrap().until = Instant::now();
        assert_eq!(down.turn(&hop), Turn::Free);
        for wait in [1, 2, 4, 6, 6] {
            // Those that began at the same time say no more than the first one.
            (0..3).for_each(|_| down.add_silent(&hop));
            assert_eq!(silent(), wait * PATIENCE);
            assert_eq!(down.turn(&hop), Turn::Held);
            over();
            assert_eq!([down.turn(&hop), down.turn(&hop)], [Turn::Probe, Turn::Held], "one asks");
            // It asked somebody else in the end, and another one may ask.
            down.give_back(&hop);
            assert_eq!([down.turn(&hop), down.turn(&hop)], [Turn::Probe, Turn::Held]);
            // That it is not there now does not say that it speaks.
            down.add_unreached(&hop);
            assert_eq!((down.turn(&hop), silent()), (Turn::Held, wait * PATIENCE));
            over();
            assert_eq!(down.turn(&hop), Turn::Probe);
            down.prolong(&hop, LONGEST);
            // Its word counts, however long it took.
        }
        down.forget(&hop);
        assert_eq!([down.turn(&hop), down.turn(&hop)], [Turn::Free; 2]);
        // One that cannot be reached costs nobody time.
        down.add_unreached(&hop);
        assert_eq!(down.turn(&hop), Turn::Held);
        over();
        assert_eq!([down.turn(&hop), down.turn(&hop)], [Turn::Free; 2]);
    }
}
