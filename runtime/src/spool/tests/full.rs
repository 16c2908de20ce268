//! A disk that is full: what nothing needs is given back, and then mail is taken again.

use super::*;
use std::time::Duration;

const RESERVE: u64 = 1 << 20;
const SEGMENT: u64 = 64 << 10;

/// Takes messages of 8 kB until there is no room for more.
async fn fill(spool: &Spool) -> Vec<Position> {
    let mut positions = Vec::new();
    loop {
        // An answer on free space is used for a while.
        if positions.len() % 8 == 0 {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let id = positions.len() as u64;
        match spool.ready() {
            Ok(()) => positions.push(spool.append(Arc::new(record(id, body(id, 8000)))).await.unwrap()),
            Err(error) => {
                assert_eq!(error, SpoolError::Full);
                return positions;
            }
        }
    }
}

fn done(spool: &Spool, positions: &[Position]) {
    for (id, position) in (0u64..).zip(positions) {
        spool.note(&Note::Done(MessageId(id)));
        spool.release(*position);
    }
}

/// Whether the spool comes to take records, asked as sessions ask.
async fn comes_to_be_ready(spool: &Spool) -> bool {
    for _ in 0..2400 {
        if spool.ready().is_ok() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

/// A disk that fills up: once all is delivered there is room again. Nothing but a frame gave segments back, and no frame came any more.
#[test]
fn a_full_disk_takes_mail_again_when_the_queue_is_empty() {
    let disk = SimDisk::default();
    disk.set_capacity(RESERVE + 6 * SEGMENT);
    let (spool, _) = open(&disk, &Arc::default());
    runtime().block_on(async {
        let positions = fill(&spool).await;
        assert!(files(&disk) >= 6, "{}", files(&disk));
        done(&spool, &positions);
        assert!(comes_to_be_ready(&spool).await);
        spool.append(Arc::new(record(1000, body(1000, 8000)))).await.unwrap();
        // What is given back is the disk's: for large messages, and for what is deferred.
        while files(&disk) > 4 {
            assert!(comes_to_be_ready(&spool).await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        spool.append(Arc::new(record(1001, body(1001, 100_000)))).await.unwrap();
    });
}

/// The same where a large message kept its segment, since its name could not be synced, and now can.
#[test]
fn a_full_disk_takes_mail_again_when_a_name_is_there() {
    let disk = SimDisk::default();
    let (spool, _) = open(&disk, &Arc::default());
    runtime().block_on(spool.append(Arc::new(record(1000, body(1000, 30_000))))).unwrap();
    drop(spool);
    disk.fail_dir_syncs(true);
    disk.set_capacity(RESERVE + 6 * SEGMENT);
    let (spool, _) = open(&disk, &Arc::default());
    runtime().block_on(async {
        let positions = fill(&spool).await;
        done(&spool, &positions);
        spool.flush().await.unwrap();
        disk.fail_dir_syncs(false);
        assert!(comes_to_be_ready(&spool).await);
        spool.append(Arc::new(record(1001, body(1001, 8000)))).await.unwrap();
    });
}

/// Also where the last run ended in that state.
#[test]
fn a_full_disk_takes_mail_again_after_a_restart() {
    let disk = SimDisk::default();
    disk.set_capacity(RESERVE + 6 * SEGMENT);
    let ledger = Arc::new(Counter::default());
    let (spool, _) = open(&disk, &ledger);
    let count = runtime().block_on(async {
        let positions = fill(&spool).await;
        for id in 0..positions.len() as u64 {
            spool.note_durably(&Note::Done(MessageId(id))).await.unwrap();
        }
        positions.len() as u64
    });
    drop(spool);
    let before = files(&disk);
    let ledger = Arc::new(ledger.restarted());
    let (spool, found) = open(&disk, &ledger);
    assert_eq!(found.log.len(), 0);
    runtime().block_on(async {
        assert!(comes_to_be_ready(&spool).await);
        while files(&disk) > 4 {
            assert!(comes_to_be_ready(&spool).await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(before > 5, "{before}");
    drop(spool);
    // What was counted in segments that are gone is in the snapshot.
    let ledger = Arc::new(ledger.restarted());
    let (_, found) = open(&disk, &ledger);
    assert_eq!((ledger.count(), found.damaged), (count, 0));
}

/// What is needed stays where it is, and mail waits for room.
#[test]
fn a_full_disk_keeps_what_is_needed() {
    let disk = SimDisk::default();
    disk.set_capacity(RESERVE + 6 * SEGMENT);
    let (spool, _) = open(&disk, &Arc::default());
    let count = runtime().block_on(async {
        let positions = fill(&spool).await;
        spool.reclaim();
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(spool.ready(), Err(SpoolError::Full));
        positions.len()
    });
    drop(spool);
    let (spool, found) = open(&disk, &Arc::default());
    assert_eq!((found.log.len(), found.damaged), (count, 0));
    assert!(found.log.iter().all(|message| spool.read(message.position).is_ok()));
}

/// Room that others have taken from the disk is not given away, and nothing goes round in circles for it.
#[test]
fn a_disk_that_others_filled_is_left_alone() {
    let disk = SimDisk::default();
    let (spool, _) = open(&disk, &Arc::default());
    runtime().block_on(async {
        let position = spool.append(Arc::new(record(1, body(1, 300)))).await.unwrap();
        spool.note_durably(&Note::Done(MessageId(1))).await.unwrap();
        spool.release(position);
        disk.set_free(1000);
        // What it does at first comes to an end: from then on nothing happens, however often it is asked.
        let (mut before, mut quiet) = (disk.operations(), 0);
        for _ in 0..400 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert_eq!(spool.ready(), Err(SpoolError::Full));
            quiet = if disk.operations() == before { quiet + 1 } else { 0 };
            before = disk.operations();
            if quiet == 4 {
                break;
            }
        }
        assert_eq!(quiet, 4, "{before} operations, and no end");
    });
}

/// A large message that the log has no room for leaves no file behind.
#[test]
fn what_the_log_refuses_takes_no_space() {
    let disk = SimDisk::default();
    disk.fail_segments(true);
    let (spool, _) = open(&disk, &Arc::default());
    let large = Arc::new(record(1, body(1, 200_000)));
    let refused = runtime().block_on(spool.append(Arc::clone(&large)));
    assert_eq!(refused, Err(SpoolError::Full));
    let folder = format!("/data/spool/deferred/{:02x}", deferred::home(MessageId(1)));
    assert_eq!(disk.list(Path::new(&folder)).unwrap(), Vec::<String>::new());
    disk.fail_segments(false);
    assert!(runtime().block_on(spool.append(large)).unwrap().external);
    assert_eq!(disk.list(Path::new(&folder)).unwrap(), [MessageId(1).to_string()]);
}

/// Each start would take a segment more from a disk that has none to give.
#[test]
fn a_restart_goes_on_in_the_last_segment() {
    let disk = SimDisk::default();
    let (spool, _) = open(&disk, &Arc::default());
    runtime().block_on(spool.append(Arc::new(record(1, body(1, 300))))).unwrap();
    drop(spool);
    leave_one_segment(&disk);
    for life in 2..10 {
        let (spool, found) = open(&disk, &Arc::default());
        assert_eq!((found.log.len(), found.damaged), (1, 0));
        assert_eq!(found.log[0].id, MessageId(life - 1));
        let position = runtime().block_on(async {
            assert!(spool.can_note());
            spool.note_durably(&Note::Done(MessageId(life - 1))).await.unwrap();
            spool.append(Arc::new(record(life, body(life, 300)))).await.unwrap()
        });
        assert_eq!(spool.read(position).unwrap(), record(life, body(life, 300)));
        assert_eq!(files(&disk), 1);
    }
}

/// What the power left of a write is not written over: nothing old can join what is new.
#[test]
fn a_torn_tail_is_left_alone() {
    for (at, same) in [(None, true), (Some(100), false)] {
        let disk = SimDisk::default();
        let (spool, _) = open(&disk, &Arc::default());
        let (first, last) = runtime().block_on(async {
            let first = spool.append(Arc::new(record(1, body(1, 300)))).await.unwrap();
            (first, spool.append(Arc::new(record(2, body(2, 300)))).await.unwrap())
        });
        drop(spool);
        leave_one_segment(&disk);
        disk.fail_segments(false);
        if let Some(at) = at {
            disk.damage(Path::new("/data/spool/log/00000000.seg"), last.offset as usize + at);
        }
        let (spool, found) = open(&disk, &Arc::default());
        assert_eq!(found.log.len(), if same { 2 } else { 1 });
        let next = runtime().block_on(spool.append(Arc::new(record(3, body(3, 300))))).unwrap();
        assert_eq!(next.generation == first.generation, same);
    }
}

/// Mail that is here finds room for what becomes of it, where none comes in any more.
#[test]
fn the_end_of_the_log_is_for_notes() {
    let disk = SimDisk::default();
    drop(open(&disk, &Arc::default()));
    leave_one_segment(&disk);
    let (spool, _) = open(&disk, &Arc::default());
    runtime().block_on(async {
        let mut taken = 0;
        let refused = loop {
            taken += 1;
            if let Err(error) = spool.append(Arc::new(record(taken, body(taken, 60)))).await {
                break error;
            }
        };
        assert_eq!(refused, SpoolError::Full);
        assert!(taken > 100 && spool.can_note());
        for id in 1..=10 {
            spool.note_durably(&Note::Done(MessageId(id))).await.unwrap();
        }
        // Before the last of it nothing more is begun, and what is under way can still be noted.
        while spool.can_note() {
            spool.note_durably(&Note::Done(MessageId(1))).await.unwrap();
        }
        for id in 11..=20 {
            spool.note_durably(&Note::Done(MessageId(id))).await.unwrap();
        }
        while spool.note_durably(&Note::Done(MessageId(1))).await.is_ok() {}
        assert!(!spool.can_note());
        disk.fail_segments(false);
        while !spool.can_note() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        spool.note_durably(&Note::Done(MessageId(21))).await.unwrap();
    });
    drop(spool);
    let (_, found) = open(&disk, &Arc::default());
    assert_eq!(found.log.first().map(|message| message.id), Some(MessageId(22)));
}

/// Counts nothing, and cannot save it while the disk under it has no room.
#[derive(Default)]
struct Stubborn(std::sync::atomic::AtomicBool);

impl Ledger for Stubborn {
    fn replay(&self, _seq: u64, _usage: &[Usage]) {}
    fn checkpoint(&self, _seq: u64) -> io::Result<()> {
        if self.0.load(std::sync::atomic::Ordering::Relaxed) {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }
}

/// What the counters hold up is no room: 452 before DATA. Once they can be saved, all of it is given back.
#[test]
fn what_the_counters_hold_up_is_no_room() {
    let disk = SimDisk::default();
    disk.set_capacity(RESERVE + 6 * SEGMENT);
    let ledger = Arc::new(Stubborn::default());
    ledger.0.store(true, std::sync::atomic::Ordering::Relaxed);
    let counts: Arc<dyn Ledger> = Arc::clone(&ledger) as _;
    let (spool, _) = Spool::open_on(Arc::new(disk.clone()), Path::new(DATA), small(), counts, None).unwrap();
    runtime().block_on(async {
        let positions = fill(&spool).await;
        done(&spool, &positions);
        // It learns of it when it is to give something back; from then on nothing of it counts.
        let mut refused = 0;
        for _ in 0..400 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            refused = if spool.ready() == Err(SpoolError::Full) { refused + 1 } else { 0 };
            if refused == 4 {
                break;
            }
        }
        assert_eq!(refused, 4);
        let held = spool.segments();
        assert!(held > 4, "{held}");
        ledger.0.store(false, std::sync::atomic::Ordering::Relaxed);
        assert!(comes_to_be_ready(&spool).await);
        for id in 1000..1040 {
            let position = spool.append(Arc::new(record(id, body(id, 8000)))).await.unwrap();
            spool.note(&Note::Done(MessageId(id)));
            spool.release(position);
        }
        assert!(spool.segments() < held, "{}", spool.segments());
    });
}

/// A restart on such a disk: what is held up is no other segment to go on in, and the last one has room for what becomes of mail.
#[test]
fn a_restart_goes_on_where_the_counters_hold_up_the_rest() {
    for stubborn in [true, false] {
        let disk = SimDisk::default();
        let (spool, _) = open(&disk, &Arc::default());
        let last = runtime().block_on(async {
            let mut last = 0;
            for id in 0..10 {
                last = spool.append(Arc::new(record(id, body(id, 8000)))).await.unwrap().generation;
                spool.note_durably(&Note::Done(MessageId(id))).await.unwrap();
            }
            last
        });
        assert_eq!(last, 2);
        drop(spool);
        let names = disk.list(Path::new(LOG)).unwrap();
        for name in names.into_iter().filter(|name| segment::number(name).is_some_and(|n| n > 1)) {
            disk.remove(&Path::new(LOG).join(name)).unwrap();
        }
        disk.set_capacity(2 * SEGMENT);
        let ledger = Arc::new(Stubborn(stubborn.into()));
        let (spool, _) =
            Spool::open_on(Arc::new(disk.clone()), Path::new(DATA), small(), ledger, None).unwrap();
        assert!(spool.can_note());
        let next = runtime().block_on(spool.append(Arc::new(record(20, body(20, 300))))).unwrap();
        assert_eq!(next.generation == last, stubborn);
    }
}

/// Notes that find no room ask for a segment each time: where there is none for it, nothing is written to a full disk, and once
/// there is, they have it.
#[test]
fn notes_do_not_fill_the_disk_for_a_segment() {
    let disk = SimDisk::default();
    drop(open(&disk, &Arc::default()));
    leave_no_room(&disk, small());
    disk.fail_segments(false);
    disk.set_capacity(2 * SEGMENT - 1);
    let (spool, _) = open(&disk, &Arc::default());
    let before = disk.operations();
    runtime().block_on(async {
        // Nobody waits for the first ones; the last one hears that there is no room for them.
        for target in 0..20 {
            spool.note(&Note::Settled(MessageId(7), vec![(0, target)]));
            assert_eq!(spool.flush().await, Err(SpoolError::Full));
            assert_eq!(spool.append(Arc::new(record(1, body(1, 300)))).await, Err(SpoolError::Full));
            assert!(!spool.can_note());
        }
        assert_eq!(disk.operations(), before);
        disk.set_capacity(2 * SEGMENT);
        spool.note_durably(&Note::Settled(MessageId(7), vec![(0, 20)])).await.unwrap();
        while !spool.can_note() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(disk.operations() > before);
    assert_eq!(files(&disk), 2);
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let disk = SimDisk::default();
    let (spool, _) = open(&disk, &Arc::default());
    runtime().block_on(async {
        spool.append(Arc::new(record(1, body(1, 300)))).await.unwrap();
        spool.ready().unwrap();
        disk.set_free(1000);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(spool.ready(), Err(SpoolError::Full));
        disk.fail_creates(true);
        let mut refused = 0;
        for id in 2..60 {
            match spool.append(Arc::new(record(id, body(id, 8000)))).await {
                Ok(_) => assert_eq!(refused, 0),
                Err(error) => {
                    assert_eq!(error, SpoolError::Full);
                    refused += 1;
                }
            }
        }
        assert!(refused > 0);
        // A large one fails in the deferred store already.
        assert_eq!(spool.append(Arc::new(record(70, body(70, 30_000)))).await, Err(SpoolError::Full));
        disk.fail_creates(false);
        disk.set_free(u64::MAX);
        spool.append(Arc::new(record(80, body(80, 8000)))).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        spool.ready().unwrap();
    });
}

/// What comes free once its records are gone is told of where that is so: not of segments that stay for the notes in them.
#[test]
fn what_notes_keep_is_not_promised() {
    let disk = SimDisk::default();
    let (spool, _) = open(&disk, &Arc::default());
    runtime().block_on(async {
        let kept = spool.keep_log();
        let first = spool.append(Arc::new(record(1, body(1, 8000)))).await.unwrap();
        for id in 2..50 {
            let position = spool.append(Arc::new(record(id, body(id, 8000)))).await.unwrap();
            spool.release(position);
        }
        assert!(spool.segments() > 3);
        assert_eq!((spool.pinned(), spool.pinning()(first)), (0, false));
        drop(kept);
        assert!(spool.pinned() > SEGMENT && spool.pinning()(first));
        // From the third segment on: the first two come free.
        let kept = spool.keep_log_of(spool.append(Arc::new(record(60, body(60, 8000)))).await.unwrap());
        assert!(spool.pinned() > SEGMENT && spool.pinning()(first));
        drop(kept);
    });
}

/// A large message has a file of its own. What the disk says of that, it says of no other: an exhausted quota is a full disk, the
/// rest is tried again later, and the spool goes on.
#[test]
fn a_large_message_that_cannot_be_written_stops_nothing() {
    use io::ErrorKind::{Other, PermissionDenied, QuotaExceeded, StorageFull};
    let disk = SimDisk::default();
    let (spool, _) = open(&disk, &Arc::default());
    runtime().block_on(async {
        let kinds = [StorageFull, QuotaExceeded, PermissionDenied, Other];
        let wants = [SpoolError::Full, SpoolError::Full, SpoolError::Slow, SpoolError::Slow];
        for (kind, want) in kinds.into_iter().zip(wants) {
            disk.fail_creates_with(Some(kind));
            let refused = spool.append(Arc::new(record(70, body(70, 30_000)))).await;
            assert_eq!(refused, Err(want), "{kind}");
            disk.fail_creates(false);
        }
        assert!(!spool.failed());
        spool.append(Arc::new(record(71, body(71, 30_000)))).await.unwrap();
        spool.append(Arc::new(record(72, body(72, 300)))).await.unwrap();
    });
}

/// What is done stays done: the notes of it wait for a segment where there is none, and go with the next record.
#[test]
fn notes_that_find_no_room_are_written_later() {
    let disk = SimDisk::default();
    let (spool, _) = open(&disk, &Arc::default());
    runtime().block_on(async {
        let mut first = Vec::new();
        for id in 1..=7 {
            first.push(spool.append(Arc::new(record(id, body(id, 8000)))).await.unwrap());
        }
        disk.fail_opens(true);
        // The rest of the segment is too small for all of these.
        let many: Vec<(u16, u16)> = (0..2000).map(|n| (n, n)).collect();
        for id in 1..=6 {
            spool.note(&Note::Settled(MessageId(id), many.clone()));
            spool.note(&Note::Done(MessageId(id)));
        }
        let refused = spool.append(Arc::new(record(50, body(50, 8000)))).await;
        assert_eq!(refused, Err(SpoolError::Slow));
        disk.fail_opens(false);
        spool.append(Arc::new(record(51, body(51, 8000)))).await.unwrap();
    });
    drop(spool);
    let (_, found) = open(&disk, &Arc::default());
    assert_eq!(found.log.iter().map(|m| m.id.0).collect::<Vec<_>>(), [7, 51]);
}
