//! The table as a value: what the compiler lowers to, what `emit` turns into bytes, what `show` dumps.
//!
//! Canonical by construction of [`Table::canonical`]: rules in order of kind and rank, so that moving
//! a rule in the text changes provenance only. Everything here is bounded by the compiler; `load`
//! checks it again, since an artifact comes from outside.

mod action;
mod profile;

pub use action::*;
pub use profile::*;

use crate::fact::Fact;
use serde::{Deserialize, Serialize};

/// The whole decision table as an owned value.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Table {
    /// Settings.
    pub profile: Profile,
    /// Lists, named and anonymous (a single value in a condition is a list of one).
    pub lists: Vec<List>,
    /// Distinct tests.
    pub predicates: Vec<Predicate>,
    /// Condition nodes; children stand before their parents.
    pub conditions: Vec<Condition>,
    /// Rules in order of kind, then rank.
    pub rules: Vec<Rule>,
    /// Expanded aliases, sorted by key.
    pub aliases: Vec<Alias>,
    /// Named relays, sorted by name.
    pub relays: Vec<Relay>,
    /// Groups, sorted by name; members as pattern keys.
    pub groups: Vec<Group>,
    /// Where everything came from. No part of the policy digest.
    pub provenance: Provenance,
}

/// Place of a list in [`Table::lists`].
pub type ListId = u32;
/// Place of a predicate in [`Table::predicates`].
pub type PredicateId = u32;
/// Place of a node in [`Table::conditions`].
pub type ConditionId = u32;

/// A list of values of one type.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct List {
    /// The name that rules write; none for values written in a condition.
    pub name: Option<String>,
    /// What it holds.
    pub kind: ListKind,
    /// Entries, sorted by bytes, without duplicates: pattern keys, networks or folded texts.
    pub entries: Entries,
}

/// What a list holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum ListKind {
    /// Addresses and domains, as [`Pattern::key`](crate::value::Pattern::key).
    Mailbox,
    /// Networks, as `192.0.2.0/24`.
    Network,
    /// Texts, folded.
    Text,
}

/// Many short strings in one allocation.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Entries {
    bytes: String,
    ends: Vec<u32>,
}

/// People read the entries one by one; programs read two fields.
impl Serialize for Entries {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_seq(self.iter());
        }
        use serde::ser::SerializeStruct;
        let mut fields = serializer.serialize_struct("Entries", 2)?;
        fields.serialize_field("bytes", &self.bytes)?;
        fields.serialize_field("ends", &self.ends)?;
        fields.end()
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "Entries")]
        struct Fields {
            bytes: String,
            ends: Vec<u32>,
        }
        if deserializer.is_human_readable() {
            return Ok(Vec::<String>::deserialize(deserializer)?.iter().collect());
        }
        let Fields { bytes, ends } = Fields::deserialize(deserializer)?;
        Ok(Self { bytes, ends })
    }
}

impl Entries {
    /// Adds one at the end. False, and nothing is added, past 4 GiB in all.
    #[must_use]
    pub fn push(&mut self, entry: &str) -> bool {
        let Ok(end) = u32::try_from(self.bytes.len() + entry.len()) else {
            return false;
        };
        self.bytes.push_str(entry);
        self.ends.push(end);
        true
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&str> {
        let end = *self.ends.get(place)?;
        let start = match place.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.bytes.get(start as usize..end as usize)
    }

    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|place| self.get(place))
    }

    /// The same strings sorted by bytes, each once.
    #[must_use]
    pub fn sorted(&self) -> Self {
        let mut all: Vec<&str> = self.iter().collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter().collect()
    }
}

impl<S: AsRef<str>> FromIterator<S> for Entries {
    fn from_iter<I: IntoIterator<Item = S>>(iter: I) -> Self {
        let mut out = Self::default();
        for entry in iter {
            if !out.push(entry.as_ref()) {
                break;
            }
        }
        out
    }
}

impl std::fmt::Debug for Entries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// One distinct test on one fact.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Predicate {
    /// What is asked.
    pub fact: Fact,
    /// Header name in lower case, or DNS zone; empty where the fact takes none.
    pub parameter: String,
    /// The test. A fact with several values passes when any of them does.
    pub test: Test,
}

/// A test on a value.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Test {
    /// There is a value.
    Present,
    /// The flag is set.
    Set,
    /// The value is in a list: [`ListKind::Mailbox`] on addresses and domains (where the entry is the
    /// same domain or a parent), [`ListKind::Network`] on networks, [`ListKind::Text`] on texts (equal).
    InList(ListId),
    /// The folded text holds one of these folded literals. Sorted, without duplicates.
    Contains(Vec<String>),
    /// The folded text starts with one of these.
    StartsWith(Vec<String>),
    /// The folded text ends with one of these.
    EndsWith(Vec<String>),
    /// The folded text, or an address or domain in normal form, matches this glob from end to end:
    /// `*` any run, `?` one character, `\` before a character takes it as it is.
    Glob(String),
    /// This regex (regex-automata syntax) is found somewhere in the folded text; case folded.
    Regex(String),
    /// A number is less than this.
    Less(u64),
    /// A number is this or less.
    AtMost(u64),
    /// A number is this.
    Equal(u64),
    /// An enum's value is among the words whose bits are set.
    OneOf(u8),
    /// A number is more than this. Not the opposite of [`Self::AtMost`] where a fact has several values
    /// or none: some value passes.
    More(u64),
}

/// A node of a condition. Four-valued: no, pending, unknown, yes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Condition {
    /// Always.
    True,
    /// A test.
    Test(PredicateId),
    /// The opposite.
    Not(ConditionId),
    /// All of them. Never empty.
    All(Vec<ConditionId>),
    /// Any of them. Never empty.
    Any(Vec<ConditionId>),
}

/// The deepest nesting of a condition that the compiler emits and `load` takes.
pub const MAX_DEPTH: usize = 64;

/// What kind of thing a rule decides. Rules of a table are grouped by it, in this order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum Kind {
    /// `allow`, `reject`, `defer`, `hold`, `discard`: the first in rank wins.
    Verdict,
    /// `limit`: all that match.
    Limit,
    /// `bcc`: all that match.
    Bcc,
    /// `quota`: the first in rank for each `per`.
    Quota,
    /// `disclaimer`: the first in rank, and the next after a `continue`.
    Disclaimer,
    /// `route`: the first in rank.
    Route,
}

impl Kind {
    /// All, in order.
    pub const ALL: [Self; 6] =
        [Self::Verdict, Self::Limit, Self::Bcc, Self::Quota, Self::Disclaimer, Self::Route];
}

/// How far a rule is in force.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub enum Mode {
    /// Applied.
    #[default]
    Enforce,
    /// Decided and logged, not applied. Never delays, never defers.
    Audit,
}

/// One rule. `mode off` rules are not in a table; `active` is part of the condition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rule {
    /// Unique among all rules.
    pub name: String,
    /// Lower wins.
    pub priority: u32,
    /// In force or watched.
    pub mode: Mode,
    /// When it matches.
    pub condition: ConditionId,
    /// What it does; tells the kind.
    pub action: Action,
}

impl Rule {
    /// What kind of thing it decides.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.action {
            Action::Verdict(_) => Kind::Verdict,
            Action::Limit(_) => Kind::Limit,
            Action::Bcc(_) => Kind::Bcc,
            Action::Quota(_) => Kind::Quota,
            Action::Disclaimer(_) => Kind::Disclaimer,
            Action::Route(_) => Kind::Route,
        }
    }

    /// The order of rules in a table: kind, priority, verb (allow, reject, defer, hold, discard), name.
    #[must_use]
    pub fn rank(&self) -> (Kind, u32, u8, &str) {
        let verb = match &self.action {
            Action::Verdict(verdict) => verdict.verb as u8,
            _ => 0,
        };
        (self.kind(), self.priority, verb, &self.name)
    }
}

/// A named set of addresses.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Addresses in policy form, sorted.
    pub members: Vec<String>,
}

/// An alias, fully expanded at compile time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Alias {
    /// Pattern key: `sales@example.com`, or `@example.com` for a catch-all.
    pub key: String,
    /// Final addresses as the admin wrote them (case kept), in order, each once. Its own address among
    /// them means that it also delivers to its mailbox.
    pub members: Vec<String>,
    /// Replaces the envelope sender of what the alias sends on.
    pub owner: Option<String>,
    /// Members that it has through other lists, which keep owners of their own. None of them is among `members`.
    pub lists: Vec<Sublist>,
    /// Logins that own this address for `sender-must`, beside a sole member. Policy form.
    pub may_send: Vec<String>,
}

/// What an alias reaches through a list with an owner.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sublist {
    /// Replaces the envelope sender of what goes to these.
    pub owner: String,
    /// Final addresses as the admin wrote them, in order, each once.
    pub members: Vec<String>,
}

impl Alias {
    /// Every final address, each once, with the owner who answers for it.
    pub fn all(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let own = self.members.iter().map(|member| (member.as_str(), self.owner.as_deref()));
        let lists = self
            .lists
            .iter()
            .flat_map(|list| list.members.iter().map(|member| (member.as_str(), Some(list.owner.as_str()))));
        own.chain(lists)
    }

    /// The one final address, where there is no other.
    #[must_use]
    pub fn sole(&self) -> Option<&str> {
        let mut all = self.all();
        let (first, _) = all.next()?;
        all.next().is_none().then_some(first)
    }
}

/// Where a table came from. No part of the policy digest.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Provenance {
    /// BLAKE3 over all source files (path, length, bytes), hexadecimal.
    pub source_digest: String,
    /// Source files, relative to the rule folder, sorted.
    pub files: Vec<String>,
    /// For each rule of [`Table::rules`], where it stands.
    pub rules: Vec<Origin>,
    /// The compiler that made it: `edict 0.1.0`.
    pub compiler: String,
}

/// A place in a source file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Origin {
    /// Place in [`Provenance::files`].
    pub file: u32,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
}

impl Table {
    /// Brings rules (with their origins), aliases, relays and groups into the order of the format.
    /// Lists, predicates and conditions keep their places; the compiler interns them in that order.
    pub fn canonical(&mut self) {
        let origins = std::mem::take(&mut self.provenance.rules);
        let rules = std::mem::take(&mut self.rules);
        let padded = origins.into_iter().chain(std::iter::repeat(Origin::default()));
        let mut both: Vec<(Rule, Origin)> = rules.into_iter().zip(padded).collect();
        both.sort_by(|a, b| a.0.rank().cmp(&b.0.rank()));
        (self.rules, self.provenance.rules) = both.into_iter().unzip();
        self.aliases.sort_by(|a, b| a.key.cmp(&b.key));
        self.relays.sort_by(|a, b| a.name.cmp(&b.name));
        self.groups.sort_by(|a, b| a.name.cmp(&b.name));
    }
}
