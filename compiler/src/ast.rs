//! The syntax of a rule file as owned values: what `parse` reads and `resolve` takes.
//!
//! A typed reading of the lossless [`Tree`](crate::tree::Tree), made in the same pass and with a span on
//! everything. Names and values are kept as written beside their lexical class; whether `a.b` is a
//! domain, and whether it should be one, is for `resolve` to say. What could not be read is left out:
//! an absent part of a `broken` item has had its diagnostic already, so nobody should report it again.

mod condition;
mod rule;
mod setting;
mod testing;

pub use condition::*;
pub use rule::*;
pub use setting::*;
pub use testing::*;

use crate::span::{FileId, Span};

/// A value and where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Spanned<T> {
    /// What was read.
    pub value: T,
    /// Where.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Puts both together.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// A bare word as written: a name, an address, a domain, a network.
pub type Word = Spanned<String>;

/// A quoted text.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Text {
    /// With its escapes resolved.
    pub value: String,
    /// Written over several lines, between `"""`.
    pub block: bool,
    /// Where, quotes and all.
    pub span: Span,
}

/// A value in a list or a test.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Value {
    /// As written; of a quoted text what it says, escapes resolved.
    pub text: String,
    /// What it looks like.
    pub class: Class,
    /// Where.
    pub span: Span,
}

/// What a value looks like, before anybody knows what it should be.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// A bare word: address, domain, network, enum word, name.
    Word,
    /// A quoted text.
    Text,
    /// Digits alone.
    Number(u64),
    /// Digits and a unit of size, in bytes.
    Size(u64),
    /// Digits and a unit of time, in seconds.
    Duration(u64),
}

/// One entry of `[…]`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Entry {
    /// A value.
    Value(Value),
    /// `group NAME`: its members.
    Group(Word),
}

impl Entry {
    /// Where it stands.
    #[must_use]
    pub fn span(&self) -> Span {
        match self {
            Self::Value(value) => value.span,
            Self::Group(name) => name.span,
        }
    }
}

/// `[…]`, or one entry alone where the grammar allows that.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entries {
    /// In the order of the text.
    pub entries: Vec<Entry>,
    /// Where, brackets and all.
    pub span: Span,
}

/// One rule file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ast {
    /// Which file.
    pub file: FileId,
    /// `edict N`, once it was read.
    pub edition: Option<Spanned<u32>>,
    /// In the order of the text, which means nothing.
    pub items: Vec<Item>,
    /// Whole items, or files that it imports, could not be read, which was reported: what they define
    /// is not known.
    pub partial: bool,
    /// Statements that a syntax error stands in, which was reported: nothing else is told of them.
    pub damaged: Vec<Span>,
}

/// What stands at the top level of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// `import "access/*.edict"`
    Import(Import),
    /// `profile { … }`
    Profile(Profile),
    /// `list NAME: TYPE = […]` or `list NAME: TYPE from "file"`
    List(List),
    /// `group NAME = […]`
    Group(Group),
    /// `alias ADDRESS = […]`
    Alias(Alias),
    /// `aliases from "file"`
    Aliases(Aliases),
    /// `allow`, `reject`, `defer`, `hold`, `discard`, `limit`, `bcc`, `quota`, `disclaimer`, `route`
    Rule(Rule),
    /// `relay NAME { … }`
    Relay(Relay),
    /// `test "…" { … }`
    Test(Box<Test>),
}

impl Item {
    /// The whole of it.
    #[must_use]
    pub fn span(&self) -> Span {
        match self {
            Self::Import(x) => x.span,
            Self::Profile(x) => x.span,
            Self::List(x) => x.span,
            Self::Group(x) => x.span,
            Self::Alias(x) => x.span,
            Self::Aliases(x) => x.span,
            Self::Rule(x) => x.span,
            Self::Relay(x) => x.span,
            Self::Test(x) => x.span,
        }
    }
}

/// `import "access/*.edict"`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Import {
    /// A path relative to the file, `*` and `?` within a name.
    pub path: Text,
    /// The whole item.
    pub span: Span,
}

/// `list NAME: TYPE …`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct List {
    /// Its name.
    pub name: Word,
    /// What it holds; absent if that could not be read.
    pub ty: Option<Spanned<ListType>>,
    /// Its entries; absent if they could not be read.
    pub body: Option<ListBody>,
    /// A syntax error inside was reported.
    pub broken: bool,
    /// The whole item.
    pub span: Span,
}

/// The type of a list's entries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ListType {
    /// Addresses and address patterns.
    Address,
    /// Domains and `.domains`.
    Domain,
    /// Networks.
    Network,
    /// Texts.
    Text,
}

impl ListType {
    /// The word that rules write.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Domain => "domain",
            Self::Network => "network",
            Self::Text => "text",
        }
    }
}

/// Where a list's entries are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ListBody {
    /// `= […]`
    Inline(Entries),
    /// `from "file"`, relative to the file that says so.
    From(Text),
}

/// `group NAME = […]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// Its name.
    pub name: Word,
    /// Addresses and other groups; absent if they could not be read.
    pub members: Option<Entries>,
    /// A syntax error inside was reported.
    pub broken: bool,
    /// The whole item.
    pub span: Span,
}

/// `alias ADDRESS = […] { owner … may-send … }`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alias {
    /// What it is an alias for: an address, `@domain`, or a bare name at the first local domain.
    pub address: Word,
    /// Addresses, bare names and groups; absent if they could not be read.
    pub members: Option<Entries>,
    /// Envelope sender of what the alias sends on.
    pub owner: Option<Word>,
    /// Who may send as this address.
    pub may_send: Option<Entries>,
    /// A remark.
    pub note: Option<Text>,
    /// A syntax error inside was reported.
    pub broken: bool,
    /// The whole item.
    pub span: Span,
}

/// `aliases from "file"`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Aliases {
    /// An aliases(5) file, relative to the file that says so.
    pub path: Text,
    /// The whole item.
    pub span: Span,
}

/// `relay NAME { … }`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Relay {
    /// Its name.
    pub name: Word,
    /// Hosts in the order of failover, `name:port` as written; absent if they could not be read.
    pub hosts: Option<Entries>,
    /// How the connection is protected.
    pub tls: Option<Spanned<edict_table::model::RelayTls>>,
    /// A name in the daemon's configuration.
    pub credentials: Option<Text>,
    /// A remark.
    pub note: Option<Text>,
    /// A syntax error inside was reported.
    pub broken: bool,
    /// The whole item.
    pub span: Span,
}
