//! The spool against disks that lose power, fill up, fail and rot.

mod damage;
mod full;

use super::deferred::State;
use super::sim::SimDisk;
use super::*;
use crate::envelope::{Body, Dispatch, DispatchKind, Notify, Submitted, Target, Usage, Variant};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

const DATA: &str = "/data";

pub(crate) fn record(id: u64, bytes: Vec<u8>) -> Record {
    let target = |name: &str| Target {
        address: format!("{name}@example.com"),
        given: None,
        inside: true,
        notify: Notify::default(),
        orcpt: None,
    };
    Record {
        id: MessageId(id),
        received: 1_700_000_000_000,
        dispatches: vec![Dispatch {
            kind: DispatchKind::Message,
            sender: "ann@example.org".to_owned(),
            recipients: vec![target("bob"), target("eve")],
            variant: 0,
            body: Body::SevenBit,
            smtputf8: false,
            ret: None,
            envid: None,
            hold: false,
            client_ip: "192.0.2.1".parse().unwrap(),
            auth_user: None,
            submitted: Submitted::No,
        }],
        variants: vec![Variant::default()],
        usage: vec![Usage { key: "user:ann".to_owned(), at: 0, messages: 1, recipients: 2, bytes: id }],
        table: "digest".to_owned(),
        bytes,
    }
}

/// A ledger with a durable snapshot: counts messages.
#[derive(Default)]
struct Counter(Mutex<(u64, u64, u64, u64)>);

impl Counter {
    /// As after a restart: from the snapshot.
    fn restarted(&self) -> Self {
        let (_, _, covered, saved) = *self.0.lock().unwrap();
        Self(Mutex::new((covered, saved, covered, saved)))
    }
    fn count(&self) -> u64 {
        self.0.lock().unwrap().1
    }
}

impl Ledger for Counter {
    fn covered(&self) -> u64 {
        self.0.lock().unwrap().2
    }
    fn replay(&self, seq: u64, usage: &[Usage]) {
        if seq > self.covered() {
            self.committed(seq, usage);
        }
    }
    fn committed(&self, seq: u64, usage: &[Usage]) {
        let mut inner = self.0.lock().unwrap();
        assert!(seq > inner.0, "in order");
        inner.0 = seq;
        inner.1 += usage.iter().map(|u| u.messages).sum::<u64>();
    }
    fn checkpoint(&self, seq: u64) -> io::Result<()> {
        let mut inner = self.0.lock().unwrap();
        assert!(inner.0 <= seq);
        (inner.2, inner.3) = (seq, inner.1);
        Ok(())
    }
}

fn small() -> Options {
    Options { segment: 64 << 10, reserve: 1 << 20, spare: 2 }
}

fn open(disk: &SimDisk, ledger: &Arc<Counter>) -> (Spool, Recovery) {
    let ledger: Arc<dyn Ledger> = Arc::clone(ledger) as _;
    Spool::open_on(Arc::new(disk.clone()), Path::new(DATA), small(), ledger, None).unwrap()
}

fn body(id: u64, length: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(id);
    (0..length).map(|_| rng.u8(..)).collect()
}

/// Lets a log of one segment, which is closed, have room for no other one.
fn leave_one_segment(disk: &SimDisk) {
    let folder = Path::new("/data/spool/log");
    for name in disk.list(folder).unwrap() {
        if name != "00000000.seg" {
            disk.remove(&folder.join(name)).unwrap();
        }
    }
    disk.sync_dir(folder).unwrap();
    disk.fail_segments(true);
}

/// The same, and it has none for a note either.
pub(crate) fn leave_no_room(disk: &SimDisk, options: Options) {
    leave_one_segment(disk);
    let ledger = Arc::new(NoLedger);
    let (spool, _) = Spool::open_on(Arc::new(disk.clone()), Path::new(DATA), options, ledger, None).unwrap();
    // A note of something that is not there.
    let note = |length| Note::Settled(MessageId(0), vec![(0, 0); length]);
    fill_with(&spool, &[note(1000), note(0)]);
}

/// Writes each note until there is no room for it.
fn fill_with(spool: &Spool, notes: &[Note]) {
    std::thread::scope(|scope| {
        // Whoever asks may be in a runtime of his own.
        scope.spawn(|| {
            runtime().block_on(async {
                for note in notes {
                    while spool.note_durably(note).await.is_ok() {}
                }
            });
        });
    });
}

/// What was promised to others when the power went.
#[derive(Default)]
struct Promises {
    acknowledged: BTreeMap<u64, usize>,
    finished: BTreeSet<u64>,
    started: BTreeSet<u64>,
    finishing: BTreeSet<u64>,
    settled: BTreeSet<u64>,
}

/// Appends, settles, moves and finishes messages from many tasks until the disk is gone. Where none `stay`, each
/// leaves the log, and whatever segments nothing needs are given back again and again.
async fn work(spool: &Spool, promises: &Arc<Mutex<Promises>>, first: u64, seed: u64, stay: bool) {
    let mut tasks = Vec::new();
    for task in 0..8u64 {
        let (spool, promises) = (spool.clone(), Arc::clone(promises));
        let mut rng = fastrand::Rng::with_seed(seed ^ task);
        tasks.push(tokio::spawn(async move {
            for n in 0..40u64 {
                let id = first + task * 1000 + n;
                let length = if rng.u8(..) < 8 { 20_000 } else { rng.usize(..6000) };
                promises.lock().unwrap().started.insert(id);
                let message = Arc::new(record(id, body(id, length)));
                let Ok(position) = spool.append(Arc::clone(&message)).await else { return };
                promises.lock().unwrap().acknowledged.insert(id, length);
                if position.external {
                    continue;
                }
                let name = MessageId(id);
                if !stay {
                    spool.reclaim();
                }
                match if stay { rng.u8(..10) } else { rng.u8(2..10) } {
                    0 => {}
                    1 => {
                        let note = Note::Settled(name, vec![(0, 1)]);
                        if spool.note_durably(&note).await.is_ok() {
                            promises.lock().unwrap().settled.insert(id);
                        }
                    }
                    2 | 3 => {
                        let state = deferred::State { attempts: 1, ..Default::default() };
                        if spool.deferred().put(&message, &state).is_err() {
                            return;
                        }
                        if spool.note_durably(&Note::Moved(name)).await.is_err() {
                            return;
                        }
                        spool.release(position);
                    }
                    4 => {
                        promises.lock().unwrap().finishing.insert(id);
                        spool.note(&Note::Done(name));
                        spool.release(position);
                    }
                    _ => {
                        promises.lock().unwrap().finishing.insert(id);
                        if spool.note_durably(&Note::Done(name)).await.is_err() {
                            return;
                        }
                        promises.lock().unwrap().finished.insert(id);
                        spool.release(position);
                    }
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

/// Finishes half of what a start found in the deferred store; some of it stands in the log as well.
async fn finish(spool: &Spool, found: Vec<MessageId>, promises: &Arc<Mutex<Promises>>) {
    for id in found.into_iter().filter(|id| id.0 % 2 == 0) {
        promises.lock().unwrap().finishing.insert(id.0);
        if spool.remove_deferred(id).await.is_err() {
            return;
        }
        promises.lock().unwrap().finished.insert(id.0);
    }
}

fn check(spool: &Spool, found: &Recovery, promises: &Promises) {
    let mut seen = BTreeSet::new();
    let in_log = found.log.iter().map(|m| (m.id.0, spool.read(m.position)));
    let moved = found.deferred.iter().map(|id| (id.0, spool.deferred().load(*id)));
    for (id, read) in in_log.chain(moved) {
        assert!(seen.insert(id), "{id} is there twice");
        assert!(promises.started.contains(&id), "{id} was never given");
        assert!(!promises.finished.contains(&id), "{id} was done");
        let read = read.unwrap();
        assert_eq!(read, record(id, body(id, read.bytes.len())));
    }
    for (id, length) in &promises.acknowledged {
        assert!(seen.contains(id) || promises.finishing.contains(id), "{id} of {length} bytes is lost");
    }
    for message in &found.log {
        if promises.settled.contains(&message.id.0) {
            assert_eq!(message.settled, [(0, 1)]);
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn crash_often(seed: u64, cuts: [u64; 3], stay: bool) {
    let mut disk = SimDisk::default();
    let mut ledger = Arc::new(Counter::default());
    let promises = Arc::new(Mutex::new(Promises::default()));
    for (round, cut) in cuts.into_iter().enumerate() {
        let (spool, found) = open(&disk, &ledger);
        check(&spool, &found, &promises.lock().unwrap());
        disk.cut_at(disk.operations() + cut);
        let first = 1 + round as u64 * 100_000;
        runtime().block_on(async {
            let work = work(&spool, &promises, first, seed, stay);
            tokio::join!(finish(&spool, found.deferred, &promises), work);
        });
        drop(spool);
        disk = disk.after_cut(seed.wrapping_add(round as u64));
        ledger = Arc::new(ledger.restarted());
    }
    let (spool, found) = open(&disk, &ledger);
    let promises = promises.lock().unwrap();
    check(&spool, &found, &promises);
    let counted = ledger.count();
    assert!(counted >= promises.acknowledged.len() as u64, "usage is lost");
    assert!(counted <= promises.started.len() as u64, "usage is counted twice");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn power_cuts_lose_nothing(seed: u64, cuts in [3u64..400, 3u64..400, 3u64..100], stay: bool) {
        crash_often(seed, cuts, stay);
    }
}

#[test]
fn space_is_reclaimed_and_counters_survive() {
    let disk = SimDisk::default();
    let ledger = Arc::new(Counter::default());
    let (spool, _) = open(&disk, &ledger);
    runtime().block_on(async {
        for id in 0..200 {
            let position = spool.append(Arc::new(record(id, body(id, 8000)))).await.unwrap();
            assert_eq!(spool.read(position).unwrap(), record(id, body(id, 8000)));
            spool.note(&Note::Done(MessageId(id)));
            spool.release(position);
        }
    });
    // 200 messages of 8 kB went through segments of 64 KiB.
    assert!(spool.segments() <= 2, "{}", spool.segments());
    drop(spool);
    let names = disk.list(Path::new("/data/spool/log")).unwrap();
    assert!(names.len() <= 6, "{names:?}");
    let ledger = Arc::new(ledger.restarted());
    let (_, found) = open(&disk, &ledger);
    assert_eq!((found.log.len(), found.deferred.len()), (0, 0));
    assert_eq!(ledger.count(), 200);
}

#[test]
fn an_unfinished_message_pins_its_segment_only() {
    let disk = SimDisk::default();
    let (spool, _) = open(&disk, &Arc::default());
    let kept = runtime().block_on(async {
        let kept = spool.append(Arc::new(record(7, body(7, 8000)))).await.unwrap();
        for id in 100..150 {
            let position = spool.append(Arc::new(record(id, body(id, 8000)))).await.unwrap();
            spool.note(&Note::Done(MessageId(id)));
            spool.release(position);
        }
        kept
    });
    assert!(spool.pinning()(kept));
    assert_eq!(spool.read(kept).unwrap(), record(7, body(7, 8000)));
    drop(spool);
    let (_, found) = open(&disk, &Arc::default());
    assert_eq!(found.log.iter().map(|m| m.id.0).collect::<Vec<_>>(), [7]);
}

#[test]
fn one_bad_record_does_not_take_the_rest() {
    for (name, at) in [("header", 64 + 33), ("payload", 64 + 400), ("segment", 3)] {
        let disk = SimDisk::default();
        let (spool, _) = open(&disk, &Arc::default());
        runtime().block_on(async {
            for id in 1..=5 {
                spool.append(Arc::new(record(id, body(id, 300)))).await.unwrap();
            }
        });
        drop(spool);
        disk.damage(Path::new("/data/spool/log/00000000.seg"), at);
        let (spool, found) = open(&disk, &Arc::default());
        let ids: Vec<u64> = found.log.iter().map(|m| m.id.0).collect();
        if name == "segment" {
            assert_eq!(ids, [1, 2, 3, 4, 5]);
        } else {
            assert_eq!((ids, found.damaged), (vec![2, 3, 4, 5], 1), "{name}");
        }
        for message in found.log {
            spool.read(message.position).unwrap();
        }
    }
}

#[test]
fn a_frame_in_a_message_is_no_frame() {
    let disk = SimDisk::default();
    let (spool, _) = open(&disk, &Arc::default());
    let path = Path::new("/data/spool/log/00000000.seg");
    runtime().block_on(async {
        spool.append(Arc::new(record(1, body(1, 300)))).await.unwrap();
        // A message that holds the log's own bytes, and whose header then rots.
        let stolen = disk.bytes(path).unwrap()[64..1000].to_vec();
        spool.append(Arc::new(record(2, stolen))).await.unwrap();
        spool.append(Arc::new(record(3, body(3, 300)))).await.unwrap();
    });
    drop(spool);
    let (_, found) = open(&disk, &Arc::default());
    let second = &found.log[1];
    assert_eq!(second.id.0, 2);
    disk.damage(path, second.position.offset as usize + 2);
    // The same nonce: the copy verifies, but it is a record that is there already, at another place.
    let (_, found) = open(&disk, &Arc::default());
    assert_eq!(found.log.iter().map(|m| m.id.0).collect::<BTreeSet<_>>(), [1, 3].into());
}

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

#[test]
fn a_full_disk_refuses_and_recovers() {
    let disk = SimDisk::default();
    let (spool, _) = open(&disk, &Arc::default());
    runtime().block_on(async {
        spool.append(Arc::new(record(1, body(1, 300)))).await.unwrap();
        spool.ready().unwrap();
        disk.set_free(1000);
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
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
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        spool.ready().unwrap();
    });
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
    disk.read_only();
    let failed = runtime().block_on(spool.append(Arc::new(record(1, body(1, 300)))));
    assert!(failed.is_err());
}

#[test]
fn large_records_go_round_the_log() {
    let disk = SimDisk::default();
    let (spool, _) = open(&disk, &Arc::default());
    let position = runtime().block_on(spool.append(Arc::new(record(9, body(9, 200_000))))).unwrap();
    assert!(position.external);
    assert_eq!(spool.deferred().load(MessageId(9)).unwrap(), record(9, body(9, 200_000)));
    drop(spool);
    let (spool, found) = open(&disk.after_cut(3), &Arc::default());
    assert_eq!((found.log.len(), found.deferred), (0, vec![MessageId(9)]));
    spool.deferred().remove(MessageId(9)).unwrap();
    drop(spool);
    let (_, found) = open(&disk, &Arc::default());
    assert_eq!(found.deferred.len(), 1, "the old disk still has it");
}

#[test]
fn damaged_deferred_files_are_told() {
    let disk = SimDisk::default();
    let (spool, _) = open(&disk, &Arc::default());
    let state = deferred::State { attempts: 3, due: 99, settled: vec![(0, 1)], ..Default::default() };
    for id in [1u64, 2, 3] {
        spool.deferred().put(&record(id, body(id, 100)), &state).unwrap();
    }
    assert_eq!(spool.deferred().state(MessageId(1)), Ok(state));
    let path = |id: u64, suffix| {
        format!("/data/spool/deferred/{:02x}/{}{suffix}", deferred::home(MessageId(id)), MessageId(id))
    };
    disk.damage(Path::new(&path(1, ".s")), 9);
    disk.damage(Path::new(&path(2, "")), 90);
    // Whether somebody held it is not known: then it is held.
    let held = deferred::State { held: true, ..Default::default() };
    assert_eq!(spool.deferred().state(MessageId(1)), Ok(held));
    assert!(matches!(spool.deferred().load(MessageId(2)), Err(SpoolError::Damaged(_))));
    spool.deferred().set_aside(MessageId(2)).unwrap();
    drop(spool);
    let (_, found) = open(&disk, &Arc::default());
    assert_eq!(found.deferred, [MessageId(1), MessageId(3)]);
}

/// Queue tampering, local attacks: two daemons never write one spool.
#[test]
fn a_folder_has_one_owner() {
    let data = tempfile::tempdir().unwrap();
    let first = Spool::open(data.path(), small(), Arc::new(NoLedger)).unwrap();
    let second = Spool::open(data.path(), small(), Arc::new(NoLedger));
    assert!(matches!(second, Err(SpoolError::Locked(_))));
    drop(first);
    let (spool, _) = Spool::open(data.path(), small(), Arc::new(NoLedger)).unwrap();
    let position = runtime().block_on(spool.append(Arc::new(record(1, body(1, 300))))).unwrap();
    assert_eq!(spool.read(position).unwrap(), record(1, body(1, 300)));
    use std::os::unix::fs::PermissionsExt;
    let mode = |p: &str| std::fs::metadata(data.path().join(p)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("spool/log/00000000.seg"), 0o600);
    assert_eq!((mode("spool"), mode("spool/log"), mode("lock")), (0o700, 0o700, 0o600));
}
