//! sender_bcc_maps and recipient_bcc_maps: the most specific key wins, one copy each.
//!
//! In Edict every `bcc` rule that matches sends a copy, so a rule for a domain spares those addresses
//! that have a copy of their own elsewhere, or an entry that rules cannot say.

use super::access::{SECOND, SPARED};
use super::extensions;
use super::keys::{base, mailbox};
use super::lines::{key_value, logical};
use super::write::{self, Values, Writer, clauses, quoted};
use super::{Format, Report, Wish};
use edict_table::value::Domain;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// From the most specific to the broadest: `ann+x@b.example`, `ann@b.example`, `@b.example`.
const LEVELS: [u8; 3] = [0, 1, 2];

/// Imports a map.
pub fn bcc(wish: &Wish, text: &str, report: &mut Report) -> String {
    let fact = if wish.format == Format::SenderBccMaps { "sender" } else { "recipient" };
    let entries = read(wish, text, report);
    let mut by_target: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (key, target) in &entries {
        if let Some(target) = target {
            by_target.entry(target).or_default().push(key);
        }
    }
    let mut writer = Writer::default();
    for (target, keys) in by_target {
        // A copy to the same target is sent once, so such a key needs no mention beside a broader one; but one with
        // an extension would be spared with the address that it extends.
        let covered = |key: &str| {
            let other = |up: &str| entries.get(up).is_some_and(|other| other.as_deref() != Some(target));
            let up = above(key);
            up.last().is_some_and(|domain| level(domain) == 2 && keys.contains(&domain.as_str()))
                && !up.iter().any(|up| other(up))
        };
        let kept: Vec<&str> = keys.iter().copied().filter(|key| !covered(key)).collect();
        let spared = |of: &[&str]| -> Vec<String> {
            let own = |key: &str| above(key).iter().any(|up| of.contains(&up.as_str()));
            let spared = entries.iter().filter(|(key, other)| other.as_deref() != Some(target) && own(key));
            spared.map(|(key, _)| key.clone()).collect()
        };
        let parts: Vec<Vec<&str>> = if spared(&kept).is_empty() {
            vec![kept]
        } else {
            LEVELS.map(|own| kept.iter().copied().filter(|key| level(key) == own).collect()).to_vec()
        };
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let among = |keys: Vec<String>| {
                let entries = keys.iter().map(|key| write::address(key)).collect();
                Values { fact, ty: "address", entries, absent: false }
            };
            let unless = writer.among(&among(spared(&part)), &format!("{}-spared", wish.name));
            let when = writer.among(&among(part.into_iter().map(str::to_owned).collect()), &wish.name);
            let name = writer.fresh(&format!("{} {target}", wish.name));
            let mut rule = format!("\nbcc {} {{\n", quoted(&name));
            clauses(&mut rule, "when", &[when]);
            clauses(&mut rule, "unless", &[unless]);
            let _ = writeln!(rule, "    to [{}]\n}}", write::address(target));
            writer.raw(&rule);
        }
    }
    writer.finish()
}

/// Keys and their copies; none where a copy cannot be said.
fn read(wish: &Wish, text: &str, report: &mut Report) -> BTreeMap<String, Option<String>> {
    let mut entries: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut places: BTreeMap<String, u32> = BTreeMap::new();
    let lines: Vec<_> = logical(text);
    let pairs = lines.iter().filter_map(|line| Some((line, key_value(&line.text)?)));
    // Postfix asks with whole addresses before it asks with bare names.
    let (whole, bare): (Vec<_>, Vec<_>) = pairs.partition(|(_, (key, _))| key.contains('@'));
    for (line, (key, value)) in whole.into_iter().chain(bare) {
        let is_bare = !key.contains('@');
        let key = match key_of(wish, &key) {
            Ok(key) => key,
            Err(why) => {
                report.refused(line.number, &line.text, &why);
                continue;
            }
        };
        let before = |key: &String| entries.contains_key(key);
        let first =
            if is_bare { above(&key).into_iter().find(|up| level(up) == 1 && before(up)) } else { None };
        if before(&key) || first.is_some() {
            let why = match first {
                Some(first) => format!("Postfix asks for {first} first"),
                None => SECOND.to_owned(),
            };
            report.refused(line.number, &line.text, &why);
            continue;
        }
        match target(wish, value) {
            Ok(target) => {
                let notes =
                    wish.domain.as_ref().filter(|_| is_bare).map(|domain| format!("at {domain} alone"));
                report.done(line.number, &line.text, &notes.into_iter().collect::<Vec<_>>());
                places.insert(key.clone(), line.number);
                entries.insert(key, Some(target));
            }
            Err(why) => {
                report.refused(line.number, &line.text, &format!("{why}{SPARED}"));
                entries.insert(key, None);
            }
        }
    }
    extensions::tell(wish, &places, wish.format == Format::SenderBccMaps, report);
    for line in lines.iter().filter(|line| key_value(&line.text).is_none()) {
        report.refused(line.number, &line.text, "there is no address; Postfix ignores this line");
    }
    entries
}

fn level(key: &str) -> u8 {
    match key.rsplit_once('@') {
        Some(("", _)) => 2,
        Some((name, _)) if base(name).is_some() => 0,
        _ => 1,
    }
}

/// The keys that hold what this one holds, the domain last.
fn above(key: &str) -> Vec<String> {
    match key.rsplit_once('@') {
        Some((name, domain)) if !name.is_empty() => {
            let short = base(name).map(|base| format!("{base}@{domain}"));
            short.into_iter().chain([format!("@{domain}")]).collect()
        }
        _ => Vec::new(),
    }
}

/// `user@domain`, `@domain`, or a bare user.
fn key_of(wish: &Wish, key: &str) -> Result<String, String> {
    if let Some(domain) = key.strip_prefix('@') {
        return Ok(format!("@{}", Domain::parse(domain).map_err(|e| e.to_string())?));
    }
    address(wish, key)
}

fn target(wish: &Wish, value: &str) -> Result<String, String> {
    if value.contains([',', ' ']) && !value.contains('"') {
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
    Ok(mailbox(&whole)?.to_string())
}
