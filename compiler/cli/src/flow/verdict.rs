//! The verdict of each recipient, at the first stage at which it is final.
//!
//! In the daemon's order: client, sender, relay guard, rules, settings that stand whatever rules say.

use super::known::{Known, Who};
use super::{Mail, rule_named};
use edict_runtime::acceptor::QuotaQuery;
use edict_runtime::actions::rehearse::{self, Count};
use edict_runtime::users::Users;
use edict_runtime::verdict::bounds::{self, Bound, Reading, Sent, absent, foreign_sender, guarded};
use edict_table::decide::{Outcome, Ruling, Scratch, audited, verdict};
use edict_table::fact::Stage;
use edict_table::load::{Loaded, RuleId};
use edict_table::model::{Action, Verb};

/// What decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// No rule matched.
    Default,
    /// This one.
    Rule(RuleId, Verb),
    /// A setting or the relay guard; says which.
    Setting(&'static str),
    /// A quota that is used up already.
    Quota(RuleId),
    /// Lookups that failed.
    Unknown,
    /// The table cannot be read.
    Corrupt,
}

/// A verdict.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decided {
    /// When it was final.
    pub stage: Stage,
    /// By what.
    pub ended: Ended,
    /// What the client is told, where it is refused.
    pub reply: Option<String>,
}

impl Decided {
    /// Whether the recipient is refused.
    pub fn is_refused(&self) -> bool {
        self.reply.is_some()
    }

    /// The rule, where one decided.
    pub fn rule(&self) -> Option<RuleId> {
        match self.ended {
            Ended::Rule(id, _) | Ended::Quota(id) => Some(id),
            _ => None,
        }
    }

    /// Whether it is dropped under the 250.
    pub fn is_discarded(&self, _: &Loaded) -> bool {
        matches!(self.ended, Ended::Rule(_, Verb::Discard))
    }

    /// `accept`, `reject`, `defer`, `hold`, `discard`
    pub fn word(&self) -> &'static str {
        match (&self.reply, self.ended) {
            (Some(reply), _) => {
                if reply.starts_with('4') {
                    "defer"
                } else {
                    "reject"
                }
            }
            (None, Ended::Rule(_, verb @ (Verb::Hold | Verb::Discard))) => verb.name(),
            (None, _) => "accept",
        }
    }
}

/// A recipient and its verdict.
#[derive(Clone, Debug)]
pub struct Person {
    /// Place in [`Known::people`].
    pub place: usize,
    /// What became of it.
    pub decided: Decided,
    /// Audit rules that would have changed it, had they been in force.
    pub audits: Vec<RuleId>,
    /// The quotas that RCPT asked, and how far they are used up.
    pub counts: Vec<Count>,
}

/// Decides every recipient by itself: first up to RCPT, then, with the number of those who were taken there, to the
/// end of the data.
pub fn people(table: &Loaded, mail: &Mail, known: &mut Known) -> Vec<Person> {
    let most = table.profile().max_recipients as usize;
    let mut taken = 0;
    let mut counts = Vec::with_capacity(known.people.len());
    let mut early: Vec<Option<Decided>> = Vec::with_capacity(known.people.len());
    for who in &known.people {
        let mut decided = until_rcpt(table, known, who, taken >= most);
        counts.push(Vec::new());
        if decided.is_none() && !who.inside {
            let (found, over) = quota(table, mail, known, who);
            decided = over;
            counts.last_mut().into_iter().for_each(|last| last.clone_from(&found));
        }
        taken += usize::from(decided.is_none());
        early.push(decided);
    }
    known.count(taken);
    // Nobody of ours is to believe that all were reached: too many of them refuse the whole at DATA.
    let surplus = early.iter().zip(&known.people).any(|(decided, who)| {
        let ended = decided.as_ref().map(|decided| decided.ended);
        who.submitted && ended == Some(Ended::Setting("max-recipients"))
    });
    let reached: Vec<bool> = early.iter().map(Option::is_none).collect();
    let late = |(place, early): (usize, Option<Decided>)| {
        let who = known.people.get(place)?;
        let decided = match early {
            Some(decided) => decided,
            None if surplus => {
                let reply = "554 5.5.3 too many recipients: nothing was sent to any";
                refused(Stage::Data, Ended::Setting("max-recipients"), reply)
            }
            None => from_data(table, known, who, &reached),
        };
        let audits = audits(table, known, who, &decided);
        let counts = counts.get_mut(place).map(std::mem::take).unwrap_or_default();
        Some(Person { place, decided, audits, counts })
    };
    early.into_iter().enumerate().filter_map(late).collect()
}

fn audits(table: &Loaded, known: &Known, who: &Who, decided: &Decided) -> Vec<RuleId> {
    let ruling = match decided.ended {
        Ended::Default => Ruling::Default,
        Ended::Rule(id, _) => Ruling::By(id),
        Ended::Unknown => Ruling::Unknown,
        Ended::Setting(_) | Ended::Quota(_) | Ended::Corrupt => return Vec::new(),
    };
    // What a stricter rule would have said of the whole mail, not only up to the verdict.
    let stage = if decided.is_refused() { decided.stage } else { Stage::Body };
    let mut scratch = Scratch::new();
    scratch.begin(table);
    audited(table, &known.facts(who, stage), &mut scratch, ruling)
}

/// A refusal before the data, in the daemon's order.
fn until_rcpt(table: &Loaded, known: &Known, who: &Who, full: bool) -> Option<Decided> {
    let mut scratch = Scratch::new();
    scratch.begin(table);
    for stage in [Stage::Connect, Stage::Mail, Stage::Rcpt] {
        if stage == Stage::Mail
            && let Some(foreign) = foreign_sender(table, known.login(), known.sender.as_ref())
        {
            return Some(bound(foreign, stage));
        }
        if stage == Stage::Rcpt {
            let stranger = known.login().is_none() && !known.trusted;
            if let Some(guarded) = guarded(stranger, who.inside, &who.address) {
                return Some(bound(guarded, stage));
            }
            if full {
                return Some(bound(("max-recipients", "452 4.5.3 too many recipients"), stage));
            }
        }
        if let Outcome::Final(ruling) = verdict(table, &known.facts(who, stage), &mut scratch) {
            let decided = ruled(table, ruling, stage);
            if decided.is_refused() {
                return Some(decided);
            }
        }
    }
    absent(table, &who.address).map(|found| bound(found, Stage::Rcpt))
}

/// The pre-check of quotas, for a recipient outside: a refusal where one is used up already.
fn quota(table: &Loaded, mail: &Mail, known: &Known, who: &Who) -> (Vec<Count>, Option<Decided>) {
    let query = QuotaQuery {
        table,
        auth_user: known.login(),
        client_ip: known.client,
        sender: known.sender.as_ref(),
        recipient: &who.address,
    };
    let (counts, room) = rehearse::at_rcpt(&query, mail.usage, mail.time);
    let over = room.err().map(|refusal| {
        let rule = refusal.rule.as_ref().and_then(|(name, ..)| rule_named(table, name));
        refused(Stage::Rcpt, rule.map_or(Ended::Corrupt, Ended::Quota), &refusal.reply)
    });
    (counts, over)
}

/// The verdict of a recipient that was taken at RCPT; `reached` says which were.
fn from_data(table: &Loaded, known: &Known, who: &Who, reached: &[bool]) -> Decided {
    let mut scratch = Scratch::new();
    scratch.begin(table);
    let mut accepted: Option<Decided> = None;
    for stage in Stage::ALL {
        if stage == Stage::Header
            && let Some(bound) = bounds(table, known, reached)
        {
            return bound;
        }
        if accepted.is_none()
            && let Outcome::Final(ruling) = verdict(table, &known.facts(who, stage), &mut scratch)
        {
            let decided = ruled(table, ruling, stage);
            if decided.is_refused() {
                return decided;
            }
            accepted = Some(decided);
        }
    }
    // At the last stage nothing is pending any more.
    accepted.unwrap_or_else(|| refused(Stage::Body, Ended::Corrupt, "451 4.3.0 local error, try again later"))
}

fn refused(stage: Stage, ended: Ended, reply: &str) -> Decided {
    Decided { stage, ended, reply: Some(reply.to_owned()) }
}

fn ruled(table: &Loaded, ruling: Ruling, stage: Stage) -> Decided {
    let corrupt = || refused(stage, Ended::Corrupt, "451 4.3.0 local error, try again later");
    match ruling {
        Ruling::Default => Decided { stage, ended: Ended::Default, reply: None },
        Ruling::Unknown => refused(stage, Ended::Unknown, "451 4.4.3 a lookup failed, try again later"),
        Ruling::Corrupt => corrupt(),
        Ruling::By(id) => match table.rule(id).map(|rule| rule.action) {
            Some(Action::Verdict(rule)) => {
                let ended = Ended::Rule(id, rule.verb);
                let fallback = match rule.verb {
                    Verb::Reject => "550 5.7.1 refused by policy",
                    Verb::Defer => "450 4.7.1 refused by policy for now",
                    Verb::Allow | Verb::Hold | Verb::Discard => return Decided { stage, ended, reply: None },
                };
                let reply = rule.reply.as_ref().map_or_else(|| fallback.to_owned(), |reply| reply.line());
                refused(stage, ended, &reply)
            }
            _ => corrupt(),
        },
    }
}

fn bound((setting, reply): Bound, stage: Stage) -> Decided {
    refused(stage, Ended::Setting(setting), reply)
}

/// Settings that stand whatever the rules say; they refuse the whole.
fn bounds(table: &Loaded, known: &Known, reached: &[bool]) -> Option<Decided> {
    if known.size() > table.profile().max_message_size {
        let long = ("max-message-size", "552 5.3.4 the message is longer than this server takes");
        return Some(bound(long, Stage::Header));
    }
    let taken = known.people.iter().zip(reached).filter(|(_, reached)| **reached);
    let sent = Sent {
        login: known.login(),
        own_from: known.has_from(),
        sender: known.sender.as_ref(),
        // Users are not known here: a catch-all takes all that no list names.
        recipients: taken
            .map(|(who, _)| {
                (&who.address, who.direction, bounds::caught(table, &Users::default(), &who.address))
            })
            .collect(),
        hostname: table.profile().hostname.as_deref().unwrap_or_default(),
    };
    let mut reading = Reading {
        message: known.message(),
        header: Some(known.header.clone()),
        body: Some(known.body.clone()),
    };
    bounds::refused(table, &sent, &mut reading).map(|found| bound(found, Stage::Header))
}
