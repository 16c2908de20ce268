//! Bytes to a loaded table.
//!
//! Never trusts a byte: the header, every length, offset, id, order and depth is checked once, in passes
//! that read the image from front to back, before anything is looked up. What is not stored (automata,
//! a record per fact) is built here, off the connection path. Lists, conditions, rules and postings are
//! used where they lie.

mod check;
mod columns;
mod frame;
mod nodes;
mod policy;
mod postings;
mod read_back;
mod sections;
pub(crate) mod view;

pub(crate) use columns::{Class, Column};
pub use sections::SectionSize;

use crate::fact::Fact;
use crate::facts::FactSet;
use crate::index::matcher::Matchers;
use crate::index::probe::{self, Index, shape};
use crate::index::store;
use crate::model::{Action, Alias, Group, Kind, Mode, Profile, Relay, Table};
use crate::signed::PublicKey;
use crate::value::Address;
use check::Filters;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use view::{Cold, Places, View, piece};
use yoke::Yoke;

/// The bytes of an artifact, wherever they lie: a vector, a mapping, the program itself.
pub type Image = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// Why bytes are no table.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LoadError {
    /// Something is wrong; says what.
    #[error("the table is damaged: {0}")]
    Corrupt(String),
    /// It does not begin like a table.
    #[error("it does not begin as a decision table")]
    Magic,
    /// Shorter or longer than it says.
    #[error("the table is cut off or has something behind it: it says {said} bytes and has {found}")]
    Length {
        /// What its header says.
        said: u64,
        /// What there is.
        found: u64,
    },
    /// From a compiler that is too old for this program.
    #[error(
        "the table has format {found}, older than this program reads ({oldest}): update the `edict` that built it, and build it anew"
    )]
    TooOld {
        /// Its format.
        found: u32,
        /// The oldest that is read.
        oldest: u32,
    },
    /// From a compiler that is newer than this program.
    #[error(
        "the table has format {found}, newer than this program reads ({newest}): update this program (`edictd`, or the `edict` that shows it)"
    )]
    TooNew {
        /// Its format.
        found: u32,
        /// The newest that is read.
        newest: u32,
    },
    /// There is a signature, and it is not one of these bytes.
    #[error(
        "the signature of the table is wrong: it was changed after it was signed, or signed by somebody else"
    )]
    Signature,
    /// The bytes are not those that were written.
    #[error("the table is damaged: its checksum is wrong")]
    Checksum,
}

/// Says what is wrong.
fn corrupt(what: impl Into<String>) -> LoadError {
    LoadError::Corrupt(what.into())
}

/// A rule's place in the table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RuleId(pub u32);

/// A rule as logs, replies and `explain` name it.
#[derive(Clone, Copy, Debug)]
pub struct RuleRef<'a> {
    /// Its place.
    pub id: RuleId,
    /// Its name.
    pub name: &'a str,
    /// Its kind.
    pub kind: Kind,
    /// Lower wins.
    pub priority: u32,
    /// In force or watched.
    pub mode: Mode,
    /// What it does.
    pub action: &'a Action,
    /// File, relative to the rule folder.
    pub file: &'a str,
    /// Line, from 1.
    pub line: u32,
}

/// The outcome of `allow` and of no rule at all. Other outcomes are the places of their actions.
pub(crate) const ACCEPT: u32 = u32::MAX;

/// A validated artifact, ready to decide.
pub struct Loaded {
    held: Yoke<View<'static>, Image>,
    pub(crate) places: Places,
    /// Tells this table from every other one of this process.
    pub(crate) id: u64,
    digest: String,
    signer: Option<PublicKey>,
    profile: Profile,
    actions: Vec<Action>,
    /// For each action what it comes to: equal numbers are equal verbs and replies.
    outcomes: Vec<u32>,
    relays: Vec<Relay>,
    groups: Vec<Group>,
    aliases: Vec<Alias>,
    source_digest: String,
    files: Vec<String>,
    compiler: String,
    /// A record per fact (and parameter).
    pub(crate) columns: Vec<Column>,
    /// Columns with postings of verdicts in force: first the cheap ones, then texts.
    pub(crate) hot_columns: Vec<u32>,
    /// How many of them are cheap.
    pub(crate) hot_cheap: usize,
    /// Columns with other postings.
    pub(crate) cold_columns: Vec<u32>,
    /// Globs and regexes, by test.
    pub(crate) matchers: Matchers,
    /// What tells that a value is in no list.
    pub(crate) filters: Filters,
    /// For each condition, whether it hangs on the recipient.
    pub(crate) varies: Vec<bool>,
    /// The rules of each kind, in the order of [`Kind::ALL`].
    pub(crate) kinds: [Range<u32>; 6],
    /// Whether verdict rules are on trial; found out when somebody asks.
    pub(crate) audits: OnceLock<bool>,
    /// Verdict rules in force that ask a DNS list, best rank first; found out when one is asked.
    pub(crate) listing: OnceLock<Vec<u32>>,
    named_lists: HashMap<String, u32>,
    local: HashSet<String>,
    inside: HashSet<String>,
    trusted: policy::Ranges,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("digest", &self.digest).finish_non_exhaustive()
    }
}

static NEXT: AtomicU64 = AtomicU64::new(1);

impl Loaded {
    /// Validates an artifact whole and builds what is not stored (automata).
    ///
    /// # Errors
    /// Whatever is wrong with it: magic, version, length, checksum, any offset, id or order.
    pub fn new(image: Image) -> Result<Self, LoadError> {
        let broken = || corrupt("a section holds a broken record");
        let mut frame = None;
        let held = Yoke::<View<'static>, Image>::try_attach_to_cart(image, |image| {
            let bytes = image.as_ref();
            let frame = frame.insert(frame::check(bytes)?);
            View::new(bytes, &frame.places).ok_or_else(broken)
        })?;
        let frame = frame.ok_or_else(broken)?;
        let view = held.get();
        let cold = Cold::new(view.image, &frame.places).ok_or_else(broken)?;
        let values = policy::read(view.image, &frame.places)?;
        let (shapes, filters) = check::lists(view, &cold, &values)?;
        check::predicates(view, &cold)?;
        let varies = nodes::check(view, &cold)?;
        let kinds = check::rules(view, &cold, &values)?;
        postings::check(view)?;
        let built = columns::build(view, &cold, &shapes)?;
        let named_lists = check::named_lists(view, &cold)?;
        let outcomes = policy::outcomes(&values.actions);
        let local: HashSet<String> = values.profile.local_domains.iter().cloned().collect();
        let relayed = values.profile.relay_domains.iter().map(|r| r.domain.clone());
        let inside = local.iter().cloned().chain(relayed).collect();
        let trusted = policy::Ranges::new(&values.profile.trusted_networks)?;
        Ok(Self {
            places: frame.places,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            digest: frame.digest,
            signer: frame.signer,
            profile: values.profile,
            actions: values.actions,
            outcomes,
            relays: values.relays,
            groups: values.groups,
            aliases: values.aliases,
            source_digest: values.source_digest,
            files: values.files,
            compiler: values.compiler,
            columns: built.columns,
            hot_columns: built.hot,
            hot_cheap: built.hot_cheap,
            cold_columns: built.cold,
            matchers: Matchers::new(built.matchers, store::BUDGET),
            filters,
            varies,
            kinds,
            audits: OnceLock::new(),
            listing: OnceLock::new(),
            named_lists,
            local,
            inside,
            trusted,
            held,
        })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.view().image
    }

    /// The sections that decisions read.
    #[inline]
    pub(crate) fn view(&self) -> &View<'_> {
        self.held.get()
    }

    /// The policy digest, 64 hexadecimal digits. Logs show the first 12.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Who signed it; the signature was found right.
    #[must_use]
    pub fn signer(&self) -> Option<PublicKey> {
        self.signer
    }

    /// The digest of the sources it was built from, hexadecimal.
    #[must_use]
    pub fn source_digest(&self) -> &str {
        &self.source_digest
    }

    /// The compiler that made it: `edict 0.1.0`.
    #[must_use]
    pub fn compiler(&self) -> &str {
        &self.compiler
    }

    /// Settings.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// A rule by its place.
    #[must_use]
    pub fn rule(&self, id: RuleId) -> Option<RuleRef<'_>> {
        let view = self.view();
        let record = view.rules.get(id.0 as usize)?;
        let origin = Cold::new(self.bytes(), &self.places)?.origins.get(id.0 as usize).copied();
        let file = origin.and_then(|o| self.files.get(o.file.get() as usize)).map_or("", String::as_str);
        Some(RuleRef {
            id,
            name: view.text(record.name)?,
            kind: *Kind::ALL.get(usize::from(record.kind))?,
            priority: record.priority.get(),
            mode: if record.mode == 0 { Mode::Enforce } else { Mode::Audit },
            action: self.actions.get(record.action.get() as usize)?,
            file,
            line: origin.map_or(0, |o| o.line.get()),
        })
    }

    /// How many rules there are of all kinds.
    #[must_use]
    pub fn rule_count(&self) -> usize {
        self.kinds.last().map_or(0, |range| range.end as usize)
    }

    /// The rules of a kind, best rank first.
    pub fn rules_of(&self, kind: Kind) -> impl Iterator<Item = RuleId> {
        self.kinds.get(kind as usize).cloned().unwrap_or_default().map(RuleId)
    }

    /// What a rule's action comes to: [`ACCEPT`], or a number that equal verbs and replies share.
    pub(crate) fn outcome(&self, action: u32) -> u32 {
        self.outcomes.get(action as usize).copied().unwrap_or(ACCEPT)
    }

    /// The zones that `client.ip is listed in` asks about, each once.
    pub fn zones(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().filter(|c| c.fact == Fact::ClientListed).map(|c| c.parameter.as_str())
    }

    /// The place of a zone among [`Loaded::zones`].
    pub(crate) fn zone_place(&self, zone: &str) -> usize {
        self.zones().take_while(|other| *other != zone).count()
    }

    /// The zones that [`Fact::ClientListed`] stands for in what a decision needs.
    pub fn zones_of(&self, need: FactSet) -> impl Iterator<Item = &str> {
        self.zones().enumerate().filter(move |(place, _)| need.wants_zone(*place)).map(|(_, zone)| zone)
    }

    /// The alias for an address: exact, then without `+ext` (inside), then `@domain`.
    #[must_use]
    pub fn alias(&self, address: &Address) -> Option<&Alias> {
        let aliases = Cold::new(self.bytes(), &self.places)?.aliases;
        let get = |key: &str| aliases.get(key.as_bytes());
        let place = get(address.as_str())
            .or_else(|| get(self.bare(address)?.as_str()))
            .or_else(|| get(address.domain()))?;
        self.aliases.get(place as usize)
    }

    /// The address without `+ext`, where it has one and is inside.
    fn bare(&self, address: &Address) -> Option<Address> {
        self.base(address).and_then(|_| address.without_extension())
    }

    /// Its local part without `+ext`, where it has one and is inside.
    #[inline]
    pub(crate) fn base<'t>(&self, address: &'t Address) -> Option<&'t str> {
        let base = address.base()?;
        self.is_inside(address.domain()).then_some(base)
    }

    /// All aliases, sorted by key.
    #[must_use]
    pub fn aliases(&self) -> &[Alias] {
        &self.aliases
    }

    /// A relay by name.
    #[must_use]
    pub fn relay(&self, name: &str) -> Option<&Relay> {
        let place = self.relays.binary_search_by(|r| r.name.as_str().cmp(name)).ok()?;
        self.relays.get(place)
    }

    /// Whether a named list holds the address (at inside domains also without `+ext`).
    #[must_use]
    pub fn list_holds(&self, name: &str, address: &Address) -> bool {
        let Some(list) = self.named_lists.get(name) else { return false };
        let Some(cold) = Cold::new(self.bytes(), &self.places) else { return false };
        let mut found = false;
        let index = Index { keys: &self.view().mailboxes, filter: &self.filters.mailboxes };
        let mut hit = |set| {
            let lists = piece(cold.set_list_ends, cold.set_lists, set);
            found |= lists.binary_search_by_key(list, |l| l.get()).is_ok();
        };
        probe::address(index, address, shape::ALL, &mut hit);
        if let Some(bare) = self.bare(address) {
            probe::local(index, bare.as_str(), bare.local().len(), shape::ALL, &mut hit);
        }
        found
    }

    /// Whether a domain (normal form) is a local domain.
    #[must_use]
    pub fn is_local(&self, domain: &str) -> bool {
        self.local.contains(domain)
    }

    /// Whether a domain is local or a relay domain.
    #[must_use]
    pub fn is_inside(&self, domain: &str) -> bool {
        self.inside.contains(domain)
    }

    /// Whether an address is in a trusted network.
    #[must_use]
    pub fn is_trusted(&self, ip: IpAddr) -> bool {
        self.trusted.holds(crate::value::canonical_ip(ip))
    }

    /// Reads the whole table back, for `show`, `explain` and `diff`.
    #[must_use]
    pub fn to_table(&self) -> Table {
        read_back::table(self).unwrap_or_default()
    }
}
