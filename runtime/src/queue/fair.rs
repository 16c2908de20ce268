//! A queue of queues: each key has its turn, however much another one has waiting.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// First in, first out within a key; one of each key in turn.
#[derive(Debug)]
pub(super) struct Fair<T, K = u64> {
    lanes: HashMap<K, VecDeque<T>>,
    turns: VecDeque<K>,
    length: usize,
}

impl<T, K> Default for Fair<T, K> {
    fn default() -> Self {
        Self { lanes: HashMap::new(), turns: VecDeque::new(), length: 0 }
    }
}

impl<T, K: Copy + Eq + Hash> Fair<T, K> {
    pub fn len(&self) -> usize {
        self.length
    }

    /// How much of this key waits.
    pub fn count(&self, key: K) -> usize {
        self.lanes.get(&key).map_or(0, VecDeque::len)
    }

    pub fn push(&mut self, key: K, item: T) {
        self.length += 1;
        let lane = self.lanes.entry(key).or_default();
        if lane.is_empty() {
            self.turns.push_back(key);
        }
        lane.push_back(item);
    }

    /// Puts back what was taken, as the next of all.
    pub fn push_front(&mut self, key: K, item: T) {
        self.length += 1;
        let lane = self.lanes.entry(key).or_default();
        if lane.is_empty() {
            self.turns.push_front(key);
        }
        lane.push_front(item);
    }

    /// Takes out what is to go, wherever it stands; the rest keeps its turns.
    pub fn take_if(&mut self, goes: impl Fn(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        for lane in self.lanes.values_mut().filter(|lane| lane.iter().any(&goes)) {
            let (gone, kept): (Vec<T>, Vec<T>) = lane.drain(..).partition(&goes);
            lane.extend(kept);
            taken.extend(gone);
        }
        self.lanes.retain(|_, lane| !lane.is_empty());
        self.turns.retain(|key| self.lanes.contains_key(key));
        self.length = self.length.saturating_sub(taken.len());
        taken
    }

    /// All that waits, in turn.
    pub fn into_all(mut self) -> Vec<T> {
        std::iter::from_fn(|| self.pop()).collect()
    }

    /// What is next of each key.
    pub fn first_of_each(&self) -> impl Iterator<Item = &T> {
        self.lanes.values().filter_map(VecDeque::front)
    }

    pub fn pop(&mut self) -> Option<T> {
        self.pop_of(|_| true).map(|(_, item)| item)
    }

    /// Whose turn it is among the keys that may go.
    pub fn turn(&self, may: impl Fn(K) -> bool) -> Option<K> {
        self.turns.iter().copied().find(|key| may(*key))
    }

    /// The next one of the keys that may go; the others keep their turns.
    pub fn pop_of(&mut self, may: impl Fn(K) -> bool) -> Option<(K, T)> {
        let at = self.turns.iter().position(|key| may(*key))?;
        let key = self.turns.remove(at)?;
        let lane = self.lanes.get_mut(&key)?;
        let item = lane.pop_front();
        if lane.is_empty() {
            // Lanes of senders who went silent are not kept.
            self.lanes.remove(&key);
        } else {
            self.turns.push_back(key);
        }
        self.length = self.length.saturating_sub(usize::from(item.is_some()));
        item.map(|item| (key, item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_does_not_starve_others() {
        let mut queue = Fair::default();
        for n in 0..1000 {
            queue.push(1, n);
        }
        queue.push(2, 5000);
        queue.push(2, 5001);
        queue.push_front(3, 9);
        assert_eq!((queue.count(2), queue.count(3), queue.count(4)), (2, 1, 0));
        let first: Vec<i32> = std::iter::from_fn(|| queue.pop()).take(6).collect();
        assert_eq!(first, [9, 0, 5000, 1, 5001, 2]);
        assert_eq!(queue.len(), 997);
        queue.push(2, 5002);
        assert_eq!((queue.turn(|_| true), queue.turn(|key| key != 1)), (Some(1), Some(2)));
        assert_eq!(queue.pop_of(|key| key != 1), Some((2, 5002)));
        assert_eq!(queue.pop_of(|key| key != 1), None);
        assert_eq!(queue.turn(|_| true), Some(1), "it keeps its turn");
        queue.push(2, 5003);
        assert_eq!((queue.take_if(|n| *n > 5000), queue.take_if(|n| *n == 500)), (vec![5003], vec![500]));
        assert_eq!((queue.count(2), queue.turn(|_| true)), (0, Some(1)));
        assert_eq!(std::iter::from_fn(|| queue.pop()).count(), 996);
        assert!(queue.len() == 0 && queue.lanes.is_empty());
    }
}
