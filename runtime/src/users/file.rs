//! Changes one user in a passwd-file: reads it, checks the result, writes it aside, syncs, renames.
//!
//! The file keeps its mode and owner; a new one is for its owner alone. Two changes at once: the second is refused, since
//! the file aside is there already. A daemon sees the change at its next reload.

use super::{MAX_LINE, Scheme, Users, UsersError, edit, entry};
use ring::rand::{SecureRandom, SystemRandom};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Why a user was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The file cannot be read or written.
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    File(PathBuf, io::Error),
    /// Somebody else changes it, or was stopped while doing so.
    #[error("{path} is there: another change is under way, or was broken off; remove it then", path = .0.display())]
    Busy(PathBuf),
    /// The file is broken, before or after the change.
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    Users(PathBuf, UsersError),
    /// No entry can be made.
    #[error(
        "`{0}` is no address and no local part, or the password is empty, too long or holds control characters"
    )]
    Entry(String),
    /// There is nobody to take away.
    #[error("{path}: there is no user `{1}`", path = .0.display())]
    Nobody(PathBuf, String),
    /// The system has no random bytes.
    #[error("the system gave no random bytes")]
    Random,
}

/// What is to become of a user.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// Has this password.
    Password(&'a str, Scheme),
    /// Has a mailbox and no login.
    NoLogin,
    /// Is gone.
    Remove,
}

/// Changes a user. Whether there was one of this name before.
///
/// # Errors
/// Why not; then the file is as it was.
pub fn change(path: &Path, name: &str, change: Change<'_>) -> Result<bool, ChangeError> {
    let failed = |error| ChangeError::File(path.to_owned(), error);
    let entry = match change {
        Change::Password(password, scheme) => {
            let mut salt = [0; 16];
            SystemRandom::new().fill(&mut salt).map_err(|_| ChangeError::Random)?;
            let made = entry(name, password, scheme, &salt).filter(|entry| entry.len() <= MAX_LINE);
            Some(made.ok_or_else(|| ChangeError::Entry(name.to_owned()))?)
        }
        Change::NoLogin => Some(format!("{name}:")),
        Change::Remove => None,
    };
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let aside = PathBuf::from(aside);
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(ChangeError::Busy(aside)),
        Err(error) => return Err(ChangeError::File(aside, error)),
    };
    let written = (|| {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => {
                let old = std::fs::metadata(path).map_err(failed)?;
                std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid())).map_err(failed)?;
                let mode = old.permissions().mode() & 0o777;
                file.set_permissions(Permissions::from_mode(mode)).map_err(failed)?;
                text
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed(error)),
        };
        let (text, found) = edit(&text, name, entry.as_deref());
        if entry.is_none() && !found {
            return Err(ChangeError::Nobody(path.to_owned(), name.to_owned()));
        }
        Users::parse(&text).map_err(|error| ChangeError::Users(path.to_owned(), error))?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        std::fs::rename(&aside, path).map_err(failed)?;
        Ok(found)
    })();
    match written {
        Ok(found) => {
            // The rename itself is made durable with the folder.
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
            Ok(found)
        }
        Err(error) => {
            let _ = std::fs::remove_file(&aside);
            Err(error)
        }
    }
}
