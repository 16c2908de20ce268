//! aliases(5) and virtual(5).

use super::super::write;
use super::Exported;
use edict_table::model::{Action, Alias, Recipients, Table};
use edict_table::value::Address;
use edict_table::value::domain::parents;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

/// aliases(5), whose names hold at every local domain: what an alias at one of several says, it cannot.
pub fn aliases(table: &Table) -> Exported {
    let mut out = Exported::default();
    let locals = &table.profile.local_domains;
    let all: HashMap<&str, &Alias> = table.aliases.iter().map(|a| (a.key.as_str(), a)).collect();
    let mut done = BTreeSet::new();
    for alias in &table.aliases {
        let found = alias.key.rsplit_once('@').filter(|(local, _)| !local.is_empty());
        let Some((local, _)) = found.filter(|(_, domain)| locals.iter().any(|d| d == domain)) else {
            let why = "aliases(5) holds names at local domains alone; export `virtual`";
            out.refused.push(format!("alias {}: {why}", alias.key));
            continue;
        };
        let differs = locals.iter().find_map(|domain| match all.get(format!("{local}@{domain}").as_str()) {
            None => Some((domain, "none")),
            Some(twin) => {
                (Alias { key: alias.key.clone(), ..(*twin).clone() } != *alias).then_some((domain, "another"))
            }
        });
        if let Some((domain, which)) = differs {
            out.refused.push(format!(
                "alias {}: a name in aliases(5) holds at every local domain, and there is {which} for {local}@{domain}; \
                 export `virtual`",
                alias.key
            ));
            continue;
        }
        if !done.insert(local) {
            continue;
        }
        unheld(alias, false, &mut out);
        // The backslash ends the search: the mailbox of that name, which is one for all local domains.
        let own = |member: &str| {
            let (name, domain) = member.rsplit_once('@')?;
            let own =
                name.eq_ignore_ascii_case(local) && locals.iter().any(|d| d.eq_ignore_ascii_case(domain));
            own.then(|| format!("\\{local}"))
        };
        let members: Vec<String> =
            alias.all().map(|(member, _)| own(member).unwrap_or_else(|| member.to_owned())).collect();
        let _ = writeln!(out.text, "{}: {}", write::local(local), members.join(", "));
        if let Some(owner) = &alias.owner {
            // In Postfix the owner of a list has that name, whoever stands behind it.
            let name = format!("owner-{local}");
            let at = |domain: &String| format!("{name}@{domain}");
            let own = locals.iter().any(|domain| at(domain).eq_ignore_ascii_case(owner));
            let has_alias = locals.iter().any(|domain| all.contains_key(at(domain).as_str()));
            let _ = match (own, has_alias) {
                (true, true) => Ok(()),
                (true, false) => writeln!(out.text, "{0}: \\{0}", write::local(&name)),
                (false, false) => writeln!(out.text, "{}: {owner}", write::local(&name)),
                (false, true) => {
                    out.refused
                        .push(format!("alias {}: its `owner`, since {name} leads elsewhere", alias.key));
                    Ok(())
                }
            };
        }
    }
    out
}

/// Says what of an alias a map has no place for.
pub fn unheld(alias: &Alias, owner: bool, out: &mut Exported) {
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

/// virtual(5). A catch-all there takes the mail of users too, so each known address stands beside it as itself.
pub fn virtuals(table: &Table) -> Exported {
    let mut out = Exported::default();
    let mut map: BTreeMap<String, String> = BTreeMap::new();
    let mut unnamed = false;
    for alias in &table.aliases {
        let members: Vec<&str> = alias.all().map(|(member, _)| member).collect();
        if let Some(domain) = alias.key.strip_prefix('@') {
            match spared(table, alias, domain) {
                Ok(more) => {
                    unnamed |= table.profile.local_domains.iter().any(|local| local == domain);
                    // What an alias says stands.
                    for (key, value) in more {
                        map.entry(key).or_insert(value);
                    }
                }
                Err(why) => {
                    out.refused.push(format!("alias {}: {why}", alias.key));
                    continue;
                }
            }
        }
        unheld(alias, true, &mut out);
        map.insert(write::address(&alias.key), members.join(", "));
    }
    if unnamed {
        out.text.push_str(
            "# a catch-all takes the mail of users too: give those in no list of known addresses a line to themselves\n",
        );
    }
    for (key, value) in map {
        let _ = writeln!(out.text, "{key}\t{value}");
    }
    out
}

/// The lines that keep a catch-all from what it does not take in Edict.
///
/// # Errors
/// Says why no lines do.
fn spared(table: &Table, alias: &Alias, domain: &str) -> Result<BTreeMap<String, String>, String> {
    let profile = &table.profile;
    let local = profile.local_domains.iter().any(|local| local == domain);
    let relay = profile.relay_domains.iter().find(|relay| relay.domain == domain && !local);
    let which = relay.and_then(|relay| relay.recipients.as_ref()).unwrap_or(&profile.recipients);
    let lists = match which {
        Recipients::Known(lists) => lists.as_slice(),
        Recipients::Ask | Recipients::Any => &[],
    };
    if local && lists.is_empty() {
        return Err("in Postfix it takes the mail of users too, and no list says who they are; \
                    write `recipients known in LIST`"
            .to_owned());
    }
    let mut names = BTreeSet::new();
    let known = table.lists.iter().filter(|list| list.name.as_ref().is_some_and(|name| lists.contains(name)));
    for entry in known.flat_map(|list| list.entries.iter()) {
        match entry.rsplit_once('@') {
            Some(("", at)) => {
                let all = match at.strip_prefix('.') {
                    Some(up) => parents(domain).any(|parent| parent == up),
                    None => at == domain,
                };
                if all {
                    return Err(format!(
                        "`{entry}` knows every address there, and Postfix would give it their mail"
                    ));
                }
            }
            Some((name, "")) => drop(names.insert(format!("{name}@{domain}"))),
            Some((_, at)) if at == domain => drop(names.insert(entry.to_owned())),
            _ => {}
        }
    }
    let keys: BTreeSet<&str> = table.aliases.iter().map(|alias| alias.key.as_str()).collect();
    let has_line = |address: &Address| {
        let found = |text: &str| names.contains(text) || keys.contains(text);
        found(address.as_str()) || address.without_extension().is_some_and(|bare| found(bare.as_str()))
    };
    for (whose, member) in written(table).filter(|(whose, _)| *whose != alias.key) {
        let Ok(address) = Address::parse(member) else { continue };
        // Where it leads to that address alone, the way is longer and its end the same.
        let same =
            alias.sole().and_then(|only| Address::parse(only).ok()).is_some_and(|only| only == address);
        if address.domain() == domain && !has_line(&address) && !same {
            return Err(format!(
                "in Postfix it takes what {whose} sends to {address} too; write that address into a list of \
                 `recipients known in`"
            ));
        }
    }
    let mut out: BTreeMap<String, String> =
        names.iter().map(|name| (write::address(name), write::address(name))).collect();
    if local && !profile.postmaster.is_empty() {
        for name in ["postmaster", "mailer-daemon"] {
            out.insert(format!("{name}@{domain}"), profile.postmaster.join(", "));
        }
    }
    Ok(out)
}

/// The addresses that rules send mail to by name, which no catch-all takes in Edict; and who names them.
fn written(table: &Table) -> impl Iterator<Item = (String, &str)> {
    let aliases = table.aliases.iter().flat_map(|a| a.all().map(|(member, _)| (a.key.clone(), member)));
    let copies = table.rules.iter().filter_map(|rule| match &rule.action {
        Action::Bcc(bcc) => Some((format!("rule \"{}\"", rule.name), bcc)),
        _ => None,
    });
    let copies = copies.flat_map(|(name, bcc)| bcc.to.iter().map(move |to| (name.clone(), to.as_str())));
    let postmaster = table.profile.postmaster.iter();
    aliases.chain(copies).chain(postmaster.map(|to| ("`postmaster`".to_owned(), to.as_str())))
}
