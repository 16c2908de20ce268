//! Power cuts at any operation, again and again, while mail comes, moves and goes.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

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
