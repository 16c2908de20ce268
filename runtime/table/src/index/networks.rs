//! Lookup of an address among flat intervals.

use std::net::IpAddr;
use zerocopy::little_endian::{U32, U128};

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
