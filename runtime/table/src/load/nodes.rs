//! Checks of conditions: ids, order, depth, and how much an evaluation can cost.

use super::view::{Cold, View};
use super::{LoadError, corrupt};
use crate::fact::{Fact, Scope};
use crate::format::{MAX_EXPANDED, MAX_EXPANDED_ALL, op};
use crate::model::MAX_DEPTH;
use zerocopy::little_endian::U32;

/// What is known of a node.
#[derive(Clone, Copy, Default)]
struct Known {
    depth: usize,
    /// Nodes below it, shared ones as often as they are reached.
    size: u64,
    varies: bool,
}

/// Checks every node; returned is for each whether it hangs on the recipient.
pub(super) fn check(view: &View<'_>, cold: &Cold<'_>) -> Result<Vec<bool>, LoadError> {
    let wrong = || corrupt("a condition");
    if view.children.len() != cold.written.len() {
        return Err(wrong());
    }
    let recipient: Vec<bool> = cold
        .columns
        .iter()
        .map(|c| {
            let fact = u8::try_from(c.fact.get()).ok().and_then(Fact::from_number);
            fact.is_some_and(|f| f.row().scope == Scope::Recipient)
        })
        .collect();
    let mut known: Vec<Known> = Vec::with_capacity(view.nodes.len());
    let mut at = 0usize;
    for node in view.nodes {
        let (a, b) = (node.a.get() as usize, node.b.get() as usize);
        let this = match node.op.get() {
            op::TRUE => Known { size: 1, ..Known::default() },
            op::TEST => {
                let predicate = view.predicates.get(a).ok_or_else(wrong)?;
                let varies = recipient.get(predicate.column.get() as usize).copied().unwrap_or(false);
                Known { depth: 0, size: 1, varies }
            }
            op::NOT => join(&known, &[node.a])?,
            op::ALL | op::ANY => {
                if a != at || b == 0 {
                    return Err(wrong());
                }
                at = a.checked_add(b).ok_or_else(wrong)?;
                let children = view.children.get(a..at).ok_or_else(wrong)?;
                same(children, cold.written.get(a..at).ok_or_else(wrong)?)?;
                join(&known, children)?
            }
            _ => return Err(wrong()),
        };
        if this.depth > MAX_DEPTH || this.size > MAX_EXPANDED {
            return Err(corrupt("a condition is nested too deeply or too large"));
        }
        known.push(this);
    }
    if at != view.children.len() {
        return Err(wrong());
    }
    let total: u64 = view
        .rules
        .iter()
        .map(|r| known.get(r.condition.get() as usize).map_or(0, |k| k.size))
        .fold(0, u64::saturating_add);
    if total > MAX_EXPANDED_ALL {
        return Err(corrupt("the conditions of all rules together are too large"));
    }
    Ok(known.into_iter().map(|k| k.varies).collect())
}

fn join(known: &[Known], children: &[U32]) -> Result<Known, LoadError> {
    let mut this = Known { size: 1, ..Known::default() };
    for child in children {
        let child =
            known.get(child.get() as usize).ok_or_else(|| corrupt("a condition behind its parent"))?;
        this.depth = this.depth.max(child.depth + 1);
        this.size = this.size.saturating_add(child.size);
        this.varies |= child.varies;
    }
    Ok(this)
}

/// The two orders of the children hold the same ones.
fn same(a: &[U32], b: &[U32]) -> Result<(), LoadError> {
    let sorted = |ids: &[U32]| {
        let mut ids: Vec<u32> = ids.iter().map(|id| id.get()).collect();
        ids.sort_unstable();
        ids
    };
    if a == b || sorted(a) == sorted(b) { Ok(()) } else { Err(corrupt("the children of a condition")) }
}
