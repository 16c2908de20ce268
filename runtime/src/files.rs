//! Reads the files that an operator names: regular ones, up to a length.
//!
//! A named pipe would keep whoever opens it until somebody writes, and a device may never end: neither may hold up a
//! start or a reload. Files of ours that are damaged go out of the way, for people.

use rustix::fs::OFlags;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Opens a regular file.
///
/// # Errors
/// What the file system said; [`ErrorKind::InvalidData`] for what is no regular file.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // Without blocking: whether it is a pipe can be asked only once it is open.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(ErrorKind::InvalidData, "this is no regular file")),
    }
}

/// Its bytes, at most so many.
///
/// # Errors
/// As [`open`]; [`ErrorKind::FileTooLarge`] for a longer one.
pub(crate) fn bytes(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(io::Error::new(ErrorKind::FileTooLarge, format!("longer than {most} bytes"))),
        false => Ok(bytes),
    }
}

/// Its text, at most so many bytes.
///
/// # Errors
/// As [`bytes`]; [`ErrorKind::InvalidData`] for what is no UTF-8.
pub(crate) fn text(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(bytes(path, most)?)
        .map_err(|_| io::Error::new(ErrorKind::InvalidData, "this is no UTF-8 text"))
}

/// Whether an error says that the disk has no room, or an account none of its quota.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Gives a file that is damaged a name of its own beside it: the first of `….bad`, `….1.bad` that is free. Says which name, and
/// the how-manieth it is.
///
/// # Errors
/// What the file system said.
pub(crate) fn set_aside(path: &Path) -> io::Result<(PathBuf, u64)> {
    let mut name = path.as_os_str().to_owned();
    name.push(".bad");
    let mut kept = PathBuf::from(name);
    let mut count = 0u64;
    while kept.try_exists()? {
        count += 1;
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{count}.bad"));
        kept = PathBuf::from(name);
    }
    std::fs::rename(path, &kept)?;
    Ok((kept, count.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_up_to_a_length() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "twelve bytes").unwrap();
        assert_eq!(text(&path, 12).unwrap(), "twelve bytes");
        assert_eq!(text(&path, 11).unwrap_err().kind(), ErrorKind::FileTooLarge);
        std::fs::write(&path, b"\xff").unwrap();
        assert_eq!(text(&path, 12).unwrap_err().kind(), ErrorKind::InvalidData);
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        for path in [folder.path(), &pipe, Path::new("/dev/zero")] {
            assert_eq!(bytes(path, 12).unwrap_err().kind(), ErrorKind::InvalidData, "{}", path.display());
        }
    }
}
