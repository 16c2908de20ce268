//! The exchanges of AUTH (RFC 4954): PLAIN (RFC 4616), LOGIN and SCRAM-SHA-256 (RFC 7677).
//!
//! Pure: each line of the client gives a `Move`. Passwords that came in plain text are handed on to be
//! checked elsewhere; nothing here shows or keeps them.

use crate::users::{Challenge, ClientFirst, Users};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// The longest line of an exchange (RFC 4954 4).
pub(super) const MAX_LINE: usize = 12_288;
/// The longest name and password taken, in bytes.
const MAX_NAME: usize = 256;
const MAX_PASSWORD: usize = 1024;

/// A password on its way to be checked. Debug shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// How a check of a password ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Checked {
    /// It is that of this user: the name as whoever checked it knows it.
    Right(String),
    /// It is nobody's.
    Wrong,
    /// Nobody could tell.
    Unknown,
}

/// Mechanisms, by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mechanism {
    Plain,
    Login,
    ScramSha256,
}

impl Mechanism {
    /// Without case (RFC 4954 4).
    pub(super) fn by_name(name: &str) -> Option<Self> {
        let all = [("PLAIN", Self::Plain), ("LOGIN", Self::Login), ("SCRAM-SHA-256", Self::ScramSha256)];
        all.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, it)| it)
    }
}

/// Where an exchange stands.
#[derive(Debug)]
pub(super) enum Exchange {
    /// Waits for name and password in one.
    Plain,
    /// Waits for the name.
    LoginName,
    /// Has the name and waits for the password.
    LoginPassword(String),
    /// Waits for the client's first message.
    Scram,
    /// Waits for the client's proof.
    Proof(Box<Challenge>),
    /// The client is proved, and is to take note of the server's proof.
    Proved(String),
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Move {
    /// Send this as a 334 and go on.
    Ask(String, Exchange),
    /// Have this name and password checked.
    Check(String, Password),
    /// This is who it says.
    Proved(String),
    /// Not him.
    Failed,
    /// The line is out of shape: the reply.
    Wrong(&'static str),
}

const NO_BASE64: &str = "501 5.5.2 this is no base64";
const SHAPE: &str = "501 5.5.2 the response cannot be read";

impl Exchange {
    /// Begins one.
    pub(super) fn begin(mechanism: Mechanism) -> Self {
        match mechanism {
            Mechanism::Plain => Self::Plain,
            Mechanism::Login => Self::LoginName,
            Mechanism::ScramSha256 => Self::Scram,
        }
    }

    /// Whether the next line tells if the client is who it says.
    pub(super) fn decides(&self) -> bool {
        matches!(self, Self::Proof(_))
    }

    /// The first 334 where the client sent nothing yet.
    pub(super) fn prompt(&self) -> String {
        match self {
            Self::LoginName => STANDARD.encode("Username:"),
            Self::LoginPassword(_) => STANDARD.encode("Password:"),
            _ => String::new(),
        }
    }

    /// Takes a response, base64.
    pub(super) fn take(self, line: &str, users: &Users, nonce: &[u8; 18]) -> Move {
        if line == "*" {
            return Move::Wrong("501 5.7.0 cancelled");
        }
        let Ok(bytes) = STANDARD.decode(line) else {
            return Move::Wrong(NO_BASE64);
        };
        let Ok(text) = String::from_utf8(bytes) else {
            return Move::Wrong(SHAPE);
        };
        match self {
            Self::Plain => plain(&text),
            Self::LoginName => {
                if text.is_empty() || text.len() > MAX_NAME || text.contains('\0') {
                    return Move::Wrong(SHAPE);
                }
                let next = Self::LoginPassword(text);
                Move::Ask(next.prompt(), next)
            }
            Self::LoginPassword(name) => check(name, text),
            Self::Scram => match ClientFirst::parse(&text).filter(|first| first.name.len() <= MAX_NAME) {
                Some(first) => {
                    let challenge = users.challenge(first, nonce);
                    Move::Ask(STANDARD.encode(challenge.message()), Self::Proof(Box::new(challenge)))
                }
                None => Move::Wrong(SHAPE),
            },
            Self::Proof(challenge) => match challenge.finish(&text) {
                Some(last) => Move::Ask(STANDARD.encode(last), Self::Proved(challenge.name().to_owned())),
                None => Move::Failed,
            },
            Self::Proved(name) if text.is_empty() => Move::Proved(name),
            Self::Proved(_) => Move::Wrong(SHAPE),
        }
    }
}

/// RFC 4616 2: `[authzid] NUL authcid NUL passwd`. Nobody acts for somebody else.
fn plain(text: &str) -> Move {
    let mut parts = text.split('\0');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(identity), Some(name), Some(password), None)
            if (identity.is_empty() || identity == name) && !name.is_empty() && name.len() <= MAX_NAME =>
        {
            check(name.to_owned(), password.to_owned())
        }
        _ => Move::Wrong(SHAPE),
    }
}

fn check(name: String, password: String) -> Move {
    if password.is_empty() || password.len() > MAX_PASSWORD || password.contains('\0') {
        return Move::Wrong(SHAPE);
    }
    Move::Check(name, Password(password))
}
