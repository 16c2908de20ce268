//! aliases(5) and Postfix virtual(5).
//!
//! Postfix looks a member up again, under a catch-all too; in Edict who is named is that mailbox. So a member that a
//! catch-all would take is written as what the catch-all leads to. Circles are refused: Postfix bounces their mail.

use super::access::SECOND;
use super::circles::{circles, way};
use super::keys::{base, mailbox};
use super::lines::{Line, key_value, logical, split_list};
use super::write::{self, bracketed};
use super::{Report, Wish};
use edict_table::value::{Address, Domain};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How deep catch-alls may lead to others.
const MAX_DEPTH: usize = 20;

/// A name: as rules write it, and as it is compared (`ann@x.example`, `@x.example`, `ann@` for a bare name).
#[derive(Clone, PartialEq, Eq, Debug)]
struct Name {
    shown: String,
    key: String,
}

struct Alias {
    line: Line,
    name: Name,
    members: Vec<Name>,
    owner: Option<String>,
    notes: Vec<String>,
    /// Why it is not taken after all.
    refused: Option<String>,
}

#[derive(Default)]
struct Aliases {
    /// In the order of the file.
    all: Vec<Alias>,
    places: BTreeMap<String, usize>,
    /// Whole addresses by what stands before the `@`.
    by_name: BTreeMap<String, Vec<usize>>,
    /// Names whose entry cannot be said, and its line.
    unsaid: Vec<(String, u32)>,
}

impl Aliases {
    /// The entry that an address or a bare name leads to. A bare name holds at every local domain, and which those are
    /// is not known here.
    fn find(&self, key: &str) -> Option<usize> {
        let get = |key: &str| self.places.get(key).copied();
        let (name, domain) = key.rsplit_once('@')?;
        let tries: Vec<&str> = [Some(name), base(name)].into_iter().flatten().collect();
        let exact = tries.iter().find_map(|name| get(&format!("{name}@{domain}")));
        exact.or_else(|| tries.iter().find_map(|name| get(&format!("{name}@"))))
    }

    /// Takes an entry, or says on the spot why not.
    fn take(&mut self, wish: &Wish, line: &Line, name: &str, members: &[String], report: &mut Report) {
        let name = match key(wish, name) {
            Ok(name) => name,
            Err(why) => return report.refused(line.number, &line.text, &why),
        };
        if self.places.contains_key(&name.key) {
            return report.refused(line.number, &line.text, SECOND);
        }
        let (mut good, mut bad): (Vec<Name>, Vec<String>) = (Vec::new(), Vec::new());
        for text in members {
            match member(wish, text) {
                Ok(member) if good.iter().any(|have| have.key == member.key) => {}
                Ok(member) => good.push(member),
                Err(why) => bad.push(format!("`{text}`: {why}")),
            }
        }
        if good.is_empty() {
            let why = if bad.is_empty() { "it has no members".to_owned() } else { bad.join("; ") };
            self.unsaid.push((name.key, line.number));
            return report.refused(line.number, &line.text, &why);
        }
        self.places.insert(name.key.clone(), self.all.len());
        let notes = bad.iter().map(|why| format!("left out {why}")).collect();
        self.all.push(Alias { line: line.clone(), name, members: good, owner: None, notes, refused: None });
    }

    /// The entries that a member leads to. A bare member is at the first local domain, which may be any of those that
    /// the map speaks of.
    fn next(&self, member: &Name) -> Vec<usize> {
        let mut next: Vec<usize> = self.find(&member.key).into_iter().collect();
        if let Some(name) = member.key.strip_suffix('@') {
            for name in [Some(name), base(name)].into_iter().flatten() {
                next.extend(self.by_name.get(name).into_iter().flatten());
            }
        }
        next
    }

    /// Refuses what leads in a circle, which is an error of a rule set.
    fn break_circles(&mut self) {
        for (place, alias) in self.all.iter().enumerate() {
            if let Some((name, domain)) = alias.name.key.rsplit_once('@')
                && !name.is_empty()
                && !domain.is_empty()
            {
                self.by_name.entry(name.to_owned()).or_default().push(place);
            }
        }
        let edges: Vec<Vec<usize>> = self
            .all
            .iter()
            .enumerate()
            .map(|(place, alias)| {
                let next = alias.members.iter().flat_map(|member| self.next(member));
                next.filter(|next| *next != place).collect()
            })
            .collect();
        for circle in circles(&edges) {
            for place in &circle {
                let names = way(&edges, &circle, *place).into_iter().filter_map(|at| self.all.get(at));
                let names: Vec<String> = names.map(|alias| format!("`{}`", alias.name.shown)).collect();
                let bare =
                    self.all.get(*place).is_some_and(|a| a.members.iter().any(|m| m.key.ends_with('@')));
                let doubt = if bare && !self.all.iter().all(|a| a.name.key.ends_with('@')) {
                    "; bare names may be at any domain of the map: give theirs with `--domain`"
                } else {
                    ""
                };
                let by = if names.is_empty() { String::new() } else { format!(" ({})", names.join(" to ")) };
                if let Some(alias) = self.all.get_mut(*place) {
                    alias.refused =
                        Some(format!("it leads back to itself{by}, and Postfix bounces such mail{doubt}"));
                }
            }
        }
    }

    /// Members whose own entries are not taken are mailboxes from now on, which nobody may have.
    fn name_gaps(&mut self) {
        let refused = self.all.iter().filter(|alias| alias.refused.is_some());
        let mut gone: BTreeMap<String, u32> = refused.map(|a| (a.name.key.clone(), a.line.number)).collect();
        gone.extend(self.unsaid.iter().cloned());
        for alias in &mut self.all {
            for member in alias.members.iter().filter(|member| member.key != alias.name.key) {
                if let Some(line) = gone.get(&member.key) {
                    alias.notes.push(format!(
                        "`{}` is a mailbox here, since its entry on line {line} is not taken",
                        member.shown
                    ));
                }
            }
        }
    }

    /// Reports what became of the entries, and writes them.
    fn finish(mut self, report: &mut Report) -> String {
        self.break_circles();
        self.name_gaps();
        let mut out = String::new();
        for alias in self.all {
            if let Some(why) = &alias.refused {
                report.refused(alias.line.number, &alias.line.text, why);
                continue;
            }
            report.done(alias.line.number, &alias.line.text, &alias.notes);
            let head = format!("alias {} = ", alias.name.shown);
            let members: Vec<String> = alias.members.into_iter().map(|member| member.shown).collect();
            let _ = write!(out, "\n{head}{}", bracketed(&members, head.chars().count(), 0));
            match alias.owner {
                Some(owner) => {
                    let _ = writeln!(out, " {{\n    owner {owner}\n}}");
                }
                None => out.push('\n'),
            }
        }
        out
    }
}

/// Imports aliases(5). `owner-NAME` becomes the owner of NAME; commands, files and includes are refused.
pub fn aliases(wish: &Wish, text: &str, report: &mut Report) -> String {
    let mut out = Aliases::default();
    let mut owners = Vec::new();
    for line in logical(text) {
        let Some((name, value)) = split_name(&line.text) else {
            report.refused(line.number, &line.text, "there is no `:` behind the name");
            continue;
        };
        if name.contains('@') {
            report.refused(
                line.number,
                &line.text,
                "aliases(5) holds names without a domain; is it virtual(5)?",
            );
            continue;
        }
        if let Some(list) = name.strip_prefix("owner-") {
            owners.push((line.clone(), list.to_owned(), value.to_owned()));
            continue;
        }
        out.take(wish, &line, &name, &split_list(value, false), report);
    }
    for (line, list, value) in owners {
        let place = key(wish, &list).ok().and_then(|name| out.places.get(&name.key).copied());
        let members = split_list(&value, false);
        match (place.and_then(|place| out.all.get_mut(place)), members.as_slice()) {
            (Some(alias), [only]) => match member(wish, only) {
                Ok(address) => {
                    alias.owner = Some(address.shown);
                    report.changed(line.number, &line.text, "it is the owner of the alias");
                }
                Err(why) => report.refused(line.number, &line.text, &why),
            },
            (Some(_), _) => report.refused(line.number, &line.text, "an owner is one address"),
            (None, _) => out.take(wish, &line, &format!("owner-{list}"), &members, report),
        }
    }
    out.finish(report)
}

/// `name: value`; the name may stand in quotes.
fn split_name(text: &str) -> Option<(String, &str)> {
    if let Some(rest) = text.strip_prefix('"') {
        let (name, rest) = rest.split_once('"')?;
        return Some((name.to_owned(), rest.trim_start().strip_prefix(':')?.trim()));
    }
    let (name, value) = text.split_once(':')?;
    Some((name.trim().to_owned(), value.trim()))
}

/// Imports virtual(5).
pub fn virtuals(wish: &Wish, text: &str, report: &mut Report) -> String {
    let mut out = Aliases::default();
    let lines = logical(text);
    let mut pairs = Vec::new();
    for line in &lines {
        match key_value(&line.text) {
            Some(pair) => pairs.push((line, pair)),
            None => report.refused(
                line.number,
                &line.text,
                "there is no address behind the key; Postfix ignores it",
            ),
        }
    }
    // Postfix asks with whole addresses before it asks with bare names.
    let (whole, bare): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(_, (name, _))| name.contains('@'));
    for (line, (name, value)) in whole.into_iter().chain(bare) {
        let members = split_list(value, true);
        if let (Some(from), [only]) = (name.strip_prefix('@'), members.as_slice())
            && let Some(to) = only.strip_prefix('@')
        {
            let why = match (Domain::parse(from), Domain::parse(to)) {
                (Ok(from), Ok(to)) => format!("write `domain-aliases [{from} is {to}]` into the profile"),
                _ => "it is no domain".to_owned(),
            };
            report.refused(line.number, &line.text, &why);
            continue;
        }
        if !name.contains('@') && Domain::parse(&name).is_ok() && name.contains('.') {
            let why = format!("write `{name}` into `local-domains` of the profile");
            report.refused(line.number, &line.text, &why);
            continue;
        }
        let known = out.all.len();
        out.take(wish, line, &name, &members, report);
        if let Some(alias) = out.all.get_mut(known)
            && alias.name.key.ends_with('@')
        {
            alias.notes.push("at every local domain".to_owned());
        }
    }
    out.all.sort_by_key(|alias| alias.line.number);
    out.places = out.all.iter().enumerate().map(|(place, alias)| (alias.name.key.clone(), place)).collect();
    catch_alls(&mut out);
    out.finish(report)
}

/// What catch-alls mean in Postfix, where rules would say less or more.
fn catch_alls(out: &mut Aliases) {
    let expanded: Vec<Option<Vec<Name>>> = out
        .all
        .iter()
        .map(|alias| {
            let mut members = Vec::new();
            alias
                .members
                .iter()
                .for_each(|member| reach(out, &alias.name.key, member, MAX_DEPTH, &mut members));
            (members != alias.members).then_some(members)
        })
        .collect();
    let unsaid = out.unsaid.clone();
    for (alias, expanded) in out.all.iter_mut().zip(expanded) {
        if let Some(members) = expanded {
            let was: Vec<&str> =
                alias.members.iter().filter(|m| !members.contains(m)).map(|m| m.shown.as_str()).collect();
            alias
                .notes
                .push(format!("{}: written as what the catch-all of its domain leads to", was.join(", ")));
            alias.members = members;
        }
        if !alias.name.key.starts_with('@') {
            continue;
        }
        alias.notes.push("takes what nobody has, and not users as in Postfix".to_owned());
        let exception = unsaid.iter().find(|(key, _)| key.ends_with(&alias.name.key));
        if let Some((key, line)) = exception {
            alias.refused = Some(format!("{key} on line {line} is an exception to it, and cannot be said"));
        }
    }
}

/// A member, or what the catch-all that would take it leads to.
fn reach(out: &Aliases, from: &str, member: &Name, depth: usize, to: &mut Vec<Name>) {
    let domain = member.key.rsplit_once('@').map_or("", |(_, domain)| domain);
    let catch_all = format!("@{domain}");
    let place = out.places.get(&catch_all).filter(|_| !domain.is_empty());
    match place.and_then(|place| out.all.get(*place)) {
        Some(all) if depth > 0 && catch_all != from && out.find(&member.key).is_none() => {
            all.members.iter().for_each(|next| reach(out, &catch_all, next, depth - 1, to));
        }
        _ if to.iter().any(|have| have.key == member.key) => {}
        _ => to.push(member.clone()),
    }
}

/// The name of an alias as rules write it: an address, `@domain`, or a bare name.
pub fn key_text(wish: &Wish, text: &str) -> Result<String, String> {
    key(wish, text).map(|name| name.shown)
}

/// A member as rules write it.
pub fn member_text(wish: &Wish, text: &str) -> Result<String, String> {
    member(wish, text).map(|name| name.shown)
}

/// The name of an alias: an address, `@domain`, or a bare name, which is at the first local domain.
fn key(wish: &Wish, text: &str) -> Result<Name, String> {
    if let Some(domain) = text.strip_prefix('@') {
        let shown = format!("@{}", Domain::parse(domain).map_err(|e| e.to_string())?);
        return Ok(Name { key: shown.clone(), shown });
    }
    address(wish, text)
}

/// A member: an address or a bare name.
fn member(wish: &Wish, text: &str) -> Result<Name, String> {
    let text = text.trim().trim_start_matches('\\');
    let inner = text.trim_matches('"');
    if inner.starts_with('|') {
        return Err("a command is not delivered to; use a Sieve filter or LMTP".to_owned());
    }
    if inner == "/dev/null" {
        return Err(
            "write a `discard` rule for what goes nowhere: `when recipient.local is \"NAME\"`".to_owned()
        );
    }
    if inner.starts_with('/') {
        return Err("a file is not delivered to".to_owned());
    }
    // A whole address in quotes is that address.
    let text = match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(inner) if Address::parse(inner).is_ok() => inner,
        _ => text,
    };
    if text.starts_with(":include:") {
        return Err("write the members of that file into a `group`".to_owned());
    }
    address(wish, text)
}

/// Keeps what the admin wrote, once it is an address or a name that could be the part before the `@`.
fn address(wish: &Wish, text: &str) -> Result<Name, String> {
    let whole = match (text.contains('@'), &wish.domain) {
        (true, _) => text.to_owned(),
        (false, Some(domain)) => format!("{text}@{domain}"),
        (false, None) => {
            let address = Address::parse(&format!("{text}@localhost")).map_err(|e| e.to_string())?;
            if write::local(address.local()) != address.local() {
                return Err("a name that needs quotes needs its domain too; give `--domain`".to_owned());
            }
            let shown = text.trim_matches('"').to_owned();
            return Ok(Name { shown, key: format!("{}@", address.local()) });
        }
    };
    let address = mailbox(&whole)?;
    let kept = write::local(address.local()) == address.local() && whole.is_ascii();
    let shown = if kept && !whole.starts_with('"') { whole } else { write::address(address.as_str()) };
    Ok(Name { shown, key: address.to_string() })
}
