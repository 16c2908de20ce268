//! The store of messages that wait for another attempt: a file per message, and its state beside it.
//!
//! `deferred/3f/0F2K…` is the record, written once; `….s` is what happened to it so far, replaced whole. The folder is told by
//! a hash of the name. What lies in another one stays there: older versions took the low bits of the name, and what belongs in
//! a folder that cannot be read goes into the next one.
//! `….new` is a record whose frame in the log is not known to be durable yet, `….part` and `….N.t` are half-written records and
//! states. All calls block. Both kinds of file carry a checksum; a bad one is set aside as `….bad`, and takes no other message along.

mod hidden;
mod scan;
mod state;

use super::disk::{Disk, Handle, Mode, read_exact};
use super::frame::{u32_at, u64_at};
use super::{SpoolError, folder_error, read_error};
use crate::envelope::{MessageId, Record};
pub(super) use hidden::{ANY, Hidden};
pub use state::{Fates, State, Word, Words};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

const MAGIC: &[u8; 8] = b"EDICTMS1";
const HEADER: usize = 32;
/// Folders that the messages are spread over.
const FANS: usize = 256;

/// The store.
pub struct Deferred {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    /// Folders that are there and durable. To ask the disk each time costs more the more messages wait.
    fans: [AtomicBool; FANS],
    /// One at a time changes a state: what another one reads and writes meanwhile would be lost.
    changing: [Mutex<()>; FANS],
    /// States written so far: no two have one name while they are half-written.
    written: AtomicU64,
    /// Messages that were found in another folder than theirs, sorted, and in which one.
    strays: OnceLock<Vec<(MessageId, u8)>>,
    /// Folders that cannot be read: nothing new goes there.
    shut: OnceLock<Vec<u8>>,
}

impl std::fmt::Debug for Deferred {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deferred").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Deferred {
    pub(super) fn open(disk: Arc<dyn Disk>, folder: &Path) -> Result<Self, SpoolError> {
        disk.make_dir(folder).map_err(|e| folder_error(folder, &e))?;
        let fans = std::array::from_fn(|_| AtomicBool::new(false));
        let changing = std::array::from_fn(|_| Mutex::default());
        let (folder, written) = (folder.to_owned(), AtomicU64::new(0));
        let (strays, shut) = (OnceLock::new(), OnceLock::new());
        Ok(Self { disk, folder, fans, changing, written, strays, shut })
    }

    fn fan(&self, id: MessageId) -> PathBuf {
        self.folder.join(format!("{:02x}", self.place(id)))
    }

    /// The folder that a message lies in, or is to lie in.
    fn place(&self, id: MessageId) -> u8 {
        let strays = self.strays.get().map(Vec::as_slice).unwrap_or_default();
        let stray = strays.binary_search_by_key(&id, |(id, _)| *id).ok().and_then(|at| strays.get(at));
        let open = || {
            let shut = self.shut.get().map(Vec::as_slice).unwrap_or_default();
            let mut places = (0..=u8::MAX).map(|step| home(id).wrapping_add(step));
            places.find(|place| !shut.contains(place)).unwrap_or_else(|| home(id))
        };
        stray.map_or_else(open, |(_, place)| *place)
    }

    fn path(&self, id: MessageId, suffix: &str) -> PathBuf {
        self.fan(id).join(format!("{id}{suffix}"))
    }

    /// Stores a record under its provisional name, durable.
    pub(super) fn put_new(&self, record: &Record) -> io::Result<()> {
        self.write_record(record, ".new")
    }

    /// Gives a provisional record its name. Fine when it has it already: the name outlasts a power cut on return.
    pub(super) fn adopt(&self, id: MessageId) -> io::Result<()> {
        self.give_name(id)?;
        self.keep_name(id)
    }

    /// The same for many, where each folder is synced once. Gives back those of which it is not certain, and why.
    pub(super) fn adopt_all(&self, ids: impl Iterator<Item = MessageId>) -> Vec<(MessageId, String)> {
        let mut failed = Vec::new();
        let mut named: BTreeMap<PathBuf, Vec<MessageId>> = BTreeMap::new();
        for id in ids {
            match self.give_name(id) {
                Ok(()) => named.entry(self.fan(id)).or_default().push(id),
                Err(error) => failed.push((id, error.to_string())),
            }
        }
        for (fan, ids) in named {
            if let Err(error) = self.disk.sync_dir(&fan) {
                failed.extend(ids.into_iter().map(|id| (id, error.to_string())));
            }
        }
        failed
    }

    fn give_name(&self, id: MessageId) -> io::Result<()> {
        // Whoever removes it meanwhile would miss it by both names.
        let _changing = self.changing(id);
        match self.disk.rename(&self.path(id, ".new"), &self.path(id, "")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Stores a record and its state; both are durable on return.
    ///
    /// # Errors
    /// As the system says; nothing that counts is left behind then.
    pub fn put(&self, record: &Record, state: &State) -> io::Result<()> {
        let stored = self.try_put(record, state);
        if stored.is_err() {
            // It may have its name already, and the log has it still: a restart would take it up, whatever became of it
            // meanwhile. Where it cannot be removed either, the log says in the end that it is done; the error that counts
            // is the first.
            for suffix in [".part", ""] {
                let _ = self.remove_file(&self.path(record.id, suffix));
            }
            let _ = self.disk.sync_dir(&self.fan(record.id));
        }
        stored
    }

    /// Sees to it that the name of a message that is here outlasts a power cut.
    ///
    /// # Errors
    /// As the system says.
    pub fn keep_name(&self, id: MessageId) -> io::Result<()> {
        self.disk.sync_dir(&self.fan(id))
    }

    fn try_put(&self, record: &Record, state: &State) -> io::Result<()> {
        // The state first: a record that is there without one would be tried again at once.
        self.make_fan(record.id)?;
        {
            let _changing = self.changing(record.id);
            self.write_state(record.id, state)?;
        }
        self.write_record(record, ".part")?;
        self.disk.rename(&self.path(record.id, ".part"), &self.path(record.id, ""))?;
        self.disk.sync_dir(&self.fan(record.id))
    }

    /// Replaces the state of a message, durably.
    ///
    /// # Errors
    /// As the system says; the state is then the old one or the new one.
    pub fn update(&self, id: MessageId, state: &State) -> io::Result<()> {
        let _changing = self.changing(id);
        self.write_state(id, state)?;
        self.disk.sync_dir(&self.fan(id))
    }

    /// Changes the state of a message, durably, and gives it back. What others change meanwhile is kept.
    ///
    /// # Errors
    /// Where it cannot be read, or as the system says; the state is then the old one or the new one.
    pub fn change(&self, id: MessageId, change: impl FnOnce(&mut State)) -> io::Result<State> {
        let _changing = self.changing(id);
        let before = self.state(id).map_err(io::Error::other)?;
        let mut state = before.clone();
        change(&mut state);
        if state != before {
            self.write_state(id, &state)?;
        }
        // What it says already may have been written by somebody whose sync failed.
        self.disk.sync_dir(&self.fan(id))?;
        Ok(state)
    }

    fn changing(&self, id: MessageId) -> Option<MutexGuard<'_, ()>> {
        let lock = self.changing.get(usize::from(home(id)))?;
        Some(lock.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Removes a message, durably. Fine when it is gone.
    ///
    /// # Errors
    /// As the system says.
    pub fn remove(&self, id: MessageId) -> io::Result<()> {
        let _changing = self.changing(id);
        match self.disk.remove(&self.path(id, "")) {
            // A large one may have its provisional name still.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.forget_new(id)?,
            removed => removed?,
        }
        match self.disk.sync_dir(&self.fan(id)) {
            // Its folder was never made, or is gone with all that was in it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            synced => synced?,
        }
        self.remove_file(&self.path(id, ".s"))
    }

    /// Reads a record with its bytes.
    ///
    /// # Errors
    /// As [`Spool::read`](super::Spool::read).
    pub fn load(&self, id: MessageId) -> Result<Record, SpoolError> {
        let bytes = self
            .open_record(id)
            .and_then(|file| {
                let length = usize::try_from(file.length()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
                read_exact(&*file, 0, length)
            })
            .map_err(|e| read_error(&e))?;
        decode(bytes).ok_or_else(damaged)
    }

    /// Reads a record without its bytes, and tells how many those are.
    ///
    /// # Errors
    /// As [`Spool::read`](super::Spool::read).
    pub fn load_head(&self, id: MessageId) -> Result<(Record, u64), SpoolError> {
        let read = || -> io::Result<Option<(Record, u64)>> {
            let file = self.open_record(id)?;
            let header = read_exact(&*file, 0, HEADER)?;
            let fields = (u32_at(&header, 8), u32_at(&header, 12), u64_at(&header, 16));
            let (Some(length), Some(sum), Some(bytes)) = fields else { return Ok(None) };
            if !header.starts_with(MAGIC) || u64::from(length) > file.length()? {
                return Ok(None);
            }
            let head = read_exact(&*file, HEADER as u64, length as usize)?;
            let record = postcard::from_bytes(&head).ok().filter(|_| head_sum(&head) == sum);
            Ok(record.map(|record| (record, bytes)))
        };
        match read() {
            Ok(Some(found)) => Ok(found),
            Ok(None) => Err(damaged()),
            Err(error) => Err(read_error(&error)),
        }
    }

    fn open_record(&self, id: MessageId) -> io::Result<Box<dyn Handle>> {
        let open = |suffix| self.disk.open(&self.path(id, suffix), Mode::Read);
        let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        let mut opened = open("");
        // A large one may have its provisional name still, and get its own one just now.
        for suffix in [".new", ""] {
            if opened.as_ref().is_err_and(is_gone) {
                opened = open(suffix);
            }
        }
        opened
    }

    /// Reads the state; the default one where there is none. Where it is damaged the message is held: who has it, and
    /// whether somebody stopped it, is for people to find out.
    ///
    /// # Errors
    /// [`SpoolError::Unreadable`]: whom it was delivered to and whether it is held is not known now.
    pub fn state(&self, id: MessageId) -> Result<State, SpoolError> {
        match self.read_state(id) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::default()),
            Err(error) => Err(read_error(&error)),
            Ok(Some(state)) => Ok(state),
            Ok(None) => {
                tracing::error!(%id, "the state of a deferred message is damaged: it is held until it is released");
                Ok(State { held: true, ..State::default() })
            }
        }
    }

    /// Adds what is known of recipients, where it is not known yet.
    pub(crate) fn merge(
        &self,
        id: MessageId,
        settled: &[(u16, u16)],
        words: &[(u16, u16, Word)],
    ) -> io::Result<()> {
        self.change(id, |state| state.add(settled, words)).map(drop)
    }

    /// None where it is damaged.
    fn read_state(&self, id: MessageId) -> io::Result<Option<State>> {
        let file = self.disk.open(&self.path(id, ".s"), Mode::Read)?;
        let length = file.length()?;
        if !(8..=state::MAX).contains(&length) {
            return Ok(None);
        }
        let bytes = read_exact(&*file, 0, usize::try_from(length).unwrap_or(0))?;
        Ok(state::decode(&bytes))
    }

    /// Sets a message aside that cannot be read.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn set_aside(&self, id: MessageId) -> io::Result<()> {
        let bad = self.path(id, ".bad");
        match self.disk.rename(&self.path(id, ""), &bad) {
            // A large one may have its provisional name still.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.disk.rename(&self.path(id, ".new"), &bad)?;
            }
            renamed => renamed?,
        }
        self.disk.sync_dir(&self.fan(id))
    }

    /// Removes a provisional record whose frame never became durable.
    pub(super) fn forget_new(&self, id: MessageId) -> io::Result<()> {
        self.remove_file(&self.path(id, ".new"))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        match self.disk.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn make_fan(&self, id: MessageId) -> io::Result<()> {
        let Some(there) = self.fans.get(usize::from(self.place(id))) else { return Ok(()) };
        if !there.load(Ordering::Acquire) {
            self.disk.make_dir(&self.fan(id))?;
            self.disk.sync_dir(&self.folder)?;
            there.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// What could not be written may lack its folder: somebody took it away.
    fn doubt_fan<T>(&self, id: MessageId, result: io::Result<T>) -> io::Result<T> {
        if let (Err(error), Some(there)) = (&result, self.fans.get(usize::from(self.place(id))))
            && error.kind() == io::ErrorKind::NotFound
        {
            there.store(false, Ordering::Release);
        }
        result
    }

    fn write_record(&self, record: &Record, suffix: &str) -> io::Result<()> {
        self.make_fan(record.id)?;
        let path = self.path(record.id, suffix);
        let written = self.try_write_record(record, &path);
        if written.is_err() {
            // Gives the space back; the error that counts is the first.
            let _ = self.disk.remove(&path);
        }
        self.doubt_fan(record.id, written)?;
        self.disk.sync_dir(&self.fan(record.id))
    }

    fn try_write_record(&self, record: &Record, path: &Path) -> io::Result<()> {
        let head = postcard::to_allocvec(record).map_err(io::Error::other)?;
        let mut sum = Xxh3::new();
        sum.update(&head);
        sum.update(&record.bytes);
        let mut front = Vec::with_capacity(HEADER + head.len());
        front.extend_from_slice(MAGIC);
        front.extend_from_slice(&u32::try_from(head.len()).map_err(io::Error::other)?.to_le_bytes());
        front.extend_from_slice(&head_sum(&head).to_le_bytes());
        front.extend_from_slice(&(record.bytes.len() as u64).to_le_bytes());
        front.extend_from_slice(&sum.digest().to_le_bytes());
        front.extend_from_slice(&head);
        let file = self.disk.open(path, Mode::Create)?;
        file.write_at(&front, 0)?;
        file.write_at(&record.bytes, front.len() as u64)?;
        file.sync()
    }

    fn write_state(&self, id: MessageId, state: &State) -> io::Result<()> {
        let bytes = state::encode(state)?;
        let half = self.path(id, &format!(".{:x}.t", self.written.fetch_add(1, Ordering::Relaxed)));
        let file = self.doubt_fan(id, self.disk.open(&half, Mode::Create))?;
        let written = file.write_at(&bytes, 0).and_then(|()| file.sync());
        let written = written.and_then(|()| self.disk.rename(&half, &self.path(id, ".s")));
        if written.is_err() {
            // Gives the space back; the error that counts is the first.
            let _ = self.disk.remove(&half);
        }
        written
    }
}

/// The folder of a message. Its name is its time with a counter that begins anew each millisecond, so bits of it do not
/// spread.
pub(crate) fn home(id: MessageId) -> u8 {
    (xxh3_64(&id.0.to_le_bytes()) % FANS as u64) as u8
}

fn damaged() -> SpoolError {
    SpoolError::Damaged("its file is not what was written".to_owned())
}

fn head_sum(head: &[u8]) -> u32 {
    let sum = xxh3_64(head);
    (sum ^ (sum >> 32)) as u32
}

fn decode(mut bytes: Vec<u8>) -> Option<Record> {
    let header = bytes.get(..HEADER)?;
    if header.get(..8)? != MAGIC {
        return None;
    }
    let head_end = HEADER.checked_add(u32_at(header, 8)? as usize)?;
    let (length, sum) = (u64_at(header, 16)?, u64_at(header, 24)?);
    if bytes.len() as u64 != length.checked_add(head_end as u64)? || xxh3_64(bytes.get(HEADER..)?) != sum {
        return None;
    }
    let mut record: Record = postcard::from_bytes(bytes.get(HEADER..head_end)?).ok()?;
    bytes.drain(..head_end);
    record.bytes = bytes;
    Some(record)
}

#[cfg(test)]
mod tests;
