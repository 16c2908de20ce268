//! DNS lists that can be asked about together.
//!
//! An open rule names the lists that it hangs on. Other rules that are open for the want of lists alone may as well have
//! theirs asked at the same time: one after the other, several lists that are slow would add up. A rule that hangs on
//! anything else may never need its list, and waits.

use super::eval::Eval;
use super::truth::Truth;
use crate::fact::Fact;
use crate::facts::FactSet;
use crate::format::op;
use crate::load::view::range;
use crate::model::{Kind, Mode};

impl<'a> Eval<'a, '_> {
    /// Adds the lists of other open rules to those that the first one hangs on.
    pub(super) fn zones_beside(&mut self, needed: &mut FactSet) {
        if !needed.contains(Fact::ClientListed) {
            return;
        }
        // Rules behind one that holds do not count.
        let best = self.stand(true).best;
        for rule in self.listing().iter().copied().take_while(|rule| *rule < best) {
            let condition = self.condition(rule);
            let mut own = FactSet::EMPTY;
            self.hangs_on(condition, Truth::Pending, &mut own);
            if own.is_within(*needed) {
                needed.add(own);
            }
        }
    }

    /// The verdict rules in force that ask a DNS list, best rank first. Looked for once.
    fn listing(&self) -> &'a [u32] {
        self.table.listing.get_or_init(|| {
            let rules = self.table.rules_of(Kind::Verdict).filter_map(|id| self.table.rule(id));
            let enforced = rules.filter(|rule| rule.mode == Mode::Enforce).map(|rule| rule.id.0);
            let condition = |rule: u32| self.view.rules.get(rule as usize).map(|rule| rule.condition.get());
            enforced.filter(|rule| condition(*rule).is_some_and(|place| self.asks_lists(place))).collect()
        })
    }

    /// Whether a condition has a test on a DNS list.
    fn asks_lists(&self, place: u32) -> bool {
        let Some(node) = self.view.nodes.get(place as usize) else { return false };
        match node.op.get() {
            op::TEST => {
                let column = self.view.predicates.get(node.a.get() as usize).map(|p| p.column.get());
                let column = column.and_then(|c| self.table.columns.get(c as usize));
                column.is_some_and(|column| column.fact == Fact::ClientListed)
            }
            op::NOT => self.asks_lists(node.a.get()),
            op::ALL | op::ANY => {
                range(self.view.children, node.a, node.b).iter().any(|child| self.asks_lists(child.get()))
            }
            _ => false,
        }
    }
}
