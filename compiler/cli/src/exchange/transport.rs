//! transport(5): the most specific key wins; the right hand side is `transport:nexthop`.

use super::access::plain;
use super::action::{self, Outcome};
use super::lines::{key_value, logical};
use super::rank::{Entry, rank};
use super::write::{self, Values, VerdictRule, Writer, clauses, quoted};
use super::{Report, Wish};
use edict_table::model::Verb;
use edict_table::value::domain::parents;
use edict_table::value::{Address, Domain};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Where mail goes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Hop {
    Mx,
    Local,
    /// `host:port`
    Relay(String),
    Verdict(Outcome),
}

/// Imports a map.
pub fn transport(wish: &Wish, text: &str, report: &mut Report) -> String {
    let mut hops: BTreeMap<String, Hop> = BTreeMap::new();
    for line in logical(text) {
        let mut notes = Vec::new();
        let read = key_value(&line.text).ok_or_else(|| "there is no transport".to_owned());
        let read = read.and_then(|(key, value)| Ok((key_of(&key)?, hop(value, &mut notes)?)));
        match read {
            Ok((key, _)) if hops.contains_key(&key) => {
                report.refused(
                    line.number,
                    &line.text,
                    "a second entry for this key; Postfix takes the first",
                );
            }
            Ok((key, hop)) => {
                report.done(line.number, &line.text, &notes);
                hops.insert(key, hop);
            }
            Err(why) => report.refused(line.number, &line.text, &why),
        }
    }
    let mut writer = Writer::default();
    let ranks = ranks(&hops);
    let mut groups: BTreeMap<(u32, &Hop), Vec<&str>> = BTreeMap::new();
    for (key, hop) in &hops {
        let rank = ranks.get(key).copied().unwrap_or(0);
        groups.entry((rank, hop)).or_default().push(key);
    }
    let relays: BTreeMap<&str, String> = hops
        .values()
        .filter_map(|hop| match hop {
            Hop::Relay(host) => Some((host.as_str(), write::name(host.trim_end_matches(":25")))),
            _ => None,
        })
        .collect();
    for (host, name) in &relays {
        writer.raw(&format!("\nrelay {name} {{\n    host [{host}]\n}}\n"));
    }
    for ((rank, hop), keys) in groups {
        let entries: Vec<String> = keys.iter().filter(|k| **k != "*").map(|k| value_of(k)).collect();
        let everything = keys.contains(&"*");
        let values = Values { fact: "recipient", ty: "address", entries, absent: false };
        let when = if everything { String::new() } else { writer.among(&values, &wish.name) };
        let priority = wish.priority.saturating_add(rank);
        let via = match hop {
            Hop::Mx => "mx",
            Hop::Local => "local",
            Hop::Relay(host) => relays.get(host.as_str()).map_or("mx", String::as_str),
            Hop::Verdict(outcome) => {
                let name = format!(
                    "{} {}",
                    wish.name,
                    if let Outcome::Verdict(v, _) = outcome { v.0.name() } else { "" }
                );
                writer.verdict(&VerdictRule { name: &name, priority, outcome, when: &[when], unless: &[] });
                continue;
            }
        };
        let name = writer.fresh(&format!("{} {via}", wish.name));
        let mut rule = format!("\nroute {} {{\n", quoted(&name));
        if priority != 100 {
            let _ = writeln!(rule, "    priority {priority}");
        }
        clauses(&mut rule, "when", &[when]);
        let _ = writeln!(rule, "    via {via}\n}}");
        writer.raw(&rule);
    }
    writer.finish()
}

/// Keys as Postfix has them: `user@domain`, `domain`, `.domain`, `*`.
fn key_of(key: &str) -> Result<String, String> {
    if key == "*" {
        return Ok(key.to_owned());
    }
    if key.contains('@') {
        let address = Address::parse(key).map_err(|e| e.to_string())?;
        plain(address.local())?;
        return Ok(address.to_string());
    }
    let (dot, domain) = match key.strip_prefix('.') {
        Some(domain) => (".", domain),
        None => ("", key),
    };
    Ok(format!("{dot}{}", Domain::parse(domain).map_err(|e| e.to_string())?))
}

fn value_of(key: &str) -> String {
    if key.contains('@') { key.to_owned() } else { format!("@{key}") }
}

/// One rank more for each key above with another hop; two routes of one priority must not meet.
fn ranks(hops: &BTreeMap<String, Hop>) -> BTreeMap<String, u32> {
    let all: Vec<&Hop> = hops.values().collect();
    // Outcomes of one verb and different replies: every one must be told from every other by rank.
    let outcome = |hop: &Hop| {
        let number = all.iter().position(|other| *other == hop).unwrap_or(0);
        Outcome::Verdict(action::Word(Verb::Reject), Some(number.to_string()))
    };
    let depth = |key: &str| match key {
        "*" => 0,
        key if key.contains('@') => 1000,
        key => 2 * key.trim_start_matches('.').split('.').count() + usize::from(!key.starts_with('.')),
    };
    let mut entries: Vec<Entry> = hops
        .iter()
        .map(|(key, hop)| Entry {
            key: key.clone(),
            outcome: outcome(hop),
            class: 0,
            depth: depth(key),
            rank: 0,
        })
        .collect();
    rank(&mut entries, |key| {
        let (domain, whole) = match key.rsplit_once('@') {
            Some((_, domain)) => (domain, true),
            None => (key.trim_start_matches('.'), false),
        };
        let own = whole.then(|| domain.to_owned());
        let up = parents(domain).map(|up| format!(".{up}"));
        own.into_iter().chain(up).chain(["*".to_owned()]).filter(|up| up != key).collect()
    });
    entries.into_iter().map(|entry| (entry.key, entry.rank)).collect()
}

/// `smtp:[host]:587`, `relay:host`, `local:`, `error:5.1.1 text`
fn hop(value: &str, notes: &mut Vec<String>) -> Result<Hop, String> {
    let (transport, next) = value.split_once(':').unwrap_or((value, ""));
    let next = next.trim();
    match transport.trim() {
        "error" => Ok(Hop::Verdict(action::parse(&format!("550 {next}"), notes)?)),
        "retry" => Ok(Hop::Verdict(action::parse(&format!("450 {next}"), notes)?)),
        "discard" => {
            notes.push("for the recipients that match, as a verdict rule".to_owned());
            Ok(Hop::Verdict(action::parse("DISCARD", &mut Vec::new())?))
        }
        "local" | "virtual" | "lmtp" | "maildrop" | "dovecot" => {
            if !next.is_empty() {
                notes.push("where local mail goes is said in edictd.ron".to_owned());
            }
            Ok(Hop::Local)
        }
        "" | "smtp" | "relay" | "smtps" | "smtp-amavis" if next.is_empty() => Ok(Hop::Mx),
        "" | "smtp" | "relay" => {
            let (host, bracketed) = match next.strip_prefix('[') {
                Some(rest) => (rest.replacen(']', "", 1), true),
                None => (next.to_owned(), false),
            };
            if host.matches(':').count() > 1 || host.contains([' ', ',', '/']) {
                return Err("rules take one host, `name` or `name:port`".to_owned());
            }
            if !bracketed {
                notes.push("the host itself is used, not its MX".to_owned());
            }
            let (name, port) = host.split_once(':').unwrap_or((&host, "25"));
            let name = Domain::parse(name).map_err(|e| e.to_string())?;
            let port = match port {
                "smtp" => 25,
                "submission" => 587,
                "smtps" | "submissions" => 465,
                port => port.parse::<u16>().map_err(|_| "the port is no number".to_owned())?,
            };
            Ok(Hop::Relay(format!("{name}:{port}")))
        }
        other => Err(format!("there is no transport `{other}`")),
    }
}
