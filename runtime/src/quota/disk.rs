//! The counters on disk: a redb database with the slots that may still count, ninety days of history,
//! resets, and the place in the spool's log up to which all of it is counted.
//!
//! A checkpoint is one transaction: the usage of the records up to a sequence number, and that number.
//! What the log holds beyond it is replayed by the spool. The usage of a message is never written here
//! before the log has it, so that a crash can neither lose nor double it.
//!
//! redb refuses everything after its first error of input or output, until it is opened again: so any error
//! closes the database here, and whoever needs it next opens it again.

use super::amount::{Amount, SLOTS_KEPT, slot_of};
use crate::envelope::{MessageId, Usage};
use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Days of history that are kept.
pub const HISTORY_DAYS: i32 = 90;
/// redb would take a gigabyte.
const CACHE_BYTES: usize = 8 << 20;

type Stored = (u64, u64, u64);

/// By slot and key: what a sweep removes stands in front.
const SLOTS: TableDefinition<'_, (i64, &str), Stored> = TableDefinition::new("slots");
const DAYS: TableDefinition<'_, (i32, &str), Stored> = TableDefinition::new("days");
const RESETS: TableDefinition<'_, &str, i64> = TableDefinition::new("resets");
/// Chores for the shared counters: message, and its usage in postcard (none: to be confirmed).
const OUTBOX: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("outbox");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const COVERED: &str = "covered";
const FORMAT: &str = "format";
const NODE: &str = "node";

/// The counters cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database says why.
    #[error("quota counters: {0}")]
    Database(#[source] Box<redb::Error>),
    /// An entry cannot be read.
    #[error("quota counters: an entry cannot be read")]
    Damaged,
    /// Written by another version.
    #[error("quota counters are of format {0}, this daemon writes format 1")]
    Format(u64),
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        Self::Database(Box::new(error.into()))
    }
}

impl StoreError {
    /// Whether what stands in the file is the matter, which no other try changes.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        // EIO: the disk has lost it.
        let lost = |error: &std::io::Error| {
            matches!(
                error.kind(),
                ErrorKind::InvalidData | ErrorKind::UnexpectedEof | ErrorKind::InvalidInput
            ) || error.raw_os_error() == Some(5)
        };
        match self {
            Self::Damaged => true,
            Self::Format(_) => false,
            Self::Database(error) => match &**error {
                redb::Error::Io(error) => lost(error),
                redb::Error::Corrupted(_)
                | redb::Error::UpgradeRequired(_)
                | redb::Error::RepairAborted
                | redb::Error::TableTypeMismatch { .. }
                | redb::Error::TableIsMultimap(_)
                | redb::Error::TypeDefinitionChanged { .. }
                | redb::Error::TableDoesNotExist(_) => true,
                _ => false,
            },
        }
    }
}

/// Usage of a durable record that the database does not hold yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delta {
    /// The record's place in the log.
    pub seq: u64,
    /// Unix milliseconds.
    pub at: i64,
    /// The calendar day of that moment, in the zone of the profile.
    pub day: i32,
    /// The counter.
    pub key: String,
    /// What is added.
    pub amount: Amount,
}

/// Opens the file of a database that is there.
type Opens = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

/// The database.
pub struct Disk {
    /// None after an error, until somebody needs it.
    database: Mutex<Option<Database>>,
    opens: Opens,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("database", &self.database).finish_non_exhaustive()
    }
}

/// What a start finds.
#[derive(Debug, Default)]
pub struct Found {
    /// All is counted up to this record.
    pub covered: u64,
    /// Key, slot, amount.
    pub slots: Vec<(String, i64, Amount)>,
    /// Key and moment.
    pub resets: Vec<(String, i64)>,
    /// Chores for the shared counters.
    pub outbox: Vec<(MessageId, Vec<Usage>)>,
    /// A number that names this daemon.
    pub node: u64,
}

impl Disk {
    /// Opens or makes the database.
    ///
    /// # Errors
    /// It cannot be read, is held by another process, or is of another format.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        // A process that dies while redb lays out a new file leaves one that redb cannot open: so it is
        // laid out aside, and only a whole one gets the name.
        if !path.exists() {
            let aside = path.with_extension("new");
            let _ = std::fs::remove_file(&aside);
            drop(lay_out(Database::builder().set_cache_size(CACHE_BYTES).create(&aside)?)?);
            let failed = |error| StoreError::from(redb::Error::Io(error));
            std::fs::rename(&aside, path).map_err(failed)?;
        }
        let path = path.to_owned();
        Self::open_with(Box::new(move || Database::builder().set_cache_size(CACHE_BYTES).open(&path)))
    }

    pub(super) fn open_with(opens: Opens) -> Result<Self, StoreError> {
        let database = lay_out(opens()?)?;
        Ok(Self { database: Mutex::new(Some(database)), opens })
    }

    /// Works on the database, which is opened where an error closed it.
    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut place = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let database = match place.take() {
            Some(database) => database,
            None => (self.opens)()?,
        };
        let done = work(&database);
        if done.is_ok() {
            *place = Some(database);
        }
        done
    }

    /// All is counted up to this record. After an error of [`Disk::checkpoint`] this says whether it was written
    /// all the same.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn covered(&self) -> Result<u64, StoreError> {
        self.with(covered)
    }

    /// Reads what a start needs.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn load(&self) -> Result<Found, StoreError> {
        self.with(load)
    }

    /// Adds usage and moves the covered place, in one durable transaction. Old slots and days go.
    ///
    /// # Errors
    /// It cannot be written: [`Disk::covered`] tells whether it was, which is all or nothing.
    pub fn checkpoint(
        &self,
        deltas: &[Delta],
        outbox: &[(MessageId, Vec<Usage>)],
        covered: u64,
    ) -> Result<(), StoreError> {
        let mut slots: BTreeMap<(i64, &str), Amount> = BTreeMap::new();
        let mut days: BTreeMap<(i32, &str), Amount> = BTreeMap::new();
        for delta in deltas {
            let slot = slots.entry((slot_of(delta.at), &delta.key)).or_default();
            *slot = slot.plus(delta.amount);
            let day = days.entry((delta.day, &delta.key)).or_default();
            *day = day.plus(delta.amount);
        }
        self.with(|database| {
            let write = database.begin_write()?;
            {
                let mut table = write.open_table(SLOTS)?;
                for (key, added) in &slots {
                    let had = table.get(key)?.map(|had| amount(had.value())).unwrap_or_default();
                    table.insert(key, stored(had.plus(*added)))?;
                }
                if let Some(((newest, _), _)) = slots.last_key_value() {
                    table.retain_in(..(newest.saturating_sub(SLOTS_KEPT), ""), |_, _| false)?;
                }
                let mut table = write.open_table(DAYS)?;
                for (key, added) in &days {
                    let had = table.get(key)?.map(|had| amount(had.value())).unwrap_or_default();
                    table.insert(key, stored(had.plus(*added)))?;
                }
                if let Some(((newest, _), _)) = days.last_key_value() {
                    table.retain_in(..(newest.saturating_sub(HISTORY_DAYS), ""), |_, _| false)?;
                }
                let mut table = write.open_table(OUTBOX)?;
                table.retain(|_, _| false)?;
                for (id, usage) in outbox {
                    let bytes = postcard::to_allocvec(usage).map_err(|_| StoreError::Damaged)?;
                    table.insert(id.0, bytes.as_slice())?;
                }
                write.open_table(META)?.insert(COVERED, covered)?;
            }
            write.commit()?;
            Ok(())
        })
    }

    /// Forgets a key's slots and its day, and keeps the moment for the replay of older records.
    ///
    /// # Errors
    /// It cannot be written. Where the disk failed it may come into force with the next start; it can be said again.
    pub fn reset(&self, key: &str, at: i64, day: i32) -> Result<(), StoreError> {
        self.with(|database| {
            let write = database.begin_write()?;
            forget(&write, key, at, day)?;
            write.commit()?;
            Ok(())
        })
    }

    /// The days of a key's history from one day to another, both included, oldest first; and the record up to
    /// which all is counted there.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn history(&self, key: &str, from: i32, to: i32) -> Result<(Vec<(i32, Amount)>, u64), StoreError> {
        self.with(|database| {
            let read = database.begin_read()?;
            let table = read.open_table(DAYS)?;
            let mut out = Vec::new();
            for day in from.max(to.saturating_sub(HISTORY_DAYS))..=to {
                if let Some(row) = table.get((day, key))? {
                    out.push((day, amount(row.value())));
                }
            }
            Ok((out, read.open_table(META)?.get(COVERED)?.map_or(0, |seq| seq.value())))
        })
    }
}

fn load(database: &Database) -> Result<Found, StoreError> {
    let read = database.begin_read()?;
    let mut found = Found {
        covered: read.open_table(META)?.get(COVERED)?.map_or(0, |seq| seq.value()),
        node: read.open_table(META)?.get(NODE)?.map_or(0, |node| node.value()),
        ..Found::default()
    };
    for row in read.open_table(SLOTS)?.iter()? {
        let (key, value) = row?;
        let (slot, key) = key.value();
        found.slots.push((key.to_owned(), slot, amount(value.value())));
    }
    for row in read.open_table(RESETS)?.iter()? {
        let (key, value) = row?;
        found.resets.push((key.value().to_owned(), value.value()));
    }
    for row in read.open_table(OUTBOX)?.iter()? {
        let (id, usage) = row?;
        let usage = postcard::from_bytes(usage.value()).map_err(|_| StoreError::Damaged)?;
        found.outbox.push((MessageId(id.value()), usage));
    }
    Ok(found)
}

/// Makes the tables that are missing.
fn lay_out(database: Database) -> Result<Database, StoreError> {
    let write = database.begin_write()?;
    {
        let mut meta = write.open_table(META)?;
        let format = meta.get(FORMAT)?.map(|format| format.value());
        match format {
            Some(1) => {}
            Some(other) => return Err(StoreError::Format(other)),
            None => {
                meta.insert(FORMAT, 1)?;
            }
        }
        write.open_table(SLOTS)?;
        write.open_table(DAYS)?;
        write.open_table(RESETS)?;
        write.open_table(OUTBOX)?;
        if meta.get(NODE)?.is_none() {
            meta.insert(NODE, random()?)?;
        }
    }
    write.commit()?;
    Ok(database)
}

fn covered(database: &Database) -> Result<u64, StoreError> {
    let read = database.begin_read()?;
    Ok(read.open_table(META)?.get(COVERED)?.map_or(0, |seq| seq.value()))
}

fn forget(write: &WriteTransaction, key: &str, at: i64, day: i32) -> Result<(), StoreError> {
    let mut table = write.open_table(SLOTS).map_err(|error: TableError| StoreError::from(error))?;
    table.retain(|(_, have), _| have != key)?;
    write.open_table(DAYS)?.remove((day, key))?;
    let mut resets = write.open_table(RESETS)?;
    let oldest = at.saturating_sub(i64::from(HISTORY_DAYS) * 24 * 3_600_000);
    resets.retain(|_, reset| reset >= oldest)?;
    resets.insert(key, at)?;
    Ok(())
}

fn random() -> Result<u64, StoreError> {
    let mut bytes = [0; 8];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| StoreError::from(redb::Error::Io(error)))?;
    Ok(u64::from_le_bytes(bytes))
}

fn amount((messages, recipients, bytes): Stored) -> Amount {
    Amount { messages, recipients, bytes }
}

fn stored(amount: Amount) -> Stored {
    (amount.messages, amount.recipients, amount.bytes)
}
