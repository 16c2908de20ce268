//! Logging in at a relay (RFC 4954): SCRAM-SHA-256 (RFC 5802, RFC 7677), else PLAIN (RFC 4616), else LOGIN.
//!
//! The first of them that is offered is used, and none after it failed: whoever fails one on purpose is not to be
//! told the password by another. By SCRAM it is not told at all, and the relay must prove that it knows it.
//! Limits: no channel binding; passwords are taken as they are, without SASLprep.

use super::client::{Session, Trouble};
use super::reply::Reply;
use crate::users::scram::{KEY, hash, same, sign};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::pbkdf2;
use ring::rand::{SecureRandom, SystemRandom};
use std::num::NonZeroU32;

/// Fewer iterations than these make the password cheap to guess for whoever asks for them (RFC 7677 4).
const MIN_ITERATIONS: u32 = 4096;
/// More than these only cost time.
const MAX_ITERATIONS: u32 = 1_000_000;

/// A login at a relay.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub login: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("login", &self.login).finish_non_exhaustive()
    }
}

/// Logs in.
pub(super) async fn authenticate(session: &mut Session, login: &Login) -> Result<(), Trouble> {
    let has = |session: &Session, mechanism: &str| session.offers().auth.iter().any(|m| m == mechanism);
    let reply = if has(session, "SCRAM-SHA-256") {
        scram(session, login).await?
    } else if has(session, "PLAIN") {
        let response = STANDARD.encode(format!("\0{}\0{}", login.login, login.password));
        session.command(&format!("AUTH PLAIN {response}\r\n")).await?
    } else if has(session, "LOGIN") {
        let mut reply = session.command("AUTH LOGIN\r\n").await?;
        for word in [&login.login, &login.password] {
            if reply.code != 334 {
                break;
            }
            reply = session.command(&format!("{}\r\n", STANDARD.encode(word))).await?;
        }
        reply
    } else {
        return Err(Trouble::Auth("it offers none of SCRAM-SHA-256, PLAIN and LOGIN".to_owned()));
    };
    if reply.code == 235 { Ok(()) } else { Err(says(&reply)) }
}

fn says(reply: &Reply) -> Trouble {
    Trouble::Auth(format!("it says {}", reply.line()))
}

async fn scram(session: &mut Session, login: &Login) -> Result<Reply, Trouble> {
    let mut nonce = [0; 18];
    SystemRandom::new()
        .fill(&mut nonce)
        .map_err(|_| Trouble::Auth("the system has no random bytes".to_owned()))?;
    let first = First::new(&login.login, &STANDARD.encode(nonce));
    let hello = STANDARD.encode(first.message());
    let reply = session.command(&format!("AUTH SCRAM-SHA-256 {hello}\r\n")).await?;
    let challenge = continued(&reply)?;
    let password = login.password.clone();
    // Deriving the key takes a while, on purpose; connections that are served meanwhile do not wait for it.
    let proved = tokio::task::spawn_blocking(move || first.prove(&challenge, &password)).await;
    let proved = proved.unwrap_or(Err("the proof could not be made"));
    let Proof { message, verifier } = proved.map_err(|why| Trouble::Auth(why.to_owned()))?;
    let reply = session.command(&format!("{}\r\n", STANDARD.encode(message))).await?;
    // Whoever lets us in without a proof of his own has none.
    let last = if reply.code == 235 { String::new() } else { continued(&reply)? };
    let theirs = last.strip_prefix("v=").and_then(|text| STANDARD.decode(text).ok());
    let theirs: Option<[u8; KEY]> = theirs.and_then(|bytes| bytes.try_into().ok());
    if !theirs.is_some_and(|theirs| same(&theirs, &verifier)) {
        return Err(Trouble::Auth("it did not prove that it knows the password".to_owned()));
    }
    // Its proof came as a challenge; nothing is left to say (RFC 4954 4).
    session.command("\r\n").await
}

/// What a 334 holds.
fn continued(reply: &Reply) -> Result<String, Trouble> {
    if reply.code != 334 {
        return Err(says(reply));
    }
    let bytes = STANDARD.decode(&reply.text).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| Trouble::Auth("its challenge cannot be read".to_owned()))
}

/// What is said without channel binding and for nobody else.
const HEADER: &str = "n,,";

/// Our first message.
struct First {
    bare: String,
    nonce: String,
}

/// Our last message, and what the other side must answer.
#[derive(Debug)]
struct Proof {
    message: String,
    verifier: [u8; KEY],
}

impl First {
    fn new(name: &str, nonce: &str) -> Self {
        let name = name.replace('=', "=3D").replace(',', "=2C");
        Self { bare: format!("n={name},r={nonce}"), nonce: nonce.to_owned() }
    }

    fn message(&self) -> String {
        format!("{HEADER}{}", self.bare)
    }

    /// Answers `r=NONCE,s=SALT,i=ITERATIONS`.
    fn prove(&self, challenge: &str, password: &str) -> Result<Proof, &'static str> {
        const SHAPE: &str = "its challenge is out of shape";
        let mut parts = challenge.split(',');
        let mut next = |name| parts.next().and_then(|part: &str| part.strip_prefix(name)).ok_or(SHAPE);
        let (nonce, salt, iterations) = (next("r=")?, next("s=")?, next("i=")?);
        if nonce.strip_prefix(&self.nonce).is_none_or(str::is_empty) {
            return Err("its challenge is for somebody else");
        }
        let salt = STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty()).ok_or(SHAPE)?;
        let iterations: u32 = iterations.parse().map_err(|_| SHAPE)?;
        let wanted = NonZeroU32::new(iterations).ok_or(SHAPE)?;
        if !(MIN_ITERATIONS..=MAX_ITERATIONS).contains(&iterations) {
            return Err("it asks for a number of iterations that is not safe");
        }
        let mut salted = [0; KEY];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, wanted, &salt, password.as_bytes(), &mut salted);
        let client = sign(&salted, b"Client Key");
        let without_proof = format!("c={},r={nonce}", STANDARD.encode(HEADER));
        let signed = format!("{},{challenge},{without_proof}", self.bare);
        let signature = sign(&hash(&client), signed.as_bytes());
        let mut proof = [0; KEY];
        for ((to, a), b) in proof.iter_mut().zip(client).zip(signature) {
            *to = a ^ b;
        }
        let verifier = sign(&sign(&salted, b"Server Key"), signed.as_bytes());
        Ok(Proof { message: format!("{without_proof},p={}", STANDARD.encode(proof)), verifier })
    }
}

#[cfg(test)]
mod tests;
