//! A summary of a key index: whether a key can be in it at all.
//!
//! Nearly every value of nearly every message is in no list. A blocked Bloom filter of two to four bytes a key answers that
//! from one word, which stays in the cache where the index itself does not. Built while the index is checked, so that
//! nothing about it has to be trusted. False alarms: about one in a hundred at most; never a miss.

/// Keys for each word of 64 bits.
const KEYS_A_WORD: usize = 4;

/// The summary. Words lie in the order of the hashes, as the slots do.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    /// A power of two of them, at least two; none where there are no keys.
    words: Box<[u64]>,
    /// By how much a hash is shifted to give its word.
    shift: u32,
}

impl Filter {
    /// For so many keys; none of them is in it yet.
    pub(crate) fn new(keys: usize) -> Self {
        if keys == 0 {
            return Self::default();
        }
        let words = keys.div_ceil(KEYS_A_WORD).next_power_of_two().max(2);
        Self { words: vec![0; words].into_boxed_slice(), shift: 64 - words.ilog2() }
    }

    #[inline(always)]
    fn place(&self, hash: u64) -> usize {
        (hash >> (self.shift & 63)) as usize
    }

    /// Two bits of a word, chosen by the lower part of the hash.
    #[inline(always)]
    fn bits(hash: u64) -> u64 {
        1 << (hash & 63) | 1 << (hash >> 6 & 63)
    }

    /// Adds a key.
    pub(crate) fn add(&mut self, hash: u64) {
        let place = self.place(hash);
        if let Some(word) = self.words.get_mut(place) {
            *word |= Self::bits(hash);
        }
    }

    /// Whether a key with this hash can be there.
    #[inline(always)]
    pub(crate) fn may_hold(&self, hash: u64) -> bool {
        // Bit by bit: mostly the first is not there, and a mask of both would cost more to make than to compare.
        let bit = |word: &u64, place: u64| word >> (place & 63) & 1 == 1;
        self.words.get(self.place(hash)).is_some_and(|word| bit(word, hash) && bit(word, hash >> 6))
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::hash;

    #[test]
    fn what_was_added_is_never_missed_and_the_rest_mostly_is() {
        let mut filter = Filter::new(10_000);
        let key = |i: u32| hash(format!("user{i}@example.com").as_bytes());
        (0..10_000).for_each(|i| filter.add(key(i)));
        assert!((0..10_000).all(|i| filter.may_hold(key(i))));
        let alarms = (10_000..110_000).filter(|i| filter.may_hold(key(*i))).count();
        assert!(alarms < 3_000, "{alarms} of 100000");
        assert_eq!(filter.bytes(), 4096 * 8);
        assert!(!Filter::default().may_hold(key(1)));
    }
}
