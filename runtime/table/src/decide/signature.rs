//! What can still part one recipient's verdict from another's.
//!
//! The content of a message is the same for all its recipients. So for two of them whose open verdicts
//! hang on the same rules, and on the same open parts of these, any content gives both the same answer.

use super::eval::Eval;
use super::scratch::{Scratch, State};
use super::truth::Truth;
use super::walk::Search;
use super::{Outcome, Ruling, Standing};
use crate::facts::Facts;
use crate::format::op;
use crate::load::view::{piece, range};
use crate::load::{ACCEPT, Loaded};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A hash of everything that can still part one recipient's open verdict from another's: equal
/// signatures of two recipients of one transaction mean equal verdicts (verb and reply), whatever the
/// content is. The opposite is not promised.
#[must_use]
pub fn signature(table: &Loaded, facts: &Facts<'_>, scratch: &mut Scratch) -> u64 {
    let mut eval = Eval::new(table, facts, scratch);
    let standing = eval.stand(true);
    match eval.conclude(standing) {
        Outcome::Final(Ruling::Default) => mix(1, u64::from(ACCEPT)),
        Outcome::Final(Ruling::By(rule)) => mix(1, u64::from(eval.outcome(rule.0))),
        Outcome::Final(Ruling::Unknown) => 2,
        Outcome::Final(Ruling::Corrupt) => 3,
        Outcome::Need(_) => eval.open_signature(standing),
    }
}

/// Joins two hashes.
fn mix(a: u64, b: u64) -> u64 {
    xxh3_64_with_seed(&b.to_le_bytes(), a)
}

/// Parts that stand for single rules carry the rule, those for groups this and the group's place.
const GROUP: u64 = 1 << 32;

impl<'a> Eval<'a, '_> {
    fn open_signature(&mut self, standing: Standing) -> u64 {
        let search = self.hot();
        let table = self.table;
        self.scratch.parts.clear();
        for place in &table.hot_columns {
            if table.columns.get(*place as usize).is_some_and(|c| c.hot_best < standing.best) {
                self.column_parts(search, *place, standing.best);
            }
        }
        for residual in search.half.residuals {
            let Some(first) = range(self.view.group_rules, residual.first, residual.count).first() else {
                continue;
            };
            if first.get() >= standing.best {
                break;
            }
            self.part(u64::from(first.get()), residual.condition.get());
        }
        self.scratch.parts.sort_unstable();
        self.scratch.parts.dedup();
        // What all recipients share (rules that do not hang on the recipient) is cut off by the best rule.
        let start = mix(4, u64::from(standing.best));
        self.scratch.parts.iter().fold(start, |sum, (key, open)| mix(mix(sum, *key), *open))
    }

    fn column_parts(&mut self, search: Search<'a>, place: u32, best: u32) {
        let state = self.column(place);
        let recipient = self.table.columns.get(place as usize).is_some_and(|c| c.recipient);
        if state == State::Done {
            for at in self.fired_on(place) {
                let fired = self.scratch.fired.get(usize::from(recipient)).and_then(|f| f.get(at as usize));
                let Some(test) = fired.copied() else { return };
                for id in piece(search.half.ends, search.half.rules, test) {
                    if id.get() >= best {
                        break;
                    }
                    let condition = self.condition(id.get());
                    self.part(u64::from(id.get()), condition);
                }
            }
            return;
        }
        for (group, number) in self.groups(search, place).iter().zip(0u64..) {
            let Some(first) = range(self.view.group_rules, group.first, group.count).first() else {
                continue;
            };
            if first.get() >= best {
                break;
            }
            let guards = range(self.view.guards, group.guard, group.guards);
            let varies = |g: &zerocopy::little_endian::U32| {
                self.table.varies.get(g.get() as usize / 2).copied().unwrap_or(true)
            };
            if !(recipient || guards.iter().any(varies)) || self.group(group) == Truth::No {
                continue;
            }
            let mut open = state as u64;
            for guard in guards {
                open = mix(open, self.residue(guard.get() / 2));
            }
            self.scratch.parts.push((GROUP + (u64::from(place) << 33) + number, open));
        }
    }

    /// Adds a rule if it hangs on the recipient and is open or unknown.
    fn part(&mut self, key: u64, condition: u32) {
        if !self.table.varies.get(condition as usize).copied().unwrap_or(true) {
            return;
        }
        let value = self.node(condition);
        if matches!(value, Truth::Pending | Truth::Unknown) {
            let open = self.residue(condition);
            self.scratch.parts.push((key, open));
        }
    }

    /// A hash of what is open of a condition: its value where that is final, else its open parts.
    fn residue(&mut self, place: u32) -> u64 {
        let value = self.node(place);
        if value != Truth::Pending {
            return mix(5, value as u64);
        }
        let Some(node) = self.view.nodes.get(place as usize).copied() else { return 0 };
        match node.op.get() {
            op::TEST => mix(6, u64::from(node.a.get())),
            op::NOT => mix(7, self.residue(node.a.get())),
            op::ALL | op::ANY => {
                let mut open = mix(8, u64::from(node.op.get()));
                for child in range(self.view.children, node.a, node.b) {
                    open = mix(open, self.residue(child.get()));
                }
                open
            }
            _ => 0,
        }
    }
}
