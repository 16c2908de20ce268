//! What a condition leaves of the facts that have one value, as ranges: where two conditions leave nothing in common of
//! one fact, no message fits both, and nobody needs to look for one.
//!
//! Each fact has its values in an order in which what a key stands for lies together: domains from their end, with the
//! local part behind. Ranges may hold more than the condition lets in, never less.

use super::region::base;
use super::space::Space;
use edict_table::fact::Fact;
use edict_table::model::{Condition, ConditionId, ListId, Predicate, Test};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// The most ranges that are written, over a whole table; what is behind stays open.
const MAX_RANGES: usize = 500_000;
/// The most ranges that are held against others, over a whole table; from there on nothing is apart.
const MAX_LOOKS: usize = 20_000_000;

/// What the ranges are of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::prove) enum Of {
    Sender,
    SenderLocal,
    Recipient,
    RecipientLocal,
    /// A fact by itself.
    Fact(Fact),
}

/// First and last value.
type Range = (Box<[u8]>, Box<[u8]>);

/// Sorted, apart.
pub(in crate::prove) type Spans = Rc<[Range]>;

/// What is left of each fact; of a fact that is not there all may be left.
pub(in crate::prove) type Cover = BTreeMap<Of, Spans>;

/// The covers of the conditions of a table, each found once.
#[derive(Default)]
pub(in crate::prove) struct Covers {
    conditions: RefCell<HashMap<(ConditionId, bool), Rc<Cover>>>,
    ranges: Cell<usize>,
    looks: Cell<usize>,
}

type Open = Vec<Range>;

fn apart(mut all: Open) -> Spans {
    all.sort_unstable();
    let mut out: Open = Vec::with_capacity(all.len());
    for (from, to) in all {
        match out.last_mut() {
            Some((_, end)) if from <= *end => {
                if to > *end {
                    *end = to;
                }
            }
            _ => out.push((from, to)),
        }
    }
    out.into()
}

fn both(a: &Spans, b: &Spans) -> Spans {
    let mut out = Open::new();
    let (mut i, mut j) = (0, 0);
    while let (Some((from, to)), Some((other_from, other_to))) = (a.get(i), b.get(j)) {
        let (start, end) = (from.max(other_from), to.min(other_to));
        if start <= end {
            out.push((start.clone(), end.clone()));
        }
        if to < other_to { i += 1 } else { j += 1 }
    }
    out.into()
}

/// Whether two sets of ranges have nothing in common.
fn are_apart(a: &Spans, b: &Spans) -> bool {
    let (few, many) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    few.iter().all(|(from, to)| {
        let first = many.partition_point(|(_, end)| end < from);
        many.get(first).is_none_or(|(start, _)| start > to)
    })
}

fn point(value: &[u8]) -> Range {
    (value.into(), value.into())
}

/// All that begins like that. No text has this byte.
fn beginning(text: &str) -> Range {
    (text.as_bytes().into(), text.bytes().chain([0xff]).collect())
}

fn backward(domain: &str) -> String {
    domain.rsplit('.').collect::<Vec<_>>().join(".")
}

/// A key of a mailbox list; none where it stands for some of each domain.
fn mailbox(key: &str) -> Option<Range> {
    let (local, domain) = key.rsplit_once('@')?;
    match (local, domain, domain.strip_prefix('.')) {
        (_, "", _) => None,
        ("", _, Some(up)) => Some(beginning(&format!("{}.", backward(up)))),
        (_, _, Some(_)) => None,
        ("", domain, None) => Some(beginning(&format!("{}@", backward(domain)))),
        (local, domain, None) => {
            Some(point(format!("{}@{}", backward(domain), base(local).unwrap_or(local)).as_bytes()))
        }
    }
}

/// The local part of a key of a mailbox list, without an extension; none where it stands for several.
fn local(key: &str) -> Option<Range> {
    let (local, _) = key.rsplit_once('@').filter(|(local, _)| !local.is_empty())?;
    Some(point(base(local).unwrap_or(local).as_bytes()))
}

/// The numbers that pass a test, or fail it.
fn numbers(test: &Test, holds: bool) -> Option<(u64, u64)> {
    let below = |bound: u64| (bound > 0).then(|| (0, bound - 1));
    match (test, holds) {
        (Test::Less(bound), true) => below(*bound),
        (Test::Less(bound), false) => Some((*bound, u64::MAX)),
        (Test::AtMost(bound), true) | (Test::More(bound), false) => Some((0, *bound)),
        (Test::AtMost(bound), false) | (Test::More(bound), true) => Some((bound.checked_add(1)?, u64::MAX)),
        (Test::Equal(value), true) => Some((*value, *value)),
        _ => None,
    }
}

impl Covers {
    /// Whether it is plain that no message fits both.
    pub(in crate::prove) fn exclude(&self, a: &Cover, b: &Cover) -> bool {
        a.iter().any(|(of, spans)| {
            b.get(of).is_some_and(|other| {
                let looks = self.looks.get().saturating_add(spans.len().min(other.len()));
                self.looks.set(looks);
                looks <= MAX_LOOKS && are_apart(spans, other)
            })
        })
    }

    /// Counts ranges that are written. False where these are too many.
    fn write(&self, ranges: usize) -> bool {
        let all = self.ranges.get().saturating_add(ranges);
        let fits = all <= MAX_RANGES;
        if fits {
            self.ranges.set(all);
        }
        fits
    }

    /// What a condition leaves where it holds.
    pub(in crate::prove) fn of(&self, space: &Space<'_>, at: ConditionId) -> Rc<Cover> {
        self.condition(space, at, true)
    }

    fn condition(&self, space: &Space<'_>, at: ConditionId, holds: bool) -> Rc<Cover> {
        if let Some(known) = self.conditions.borrow().get(&(at, holds)) {
            return known.clone();
        }
        let made = match space.table.conditions.get(at as usize) {
            None | Some(Condition::True) => Rc::default(),
            Some(Condition::Test(test)) => {
                space.predicate(*test).map(|p| Rc::new(self.test(space, p, holds))).unwrap_or_default()
            }
            Some(Condition::Not(inner)) => self.condition(space, *inner, !holds),
            Some(all @ (Condition::All(parts) | Condition::Any(parts))) => {
                let each = matches!(all, Condition::All(_)) == holds;
                let covers = parts.iter().map(|part| self.condition(space, *part, holds));
                Rc::new(if each {
                    covers.fold(Cover::new(), |a, b| self.meet(a, &b))
                } else {
                    self.join(&covers.collect::<Vec<_>>())
                })
            }
        };
        self.conditions.borrow_mut().insert((at, holds), made.clone());
        made
    }

    fn test(&self, space: &Space<'_>, predicate: &Predicate, holds: bool) -> Cover {
        let mut out = Cover::new();
        let fact = predicate.fact;
        match (fact, &predicate.test) {
            (_, Test::InList(list)) if holds => {
                let keys = |of: Of, key: fn(&str) -> Option<Range>| {
                    self.keys(space, *list, key).map(|spans| (of, spans))
                };
                let spans = match fact {
                    Fact::Sender => [keys(Of::Sender, mailbox), keys(Of::SenderLocal, local)],
                    Fact::Recipient => [keys(Of::Recipient, mailbox), keys(Of::RecipientLocal, local)],
                    Fact::SenderDomain => [keys(Of::Sender, mailbox), None],
                    Fact::RecipientDomain => [keys(Of::Recipient, mailbox), None],
                    Fact::ClientName | Fact::Helo => [keys(Of::Fact(fact), mailbox), None],
                    Fact::AuthUser | Fact::Subject => {
                        [keys(Of::Fact(fact), |key| Some(point(key.as_bytes()))), None]
                    }
                    Fact::SenderLocal | Fact::RecipientLocal => {
                        let of = if fact == Fact::SenderLocal { Of::SenderLocal } else { Of::RecipientLocal };
                        [keys(of, |key| Some(point(base(key).unwrap_or(key).as_bytes()))), None]
                    }
                    Fact::ClientIp => {
                        let ranges = space.ranges(*list).iter();
                        let bytes = |ip: u128| Box::from(ip.to_be_bytes());
                        let spans = ranges.map(|(from, to)| (bytes(*from), bytes(*to))).collect();
                        [Some((Of::Fact(fact), spans)), None]
                    }
                    _ => [None, None],
                };
                out.extend(spans.into_iter().flatten());
            }
            (Fact::Direction | Fact::Spf | Fact::Dmarc, Test::OneOf(bits)) => {
                let some = (0u8..8).filter(|bit| (bits & (1 << bit) != 0) == holds);
                out.insert(Of::Fact(fact), some.map(|bit| point(&[bit])).collect());
            }
            (Fact::Size | Fact::RecipientCount | Fact::Hops | Fact::Time, test) => {
                if let Some((from, to)) = numbers(test, holds) {
                    let range = (Box::from(from.to_be_bytes()), Box::from(to.to_be_bytes()));
                    out.insert(Of::Fact(fact), Rc::from([range]));
                }
            }
            _ => {}
        }
        out
    }

    fn keys(&self, space: &Space<'_>, list: ListId, key: fn(&str) -> Option<Range>) -> Option<Spans> {
        let keys = space.keys(list);
        if !self.write(keys.len()) {
            return None;
        }
        keys.iter().map(key).collect::<Option<Open>>().map(apart)
    }

    /// What two conditions leave together; of a fact what one leaves where both would be too many ranges.
    fn meet(&self, mut a: Cover, b: &Cover) -> Cover {
        for (of, spans) in b {
            match a.get(of) {
                None => drop(a.insert(*of, spans.clone())),
                Some(own) if self.write(own.len().saturating_add(spans.len())) => {
                    let left = both(own, spans);
                    a.insert(*of, left);
                }
                Some(own) if spans.len() < own.len() => drop(a.insert(*of, spans.clone())),
                Some(_) => {}
            }
        }
        a
    }

    /// What any of some conditions leaves.
    fn join(&self, all: &[Rc<Cover>]) -> Cover {
        let facts = all.first().into_iter().flat_map(|cover| cover.keys());
        let each = facts.filter_map(|of| {
            let spans: Vec<&Spans> = all.iter().map(|cover| cover.get(of)).collect::<Option<_>>()?;
            let many = spans.iter().map(|spans| spans.len()).sum();
            let left = || apart(spans.iter().flat_map(|spans| spans.iter()).cloned().collect());
            self.write(many).then(|| (*of, left()))
        });
        each.collect()
    }
}
