//! An entry on its way to the journal's file, and its share of the memory that all of them together may take.
//!
//! A body is held once, as it stands in the file: its length is known before it is copied, so that it is counted
//! first, and left out where there is no room for it.

use super::{Entry, Octets};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that are counted until this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    all: Arc<AtomicUsize>,
    bytes: usize,
    most: usize,
}

impl Share {
    pub fn new(all: &Arc<AtomicUsize>, most: usize) -> Self {
        Self { all: Arc::clone(all), bytes: 0, most }
    }

    /// Counts more. False, and nothing is counted, where it would be too much.
    #[must_use]
    pub fn grow(&mut self, bytes: usize) -> bool {
        if self.all.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > self.most {
            self.all.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.bytes += bytes;
        true
    }

    /// Counts less.
    pub fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.all.fetch_sub(bytes, Ordering::Relaxed);
        self.bytes -= bytes;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// An entry that is not added yet.
#[derive(Debug)]
pub struct Draft {
    /// All but the body.
    pub entry: Entry,
    /// The body as it stands in the file, up to the end of the line. Empty where there is none.
    pub(super) body: Vec<u8>,
    /// What the entry's header is counted as.
    pub(super) header: usize,
    pub(super) share: Share,
}

/// A line for the file, in two pieces.
#[derive(Debug)]
pub(super) struct Line {
    pub head: Vec<u8>,
    pub body: Vec<u8>,
    /// Until it is written.
    pub _share: Share,
}

impl Draft {
    /// The beginning of its line, or all of it.
    pub(super) fn head(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut head = serde_json::to_vec(&self.entry)?;
        if self.body.is_empty() {
            head.push(b'\n');
        } else {
            // The body is the last key, and there is none in the entry.
            head.truncate(head.len().saturating_sub("null}".len()));
        }
        Ok(head)
    }
}

/// How bytes stand in the file, and how long that is.
pub(super) enum Shape<'a> {
    Text(&'a str),
    Bytes(&'a [u8]),
    /// As base64 already.
    Base64(&'a str),
}

const TEXT: &str = r#"{"text":"#;
const BASE64: &str = r#"{"base64":"#;
/// The entry ends behind its body.
const END: &str = "}}\n";

impl<'a> Shape<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        std::str::from_utf8(bytes).map_or(Self::Bytes(bytes), Self::Text)
    }

    pub fn of(octets: &'a Octets) -> Self {
        match octets {
            Octets::Text(text) => Self::Text(text),
            Octets::Base64(text) => Self::Base64(text),
        }
    }

    /// Bytes that [`Shape::encode`] makes.
    pub fn length(&self) -> usize {
        let escaped = |byte: u8| match byte {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 2,
            0..=31 => 6,
            _ => 1,
        };
        let text = |text: &str| TEXT.len() + text.bytes().map(escaped).sum::<usize>();
        let inner = match self {
            Self::Text(bytes) => text(bytes),
            Self::Bytes(bytes) => BASE64.len() + bytes.len().div_ceil(3) * 4,
            Self::Base64(bytes) => text(bytes) + BASE64.len() - TEXT.len(),
        };
        // The quotes.
        inner + 2 + END.len()
    }

    /// As it stands in the file, to the end of the line.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.length());
        let name = if matches!(self, Self::Text(_)) { TEXT } else { BASE64 };
        out.extend_from_slice(name.as_bytes());
        match self {
            // Writing into a vector cannot fail.
            Self::Text(text) | Self::Base64(text) => drop(serde_json::to_writer(&mut out, text)),
            Self::Bytes(bytes) => {
                out.push(b'"');
                let at = out.len();
                out.resize(at + bytes.len().div_ceil(3) * 4, b'=');
                // It is as long as that.
                let _ = STANDARD.encode_slice(bytes, out.get_mut(at..).unwrap_or_default());
                out.push(b'"');
            }
        }
        out.extend_from_slice(END.as_bytes());
        out
    }
}
