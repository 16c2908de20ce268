//! Verdict rules in `mode audit`: decided beside those in force; what each would have changed is found, and told by
//! whoever has a log. Nothing waits for them: content that only they ask for is read, lookups are made after
//! the reply ([`Job`]).
//!
//! Told once for each recipient whose verdict rules decided: when it is refused by one, else at the end of the
//! data. Where a setting decides (the relay guard, an unknown mailbox, a limit) rules on trial change nothing.

use super::content::End;
use super::lookup::{self, Answer, Question};
use super::peer::Peer;
use super::ruling::{UNKNOWN, rule_origin};
use super::transaction::Transaction;
use edict_table::decide::{self, Audit, Outcome, Ruling, Scratch};
use edict_table::facts::{FactSet, Facts};
use edict_table::load::{Loaded, RuleId};
use edict_table::model::{Action, Verb};
use std::net::IpAddr;
use std::sync::Arc;

/// A rule on trial that would have changed a verdict.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Name, file, line.
    pub rule: Option<(String, String, u32)>,
    /// What it would have done: `reject 550 5.7.1 …`, `discard`.
    pub would: String,
    /// What was done instead, and by which rule: `accept`, `reject … by "name"`.
    pub instead: String,
    /// The recipient on the wire; empty where there is none yet.
    pub recipient: String,
}

/// What rules on trial make of facts at which the verdict is final.
pub(super) fn held(
    table: &Loaded,
    facts: &Facts<'_>,
    scratch: &mut Scratch,
    recipient: &str,
) -> (Vec<(RuleId, Finding)>, FactSet) {
    let Outcome::Final(ruling) = decide::verdict(table, facts, scratch) else {
        return (Vec::new(), FactSet::EMPTY);
    };
    let Audit { changed, open } = decide::audit(table, facts, scratch, ruling);
    let finding = |id: RuleId| {
        let finding = Finding {
            rule: rule_origin(table, id),
            would: does(table, id),
            instead: instead(table, ruling),
            recipient: recipient.to_owned(),
        };
        (id, finding)
    };
    (changed.into_iter().map(finding).collect(), open)
}

/// The same where a client or a sender is refused, before there is a message.
pub(super) fn early(
    table: &Loaded,
    facts: &Facts<'_>,
    scratch: &mut Scratch,
    recipient: &str,
) -> Vec<Finding> {
    if !decide::has_audits(table) {
        return Vec::new();
    }
    held(table, facts, scratch, recipient).0.into_iter().map(|(_, finding)| finding).collect()
}

fn does(table: &Loaded, id: RuleId) -> String {
    let Some(Action::Verdict(verdict)) = table.rule(id).map(|rule| rule.action) else {
        return "nothing".to_owned();
    };
    match (&verdict.reply, verdict.verb) {
        (Some(reply), verb @ (Verb::Reject | Verb::Defer)) => format!("{} {}", verb.name(), reply.line()),
        (_, verb) => verb.name().to_owned(),
    }
}

fn instead(table: &Loaded, ruling: Ruling) -> String {
    match ruling {
        Ruling::Default => "accept".to_owned(),
        Ruling::By(id) => match table.rule(id) {
            Some(rule) => format!("{} by \"{}\"", does(table, id), rule.name),
            None => does(table, id),
        },
        Ruling::Unknown | Ruling::Corrupt => UNKNOWN.to_owned(),
    }
}

/// Whose findings are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct About {
    /// The transaction's name.
    pub id: String,
    /// The client.
    pub client: IpAddr,
    /// The envelope sender on the wire.
    pub sender: String,
    /// The table's digest.
    pub table: String,
}

/// Rules on trial that hang on lookups, with all that is known of the message they are about. It outlives the
/// transaction.
#[derive(Debug)]
pub struct Job {
    transaction: Transaction,
    peer: Peer,
    end: End,
    places: Vec<usize>,
    need: FactSet,
    told: Vec<(usize, RuleId)>,
}

impl Job {
    /// What is to be asked next; nothing at the end.
    pub fn questions(&mut self) -> Vec<Question> {
        if self.need.is_empty() {
            return Vec::new();
        }
        self.transaction.questions(&self.peer, self.need, &[])
    }

    /// Goes on with answers; returns what they show.
    pub fn answered(&mut self, answers: Vec<Answer>) -> Vec<Finding> {
        for answer in answers {
            self.transaction.learn(&answer);
            self.peer.learn(answer);
        }
        self.need = FactSet::EMPTY;
        let table = Arc::clone(&self.transaction.table);
        let mut scratch = Scratch::new();
        let mut findings = Vec::new();
        for place in &self.places {
            scratch.begin(&table);
            let Some(facts) = self.transaction.end_facts(&self.peer, *place, Some(self.end)) else {
                continue;
            };
            let (found, open) = held(&table, &facts, &mut scratch, self.transaction.wire(*place));
            self.need.add(lookup::at_end(open));
            for (id, finding) in found {
                if !self.told.contains(&(*place, id)) {
                    self.told.push((*place, id));
                    findings.push(finding);
                }
            }
        }
        findings
    }

    /// Bytes of the message that it keeps.
    pub(crate) fn held(&self) -> u64 {
        self.transaction.held()
    }

    /// Whose, for the log.
    #[must_use]
    pub fn about(&self) -> About {
        self.transaction.about(&self.peer)
    }
}

impl Transaction {
    /// Whose findings are, for the log.
    pub(crate) fn about(&self, peer: &Peer) -> About {
        About {
            id: self.id.to_string(),
            client: peer.ip,
            sender: self.reverse.wire.clone(),
            table: self.table.digest().to_owned(),
        }
    }

    /// What rules on trial make of a message whose verdicts are final, and the work that is left where they hang on
    /// lookups.
    pub(crate) fn audit(&mut self, peer: &Peer, message: &[u8]) -> (Vec<Finding>, Option<Job>) {
        if !decide::has_audits(&self.table) {
            return (Vec::new(), None);
        }
        let table = Arc::clone(&self.table);
        let end = End { size: message.len() as u64 };
        let mut findings = Vec::new();
        let mut told = Vec::new();
        let mut places = Vec::new();
        let mut need = FactSet::EMPTY;
        let mut scratch = Scratch::new();
        for place in 0..self.recipients.len() {
            let (found, open) = loop {
                scratch.begin(&table);
                let Some(facts) = self.end_facts(peer, place, Some(end)) else {
                    break (Vec::new(), FactSet::EMPTY);
                };
                let (found, open) = held(&table, &facts, &mut scratch, self.wire(place));
                if !self.read_more(open, message) {
                    break (found, open);
                }
            };
            told.extend(found.iter().map(|(id, _)| (place, *id)));
            findings.extend(found.into_iter().map(|(_, finding)| finding));
            let lookups = lookup::at_end(open);
            if !lookups.is_empty() {
                places.push(place);
                need.add(lookups);
            }
        }
        if places.is_empty() {
            return (findings, None);
        }
        self.note_signatures(need, message);
        let job = Job { transaction: self.copy(), peer: peer.clone(), end, places, need, told };
        (findings, Some(job))
    }
}
