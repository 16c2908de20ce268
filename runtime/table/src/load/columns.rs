//! What is built at load: a record per fact, with its automaton, its matchers and its range of groups.

use super::view::{Cold, Half, View, piece, range};
use super::{LoadError, corrupt};
use crate::fact::{Fact, Scope, Stage, Type};
use crate::format::tag;
use crate::index::matcher::{Matcher, required};
use crate::index::text::{Builder, Role, TextIndex, Use};
use crate::model::Test;
use std::ops::Range;

/// How the tests of a column are answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    /// By comparing the value with the test's number.
    Number,
    /// By what fired when the value was looked up.
    Index,
}

/// A fact with its parameter.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) fact: Fact,
    pub(crate) parameter: String,
    /// Its tests are `first..end`.
    pub(crate) first: u32,
    pub(crate) end: u32,
    /// Found anew for each recipient.
    pub(crate) recipient: bool,
    pub(crate) class: Class,
    /// The best rule posted under its tests, of verdicts in force; `u32::MAX` where there is none.
    pub(crate) hot_best: u32,
    /// Where its groups stand.
    pub(crate) hot_groups: Range<u32>,
    pub(crate) cold_groups: Range<u32>,
    /// The shapes of keys that its lists hold.
    pub(crate) shapes: u8,
    /// Whether it has tests on lists.
    pub(crate) lists: bool,
    /// Its test for presence.
    pub(crate) present: Option<u32>,
    /// Tests on numbers, flags and words under which rules are posted.
    pub(crate) posted: Vec<u32>,
    /// Literals, globs and regexes.
    pub(crate) text: Option<TextIndex>,
    /// Globs and regexes without a literal under which no rule is posted: asked only when a rule asks.
    /// Test and place of the matcher, sorted.
    pub(crate) lazy: Vec<(u32, u32)>,
}

impl Column {
    /// As rules write it.
    pub(crate) fn name(&self) -> String {
        let name = self.fact.row().name;
        match self.parameter.as_str() {
            "" => name.to_owned(),
            parameter => format!("{name}(\"{parameter}\")"),
        }
    }
}

/// All that [`build`] makes.
pub(super) struct Built {
    pub(super) columns: Vec<Column>,
    pub(super) hot: Vec<u32>,
    pub(super) hot_cheap: usize,
    pub(super) cold: Vec<u32>,
    pub(super) matchers: Vec<(u32, Matcher)>,
    regexes: usize,
}

/// Builds the columns. Everything they refer to has been checked.
pub(super) fn build(view: &View<'_>, cold: &Cold<'_>, shapes: &[u8]) -> Result<Built, LoadError> {
    let mut built = Built {
        columns: Vec::new(),
        hot: Vec::new(),
        hot_cheap: 0,
        cold: Vec::new(),
        matchers: Vec::new(),
        regexes: 0,
    };
    for (record, place) in cold.columns.iter().zip(0u32..) {
        let number = u8::try_from(record.fact.get()).ok();
        let fact = number.and_then(Fact::from_number).ok_or_else(|| corrupt("a fact"))?;
        let row = fact.row();
        let class = match row.ty {
            Type::Count | Type::Size | Type::Time => Class::Number,
            _ => Class::Index,
        };
        built.columns.push(Column {
            fact,
            parameter: view.text(record.parameter).unwrap_or_default().to_owned(),
            first: record.first.get(),
            end: record.end.get(),
            recipient: row.scope == Scope::Recipient,
            class,
            hot_best: u32::MAX,
            hot_groups: groups(&view.hot, place),
            cold_groups: groups(&view.cold, place),
            shapes: 0,
            lists: false,
            present: None,
            posted: Vec::new(),
            text: None,
            lazy: Vec::new(),
        });
    }
    let mut cold_posted = vec![false; built.columns.len()];
    for (place, column) in built.columns.iter_mut().enumerate() {
        let mut builder = Builder::default();
        let mut texts = false;
        for test in column.first..column.end {
            let Some(record) = view.predicates.get(test as usize) else { continue };
            let hot = piece(view.hot.ends, view.hot.rules, test).first().map(|id| id.get());
            let in_cold = !piece(view.cold.ends, view.cold.rules, test).is_empty();
            column.hot_best = column.hot_best.min(hot.unwrap_or(u32::MAX));
            if let Some(slot) = cold_posted.get_mut(place) {
                *slot |= in_cold;
            }
            let posted = hot.is_some() || in_cold;
            match record.tag.get() {
                tag::PRESENT => column.present = Some(test),
                tag::IN_LIST => column.lists = true,
                tag::CONTAINS..=tag::ENDS => {
                    texts = true;
                    let role = match record.tag.get() {
                        tag::CONTAINS => Role::Contains,
                        tag::STARTS => Role::Starts,
                        _ => Role::Ends,
                    };
                    for literal in range(cold.literals, record.a, record.b) {
                        builder.add(view.text(*literal).unwrap_or_default(), Use { predicate: test, role });
                    }
                }
                tag::GLOB | tag::REGEX => {
                    let pattern =
                        range(cold.literals, record.a, record.b).first().and_then(|l| view.text(*l));
                    let pattern = pattern.ok_or_else(|| corrupt("a pattern"))?;
                    let at = u32::try_from(built.matchers.len()).map_err(|_| corrupt("patterns"))?;
                    let glob = record.tag.get() == tag::GLOB;
                    let matcher = if glob {
                        Matcher::glob(pattern)
                    } else {
                        built.regexes += 1;
                        Matcher::regex(pattern, built.regexes - 1)
                    };
                    built.matchers.push((test, matcher.map_err(|e| corrupt(e.to_string()))?));
                    let one = Use { predicate: test, role: Role::Ask(at) };
                    let whole =
                        if glob { Test::Glob(pattern.to_owned()) } else { Test::Regex(pattern.to_owned()) };
                    match required(&whole) {
                        Some(literals) => {
                            texts = true;
                            literals.iter().for_each(|literal| builder.add(literal, one));
                        }
                        None if posted => {
                            texts = true;
                            builder.always(one);
                        }
                        None => column.lazy.push((test, at)),
                    }
                }
                _ if posted => column.posted.push(test),
                _ if column.class == Class::Index => column.posted.push(test),
                _ => {}
            }
        }
        if texts {
            column.text = Some(builder.build().ok_or_else(|| corrupt("too many literals"))?);
        }
    }
    for set in 0..u32::try_from(shapes.len()).map_err(|_| corrupt("sets"))? {
        let mask = shapes.get(set as usize).copied().unwrap_or(0);
        for test in piece(view.set_test_ends, view.set_tests, set) {
            let column = view.predicates.get(test.get() as usize).map_or(0, |p| p.column.get());
            if let Some(column) = built.columns.get_mut(column as usize) {
                column.shapes |= mask;
            }
        }
    }
    order(&mut built, &cold_posted);
    Ok(built)
}

/// Columns in the order in which decisions look at them: cheap ones first, text last.
fn order(built: &mut Built, cold_posted: &[bool]) {
    let text =
        |column: &Column| column.fact.row().ty == Type::Text && column.fact.row().stage >= Stage::Header;
    let all = built.columns.iter().zip(0u32..);
    let mut hot: Vec<(bool, Stage, u32)> = all
        .filter(|(c, _)| c.hot_best != u32::MAX)
        .map(|(c, place)| (text(c), c.fact.row().stage, place))
        .collect();
    hot.sort_unstable();
    built.hot_cheap = hot.partition_point(|key| !key.0);
    built.hot = hot.into_iter().map(|key| key.2).collect();
    built.cold =
        cold_posted.iter().zip(0u32..).filter(|(posted, _)| **posted).map(|(_, place)| place).collect();
}

/// The range of a column's groups.
fn groups(half: &Half<'_>, column: u32) -> Range<u32> {
    let first = half.groups.partition_point(|g| g.column.get() < column);
    let end = half.groups.partition_point(|g| g.column.get() <= column);
    u32::try_from(first).unwrap_or(0)..u32::try_from(end).unwrap_or(0)
}
