//! Checks of postings, residuals and groups: every id in range, every order that searches rely on.

use super::view::{Half, View, piece, range};
use super::{LoadError, corrupt};
use crate::model::Kind;
use zerocopy::little_endian::U32;

/// Checks both halves.
pub(super) fn check(view: &View<'_>) -> Result<(), LoadError> {
    let nodes = view.nodes.len();
    if view.guards.iter().any(|g| g.get() as usize / 2 >= nodes) {
        return Err(corrupt("a guard"));
    }
    let mut at = 0;
    let mut guard = 0;
    half(view, &view.hot, true, &mut at, &mut guard)?;
    half(view, &view.cold, false, &mut at, &mut guard)?;
    if at as usize != view.group_rules.len() || guard as usize != view.guards.len() {
        return Err(corrupt("rules in no group"));
    }
    Ok(())
}

fn half(view: &View<'_>, half: &Half<'_>, hot: bool, at: &mut u32, guard: &mut u32) -> Result<(), LoadError> {
    let wrong = || corrupt("the postings");
    let of_half = |id: &U32| {
        view.rules
            .get(id.get() as usize)
            .is_some_and(|r| (r.kind == Kind::Verdict as u8 && r.mode == 0) == hot)
    };
    let sound = |ids: &[U32]| {
        !ids.is_empty() && ids.is_sorted_by(|a, b| a.get() < b.get()) && ids.iter().all(of_half)
    };
    let ends = half.ends;
    if ends.len() != view.predicates.len()
        || !ends.is_sorted_by(|a, b| a.get() <= b.get())
        || ends.last().map_or(0, |e| e.get() as usize) != half.rules.len()
    {
        return Err(wrong());
    }
    for test in 0..u32::try_from(ends.len()).map_err(|_| wrong())? {
        let ids = piece(ends, half.rules, test);
        if !ids.is_empty() && !sound(ids) {
            return Err(wrong());
        }
    }
    let mut take = |first: U32, count: U32| -> Option<&[U32]> {
        let ids = range(view.group_rules, first, count);
        let fits = first.get() == *at && ids.len() == count.get() as usize && sound(ids);
        *at = at.checked_add(count.get())?;
        fits.then_some(ids)
    };
    let mut before = None;
    for residual in half.residuals {
        let ids = take(residual.first, residual.count).ok_or_else(wrong)?;
        let first = ids.first().map(|id| id.get());
        let same =
            |id: &U32| view.rules.get(id.get() as usize).is_some_and(|r| r.condition == residual.condition);
        if before >= first || !ids.iter().all(same) {
            return Err(wrong());
        }
        before = first;
    }
    let mut before = None;
    let columns = view.predicates.last().map_or(0, |p| p.column.get() + 1);
    for group in half.groups {
        let ids = take(group.first, group.count).ok_or_else(wrong)?;
        let key = Some((group.column.get(), ids.first().map(|id| id.get())));
        if before > key || group.column.get() >= columns || group.guard.get() != *guard {
            return Err(wrong());
        }
        before = key;
        *guard = guard.checked_add(group.guards.get()).ok_or_else(wrong)?;
        let guards = range(view.guards, group.guard, group.guards);
        if guards.len() != group.guards.get() as usize {
            return Err(wrong());
        }
        let whole = match group.whole.get() {
            0 => true,
            1 => guards.len() == 1,
            _ => false,
        };
        if !whole {
            return Err(wrong());
        }
    }
    Ok(())
}
