//! Which entry wins, as priorities.
//!
//! Postfix asks for the most specific key first, or reads a file from the top; Edict compares priorities,
//! then verbs. An entry gets the lowest rank at which everything that must win over it does: a table of
//! refusals alone needs one rank, and no priority is written.

use super::action::Outcome;
use std::collections::BTreeMap;

/// An entry on its way into rules.
#[derive(Clone, Debug)]
pub struct Entry {
    /// In the form that `Space` orders.
    pub key: String,
    /// What it decides.
    pub outcome: Outcome,
    /// All of this class are asked before any of a later one.
    pub class: u8,
    /// Within a class, larger is asked first.
    pub depth: usize,
    /// Found by [`rank`].
    pub rank: u32,
}

/// Gives every entry its rank. `above(key)` names the keys that hold every mail that `key` holds, the most
/// specific first. Keys are unique.
pub fn rank(entries: &mut [Entry], above: impl Fn(&str) -> Vec<String>) {
    entries.sort_by(|a, b| a.class.cmp(&b.class).then(b.depth.cmp(&a.depth)).then_with(|| a.key.cmp(&b.key)));
    let places: BTreeMap<String, usize> =
        entries.iter().enumerate().map(|(place, entry)| (entry.key.clone(), place)).collect();
    // What is needed above all of an earlier class, by outcome.
    let mut floors: Vec<(Outcome, u32)> = Vec::new();
    let mut pending: Vec<(Outcome, u32)> = Vec::new();
    let mut class = 0;
    for place in 0..entries.len() {
        let Some(entry) = entries.get(place).cloned() else { continue };
        if entry.class != class {
            class = entry.class;
            for (outcome, rank) in pending.drain(..) {
                raise_floor(&mut floors, outcome, rank);
            }
        }
        let floor = floors
            .iter()
            .filter(|(outcome, _)| *outcome != entry.outcome)
            .map(|(outcome, rank)| rank + outcome.step_to(&entry.outcome))
            .max();
        let mine = entry.rank.max(floor.unwrap_or(0));
        if let Some(entry) = entries.get_mut(place) {
            entry.rank = mine;
        }
        raise_floor(&mut pending, entry.outcome.clone(), mine);
        for key in above(&entry.key) {
            let Some(other) = places.get(&key).filter(|other| **other > place) else { continue };
            if let Some(other) = entries.get_mut(*other)
                && other.outcome != entry.outcome
            {
                other.rank = other.rank.max(mine + entry.outcome.step_to(&other.outcome));
            }
        }
    }
}

fn raise_floor(floors: &mut Vec<(Outcome, u32)>, outcome: Outcome, rank: u32) {
    match floors.iter_mut().find(|(have, _)| *have == outcome) {
        Some((_, have)) => *have = (*have).max(rank),
        None => floors.push((outcome, rank)),
    }
}

/// The same for a file that is read from the top and whose patterns cannot be compared: each entry must
/// lose against all before it.
pub fn in_order<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> Vec<u32> {
    let mut floors: Vec<(Outcome, u32)> = Vec::new();
    let mut out = Vec::new();
    for outcome in outcomes {
        let floor = floors
            .iter()
            .filter(|(before, _)| before != outcome)
            .map(|(before, rank)| rank + before.step_to(outcome))
            .max();
        let rank = floor.unwrap_or(0);
        raise_floor(&mut floors, outcome.clone(), rank);
        out.push(rank);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(text: &str) -> Outcome {
        super::super::action::parse(text, &mut Vec::new()).unwrap()
    }

    #[test]
    fn ranks_only_rise_where_they_must() {
        let entry = |key: &str, depth, class, action| Entry {
            key: key.to_owned(),
            outcome: outcome(action),
            class,
            depth,
            rank: 0,
        };
        let mut entries = vec![
            entry("ann@b.example", 9, 0, "REJECT"),
            entry("b.example", 2, 0, "OK"),
            entry("example", 1, 0, "REJECT"),
            entry("c.test", 2, 0, "REJECT"),
            entry("ann@", 1, 1, "REJECT"),
        ];
        rank(&mut entries, |key| {
            let domain = key.rsplit('@').next().unwrap_or(key);
            let up = edict_table::value::domain::parents(domain).map(str::to_owned);
            std::iter::once(domain.to_owned()).filter(|d| d != key).chain(up).collect()
        });
        let ranks: Vec<(&str, u32)> = entries.iter().map(|e| (e.key.as_str(), e.rank)).collect();
        assert_eq!(
            ranks,
            [("ann@b.example", 0), ("b.example", 1), ("c.test", 0), ("example", 1), ("ann@", 1)]
        );
    }

    #[test]
    fn files_read_from_the_top() {
        let all = ["OK", "REJECT", "REJECT", "OK", "DUNNO", "REJECT", "REJECT x"].map(outcome);
        assert_eq!(in_order(all.iter()), [0, 0, 0, 1, 2, 2, 3]);
    }
}
