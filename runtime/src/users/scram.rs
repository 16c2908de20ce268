//! SCRAM-SHA-256 on the server's side (RFC 5802, RFC 7677), without channel binding.
//!
//! Own code over ring's primitives: the library looked at (rsasl 2.3) answers an unknown user with a
//! salt that changes and an error of its own, which tells strangers who exists.
//! Limits: no SASLprep beyond what clients do; an authorization identity must be the login or empty.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};
use std::num::NonZeroU32;

/// Iterations for new entries (RFC 7677 4 asks for at least 4096).
const ITERATIONS: u32 = 16_384;
/// The most iterations that an entry may ask for.
const MAX_ITERATIONS: u32 = 10_000_000;
/// The longest salt, in bytes.
const MAX_SALT: usize = 2 * KEY;
/// Bytes of each key.
pub(crate) const KEY: usize = digest::SHA256_OUTPUT_LEN;

/// What a server keeps of a password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ScramKeys {
    iterations: NonZeroU32,
    salt: Vec<u8>,
    stored: [u8; KEY],
    server: [u8; KEY],
}

#[cfg(test)]
std::thread_local! {
    /// How often this thread has signed: what a login costs, for tests.
    pub(super) static SIGNED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// HMAC with SHA-256.
pub(crate) fn sign(key: &[u8], text: &[u8]) -> [u8; KEY] {
    #[cfg(test)]
    SIGNED.set(SIGNED.get() + 1);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    tag.as_ref().first_chunk().copied().unwrap_or_default()
}

/// SHA-256.
pub(crate) fn hash(bytes: &[u8]) -> [u8; KEY] {
    digest::digest(&digest::SHA256, bytes).as_ref().first_chunk().copied().unwrap_or_default()
}

/// Compares in a time that does not hang on where they differ.
pub(crate) fn same(a: &[u8; KEY], b: &[u8; KEY]) -> bool {
    a.iter().zip(b).fold(0, |found, (x, y)| found | (x ^ y)) == 0
}

impl ScramKeys {
    /// Reads `ITERATIONS,SALT,STORED,SERVER`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(',');
        let mut next = || parts.next();
        let iterations: NonZeroU32 = next()?.parse().ok()?;
        let salt = STANDARD.decode(next()?).ok()?;
        let stored = STANDARD.decode(next()?).ok()?.try_into().ok()?;
        let server = STANDARD.decode(next()?).ok()?.try_into().ok()?;
        let fine = iterations.get() <= MAX_ITERATIONS && !salt.is_empty() && salt.len() <= MAX_SALT;
        (fine && next().is_none()).then_some(Self { iterations, salt, stored, server })
    }

    /// Derives the keys of a password.
    pub(super) fn derive(password: &str, salt: &[u8], iterations: NonZeroU32) -> Self {
        let mut salted = [0; KEY];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password.as_bytes(), &mut salted);
        let client = sign(&salted, b"Client Key");
        Self { iterations, salt: salt.to_vec(), stored: hash(&client), server: sign(&salted, b"Server Key") }
    }

    /// Whether a password that came in plain text fits.
    pub(super) fn fits(&self, password: &str) -> bool {
        let other = Self::derive(password, &self.salt, self.iterations);
        same(&self.stored, &other.stored)
    }

    /// As [`ScramKeys::parse`] reads it.
    pub(super) fn entry(&self) -> String {
        let b64 = |bytes: &[u8]| STANDARD.encode(bytes);
        format!("{},{},{},{}", self.iterations, b64(&self.salt), b64(&self.stored), b64(&self.server))
    }

    /// How often a password is hashed.
    pub(super) fn iterations(&self) -> u32 {
        self.iterations.get()
    }

    /// What a challenge shows of an entry beside its salt.
    pub(super) fn shape(&self) -> Shape {
        Shape { iterations: self.iterations, salt: self.salt.len() }
    }

    /// Keys for somebody who is not there: the same for the same name, and as good as unknown.
    pub(super) fn decoy(seed: &[u8; 32], name: &str, shape: Shape) -> Self {
        // What is told apart by its first byte is never the same text, whatever the name.
        let part = |what: u8| sign(seed, &[&[what], name.as_bytes()].concat());
        let mut salt = [part(1), part(2)].concat();
        salt.truncate(shape.salt);
        Self { iterations: shape.iterations, salt, stored: part(3), server: part(4) }
    }
}

/// Iterations, and bytes of the salt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Shape {
    iterations: NonZeroU32,
    salt: usize,
}

impl Default for Shape {
    /// That of new entries.
    fn default() -> Self {
        Self { iterations: NonZeroU32::MIN.saturating_add(ITERATIONS - 1), salt: 16 }
    }
}

/// A new entry for a password.
pub(super) fn new_entry(password: &str, salt: &[u8; 16]) -> String {
    let iterations = NonZeroU32::MIN.saturating_add(ITERATIONS - 1);
    format!("{{SCRAM-SHA-256}}{}", ScramKeys::derive(password, salt, iterations).entry())
}

/// The client's first message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ClientFirst {
    /// Who logs in.
    pub(crate) name: String,
    header: String,
    bare: String,
    nonce: String,
}

impl ClientFirst {
    /// Reads `n,,n=NAME,r=NONCE` (RFC 5802 7). None where it is out of shape, asks for channel binding,
    /// or wants to act for somebody else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (flag, rest) = text.split_once(',')?;
        // `y`: the client could bind channels and believes that the server cannot; that is so.
        if !matches!(flag, "n" | "y") {
            return None;
        }
        let (identity, bare) = rest.split_once(',')?;
        let mut parts = bare.split(',');
        let name = unescape(parts.next()?.strip_prefix("n=")?)?;
        let nonce = parts.next()?.strip_prefix("r=")?;
        let printable = nonce.bytes().all(|b| (0x21..=0x7e).contains(&b));
        if nonce.is_empty() || nonce.len() > 256 || !printable || name.is_empty() {
            return None;
        }
        if !identity.is_empty() && unescape(identity.strip_prefix("a=")?)? != name {
            return None;
        }
        Some(Self {
            name,
            header: format!("{flag},{identity},"),
            bare: bare.to_owned(),
            nonce: nonce.to_owned(),
        })
    }
}

/// `=2C` is a comma, `=3D` an equals sign; nothing else follows `=`.
fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split('=');
    out.push_str(parts.next()?);
    for part in parts {
        let (c, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (None, Some(rest)) => ('=', rest),
            (None, None) => return None,
        };
        out.push(c);
        out.push_str(rest);
    }
    Some(out)
}

/// An exchange that waits for the client's proof.
#[derive(Clone)]
pub(crate) struct Challenge {
    first: ClientFirst,
    keys: ScramKeys,
    nonce: String,
    message: String,
    real: bool,
}

impl std::fmt::Debug for Challenge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Challenge").field("name", &self.first.name).finish_non_exhaustive()
    }
}

impl Challenge {
    /// The server's first message. `real` says whether the keys are somebody's.
    pub(super) fn new(first: ClientFirst, keys: ScramKeys, server_nonce: &[u8; 18], real: bool) -> Self {
        let nonce = format!("{}{}", first.nonce, STANDARD.encode(server_nonce));
        let message = format!("r={nonce},s={},i={}", STANDARD.encode(&keys.salt), keys.iterations);
        Self { first, keys, nonce, message, real }
    }

    /// What is sent to the client.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Who logs in.
    pub(crate) fn name(&self) -> &str {
        &self.first.name
    }

    /// Checks the client's final message; gives the server's.
    pub(crate) fn finish(&self, text: &str) -> Option<String> {
        let (without_proof, proof) = text.rsplit_once(",p=")?;
        let binding = STANDARD.encode(&self.first.header);
        if without_proof != format!("c={binding},r={}", self.nonce) {
            return None;
        }
        let proof: [u8; KEY] = STANDARD.decode(proof).ok()?.try_into().ok()?;
        let signed = format!("{},{},{without_proof}", self.first.bare, self.message);
        let signature = sign(&self.keys.stored, signed.as_bytes());
        let mut client = [0; KEY];
        for ((to, a), b) in client.iter_mut().zip(proof).zip(signature) {
            *to = a ^ b;
        }
        let fits = same(&hash(&client), &self.keys.stored);
        let verifier = STANDARD.encode(sign(&self.keys.server, signed.as_bytes()));
        (fits && self.real).then(|| format!("v={verifier}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677 3.
    #[test]
    fn example_of_the_rfc() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let keys = ScramKeys::derive("pencil", &salt, 4096.try_into().unwrap());
        let first = ClientFirst::parse("n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
        let mut challenge = Challenge::new(first, keys.clone(), &[0; 18], true);
        challenge.nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".to_owned();
        challenge.message = format!("r={},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", challenge.nonce);
        let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let want = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(challenge.finish(last).as_deref(), Some(want));
        assert_eq!(challenge.finish(&last.replace("AndVQ", "AndVR")), None);
        assert_eq!(challenge.finish(&last.replace("biws", "eSws")), None);
        challenge.real = false;
        assert_eq!(challenge.finish(last), None);
        assert!(keys.fits("pencil") && !keys.fits("pencil2"));
        assert!(ScramKeys::parse(&keys.entry()) == Some(keys));
    }

    /// AUTH state and parsers (CVE-2011-1720 Postfix, CVE-2018-6789 and CVE-2023-42114 Exim).
    #[test]
    fn first_messages() {
        let name = |text| ClientFirst::parse(text).map(|first| first.name);
        assert_eq!(name("n,,n=a=2Cb=3Dc,r=x").as_deref(), Some("a,b=c"));
        assert_eq!(name("y,a=user,n=user,r=x").as_deref(), Some("user"));
        for text in ["", "n", "n,,", "n,,n=a", "n,,n=,r=x", "n,,n=a,r=", "p=tls-unique,,n=a,r=x"] {
            assert_eq!(name(text), None, "{text}");
        }
        for text in ["n,a=other,n=user,r=x", "n,,n=a=2D,r=x", "n,,n=a,r=a b", "n,,m=ext,n=a,r=x"] {
            assert_eq!(name(text), None, "{text}");
        }
    }
}
