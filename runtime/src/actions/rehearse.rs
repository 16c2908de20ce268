//! What would be done to an accepted message, for `edict explain`, rule tests and replay.
//!
//! The same steps as [`plan`](super::plan), with nothing counted, stored or logged: who would get it and by
//! which route, what would be copied, which disclaimers and quotas hold.

use super::copies::{self, Copy};
use super::finals::{self, Final};
use super::texts::{Author, texts};
use super::view::{Pool, View};
use crate::directory::Directory;
use crate::envelope::{Incoming, Refusal};
use crate::quota::amount::{Amount, date_text, day_of, slot_of};
use crate::quota::book::{Book, Over};
use crate::quota::keys::Keys;
use crate::quota::rules::{Plan, Planner};
use edict_message::header;
use edict_table::facts::Direction;
use edict_table::load::{Loaded, RuleId};
use edict_table::model::{Action, Kind, Mode, Via};
use edict_table::value::Address;
use jiff::tz::TimeZone;

/// What would be done.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// Each final recipient.
    pub reaches: Vec<Reach>,
    /// Blind copies.
    pub copies: Vec<Copy>,
    /// What else is to be said: audit rules, disclaimers left out. Sorted, each once.
    pub notes: Vec<String>,
}

/// A final recipient.
#[derive(Clone, Debug)]
pub struct Reach {
    /// The recipient that led here: a place in [`Incoming::recipients`].
    pub given: usize,
    /// On the wire.
    pub wire: String,
    /// Takes the place of the envelope sender.
    pub owner: Option<String>,
    /// By the final address.
    pub direction: Direction,
    /// Names of the disclaimers that its variant carries.
    pub disclaimers: Vec<String>,
    /// Quotas that count it.
    pub quotas: Vec<RuleId>,
    /// The route, where a rule chose it.
    pub route: Option<RuleId>,
    /// `mx`, `local`, or the name of a relay.
    pub via: String,
}

/// Rehearses a message whose verdicts are final. `size` counts against quotas in place of the message's
/// own; `used` is what every counter holds already.
///
/// # Errors
/// A quota is crossed, a disclaimer refuses, or there are too many final recipients.
pub fn rehearse(incoming: &Incoming, size: u64, used: Amount) -> Result<Rehearsal, Refusal> {
    let table: &Loaded = &incoming.table;
    let finals = finals::expand(incoming, &Directory::offline())
        .map_err(|_| super::refuse("452 4.5.3 Too many recipients", None))?;
    let zone = zone(table);
    let pool = Pool::default();
    let mut view = View::new(incoming, &pool);
    room(&quotas(incoming, &mut view, &finals, size), incoming, used, &zone)?;
    let mut notes = Vec::new();
    let copies = match finals.is_empty() {
        true => Vec::new(),
        false => copies::wanted(incoming, &finals, &mut view, &mut notes),
    };
    let mut reaches = Vec::with_capacity(finals.len());
    for end in &finals {
        let (route, via) = route(table, &mut view, end);
        reaches.push(Reach {
            given: end.given,
            wire: end.wire.clone(),
            owner: end.owner.clone(),
            direction: end.direction,
            disclaimers: disclaimers(incoming, end, &mut view, &zone, &mut notes)?,
            quotas: quotas(incoming, &mut view, std::slice::from_ref(end), size).rules,
            route,
            via,
        });
    }
    notes.sort();
    notes.dedup();
    Ok(Rehearsal { reaches, copies, notes })
}

fn zone(table: &Loaded) -> TimeZone {
    jiff::tz::TimeZoneDatabase::bundled().get(&table.profile().time_zone).unwrap_or(TimeZone::UTC)
}

/// What outbound recipients need of which quota.
fn quotas(incoming: &Incoming, view: &mut View<'_>, finals: &[Final], size: u64) -> Plan {
    let client = &incoming.client;
    let sender = incoming.sender_address.as_ref();
    let keys = Keys::new(&incoming.table, client.auth_user.as_deref(), sender, client.ip);
    let mut planner = Planner::new(&incoming.table, &keys);
    let mut found = Vec::new();
    for end in finals.iter().filter(|end| end.direction == Direction::Outbound) {
        view.matching(Kind::Quota, &end.address, end.direction, &mut found);
        planner.recipient(&found);
    }
    planner.finish(size)
}

/// Whether the message fits beside what was used before.
fn room(plan: &Plan, incoming: &Incoming, used: Amount, zone: &TimeZone) -> Result<(), Refusal> {
    let book = Book::default();
    for need in &plan.needs {
        book.restore(&need.key, slot_of(incoming.received), used);
    }
    let today = day_of(incoming.received, zone);
    book.room(&plan.needs, incoming.received, today).map_err(|over| {
        let rule = match over {
            Over::Bound(place, _) => plan.rules.get(place).and_then(|id| incoming.table.rule(*id)),
            Over::Full => None,
        };
        match rule.map(|rule| (rule, rule.action)) {
            Some((rule, Action::Quota(quota))) => super::refuse(&quota.reply.line(), Some(&rule)),
            _ => super::refuse("451 4.3.0 Too many senders are counted", None),
        }
    })
}

fn disclaimers(
    incoming: &Incoming,
    end: &Final,
    view: &mut View<'_>,
    zone: &TimeZone,
    notes: &mut Vec<String>,
) -> Result<Vec<String>, Refusal> {
    let table: &Loaded = &incoming.table;
    let fields = header::fields(&incoming.bytes);
    let date = date_text(day_of(incoming.received, zone).number);
    let author = || Author::new(incoming, &fields, Vec::new(), date.clone());
    let mut said = Vec::new();
    texts(incoming, std::slice::from_ref(end), view, &author, &incoming.bytes, &mut said)?;
    let mut names = Vec::new();
    for note in said {
        let rules = table.rules_of(Kind::Disclaimer).filter_map(|id| table.rule(id));
        match rules.map(|rule| rule.name).find(|name| note == format!("disclaimer {name:?}")) {
            Some(name) => names.push(name.to_owned()),
            None => notes.push(note),
        }
    }
    Ok(names)
}

/// The next hop: the best route, else the relay domain's, else what is built in.
fn route(table: &Loaded, view: &mut View<'_>, end: &Final) -> (Option<RuleId>, String) {
    let mut found = Vec::new();
    view.matching(Kind::Route, &end.address, end.direction, &mut found);
    for id in found {
        let Some(rule) = table.rule(id).filter(|rule| rule.mode == Mode::Enforce) else { continue };
        if let Action::Route(route) = rule.action
            && (!end.inside || route.local)
        {
            let via = match &route.via {
                Via::Mx => "mx",
                Via::Local => "local",
                Via::Relay(name) => name,
            };
            return (Some(id), via.to_owned());
        }
    }
    (None, built_in(table, &end.address))
}

fn built_in(table: &Loaded, address: &Address) -> String {
    if table.is_local(address.domain()) {
        return "local".to_owned();
    }
    let relay = table.profile().relay_domains.iter().find(|relay| relay.domain == address.domain());
    relay.and_then(|relay| relay.via.clone()).unwrap_or_else(|| "mx".to_owned())
}
