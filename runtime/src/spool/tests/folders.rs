//! Folders and files that cannot be read or removed, or that are not ours: a start goes on without them, and forgets nothing of them.

use super::*;

/// The rest is served; what belongs in that folder goes into another one, and is found there.
#[test]
fn a_folder_that_cannot_be_read_is_left_alone() {
    let disk = SimDisk::default();
    let (spool, _) = open(&disk, &Arc::default());
    for id in 1..=3 {
        spool.deferred().put(&record(id, body(id, 100)), &State::default()).unwrap();
    }
    drop(spool);
    let home = deferred::home(MessageId(1));
    let folder = Path::new("/data/spool/deferred").join(format!("{home:02x}"));
    disk.hide(Some(&folder));
    let (spool, found) = open(&disk, &Arc::default());
    assert_eq!(found.deferred, [MessageId(2), MessageId(3)]);
    let more = (4..).find(|id| deferred::home(MessageId(*id)) == home).unwrap();
    spool.deferred().put(&record(more, body(more, 100)), &State::default()).unwrap();
    for _ in 0..2 {
        let (spool, found) = open(&disk, &Arc::default());
        assert_eq!(found.deferred, [MessageId(2), MessageId(3), MessageId(more)]);
        assert_eq!(spool.deferred().load(MessageId(more)).unwrap().id, MessageId(more));
    }
    disk.hide(None);
    let (spool, found) = open(&disk, &Arc::default());
    assert_eq!(found.deferred, [1, 2, 3, more].map(MessageId));
    runtime().block_on(async {
        for id in found.deferred {
            assert_eq!(spool.deferred().load(id).unwrap().id, id);
            spool.remove_deferred(id).await.unwrap();
        }
    });
    let (_, found) = open(&disk, &Arc::default());
    assert!(found.deferred.is_empty());
}

/// What the log knows of messages there outlives the log: the folder can be read again long after it moved on.
#[test]
fn what_is_known_of_a_folder_that_cannot_be_read_is_kept() {
    for kept in [true, false] {
        let disk = SimDisk::default();
        let same = |id: &u64| deferred::home(MessageId(*id)) == deferred::home(MessageId(1));
        let [one, two, large]: [u64; 3] = (1..).filter(same).take(3).collect::<Vec<_>>().try_into().unwrap();
        let folder = Path::new("/data/spool/deferred").join(format!("{:02x}", deferred::home(MessageId(1))));
        let words = vec![(0, 0, deferred::Word::Told)];
        let (spool, _) = open(&disk, &Arc::default());
        runtime().block_on(async {
            for id in [one, two] {
                spool.deferred().put(&record(id, body(id, 100)), &State::default()).unwrap();
            }
            // Who has the first is not in its state yet, the file of the second cannot be removed, the third has no name yet.
            spool.note_durably(&Note::Words(MessageId(one), words.clone())).await.unwrap();
            spool.note_durably(&Note::Settled(MessageId(one), vec![(0, 1)])).await.unwrap();
            spool.note_durably(&Note::Done(MessageId(two))).await.unwrap();
            spool.append(Arc::new(record(large, body(large, 30_000)))).await.unwrap();
            let name = folder.join(MessageId(large).to_string());
            disk.rename(&name, &name.with_extension("new")).unwrap();
        });
        drop(spool);
        disk.hide(Some(&folder));
        for first in [100, 200] {
            // Where it cannot be kept the log stays.
            disk.fail_creates(!kept);
            let (spool, found) = open(&disk, &Arc::default());
            assert!(found.deferred.is_empty());
            disk.fail_creates(false);
            runtime().block_on(async {
                for id in first..first + 40 {
                    let position = spool.append(Arc::new(record(id, body(id, 8000)))).await.unwrap();
                    spool.note(&Note::Done(MessageId(id)));
                    spool.release(position);
                }
            });
            assert_eq!(spool.segments() <= 2, kept, "{}", spool.segments());
        }
        disk.hide(None);
        // It can be read, and nothing be written there.
        disk.fail_creates(true);
        let (spool, found) = open(&disk, &Arc::default());
        assert_eq!(found.settled, [(MessageId(one), vec![(0, 1)])].into());
        assert_eq!(found.words, [(MessageId(one), words.clone())].into());
        drop(spool);
        disk.fail_creates(false);
        let (spool, found) = open(&disk, &Arc::default());
        assert_eq!(found.deferred, [MessageId(one), MessageId(large)]);
        let known = State { settled: vec![(0, 1)], words: words.clone(), ..State::default() };
        assert_eq!(spool.deferred().state(MessageId(one)).unwrap(), known);
        assert_eq!(spool.deferred().load(MessageId(large)).unwrap(), record(large, body(large, 30_000)));
        drop(spool);
        let names = disk.list(Path::new("/data/spool/deferred")).unwrap();
        assert!(names.iter().all(|name| name.len() == 2), "{names:?}");
    }
}

/// The log says that it is done, and moves on.
#[test]
fn what_is_done_and_cannot_be_removed_does_not_come_back() {
    let disk = SimDisk::default();
    let (spool, _) = open(&disk, &Arc::default());
    spool.deferred().put(&record(1, body(1, 100)), &State::default()).unwrap();
    runtime().block_on(spool.note_durably(&Note::Done(MessageId(1)))).unwrap();
    drop(spool);
    disk.fail_removes(true);
    let (spool, found) = open(&disk, &Arc::default());
    disk.fail_removes(false);
    assert!(found.deferred.is_empty() && spool.deferred().load(MessageId(1)).is_ok());
    finish_and_go_on(&spool, &found);
    drop(spool);
    let (spool, found) = open(&disk, &Arc::default());
    assert!(found.deferred.is_empty());
    assert_eq!(spool.deferred().load(MessageId(1)), Err(SpoolError::Gone));
}

/// Somebody else's files and folders have the names of ours.
#[test]
fn strange_files_among_ours_are_set_aside() {
    let data = tempfile::tempdir().unwrap();
    let open = || Spool::open(data.path(), small(), Arc::new(NoLedger)).unwrap();
    let (spool, _) = open();
    runtime().block_on(spool.append(Arc::new(record(1, body(1, 300))))).unwrap();
    drop(spool);
    let fan = format!("{:02x}", deferred::home(MessageId(2)));
    std::fs::write(data.path().join("spool/deferred").join(&fan), "mine").unwrap();
    std::fs::create_dir(data.path().join("spool/log/00000055.seg")).unwrap();
    std::fs::create_dir(data.path().join("spool/log/00000056.new")).unwrap();
    let (spool, found) = open();
    assert_eq!((found.log.len(), found.deferred.len()), (1, 0));
    spool.deferred().put(&record(2, body(2, 100)), &State::default()).unwrap();
    let list = |folder: &str| -> Vec<String> {
        disk::RealDisk.list(&data.path().join("spool").join(folder)).unwrap()
    };
    let kept = |names: &[String], of: &str| {
        names.iter().filter(|name| name.starts_with(of) && name.ends_with(".bad")).count()
    };
    assert_eq!(kept(&list("deferred"), &fan), 1);
    assert_eq!(kept(&list("log"), "00000055"), 1);
    drop(spool);
    assert_eq!(open().1.deferred, [MessageId(2)]);
}
