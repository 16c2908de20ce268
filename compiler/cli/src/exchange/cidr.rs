//! cidr_table(5) of client addresses: the first network in the file wins.

use super::access;
use super::action;
use super::lines::{key_value, logical};
use super::rank::Entry;
use super::{Of, Report, Wish};
use edict_table::value::{NetworkError, parse_network};
use std::collections::BTreeMap;

/// Imports a table. `if … endif` and `!network` are not sayable: a rule has no order to skip in.
pub fn cidr(wish: &Wish, text: &str, report: &mut Report) -> String {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut entries: Vec<Entry> = Vec::new();
    let mut nested = 0u32;
    for line in logical(text) {
        let (key, value) = match key_value(&line.text) {
            Some(parts) => parts,
            None => (line.text.clone(), ""),
        };
        let word = key.to_ascii_lowercase();
        if word == "if" || word == "endif" {
            nested = if word == "if" { nested + 1 } else { nested.saturating_sub(1) };
            report.refused(line.number, &line.text, "write the networks inside out as rules of their own");
            continue;
        }
        if nested > 0 || key.starts_with('!') {
            let why = if nested > 0 {
                "it stands between `if` and `endif`"
            } else {
                "write a rule with `unless client.ip in …`"
            };
            report.refused(line.number, &line.text, why);
            continue;
        }
        let net = match parse_network(&key) {
            Ok(net) => net,
            Err(NetworkError::HostBits(net)) => {
                report.refused(
                    line.number,
                    &line.text,
                    &format!("bits are set beyond the prefix; Postfix ignores this line; write {net}"),
                );
                continue;
            }
            Err(error) => {
                report.refused(line.number, &line.text, &error.to_string());
                continue;
            }
        };
        let around = std::iter::successors(Some(net), ipnet::IpNet::supernet);
        if let Some(first) = around.filter_map(|net| seen.get(&net.to_string())).min() {
            report.refused(line.number, &line.text, &format!("line {first} covers it, so it never matches"));
            continue;
        }
        let mut notes = Vec::new();
        match action::parse(value, &mut notes) {
            Ok(outcome) => {
                report.done(line.number, &line.text, &notes);
                seen.insert(net.to_string(), line.number);
                let depth = usize::MAX - entries.len();
                entries.push(Entry { key: net.to_string(), outcome, class: 1, depth, rank: 0 });
            }
            Err(why) => report.refused(line.number, &line.text, &why),
        }
    }
    access::rules(wish, Of::Client, entries)
}
