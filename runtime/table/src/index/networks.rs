//! Lookup of an address among flat intervals.

use std::net::IpAddr;
use zerocopy::little_endian::{U32, U128};

/// For each value of the upper 16 bits of an IPv4 address, whether any list holds an address that begins so. Most
/// clients are in no list, and eight kilobytes stay in the cache. Built while the intervals are checked.
#[derive(Debug)]
pub(crate) struct Tops(Box<[u64]>);

impl Tops {
    /// Of intervals in order; set 0 is none.
    pub(crate) fn new(starts: &[U32], sets: &[U32]) -> Self {
        let mut bits = vec![0u64; if starts.is_empty() { 0 } else { 1024 }].into_boxed_slice();
        let ends = starts.iter().skip(1).map(|next| next.get().saturating_sub(1)).chain([u32::MAX]);
        for ((start, end), set) in starts.iter().zip(ends).zip(sets) {
            if set.get() != 0 {
                for top in start.get() >> 16..=end >> 16 {
                    if let Some(word) = bits.get_mut(top as usize / 64) {
                        *word |= 1 << (top % 64);
                    }
                }
            }
        }
        Self(bits)
    }

    /// Whether an address can be in a list.
    #[inline]
    pub(crate) fn may_hold(&self, ip: &IpAddr) -> bool {
        match ip {
            IpAddr::V4(v4) => {
                let top = v4.to_bits() >> 16;
                self.0.get(top as usize / 64).is_some_and(|word| word >> (top % 64) & 1 == 1)
            }
            IpAddr::V6(_) => true,
        }
    }
}

/// The intervals of both families where they lie. Each family's first starts at 0, if it has any.
#[derive(Clone, Copy)]
pub(crate) struct Networks<'a> {
    pub(crate) v4_starts: &'a [U32],
    pub(crate) v4_sets: &'a [U32],
    pub(crate) directory: &'a [U32],
    pub(crate) v6_starts: &'a [U128],
    pub(crate) v6_sets: &'a [U32],
}

impl Networks<'_> {
    /// The set of lists that hold the address.
    #[inline(never)]
    pub(crate) fn set(&self, ip: IpAddr) -> u32 {
        let set = match ip {
            IpAddr::V4(v4) => {
                let bits = v4.to_bits();
                let top = (bits >> 16) as usize;
                let (low, high) = match (self.directory.get(top), self.directory.get(top + 1)) {
                    (Some(low), Some(high)) => (low.get() as usize, high.get() as usize),
                    _ => (0, self.v4_starts.len()),
                };
                let part = self.v4_starts.get(low..high).unwrap_or_default();
                let place = low + part.partition_point(|start| start.get() <= bits);
                place.checked_sub(1).and_then(|place| self.v4_sets.get(place))
            }
            IpAddr::V6(v6) => {
                let bits = v6.to_bits();
                let place = self.v6_starts.partition_point(|start| start.get() <= bits);
                place.checked_sub(1).and_then(|place| self.v6_sets.get(place))
            }
        };
        set.map_or(0, |set| set.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tops_follow_the_intervals() {
        let numbers = |all: &[u32]| all.iter().map(|n| U32::new(*n)).collect::<Vec<_>>();
        let holds = |tops: &Tops, ip: &str| tops.may_hold(&ip.parse().unwrap());
        let starts = numbers(&[0, 0x0a00_0000, 0x0b00_0000, 0xffff_ff00]);
        let tops = Tops::new(&starts, &numbers(&[0, 3, 0, 1]));
        for (ip, want) in [
            ("9.255.255.255", false),
            ("10.0.0.0", true),
            ("10.255.0.1", true),
            ("11.0.0.0", false),
            ("255.254.0.0", false),
            ("255.255.0.0", true),
            ("::1", true),
        ] {
            assert_eq!(holds(&tops, ip), want, "{ip}");
        }
        assert!(!holds(&Tops::new(&[], &[]), "10.0.0.1"));
        assert!(holds(&Tops::new(&numbers(&[0]), &numbers(&[1])), "255.255.255.255"));
    }
}
