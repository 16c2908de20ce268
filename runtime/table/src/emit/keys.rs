//! Key indexes: open addressing over records that stand in the order of their hashes.
//!
//! Since [`home`] grows with the hash, slots and records stand in the same order, and a reader checks
//! both in one pass. Slot 0 is no slot: it carries the number of home slots and of keys.

use super::{EmitError, count};
use crate::format::{KeyRec, MAX_RUN, NONE, SlotRec, hash, home};
use zerocopy::IntoBytes;

/// Slots and keys of an index.
#[derive(Default)]
pub(super) struct KeyIndex {
    pub(super) slots: Vec<SlotRec>,
    pub(super) keys: Vec<u8>,
}

/// A key with what lists hold it, in order of hash.
pub(super) struct Hashed<'a> {
    pub(super) hash: u64,
    pub(super) key: &'a str,
    pub(super) list: u32,
}

/// Sorts keys by hash, then key, then list.
pub(super) fn sort(keys: &mut [Hashed<'_>]) {
    keys.sort_unstable_by(|a, b| {
        a.hash.cmp(&b.hash).then_with(|| a.key.cmp(b.key)).then_with(|| a.list.cmp(&b.list))
    });
}

/// Hashes a key.
pub(super) fn hashed(key: &str, list: u32) -> Hashed<'_> {
    Hashed { hash: hash(key.as_bytes()), key, list }
}

/// Builds an index from distinct keys in the order of [`sort`]; `keys` gives hash, key and value.
pub(super) fn build<'a>(
    keys: impl Iterator<Item = (u64, &'a str, u32)>,
    total: usize,
) -> Result<KeyIndex, EmitError> {
    let total = count(total, "keys")?;
    if total == 0 {
        return Ok(KeyIndex::default());
    }
    // Five slots for three keys: a search that fails ends after three or four slots, mostly in one line.
    let homes = count(total as usize + total as usize / 3 * 2 + 2, "keys")?;
    let empty = SlotRec { print: 0.into(), at: NONE.into() };
    let mut slots = vec![empty; homes as usize];
    let mut bytes = Vec::with_capacity(total as usize * 24);
    let mut next = 0;
    for (hash, key, value) in keys {
        let at = count(bytes.len(), "bytes of keys")?;
        let length = u16::try_from(key.len()).map_err(|_| EmitError::TooLarge("bytes of one entry"))?;
        bytes.extend_from_slice(KeyRec { value: value.into(), length: length.into() }.as_bytes());
        bytes.extend_from_slice(key.as_bytes());
        let place = home(hash, homes).max(next);
        if place - home(hash, homes) >= MAX_RUN {
            return Err(EmitError::TooLarge("keys of one hash"));
        }
        if place >= slots.len() {
            slots.resize(place + 1, empty);
        }
        if let Some(slot) = slots.get_mut(place) {
            *slot = SlotRec { print: ((hash & 0xffff_ffff) as u32).into(), at: at.into() };
        }
        next = place + 1;
    }
    // A search ends at an empty slot.
    if next >= slots.len() {
        slots.push(empty);
    }
    let mut all = Vec::with_capacity(slots.len() + 1);
    all.push(SlotRec { print: homes.into(), at: total.into() });
    all.append(&mut slots);
    Ok(KeyIndex { slots: all, keys: bytes })
}
