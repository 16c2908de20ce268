//! The journal: an optional record of envelopes, headers and verdicts, to try other rules on (docs/journal.md).
//!
//! JSON, one object a line, in files that are rotated by size. What is not written yet is bounded: past that,
//! bodies are left out, then entries are dropped, and both are counted; mail never waits for its journal. No
//! passwords, and bodies only where the configuration asks for them.

mod draft;
mod files;
pub mod read;
pub mod write;

pub use draft::Draft;
pub use read::{Reader, Strange};
pub use write::{Journal, Settings};

use crate::envelope::Client;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// The version of the format.
pub const VERSION: u32 = 1;
/// The most of a header that is kept, in bytes: what the parser reads of one.
pub const MAX_HEADER: usize = edict_message::limits::MAX_HEADER;

/// Bytes of a message: text where they are UTF-8, else base64.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Octets {
    /// As they are.
    Text(String),
    /// RFC 4648 4.
    Base64(String),
}

impl Octets {
    /// Wraps bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(STANDARD.encode(bytes)),
        }
    }

    /// The bytes; none where the base64 is broken.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.clone().into_bytes()),
            Self::Base64(text) => STANDARD.decode(text).ok(),
        }
    }
}

/// The rule that decided.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Its file, relative to the rules' folder.
    pub file: String,
    /// Its line.
    pub line: u32,
}

/// A recipient and what became of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Recipient {
    /// As the client gave it, after domain aliases.
    pub address: String,
    /// `accept`, `hold`, `discard`, `reject` or `defer`.
    pub verdict: String,
}

/// One verdict: of a message, or of a client, sender or recipient that was refused before there was one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// [`VERSION`]
    pub version: u32,
    /// Unix milliseconds.
    pub time: i64,
    /// The message's name in the log; empty before MAIL.
    pub id: String,
    /// `connect`, `mail`, `rcpt`, `data`, `end-of-data` or `accept`.
    pub stage: String,
    /// `accept`, `allow`, `hold`, `discard`, `reject` or `defer`.
    pub verdict: String,
    /// What the client was told.
    pub reply: String,
    /// The rule that decided, if one did.
    pub rule: Option<Rule>,
    /// The policy digest of the table in force.
    pub table: String,
    /// The client.
    pub client: Client,
    /// The envelope sender, empty for `<>`; none before MAIL.
    pub sender: Option<String>,
    /// Those that were taken, and one that was refused.
    pub recipients: Vec<Recipient>,
    /// Bytes of the message, 0 before there is one.
    pub size: u64,
    /// Its header as received, at most [`MAX_HEADER`] bytes.
    pub header: Option<Octets>,
    /// There was no room for the body: it was too large, or too much waited to be written.
    #[serde(default, skip_serializing_if = "is_not")]
    pub body_left_out: bool,
    /// What follows the header, where the configuration asks for bodies. The last key: it is written apart.
    pub body: Option<Octets>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_not(flag: &bool) -> bool {
    !flag
}

impl Entry {
    /// Puts a message's bytes in; of its body only where `bodies` says so.
    pub fn put_message(&mut self, message: &[u8], bodies: bool) {
        let (header, body) = parts(message);
        self.size = message.len() as u64;
        self.header = Some(Octets::new(header));
        self.body = bodies.then(|| Octets::new(body));
    }

    /// The message again, as far as it is known: header, and body where it was kept.
    #[must_use]
    pub fn message(&self) -> Option<Vec<u8>> {
        let mut bytes = self.header.as_ref()?.bytes()?;
        if let Some(body) = &self.body {
            bytes.extend(body.bytes()?);
        }
        Some(bytes)
    }
}

/// The header as far as it is kept, and the body.
fn parts(message: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memmem::find(message, b"\r\n\r\n").map_or(message.len(), |at| at + 4);
    let (header, body) = message.split_at_checked(end).unwrap_or((message, &[]));
    (header.get(..MAX_HEADER).unwrap_or(header), body)
}

#[cfg(test)]
mod tests;
