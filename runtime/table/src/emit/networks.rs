//! Networks as flat intervals: where each starts, and which lists hold it until the next one starts.

use super::sets::Sets;
use super::{EmitError, count};
use crate::format::{DIRECTORY_FROM, NetworkRec};
use crate::model::{ListKind, Table};
use crate::value::parse_network;
use ipnet::IpNet;
use std::collections::BTreeMap;

/// All networks of a table.
#[derive(Default)]
pub(super) struct Networks {
    /// As the lists hold them, by list, family, address, prefix.
    pub(super) written: Vec<NetworkRec>,
    pub(super) v4: Intervals,
    pub(super) v6: Intervals,
    /// For each value of the upper 16 bits of an IPv4 address, how many intervals start below it.
    pub(super) directory: Vec<u32>,
}

/// Intervals of one family.
#[derive(Default)]
pub(super) struct Intervals {
    pub(super) starts: Vec<u128>,
    pub(super) sets: Vec<u32>,
}

/// Reads the lists of networks.
pub(super) fn build(table: &Table, sets: &mut Sets) -> Result<Networks, EmitError> {
    let mut all: Vec<(u32, u8, u128, u8)> = Vec::new();
    for (list, place) in table.lists.iter().zip(0u32..) {
        if list.kind != ListKind::Network {
            continue;
        }
        for entry in list.entries.iter() {
            let network = parse_network(entry).map_err(|_| EmitError::Network(entry.to_owned()))?;
            all.push(match network {
                IpNet::V4(v4) => (place, 4, u128::from(v4.addr().to_bits()), v4.prefix_len()),
                IpNet::V6(v6) => (place, 6, v6.addr().to_bits(), v6.prefix_len()),
            });
        }
    }
    all.sort_unstable();
    all.dedup();
    let v4 = intervals(&all, 4, 32, sets)?;
    let v6 = intervals(&all, 6, 128, sets)?;
    let directory = if v4.starts.len() < DIRECTORY_FROM {
        Vec::new()
    } else {
        (0..=0x1_0000u128)
            .map(|top| count(v4.starts.partition_point(|s| *s < top << 16), "networks"))
            .collect::<Result<_, _>>()?
    };
    let written = all
        .into_iter()
        .map(|(list, family, address, prefix)| NetworkRec {
            list: list.into(),
            family,
            prefix,
            zero: [0; 2],
            address: address.into(),
        })
        .collect();
    Ok(Networks { written, v4, v6, directory })
}

/// Sweeps over starts and ends. Nested and equal networks of one list count together.
fn intervals(
    all: &[(u32, u8, u128, u8)],
    family: u8,
    bits: u32,
    sets: &mut Sets,
) -> Result<Intervals, EmitError> {
    let mut events: Vec<(u128, bool, u32)> = Vec::new();
    for (list, _, address, prefix) in all.iter().filter(|n| n.1 == family) {
        let host = bits - u32::from(*prefix).min(bits);
        let last = if host >= 128 { u128::MAX } else { address | ((1u128 << host) - 1) };
        events.push((*address, true, *list));
        let top = if bits == 128 { u128::MAX } else { (1u128 << bits) - 1 };
        if last < top {
            events.push((last + 1, false, *list));
        }
    }
    let mut out = Intervals::default();
    if events.is_empty() {
        return Ok(out);
    }
    events.sort_unstable();
    let mut active: BTreeMap<u32, u32> = BTreeMap::new();
    let mut lists: Vec<u32> = Vec::new();
    let mut rest = events.as_slice();
    if rest.first().is_some_and(|e| e.0 != 0) {
        out.starts.push(0);
        out.sets.push(0);
    }
    while let Some((at, _, _)) = rest.first() {
        let here = rest.partition_point(|e| e.0 == *at);
        let (now, later) = rest.split_at(here);
        for (_, begins, list) in now {
            let level = active.entry(*list).or_insert(0);
            // Ends sort before starts at one place, so the level may pass through zero.
            *level = if *begins { level.saturating_add(1) } else { level.saturating_sub(1) };
        }
        active.retain(|_, level| *level > 0);
        lists.clear();
        lists.extend(active.keys());
        let set = sets.id(&lists)?;
        if out.sets.last() != Some(&set) {
            out.starts.push(*at);
            out.sets.push(set);
        }
        rest = later;
    }
    Ok(out)
}
