//! The verdict of each recipient, at the first stage at which it is final.
//!
//! In the order of mail-flow: client, sender, relay guard, rules, settings that stand whatever rules say.

use super::known::{Known, Who};
use edict_table::decide::{Outcome, Ruling, Scratch, audited, verdict};
use edict_table::fact::Stage;
use edict_table::load::{Loaded, RuleId};
use edict_table::model::{Action, Recipients, Verb};

/// What decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// No rule matched.
    Default,
    /// This one.
    Rule(RuleId, Verb),
    /// A setting or the relay guard; says which.
    Setting(&'static str),
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
            Ended::Rule(id, _) => Some(id),
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
}

/// Decides every recipient by itself.
pub fn people(table: &Loaded, known: &Known) -> Vec<Person> {
    let most = table.profile().max_recipients as usize;
    let decide = |(place, who): (usize, &Who)| {
        let mut decided = one(table, known, who);
        if place >= most && decided.stage >= Stage::Rcpt {
            decided = refused(Stage::Rcpt, Ended::Setting("max-recipients"), "452 4.5.3 too many recipients");
        }
        let audits = audits(table, known, who, &decided);
        Person { place, decided, audits }
    };
    known.people.iter().enumerate().map(decide).collect()
}

fn audits(table: &Loaded, known: &Known, who: &Who, decided: &Decided) -> Vec<RuleId> {
    let ruling = match decided.ended {
        Ended::Default => Ruling::Default,
        Ended::Rule(id, _) => Ruling::By(id),
        Ended::Unknown => Ruling::Unknown,
        Ended::Setting(_) | Ended::Corrupt => return Vec::new(),
    };
    // What a stricter rule would have said of the whole mail, not only up to the verdict.
    let stage = if decided.is_refused() { decided.stage } else { Stage::Body };
    let mut scratch = Scratch::new();
    scratch.begin(table);
    audited(table, &known.facts(who, stage), &mut scratch, ruling)
}

fn one(table: &Loaded, known: &Known, who: &Who) -> Decided {
    let mut scratch = Scratch::new();
    scratch.begin(table);
    let mut accepted: Option<Decided> = None;
    for stage in Stage::ALL {
        if stage == Stage::Rcpt
            && let Some(guarded) = guard(known, who)
        {
            return guarded;
        }
        if stage == Stage::Header
            && let Some(bound) = bounds(table, known, who)
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
        if stage == Stage::Rcpt
            && let Some(absent) = absent(table, who)
        {
            return absent;
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

/// The relay guard: strangers reach inside recipients only, and by no detour.
fn guard(known: &Known, who: &Who) -> Option<Decided> {
    let stranger = known.login().is_none() && !known.trusted;
    let routed = who.address.local().contains(['%', '!', '@']);
    (stranger && (!who.inside || routed))
        .then(|| refused(Stage::Rcpt, Ended::Setting("the relay guard"), "550 5.7.1 relaying denied"))
}

/// A relay domain whose recipients are named, and which this one is not among. Whether a local mailbox
/// exists is known to the daemon alone.
fn absent(table: &Loaded, who: &Who) -> Option<Decided> {
    let relay = table.profile().relay_domains.iter().find(|relay| relay.domain == who.address.domain())?;
    let Some(Recipients::Known(lists)) = &relay.recipients else { return None };
    let known =
        table.alias(&who.address).is_some() || lists.iter().any(|list| table.list_holds(list, &who.address));
    (!known).then(|| refused(Stage::Rcpt, Ended::Setting("recipients"), "550 5.1.1 no such mailbox"))
}

/// Settings that stand whatever the rules say.
fn bounds(table: &Loaded, known: &Known, who: &Who) -> Option<Decided> {
    let profile = table.profile();
    let end = |setting, reply| Some(refused(Stage::Header, Ended::Setting(setting), reply));
    if known.size() > profile.max_message_size {
        return end("max-message-size", "552 5.3.4 the message is longer than this server takes");
    }
    if known.header.hops > u64::from(profile.max_hops) {
        return end("max-hops", "554 5.4.6 too many hops: this message goes in circles");
    }
    let longest = known.body.attachments.iter().map(|a| a.size).max().unwrap_or(0);
    if profile.max_attachment_size.is_some_and(|most| longest > most) {
        return end("max-attachment-size", "552 5.3.4 an attachment is longer than this server takes");
    }
    let outbound = who.submitted && !who.inside;
    if outbound
        && known.header.auto_forwarded
        && !profile.auto_forwarding.on
        && profile.auto_forwarding.except.is_empty()
    {
        return end("auto-forwarding", "550 5.7.1 mail that was forwarded automatically may not leave");
    }
    None
}
