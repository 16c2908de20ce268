//! A decision as a tree that people read: verdicts, what was done, each rule looked at, each test's value.

use crate::console::clean;
use crate::flow::{Copy, Count, Decided, Ended, Happening, Known, Person, Who};
use edict_compiler::prove::describe::{bytes, claim};
use edict_runtime::quota::amount::Unit;
use edict_runtime::verdict::bounds::rests_on_users;
use edict_table::decide::{Scratch, Shape, Trace, Truth, explain_rule};
use edict_table::fact::Stage;
use edict_table::facts::Direction;
use edict_table::load::{Loaded, RuleId, RuleRef};
use edict_table::model::{Action, Kind, Mode, Table};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// More rules than this are shown only where they are not *no*.
const MANY: usize = 40;

/// Rules do not name the users of the daemon.
const ASSUMED: &str =
    "taken for a user of edictd: no alias and no list of the rules names it (550 5.1.1 where it is none)";

/// How far quotas are used up: those that refused at RCPT, and those that the mail counts for.
fn counts(happening: &Happening) -> impl Iterator<Item = (Stage, &Count)> {
    let mut early: Vec<&Count> = Vec::new();
    for person in happening.people.iter().filter(|p| matches!(p.decided.ended, Ended::Quota(_))) {
        for count in &person.counts {
            if !early.contains(&count) {
                early.push(count);
            }
        }
    }
    let late = happening.counts.iter().map(|count| (Stage::Body, count));
    early.into_iter().map(|count| (Stage::Rcpt, count)).chain(late)
}

/// What to show.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The table.
    pub table: &'a Loaded,
    /// The same, read back.
    pub model: &'a Table,
    /// Every rule, however many.
    pub all: bool,
}

/// A rule looked at.
struct Looked {
    rule: RuleId,
    trace: Trace,
}

/// The word of a value.
pub fn truth(value: Truth) -> &'static str {
    match value {
        Truth::Yes => "yes",
        Truth::No => "no",
        Truth::Pending => "pending",
        Truth::Unknown => "unknown",
    }
}

/// The word that opens a rule in the language.
pub fn word(rule: &RuleRef<'_>) -> &'static str {
    match (rule.action, rule.kind) {
        (Action::Verdict(verdict), _) => verdict.verb.name(),
        (_, Kind::Limit) => "limit",
        (_, Kind::Bcc) => "bcc",
        (_, Kind::Quota) => "quota",
        (_, Kind::Disclaimer) => "disclaimer",
        (_, Kind::Route | Kind::Verdict) => "route",
    }
}

/// Whether rules of a kind are asked at all for a recipient.
fn concerns(kind: Kind, happening: &Happening, person: &Person) -> bool {
    let mut reaches = happening.sent.iter().flat_map(|sent| &sent.reaches).filter(|r| r.serves(person.place));
    match kind {
        Kind::Verdict | Kind::Bcc => true,
        // Limits are about what a client did before.
        Kind::Limit => false,
        Kind::Quota => reaches.any(|r| r.direction == Direction::Outbound),
        Kind::Disclaimer => reaches.any(|r| matches!(r.direction, Direction::Outbound | Direction::Internal)),
        Kind::Route => reaches
            .any(|r| r.route.is_some() || matches!(r.direction, Direction::Outbound | Direction::Forwarded)),
    }
}

/// The last stage at which verdict rules were asked.
fn asked_until(person: &Person) -> Stage {
    // The guard stands before them at RCPT, and so does `sender-must` at MAIL.
    match person.decided.ended {
        Ended::Setting("the relay guard") => Stage::Mail,
        Ended::Setting("sender-must") if person.decided.stage == Stage::Mail => Stage::Connect,
        _ => person.decided.stage,
    }
}

/// The direction as rules see it, or that there is none.
fn direction(known: &Known, who: &Who) -> &'static str {
    if known.is_strange(who) { "outside, not submitted" } else { who.direction.name() }
}

/// What a quota counts, as people write it.
fn amount(unit: Unit, count: u64) -> String {
    if unit == Unit::Bytes { bytes(count) } else { count.to_string() }
}

/// `"a", also by "b" (copy original, record envelope)`: the rules behind a copy, and what it is.
pub fn copied(copy: &Copy) -> String {
    let mut out = format!("\"{}\"", copy.rule);
    if !copy.also.is_empty() {
        let _ = write!(out, ", also by \"{}\"", copy.also.join("\", \""));
    }
    out += if copy.modified { " (copy modified" } else { " (copy original" };
    out + if copy.record { ", record envelope)" } else { ")" }
}

impl<'a> Shown<'a> {
    /// `reject "bad networks" (access/lists.edict:9)`
    pub fn named(&self, id: RuleId) -> String {
        let Some(rule) = self.table.rule(id) else { return "a rule that is not there".to_owned() };
        let at = if rule.file.is_empty() { String::new() } else { format!(" ({}:{})", rule.file, rule.line) };
        format!("{} \"{}\"{at}", word(&rule), rule.name)
    }

    /// What decided: a rule, a setting, or that none did.
    pub fn by(&self, decided: &Decided) -> String {
        match decided.ended {
            Ended::Default => "no rule decides".to_owned(),
            Ended::Rule(id, _) | Ended::Quota(id) => format!("by {}", self.named(id)),
            Ended::Setting(setting) => format!("by {setting}"),
            Ended::Unknown => "it hangs on a lookup that failed".to_owned(),
            Ended::Corrupt => "the table cannot be read".to_owned(),
        }
    }

    /// Verdict rules up to the one that decided, and the rules of the other kinds.
    fn looked_at(&self, happening: &Happening, known: &Known, person: &Person) -> (Vec<Looked>, usize) {
        let Some(who) = known.people.get(person.place) else { return (Vec::new(), 0) };
        let mut scratch = Scratch::new();
        scratch.begin(self.table);
        let count = u32::try_from(self.table.rule_count()).unwrap_or(u32::MAX);
        let decider = person.decided.rule();
        let mut all = Vec::new();
        for id in (0..count).map(RuleId) {
            let Some(rule) = self.table.rule(id) else { continue };
            let verdict = rule.kind == Kind::Verdict;
            if verdict && decider.is_some_and(|decider| id > decider) {
                continue;
            }
            let stage = if verdict { asked_until(person) } else { Stage::Body };
            if !verdict && (person.decided.is_refused() || !concerns(rule.kind, happening, person)) {
                continue;
            }
            // Facts of another stage are another evaluation.
            scratch.next_recipient();
            scratch.begin(self.table);
            if let Some(explained) = explain_rule(self.table, id, &known.facts(who, stage), &mut scratch) {
                all.push(Looked { rule: id, trace: explained.trace });
            }
        }
        let total = all.len();
        if !self.all && total > MANY {
            all.retain(|looked| looked.trace.value != Truth::No);
        }
        let hidden = total - all.len();
        (all, hidden)
    }

    fn test(&self, shape: Shape) -> String {
        match shape {
            Shape::True => "always".to_owned(),
            Shape::Test(place) => match self.model.predicates.get(place as usize) {
                Some(predicate) => claim(self.model, predicate, true),
                None => "a test that is not there".to_owned(),
            },
            Shape::Not => "not".to_owned(),
            Shape::All => "all of".to_owned(),
            Shape::Any => "any of".to_owned(),
        }
    }

    fn tree(&self, out: &mut String, trace: &Trace, indent: usize) {
        let pad = " ".repeat(indent);
        // The table keeps `size > 1 KiB` as not at most that: one line says it as it is written.
        if let (Shape::Not, [Trace { shape: Shape::Test(place), .. }]) =
            (trace.shape, trace.children.as_slice())
            && let Some(predicate) = self.model.predicates.get(*place as usize)
        {
            let _ = writeln!(out, "{pad}{:<8}{}", truth(trace.value), claim(self.model, predicate, false));
            return;
        }
        let _ = writeln!(out, "{pad}{:<8}{}", truth(trace.value), self.test(trace.shape));
        for child in &trace.children {
            self.tree(out, child, indent + 4);
        }
    }

    /// The whole as text.
    pub fn human(&self, happening: &Happening, known: &Known) -> String {
        let mut out = String::new();
        let reply = happening.reply.as_ref().map(|reply| format!(": {reply}")).unwrap_or_default();
        let _ = writeln!(out, "{} at {}{reply}", happening.whole.name(), happening.stage.name());
        if let Some(id) = happening.rule {
            let _ = writeln!(out, "by {}", self.named(id));
        }
        let _ = writeln!(out, "table {}", self.table.digest());
        for person in &happening.people {
            self.person(&mut out, happening, known, person);
        }
        if let Some(sent) = &happening.sent {
            for copy in &sent.copies {
                let _ = writeln!(out, "\nblind copy to {} by bcc {}", copy.wire, copied(copy));
            }
            for note in &sent.notes {
                let _ = writeln!(out, "\nnote: {note}");
            }
        }
        for (stage, count) in counts(happening) {
            let _ = writeln!(out, "\n{}", self.count(stage, count));
        }
        clean(&out).into_owned()
    }

    /// `quota "everyone" (main.edict:88) for user:ann@example.com: 499 of 500 messages used, 1 more with this mail`
    fn count(&self, stage: Stage, count: &Count) -> String {
        let (used, most) = (amount(count.unit, count.used), amount(count.unit, count.most));
        let unit = if count.unit == Unit::Bytes { "" } else { &format!(" {}", count.unit.name()) };
        let adds = match stage {
            // What the mail is to hold is not known by then.
            Stage::Rcpt => "asked at rcpt".to_owned(),
            _ => {
                format!("{} more with this mail, counted at {}", amount(count.unit, count.adds), stage.name())
            }
        };
        format!("{} for {}: {used} of {most}{unit} used, {adds}", self.named(count.rule), count.key)
    }

    fn person(&self, out: &mut String, happening: &Happening, known: &Known, person: &Person) {
        let Some(who) = known.people.get(person.place) else { return };
        let decided = &person.decided;
        let _ = writeln!(out, "\n{} ({})", who.wire, direction(known, who));
        let reply = decided.reply.as_ref().map(|reply| format!(": {reply}")).unwrap_or_default();
        let _ = writeln!(out, "    {} at {}{reply}", decided.word(), decided.stage.name());
        let _ = writeln!(out, "    {}", self.by(decided));
        if happening.sent.is_none() && !decided.is_refused() {
            let _ = writeln!(out, "    but the whole message is refused");
        }
        if self.assumes(who, person) {
            let _ = writeln!(out, "    {ASSUMED}");
        }
        for id in &person.audits {
            let _ = writeln!(out, "    audit: it would be decided by {}", self.named(*id));
        }
        let reaches = happening.sent.iter().flat_map(|sent| &sent.reaches).filter(|r| r.serves(person.place));
        for reach in reaches {
            if reach.given != person.place {
                let other = known.people.get(reach.given).map_or("", |who| who.wire.as_str());
                let _ = writeln!(out, "    delivered to {}, once for this and for {other}", reach.wire);
                continue;
            }
            let route = reach.route.map(|id| format!(", by {}", self.named(id))).unwrap_or_default();
            let _ = writeln!(
                out,
                "    delivered to {} ({}) via {}{route}",
                reach.wire,
                reach.direction.name(),
                reach.via
            );
            if let Some(owner) = &reach.owner {
                let _ = writeln!(out, "        envelope sender {owner}, the owner of the alias");
            }
            for name in &reach.disclaimers {
                let _ = writeln!(out, "        disclaimer \"{name}\"");
            }
            for id in &reach.quotas {
                let _ = writeln!(out, "        counted by {}", self.named(*id));
            }
        }
        let (looked, hidden) = self.looked_at(happening, known, person);
        if !looked.is_empty() {
            let _ = writeln!(out, "    rules looked at");
        }
        for one in &looked {
            let audit = self.table.rule(one.rule).is_some_and(|rule| rule.mode == Mode::Audit);
            let audit = if audit { ", audit only" } else { "" };
            let passed = if one.trace.value == Truth::Yes && self.is_passed_over(happening, person, one.rule)
            {
                ", passed over: without `local yes` it is not for mail inside"
            } else {
                ""
            };
            let _ =
                writeln!(out, "        {:<8}{}{audit}{passed}", truth(one.trace.value), self.named(one.rule));
            self.tree(out, &one.trace, 16);
        }
        if hidden > 0 {
            let _ = writeln!(out, "        and {hidden} rules that do not match (`--all` shows them)");
        }
    }

    /// Whether a route is not asked of a recipient, all of whose mail stays inside.
    fn is_passed_over(&self, happening: &Happening, person: &Person, id: RuleId) -> bool {
        let reaches = happening.sent.iter().flat_map(|sent| &sent.reaches);
        let mut reaches = reaches.filter(|r| r.serves(person.place));
        let route = self.table.rule(id).and_then(|rule| match rule.action {
            Action::Route(route) => Some(route.local),
            _ => None,
        });
        route == Some(false)
            && reaches.all(|r| matches!(r.direction, Direction::Inbound | Direction::Internal))
    }

    /// The whole as one JSON object. Keys are only ever added.
    pub fn json(&self, happening: &Happening, known: &Known) -> Value {
        let recipients: Vec<Value> =
            happening.people.iter().map(|p| self.person_json(happening, known, p)).collect();
        let tests: Vec<Value> =
            happening.people.iter().flat_map(|p| self.tests_json(happening, known, p)).collect();
        json!({
            "verdict": happening.whole.name(),
            "reply": happening.reply,
            "stage": happening.stage.name(),
            "rule": happening.rule.map(|id| self.rule_json(id)),
            "recipients": recipients,
            "copies": happening.sent.iter().flat_map(|s| &s.copies).map(|copy| json!({
                "to": copy.wire,
                "rule": copy.rule,
                "also": copy.also,
                "copy": if copy.modified { "modified" } else { "original" },
                "record": copy.record.then_some("envelope"),
            })).collect::<Vec<_>>(),
            "notes": happening.sent.as_ref().map(|s| s.notes.clone()).unwrap_or_default(),
            "tests": tests,
            "quotas": counts(happening).map(|(stage, count)| json!({
                "rule": self.rule_json(count.rule),
                "counter": count.key,
                "unit": count.unit.name(),
                "used": count.used,
                "adds": count.adds,
                "most": count.most,
                "stage": stage.name(),
            })).collect::<Vec<_>>(),
            "table": self.table.digest(),
        })
    }

    fn rule_json(&self, id: RuleId) -> Value {
        match self.table.rule(id) {
            Some(rule) => {
                json!({ "name": rule.name, "kind": word(&rule), "file": rule.file, "line": rule.line })
            }
            None => Value::Null,
        }
    }

    /// Whether a recipient is taken for a user of the daemon, which users rules do not name.
    fn assumes(&self, who: &Who, person: &Person) -> bool {
        !person.decided.is_refused() && rests_on_users(self.table, &who.address)
    }

    fn person_json(&self, happening: &Happening, known: &Known, person: &Person) -> Value {
        let Some(who) = known.people.get(person.place) else { return Value::Null };
        let reaches: Vec<_> =
            happening.sent.iter().flat_map(|sent| &sent.reaches).filter(|r| r.serves(person.place)).collect();
        let copies: Vec<&str> =
            happening.sent.iter().flat_map(|sent| &sent.copies).map(|c| c.wire.as_str()).collect();
        let mut disclaimers: Vec<&String> = reaches.iter().flat_map(|r| &r.disclaimers).collect();
        disclaimers.dedup();
        let mut quotas: Vec<&str> = reaches
            .iter()
            .flat_map(|r| &r.quotas)
            .filter_map(|id| self.table.rule(*id))
            .map(|r| r.name)
            .collect();
        quotas.dedup();
        json!({
            "address": who.wire,
            "direction": (!known.is_strange(who)).then(|| who.direction.name()),
            "verdict": person.decided.word(),
            "reply": person.decided.reply,
            "stage": person.decided.stage.name(),
            "rule": person.decided.rule().map(|id| self.rule_json(id)),
            "setting": match person.decided.ended {
                Ended::Setting(setting) => Some(setting),
                _ => None,
            },
            "audit": person.audits.iter().map(|id| self.rule_json(*id)).collect::<Vec<_>>(),
            "assumed_user": self.assumes(who, person),
            "final": reaches.iter().map(|r| json!({
                "address": r.wire,
                "served_with": known.people.get(r.given).filter(|_| r.given != person.place).map(|who| who.wire.as_str()),
                "direction": r.direction.name(),
                "via": r.via,
                "route": r.route.map(|id| self.rule_json(id)),
                "sender": r.owner,
                "disclaimer": r.disclaimers,
            })).collect::<Vec<_>>(),
            "bcc": if person.decided.is_refused() { Vec::new() } else { copies },
            "disclaimer": disclaimers,
            "quota": quotas,
            "route": reaches.iter().map(|r| r.via.as_str()).collect::<Vec<_>>(),
        })
    }

    fn tests_json(&self, happening: &Happening, known: &Known, person: &Person) -> Vec<Value> {
        let recipient = known.people.get(person.place).map_or("", |who| who.wire.as_str());
        let (looked, _) = self.looked_at(happening, known, person);
        let one = |looked: &Looked| {
            let mut tests = Vec::new();
            self.leaves(&looked.trace, &mut tests);
            json!({
                "recipient": recipient,
                "rule": self.rule_json(looked.rule),
                "value": truth(looked.trace.value),
                "tests": tests,
            })
        };
        looked.iter().map(one).collect()
    }

    fn leaves(&self, trace: &Trace, out: &mut Vec<Value>) {
        if let Shape::Test(_) = trace.shape {
            out.push(json!({ "test": self.test(trace.shape), "value": truth(trace.value) }));
        }
        trace.children.iter().for_each(|child| self.leaves(child, out));
    }
}
