//! Numbers and networks that pass some tests and fail others. Exact.

use super::{Answer, Space};
use edict_table::model::Test;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr};

/// A number in `low..=high`, the lowest that passes all of `yes` and none of `no`.
#[must_use]
pub fn solve(yes: &[&Test], no: &[&Test], mut low: u64, mut high: u64) -> Answer<u64> {
    let mut not = Vec::new();
    for (tests, wanted) in [(yes, true), (no, false)] {
        for test in tests {
            match (test, wanted) {
                (Test::Less(0), true) | (Test::Present, false) => return Answer::Impossible,
                (Test::Less(bound), true) => high = high.min(bound - 1),
                (Test::Less(bound), false) => low = low.max(*bound),
                (Test::AtMost(bound), true) | (Test::More(bound), false) => high = high.min(*bound),
                (Test::AtMost(bound), false) | (Test::More(bound), true) => {
                    let Some(above) = bound.checked_add(1) else { return Answer::Impossible };
                    low = low.max(above);
                }
                (Test::Equal(value), true) => {
                    low = low.max(*value);
                    high = high.min(*value);
                }
                (Test::Equal(value), false) => not.push(*value),
                (Test::Present, true) => {}
                _ => return Answer::Unknown,
            }
        }
    }
    not.sort_unstable();
    not.dedup();
    let mut value = low;
    for taken in not {
        if taken == value {
            let Some(next) = value.checked_add(1) else { return Answer::Impossible };
            value = next;
        }
    }
    if value <= high { Answer::Found(value) } else { Answer::Impossible }
}

/// Closed ranges of addresses, sorted, apart; IPv4 in its mapped place.
pub type Ranges = Vec<(u128, u128)>;

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The ranges of some networks.
#[must_use]
pub fn ranges<'n>(networks: impl Iterator<Item = &'n str>) -> Ranges {
    let nets = networks.filter_map(|text| text.parse::<IpNet>().ok());
    let (four, mut six): (Vec<IpNet>, Vec<IpNet>) = nets.partition(|net| net.addr().is_ipv4());
    let range = |net: &IpNet| (bits(net.network()), bits(net.broadcast()));
    // A network of IPv6 addresses holds no IPv4 address, however wide it is.
    six.sort_unstable_by_key(range);
    let mapped = vec![(bits(IpAddr::from([0, 0, 0, 0])), bits(IpAddr::from([255, 255, 255, 255])))];
    let mut out = subtract(&six.iter().map(range).collect(), &mapped);
    out.extend(four.iter().map(range));
    out.sort_unstable();
    let mut merged: Ranges = Vec::with_capacity(out.len());
    for (from, to) in out {
        match merged.last_mut() {
            Some((_, end)) if from <= end.saturating_add(1) => *end = (*end).max(to),
            _ => merged.push((from, to)),
        }
    }
    merged
}

fn intersect(a: &Ranges, b: &Ranges) -> Ranges {
    let mut out = Vec::new();
    let (mut i, mut j) = (0, 0);
    while let (Some((from, to)), Some((other_from, other_to))) = (a.get(i), b.get(j)) {
        let (start, end) = (*from.max(other_from), *to.min(other_to));
        if start <= end {
            out.push((start, end));
        }
        if to < other_to { i += 1 } else { j += 1 }
    }
    out
}

fn subtract(a: &Ranges, b: &Ranges) -> Ranges {
    let mut out = Vec::new();
    for (from, to) in a {
        let mut start = *from;
        let mut open = true;
        let first = b.partition_point(|(_, end)| end < from);
        for (gap_from, gap_to) in b.iter().skip(first) {
            if gap_from > to {
                break;
            }
            if *gap_from > start {
                out.push((start, gap_from - 1));
            }
            match gap_to.checked_add(1) {
                Some(next) if next <= *to => start = next,
                _ => {
                    open = false;
                    break;
                }
            }
        }
        if open && start <= *to {
            out.push((start, *to));
        }
    }
    out
}

/// An address in every list of `yes` and none of `no`, the usual documentation address where it fits.
#[must_use]
pub fn address(space: &Space<'_>, yes: &[&Ranges], no: &[&Ranges]) -> Answer<IpAddr> {
    let _ = space;
    let mut left: Ranges = vec![(0, u128::MAX)];
    for list in yes {
        left = intersect(&left, list);
    }
    for list in no {
        left = subtract(&left, list);
    }
    let usual: [IpAddr; 2] = [IpAddr::from([203, 0, 113, 9]), IpAddr::from([198, 51, 100, 7])];
    for ip in usual {
        let at = bits(ip);
        if left.iter().any(|(from, to)| *from <= at && at <= *to) {
            return Answer::Found(ip);
        }
    }
    // An address in the middle of IPv4 first, then anything that a client could have.
    let four = (bits(IpAddr::from([1, 0, 0, 0])), bits(IpAddr::from([223, 255, 255, 255])));
    let in_four = intersect(&left, &vec![four]);
    let Some((from, to)) = in_four.first().or_else(|| left.iter().rfind(|(_, to)| *to > 1)).or(left.first())
    else {
        return Answer::Impossible;
    };
    let at = if to > from { from + 1 } else { *from };
    let v6 = Ipv6Addr::from_bits(at);
    Answer::Found(v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use edict_table::model::Table;

    #[test]
    fn numbers() {
        let tests = [Test::Less(10), Test::AtMost(8), Test::More(3), Test::Equal(4)];
        let all: Vec<&Test> = tests.iter().take(3).collect();
        assert_eq!(solve(&all, &[], 0, 100), Answer::Found(4));
        assert_eq!(solve(&all, &[&tests[3]], 0, 100), Answer::Found(5));
        assert_eq!(solve(&[&tests[0]], &[&tests[1]], 0, 100), Answer::Found(9));
        assert_eq!(solve(&[&tests[1]], &[&tests[0]], 0, 100), Answer::Impossible);
        assert_eq!(solve(&[&tests[2]], &[], 0, 3), Answer::Impossible);
    }

    #[test]
    fn networks() {
        let table = Table::default();
        let space = Space::new(&table);
        let wide = ranges(["10.0.0.0/8", "192.0.2.0/24"].into_iter());
        let part = ranges(["10.0.0.0/9"].into_iter());
        let rest = ranges(["10.128.0.0/9", "192.0.2.0/24"].into_iter());
        assert!(
            matches!(address(&space, &[&wide, &part], &[]), Answer::Found(ip) if ip.to_string().starts_with("10."))
        );
        assert_eq!(address(&space, &[&wide], &[&part, &rest]), Answer::Impossible);
        assert!(matches!(address(&space, &[], &[&wide]), Answer::Found(_)));
        // Neither kind of address is in the other's networks.
        let (all_four, all_six) = (ranges(["0.0.0.0/0"].into_iter()), ranges(["::/0"].into_iter()));
        assert_eq!(address(&space, &[&all_four, &all_six], &[]), Answer::Impossible);
        assert!(matches!(address(&space, &[&wide], &[&all_six]), Answer::Found(IpAddr::V4(_))));
        assert!(matches!(address(&space, &[&all_six], &[&all_four]), Answer::Found(IpAddr::V6(_))));
        let six = ranges(["2001:db8::/32"].into_iter());
        assert!(matches!(address(&space, &[&six], &[]), Answer::Found(IpAddr::V6(_))));
    }
}
