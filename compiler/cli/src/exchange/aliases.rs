//! aliases(5), and what virtual(5) has in common with it.
//!
//! Circles are refused: Postfix puts their mail off or bounces it. Members that have an extension, and whose entry has
//! none, are written as that entry's name, since Edict takes extensions off at inside domains alone.

use super::access::SECOND;
use super::circles::{circles, way};
use super::keys::{base, mailbox};
use super::lines::{Line, logical, split_list};
use super::write::{self, bracketed};
use super::{Report, Wish};
use edict_compiler::data::{Target, target};
use edict_table::value::{Address, Domain};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A name: as rules write it, and as it is compared (`ann@x.example`, `@x.example`, `ann@` for a bare name).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Name {
    pub shown: String,
    pub key: String,
}

pub struct Alias {
    pub line: Line,
    pub name: Name,
    pub members: Vec<Name>,
    pub owner: Option<String>,
    pub notes: Vec<String>,
    /// Why it is not taken after all.
    pub refused: Option<String>,
    /// It leads back to itself.
    pub circle: bool,
}

#[derive(Default)]
pub struct Aliases {
    /// In the order of the file.
    pub all: Vec<Alias>,
    pub places: BTreeMap<String, usize>,
    /// Whole addresses by what stands before the `@`.
    by_name: BTreeMap<String, Vec<usize>>,
    /// Names whose entry cannot be said, and its line.
    pub unsaid: Vec<(String, u32)>,
}

impl Aliases {
    /// The entry that an address or a bare name leads to. A bare name holds at every local domain, and which those are
    /// is not known here.
    pub fn find(&self, key: &str) -> Option<usize> {
        let get = |key: &str| self.places.get(key).copied();
        let (name, domain) = key.rsplit_once('@')?;
        let tries: Vec<&str> = [Some(name), base(name)].into_iter().flatten().collect();
        let exact = tries.iter().find_map(|name| get(&format!("{name}@{domain}")));
        exact.or_else(|| tries.iter().find_map(|name| get(&format!("{name}@"))))
    }

    /// Takes an entry, or says on the spot why not.
    pub fn take(&mut self, wish: &Wish, line: &Line, name: &str, members: &[String], report: &mut Report) {
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
        self.all.push(Alias {
            line: line.clone(),
            name,
            members: good,
            owner: None,
            notes,
            refused: None,
            circle: false,
        });
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

    /// Writes members as the entries that take them without their extension: Postfix takes it off at every domain.
    pub fn take_extensions_off(&mut self) {
        let mut shorter: Vec<(usize, usize, Name)> = Vec::new();
        for (place, alias) in self.all.iter().enumerate() {
            for (at, member) in alias.members.iter().enumerate() {
                let Some((local, domain)) = member.key.rsplit_once('@') else { continue };
                let short = base(local).map(|base| format!("{base}@{domain}"));
                let next = short.and_then(|key| self.places.get(&key)).and_then(|next| self.all.get(*next));
                // What leads to its own entry is a mailbox, by the name that it has there.
                if let Some(next) = next
                    && next.name.key != alias.name.key
                    && !domain.is_empty()
                    && !self.places.contains_key(&member.key)
                {
                    shorter.push((place, at, next.name.clone()));
                }
            }
        }
        for (place, at, name) in shorter {
            let Some(alias) = self.all.get_mut(place) else { continue };
            if let Some(member) = alias.members.get_mut(at) {
                alias
                    .notes
                    .push(format!("`{}` is written as `{}`, whose entry takes it", member.shown, name.shown));
                *member = name;
            }
        }
        for alias in &mut self.all {
            let mut seen = std::collections::BTreeSet::new();
            alias.members.retain(|member| seen.insert(member.key.clone()));
        }
    }

    /// Refuses what leads in a circle, which is an error of a rule set. `does` says what Postfix does to such mail.
    pub fn break_circles(&mut self, does: &str) {
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
                    let why = format!("it leads back to itself{by}{does}{doubt}");
                    alias.refused = Some(why);
                    alias.circle = true;
                }
            }
        }
    }

    /// Members whose own entries are not taken are mailboxes from now on, which nobody may have.
    pub fn name_gaps(&mut self) {
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

    /// Takes members for a name that may have some already; the place of its entry.
    pub fn join(&mut self, name: Name, members: Vec<Name>, line: &Line) -> usize {
        let place = *self.places.entry(name.key.clone()).or_insert(self.all.len());
        if place == self.all.len() {
            let (members, notes) = (Vec::new(), Vec::new());
            let line = line.clone();
            self.all.push(Alias { line, name, members, owner: None, notes, refused: None, circle: false });
        }
        if let Some(alias) = self.all.get_mut(place) {
            for member in members {
                if !alias.members.iter().any(|have| have.key == member.key) {
                    alias.members.push(member);
                }
            }
        }
        place
    }

    /// Reports what became of the entries, and writes them.
    pub fn write(self, report: &mut Report) -> String {
        for alias in &self.all {
            match &alias.refused {
                Some(why) => report.refused(alias.line.number, &alias.line.text, why),
                None => report.done(alias.line.number, &alias.line.text, &alias.notes),
            }
        }
        self.rules()
    }

    /// Those that are not refused, as rules.
    pub fn rules(self) -> String {
        let mut out = String::new();
        for alias in self.all.into_iter().filter(|alias| alias.refused.is_none()) {
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

/// Makes `owner-NAME` the owner of NAME. It stays an address, too: as in Postfix it is the sender of what the list sends on.
fn owners(out: &mut Aliases) {
    let mut found = Vec::new();
    for (key, place) in &out.places {
        let list = key.strip_prefix("owner-").and_then(|list| out.places.get(list));
        let owner = out.all.get(*place).filter(|owner| owner.refused.is_none());
        found.extend(list.zip(owner).map(|(list, owner)| (*list, owner.name.shown.clone())));
    }
    for (list, owner) in found {
        if let Some(alias) = out.all.get_mut(list) {
            alias.owner = Some(owner);
        }
    }
}

/// Imports aliases(5). `owner-NAME` becomes the owner of NAME; commands, files and includes are refused.
pub fn aliases(wish: &Wish, text: &str, report: &mut Report) -> String {
    let mut out = Aliases::default();
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
        let known = out.all.len();
        let (members, notes) = parts(value);
        out.take(wish, &line, &name, &members, report);
        if let Some(alias) = out.all.get_mut(known) {
            alias.notes.extend(notes);
        }
    }
    out.take_extensions_off();
    out.break_circles(", and Postfix bounces such mail");
    owners(&mut out);
    out.name_gaps();
    out.write(report)
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

/// The members of an entry, and what was read otherwise than it looks: Postfix parts them at white space too, and of
/// `Ann <ann@example.com>` takes the address.
fn parts(value: &str) -> (Vec<String>, Vec<String>) {
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    for part in split_list(value, false) {
        let whole = part.trim_start_matches('"');
        let spaced = if target(whole) != Target::Address || whole.starts_with(ERROR) {
            Vec::new()
        } else {
            split_list(&part, true)
        };
        let angled = spaced.last().and_then(|last| last.strip_prefix('<')?.strip_suffix('>'));
        match angled {
            Some(address) => {
                notes.push(format!("of `{part}` the address alone is a member"));
                out.push(address.to_owned());
            }
            None if spaced.len() > 1 => {
                notes
                    .push(format!("white space parts `{part}` into {} members, as in Postfix", spaced.len()));
                out.extend(spaced);
            }
            None => out.push(part),
        }
    }
    (out, notes)
}

/// The name of an alias: an address, `@domain`, or a bare name, which is at the first local domain.
pub fn key(wish: &Wish, text: &str) -> Result<Name, String> {
    if text.starts_with('.') || text.starts_with("@.") {
        let domain = text.trim_start_matches(['@', '.']);
        return Err(format!(
            "aliases hold addresses and whole domains: write a line for each domain below, as `@sub.{domain}`"
        ));
    }
    if let Some(domain) = text.strip_prefix('@') {
        let shown = format!("@{}", Domain::parse(domain).map_err(|e| e.to_string())?);
        return Ok(Name { key: shown.clone(), shown });
    }
    address(wish, text)
}

/// What Sendmail writes for mail that is to bounce.
const ERROR: &str = "error:";

/// A member: an address or a bare name.
pub fn member(wish: &Wish, text: &str) -> Result<Name, String> {
    // `\user` is the mailbox itself; before a quote the sign takes its meaning away.
    let text = text.trim();
    let text = text.strip_prefix('\\').filter(|rest| !rest.starts_with('"')).unwrap_or(text);
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
    if inner.starts_with(ERROR) {
        return Err(
            "write a `reject` rule for what is refused: `when recipient.local is \"NAME\"`".to_owned()
        );
    }
    // In quotes all of it is a name; without them it is most likely something else, and nobody's mailbox.
    let local = text.rsplit_once('@').map_or(text, |(local, _)| local);
    let special = |c: char| c.is_whitespace() || "()<>[]:;\\\"".contains(c);
    if let Some(sign) = local.chars().find(|c| special(*c)).filter(|_| !local.starts_with('"')) {
        return Err(format!("`{sign}` may stand in an address only within quotes"));
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
