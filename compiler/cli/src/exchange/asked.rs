//! What the patterns of a file ask, so far as it tells that a later one never matches.
//!
//! Postfix stops at the first pattern that matches. A line with a pattern that stood before, or within an `if` that says
//! the opposite, has no part in any decision; a rule for it would be an error. What regexes have in common beside being
//! the same is not looked at.

use std::collections::{BTreeMap, BTreeSet};

/// A pattern, and whether it must not match.
type Part = (String, bool);

/// A condition: as rules write it, and the patterns it is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// As rules write it.
    pub condition: String,
    /// What it is made of: each pattern, and whether it must not match.
    parts: BTreeSet<Part>,
    /// What it leaves of values that are there, and of those that are absent.
    presence: Presence,
}

/// For which values a pattern can hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Presence {
    /// For both.
    Either,
    /// For values that are there.
    Present,
    /// For the absent one alone.
    Absent,
    /// For none.
    Neither,
}

impl Asked {
    /// One pattern, under a name that the same pattern always has.
    pub fn one(condition: String, name: String, negated: bool, presence: Presence) -> Self {
        Self { condition, parts: BTreeSet::from([(name, negated)]), presence }
    }

    /// Both of them.
    pub fn and(&self, inner: &Self) -> Self {
        let same = inner.parts.is_subset(&self.parts);
        // What matches is there.
        let present = self.condition.strip_suffix(" is present");
        let implied = present.is_some_and(|fact| {
            !fact.contains(' ')
                && inner.condition.strip_prefix(fact).is_some_and(|rest| rest.starts_with(" matches /"))
                && !inner.condition.contains(" or ")
        });
        let condition = match same {
            true => self.condition.clone(),
            false if implied => inner.condition.clone(),
            false => format!("{} and {}", held(&self.condition), held(&inner.condition)),
        };
        let presence = match (self.presence, inner.presence) {
            (Presence::Either, other) | (other, Presence::Either) => other,
            (mine, its) if mine == its => mine,
            _ => Presence::Neither,
        };
        Self { condition, parts: self.parts.union(&inner.parts).cloned().collect(), presence }
    }

    /// Whether it asks for a pattern and for its opposite.
    fn is_contradiction(&self) -> bool {
        self.presence == Presence::Neither
            || self.parts.iter().any(|(name, negated)| self.parts.contains(&(name.clone(), !negated)))
    }
}

/// Holds a condition together beside others.
fn held(condition: &str) -> String {
    if condition.contains(" or ") { format!("({condition})") } else { condition.to_owned() }
}

/// What was asked so far, by header.
#[derive(Default)]
pub struct Seen {
    /// Conditions of one pattern, and the line.
    single: BTreeMap<(String, Part), u32>,
    /// Conditions of several.
    several: Vec<(String, BTreeSet<Part>, u32)>,
    /// Headers of which every line is decided, and by which line.
    all: BTreeMap<String, u32>,
    /// The line that decides of every value that is there.
    present: Option<u32>,
}

impl Seen {
    /// Why none of these ever holds, where that is so.
    pub fn because(&self, tests: &[(String, Asked)]) -> Option<String> {
        let mut why = None;
        for (header, asked) in tests {
            why = Some(self.one(header, asked)?);
        }
        why
    }

    fn one(&self, header: &str, asked: &Asked) -> Option<String> {
        if asked.is_contradiction() {
            return Some("the `if` around it says the opposite, so it never matches".to_owned());
        }
        let single =
            asked.parts.iter().filter_map(|part| self.single.get(&(header.to_owned(), part.clone())));
        let several =
            self.several.iter().filter(|(name, parts, _)| name == header && parts.is_subset(&asked.parts));
        let line = single.chain(several.map(|(_, _, line)| line)).chain(self.all.get(header));
        let present = self.present.as_ref().filter(|_| asked.presence == Presence::Present);
        let line = line.chain(present).min()?;
        Some(format!("line {line} matches whatever this does, so it never matches"))
    }

    /// A line that decides.
    pub fn add(&mut self, line: u32, tests: &[(String, Asked)]) {
        for (header, asked) in tests {
            let mut parts = asked.parts.iter();
            match (parts.next(), parts.next()) {
                (Some((name, negated)), None) => {
                    let opposite = (header.clone(), (name.clone(), !negated));
                    if name.ends_with(" is present") || self.single.contains_key(&opposite) {
                        self.all.entry(header.clone()).or_insert(line);
                    }
                    if *negated && name.ends_with(" is absent") {
                        self.present.get_or_insert(line);
                    }
                    self.single.entry((header.clone(), (name.clone(), *negated))).or_insert(line);
                }
                _ => self.several.push((header.clone(), asked.parts.clone(), line)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &str) -> Asked {
        let (name, negated) = name.strip_prefix('!').map_or((name, false), |name| (name, true));
        Asked::one(name.to_owned(), name.to_owned(), negated, Presence::Either)
    }

    #[test]
    fn what_never_matches() {
        let mut seen = Seen::default();
        let at = |asked: Asked| vec![(String::new(), asked)];
        seen.add(1, &at(asked("a")));
        seen.add(2, &at(asked("b").and(&asked("!c"))));
        for (test, want) in [
            (asked("a"), true),
            (asked("x").and(&asked("a")), true),
            (asked("b"), false),
            (asked("!c").and(&asked("b")), true),
            (asked("x").and(&asked("!x")), true),
            (asked("!a"), false),
        ] {
            assert_eq!(seen.because(&at(test.clone())).is_some(), want, "{test:?}");
        }
        seen.add(3, &at(asked("!a")));
        assert!(seen.because(&at(asked("y"))).is_some(), "one of the two holds always");
        assert!(seen.because(&[("subject".to_owned(), asked("a"))]).is_none(), "another header");
    }
}
