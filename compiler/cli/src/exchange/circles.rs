//! Circles in a graph: which nodes lead back to themselves, and by which way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Ways are told in circles of so many nodes at most.
const TOLD: usize = 50;

/// The sets of nodes that all lead to each other, of two nodes and more (Tarjan's components, without recursion).
pub fn circles(edges: &[Vec<usize>]) -> Vec<BTreeSet<usize>> {
    const NEW: usize = usize::MAX;
    let mut number = vec![NEW; edges.len()];
    let mut low = vec![NEW; edges.len()];
    let mut waits = vec![false; edges.len()];
    let (mut path, mut stack, mut out, mut count) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for start in 0..edges.len() {
        path.push((start, 0));
        while let Some((node, at)) = path.pop() {
            let (Some(own), Some(next)) = (number.get_mut(node), edges.get(node)) else { continue };
            if at == 0 {
                if *own != NEW {
                    continue;
                }
                *own = count;
                set(&mut low, node, count);
                set(&mut waits, node, true);
                stack.push(node);
                count += 1;
            } else if let Some(child) = next.get(at - 1) {
                let below = get(&low, *child).min(get(&low, node));
                if waits.get(*child) == Some(&true) {
                    set(&mut low, node, below);
                }
            }
            if let Some(child) = next.get(at) {
                path.push((node, at + 1));
                match number.get(*child) {
                    Some(&NEW) => path.push((*child, 0)),
                    Some(seen) if waits.get(*child) == Some(&true) => {
                        let below = get(&low, node).min(*seen);
                        set(&mut low, node, below);
                    }
                    _ => {}
                }
            } else if get(&low, node) == get(&number, node) {
                let mut circle = BTreeSet::new();
                while let Some(top) = stack.pop() {
                    set(&mut waits, top, false);
                    circle.insert(top);
                    if top == node {
                        break;
                    }
                }
                if circle.len() > 1 {
                    out.push(circle);
                }
            }
        }
    }
    out
}

fn get(of: &[usize], at: usize) -> usize {
    of.get(at).copied().unwrap_or(usize::MAX)
}

fn set<T>(of: &mut [T], at: usize, value: T) {
    if let Some(slot) = of.get_mut(at) {
        *slot = value;
    }
}

/// The shortest way from a node of a circle back to itself; empty where the circle is too large to be told.
pub fn way(edges: &[Vec<usize>], circle: &BTreeSet<usize>, from: usize) -> Vec<usize> {
    if circle.len() > TOLD {
        return Vec::new();
    }
    let mut before: BTreeMap<usize, usize> = BTreeMap::new();
    let mut waiting = VecDeque::from([from]);
    while let Some(node) = waiting.pop_front() {
        for next in edges.get(node).into_iter().flatten().filter(|next| circle.contains(next)) {
            if *next == from {
                let mut way = vec![from, node];
                while let Some(up) =
                    way.last().filter(|last| **last != from).and_then(|last| before.get(last))
                {
                    way.push(*up);
                }
                way.reverse();
                return way;
            }
            if !before.contains_key(next) {
                before.insert(*next, node);
                waiting.push_back(*next);
            }
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a node leads to another, by trying everything.
    fn leads(edges: &[Vec<usize>], from: usize, to: usize) -> bool {
        let mut seen = BTreeSet::new();
        let mut waiting = vec![from];
        while let Some(node) = waiting.pop() {
            for next in &edges[node] {
                if *next == to {
                    return true;
                }
                if seen.insert(*next) {
                    waiting.push(*next);
                }
            }
        }
        false
    }

    #[test]
    fn small_graphs() {
        let mut seed = 1u64;
        for _ in 0..500 {
            let mut roll = |of: usize| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                usize::try_from(seed >> 33).unwrap() % of
            };
            let edges: Vec<Vec<usize>> = (0..7)
                .map(|node| (0..roll(3)).map(|_| roll(7)).filter(|next| *next != node).collect())
                .collect();
            let found = circles(&edges);
            let all: BTreeSet<usize> = found.iter().flatten().copied().collect();
            for node in 0..7 {
                assert_eq!(all.contains(&node), leads(&edges, node, node), "{node} {edges:?} {found:?}");
            }
            for circle in &found {
                for node in circle {
                    let way = way(&edges, circle, *node);
                    assert!(way.len() > 2 && way.first() == way.last(), "{way:?} {edges:?}");
                    assert!(way.windows(2).all(|two| edges[two[0]].contains(&two[1])), "{way:?} {edges:?}");
                }
            }
        }
    }

    #[test]
    fn deep_graphs_take_no_stack() {
        let count = 200_000;
        let mut edges: Vec<Vec<usize>> = (1..count).map(|next| vec![next]).collect();
        edges.push(vec![]);
        assert!(circles(&edges).is_empty());
        edges[count - 1].push(0);
        assert_eq!(circles(&edges)[0].len(), count);
    }
}
