//! Power cuts at any operation, again and again, while mail comes, moves and goes.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What was promised to others when the power went.
#[derive(Clone, Default)]
pub(super) struct Promises {
    acknowledged: BTreeMap<u64, usize>,
    finished: BTreeSet<u64>,
    started: BTreeSet<u64>,
    finishing: BTreeSet<u64>,
    /// Whose second recipient has it, and it was written down that his author is to hear of it.
    settled: BTreeSet<u64>,
}

/// Who has it, and what is told of him.
const WHO: (u16, u16) = (0, 1);
const WORD: (u16, u16, deferred::Word) = (0, 1, deferred::Word::Delivered);

fn known(settled: bool) -> State {
    let (settled, words) = if settled { (vec![WHO], vec![WORD]) } else { Default::default() };
    State { attempts: 1, settled, words, ..State::default() }
}

/// Notes, as the queue does, who has a message; where the log may forget that the state says it, too.
async fn settle(spool: &Spool, promises: &Mutex<Promises>, id: MessageId, stored: bool) -> bool {
    let fates = deferred::Fates { settled: vec![WHO], words: vec![WORD] };
    let mut noted = spool.note_durably(&Note::Known(id, fates)).await.is_ok();
    noted &= !stored || spool.deferred().merge(id, &[WHO], &[WORD]).is_ok();
    if noted {
        promises.lock().unwrap().settled.insert(id.0);
    }
    noted
}

/// Moves a message to the deferred store, with what is known of it.
async fn move_it(spool: &Spool, promises: &Mutex<Promises>, message: &Record, position: Position) -> bool {
    let state = known(promises.lock().unwrap().settled.contains(&message.id.0));
    let moved = spool.deferred().put(message, &state).is_ok()
        && spool.note_durably(&Note::Moved(message.id)).await.is_ok();
    if moved {
        spool.release(position);
    }
    moved
}

/// Ends a message of the log.
async fn end(spool: &Spool, promises: &Mutex<Promises>, id: MessageId, position: Position) -> bool {
    promises.lock().unwrap().finishing.insert(id.0);
    let ended = spool.note_durably(&Note::Done(id)).await.is_ok();
    if ended {
        promises.lock().unwrap().finished.insert(id.0);
        spool.release(position);
    }
    ended
}

/// Ends a message of the deferred store.
async fn remove(spool: &Spool, promises: &Mutex<Promises>, id: MessageId) -> bool {
    promises.lock().unwrap().finishing.insert(id.0);
    let removed = spool.remove_deferred(id).await.is_ok();
    if removed {
        promises.lock().unwrap().finished.insert(id.0);
    }
    removed
}

/// Appends, settles, moves and finishes messages from many tasks until the disk is gone. Where none `stay`, each
/// leaves the log, and whatever segments nothing needs are given back again and again.
pub(super) async fn work(spool: &Spool, promises: &Arc<Mutex<Promises>>, first: u64, seed: u64, stay: bool) {
    let mut tasks = Vec::new();
    for task in 0..8u64 {
        let (spool, promises) = (spool.clone(), Arc::clone(promises));
        let mut rng = fastrand::Rng::with_seed(seed ^ task);
        tasks.push(tokio::spawn(async move {
            for n in 0..40u64 {
                let id = first + task * 1000 + n;
                let length = if rng.u8(..) < 20 { 20_000 } else { rng.usize(..6000) };
                promises.lock().unwrap().started.insert(id);
                let message = Arc::new(record(id, body(id, length)));
                let Ok(position) = spool.append(Arc::clone(&message)).await else { return };
                promises.lock().unwrap().acknowledged.insert(id, length);
                let name = MessageId(id);
                if !stay {
                    spool.reclaim();
                }
                let what = if stay { rng.u8(..12) } else { rng.u8(4..12) };
                let goes_on = match what {
                    _ if position.external => match what {
                        0..4 => true,
                        4..8 => settle(&spool, &promises, name, true).await,
                        _ => remove(&spool, &promises, name).await,
                    },
                    0 => true,
                    1 => settle(&spool, &promises, name, false).await,
                    2..6 => {
                        let settled = what % 2 == 0 && settle(&spool, &promises, name, false).await;
                        let moved = move_it(&spool, &promises, &message, position).await;
                        // The next attempt, or the end of it.
                        moved
                            && match what {
                                3 if !settled => settle(&spool, &promises, name, true).await,
                                5 => remove(&spool, &promises, name).await,
                                _ => true,
                            }
                    }
                    6 => {
                        promises.lock().unwrap().finishing.insert(id);
                        spool.note(&Note::Done(name));
                        spool.release(position);
                        true
                    }
                    _ => end(&spool, &promises, name, position).await,
                };
                if !goes_on {
                    return;
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

/// Goes on with what a start found: ends half of it, moves a part of what is in the log, and settles some. Some of what is in the
/// deferred store stands in the log as well.
pub(super) async fn go_on(spool: &Spool, found: Recovery, promises: &Mutex<Promises>) {
    for message in found.log {
        let (id, position) = (message.id, message.position);
        let goes_on = match id.0 % 4 {
            0 | 2 => end(spool, promises, id, position).await,
            1 => match spool.read(position) {
                Ok(record) => move_it(spool, promises, &record, position).await,
                Err(_) => return,
            },
            _ => settle(spool, promises, id, false).await,
        };
        if !goes_on {
            return;
        }
    }
    for id in found.deferred {
        let goes_on = match id.0 % 4 {
            0 | 2 => remove(spool, promises, id).await,
            1 => settle(spool, promises, id, true).await,
            _ => true,
        };
        if !goes_on {
            return;
        }
    }
}

pub(super) fn check(spool: &Spool, found: &Recovery, promises: &Promises) {
    let mut seen = BTreeSet::new();
    let in_log = found.log.iter().map(|m| (m.id, spool.read(m.position), m.settled.clone(), Vec::new()));
    let moved = found.deferred.iter().map(|id| {
        let state = spool.deferred().state(*id).unwrap();
        assert!(!state.held, "the state of {id} is damaged");
        let mut settled = state.settled;
        settled.extend(found.settled.get(id).into_iter().flatten());
        (*id, spool.deferred().load(*id), settled, state.words)
    });
    for (id, read, settled, mut words) in in_log.chain(moved) {
        words.extend(found.words.get(&id).into_iter().flatten());
        let id = id.0;
        assert!(seen.insert(id), "{id} is there twice");
        assert!(promises.started.contains(&id), "{id} was never given");
        assert!(!promises.finished.contains(&id), "{id} was done");
        let read = read.unwrap();
        assert_eq!(read, record(id, body(id, read.bytes.len())));
        if let Some(length) = promises.acknowledged.get(&id) {
            assert_eq!(read.bytes.len(), *length, "{id} is cut off");
        }
        if promises.settled.contains(&id) {
            assert!(settled.contains(&WHO), "{id}: who has it is forgotten");
        }
        let told = !settled.contains(&WHO) || words.contains(&WORD);
        assert!(told, "{id}: what is to be told of who has it is forgotten");
    }
    for (id, length) in &promises.acknowledged {
        assert!(seen.contains(id) || promises.finishing.contains(id), "{id} of {length} bytes is lost");
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
            tokio::join!(go_on(&spool, found, &promises), work);
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
