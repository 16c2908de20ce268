//! Who may log in, and which mailboxes exist: the users of a passwd-file.
//!
//! One `name:hash` a line; blank lines and lines that start with `#` are nothing. A name is an address,
//! or a bare local part, which then is a mailbox at every local domain. Hashes are PHC and crypt
//! strings; a user without one (`name:` or `name`) has a mailbox and no login.
//! Must not know: sockets, sessions; and files only in [`mod@file`], which changes one for `edictd passwd`.

pub mod file;
pub(crate) mod scram;
mod secret;

pub(crate) use scram::{Challenge, ClientFirst};

use edict_table::value::{Address, address::parse_local, fold};
use scram::ScramKeys;
use secret::Secret;
use std::collections::HashMap;

/// The largest number of users taken from one file.
pub const MAX_USERS: usize = 2_000_000;
/// The longest line taken, in bytes.
const MAX_LINE: usize = 1024;

/// All users of a server.
#[derive(Clone, Debug, Default)]
pub struct Users {
    by_name: HashMap<Box<str>, Secret>,
    /// What strangers' passwords are checked against, so that they take as long as anyone's.
    decoy: Option<Secret>,
    scram: bool,
    /// Makes the salts of those who are not there.
    seed: [u8; 32],
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
        let mut decoy: Option<Secret> = None;
        let mut scram = false;
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
            scram |= matches!(secret, Secret::Scram(_));
            if decoy.is_none() && secret != Secret::None {
                decoy = Some(secret.clone());
            }
            if by_name.insert(name.into_boxed_str(), secret).is_some() {
                return Err(wrong("a user of this name stands above"));
            }
            if by_name.len() > MAX_USERS {
                return Err(wrong("more than two million users"));
            }
        }
        // The same file gives the same salts, also after a restart; nobody outside knows the file.
        let seed = *blake3::keyed_hash(blake3::hash(b"edict: salts of nobody").as_bytes(), text.as_bytes())
            .as_bytes();
        Ok(Self { by_name, decoy, scram, seed })
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
        let secret = policy_name(name).and_then(|name| self.by_name.get(name.as_str()));
        match secret {
            Some(secret) if *secret != Secret::None => secret.fits(password),
            _ => {
                if let Some(decoy) = &self.decoy {
                    let _ = decoy.fits(password);
                }
                false
            }
        }
    }

    /// Begins SCRAM-SHA-256. Who is not there gets a challenge that nobody can answer.
    pub(crate) fn challenge(&self, first: ClientFirst, nonce: &[u8; 18]) -> Challenge {
        let name = policy_name(&first.name).unwrap_or_default();
        match self.by_name.get(name.as_str()) {
            Some(Secret::Scram(keys)) => Challenge::new(first, (**keys).clone(), nonce, true),
            _ => {
                let like = self.by_name.values().find_map(|secret| match secret {
                    Secret::Scram(keys) => Some(&**keys),
                    _ => None,
                });
                Challenge::new(first, ScramKeys::decoy(&self.seed, &name, like), nonce, false)
            }
        }
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
        Scheme::Sha512Crypt => secret::sha512_crypt(password, salt),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_answers() {
        let users = Users::parse("# people\n\nAnn@Example.com:!\nbob:\ncarl\n").unwrap();
        assert_eq!(users.len(), 3);
        for (address, want) in [
            ("ann@example.com", true),
            ("ann+x@example.com", true),
            ("ann@example.org", false),
            ("bob@anything.example", true),
            ("carl@example.com", true),
            ("dan@example.com", false),
        ] {
            assert_eq!(users.exists(&Address::parse(address).unwrap()), want, "{address}");
        }
    }

    #[test]
    fn passwords_of_every_kind() {
        // From glibc's crypt(3) test suite.
        let crypt = "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1";
        let mut text = format!("crypt@example.com:{crypt}\n");
        // m=8, t=1, p=1: as cheap as argon2 gets.
        text += &format!(
            "argon@example.com:{}\n",
            secret::argon2id("Hello world!", &[7; 16], (8, 1, 1)).unwrap()
        );
        text += &entry("scram", "Hello world!", Scheme::ScramSha256, &[7; 16]).unwrap();
        text += "\n";
        text += &entry("own@example.com", "Hello world!", Scheme::Sha512Crypt, &[7; 16]).unwrap();
        text += "\nnologin:\n";
        let users = Users::parse(&text).unwrap();
        for name in
            ["crypt@example.com", "CRYPT@Example.COM", "argon@example.com", "scram", "own@example.com"]
        {
            assert!(users.verify(name, "Hello world!"), "{name}");
            assert!(!users.verify(name, "Hello world"), "{name}");
        }
        for name in ["nologin", "nobody", "nobody@example.com", "", "a b", "crypt"] {
            assert!(!users.verify(name, "") && !users.verify(name, "Hello world!"), "{name}");
        }
        assert!(!format!("{users:?}").contains("saltstring"));
    }

    #[test]
    fn edits_keep_what_is_not_theirs() {
        let text = "# people\nann@example.com:!\n\n bob : old\nbob:old\n#bob:x";
        let edited = |name, entry| edit(text, name, entry);
        let bob = "# people\nann@example.com:!\n\n bob : old\nbob:new\n#bob:x\n".to_owned();
        assert_eq!(edited("BOB", Some("bob:new")), (bob, true));
        let carl = format!("{text}\ncarl:new\n");
        assert_eq!(edited("carl", Some("carl:new")), (carl, false));
        let gone = "# people\n\n bob : old\nbob:old\n#bob:x\n".to_owned();
        assert_eq!(edited("ANN@Example.com", None), (gone, true));
        assert_eq!(edited("nobody", None), (format!("{text}\n"), false));
        assert_eq!(edit("", "a", Some("a:b")), ("a:b\n".to_owned(), false));
    }

    /// AUTH guessing: who is not there looks like who is.
    /// AUTH guessing and timing.
    #[test]
    fn scram_tells_nobody_who_exists() {
        let users = Users::parse(&entry("scram", "x", Scheme::ScramSha256, &[7; 16]).unwrap()).unwrap();
        let message = |name: &str| {
            let first = ClientFirst::parse(&format!("n,,n={name},r=x")).unwrap();
            users.challenge(first, &[1; 18]).message().to_owned()
        };
        assert_eq!(message("nobody"), message("nobody"));
        assert_ne!(message("nobody"), message("somebody"));
        assert_eq!(message("nobody").len(), message("scram").len());
    }

    #[test]
    fn mistakes_name_their_line() {
        for (text, line) in [("a:\na:\n", 2), ("x y:\n", 1), ("\n@example.com:\n", 2), ("a:$1$x$y\n", 1)] {
            assert_eq!(Users::parse(text).unwrap_err().line, line, "{text:?}");
        }
    }
}
