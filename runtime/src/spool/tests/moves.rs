//! Messages on their way from the log to the deferred store: whatever fails there, and wherever a kill or a power cut comes, they are
//! neither lost nor there twice.

use super::*;

/// The machine stops when a message is in the deferred store and the note of that is not in the log.
#[test]
fn what_is_settled_while_a_message_moves_stays_so() {
    let disk = SimDisk::default();
    let (spool, _) = open(&disk, &Arc::default());
    runtime().block_on(async {
        let record = Arc::new(record(1, body(1, 100)));
        spool.append(Arc::clone(&record)).await.unwrap();
        spool.deferred().put(&record, &State { settled: vec![(0, 0)], ..State::default() }).unwrap();
        spool.note_durably(&Note::Settled(MessageId(1), vec![(0, 1)])).await.unwrap();
    });
    let (spool, found) = open(&disk.after_cut(1), &Arc::default());
    assert_eq!((found.log.len(), found.deferred), (0, vec![MessageId(1)]));
    assert_eq!(spool.deferred().state(MessageId(1)).unwrap().settled, [(0, 0), (0, 1)]);
}

/// The same, and then it is finished: its frame alone is no message.
#[test]
fn what_moved_without_a_note_does_not_come_back() {
    for full in [false, true] {
        let disk = SimDisk::default();
        let (spool, _) = open(&disk, &Arc::default());
        runtime().block_on(async {
            spool.append(Arc::new(record(1, body(1, 100)))).await.unwrap();
        });
        drop(spool);
        if full {
            leave_no_room(&disk, small());
        }
        let (spool, _) = open(&disk, &Arc::default());
        spool.deferred().put(&record(1, body(1, 100)), &State::default()).unwrap();
        drop(spool);
        let (spool, found) = open(&disk, &Arc::default());
        assert_eq!((found.log.len(), found.deferred), (0, vec![MessageId(1)]));
        runtime().block_on(async {
            // Where the log has no room for the note the file stays.
            assert_eq!(spool.remove_deferred(MessageId(1)).await.is_err(), full);
            assert_eq!(spool.deferred().load(MessageId(1)).is_ok(), full);
            disk.fail_segments(false);
            spool.remove_deferred(MessageId(1)).await.unwrap();
        });
        drop(spool);
        let (_, found) = open(&disk.after_cut(1), &Arc::default());
        assert_eq!((found.log.len(), found.deferred.len()), (0, 0), "full: {full}");
    }
}

/// The same where its file is damaged and set aside: its sender was told, and its recipients may have it.
#[test]
fn what_moved_and_was_set_aside_does_not_come_back() {
    let disk = SimDisk::default();
    let (spool, _) = open(&disk, &Arc::default());
    runtime().block_on(spool.append(Arc::new(record(1, body(1, 100))))).unwrap();
    drop(spool);
    leave_no_room(&disk, small());
    let (spool, _) = open(&disk, &Arc::default());
    spool.deferred().put(&record(1, body(1, 100)), &State::default()).unwrap();
    drop(spool);
    let (spool, found) = open(&disk, &Arc::default());
    assert_eq!((found.log.len(), found.deferred), (0, vec![MessageId(1)]));
    disk.fail_segments(false);
    runtime().block_on(spool.set_aside_deferred(MessageId(1))).unwrap();
    drop(spool);
    let (_, found) = open(&disk.after_cut(1), &Arc::default());
    assert_eq!((found.log.len(), found.deferred.len()), (0, 0));
}

/// A kill comes between the name of a message in the deferred store and its sync, and the power goes after the next start: the
/// log is not told that it moved before the disk has its name there.
#[test]
fn a_kill_and_then_a_power_cut_lose_nothing() {
    let mut both = [0; 2];
    for seed in 0..20 {
        let disk = SimDisk::default();
        let (spool, _) = open(&disk, &Arc::default());
        runtime().block_on(async {
            let record = Arc::new(record(1, body(1, 100)));
            spool.append(Arc::clone(&record)).await.unwrap();
            spool.deferred().put(&record, &State::default()).unwrap();
        });
        drop(spool);
        let folder = Path::new("/data/spool/deferred").join(format!("{:02x}", deferred::home(MessageId(1))));
        let name = folder.join(MessageId(1).to_string());
        // As it was before its last sync.
        disk.rename(&name, &folder.join("half")).unwrap();
        disk.sync_dir(&folder).unwrap();
        disk.rename(&folder.join("half"), &name).unwrap();
        let (spool, found) = open(&disk, &Arc::default());
        assert_eq!((found.log.len(), found.deferred), (0, vec![MessageId(1)]));
        runtime().block_on(spool.flush()).unwrap();
        drop(spool);
        let (_, found) = open(&disk.after_cut(seed), &Arc::default());
        both[0] += found.log.len();
        both[1] += found.deferred.len();
        assert_eq!(both[0] + both[1], seed as usize + 1, "{seed}");
    }
}

/// The same where the name cannot be synced at the next start, and the log moves on: its frame stays until the name is there for
/// good. A large message has its frame in the log as well, and no name that counts without it.
#[test]
fn a_frame_stays_until_the_name_of_its_message_does() {
    for seed in 0..32 {
        let (large, heals) = (seed % 2 == 0, seed % 4 < 2);
        let disk = SimDisk::default();
        let (spool, _) = open(&disk, &Arc::default());
        let message = Arc::new(record(1, body(1, if large { 30_000 } else { 100 })));
        runtime().block_on(async {
            spool.append(Arc::clone(&message)).await.unwrap();
            if !large {
                spool.deferred().put(&message, &State::default()).unwrap();
            }
        });
        drop(spool);
        let folder = Path::new("/data/spool/deferred").join(format!("{:02x}", deferred::home(MessageId(1))));
        let name = folder.join(MessageId(1).to_string());
        let before = if large { name.with_extension("new") } else { folder.join("half") };
        // As it was before its last sync.
        disk.rename(&name, &before).unwrap();
        disk.sync_dir(&folder).unwrap();
        disk.rename(&before, &name).unwrap();
        disk.fail_dir_syncs(true);
        let (spool, found) = open(&disk, &Arc::default());
        assert_eq!((found.log.len(), found.deferred), (0, vec![MessageId(1)]));
        disk.fail_dir_syncs(!heals);
        runtime().block_on(async {
            for id in 100..140 {
                let position = spool.append(Arc::new(record(id, body(id, 8000)))).await.unwrap();
                spool.note_durably(&Note::Done(MessageId(id))).await.unwrap();
                spool.release(position);
            }
        });
        assert_eq!(spool.segments() <= 2, heals, "{}", spool.segments());
        drop(spool);
        let (spool, found) = open(&disk.after_cut(seed), &Arc::default());
        let read = match &found.log[..] {
            [one] => spool.read(one.position).unwrap(),
            _ => spool.deferred().load(found.deferred[0]).unwrap(),
        };
        assert_eq!((found.log.len() + found.deferred.len(), read), (1, Record::clone(&message)));
    }
}

/// The disk fails while a message moves: the log alone has it, and once it is done there a restart finds nothing.
#[test]
fn what_cannot_be_moved_is_not_there_twice() {
    for (stays, behind) in [(false, 0), (false, 1), (false, 2), (true, 2)] {
        let disk = SimDisk::default();
        let (spool, _) = open(&disk, &Arc::default());
        runtime().block_on(async {
            let record = Arc::new(record(1, body(1, 100)));
            spool.append(Arc::clone(&record)).await.unwrap();
            disk.fail_dir_sync(behind);
            disk.fail_removes(stays);
            spool.deferred().put(&record, &State::default()).unwrap_err();
            disk.fail_removes(false);
            assert_eq!(spool.deferred().load(MessageId(1)).is_ok(), stays, "{behind}");
            // It is delivered, and that is written down.
            spool.note_durably(&Note::Done(MessageId(1))).await.unwrap();
        });
        assert!(!disk.waits_for_dir_sync());
        drop(spool);
        let (_, found) = open(&disk, &Arc::default());
        assert_eq!((found.log.len(), found.deferred), (0, vec![]), "{behind}, {stays}");
        let (spool, found) = open(&disk, &Arc::default());
        assert_eq!((found.log.len(), found.deferred), (0, vec![]), "{behind}, {stays}");
        assert_eq!(spool.deferred().load(MessageId(1)), Err(SpoolError::Gone));
    }
}

/// A large message whose name the disk does not take at once is released once it does. No start is needed for that.
#[test]
fn a_name_that_fails_once_does_not_keep_the_log() {
    for renamed in [false, true] {
        let disk = SimDisk::default();
        let (spool, _) = open(&disk, &Arc::default());
        let folder = Path::new("/data/spool/deferred").join(format!("{:02x}", deferred::home(MessageId(1))));
        let name = folder.join(MessageId(1).to_string());
        runtime().block_on(async {
            if renamed {
                // Behind those of the folder above and of the provisional name.
                disk.fail_dir_sync(2);
            } else {
                disk.fail_renames(Some(&*folder));
            }
            spool.append(Arc::new(record(1, body(1, 30_000)))).await.unwrap();
            assert!(!disk.waits_for_dir_sync());
            disk.fail_renames(None);
            assert_eq!(disk.bytes(&name).is_some(), renamed);
            for id in 100..140 {
                let position = spool.append(Arc::new(record(id, body(id, 8000)))).await.unwrap();
                spool.note_durably(&Note::Done(MessageId(id))).await.unwrap();
                spool.release(position);
            }
        });
        assert!(spool.segments() <= 2, "{}", spool.segments());
        assert!(disk.bytes(&name).is_some());
        drop(spool);
        let (_, found) = open(&disk.after_cut(1), &Arc::default());
        assert_eq!((found.log.len(), found.deferred), (0, vec![MessageId(1)]));
    }
}

/// A start with many large messages whose frames are in the log still.
#[test]
fn a_start_syncs_each_folder_once_for_all_in_it() {
    let disk = SimDisk::default();
    let (spool, _) = open(&disk, &Arc::default());
    let same = |id: &u64| deferred::home(MessageId(*id)) == deferred::home(MessageId(1));
    let ids: Vec<u64> = (1..).filter(same).take(5).collect();
    runtime().block_on(async {
        for id in &ids {
            spool.append(Arc::new(record(*id, body(*id, 30_000)))).await.unwrap();
        }
    });
    drop(spool);
    let fan = Path::new("/data/spool/deferred").join(format!("{:02x}", deferred::home(MessageId(1))));
    let before = disk.dir_syncs(&fan);
    let (_, found) = open(&disk, &Arc::default());
    assert_eq!((found.deferred.len(), disk.dir_syncs(&fan) - before), (5, 2));
}
