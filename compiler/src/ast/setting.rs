//! The profile.

use super::{Entries, Spanned, Text, Value, Word};
use crate::span::Span;

/// `profile { … }`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Profile {
    /// Each name once; a second one has had its diagnostic.
    pub settings: Vec<Setting>,
    /// Settings whose values could not be read, which was reported.
    pub unread: Vec<&'static str>,
    /// A syntax error inside was reported.
    pub broken: bool,
    /// The keyword that opens it.
    pub keyword: Span,
    /// The whole item.
    pub span: Span,
}

/// One setting. Only known names get here, each with the shape that [`SettingValue`] states for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    /// Its name, one of [`SETTINGS`](crate::parse::words::SETTINGS).
    pub name: Spanned<&'static str>,
    /// What it is set to.
    pub value: SettingValue,
    /// The whole clause.
    pub span: Span,
}

/// What a setting is set to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SettingValue {
    /// `hostname`
    Word(Word),
    /// `banner`, `time-zone`
    Text(Text),
    /// `max-message-size`, `max-attachment-size`, `max-recipients`, `max-hops`, `junk-commands`:
    /// the class tells a size from a count.
    Amount(Value),
    /// `auth`, `auth-without-tls`, `auth-for-trusted`, `sender-must`, `forward-sender`, `helo`, `vrfy`,
    /// `envelope-syntax`, `pipelining`: one of the words that the language page lists.
    Choice(Spanned<&'static str>),
    /// `local-domains`, `trusted-networks`, `postmaster`, `notice-copies`
    Set(Entries),
    /// `domain-aliases [a is b]`
    DomainAliases(Vec<DomainAlias>),
    /// `relay-domains [a via b]`
    RelayDomains(Vec<RelayDomain>),
    /// `recipients known`
    Recipients(Spanned<Recipients>),
    /// `auto-forwarding off except […]`
    AutoForwarding {
        /// Whether it may leave.
        on: Spanned<bool>,
        /// For whom the opposite holds.
        except: Option<Entries>,
    },
    /// `errors slow after 10, close after 20`; one may be absent.
    Errors {
        /// Errors before replies slow down.
        slow: Option<Spanned<u64>>,
        /// Errors before the connection is closed.
        close: Option<Spanned<u64>>,
    },
}

/// `example.net is example.com`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DomainAlias {
    /// The alias.
    pub alias: Word,
    /// What it stands for.
    pub domain: Word,
}

/// `partner.example via backup recipients ask`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RelayDomain {
    /// The domain.
    pub domain: Word,
    /// A relay's name or `mx`.
    pub via: Option<Word>,
    /// Which of its addresses exist; the profile's where absent.
    pub recipients: Option<Spanned<Recipients>>,
}

/// Which inside addresses exist.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Recipients {
    /// `known`, `known in LIST`, `known in [LIST, LIST]`
    Known(Vec<Word>),
    /// Whom the next hop says yes to.
    Ask,
    /// All of them.
    Any,
}
