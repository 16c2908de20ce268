//! Lookup in a key index, and the one pass that checks it.
//!
//! See `emit/keys.rs` for the shape. A search reads slots from the home of its hash up to the first
//! empty one; the check makes sure that there is one within [`MAX_RUN`].

use super::filter::Filter;
use crate::format::{KeyRec, MAX_RUN, NONE, SlotRec, hash, home};
use zerocopy::FromBytes;

/// A key index where it lies.
#[derive(Clone, Copy)]
pub(crate) struct Keys<'a> {
    slots: &'a [SlotRec],
    keys: &'a [u8],
}

/// What is wrong with a key index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Broken(pub(crate) &'static str);

const KEY: usize = size_of::<KeyRec>();

impl<'a> Keys<'a> {
    /// Slots (the first is the head) and keys.
    pub(crate) fn new(slots: &'a [SlotRec], keys: &'a [u8]) -> Self {
        Self { slots, keys }
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<u32> {
        self.get_hashed(key, hash(key))
    }

    /// The value of a key whose hash is known. Rarely called for a key that is not there: see [`super::filter`].
    #[inline(never)]
    pub(crate) fn get_hashed(&self, key: &[u8], hash: u64) -> Option<u32> {
        let (head, slots) = self.slots.split_first()?;
        let print = (hash & 0xffff_ffff) as u32;
        for slot in slots.get(home(hash, head.print.get())..)?.iter().take(MAX_RUN + 1) {
            if slot.at.get() == NONE {
                return None;
            }
            if slot.print.get() == print
                && let Some((value, found)) = self.record(slot.at.get())
                && found == key
            {
                return Some(value);
            }
        }
        None
    }

    fn record(&self, at: u32) -> Option<(u32, &'a [u8])> {
        let (record, rest) = KeyRec::read_from_prefix(self.keys.get(at as usize..)?).ok()?;
        Some((record.value.get(), rest.get(..usize::from(record.length.get()))?))
    }

    /// How many keys.
    pub(crate) fn len(&self) -> usize {
        self.slots.first().map_or(0, |head| head.at.get() as usize)
    }

    /// A filter with room for the keys. Bounded by what is there, whatever the head says.
    pub(crate) fn filter(&self) -> Filter {
        Filter::new(self.len().min(self.slots.len()))
    }

    /// Every key with its value, in the order of their hashes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a str, u32)> {
        let mut at = 0;
        let all = *self;
        std::iter::from_fn(move || {
            let (value, key) = all.record(at)?;
            at = u32::try_from(at as usize + KEY + key.len()).ok()?;
            Some((std::str::from_utf8(key).unwrap_or_default(), value))
        })
    }

    /// Checks every slot and every key: places, order, hashes, UTF-8, that each is found, and with
    /// `value` what it stands for. Every key is put into the filter.
    pub(crate) fn check(
        &self,
        filter: &mut Filter,
        mut value: impl FnMut(&'a str, u32) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        let Some((head, slots)) = self.slots.split_first() else {
            return if self.keys.is_empty() { Ok(()) } else { Err(Broken("keys without slots")) };
        };
        let homes = head.print.get();
        if slots.last().is_none_or(|slot| slot.at.get() != NONE) {
            return Err(Broken("no empty slot at the end"));
        }
        let mut at = 0usize;
        let mut count = 0u32;
        // The first slot of the run of filled slots that goes on here.
        let mut run = 0usize;
        let mut before: Option<(u64, &[u8])> = None;
        for (place, slot) in slots.iter().enumerate() {
            if slot.at.get() == NONE {
                run = place + 1;
                continue;
            }
            if slot.at.get() as usize != at {
                return Err(Broken("a slot points beside a key"));
            }
            let (what, key) = self.record(slot.at.get()).ok_or(Broken("a key past the end"))?;
            let text = std::str::from_utf8(key).map_err(|_| Broken("a key that is no UTF-8"))?;
            let hash = hash(key);
            let start = home(hash, homes);
            if slot.print.get() != (hash & 0xffff_ffff) as u32 || start < run || start > place {
                return Err(Broken("a key at the wrong slot"));
            }
            if place - start >= MAX_RUN {
                return Err(Broken("too many keys of one hash"));
            }
            if before.is_some_and(|b| b >= (hash, key)) {
                return Err(Broken("keys out of order"));
            }
            before = Some((hash, key));
            filter.add(hash);
            value(text, what)?;
            at += KEY + key.len();
            count += 1;
        }
        if at != self.keys.len() || count != head.at.get() {
            return Err(Broken("keys without slots"));
        }
        Ok(())
    }
}
