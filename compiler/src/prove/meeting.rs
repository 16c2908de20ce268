//! Which rules of equal rank may match one message at all: sorted by what each leaves of the facts that have one value,
//! so that rules for thousands of senders, logins or networks are not held against each other pair by pair.

use super::equals::contend;
use super::has_ties;
use super::theory::Space;
use super::theory::cover::{Covers, Of, Spans};
use edict_table::model::{Kind, Mode, Rule};
use std::collections::{BTreeMap, BTreeSet};

/// The most ranges that are sorted of one table; rules behind these are held against each that is near.
const MAX_SORTED: usize = 2_000_000;

/// The most ranges that are passed by for each that may be found.
const STEPS: usize = 8;

/// The ranges that rules leave of one fact, and the rules that leave all of it.
#[derive(Default)]
struct Index {
    /// The ranges of each rule here, with its place. Many have them from one list.
    rules: Vec<(Spans, usize)>,
    /// A place in `rules`, and one in its ranges; sorted by these.
    spans: Vec<(u32, u32)>,
    /// The largest last value up to there, by its place in `spans`.
    reach: Vec<u32>,
    open: Vec<usize>,
}

impl Index {
    /// First and last value.
    fn range(&self, (rule, at): (u32, u32)) -> Option<(&[u8], &[u8])> {
        let (from, to) = self.rules.get(rule as usize)?.0.get(at as usize)?;
        Some((from, to))
    }

    /// A rule with what it leaves; with too many ranges it counts as one that leaves all.
    fn add(&mut self, place: usize, spans: Option<&Spans>, left: &mut usize) {
        let fits = |spans: &&Spans| spans.len() <= *left && u32::try_from(spans.len()).is_ok();
        let (Some(spans), Ok(rule)) = (spans.filter(fits), u32::try_from(self.rules.len())) else {
            self.open.push(place);
            return;
        };
        *left -= spans.len();
        self.spans.extend((0u32..).zip(spans.iter()).map(|(at, _)| (rule, at)));
        self.rules.push((spans.clone(), place));
    }

    fn sort(&mut self) {
        let mut spans = std::mem::take(&mut self.spans);
        spans.sort_unstable_by(|a, b| self.range(*a).cmp(&self.range(*b)).then(a.cmp(b)));
        self.spans = spans;
        let mut largest = (0, None);
        let reach = (0u32..).zip(&self.spans).map(|(at, span)| {
            let to = self.range(*span).map(|(_, to)| to);
            if largest.1 < to {
                largest = (at, to);
            }
            largest.0
        });
        self.reach = reach.collect();
    }

    /// Rules that may leave one of these values too, once or more; none where these are more than that, or it takes long
    /// to find them, as among ranges of which one holds all others.
    fn near(&self, spans: &Spans, most: usize) -> Option<Vec<usize>> {
        let at = |place: usize| self.spans.get(place).and_then(|span| Some((span.0, self.range(*span)?)));
        let mut out = self.open.clone();
        let mut steps = most.saturating_add(spans.len()).saturating_mul(STEPS);
        for (from, to) in spans.iter() {
            let before = |span: &(u32, u32)| self.range(*span).is_some_and(|(start, _)| start <= &**to);
            let end = self.spans.partition_point(before);
            for place in (0..end).rev() {
                let reach = self.reach.get(place).and_then(|largest| at(*largest as usize));
                if reach.is_none_or(|(_, (_, last))| last < &**from) {
                    break;
                }
                if out.len() > most || steps == 0 {
                    return None;
                }
                steps -= 1;
                let near = at(place).filter(|(_, (_, last))| *last >= &**from);
                out.extend(near.and_then(|(rule, _)| self.rules.get(rule as usize)).map(|(_, place)| *place));
            }
        }
        (out.len() <= most).then_some(out)
    }
}

/// Rules of one kind and priority.
#[derive(Default)]
struct Group {
    rules: Vec<usize>,
    facts: BTreeMap<Of, Index>,
}

/// Rules of equal rank that may match a message of one rule.
#[derive(Default)]
pub(super) struct Near {
    /// The first of them.
    pub(super) equals: Vec<usize>,
    /// There are more.
    pub(super) cut: bool,
}

/// The rules of a table by what they leave.
pub(super) struct Meeting {
    covers: Covers,
    groups: BTreeMap<(Kind, u32), Group>,
}

impl Meeting {
    pub(super) fn new(space: &Space<'_>) -> Self {
        let table = space.table;
        let mut groups: BTreeMap<(Kind, u32), Group> = BTreeMap::new();
        for (place, rule) in table.rules.iter().enumerate() {
            if rule.mode == Mode::Enforce {
                groups.entry((rule.kind(), rule.priority)).or_default().rules.push(place);
            }
        }
        let covers = Covers::default();
        let mut left = MAX_SORTED;
        for ((kind, _), group) in &mut groups {
            // Of verdict rules few are looked at in any case.
            if !has_ties(*kind) || group.rules.len() < 2 {
                continue;
            }
            let of_rule = |place: &usize| {
                let rule = table.rules.get(*place)?;
                Some((*place, covers.of(space, rule.condition)))
            };
            let all: Vec<_> = group.rules.iter().filter_map(of_rule).collect();
            let facts: BTreeSet<Of> = all.iter().flat_map(|(_, cover)| cover.keys().copied()).collect();
            for of in facts {
                let index = group.facts.entry(of).or_default();
                for (place, cover) in &all {
                    index.add(*place, cover.get(&of), &mut left);
                }
                index.sort();
            }
        }
        Self { covers, groups }
    }

    /// Whether it is plain that no message matches both rules.
    pub(super) fn is_apart(&self, space: &Space<'_>, a: &Rule, b: &Rule) -> bool {
        self.covers.exclude(&self.covers.of(space, a.condition), &self.covers.of(space, b.condition))
    }

    /// The first rules before this one, at most so many, that would decide in its stead, without those of which it is
    /// plain that no message matches them and this one.
    pub(super) fn equals(&self, space: &Space<'_>, place: usize, most: usize) -> Near {
        let table = space.table;
        let Some(rule) = table.rules.get(place) else { return Near::default() };
        let Some(group) = self.groups.get(&(rule.kind(), rule.priority)) else { return Near::default() };
        let of = |at: &usize| table.rules.get(*at).filter(|other| contend(other, rule));
        if !has_ties(rule.kind()) {
            let first =
                group.rules.iter().take_while(|at| **at < place).filter_map(|at| Some((*at, of(at)?)));
            let apart = |(_, other): &(usize, &Rule)| self.is_apart(space, other, rule);
            let mut first = first.fuse();
            let equals = first.by_ref().take(most).filter(|pair| !apart(pair)).map(|(at, _)| at).collect();
            return Near { equals, cut: first.next().is_some() };
        }
        let cover = self.covers.of(space, rule.condition);
        let mut near: Option<Vec<usize>> = None;
        for (of, spans) in cover.iter() {
            let best = near.as_ref().map_or(group.rules.len(), Vec::len);
            if let Some(fewer) = group.facts.get(of).and_then(|index| index.near(spans, best)) {
                near = Some(fewer);
            }
        }
        if let Some(near) = &mut near {
            near.sort_unstable();
            near.dedup();
        }
        let near = near.as_ref().unwrap_or(&group.rules);
        space.count_pairs(near.len());
        let near = near.iter().copied();
        let fits = |at: &usize| {
            of(at).is_some_and(|other| !self.covers.exclude(&self.covers.of(space, other.condition), &cover))
        };
        let mut near = near.take_while(|at| *at < place).filter(fits);
        let equals = near.by_ref().take(most).collect();
        Near { equals, cut: near.next().is_some() }
    }
}
