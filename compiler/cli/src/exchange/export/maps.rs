//! aliases(5), virtual(5), blind copy and transport maps.

use super::super::Format;
use super::super::write;
use super::Exported;
use super::simple::{facts, simple};
use edict_table::fact::Fact;
use edict_table::model::{Action, Alias, Kind, Mode, RelayTls, Rule, Table, Via};
use edict_table::value::domain::parents;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// aliases(5): names at the first local domain.
pub fn aliases(table: &Table) -> Exported {
    let mut out = Exported::default();
    let locals = &table.profile.local_domains;
    let home = locals.first().map_or("", String::as_str);
    // A bare name holds at every local domain, here and there.
    let at_home: BTreeMap<&str, &Alias> = table
        .aliases
        .iter()
        .filter_map(|a| Some((a.key.strip_suffix(home)?.strip_suffix('@')?, a)))
        .collect();
    for alias in &table.aliases {
        let twin = alias.key.rsplit_once('@').filter(|(_, domain)| locals.iter().any(|d| d == domain));
        let twin = twin.filter(|(_, domain)| *domain != home).and_then(|(local, _)| at_home.get(local));
        if twin.is_some_and(|twin| twin.members == alias.members && twin.owner == alias.owner) {
            continue;
        }
        match alias.key.rsplit_once('@') {
            Some((local, domain)) if !local.is_empty() && domain == home => {
                unheld(alias, false, &mut out);
                let members: Vec<String> = alias.all().map(|(m, _)| own(alias, m, local)).collect();
                let _ = writeln!(out.text, "{local}: {}", members.join(", "));
                if let Some(owner) = &alias.owner {
                    let _ = writeln!(out.text, "owner-{local}: {owner}");
                }
            }
            _ => out.refused.push(format!(
                "alias {}: aliases(5) holds names at {home} alone; export `virtual`",
                alias.key
            )),
        }
    }
    out
}

/// A member that is the alias itself: the backslash ends the search.
fn own(alias: &Alias, member: &str, local: &str) -> String {
    if member.eq_ignore_ascii_case(&alias.key) { format!("\\{local}") } else { member.to_owned() }
}

fn unheld(alias: &Alias, owner: bool, out: &mut Exported) {
    if owner && alias.owner.is_some() {
        out.refused.push(format!("alias {}: its `owner`", alias.key));
    }
    for list in &alias.lists {
        out.refused
            .push(format!("alias {}: {}, the owner of a list among its members", alias.key, list.owner));
    }
    if !alias.may_send.is_empty() {
        out.refused.push(format!("alias {}: its `may-send`", alias.key));
    }
}

/// virtual(5).
pub fn virtuals(table: &Table) -> Exported {
    let mut out = Exported::default();
    for alias in &table.aliases {
        unheld(alias, true, &mut out);
        let _ = writeln!(
            out.text,
            "{}\t{}",
            write::address(&alias.key),
            alias.all().map(|(member, _)| member).collect::<Vec<_>>().join(", ")
        );
    }
    out
}

/// `alias,member`, one row a member.
pub fn csv_aliases(table: &Table) -> Exported {
    let mut out = Exported::default();
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Writing to memory does not fail.
    let _ = writer.write_record(["alias", "member"]);
    for alias in &table.aliases {
        unheld(alias, true, &mut out);
        for (member, _) in alias.all() {
            let _ = writer.write_record([alias.key.as_str(), member]);
        }
    }
    out.text = String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default();
    out
}

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
