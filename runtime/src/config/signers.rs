//! Who must have signed a table for the daemon to load it.

use edict_table::signed::PublicKey;
use serde::Deserialize;

/// Public keys, any of which will do. Empty: a table need not be signed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Signers(Vec<PublicKey>);

impl TryFrom<Vec<String>> for Signers {
    type Error = String;

    fn try_from(keys: Vec<String>) -> Result<Self, String> {
        keys.iter()
            .map(|key| key.parse::<PublicKey>().map_err(|e| e.to_string()))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl From<Vec<PublicKey>> for Signers {
    fn from(keys: Vec<PublicKey>) -> Self {
        Self(keys)
    }
}

impl Signers {
    /// Whether a table must be signed at all.
    #[must_use]
    pub fn insist(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether a table by this signer, or by none, may be loaded.
    #[must_use]
    pub fn take(&self, signer: Option<PublicKey>) -> bool {
        self.0.is_empty() || signer.is_some_and(|key| self.0.contains(&key))
    }
}
