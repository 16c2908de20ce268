//! A segment, read piece by piece: a whole one in memory would stay there long after a restart. What the disk does not give
//! is stepped over, and told.

use crate::spool::disk::{Handle, read_exact};
use std::io;

/// Bytes of a segment that are read at once.
const PIECE: usize = 256 << 10;
/// Bytes that are read at once around a place that cannot be read: a page, as the system reads.
const PAGE: usize = 4 << 10;
/// Pages in a row that cannot be read, before only each sixteenth is tried: each may cost seconds.
const PATIENCE: u32 = 256;

/// A segment, read piece by piece: a whole one in memory would stay there long after a restart.
pub(super) struct Window<'a> {
    file: &'a dyn Handle,
    /// Where what may be read ends.
    end: usize,
    /// Where in the segment the piece begins.
    start: usize,
    bytes: Vec<u8>,
    pub unread: Option<Unread>,
    /// Pages in a row that could not be read.
    row: u32,
}

/// Where a segment cannot be read.
pub(super) struct Unread {
    /// How often it could not.
    pub places: u64,
    /// The first one.
    pub first: usize,
    pub error: io::Error,
}

impl<'a> Window<'a> {
    /// On what may be read of it.
    pub fn new(file: &'a dyn Handle, end: usize) -> Self {
        Self { file, end, start: 0, bytes: Vec::new(), unread: None, row: 0 }
    }

    /// So many bytes from a place on; the caller sees to it that they end before the end. None where the disk does not give
    /// them.
    pub fn get(&mut self, at: usize, length: usize) -> io::Result<Option<&[u8]>> {
        if at < self.start || at + length > self.start + self.bytes.len() {
            let more = length.max(PIECE).min(self.end.saturating_sub(at));
            self.start = at;
            self.bytes = match read_exact(self.file, at as u64, more) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(error),
                Err(error) => self.by_pages(at, more, error),
            };
            if self.bytes.len() < length {
                return Ok(None);
            }
            self.row = 0;
        }
        let from = at - self.start;
        Ok(Some(self.bytes.get(from..from + length).ok_or(io::ErrorKind::UnexpectedEof)?))
    }

    /// What can be read from a place on, as far as the first page that cannot.
    fn by_pages(&mut self, from: usize, length: usize, error: io::Error) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let at = from + bytes.len();
            let page = (PAGE - at % PAGE).min(length - bytes.len());
            match read_exact(self.file, at as u64, page) {
                Ok(mut more) => bytes.append(&mut more),
                Err(_) => {
                    let unread = self.unread.get_or_insert(Unread { places: 0, first: at, error });
                    unread.places += 1;
                    break;
                }
            }
        }
        bytes
    }

    /// Where to read on behind a place that cannot be read.
    pub fn behind(&mut self, at: usize) -> usize {
        self.row += 1;
        let step = if self.row > PATIENCE { 16 * PAGE } else { PAGE };
        (at / PAGE * PAGE).saturating_add(step)
    }
}
