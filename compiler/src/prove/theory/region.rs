//! What keys of a mailbox list leave of all addresses, as the table looks them up.
//!
//! At inside domains the table also looks for an address without its `+extension`: there the key of an address or of
//! a local part, if it has no `+` itself, covers every extension of it. Anywhere else, and with a `+` in it, a key
//! covers itself alone.

use super::Keys;
use edict_table::value::domain::parents;
use std::ops::Range;

/// What is known of a local part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Local {
    Any,
    Exact(String),
    /// This, a `+` and anything. The domain is an inside one.
    Tagged(String),
}

/// What is known of a domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Any,
    Exact(String),
    Below(String),
}

/// A set of addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Region {
    pub local: Local,
    pub domain: Place,
    /// Only those at inside domains.
    pub inside: bool,
}

/// What the keys of a list are asked of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Of {
    /// An address: local parts cover their extensions at inside domains.
    Whole,
    /// Its domain.
    Domain,
    /// Its local part, which is a key as it stands.
    Local,
}

/// How a list is looked up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lookup<'s, 't> {
    pub keys: &'s Keys<'t>,
    pub of: Of,
}

impl<'s> Lookup<'s, '_> {
    /// The keys that can leave anything of a region; all where that is not easily said.
    pub fn near(&self, region: &Region) -> impl Iterator<Item = &'s str> + use<'s> {
        let keys = self.keys;
        let at = |prefix: String| keys.beginning(&prefix);
        let ranges: [Range<usize>; 3] = match (&region.local, self.of) {
            (Local::Exact(own), Of::Whole) => {
                let base = base(own).map(|base| at(format!("{base}@")));
                [at("@".to_owned()), at(format!("{own}@")), base.unwrap_or_default()]
            }
            (Local::Tagged(base), Of::Whole) => {
                [at("@".to_owned()), at(format!("{base}+")), at(format!("{base}@"))]
            }
            (Local::Exact(own), Of::Local) => [at(own.clone()), 0..0, 0..0],
            (Local::Tagged(base), Of::Local) => [at(format!("{base}+")), 0..0, 0..0],
            _ => [0..keys.len(), 0..0, 0..0],
        };
        ranges.into_iter().flatten().filter_map(|place| keys.get(place))
    }
}

/// The local part before its `+extension`, where it has one and something stands before it.
pub(super) fn base(local: &str) -> Option<&str> {
    local.split_once('+').map(|(base, _)| base).filter(|base| !base.is_empty())
}

/// Whether a domain is an inside one.
pub(super) fn is_inside(inside: &Keys<'_>, domain: &str) -> bool {
    inside.holds(&format!("@{domain}"))
}

/// Whether a key holds for a bare domain.
pub(super) fn holds_domain(keys: &Keys<'_>, domain: &str) -> bool {
    keys.holds(&format!("@{domain}")) || parents(domain).any(|up| keys.holds(&format!("@.{up}")))
}

/// Whether a key holds for an address.
pub(super) fn holds_address(keys: &Keys<'_>, inside: &Keys<'_>, local: &str, domain: &str) -> bool {
    let named = |local: &str| keys.holds(&format!("{local}@{domain}")) || keys.holds(&format!("{local}@"));
    holds_domain(keys, domain)
        || (!local.is_empty() && named(local))
        || base(local).is_some_and(|base| named(base) && is_inside(inside, domain))
}

fn below(domain: &str, up: &str) -> bool {
    domain.strip_suffix(up).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

impl Place {
    fn meet(&self, domain: &str) -> Option<Self> {
        Some(match (self, domain, domain.strip_prefix('.')) {
            (place, "", _) => place.clone(),
            (Self::Any, _, Some(up)) => Self::Below(up.to_owned()),
            (Self::Any, exact, None) => Self::Exact(exact.to_owned()),
            (Self::Exact(a), _, Some(up)) => below(a, up).then(|| self.clone())?,
            (Self::Exact(a), exact, None) => (a == exact).then(|| self.clone())?,
            (Self::Below(a), _, Some(up)) if a == up || below(a, up) => self.clone(),
            (Self::Below(a), _, Some(up)) => below(up, a).then(|| Self::Below(up.to_owned()))?,
            (Self::Below(a), exact, None) => below(exact, a).then(|| Self::Exact(exact.to_owned()))?,
        })
    }

    fn holds(&self, domain: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact == domain,
            Self::Below(up) => below(domain, up),
        }
    }
}

impl Region {
    /// All addresses.
    pub fn all() -> Self {
        Self { local: Local::Any, domain: Place::Any, inside: false }
    }

    /// What a key leaves of it, in parts; the address as the key has it first.
    pub fn meet(&self, key: &str, of: Of, inside: &Keys<'_>) -> impl Iterator<Item = Self> {
        let parts = match of {
            Of::Local => Some((key, self.domain.clone())),
            _ => key.rsplit_once('@').and_then(|(local, domain)| Some((local, self.domain.meet(domain)?))),
        };
        let tagged = of == Of::Whole;
        let mut out = [None, None];
        if let Some((local, domain)) = parts {
            let covers = tagged && !local.contains('+') && !local.is_empty();
            let exact = |local: &str| Some((Local::Exact(local.to_owned()), self.inside));
            let found = match &self.local {
                // No local part is empty, and no domain has one.
                _ if (of == Of::Local) == local.is_empty() && of != Of::Whole => [None, None],
                own if local.is_empty() => [Some((own.clone(), self.inside)), None],
                Local::Any => [exact(local), covers.then(|| (Local::Tagged(local.to_owned()), true))],
                Local::Exact(own) if own == local => [exact(own), None],
                Local::Exact(own) if covers && base(own) == Some(local) => {
                    [Some((Local::Exact(own.clone()), true)), None]
                }
                Local::Tagged(own) if base(local) == Some(own) => [exact(local), None],
                Local::Tagged(own) if covers && own == local => [Some((self.local.clone(), true)), None],
                Local::Exact(_) | Local::Tagged(_) => [None, None],
            };
            out = found.map(|part| {
                let (local, only) = part?;
                let fits = !matches!(&domain, Place::Exact(d) if only && !is_inside(inside, d));
                fits.then(|| Self { local, domain: domain.clone(), inside: only })
            });
        }
        out.into_iter().flatten()
    }

    /// Whether a domain is one of its domains, inside or not.
    pub fn holds_domain(&self, domain: &str) -> bool {
        self.domain.holds(domain)
    }

    /// Whether it has an address.
    pub fn holds(&self, local: &str, domain: &str, inside: &Keys<'_>) -> bool {
        let fits = match &self.local {
            Local::Any => true,
            Local::Exact(own) => own == local,
            Local::Tagged(own) => base(local) == Some(own),
        };
        fits && self.domain.holds(domain) && (!self.inside || is_inside(inside, domain))
    }

    /// The same at each of its inside domains.
    pub fn at_inside(&self, inside: &Keys<'_>) -> impl Iterator<Item = Self> {
        let domains = inside.iter().filter_map(|key| key.strip_prefix('@'));
        domains.filter(|domain| self.domain.holds(domain)).map(|domain| Self {
            local: self.local.clone(),
            domain: Place::Exact(domain.to_owned()),
            inside: true,
        })
    }

    /// Whether these keys hold for every bare domain of it.
    pub fn domains_within(&self, keys: &Keys<'_>) -> bool {
        match &self.domain {
            Place::Any => false,
            Place::Exact(d) => holds_domain(keys, d),
            Place::Below(d) => {
                keys.holds(&format!("@.{d}")) || parents(d).any(|up| keys.holds(&format!("@.{up}")))
            }
        }
    }

    /// Whether these keys hold for every address of it, as far as single keys tell.
    pub fn within(&self, keys: &Keys<'_>) -> bool {
        let named = |local: &str| {
            keys.holds(&format!("{local}@"))
                || matches!(&self.domain, Place::Exact(d) if keys.holds(&format!("{local}@{d}")))
        };
        let by_local = match &self.local {
            Local::Any => false,
            Local::Exact(local) => named(local) || (self.inside && base(local).is_some_and(&named)),
            Local::Tagged(base) => named(base),
        };
        by_local || self.domains_within(keys)
    }
}
