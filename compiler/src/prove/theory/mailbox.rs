//! Addresses and domains that pass some tests and fail others.
//!
//! What lists leave is a set of regions: a local part that is fixed, free or any extension of one, a domain that is
//! fixed, any subdomain of one, or free. Regions meet in regions. Of the first ones some readable candidates are tried;
//! where none fits, and for all others, [`super::exact`] finds one or says that there is none. Regexes are only asked of
//! what was found: there the answer may be unknown.

use super::exact::Exact;
use super::pattern::glob_matches;
use super::region::{Local, Lookup, Of, Place, Region, holds_address, holds_domain};
use super::space::Effort;
use super::text::passes;
use super::{Answer, Keys, Space};
use edict_table::model::{ListId, Test};
use edict_table::value::address::parse_local;
use edict_table::value::{Domain, fold};
use std::cell::{Cell, OnceCell};

/// The most regions whose candidates are tried.
const MAX_READABLE: usize = 16;
/// The most bytes of a local part that an example has.
const MAX_LOCAL: usize = 64;

/// Local parts for where any will do, and extensions.
const NAMES: &[&str] = &["someone", "alice", "user1", "info7", "q7x9"];
const EXTENSIONS: &[&str] = &["news", "shop", "x1", "list7", "q7x9"];

/// Tests on an address and its parts.
#[derive(Clone, Default)]
pub struct Claims<'t> {
    /// On the whole: must pass, must fail.
    pub whole: (Vec<&'t Test>, Vec<&'t Test>),
    /// On the local part.
    pub local: (Vec<&'t Test>, Vec<&'t Test>),
    /// On the domain.
    pub domain: (Vec<&'t Test>, Vec<&'t Test>),
    /// The domain has no dot, or has one.
    pub unqualified: Option<bool>,
    /// Sets of keys that must hold the domain, or must not.
    pub inside: (Vec<&'t Keys<'t>>, Vec<&'t Keys<'t>>),
    /// Sets of keys that must hold the address, or must not.
    pub own: (Vec<&'t Keys<'t>>, Vec<&'t Keys<'t>>),
    /// Only a domain is wanted: local parts mean nothing.
    pub bare: bool,
    /// The domain is no address literal.
    pub host: bool,
}

/// A question being answered.
pub(super) struct Search<'s, 't> {
    pub(super) space: &'s Space<'t>,
    pub(super) claims: &'s Claims<'t>,
    lists: Vec<Lookup<'s, 't>>,
    keys: Effort<'s>,
    pub(super) steps: Effort<'s>,
    readable: Cell<usize>,
    exact: OnceCell<Option<Exact>>,
    unknown: Cell<bool>,
}

/// The lists among some tests.
pub(super) fn lists(tests: &[&Test]) -> impl Iterator<Item = ListId> {
    tests.iter().filter_map(|t| if let Test::InList(list) = t { Some(*list) } else { None })
}

/// An address (local part, domain) that fits the claims.
#[must_use]
pub fn solve<'t>(space: &Space<'t>, claims: &Claims<'t>) -> Answer<(String, String)> {
    let refused = |tests: &[&Test]| tests.contains(&&Test::Present);
    if refused(&claims.whole.1) || refused(&claims.local.1) || refused(&claims.domain.1) {
        return Answer::Impossible;
    }
    let of = |tests: &[&'t Test], of| -> Vec<Lookup<'_, 't>> {
        lists(tests).map(|list| Lookup { keys: space.keys(list), of }).collect()
    };
    let mut lists = of(&claims.whole.0, Of::Whole);
    lists.extend(of(&claims.domain.0, Of::Domain));
    lists.extend(claims.inside.0.iter().map(|keys| Lookup { keys, of: Of::Domain }));
    lists.extend(claims.own.0.iter().map(|keys| Lookup { keys, of: Of::Whole }));
    if !claims.bare {
        lists.extend(of(&claims.local.0, Of::Local));
    }
    lists.sort_by_key(|list| list.keys.len());
    let search = Search {
        space,
        claims,
        lists,
        keys: space.keys_at_most(),
        steps: space.steps_at_most(),
        readable: Cell::new(0),
        exact: OnceCell::new(),
        unknown: Cell::new(false),
    };
    match search.narrow(&Region::all(), 0) {
        Some(found) => Answer::Found(found),
        None if search.unknown.get() => Answer::Unknown,
        None => Answer::Impossible,
    }
}

impl Search<'_, '_> {
    fn narrow(&self, region: &Region, depth: usize) -> Option<(String, String)> {
        if let (Local::Exact(local), Place::Exact(domain)) = (&region.local, &region.domain) {
            return self.fits(local, domain).then(|| (local.clone(), domain.clone()));
        }
        let Some(list) = self.lists.get(depth) else { return self.leaf(region) };
        // A fixed domain meets few keys: ask for them instead of looking at all.
        if let (Place::Exact(domain), true) = (&region.domain, self.claims.bare) {
            return if holds_domain(list.keys, domain) { self.narrow(region, depth + 1) } else { None };
        }
        for key in list.near(region) {
            if !self.keys.spend(1) {
                self.unknown.set(true);
                return None;
            }
            let parts = region.meet(key, list.of, &self.space.inside);
            if let Some(found) = parts.into_iter().find_map(|next| self.narrow(&next, depth + 1)) {
                return Some(found);
            }
        }
        None
    }

    pub(super) fn fits(&self, local: &str, domain: &str) -> bool {
        let claims = self.claims;
        let at_domain = |t: &Test| match t {
            Test::InList(list) => holds_domain(self.space.keys(*list), domain),
            t => passes(self.space, t, domain),
        };
        let at_local = |t: &Test| passes(self.space, t, local);
        let parts = !(claims.host && domain.starts_with('['))
            && claims.domain.0.iter().all(|t| at_domain(t))
            && !claims.domain.1.iter().any(|t| at_domain(t))
            && (claims.bare
                || (claims.local.0.iter().all(|t| at_local(t))
                    && !claims.local.1.iter().any(|t| at_local(t))))
            && claims.unqualified.is_none_or(|plain| plain == is_unqualified(domain))
            && claims.inside.0.iter().all(|keys| holds_domain(keys, domain))
            && !claims.inside.1.iter().any(|keys| holds_domain(keys, domain));
        let held = |keys: &&Keys<'_>| holds_address(keys, &self.space.inside, local, domain);
        let parts = parts && claims.own.0.iter().all(held) && !claims.own.1.iter().any(held);
        if !parts || (claims.whole.0.is_empty() && claims.whole.1.is_empty()) {
            return parts;
        }
        let whole = format!("{local}@{domain}");
        let at_whole = |t: &Test| match t {
            Test::InList(list) => holds_address(self.space.keys(*list), &self.space.inside, local, domain),
            Test::Glob(glob) => glob_matches(glob, &whole),
            t => passes(self.space, t, &whole),
        };
        claims.whole.0.iter().all(|t| at_whole(t)) && !claims.whole.1.iter().any(|t| at_whole(t))
    }

    /// Whether mail can have such an address as it is written here.
    pub(super) fn is_sound(&self, local: &str, domain: &str) -> bool {
        let plain = |local: &str| {
            !local.is_empty()
                && local.len() <= MAX_LOCAL
                && !local.chars().any(char::is_control)
                && fold(local) == local
        };
        (self.claims.bare || plain(local)) && Domain::parse(domain).is_ok_and(|d| d.as_str() == domain)
    }

    /// Whether membership alone proves a region empty.
    fn excluded(&self, region: &Region) -> bool {
        let claims = self.claims;
        let keys = |tests: &[&Test]| lists(tests).map(|list| self.space.keys(list)).collect::<Vec<_>>();
        let dots = match (&region.domain, claims.unqualified) {
            (Place::Exact(d), Some(plain)) => plain != is_unqualified(d),
            (Place::Below(_), Some(plain)) => plain,
            _ => false,
        };
        dots || keys(&claims.whole.1).iter().any(|k| region.within(k))
            || keys(&claims.domain.1).iter().any(|k| region.domains_within(k))
            || claims.inside.1.iter().any(|k| region.domains_within(k))
            || claims.own.1.iter().any(|k| region.within(k))
    }

    /// An address in what all lists leave.
    fn leaf(&self, region: &Region) -> Option<(String, String)> {
        if self.excluded(region) {
            return None;
        }
        let readable = self.readable.get() < MAX_READABLE;
        if readable {
            self.readable.set(self.readable.get() + 1);
            let found = match (&region.domain, region.inside) {
                (Place::Any | Place::Below(_), true) => region
                    .at_inside(&self.space.inside)
                    .take(MAX_READABLE)
                    .find_map(|at| if self.excluded(&at) { None } else { self.candidates(&at) }),
                _ => self.candidates(region),
            };
            if found.is_some() {
                return found;
            }
        }
        let exact = self.exact.get_or_init(|| Exact::new(self));
        match exact.as_ref().map_or(Answer::Unknown, |exact| exact.find(self, region)) {
            Answer::Found(found) => Some(found),
            Answer::Impossible => None,
            Answer::Unknown => {
                self.unknown.set(true);
                None
            }
        }
    }

    /// Addresses of a region that people can read, as far as they are easily thought of.
    fn candidates(&self, region: &Region) -> Option<(String, String)> {
        let claims = self.claims;
        let mut locals: Vec<String> = Vec::new();
        match &region.local {
            Local::Exact(local) => {
                let passes = |t: &&Test| passes(self.space, t, local);
                if !claims.bare && (!claims.local.0.iter().all(passes) || claims.local.1.iter().any(passes)) {
                    return None;
                }
                locals.push(local.clone());
            }
            Local::Any if claims.bare => locals.push(String::new()),
            local => {
                let tag = if let Local::Tagged(base) = local { format!("{base}+") } else { String::new() };
                if claims.local.0.is_empty() && claims.local.1.is_empty() {
                    let names = if tag.is_empty() { NAMES } else { EXTENSIONS };
                    locals.extend(names.iter().map(|name| format!("{tag}{name}")));
                } else {
                    let start = Test::StartsWith(vec![tag]);
                    let yes: Vec<&Test> = match local {
                        Local::Tagged(_) => claims.local.0.iter().copied().chain([&start]).collect(),
                        _ => claims.local.0.clone(),
                    };
                    match super::text::solve(self.space, &yes, &claims.local.1) {
                        Answer::Found(local) => locals.push(local),
                        Answer::Impossible => return None,
                        Answer::Unknown => {}
                    }
                }
            }
        }
        let mut domains: Vec<String> = Vec::new();
        match &region.domain {
            Place::Exact(domain) => domains.push(domain.clone()),
            Place::Below(up) => {
                domains.extend(["mail", "mx1", "news7", "q7x9"].iter().map(|l| format!("{l}.{up}")))
            }
            Place::Any => {
                if claims.unqualified != Some(true) {
                    domains
                        .extend(["stranger.example", "elsewhere.example", "other7.test"].map(str::to_owned));
                }
                if claims.unqualified != Some(false) {
                    domains.extend(["host", "q7x9"].map(str::to_owned));
                }
            }
        }
        // What globs ask for, with plain words for their runs.
        let mut pairs: Vec<(String, String)> = Vec::new();
        let globs = |tests: &[&Test]| -> Vec<String> {
            tests
                .iter()
                .filter(|t| matches!(t, Test::Glob(_) | Test::Regex(_)))
                .filter_map(|t| match super::text::solve(self.space, &[t], &[]) {
                    Answer::Found(text) => Some(text),
                    _ => None,
                })
                .collect()
        };
        for domain in globs(&claims.domain.0) {
            domains.insert(0, domain);
        }
        for test in &claims.whole.0 {
            let Test::Glob(glob) = test else { continue };
            for run in ["x", "x.example", "x@x.example", ""] {
                let text = glob.replace('*', run).replace('?', "x");
                if let Some((local, domain)) = text.rsplit_once('@') {
                    pairs.push((local.to_owned(), domain.to_owned()));
                    locals.push(local.to_owned());
                    domains.push(domain.to_owned());
                }
                if let Some((head, _)) = glob.split_once('@') {
                    locals.push(head.replace(['*', '?'], "x"));
                }
            }
        }
        for text in globs(&claims.whole.0) {
            if let Some((local, domain)) = text.rsplit_once('@') {
                pairs.push((local.to_owned(), domain.to_owned()));
            }
        }
        let products =
            domains.iter().take(12).flat_map(|d| locals.iter().take(12).map(move |l| (l.clone(), d.clone())));
        let within = |(local, domain): &(String, String)| region.holds(local, domain, &self.space.inside);
        pairs
            .into_iter()
            .chain(products)
            .filter(within)
            // Local parts that need quotes are valid, and nobody writes them.
            .filter(|(local, _)| claims.bare || parse_local(local).is_ok_and(|plain| plain == *local))
            .find(|(local, domain)| self.is_sound(local, domain) && self.fits(local, domain))
    }
}

/// Whether a domain is one label. A literal is none.
fn is_unqualified(domain: &str) -> bool {
    !domain.contains('.') && !domain.starts_with('[')
}

#[cfg(test)]
mod tests {
    use super::*;
    use edict_table::model::{List, ListKind, Table};

    fn table(lists: &[&[&str]]) -> Table {
        let list =
            |keys: &&[&str]| List { name: None, kind: ListKind::Mailbox, entries: keys.iter().collect() };
        Table { lists: lists.iter().map(list).collect(), ..Table::default() }
    }

    #[test]
    fn membership_is_exact() {
        let table = table(&[
            &["@partner.example"],
            &["@.example"],
            &["ann@"],
            &["ann@partner.example"],
            &["@stranger.example"],
        ]);
        let space = Space::new(&table);
        let tests: Vec<Test> = (0..5).map(Test::InList).collect();
        for (yes, no, want) in [
            (vec![0], vec![], true),
            (vec![0], vec![1], false),
            (vec![1], vec![0], true),
            (vec![0, 2], vec![], true),
            (vec![0, 2], vec![3], false),
            (vec![0], vec![2], true),
            (vec![3], vec![2], false),
            (vec![0, 4], vec![], false),
            (vec![2], vec![1], true),
        ] {
            let pick = |places: &[usize]| places.iter().map(|p| &tests[*p]).collect::<Vec<_>>();
            let claims = Claims { whole: (pick(&yes), pick(&no)), ..Claims::default() };
            match solve(&space, &claims) {
                Answer::Found(found) => assert!(want, "{yes:?} {no:?} {found:?}"),
                Answer::Impossible => assert!(!want, "{yes:?} {no:?}"),
                Answer::Unknown => panic!("{yes:?} {no:?} unknown"),
            }
        }
    }

    #[test]
    fn parts_go_together() {
        let table = table(&[&["@partner.example"]]);
        let space = Space::new(&table);
        let glob = Test::Glob("*@*.example".to_owned());
        let other = Test::Glob("*@*.test".to_owned());
        let list = Test::InList(0);
        let local = Test::StartsWith(vec!["bounce".to_owned()]);
        let claims = Claims {
            whole: (vec![&glob, &list], vec![]),
            local: (vec![&local], vec![]),
            ..Claims::default()
        };
        assert_eq!(
            solve(&space, &claims),
            Answer::Found(("bounce".to_owned(), "partner.example".to_owned()))
        );
        let claims = Claims { whole: (vec![&other], vec![]), ..Claims::default() };
        assert!(matches!(solve(&space, &claims), Answer::Found(_)));
        let claims = Claims { domain: (vec![&list], vec![]), unqualified: Some(true), ..Claims::default() };
        assert_eq!(solve(&space, &claims), Answer::Impossible);
    }
}
