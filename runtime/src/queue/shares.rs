//! How much of a thing may be held at a time, and by whom: bounds inside each other, each with what it leaves to others.
//!
//! Within a bound that is parted nobody holds more than is left free (dynamic thresholds, Choudhury and Hahne 1998): one alone has
//! half of it, and whoever comes next finds some. Pure counting: it knows neither clocks nor whoever waits.

use super::hop::Lane;
use super::route::Hop;
use crate::envelope::Dispatch;
use std::collections::HashMap;

/// Fewer than these are not parted.
pub(super) const PARTED: usize = 4;

/// Who causes a message, so that his mail waits behind his own: a user by his login, else a sender. All without one are one:
/// what strangers have others send back is theirs to choose, in any number of names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct Origin(u64);

impl Origin {
    pub fn of(dispatch: &Dispatch) -> Self {
        let hash = |name: &str| Self(xxhash_rust::xxh3::xxh3_64(name.as_bytes()) | 1);
        match (dispatch.sender.as_str(), &dispatch.auth_user) {
            ("", _) => Self(0),
            (_, Some(user)) => hash(user),
            (sender, None) => hash(sender),
        }
    }
}

#[cfg(test)]
impl Origin {
    pub fn for_test(who: u64) -> Self {
        Self(who)
    }
}

/// Who asks: the place of the narrowest bound on him.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) enum Rank {
    /// For a next hop that the operator named.
    Own,
    /// For the servers of a domain that took mail when it was last tried.
    Proven,
    /// For those of another one.
    Unproven,
}

impl Rank {
    /// That of a next hop; the local server has none.
    pub fn of(hop: &Hop, proven: bool) -> Option<Self> {
        match hop {
            Hop::Mx(_) if proven => Some(Self::Proven),
            Hop::Mx(_) => Some(Self::Unproven),
            Hop::Local => None,
            Hop::Relay(_) | Hop::Nowhere(_) => Some(Self::Own),
        }
    }

    pub fn of_lane(lane: &Lane) -> Option<Self> {
        Self::of(&lane.hop, lane.is_proven())
    }
}

#[derive(Debug)]
struct Bound {
    most: usize,
    taken: usize,
    /// What each one holds, where it is parted.
    held: Option<HashMap<Origin, usize>>,
}

impl Bound {
    fn new(most: usize, parted: bool) -> Self {
        Self { most, taken: 0, held: parted.then(HashMap::new) }
    }

    fn may(&self, origin: Origin) -> bool {
        let free = self.most.saturating_sub(self.taken);
        let own = self.held.as_ref().and_then(|held| held.get(&origin)).copied().unwrap_or_default();
        own < free || (free > 0 && self.held.is_none())
    }

    fn take(&mut self, origin: Origin) {
        self.taken += 1;
        if let Some(held) = &mut self.held {
            *held.entry(origin).or_default() += 1;
        }
    }

    fn give_back(&mut self, origin: Origin) {
        self.taken = self.taken.saturating_sub(1);
        if let Some(held) = &mut self.held
            && let Some(own) = held.get_mut(&origin)
        {
            *own = own.saturating_sub(1);
            if *own == 0 {
                held.remove(&origin);
            }
        }
    }
}

/// The bounds, from the widest to the narrowest: on all, on what goes by MX, and on that for domains that are not proven.
#[derive(Debug)]
pub(super) struct Shares([Bound; 3]);

impl Shares {
    pub fn new([all, by_mx, unproven]: [usize; 3]) -> Self {
        let parted = all >= PARTED;
        Self([Bound::new(all, false), Bound::new(by_mx, parted), Bound::new(unproven, parted)])
    }

    fn up_to(&self, rank: Rank) -> impl Iterator<Item = &Bound> {
        self.0.iter().take(rank as usize + 1)
    }

    /// Whether one more may be taken.
    pub fn may(&self, rank: Rank, origin: Origin) -> bool {
        self.up_to(rank).all(|bound| bound.may(origin))
    }

    /// Whether a bound of this rank has none left.
    pub fn is_out(&self, rank: Rank) -> bool {
        self.up_to(rank).any(|bound| bound.taken >= bound.most)
    }

    pub fn take(&mut self, rank: Rank, origin: Origin) {
        self.0.iter_mut().take(rank as usize + 1).for_each(|bound| bound.take(origin));
    }

    /// What was taken for `rank` counts as taken for another one above it, or, without one, not any more.
    pub fn give_back(&mut self, rank: Rank, above: Option<Rank>, origin: Origin) {
        let kept = above.map_or(0, |above| above as usize + 1);
        self.0.iter_mut().take(rank as usize + 1).skip(kept).for_each(|bound| bound.give_back(origin));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However many want some and however much: the next one finds some.
    #[test]
    fn nobody_holds_more_than_is_left_free() {
        let mut shares = Shares::new([500, 437, 250]);
        for (who, want) in [(1, 125), (2, 63), (3, 31), (4, 16), (5, 8), (6, 4)] {
            let taken = std::iter::from_fn(|| {
                shares.may(Rank::Unproven, Origin(who)).then(|| shares.take(Rank::Unproven, Origin(who)))
            });
            assert_eq!(taken.count(), want, "{who}");
        }
        assert!(shares.may(Rank::Unproven, Origin(7)) && shares.may(Rank::Proven, Origin(7)));
        // What is proven counts no more among the others, and what is given back is there again.
        (0..125).for_each(|_| shares.give_back(Rank::Unproven, Some(Rank::Proven), Origin(1)));
        assert!(shares.may(Rank::Unproven, Origin(1)));
        (0..125).for_each(|_| shares.give_back(Rank::Proven, None, Origin(1)));
        assert_eq!(shares.0.each_ref().map(|bound| bound.taken), [122; 3]);
        assert!(shares.0.iter().skip(1).all(|bound| bound.held.as_ref().unwrap().len() == 5));
        assert!(shares.may(Rank::Own, Origin(1)) && !shares.is_out(Rank::Unproven));
    }

    /// So few are first come, first served.
    #[test]
    fn a_few_are_not_parted() {
        let mut shares = Shares::new([3, 3, 1]);
        (0..3).for_each(|_| {
            assert!(shares.may(Rank::Proven, Origin(1)));
            shares.take(Rank::Proven, Origin(1));
        });
        assert!(!shares.may(Rank::Own, Origin(2)) && shares.is_out(Rank::Own));
    }
}
