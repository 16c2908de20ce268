//! Who may log in, and which mailboxes exist: the users of a passwd-file.
//!
//! One `name:hash` a line; blank lines and lines that start with `#` are nothing. A name is an address,
//! or a bare local part, which then is a mailbox at every local domain. Hashes are PHC and crypt
//! strings; a user without one (`name:` or `name`) has a mailbox and no login.
//! Must not know: files, sockets, sessions.

use edict_table::value::{Address, address::parse_local, fold};
use std::collections::HashMap;

/// The largest number of users taken from one file.
pub const MAX_USERS: usize = 2_000_000;
/// The longest line taken, in bytes.
const MAX_LINE: usize = 1024;

/// All users of a server.
#[derive(Clone, Debug, Default)]
pub struct Users {
    by_name: HashMap<Box<str>, Box<str>>,
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
            if by_name.insert(name.into_boxed_str(), Box::from(hash)).is_some() {
                return Err(wrong("a user of this name stands above"));
            }
            if by_name.len() > MAX_USERS {
                return Err(wrong("more than two million users"));
            }
        }
        Ok(Self { by_name })
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

    /// Whether a user has this mailbox, with or without `+extension`. The domain must be a local one:
    /// bare names have a mailbox at each, and the caller knows which those are.
    #[must_use]
    pub fn exists(&self, address: &Address) -> bool {
        let holds =
            |a: &Address| self.by_name.contains_key(a.as_str()) || self.by_name.contains_key(a.local());
        holds(address) || address.without_extension().is_some_and(|base| holds(&base))
    }
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
        let users = Users::parse("# people\n\nAnn@Example.com:$x$\nbob:\ncarl\n").unwrap();
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
    fn mistakes_name_their_line() {
        for (text, line) in [("a:\na:\n", 2), ("x y:\n", 1), ("\n@example.com:\n", 2)] {
            assert_eq!(Users::parse(text).unwrap_err().line, line, "{text:?}");
        }
    }
}
