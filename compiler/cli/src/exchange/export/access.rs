//! access(5), cidr_table(5), pcre_table(5) and header_checks(5) out of verdict rules.
//!
//! An access table is written with `.domain` keys, so that it holds what the language says; Postfix reads
//! it so once `smtpd_access_maps` is out of `parent_domain_matches_subdomains`.

use super::super::regex::has_top_alternative;
use super::super::{Of, write};
use super::Exported;
use super::posix::{foreign, has_anchor};
use super::simple::{Atom, Simple, facts, simple};
use edict_table::fact::Fact;
use edict_table::model::{Action, Kind, Mode, Rule, Table, Test, Verb};
use edict_table::value::domain::parents;
use edict_table::value::parse_network;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;

/// Pairs of local parts and domains beyond which the comparison is given up.
const MAX_PAIRS: usize = 4_000_000;

/// A rule whose condition is lists of one fact.
pub struct Held<'a> {
    /// The rule.
    pub rule: &'a Rule,
    when: HashSet<&'a str>,
    unless: HashSet<&'a str>,
    absent: bool,
    always: bool,
}

impl Held<'_> {
    /// Whether it holds for what these keys hold.
    pub fn matches(&self, keys: &[String]) -> bool {
        let among = |set: &HashSet<&str>| keys.iter().any(|key| set.contains(key.as_str()));
        let null = keys.first().is_some_and(|key| key == "<>");
        (self.always || (null && self.absent) || among(&self.when)) && !among(&self.unless)
    }
}

/// What keys are compared with.
pub fn fact_of(of: Of) -> Fact {
    match of {
        Of::Client => Fact::ClientName,
        Of::Sender => Fact::Sender,
        Of::Recipient => Fact::Recipient,
        Of::Helo => Fact::Helo,
    }
}

/// The verdict rules about one fact (or its domain), in order of rank.
pub fn held<'a>(table: &'a Table, wanted: &[Fact], out: &mut Exported) -> Vec<Held<'a>> {
    let mut all = Vec::new();
    for (rule, simple) in about(table, wanted, out) {
        let lists = |atoms: &[Atom<'a>]| -> Option<(HashSet<&'a str>, bool)> {
            let mut set = HashSet::new();
            let mut absent = false;
            for atom in atoms {
                match atom.list(table) {
                    Some(list) => set.extend(list.entries.iter()),
                    None if atom.negated => absent = true,
                    None => return None,
                }
            }
            Some((set, absent))
        };
        match (lists(&simple.when), lists(&simple.unless)) {
            (Some((when, absent)), Some((unless, false))) => {
                all.push(Held { rule, when, unless, absent, always: simple.when.is_empty() });
            }
            _ => refuse(out, rule, "it tests more than whether a value is in a list"),
        }
    }
    all
}

/// The enforced verdict rules whose condition is simple and on these facts alone.
fn about<'a>(table: &'a Table, wanted: &[Fact], out: &mut Exported) -> Vec<(&'a Rule, Simple<'a>)> {
    let mut all = Vec::new();
    for rule in table.rules.iter().filter(|rule| rule.kind() == Kind::Verdict) {
        let asked = facts(table, rule.condition);
        if !asked.iter().any(|fact| wanted.contains(fact)) {
            out.elsewhere += 1;
        } else if rule.mode == Mode::Audit {
            refuse(out, rule, "it is only watched (`mode audit`)");
        } else if !asked.iter().all(|fact| wanted.contains(fact)) {
            refuse(out, rule, "it asks for other things too");
        } else {
            match simple(table, rule.condition) {
                Some(simple) => all.push((rule, simple)),
                None => refuse(out, rule, "its condition is more than a list and exceptions"),
            }
        }
    }
    all
}

fn refuse(out: &mut Exported, rule: &Rule, why: &str) {
    out.refused.push(format!("rule \"{}\": {why}", rule.name));
}

/// The right hand side.
pub fn action(rule: &Rule) -> String {
    let Action::Verdict(verdict) = &rule.action else { return String::new() };
    match (verdict.verb, &verdict.reply) {
        (Verb::Allow, _) => "OK".to_owned(),
        (Verb::Discard, _) => "DISCARD".to_owned(),
        (Verb::Hold, _) => "HOLD".to_owned(),
        (_, Some(reply)) => reply.line(),
        (Verb::Reject, None) => "REJECT".to_owned(),
        (Verb::Defer, None) => "DEFER".to_owned(),
    }
}

/// What the rules say of a mail that these keys hold.
fn decide(rules: &[Held<'_>], keys: &[String]) -> String {
    rules.iter().find(|held| held.matches(keys)).map_or_else(|| "DUNNO".to_owned(), |held| action(held.rule))
}

/// The keys that hold what a key stands for, itself first.
pub fn closure(key: &str) -> Vec<String> {
    let mut out = vec![key.to_owned()];
    let up = |domain: &str| parents(domain).map(|up| format!("@.{up}")).collect::<Vec<_>>();
    match key.rsplit_once('@') {
        Some((_, "")) | None => {}
        Some(("", domain)) => match domain.strip_prefix('.') {
            Some(domain) => out.extend(up(domain)),
            None => out.extend(up(domain)),
        },
        Some((local, domain)) => {
            out.push(format!("@{domain}"));
            out.extend(up(domain));
            out.push(format!("{local}@"));
        }
    }
    out
}

/// Keys and their actions: everything that the rules name.
pub fn decisions(rules: &[Held<'_>], out: &mut Exported) -> BTreeMap<String, String> {
    let keys: BTreeSet<&str> =
        rules.iter().flat_map(|held| held.when.iter().chain(&held.unless)).copied().collect();
    let mut all: BTreeMap<String, String> =
        keys.iter().map(|key| ((*key).to_owned(), decide(rules, &closure(key)))).collect();
    if rules.iter().any(|held| held.absent) {
        all.insert("<>".to_owned(), decide(rules, &["<>".to_owned()]));
    }
    for held in rules.iter().filter(|held| held.always) {
        refuse(out, held.rule, "it holds for every value; say so in smtpd_*_restrictions");
    }
    // Postfix asks for the domain before the bare local part.
    let locals: Vec<&str> = keys.iter().filter(|key| key.ends_with('@')).copied().collect();
    let domains: Vec<&str> = keys.iter().filter(|key| key.starts_with('@')).copied().collect();
    if locals.len() * domains.len() > MAX_PAIRS {
        out.refused.push("too many local parts and domains to compare".to_owned());
    } else {
        for (local, domain) in locals.iter().flat_map(|l| domains.iter().map(move |d| (l, d))) {
            let mut both = closure(domain);
            both.push((*local).to_owned());
            let (edict, postfix) = (decide(rules, &both), decide(rules, &closure(domain)));
            if edict != postfix {
                out.refused.push(format!(
                    "{local} at {domain}: {edict} here, but Postfix asks for the domain first and says {postfix}"
                ));
            }
        }
    }
    all
}

/// The key as access(5) writes it, in quotes where it needs them. A client without a name has one there.
pub fn postfix(of: Of, key: &str) -> String {
    match (of, key) {
        (Of::Client, "<>") => "unknown".to_owned(),
        (Of::Sender | Of::Recipient, key) if !key.starts_with('@') => write::address(key),
        _ => key.strip_prefix('@').unwrap_or(key).to_owned(),
    }
}

/// An access table.
pub fn access(table: &Table, of: Of) -> Exported {
    let mut out = Exported::default();
    let fact = fact_of(of);
    let rules = held(table, &domain_facts(fact), &mut out);
    let all = decisions(&rules, &mut out);
    out.text.push_str("# `.domain` keys: take smtpd_access_maps out of parent_domain_matches_subdomains\n");
    for (key, action) in all {
        let _ = writeln!(out.text, "{}\t{action}", postfix(of, &key));
    }
    if of == Of::Client {
        let networks = cidr(table);
        if networks.text.lines().any(|line| !line.starts_with('#')) {
            out.refused.push("networks: export them with `edict export cidr`".to_owned());
        }
    }
    out
}

/// The fact, and that of its domain.
pub fn domain_facts(fact: Fact) -> Vec<Fact> {
    match fact {
        Fact::Sender => vec![Fact::Sender, Fact::SenderDomain],
        Fact::Recipient => vec![Fact::Recipient, Fact::RecipientDomain],
        fact => vec![fact],
    }
}

/// Networks, the most specific first, so that the first that matches decides.
pub fn cidr(table: &Table) -> Exported {
    let mut out = Exported::default();
    let rules = held(table, &[Fact::ClientIp], &mut out);
    for (net, around) in networks(&rules) {
        let _ = writeln!(out.text, "{net}\t{}", decide(&rules, &around));
    }
    out
}

/// The networks that rules name, the most specific first, each with those around it.
pub fn networks(rules: &[Held<'_>]) -> Vec<(ipnet::IpNet, Vec<String>)> {
    let keys: BTreeSet<&str> =
        rules.iter().flat_map(|held| held.when.iter().chain(&held.unless)).copied().collect();
    let mut nets: Vec<ipnet::IpNet> = keys.iter().filter_map(|key| parse_network(key).ok()).collect();
    nets.sort_by_key(|net| (std::cmp::Reverse(net.prefix_len()), *net));
    let around = |net| std::iter::successors(Some(net), ipnet::IpNet::supernet).map(|net| net.to_string());
    nets.into_iter().map(|net| (net, around(net).collect())).collect()
}

/// Regexes, in order of rank.
pub fn patterns(table: &Table, of: Of, posix: bool) -> Exported {
    let mut out = Exported::default();
    let fact = fact_of(of);
    for (rule, simple) in about(table, &[fact], &mut out) {
        lines(rule, &simple, &mut out, &action(rule), |atom, regex| {
            if atom.fact != fact {
                return Err(REGEXES.to_owned());
            }
            match foreign(regex).filter(|_| posix) {
                Some(part) => Err(format!("regexp(5) has no `{part}`; export `pcre`")),
                None => Ok(regex.to_owned()),
            }
        });
    }
    out
}

/// The action in header_checks(5), whose refusals are always 550.
fn header_action(rule: &Rule) -> Option<String> {
    match &rule.action {
        Action::Verdict(verdict) if verdict.verb == Verb::Defer => None,
        Action::Verdict(verdict) if verdict.verb == Verb::Reject => match &verdict.reply {
            Some(reply) => {
                let line = reply.line();
                Some(format!("REJECT {}", line.split_once(' ').map_or("", |(_, text)| text)))
            }
            None => Some("REJECT".to_owned()),
        },
        _ => Some(action(rule)),
    }
}

/// Header patterns, in order of rank.
pub fn header_checks(table: &Table) -> Exported {
    let mut out = Exported::default();
    let perl = std::cell::RefCell::new(None);
    for (rule, simple) in about(table, &[Fact::Header, Fact::Subject], &mut out) {
        let Some(action) = header_action(rule) else {
            refuse(&mut out, rule, "header_checks(5) accepts, refuses, holds or drops, and puts nothing off");
            continue;
        };
        lines(rule, &simple, &mut out, &action, |atom, regex| {
            let name = if atom.fact == Fact::Subject { "subject" } else { atom.parameter };
            if let Some(part) = foreign(regex) {
                perl.borrow_mut().get_or_insert(part);
            }
            // `^` is the start of the value, and only the one in front can be moved there.
            let (start, rest) = match regex.strip_prefix('^') {
                Some(rest) => ("[[:space:]]*", rest),
                None => (".*", regex),
            };
            let several = has_top_alternative(regex);
            if has_anchor(rest) || (several && regex.starts_with('^')) {
                return Err(
                    "a `^` or `|` in it cannot stand behind the field's name; use parentheses".to_owned()
                );
            }
            Ok(if several { format!("^{name}:.*({rest})") } else { format!("^{name}:{start}{rest}") })
        });
    }
    if let Some(part) = perl.into_inner().filter(|_| !out.text.is_empty()) {
        out.text.insert_str(0, &format!("# header_checks = pcre:FILE, since regexp(5) has no `{part}`\n"));
    }
    out
}

fn lines(
    rule: &Rule,
    simple: &Simple<'_>,
    out: &mut Exported,
    action: &str,
    pattern: impl Fn(&Atom<'_>, &str) -> Result<String, String>,
) {
    if rule.kind() == Kind::Verdict && matches!(&rule.action, Action::Verdict(v) if v.verb == Verb::Allow) {
        let word = "OK does not end the search in header_checks; write DUNNO";
        if simple.when.iter().any(|atom| matches!(atom.fact, Fact::Header | Fact::Subject)) {
            return refuse(out, rule, word);
        }
    }
    let read = |atoms: &[Atom<'_>]| -> Result<Vec<String>, String> {
        atoms
            .iter()
            .map(|atom| match atom.test {
                Test::Regex(regex) if !atom.negated => pattern(atom, regex),
                Test::Present if !atom.negated && matches!(atom.fact, Fact::Header | Fact::Subject) => {
                    pattern(atom, "^")
                }
                Test::Present if atom.negated => pattern(atom, "^<>$"),
                _ => Err(REGEXES.to_owned()),
            })
            .collect()
    };
    match (read(&simple.when), read(&simple.unless)) {
        (Ok(when), Ok(unless)) if !when.is_empty() => {
            for regex in unless {
                let _ = writeln!(out.text, "/{}/\tDUNNO", escaped(&regex));
            }
            for regex in when {
                let _ = writeln!(out.text, "/{}/\t{}", escaped(&regex), action.replace('$', "$$"));
            }
        }
        (Err(why), _) | (_, Err(why)) => refuse(out, rule, &why),
        _ => refuse(out, rule, REGEXES),
    }
}

const REGEXES: &str = "it tests more than regexes";

fn escaped(regex: &str) -> String {
    let mut out = String::with_capacity(regex.len());
    let mut chars = regex.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                out.push(c);
                out.extend(chars.next());
            }
            '/' => out.push_str("\\/"),
            c => out.push(c),
        }
    }
    out
}
