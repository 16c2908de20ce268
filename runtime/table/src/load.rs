//! Bytes to a loaded table. Under construction.

use crate::model::{Action, Alias, Kind, Mode, Profile, Relay, Table};
use crate::value::Address;
use std::net::IpAddr;
use std::sync::Arc;

/// The bytes of an artifact, wherever they lie: a vector, a mapping, the program itself.
pub type Image = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// Why bytes are no table.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LoadError {
    /// Something is wrong; says what.
    #[error("{0}")]
    Corrupt(String),
}

/// A rule's place in the table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RuleId(pub u32);

/// A rule as logs, replies and `explain` name it.
#[derive(Clone, Copy, Debug)]
pub struct RuleRef<'a> {
    /// Its place.
    pub id: RuleId,
    /// Its name.
    pub name: &'a str,
    /// Its kind.
    pub kind: Kind,
    /// Lower wins.
    pub priority: u32,
    /// In force or watched.
    pub mode: Mode,
    /// What it does.
    pub action: &'a Action,
    /// File, relative to the rule folder.
    pub file: &'a str,
    /// Line, from 1.
    pub line: u32,
}

/// A validated artifact, ready to decide.
#[derive(Debug)]
pub struct Loaded {
    table: Table,
}

#[expect(unused_variables, reason = "under construction")]
impl Loaded {
    /// Validates an artifact whole and builds what is not stored (automata).
    ///
    /// # Errors
    /// Whatever is wrong with it: magic, version, length, checksum, any offset, id or order.
    pub fn new(image: Image) -> Result<Self, LoadError> {
        Err(LoadError::Corrupt("under construction".to_owned()))
    }
    /// The policy digest, 64 hexadecimal digits. Logs show the first 12.
    #[must_use]
    pub fn digest(&self) -> &str {
        ""
    }
    /// Settings.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.table.profile
    }
    /// A rule by its place.
    #[must_use]
    pub fn rule(&self, id: RuleId) -> Option<RuleRef<'_>> {
        None
    }
    /// How many rules there are of all kinds.
    #[must_use]
    pub fn rule_count(&self) -> usize {
        0
    }
    /// The alias for an address: exact, then without `+ext` (inside), then `@domain`.
    #[must_use]
    pub fn alias(&self, address: &Address) -> Option<&Alias> {
        None
    }
    /// A relay by name.
    #[must_use]
    pub fn relay(&self, name: &str) -> Option<&Relay> {
        None
    }
    /// Whether a named list holds the address (at inside domains also without `+ext`).
    #[must_use]
    pub fn list_holds(&self, name: &str, address: &Address) -> bool {
        false
    }
    /// Whether a domain (normal form) is a local domain.
    #[must_use]
    pub fn is_local(&self, domain: &str) -> bool {
        false
    }
    /// Whether a domain is local or a relay domain.
    #[must_use]
    pub fn is_inside(&self, domain: &str) -> bool {
        false
    }
    /// Whether an address is in a trusted network.
    #[must_use]
    pub fn is_trusted(&self, ip: IpAddr) -> bool {
        false
    }
    /// Reads the whole table back, for `show`, `explain` and `diff`.
    #[must_use]
    pub fn to_table(&self) -> Table {
        self.table.clone()
    }
}
