//! Addresses and domains that pass some tests and fail others.
//!
//! What lists leave is a set of regions: a local part that is fixed, free or any extension of one, a domain that is
//! fixed, any subdomain of one, or free. Regions meet in regions, so membership is exact. Globs, regexes and tests on
//! the local part are tried on the candidates of a region; where none fits the answer is unknown unless
//! the region has one member only.

use super::region::{Local, Lookup, Place, Region, holds_address, holds_domain};
use super::text::{glob_matches, passes};
use super::{Answer, Keys, Space};
use edict_table::model::Test;
use edict_table::value::Domain;
use std::cell::Cell;

/// The most entries and regions that are looked at for one question.
const MAX_STEPS: usize = 50_000;
/// The most regions with free parts whose candidates are tried.
const MAX_REGIONS: usize = 2_000;
/// The most regions that are looked at once more where no candidate of theirs fits.
const MAX_REFUTED: usize = 200;

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
    /// Only a domain is wanted: local parts mean nothing.
    pub bare: bool,
}

/// A question being answered.
struct Search<'s, 't> {
    space: &'s Space<'t>,
    claims: &'s Claims<'t>,
    lists: Vec<Lookup<'s, 't>>,
    steps: Cell<usize>,
    regions: Cell<usize>,
    refuted: Cell<usize>,
    unknown: Cell<bool>,
}

/// An address (local part, domain) that fits the claims.
#[must_use]
pub fn solve<'t>(space: &Space<'t>, claims: &Claims<'t>) -> Answer<(String, String)> {
    let refused = |tests: &[&Test]| tests.contains(&&Test::Present);
    if refused(&claims.whole.1) || refused(&claims.local.1) || refused(&claims.domain.1) {
        return Answer::Impossible;
    }
    // A list of local parts is a list of `ann@` keys, each as it stands: the local part is the whole of it.
    let locals: Vec<Keys<'t>> = claims
        .local
        .0
        .iter()
        .filter(|_| !claims.bare)
        .filter_map(|t| if let Test::InList(list) = t { Some(space.keys(*list)) } else { None })
        .map(|keys| Keys::Own(keys.iter().map(|local| format!("{local}@")).collect()))
        .collect();
    let of = |tests: &[&'t Test], tagged: bool| -> Vec<Lookup<'_, 't>> {
        tests
            .iter()
            .filter_map(|t| if let Test::InList(list) = t { Some(space.keys(*list)) } else { None })
            .map(|keys| Lookup { keys, tagged })
            .collect()
    };
    let mut lists = of(&claims.whole.0, true);
    lists.extend(of(&claims.domain.0, false));
    let literal = |keys| Lookup { keys, tagged: false };
    lists.extend(claims.inside.0.iter().map(|keys| literal(*keys)));
    lists.extend(locals.iter().map(literal));
    lists.sort_by_key(|list| list.keys.len());
    let search = Search {
        space,
        claims,
        lists,
        steps: Cell::new(0),
        regions: Cell::new(0),
        refuted: Cell::new(0),
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
        let Some(Lookup { keys, tagged }) = self.lists.get(depth) else { return self.candidates(region) };
        // A fixed domain meets few keys: ask for them instead of looking at all.
        if let (Place::Exact(domain), true) = (&region.domain, self.claims.bare) {
            return if holds_domain(keys, domain) { self.narrow(region, depth + 1) } else { None };
        }
        for key in keys.iter() {
            self.steps.set(self.steps.get() + 1);
            if self.steps.get() > MAX_STEPS {
                self.unknown.set(true);
                return None;
            }
            let parts = region.meet(key, *tagged, &self.space.inside);
            if let Some(found) = parts.into_iter().find_map(|next| self.narrow(&next, depth + 1)) {
                return Some(found);
            }
        }
        None
    }

    fn fits(&self, local: &str, domain: &str) -> bool {
        let claims = self.claims;
        let whole = format!("{local}@{domain}");
        let at_whole = |t: &Test| match t {
            Test::InList(list) => holds_address(self.space.keys(*list), &self.space.inside, local, domain),
            Test::Glob(glob) => glob_matches(glob, &whole),
            t => passes(self.space, t, &whole),
        };
        let at_domain = |t: &Test| match t {
            Test::InList(list) => holds_domain(self.space.keys(*list), domain),
            t => passes(self.space, t, domain),
        };
        let at_local = |t: &Test| passes(self.space, t, local);
        claims.whole.0.iter().all(|t| at_whole(t))
            && !claims.whole.1.iter().any(|t| at_whole(t))
            && claims.domain.0.iter().all(|t| at_domain(t))
            && !claims.domain.1.iter().any(|t| at_domain(t))
            && (claims.bare
                || (claims.local.0.iter().all(|t| at_local(t))
                    && !claims.local.1.iter().any(|t| at_local(t))))
            && claims.unqualified.is_none_or(|plain| plain != domain.contains('.'))
            && claims.inside.0.iter().all(|keys| holds_domain(keys, domain))
            && !claims.inside.1.iter().any(|keys| holds_domain(keys, domain))
    }

    /// Whether membership alone proves a region empty.
    fn excluded(&self, region: &Region) -> bool {
        let claims = self.claims;
        let of = |tests: &[&Test]| -> Vec<&Keys<'_>> {
            tests
                .iter()
                .filter_map(|t| if let Test::InList(list) = t { Some(self.space.keys(*list)) } else { None })
                .collect()
        };
        let whole = of(&claims.whole.1);
        let mut domains = of(&claims.domain.1);
        domains.extend(claims.inside.1.iter().copied());
        let dots = match (&region.domain, claims.unqualified) {
            (Place::Exact(d), Some(plain)) => plain == d.contains('.'),
            (Place::Below(_), Some(plain)) => plain,
            _ => false,
        };
        dots || whole.iter().any(|k| region.within(k)) || domains.iter().any(|k| region.domains_within(k))
    }

    fn candidates(&self, region: &Region) -> Option<(String, String)> {
        if self.excluded(region) {
            return None;
        }
        if region.inside && !matches!(region.domain, Place::Exact(_)) {
            return region.at_inside(&self.space.inside).find_map(|at| self.narrow(&at, self.lists.len()));
        }
        self.regions.set(self.regions.get() + 1);
        if self.regions.get() > MAX_REGIONS {
            self.unknown.set(true);
            return None;
        }
        let claims = self.claims;
        let mut locals: Vec<String> = Vec::new();
        let mut local_refuted = false;
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
                        Answer::Impossible => local_refuted = true,
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
        let within = |(local, domain): &(String, String)| {
            region.holds(local, domain, &self.space.inside)
                && Domain::parse(domain).is_ok_and(|d| d.as_str() == domain)
        };
        let sound_local = |local: &str| claims.bare || (!local.is_empty() && local.len() <= 64);
        let found = pairs
            .into_iter()
            .chain(products)
            .filter(within)
            .find(|(local, domain)| sound_local(local) && self.fits(local, domain));
        if found.is_none() && !local_refuted && !self.refuted(region) {
            self.unknown.set(true);
        }
        found
    }

    /// Whether no text at all is written as the tests ask, wherever in the region it stands.
    ///
    /// What is asked of a part is asked of the whole more weakly: so a no holds, and a yes tells nothing.
    fn refuted(&self, region: &Region) -> bool {
        self.refuted.set(self.refuted.get() + 1);
        if self.refuted.get() > MAX_REFUTED {
            return false;
        }
        let claims = self.claims;
        let mut yes: Vec<Test> = Vec::new();
        let each = |all: &[String], f: &dyn Fn(&str) -> String| all.iter().map(|l| f(l)).collect();
        for test in &claims.domain.0 {
            yes.extend(match test {
                _ if claims.bare && is_text(test) => Some((*test).clone()),
                Test::Contains(_) | Test::EndsWith(_) => Some((*test).clone()),
                Test::StartsWith(all) => Some(Test::Contains(each(all, &|l| format!("@{l}")))),
                Test::Glob(glob) => Some(Test::Glob(format!("*@{glob}"))),
                _ => None,
            });
        }
        let at = if claims.bare { "" } else { "@" };
        match &region.domain {
            Place::Any => {}
            Place::Exact(domain) => yes.push(Test::EndsWith(vec![format!("{at}{domain}")])),
            Place::Below(up) => yes.push(Test::EndsWith(vec![format!(".{up}")])),
        }
        let no = if claims.bare {
            &claims.domain.1
        } else {
            yes.extend(claims.whole.0.iter().filter(|t| is_text(t)).map(|t| (*t).clone()));
            for test in &claims.local.0 {
                yes.extend(match test {
                    Test::Contains(_) | Test::StartsWith(_) => Some((*test).clone()),
                    Test::EndsWith(all) => Some(Test::Contains(each(all, &|l| format!("{l}@")))),
                    Test::Glob(glob) => Some(Test::Glob(format!("{glob}@*"))),
                    _ => None,
                });
            }
            match &region.local {
                Local::Any => yes.push(Test::Contains(vec!["@".to_owned()])),
                Local::Exact(local) => yes.push(Test::StartsWith(vec![format!("{local}@")])),
                Local::Tagged(base) => yes.push(Test::StartsWith(vec![format!("{base}+")])),
            }
            &claims.whole.1
        };
        let yes: Vec<&Test> = yes.iter().collect();
        let no: Vec<&Test> = no.iter().filter(|t| is_text(t)).copied().collect();
        super::text::solve(self.space, &yes, &no) == Answer::Impossible
    }
}

/// Whether a test asks how a text is written.
fn is_text(test: &Test) -> bool {
    matches!(
        test,
        Test::Contains(_) | Test::StartsWith(_) | Test::EndsWith(_) | Test::Glob(_) | Test::Regex(_)
    )
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
