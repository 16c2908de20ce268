//! Disks that fail: after a write or sync that did, nothing is promised any more, and the next start goes on elsewhere; what only passes
//! stops nothing.

use super::*;

#[test]
fn a_failed_sync_stops_the_spool() {
    let disk = SimDisk::default();
    let (spool, _) = open(&disk, &Arc::default());
    runtime().block_on(async {
        spool.append(Arc::new(record(1, body(1, 300)))).await.unwrap();
        let watcher = spool.clone();
        let told = tokio::spawn(async move { watcher.failure().await });
        tokio::task::yield_now().await;
        disk.fail_syncs(true);
        let failed = spool.append(Arc::new(record(2, body(2, 300)))).await;
        assert_eq!(told.await.unwrap(), "sync: input/output error");
        assert_eq!(spool.failure().await, "sync: input/output error");
        // It may stand there: what the next start finds it delivers.
        assert!(matches!(failed, Err(SpoolError::Unsure(_))), "{failed:?}");
        disk.fail_syncs(false);
        let failed = spool.append(Arc::new(record(3, body(3, 300)))).await;
        assert!(matches!(failed, Err(SpoolError::Failed(_))), "never tried again");
        assert!(matches!(spool.ready(), Err(SpoolError::Failed(_))));
    });
    drop(spool);
    let (_, found) = open(&disk.after_cut(1), &Arc::default());
    assert!(found.log.iter().any(|m| m.id.0 == 1));
    let (_, found) = open(&disk, &Arc::default());
    assert_eq!(found.log.iter().map(|m| m.id.0).collect::<Vec<_>>(), [1, 2]);
}

/// Counters that have a fault.
struct Faulty;

impl Ledger for Faulty {
    fn replay(&self, _: u64, _: &[Usage]) {}
    fn committed(&self, _: u64, _: &[Usage]) {
        panic!("a fault of ours");
    }
    fn checkpoint(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
}

/// Nobody waits for a thread that is gone, and whoever watches over the daemon hears of it.
#[test]
fn a_panic_of_the_logs_thread_stops_the_spool() {
    let disk = SimDisk::default();
    let opened = Spool::open_on(Arc::new(disk.clone()), Path::new("/data"), small(), Arc::new(Faulty), None);
    let (spool, _) = opened.unwrap();
    runtime().block_on(async {
        let first = spool.append(Arc::new(record(1, body(1, 300)))).await;
        // It is durable, which nobody can be told.
        assert!(matches!(first, Err(SpoolError::Unsure(_))), "{first:?}");
        assert_eq!(spool.failure().await, "the log's thread: it panicked");
        let next = spool.append(Arc::new(record(2, body(2, 300)))).await;
        assert!(matches!(next, Err(SpoolError::Failed(_))), "{next:?}");
    });
    drop(spool);
    let (_, found) = open(&disk, &Arc::default());
    assert_eq!(found.log.iter().map(|m| m.id.0).collect::<Vec<_>>(), [1]);
}

/// What cannot be read for want of descriptors is neither damaged nor gone, and its state is not a fresh one.
#[test]
fn an_error_that_passes_is_no_damage() {
    let disk = SimDisk::default();
    let (spool, _) = open(&disk, &Arc::default());
    let held = deferred::State { held: true, settled: vec![(0, 1)], ..Default::default() };
    spool.deferred().put(&record(1, body(1, 100)), &held).unwrap();
    disk.fail_opens(true);
    assert!(matches!(spool.deferred().state(MessageId(1)), Err(SpoolError::Unreadable(_))));
    assert!(matches!(spool.deferred().load(MessageId(1)), Err(SpoolError::Unreadable(_))));
    assert!(matches!(spool.deferred().load_head(MessageId(1)), Err(SpoolError::Unreadable(_))));
    assert_eq!(spool.deferred().load(MessageId(2)), Err(SpoolError::Gone));
    disk.fail_opens(false);
    assert_eq!(spool.deferred().state(MessageId(1)), Ok(held));
}

/// A segment that cannot be opened now is begun later: nothing was written that the disk may have lost.
#[test]
fn want_of_descriptors_does_not_stop_the_log() {
    let disk = SimDisk::default();
    let (spool, _) = open(&disk, &Arc::default());
    runtime().block_on(async {
        disk.fail_opens(true);
        for id in 1..20 {
            assert_eq!(spool.append(Arc::new(record(id, body(id, 8000)))).await, Err(SpoolError::Slow));
        }
        disk.fail_opens(false);
        let mut last = 0;
        for id in 20..60 {
            let position = spool.append(Arc::new(record(id, body(id, 8000)))).await.unwrap();
            // By gaps between segments a restart sees what is missing: a failure leaves none.
            assert!(position.generation - last <= 1, "{last}, {}", position.generation);
            last = position.generation;
        }
    });
    drop(spool);
    let (_, found) = open(&disk, &Arc::default());
    assert_eq!(found.log.len(), 40);
}

#[test]
fn a_read_only_disk_is_an_error() {
    let disk = SimDisk::default();
    let (spool, _) = open(&disk, &Arc::default());
    disk.read_only(true);
    let failed = runtime().block_on(spool.append(Arc::new(record(1, body(1, 300)))));
    assert!(failed.is_err());
}

/// A place that takes no writes reads as sound, and the power never went. One start meets it; those behind go on elsewhere, also
/// where the log has no other segment than one that nothing needs.
#[test]
fn a_segment_that_cannot_be_written_is_met_once() {
    for needed in [true, false] {
        let (disk, number) = beside_an_unfit_one(needed);
        let unfit = format!("{LOG}/{number:08}.seg");
        for life in 2..8 {
            let (spool, found) = open(&disk, &Arc::default());
            // What was being written then may stand there.
            assert_eq!(found.log.iter().any(|m| m.id.0 == 1), needed, "{life}");
            runtime().block_on(async {
                spool.append(Arc::new(record(life, body(life, 300)))).await.unwrap();
                spool.note_durably(&Note::Done(MessageId(life))).await.unwrap();
            });
        }
        // Once nothing in it is needed it goes, and what was said of it.
        let (spool, found) = open(&disk, &Arc::default());
        finish_and_go_on(&spool, &found);
        drop(spool);
        drop(open(&disk, &Arc::default()));
        let names = disk.list(Path::new(LOG)).unwrap();
        assert!(disk.bytes(Path::new(&unfit)).is_none(), "{names:?}");
        assert!(names.iter().all(|name| name.ends_with(".seg")), "{names:?}");
    }
}

/// Where that cannot be written down either.
#[test]
fn a_start_goes_on_in_a_segment_that_nothing_needs() {
    let (disk, number) = beside_an_unfit_one(false);
    disk.remove(&Path::new(LOG).join(format!("{number:08}.unfit"))).unwrap();
    disk.fail_creates(true);
    let (spool, found) = open(&disk, &Arc::default());
    assert!(found.log.is_empty());
    runtime().block_on(spool.append(Arc::new(record(2, body(2, 300))))).unwrap();
}

/// A log of two segments, the second of which is begun and cannot be synced: the spool stopped there. Message 1 stands in the
/// first one, which is needed or not.
fn beside_an_unfit_one(needed: bool) -> (SimDisk, u32) {
    let disk = SimDisk::default();
    let (spool, _) = open(&disk, &Arc::default());
    runtime().block_on(async {
        spool.append(Arc::new(record(1, body(1, 300)))).await.unwrap();
        if !needed {
            spool.note_durably(&Note::Done(MessageId(1))).await.unwrap();
        }
    });
    drop(spool);
    let names = disk.list(Path::new(LOG)).unwrap();
    let spare: Vec<u32> = names.iter().filter_map(|name| segment::number(name)).filter(|n| *n > 0).collect();
    assert_eq!(spare.len(), 1);
    disk.fail_syncs_of(&Path::new(LOG).join(format!("{:08}.seg", spare[0])));
    let (spool, _) = open(&disk, &Arc::default());
    let failed = runtime().block_on(spool.append(Arc::new(record(100, body(100, 300)))));
    assert!(failed.is_err_and(|error| error.is_final()));
    (disk, spare[0])
}

/// A place that cannot be synced reads as sound: whoever went on there would meet it at each start.
#[test]
fn a_restart_begins_another_segment_where_there_is_one() {
    let disk = SimDisk::default();
    let (spool, _) = open(&disk, &Arc::default());
    let first = runtime().block_on(spool.append(Arc::new(record(1, body(1, 300))))).unwrap();
    drop(spool);
    assert!(files(&disk) > 1);
    let (spool, _) = open(&disk, &Arc::default());
    let next = runtime().block_on(spool.append(Arc::new(record(2, body(2, 300))))).unwrap();
    assert_ne!(next.generation, first.generation);
}

/// One that nothing needs and that cannot be removed does not keep a start from going on; it is not written into, and goes later.
#[test]
fn a_segment_that_cannot_be_removed_stays() {
    let (disk, number) = beside_an_unfit_one(false);
    let unfit = Path::new(LOG).join(format!("{number:08}.seg"));
    let (spool, found) = open(&disk, &Arc::default());
    disk.fail_removes(true);
    finish_and_go_on(&spool, &found);
    drop(spool);
    // One that was never begun and is too short.
    disk.open(&Path::new(LOG).join("00000099.seg"), disk::Mode::Create).unwrap();
    for id in 200..203 {
        let (spool, _) = open(&disk, &Arc::default());
        runtime().block_on(spool.append(Arc::new(record(id, body(id, 8000))))).unwrap();
        assert!(disk.bytes(&unfit).is_some() && disk.bytes(&unfit.with_extension("unfit")).is_some());
    }
    disk.fail_removes(false);
    drop(open(&disk, &Arc::default()));
    let names = disk.list(Path::new(LOG)).unwrap();
    assert!(disk.bytes(&unfit).is_none(), "{names:?}");
    assert!(names.iter().all(|name| name.ends_with(".seg") && name != "00000099.seg"), "{names:?}");
}
