//! Hash-consing of predicates and conditions, and their numbering by content.
//!
//! While rules are read, nodes get provisional places in order of arrival. [`Interner::finish`] numbers
//! them anew: predicates in their order as values, then conditions by height and, within a height, in
//! their order as values. Children come before parents, and the order of the text leaves no trace.

use edict_table::model::{Condition, ConditionId, Predicate, PredicateId};
use std::collections::HashMap;

#[derive(Clone, PartialEq, Eq, Hash)]
enum Node {
    True,
    Test(u32),
    Not(u32),
    All(Vec<u32>),
    Any(Vec<u32>),
}

/// Collects distinct predicates and condition nodes.
#[derive(Default)]
pub struct Interner {
    predicates: HashMap<Predicate, u32>,
    places: HashMap<Node, u32>,
    nodes: Vec<(Node, usize)>,
}

impl Interner {
    /// The node that always holds.
    pub fn always(&mut self) -> u32 {
        self.node(Node::True, 0)
    }

    /// A test.
    pub fn test(&mut self, predicate: Predicate) -> u32 {
        let next = place(self.predicates.len());
        let predicate = *self.predicates.entry(predicate).or_insert(next);
        self.node(Node::Test(predicate), 0)
    }

    /// The opposite of a node.
    pub fn not(&mut self, inner: u32) -> u32 {
        if let Some((Node::Not(twice), _)) = self.nodes.get(inner as usize) {
            return *twice;
        }
        let height = self.height(inner) + 1;
        self.node(Node::Not(inner), height)
    }

    /// All of these. None at all always holds.
    pub fn all(&mut self, mut parts: Vec<u32>) -> u32 {
        parts.sort_unstable();
        parts.dedup();
        match parts.as_slice() {
            [] => self.always(),
            [one] => *one,
            _ => {
                let height = parts.iter().map(|p| self.height(*p)).max().unwrap_or(0) + 1;
                self.node(Node::All(parts), height)
            }
        }
    }

    /// Any of these. None at all never holds.
    pub fn any(&mut self, mut parts: Vec<u32>) -> u32 {
        parts.sort_unstable();
        parts.dedup();
        match parts.as_slice() {
            [] => {
                let always = self.always();
                self.not(always)
            }
            [one] => *one,
            _ => {
                let height = parts.iter().map(|p| self.height(*p)).max().unwrap_or(0) + 1;
                self.node(Node::Any(parts), height)
            }
        }
    }

    fn height(&self, at: u32) -> usize {
        self.nodes.get(at as usize).map_or(0, |(_, height)| *height)
    }

    fn node(&mut self, node: Node, height: usize) -> u32 {
        if let Some(at) = self.places.get(&node) {
            return *at;
        }
        let at = place(self.nodes.len());
        self.nodes.push((node.clone(), height));
        self.places.insert(node, at);
        at
    }

    /// Predicates and conditions in their final order, and for each provisional place the final one.
    pub fn finish(self) -> (Vec<Predicate>, Vec<Condition>, Vec<ConditionId>) {
        let mut predicates: Vec<(Predicate, u32)> = self.predicates.into_iter().collect();
        predicates.sort_unstable();
        let mut predicate_places = vec![0; predicates.len()];
        for (new, (_, old)) in (0u32..).zip(&predicates) {
            if let Some(slot) = predicate_places.get_mut(*old as usize) {
                *slot = new;
            }
        }
        let predicates = predicates.into_iter().map(|(predicate, _)| predicate).collect();

        let tallest = self.nodes.iter().map(|(_, height)| *height).max().unwrap_or(0);
        let mut levels: Vec<Vec<(u32, Node)>> = vec![Vec::new(); tallest + 1];
        for (old, (node, height)) in (0u32..).zip(self.nodes) {
            if let Some(level) = levels.get_mut(height) {
                level.push((old, node));
            }
        }
        let mut places: Vec<ConditionId> = vec![0; levels.iter().map(Vec::len).sum()];
        let mut conditions: Vec<Condition> = Vec::with_capacity(places.len());
        for level in levels {
            let mut level: Vec<(Condition, u32)> = level
                .into_iter()
                .map(|(old, node)| (renumbered(node, &places, &predicate_places), old))
                .collect();
            level.sort_unstable();
            for (condition, old) in level {
                if let Some(slot) = places.get_mut(old as usize) {
                    *slot = place(conditions.len());
                }
                conditions.push(condition);
            }
        }
        (predicates, conditions, places)
    }
}

fn renumbered(node: Node, places: &[ConditionId], predicates: &[PredicateId]) -> Condition {
    let at = |old: u32| places.get(old as usize).copied().unwrap_or(0);
    let many = |old: Vec<u32>| {
        let mut new: Vec<ConditionId> = old.into_iter().map(at).collect();
        new.sort_unstable();
        new
    };
    match node {
        Node::True => Condition::True,
        Node::Test(old) => Condition::Test(predicates.get(old as usize).copied().unwrap_or(0)),
        Node::Not(inner) => Condition::Not(at(inner)),
        Node::All(parts) => Condition::All(many(parts)),
        Node::Any(parts) => Condition::Any(many(parts)),
    }
}

/// Places are 32 bits wide; the sizes of source files keep counts far below that.
fn place(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
