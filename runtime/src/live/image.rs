//! A table file as memory that nobody can change.
//!
//! The file is copied into an anonymous file (memfd), which is sealed and then mapped. What happens to
//! the file afterwards (written over, cut, replaced, its disk gone) cannot reach the daemon. This is
//! the workspace's one module with `unsafe`.

use crate::files;
use edict_table::load::Image;
use memmap2::Mmap;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

/// The largest table that is read, in bytes: offsets in it are 32 bits wide in places.
pub const MAX_IMAGE: u64 = 4 << 30;

struct Sealed(Mmap);

impl AsRef<[u8]> for Sealed {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Reads a table file into sealed memory.
///
/// # Errors
/// What the file system said; [`io::ErrorKind::InvalidData`] for an empty file or one over [`MAX_IMAGE`].
pub fn read(path: &Path) -> io::Result<Image> {
    seal(&mut files::open(path)?)
}

fn seal(from: &mut impl Read) -> io::Result<Image> {
    map(&sealed(from)?)
}

/// An anonymous file with these bytes, which nobody can change any more.
fn sealed(from: &mut impl Read) -> io::Result<File> {
    let fd = memfd_create("edict-table", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut memory = File::from(fd);
    // One byte more than allowed tells a file that is too long from one that just fits.
    let copied = io::copy(&mut from.take(MAX_IMAGE + 1), &mut memory)?;
    if copied == 0 || copied > MAX_IMAGE {
        let what = if copied == 0 { "the file is empty" } else { "the file is over 4 GiB" };
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    memory.flush()?;
    fcntl_add_seals(&memory, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(memory)
}

#[expect(unsafe_code, reason = "mapping a file is unsafe because the file may change; this one cannot")]
fn map(sealed: &File) -> io::Result<Image> {
    // SAFETY: the file is anonymous, ours alone, and sealed against writing, growing and shrinking for
    // good, so the mapped bytes never change and never go away while the mapping lives.
    let mapping = unsafe { Mmap::map(sealed)? };
    Ok(Arc::new(Sealed(mapping)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Queue tampering, local attacks: a table that is overwritten while it decides changes nothing.
    #[test]
    fn a_file_that_changes_afterwards_is_not_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table");
        std::fs::write(&path, vec![7u8; 100_000]).unwrap();
        let image = read(&path).unwrap();
        std::fs::write(&path, b"short").unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!((*image).as_ref(), vec![7u8; 100_000]);
    }

    /// Not even whoever holds it can write to it, cut it, add to it, or take the seals off.
    #[test]
    fn sealed_memory_cannot_be_changed() {
        let mut memory = sealed(&mut [7u8; 5000].as_slice()).unwrap();
        let seals = rustix::fs::fcntl_get_seals(&memory).unwrap();
        assert!(seals.contains(SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL));
        io::Seek::rewind(&mut memory).unwrap();
        assert!(memory.write_all(b"x").is_err());
        assert!(memory.set_len(10).is_err() && memory.set_len(10_000).is_err());
        assert!(fcntl_add_seals(&memory, SealFlags::FUTURE_WRITE).is_err());
        assert_eq!((*map(&memory).unwrap()).as_ref(), [7u8; 5000]);
    }

    #[test]
    fn empty_files_and_folders_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table");
        std::fs::write(&path, b"").unwrap();
        assert_eq!(read(&path).err().map(|e| e.kind()), Some(io::ErrorKind::InvalidData));
        assert!(read(dir.path()).is_err());
    }
}
