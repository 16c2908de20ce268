//! Password entries of a passwd-file: argon2id, sha512-crypt and SCRAM-SHA-256.
//!
//! `$argon2id$…` (PHC), `$6$…` (crypt), `{SCRAM-SHA-256}ITERATIONS,SALT,STORED,SERVER` with base64 as
//! Dovecot writes it. Checking takes long on purpose: callers do it off the threads that serve.

use super::scram::ScramKeys;
use argon2::password_hash::{CustomizedPasswordHasher, PasswordHasher, PasswordVerifier, phc::PasswordHash};
use argon2::{Algorithm, Argon2, Params, Version};

/// The most memory that a hash may ask for, in KiB.
const MAX_MEMORY: u32 = 1 << 20;

/// How a password is kept.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Secret {
    /// No login.
    None,
    /// A PHC string.
    Argon2(Box<str>),
    /// A crypt string.
    Sha512Crypt(Box<str>),
    /// Keys of SCRAM.
    Scram(Box<ScramKeys>),
}

/// What it takes to check a password: the function and what it is told to do. Salts and names apart, entries of one
/// cost take as long as each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Cost {
    /// Memory in KiB, passes, lanes.
    Argon2(u32, u32, u32),
    /// Rounds.
    Sha512Crypt(u32),
    /// Iterations.
    Scram(u32),
}

#[cfg(test)]
std::thread_local! {
    /// What this thread has checked passwords with, for tests.
    pub(super) static CHECKED: std::cell::RefCell<Vec<Cost>> = const { std::cell::RefCell::new(Vec::new()) };
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Argon2(_) => "Argon2",
            Self::Sha512Crypt(_) => "Sha512Crypt",
            Self::Scram(_) => "Scram",
        })
    }
}

impl Secret {
    /// Reads an entry.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() || text == "*" || text == "!" {
            return Ok(Self::None);
        }
        if text.starts_with("$argon2id$") {
            let hash = PasswordHash::new(text).map_err(|_| "the argon2id hash cannot be read")?;
            let params = Params::try_from(&hash).map_err(|_| "the argon2id hash cannot be read")?;
            if params.m_cost() > MAX_MEMORY || params.t_cost() > 100 || hash.hash.is_none() {
                return Err("the argon2id hash asks for more than 1 GiB or 100 passes, or is empty");
            }
            return Ok(Self::Argon2(text.into()));
        }
        if let Some(rest) = text.strip_prefix("$6$") {
            if rounds(rest) > 10_000_000 {
                return Err("the sha512-crypt hash asks for more than ten million rounds");
            }
            if rest.split('$').count() < 2 {
                return Err("the sha512-crypt hash cannot be read");
            }
            return Ok(Self::Sha512Crypt(text.into()));
        }
        if let Some(rest) = text.strip_prefix("{SCRAM-SHA-256}") {
            let keys = ScramKeys::parse(rest).ok_or("the SCRAM entry cannot be read")?;
            return Ok(Self::Scram(Box::new(keys)));
        }
        Err("the hash is none of $argon2id$, $6$ and {SCRAM-SHA-256}")
    }

    /// What a check of it takes; none where there is nothing to check.
    pub(super) fn cost(&self) -> Option<Cost> {
        match self {
            Self::None => None,
            Self::Argon2(text) => {
                let params = PasswordHash::new(text).ok().and_then(|hash| Params::try_from(&hash).ok())?;
                Some(Cost::Argon2(params.m_cost(), params.t_cost(), params.p_cost()))
            }
            Self::Sha512Crypt(text) => Some(Cost::Sha512Crypt(rounds(text.strip_prefix("$6$")?))),
            Self::Scram(keys) => Some(Cost::Scram(keys.iterations())),
        }
    }

    /// Whether the password fits.
    pub(super) fn fits(&self, password: &str) -> bool {
        #[cfg(test)]
        CHECKED.with_borrow_mut(|checked| checked.extend(self.cost()));
        match self {
            Self::None => false,
            Self::Argon2(hash) => Argon2::default().verify_password(password.as_bytes(), &**hash).is_ok(),
            Self::Sha512Crypt(hash) => {
                sha_crypt::ShaCrypt::default().verify_password(password.as_bytes(), &**hash).is_ok()
            }
            Self::Scram(keys) => keys.fits(password),
        }
    }
}

/// The rounds of a crypt string behind its `$6$`; more than can be where they cannot be read.
fn rounds(rest: &str) -> u32 {
    match rest.strip_prefix("rounds=") {
        Some(rounds) => rounds.split('$').next().and_then(|r| r.parse().ok()).unwrap_or(u32::MAX),
        None => 5000,
    }
}

/// Memory in KiB, passes and lanes: what RFC 9106 4 recommends second.
pub(super) const PARAMETERS: (u32, u32, u32) = (64 << 10, 3, 4);

/// An argon2id entry for a password.
pub(super) fn argon2id(password: &str, salt: &[u8; 16], parameters: (u32, u32, u32)) -> Option<String> {
    let (memory, passes, lanes) = parameters;
    let params = Params::new(memory, passes, lanes, None).ok()?;
    Argon2::default()
        .hash_password_customized(
            password.as_bytes(),
            salt,
            Some(Algorithm::Argon2id.as_str()),
            Some(Version::V0x13 as u32),
            params,
        )
        .ok()
        .map(|hash: PasswordHash| hash.to_string())
}

/// Rounds of new sha512-crypt entries: as costly as OWASP asks of PBKDF2 with this hash.
pub(super) const ROUNDS: u32 = 210_000;

/// A sha512-crypt entry for a password. Of the salt twelve bytes are used: crypt(3) takes sixteen characters.
pub(super) fn sha512_crypt(password: &str, salt: &[u8; 16], rounds: u32) -> Option<String> {
    let params = sha_crypt::Params::new(rounds).ok()?;
    let crypt = sha_crypt::ShaCrypt::new(sha_crypt::Algorithm::Sha512Crypt, params);
    let salt = salt.first_chunk::<12>()?;
    crypt.hash_password_with_salt(password.as_bytes(), salt).ok().map(|hash| hash.to_string())
}
