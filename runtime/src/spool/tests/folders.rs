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
    disk.hide(Some(&*folder));
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
    // Whether it can be kept at the start, and later.
    for (kept, later) in [(true, true), (false, true), (false, false)] {
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
        disk.hide(Some(&*folder));
        for first in [100, 200] {
            // Where it cannot be kept the log stays until it can.
            let store = Path::new("/data/spool/deferred");
            disk.fail_renames((!kept).then_some(store));
            let (spool, found) = open(&disk, &Arc::default());
            assert!(found.deferred.is_empty());
            disk.fail_renames((!later).then_some(store));
            runtime().block_on(async {
                for id in first..first + 40 {
                    let position = spool.append(Arc::new(record(id, body(id, 8000)))).await.unwrap();
                    spool.note(&Note::Done(MessageId(id)));
                    spool.release(position);
                }
            });
            assert_eq!(spool.segments() <= 2, later, "{}", spool.segments());
        }
        disk.hide(None);
        disk.fail_renames(None);
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

/// What says that a large message was taken is kept until it has its name for good.
#[test]
fn a_large_message_that_was_taken_is_not_forgotten() {
    // It can be listed, and not be renamed.
    let disk = with_a_hidden_one();
    disk.hide(None);
    disk.fail_renames(Some(&*folder_of(1)));
    finds_the_hidden_one(&disk);
    disk.fail_renames(None);
    finds_the_hidden_one(&disk);
    // It can be renamed, and that not be synced: a power cut brings the provisional name back.
    for seed in 0..10 {
        let disk = with_a_hidden_one();
        disk.hide(None);
        disk.fail_dir_syncs(true);
        finds_the_hidden_one(&disk);
        finds_the_hidden_one(&disk);
        finds_the_hidden_one(&disk.after_cut(seed));
    }
}

/// What is lost of the log may be the frame of one that is not seen.
#[test]
fn no_large_message_is_thrown_away_whose_frame_was_damaged() {
    let disk = hidden_one(true);
    disk.hide(None);
    finds_the_hidden_one(&disk);
}

/// Where that file rots they all are taken: also the one that comes to light at a later start, or gets no name at this one.
#[test]
fn no_large_message_is_thrown_away_where_it_may_have_been_taken() {
    for shut in [false, true] {
        let disk = with_a_hidden_one();
        disk.damage(Path::new("/data/spool/deferred/hidden"), 9);
        if shut {
            assert!(open(&disk, &Arc::default()).1.deferred.is_empty());
        }
        disk.hide(None);
        disk.fail_renames(Some(&*folder_of(1)));
        finds_the_hidden_one(&disk);
        disk.fail_renames(None);
        finds_the_hidden_one(&disk);
    }
}

fn folder_of(id: u64) -> PathBuf {
    Path::new("/data/spool/deferred").join(format!("{:02x}", deferred::home(MessageId(id))))
}

/// A disk with large message 1 under its provisional name in a folder that cannot be read; the log moved on.
fn with_a_hidden_one() -> SimDisk {
    hidden_one(false)
}

/// The same; the frame of the message may be what a bad place of the log has.
fn hidden_one(damaged: bool) -> SimDisk {
    let disk = SimDisk::default();
    let (spool, _) = open(&disk, &Arc::default());
    let frame = runtime().block_on(spool.append(Arc::new(record(1, body(1, 30_000))))).unwrap();
    if damaged {
        runtime().block_on(spool.append(Arc::new(record(2, body(2, 100))))).unwrap();
    }
    drop(spool);
    if damaged {
        disk.damage(Path::new(damage::FIRST), frame.offset as usize + 30);
    }
    let folder = folder_of(1);
    let name = folder.join(MessageId(1).to_string());
    disk.rename(&name, &name.with_extension("new")).unwrap();
    disk.sync_dir(&folder).unwrap();
    disk.hide(Some(&*folder));
    let (spool, found) = open(&disk, &Arc::default());
    assert_eq!((found.deferred.len(), found.damaged), (0, u64::from(damaged)));
    finish_and_go_on(&spool, &found);
    disk
}

fn finds_the_hidden_one(disk: &SimDisk) {
    let (spool, found) = open(disk, &Arc::default());
    let read = spool.deferred().load(MessageId(1)).map(|read| read == record(1, body(1, 30_000)));
    assert_eq!((found.deferred, read), (vec![MessageId(1)], Ok(true)));
}

/// What cannot be added to a state, nor be kept beside: the log stays until it can.
#[test]
fn what_is_not_in_a_state_is_kept_by_the_log() {
    for later in [false, true] {
        let disk = SimDisk::default();
        let (spool, _) = open(&disk, &Arc::default());
        spool.deferred().put(&record(1, body(1, 100)), &State::default()).unwrap();
        runtime().block_on(spool.note_durably(&Note::Settled(MessageId(1), vec![(0, 1)]))).unwrap();
        drop(spool);
        let store = Path::new("/data/spool/deferred");
        let home = folder_of(1);
        disk.fail_renames([store, &*home]);
        let (spool, found) = open(&disk, &Arc::default());
        assert_eq!(found.settled.len(), 1);
        if later {
            disk.fail_renames(None);
        }
        finish_and_go_on(&spool, &found);
        assert_eq!(spool.segments() <= 2, later, "{}", spool.segments());
        drop(spool);
        disk.fail_renames(None);
        let (spool, _) = open(&disk, &Arc::default());
        assert_eq!(spool.deferred().state(MessageId(1)).unwrap().settled, [(0, 1)]);
    }
}

/// The log says it still at the next start.
#[test]
fn what_is_kept_does_not_grow_with_each_start() {
    let disk = SimDisk::default();
    let (spool, _) = open(&disk, &Arc::default());
    spool.deferred().put(&record(1, body(1, 100)), &State::default()).unwrap();
    runtime().block_on(async {
        spool.note_durably(&Note::Settled(MessageId(1), vec![(0, 1)])).await.unwrap();
        let words = vec![(0, 0, deferred::Word::Told)];
        spool.note_durably(&Note::Words(MessageId(1), words)).await.unwrap();
    });
    drop(spool);
    let home = folder_of(1);
    disk.hide(Some(&*home));
    let kept = || {
        drop(open(&disk, &Arc::default()));
        disk.bytes(Path::new("/data/spool/deferred/hidden")).unwrap().len()
    };
    let first = kept();
    for _ in 0..3 {
        assert_eq!(kept(), first);
    }
}

/// Where two folders beside each other cannot be read a message goes beyond both; later it is that one which cannot.
#[test]
fn what_went_far_from_home_is_not_forgotten() {
    let disk = SimDisk::default();
    let home = deferred::home(MessageId(1));
    let folder = |step| PathBuf::from(format!("/data/spool/deferred/{:02x}", home.wrapping_add(step)));
    let [first, second, third] = [0, 1, 2].map(folder);
    for folder in [&first, &second] {
        disk.make_dir(folder).unwrap();
    }
    disk.hide([&*first, &*second]);
    let (spool, _) = open(&disk, &Arc::default());
    spool.deferred().put(&record(1, body(1, 100)), &State::default()).unwrap();
    runtime().block_on(spool.note_durably(&Note::Settled(MessageId(1), vec![(0, 1)]))).unwrap();
    drop(spool);
    disk.hide([&*third]);
    let (spool, found) = open(&disk, &Arc::default());
    assert!(found.deferred.is_empty());
    finish_and_go_on(&spool, &found);
    drop(spool);
    disk.hide(None);
    let (spool, found) = open(&disk, &Arc::default());
    assert_eq!(found.deferred, [MessageId(1)]);
    assert_eq!(spool.deferred().state(MessageId(1)).unwrap().settled, [(0, 1)]);
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
