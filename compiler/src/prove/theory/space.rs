//! A table as questions about it need it: lists as keys and ranges, names of domains, compiled regexes.

use super::number::{self, Ranges};
use super::owner::Owners;
use super::shape::Shape;
use super::words::{Asked, Words};
use edict_table::fact::Fact;
use edict_table::load::{Image, Loaded};
use edict_table::model::{Entries, ListId, Predicate, PredicateId, Recipients, Table};
use regex_automata::meta::Regex;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

/// The most keys of lists that one question looks at without asking.
const MAX_KEYS: usize = 50_000;
/// The most that all questions together look at beyond that.
const MAX_MORE: usize = 1_000_000;
/// The most states that one question goes through without asking, and that all go through beyond that.
const MAX_STEPS: usize = 2_000;
const MAX_MORE_STEPS: usize = 300_000;
/// What of an automaton costs as much as one step in it.
const WORK: usize = 100;
/// The most automata that are kept.
const MAX_WORDS: usize = 2_000;

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

    /// The places of those that begin like that.
    pub(super) fn beginning(&self, prefix: &str) -> Range<usize> {
        let first = self.until(|key| key < prefix);
        first..self.until(|key| key < prefix || key.starts_with(prefix))
    }

    /// How many there are of the first ones of which something is so.
    fn until(&self, is: impl Fn(&str) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.get(middle).is_some_and(&is) { low = middle + 1 } else { high = middle }
        }
        low
    }

    pub(super) fn get(&self, place: usize) -> Option<&str> {
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
    loaded: OnceCell<Option<Loaded>>,
    pub(super) owners: OnceCell<Owners>,
    pub(super) trusted: Ranges,
    pub(super) inside: Keys<'t>,
    /// The same with the aliases of these domains: what a sender has for its domain if it is inside.
    pub(super) inside_senders: Keys<'t>,
    /// Those of them at which it is known who exists, so that a sender may be unknown.
    pub(super) known_senders: Keys<'t>,
    pub(super) zones: BTreeSet<&'t str>,
    regexes: RefCell<HashMap<String, Option<Rc<Regex>>>>,
    /// The characters of the keys of each list.
    letters: Vec<OnceCell<HashSet<char>>>,
    words: RefCell<HashMap<Sort, Option<Rc<Words>>>>,
    more_keys: Cell<usize>,
    more_steps: Cell<usize>,
    /// A bound on effort was met, since somebody looked last.
    short: Cell<bool>,
    rounds: Cell<usize>,
    pairs: Cell<usize>,
}

/// Of which words an automaton is: their shape, the letter that stands for others, what is asked of them.
type Sort = (Shape, char, Asked);

/// What one question may still do: some for itself, more as long as not all questions together took too much.
#[derive(Debug)]
pub(super) struct Effort<'s> {
    own: Cell<usize>,
    more: &'s Cell<usize>,
    short: &'s Cell<bool>,
    stopped: Cell<bool>,
}

impl<'s> Effort<'s> {
    fn new(own: usize, more: &'s Cell<usize>, short: &'s Cell<bool>) -> Self {
        Self { own: Cell::new(own), more, short, stopped: Cell::new(false) }
    }

    /// Takes so much. False where that is too much.
    pub(super) fn spend(&self, much: usize) -> bool {
        let left = |cell: &Cell<usize>| cell.get().checked_sub(much).map(|left| cell.set(left)).is_some();
        let fine = !self.stopped.get() && (left(&self.own) || left(self.more));
        if !fine && !self.stopped.get() {
            self.short.set(true);
        }
        fine
    }

    /// From here on everything is too much.
    pub(super) fn stop(&self) {
        self.stopped.set(true);
    }
}

impl<'t> Space<'t> {
    /// Looks at a table.
    #[must_use]
    pub fn new(table: &'t Table) -> Self {
        let profile = &table.profile;
        let relay = profile.relay_domains.iter().map(|d| (&d.domain, d.recipients.as_ref()));
        let inside: Vec<(&String, &Recipients)> = profile
            .local_domains
            .iter()
            .map(|d| (d, None))
            .chain(relay)
            .map(|(domain, own)| (domain, own.unwrap_or(&profile.recipients)))
            .collect();
        let keys = |domains: &[&String]| -> Vec<String> {
            let all: BTreeSet<String> = domains.iter().map(|d| format!("@{d}")).collect();
            all.into_iter().collect()
        };
        let with_aliases = |domains: &[&String]| -> Vec<String> {
            let aliases = profile.domain_aliases.iter().filter(|(_, real)| domains.contains(&real));
            keys(&domains.iter().copied().chain(aliases.map(|(alias, _)| alias)).collect::<Vec<_>>())
        };
        let is_known = |(_, own): &&(&String, &Recipients)| matches!(own, Recipients::Known(_));
        let known: Vec<&String> = inside.iter().filter(is_known).map(|(domain, _)| *domain).collect();
        let inside: Vec<&String> = inside.iter().map(|(domain, _)| *domain).collect();
        Self {
            table,
            keys: table.lists.iter().map(|list| Keys::List(&list.entries)).collect(),
            empty: Keys::Own(Vec::new()),
            ranges: table.lists.iter().map(|_| OnceCell::new()).collect(),
            loaded: OnceCell::new(),
            owners: OnceCell::new(),
            trusted: number::ranges(profile.trusted_networks.iter().map(String::as_str)),
            inside_senders: Keys::Own(with_aliases(&inside)),
            known_senders: Keys::Own(with_aliases(&known)),
            inside: Keys::Own(keys(&inside)),
            zones: table
                .predicates
                .iter()
                .filter(|p| p.fact == Fact::ClientListed)
                .map(|p| p.parameter.as_str())
                .collect(),
            regexes: RefCell::new(HashMap::new()),
            letters: table.lists.iter().map(|_| OnceCell::new()).collect(),
            words: RefCell::default(),
            more_keys: Cell::new(MAX_MORE),
            more_steps: Cell::new(MAX_MORE_STEPS),
            short: Cell::new(false),
            rounds: Cell::new(0),
            pairs: Cell::new(0),
        }
    }

    /// The table as the daemon loads it; none where it cannot be loaded.
    pub(in crate::prove) fn loaded(&self) -> Option<&Loaded> {
        let load = || {
            let image: Image = Arc::new(edict_table::emit::emit(self.table));
            Loaded::new(image).ok()
        };
        self.loaded.get_or_init(load).as_ref()
    }

    /// How many rounds all questions took so far.
    #[must_use]
    pub fn rounds(&self) -> usize {
        self.rounds.get()
    }

    /// How many pairs of rules were held against each other so far, other than by questions.
    #[must_use]
    pub fn pairs(&self) -> usize {
        self.pairs.get()
    }

    /// Whether a bound on effort was met since this was asked last.
    pub(in crate::prove) fn took_short(&self) -> bool {
        self.short.take()
    }

    pub(in crate::prove) fn count_pairs(&self, pairs: usize) {
        self.pairs.set(self.pairs.get().saturating_add(pairs));
    }

    pub(in crate::prove) fn count_round(&self) {
        self.rounds.set(self.rounds.get().saturating_add(1));
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

    /// What a question may look at of lists.
    pub(super) fn keys_at_most(&self) -> Effort<'_> {
        Effort::new(MAX_KEYS, &self.more_keys, &self.short)
    }

    /// What a question may do with automata.
    pub(super) fn steps_at_most(&self) -> Effort<'_> {
        Effort::new(MAX_STEPS, &self.more_steps, &self.short)
    }

    fn letters(&self, list: ListId) -> Option<&HashSet<char>> {
        let letters = || {
            let mut plain = [false; 128];
            let mut out = HashSet::new();
            for c in self.keys(list).iter().flat_map(str::chars) {
                match plain.get_mut(c as usize) {
                    Some(seen) => *seen = true,
                    None => drop(out.insert(c)),
                }
            }
            out.extend((0u8..).zip(plain).filter(|(_, seen)| *seen).map(|(byte, _)| char::from(byte)));
            out
        };
        self.letters.get(list as usize).map(|cell| cell.get_or_init(letters))
    }

    /// The words of a shape by what is asked of them, with a letter among them that is in no pattern and in no key of
    /// these lists; none past the bounds.
    pub(super) fn words(
        &self,
        shape: Shape,
        asked: &Asked,
        lists: impl Iterator<Item = ListId>,
        effort: &Effort<'_>,
    ) -> Option<Rc<Words>> {
        let used: Vec<&HashSet<char>> = lists.filter_map(|list| self.letters(list)).collect();
        let fits = |c: &char| !used.iter().any(|letters| letters.contains(c)) && !asked.holds(*c);
        // Letters that folding leaves alone.
        let mut others = "xqzjkwy7vbdfghlmnprstuaeioc123456890_-~^".chars().chain('\u{4e00}'..'\u{9fa5}');
        let other = if shape.letters().is_some() { 'x' } else { others.find(fits)? };
        let key = (shape, other, asked.clone());
        if let Some(known) = self.words.borrow().get(&key) {
            return known.clone();
        }
        let most = |work: usize| effort.spend(work / WORK);
        let made = Words::new(shape, asked, other, &most).map(Rc::new);
        let mut known = self.words.borrow_mut();
        if known.len() >= MAX_WORDS {
            known.clear();
        }
        known.insert(key, made.clone());
        made
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
