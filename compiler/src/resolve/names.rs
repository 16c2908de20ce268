//! The names of a rule set: each defined once, each use found or told with what was probably meant.

use super::Context;
use crate::ast::Word;
use crate::diag::Diagnostic;
use crate::model::ListType;
use crate::parse::opposite::{Likely, certain, reverses};
use crate::parse::words::{nearest, tied};
use crate::span::{Span, within};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What a name can name. Lists, groups, relays and rules have name spaces of their own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Sort {
    /// `list NAME`
    List,
    /// `group NAME`
    Group,
    /// `relay NAME`
    Relay,
    /// `reject "NAME"` and the like.
    Rule,
}

impl Sort {
    fn word(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Group => "group",
            Self::Relay => "relay",
            Self::Rule => "rule",
        }
    }

    fn how(self, name: &str) -> String {
        match self {
            Self::List => format!("`in {name}`"),
            Self::Group => format!("`in group {name}`"),
            Self::Relay => format!("`via {name}`"),
            Self::Rule => format!("`by \"{name}\"`"),
        }
    }
}

struct Named {
    place: usize,
    /// Where it is defined; none for what is built in.
    span: Option<Span>,
    /// Something was wrong with the definition: uses stay quiet.
    poisoned: bool,
}

/// A list or group, known by its name before it is defined.
#[derive(Clone, Debug)]
pub struct Declared {
    /// As it is written.
    pub name: String,
    /// What a list holds, where that could be read.
    pub ty: Option<ListType>,
    /// Where; none for what is built in.
    pub span: Option<Span>,
}

/// Everything that has a name.
#[derive(Default)]
pub struct Names {
    /// Lists and groups by their names in lower case, as values are compared.
    declared: HashMap<(Sort, String), Declared>,
    /// Those that stood where a value is meant.
    mentioned: BTreeSet<(Sort, String)>,
    known: HashMap<(Sort, String), Named>,
    unknown: BTreeMap<(Sort, String), Vec<Span>>,
    /// What an unknown list would have to hold, and whether a test asks for it.
    types: BTreeMap<String, (ListType, bool)>,
}

impl Names {
    /// Whether there is such a name.
    pub fn knows(&self, sort: Sort, name: &str) -> bool {
        self.known.contains_key(&(sort, name.to_owned()))
    }

    /// Notes a list or group that will be defined; of two of one name the first.
    pub fn declare(&mut self, sort: Sort, one: Declared) {
        self.declared.entry((sort, one.name.to_ascii_lowercase())).or_insert(one);
    }

    /// The list or group of a name.
    pub fn declared(&self, sort: Sort, name: &str) -> Option<&Declared> {
        self.declared.get(&(sort, name.to_ascii_lowercase()))
    }

    /// Notes that one was named where a value is meant.
    pub fn mention(&mut self, sort: Sort, name: &str) {
        self.mentioned.insert((sort, name.to_owned()));
    }

    /// The places of those.
    pub fn mentioned(&self) -> Vec<(Sort, usize)> {
        let places = self.mentioned.iter().map(|key| Some((key.0, self.known.get(key)?.place)));
        places.flatten().collect()
    }

    /// Defines what needs no definition.
    pub fn define_builtin(&mut self, sort: Sort, name: &str, place: usize) {
        self.known.insert((sort, name.to_owned()), Named { place, span: None, poisoned: false });
    }
}

impl Context<'_> {
    /// Defines a name. False where it was taken, which is told.
    pub(super) fn define(&mut self, sort: Sort, name: &str, span: Span, place: usize) -> bool {
        let key = (sort, name.to_owned());
        let Some(named) = self.names.known.get(&key) else {
            // A name in a damaged head may not be the one that was meant.
            let poisoned = within(self.damaged, span);
            self.names.known.insert(key, Named { place, span: Some(span), poisoned });
            return true;
        };
        let word = sort.word();
        let diagnostic = match named.span {
            Some(first) => Diagnostic::error("E1102", format!("{word} `{name}` is defined twice"), span)
                .label("the second definition")
                .also(first, "the first one")
                .help(format!("give one of them another name: the order of the text decides nothing, so no {word} can replace another")),
            None => Diagnostic::error("E1103", format!("`{name}` is built in and cannot be defined"), span)
                .label(format!("the name of a {word} that exists already"))
                .help(match name {
                    "trusted" => "to say which networks are trusted, write `trusted-networks [10.0.0.0/8]` in the profile; else choose another name",
                    "local-domains" => "to say which domains are local, write `local-domains [example.com]` in the profile; else choose another name",
                    "relay-domains" => "to say which domains are passed on, write `relay-domains [example.com via RELAY]` in the profile; else choose another name",
                    "mx" => "`mx` delivers to the hosts that DNS names for a domain; choose another name for a relay of your own",
                    _ => "`local` delivers to the mailboxes of this server; choose another name for a relay of your own",
                }),
        };
        self.report(diagnostic);
        false
    }

    /// Marks a definition as faulty, so that its uses stay quiet.
    pub(super) fn poison(&mut self, sort: Sort, name: &str) {
        if let Some(named) = self.names.known.get_mut(&(sort, name.to_owned())) {
            named.poisoned = true;
        }
    }

    /// Finds a name. None where there is none (told at the end) or where its definition is faulty.
    pub(super) fn find(&mut self, sort: Sort, word: &Word) -> Option<usize> {
        self.find_at(sort, &word.value, word.span)
    }

    /// Finds a list for values of a type; `test` where a test could ask for one value in its place.
    pub(super) fn find_list(&mut self, word: &Word, ty: ListType, test: bool) -> Option<usize> {
        let found = self.find(Sort::List, word);
        if found.is_none() {
            self.names.types.entry(word.value.clone()).or_insert((ty, test));
        }
        found
    }

    /// The same for a name that is no word.
    pub(super) fn find_at(&mut self, sort: Sort, name: &str, span: Span) -> Option<usize> {
        let key = (sort, name.to_owned());
        match self.names.known.get(&key) {
            Some(named) if !named.poisoned => return Some(named.place),
            Some(_) => {}
            None => self.names.unknown.entry(key).or_default().push(span),
        }
        // Whatever holds the name is wrong from here on.
        self.errors += 1;
        None
    }

    /// Tells every name that was not found: once, with its other uses beside it.
    pub(super) fn tell_unknown(&mut self) {
        let unknown = std::mem::take(&mut self.names.unknown);
        for ((sort, name), mut uses) in unknown {
            uses.retain(|span| !within(self.damaged, *span));
            uses.sort_unstable();
            let Some((first, others)) = uses.split_first() else { continue };
            let word = sort.word();
            let mut diagnostic = Diagnostic::error("E1101", format!("no {word} is named `{name}`"), *first)
                .label("not defined anywhere");
            for other in others.iter().take(3) {
                diagnostic = diagnostic.also(*other, "used here too");
            }
            let other_sort = [Sort::List, Sort::Group, Sort::Relay]
                .into_iter()
                .filter(|other| *other != sort && sort != Sort::Rule)
                .find_map(|other| Some((other, self.names.known.get(&(other, name.clone()))?)));
            // Meant as this, but with a mistake in it.
            if other_sort.is_some_and(|(_, named)| named.poisoned) {
                continue;
            }
            let other_sort = other_sort.map(|(other, _)| other);
            let mut candidates: Vec<&str> = self
                .names
                .known
                .iter()
                .filter(|((other, _), named)| *other == sort && !named.poisoned)
                .map(|((_, name), _)| name.as_str())
                .collect();
            candidates.sort_unstable();
            // The lists that the profile fills are not all called as their settings are.
            let meant = match (sort, name.as_str()) {
                (Sort::List, "trusted-networks" | "trusted_networks" | "mynetworks") => Some("trusted"),
                _ => nearest(&name, candidates.iter().copied()).or_else(|| negated(sort, &name, &candidates)),
            };
            // It may be defined in what could not be read.
            if self.partial && other_sort.is_none() && meant.is_none() {
                continue;
            }
            diagnostic = match (other_sort, meant) {
                (None, Some("trusted")) if name.contains("networks") => diagnostic
                    .help("the networks of the setting `trusted-networks` are the list `trusted`: write `in trusted`")
                    .fix("write `trusted`", *first, "trusted"),
                (Some(other), _) => {
                    let is = other.word();
                    diagnostic.help(format!("`{name}` is a {is}; write {}", other.how(&name)))
                }
                (None, Some(meant)) if sort == Sort::List && reverses(&name, meant) => diagnostic.help(format!(
                    "there is a list `{meant}`; what is outside of it is written `not in {meant}`"
                )),
                (None, Some(meant)) if sort == Sort::Group && reverses(&name, meant) => diagnostic.help(format!(
                    "there is a group `{meant}`; who is outside of it is written `not in group {meant}`"
                )),
                // Of names that are as near, or told apart by a part of them, only the writer knows which is meant.
                (None, Some(meant)) if !likely(&name, meant, &candidates) => {
                    let near: Vec<String> = tied(&name, meant, candidates.iter().copied())
                        .into_iter()
                        .take(SHOWN)
                        .map(|near| format!("`{near}`"))
                        .collect();
                    let are = if near.len() > 1 { "are" } else { "is" };
                    diagnostic.help(format!(
                        "there {are} {}; if another is meant, define `{name}`",
                        near.join(" and ")
                    ))
                }
                (None, Some(meant)) => diagnostic
                    .help(format!("did you mean `{meant}`?"))
                    .nearest(&name, meant, *first, &quoted(sort, meant)),
                (None, None) => match sort {
                    // No list is named like this; it is a network, a domain or an address.
                    Sort::List if is_file(&name) => diagnostic
                        .help(format!("a file is read by a list: `list NAME: address from \"{name}\"`, then `in NAME`")),
                    Sort::List if name.contains(['.', '@', '/', ':']) => diagnostic
                        .help(format!("one value takes `is {name}`, several take `in [{name}, ...]`"))
                        .fix("write a list of one", *first, format!("[{name}]")),
                    Sort::List => {
                        let known = self.names.types.get(&name).copied();
                        let (ty, test) = known.unwrap_or((ListType::Address, false));
                        let one = if test { "; one value alone takes `is`" } else { "" };
                        diagnostic.help(format!("define it: `list {name}: {} = [...]`{one}", ty.name()))
                    }
                    Sort::Group => diagnostic.help(format!("define it: `group {name} = [ann@example.com]`")),
                    Sort::Relay if name.contains('.') => diagnostic.help(format!("give the host a name: `relay smarthost {{ host [{name}] }}`, and write `via smarthost`")),
                    Sort::Relay => diagnostic.help(format!("define it: `relay {name} {{ host [smtp.example:25] }}`, or write `mx` for direct delivery")),
                    Sort::Rule => diagnostic.help("name a rule as its definition does"),
                },
            };
            self.report(diagnostic);
        }
    }
}

/// Whether a name is a slip of the one that is nearest, and of no other.
fn likely(name: &str, meant: &str, candidates: &[&str]) -> bool {
    (certain(name, meant) || reverses(name, meant)) && tied(name, meant, candidates.iter().copied()).len() < 2
}

/// How many names that are as near are shown.
const SHOWN: usize = 4;

/// The list that a name with a `not` before it leaves out: `non-good`.
fn negated<'a>(sort: Sort, name: &str, lists: &[&'a str]) -> Option<&'a str> {
    let rest = ["non-", "not-", "no-", "non_", "not_", "non", "not"]
        .iter()
        .find_map(|not| name.strip_prefix(not))?;
    lists.iter().copied().find(|list| sort == Sort::List && *list == rest)
}

fn quoted(sort: Sort, name: &str) -> String {
    if sort == Sort::Rule { format!("\"{name}\"") } else { name.to_owned() }
}

/// Whether a name looks like that of a list file.
fn is_file(name: &str) -> bool {
    [".txt", ".csv", ".list", ".map", ".edict"].iter().any(|end| name.ends_with(end))
}
