//! The daemon's secret: 32 random bytes in a file that only it reads. Keys for each purpose are derived
//! from it; it is never used as one itself.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Reads the secret from a file, which is made where it is missing.
///
/// # Errors
/// The file cannot be read or made, or is not 32 bytes long.
pub fn open(path: &Path) -> io::Result<[u8; 32]> {
    let named = |kind, what: &str| io::Error::new(kind, format!("{}: {what}", path.display()));
    match fs::read(path) {
        // Not made anew: other daemons may have it.
        Ok(bytes) => bytes.try_into().map_err(|_| named(io::ErrorKind::InvalidData, "is not 32 bytes long")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path),
        Err(error) => Err(named(error.kind(), &error.to_string())),
    }
}

fn make(path: &Path) -> io::Result<[u8; 32]> {
    let mut secret = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut secret)?;
    let aside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(&secret)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    // Lost with a power cut, a new one would only end the bounces of what is on its way.
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// Queue tampering, local attacks (21Nails, 2021).
    #[test]
    fn the_secret_is_made_once_and_kept_from_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let first = open(&path).unwrap();
        assert_eq!(first, open(&path).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "short").unwrap();
        assert!(open(&path).is_err());
    }
}
