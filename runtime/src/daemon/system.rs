//! What the system says where the configuration does not: who is asked for names, and whom to trust. Its files are read when they are
//! needed; here is only told whether they are still those that they were.

use std::env;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Where name servers stand, and the names of this machine.
const NAMES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];
/// Where distributions keep the certificates of authorities.
const ROOTS: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
];
/// Where somebody names others.
const NAMED: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// A file as it is: its number, its length, when it was written.
type Stamp = Option<(u64, u64, i64, i64)>;

/// How the files are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct System {
    names: Vec<Stamp>,
    roots: Vec<Stamp>,
}

impl System {
    /// How they are now, of what is asked.
    pub fn now(names: bool, roots: bool) -> Self {
        let named = NAMED.iter().filter_map(env::var_os).map(PathBuf::from);
        let roots = roots.then(|| stamps(ROOTS.iter().map(PathBuf::from).chain(named)));
        let names = names.then(|| stamps(NAMES.iter().map(PathBuf::from)));
        Self { names: names.unwrap_or_default(), roots: roots.unwrap_or_default() }
    }

    /// Whether names are asked as they were.
    pub fn has_names_of(&self, other: &Self) -> bool {
        self.names == other.names
    }
}

fn stamps(paths: impl Iterator<Item = PathBuf>) -> Vec<Stamp> {
    let stamp = |path: PathBuf| {
        // One that cannot be asked is none, as for whoever reads it.
        let file = std::fs::metadata(path).ok()?;
        Some((file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
    };
    paths.map(stamp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_written_or_exchanged_is_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resolv.conf");
        let now = || stamps([path.clone()].into_iter());
        let none = now();
        std::fs::write(&path, "nameserver 192.0.2.1\n").unwrap();
        let first = now();
        assert_eq!(first, now());
        let half = folder.path().join("half");
        std::fs::write(&half, "nameserver 192.0.2.2\n").unwrap();
        std::fs::rename(&half, &path).unwrap();
        let second = now();
        std::fs::write(&path, "nameserver 192.0.2.2\nnameserver 192.0.2.3\n").unwrap();
        assert!(none != first && first != second && second != now());
    }

    #[test]
    fn only_what_is_asked_counts() {
        assert_eq!(System::now(false, false), System::default());
        let (names, roots) = (System::now(true, false), System::now(false, true));
        assert!(names.roots.is_empty() && roots.names.is_empty());
        assert!(names.has_names_of(&System::now(true, true)));
        assert_eq!((names.names.len(), roots.roots.len() >= ROOTS.len()), (NAMES.len(), true));
    }
}
