//! cidr_table(5) of client addresses: the first network in the file wins.
//!
//! A file with `if … endif` or `!network` is written as conditions in order; one without, as lists of networks.

use super::access::{self, SPARED};
use super::action::{self, Outcome};
use super::lines::{key_value, logical};
use super::ordered::{Pattern, write};
use super::rank::Entry;
use super::{Of, Report, Wish};
use edict_table::value::{NetworkError, parse_network};
use ipnet::IpNet;
use std::collections::HashMap;

/// A line that counts.
struct Found {
    line: u32,
    net: IpNet,
    condition: String,
    outcome: Outcome,
}

/// Imports a table.
pub fn cidr(wish: &Wish, text: &str, report: &mut Report) -> String {
    let mut found: Vec<Found> = Vec::new();
    let mut seen: HashMap<IpNet, u32> = HashMap::new();
    // The conditions of the `if` around, and whether the file has any order to it but that of its lines.
    let mut around: Vec<String> = Vec::new();
    let mut nets: Vec<(IpNet, bool)> = Vec::new();
    let mut conditional = false;
    for line in logical(text) {
        let (number, text) = (line.number, line.text.as_str());
        let (key, value) = key_value(text).unwrap_or_else(|| (text.to_owned(), ""));
        let is_if = key.eq_ignore_ascii_case("if");
        if key.eq_ignore_ascii_case("endif") {
            nets.pop();
            match around.pop() {
                Some(_) => report.taken(number, text),
                None => report.refused(number, text, "there is no `if` before it; Postfix ignores this line"),
            }
            continue;
        }
        let rest = if is_if { value } else { text };
        let (negated, rest) = match rest.strip_prefix('!') {
            Some(rest) => (true, rest.trim_start()),
            None => (false, rest),
        };
        let (key, value) = rest.split_once([' ', '\t']).map_or((rest, ""), |(k, v)| (k, v.trim()));
        let net = match parse_network(key) {
            Ok(net) => net,
            Err(NetworkError::HostBits(net)) => {
                let why = format!("bits are set beyond the prefix; Postfix ignores this line; write {net}");
                report.refused(number, text, &why);
                continue;
            }
            Err(error) => {
                report.refused(number, text, &format!("{error}; Postfix ignores this line"));
                continue;
            }
        };
        if is_if {
            conditional = true;
            report.taken(number, text);
            around.push(joined(around.last().zip(nets.last()), (net, negated)));
            nets.push((net, negated));
            continue;
        }
        conditional |= negated;
        let plain = around.is_empty() && !negated;
        let first = std::iter::successors(Some(net), IpNet::supernet).filter_map(|net| seen.get(&net)).min();
        if let Some(first) = first.filter(|_| !negated) {
            report.refused(number, text, &format!("line {first} covers it, so it never matches"));
            continue;
        }
        if nets.iter().any(|outer| never(*outer, (net, negated))) {
            report.refused(number, text, "it is outside of the `if` around it, so it never matches");
            continue;
        }
        if report.leaves_out(number, text) {
            continue;
        }
        let mut notes = Vec::new();
        let outcome = match action::parse(value, &mut notes) {
            Ok(outcome) => {
                report.done(number, text, &notes);
                outcome
            }
            Err(why) => {
                report.refused(number, text, &format!("{why}{SPARED}"));
                Outcome::Dunno
            }
        };
        if plain {
            seen.insert(net, number);
        }
        let condition = joined(around.last().zip(nets.last()), (net, negated));
        found.push(Found { line: number, net, condition, outcome });
    }
    if conditional {
        let patterns: Vec<Pattern> = found
            .into_iter()
            .map(|f| Pattern {
                line: f.line,
                condition: f.condition,
                outcome: f.outcome,
                header: String::new(),
                doubt: None,
            })
            .collect();
        return write(wish, Some(Of::Client), &patterns, report);
    }
    let entries = found.into_iter().enumerate().map(|(place, f)| Entry {
        key: f.net.to_string(),
        outcome: f.outcome,
        class: 1,
        depth: usize::MAX - place,
        rank: 0,
    });
    access::rules(wish, Of::Client, entries.collect())
}

/// Whether nobody is in both; the flag turns a network into the rest of its kind.
fn never(outer: (IpNet, bool), inner: (IpNet, bool)) -> bool {
    let ((a, not_a), (b, not_b)) = (outer, inner);
    if a.addr().is_ipv4() != b.addr().is_ipv4() {
        return true;
    }
    match (not_a, not_b) {
        (false, false) => !a.contains(&b) && !b.contains(&a),
        (true, false) => a.contains(&b),
        (false, true) => b.contains(&a),
        (true, true) => a.prefix_len() == 0 || b.prefix_len() == 0,
    }
}

/// What a line asks together with the `if` around it: of two networks the smaller says it all.
fn joined(outer: Option<(&String, &(IpNet, bool))>, (net, negated): (IpNet, bool)) -> String {
    let own = condition(net, negated);
    match outer {
        None => own,
        Some((around, (outer, false))) if !negated && net.contains(outer) => around.clone(),
        Some((around, (outer, false))) if !negated && outer.contains(&net) && !around.contains(" and ") => {
            own
        }
        Some((around, _)) => format!("{around} and {own}"),
    }
}

/// What a network asks of a client. One that is not in a network is still of the same kind of address.
fn condition(net: IpNet, negated: bool) -> String {
    let shown =
        if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() };
    if negated {
        let all = if net.addr().is_ipv4() { "0.0.0.0/0" } else { "::/0" };
        format!("client.ip in [{all}] and not client.ip in [{shown}]")
    } else {
        format!("client.ip in [{shown}]")
    }
}
