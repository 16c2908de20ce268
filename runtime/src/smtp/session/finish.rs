//! The end of a message: the verdict, handing it on, and the reply.

use super::{Phase, Session, Step};
use crate::acceptor::Receipt;
use crate::envelope::{Authentication, Fate, Refusal};
use crate::smtp::context::Metrics;
use crate::smtp::escape::with_status;
use crate::smtp::log::Entry;
use crate::smtp::settings::{Results, Settings};
use crate::smtp::{journal, log};
use crate::verdict::peer::Peer;
use crate::verdict::ruling::{UNKNOWN, rule_origin};
use crate::verdict::transaction::{Gate, Transaction};

impl Session {
    pub(super) fn end_of_data(&mut self, now: i64) -> Option<Step> {
        let Phase::End(mut receiver) = std::mem::replace(&mut self.phase, Phase::Command) else {
            return None;
        };
        let hostname = self.hostname(&self.table());
        let Some(transaction) = &mut self.transaction else {
            self.say("503 5.5.1 no transaction");
            return None;
        };
        let gate = match receiver.flaw() {
            Some(flaw) => Gate::refuse(flaw.reply()),
            None => transaction.at_end(&self.peer, &hostname, receiver.bytes()),
        };
        let by_rules = match &gate {
            Gate::Pass => true,
            // Where a setting refuses, rules on trial change nothing.
            Gate::Refuse(refusal) => refusal.rule.is_some() || refusal.reply.starts_with(UNKNOWN),
            Gate::Ask(_) | Gate::Probe(_) => false,
        };
        if by_rules && !self.audited {
            self.audited = true;
            let (findings, job) = transaction.audit(&self.peer, receiver.bytes());
            self.audits.extend(job);
            if !findings.is_empty() {
                log::audit(&transaction.about(&self.peer), "end-of-data", &findings);
            }
        }
        match gate {
            Gate::Pass => {
                let dropped = transaction.settled().all(|(_, fate, _)| fate == Fate::Discard);
                if self.settings.results == Results::Always && !dropped {
                    let untold = transaction.untold(&self.peer);
                    if !untold.is_empty() {
                        let questions = transaction.questions(&self.peer, untold, receiver.bytes());
                        return self.keep_waiting(receiver).then_some(Step::Look(questions));
                    }
                }
            }
            Gate::Refuse(refusal) => {
                let table = self.table();
                log::refused(self, &table, "end-of-data", None, &refusal);
                journal::refused(self, &table, "end-of-data", None, Some(receiver.bytes()), &refusal);
                self.end_transaction();
                self.say(&refusal.reply);
                return None;
            }
            Gate::Ask(need) => {
                let questions = transaction.questions(&self.peer, need, receiver.bytes());
                // The message waits; with the answers its end is decided again.
                if !questions.is_empty() {
                    return self.keep_waiting(receiver).then_some(Step::Look(questions));
                }
                return self.cannot_tell();
            }
            Gate::Probe(_) => return self.cannot_tell(),
        }
        self.habit.ended(transaction.accepted());
        let mut entry = Entry::new(transaction, receiver.size());
        entry.draft = journal::draft(&self.cx, &self.peer, transaction, receiver.bytes());
        let told = authentication(&self.settings, &self.peer, transaction);
        let incoming = transaction.take_incoming(&self.peer, receiver.take(), now, told);
        self.phase = Phase::Accepting(Box::new(entry));
        Some(Step::Accept(Box::new(incoming)))
    }

    /// Nobody can answer what the verdict hangs on.
    pub(super) fn cannot_tell(&mut self) -> Option<Step> {
        self.end_transaction();
        self.say("451 4.4.3 a lookup failed, try again later");
        None
    }

    /// The acceptor's answer to [`Step::Accept`].
    pub fn accepted(&mut self, result: Result<Receipt, Refusal>) {
        let Phase::Accepting(mut entry) = std::mem::replace(&mut self.phase, Phase::Command) else {
            return;
        };
        let table = self.table();
        let draft = entry.draft.take();
        match result {
            Ok(receipt) => {
                let counter =
                    if entry.all_discarded { &self.cx.metrics.discarded } else { &self.cx.metrics.accepted };
                Metrics::bump(counter);
                let reply = ["250 2.0.0 Ok: queued as ", &entry.id.to_string()].concat();
                log::accepted(self, &table, &entry, &receipt, &reply);
                journal::finish(self, draft, entry.verdict, entry.rule.as_ref(), &reply);
                self.say(&reply);
                self.errors = 0;
                self.junk = 0;
            }
            Err(refusal) if refusal.is_silence() => {
                log::refused(self, &table, "accept", Some(&entry), &refusal);
                journal::finish(self, draft, log::verdict(&refusal), refusal.rule.as_ref(), &refusal.reply);
                self.fall_silent();
            }
            Err(refusal) => {
                // It may be the next hop's own word.
                let refusal = Refusal { reply: with_status(&refusal.reply), ..refusal };
                log::refused(self, &table, "accept", Some(&entry), &refusal);
                journal::finish(self, draft, log::verdict(&refusal), refusal.rule.as_ref(), &refusal.reply);
                self.say(&refusal.reply);
            }
        }
        self.end_transaction();
    }
}

/// What a message that is taken tells of its authenticity.
pub(in crate::smtp) fn authentication(
    settings: &Settings,
    peer: &Peer,
    transaction: &Transaction,
) -> Authentication {
    let ours = transaction.trusted && peer.login.is_none();
    let profile = transaction.table.profile();
    let id = match (&settings.authserv_id, &profile.hostname) {
        // Another server of ours passed it on, and may have written what it found out.
        _ if ours => String::new(),
        (Some(id), _) => id.clone(),
        (None, Some(hostname)) => hostname.clone(),
        (None, None) => settings.hostname.clone(),
    };
    let tells = settings.results != Results::Never;
    let results = transaction.results(peer, &id).filter(|_| tells);
    Authentication { id, results }
}

/// The verdict of an accepted message in one word, and the rule that decided first.
pub(in crate::smtp) fn summary(
    transaction: &Transaction,
) -> (&'static str, Option<(String, String, u32)>, bool) {
    let mut verdict = "accept";
    let mut deciding = None;
    let mut all_discarded = true;
    for (_, fate, rule) in transaction.settled() {
        all_discarded &= fate == Fate::Discard;
        if deciding.is_none()
            && let Some(id) = rule
        {
            deciding = rule_origin(&transaction.table, id);
            verdict = match fate {
                Fate::Deliver => "allow",
                Fate::Hold => "hold",
                Fate::Discard => "discard",
            };
        }
    }
    (verdict, deciding, all_discarded)
}
