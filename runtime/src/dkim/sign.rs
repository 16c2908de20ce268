//! DKIM signing (RFC 6376, 8463) with mail-auth. The last thing that happens to a message: whatever changes it
//! comes before, the disclaimer above all.
//!
//! Relaxed on both sides, no `l=`, no `x=`. Verifies nothing and looks nothing up. `t=` is the system's time: mail-auth
//! reads that clock itself. The private key never leaves [`Key`], and its Debug shows no part of it.

use edict_message::edit::Edit;
use edict_message::header::{Field, Fields};
use edict_message::limits::MAX_HEADER;
use mail_auth::common::crypto::{Ed25519Key, HashContext, HashImpl, RsaKey, Sha256, SigningKey};
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::{DkimSigner, Done};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use std::fmt;
use std::ops::Range;

/// Fields that are signed; those that are absent are signed as absent, so that nobody can add them (RFC 6376 5.4).
const SIGNED: &[&str] = &[
    "From",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "Sender",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Auto-Submitted",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
];

/// Bytes that are handed over at once, so that a large message is never copied whole.
const CHUNK: usize = 64 << 10;

/// A private key with the domain and selector under which its public half is published.
pub struct Key {
    domain: String,
    selector: String,
    signer: Signer,
}

enum Signer {
    Rsa(DkimSigner<RsaKey<Sha256>, Done>),
    Ed25519(DkimSigner<Ed25519Key, Done>),
}

/// Why a key cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyError {
    /// Not a PEM file with a private key.
    #[error("no private key in PEM form: `-----BEGIN PRIVATE KEY-----` or `-----BEGIN RSA PRIVATE KEY-----`")]
    Pem,
    /// Neither RSA nor Ed25519, or RSA below 2048 bits.
    #[error("neither an RSA key of at least 2048 bits nor an Ed25519 key")]
    Kind,
    /// The selector is not a domain's label or several.
    #[error("a selector is made of letters, digits, hyphens and dots")]
    Selector,
    /// The domain is none.
    #[error("{0}")]
    Domain(#[from] edict_table::value::DomainError),
}

/// Why a message was not signed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the message could not be signed: {0}")]
pub struct SignError(String);

impl Key {
    /// Reads a key. `domain` is stored as A-labels; `pem` is PKCS#8 or PKCS#1.
    ///
    /// # Errors
    /// Says which of the three is wrong. The text never holds any of the key.
    pub fn from_pem(domain: &str, selector: &str, pem: &str) -> Result<Self, KeyError> {
        let domain = edict_table::value::Domain::parse(domain)?.as_str().to_owned();
        let fine = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        if selector.len() > 253 || !selector.split('.').all(fine) {
            return Err(KeyError::Selector);
        }
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::Pem)?;
        let pkcs8 = match &der {
            PrivateKeyDer::Pkcs8(der) => {
                Ed25519Key::from_pkcs8_maybe_unchecked_der(der.secret_pkcs8_der()).ok()
            }
            _ => None,
        };
        let signer = match pkcs8 {
            Some(key) => Signer::Ed25519(
                DkimSigner::from_key(key).domain(&domain).selector(selector).headers(SIGNED.iter().copied()),
            ),
            None => {
                let key = RsaKey::<Sha256>::from_key_der(der).map_err(|_| KeyError::Kind)?;
                Signer::Rsa(
                    DkimSigner::from_key(key)
                        .domain(&domain)
                        .selector(selector)
                        .headers(SIGNED.iter().copied()),
                )
            }
        };
        Ok(Self { domain, selector: selector.to_owned(), signer })
    }

    /// The domain, as A-labels.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The name in DNS under which the public half stands.
    #[must_use]
    pub fn published(&self) -> String {
        format!("{}._domainkey.{}", self.selector, self.domain)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.signer {
            Signer::Rsa(_) => "rsa",
            Signer::Ed25519(_) => "ed25519",
        };
        write!(f, "Key({kind}, {})", self.published())
    }
}

/// The keys for an author's domain: those of the domain itself, else of the nearest domain above it.
#[must_use]
pub fn for_domain<'a>(keys: &'a [Key], domain: &str) -> Vec<&'a Key> {
    let of = |wanted: &str| keys.iter().filter(|k| k.domain == wanted).collect::<Vec<_>>();
    std::iter::once(domain)
        .chain(edict_table::value::domain::parents(domain))
        .map(of)
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

/// The `DKIM-Signature` fields, one a key, for the message as it is with the edits made. They belong in front of it.
/// Edits as in [`apply`](edict_message::edit::apply); the message is not copied.
///
/// # Errors
/// The message has no field that is signed, or the key cannot sign.
pub fn sign(message: &[u8], edits: &[Edit], keys: &[&Key]) -> Result<Vec<u8>, SignError> {
    let mut out = Vec::new();
    for key in keys {
        let field = match &key.signer {
            Signer::Rsa(signer) => field(signer, message, edits),
            Signer::Ed25519(signer) => field(signer, message, edits),
        };
        out.extend_from_slice(field?.as_bytes());
    }
    Ok(out)
}

fn field<T>(signer: &DkimSigner<T, Done>, message: &[u8], edits: &[Edit]) -> Result<String, SignError>
where
    T: SigningKey,
    <T::Hasher as HashImpl>::Context: HashContext,
{
    let mut stream = signer.sign_streaming();
    let mut write = |bytes: &[u8]| bytes.chunks(CHUNK).for_each(|chunk| stream.write(chunk));
    let pieces = pieces(message, edits);
    let end = end_of_text(&pieces);
    let mut left = end.unwrap_or(usize::MAX);
    for piece in &pieces {
        let taken = piece.get(..left).unwrap_or(piece);
        write(taken);
        left -= taken.len();
    }
    if end.is_some() {
        write(b"\r\n");
    }
    let signature = stream.finish().map_err(|e| SignError(e.to_string()))?;
    Ok(signature.to_header())
}

/// The message with its edits, in order.
fn pieces<'a>(message: &'a [u8], edits: &'a [Edit]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::with_capacity(2 * edits.len() + 1);
    let mut at = 0;
    for edit in edits {
        pieces.push(message.get(at..edit.range.start).unwrap_or_default());
        pieces.push(edit.bytes.as_slice());
        at = edit.range.end;
    }
    pieces.push(message.get(at..).unwrap_or_default());
    pieces
}

/// Where the last byte of the body ends that is no white space, if the body ends in more than line ends.
///
/// RFC 6376 3.4.4 ignores lines at the end that are empty once their white space is. The library ignores
/// those alone that were empty from the start, so it never gets to see the others.
fn end_of_text(pieces: &[&[u8]]) -> Option<usize> {
    let mut blank = 0;
    let mut spaces = false;
    for byte in pieces.iter().rev().flat_map(|piece| piece.iter().rev()) {
        match byte {
            b'\r' | b'\n' => (),
            b' ' | b'\t' => spaces = true,
            _ => break,
        }
        blank += 1;
    }
    if !spaces {
        return None;
    }
    let end = pieces.iter().map(|piece| piece.len()).sum::<usize>() - blank;
    let mut header = 0;
    let mut last = [0; 4];
    for byte in pieces.iter().flat_map(|piece| piece.iter()) {
        header += 1;
        last = [last[1], last[2], last[3], *byte];
        if last == *b"\r\n\r\n" {
            break;
        }
    }
    Some(end.max(header))
}

/// Where the signatures of domains stand for which `ours` says so; foreign ones are left. For a message that is
/// signed anew.
#[must_use]
pub fn own(fields: &Fields<'_>, ours: impl Fn(&str) -> bool) -> Vec<Range<usize>> {
    let own = fields.fields.iter().filter(|field| is_own(field, &ours));
    own.map(|field| field.range.clone()).collect()
}

/// Whether this is such a signature. One that is longer than a header may be is nobody's.
#[must_use]
pub fn is_own(field: &Field<'_>, ours: impl Fn(&str) -> bool) -> bool {
    field.is("DKIM-Signature")
        && field.value.len() <= MAX_HEADER
        && tag(field.value, "d").is_some_and(|d| ours(&d.to_ascii_lowercase()))
}

/// The value of a tag in a tag list (RFC 6376 3.2), white space removed.
fn tag(value: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(value);
    text.split(';').find_map(|part| {
        let (key, value) = part.split_once('=')?;
        (key.trim() == name).then(|| value.chars().filter(|c| !c.is_whitespace()).collect())
    })
}
