//! Signatures of artifacts (Ed25519, RFC 8032).
//!
//! A signature stands behind the artifact and is no part of it: the same sources give the same artifact, signed or
//! not. What is signed is a fixed text and the header; the header holds the policy digest and a checksum over all
//! else, both BLAKE3, so that no byte of the whole can change under a signature. A signature that is there must
//! be right, or the table does not load; whose must be there is for the daemon to say. No private key is seen here.
//!
//! | bytes behind the artifact | |
//! |---|---|
//! | 0..8 | [`MAGIC`] |
//! | 8..40 | public key |
//! | 40..104 | signature |

use crate::format::HEADER;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};
use std::fmt;
use std::str::FromStr;

/// The first bytes of what stands behind a signed artifact.
pub const MAGIC: [u8; 8] = *b"\x8eEDSIG\r\n";
/// Bytes of what stands behind a signed artifact.
pub const LENGTH: usize = 8 + 32 + 64;
/// What is signed begins so: a signature under another text of the same key is none of ours.
const CONTEXT: &[u8] = b"edict table signature 1\n";
/// How a public key is written: this, then base64.
const PREFIX: &str = "ed25519:";

/// A public key of somebody who signs tables.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey(pub [u8; 32]);

/// Why a text is no public key.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{0}` is no public key: write `ed25519:` and the base64 of its 32 bytes, as `edict keygen` prints it"
)]
pub struct PublicKeyError(String);

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<Self, PublicKeyError> {
        let bytes = text.strip_prefix(PREFIX).and_then(|rest| STANDARD.decode(rest).ok());
        let key = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        // What is shown of a wrong key is bounded: it may be a whole file.
        key.map(Self).ok_or_else(|| PublicKeyError(text.chars().take(80).collect()))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is to be signed of an artifact. None where it is shorter than a header.
#[must_use]
pub fn message(artifact: &[u8]) -> Option<Vec<u8>> {
    artifact.get(..HEADER).map(|header| [CONTEXT, header].concat())
}

/// Puts a signature behind an artifact.
pub fn attach(artifact: &mut Vec<u8>, key: PublicKey, signature: &[u8; 64]) {
    artifact.extend_from_slice(&MAGIC);
    artifact.extend_from_slice(&key.0);
    artifact.extend_from_slice(signature);
}

/// Parts an image into the artifact and what stands behind it, where that is a signature by its first bytes.
pub(crate) fn part(image: &[u8]) -> (&[u8], Option<&[u8]>) {
    let at = image.len().checked_sub(LENGTH).filter(|at| *at >= HEADER);
    match at.and_then(|at| image.split_at_checked(at)) {
        Some((artifact, tail)) if tail.starts_with(&MAGIC) => (artifact, Some(tail)),
        _ => (image, None),
    }
}

/// Whose signature it is; none where it is not right.
pub(crate) fn verify(artifact: &[u8], tail: &[u8]) -> Option<PublicKey> {
    let (key, signature) = tail.get(MAGIC.len()..LENGTH)?.split_at_checked(32)?;
    UnparsedPublicKey::new(&ED25519, key).verify(&message(artifact)?, signature).ok()?;
    key.try_into().ok().map(PublicKey)
}
