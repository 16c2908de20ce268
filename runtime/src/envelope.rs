//! The types that pass between the front, the actions, the spool and the queue.
//!
//! Plain data. An [`Incoming`] is what the front took from a client, its verdicts final; a [`Record`] is
//! what the spool makes durable before the 250: envelope, copies, variants, usage and bytes together.

use edict_table::facts::Direction;
use edict_table::load::Loaded;
use edict_table::value::Address;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// The name of a message in replies, logs, the queue and `Received`: time and a counter, in base 32.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MessageId(pub u64);

impl MessageId {
    /// The name of a notice: the same again for one that is made again after a crash. In the upper half of all names; those that
    /// count time stay below it.
    #[must_use]
    pub fn of_notice(seed: &str) -> Self {
        Self(xxhash_rust::xxh3::xxh3_64(seed.as_bytes()) | 1 << 63)
    }

    /// Whether a notice is called so.
    #[must_use]
    pub fn is_of_notice(self) -> bool {
        self.0 >> 63 == 1
    }
}

const BASE32: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut name = [b'0'; 13];
        for (place, letter) in name.iter_mut().rev().enumerate() {
            let digit = (self.0 >> (5 * place)) & 31;
            *letter = BASE32.get(digit as usize).copied().unwrap_or(b'0');
        }
        // One write: a log line, a reply and a trace field are made of it for each message.
        f.write_str(std::str::from_utf8(&name).unwrap_or_default())
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for MessageId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.len() != 13 {
            return Err(());
        }
        let mut value: u64 = 0;
        for byte in text.bytes() {
            let digit = BASE32.iter().position(|b| b.eq_ignore_ascii_case(&byte)).ok_or(())?;
            value = value.checked_mul(32).ok_or(())? | digit as u64;
        }
        Ok(Self(value))
    }
}

/// The client of a session, as far as policy and trace fields care.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Client {
    /// Canonical address; the one that PROXY or XCLIENT gave, where a trusted proxy did.
    pub ip: IpAddr,
    /// Forward-confirmed name.
    pub name: Option<String>,
    /// What HELO or EHLO said, printable and bounded.
    pub helo: String,
    /// EHLO rather than HELO.
    pub esmtp: bool,
    /// The connection is encrypted.
    pub tls: bool,
    /// The login, as the client gave it.
    pub auth_user: Option<String>,
    /// In a trusted network of the table.
    pub trusted: bool,
}

/// BODY= of MAIL.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Body {
    /// 7BIT, or silence.
    #[default]
    SevenBit,
    /// RFC 6152
    EightBitMime,
    /// RFC 3030
    BinaryMime,
}

/// RET= of MAIL (RFC 3461 4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Ret {
    /// The whole message.
    Full,
    /// Its header.
    Headers,
}

/// NOTIFY= of RCPT (RFC 3461 4.1). Default: failure and delay as the server likes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Notify {
    /// NOTIFY= was given at all.
    pub given: bool,
    /// SUCCESS
    pub success: bool,
    /// FAILURE
    pub failure: bool,
    /// DELAY
    pub delay: bool,
}

/// MAIL FROM with its parameters.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ReversePath {
    /// As the client wrote it, without brackets and source route; empty for `<>`.
    pub wire: String,
    /// BODY=
    pub body: Body,
    /// SMTPUTF8
    pub smtputf8: bool,
    /// RET=
    pub ret: Option<Ret>,
    /// ENVID=, as xtext.
    pub envid: Option<String>,
}

/// A recipient that was taken.
#[derive(Clone, Debug)]
pub struct Given {
    /// As the client wrote it, after domain aliases; without brackets and source route.
    pub wire: String,
    /// The same in policy form.
    pub address: Address,
    /// By the as-given address.
    pub direction: Direction,
    /// NOTIFY=
    pub notify: Notify,
    /// ORCPT=, `type;xtext`.
    pub orcpt: Option<String>,
    /// What the verdict rules said, and by which rule.
    pub fate: Fate,
}

/// What becomes of an accepted recipient.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Delivered.
    Deliver,
    /// Kept in the queue until released.
    Hold,
    /// Dropped under the 250.
    Discard,
}

/// A message as the front took it: every verdict final, nothing applied yet.
#[derive(Debug)]
pub struct Incoming {
    /// Its name.
    pub id: MessageId,
    /// Who sent it.
    pub client: Client,
    /// Submitted: by a logged-in client or a trusted network (the fact `submitted`, docs/language.md).
    pub submitted: bool,
    /// Envelope sender.
    pub sender: ReversePath,
    /// Its policy form; none for `<>`.
    pub sender_address: Option<Address>,
    /// Those that got a 250, in order.
    pub recipients: Vec<Given>,
    /// The message as received: dots unstuffed, CRLF line ends, no trace field of ours yet.
    pub bytes: Vec<u8>,
    /// The table of the transaction.
    pub table: Arc<Loaded>,
    /// Unix milliseconds at the end of data.
    pub received: i64,
    /// What is told of its authenticity.
    pub authentication: Authentication,
}

/// What a stored message tells of its authenticity (RFC 8601).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Authentication {
    /// Our name in `Authentication-Results`: fields that claim it are removed. Empty: they stay, since a server
    /// of ours may have written them.
    pub id: String,
    /// The value of our own field.
    pub results: Option<String>,
}

/// Why an accepted transaction is refused after all; the reply to the end of data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// `452 4.7.1 Daily quota reached`, one line without CRLF. Empty: [`Refusal::silence`].
    pub reply: String,
    /// The rule that said so, for the log: name, file, line.
    pub rule: Option<(String, String, u32)>,
}

impl Refusal {
    /// Nothing may be said of the message: it may be delivered after the next start, and after a 4yz nobody may (RFC 5321 4.2.5).
    /// The connection ends without a reply, so that the client sends it again.
    #[must_use]
    pub fn silence() -> Self {
        Self { reply: String::new(), rule: None }
    }

    /// Whether it is that.
    #[must_use]
    pub fn is_silence(&self) -> bool {
        self.reply.is_empty()
    }
}

/// What the spool makes durable as one, before the 250.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The message's name.
    pub id: MessageId,
    /// Unix milliseconds.
    pub received: i64,
    /// Envelopes with the variant that each gets: the message itself, forwarded mail, blind copies, notices.
    pub dispatches: Vec<Dispatch>,
    /// How the bytes differ for whom. The first is always the message as stored.
    pub variants: Vec<Variant>,
    /// What counts against quotas.
    pub usage: Vec<Usage>,
    /// The policy digest of the table that accepted it.
    pub table: String,
    /// The message as stored: trace fields in front, then what was received.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

/// One envelope of a record.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Dispatch {
    /// Why it exists.
    pub kind: DispatchKind,
    /// Envelope sender on the wire; empty for `<>`.
    pub sender: String,
    /// Who gets it.
    pub recipients: Vec<Target>,
    /// Place in [`Record::variants`].
    pub variant: u16,
    /// BODY= that the bytes need.
    pub body: Body,
    /// The envelope or the header needs SMTPUTF8.
    pub smtputf8: bool,
    /// RET=
    pub ret: Option<Ret>,
    /// ENVID=
    pub envid: Option<String>,
    /// Kept until released.
    pub hold: bool,
    /// Facts for routes: the client, its login, and whether the mail was submitted.
    pub client_ip: IpAddr,
    /// The login.
    pub auth_user: Option<String>,
    /// Submitted.
    pub submitted: Submitted,
}

/// Whose mail was submitted, of the recipients of a dispatch: a trusted client may pass on strangers' mail to inside domains
/// beside what it sends out. No next hop hears of it. On disk the first two are what a flag is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Submitted {
    /// Nobody's.
    #[default]
    No,
    /// Everybody's.
    Yes,
    /// Of those at these places, in order.
    Of(Vec<u16>),
}

impl Submitted {
    /// Whether that of the recipient at this place was.
    #[must_use]
    pub fn at(&self, place: u16) -> bool {
        match self {
            Self::No => false,
            Self::Yes => true,
            Self::Of(places) => places.binary_search(&place).is_ok(),
        }
    }

    /// Takes in one more recipient, behind so many.
    pub fn add(&mut self, submitted: bool, behind: u16) {
        match (&mut *self, submitted) {
            (Self::No, false) | (Self::Yes, true) | (Self::Of(_), false) => {}
            (Self::Of(places), true) => places.push(behind),
            (Self::No, true) => *self = Self::Of(vec![behind]),
            (Self::Yes, false) => *self = Self::Of((0..behind).collect()),
        }
    }
}

impl From<bool> for Submitted {
    fn from(submitted: bool) -> Self {
        if submitted { Self::Yes } else { Self::No }
    }
}

/// Why a dispatch exists.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum DispatchKind {
    /// The message for its recipients.
    Message,
    /// A blind copy, by this rule.
    Copy(String),
    /// A bounce or another notice of the daemon's own.
    Notice,
}

/// One recipient of a dispatch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Target {
    /// Final address on the wire.
    pub address: String,
    /// The address that the client gave, where an alias changed it; for notices and logs.
    pub given: Option<String>,
    /// Inside: local delivery or the relay domain's next hop; else by route.
    pub inside: bool,
    /// NOTIFY=
    pub notify: Notify,
    /// ORCPT=
    pub orcpt: Option<String>,
}

/// The differences of a variant to the stored bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Variant {
    /// In order of position, not overlapping.
    pub splices: Vec<Splice>,
}

/// Replaces a range of the stored bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Splice {
    /// Offset of the first byte replaced.
    pub start: u32,
    /// Offset behind the last.
    pub end: u32,
    /// What stands there instead.
    pub bytes: Vec<u8>,
}

/// What one accepted message adds to one quota key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Usage {
    /// `user:alice@example.com`, `domain:example.com`, `rule:everyone`.
    pub key: String,
    /// Unix milliseconds at which it counts.
    pub at: i64,
    /// Messages.
    pub messages: u64,
    /// Final outbound recipients.
    pub recipients: u64,
    /// Bytes as received.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_submitted() {
        for given in [vec![], vec![true], vec![true, true, false], vec![false, false, true, false, true]] {
            let mut all = Submitted::from(given.first().copied().unwrap_or_default());
            for (place, one) in (0u16..).zip(&given).skip(1) {
                all.add(*one, place);
            }
            let read: Vec<bool> = (0u16..).take(given.len()).map(|place| all.at(place)).collect();
            assert_eq!(read, given, "{all:?}");
        }
        // What an earlier edictd left is read.
        for flag in [false, true] {
            let left = postcard::to_allocvec(&flag).unwrap();
            assert_eq!(postcard::from_bytes::<Submitted>(&left).unwrap(), flag.into());
        }
    }

    #[test]
    fn message_ids_read_back() {
        for id in [0, 1, 0xdead_beef_0123_4567 >> 1, u64::MAX] {
            let text = MessageId(id).to_string();
            assert_eq!(text.len(), 13);
            assert_eq!(text.parse(), Ok(MessageId(id)));
        }
        assert!("ZZZZZZZZZZZZZ".parse::<MessageId>().is_err());
        assert!("short".parse::<MessageId>().is_err());
    }
}
