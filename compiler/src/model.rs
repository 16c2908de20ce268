//! A rule set with its names resolved and its values typed: what `resolve` makes and `check` reads.
//!
//! Every value is in the normal form of [`edict_table::value`]; every name is a place in a vector here.
//! Spans stay, so that later stages can point at the text. The reference interpreter of the tests works
//! on this, not on the table. Nothing here decides or reports.

use crate::span::Span;
use edict_table::fact::Fact;
use edict_table::model::{Action, Entries, Host, ListKind, Mode, Profile, RelayTls};
use edict_table::value::{Address, Domain};
use std::collections::{BTreeMap, BTreeSet};

/// A whole rule set.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Settings, typed, with the defaults filled in.
    pub profile: Profile,
    /// The local domain that is written first; bare names belong to it.
    pub first_local: Option<String>,
    /// Where each setting that was written stands, by its name in the language.
    pub settings: BTreeMap<String, Span>,
    /// Where single values of them stand, by setting and value in normal form. Of a domain alias: where the
    /// alias stands, and with `is` as the setting, where what it stands for does.
    pub values: BTreeMap<(&'static str, String), Span>,
    /// Settings of which something was wrong, which was told: what the profile holds for them is a guess,
    /// from which nothing is to be concluded.
    pub faulty: BTreeSet<&'static str>,
    /// Lists, the three built-in ones first.
    pub lists: Vec<ListDef>,
    /// Groups.
    pub groups: Vec<GroupDef>,
    /// Aliases as written.
    pub aliases: Vec<AliasDef>,
    /// Relays.
    pub relays: Vec<RelayDef>,
    /// Rules, in no order that matters.
    pub rules: Vec<RuleDef>,
    /// What could be read of rules in which something was wrong, so that what else is wrong in them is
    /// told too.
    pub unsound: Vec<RuleDef>,
}

/// Place in [`Model::lists`].
pub type ListRef = usize;
/// Place in [`Model::groups`].
pub type GroupRef = usize;

/// Place of the built-in list `local-domains` in [`Model::lists`].
pub const LOCAL_DOMAINS: ListRef = 0;
/// Place of the built-in list `relay-domains`.
pub const RELAY_DOMAINS: ListRef = 1;
/// Place of the built-in list `trusted`.
pub const TRUSTED: ListRef = 2;

/// What a list was declared to hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListType {
    /// Addresses, of all four shapes.
    Address,
    /// Domains.
    Domain,
    /// Networks.
    Network,
    /// Texts.
    Text,
}

impl ListType {
    /// The word that declarations write.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Domain => "domain",
            Self::Network => "network",
            Self::Text => "text",
        }
    }

    /// The words for one of them.
    #[must_use]
    pub fn one(self) -> &'static str {
        match self {
            Self::Address => "an address",
            Self::Domain => "a domain",
            Self::Network => "a network",
            Self::Text => "a text",
        }
    }

    /// The word for several of them.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Self::Address => "addresses",
            Self::Domain => "domains",
            Self::Network => "networks",
            Self::Text => "texts",
        }
    }

    /// The kind of its index in the table.
    #[must_use]
    pub fn kind(self) -> ListKind {
        match self {
            Self::Address | Self::Domain => ListKind::Mailbox,
            Self::Network => ListKind::Network,
            Self::Text => ListKind::Text,
        }
    }
}

/// A named list.
#[derive(Clone, Debug)]
pub struct ListDef {
    /// Its name.
    pub name: String,
    /// What it was declared to hold.
    pub ty: ListType,
    /// Entries in normal form, sorted by bytes, each once.
    pub entries: Entries,
    /// The name where it is defined.
    pub span: Span,
    /// Whether anything names it.
    pub used: bool,
}

/// A named set of addresses.
#[derive(Clone, Debug)]
pub struct GroupDef {
    /// Its name.
    pub name: String,
    /// Members in order; groups within groups are already opened.
    pub members: Vec<Mailbox>,
    /// The name where it is defined.
    pub span: Span,
    /// Whether anything names it.
    pub used: bool,
}

/// An address as somebody wrote it, with its policy form.
#[derive(Clone, Debug)]
pub struct Mailbox {
    /// Case kept, domain as A-labels, domain aliases replaced.
    pub wire: String,
    /// What is compared.
    pub address: Address,
    /// Where.
    pub span: Span,
}

/// What an alias stands for.
#[derive(Clone, Debug)]
pub enum AliasKey {
    /// One address.
    Exact(Address),
    /// A bare name (folded): that local part at every local domain that has no alias of its own for it.
    Bare(String),
    /// Every address at a domain that no other alias names.
    CatchAll(Domain),
}

impl AliasKey {
    /// As messages name it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Exact(address) => address.as_str().to_owned(),
            Self::Bare(local) => local.clone(),
            Self::CatchAll(domain) => format!("@{domain}"),
        }
    }
}

/// A member of an alias.
#[derive(Clone, Debug)]
pub enum Member {
    /// An address, perhaps an alias itself.
    Mailbox(Mailbox),
    /// Everyone in a group.
    Group(GroupRef),
}

/// An alias as written, not expanded yet.
#[derive(Clone, Debug)]
pub struct AliasDef {
    /// What it stands for.
    pub key: AliasKey,
    /// Where its mail goes.
    pub members: Vec<Member>,
    /// Replaces the envelope sender of what it sends on.
    pub owner: Option<Mailbox>,
    /// Logins that own the address beside a sole member.
    pub may_send: Vec<Member>,
    /// The key where it is defined.
    pub span: Span,
}

/// A named next hop.
#[derive(Clone, Debug)]
pub struct RelayDef {
    /// Its name.
    pub name: String,
    /// Hosts in the order of failover, with their places.
    pub hosts: Vec<(Host, Span)>,
    /// How the connection is protected.
    pub tls: RelayTls,
    /// Name of a login in the daemon's configuration.
    pub credentials: Option<(String, Span)>,
    /// The name where it is defined.
    pub span: Span,
    /// Whether anything names it.
    pub used: bool,
}

/// How far a rule is in force, `off` included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RuleMode {
    /// Applied or watched.
    On(Mode),
    /// Checked, and left out of the table.
    Off,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct RuleDef {
    /// Unique among all rules.
    pub name: String,
    /// The name where it is defined.
    pub span: Span,
    /// Lower wins.
    pub priority: u32,
    /// In force, watched or off.
    pub mode: RuleMode,
    /// `when`, `unless` and `active` in one. Of an unsound rule all tests that could be read.
    pub condition: Cond,
    /// The condition is all that was written.
    pub whole: bool,
    /// Where the exceptions stand, one a clause `unless`.
    pub excepts: Vec<Span>,
    /// A `not` stands behind `when`; `is absent` and comparisons of numbers are none.
    pub nots: bool,
    /// What it does. Names of relays stand in it as written, checked to exist.
    pub action: Action,
    /// Where clauses of interest stand: `reply`, `to`, `text`, `html`, `via` and so on.
    pub clauses: BTreeMap<&'static str, Span>,
}

impl RuleDef {
    /// Where a clause stands; the rule's name where it has none.
    #[must_use]
    pub fn clause(&self, name: &str) -> Span {
        self.clauses.get(name).copied().unwrap_or(self.span)
    }
}

/// A condition over typed tests. [`Cond::all`], [`Cond::any`] and [`Cond::negate`] keep it flat.
#[derive(Clone, Debug)]
pub enum Cond {
    /// Always.
    True,
    /// A test.
    Test(Box<Test>),
    /// The opposite.
    Not(Box<Cond>),
    /// All of them.
    All(Vec<Cond>),
    /// Any of them.
    Any(Vec<Cond>),
}

impl Cond {
    /// All of them; flat, and without what always holds.
    #[must_use]
    pub fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut out = Vec::new();
        for part in parts {
            match part {
                Self::True => {}
                Self::All(inner) => out.extend(inner),
                part => out.push(part),
            }
        }
        match out.len() {
            0 => Self::True,
            1 => out.pop().unwrap_or(Self::True),
            _ => Self::All(out),
        }
    }

    /// Any of them; flat. None of none holds.
    #[must_use]
    pub fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut out = Vec::new();
        for part in parts {
            match part {
                Self::True => return Self::True,
                Self::Any(inner) => out.extend(inner),
                part => out.push(part),
            }
        }
        match out.len() {
            0 => Self::Not(Box::new(Self::True)),
            1 => out.pop().unwrap_or(Self::True),
            _ => Self::Any(out),
        }
    }

    /// The opposite, without double negation.
    #[must_use]
    pub fn negate(self) -> Self {
        match self {
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    /// Calls `f` with every test and whether it stands under an odd number of negations.
    pub fn visit<'a>(&'a self, f: &mut impl FnMut(&'a Test, bool)) {
        self.visit_under(false, f);
    }

    fn visit_under<'a>(&'a self, negated: bool, f: &mut impl FnMut(&'a Test, bool)) {
        match self {
            Self::True => {}
            Self::Test(test) => f(test, negated),
            Self::Not(inner) => inner.visit_under(!negated, f),
            Self::All(parts) | Self::Any(parts) => {
                for part in parts {
                    part.visit_under(negated, f);
                }
            }
        }
    }
}

/// A typed test.
#[derive(Clone, Debug)]
pub struct Test {
    /// What is asked.
    pub fact: Fact,
    /// Header name in lower case, or DNS zone; empty where the fact takes none.
    pub parameter: String,
    /// What is asked of it.
    pub op: Op,
    /// Where it stands.
    pub span: Span,
}

impl Test {
    /// The fact as rules write it.
    #[must_use]
    pub fn written(&self) -> String {
        let name = self.fact.row().name;
        if self.parameter.is_empty() { name.to_owned() } else { format!("{name}(\"{}\")", self.parameter) }
    }
}

/// What a test asks of a value.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Op {
    /// There is one.
    Present,
    /// The flag is set.
    Set,
    /// It is in this set.
    In(Set),
    /// The text holds one of these folded literals. Sorted.
    Contains(Vec<String>),
    /// The text holds one of the entries of a list.
    ContainsList(ListRef),
    /// The text starts with one of these.
    StartsWith(Vec<String>),
    /// The text starts with one of the entries of a list.
    StartsWithList(ListRef),
    /// The text ends with one of these.
    EndsWith(Vec<String>),
    /// The text ends with one of the entries of a list.
    EndsWithList(ListRef),
    /// The whole matches this glob.
    Glob(String),
    /// This regex is found in it.
    Regex(String),
    /// It is less.
    Less(u64),
    /// It is this or less.
    AtMost(u64),
    /// It is more; where a fact has several values or none, some value is.
    More(u64),
    /// It is this.
    Equal(u64),
    /// Its place is among these bits.
    OneOf(u8),
}

impl Op {
    /// Whether the opposite is written without `not`: `is absent`, `>` for `<=`.
    #[must_use]
    pub fn has_opposite(&self) -> bool {
        matches!(self, Self::Present | Self::Less(_) | Self::AtMost(_))
    }
}

/// A set of values of one type.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Set {
    /// A named list.
    List(ListRef),
    /// The members of a group, as addresses or as logins.
    Group(GroupRef, ListKind),
    /// Written in the condition: entries in normal form, sorted, each once.
    Values(ListKind, Vec<String>),
}
