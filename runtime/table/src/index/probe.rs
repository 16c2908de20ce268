//! Which keys of the mailbox index stand for a value.
//!
//! Every key asked for is a piece of the value itself, so that nothing is copied: of `ann@a.example.com`
//! the whole, `ann@`, `a.example.com`, `.example.com` and `.com`.

use super::filter::Filter;
use super::keys::Keys;
use crate::format::hash;
use crate::value::Address;

/// A key index with its filter.
#[derive(Clone, Copy)]
pub(crate) struct Index<'a> {
    pub(crate) keys: &'a Keys<'a>,
    pub(crate) filter: &'a Filter,
}

impl Index<'_> {
    /// The value of a key.
    #[inline(always)]
    pub(crate) fn get(&self, key: &[u8]) -> Option<u32> {
        let hash = hash(key);
        if self.filter.may_hold(hash) { self.keys.get_hashed(key, hash) } else { None }
    }
}

/// The shapes of keys, as bits.
pub(crate) mod shape {
    /// `ann@example.com`
    pub(crate) const EXACT: u8 = 1;
    /// `ann@`
    pub(crate) const LOCAL: u8 = 2;
    /// `example.com`
    pub(crate) const DOMAIN: u8 = 4;
    /// `.example.com`
    pub(crate) const PARENT: u8 = 8;
    /// Any of them.
    pub(crate) const ALL: u8 = 15;

    /// The shape of a key.
    pub(crate) fn of(key: &str) -> u8 {
        match (key.as_bytes().last(), key.contains('@')) {
            (Some(b'@'), _) => LOCAL,
            (_, true) => EXACT,
            (_, false) if key.starts_with('.') => PARENT,
            (_, false) => DOMAIN,
        }
    }
}

/// Calls `hit` with each set of lists that holds the domain.
#[inline(always)]
pub(crate) fn domain(index: Index<'_>, domain: &str, shapes: u8, mut hit: impl FnMut(u32)) {
    let mut get = |key: &[u8]| {
        if let Some(set) = index.get(key) {
            hit(set);
        }
    };
    let bytes = domain.as_bytes();
    if shapes & shape::DOMAIN != 0 {
        get(bytes);
    }
    if shapes & shape::PARENT != 0 && bytes.first() != Some(&b'[') {
        dots(bytes, |at| get(bytes.get(at..).unwrap_or_default()));
    }
}

/// Where each dot stands. Eight bytes at a time: domains are too short for more, and every mail has several.
#[inline(always)]
fn dots(bytes: &[u8], mut found: impl FnMut(usize)) {
    let mut all = |mut set: u64, at: usize| {
        while set != 0 {
            found(at + (set.trailing_zeros() / 8) as usize);
            set &= set - 1;
        }
    };
    let (blocks, tail) = bytes.as_chunks::<8>();
    for (block, at) in blocks.iter().zip((0..).step_by(8)) {
        all(dots_of(*block), at);
    }
    match bytes.last_chunk::<8>() {
        // The last eight bytes, without those that were looked at already.
        Some(last) if !tail.is_empty() => {
            all(dots_of(*last) & (u64::MAX << (8 * (8 - tail.len()))), bytes.len() - 8);
        }
        Some(_) => {}
        None => tail.iter().enumerate().filter(|(_, byte)| **byte == b'.').for_each(|(at, _)| all(0x80, at)),
    }
}

/// The upper bit of each byte that is a dot.
#[inline(always)]
fn dots_of(block: [u8; 8]) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let other = u64::from_le_bytes(block) ^ u64::from_le_bytes([b'.'; 8]);
    !(((other & LOW) + LOW) | other | LOW)
}

/// Calls `hit` with each set of lists that holds the address.
#[inline(always)]
pub(crate) fn address(index: Index<'_>, address: &Address, shapes: u8, mut hit: impl FnMut(u32)) {
    local(index, address.as_str(), address.local().len(), shapes, &mut hit);
    if shapes & (shape::DOMAIN | shape::PARENT) != 0 {
        domain(index, address.domain(), shapes, hit);
    }
}

/// The same by the local part alone: the address as a whole, or that local part anywhere. For the address without
/// its `+ext`, beside the one with it. `at` is where its `@` stands.
#[inline(always)]
pub(crate) fn local(index: Index<'_>, text: &str, at: usize, shapes: u8, hit: &mut impl FnMut(u32)) {
    let text = text.as_bytes();
    let mut get = |key: &[u8]| {
        if let Some(set) = index.get(key) {
            hit(set);
        }
    };
    if shapes & shape::EXACT != 0 {
        get(text);
    }
    if shapes & shape::LOCAL != 0 {
        get(text.get(..=at).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn dots_are_found(text in "[a.@\\-/\u{ae}\u{2e2e}]{0,40}") {
            let mut found = Vec::new();
            dots(text.as_bytes(), |at| found.push(at));
            let want: Vec<usize> = text.match_indices('.').map(|m| m.0).collect();
            proptest::prop_assert_eq!(found, want);
        }
    }
}
