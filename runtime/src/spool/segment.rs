//! The segments of the log: made, begun, filled, given back.
//!
//! In-memory accounts and file operations; the order of durability is kept here. Not here: threads,
//! waiting, recovery.

use super::disk::{Disk, Handle, Mode, read_exact};
use super::frame::{SEGMENT_HEADER, SegmentHeader};
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A segment in use.
pub(super) struct Segment {
    pub number: u32,
    pub header: SegmentHeader,
    pub file: Arc<dyn Handle>,
    /// Records in it that are not released yet.
    pub unreleased: u64,
    /// The highest sequence number in it; 0 where it holds none.
    pub last: u64,
}

impl Segment {
    /// Its use.
    pub fn generation(&self) -> u64 {
        self.header.generation
    }
}

/// All segments.
#[derive(Default)]
pub(super) struct Log {
    /// In order of generation; the last is being written.
    pub live: VecDeque<Segment>,
    /// Numbers of segments that can be begun.
    pub free: Vec<u32>,
    /// The next number for a new file.
    pub next_number: u32,
    /// The next generation.
    pub next_generation: u64,
    /// The next sequence number.
    pub next_seq: u64,
    /// Where the next frame goes in the last segment.
    pub offset: u32,
}

impl Log {
    pub fn release(&mut self, generation: u64) {
        if let Some(segment) = self.find_mut(generation) {
            segment.unreleased = segment.unreleased.saturating_sub(1);
        }
    }

    pub fn find(&self, generation: u64) -> Option<&Segment> {
        let place = self.live.binary_search_by_key(&generation, Segment::generation).ok()?;
        self.live.get(place)
    }

    pub fn find_mut(&mut self, generation: u64) -> Option<&mut Segment> {
        let place = self.live.binary_search_by_key(&generation, Segment::generation).ok()?;
        self.live.get_mut(place)
    }

    /// How many segments from the oldest on hold nothing that is needed, and the highest sequence
    /// number in them. The one being written is never among them.
    pub fn released(&self) -> (usize, u64) {
        let candidates = self.live.iter().take(self.live.len().saturating_sub(1));
        let released: Vec<&Segment> = candidates.take_while(|s| s.unreleased == 0).collect();
        (released.len(), released.iter().map(|s| s.last).max().unwrap_or(0))
    }
}

/// The file of a segment.
pub(super) fn path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:08}.seg"))
}

/// The number in the name of a segment's file.
pub(super) fn number(name: &str) -> Option<u32> {
    name.strip_suffix(".seg").filter(|digits| digits.len() == 8)?.parse().ok()
}

/// Makes a segment's file, filled with zeros and synced: writes into it later change no metadata. Made
/// under another name first, so that a half-made one is never taken for one.
pub(super) fn create(disk: &dyn Disk, folder: &Path, number: u32, size: u32) -> io::Result<()> {
    let half = folder.join(format!("{number:08}.new"));
    let made = fill(disk, &half, size).and_then(|()| disk.rename(&half, &path(folder, number)));
    if made.is_err() {
        // Gives the space back; the error that counts is the first.
        let _ = disk.remove(&half);
    }
    made?;
    disk.sync_dir(folder)
}

fn fill(disk: &dyn Disk, path: &Path, size: u32) -> io::Result<()> {
    const CHUNK: usize = 1 << 20;
    let file = disk.open(path, Mode::Create)?;
    let zeros = vec![0u8; CHUNK];
    let mut at = 0u64;
    while at < u64::from(size) {
        let n = usize::try_from(u64::from(size) - at).unwrap_or(CHUNK).min(CHUNK);
        file.write_at(zeros.get(..n).unwrap_or_default(), at)?;
        at += n as u64;
    }
    file.sync()
}

/// Opens a segment that is to be begun.
pub(super) fn open(disk: &dyn Disk, folder: &Path, number: u32) -> io::Result<Box<dyn Handle>> {
    disk.open(&path(folder, number), Mode::Write)
}

/// Begins a segment: its header is durable before anything else is written into it, so that what it
/// held before is never half there under the old header. A copy stands at the end, for the case that
/// the sector of the first goes bad.
pub(super) fn begin(
    file: Box<dyn Handle>,
    number: u32,
    size: u32,
    header: SegmentHeader,
) -> io::Result<Segment> {
    file.write_at(&header.encode(), 0)?;
    file.write_at(&header.encode(), u64::from(end(size)))?;
    file.sync()?;
    Ok(Segment { number, header, file: Arc::from(file), unreleased: 0, last: 0 })
}

/// Reads the header of a segment, or its copy. Where the two differ, the power went while the segment
/// was begun; nothing is in it then that counts, under either.
pub(super) fn header(file: &dyn Handle, size: u32) -> Option<SegmentHeader> {
    let read = |at| read_exact(file, at, SEGMENT_HEADER).ok().and_then(|b| SegmentHeader::decode(&b));
    read(0).into_iter().chain(read(u64::from(end(size)))).max_by_key(|h| h.generation)
}

/// Where the frames of a segment end.
pub(super) fn end(size: u32) -> u32 {
    size.saturating_sub(FIRST)
}

/// A number that nobody can guess.
///
/// # Errors
/// As the system says.
pub(super) fn nonce() -> io::Result<u64> {
    let mut bytes = [0u8; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(u64::from_le_bytes(bytes))
}

/// Where the first frame of a segment goes.
pub(super) const FIRST: u32 = SEGMENT_HEADER as u32;
