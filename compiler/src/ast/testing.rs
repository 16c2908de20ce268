//! Test blocks: a mail, and what should become of it.

use super::{Entries, Moment, QuotaOf, Spanned, Text, Value, Word};
use crate::span::Span;
use edict_table::fact::Stage;
use edict_table::model::Verb;

/// `test "…" { … }`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Test {
    /// Its name.
    pub name: Text,
    /// The keyword that opens it.
    pub keyword: Span,
    /// `client 203.0.113.9`
    pub client: Option<Word>,
    /// `client-name mx.example`
    pub client_name: Option<Word>,
    /// `helo mx.example`
    pub helo: Option<Word>,
    /// `tls yes`
    pub tls: Option<Spanned<bool>>,
    /// `spf fail`: the place of the result in [`RESULTS`](edict_table::fact::RESULTS).
    pub spf: Option<Spanned<u8>>,
    /// `dmarc pass`, likewise.
    pub dmarc: Option<Spanned<u8>>,
    /// `dkim partner.example`, one or a list: domains with a valid signature.
    pub dkim: Vec<Word>,
    /// `login ann`
    pub login: Option<Value>,
    /// `sender ann@example.com`, or `<>`
    pub sender: Option<Sender>,
    /// `recipient …`, one or a list; several clauses add up.
    pub recipients: Vec<Word>,
    /// `header "Subject: hello"`, each.
    pub headers: Vec<Text>,
    /// `body "…"`
    pub body: Option<Text>,
    /// `message "file.eml"`
    pub message: Option<Text>,
    /// `size 10 KiB`: counts in place of the message's own. Bytes.
    pub size: Option<Spanned<u64>>,
    /// `time 2026-12-01T10:30`
    pub time: Option<Spanned<Moment>>,
    /// `dns "name" answers …`, each.
    pub dns: Vec<Dns>,
    /// `usage 499 messages`, each: what the sender has used up today.
    pub usage: Vec<Usage>,
    /// `expect …`, each.
    pub expects: Vec<Expect>,
    /// A remark.
    pub note: Option<Text>,
    /// A syntax error inside was reported.
    pub broken: bool,
    /// The whole item.
    pub span: Span,
}

/// The envelope sender of a test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sender {
    /// `<>`
    Null(Span),
    /// An address.
    Address(Word),
}

/// `dns "name" answers …`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dns {
    /// The name that is asked for.
    pub name: Text,
    /// What comes back.
    pub answer: Answer,
    /// The whole clause.
    pub span: Span,
}

/// What the DNS of a test says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// `nothing`: no such name.
    Nothing,
    /// `failure`: no answer in time, or SERVFAIL.
    Failure,
    /// `192.0.2.1`, `mx mail.example`, `[…]`
    Records(Vec<Record>),
}

/// One DNS record of a test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Its type.
    pub kind: RecordKind,
    /// Address, host name or text.
    pub value: Value,
}

/// The type of a DNS record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RecordKind {
    /// A or AAAA, as the value is written.
    Address,
    /// `mx HOST`; `mx .` is a null MX.
    Mx,
    /// `ptr HOST`
    Ptr,
    /// `txt "…"`
    Txt,
}

/// `usage 499 messages`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Usage {
    /// How many, or bytes.
    pub count: Spanned<u64>,
    /// Of what.
    pub of: QuotaOf,
    /// The whole clause.
    pub span: Span,
}

/// `expect reject 554 by "bad networks" at rcpt for ann@example.com`: all parts must be so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expect {
    /// At least one.
    pub parts: Vec<Expectation>,
    /// `for ADDRESS`: this recipient alone.
    pub recipient: Option<Word>,
    /// The whole clause.
    pub span: Span,
}

/// One part of an expectation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expectation {
    /// `accept`: no verdict rule refused it.
    Accept(Span),
    /// `allow`, `reject`, `defer`, `hold`, `discard`, with the reply's code for two of them.
    Verdict(Spanned<Verb>, Option<Spanned<u16>>),
    /// `by "rule"`
    By(Text),
    /// `at rcpt`; the end of the data is [`Stage::Body`].
    At(Spanned<Stage>),
    /// `reply "…"`: the reply's text holds this.
    Reply(Text),
    /// `recipients […]`: the final recipients, all of them.
    Recipients(Entries),
    /// `bcc […]`: all copies; addresses, or names of rules in quotes.
    Bcc(Entries),
    /// `disclaimer "rule"`
    Disclaimer(Entries),
    /// `quota "rule"`
    Quota(Entries),
    /// `route "rule"`, or the name of a relay.
    Route(Entries),
    /// `no bcc` and the like.
    No(Spanned<Thing>),
}

/// What `no` can stand before.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Thing {
    /// `no recipients`
    Recipients,
    /// `no bcc`
    Bcc,
    /// `no disclaimer`
    Disclaimer,
    /// `no quota`
    Quota,
    /// `no route`
    Route,
}
