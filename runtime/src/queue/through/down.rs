//! Next hops that mail is not offered to while its client waits, since it would wait in vain.

use super::super::route::Hop;
use super::PATIENCE;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a next hop that cannot be reached is left alone.
const UNREACHED: Duration = Duration::from_secs(2);
/// The same of one that says nothing: as long as that cost a client, twice as long each time, up to this.
const LONGEST: Duration = Duration::from_secs(60);

/// What is known of them; those are the operator's own, and few.
#[derive(Debug, Default)]
pub(super) struct Down(Mutex<HashMap<Hop, Away>>);

#[derive(Debug)]
struct Away {
    until: Instant,
    /// How long it was left alone for the last time since it said nothing; zero where it could not be reached.
    silent: Duration,
}

impl Down {
    fn known(&self) -> MutexGuard<'_, HashMap<Hop, Away>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a next hop is to be left alone. Once its time is over, one client finds out whether a silent one speaks again,
    /// and the others do not wait for that.
    pub fn holds(&self, hop: &Hop) -> bool {
        let mut known = self.known();
        if known.is_empty() {
            return false;
        }
        let now = Instant::now();
        match known.get_mut(hop) {
            None => false,
            Some(away) if away.until > now => true,
            Some(away) if away.silent.is_zero() => {
                known.remove(hop);
                false
            }
            Some(away) => {
                away.until = now + PATIENCE;
                false
            }
        }
    }

    /// A next hop cannot be reached.
    pub fn add_unreached(&self, hop: &Hop) {
        let away = Away { until: Instant::now() + UNREACHED, silent: Duration::ZERO };
        self.known().insert(hop.clone(), away);
    }

    /// A next hop said nothing in time.
    pub fn add_silent(&self, hop: &Hop) {
        let now = Instant::now();
        let mut known = self.known();
        let away = known.entry(hop.clone()).or_insert(Away { until: now, silent: Duration::ZERO });
        // Of many that wait at the same time the first one tells.
        if away.until <= now {
            away.silent = (2 * away.silent).clamp(PATIENCE, LONGEST);
            away.until = now + away.silent;
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
        assert!(!down.holds(&hop));
        for wait in [1, 2, 4, 6, 6] {
            // Those that began at the same time say no more than the first one.
            (0..3).for_each(|_| down.add_silent(&hop));
            assert_eq!(silent(), wait * PATIENCE);
            assert!(down.holds(&hop));
            over();
            assert!(!down.holds(&hop) && down.holds(&hop), "one asks");
            over();
        }
        down.forget(&hop);
        assert!(!down.holds(&hop) && !down.holds(&hop));
        // One that cannot be reached costs nobody time.
        down.add_unreached(&hop);
        assert!(down.holds(&hop));
        over();
        assert!(!down.holds(&hop) && !down.holds(&hop));
    }
}
