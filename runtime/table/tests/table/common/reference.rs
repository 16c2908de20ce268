//! The reference interpreter: a table as a value, one linear scan per rule, one per list entry, nothing
//! shared with the evaluator. Every optimisation is tested against it.

use edict_table::decide::{Outcome, Ruling, Truth};
use edict_table::fact::Fact;
use edict_table::facts::{FactSet, Facts, Slot};
use edict_table::load::RuleId;
use edict_table::model::*;
use edict_table::value::{Address, parse_network};
use regex_automata::meta::Regex;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;

/// A value of a fact; several are several of these.
enum V {
    Flag(bool),
    Number(u64),
    Ip(IpAddr),
    Domain(String),
    Address(Address),
    Text(String),
}

/// The values of a fact; none of them is absent.
fn values(fact: Fact, parameter: &str, f: &Facts<'_>) -> Slot<Vec<V>> {
    fn one<T>(slot: Slot<T>, v: impl FnOnce(T) -> V) -> Slot<Vec<V>> {
        match slot {
            Slot::Absent => Slot::Known(Vec::new()),
            slot => slot.map(|t| vec![v(t)]),
        }
    }
    fn many<T>(slot: Slot<T>, v: impl FnOnce(T) -> Vec<V>) -> Slot<Vec<V>> {
        match slot {
            Slot::Absent => Slot::Known(Vec::new()),
            slot => slot.map(v),
        }
    }
    let dotless = |d: &str| V::Flag(!d.contains('.') && !d.starts_with('['));
    let named = |name: &str| {
        let name = name.to_owned();
        many(f.header, move |h| {
            h.fields.iter().filter(|x| x.name == name).map(|x| V::Text(x.value.clone())).collect()
        })
    };
    let addresses = |all: &[Address]| all.iter().map(|a| V::Address(a.clone())).collect();
    match fact {
        Fact::ClientIp => one(f.client_ip, V::Ip),
        Fact::ClientName => one(f.client_name, |d| V::Domain(d.to_string())),
        Fact::ClientUnverified => one(f.client_unverified, V::Flag),
        Fact::ClientNameless => one(f.client_nameless, V::Flag),
        Fact::ClientListed => match f.client_listed.iter().find(|(zone, _)| zone == parameter) {
            Some((_, answer)) => one(*answer, V::Flag),
            None => Slot::Pending,
        },
        Fact::ClientTls => one(f.client_tls, V::Flag),
        Fact::Helo => one(f.helo, |d| V::Domain(d.to_string())),
        Fact::HeloUnqualified => one(f.helo, |d| dotless(d.as_str())),
        Fact::HeloMalformed => one(f.helo_malformed, V::Flag),
        Fact::HeloUnresolvable => one(f.helo_unresolvable, V::Flag),
        Fact::AuthUser => one(f.auth_user, |t| V::Text(t.to_owned())),
        Fact::Sender => one(f.sender, |a| V::Address(a.clone())),
        Fact::SenderLocal => one(f.sender, |a| V::Text(a.local().to_owned())),
        Fact::SenderDomain => one(f.sender, |a| V::Domain(a.domain().to_owned())),
        Fact::SenderUnqualified => one(f.sender, |a| dotless(a.domain())),
        Fact::SenderUnresolvable => one(f.sender_unresolvable, V::Flag),
        Fact::SenderUnknown => one(f.sender_unknown, V::Flag),
        Fact::Submitted => one(f.submitted, V::Flag),
        Fact::Recipient => one(f.recipient, |a| V::Address(a.clone())),
        Fact::RecipientLocal => one(f.recipient, |a| V::Text(a.local().to_owned())),
        Fact::RecipientDomain => one(f.recipient, |a| V::Domain(a.domain().to_owned())),
        Fact::Direction => one(f.direction, |d| V::Number(d as u64)),
        Fact::RecipientCount => one(f.recipient_count, V::Number),
        Fact::Size => one(f.size, V::Number),
        Fact::Hops => one(f.header, |h| V::Number(h.hops)),
        Fact::Subject => many(f.header, |h| {
            h.fields
                .iter()
                .find(|x| x.name == "subject")
                .map(|x| V::Text(x.value.clone()))
                .into_iter()
                .collect()
        }),
        Fact::Header => named(parameter),
        Fact::From => many(f.header, |h| addresses(&h.from)),
        Fact::To => many(f.header, |h| addresses(&h.to)),
        Fact::Cc => many(f.header, |h| addresses(&h.cc)),
        Fact::AutoSubmitted => one(f.header, |h| V::Flag(h.auto_submitted)),
        Fact::AutoForwarded => one(f.header, |h| V::Flag(h.auto_forwarded)),
        Fact::Signed => one(f.header, |h| V::Flag(h.signed)),
        Fact::Encrypted => one(f.header, |h| V::Flag(h.encrypted)),
        Fact::Reply => one(f.header, |h| V::Flag(h.reply)),
        Fact::Malformed => match f.header {
            Slot::Known(h) if h.malformed => Slot::Known(vec![V::Flag(true)]),
            Slot::Pending => Slot::Pending,
            _ => one(f.body, |b| V::Flag(b.malformed)),
        },
        Fact::Spf => one(f.spf, |r| V::Number(u64::from(r))),
        Fact::Dmarc => one(f.dmarc, |r| V::Number(u64::from(r))),
        Fact::DkimDomain => many(f.dkim_domains, |d| d.iter().map(|d| V::Domain(d.to_string())).collect()),
        Fact::Body => many(f.body, |b| b.texts.iter().cloned().map(V::Text).collect()),
        Fact::AttachmentName => {
            many(f.body, |b| b.attachments.iter().filter_map(|a| a.name.clone()).map(V::Text).collect())
        }
        Fact::AttachmentType => {
            many(f.body, |b| b.attachments.iter().map(|a| V::Text(a.media_type.clone())).collect())
        }
        Fact::AttachmentSize => many(f.body, |b| b.attachments.iter().map(|a| V::Number(a.size)).collect()),
        Fact::AttachmentCount => one(f.body, |b| V::Number(b.attachments.len() as u64)),
        Fact::Time => one(f.time, |t| V::Number(t.max(0) as u64)),
    }
}

/// The interpreter of one table.
pub struct Reference<'t> {
    pub table: &'t Table,
    /// Compiled patterns: compiling them for each test would take all the time there is.
    regexes: RefCell<HashMap<String, Regex>>,
}

impl<'t> Reference<'t> {
    /// Of a table.
    pub fn new(table: &'t Table) -> Self {
        Self { table, regexes: RefCell::default() }
    }

    fn regex(&self, pattern: &str, text: &str) -> bool {
        let mut known = self.regexes.borrow_mut();
        let regex = known.entry(pattern.to_owned()).or_insert_with(|| {
            let folding = regex_automata::util::syntax::Config::new().case_insensitive(true);
            Regex::builder().syntax(folding).build(pattern).unwrap()
        });
        regex.is_match(text)
    }

    fn in_list(&self, list: u32, value: &V) -> bool {
        let entries = &self.table.lists[list as usize].entries;
        entries.iter().any(|entry| match value {
            V::Ip(ip) => parse_network(entry).unwrap().contains(ip),
            V::Text(text) => entry == text,
            V::Domain(domain) => domain_entry(entry, domain),
            V::Address(address) => {
                let profile = &self.table.profile;
                let inside = profile.local_domains.iter().any(|d| d == address.domain())
                    || profile.relay_domains.iter().any(|r| r.domain == address.domain());
                let bare = if inside { address.without_extension() } else { None };
                [Some(address), bare.as_ref()].into_iter().flatten().any(|a| {
                    entry == a.as_str()
                        || entry.strip_suffix('@') == Some(a.local())
                        || domain_entry(entry, a.domain())
                })
            }
            V::Flag(_) | V::Number(_) => false,
        })
    }

    fn holds(&self, test: &Test, value: &V) -> bool {
        let text = match value {
            V::Domain(t) | V::Text(t) => t.clone(),
            V::Address(a) => a.as_str().to_owned(),
            _ => String::new(),
        };
        let number = match value {
            V::Number(n) => *n,
            _ => 0,
        };
        match test {
            Test::Present => true,
            Test::Set => matches!(value, V::Flag(true)),
            Test::InList(list) => self.in_list(*list, value),
            Test::Contains(all) => all.iter().any(|l| text.contains(l.as_str())),
            Test::StartsWith(all) => all.iter().any(|l| text.starts_with(l.as_str())),
            Test::EndsWith(all) => all.iter().any(|l| text.ends_with(l.as_str())),
            Test::Glob(glob) => self.regex(&glob_as_regex(glob), &text),
            Test::Regex(regex) => self.regex(regex, &text),
            Test::Less(n) => number < *n,
            Test::AtMost(n) => number <= *n,
            Test::Equal(n) => number == *n,
            Test::More(n) => number > *n,
            Test::OneOf(mask) => (u64::from(*mask) >> number) & 1 == 1,
        }
    }

    /// The value of a test.
    pub fn test(&self, id: u32, facts: &Facts<'_>) -> Truth {
        let predicate = &self.table.predicates[id as usize];
        match values(predicate.fact, &predicate.parameter, facts) {
            Slot::Pending => Truth::Pending,
            Slot::Unknown => Truth::Unknown,
            Slot::Absent => Truth::No,
            Slot::Known(all) => Truth::of(all.iter().any(|v| self.holds(&predicate.test, v))),
        }
    }

    /// The value of a condition.
    pub fn condition(&self, id: u32, facts: &Facts<'_>) -> Truth {
        match &self.table.conditions[id as usize] {
            Condition::True => Truth::Yes,
            Condition::Test(test) => self.test(*test, facts),
            Condition::Not(child) => self.condition(*child, facts).negate(),
            Condition::All(all) => all.iter().map(|c| self.condition(*c, facts)).fold(Truth::Yes, Truth::and),
            Condition::Any(all) => all.iter().map(|c| self.condition(*c, facts)).fold(Truth::No, Truth::or),
        }
    }

    fn hangs_on(&self, id: u32, value: Truth, facts: &Facts<'_>, out: &mut FactSet) {
        if self.condition(id, facts) != value {
            return;
        }
        match &self.table.conditions[id as usize] {
            Condition::True => {}
            Condition::Test(test) => out.insert(self.table.predicates[*test as usize].fact),
            Condition::Not(child) => self.hangs_on(*child, value, facts, out),
            Condition::All(all) | Condition::Any(all) => {
                all.iter().for_each(|c| self.hangs_on(*c, value, facts, out));
            }
        }
    }

    /// What a rule comes to; none is: accepted.
    pub fn outcome(&self, rule: u32) -> Option<(Verb, Option<Reply>)> {
        match &self.table.rules[rule as usize].action {
            Action::Verdict(v) if v.verb != Verb::Allow => Some((v.verb, v.reply.clone())),
            _ => None,
        }
    }

    /// The verdict: in order of rank, over the rules that are not no.
    pub fn verdict(&self, facts: &Facts<'_>) -> Outcome {
        let mut unknown: Option<Option<(Verb, Option<Reply>)>> = None;
        for (rule, id) in self.table.rules.iter().zip(0u32..) {
            if rule.kind() != Kind::Verdict || rule.mode == Mode::Audit {
                continue;
            }
            match self.condition(rule.condition, facts) {
                Truth::No => {}
                Truth::Pending => {
                    let mut need = FactSet::EMPTY;
                    self.hangs_on(rule.condition, Truth::Pending, facts, &mut need);
                    return Outcome::Need(need);
                }
                Truth::Unknown => {
                    let this = self.outcome(id);
                    if unknown.get_or_insert(this.clone()) != &this {
                        return Outcome::Final(Ruling::Unknown);
                    }
                }
                Truth::Yes => {
                    return Outcome::Final(match unknown {
                        Some(other) if other != self.outcome(id) => Ruling::Unknown,
                        _ => Ruling::By(RuleId(id)),
                    });
                }
            }
        }
        Outcome::Final(match unknown {
            Some(Some(_)) => Ruling::Unknown,
            _ => Ruling::Default,
        })
    }

    /// The rules of a kind that are not no.
    pub fn candidates(&self, kind: Kind, facts: &Facts<'_>) -> Vec<(RuleId, Truth)> {
        let rules = self.table.rules.iter().zip(0u32..).filter(|(r, _)| r.kind() == kind);
        rules
            .map(|(r, id)| (RuleId(id), self.condition(r.condition, facts)))
            .filter(|(_, value)| *value != Truth::No)
            .collect()
    }

    /// What the rules of a kind that are neither yes nor no hang on.
    pub fn hanging(&self, kind: Kind, facts: &Facts<'_>) -> FactSet {
        let mut out = FactSet::EMPTY;
        for (id, value) in self.candidates(kind, facts) {
            if value != Truth::Yes {
                self.hangs_on(self.table.rules[id.0 as usize].condition, value, facts, &mut out);
            }
        }
        out
    }

    /// Audit rules that would have changed the verdict of a rule (or of none).
    pub fn audited(&self, facts: &Facts<'_>, enforced: Ruling) -> Vec<RuleId> {
        let (cut, outcome) = match enforced {
            Ruling::Default => (u32::MAX, Some(None)),
            Ruling::By(rule) => (rule.0, Some(self.outcome(rule.0))),
            Ruling::Unknown => {
                let first = self.candidates(Kind::Verdict, facts).into_iter().find(|(id, value)| {
                    *value == Truth::Unknown && self.table.rules[id.0 as usize].mode == Mode::Enforce
                });
                (first.map_or(0, |(id, _)| id.0), None)
            }
            Ruling::Corrupt => return Vec::new(),
        };
        let all = self.candidates(Kind::Verdict, facts).into_iter();
        all.filter(|(id, value)| {
            *value == Truth::Yes
                && self.table.rules[id.0 as usize].mode == Mode::Audit
                && id.0 < cut
                && Some(self.outcome(id.0)) != outcome
        })
        .map(|(id, _)| id)
        .collect()
    }
}

fn domain_entry(entry: &str, domain: &str) -> bool {
    match entry.strip_prefix("@.") {
        Some(parent) => !domain.starts_with('[') && domain.ends_with(&format!(".{parent}")),
        None => entry.strip_prefix('@') == Some(domain),
    }
}

fn glob_as_regex(glob: &str) -> String {
    let mut regex = String::from("(?s)^(?:");
    let mut chars = glob.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '\\' => regex.push_str(&regex_syntax::escape(&chars.next().unwrap_or('\\').to_string())),
            c => regex.push_str(&regex_syntax::escape(&c.to_string())),
        }
    }
    regex.push_str(")$");
    regex
}
