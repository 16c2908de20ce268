//! The quota pre-check at RCPT: what one recipient outside needs, as far as it can be told by then.

use super::view::Pool;
use crate::acceptor::QuotaQuery;
use crate::quota::Keys;
use crate::quota::rules::{Plan, Planner};
use edict_table::decide::matching;
use edict_table::facts::{Direction, Facts, Slot};
use edict_table::model::Kind;

/// What the least message to this recipient needs. None where no quota holds, and where one still hangs on what is
/// not known at RCPT: the end of the data decides then.
pub(super) fn plan(pool: &Pool, query: &QuotaQuery<'_>, now: i64) -> Option<Plan> {
    query.table.rules_of(Kind::Quota).next()?;
    let user = query.auth_user.map(edict_table::value::fold_text);
    let facts = Facts {
        client_ip: Slot::Known(query.client_ip),
        auth_user: Slot::from_option(user.as_deref()),
        sender: Slot::from_option(query.sender),
        submitted: Slot::Known(true),
        recipient: Slot::Known(query.recipient),
        direction: Slot::Known(Direction::Outbound),
        time: Slot::Known(now.div_euclid(1000)),
        ..Facts::default()
    };
    let mut scratch = pool.take(query.table);
    let mut found = Vec::new();
    let open = matching(query.table, Kind::Quota, &facts, &mut scratch, &mut found);
    pool.put(scratch);
    if !open.is_empty() || found.is_empty() {
        return None;
    }
    let keys = Keys::new(query.table, query.auth_user, query.sender, query.client_ip);
    let mut planner = Planner::new(query.table, &keys);
    planner.recipient(&found);
    Some(planner.finish(1))
}
