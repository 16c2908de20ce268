//! Rules out of conditions of which the first in a file wins.

use super::access::claimed;
use super::action::{Outcome, Word};
use super::rank::in_order;
use super::write::{VerdictRule, Writer};
use super::{Of, Report, Wish};
use edict_table::model::Verb;
use std::collections::BTreeMap;

/// The longest condition line that joins several patterns.
const JOINED: usize = 84;

/// A condition, and what it decides.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// Where it stands.
    pub line: u32,
    /// As rules write it.
    pub condition: String,
    /// What it decides.
    pub outcome: Outcome,
    /// The header it is about, in lower case; empty where it is about none. What spares a line spares it within
    /// one header.
    pub header: String,
    /// A line before it that cannot be said and would decide otherwise: it is only watched.
    pub doubt: Option<u32>,
}

/// A line that cannot be said.
#[derive(Clone, Debug)]
pub struct Doubt {
    /// Where it stands.
    pub line: u32,
    /// What it would decide.
    pub outcome: Outcome,
    /// The headers it is about; all of them where that is not known.
    pub headers: Option<Vec<String>>,
}

impl Doubt {
    /// Whether a later pattern may now decide what this line did.
    pub fn concerns(&self, outcome: &Outcome, header: &str) -> bool {
        let same = match (&self.outcome, outcome) {
            (_, Outcome::Dunno) => true,
            (Outcome::Verdict(mine, _), Outcome::Verdict(its, _)) => mine == its,
            (Outcome::Dunno, _) => false,
        };
        !same && self.headers.as_ref().is_none_or(|names| names.iter().any(|name| name == header))
    }
}

/// One rule on its way: what its patterns have in common.
type Shape<'a> = (u32, &'a Outcome, Option<u32>, Vec<&'a str>);

/// Mail programs of our own users have no name that DNS knows.
const NAMELESS: &str = "client.name is absent";

/// Writes the rules.
pub fn write(wish: &Wish, of: Option<Of>, patterns: &[Pattern], report: &mut Report) -> String {
    let mut writer = Writer::default();
    let ranks = in_order(patterns.iter().map(|pattern| &pattern.outcome));
    let all: Vec<(u32, &Pattern)> = ranks.into_iter().zip(patterns).collect();
    let claim = |outcome: &Outcome| of.is_some_and(|of| claimed(of, outcome));
    let mut rules: BTreeMap<Shape<'_>, Vec<&Pattern>> = BTreeMap::new();
    for (rank, pattern) in &all {
        if pattern.outcome == Outcome::Dunno || (claim(&pattern.outcome) && of == Some(Of::Helo)) {
            continue;
        }
        let spares = |other: &Outcome| *other == Outcome::Dunno || (claim(other) && !claim(&pattern.outcome));
        let mut unless: Vec<&str> = all
            .iter()
            .filter(|(r, p)| spares(&p.outcome) && r <= rank && p.header == pattern.header)
            .map(|(_, p)| p.condition.as_str())
            .collect();
        unless.dedup();
        let refuses = matches!(&pattern.outcome, Outcome::Verdict(word, _) if !matches!(word.0, Verb::Allow | Verb::Hold));
        if refuses && pattern.condition.contains(NAMELESS) {
            unless.push("submitted");
        }
        rules.entry((*rank, &pattern.outcome, pattern.doubt, unless)).or_default().push(pattern);
    }
    for ((rank, outcome, doubt, unless), patterns) in rules {
        let Outcome::Verdict(Word(verb), _) = outcome else { continue };
        let watched = doubt.map(|line| {
            format!("line {line} of the map stands before this, decides otherwise, and cannot be said")
        });
        let unless: Vec<String> = unless.into_iter().map(str::to_owned).collect();
        for (line, from) in lines(&patterns) {
            let line = without_spared(line, &unless);
            let mut when = vec![line];
            if *verb == Verb::Allow && claim(outcome) {
                when.push("spf is pass".to_owned());
            }
            let name = writer.verdict(&VerdictRule {
                name: &format!("{} {}", wish.name, verb.name()),
                priority: wish.priority.saturating_add(rank),
                outcome,
                when: &when,
                unless: &unless,
                watched: watched.as_deref(),
            });
            report.made(name, from);
        }
    }
    writer.finish()
}

/// What an `unless` spares need not be asked for.
fn without_spared(line: String, unless: &[String]) -> String {
    for spared in unless.iter().filter(|spared| spared.ends_with(" is absent")) {
        if let Some(rest) = line.strip_prefix(spared.as_str()).and_then(|rest| rest.strip_prefix(" or ")) {
            return rest.to_owned();
        }
    }
    line
}

/// Conditions joined by `or`, as many as fit into a line, and where they come from.
fn lines(patterns: &[&Pattern]) -> Vec<(String, Vec<u32>)> {
    let mut lines: Vec<(String, Vec<u32>)> = Vec::new();
    for Pattern { condition, line: number, .. } in patterns {
        match lines.last_mut() {
            Some((line, from)) if line == condition => from.push(*number),
            Some((line, from))
                if !condition.contains(" and ")
                    && !line.contains(" and ")
                    && line.len() + condition.len() < JOINED =>
            {
                line.push_str(" or ");
                line.push_str(condition);
                from.push(*number);
            }
            _ => lines.push((condition.clone(), vec![*number])),
        }
    }
    lines
}
