//! Which keys of the mailbox index stand for a value.
//!
//! Every key asked for is a piece of the value itself, so that nothing is copied: of `ann@a.example.com`
//! the whole, `ann@`, `a.example.com`, `.example.com` and `.com`.

use super::keys::Keys;
use crate::value::Address;

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
#[inline]
pub(crate) fn domain(keys: &Keys<'_>, domain: &str, shapes: u8, mut hit: impl FnMut(u32)) {
    let mut get = |key: &str| {
        if let Some(set) = keys.get(key.as_bytes()) {
            hit(set);
        }
    };
    if shapes & shape::DOMAIN != 0 {
        get(domain);
    }
    if shapes & shape::PARENT != 0 && !domain.starts_with('[') {
        for (at, _) in domain.match_indices('.') {
            get(domain.get(at..).unwrap_or_default());
        }
    }
}

/// Calls `hit` with each set of lists that holds the address. `bare` is the same address without
/// `+ext`, where that counts too.
pub(crate) fn address(
    keys: &Keys<'_>,
    address: &Address,
    bare: Option<Address>,
    shapes: u8,
    mut hit: impl FnMut(u32),
) {
    local(keys, address, shapes, &mut hit);
    if let Some(bare) = bare {
        local(keys, &bare, shapes, &mut hit);
    }
    domain(keys, address.domain(), shapes, hit);
}

fn local(keys: &Keys<'_>, address: &Address, shapes: u8, hit: &mut impl FnMut(u32)) {
    let text = address.as_str();
    let mut get = |key: &str| {
        if let Some(set) = keys.get(key.as_bytes()) {
            hit(set);
        }
    };
    if shapes & shape::EXACT != 0 {
        get(text);
    }
    if shapes & shape::LOCAL != 0 {
        get(text.get(..=address.local().len()).unwrap_or_default());
    }
}
