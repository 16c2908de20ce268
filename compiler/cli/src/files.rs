//! Files that a command writes or reads by itself: a table written so that no reader sees half of it.

use crate::console::Failure;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

/// The largest table or message read.
pub const MAX_INPUT: u64 = 4 << 30;

/// Writes a file aside, syncs it, renames it over the target and syncs the folder. A file that was there
/// keeps its permissions, and a symbolic link stays one: the file it leads to is replaced. Refuses to replace what is
/// not a regular file (`/dev/null`).
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let fail = |source| Failure::write(path, source);
    let target = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_symlink() => fs::canonicalize(path).map_err(|error| {
            let lost = error.kind() == io::ErrorKind::NotFound;
            fail(if lost { io::Error::other("it is a symbolic link to nothing") } else { error })
        })?,
        _ => path.to_path_buf(),
    };
    let folder = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let before = match fs::metadata(&target) {
        Ok(meta) if meta.is_file() => Some(meta.permissions()),
        Ok(meta) if meta.is_dir() => return Err(fail(io::Error::other("it is a folder"))),
        Ok(_) => return Err(fail(io::Error::other("it is no regular file"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(fail(error)),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".edict-");
    #[cfg(unix)]
    {
        // What the umask leaves of it; the default of a temporary file would lock the daemon out.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    // Its errors carry the name of the file aside, which tells nobody anything.
    let mut aside = builder.tempfile_in(folder).map_err(|error| fail(error.kind().into()))?;
    aside.as_file_mut().write_all(bytes).map_err(fail)?;
    if let Some(permissions) = before {
        aside.as_file().set_permissions(permissions).map_err(fail)?;
    }
    aside.as_file().sync_all().map_err(fail)?;
    aside.persist(&target).map_err(|e| fail(e.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)
}

/// Whether a name stands for standard input or output.
pub fn is_dash(path: &Path) -> bool {
    path == Path::new("-")
}

/// Standard input can be read once.
pub fn one_dash(first: (&Path, &str), second: Option<(&Path, &str)>) -> Result<(), Failure> {
    match second {
        Some(second) if is_dash(first.0) && is_dash(second.0) => {
            let (one, two) = (first.1, second.1);
            Err(Failure::Use(format!(
                "{one} and {two} cannot both come from standard input; give one as a file"
            )))
        }
        _ => Ok(()),
    }
}

/// Reads a file, or standard input for `-`. Bounded by [`MAX_INPUT`].
pub fn read_whole(path: &Path) -> Result<Vec<u8>, Failure> {
    let fail = |source| Failure::read(path, source);
    let mut bytes = Vec::new();
    if is_dash(path) {
        io::stdin().lock().take(MAX_INPUT + 1).read_to_end(&mut bytes).map_err(fail)?;
    } else {
        File::open(path).and_then(|file| file.take(MAX_INPUT + 1).read_to_end(&mut bytes)).map_err(fail)?;
    }
    if bytes.len() as u64 > MAX_INPUT {
        return Err(fail(io::Error::other("it is larger than 4 GiB")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_files_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.table");
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left aside");
        assert!(write_whole(dir.path(), b"x").is_err());
        assert!(write_whole(Path::new("/dev/null"), b"x").is_err());
        assert!(write_whole(&dir.path().join("no/where"), b"x").is_err());
    }

    #[test]
    #[cfg(unix)]
    fn permissions_stay() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.table");
        write_whole(&path, b"one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    #[cfg(unix)]
    fn links_stay() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("releases/1.table"), dir.path().join("a.table"));
        fs::create_dir(dir.path().join("releases")).unwrap();
        symlink("releases/1.table", &link).unwrap();
        let refused = write_whole(&link, b"x").unwrap_err().to_string();
        assert!(refused.contains("a symbolic link to nothing"), "{refused}");
        fs::write(&file, b"one").unwrap();
        write_whole(&link, b"two").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left aside");
    }
}
