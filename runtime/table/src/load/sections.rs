//! What an artifact is made of, for `edict show` and `edict bench`.

use super::Loaded;
use crate::format::{HEADER, SECTION, SECTIONS, Section};

/// A part of a table and its size.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SectionSize {
    /// How people call it.
    pub name: String,
    /// Bytes.
    pub bytes: usize,
    /// In the file; else built when the table is loaded.
    pub stored: bool,
    /// Part of the policy, and so of its digest.
    pub policy: bool,
    /// Records, keys or literals, where it has such.
    pub entries: Option<usize>,
}

impl Loaded {
    /// Every part with its size: header and sections of the file, then automata built at load.
    #[must_use]
    pub fn sections(&self) -> Vec<SectionSize> {
        let stored = |name: &str, bytes, policy, entries| SectionSize {
            name: name.to_owned(),
            bytes,
            stored: true,
            policy,
            entries,
        };
        let mut out = vec![stored("header", HEADER + SECTIONS * SECTION, false, None)];
        for (section, place) in Section::ALL.iter().zip(&self.places) {
            let entries = section.record().map(|size| place.len() / size);
            out.push(stored(section.name(), place.len(), (*section as u32) < 256, entries));
        }
        for column in &self.columns {
            let Some(text) = &column.text else { continue };
            let (bytes, literals) = text.size();
            let name = column.fact.row().name;
            let name = match column.parameter.as_str() {
                "" => format!("automaton of {name}"),
                parameter => format!("automaton of {name}(\"{parameter}\")"),
            };
            out.push(SectionSize { name, bytes, stored: false, policy: false, entries: Some(literals) });
        }
        out
    }

    /// Bytes of the whole artifact.
    #[must_use]
    pub fn file_bytes(&self) -> usize {
        self.bytes().len()
    }
}
