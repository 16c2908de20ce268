//! The file layer under the spool: what it needs of a disk, and the real one.
//!
//! A trait so that tests can cut the power: their disk drops and reorders whatever was not synced. No
//! policy here: no retries, no names. Files are 0600, folders 0700.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Must be there; read only.
    Read,
    /// Must be there; read and written.
    Write,
    /// Made, or emptied; read and written.
    Create,
}

/// What is left on a disk for us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Space {
    /// Bytes.
    pub bytes: u64,
    /// Files. `u64::MAX` where the file system does not count them.
    pub files: u64,
}

/// The operations of a disk. Every call may block.
pub trait Disk: Send + Sync + 'static {
    /// Makes a folder and those above it; fine when it is there.
    ///
    /// # Errors
    /// As the system says.
    fn make_dir(&self, path: &Path) -> io::Result<()>;
    /// The names in a folder, in no order. Names that are not UTF-8 are left out: none of ours.
    ///
    /// # Errors
    /// As the system says.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Opens a file.
    ///
    /// # Errors
    /// As the system says.
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Box<dyn Handle>>;
    /// Renames within one file system; replaces what is there.
    ///
    /// # Errors
    /// As the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// As the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in a folder durable.
    ///
    /// # Errors
    /// As the system says.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// What is left.
    ///
    /// # Errors
    /// As the system says.
    fn space(&self, path: &Path) -> io::Result<Space>;
}

/// An open file.
pub trait Handle: Send + Sync {
    /// Reads up to `buffer.len()` bytes; 0 at the end.
    ///
    /// # Errors
    /// As the system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of it.
    ///
    /// # Errors
    /// As the system says; how much is written then is not known.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Its length in bytes.
    ///
    /// # Errors
    /// As the system says.
    fn length(&self) -> io::Result<u64>;
    /// Makes its data, and its length, durable. Never to be called again after an error: the kernel
    /// forgets what it could not write.
    ///
    /// # Errors
    /// As the system says.
    fn sync(&self) -> io::Result<()>;
}

/// Reads exactly `length` bytes.
///
/// # Errors
/// `UnexpectedEof` where the file is shorter.
pub fn read_exact(file: &dyn Handle, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut out = vec![0; length];
    let mut filled = 0;
    while let Some(rest) = out.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(out)
}

/// Makes folders, and sees to it that their names outlast a power cut, and the names of those above them.
///
/// Also where they are there already, which a sync tells as well: whoever made them may have been killed before it could sync that. What another user made
/// above them may be none of ours to sync.
///
/// # Errors
/// As the system says, with the folder.
pub fn make_dirs_durably<'a>(disk: &dyn Disk, folders: &[&'a Path]) -> Result<(), (&'a Path, io::Error)> {
    let mut made = BTreeSet::new();
    for folder in folders {
        let is_missing = |folder: &&Path| {
            disk.sync_dir(folder).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        };
        made.extend(folder.ancestors().take_while(is_missing));
        disk.make_dir(folder).map_err(|error| (*folder, error))?;
    }
    let holders: BTreeSet<&Path> = folders.iter().flat_map(|folder| folder.ancestors().skip(1)).collect();
    for holder in holders {
        let is_needed = made.iter().any(|folder| folder.parent() == Some(holder));
        disk.sync_dir(holder).or_else(|error| if is_needed { Err((holder, error)) } else { Ok(()) })?;
    }
    Ok(())
}

/// The disk of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn open(&self, path: &Path, mode: Mode) -> io::Result<Box<dyn Handle>> {
        let mut options = OpenOptions::new();
        options.read(true).mode(0o600);
        match mode {
            Mode::Read => {}
            Mode::Write => {
                options.write(true);
            }
            Mode::Create => {
                options.write(true).create(true).truncate(true);
            }
        }
        Ok(Box::new(options.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        // What is above a relative name of one part.
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        File::open(path)?.sync_all()
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(path)?;
        let files = if stat.f_files == 0 { u64::MAX } else { stat.f_favail };
        Ok(Space { bytes: stat.f_bavail.saturating_mul(stat.f_frsize), files })
    }
}

impl Handle for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
