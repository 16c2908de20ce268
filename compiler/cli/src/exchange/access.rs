//! access(5) as `hash:` and other indexed tables have it: the most specific key wins.

use super::action::{self, Outcome};
use super::lines::{key_value, logical};
use super::rank::{Entry, rank};
use super::write::{Values, VerdictRule, Writer};
use super::{Of, Report, Wish};
use edict_table::value::domain::parents;
use edict_table::value::{Address, Domain, fold, parse_network};
use std::collections::BTreeSet;

/// Imports a table.
pub fn access(wish: &Wish, text: &str, report: &mut Report) -> Result<String, String> {
    let of = wish.of.ok_or("say what the keys are: `--of client`, `sender`, `recipient` or `helo`")?;
    let mut seen = BTreeSet::new();
    let mut entries = Vec::new();
    for line in logical(text) {
        let Some((key, value)) = key_value(&line.text) else {
            report.refused(line.number, &line.text, "there is no action");
            continue;
        };
        let mut notes = Vec::new();
        let read = key_of(wish, of, &key).and_then(|k| Ok((k, action::parse(value, &mut notes)?)));
        match read {
            Ok((key, _)) if !seen.insert(key.key.clone()) => {
                report.refused(
                    line.number,
                    &line.text,
                    "a second entry for this key; Postfix takes the first",
                );
            }
            Ok((key, outcome)) => {
                report.done(line.number, &line.text, &notes);
                entries.push(Entry { key: key.key, outcome, class: key.class, depth: key.depth, rank: 0 });
            }
            Err(why) => report.refused(line.number, &line.text, &why),
        }
    }
    Ok(rules(wish, of, entries))
}

/// Ranks entries and writes them as rules.
pub fn rules(wish: &Wish, of: Of, mut entries: Vec<Entry>) -> String {
    rank(&mut entries, |key| above(wish.dotted, key));
    write(wish, of, &entries)
}

/// A key in the form that [`Entry`] holds.
struct Key {
    key: String,
    class: u8,
    depth: usize,
}

const NULL: &str = "<>";

fn key_of(wish: &Wish, of: Of, text: &str) -> Result<Key, String> {
    match of {
        // Postfix's name for a client without a name that holds.
        Of::Client if text.eq_ignore_ascii_case("unknown") => {
            Ok(Key { key: NULL.to_owned(), class: 0, depth: 1000 })
        }
        Of::Client => {
            if let Some(network) = network(text) {
                let depth = usize::from(network.prefix_len());
                return Ok(Key { key: network.to_string(), class: 1, depth });
            }
            domain_key(wish, text)
        }
        Of::Helo => domain_key(wish, text),
        Of::Sender if text == NULL => Ok(Key { key: NULL.to_owned(), class: 0, depth: 1000 }),
        Of::Sender | Of::Recipient => match text.rsplit_once('@') {
            None => domain_key(wish, text),
            Some(("", _)) => Err("Postfix asks for a domain without `@`".to_owned()),
            Some((local, "")) => Ok(Key { key: format!("{}@", plain(&fold(local))?), class: 1, depth: 0 }),
            Some(_) => {
                let address = Address::parse(text).map_err(|e| e.to_string())?;
                plain(address.local())?;
                Ok(Key { key: address.to_string(), class: 0, depth: 1000 })
            }
        },
    }
}

/// A local part that needs no quotes.
pub fn plain(local: &str) -> Result<&str, String> {
    let fine =
        !local.is_empty() && local.chars().all(|c| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c));
    let bare = fine && !local.contains(['#', '{', '}', '=']);
    if bare {
        Ok(local)
    } else {
        Err("the part before the `@` holds a character that rules do not take".to_owned())
    }
}

fn domain_key(wish: &Wish, text: &str) -> Result<Key, String> {
    let (dot, rest) = match text.strip_prefix('.') {
        Some(_) if !wish.dotted => {
            return Err(
                "Postfix asks for `.domain` only without parent matching; give `--dotted` then".to_owned()
            );
        }
        Some(rest) => (".", rest),
        None => ("", text),
    };
    let domain = Domain::parse(rest).map_err(|e| e.to_string())?;
    if domain.is_literal() {
        return Err("rules take no address literal for a domain".to_owned());
    }
    let labels = domain.as_str().split('.').count();
    Ok(Key { key: format!("{dot}{domain}"), class: 0, depth: 2 * labels + usize::from(dot.is_empty()) })
}

/// `192.168.1`, `10`, `2001:db8`: a network by whole octets or groups; also whole addresses.
fn network(text: &str) -> Option<ipnet::IpNet> {
    if let Ok(net) = parse_network(text) {
        return Some(net);
    }
    if text.contains(':') {
        let groups: Vec<&str> = text.trim_end_matches(':').split(':').collect();
        if groups.len() < 8 && groups.iter().all(|g| (1..=4).contains(&g.len())) {
            return parse_network(&format!("{}::/{}", groups.join(":"), 16 * groups.len())).ok();
        }
        return None;
    }
    let octets: Vec<&str> = text.split('.').collect();
    let digits = octets.iter().all(|o| !o.is_empty() && o.bytes().all(|b| b.is_ascii_digit()));
    if !digits || octets.len() > 3 {
        return None;
    }
    let mut all = octets.clone();
    all.resize(4, "0");
    parse_network(&format!("{}/{}", all.join("."), 8 * octets.len())).ok()
}

/// The keys that hold all that this one holds, nearest first.
fn above(dotted: bool, key: &str) -> Vec<String> {
    if let Ok(net) = parse_network(key) {
        let up = std::iter::successors(net.supernet(), ipnet::IpNet::supernet);
        return up.map(|net| net.to_string()).collect();
    }
    let (domain, whole) = match key.rsplit_once('@') {
        Some((_, "")) => return Vec::new(),
        Some((_, domain)) => (domain, true),
        None => (key.trim_start_matches('.'), false),
    };
    let dot = if dotted { "." } else { "" };
    let mut out = Vec::new();
    if whole {
        out.push(domain.to_owned());
    }
    out.extend(parents(domain).map(|up| format!("{dot}{up}")));
    out
}

/// The values that a key stands for, as a list holds them.
fn values_of(wish: &Wish, of: Of, key: &str) -> Vec<String> {
    let at = if matches!(of, Of::Sender | Of::Recipient) { "@" } else { "" };
    if let Ok(net) = parse_network(key) {
        let host = net.prefix_len() == net.max_prefix_len();
        return vec![if host { net.addr().to_string() } else { key.to_owned() }];
    }
    if key.contains('@') {
        return vec![key.to_owned()];
    }
    match key.strip_prefix('.') {
        Some(domain) => vec![format!("{at}.{domain}")],
        None if wish.dotted => vec![format!("{at}{key}")],
        None => vec![format!("{at}{key}"), format!("{at}.{key}")],
    }
}

/// Entries of one rank and outcome: names and addresses apart for clients. What another of them covers
/// is left out: had anything between the two decided otherwise, their ranks would differ.
fn gather(wish: &Wish, of: Of, entries: &[&Entry]) -> Vec<Values> {
    let keys: BTreeSet<&str> = entries.iter().map(|e| e.key.as_str()).collect();
    let covered = |key: &str| above(wish.dotted, key).iter().any(|up| keys.contains(up.as_str()));
    let fact = |class: u8| match (of, class) {
        (Of::Client, 0) => ("client.name", "domain"),
        (Of::Client, _) => ("client.ip", "network"),
        (Of::Helo, _) => ("helo", "domain"),
        (Of::Sender, _) => ("sender", "address"),
        (Of::Recipient, _) => ("recipient", "address"),
    };
    let mut out: Vec<Values> = Vec::new();
    for entry in entries.iter().filter(|e| !covered(&e.key)) {
        let (fact, ty) = fact(entry.class);
        let place = out.iter().position(|values| values.fact == fact).unwrap_or_else(|| {
            out.push(Values { fact, ty, entries: Vec::new(), absent: false });
            out.len() - 1
        });
        let Some(values) = out.get_mut(place) else { continue };
        if entry.key == NULL {
            values.absent = true;
        } else {
            values.entries.extend(values_of(wish, of, &entry.key));
        }
    }
    for values in &mut out {
        values.entries.sort();
    }
    out
}

fn write(wish: &Wish, of: Of, entries: &[Entry]) -> String {
    let mut writer = Writer::default();
    let mut groups: Vec<(u32, &Outcome)> =
        entries.iter().filter(|e| e.outcome != Outcome::Dunno).map(|e| (e.rank, &e.outcome)).collect();
    groups.sort();
    groups.dedup();
    for (rank, outcome) in groups {
        let Outcome::Verdict(verb, _) = outcome else { continue };
        let members: Vec<&Entry> =
            entries.iter().filter(|e| e.rank == rank && e.outcome == *outcome).collect();
        let keys: BTreeSet<&str> = members.iter().map(|e| e.key.as_str()).collect();
        let last = members.iter().map(|e| e.class).max().unwrap_or(0);
        let spared: Vec<&Entry> = entries
            .iter()
            .filter(|e| e.outcome == Outcome::Dunno && e.rank <= rank)
            .filter(|e| {
                e.class < last || above(wish.dotted, &e.key).iter().any(|up| keys.contains(up.as_str()))
            })
            .collect();
        let unless: Vec<String> = gather(wish, of, &spared)
            .iter()
            .map(|values| writer.among(values, &format!("{}-spared", wish.name)))
            .collect();
        for values in gather(wish, of, &members) {
            let when = [writer.among(&values, &format!("{}-{}", wish.name, verb.0.name()))];
            writer.verdict(&VerdictRule {
                name: &format!("{} {}", wish.name, verb.0.name()),
                priority: wish.priority.saturating_add(rank),
                outcome,
                when: &when,
                unless: &unless,
            });
        }
    }
    writer.finish()
}
