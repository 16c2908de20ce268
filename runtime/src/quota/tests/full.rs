//! A disk that is full for a while under the counters: they wait in memory, and are stored exactly once when it
//! has room again, without a restart.

use super::*;
use redb::{Database, StorageBackend};
use std::sync::atomic::AtomicU64;

/// A file in memory whose writes fail once so many were made.
#[derive(Clone, Debug, Default)]
struct Full {
    bytes: Arc<Mutex<Vec<u8>>>,
    writes: Arc<AtomicU64>,
    most: Arc<AtomicU64>,
    opened: Arc<AtomicU64>,
}

impl Full {
    fn write(&self) -> io::Result<()> {
        let count = self.writes.fetch_add(1, Ordering::Relaxed);
        if count < self.most.load(Ordering::Relaxed) {
            Ok(())
        } else {
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    /// From now on so many writes.
    fn room_for(&self, most: u64) {
        self.writes.store(0, Ordering::Relaxed);
        self.most.store(most, Ordering::Relaxed);
    }

    fn quotas(&self) -> Arc<Quotas> {
        let disk = self.clone();
        let opens = move || {
            disk.opened.fetch_add(1, Ordering::Relaxed);
            Database::builder().create_with_backend(disk.clone())
        };
        Arc::new(Quotas::open_on(Disk::open_with(Box::new(opens)).unwrap(), "UTC").unwrap())
    }
}

impl StorageBackend for Full {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().unwrap().len() as u64)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let from = offset as usize;
        out.copy_from_slice(&self.bytes.lock().unwrap()[from..from + out.len()]);
        Ok(())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.write()?;
        self.bytes.lock().unwrap().resize(len as usize, 0);
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        // What was written is there all the same.
        self.write()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        Self::write(self)?;
        let from = offset as usize;
        self.bytes.lock().unwrap()[from..from + data.len()].copy_from_slice(data);
        Ok(())
    }
}

/// Wherever in a checkpoint the disk fills up: also behind the point from which its transaction stands.
#[test]
fn counters_are_stored_once_when_there_is_room_again() {
    let (mut failed, mut stood) = (0, 0);
    for most in 0.. {
        let disk = Full::default();
        disk.room_for(u64::MAX);
        let quotas = disk.quotas();
        let mut log = Vec::new();
        send(&quotas, &mut log);
        send(&quotas, &mut log);
        quotas.checkpoint(1).unwrap();
        disk.room_for(most);
        let first = quotas.checkpoint(2);
        for _ in 0..3 {
            send(&quotas, &mut log);
            // No room for anything.
            disk.room_for(0);
            assert!(quotas.checkpoint(log.len() as u64).is_err());
        }
        let waiting = quotas.pending.lock().unwrap().deltas.len();
        assert!(waiting <= 2, "{waiting}: summed up");
        disk.room_for(u64::MAX);
        stood += u64::from(first.is_err() && quotas.disk.covered().unwrap() == 2);
        send(&quotas, &mut log);
        // A later one than the last that failed, and one of the same.
        quotas.checkpoint(5).unwrap();
        quotas.checkpoint(6).unwrap();
        assert!(quotas.pending.lock().unwrap().deltas.is_empty());
        let zone = TimeZone::UTC;
        assert_eq!(quotas.used(KEY, Window::CalendarDay, NOW, &zone).messages, 6);
        let today = day_of(NOW, &zone).number;
        assert_eq!(quotas.disk.history(KEY, today, today).unwrap().0[0].1.messages, 6, "after {most} writes");
        drop(quotas);
        assert_eq!(used(&disk.quotas(), KEY), 6, "after {most} writes");
        if first.is_ok() {
            break;
        }
        failed += 1;
    }
    assert!(failed > 3 && stood > 0, "{failed} places, {stood} behind the point");
}

/// Mail that is counted for nobody needs no room for counters.
#[test]
fn nothing_to_store_needs_no_disk() {
    let disk = Full::default();
    disk.room_for(u64::MAX);
    let quotas = disk.quotas();
    let mut log = Vec::new();
    send(&quotas, &mut log);
    quotas.checkpoint(1).unwrap();
    disk.room_for(0);
    quotas.checkpoint(100).unwrap();
    assert_eq!(disk.opened.load(Ordering::Relaxed), 1);
    // A reset finds the disk full, and works when it is not any more.
    let refused = quotas.forget(KEY, NOW, day_of(NOW, &TimeZone::UTC).number);
    assert!(refused.is_err());
    disk.room_for(u64::MAX);
    let had = quotas.forget(KEY, NOW, day_of(NOW, &TimeZone::UTC).number).unwrap();
    assert_eq!((had.messages, used(&quotas, KEY)), (1, 0));
}
