//! aliases(5) and Postfix virtual(5).

use super::lines::{Line, key_value, logical, split_list};
use super::write::bracketed;
use super::{Report, Wish};
use edict_table::value::{Address, Domain, fold};
use std::collections::BTreeMap;
use std::fmt::Write as _;

#[derive(Default)]
struct Aliases {
    /// Key, members, owner, in the order of the file.
    all: Vec<(String, Vec<String>, Option<String>)>,
    places: BTreeMap<String, usize>,
}

impl Aliases {
    fn add(&mut self, key: String, members: Vec<String>) -> bool {
        let place = self.all.len();
        if *self.places.entry(fold(&key).into_owned()).or_insert(place) != place {
            return false;
        }
        self.all.push((key, members, None));
        true
    }

    fn finish(self) -> String {
        let mut out = String::new();
        for (key, members, owner) in self.all {
            let head = format!("alias {key} = ");
            let body = bracketed(&members, head.chars().count(), 0);
            let _ = write!(out, "\n{head}{body}");
            match owner {
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
        if let Some(list) = name.strip_prefix("owner-") {
            owners.push((line.clone(), list.to_owned(), value.to_owned()));
            continue;
        }
        take(wish, &line, &name, &split_list(value, false), &mut out, report);
    }
    for (line, list, value) in owners {
        let place = key(wish, &list).ok().and_then(|key| out.places.get(fold(&key).as_ref()).copied());
        let members = split_list(&value, false);
        match (place.and_then(|place| out.all.get_mut(place)), members.as_slice()) {
            (Some((_, _, owner)), [only]) => match member(wish, only) {
                Ok(address) => {
                    *owner = Some(address);
                    report.changed(line.number, &line.text, "it is the owner of the alias");
                }
                Err(why) => report.refused(line.number, &line.text, &why),
            },
            (Some(_), _) => report.refused(line.number, &line.text, "an owner is one address"),
            (None, _) => take(wish, &line, &format!("owner-{list}"), &members, &mut out, report),
        }
    }
    out.finish()
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
    for line in logical(text) {
        let Some((name, value)) = key_value(&line.text) else {
            report.refused(line.number, &line.text, "there is no address behind the key");
            continue;
        };
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
            report.refused(
                line.number,
                &line.text,
                &format!("write `{name}` into `local-domains` of the profile"),
            );
            continue;
        }
        take(wish, &line, &name, &members, &mut out, report);
    }
    out.finish()
}

fn take(wish: &Wish, line: &Line, name: &str, members: &[String], out: &mut Aliases, report: &mut Report) {
    let key = match key(wish, name) {
        Ok(key) => key,
        Err(why) => return report.refused(line.number, &line.text, &why),
    };
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for text in members {
        match member(wish, text) {
            Ok(member) if good.contains(&member) => {}
            Ok(member) => good.push(member),
            Err(why) => bad.push(format!("`{text}`: {why}")),
        }
    }
    if good.is_empty() {
        let why = if bad.is_empty() { "it has no members".to_owned() } else { bad.join("; ") };
        return report.refused(line.number, &line.text, &why);
    }
    if !out.add(key, good) {
        return report.refused(line.number, &line.text, "a second entry for this name");
    }
    report.done(
        line.number,
        &line.text,
        &bad.iter().map(|why| format!("left out {why}")).collect::<Vec<_>>(),
    );
}

/// The name of an alias: an address, `@domain`, or a bare name, which is at the first local domain.
pub fn key(wish: &Wish, text: &str) -> Result<String, String> {
    if let Some(domain) = text.strip_prefix('@') {
        return Ok(format!("@{}", Domain::parse(domain).map_err(|e| e.to_string())?));
    }
    address(wish, text)
}

/// A member: an address or a bare name.
pub fn member(wish: &Wish, text: &str) -> Result<String, String> {
    let text = text.trim().trim_start_matches('\\');
    let inner = text.trim_matches('"');
    if inner.starts_with('|') {
        return Err("a command is not delivered to; use a Sieve filter or LMTP".to_owned());
    }
    if inner.starts_with('/') {
        return Err("a file is not delivered to".to_owned());
    }
    if text.starts_with(":include:") {
        return Err("write the members of that file into a `group`".to_owned());
    }
    address(wish, text)
}

/// Keeps what the admin wrote, once it is an address or a name that could be the part before the `@`.
fn address(wish: &Wish, text: &str) -> Result<String, String> {
    let whole = match (text.contains('@'), &wish.domain) {
        (true, _) => text.to_owned(),
        (false, Some(domain)) => format!("{text}@{domain}"),
        (false, None) => {
            let address = Address::parse(&format!("{text}@localhost")).map_err(|e| e.to_string())?;
            super::access::plain(address.local())?;
            return Ok(text.to_owned());
        }
    };
    let address = Address::parse(&whole).map_err(|e| e.to_string())?;
    super::access::plain(address.local())?;
    Ok(whole)
}
