//! A table as questions about it need it: lists as keys and ranges, names of domains, compiled regexes.

use super::number::{self, Ranges};
use edict_table::fact::Fact;
use edict_table::model::{Entries, ListId, Predicate, PredicateId, Table};
use regex_automata::meta::Regex;
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

/// Sorted keys: a list of the table, or some made here.
#[derive(Debug)]
pub enum Keys<'t> {
    /// Entries of the table.
    List(&'t Entries),
    /// Made here.
    Own(Vec<String>),
}

impl Keys<'_> {
    /// Whether this key is among them.
    #[must_use]
    pub fn holds(&self, key: &str) -> bool {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle).map(|entry| entry.cmp(key)) {
                Some(std::cmp::Ordering::Equal) => return true,
                Some(std::cmp::Ordering::Less) => low = middle + 1,
                _ => high = middle,
            }
        }
        false
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::List(entries) => entries.len(),
            Self::Own(keys) => keys.len(),
        }
    }

    fn get(&self, place: usize) -> Option<&str> {
        match self {
            Self::List(entries) => entries.get(place),
            Self::Own(keys) => keys.get(place).map(String::as_str),
        }
    }

    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|place| self.get(place))
    }
}

/// A table with what answers need of it, found once.
#[derive(Debug)]
pub struct Space<'t> {
    /// The table.
    pub table: &'t Table,
    keys: Vec<Keys<'t>>,
    empty: Keys<'t>,
    ranges: Vec<OnceCell<Ranges>>,
    pub(super) trusted: Ranges,
    pub(super) inside: Keys<'t>,
    pub(super) zones: BTreeSet<&'t str>,
    regexes: RefCell<HashMap<String, Option<Rc<Regex>>>>,
}

impl<'t> Space<'t> {
    /// Looks at a table.
    #[must_use]
    pub fn new(table: &'t Table) -> Self {
        let profile = &table.profile;
        let relay = profile.relay_domains.iter().map(|d| &d.domain);
        let inside: BTreeSet<String> =
            profile.local_domains.iter().chain(relay).map(|d| format!("@{d}")).collect();
        Self {
            table,
            keys: table.lists.iter().map(|list| Keys::List(&list.entries)).collect(),
            empty: Keys::Own(Vec::new()),
            ranges: table.lists.iter().map(|_| OnceCell::new()).collect(),
            trusted: number::ranges(profile.trusted_networks.iter().map(String::as_str)),
            inside: Keys::Own(inside.into_iter().collect()),
            zones: table
                .predicates
                .iter()
                .filter(|p| p.fact == Fact::ClientListed)
                .map(|p| p.parameter.as_str())
                .collect(),
            regexes: RefCell::new(HashMap::new()),
        }
    }

    /// The entries of a list.
    #[must_use]
    pub fn keys(&self, list: ListId) -> &Keys<'t> {
        self.keys.get(list as usize).unwrap_or(&self.empty)
    }

    pub(super) fn ranges(&self, list: ListId) -> &Ranges {
        const NONE: &Ranges = &Vec::new();
        self.ranges
            .get(list as usize)
            .map_or(NONE, |cell| cell.get_or_init(|| number::ranges(self.keys(list).iter())))
    }

    /// A compiled regex.
    pub(crate) fn regex(&self, text: &str) -> Option<Rc<Regex>> {
        let mut known = self.regexes.borrow_mut();
        if let Some(regex) = known.get(text) {
            return regex.clone();
        }
        let syntax = regex_automata::util::syntax::Config::new().case_insensitive(true);
        let made = Regex::builder().syntax(syntax).build(text).ok().map(Rc::new);
        known.insert(text.to_owned(), made.clone());
        made
    }

    pub(super) fn predicate(&self, at: PredicateId) -> Option<&'t Predicate> {
        self.table.predicates.get(at as usize)
    }
}
