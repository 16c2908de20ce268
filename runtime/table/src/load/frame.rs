//! Header, section table, digest and checksum.

use super::view::Places;
use super::{LoadError, corrupt};
use crate::format::{
    FORMAT, HEADER, Header, MAGIC, OLDEST, POLICY_SECTIONS, SECTION, SECTIONS, Section, SectionRec, checksum,
    policy_digest,
};
use crate::signed::{self, PublicKey};
use zerocopy::FromBytes;

/// A sound frame: where the sections lie.
pub(super) struct Frame {
    pub(super) places: Places,
    pub(super) digest: String,
    pub(super) signer: Option<PublicKey>,
}

/// Checks in this order: magic, version, length, section table, digest and checksum, signature.
pub(super) fn check(image: &[u8]) -> Result<Frame, LoadError> {
    if image.get(..MAGIC.len()) != Some(MAGIC.as_slice()) {
        return Err(LoadError::Magic);
    }
    let (image, tail) = signed::part(image);
    let found = image.len() as u64;
    let cut = || LoadError::Length { said: HEADER as u64, found };
    let (header, rest) = Header::ref_from_prefix(image).map_err(|_| cut())?;
    let format = header.format.get();
    if header.oldest_reader.get() > FORMAT {
        return Err(LoadError::TooNew { found: format, newest: FORMAT });
    }
    if format < OLDEST {
        return Err(LoadError::TooOld { found: format, oldest: OLDEST });
    }
    if header.length.get() != found {
        return Err(LoadError::Length { said: header.length.get(), found });
    }
    if format > FORMAT || header.oldest_reader.get() != format || header.zero.get() != 0 {
        return Err(corrupt("the header"));
    }
    if header.sections.get() as usize != SECTIONS {
        return Err(corrupt("the number of sections"));
    }
    let (records, _) = <[SectionRec]>::ref_from_prefix_with_elems(rest, SECTIONS)
        .map_err(|_| corrupt("the section table is cut off"))?;
    let mut places: Places = std::array::from_fn(|_| 0..0);
    let mut at = HEADER + SECTIONS * SECTION;
    let start = at;
    let mut policy_end = at;
    for (number, ((record, kind), place)) in records.iter().zip(Section::ALL).zip(&mut places).enumerate() {
        let wrong = || corrupt(format!("the place of section `{}`", kind.name()));
        let end =
            usize::try_from(record.length.get()).ok().and_then(|l| at.checked_add(l)).ok_or_else(wrong)?;
        if record.kind.get() != *kind as u32 || record.zero.get() != 0 || record.offset.get() != at as u64 {
            return Err(wrong());
        }
        let next = end.checked_next_multiple_of(8).ok_or_else(wrong)?;
        let padding = image.get(end..next).ok_or_else(wrong)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(wrong());
        }
        *place = at..end;
        at = next;
        if number < POLICY_SECTIONS {
            policy_end = next;
        }
    }
    if at != image.len() {
        return Err(corrupt("bytes behind the last section"));
    }
    let policy = image.get(start..policy_end).unwrap_or_default();
    let digest = policy_digest(records.get(..POLICY_SECTIONS).unwrap_or_default(), policy);
    if *digest.as_bytes() != header.policy {
        return Err(LoadError::Checksum);
    }
    let head = image.get(..HEADER - 32).unwrap_or_default();
    let table = image.get(HEADER..start).unwrap_or_default();
    let sum = checksum(head, table, image.get(policy_end..).unwrap_or_default());
    if *sum.as_bytes() != header.checksum {
        return Err(LoadError::Checksum);
    }
    let signer = match tail {
        Some(tail) => Some(signed::verify(image, tail).ok_or(LoadError::Signature)?),
        None => None,
    };
    Ok(Frame { places, digest: digest.to_hex().to_string(), signer })
}
