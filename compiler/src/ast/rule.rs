//! Rules: a name, conditions, and what happens.

use super::{Entries, Expr, Spanned, Text, Word};
use crate::span::Span;
use edict_table::model::{LimitPer, OnSigned, QuotaPer, Replies, Verb};

/// A rule of any kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// The keyword that opens it.
    pub keyword: Span,
    /// Its name.
    pub name: Text,
    /// All must hold.
    pub when: Vec<Expr>,
    /// None may hold.
    pub unless: Vec<Expr>,
    /// Lower wins; 100 where absent.
    pub priority: Option<Spanned<u32>>,
    /// In force, watched, or off.
    pub mode: Option<Spanned<Mode>>,
    /// The days on which it is in force.
    pub active: Option<Active>,
    /// A remark.
    pub note: Option<Text>,
    /// What it does.
    pub action: Action,
    /// A syntax error inside was reported: draw no conclusion from what is absent.
    pub broken: bool,
    /// The whole item.
    pub span: Span,
}

/// How far a rule is in force.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mode {
    /// Applied.
    Enforce,
    /// Decided and logged, not applied.
    Audit,
    /// Checked, and left out of the table.
    Off,
}

/// `active from DATE until DATE`; one of the two may be absent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Active {
    /// The first moment.
    pub from: Option<Spanned<Moment>>,
    /// The moment from which on it is no longer in force.
    pub until: Option<Spanned<Moment>>,
    /// The whole clause.
    pub span: Span,
}

/// A date, or a date and a time of day, in the time zone of the profile. Checked against the calendar.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Moment {
    /// 1970 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// Hour, minute, second; midnight where absent.
    pub time: Option<(u8, u8, u8)>,
}

/// What a rule does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// `allow`, `reject`, `defer`, `hold`, `discard`
    Verdict {
        /// Which.
        verb: Verb,
        /// Only of `reject` and `defer`.
        reply: Option<Reply>,
    },
    /// `limit`
    Limit {
        /// What is counted apart; absent if not given or not readable.
        per: Option<Spanned<LimitPer>>,
        /// `at most …`
        bounds: Vec<LimitBound>,
        /// Said when it is reached.
        reply: Option<Reply>,
    },
    /// `bcc`
    Bcc {
        /// Targets; absent if they could not be read.
        to: Option<Entries>,
        /// `copy modified` is true, `copy original` false.
        modified: Option<Spanned<bool>>,
        /// `record envelope`
        record: Option<Span>,
    },
    /// `quota`
    Quota {
        /// What is counted apart.
        per: Option<Spanned<QuotaPer>>,
        /// `at most …`
        bounds: Vec<QuotaBound>,
        /// `warn at 80 %`
        warn: Option<Spanned<u8>>,
        /// Said when it is reached.
        reply: Option<Reply>,
    },
    /// `disclaimer`
    Disclaimer {
        /// A file's path, or with `"""` the text itself.
        text: Option<Text>,
        /// The same for HTML.
        html: Option<Text>,
        /// `place above-quote` is true, `place end` false.
        above_quote: Option<Spanned<bool>>,
        /// What happens in a reply.
        replies: Option<Spanned<Replies>>,
        /// What happens to signed mail.
        signed: Option<Spanned<OnSigned>>,
        /// `continue`
        proceed: Option<Span>,
    },
    /// `route`
    Route {
        /// A relay's name, `mx` or `local`; absent if it could not be read.
        via: Option<Word>,
        /// `local yes`
        local: Option<Spanned<bool>>,
    },
}

/// `reply 554 5.7.1 "…"`; at least one part is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// Three digits, 200 to 599.
    pub code: Option<Spanned<u16>>,
    /// Class, subject, detail (RFC 3463).
    pub enhanced: Option<Spanned<(u8, u16, u16)>>,
    /// What is said.
    pub text: Option<Text>,
    /// The whole clause.
    pub span: Span,
}

/// `at most 30 connections per minute`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LimitBound {
    /// How many.
    pub count: Spanned<u64>,
    /// Of what.
    pub of: Spanned<LimitOf>,
    /// In which time.
    pub window: Spanned<Window>,
    /// The whole clause.
    pub span: Span,
}

/// What a limit bounds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LimitOf {
    /// Connections.
    Connections,
    /// Messages.
    Messages,
}

/// The time in which a limit counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Window {
    /// `at once`
    Once,
    /// `per minute`, `per 10 min`: seconds.
    Seconds(u64),
}

/// `at most 500 messages per day`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QuotaBound {
    /// How many: messages, recipients or bytes.
    pub count: Spanned<u64>,
    /// Of what.
    pub of: Spanned<QuotaOf>,
    /// `per rolling day` in place of the calendar's.
    pub rolling: bool,
    /// The whole clause.
    pub span: Span,
}

/// What a quota bounds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum QuotaOf {
    /// Messages.
    Messages,
    /// Outbound recipients.
    Recipients,
    /// Bytes; written as a size.
    Bytes,
}
