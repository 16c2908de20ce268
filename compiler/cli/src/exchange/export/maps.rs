//! Blind copy and transport maps.

use super::super::Format;
use super::super::write;
use super::Exported;
use super::simple::{facts, simple};
use edict_table::fact::Fact;
use edict_table::model::{Action, Kind, Mode, RelayTls, Rule, Table, Via};
use edict_table::value::domain::parents;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// The keys of a rule whose condition is a list of one fact; the exceptions apart.
fn keys<'a>(table: &'a Table, rule: &Rule, fact: Fact) -> Option<(BTreeSet<&'a str>, BTreeSet<&'a str>)> {
    let simple = simple(table, rule.condition)?;
    let lists = |atoms: &[super::simple::Atom<'a>]| {
        let mut set = BTreeSet::new();
        for atom in atoms {
            set.extend(atom.list(table).filter(|_| atom.fact == fact)?.entries.iter());
        }
        Some(set)
    };
    Some((lists(&simple.when)?, lists(&simple.unless)?))
}

/// sender_bcc_maps and recipient_bcc_maps: one copy for the most specific key.
pub fn bcc(table: &Table, format: Format) -> Exported {
    let fact = if format == Format::SenderBccMaps { Fact::Sender } else { Fact::Recipient };
    let mut out = Exported::default();
    let mut map: BTreeMap<&str, &str> = BTreeMap::new();
    let mut spared: Vec<(&Rule, &str)> = Vec::new();
    for rule in table.rules.iter().filter(|rule| rule.kind() == Kind::Bcc) {
        let Action::Bcc(bcc) = &rule.action else { continue };
        if !facts(table, rule.condition).contains(&fact) {
            out.elsewhere += 1;
            continue;
        }
        let mut refuse = |why: &str| out.refused.push(format!("rule \"{}\": {why}", rule.name));
        let (Some((when, unless)), [target], Mode::Enforce, false, false) =
            (keys(table, rule, fact), bcc.to.as_slice(), rule.mode, bcc.modified, bcc.record_envelope)
        else {
            refuse("a map holds addresses with one copy each, as the message came");
            continue;
        };
        for key in when {
            if key.ends_with('@') || key.starts_with("@.") {
                refuse(&format!("{key}: a map holds addresses and whole domains"));
            } else if *map.entry(key).or_insert(target) != target {
                refuse(&format!("{key} has another copy already; the map holds that one"));
            }
        }
        spared.extend(unless.into_iter().map(|key| (rule, key)));
    }
    // A domain's copy is not sent for an address with one of its own: that must be what the rules say.
    for (key, target) in &map {
        let domain = key.find('@').and_then(|at| key.get(at..)).unwrap_or_default();
        let both = !key.starts_with('@') && map.get(domain).is_some_and(|other| other != target);
        if both && !spared.iter().any(|(_, spared)| spared == key) {
            out.refused.push(format!("{key} gets two copies; a map sends one"));
        }
    }
    for (rule, key) in spared {
        if !map.contains_key(key) {
            out.refused.push(format!("rule \"{}\": {key} gets no copy; a map cannot spare it", rule.name));
        }
    }
    for (key, target) in map {
        let _ = writeln!(out.text, "{}\t{}", write::address(key), target);
    }
    out
}

/// Where a route leads, as transport(5) writes it.
fn hop(table: &Table, via: &Via, refuse: &mut dyn FnMut(&str)) -> Option<String> {
    let name = match via {
        Via::Mx => return Some("smtp:".to_owned()),
        Via::Local => return Some("local:".to_owned()),
        Via::Relay(name) => name,
    };
    let relay = table.relays.iter().find(|relay| relay.name == *name)?;
    if relay.credentials.is_some() || relay.tls != RelayTls::default() {
        refuse(
            "its relay's `tls` and `credentials`: say them in smtp_tls_policy_maps and smtp_sasl_password_maps",
        );
    }
    let hosts = relay.hosts.iter().map(|h| format!("[{}]:{}", h.name, h.port));
    Some(format!("smtp:{}", hosts.collect::<Vec<_>>().join(", ")))
}

/// transport(5), the first route in rank for each key.
pub fn transport(table: &Table) -> Exported {
    let mut out = Exported::default();
    let profile = &table.profile;
    let inside: BTreeSet<&str> = profile
        .local_domains
        .iter()
        .map(String::as_str)
        .chain(profile.relay_domains.iter().map(|relay| relay.domain.as_str()))
        .collect();
    // Keys, where they lead, and whether mail for our own domains goes there too.
    let mut map: BTreeMap<String, (String, bool)> = BTreeMap::new();
    for rule in table.rules.iter().filter(|rule| rule.kind() == Kind::Route) {
        let Action::Route(route) = &rule.action else { continue };
        let asked = facts(table, rule.condition);
        let about = |fact: &Fact| matches!(fact, Fact::Recipient | Fact::RecipientDomain);
        if !asked.is_empty() && !asked.iter().any(about) {
            out.elsewhere += 1;
            continue;
        }
        let mut refuse = |why: &str| out.refused.push(format!("rule \"{}\": {why}", rule.name));
        let found = keys(table, rule, Fact::Recipient).or_else(|| keys(table, rule, Fact::RecipientDomain));
        let (Some((when, unless)), Mode::Enforce) = (found, rule.mode) else {
            refuse("a map holds recipients alone");
            continue;
        };
        if !unless.is_empty() {
            refuse("a map has no exceptions");
            continue;
        }
        let Some(hop) = hop(table, &route.via, &mut refuse) else { continue };
        let all = asked.is_empty();
        for key in when.into_iter().chain(all.then_some("*")) {
            if key.ends_with('@') {
                refuse(&format!("{key}: a map holds no bare local parts"));
                continue;
            }
            let key = key.strip_prefix('@').unwrap_or(key).to_owned();
            if !route.local && inside.contains(key.rsplit('@').next().unwrap_or_default()) {
                refuse(&format!("{key} is inside, where a route needs `local yes`"));
                continue;
            }
            map.entry(key).or_insert_with(|| (hop.clone(), route.local));
        }
    }
    for domain in inside {
        let up = [domain.to_owned()].into_iter();
        let up = up.chain(parents(domain).map(|up| format!(".{up}"))).chain(["*".to_owned()]);
        let first = up.into_iter().find_map(|key| map.get(&key).map(|(_, local)| *local));
        let via = profile.relay_domains.iter().find(|relay| relay.domain == domain);
        let via = via.and_then(|relay| relay.via.clone()).map(Via::Relay);
        let mut refuse = |why: &str| out.refused.push(format!("relay-domains, {domain}: {why}"));
        match (first, via) {
            // A route with `local yes` comes before what the profile says.
            (Some(true), _) | (None, None) => {}
            (_, Some(via)) => {
                let hop = hop(table, &via, &mut refuse);
                map.extend(hop.map(|hop| (domain.to_owned(), (hop, true))));
            }
            // In Postfix a broad key holds for our own domains too.
            (Some(false), None) => {
                map.entry(domain.to_owned()).or_insert_with(|| (":".to_owned(), true));
            }
        }
    }
    for (key, (hop, _)) in map {
        let _ = writeln!(out.text, "{}\t{hop}", write::address(&key));
    }
    out
}
