//! transport(5): the most specific key wins; the right hand side is `transport:nexthop`.
//!
//! Postfix sends mail for its own domains where the map says, too, so that every route says `local yes`. What has an
//! entry of its own that is no route (`:`, or one that rules cannot say) is spared by the broader ones.

use super::access::{SECOND, SPARED};
use super::action::{self, Outcome};
use super::extensions;
use super::keys::{base, mailbox};
use super::lines::{key_value, logical};
use super::rank::{Entry, rank};
use super::write::{self, Values, VerdictRule, Writer, clauses, quoted};
use super::{Report, Wish};
use edict_table::model::Verb;
use edict_table::value::Domain;
use edict_table::value::domain::parents;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Where mail goes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Hop {
    /// Where it would go without the map.
    Spare,
    Mx,
    Local,
    /// `host:port`, in the order in which they are tried.
    Relay(Vec<String>),
    Verdict(Outcome),
}

/// Imports a map.
pub fn transport(wish: &Wish, text: &str, report: &mut Report) -> String {
    let mut hops: BTreeMap<String, Hop> = BTreeMap::new();
    let mut places: BTreeMap<String, u32> = BTreeMap::new();
    for line in logical(text) {
        let mut notes = Vec::new();
        let Some((key, value)) = key_value(&line.text) else {
            report.refused(line.number, &line.text, "there is no transport; Postfix ignores this line");
            continue;
        };
        let key = match key_of(&key) {
            Ok(key) if hops.contains_key(&key) => {
                report.refused(line.number, &line.text, SECOND);
                continue;
            }
            Ok(key) => key,
            Err(why) => {
                report.refused(line.number, &line.text, &why);
                continue;
            }
        };
        let hop = match hop(value, &mut notes) {
            Ok(hop) => {
                report.done(line.number, &line.text, &notes);
                hop
            }
            Err(why) => {
                report.refused(line.number, &line.text, &format!("{why}{SPARED}"));
                Hop::Spare
            }
        };
        places.insert(key.clone(), line.number);
        hops.insert(key, hop);
    }
    extensions::tell(wish, &places, true, report);
    write(wish, &hops)
}

fn write(wish: &Wish, hops: &BTreeMap<String, Hop>) -> String {
    let mut writer = Writer::default();
    let ranks = ranks(hops);
    let rank_of = |key: &str| ranks.get(key).copied().unwrap_or(0);
    let mut groups: BTreeMap<(u32, &Hop), Vec<&str>> = BTreeMap::new();
    for (key, hop) in hops.iter().filter(|(_, hop)| **hop != Hop::Spare) {
        groups.entry((rank_of(key), hop)).or_default().push(key);
    }
    let mut relays: BTreeMap<&[String], String> = BTreeMap::new();
    for hop in hops.values() {
        if let Hop::Relay(hosts) = hop
            && !relays.contains_key(hosts.as_slice())
        {
            let first = hosts.first().map_or("", String::as_str).trim_end_matches(":25");
            relays.insert(hosts, write::name(&writer.fresh(&write::name(first))));
        }
    }
    for (hosts, name) in &relays {
        writer.raw(&format!("\nrelay {name} {{\n    host {}\n}}\n", write::bracketed(hosts, 12, 4)));
    }
    for ((rank, hop), keys) in groups {
        // A route and a verdict do not know of each other.
        let other = |theirs: &Hop| match hop {
            Hop::Verdict(_) => !matches!(theirs, Hop::Verdict(_)),
            _ => *theirs == Hop::Spare,
        };
        let below = |key: &str| above(key).iter().any(|up| keys.contains(&up.as_str()));
        let spared = hops.iter().filter(|(key, theirs)| other(theirs) && rank_of(key) <= rank && below(key));
        let spared: Vec<String> = spared.map(|(key, _)| value_of(key)).collect();
        let entries: Vec<String> = keys.iter().filter(|k| **k != "*").map(|k| value_of(k)).collect();
        let among = |entries| Values { fact: "recipient", ty: "address", entries, absent: false };
        let when =
            if keys.contains(&"*") { String::new() } else { writer.among(&among(entries), &wish.name) };
        let unless = writer.among(&among(spared), &format!("{}-spared", wish.name));
        let priority = wish.priority.saturating_add(rank);
        let via = match hop {
            Hop::Spare => continue,
            Hop::Mx => "mx",
            Hop::Local => "local",
            Hop::Relay(hosts) => relays.get(hosts.as_slice()).map_or("mx", String::as_str),
            Hop::Verdict(outcome) => {
                let verb = if let Outcome::Verdict(v, _) = outcome { v.0.name() } else { "" };
                writer.verdict(&VerdictRule {
                    name: &format!("{} {verb}", wish.name),
                    priority,
                    outcome,
                    when: &[when],
                    unless: &[unless],
                    watched: None,
                });
                continue;
            }
        };
        let name = writer.fresh(&format!("{} {via}", wish.name));
        let mut rule = format!("\nroute {} {{\n", quoted(&name));
        if priority != 100 {
            let _ = writeln!(rule, "    priority {priority}");
        }
        clauses(&mut rule, "when", &[when]);
        clauses(&mut rule, "unless", &[unless]);
        let _ = writeln!(rule, "    via {via}\n    local yes\n}}");
        writer.raw(&rule);
    }
    writer.finish()
}

/// Keys as Postfix has them: `user@domain`, `domain`, `.domain`, `*`.
fn key_of(key: &str) -> Result<String, String> {
    if key == "*" {
        return Ok(key.to_owned());
    }
    if key.ends_with('@') || key.starts_with('@') || key == "<>" {
        return Err("transport(5) holds `user@domain`, `domain`, `.domain` and `*`".to_owned());
    }
    if key.contains('@') {
        return Ok(mailbox(key)?.to_string());
    }
    let (dot, domain) = match key.strip_prefix('.') {
        Some(domain) => (".", domain),
        None => ("", key),
    };
    Ok(format!("{dot}{}", Domain::parse(domain).map_err(|e| e.to_string())?))
}

fn value_of(key: &str) -> String {
    if key.contains('@') { write::address(key) } else { format!("@{key}") }
}

/// One rank more for each key above with another hop; two routes of one priority must not meet.
fn ranks(hops: &BTreeMap<String, Hop>) -> BTreeMap<String, u32> {
    let distinct: BTreeSet<&Hop> = hops.values().collect();
    let numbers: BTreeMap<&Hop, usize> = distinct.into_iter().zip(0..).collect();
    // Outcomes of one verb and different replies: every one must be told from every other by rank.
    let outcome = |hop: &Hop| {
        if *hop == Hop::Spare {
            return Outcome::Dunno;
        }
        let number = numbers.get(hop).copied().unwrap_or(0);
        Outcome::Verdict(action::Word(Verb::Reject), Some(number.to_string()))
    };
    let depth = |key: &str| match key {
        "*" => 0,
        key if key.contains('@') => 1000 + usize::from(above(key).len() > above_domain(key).len()),
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
    rank(&mut entries, above);
    entries.into_iter().map(|entry| (entry.key, entry.rank)).collect()
}

/// The keys that hold what this one holds, nearest first.
fn above(key: &str) -> Vec<String> {
    let short = key.rsplit_once('@').and_then(|(name, domain)| Some(format!("{}@{domain}", base(name)?)));
    short.into_iter().chain(above_domain(key)).collect()
}

/// The same without the address that this one extends.
fn above_domain(key: &str) -> Vec<String> {
    let (domain, whole) = match key.rsplit_once('@') {
        Some((_, domain)) => (domain, true),
        None => (key.trim_start_matches('.'), false),
    };
    let own = whole.then(|| domain.to_owned());
    let up = parents(domain).map(|up| format!(".{up}"));
    own.into_iter().chain(up).chain(["*".to_owned()]).filter(|up| up != key).collect()
}

/// `smtp:[host]:587`, `relay:host`, `local:`, `error:5.1.1 text`
fn hop(value: &str, notes: &mut Vec<String>) -> Result<Hop, String> {
    let (transport, next) = value.split_once(':').unwrap_or((value, ""));
    let next = next.trim();
    match transport.trim() {
        "error" => Ok(Hop::Verdict(action::coded(550, next, notes))),
        "retry" => {
            notes.push("put off at RCPT, and not taken".to_owned());
            Ok(Hop::Verdict(action::coded(450, next, notes)))
        }
        "discard" => {
            notes.push("as a verdict rule".to_owned());
            Ok(Hop::Verdict(action::parse("DISCARD", &mut Vec::new())?))
        }
        "local" | "virtual" | "lmtp" | "maildrop" | "dovecot" => {
            if !next.is_empty() {
                notes.push("where local mail goes is said in edictd.ron".to_owned());
            }
            Ok(Hop::Local)
        }
        "" if next.is_empty() => Ok(Hop::Spare),
        "smtp" | "relay" if next.is_empty() => Ok(Hop::Mx),
        "" | "smtp" | "relay" => {
            let hosts: Result<Vec<String>, String> = next
                .split([',', ' ', '\t'])
                .filter(|host| !host.is_empty())
                .map(|host| relay_host(host, notes))
                .collect();
            Ok(Hop::Relay(hosts?))
        }
        other => Err(format!("there is no transport `{other}`")),
    }
}

/// `[host]:587`, `host`, as `host:587`.
fn relay_host(text: &str, notes: &mut Vec<String>) -> Result<String, String> {
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, rest)) => (name, rest.strip_prefix(':').unwrap_or("25")),
        None => {
            let note = "the host itself is used, not its MX";
            if !notes.iter().any(|have| have == note) {
                notes.push(note.to_owned());
            }
            text.split_once(':').unwrap_or((text, "25"))
        }
    };
    if name.is_empty() || name.contains(['/', '[']) {
        return Err("rules take `name`, `name:port`, or an address in brackets".to_owned());
    }
    let port = match port {
        "smtp" => 25,
        "submission" => 587,
        "smtps" | "submissions" => 465,
        port => port.parse::<u16>().ok().filter(|p| *p > 0).ok_or("the port is no number")?,
    };
    let six = name.get(..5).filter(|tag| tag.eq_ignore_ascii_case("ipv6:")).and_then(|_| name.get(5..));
    if let Ok(ip) = six.unwrap_or(name).parse::<std::net::Ipv6Addr>() {
        return Ok(format!("[{ip}]:{port}"));
    }
    Ok(format!("{}:{port}", Domain::parse(name).map_err(|e| e.to_string())?))
}
