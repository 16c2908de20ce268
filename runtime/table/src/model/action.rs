//! What rules do when they match.

use serde::{Deserialize, Serialize};

/// What a rule does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Action {
    /// Takes or refuses mail.
    Verdict(Verdict),
    /// Bounds what one client does.
    Limit(Limit),
    /// Sends copies.
    Bcc(Bcc),
    /// Bounds a day's mail.
    Quota(Quota),
    /// Adds a text.
    Disclaimer(Disclaimer),
    /// Chooses the next hop.
    Route(Route),
}

/// The five verbs, best rank first at the same priority.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum Verb {
    /// Ends the search; the message is accepted.
    Allow,
    /// 5xx.
    Reject,
    /// 4xx.
    Defer,
    /// Accepted, and kept in the queue until released.
    Hold,
    /// Accepted, and dropped for this recipient.
    Discard,
}

impl Verb {
    /// The word that rules write.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Reject => "reject",
            Self::Defer => "defer",
            Self::Hold => "hold",
            Self::Discard => "discard",
        }
    }
}

/// An SMTP reply of a rule. The compiler sees to code, class and characters.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Reply {
    /// 400 to 599.
    pub code: u16,
    /// Class, subject, detail (RFC 3463).
    pub enhanced: (u8, u16, u16),
    /// One line, no control characters, at most 400 bytes.
    pub text: String,
}

impl Reply {
    /// `554 5.7.1 text`
    #[must_use]
    pub fn line(&self) -> String {
        let (class, subject, detail) = self.enhanced;
        format!("{} {class}.{subject}.{detail} {}", self.code, self.text)
    }
}

/// A verdict.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// What happens.
    pub verb: Verb,
    /// For `reject` and `defer`; the compiler fills in `550 5.7.1` and `450 4.7.1` where the rule is silent.
    pub reply: Option<Reply>,
}

/// A limit on clients. Windows slide.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Limit {
    /// What is counted apart.
    pub per: LimitPer,
    /// Connections in a window.
    pub connections: Option<Rate>,
    /// Messages in a window.
    pub messages: Option<Rate>,
    /// Connections at the same time.
    pub at_once: Option<u32>,
    /// Said when it is reached; 421 or 450 by default.
    pub reply: Option<Reply>,
}

/// What a limit counts apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum LimitPer {
    /// An IPv4 address or an IPv6 /64.
    ClientIp,
    /// All under one counter.
    Rule,
}

/// So many in so many seconds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Rate {
    /// At most this many.
    pub count: u32,
    /// In this window, in seconds.
    pub seconds: u32,
}

/// Blind copies.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Bcc {
    /// Targets, as written; aliases are expanded when the copy is made.
    pub to: Vec<String>,
    /// The message as it came, or as outside readers get it.
    pub modified: bool,
    /// Keep envelope sender and recipients on the copy, in header fields.
    pub record_envelope: bool,
}

/// A daily quota.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Quota {
    /// What is counted apart.
    pub per: QuotaPer,
    /// Messages a day.
    pub messages: Option<u64>,
    /// Recipients a day.
    pub recipients: Option<u64>,
    /// Bytes a day.
    pub bytes: Option<u64>,
    /// The last 24 hours in place of the calendar day.
    pub rolling: bool,
    /// Log a warning from this many per cent on.
    pub warn_percent: Option<u8>,
    /// Said when it is reached.
    pub reply: Reply,
}

/// What a quota counts apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum QuotaPer {
    /// The login; else the owner of the envelope sender; else the client address.
    User,
    /// The envelope sender.
    Sender,
    /// Its domain.
    SenderDomain,
    /// All under one counter.
    Rule,
}

/// A text for outbound mail.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Disclaimer {
    /// For text/plain parts. Lines end with `\n`.
    pub text: Option<String>,
    /// For text/html parts.
    pub html: Option<String>,
    /// Above the quoted text of a reply, or at the end.
    pub above_quote: bool,
    /// What happens in a reply.
    pub replies: Replies,
    /// What happens to signed and encrypted mail.
    pub signed: OnSigned,
    /// Let the next in rank apply too.
    pub proceed: bool,
}

/// When a disclaimer stands in replies.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub enum Replies {
    /// Not where the thread has it already.
    #[default]
    Once,
    /// On each message.
    Always,
    /// On no reply.
    Never,
}

/// What a disclaimer does to mail that it must not edit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub enum OnSigned {
    /// Leaves it alone.
    #[default]
    Skip,
    /// Puts it into a message of its own.
    Wrap,
    /// Refuses it.
    Reject,
}

/// A route to a next hop.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Route {
    /// Where to.
    pub via: Via,
    /// Also for recipients inside.
    pub local: bool,
}

/// A next hop.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Via {
    /// Direct delivery by MX.
    Mx,
    /// Local delivery.
    Local,
    /// A relay of this name.
    Relay(String),
}

/// A named next hop.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Relay {
    /// Its name.
    pub name: String,
    /// Hosts in the order of failover.
    pub hosts: Vec<Host>,
    /// How the connection is protected.
    pub tls: RelayTls,
    /// Name of a login in the daemon's configuration.
    pub credentials: Option<String>,
}

/// Host and port.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Host {
    /// Domain or address, normalised; an IPv6 address without brackets.
    pub name: String,
    /// TCP port; 25 where the rule is silent, 465 with implicit TLS.
    pub port: u16,
}

/// How a relay connection is protected.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub enum RelayTls {
    /// Never.
    Off,
    /// Where offered.
    #[default]
    Opportunistic,
    /// Or not at all.
    Required,
    /// Required, with a certificate for that name.
    Verified,
    /// From the first byte, verified.
    Implicit,
}
