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
use scram::{ScramKeys, Shape};
use secret::Secret;
use std::cmp::Reverse;
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
    /// What challenges to strangers look like: most of the entries.
    shape: Shape,
    seed: Seed,
}

/// Makes the salts of those who are not there.
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
        let mut decoy: Option<Secret> = None;
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
        // Of several that are as frequent the smallest, so that the same file always gives the same one.
        let frequent = shapes.iter().max_by_key(|(shape, count)| (**count, Reverse(**shape)));
        let shape = frequent.map(|(shape, _)| *shape).unwrap_or_default();
        Ok(Self { by_name, decoy, scram: !shapes.is_empty(), shape, seed: Seed::default() })
    }

    /// Has the salts of those who are not there hang on the daemon's secret and on nothing else, so that they stay what
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

    fn challenged(users: &Users, name: &str) -> Challenge {
        let first = ClientFirst::parse(&format!("n,,n={name},r=x")).unwrap();
        users.challenge(first, &[1; 18])
    }

    /// An entry of so many iterations with a salt of so many bytes.
    fn scram_entry(name: &str, iterations: u32, salt: usize) -> String {
        let keys = ScramKeys::derive("x", &vec![7; salt], iterations.try_into().unwrap());
        format!("{name}:{{SCRAM-SHA-256}}{}\n", keys.entry())
    }

    /// AUTH guessing: who is not there looks like who is.
    /// AUTH guessing and timing.
    #[test]
    fn scram_tells_nobody_who_exists() {
        let users = Users::parse(&entry("scram", "x", Scheme::ScramSha256, &[7; 16]).unwrap()).unwrap();
        let message = |name: &str| challenged(&users, name).message().to_owned();
        assert_eq!(message("nobody"), message("nobody"));
        assert_ne!(message("nobody"), message("somebody"));
        assert_eq!(message("nobody").len(), message("scram").len());
        let long = Users::parse(&scram_entry("scram", 5000, 64)).unwrap();
        let message = |name: &str| challenged(&long, name).message().to_owned();
        assert_eq!(message("nobody").len(), message("scram").len(), "a salt as long as any");
    }

    /// AUTH guessing and timing: a stranger's salt is what it was after a reload, as a user's is.
    #[test]
    fn strangers_salts_outlive_changes_of_the_file() {
        let text = scram_entry("ann", 5000, 16);
        let before = Users::parse(&text).unwrap().seeded(b"secret");
        let more = text + &scram_entry("bob", 5000, 16);
        let restarted = Users::parse(&more).unwrap().seeded(b"secret");
        let reloaded = Users::parse(&more).unwrap().seeded_as(&before);
        for name in ["ann", "carl", "nobody@example.com"] {
            let want = challenged(&before, name).message().to_owned();
            assert_eq!(challenged(&restarted, name).message(), want, "{name}");
            assert_eq!(challenged(&reloaded, name).message(), want, "{name}");
        }
        let other = Users::parse(&more).unwrap().seeded(b"another secret");
        assert_ne!(challenged(&other, "carl").message(), challenged(&before, "carl").message());
        assert_eq!(challenged(&other, "ann").message(), challenged(&before, "ann").message());
    }

    /// AUTH guessing and timing: no load of a file whose entries differ chooses another entry to look like.
    #[test]
    fn strangers_look_like_most_entries() {
        let shown = |text: &str| {
            let message = challenged(&Users::parse(text).unwrap(), "nobody").message().to_owned();
            let (front, iterations) = message.rsplit_once(",i=").unwrap();
            (iterations.parse::<u32>().unwrap(), front.rsplit_once(",s=").unwrap().1.len())
        };
        let mut text: String = (0..20_u32).map(|n| scram_entry(&format!("u{n}"), 5000 + n, 16)).collect();
        for _ in 0..20 {
            assert_eq!(shown(&text), (5000, 24), "as frequent as others, and the smallest");
        }
        text += &scram_entry("v", 5007, 16);
        for _ in 0..20 {
            assert_eq!(shown(&text), (5007, 24));
        }
        text += &(scram_entry("w", 5003, 32) + &scram_entry("x", 5003, 32) + &scram_entry("y", 5003, 32));
        assert_eq!(shown(&text), (5003, 44));
    }

    /// AUTH guessing and timing: the work of a login is the same, whoever it is and however many there are.
    #[test]
    fn a_login_costs_as_much_for_strangers() {
        let users = Users::parse(&(scram_entry("ann", 5000, 16) + "bob:\n")).unwrap();
        let costs = |name: &str| {
            let before = scram::SIGNED.get();
            let challenge = challenged(&users, name);
            let nonce = challenge.message().split_once(',').unwrap().0.to_owned();
            // 32 bytes that are no proof.
            let last = format!("c=biws,{nonce},p={}=", "A".repeat(43));
            assert_eq!(challenge.finish(&last), None);
            scram::SIGNED.get() - before
        };
        let known = costs("ann");
        assert!(known > 0);
        for name in ["nobody", "bob", "nobody@example.com", "a b"] {
            assert_eq!(costs(name), known, "{name}");
        }
    }

    #[test]
    fn mistakes_name_their_line() {
        for (text, line) in [("a:\na:\n", 2), ("x y:\n", 1), ("\n@example.com:\n", 2), ("a:$1$x$y\n", 1)] {
            assert_eq!(Users::parse(text).unwrap_err().line, line, "{text:?}");
        }
    }
}
