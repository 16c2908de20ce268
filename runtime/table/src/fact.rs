//! The registry of facts: what a rule can ask of a message, its type, and when it is final.
//!
//! One row per fact in [`REGISTRY`]. The compiler reads names and types there, the evaluator stages
//! and scopes, the daemon what it must find out. The numbers of [`Fact`] stand in artifacts: never reuse one.

use serde::{Deserialize, Serialize};

/// The moment of the SMTP dialogue from which a fact is final, and at which a rule can be decided.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Stage {
    /// The client has connected.
    Connect,
    /// MAIL FROM: TLS, HELO, login and sender are final.
    Mail,
    /// RCPT TO, each recipient by itself.
    Rcpt,
    /// The DATA or BDAT command: all recipients are known.
    Data,
    /// The end of the data, deciding on the header and on what is counted.
    Header,
    /// The end of the data, deciding on decoded bodies and attachments.
    Body,
}

impl Stage {
    /// All, in order.
    pub const ALL: [Self; 6] = [Self::Connect, Self::Mail, Self::Rcpt, Self::Data, Self::Header, Self::Body];

    /// The name in `at …` of a test, in `explain` and in logs. Header and body are both `end-of-data`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Header | Self::Body => "end-of-data",
        }
    }
}

/// The type of a fact's values. It decides which tests may stand on it and which index answers them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Type {
    /// Yes or no.
    Flag,
    /// An IP address; lists hold networks.
    Network,
    /// A domain.
    Domain,
    /// A mailbox address; lists hold addresses and domains.
    Address,
    /// Text, compared without case.
    Text,
    /// A number.
    Count,
    /// A number of bytes.
    Size,
    /// One of these words; its value is the word's place. An empty word is no value.
    Enum(&'static [&'static str]),
    /// Unix seconds. Only `active from … until …` asks for it.
    Time,
}

/// Whether a fact belongs to the transaction or to one recipient of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// The same for every recipient.
    Transaction,
    /// Found anew for each recipient.
    Recipient,
}

/// A row of the registry.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The fact.
    pub fact: Fact,
    /// What rules write; `a is b` for flags that are written so.
    pub name: &'static str,
    /// The type of a value.
    pub ty: Type,
    /// May have several values; a test holds when it holds for any.
    pub many: bool,
    /// May be absent: `is present` and `is absent` are allowed.
    pub optional: bool,
    /// Takes a parameter: a header's name, a DNS list's zone.
    pub parameter: bool,
    /// When it is final.
    pub stage: Stage,
    /// Whose it is.
    pub scope: Scope,
}

macro_rules! registry {
    ($($id:literal $fact:ident $name:literal $ty:expr, $stage:ident $scope:ident $($mark:ident)* : $doc:literal;)*) => {
        /// What can be asked of a message. See [`REGISTRY`] for name, type and stage of each.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum Fact { $(#[doc = $doc] $fact = $id,)* }

        /// All facts, in the order of their numbers.
        pub const REGISTRY: &[Row] = &[$(Row {
            fact: Fact::$fact, name: $name, ty: $ty,
            many: marked("many", &[$(stringify!($mark)),*]),
            optional: marked("optional", &[$(stringify!($mark)),*]),
            parameter: marked("parameter", &[$(stringify!($mark)),*]),
            stage: Stage::$stage, scope: Scope::$scope,
        },)*];
    };
}

const fn marked(mark: &str, marks: &[&str]) -> bool {
    // Constant evaluation knows no slice comparison: the marks differ in length.
    let mut i = 0;
    while i < marks.len() {
        #[expect(clippy::indexing_slicing, reason = "constant evaluation, bounded by the loop")]
        if marks[i].len() == mark.len() {
            return true;
        }
        i += 1;
    }
    false
}

/// The words of `direction`.
pub const DIRECTIONS: &[&str] = &["inbound", "outbound", "internal", "forwarded"];
/// The words of `spf` (RFC 8601 2.7.2).
pub const RESULTS: &[&str] = &["none", "pass", "fail", "softfail", "neutral", "temperror", "permerror"];
/// The words of `dmarc` (RFC 7489 11.2), each at its place in [`RESULTS`]; an empty place is no result.
pub const DMARC_RESULTS: &[&str] = &["none", "pass", "fail", "", "", "temperror", "permerror"];

registry! {
    0  ClientIp "client.ip" Type::Network, Connect Transaction: "The client's address.";
    1  ClientName "client.name" Type::Domain, Connect Transaction optional: "The client's forward-confirmed name.";
    2  ClientUnverified "client is unverified" Type::Flag, Connect Transaction: "Reverse and forward name disagree, or there is none.";
    3  ClientListed "client.ip is listed in" Type::Flag, Connect Transaction parameter: "The client's address is on a DNS list.";
    4  ClientTls "client.tls" Type::Flag, Mail Transaction: "The connection is encrypted.";
    5  Helo "helo" Type::Domain, Mail Transaction optional: "The name in HELO or EHLO, where it is a domain.";
    6  HeloUnqualified "helo is unqualified" Type::Flag, Mail Transaction: "HELO holds a name without a dot.";
    7  HeloMalformed "helo is malformed" Type::Flag, Mail Transaction: "HELO holds no domain and no address literal.";
    8  HeloUnresolvable "helo is unresolvable" Type::Flag, Mail Transaction: "HELO's name has no A, AAAA or MX.";
    9  AuthUser "auth.user" Type::Text, Mail Transaction optional: "The login.";
    10 Sender "sender" Type::Address, Mail Transaction optional: "The envelope sender; absent for `<>`.";
    11 SenderLocal "sender.local" Type::Text, Mail Transaction optional: "Its local part.";
    12 SenderDomain "sender.domain" Type::Domain, Mail Transaction optional: "Its domain.";
    13 SenderUnqualified "sender.domain is unqualified" Type::Flag, Mail Transaction: "The sender's domain has no dot.";
    14 SenderUnresolvable "sender.domain is unresolvable" Type::Flag, Mail Transaction: "No MX, A or AAAA, or a null MX (RFC 7505).";
    15 SenderUnknown "sender is unknown" Type::Flag, Mail Transaction: "The sender is inside but does not exist.";
    16 Submitted "submitted" Type::Flag, Rcpt Recipient: "By a logged-in client or a trusted network.";
    17 Recipient "recipient" Type::Address, Rcpt Recipient: "The recipient, as given after domain aliases, or final.";
    18 RecipientLocal "recipient.local" Type::Text, Rcpt Recipient: "Its local part.";
    19 RecipientDomain "recipient.domain" Type::Domain, Rcpt Recipient: "Its domain.";
    20 Direction "direction" Type::Enum(DIRECTIONS), Rcpt Recipient: "Inbound, outbound, internal or forwarded.";
    21 RecipientCount "recipient.count" Type::Count, Data Transaction: "Accepted recipients of the transaction.";
    22 Size "size" Type::Size, Header Transaction: "The message's size as received, in bytes.";
    23 Hops "hops" Type::Count, Header Transaction: "The number of Received fields.";
    24 Subject "subject" Type::Text, Header Transaction optional: "The Subject, decoded.";
    25 Header "header" Type::Text, Header Transaction many optional parameter: "All fields of that name, decoded.";
    26 From "from" Type::Address, Header Transaction many optional: "The addresses in From.";
    27 To "to" Type::Address, Header Transaction many optional: "The addresses in To.";
    28 Cc "cc" Type::Address, Header Transaction many optional: "The addresses in Cc.";
    29 AutoSubmitted "message is auto-submitted" Type::Flag, Header Transaction: "Auto-Submitted is there and not `no` (RFC 3834).";
    30 AutoForwarded "message is auto-forwarded" Type::Flag, Header Transaction: "A client forwarded it by itself.";
    31 Signed "message is signed" Type::Flag, Header Transaction: "PGP or S/MIME signed.";
    32 Encrypted "message is encrypted" Type::Flag, Header Transaction: "PGP or S/MIME encrypted.";
    33 Reply "message is reply" Type::Flag, Header Transaction: "In-Reply-To or References is there.";
    34 Malformed "message is malformed" Type::Flag, Body Transaction: "Past the parser's limits, or not to be read; header or body.";
    35 Spf "spf" Type::Enum(RESULTS), Mail Transaction: "The result of SPF (RFC 7208).";
    36 Dmarc "dmarc" Type::Enum(DMARC_RESULTS), Header Transaction: "The result of DMARC (RFC 7489).";
    37 DkimDomain "dkim.domain" Type::Domain, Header Transaction many optional: "Domains with a valid DKIM signature.";
    38 Body "body" Type::Text, Body Transaction many: "The text parts, decoded; HTML as a reader sees it.";
    39 AttachmentName "attachment.name" Type::Text, Body Transaction many optional: "Names of attachments.";
    40 AttachmentType "attachment.type" Type::Text, Body Transaction many optional: "Media types of attachments.";
    41 AttachmentSize "attachment.size" Type::Size, Body Transaction many optional: "Decoded sizes of attachments, in bytes.";
    42 AttachmentCount "attachment.count" Type::Count, Body Transaction: "How many attachments.";
    43 Time "time" Type::Time, Connect Transaction: "The time the transaction began; for `active from … until …`.";
    44 ClientNameless "client is nameless" Type::Flag, Connect Transaction: "DNS has no reverse name for the client's address.";
}

impl Fact {
    /// The row that describes the fact.
    #[must_use]
    pub fn row(self) -> &'static Row {
        REGISTRY.get(self as usize).unwrap_or(&FALLBACK)
    }

    /// The fact of a number in an artifact.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        REGISTRY.get(usize::from(number)).map(|row| row.fact)
    }

    /// The fact that rules write by this name (`client.ip`, `message is signed`).
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        REGISTRY.iter().find(|row| row.name == name).map(|row| row.fact)
    }
}

// A test below holds the registry to the numbers, so that this row is never seen.
#[expect(clippy::indexing_slicing, reason = "constant evaluation")]
const FALLBACK: Row = REGISTRY[0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_places() {
        for (place, row) in REGISTRY.iter().enumerate() {
            assert_eq!(row.fact as usize, place);
            assert_eq!(Fact::by_name(row.name), Some(row.fact));
        }
    }

    #[test]
    fn marks_are_read() {
        let row = Fact::Header.row();
        assert!(row.many && row.optional && row.parameter);
        let row = Fact::ClientName.row();
        assert!(!row.many && row.optional && !row.parameter);
    }
}
