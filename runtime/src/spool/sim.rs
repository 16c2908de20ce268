//! A disk in memory whose power can be cut, for tests.
//!
//! Writes that were not synced survive sector by sector as a coin says, names that were not synced as
//! far as a random point; those of folders, too, and with a folder all goes that is below it. After [`SimDisk::cut_at`] so many
//! operations every call fails, and [`SimDisk::after_cut`] is the disk as it is found then; [`SimDisk::after_kill`] is
//! the same where only the process ended.

mod faults;

use super::disk::{Disk, Handle, Mode, Space};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

const SECTOR: usize = 512;
/// What the name of a folder stands for, among those of files.
const FOLDER: usize = usize::MAX;

#[derive(Clone, Default)]
struct SimFile {
    durable: Vec<u8>,
    now: Vec<u8>,
    dirty: BTreeSet<usize>,
}

#[derive(Clone)]
enum Op {
    Link(String, usize),
    Unlink(String),
}

#[derive(Clone, Default)]
struct SimDir {
    durable: BTreeMap<String, usize>,
    now: BTreeMap<String, usize>,
    ops: Vec<Vec<Op>>,
}

#[derive(Clone, Default)]
struct State {
    files: Vec<SimFile>,
    dirs: BTreeMap<PathBuf, SimDir>,
    operations: u64,
    cut_at: Option<u64>,
    fail_syncs: bool,
    /// Files that cannot be synced.
    unsyncable: Vec<usize>,
    /// The sync of a folder that fails: so many go well before.
    fail_dir_sync: Option<u64>,
    fail_dir_syncs: bool,
    fail_removes: bool,
    opens_each: Option<u64>,
    /// Files that cannot be opened, and why.
    unopenable: Vec<(usize, i32)>,
    /// Folders that cannot be listed.
    hidden: Vec<PathBuf>,
    /// Folders in which nothing can be renamed.
    unrenamable: Vec<PathBuf>,
    /// Syncs of folders.
    dir_syncs: BTreeMap<PathBuf, u64>,
    /// No file is made, for this reason.
    fail_creates: Option<io::ErrorKind>,
    fail_segments: bool,
    fail_opens: bool,
    refused: u64,
    /// Where files cannot be read.
    bad: Vec<(usize, std::ops::Range<u64>)>,
    read_only: bool,
    free: Option<u64>,
    capacity: Option<u64>,
    /// Bytes whose writes are counted.
    watched: Vec<u8>,
    written: u64,
}

/// The disk; clones share it.
#[derive(Clone, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

fn gone() -> io::Error {
    io::Error::other("the power is out")
}

impl SimDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn step(&self, write: bool) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        if write {
            if state.read_only {
                return Err(io::ErrorKind::ReadOnlyFilesystem.into());
            }
            state.operations += 1;
        }
        if state.cut_at.is_some_and(|at| state.operations >= at) {
            return Err(gone());
        }
        Ok(state)
    }

    /// Operations so far that change something.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }
    /// Counts writes that hold these bytes from now on.
    pub fn watch(&self, bytes: &[u8]) {
        let mut state = self.state();
        (state.watched, state.written) = (bytes.to_vec(), 0);
    }
    /// How many there were.
    pub fn written(&self) -> u64 {
        self.state().written
    }

    /// The disk after the power came back.
    pub fn after_cut(&self, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut state = self.state().clone();
        for file in &mut state.files {
            let mut found = file.durable.clone();
            if file.now.len() != found.len() && rng.bool() {
                found.resize(file.now.len(), 0);
            }
            for &sector in &file.dirty {
                let start = sector * SECTOR;
                let end = (start + SECTOR).min(file.now.len());
                if start < end && rng.bool() {
                    if found.len() < end {
                        found.resize(end, 0);
                    }
                    found[start..end].copy_from_slice(&file.now[start..end]);
                }
            }
            *file = SimFile { durable: found.clone(), now: found, dirty: BTreeSet::new() };
        }
        for dir in state.dirs.values_mut() {
            let kept = rng.usize(..=dir.ops.len());
            for ops in dir.ops.drain(..).take(kept) {
                apply(&mut dir.durable, &ops);
            }
            dir.now = dir.durable.clone();
        }
        // Those above come before those below.
        let mut there = BTreeMap::new();
        for (path, dir) in std::mem::take(&mut state.dirs) {
            let named = path.parent().is_none_or(|above| {
                there.get(above).is_some_and(|above: &SimDir| above.now.contains_key(&name_of(&path)))
            });
            if named {
                there.insert(path, dir);
            }
        }
        state.dirs = there;
        let named: BTreeSet<usize> = state.dirs.values().flat_map(|dir| dir.now.values().copied()).collect();
        // They are of no use to anybody, and each cut copies all.
        for (_, file) in state.files.iter_mut().enumerate().filter(|(id, _)| !named.contains(id)) {
            *file = SimFile::default();
        }
        state.cut_at = None;
        (state.fail_syncs, state.fail_dir_syncs) = (false, false);
        Self(Arc::new(Mutex::new(state)))
    }

    /// The disk after the process was killed: all that it wrote is there, and a power cut may take of it what was not synced.
    pub fn after_kill(&self) -> Self {
        let mut state = self.state().clone();
        state.cut_at = None;
        Self(Arc::new(Mutex::new(state)))
    }

    /// All files with their bytes, and all folders.
    pub fn all(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.state();
        let names = state
            .dirs
            .iter()
            .flat_map(|(path, dir)| dir.now.iter().map(move |(name, id)| (path.join(name), *id)));
        names
            .map(|(path, id)| (path, state.files.get(id).map(|file| file.now.clone()).unwrap_or_default()))
            .collect()
    }

    /// Flips a byte of a file, durably.
    pub fn damage(&self, path: &Path, at: usize) {
        let mut state = self.state();
        let id = state.id(path);
        state.files[id].now[at] ^= 0x40;
        state.files[id].durable[at] ^= 0x40;
    }

    /// Writes zeros over a part of a file, durably.
    pub fn blank(&self, path: &Path, part: std::ops::Range<usize>) {
        let mut state = self.state();
        let id = state.id(path);
        state.files[id].now[part.clone()].fill(0);
        state.files[id].durable[part].fill(0);
    }

    /// Cuts a file off, durably.
    pub fn cut(&self, path: &Path, length: usize) {
        let mut state = self.state();
        let id = state.id(path);
        state.files[id].now.truncate(length);
        state.files[id].durable.truncate(length);
    }

    /// The bytes of a file.
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        let id = *state.dirs.get(path.parent()?)?.now.get(path.file_name()?.to_str()?)?;
        Some(state.files[id].now.clone())
    }
}

impl State {
    /// The number of a file that is there.
    fn id(&self, path: &Path) -> usize {
        self.dirs[path.parent().unwrap()].now[&name_of(path)]
    }

    /// What is left of the capacity. A file that has no name any more takes nothing.
    fn left(&self) -> Option<u64> {
        let named = self.dirs.values().flat_map(|dir| dir.now.values());
        let used: u64 = named.filter_map(|id| self.files.get(*id)).map(|file| file.now.len() as u64).sum();
        Some(self.capacity?.saturating_sub(used))
    }
}

fn apply(names: &mut BTreeMap<String, usize>, ops: &[Op]) {
    for op in ops {
        match op {
            Op::Link(name, id) => names.insert(name.clone(), *id),
            Op::Unlink(name) => names.remove(name),
        };
    }
}

fn split(path: &Path) -> (PathBuf, String) {
    (path.parent().unwrap().to_owned(), name_of(path))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn change(state: &mut State, folder: &Path, ops: Vec<Op>) -> io::Result<()> {
    let dir = state.dirs.get_mut(folder).ok_or(io::ErrorKind::NotFound)?;
    apply(&mut dir.now, &ops);
    dir.ops.push(ops);
    Ok(())
}

impl Disk for SimDisk {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        let all: Vec<&Path> = path.ancestors().collect();
        for folder in all.into_iter().rev() {
            let there = self.step(false)?.dirs.contains_key(folder);
            if folder.parent().is_none() {
                // Nobody made the root.
                self.state().dirs.entry(folder.to_owned()).or_default();
            } else if !there {
                let mut state = self.step(true)?;
                let (above, name) = split(folder);
                change(&mut state, &above, vec![Op::Link(name, FOLDER)])?;
                state.dirs.insert(folder.to_owned(), SimDir::default());
            }
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let state = self.step(false)?;
        if state.hidden.iter().any(|hidden| hidden == path) {
            return Err(io::Error::from_raw_os_error(5));
        }
        let dir = state.dirs.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(dir.now.keys().cloned().collect())
    }

    fn open(&self, path: &Path, mode: Mode) -> io::Result<Box<dyn Handle>> {
        let mut state = self.step(mode == Mode::Create)?;
        if state.read_only && mode == Mode::Write {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        let (folder, name) = split(path);
        let there = state.dirs.get(&folder).ok_or(io::ErrorKind::NotFound)?.now.get(&name).copied();
        if state.fail_opens && mode != Mode::Create && there.is_some() {
            state.refused += 1;
            let opens = state.opens_each.is_some_and(|count| state.refused.is_multiple_of(count));
            if !opens {
                return Err(io::Error::from_raw_os_error(24));
            }
        }
        if let Some((_, error)) = state.unopenable.iter().find(|(id, _)| there == Some(*id)) {
            return Err(io::Error::from_raw_os_error(*error));
        }
        let id = match (there, mode) {
            (Some(FOLDER), _) => return Err(io::ErrorKind::IsADirectory.into()),
            (Some(id), Mode::Read | Mode::Write) => id,
            (None, Mode::Read | Mode::Write) => return Err(io::ErrorKind::NotFound.into()),
            (_, Mode::Create) => {
                let segment = folder.ends_with("log");
                let full = (state.fail_segments && segment).then_some(io::ErrorKind::StorageFull);
                if let Some(kind) = state.fail_creates.or(full) {
                    return Err(kind.into());
                }
                state.files.push(SimFile::default());
                let id = state.files.len() - 1;
                change(&mut state, &folder, vec![Op::Link(name, id)])?;
                id
            }
        };
        Ok(Box::new(SimHandle { disk: self.clone(), id }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.step(true)?;
        let ((folder, old), (other, new)) = (split(from), split(to));
        if state.unrenamable.contains(&folder) {
            return Err(io::Error::from_raw_os_error(5));
        }
        let dir = state.dirs.get(&folder).ok_or(io::ErrorKind::NotFound)?;
        let id = *dir.now.get(&old).ok_or(io::ErrorKind::NotFound)?;
        assert_ne!(id, FOLDER, "nobody renames folders");
        if folder == other {
            return change(&mut state, &folder, vec![Op::Unlink(old), Op::Link(new, id)]);
        }
        // Each folder says for itself what is durable of it: it may be in both after a cut, or in none.
        change(&mut state, &other, vec![Op::Link(new, id)])?;
        change(&mut state, &folder, vec![Op::Unlink(old)])
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.step(true)?;
        if state.fail_removes {
            return Err(io::Error::from_raw_os_error(5));
        }
        let (folder, name) = split(path);
        match state.dirs.get(&folder).and_then(|d| d.now.get(&name)) {
            None => return Err(io::ErrorKind::NotFound.into()),
            Some(&FOLDER) => return Err(io::ErrorKind::IsADirectory.into()),
            Some(_) => {}
        }
        change(&mut state, &folder, vec![Op::Unlink(name)])
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.step(true)?;
        *state.dir_syncs.entry(path.to_owned()).or_default() += 1;
        // The log makes its segments when it likes.
        if !path.ends_with("log") && state.fail_dir_syncs {
            return Err(io::Error::from_raw_os_error(5));
        }
        if !path.ends_with("log")
            && let Some(behind) = state.fail_dir_sync
        {
            state.fail_dir_sync = behind.checked_sub(1);
            if behind == 0 {
                return Err(io::Error::from_raw_os_error(5));
            }
        }
        let dir = state.dirs.get_mut(path).ok_or(io::ErrorKind::NotFound)?;
        dir.durable = dir.now.clone();
        dir.ops.clear();
        Ok(())
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        let state = self.step(false)?;
        Ok(Space { bytes: state.free.or_else(|| state.left()).unwrap_or(u64::MAX), files: u64::MAX })
    }
}

struct SimHandle {
    disk: SimDisk,
    id: usize,
}

impl Handle for SimHandle {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.step(false)?;
        let end = offset + buffer.len() as u64;
        if state.bad.iter().any(|(id, part)| *id == self.id && part.start < end && offset < part.end) {
            return Err(io::Error::from_raw_os_error(5));
        }
        let from = state.files[self.id].now.get(offset as usize..).unwrap_or_default();
        let n = from.len().min(buffer.len());
        buffer[..n].copy_from_slice(&from[..n]);
        Ok(n)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let cut = {
            let state = self.disk.state();
            state.cut_at == Some(state.operations + 1)
        };
        if cut {
            // The power goes in the middle: what was written is as good as any unsynced write.
            self.disk.state().cut_at = Some(u64::MAX);
            let result = self.write_at(bytes, offset);
            let mut state = self.disk.state();
            state.cut_at = Some(state.operations);
            return result.and(Err(gone()));
        }
        let mut state = self.disk.step(true)?;
        let watched = !state.watched.is_empty() && memchr::memmem::find(bytes, &state.watched).is_some();
        state.written += u64::from(watched);
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        let grows = end.saturating_sub(state.files[self.id].now.len()) as u64;
        if grows > 0 && state.left().is_some_and(|left| grows > left) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = &mut state.files[self.id];
        if file.now.len() < end {
            file.now.resize(end, 0);
        }
        file.now[start..end].copy_from_slice(bytes);
        file.dirty.extend(start / SECTOR..end.div_ceil(SECTOR));
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.step(false)?.files[self.id].now.len() as u64)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.step(true)?;
        if state.fail_syncs || state.unsyncable.contains(&self.id) {
            return Err(io::Error::other("input/output error"));
        }
        let file = &mut state.files[self.id];
        file.durable = file.now.clone();
        file.dirty.clear();
        Ok(())
    }
}
