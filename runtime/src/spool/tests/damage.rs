//! Segments that rot or are cut short: what is missing is told, and what stands there is kept for people.

use super::*;

const LOG: &str = "/data/spool/log";
const FIRST: &str = "/data/spool/log/00000000.seg";

/// A disk with so many messages of 8 kB in the log, where their first segment holds eight.
fn filled(count: u64) -> SimDisk {
    let disk = SimDisk::default();
    let (spool, _) = open(&disk, &Arc::default());
    runtime().block_on(async {
        for id in 1..=count {
            spool.append(Arc::new(record(id, body(id, 8000)))).await.unwrap();
        }
    });
    drop(spool);
    disk
}

fn ids(found: &Recovery) -> Vec<u64> {
    found.log.iter().map(|m| m.id.0).collect()
}

/// Finishes what was found, and writes on, several segments long.
fn finish_and_go_on(spool: &Spool, found: &Recovery) {
    runtime().block_on(async {
        for message in &found.log {
            spool.note(&Note::Done(message.id));
            spool.release(message.position);
        }
        for id in 100..140 {
            let position = spool.append(Arc::new(record(id, body(id, 8000)))).await.unwrap();
            spool.release(position);
        }
    });
}

/// The names of kept files, and how many of the first messages stand in them.
fn kept(disk: &SimDisk, first: u64) -> (Vec<String>, usize) {
    let names: Vec<String> =
        disk.list(Path::new(LOG)).unwrap().into_iter().filter(|name| name.ends_with(".bad")).collect();
    let bytes: Vec<Vec<u8>> =
        names.iter().filter_map(|name| disk.bytes(&Path::new(LOG).join(name))).collect();
    let stands = |id: u64| bytes.iter().any(|b| memchr::memmem::find(b, &body(id, 8000)).is_some());
    let count = (1..=first).filter(|id| stands(*id)).count();
    (names, count)
}

#[test]
fn a_segment_that_is_cut_short_is_told_and_kept() {
    for count in [8, 10] {
        let disk = filled(count);
        disk.cut(Path::new(FIRST), 30_000);
        let (spool, found) = open(&disk, &Arc::default());
        assert_eq!(ids(&found), (1..=3).chain(9..=count).collect::<Vec<_>>());
        assert!(found.damaged > 0);
        let (names, stand) = kept(&disk, 3);
        assert_eq!((names.len(), stand), (1, 3));
        // Once, however often it is found.
        drop(spool);
        let (spool, _) = open(&disk, &Arc::default());
        assert_eq!(kept(&disk, 3).0, names);
        // It is not written into again.
        finish_and_go_on(&spool, &found);
        assert!(disk.bytes(Path::new(FIRST)).is_none_or(|bytes| bytes.len() == 64 << 10));
    }
}

#[test]
fn a_segment_without_a_header_is_kept_and_not_used_again() {
    let disk = filled(10);
    let copy = (64 << 10) - 64;
    disk.damage(Path::new(FIRST), 3);
    disk.damage(Path::new(FIRST), copy + 3);
    let (spool, found) = open(&disk, &Arc::default());
    assert_eq!(ids(&found), [9, 10]);
    let (names, stand) = kept(&disk, 8);
    assert_eq!((names.len(), stand), (1, 8));
    runtime().block_on(async {
        for id in 100..140 {
            let position = spool.append(Arc::new(record(id, body(id, 8000)))).await.unwrap();
            spool.release(position);
        }
    });
    drop(spool);
    assert_eq!(kept(&disk, 8), (names, 8));
}

/// The last frame of a segment has nothing behind it there; the next segment says which number it begins with.
#[test]
fn damage_at_the_end_of_a_segment_is_no_torn_tail() {
    let disk = filled(10);
    let (spool, found) = open(&disk, &Arc::default());
    let last = found.log[7].position;
    assert_eq!(found.damaged, 0);
    drop(spool);
    disk.damage(Path::new(FIRST), last.offset as usize + 100);
    let (spool, found) = open(&disk, &Arc::default());
    assert_eq!((ids(&found), found.damaged), (vec![1, 2, 3, 4, 5, 6, 7, 9, 10], 1));
    assert_eq!(kept(&disk, 7).1, 7);
    drop(spool);
    // Zeros in the middle are no end.
    let disk = filled(10);
    disk.blank(Path::new(FIRST), found.log[2].position.offset as usize..last.offset as usize);
    let (_, found) = open(&disk, &Arc::default());
    assert_eq!((ids(&found), found.damaged), (vec![1, 2, 8, 9, 10], 5));
}

/// Found while it serves.
#[test]
fn a_damaged_record_is_kept_before_its_segment_is_used_again() {
    let disk = filled(1);
    let (spool, found) = open(&disk, &Arc::default());
    let position = found.log[0].position;
    disk.damage(Path::new(FIRST), position.offset as usize + 100);
    assert!(matches!(spool.read(position), Err(SpoolError::Damaged(_))));
    spool.keep_damaged(position);
    assert_eq!(kept(&disk, 0).0.len(), 1);
}

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

/// A large message has its bytes in a file, and its frame in the log: where that may be lost, the file is not thrown away.
#[test]
fn a_large_message_outlives_its_frame() {
    for (damage, want) in [(false, vec![]), (true, vec![MessageId(9)])] {
        let disk = filled(10);
        let (spool, found) = open(&disk, &Arc::default());
        spool.deferred().put_new(&record(9, body(9, 30_000))).unwrap();
        drop(spool);
        if damage {
            disk.damage(Path::new(FIRST), found.log[2].position.offset as usize + 2);
        }
        let (_, found) = open(&disk, &Arc::default());
        assert_eq!(found.deferred, want);
    }
}

/// Of one that the power cut in half its sender hears nothing: it was never taken. It is kept for people all the same.
#[test]
fn half_of_a_large_message_is_none() {
    let disk = filled(10);
    let (spool, found) = open(&disk, &Arc::default());
    spool.deferred().put_new(&record(9, body(9, 30_000))).unwrap();
    drop(spool);
    let name = |suffix| {
        format!("/data/spool/deferred/{:02x}/{}{suffix}", deferred::home(MessageId(9)), MessageId(9))
    };
    disk.cut(Path::new(&name(".new")), 10_000);
    disk.damage(Path::new(FIRST), found.log[2].position.offset as usize + 2);
    let (_, found) = open(&disk, &Arc::default());
    assert_eq!((found.log.len(), found.deferred), (9, vec![]));
    assert_eq!(disk.bytes(Path::new(&name(".bad"))).map(|bytes| bytes.len()), Some(10_000));
}

const SEGMENT: u64 = 64 << 10;

/// A disk that rots: a place that it does not give takes the messages that stand there, and no others; the daemon starts.
#[test]
fn a_place_that_cannot_be_read_takes_its_messages_alone() {
    let (_, whole) = open(&filled(10), &Arc::default());
    let frames: Vec<(u64, u64, u64)> =
        whole.log.iter().map(|m| (m.id.0, m.position.generation, m.position.offset.into())).collect();
    let mut rng = fastrand::Rng::with_seed(7);
    for round in 0..60 {
        let disk = filled(10);
        // In the header of a frame, whose page has the end of the one before, in its bytes, or anywhere.
        let at = match round {
            0 => frames[4].2,
            1 => (frames[4].2 + 100).next_multiple_of(4096),
            _ => rng.u64(64..SEGMENT - 64),
        };
        disk.rot(Path::new(FIRST), at..at + 512);
        let (spool, found) = open(&disk, &Arc::default());
        let pages = (at / 4096 * 4096)..((at + 512).div_ceil(4096) * 4096);
        let sound = frames.iter().filter(|(_, generation, from)| {
            *generation > 1 || from + 8300 <= pages.start || *from >= pages.end
        });
        let sound: Vec<u64> = sound.map(|(id, ..)| *id).collect();
        let got = ids(&found);
        assert!(sound.iter().all(|id| got.contains(id)), "{at}: {got:?}, not {sound:?}");
        assert!(got.len() < 10 || at > frames[7].2 + 8000, "{at}: something is lost");
        for message in &found.log {
            assert_eq!(spool.read(message.position).unwrap().id, message.id);
        }
        if round > 1 {
            continue;
        }
        let want = if round == 0 { vec![1, 2, 3, 6, 7, 8, 9, 10] } else { vec![1, 2, 3, 4, 6, 7, 8, 9, 10] };
        assert_eq!((10 - want.len() as u64, got), (found.damaged, want));
        // Its file is not written again, and stays when nothing in it is needed any more.
        let before = disk.bytes(Path::new(FIRST)).unwrap();
        finish_and_go_on(&spool, &found);
        assert_eq!(kept(&disk, 10).1, 8);
        let names = kept(&disk, 0).0;
        assert_eq!(names.len(), 1);
        assert_eq!(disk.bytes(&Path::new(LOG).join(&names[0])).unwrap(), before);
        assert!(disk.bytes(Path::new(FIRST)).is_none());
    }
}

/// What can be read another time is found then, and nothing has its number.
#[test]
fn a_place_that_can_be_read_again_has_its_message() {
    let disk = filled(3);
    let (spool, found) = open(&disk, &Arc::default());
    let last = u64::from(found.log[2].position.offset);
    drop(spool);
    disk.rot(Path::new(FIRST), last + 5000..last + 5512);
    let ledger = Arc::new(Counter::default());
    let (spool, found) = open(&disk, &ledger);
    assert_eq!(ids(&found), [1, 2]);
    runtime().block_on(spool.append(Arc::new(record(4, body(4, 8000))))).unwrap();
    drop(spool);
    disk.heal();
    // The ledger sees to the order of the numbers.
    let (_, found) = open(&disk, &Arc::new(ledger.restarted()));
    assert_eq!((ids(&found), found.damaged), (vec![1, 2, 3, 4], 0));
}

/// A segment without a readable header goes; a disk that gives nothing at all is left alone.
#[test]
fn headers_that_cannot_be_read() {
    let disk = filled(10);
    disk.rot(Path::new(FIRST), 0..64);
    let (spool, found) = open(&disk, &Arc::default());
    assert_eq!(ids(&found).len(), 10, "its copy is there");
    drop(spool);
    disk.rot(Path::new(FIRST), SEGMENT - 64..SEGMENT);
    for name in disk.list(Path::new(LOG)).unwrap() {
        disk.rot(&Path::new(LOG).join(name), 0..SEGMENT);
    }
    let failed = Spool::open_on(Arc::new(disk.clone()), Path::new(DATA), small(), Arc::new(NoLedger), None)
        .unwrap_err();
    assert!(matches!(failed, SpoolError::Folder { .. }), "{failed}");
    disk.heal();
    disk.rot(Path::new(FIRST), 0..64);
    disk.rot(Path::new(FIRST), SEGMENT - 64..SEGMENT);
    let (_, found) = open(&disk, &Arc::default());
    assert_eq!(ids(&found), [9, 10]);
    assert_eq!(kept(&disk, 8).1, 8);
}

/// Found while it serves: the file is kept, not copied.
#[test]
fn a_record_that_cannot_be_read_spoils_its_segment_only() {
    let disk = filled(10);
    let (spool, found) = open(&disk, &Arc::default());
    let at = u64::from(found.log[2].position.offset);
    disk.rot(Path::new(FIRST), at + 100..at + 200);
    assert!(matches!(spool.read(found.log[2].position), Err(SpoolError::Unreadable(_))));
    spool.keep_damaged(found.log[2].position);
    assert!(kept(&disk, 0).0.is_empty());
    runtime().block_on(async {
        found.log.iter().for_each(|message| spool.release(message.position));
        for id in 100..140 {
            let position = spool.append(Arc::new(record(id, body(id, 8000)))).await.unwrap();
            spool.release(position);
        }
    });
    assert_eq!(kept(&disk, 8).1, 8);
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
