//! Reads a rule folder into [`Sources`]: every regular file under it by its relative path.
//!
//! Hidden names (`.git`, `.github`) are left out. A link to a file is followed where it ends inside the
//! folder, since a rule set must be whole in itself; anything that is neither file nor folder is left
//! out. Bounded: [`MAX_FILES`], [`MAX_BYTES`], [`MAX_DEPTH`].

use edict_compiler::source::{MAIN, Sources};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The most files of a rule folder.
pub const MAX_FILES: usize = 50_000;
/// The most bytes of all its files together.
pub const MAX_BYTES: u64 = 1 << 30;
/// The deepest nesting of folders.
pub const MAX_DEPTH: usize = 32;

/// Why a rule folder cannot be read whole.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The file system said no.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// What was to be read.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is nothing there.
    #[error("no folder `{}`{hint}", path.display())]
    Missing {
        /// What was to be read.
        path: PathBuf,
        /// What to do instead.
        hint: &'static str,
    },
    /// A file was given.
    #[error("`{}` is a file; give the folder that holds `main.edict`", .0.display())]
    NoFolder(PathBuf),
    /// A link leads out, or to a folder.
    #[error("the link `{}` {what}; a rule set must be whole in itself, so put a copy in its place", path.display())]
    Link {
        /// The link.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A name that no rule could write.
    #[error("the name of `{}` is not UTF-8", .0.display())]
    Name(PathBuf),
    /// Too much of something.
    #[error("`{}` holds more than {most}; is it the folder of the rules?", path.display())]
    Much {
        /// The folder.
        path: PathBuf,
        /// The bound.
        most: String,
    },
}

/// Reads a rule folder, or, for `-`, a single file from standard input as `main.edict`.
pub fn read(root: &Path) -> Result<Sources, FolderError> {
    let mut sources = Sources::default();
    if root == Path::new("-") {
        let mut bytes = Vec::new();
        let taken = io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes);
        taken.map_err(|source| FolderError::Read { path: root.to_owned(), source })?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(much(root, format!("{MAX_BYTES} bytes")));
        }
        sources.insert(MAIN, bytes);
        return Ok(sources);
    }
    match fs::metadata(root) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => return Err(FolderError::NoFolder(root.to_owned())),
        Err(source) if source.kind() == io::ErrorKind::NotFound => {
            let here = Path::new(MAIN).is_file();
            let hint = if here {
                "; `main.edict` is in this folder, so give `.`"
            } else {
                "; `edict new DIR` makes one"
            };
            return Err(FolderError::Missing { path: root.to_owned(), hint });
        }
        Err(source) => return Err(FolderError::Read { path: root.to_owned(), source }),
    }
    let real =
        fs::canonicalize(root).map_err(|source| FolderError::Read { path: root.to_owned(), source })?;
    let mut walk = Walk { root, real, sources: &mut sources, files: 0, bytes: 0 };
    walk.folder(root, "", 0)?;
    Ok(sources)
}

/// What is no file, no folder and no link.
fn special(kind: fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

fn much(path: &Path, most: String) -> FolderError {
    FolderError::Much { path: path.to_owned(), most }
}

struct Walk<'a> {
    root: &'a Path,
    real: PathBuf,
    sources: &'a mut Sources,
    files: usize,
    bytes: u64,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), FolderError> {
        if depth > MAX_DEPTH {
            return Err(much(self.root, format!("{MAX_DEPTH} folders in one another")));
        }
        let fail = |path: &Path, source| FolderError::Read { path: path.to_owned(), source };
        for entry in fs::read_dir(folder).map_err(|e| fail(folder, e))? {
            let entry = entry.map_err(|e| fail(folder, e))?;
            let (path, name) = (entry.path(), entry.file_name());
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let name = name.to_str().ok_or_else(|| FolderError::Name(path.clone()))?;
            let relative = format!("{prefix}{name}");
            let kind = entry.file_type().map_err(|e| fail(&path, e))?;
            if kind.is_dir() {
                self.sources.note(relative.clone(), "a folder");
                self.folder(&path, &format!("{relative}/"), depth + 1)?;
            } else if kind.is_symlink() {
                self.link(&path)?;
                self.file(&path, relative)?;
            } else if kind.is_file() {
                self.file(&path, relative)?;
            } else {
                // Never opened: a pipe would wait for somebody to write.
                self.sources.note(relative, special(kind));
            }
        }
        Ok(())
    }

    fn link(&self, path: &Path) -> Result<(), FolderError> {
        let link = |what| Err(FolderError::Link { path: path.to_owned(), what });
        match fs::canonicalize(path) {
            Err(_) => link("leads nowhere"),
            Ok(target) if !target.starts_with(&self.real) => link("leads out of the rule folder"),
            Ok(target) if target.is_file() => Ok(()),
            Ok(_) => link("does not lead to a file"),
        }
    }

    fn file(&mut self, path: &Path, relative: String) -> Result<(), FolderError> {
        self.files += 1;
        if self.files > MAX_FILES {
            return Err(much(self.root, format!("{MAX_FILES} files")));
        }
        let left = MAX_BYTES - self.bytes;
        let mut bytes = Vec::new();
        let read = fs::File::open(path).and_then(|file| {
            bytes.reserve(usize::try_from(file.metadata()?.len().min(left)).unwrap_or(0));
            file.take(left + 1).read_to_end(&mut bytes)
        });
        read.map_err(|source| FolderError::Read { path: path.to_owned(), source })?;
        if bytes.len() as u64 > left {
            return Err(much(self.root, format!("{} MiB", MAX_BYTES >> 20)));
        }
        self.bytes += bytes.len() as u64;
        self.sources.insert(relative, bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn names(sources: &Sources) -> Vec<String> {
        sources.iter().map(|(path, _)| path.to_owned()).collect()
    }

    #[test]
    fn takes_every_regular_file_but_hidden_ones() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["main.edict", "lists/a.txt", ".git/config", "b/.hidden", "b/c/d.edict"] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        symlink("lists/a.txt", dir.path().join("link.txt")).unwrap();
        let sources = read(dir.path()).unwrap();
        assert_eq!(names(&sources), ["b/c/d.edict", "link.txt", "lists/a.txt", "main.edict"]);
    }

    /// A pipe is never opened, which would wait for ever, and is known for what it is.
    #[test]
    fn what_is_no_file_is_noted() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("list.txt");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        fs::create_dir(dir.path().join("empty")).unwrap();
        let sources = read(dir.path()).unwrap();
        assert_eq!(
            (sources.other("list.txt"), sources.other("empty")),
            (Some("a named pipe"), Some("a folder"))
        );
        assert!(names(&sources).is_empty());
    }

    #[test]
    fn refuses_what_is_not_whole_in_itself() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(MAIN), "edict 1\n").unwrap();
        assert!(matches!(read(&dir.path().join(MAIN)), Err(FolderError::NoFolder(_))));
        assert!(matches!(read(&dir.path().join("x")), Err(FolderError::Missing { .. })));
        for target in ["/etc/hostname", "nowhere", "."] {
            symlink(target, dir.path().join("link")).unwrap();
            assert!(matches!(read(dir.path()), Err(FolderError::Link { .. })), "{target}");
            fs::remove_file(dir.path().join("link")).unwrap();
        }
        assert!(read(dir.path()).is_ok());
    }
}
