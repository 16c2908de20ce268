//! A table to the bytes of an artifact.
//!
//! Deterministic and host-independent: the same table gives the same bytes. Takes what the compiler
//! proved; what it cannot write down at all (a dangling id, four gigabytes of keys) is an [`EmitError`].
//! It does not judge a table, [`crate::load`] does. Layout: [`crate::format`].

mod covers;
mod keys;
mod networks;
mod policy;
mod sets;

use crate::format::{
    HEADER, Header, MAGIC, OLDEST, POLICY_SECTIONS, SECTION, SECTIONS, Section, SectionRec, brought,
    checksum, policy_digest,
};
use crate::model::Table;
use zerocopy::IntoBytes;

/// Why a table cannot be written down.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EmitError {
    /// A part is larger than the format holds.
    #[error("the table is too large: more {0} than the format can hold")]
    TooLarge(&'static str),
    /// An id names nothing, or a child stands behind its parent.
    #[error("the table is broken: {0} that does not exist")]
    Dangling(&'static str),
    /// An entry of a list of networks is none.
    #[error("`{0}` is no network")]
    Network(String),
    /// A condition is nested too deeply.
    #[error("a condition is nested deeper than {max}", max = crate::model::MAX_DEPTH)]
    Deep,
    /// A part that is stored as a value could not be.
    #[error("{0} cannot be stored")]
    Value(&'static str),
}

/// The bytes of an artifact. A table that cannot be written down gives none, which no reader takes;
/// [`try_emit`] says why.
#[must_use]
pub fn emit(table: &Table) -> Vec<u8> {
    try_emit(table).unwrap_or_default()
}

/// The bytes of an artifact.
///
/// # Errors
/// Where the table is not one that the compiler proved, or past the format's bounds.
pub fn try_emit(table: &Table) -> Result<Vec<u8>, EmitError> {
    let ordered;
    let sorted = table.rules.is_sorted_by(|a, b| a.rank() <= b.rank())
        && table.aliases.is_sorted_by(|a, b| a.key <= b.key)
        && table.relays.is_sorted_by(|a, b| a.name <= b.name)
        && table.groups.is_sorted_by(|a, b| a.name <= b.name);
    let table = if sorted {
        table
    } else {
        let mut copy = table.clone();
        copy.canonical();
        ordered = copy;
        &ordered
    };
    let facts = table.predicates.iter().map(|predicate| brought(predicate.fact));
    let mut out = Sections { format: facts.max().unwrap_or(OLDEST), ..Sections::default() };
    policy::write(table, &mut out)?;
    out.finish()
}

/// The sections as they are filled.
pub(crate) struct Sections {
    bytes: Vec<Vec<u8>>,
    format: u32,
}

impl Default for Sections {
    fn default() -> Self {
        Self { bytes: vec![Vec::new(); SECTIONS], format: OLDEST }
    }
}

impl Sections {
    /// Sets the content of a section.
    fn put(&mut self, section: Section, bytes: Vec<u8>) {
        if let Some(place) = Section::ALL.iter().position(|s| *s == section)
            && let Some(slot) = self.bytes.get_mut(place)
        {
            *slot = bytes;
        }
    }

    /// Sets a section to records.
    fn put_records<T: IntoBytes + zerocopy::Immutable>(&mut self, section: Section, records: &[T]) {
        self.put(section, records.as_bytes().to_vec());
    }

    /// Sets a section to numbers.
    fn put_numbers(&mut self, section: Section, numbers: &[u32]) {
        self.put(section, numbers.iter().flat_map(|n| n.to_le_bytes()).collect());
    }

    /// Puts header, section table and sections together.
    fn finish(self) -> Result<Vec<u8>, EmitError> {
        let mut records = Vec::with_capacity(SECTIONS);
        let mut offset = HEADER + SECTIONS * SECTION;
        let start = offset;
        let mut policy_end = offset;
        for (place, (kind, bytes)) in Section::ALL.iter().zip(&self.bytes).enumerate() {
            records.push(SectionRec {
                kind: (*kind as u32).into(),
                zero: 0.into(),
                offset: (offset as u64).into(),
                length: (bytes.len() as u64).into(),
            });
            offset = (offset + bytes.len()).next_multiple_of(8);
            if place < POLICY_SECTIONS {
                policy_end = offset;
            }
        }
        let mut out = vec![0; HEADER];
        out.reserve_exact(offset);
        out.extend_from_slice(records.as_bytes());
        for bytes in &self.bytes {
            out.extend_from_slice(bytes);
            out.resize(out.len().next_multiple_of(8), 0);
        }
        let policy = out.get(start..policy_end).unwrap_or_default();
        let digest = policy_digest(records.get(..POLICY_SECTIONS).unwrap_or_default(), policy);
        let mut header = Header {
            magic: MAGIC,
            format: self.format.into(),
            oldest_reader: self.format.into(),
            length: (out.len() as u64).into(),
            sections: u32::try_from(SECTIONS).map_err(|_| EmitError::TooLarge("sections"))?.into(),
            zero: 0.into(),
            policy: *digest.as_bytes(),
            checksum: [0; 32],
        };
        let head = header.as_bytes().get(..HEADER - 32).unwrap_or_default().to_vec();
        let rest = out.get(policy_end..).unwrap_or_default();
        header.checksum = *checksum(&head, records.as_bytes(), rest).as_bytes();
        if let Some(place) = out.get_mut(..HEADER) {
            place.copy_from_slice(header.as_bytes());
        }
        Ok(out)
    }
}

/// A length as the format counts.
fn count(length: usize, what: &'static str) -> Result<u32, EmitError> {
    u32::try_from(length).ok().filter(|n| *n != u32::MAX).ok_or(EmitError::TooLarge(what))
}
