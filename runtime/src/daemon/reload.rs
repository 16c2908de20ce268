//! Loading the table and the users, at the start and on SIGHUP: both or neither.
//!
//! What is in force stays in force until everything new has been read and checked. Loading happens on
//! whatever thread calls, which must not be one that serves connections.

use crate::live::{Live, image};
use crate::users::{Users, UsersError};
use arc_swap::ArcSwap;
use edict_table::load::{LoadError, Loaded};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// The largest file of users that is read, in bytes.
const MAX_USERS_FILE: u64 = 1 << 30;

/// Where table and users come from.
#[derive(Clone, Debug)]
pub struct Source {
    /// The table file; the embedded table where absent.
    pub table: Option<PathBuf>,
    /// The table in the program.
    pub embedded: &'static [u8],
    /// The file of users.
    pub users: Option<PathBuf>,
}

/// Why table and users were not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// A file cannot be read.
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    Read(PathBuf, io::Error),
    /// The table is refused.
    #[error("{0}: {1}")]
    Table(String, LoadError),
    /// The users are refused.
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    Users(PathBuf, UsersError),
    /// There is nothing to go back to.
    #[error("no table was in force before this one")]
    NothingBefore,
}

impl Source {
    /// What logs and `edictd status` call the source of the table.
    #[must_use]
    pub fn name(&self) -> String {
        self.table.as_ref().map_or_else(|| "embedded".to_owned(), |path| path.display().to_string())
    }

    /// When the table file was last written.
    #[must_use]
    pub fn written(&self) -> Option<SystemTime> {
        std::fs::metadata(self.table.as_ref()?).ok()?.modified().ok()
    }

    /// Reads and checks the table.
    ///
    /// # Errors
    /// Whatever is wrong with the file or its bytes.
    pub fn load_table(&self) -> Result<Loaded, ReloadError> {
        let image = match &self.table {
            Some(path) => image::read(path).map_err(|e| ReloadError::Read(path.clone(), e))?,
            None => Arc::new(self.embedded),
        };
        Loaded::new(image).map_err(|e| ReloadError::Table(self.name(), e))
    }

    /// Reads and checks the users; none where no file is configured.
    ///
    /// # Errors
    /// Whatever is wrong with the file or one of its lines.
    pub fn load_users(&self) -> Result<Users, ReloadError> {
        let Some(path) = &self.users else {
            return Ok(Users::default());
        };
        let text = read_bounded(path).map_err(|e| ReloadError::Read(path.clone(), e))?;
        Users::parse(&text).map_err(|e| ReloadError::Users(path.clone(), e))
    }
}

fn read_bounded(path: &Path) -> io::Result<String> {
    if std::fs::metadata(path)?.len() > MAX_USERS_FILE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "over 1 GiB is no file of users"));
    }
    std::fs::read_to_string(path)
}

/// Keeps table and users up to date.
#[derive(Debug)]
pub struct Reloader {
    source: Source,
    live: Arc<Live>,
    users: Arc<ArcSwap<Users>>,
    reloads: AtomicU64,
    one_at_a_time: Mutex<()>,
}

impl Reloader {
    /// Watches over what has been loaded from `source`.
    #[must_use]
    pub fn new(source: Source, live: Arc<Live>, users: Arc<ArcSwap<Users>>) -> Self {
        Self { source, live, users, reloads: AtomicU64::new(0), one_at_a_time: Mutex::new(()) }
    }

    /// Where everything comes from.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// How many reloads went well since the start.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.reloads.load(Ordering::Relaxed)
    }

    /// Loads everything again and puts it in force. The digest of the new table.
    ///
    /// # Errors
    /// Why not; then everything stays as it was.
    pub fn reload(&self) -> Result<String, ReloadError> {
        let _turn = self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = self.source.load_table().and_then(|table| Ok((table, self.source.load_users()?)));
        match loaded {
            Ok((table, users)) => {
                let digest = table.digest().to_owned();
                let rules = table.rule_count();
                self.users.store(Arc::new(users));
                self.live.publish(Arc::new(table));
                self.reloads.fetch_add(1, Ordering::Relaxed);
                tracing::info!(table = short(&digest), rules, source = self.source.name(), "reloaded");
                Ok(digest)
            }
            Err(error) => {
                let kept = self.live.current();
                tracing::error!(%error, kept = short(kept.digest()), "reload refused, the last good table stays");
                Err(error)
            }
        }
    }

    /// Puts the table before the last reload in force again. Its digest.
    ///
    /// # Errors
    /// [`ReloadError::NothingBefore`].
    pub fn rollback(&self) -> Result<String, ReloadError> {
        let _turn = self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        let table = self.live.rollback().ok_or(ReloadError::NothingBefore)?;
        tracing::warn!(table = short(table.digest()), "rolled back");
        Ok(table.digest().to_owned())
    }
}

/// The first twelve digits, as logs show a digest.
#[must_use]
pub fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
