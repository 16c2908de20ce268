//! The reference interpreter of the compiler: a rule set as a [`Model`], before lowering. One linear scan over
//! rules, over tests, over entries of lists; no index, no interning, nothing of the table's evaluator.
//!
//! A condition is yes, no, or not to be told (`None`), by Kleene.

use super::mail::Mail;
use edict_compiler::model::{Cond, Model, Op, RuleDef, RuleMode, Set, Test};
use edict_table::fact::Fact;
use edict_table::facts::Slot;
use edict_table::model::{Action, Mode, Verb};
use edict_table::value::{Address, parse_network};
use regex_automata::meta::Regex;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// One value of a fact.
enum Value {
    Flag(bool),
    Number(u64),
    Ip(IpAddr),
    Domain(String),
    Address(Address),
    Text(String),
}

/// What a message comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expected {
    /// No rule.
    Accepted,
    /// This rule.
    By(String),
    /// A failed lookup decides.
    Unknown,
}

pub struct Interpreter<'m> {
    pub model: &'m Model,
    /// For each fact, whether a test on it was yes, and whether one was no.
    pub seen: RefCell<BTreeMap<Fact, (bool, bool)>>,
}

impl<'m> Interpreter<'m> {
    pub fn new(model: &'m Model) -> Self {
        Self { model, seen: RefCell::default() }
    }

    /// All values of a fact; none where it is absent, `None` where it could not be looked up.
    fn values(&self, test: &Test, mail: &Mail) -> Option<Vec<Value>> {
        let slot = |slot: Slot<bool>| match slot {
            Slot::Known(flag) => Some(vec![Value::Flag(flag)]),
            _ => None,
        };
        let domain = |d: &edict_table::value::Domain| Value::Domain(d.as_str().to_owned());
        let all = |addresses: &[Address]| addresses.iter().cloned().map(Value::Address).collect::<Vec<_>>();
        let unqualified = |domain: &str| Value::Flag(!domain.contains('.') && !domain.starts_with('['));
        let (head, body) = (&mail.header, &mail.body);
        let fields = |name: &str| {
            let name = name.to_owned();
            head.fields.iter().filter(move |f| f.name == name).map(|f| Value::Text(f.value.clone()))
        };
        Some(match test.fact {
            Fact::ClientIp => vec![Value::Ip(mail.client)],
            Fact::ClientName => mail.client_name.iter().map(domain).collect(),
            Fact::ClientUnverified => return slot(mail.unverified),
            Fact::ClientNameless => return slot(mail.nameless),
            Fact::ClientListed => {
                return slot(mail.listed.iter().find(|(zone, _)| *zone == test.parameter)?.1);
            }
            Fact::ClientTls => vec![Value::Flag(mail.tls)],
            Fact::Helo => mail.helo.iter().map(domain).collect(),
            Fact::HeloUnqualified => mail.helo.iter().map(|d| unqualified(d.as_str())).collect(),
            Fact::HeloMalformed => vec![Value::Flag(mail.helo_malformed)],
            Fact::HeloUnresolvable => return slot(mail.helo_unresolvable),
            Fact::AuthUser => mail.login.iter().cloned().map(Value::Text).collect(),
            Fact::Sender => mail.sender.iter().cloned().map(Value::Address).collect(),
            Fact::SenderLocal => mail.sender.iter().map(|a| Value::Text(a.local().to_owned())).collect(),
            Fact::SenderDomain => mail.sender.iter().map(|a| Value::Domain(a.domain().to_owned())).collect(),
            Fact::SenderUnqualified => mail.sender.iter().map(|a| unqualified(a.domain())).collect(),
            Fact::SenderUnresolvable => return slot(mail.sender_unresolvable),
            Fact::SenderUnknown => vec![Value::Flag(mail.sender_unknown)],
            Fact::Submitted => vec![Value::Flag(mail.submitted)],
            Fact::Recipient => vec![Value::Address(mail.recipient.clone())],
            Fact::RecipientLocal => vec![Value::Text(mail.recipient.local().to_owned())],
            Fact::RecipientDomain => vec![Value::Domain(mail.recipient.domain().to_owned())],
            Fact::Direction => vec![Value::Number(mail.direction as u64)],
            Fact::RecipientCount => vec![Value::Number(mail.count)],
            Fact::Size => vec![Value::Number(mail.size)],
            Fact::Hops => vec![Value::Number(head.hops)],
            Fact::Subject => fields("subject").take(1).collect(),
            Fact::Header => fields(&test.parameter).collect(),
            Fact::From => all(&head.from),
            Fact::To => all(&head.to),
            Fact::Cc => all(&head.cc),
            Fact::AutoSubmitted => vec![Value::Flag(head.auto_submitted)],
            Fact::AutoForwarded => vec![Value::Flag(head.auto_forwarded)],
            Fact::Signed => vec![Value::Flag(head.signed)],
            Fact::Encrypted => vec![Value::Flag(head.encrypted)],
            Fact::Reply => vec![Value::Flag(head.reply)],
            Fact::Malformed => vec![Value::Flag(head.malformed || body.malformed)],
            Fact::Spf => vec![Value::Number(u64::from(mail.spf))],
            Fact::Dmarc => vec![Value::Number(u64::from(mail.dmarc))],
            Fact::DkimDomain => mail.dkim.iter().map(domain).collect(),
            Fact::Body => body.texts.iter().cloned().map(Value::Text).collect(),
            Fact::AttachmentName => {
                body.attachments.iter().filter_map(|a| a.name.clone()).map(Value::Text).collect()
            }
            Fact::AttachmentType => {
                body.attachments.iter().map(|a| Value::Text(a.media_type.clone())).collect()
            }
            Fact::AttachmentSize => body.attachments.iter().map(|a| Value::Number(a.size)).collect(),
            Fact::AttachmentCount => vec![Value::Number(body.attachments.len() as u64)],
            Fact::Time => vec![Value::Number(mail.time.max(0) as u64)],
        })
    }

    fn is_inside(&self, domain: &str) -> bool {
        let profile = &self.model.profile;
        profile.local_domains.iter().any(|d| d == domain)
            || profile.relay_domains.iter().any(|d| d.domain == domain)
    }

    /// Whether an entry of a set, as the model writes it, is about a value.
    fn entry_holds(&self, entry: &str, value: &Value) -> bool {
        let at_domain = |domain: &str| match entry.strip_prefix("@.") {
            Some(above) => domain.strip_suffix(above).is_some_and(|head| head.ends_with('.')),
            None => entry.strip_prefix('@').is_some_and(|d| d == domain),
        };
        match value {
            Value::Ip(ip) => parse_network(entry).is_ok_and(|net| net.contains(ip)),
            Value::Text(text) => entry == text,
            Value::Domain(domain) => at_domain(domain),
            Value::Address(address) => {
                let short = address.without_extension().filter(|_| self.is_inside(address.domain()));
                std::iter::once(address).chain(short.as_ref()).any(|a| {
                    entry == a.as_str() || entry.strip_suffix('@') == Some(a.local()) || at_domain(a.domain())
                })
            }
            Value::Flag(_) | Value::Number(_) => false,
        }
    }

    fn in_set(&self, set: &Set, value: &Value) -> bool {
        match set {
            Set::List(at) => self.model.lists[*at].entries.iter().any(|e| self.entry_holds(e, value)),
            Set::Group(at, _) => {
                self.model.groups[*at].members.iter().any(|m| self.entry_holds(m.address.as_str(), value))
            }
            Set::Values(_, all) => all.iter().any(|e| self.entry_holds(e, value)),
        }
    }

    fn op_holds(&self, op: &Op, value: &Value) -> bool {
        let text = match value {
            Value::Domain(text) | Value::Text(text) => text.as_str(),
            Value::Address(address) => address.as_str(),
            _ => "",
        };
        let number = if let Value::Number(n) = value { *n } else { 0 };
        let listed = |at: &usize, f: &dyn Fn(&str) -> bool| self.model.lists[*at].entries.iter().any(f);
        match op {
            Op::Present => true,
            Op::Set => matches!(value, Value::Flag(true)),
            Op::In(set) => self.in_set(set, value),
            Op::Contains(all) => all.iter().any(|n| text.contains(n.as_str())),
            Op::ContainsList(at) => listed(at, &|n| text.contains(n)),
            Op::StartsWith(all) => all.iter().any(|n| text.starts_with(n.as_str())),
            Op::StartsWithList(at) => listed(at, &|n| text.starts_with(n)),
            Op::EndsWith(all) => all.iter().any(|n| text.ends_with(n.as_str())),
            Op::EndsWithList(at) => listed(at, &|n| text.ends_with(n)),
            Op::Glob(glob) => {
                let (glob, text): (Vec<char>, Vec<char>) = (glob.chars().collect(), text.chars().collect());
                glob_holds(&glob, &text)
            }
            Op::Regex(regex) => {
                let folding = regex_automata::util::syntax::Config::new().case_insensitive(true);
                Regex::builder().syntax(folding).build(regex).unwrap().is_match(text)
            }
            Op::Less(n) => number < *n,
            Op::AtMost(n) => number <= *n,
            Op::More(n) => number > *n,
            Op::Equal(n) => number == *n,
            Op::OneOf(bits) => number < 8 && bits & (1 << number) != 0,
        }
    }

    pub fn holds(&self, cond: &Cond, mail: &Mail) -> Option<bool> {
        match cond {
            Cond::True => Some(true),
            Cond::Test(test) => {
                let answer =
                    self.values(test, mail).map(|all| all.iter().any(|v| self.op_holds(&test.op, v)));
                let mut seen = self.seen.borrow_mut();
                let seen = seen.entry(test.fact).or_default();
                seen.0 |= answer == Some(true);
                seen.1 |= answer == Some(false);
                answer
            }
            Cond::Not(inner) => self.holds(inner, mail).map(|b| !b),
            Cond::All(parts) => {
                let all: Vec<Option<bool>> = parts.iter().map(|p| self.holds(p, mail)).collect();
                if all.contains(&Some(false)) {
                    Some(false)
                } else {
                    all.iter().all(|a| a.is_some()).then_some(true)
                }
            }
            Cond::Any(parts) => {
                let all: Vec<Option<bool>> = parts.iter().map(|p| self.holds(p, mail)).collect();
                if all.contains(&Some(true)) {
                    Some(true)
                } else {
                    all.iter().all(|a| a.is_some()).then_some(false)
                }
            }
        }
    }

    /// The verdict on a message, as the language page says it: the lowest priority, at the same priority by verb, then
    /// by name. Where lookups failed, only what all of them would come to.
    pub fn verdict(&self, mail: &Mail) -> Expected {
        let order = [Verb::Allow, Verb::Reject, Verb::Defer, Verb::Hold, Verb::Discard];
        let mut rules: Vec<(&RuleDef, Verb)> = Vec::new();
        for rule in &self.model.rules {
            if let (Action::Verdict(verdict), RuleMode::On(Mode::Enforce)) = (&rule.action, rule.mode) {
                rules.push((rule, verdict.verb));
            }
        }
        rules.sort_by_key(|(rule, verb)| {
            (rule.priority, order.iter().position(|v| v == verb), rule.name.clone())
        });
        // Allow comes to the same as no rule at all.
        let outcome = |rule: &RuleDef| match &rule.action {
            Action::Verdict(verdict) if verdict.verb != Verb::Allow => Some(verdict.clone()),
            _ => None,
        };
        let mut open = Vec::new();
        for (rule, _) in rules {
            match self.holds(&rule.condition, mail) {
                Some(false) => {}
                None => open.push(outcome(rule)),
                Some(true) => {
                    let same = open.iter().all(|o| *o == outcome(rule));
                    return if same { Expected::By(rule.name.clone()) } else { Expected::Unknown };
                }
            }
        }
        if open.iter().all(Option::is_none) { Expected::Accepted } else { Expected::Unknown }
    }

    /// The names of all rules of another kind that match, sorted.
    pub fn matching(&self, verdicts: bool, mail: &Mail) -> Vec<String> {
        let mut out: Vec<String> = self
            .model
            .rules
            .iter()
            .filter(|rule| rule.mode != RuleMode::Off)
            .filter(|rule| matches!(rule.action, Action::Verdict(_)) == verdicts)
            .filter(|rule| self.holds(&rule.condition, mail) == Some(true))
            .map(|rule| rule.name.clone())
            .collect();
        out.sort();
        out
    }
}

/// `*` any run, `?` one character, `\` takes the next as it is; from end to end, by trying everything.
fn glob_holds(glob: &[char], text: &[char]) -> bool {
    match glob {
        [] => text.is_empty(),
        ['*', rest @ ..] => (0..=text.len()).any(|at| glob_holds(rest, &text[at..])),
        ['\\', c, rest @ ..] => text.first() == Some(c) && glob_holds(rest, &text[1..]),
        ['?', rest @ ..] => !text.is_empty() && glob_holds(rest, &text[1..]),
        [c, rest @ ..] => text.first() == Some(c) && glob_holds(rest, &text[1..]),
    }
}
