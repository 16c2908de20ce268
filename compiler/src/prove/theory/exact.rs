//! Addresses of a region by how they are written, exactly.
//!
//! A test on the whole says of local part and domain together only which of a few patterns they match. So two automata
//! are made, one for each part, that tell which of these patterns a word matches: its signature. Where the signatures of
//! two words fit together, so do the words. What lists take out is dropped while words are gone through: whole
//! subdomains and extensions at once, the rest one by one, of which there are finitely many.

use super::Answer;
use super::Keys;
use super::mailbox::{Search, lists};
use super::pattern::{self, Pattern, around, is_all, split};
use super::region::{Local, Place, Region, base, holds_domain, is_inside};
use super::shape::Shape;
use super::words::{Asked, Signature, Words};
use edict_table::model::Test;
use edict_table::value::Domain;
use std::cell::{Cell, OnceCell};
use std::rc::Rc;

/// The most addresses that only a regex refuses, or the rules of addresses.
const MAX_REFUSED: usize = 1_000;
/// The most pairs of signatures that are looked at.
const MAX_PAIRS: usize = 4_096;

/// A way to match a test on the whole: the pattern of each part that it takes, none where any part will do.
#[derive(Clone, Copy, Debug)]
struct Way {
    local: Option<usize>,
    domain: Option<usize>,
}

/// What some claims ask of how an address is written.
#[derive(Debug)]
pub(super) struct Exact {
    local: Rc<Words>,
    domain: Rc<Words>,
    /// Of each of these one way must match.
    yes: Vec<Vec<Way>>,
    /// None of these may.
    no: Vec<Way>,
    /// The inside domains with their signatures.
    inside: OnceCell<Vec<(String, Signature)>>,
}

/// A part as a region leaves it.
enum Part {
    /// This word, which has the right signature.
    Word(String),
    /// What begins like that, in the order of reading.
    From(u32, String),
}

/// What is asked at a domain that was chosen.
#[derive(Clone, Copy)]
struct At<'d> {
    domain: Option<&'d str>,
    inside: bool,
}

/// Numbers patterns; none for what everything matches.
fn number(known: &mut Vec<Pattern>, pattern: Pattern) -> Option<usize> {
    if is_all(&pattern) {
        return None;
    }
    Some(known.iter().position(|p| *p == pattern).unwrap_or_else(|| {
        known.push(pattern);
        known.len() - 1
    }))
}

fn asked(tests: &(Vec<&Test>, Vec<&Test>)) -> Asked {
    Asked {
        must: tests.0.iter().filter_map(|t| pattern::of(t)).collect(),
        avoid: tests.1.iter().filter_map(|t| pattern::of(t)).flatten().collect(),
        open: Vec::new(),
    }
}

impl Exact {
    /// None where that is too much.
    pub(super) fn new(search: &Search<'_, '_>) -> Option<Self> {
        let (space, claims) = (search.space, search.claims);
        let (mut local, mut domain) = (asked(&claims.local), asked(&claims.domain));
        if claims.bare {
            local = Asked::default();
        }
        let dot = around(true, ".", true);
        match claims.unqualified {
            // A literal is no single label.
            Some(true) => domain.avoid.extend([dot, around(false, "[", true)]),
            Some(false) => domain.must.push(vec![dot, around(false, "[", true)]),
            None => {}
        }
        let mut ways = |pattern: &Pattern| -> Vec<Way> {
            split(pattern)
                .into_iter()
                .map(|(l, d)| Way { local: number(&mut local.open, l), domain: number(&mut domain.open, d) })
                .collect()
        };
        let mut each = |tests: &[&Test]| -> Vec<Vec<Way>> {
            tests
                .iter()
                .filter_map(|t| pattern::of(t))
                .map(|all| all.iter().flat_map(&mut ways).collect())
                .collect()
        };
        let yes = each(&claims.whole.0);
        let no = each(&claims.whole.1).concat();
        let taken = lists(&claims.whole.1).chain(lists(&claims.local.1));
        let shape = if claims.host { Shape::Host } else { Shape::Domain };
        Some(Self {
            local: space.words(Shape::Name, &local, taken, &search.steps)?,
            domain: space.words(shape, &domain, std::iter::empty(), &search.steps)?,
            yes,
            no,
            inside: OnceCell::new(),
        })
    }

    /// Whether parts of these signatures are as the tests on the whole ask.
    fn fits(&self, local: Signature, domain: Signature) -> bool {
        let matches = |way: &Way| {
            let in_part = |at: Option<usize>, all: Signature| at.is_none_or(|at| all & (1 << at) != 0);
            in_part(way.local, local) && in_part(way.domain, domain)
        };
        self.yes.iter().all(|ways| ways.iter().any(matches)) && !self.no.iter().any(matches)
    }

    fn domain_part(&self, place: &Place) -> Option<Part> {
        let start = self.domain.start()?;
        Some(match place {
            Place::Any => Part::From(start, String::new()),
            Place::Below(up) => {
                let read: String = up.chars().rev().chain(['.']).collect();
                Part::From(self.domain.read(start, read.chars())?, read)
            }
            Place::Exact(domain) => Part::Word(domain.clone()),
        })
    }

    fn local_part(&self, local: &Local) -> Option<Part> {
        let start = self.local.start()?;
        Some(match local {
            Local::Any => Part::From(start, String::new()),
            Local::Tagged(base) => {
                let read = format!("{base}+");
                Part::From(self.local.read(start, read.chars())?, read)
            }
            Local::Exact(local) => Part::Word(local.clone()),
        })
    }

    fn signature_of(&self, domain: &str) -> Option<Signature> {
        self.domain.end(self.domain.read(self.domain.start()?, domain.chars().rev())?)
    }

    /// An address of the region.
    pub(super) fn find(&self, search: &Search<'_, '_>, region: &Region) -> Answer<(String, String)> {
        let (Some(local), Some(domain)) = (self.local_part(&region.local), self.domain_part(&region.domain))
        else {
            return Answer::Impossible;
        };
        let of_local = |word: &str| self.local.end(self.local.read(self.local.start()?, word.chars())?);
        let locals: Vec<Signature> = match &local {
            _ if search.claims.bare => vec![0],
            Part::Word(word) => of_local(word).into_iter().collect(),
            Part::From(at, _) => self.local.signatures(*at).collect(),
        };
        let domains: Vec<Signature> = match &domain {
            Part::Word(word) => self.signature_of(word).into_iter().collect(),
            Part::From(at, _) => self.domain.signatures(*at).collect(),
        };
        if locals.len().saturating_mul(domains.len()) > MAX_PAIRS {
            return Answer::Unknown;
        }
        let found = Try { exact: self, search, region, local, domain, refused: Cell::new(0) };
        let mut unknown = false;
        for at_domain in domains {
            for at_local in locals.iter().filter(|l| self.fits(**l, at_domain)) {
                match found.pair(*at_local, at_domain) {
                    Answer::Found(address) => return Answer::Found(address),
                    Answer::Unknown => unknown = true,
                    Answer::Impossible => {}
                }
            }
        }
        if unknown || found.refused.get() > 0 { Answer::Unknown } else { Answer::Impossible }
    }
}

/// A search in one region.
struct Try<'e, 's, 't> {
    exact: &'e Exact,
    search: &'e Search<'s, 't>,
    region: &'e Region,
    local: Part,
    domain: Part,
    refused: Cell<usize>,
}

impl Try<'_, '_, '_> {
    fn keys<'k>(&'k self, tests: &'k [&Test]) -> impl Iterator<Item = &'k Keys<'k>> {
        lists(tests).map(|list| self.search.space.keys(list))
    }

    /// Whether a list takes out all of a domain.
    fn is_out(&self, domain: &str) -> bool {
        let claims = self.search.claims;
        self.keys(&claims.whole.1).chain(self.keys(&claims.domain.1)).any(|keys| holds_domain(keys, domain))
            || claims.inside.1.iter().any(|keys| holds_domain(keys, domain))
    }

    /// Whether lists take out all below a domain.
    fn is_out_below(&self, domain: &str) -> bool {
        let key = format!("@.{domain}");
        let claims = self.search.claims;
        self.keys(&claims.whole.1).chain(self.keys(&claims.domain.1)).any(|keys| keys.holds(&key))
            || claims.inside.1.iter().any(|keys| keys.holds(&key))
    }

    /// Whether a list takes out this local part, there or everywhere.
    fn is_named(&self, local: &str, at: At<'_>) -> bool {
        let (anywhere, there) = (format!("{local}@"), at.domain.map(|domain| format!("{local}@{domain}")));
        self.keys(&self.search.claims.whole.1)
            .any(|keys| keys.holds(&anywhere) || there.as_ref().is_some_and(|there| keys.holds(there)))
    }

    /// A local part of a signature that no list takes out, and that goes with the domain if there is one.
    fn local(&self, signature: Signature, at: At<'_>) -> Answer<String> {
        let claims = self.search.claims;
        let mut take = |local: &str| {
            let extended = || at.inside && base(local).is_some_and(|base| self.is_named(base, at));
            let taken = self.is_named(local, at)
                || extended()
                || self.keys(&claims.local.1).any(|keys| keys.holds(local));
            !taken && at.domain.is_none_or(|domain| self.is_fine(local, domain))
        };
        // Extensions of what a list names are named with it.
        let mut cut = |read: &str| {
            let base = read.strip_suffix('+').filter(|base| at.inside && !base.is_empty());
            base.is_some_and(|base| !base.contains('+') && self.is_named(base, at))
        };
        match &self.local {
            Part::Word(word) if take(word) => Answer::Found(word.clone()),
            Part::Word(_) => Answer::Impossible,
            // All that begins like this may be named, before another character is read.
            Part::From(_, read) if cut(read) => Answer::Impossible,
            Part::From(state, read) => {
                let from = (*state, read.clone());
                self.exact.local.find(from, signature, &self.search.steps, &mut cut, &mut take)
            }
        }
    }

    /// The last word on an address: what the automata do not know are regexes and how an address is written at all.
    fn is_fine(&self, local: &str, domain: &str) -> bool {
        let fine = self.search.is_sound(local, domain) && self.search.fits(local, domain);
        if !fine {
            self.refuse();
        }
        fine
    }

    fn refuse(&self) {
        self.refused.set(self.refused.get() + 1);
        if self.refused.get() > MAX_REFUSED {
            self.search.steps.stop();
        }
    }

    /// An address whose parts have these signatures.
    fn pair(&self, of_local: Signature, of_domain: Signature) -> Answer<(String, String)> {
        let inside = &self.search.space.inside;
        if self.search.claims.bare {
            return self.domains(of_domain, &mut |domain| self.is_fine("", domain).then(String::new));
        }
        let mut unknown = false;
        let known = match &self.domain {
            Part::Word(domain) if is_inside(inside, domain) => vec![(domain.clone(), of_domain)],
            Part::Word(_) => Vec::new(),
            Part::From(..) => self.inside_domains(),
        };
        for (domain, own) in &known {
            if *own != of_domain || !self.region.holds_domain(domain) || self.is_out(domain) {
                continue;
            }
            if !self.search.steps.spend(1) {
                return Answer::Unknown;
            }
            match self.local(of_local, At { domain: Some(domain), inside: true }) {
                Answer::Found(local) => return Answer::Found((local, domain.clone())),
                Answer::Unknown => unknown = true,
                Answer::Impossible => {}
            }
        }
        if !self.region.inside {
            // Where no local part is left anywhere, no domain helps.
            match self.local(of_local, At { domain: None, inside: false }) {
                Answer::Found(_) => {}
                Answer::Impossible => return if unknown { Answer::Unknown } else { Answer::Impossible },
                Answer::Unknown => return Answer::Unknown,
            }
            let open = Cell::new(false);
            let found = self.domains(of_domain, &mut |domain| {
                if is_inside(inside, domain) {
                    return None;
                }
                match self.local(of_local, At { domain: Some(domain), inside: false }) {
                    Answer::Found(local) => Some(local),
                    Answer::Unknown => {
                        open.set(true);
                        None
                    }
                    Answer::Impossible => None,
                }
            });
            match found {
                Answer::Impossible => unknown |= open.get(),
                answer => return answer,
            }
        }
        if unknown { Answer::Unknown } else { Answer::Impossible }
    }

    fn inside_domains(&self) -> Vec<(String, Signature)> {
        let all = || {
            let domains = self.search.space.inside.iter().filter_map(|key| key.strip_prefix('@'));
            domains.filter_map(|d| Some((d.to_owned(), self.exact.signature_of(d)?))).collect()
        };
        self.exact.inside.get_or_init(all).clone()
    }

    /// A domain of a signature that no list takes out, and for which there is a local part.
    fn domains(
        &self,
        signature: Signature,
        local: &mut dyn FnMut(&str) -> Option<String>,
    ) -> Answer<(String, String)> {
        let mut found = None;
        let mut take = |domain: &str| {
            if !Domain::parse(domain).is_ok_and(|d| d.as_str() == domain) {
                self.refuse();
            } else if !self.is_out(domain) {
                found = local(domain).map(|local| (local, domain.to_owned()));
            }
            found.is_some()
        };
        let mut cut = |read: &str| {
            let up = read.strip_suffix('.');
            up.is_some_and(|up| self.is_out_below(&up.chars().rev().collect::<String>()))
        };
        let answer = match &self.domain {
            Part::Word(word) => {
                if take(word) {
                    Answer::Found(String::new())
                } else {
                    Answer::Impossible
                }
            }
            Part::From(_, read) if cut(read) => Answer::Impossible,
            Part::From(state, read) => {
                let from = (*state, read.clone());
                self.exact.domain.find(from, signature, &self.search.steps, &mut cut, &mut take)
            }
        };
        match (answer, found) {
            (_, Some(found)) => Answer::Found(found),
            (Answer::Unknown, None) => Answer::Unknown,
            _ => Answer::Impossible,
        }
    }
}
