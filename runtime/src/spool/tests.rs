//! The spool against disks that lose power, fill up, fail and rot.

mod damage;
mod fails;
mod folders;
mod full;
mod moves;
mod power;
mod read_only;
mod starts;

use super::deferred::State;
use super::sim::SimDisk;
use super::*;
use crate::envelope::{Body, Dispatch, DispatchKind, Notify, Submitted, Target, Usage, Variant};
use std::collections::BTreeSet;
use std::sync::Mutex;

const DATA: &str = "/data";
const LOG: &str = "/data/spool/log";

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

/// Files of the log.
fn files(disk: &SimDisk) -> usize {
    disk.list(Path::new(LOG)).unwrap().len()
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

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
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
