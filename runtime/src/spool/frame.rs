//! The bytes of the log: the header of a segment, and the frames in it.
//!
//! All little-endian. A segment begins with 64 bytes: magic, version, generation, nonce, tail, first
//! sequence number, checksum. Frames follow, each at a multiple of 8: 32 bytes of header, then the
//! payload. Both checksums of a frame are seeded with the segment's nonce, drawn anew for each
//! generation: what an earlier use of the segment left behind does not verify, nor does a frame that a
//! sender put into a message.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes of a segment's header.
pub const SEGMENT_HEADER: usize = 64;
/// Bytes of a frame's header.
pub const FRAME_HEADER: usize = 32;

const SEGMENT_MAGIC: &[u8; 8] = b"EDICTLG1";
const FRAME_MAGIC: u32 = 0x5246_4445;
const HEADER_SEED: u64 = 0x6564_6963_746c_6f67;

/// What a segment says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentHeader {
    /// Rises with each use of any segment; orders them.
    pub generation: u64,
    /// Seeds the checksums of its frames.
    pub nonce: u64,
    /// Segments of a lower generation are dead when this one was begun.
    pub tail: u64,
    /// No frame in it has a lower sequence number.
    pub first: u64,
}

impl SegmentHeader {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut out = [0; SEGMENT_HEADER];
        let fields = [self.generation, self.nonce, self.tail, self.first];
        let (magic, rest) = out.split_at_mut(8);
        magic.copy_from_slice(SEGMENT_MAGIC);
        for (place, field) in rest.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        let sum = xxh3_64_with_seed(out.get(..56).unwrap_or_default(), HEADER_SEED);
        if let Some(place) = out.get_mut(56..) {
            place.copy_from_slice(&sum.to_le_bytes());
        }
        out
    }

    /// Reads it; none where the bytes are not a whole, sound header.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let body = bytes.get(..56)?;
        if body.get(..8)? != SEGMENT_MAGIC || xxh3_64_with_seed(body, HEADER_SEED) != u64_at(bytes, 56)? {
            return None;
        }
        Some(Self {
            generation: u64_at(bytes, 8)?,
            nonce: u64_at(bytes, 16)?,
            tail: u64_at(bytes, 24)?,
            first: u64_at(bytes, 32)?,
        })
    }
}

/// What a frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// A record with its bytes: length of the head (u32), head, bytes.
    Message = 1,
    /// A record whose bytes stand in a file of the deferred store: the head alone.
    External = 2,
    /// Something that happened to a message.
    Note = 3,
}

/// The header of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameHeader {
    /// Bytes of the payload.
    pub length: u32,
    /// Rises by one with each frame.
    pub seq: u64,
    /// What it holds.
    pub kind: Kind,
    /// Checksum of the payload.
    pub sum: u64,
}

/// Bytes that a payload takes in the log with its header.
#[must_use]
pub fn frame_size(payload: usize) -> usize {
    (FRAME_HEADER + payload).next_multiple_of(8)
}

/// Appends a frame to a buffer that begins at a multiple of 8 in the segment; the payload is the parts
/// put together.
pub fn encode(out: &mut Vec<u8>, nonce: u64, seq: u64, kind: Kind, parts: &[&[u8]]) {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_HEADER]);
    for part in parts {
        out.extend_from_slice(part);
    }
    let payload = out.get(start + FRAME_HEADER..).unwrap_or_default();
    // Bounded by the size of a segment, which fits.
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let sum = xxh3_64_with_seed(payload, nonce ^ seq);
    let mut header = [0u8; FRAME_HEADER];
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(place) = header.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    put(0, &FRAME_MAGIC.to_le_bytes());
    put(4, &length.to_le_bytes());
    put(8, &seq.to_le_bytes());
    put(16, &sum.to_le_bytes());
    put(24, &[kind as u8]);
    let check = header_check(&header, nonce);
    if let Some(place) = header.get_mut(28..) {
        place.copy_from_slice(&check.to_le_bytes());
    }
    if let Some(place) = out.get_mut(start..start + FRAME_HEADER) {
        place.copy_from_slice(&header);
    }
    out.resize(start + (out.len() - start).next_multiple_of(8), 0);
}

/// Reads the header of a frame; none where it is not sound.
#[must_use]
pub fn decode(bytes: &[u8], nonce: u64) -> Option<FrameHeader> {
    let header = bytes.get(..FRAME_HEADER)?;
    if u32_at(header, 0)? != FRAME_MAGIC || header_check(header, nonce) != u32_at(header, 28)? {
        return None;
    }
    let kind = match header.get(24)? {
        1 => Kind::Message,
        2 => Kind::External,
        3 => Kind::Note,
        _ => return None,
    };
    Some(FrameHeader { length: u32_at(header, 4)?, seq: u64_at(header, 8)?, kind, sum: u64_at(header, 16)? })
}

/// Whether a payload is the one that its header speaks of.
#[must_use]
pub fn sound(header: &FrameHeader, payload: &[u8], nonce: u64) -> bool {
    payload.len() == header.length as usize && xxh3_64_with_seed(payload, nonce ^ header.seq) == header.sum
}

fn header_check(header: &[u8], nonce: u64) -> u32 {
    let sum = xxh3_64_with_seed(header.get(..28).unwrap_or_default(), !nonce);
    (sum ^ (sum >> 32)) as u32
}

/// The u32 at a place.
#[must_use]
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The u64 at a place.
#[must_use]
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_read_back(payload in prop::collection::vec(any::<u8>(), 0..300), nonce: u64, seq: u64, flip: u16) {
            let mut out = Vec::new();
            encode(&mut out, nonce, seq, Kind::Message, &[&payload]);
            prop_assert_eq!(out.len(), frame_size(payload.len()));
            let header = decode(&out, nonce).unwrap();
            prop_assert_eq!((header.seq, header.kind), (seq, Kind::Message));
            let end = FRAME_HEADER + payload.len();
            prop_assert!(sound(&header, &out[FRAME_HEADER..end], nonce));
            prop_assert!(decode(&out, nonce.wrapping_add(1)).is_none());
            // Any bit that counts, flipped, is noticed.
            let bit = usize::from(flip) % (end * 8);
            out[bit / 8] ^= 1 << (bit % 8);
            let whole = decode(&out, nonce).is_some_and(|h| sound(&h, &out[FRAME_HEADER..end], nonce));
            prop_assert!(!whole);
        }

        #[test]
        fn segment_headers_read_back(generation: u64, nonce: u64, tail: u64, first: u64, flip in 0usize..512) {
            let header = SegmentHeader { generation, nonce, tail, first };
            let mut bytes = header.encode();
            prop_assert_eq!(SegmentHeader::decode(&bytes), Some(header));
            bytes[flip / 8] ^= 1 << (flip % 8);
            prop_assert_eq!(SegmentHeader::decode(&bytes), None);
        }
    }
}
