//! The segments of the log: made, begun, filled, given back.
//!
//! In-memory accounts and file operations; the order of durability is kept here. Not here: threads,
//! waiting, recovery.

use super::disk::{Disk, Handle, Mode, read_exact};
use super::frame::{SEGMENT_HEADER, SegmentHeader};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A segment in use.
pub(super) struct Segment {
    pub number: u32,
    pub header: SegmentHeader,
    pub file: Arc<dyn Handle>,
    /// Its file has the length that it was made with, and was never found unfit for writing.
    pub whole: bool,
    /// Something in it could not be read: its file is kept for people, and never written again.
    pub rotten: bool,
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
    /// Numbers of segments that were cut short or could not be written, and are not needed: they go when the next one is
    /// begun.
    pub broken: Vec<u32>,
    /// Numbers of segments that are not needed, and that could not be read everywhere: they are set aside then.
    pub rotten: Vec<u32>,
    /// The next number for a new file.
    pub next_number: u32,
    /// The next generation.
    pub next_generation: u64,
    /// The next sequence number.
    pub next_seq: u64,
    /// Where the next frame goes in the last segment.
    pub offset: u32,
    /// From which generations on all is kept, whatever of it is released, and for how many.
    pub kept: BTreeMap<u64, usize>,
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
        let is_released = |s: &&Segment| s.unreleased == 0 && s.generation() < self.kept_from();
        let released: Vec<&Segment> = candidates.take_while(is_released).collect();
        (released.len(), released.iter().map(|s| s.last).max().unwrap_or(0))
    }

    /// From which generation on all stays for the notes in it.
    fn kept_from(&self) -> u64 {
        self.kept.keys().next().copied().unwrap_or(u64::MAX)
    }

    /// Where the oldest segment stands that its records alone keep from being given back, and how many come free without them.
    /// None: there is none, or it stays for notes all the same.
    pub fn pinned_by_records(&self) -> Option<(usize, usize)> {
        let goes = |segment: &&Segment| segment.generation() < self.kept_from();
        let oldest = self.live.iter().position(|s| s.unreleased > 0)?;
        self.live.get(oldest).filter(goes)?;
        let behind = self.live.iter().take(self.live.len().saturating_sub(1)).skip(oldest + 1);
        Some((oldest, 1 + behind.take_while(|s| s.unreleased == 0 && goes(s)).count()))
    }
}

/// The file of a segment.
pub(super) fn path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:08}.seg"))
}

/// The number in the name of a segment's file.
pub(super) fn number(name: &str) -> Option<u32> {
    numbered(name, ".seg")
}

fn numbered(name: &str, suffix: &str) -> Option<u32> {
    name.strip_suffix(suffix).filter(|digits| digits.len() == 8)?.parse().ok()
}

const UNFIT: &str = ".unfit";

/// The number of the segment that a file says is unfit for writing.
pub(super) fn number_of_unfit(name: &str) -> Option<u32> {
    numbered(name, UNFIT)
}

/// Writes down, beside a segment, that a write or sync of it failed. It reads as sound for as long as the system remembers
/// what it could not write, so it says nothing of that itself.
pub(super) fn mark_unfit(disk: &dyn Disk, folder: &Path, number: u32) -> io::Result<()> {
    disk.open(&folder.join(format!("{number:08}{UNFIT}")), Mode::Create)?.sync()?;
    disk.sync_dir(folder)
}

/// Takes that back, once its file is gone: the number may be given again. Fine where nothing was said.
pub(super) fn unmark(disk: &dyn Disk, folder: &Path, number: u32) -> io::Result<()> {
    match disk.remove(&folder.join(format!("{number:08}{UNFIT}"))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
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
    Ok(Segment { number, header, file: Arc::from(file), whole: true, rotten: false, unreleased: 0, last: 0 })
}

/// Reads the header of a segment, or its copy. Where the two differ, the power went while the segment
/// was begun; nothing is in it then that counts, under either.
///
/// # Errors
/// As the system says, where neither can be read.
pub(super) fn header(file: &dyn Handle, size: u32) -> io::Result<Option<SegmentHeader>> {
    let read = |at| piece(file, at).map(|b| SegmentHeader::decode(&b));
    let (first, copy) = (read(0), read(u64::from(end(size))));
    let found = [&first, &copy].into_iter().filter_map(|h| h.as_ref().ok().copied().flatten());
    match found.max_by_key(|h| h.generation) {
        Some(header) => Ok(Some(header)),
        None => first.and(copy),
    }
}

/// The bytes where a header may stand; none behind the end of the file.
fn piece(file: &dyn Handle, at: u64) -> io::Result<Vec<u8>> {
    match read_exact(file, at, SEGMENT_HEADER) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Vec::new()),
        other => other,
    }
}

/// Whether a segment without a header never had one.
pub(super) fn is_blank(file: &dyn Handle, size: u32) -> io::Result<bool> {
    let blank = |bytes: Vec<u8>| bytes.iter().all(|byte| *byte == 0);
    Ok(blank(piece(file, 0)?) && blank(piece(file, u64::from(end(size)))?))
}

/// Whether a segment has not the length that it was made with: then its header is not at its end.
pub(super) fn is_cut(file: &dyn Handle) -> io::Result<bool> {
    let at = file.length()?.saturating_sub(SEGMENT_HEADER as u64);
    Ok(SegmentHeader::decode(&piece(file, at)?).is_none())
}

/// Gives the file of a segment that cannot be used a name of its own.
pub(super) fn set_aside(disk: &dyn Disk, folder: &Path, number: u32) -> io::Result<PathBuf> {
    let kept = folder.join(format!("{number:08}-{:016x}.bad", nonce()?));
    disk.rename(&path(folder, number), &kept)?;
    disk.sync_dir(folder)?;
    Ok(kept)
}

/// Copies a segment with damage in it, once: its file is used again when its sound messages are delivered.
pub(super) fn keep_copy(disk: &dyn Disk, folder: &Path, number: u32, generation: u64) {
    let name = format!("{number:08}-{generation}.bad");
    let (kept, half) = (folder.join(&name), folder.join(format!("{name}.new")));
    let copied = disk.list(folder).and_then(|names| {
        if names.contains(&name) {
            return Ok(false);
        }
        copy(disk, &path(folder, number), &half)?;
        disk.rename(&half, &kept)?;
        disk.sync_dir(folder)?;
        Ok(true)
    });
    match copied {
        Ok(false) => {}
        Ok(true) => {
            tracing::error!(file = %kept.display(), "a segment with damage in it is kept for people");
        }
        Err(error) => {
            tracing::error!(file = %kept.display(), %error, "a segment with damage in it cannot be kept");
            // Gives the space back; the error that counts is the first.
            let _ = disk.remove(&half);
        }
    }
}

fn copy(disk: &dyn Disk, from: &Path, to: &Path) -> io::Result<()> {
    const CHUNK: usize = 1 << 20;
    let from = disk.open(from, Mode::Read)?;
    let to = disk.open(to, Mode::Create)?;
    let length = from.length()?;
    let mut at = 0u64;
    while at < length {
        let n = usize::try_from(length - at).unwrap_or(CHUNK).min(CHUNK);
        to.write_at(&read_exact(&*from, at, n)?, at)?;
        at += n as u64;
    }
    to.sync()
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
