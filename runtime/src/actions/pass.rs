//! Pass-through: mail that needs nothing of ours goes on to its next hop, and nothing of it is stored.
//!
//! A recipient is offered where the table shows, before a byte of the message is there, that no alias, copy,
//! quota or disclaimer can touch it. A small message is held in memory until its verdict. A large one follows its
//! header as it comes, where no rule on the rest of it is open, and its end waits for the verdict; it is kept in memory
//! all the same, so that it can be stored where the next hop breaks off. What comes of it is the next hop's word. Mail that is passed on is not counted in `edictd usage`: a count is durable or none.

use super::dispatch::Dispatches;
use super::plan::{finish, prepare, prepare_uncounted};
use super::view::View;
use super::{Settings, Store, finals, not_stored, refuse, run, take, trace};
use crate::acceptor::Receipt;
use crate::envelope::{Dispatch, Incoming, Refusal, Variant};
use crate::queue::through::{Passed, Through};
use crate::quota::Quotas;
use edict_message::header;
use edict_table::model::Kind;
use jiff::tz::TimeZone;
use std::sync::Arc;

/// The envelope to offer for a message of which the last recipient is all that is given. None: something of
/// ours may have to be done, so that the message is to be stored.
pub(super) fn envelope(settings: &Settings, so_far: &Incoming) -> Option<Dispatch> {
    let finals = finals::expand(so_far, &settings.directory).ok()?;
    let [end] = finals.as_slice() else { return None };
    if end.expanded || end.owner.is_some() || end.forwarder.is_some() || end.hold {
        return None;
    }
    let mut view = View::early(so_far, &settings.pool);
    for kind in [Kind::Bcc, Kind::Quota, Kind::Disclaimer] {
        if view.can_match(kind, &end.address, end.direction) {
            return None;
        }
    }
    let mut dispatches = Dispatches::new(so_far, b"");
    dispatches.recipient(end, &so_far.sender.wire, 0, &Variant::default());
    dispatches.finish().pop()
}

/// The header of a message as it goes on, where the rest of it can follow as it comes. What is made of the whole
/// message later is held against what was sent.
pub(super) fn head(settings: &Settings, zone: &TimeZone, so_far: &Incoming) -> Option<Vec<u8>> {
    let fields = header::fields(&so_far.bytes);
    if fields.malformed || (so_far.submitted && settings.signer.of_author(&fields).is_some()) {
        return None;
    }
    let named = so_far.table.profile().hostname.as_ref();
    Some(trace::stored(so_far, named.unwrap_or(&settings.hostname), zone, None))
}

/// Hands a message over to the next hop that took its recipients. Stores it, if nobody can have it yet.
pub(super) async fn pass<S: Store>(
    settings: Arc<Settings>,
    quotas: Arc<Quotas>,
    store: Arc<S>,
    through: Through,
    incoming: Box<Incoming>,
) -> Result<Receipt, Refusal> {
    let id = incoming.id;
    let large = incoming.bytes.len() > super::LARGE;
    let own = Arc::clone(&settings);
    let (incoming, mut prepared) = run(large, move || {
        let ruled = incoming.table.rules_of(Kind::Quota).next().is_some();
        let prepared = if ruled { prepare(&own, &incoming)? } else { prepare_uncounted(&own, &incoming)? };
        Ok((incoming, prepared))
    })
    .await?;
    let counted = prepared.quota.take().is_some_and(|plan| !plan.rules.is_empty() || !plan.audits.is_empty());
    if prepared.is_empty() || counted {
        drop(through);
        return Box::pin(take(settings, quotas, store, incoming)).await;
    }
    let zone = quotas.zone(&incoming.table);
    let (record, mut effects) =
        run(large, move || finish(&settings, &zone, incoming, prepared, Vec::new())).await?;
    let passed = if through.fits(&record) { through.send(&record).await } else { Passed::Unsent };
    match passed {
        Passed::Taken(said) => {
            effects.push(["passed on to ", &said].concat());
            Ok(Receipt { effects })
        }
        Passed::Refused(reply) => Err(refuse(&reply, None)),
        Passed::Unknown => Err(refuse("451 4.4.2 The next hop did not answer, try again later", None)),
        Passed::Unsent => {
            store.submit(record).await.map_err(|error| not_stored(id, &error))?;
            Ok(Receipt { effects })
        }
    }
}
