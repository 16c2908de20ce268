//! Who may log in, and which mailboxes exist: the users of a passwd-file.
//!
//! One `name:hash` a line; blank lines and lines that start with `#` are nothing. A name is an address,
//! or a bare local part, which then is a mailbox at every local domain. Hashes are PHC and crypt
//! strings; a user without one (`name:` or `name`) has a mailbox and no login.
//! Must not know: sockets, sessions; and files only in [`mod@file`], which changes one for `edictd passwd`.

pub mod file;
pub(crate) mod scram;
mod secret;
#[cfg(test)]
mod tests;

pub(crate) use scram::{Challenge, ClientFirst};

use edict_table::value::{Address, address::parse_local, fold};
use scram::{ScramKeys, Shape};
use secret::{Cost, Secret};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

/// The largest number of users taken from one file.
pub const MAX_USERS: usize = 2_000_000;
/// The longest line taken, in bytes.
const MAX_LINE: usize = 1024;

/// All users of a server.
#[derive(Clone, Debug, Default)]
pub struct Users {
    by_name: HashMap<Box<str>, Secret>,
    /// What strangers' passwords are checked against, so that they take as long as anyone's.
    decoys: Decoys,
    scram: bool,
    /// What challenges to strangers look like: most of the entries.
    shape: Shape,
    seed: Seed,
}

/// An entry of each cost, with how many entries cost as much or stand before it.
#[derive(Clone, Debug, Default)]
struct Decoys(Vec<(u64, Secret)>);

impl Decoys {
    /// The entry for a name: always the same one, and of each cost as many names have it as users have. So what a
    /// check takes tells nothing of whether there is such a user, in a file of several kinds of hashes too.
    fn of(&self, name: &str, seed: &Seed) -> Option<&Secret> {
        let all = self.0.last()?.0;
        // Told apart from what salts are made of by its first byte.
        let tag = scram::sign(&seed.0, &[&[5], name.as_bytes()].concat());
        let place = u64::from_le_bytes(tag.first_chunk().copied().unwrap_or_default()) % all;
        self.0.iter().find(|(end, _)| place < *end).map(|(_, secret)| secret)
    }
}

/// Makes the salts of those who are not there, and chooses whose hash they are checked against.
#[derive(Clone, Copy, Default)]
struct Seed([u8; 32]);

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed")
    }
}

/// Why a file holds no users.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct UsersError {
    /// From 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

impl Users {
    /// Reads a passwd-file, whole or not at all.
    ///
    /// # Errors
    /// Says which line is wrong.
    pub fn parse(text: &str) -> Result<Self, UsersError> {
        let mut by_name = HashMap::new();
        let mut costs: BTreeMap<Cost, (u64, Secret)> = BTreeMap::new();
        let mut shapes: HashMap<Shape, usize> = HashMap::new();
        for (place, line) in text.lines().enumerate() {
            let wrong = |what| UsersError { line: place + 1, what };
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.len() > MAX_LINE {
                return Err(wrong("longer than 1024 bytes"));
            }
            let (name, hash) = line.split_once(':').unwrap_or((line, ""));
            let name = policy_name(name).ok_or_else(|| wrong("the name is no address and no local part"))?;
            let secret = Secret::parse(hash).map_err(wrong)?;
            if let Secret::Scram(keys) = &secret {
                *shapes.entry(keys.shape()).or_default() += 1;
            }
            if let Some(cost) = secret.cost() {
                costs.entry(cost).or_insert_with(|| (0, secret.clone())).0 += 1;
            }
            if by_name.insert(name.into_boxed_str(), secret).is_some() {
                return Err(wrong("a user of this name stands above"));
            }
            if by_name.len() > MAX_USERS {
                return Err(wrong("more than two million users"));
            }
        }
        // Of several that are as frequent the smallest, so that the same file always gives the same one.
        let frequent = shapes.iter().max_by_key(|(shape, count)| (**count, Reverse(**shape)));
        let shape = frequent.map(|(shape, _)| *shape).unwrap_or_default();
        let mut end = 0;
        let decoys = costs.into_values().map(|(count, secret)| {
            end += count;
            (end, secret)
        });
        let decoys = Decoys(decoys.collect());
        Ok(Self { by_name, decoys, scram: !shapes.is_empty(), shape, seed: Seed::default() })
    }

    /// Has the salts and hashes of those who are not there hang on the daemon's secret and on nothing else, so that they stay what
    /// they are when the file changes or the daemon starts again. A daemon that takes logins must do this or
    /// [`Users::seeded_as`]: without it anybody can work them out.
    #[must_use]
    pub fn seeded(self, secret: &[u8]) -> Self {
        let seed = Seed(blake3::derive_key("edict 2026-11-29 challenges of nobody", secret));
        Self { seed, ..self }
    }

    /// Goes on with the salts of the users before a reload.
    #[must_use]
    pub fn seeded_as(self, before: &Self) -> Self {
        Self { seed: before.seed, ..self }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Whether anyone can log in with SCRAM-SHA-256.
    #[must_use]
    pub fn has_scram(&self) -> bool {
        self.scram
    }

    /// Whether this is somebody's password. Takes long on purpose, and as long for names that nobody
    /// has; not for threads that serve.
    #[must_use]
    pub fn verify(&self, name: &str, password: &str) -> bool {
        let name = policy_name(name).unwrap_or_default();
        // Chosen for those who are there, too: no name takes longer than another.
        let decoy = self.decoys.of(&name, &self.seed);
        match self.by_name.get(name.as_str()) {
            Some(secret) if *secret != Secret::None => secret.fits(password),
            _ => {
                if let Some(decoy) = decoy {
                    let _ = decoy.fits(password);
                }
                false
            }
        }
    }

    /// What somebody's entry is now, by which a login was proved.
    pub(crate) fn proof(&self, name: &str) -> Option<Proof> {
        self.by_name.get(policy_name(name)?.as_str()).cloned().map(Proof)
    }

    /// Whether somebody's entry is still the one by which a login was proved.
    pub(crate) fn still(&self, name: &str, proof: &Proof) -> bool {
        policy_name(name).is_some_and(|name| self.by_name.get(name.as_str()) == Some(&proof.0))
    }

    /// Begins SCRAM-SHA-256. Who is not there gets a challenge that nobody can answer. It is made for those who are
    /// there, too, and thrown away: no name takes longer than another.
    pub(crate) fn challenge(&self, first: ClientFirst, nonce: &[u8; 18]) -> Challenge {
        let name = policy_name(&first.name).unwrap_or_default();
        let decoy = ScramKeys::decoy(&self.seed.0, &name, self.shape);
        let (keys, real) = match self.by_name.get(name.as_str()) {
            Some(Secret::Scram(keys)) => (&**keys, true),
            _ => (&decoy, false),
        };
        Challenge::new(first, keys.clone(), nonce, real)
    }

    /// Whether a user has this mailbox, with or without `+extension`. The domain must be a local one:
    /// bare names have a mailbox at each, and the caller knows which those are.
    #[must_use]
    pub fn exists(&self, address: &Address) -> bool {
        let holds =
            |a: &Address| self.by_name.contains_key(a.as_str()) || self.by_name.contains_key(a.local());
        holds(address) || address.without_extension().is_some_and(|base| holds(&base))
    }
}

/// The entry by which a login was proved: the login is good for as long as it stays what it is.
#[derive(Debug)]
pub(crate) struct Proof(Secret);

/// How `edictd passwd` keeps a password.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Scheme {
    /// For PLAIN and LOGIN.
    #[default]
    Argon2id,
    /// For SCRAM-SHA-256, PLAIN and LOGIN.
    ScramSha256,
    /// For PLAIN and LOGIN, and for other programs that read the file with crypt(3).
    Sha512Crypt,
}

/// The entry of a passwd-file for a password, without the name. None where the name is no name or the
/// password is empty, longer than 1024 bytes or holds a control character.
#[must_use]
pub fn entry(name: &str, password: &str, scheme: Scheme, salt: &[u8; 16]) -> Option<String> {
    policy_name(name)?;
    if password.is_empty() || password.len() > 1024 || password.chars().any(char::is_control) {
        return None;
    }
    match scheme {
        Scheme::Argon2id => secret::argon2id(password, salt, secret::PARAMETERS),
        Scheme::ScramSha256 => Some(scram::new_entry(password, salt)),
        Scheme::Sha512Crypt => secret::sha512_crypt(password, salt, secret::ROUNDS),
    }
    .map(|secret| format!("{name}:{secret}"))
}

/// The text of a passwd-file with this entry in place of the user's old one, or at its end; without an entry the
/// user's line is gone. All else stays as it is, comments and order too. Also whether the user was there before.
#[must_use]
pub fn edit(text: &str, name: &str, entry: Option<&str>) -> (String, bool) {
    let own = policy_name(name);
    let mut out = String::with_capacity(text.len() + 256);
    let mut found = false;
    for line in text.lines() {
        let bare = line.trim();
        let user = bare.split_once(':').map_or(bare, |(user, _)| user);
        let is_own = !bare.is_empty() && !bare.starts_with('#') && own.is_some() && policy_name(user) == own;
        match (is_own, entry) {
            (false, _) => out.push_str(line),
            (true, Some(entry)) if !found => out.push_str(entry),
            (true, _) => {
                found = true;
                continue;
            }
        }
        found |= is_own;
        out.push('\n');
    }
    if let (false, Some(entry)) = (found, entry) {
        out.push_str(entry);
        out.push('\n');
    }
    (out, found)
}

/// The form in which names are compared: as [`Address`], or a folded local part.
fn policy_name(name: &str) -> Option<String> {
    if name.contains('@') {
        return Address::parse(name).ok().map(|a| a.as_str().to_owned());
    }
    parse_local(name).ok().map(|local| fold(&local).into_owned())
}
