//! `journal`: whether verdicts are recorded, and how much of them.
//!
//! Plain data; what a journal holds stands in docs/journal.md.

use super::not_zero;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// A record of envelopes, headers and verdicts.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalConfig {
    /// Where its files are.
    pub folder: PathBuf,
    /// Bodies are kept too.
    #[serde(default)]
    pub bodies: bool,
    /// A file larger than so many MiB is followed by a new one.
    #[serde(default = "JournalConfig::file_mib")]
    pub file_mib: u32,
    /// How many files are kept.
    #[serde(default = "JournalConfig::files")]
    pub files: u32,
}

impl JournalConfig {
    fn file_mib() -> u32 {
        64
    }

    fn files() -> u32 {
        16
    }

    /// Makes paths relative to the configuration's folder.
    pub(super) fn rebase(&mut self, base: &Path) {
        self.folder = base.join(&self.folder);
    }

    /// What reads well but cannot be meant.
    pub(super) fn check(&self) -> Result<(), String> {
        not_zero("journal.file_mib", self.file_mib)?;
        not_zero("journal.files", self.files)
    }
}
