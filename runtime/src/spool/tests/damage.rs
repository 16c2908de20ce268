//! Segments that rot or are cut short: what is missing is told, and what stands there is kept for people.

use super::*;

pub(super) const FIRST: &str = "/data/spool/log/00000000.seg";

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

/// So it is where the disk has lost the file itself. One that may not be opened is left alone, and named: others may not lack what
/// it says is done.
#[test]
fn a_segment_that_cannot_be_opened_takes_no_other_along() {
    let disk = filled(10);
    disk.fail_opens_of(Path::new(FIRST), 5);
    let (spool, found) = open(&disk, &Arc::default());
    assert_eq!(ids(&found), [9, 10]);
    drop(spool);
    let disk = filled(10);
    disk.fail_opens_of(Path::new(FIRST), 13);
    let options = Options { segment: 64 << 10, reserve: 1 << 20, spare: 2 };
    let opened = Spool::open_on(Arc::new(disk), Path::new("/data"), options, Arc::new(NoLedger), None);
    let Err(SpoolError::Folder { path, .. }) = opened else { panic!("it is not left alone") };
    assert_eq!(path, Path::new(FIRST));
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
