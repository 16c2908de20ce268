//! A disk that cannot be written any more, with mail on it: nothing is taken, a start says so and leaves all as it is, and once
//! the disk can be written again all is there, once.

use super::*;

/// In the log: 1, and 2 with a recipient who has it. In the deferred store: 3, large 4, and 5, which the log says is done.
fn with_mail(disk: &SimDisk) -> Spool {
    let (spool, _) = open(disk, &Arc::default());
    runtime().block_on(async {
        for (id, length) in [(1, 300), (2, 300), (3, 300), (4, 30_000), (5, 300)] {
            let message = Arc::new(record(id, body(id, length)));
            let position = spool.append(Arc::clone(&message)).await.unwrap();
            if matches!(id, 3 | 5) {
                spool.deferred().put(&message, &State { attempts: 1, ..State::default() }).unwrap();
                spool.note_durably(&Note::Moved(MessageId(id))).await.unwrap();
                spool.release(position);
            }
        }
        spool.note_durably(&Note::Settled(MessageId(2), vec![(0, 1)])).await.unwrap();
        spool.note_durably(&Note::Settled(MessageId(3), vec![(0, 0)])).await.unwrap();
        spool.note_durably(&Note::Done(MessageId(5))).await.unwrap();
    });
    spool
}

fn starts(disk: &SimDisk) -> Result<(Spool, Recovery), SpoolError> {
    Spool::open_on(Arc::new(disk.clone()), Path::new(DATA), small(), Arc::new(NoLedger), None)
}

/// All of it is there, each once, and `taken` of what was given meanwhile may be.
fn all_is_there(disk: &SimDisk, unsure: &[u64]) {
    let (spool, found) = starts(disk).unwrap();
    let known = |id: u64| found.log.iter().find(|m| m.id.0 == id).map(|m| m.settled.clone());
    assert_eq!((known(1), known(2)), (Some(vec![]), Some(vec![(0, 1)])));
    let more: Vec<u64> = found.log.iter().map(|m| m.id.0).filter(|id| *id > 2).collect();
    assert!(more.iter().all(|id| unsure.contains(id)), "{more:?}");
    for message in &found.log {
        assert_eq!(spool.read(message.position).unwrap(), record(message.id.0, body(message.id.0, 300)));
    }
    assert_eq!(found.deferred, [MessageId(3), MessageId(4)]);
    for (id, length) in [(3, 300), (4, 30_000)] {
        assert_eq!(spool.deferred().load(MessageId(id)).unwrap(), record(id, body(id, length)));
    }
    assert_eq!(spool.deferred().state(MessageId(3)).unwrap().settled, [(0, 0)]);
    assert_eq!(spool.deferred().load(MessageId(5)), Err(SpoolError::Gone));
    // It takes mail again.
    assert_eq!(spool.ready(), Ok(()));
    runtime().block_on(spool.append(Arc::new(record(9, body(9, 300))))).unwrap();
}

/// While the spool runs: a client hears 451, or nothing of a message that was being written; what cannot be recorded is not
/// done, and what is there stays.
#[test]
fn a_disk_that_turns_read_only_stops_the_spool() {
    // What meets it first.
    for first in ["small", "large", "moved", "removed", "noted"] {
        for seed in 0..8 {
            let disk = SimDisk::default();
            let spool = with_mail(&disk);
            let before = disk.all();
            disk.read_only(true);
            let mut unsure = Vec::new();
            runtime().block_on(async {
                let append = |id, length| spool.append(Arc::new(record(id, body(id, length))));
                match first {
                    "small" => {
                        let refused = append(6, 300).await;
                        assert!(matches!(refused, Err(SpoolError::Unsure(_))), "{refused:?}");
                        unsure.push(6);
                    }
                    "large" => {
                        let refused = append(6, 30_000).await;
                        // A file of its own, which says nothing of the log.
                        assert_eq!(refused, Err(SpoolError::Slow));
                    }
                    "moved" => {
                        drop(spool.deferred().put(&record(1, body(1, 300)), &State::default()).unwrap_err())
                    }
                    "removed" => drop(spool.remove_deferred(MessageId(3)).await.unwrap_err()),
                    _ => drop(spool.note_durably(&Note::Done(MessageId(1))).await.unwrap_err()),
                }
                let refused = append(7, 300).await;
                assert!(refused.is_err_and(|error| error.is_final()));
                unsure.push(7);
                // From then on before DATA.
                assert!(matches!(spool.ready(), Err(SpoolError::Failed(_))));
                assert!(matches!(append(8, 300).await, Err(SpoolError::Failed(_))));
                for id in [3, 4] {
                    assert_eq!(spool.deferred().load(MessageId(id)).unwrap().id, MessageId(id));
                }
            });
            drop(spool);
            assert!(disk.all() == before, "{first}: something was written");
            disk.read_only(false);
            all_is_there(&disk.after_cut(seed), &unsure);
            all_is_there(&disk, &unsure);
        }
    }
}

/// A start refuses, says why, and leaves all as it is, also where the power went or a kill came before.
#[test]
fn a_start_on_a_read_only_disk_touches_nothing() {
    for seed in 0..16 {
        let disk = SimDisk::default();
        drop(with_mail(&disk));
        let disk = if seed % 2 == 0 { disk.after_cut(seed) } else { disk };
        let before = disk.all();
        disk.read_only(true);
        for _ in 0..2 {
            let refused = starts(&disk).map(drop).unwrap_err();
            assert!(matches!(refused, SpoolError::Folder { .. }), "{refused:?}");
            assert!(refused.to_string().contains("read-only"), "{refused}");
        }
        assert!(disk.all() == before, "something was written");
        disk.read_only(false);
        all_is_there(&disk.after_cut(seed), &[]);
        all_is_there(&disk, &[]);
    }
}
