//! Before the greeting: rules on client facts alone, and the limits of `limit` rules.

use super::audit::{Finding, early};
use super::limits::{Counter, Held, Key, Limits};
use super::lookup;
use super::peer::Peer;
use super::ruling::{Ruled, rule_origin, ruled};
use super::transaction::Gate;
use crate::envelope::Refusal;
use edict_table::decide::{self, Scratch};
use edict_table::facts::Facts;
use edict_table::load::Loaded;
use edict_table::model::{Action, Kind, LimitPer, Mode};
use std::sync::Arc;

/// What a limit is asked about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    /// A connection, before the greeting.
    Connection,
    /// A message, at MAIL.
    Message,
}

/// A refusal that hangs on facts of the connection alone.
pub(crate) fn at_connect(
    table: &Loaded,
    peer: &Peer,
    scratch: &mut Scratch,
    now: i64,
    findings: &mut Vec<Finding>,
) -> Gate {
    scratch.begin(table);
    match ruled(table, decide::verdict(table, &peer.connect_facts(now), scratch)) {
        Ruled::Refused(refusal) => {
            *findings = early(table, &peer.connect_facts(now), scratch, "");
            Gate::Refuse(refusal)
        }
        Ruled::Open(need) if !lookup::at_connect(need).is_empty() => Gate::Ask(lookup::at_connect(need)),
        Ruled::Settled(..) | Ruled::Open(_) => Gate::Pass,
    }
}

/// Counts a connection or a message against every limit that matches. Places that a connection holds
/// go to `held`.
///
/// # Errors
/// The reply of the first limit that is reached; the others have counted all the same.
pub(crate) fn count(
    table: &Loaded,
    facts: &Facts<'_>,
    scratch: &mut Scratch,
    limits: &Arc<Limits>,
    what: What,
    now: i64,
    held: &mut Vec<Held>,
) -> Result<(), Refusal> {
    let mut matching = Vec::new();
    let _open = decide::matching(table, Kind::Limit, facts, scratch, &mut matching);
    let ip = match facts.client_ip {
        edict_table::facts::Slot::Known(ip) => Some(ip),
        _ => None,
    };
    let mut result = Ok(());
    for id in matching {
        let Some(rule) = table.rule(id) else { continue };
        let Action::Limit(limit) = rule.action else { continue };
        let key = Key::new(rule.name, ip.filter(|_| limit.per == LimitPer::ClientIp));
        let (fine, fallback) = match what {
            What::Connection => {
                let rate = limit.connections.is_none_or(|r| limits.take(key, Counter::Connections, r, now));
                let place = limit.at_once.is_none_or(|most| {
                    let place = limits.hold(key, most);
                    let got = place.is_some();
                    held.extend(place);
                    got
                });
                (rate && place, "421 4.7.0 too many connections, try again later")
            }
            What::Message => (
                limit.messages.is_none_or(|r| limits.take(key, Counter::Messages, r, now)),
                "450 4.7.1 too many messages, try again later",
            ),
        };
        if fine {
            continue;
        }
        if rule.mode == Mode::Audit {
            tracing::info!(rule = rule.name, file = rule.file, line = rule.line, "audit: limit reached");
        } else if result.is_ok() {
            let reply = limit.reply.as_ref().map_or_else(|| fallback.to_owned(), |reply| reply.line());
            result = Err(Refusal { reply, rule: rule_origin(table, id) });
        }
    }
    result
}
