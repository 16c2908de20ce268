//! What would be done to an accepted message, for `edict explain`, rule tests and replay.
//!
//! The same steps as [`plan`](super::plan), with nothing counted, stored or logged: who would get it and by
//! which route, what would be copied, which disclaimers and quotas hold.

use super::copies::{self, Copy};
use super::early;
use super::finals::{self, Final};
use super::plan::over_reply;
use super::texts::{Author, texts};
use super::view::{Pool, View};
use crate::acceptor::QuotaQuery;
use crate::directory::Directory;
use crate::envelope::{Incoming, Refusal};
use crate::quota::amount::{Amount, Unit, date_text, day_of, slot_of};
use crate::quota::book::{Book, Bound, Need};
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
    /// The others that lead here, too: one delivery serves them all.
    pub shared: Vec<usize>,
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

impl Reach {
    /// Whether mail for a recipient ends here.
    #[must_use]
    pub fn serves(&self, given: usize) -> bool {
        self.given == given || self.shared.contains(&given)
    }
}

/// How far one bound of a quota is used up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Count {
    /// The quota.
    pub rule: RuleId,
    /// The counter, as `edictd usage` names it.
    pub key: String,
    /// What is counted.
    pub unit: Unit,
    /// Used before.
    pub used: u64,
    /// What this message adds.
    pub adds: u64,
    /// At most so many.
    pub most: u64,
}

/// The pre-check at RCPT of a recipient outside, with what every counter holds already. The counts say what the
/// quotas hold that were asked; there are none where no quota can be told by then.
pub fn at_rcpt(query: &QuotaQuery<'_>, used: Amount, now: i64) -> (Vec<Count>, Result<(), Refusal>) {
    match early::plan(&Pool::default(), query, now) {
        Some(plan) => (tally(&plan, used), room(&plan, query.table, used, now)),
        None => (Vec::new(), Ok(())),
    }
}

/// What a message whose verdicts are final counts towards which quota; `size` and `used` as for [`rehearse`].
#[must_use]
pub fn counts(incoming: &Incoming, size: u64, used: Amount) -> Vec<Count> {
    let Ok(finals) = finals::expand(incoming, &Directory::offline()) else { return Vec::new() };
    let pool = Pool::default();
    tally(&quotas(incoming, &mut View::new(incoming, &pool), &finals, size), used)
}

fn tally(plan: &Plan, used: Amount) -> Vec<Count> {
    let of = |need: &Need, (place, bound): &(usize, Bound)| {
        Some(Count {
            rule: *plan.rules.get(*place)?,
            key: need.key.clone(),
            unit: bound.unit,
            used: used.of(bound.unit),
            adds: need.add.of(bound.unit),
            most: bound.most,
        })
    };
    plan.needs.iter().flat_map(|need| need.bounds.iter().filter_map(move |bound| of(need, bound))).collect()
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
    let plan = quotas(incoming, &mut view, &finals, size);
    room(&plan, table, used, incoming.received)?;
    let mut notes = watched(&plan, table, used);
    let copies = match finals.is_empty() {
        true => Vec::new(),
        false => copies::wanted(incoming, &finals, &mut view, &mut notes),
    };
    let mut reaches = Vec::with_capacity(finals.len());
    let mut leading = finals::leading(incoming, &Directory::offline());
    for end in &finals {
        let mut shared = leading.remove(&end.address).unwrap_or_default();
        shared.retain(|place| *place != end.given);
        let (route, via) = route(table, &mut view, end);
        reaches.push(Reach {
            given: end.given,
            shared,
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
fn room(plan: &Plan, table: &Loaded, used: Amount, now: i64) -> Result<(), Refusal> {
    let book = Book::default();
    for need in &plan.needs {
        book.restore(&need.key, slot_of(now), used);
    }
    let today = day_of(now, &zone(table));
    book.room(&plan.needs, now, today).map_err(|over| over_reply(plan, table, over))
}

/// Quotas on trial that the message would not fit in.
fn watched(plan: &Plan, table: &Loaded, used: Amount) -> Vec<String> {
    let mut notes = Vec::new();
    for (id, key, bounds) in &plan.audits {
        let add = plan.needs.iter().find(|need| need.key == *key).map(|need| need.add).unwrap_or_default();
        let over = bounds.iter().any(|bound| used.plus(add).of(bound.unit) > bound.most);
        if let Some(rule) = table.rule(*id).filter(|_| over) {
            notes.push(format!("audit: quota {:?} would refuse", rule.name));
        }
    }
    notes
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
