//! The search for rules that are not *no*.
//!
//! Each of them is found through what fired, through the residual list, or through the groups of a
//! column that is open. The caller narrows the search as it goes: rules at or past `cut` are not looked at.

use super::eval::Eval;
use super::scratch::State;
use super::truth::Truth;
use crate::format::GroupRec;
use crate::load::view::{Half, piece, range};
use std::ops::Range;
use zerocopy::little_endian::U32;

/// Rules that were found, all of one value. For one condition or one group.
pub(super) struct Found<'a> {
    /// Ascending, all of them rules that count, the first below the cut.
    pub(super) rules: &'a [U32],
    /// Never *no*.
    pub(super) value: Truth,
}

/// Which postings to search.
#[derive(Clone, Copy)]
pub(super) struct Search<'a> {
    pub(super) half: &'a Half<'a>,
    /// Verdicts in force.
    pub(super) hot: bool,
}

impl<'a> Eval<'a, '_> {
    /// The verdicts in force.
    pub(super) fn hot(&self) -> Search<'a> {
        Search { half: &self.view.hot, hot: true }
    }

    /// All other rules.
    pub(super) fn cold(&self) -> Search<'a> {
        Search { half: &self.view.cold, hot: false }
    }

    /// Looks through a column: what fired on it, or while it is open its groups. `rules` are the rules
    /// that count; `found` gets what is not *no* and returns where the search may end.
    pub(super) fn column_rules(
        &mut self,
        search: Search<'a>,
        place: u32,
        rules: &Range<u32>,
        found: &mut impl FnMut(&mut Self, Found<'a>) -> u32,
    ) {
        let mut cut = rules.end;
        if self.column(place) != State::Done {
            self.group_rules(search, place, rules, found);
            return;
        }
        let Some(column) = self.table.columns.get(place as usize) else { return };
        let which = usize::from(column.recipient);
        for at in self.fired_on(place) {
            let Some(test) = self.scratch.fired.get(which).and_then(|f| f.get(at as usize)) else { return };
            let ids = within(piece(search.half.ends, search.half.rules, *test), rules);
            for one in ids.chunks(1) {
                let Some(id) = one.first().map(|id| id.get()).filter(|id| *id < cut) else { break };
                let condition = self.condition(id);
                let value = self.node(condition);
                if value != Truth::No {
                    cut = cut.min(found(self, Found { rules: one, value }));
                }
            }
        }
    }

    /// Looks through the residual list.
    pub(super) fn residual_rules(
        &mut self,
        search: Search<'a>,
        rules: &Range<u32>,
        found: &mut impl FnMut(&mut Self, Found<'a>) -> u32,
    ) {
        let mut cut = rules.end;
        for residual in search.half.residuals {
            let ids = within(range(self.view.group_rules, residual.first, residual.count), rules);
            let Some(first) = ids.first().map(|id| id.get()) else { continue };
            if first >= cut {
                // Sorted by first rule of all kinds; with a kind cut out the order need not hold.
                if rules.start == 0 {
                    break;
                }
                continue;
            }
            let value = self.node(residual.condition.get());
            if value != Truth::No {
                cut = cut.min(found(self, Found { rules: ids, value }));
            }
        }
    }

    fn group_rules(
        &mut self,
        search: Search<'a>,
        place: u32,
        rules: &Range<u32>,
        found: &mut impl FnMut(&mut Self, Found<'a>) -> u32,
    ) {
        let mut cut = rules.end;
        for group in self.groups(search, place) {
            let ids = within(range(self.view.group_rules, group.first, group.count), rules);
            let Some(first) = ids.first().map(|id| id.get()) else { continue };
            if first >= cut {
                if rules.start == 0 {
                    break;
                }
                continue;
            }
            let value = self.group(group);
            if value != Truth::No {
                cut = cut.min(found(self, Found { rules: ids, value }));
            }
        }
    }

    /// The groups of a column.
    pub(super) fn groups(&self, search: Search<'a>, place: u32) -> &'a [GroupRec] {
        let Some(column) = self.table.columns.get(place as usize) else { return &[] };
        let range = if search.hot { &column.hot_groups } else { &column.cold_groups };
        search.half.groups.get(range.start as usize..range.end as usize).unwrap_or_default()
    }

    /// The value of the rules of a group while its column is open.
    pub(super) fn group(&mut self, group: &GroupRec) -> Truth {
        let mut out = if group.whole.get() == 1 {
            Truth::Yes
        } else {
            match self.column(group.column.get()) {
                State::Open => Truth::Pending,
                State::Unknown => Truth::Unknown,
                State::Done => Truth::No,
            }
        };
        for guard in range(self.view.guards, group.guard, group.guards) {
            let value = self.node(guard.get() / 2);
            out = out.and(if guard.get() % 2 == 1 { value.negate() } else { value });
            if out == Truth::No {
                break;
            }
        }
        out
    }
}

/// Those of the rules that count.
fn within<'i>(ids: &'i [U32], rules: &Range<u32>) -> &'i [U32] {
    let from = if rules.start == 0 { 0 } else { ids.partition_point(|id| id.get() < rules.start) };
    let ids = ids.get(from..).unwrap_or_default();
    let to = if rules.end == u32::MAX { ids.len() } else { ids.partition_point(|id| id.get() < rules.end) };
    ids.get(..to).unwrap_or_default()
}
