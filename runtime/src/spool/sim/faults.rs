//! What the disk refuses, and when: each switch of its own.

use super::SimDisk;
use std::io;
use std::path::Path;

impl SimDisk {
    pub fn cut_at(&self, operation: u64) {
        self.state().cut_at = Some(operation);
    }
    pub fn fail_syncs(&self, on: bool) {
        self.state().fail_syncs = on;
    }
    /// Lets a file never be synced, whatever its name is from now on.
    pub fn fail_syncs_of(&self, path: &Path) {
        let mut state = self.state();
        let id = state.id(path);
        state.unsyncable.push(id);
    }
    /// Lets one sync of a folder fail, but for the log's, behind so many that go well.
    pub fn fail_dir_sync(&self, behind: u64) {
        self.state().fail_dir_sync = Some(behind);
    }
    /// Lets no folder be synced but the log's.
    pub fn fail_dir_syncs(&self, on: bool) {
        self.state().fail_dir_syncs = on;
    }
    /// Whether that has not come about yet.
    pub fn waits_for_dir_sync(&self) -> bool {
        self.state().fail_dir_sync.is_some()
    }
    /// How many syncs of a folder there were.
    pub fn dir_syncs(&self, folder: &Path) -> u64 {
        self.state().dir_syncs.get(folder).copied().unwrap_or(0)
    }
    /// Lets these folders not be listed, and all others.
    pub fn hide<'a>(&self, folders: impl IntoIterator<Item = &'a Path>) {
        self.state().hidden = folders.into_iter().map(Path::to_owned).collect();
    }
    /// Lets nothing be renamed in these folders, and all in others.
    pub fn fail_renames<'a>(&self, folders: impl IntoIterator<Item = &'a Path>) {
        self.state().unrenamable = folders.into_iter().map(Path::to_owned).collect();
    }
    /// Whether files can be removed.
    pub fn fail_removes(&self, on: bool) {
        self.state().fail_removes = on;
    }
    pub fn fail_creates(&self, on: bool) {
        self.fail_creates_with(on.then_some(io::ErrorKind::StorageFull));
    }
    /// Lets no file be made, for this reason.
    pub fn fail_creates_with(&self, kind: Option<io::ErrorKind>) {
        self.state().fail_creates = kind;
    }
    /// Whether there is room for small files alone.
    pub fn fail_segments(&self, on: bool) {
        self.state().fail_segments = on;
    }
    /// Whether there are no descriptors for files that are there.
    pub fn fail_opens(&self, on: bool) {
        let mut state = self.state();
        (state.fail_opens, state.opens_each) = (on, None);
    }
    /// The same, but that one in so many is opened.
    pub fn fail_opens_but_each(&self, count: u64) {
        let mut state = self.state();
        (state.fail_opens, state.opens_each) = (true, Some(count));
    }
    /// Lets a file not be opened with this error, whatever its name is from now on.
    pub fn fail_opens_of(&self, path: &Path, error: i32) {
        let mut state = self.state();
        let id = state.id(path);
        state.unopenable.push((id, error));
    }
    /// How many were not opened for that.
    pub fn refused(&self) -> u64 {
        self.state().refused
    }
    /// Lets a part of a file fail to be read, whatever its name is from now on.
    pub fn rot(&self, path: &Path, part: std::ops::Range<u64>) {
        let mut state = self.state();
        let id = state.id(path);
        state.bad.push((id, part));
    }
    /// All can be read again.
    pub fn heal(&self) {
        self.state().bad.clear();
    }
    /// Whether nothing can be written, nor be opened for that.
    pub fn read_only(&self, on: bool) {
        self.state().read_only = on;
    }
    pub fn set_free(&self, bytes: u64) {
        self.state().free = Some(bytes);
    }

    /// From now on all files together have room for so many bytes.
    pub fn set_capacity(&self, bytes: u64) {
        self.state().capacity = Some(bytes);
    }
}
