//! sender_bcc_maps and recipient_bcc_maps: the most specific key wins, one copy each.
//!
//! In Edict every `bcc` rule that matches sends a copy, so a rule for a domain spares those addresses
//! that have a copy of their own elsewhere.

use super::access::plain;
use super::lines::{key_value, logical};
use super::write::{Values, Writer, clauses, quoted};
use super::{Format, Report, Wish};
use edict_table::value::{Address, Domain};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Imports a map.
pub fn bcc(wish: &Wish, text: &str, report: &mut Report) -> String {
    let fact = if wish.format == Format::SenderBccMaps { "sender" } else { "recipient" };
    let mut entries: BTreeMap<String, String> = BTreeMap::new();
    for line in logical(text) {
        let read = key_value(&line.text).ok_or_else(|| "there is no address".to_owned());
        let read = read.and_then(|(key, value)| Ok((key_of(wish, &key)?, target(wish, value)?)));
        match read {
            Ok((key, _)) if entries.contains_key(&key) => {
                report.refused(
                    line.number,
                    &line.text,
                    "a second entry for this key; Postfix takes the first",
                );
            }
            Ok((key, target)) => {
                report.taken(line.number, &line.text);
                entries.insert(key, target);
            }
            Err(why) => report.refused(line.number, &line.text, &why),
        }
    }
    let mut by_target: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (key, target) in &entries {
        by_target.entry(target).or_default().push(key);
    }
    let mut writer = Writer::default();
    for (target, keys) in by_target {
        let spared: Vec<String> = entries
            .iter()
            .filter(|(key, other)| {
                let domain = key.find('@').and_then(|at| key.get(at..)).unwrap_or_default();
                *other != target && !key.starts_with('@') && keys.contains(&domain)
            })
            .map(|(key, _)| key.clone())
            .collect();
        // Who is at a domain with the same copy needs no mention.
        let covered = |key: &str| {
            let domain = key.find('@').and_then(|at| key.get(at..)).unwrap_or_default();
            !key.starts_with('@') && keys.contains(&domain)
        };
        let own = keys.iter().filter(|key| !covered(key)).map(|key| (*key).to_owned()).collect();
        let among = |entries: Vec<String>| Values { fact, ty: "address", entries, absent: false };
        let when = writer.among(&among(own), &wish.name);
        let unless = writer.among(&among(spared), &format!("{}-spared", wish.name));
        let name = writer.fresh(&format!("{} {target}", wish.name));
        let mut rule = format!("\nbcc {} {{\n", quoted(&name));
        clauses(&mut rule, "when", &[when]);
        clauses(&mut rule, "unless", &[unless]);
        let _ = writeln!(rule, "    to [{target}]\n}}");
        writer.raw(&rule);
    }
    writer.finish()
}

/// `user@domain`, `@domain`, or a bare user.
fn key_of(wish: &Wish, key: &str) -> Result<String, String> {
    if let Some(domain) = key.strip_prefix('@') {
        return Ok(format!("@{}", Domain::parse(domain).map_err(|e| e.to_string())?));
    }
    address(wish, key)
}

fn target(wish: &Wish, value: &str) -> Result<String, String> {
    if value.contains([',', ' ']) {
        return Err("Postfix takes one address; for several write several `to`".to_owned());
    }
    address(wish, value)
}

/// An address, or a bare user at the domain that was given for those.
fn address(wish: &Wish, text: &str) -> Result<String, String> {
    let whole = match (text.contains('@'), &wish.domain) {
        (true, _) => text.to_owned(),
        (false, Some(domain)) => format!("{text}@{domain}"),
        (false, None) => return Err("it has no domain; say which with `--domain`".to_owned()),
    };
    let address = Address::parse(&whole).map_err(|e| e.to_string())?;
    plain(address.local())?;
    Ok(address.to_string())
}
