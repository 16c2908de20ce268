//! Sliding windows by key, in a table that is bounded.

use super::{Counter, Key};
use edict_table::model::Rate;
use std::collections::HashMap;

/// Slices of a window; one more is kept, since the oldest still reaches into the window.
const SLICES: u64 = 16;
const KEPT: usize = SLICES as usize + 1;
/// Windows kept.
const MAX_KEYS: usize = 1 << 17;
/// Places of a full table that are looked at for one new key.
const LOOKS: usize = 16;

/// Windows in slots, so that a hand can go round them in small steps when there is no room.
#[derive(Debug)]
pub(super) struct Windows {
    pub(super) places: HashMap<(Key, Counter), usize>,
    pub(super) slots: Vec<((Key, Counter), Window)>,
    pub(super) hand: usize,
    pub(super) most: usize,
}

impl Default for Windows {
    fn default() -> Self {
        Self { places: HashMap::new(), slots: Vec::new(), hand: 0, most: MAX_KEYS }
    }
}

impl Windows {
    pub(super) fn get(&mut self, key: &(Key, Counter)) -> Option<&mut Window> {
        let place = *self.places.get(key)?;
        self.slots.get_mut(place).map(|(_, window)| window)
    }

    /// The window of a key, a new one where there was none; none where there is no room for one.
    pub(super) fn window(&mut self, key: (Key, Counter), rate: Rate, now: i64) -> Option<&mut Window> {
        if !self.places.contains_key(&key) {
            let end = self.slots.len();
            let place = if end < self.most {
                end
            } else if let Some(place) = self.expendable(now) {
                place
            } else if key.0.is_for_all() {
                // Must not be lost in a crowd, and there are few of them.
                end
            } else {
                return None;
            };
            let new = (key, Window::new(rate));
            match self.slots.get_mut(place) {
                Some(slot) => {
                    let (old, _) = std::mem::replace(slot, new);
                    self.places.remove(&old);
                }
                None => self.slots.push(new),
            }
            self.places.insert(key, place);
        }
        let window = self.get(&key)?;
        if window.seconds != rate.seconds.max(1) {
            *window = Window::new(rate);
        }
        window.bound = rate.count;
        window.advance(now);
        Some(window)
    }

    /// Of the next few slots, one that counts nothing any more, else the one that is farthest from its bound.
    fn expendable(&mut self, now: i64) -> Option<usize> {
        let mut least: Option<(usize, u64, u64)> = None;
        for _ in 0..LOOKS.min(self.slots.len()) {
            let place = self.hand;
            self.hand = (place + 1) % self.slots.len().max(1);
            let Some(((key, _), window)) = self.slots.get_mut(place) else { continue };
            window.advance(now);
            let (total, bound) = (window.total(), u64::from(window.bound));
            if window.reserved > 0 {
                continue;
            }
            if total == 0 {
                return Some(place);
            }
            if total >= bound || key.is_for_all() {
                continue;
            }
            // Below its bound a total fits 32 bits, so the products fit.
            if least.is_none_or(|(_, t, b)| total * b < t * bound) {
                least = Some((place, total, bound));
            }
        }
        least.map(|(place, ..)| place)
    }
}

#[derive(Debug)]
pub(super) struct Window {
    seconds: u32,
    /// What the total was last held against.
    bound: u32,
    /// Number of the newest slice.
    newest: u64,
    counts: [u32; KEPT],
    /// Reserved, and not known yet whether they count.
    pub(super) reserved: u32,
}

impl Window {
    fn new(rate: Rate) -> Self {
        let seconds = rate.seconds.max(1);
        Self { seconds, bound: rate.count, newest: 0, counts: [0; KEPT], reserved: 0 }
    }

    fn slice(&self, now: i64) -> u64 {
        let length = (u64::from(self.seconds) * 1000 / SLICES).max(1);
        u64::try_from(now).unwrap_or(0) / length
    }

    /// Forgets the slices that have left the window. A clock that goes back changes nothing.
    pub(super) fn advance(&mut self, now: i64) {
        let slice = self.slice(now);
        let gone = slice.saturating_sub(self.newest).min(KEPT as u64);
        for step in 1..=gone {
            if let Some(count) = self.counts.get_mut(((self.newest + step) % KEPT as u64) as usize) {
                *count = 0;
            }
        }
        if gone == KEPT as u64 {
            self.counts = [0; KEPT];
        }
        self.newest = self.newest.max(slice);
    }

    pub(super) fn total(&self) -> u64 {
        self.counts.iter().map(|&c| u64::from(c)).sum()
    }

    pub(super) fn add(&mut self) {
        if let Some(count) = self.counts.get_mut((self.newest % KEPT as u64) as usize) {
            *count = count.saturating_add(1);
        }
    }
}
