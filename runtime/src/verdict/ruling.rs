//! An outcome of `decide` as the front needs it: settled, refused with a reply, or open.

use crate::envelope::{Fate, Refusal};
use edict_table::decide::{Outcome, Ruling};
use edict_table::facts::FactSet;
use edict_table::load::{Loaded, RuleId};
use edict_table::model::{Action, Verb};

/// What an outcome means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Ruled {
    /// Accepted with this fate, by this rule where it was one.
    Settled(Fate, Option<RuleId>),
    /// Refused.
    Refused(Refusal),
    /// These facts are needed first.
    Open(FactSet),
}

/// The reply where a lookup that failed decides.
pub(crate) const UNKNOWN: &str = "451 4.4.3 a lookup failed, try again later";
/// The reply where the table cannot be read.
pub(crate) const CORRUPT: &str = "451 4.3.0 local error, try again later";

/// Reads an outcome.
pub(crate) fn ruled(table: &Loaded, outcome: Outcome) -> Ruled {
    let id = match outcome {
        Outcome::Need(facts) => return Ruled::Open(facts),
        Outcome::Final(Ruling::Default) => return Ruled::Settled(Fate::Deliver, None),
        Outcome::Final(Ruling::Unknown) => return refused(UNKNOWN),
        Outcome::Final(Ruling::Corrupt) => return corrupt(table),
        Outcome::Final(Ruling::By(id)) => id,
    };
    let Some(rule) = table.rule(id) else {
        return corrupt(table);
    };
    let Action::Verdict(verdict) = rule.action else {
        return corrupt(table);
    };
    let fallback = match verdict.verb {
        Verb::Allow => return Ruled::Settled(Fate::Deliver, Some(id)),
        Verb::Hold => return Ruled::Settled(Fate::Hold, Some(id)),
        Verb::Discard => return Ruled::Settled(Fate::Discard, Some(id)),
        Verb::Reject => "550 5.7.1 refused by policy",
        Verb::Defer => "450 4.7.1 refused by policy for now",
    };
    let reply = verdict.reply.as_ref().map_or_else(|| fallback.to_owned(), |reply| reply.line());
    Ruled::Refused(Refusal { reply, rule: rule_origin(table, id) })
}

/// A rule as logs name it: name, file, line.
pub(crate) fn rule_origin(table: &Loaded, id: RuleId) -> Option<(String, String, u32)> {
    table.rule(id).map(|rule| (rule.name.to_owned(), rule.file.to_owned(), rule.line))
}

fn refused(reply: &str) -> Ruled {
    Ruled::Refused(Refusal { reply: reply.to_owned(), rule: None })
}

fn corrupt(table: &Loaded) -> Ruled {
    tracing::error!(table = table.digest(), "the table cannot be read where it must: deferring mail");
    refused(CORRUPT)
}
