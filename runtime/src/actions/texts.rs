//! Disclaimers: which texts each final recipient's copy of the message carries, in the fewest variants.
//!
//! Recipients with the same list of disclaimers share a variant; so do lists that change nothing or the
//! same. The edit itself is `edict-message`'s. Where it says that a message must stay as it is, the
//! message stays, and the log says why.

use super::finals::Final;
use super::refuse;
use super::view::View;
use crate::envelope::{Incoming, Refusal};
use edict_message::address;
use edict_message::edit::{Edit, Escape, Order, Variables, disclaim_all, expand};
use edict_message::header::Fields;
use edict_table::facts::Direction;
use edict_table::load::{Loaded, RuleId, RuleRef};
use edict_table::model::{Action, Disclaimer, Kind, Mode};
use std::collections::HashMap;

/// What the variables of a text stand for.
#[derive(Debug, Default)]
pub struct Author {
    name: String,
    address: String,
    date: String,
    attributes: Vec<(String, String)>,
}

impl Author {
    /// Of a message. `attributes` are those of its user; `date` is the day in the profile's zone.
    #[must_use]
    pub fn new(
        incoming: &Incoming,
        fields: &Fields<'_>,
        attributes: Vec<(String, String)>,
        date: String,
    ) -> Self {
        let from = fields.fields.iter().find(|field| field.is("From"));
        let from = from.and_then(|field| address::list(field.value).mailboxes.into_iter().next());
        let (name, address) = match from {
            Some(mailbox) => (mailbox.name, mailbox.wire),
            None => (String::new(), incoming.sender.wire.clone()),
        };
        Self { name, address, date, attributes }
    }

    fn variables(&self) -> Variables<'_> {
        Variables { name: &self.name, address: &self.address, attributes: &self.attributes, date: &self.date }
    }
}

/// The variants of a message.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Texts {
    /// Distinct edits over the stored bytes; the first is none at all.
    pub variants: Vec<Vec<Edit>>,
    /// For each final recipient, a place in `variants`.
    pub of: Vec<usize>,
}

/// Finds and applies the disclaimers of every final recipient.
///
/// # Errors
/// The reply where a rule says `signed reject` and the message must not be edited.
pub fn texts(
    incoming: &Incoming,
    finals: &[Final],
    view: &mut View<'_>,
    author: &dyn Fn() -> Author,
    stored: &[u8],
    effects: &mut Vec<String>,
) -> Result<Texts, Refusal> {
    let table: &Loaded = &incoming.table;
    let mut out = Texts { variants: vec![Vec::new()], of: Vec::with_capacity(finals.len()) };
    let mut known: HashMap<Vec<RuleId>, usize> = HashMap::new();
    let mut notes: Vec<String> = Vec::new();
    let mut found = Vec::new();
    let mut told: Option<Author> = None;
    for end in finals {
        // Mail of others is not ours to write into; the compiler refuses such rules.
        if !matches!(end.direction, Direction::Outbound | Direction::Internal) {
            out.of.push(0);
            continue;
        }
        view.matching(Kind::Disclaimer, &end.address, end.direction, &mut found);
        let chain = chain(table, &found, &mut notes);
        if chain.is_empty() {
            out.of.push(0);
            continue;
        }
        if let Some(place) = known.get(&chain) {
            out.of.push(*place);
            continue;
        }
        let author = told.get_or_insert_with(author);
        let edits = edits(table, &chain, author, stored, &mut notes)?;
        let place = out.variants.iter().position(|have| *have == edits).unwrap_or(out.variants.len());
        if place == out.variants.len() {
            out.variants.push(edits);
        }
        known.insert(chain, place);
        out.of.push(place);
    }
    for (place, note) in notes.iter().enumerate() {
        if notes.iter().position(|other| other == note) == Some(place) {
            effects.push(note.clone());
        }
    }
    Ok(out)
}

/// The disclaimers that apply: the first in rank, and the next after each that lets it.
fn chain(table: &Loaded, found: &[RuleId], notes: &mut Vec<String>) -> Vec<RuleId> {
    let mut out = Vec::new();
    let mut open = true;
    for id in found {
        let Some((rule, text)) = disclaimer(table, *id) else { continue };
        match rule.mode {
            Mode::Audit => {
                let note = format!("audit: disclaimer {:?} would apply", rule.name);
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
            Mode::Enforce if open => {
                out.push(*id);
                open = text.proceed;
            }
            Mode::Enforce => {}
        }
    }
    out
}

fn edits(
    table: &Loaded,
    chain: &[RuleId],
    author: &Author,
    stored: &[u8],
    notes: &mut Vec<String>,
) -> Result<Vec<Edit>, Refusal> {
    let rules: Vec<(RuleRef<'_>, &Disclaimer)> =
        chain.iter().filter_map(|id| disclaimer(table, *id)).collect();
    let variables = author.variables();
    let said: Vec<(Option<String>, Option<String>)> = rules
        .iter()
        .map(|(_, text)| {
            let plain = text.text.as_deref().map(|text| expand(text, &variables, Escape::Text));
            (plain, text.html.as_deref().map(|html| expand(html, &variables, Escape::Html)))
        })
        .collect();
    let orders: Vec<Order<'_>> = rules
        .iter()
        .zip(&said)
        .map(|((rule, text), (plain, html))| Order {
            text: plain.as_deref(),
            html: html.as_deref(),
            marker: rule.name,
            above_quote: text.above_quote,
            replies: text.replies,
            signed: text.signed,
        })
        .collect();
    // All at once, over the message where it lies: what one adds is not read again for the next.
    let made = disclaim_all(stored, &orders);
    for ((rule, text), result) in rules.iter().zip(made.results) {
        match result {
            Ok(()) => notes.push(format!("disclaimer {:?}", rule.name)),
            Err(why) if why.refuses(text.signed) => {
                return Err(refuse(
                    &format!("550 5.7.1 {why} and cannot carry the disclaimer {:?}", rule.name),
                    Some(rule),
                ));
            }
            Err(why) => notes.push(format!("disclaimer {:?} left out: {why}", rule.name)),
        }
    }
    Ok(made.edits)
}

fn disclaimer(table: &Loaded, id: RuleId) -> Option<(RuleRef<'_>, &Disclaimer)> {
    let rule = table.rule(id)?;
    match rule.action {
        Action::Disclaimer(text) => Some((rule, text)),
        _ => None,
    }
}
