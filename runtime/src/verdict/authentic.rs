//! SPF, DKIM and DMARC as a transaction keeps them, and the field that tells readers of them (RFC 8601).
//!
//! Pure: `ask` does the lookups. Our own users and trusted networks are not judged by SPF and DMARC:
//! their addresses are no senders of the domains they write for. Limits: [`MAX_SIGNATURES`] signatures
//! are checked, of a header of at most [`MAX_HEADER`] bytes; rsa-sha1 counts for nothing (RFC 8301 3.1).

pub mod ask;

use edict_message::header::fields;
use edict_table::fact::RESULTS;
use edict_table::facts::Slot;
use edict_table::value::{Address, Domain};
use mail_auth::AuthenticatedMessage;
use mail_auth::common::crypto::{Algorithm, HashAlgorithm};
use mail_auth::dkim::{self, Canonicalization};
use std::fmt::Write as _;

/// The most signatures of a message that are checked.
pub const MAX_SIGNATURES: usize = 8;
/// The longest header whose signatures are checked, in bytes.
pub const MAX_HEADER: usize = 256 << 10;

/// Places in [`RESULTS`].
pub(crate) mod result {
    pub(crate) const NONE: u8 = 0;
    pub(crate) const PASS: u8 = 1;
    pub(crate) const FAIL: u8 = 2;
    pub(crate) const SOFTFAIL: u8 = 3;
    pub(crate) const NEUTRAL: u8 = 4;
    pub(crate) const TEMPERROR: u8 = 5;
    pub(crate) const PERMERROR: u8 = 6;
}

/// What the checks need of a message: its header and the hashes of its body, so that a lookup need not
/// hold the whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signed {
    header: Vec<u8>,
    hashes: Vec<BodyHash>,
}

/// Of a body: how it was made canonical, with what it was hashed, the value of `l=` or 0, and the hash.
type BodyHash = (Canonicalization, HashAlgorithm, u64, Vec<u8>);

/// Hashes anew a body that ends in lines of white space, which the relaxed form ignores (RFC 6376 3.4.4) and
/// the library does not.
fn mend(hashes: &mut [BodyHash], message: &[u8], body: usize) {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let end = message.iter().rposition(|byte| !is_blank(byte)).map_or(body, |last| body.max(last + 1));
    if !message.get(end..).is_some_and(|rest| rest.contains(&b' ') || rest.contains(&b'\t')) {
        return;
    }
    let Some(read) = message.get(..end).and_then(AuthenticatedMessage::parse) else { return };
    for (have, other) in hashes.iter_mut().zip(read.body_hashes) {
        if have.0 == Canonicalization::Relaxed
            && have.2 == 0
            && (other.0, other.1, other.2) == (have.0, have.1, 0)
        {
            have.3 = other.3;
        }
    }
}

impl Signed {
    /// Takes it from a message; none where the header is too long, or holds no field at all.
    #[must_use]
    pub fn of(message: &[u8]) -> Option<Self> {
        // Where this parser ends the header, too, so that no body is hashed for one that is too long.
        if fields(message).body > MAX_HEADER {
            return None;
        }
        let read = AuthenticatedMessage::parse(message)?;
        let end = usize::try_from(read.body_offset).ok().filter(|end| *end <= MAX_HEADER)?;
        let mut hashes = read.body_hashes;
        mend(&mut hashes, message, end);
        Some(Self { header: message.get(..end)?.to_vec(), hashes })
    }

    /// The header read anew, with the hashes of the body that is not there.
    pub(crate) fn read(&self) -> Option<AuthenticatedMessage<'_>> {
        let mut message = AuthenticatedMessage::parse(&self.header)?;
        message.body_hashes.clone_from(&self.hashes);
        let hashed = |h: &dkim::Signature| {
            let algorithm = HashAlgorithm::from(h.a);
            self.hashes.iter().any(|(c, hash, l, _)| *c == h.cb && *hash == algorithm && *l == h.l)
        };
        message.dkim_headers.retain(|h| h.header.a != Algorithm::RsaSha1 && hashed(&h.header));
        message.dkim_headers.truncate(MAX_SIGNATURES);
        for header in &mut message.dkim_headers {
            // Nobody is sent reports, so nobody is asked who wants them.
            header.header.r = false;
        }
        // What cannot be read counts for nothing.
        message.errors.clear();
        Some(message)
    }
}

/// One signature and what came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signature {
    /// Place in [`RESULTS`].
    pub result: u8,
    /// The signing domain, where it is one.
    pub domain: Option<Domain>,
    /// The selector, where it is a name.
    pub selector: Option<Domain>,
}

/// What the checks of a message came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authentic {
    /// SPF, as far as DMARC asked for it.
    pub spf: Slot<u8>,
    /// Domains with a valid signature; unknown where a key could not be looked up.
    pub domains: Slot<Vec<Domain>>,
    /// DMARC; pending where nobody asked.
    pub dmarc: Slot<u8>,
    /// The author's domain, where there is one.
    pub author: Option<Domain>,
    /// Each signature, for the field.
    pub signatures: Vec<Signature>,
}

impl Authentic {
    /// Where nobody could be asked.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            spf: Slot::Unknown,
            domains: Slot::Unknown,
            dmarc: Slot::Unknown,
            author: None,
            signatures: Vec::new(),
        }
    }

    /// A message that cannot be read as one: nobody signed it, and DMARC has no author to go by.
    pub(crate) fn unreadable(spf: Slot<u8>) -> Self {
        Self {
            spf,
            domains: Slot::Known(Vec::new()),
            dmarc: Slot::Known(result::PERMERROR),
            author: None,
            signatures: Vec::new(),
        }
    }
}

/// What is known when a message is taken.
pub(crate) struct Found<'a> {
    /// SPF.
    pub(crate) spf: Slot<u8>,
    /// Whose.
    pub(crate) sender: Option<&'a Address>,
    /// Where there is no sender.
    pub(crate) helo: Option<&'a Domain>,
    /// The rest.
    pub(crate) authentic: Option<&'a Authentic>,
}

/// The value of `Authentication-Results`, of what was found out alone; none where nothing was. Every value is
/// a domain or one of our words, so that nothing in it needs quotes.
pub(crate) fn field(id: &str, found: &Found<'_>) -> Option<String> {
    let mut text = String::new();
    if let Some(word) = word(found.spf) {
        let _ = write!(text, "; spf={word}");
        match (found.sender, found.helo) {
            (Some(sender), _) => {
                let _ = write!(text, " smtp.mailfrom={}", sender.domain());
            }
            (None, Some(helo)) => {
                let _ = write!(text, " smtp.helo={helo}");
            }
            (None, None) => {}
        }
    }
    if let Some(authentic) = found.authentic {
        for signature in &authentic.signatures {
            let _ = write!(text, "; dkim={}", name(signature.result));
            if let Some(domain) = &signature.domain {
                let _ = write!(text, " header.d={domain}");
            }
            if let Some(selector) = &signature.selector {
                let _ = write!(text, " header.s={selector}");
            }
        }
        if authentic.signatures.is_empty() && authentic.domains != Slot::Unknown {
            text.push_str("; dkim=none");
        }
        if let Some(word) = word(authentic.dmarc) {
            let _ = write!(text, "; dmarc={word}");
            if let Some(author) = &authentic.author {
                let _ = write!(text, " header.from={author}");
            }
        }
    }
    (!text.is_empty()).then(|| format!("{id}{text}"))
}

fn name(result: u8) -> &'static str {
    RESULTS.get(usize::from(result)).copied().unwrap_or("none")
}

fn word(slot: Slot<u8>) -> Option<&'static str> {
    match slot {
        Slot::Known(result) => Some(name(result)),
        Slot::Unknown => Some(name(result::TEMPERROR)),
        Slot::Pending | Slot::Absent => None,
    }
}

/// Whether the value of an `Authentication-Results` field claims to be ours (RFC 8601 5). Also what a careless
/// reader could take for ours counts: the name anywhere before the first semicolon.
#[must_use]
pub fn claims(value: &[u8], id: &str) -> bool {
    let text = String::from_utf8_lossy(value).to_ascii_lowercase();
    let id = id.to_ascii_lowercase();
    let part = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '@');
    let is_ours = |word: &str| word.trim_end_matches('.') == id;
    let careless = text.split(';').next().unwrap_or_default();
    if careless.split(|c| !part(c)).any(is_ours) {
        return true;
    }
    without_comments(&text).split(|c| !part(c)).find(|word| !word.is_empty()).is_some_and(is_ours)
}

/// A structured value without its comments (RFC 5322 3.2.2).
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut depth = 0_u32;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let escaped = chars.next();
                out.extend(escaped.filter(|_| depth == 0));
            }
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => out.push(c),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests;
