//! From an accepted message to the record that makes it durable. No input or output, no waiting.
//!
//! The order is that of docs/actions.md: discarded recipients drop out, aliases, quota, blind copies,
//! disclaimers, trace fields, signatures, envelopes. Each step is a module of its own; this one only passes things on.
//! Two halves, since what a quota holds may have to be asked of another machine in between.

use super::copies::{self, Copy};
use super::dispatch::Dispatches;
use super::finals::{self, Final};
use super::splice::{compose, variant};
use super::texts::{Author, Texts, texts};
use super::view::{Pool, View};
use super::{Settings, refuse, told, trace};
use crate::dkim::Keys as SigningKeys;
use crate::envelope::{Fate, Incoming, Record, Refusal, Usage, Variant};
use crate::quota::amount::{date_text, day_of};
use crate::quota::book::{Over, Warning};
use crate::quota::rules::{Plan as QuotaPlan, Planner};
use crate::quota::{Keys, Quotas, user_key};
use edict_message::edit::Edit;
use edict_message::header;
use edict_table::facts::Direction;
use edict_table::load::Loaded;
use edict_table::model::{Action, Kind};
use jiff::tz::TimeZone;
use std::cell::LazyCell;

/// The first half: whom the message reaches, and what it needs of which quota.
#[derive(Debug)]
pub struct Prepared {
    finals: Vec<Final>,
    /// What is to be held before the second half; none where nothing leaves.
    pub quota: Option<QuotaPlan>,
    /// For the log, so far.
    pub effects: Vec<String>,
}

/// Expands aliases and finds the quotas. None where every recipient is discarded; the effects say so.
///
/// # Errors
/// Too many final addresses.
pub fn prepare(settings: &Settings, incoming: &Incoming) -> Result<Prepared, Refusal> {
    let prepared = prepare_uncounted(settings, incoming)?;
    let quota = needs(incoming, &prepared.finals, &settings.pool);
    Ok(Prepared { quota, ..prepared })
}

/// The same without quotas: for mail that is not stored, and under tables that have none.
///
/// # Errors
/// As [`prepare`].
pub(super) fn prepare_uncounted(settings: &Settings, incoming: &Incoming) -> Result<Prepared, Refusal> {
    let mut effects = Vec::new();
    for given in incoming.recipients.iter().filter(|given| given.fate == Fate::Discard) {
        effects.push(format!("discarded for {}", given.wire));
    }
    let finals = finals::expand(incoming, &settings.directory)
        .map_err(|_| refuse("452 4.5.3 Too many recipients", None))?;
    Ok(Prepared { finals, quota: None, effects })
}

impl Prepared {
    /// Whether nobody is left to get the message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.finals.is_empty()
    }
}

/// The second half: copies, disclaimers, trace fields, signatures, envelopes. `usage` is what was held.
///
/// # Errors
/// A disclaimer rule refuses, or a bound of the daemon is passed.
pub fn finish(
    settings: &Settings,
    zone: &TimeZone,
    mut incoming: Box<Incoming>,
    prepared: Prepared,
    usage: Vec<Usage>,
) -> Result<(Record, Vec<String>), Refusal> {
    let Prepared { finals, mut effects, .. } = prepared;
    let mut view = View::new(&incoming, &settings.pool);
    let mut wanted = copies::wanted(&incoming, &finals, &mut view, &mut effects);
    let read = LazyCell::new(|| header::fields(&incoming.bytes));
    // Whoever logs in writes his mail himself: what marks he puts on it keep nothing out of the archive.
    let came_back =
        |copy: &Copy| incoming.client.auth_user.is_none() && settings.mark.knows(&copy.address, &read);
    let before = wanted.len();
    wanted.retain(|copy| !came_back(copy));
    if wanted.len() < before {
        effects.push("no blind copy of a blind copy".to_owned());
    }
    let named = incoming.table.profile().hostname.as_ref();
    let hostname = named.unwrap_or(&settings.hostname).clone();
    // Only what is submitted is ours to vouch for. Its header is not read for keys that there are not.
    let signs = incoming.submitted && !settings.signer.is_empty();
    let keys = if signs { settings.signer.of_author(&read) } else { None };
    let stored = trace::stored(&incoming, &hostname, zone, keys.as_ref());
    let author = || {
        let date = date_text(day_of(incoming.received, zone).number);
        let user = incoming.client.auth_user.as_deref().map(|user| user_key(&incoming.table, user));
        let known = user.and_then(|key| settings.attributes.get(&key).cloned());
        Author::new(&incoming, &read, known.unwrap_or_default(), date)
    };
    let mut texts = texts(&incoming, &finals, &mut view, &author, &stored, &mut effects)?;
    if let Some(keys) = &keys {
        sign(&incoming, keys, &stored, &mut texts, &mut effects);
    }
    let mark = if wanted.is_empty() {
        String::new()
    } else {
        // Over what leaves: a submission may have come without a Message-ID.
        let targets = wanted.iter().map(|copy| &copy.address);
        settings.mark.mark(incoming.id, targets, &header::fields(&stored))
    };
    let shape = Shape { hostname: &hostname, finals: &finals, wanted: &wanted, texts: &texts, mark: &mark };
    let (variants, dispatches) = envelopes(&shape, &incoming, &stored)?;
    for copy in &wanted {
        effects.push(format!("bcc {:?} to {}", copy.rule, copy.wire));
    }
    drop((view, read));
    let mut record = Record {
        id: incoming.id,
        received: incoming.received,
        dispatches,
        variants,
        usage,
        table: incoming.table.digest().to_owned(),
        bytes: stored,
    };
    told::add(settings, &incoming, &hostname, &mut record);
    // The message is held once from here on.
    incoming.bytes = Vec::new();
    Ok((record, effects))
}

/// Signs each variant, after everything that changes it. What stands above the signature later (the fields of
/// a copy, a Return-Path) is not covered by it.
fn sign(
    incoming: &Incoming,
    keys: &SigningKeys,
    stored: &[u8],
    texts: &mut Texts,
    effects: &mut Vec<String>,
) {
    let mut signed = false;
    for edits in &mut texts.variants {
        if let Some(edit) = keys.sign(&incoming.id, stored, edits) {
            // At the very front: before an edit there, in order with all others.
            match edits.first_mut().filter(|first| first.range == (0..0)) {
                Some(first) => drop(first.bytes.splice(0..0, edit.bytes)),
                None => edits.insert(0, edit),
            }
            signed = true;
        }
    }
    if signed {
        effects.push(format!("signed for {}", keys.domain()));
    }
}

/// What a message needs of the quotas that match its outbound recipients.
fn needs(incoming: &Incoming, finals: &[Final], pool: &Pool) -> Option<QuotaPlan> {
    let mut outbound = finals.iter().filter(|end| end.direction == Direction::Outbound).peekable();
    outbound.peek()?;
    let client = &incoming.client;
    let sender = incoming.sender_address.as_ref();
    let keys = Keys::new(&incoming.table, client.auth_user.as_deref(), sender, client.ip);
    let mut view = View::new(incoming, pool);
    let mut planner = Planner::new(&incoming.table, &keys);
    let mut found = Vec::new();
    for end in outbound {
        view.matching(Kind::Quota, &end.address, end.direction, &mut found);
        planner.recipient(&found);
    }
    Some(planner.finish(incoming.bytes.len() as u64))
}

/// Puts warnings and watched quotas into the effects, once the message is counted.
pub fn remark(
    quotas: &Quotas,
    zone: &TimeZone,
    incoming: &Incoming,
    plan: &QuotaPlan,
    warnings: &[Warning],
    effects: &mut Vec<String>,
) {
    let table = &incoming.table;
    for warning in warnings {
        let rule = plan.rules.get(warning.rule).and_then(|id| table.rule(*id));
        let name = rule.map_or("", |rule| rule.name);
        let (used, most, unit) = (warning.used, warning.most, warning.unit.name());
        tracing::warn!(id = %incoming.id, rule = name, used, most, unit, "quota runs low");
        effects.push(format!("quota {name:?}: {used} of {most} {unit}"));
    }
    for (id, key, bounds) in &plan.audits {
        let over = bounds
            .iter()
            .any(|bound| quotas.used(key, bound.window, incoming.received, zone).of(bound.unit) > bound.most);
        if let Some(rule) = table.rule(*id).filter(|_| over) {
            effects.push(format!("audit: quota {:?} would refuse", rule.name));
        }
    }
}

/// The reply to a message that does not fit.
pub(super) fn over_reply(plan: &QuotaPlan, table: &Loaded, over: Over) -> Refusal {
    let rule = match over {
        Over::Bound(place, _) => plan.rules.get(place).and_then(|id| table.rule(*id)),
        Over::Full => None,
    };
    match rule.map(|rule| (rule, rule.action)) {
        Some((rule, Action::Quota(quota))) => refuse(&quota.reply.line(), Some(&rule)),
        _ => refuse("451 4.3.0 Too many senders are counted", None),
    }
}

/// What the envelopes are made of.
struct Shape<'a> {
    hostname: &'a str,
    finals: &'a [Final],
    wanted: &'a [Copy],
    texts: &'a Texts,
    mark: &'a str,
}

fn envelopes(
    shape: &Shape<'_>,
    incoming: &Incoming,
    stored: &[u8],
) -> Result<(Vec<Variant>, Vec<crate::envelope::Dispatch>), Refusal> {
    let mut variants = Variants::default();
    let mut places = Vec::with_capacity(shape.texts.variants.len());
    for edits in &shape.texts.variants {
        places.push(variants.place(edits)?);
    }
    let place = |at: usize| shape.texts.of.get(at).and_then(|of| places.get(*of)).copied().unwrap_or(0);
    let mut dispatches = Dispatches::new(incoming, stored);
    let blank = Variant::default();
    for (at, end) in shape.finals.iter().enumerate() {
        // A bounce stays one on its way through a list: under the owner's name it could earn another (RFC 5321 4.5.5).
        let null = incoming.sender.wire.is_empty();
        let owner = end.owner.as_ref().filter(|_| !null);
        let sender = owner.or(end.forwarder.as_ref()).unwrap_or(&incoming.sender.wire);
        let place = place(at);
        dispatches.recipient(end, sender, place, variants.get(place).unwrap_or(&blank));
    }
    // Outside readers are the ones whose message an archive of modified copies is about.
    let outside = shape.finals.iter().position(|end| !end.inside);
    let modified = outside.and_then(|at| shape.texts.of.get(at)).copied().unwrap_or(0);
    let owner = match shape.wanted {
        [] => String::new(),
        _ => copies::owner(&incoming.table, shape.hostname),
    };
    for copy in shape.wanted {
        let base = shape.texts.variants.get(if copy.modified { modified } else { 0 });
        let base = base.map(Vec::as_slice).unwrap_or_default();
        let edits = copy_edits(shape, incoming, stored, base, copy.record)?;
        let place = variants.place(&edits)?;
        dispatches.copy(copy, &owner, place, variants.get(place).unwrap_or(&blank));
    }
    Ok((variants.list, dispatches.finish()))
}

/// A copy: the message or its variant, forged fields out, the fields of the copy on top.
fn copy_edits(
    shape: &Shape<'_>,
    incoming: &Incoming,
    stored: &[u8],
    base: &[Edit],
    record: bool,
) -> Result<Vec<Edit>, Refusal> {
    let forged = |bytes: &[u8]| {
        let places = copies::forged(bytes).ok_or_else(|| refuse("554 5.6.0 Too many forged fields", None))?;
        Ok::<_, Refusal>(places.into_iter().map(cut))
    };
    let mut own = vec![header::prepend(copies::top(incoming, shape.mark, record))];
    if base.is_empty() {
        if record {
            own.extend(forged(stored)?);
        }
        return Ok(own);
    }
    if record {
        // The header is enough, as the edits leave it: the message as a whole is not made for this.
        let end = header::fields(stored).body;
        let above: Vec<Edit> = base.iter().filter(|edit| edit.range.start < end).cloned().collect();
        own.extend(forged(&edict_message::edit::apply(stored.get(..end).unwrap_or_default(), &above))?);
    }
    Ok(compose(stored.len(), base, &own))
}

fn cut(range: std::ops::Range<usize>) -> Edit {
    Edit { range, bytes: Vec::new() }
}

/// The variants of a record, each once; the first is the message as stored.
#[derive(Debug)]
struct Variants {
    list: Vec<Variant>,
}

impl Default for Variants {
    fn default() -> Self {
        Self { list: vec![Variant::default()] }
    }
}

impl Variants {
    fn place(&mut self, edits: &[Edit]) -> Result<u16, Refusal> {
        let wanted = variant(edits).ok_or_else(|| refuse("552 5.3.4 Message too large", None))?;
        let place = self.list.iter().position(|have| *have == wanted).unwrap_or(self.list.len());
        if place == self.list.len() {
            self.list.push(wanted);
        }
        u16::try_from(place).map_err(|_| refuse("451 4.3.0 Too many variants of one message", None))
    }

    fn get(&self, place: u16) -> Option<&Variant> {
        self.list.get(usize::from(place))
    }
}
