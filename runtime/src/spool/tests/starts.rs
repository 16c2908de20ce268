//! Power cuts and kills in the start itself, which renames, merges, adopts and removes, and in the first work behind it: at each of
//! its operations, and again in the start behind that one.

use super::power::{Promises, check, go_on, work};
use super::*;

/// A disk as a life of the spool left it, and what that promised.
struct Left {
    disk: SimDisk,
    ledger: Counter,
    promises: Promises,
}

/// The power goes, or the process alone ends.
fn end(disk: &SimDisk, rng: &mut fastrand::Rng) -> SimDisk {
    if rng.u8(..) < 160 { disk.after_cut(rng.u64(..)) } else { disk.after_kill() }
}

/// A life that ends at so many operations from its start on, or never gets further than its start. How many that one had.
fn live(left: &mut Left, cut: Option<u64>, rng: &mut fastrand::Rng, first: u64) -> u64 {
    let (disk, ledger) = (left.disk.clone(), Arc::new(left.ledger.restarted()));
    let before = disk.operations();
    if let Some(cut) = cut {
        disk.cut_at(before + cut);
    }
    let promises = Arc::new(Mutex::new(std::mem::take(&mut left.promises)));
    let counting: Arc<dyn Ledger> = Arc::clone(&ledger) as _;
    let opened = Spool::open_on(Arc::new(disk.clone()), Path::new(DATA), small(), counting, None);
    let of_start = disk.operations() - before;
    match opened {
        Ok((spool, found)) if cut.is_some() => {
            let work = work(&spool, &promises, first, rng.u64(..), rng.bool());
            runtime().block_on(async { tokio::join!(go_on(&spool, found, &promises), work) });
        }
        Ok(_) => {}
        // Nothing else may keep a spool from starting.
        Err(error) => assert!(cut.is_some_and(|cut| of_start >= cut), "{error}"),
    }
    left.ledger = ledger.restarted();
    left.promises = promises.lock().unwrap().clone();
    left.disk = disk;
    of_start
}

impl Left {
    fn copy(&self) -> Self {
        Self {
            disk: self.disk.after_kill(),
            ledger: self.ledger.restarted(),
            promises: self.promises.clone(),
        }
    }
}

/// After two lives that ended at work: cuts at one in so many operations of the next start and of what follows at once, and
/// somewhere in the start behind that, or later.
fn sweep(seed: u64, step: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut left =
        Left { disk: SimDisk::default(), ledger: Counter::default(), promises: Promises::default() };
    for first in [1, 100_001] {
        live(&mut left, Some(rng.u64(100..500)), &mut rng, first);
        left.disk = end(&left.disk, &mut rng);
    }
    let of_start = live(&mut left.copy(), None, &mut rng.clone(), 200_001);
    let mut cut = 1 + seed % step;
    while cut < of_start + 40 {
        let mut left = left.copy();
        live(&mut left, Some(cut), &mut rng, 200_001);
        left.disk = end(&left.disk, &mut rng);
        let later = if rng.u8(..) < 200 { 20 } else { 500 };
        live(&mut left, Some(rng.u64(1..of_start + later)), &mut rng, 300_001);
        left.disk = end(&left.disk, &mut rng);
        let (spool, found) = open(&left.disk, &Arc::new(left.ledger.restarted()));
        check(&spool, &found, &left.promises);
        drop(spool);
        cut += step;
    }
}

#[test]
fn a_cut_in_a_start_loses_nothing() {
    for seed in 0..12 {
        sweep(seed, 7);
    }
}

/// The folders themselves: of a data folder that is not there yet all is made, and the first 250 is a promise. A kill comes at
/// each operation before that, the next life makes the rest, and then the power goes.
#[test]
fn a_fresh_folder_outlasts_what_comes() {
    let take = |disk: &SimDisk| {
        let opened =
            Spool::open_on(Arc::new(disk.clone()), Path::new(DATA), small(), Arc::new(NoLedger), None);
        let (spool, _) = opened.ok()?;
        let large = runtime().block_on(spool.append(Arc::new(record(1, body(1, 30_000)))));
        let small = runtime().block_on(spool.append(Arc::new(record(2, body(2, 300)))));
        large.and(small).ok()
    };
    let all = |disk: &SimDisk| {
        let (spool, found) = open(disk, &Arc::default());
        found.deferred == [MessageId(1)]
            && spool.deferred().load(MessageId(1)) == Ok(record(1, body(1, 30_000)))
            && found.log.len() == 1
            && spool.read(found.log[0].position) == Ok(record(2, body(2, 300)))
    };
    let disk = SimDisk::default();
    take(&disk).unwrap();
    for step in 1..=disk.operations() {
        let disk = SimDisk::default();
        disk.cut_at(step);
        let told = take(&disk).is_some();
        for seed in 0..8 {
            assert!(!told || all(&disk.after_cut(seed)), "told before {step}, and lost");
        }
        let disk = disk.after_kill();
        take(&disk).unwrap();
        for seed in 0..8 {
            assert!(all(&disk.after_cut(seed)), "killed at {step}, told, and lost");
        }
    }
}

/// A kill leaves what reads as if it had been synced: what a start finds by that, and what is done for its sake, outlasts the
/// power cut that comes next. Each of the two is undone alone at the operation at which the process ended.
#[test]
fn what_a_start_found_after_a_kill_outlasts_a_power_cut() {
    let name = MessageId(1);
    let who = vec![(0, 1)];
    let life = || {
        let disk = SimDisk::default();
        let (spool, _) = open(&disk, &Arc::default());
        let message = Arc::new(record(1, body(1, 300)));
        runtime().block_on(spool.append(Arc::clone(&message))).unwrap();
        spool.deferred().put(&message, &State::default()).unwrap();
        (disk, spool)
    };
    for seed in 0..8 {
        // The word that it has moved is written, and not synced: the next life ends it.
        let (disk, spool) = life();
        disk.cut_at(disk.operations() + 1);
        runtime().block_on(spool.note_durably(&Note::Moved(name))).unwrap_err();
        drop(spool);
        let disk = disk.after_kill();
        let (spool, found) = open(&disk, &Arc::default());
        assert_eq!((found.log.len(), found.deferred), (0, vec![name]));
        runtime().block_on(spool.remove_deferred(name)).unwrap();
        drop(spool);
        let (_, found) = open(&disk.after_cut(seed), &Arc::default());
        assert_eq!((found.log, found.deferred), (vec![], vec![]), "it is back");
        // Who has it stands in a state whose folder was not synced.
        let (disk, spool) = life();
        runtime().block_on(spool.note_durably(&Note::Moved(name))).unwrap();
        // The file is made, written, synced and renamed.
        disk.cut_at(disk.operations() + 5);
        spool.deferred().merge(name, &who, &[]).unwrap_err();
        drop(spool);
        let disk = disk.after_kill();
        let (spool, _) = open(&disk, &Arc::default());
        assert_eq!(spool.deferred().state(name).unwrap().settled, who);
        drop(spool);
        let (spool, _) = open(&disk.after_cut(seed), &Arc::default());
        assert_eq!(spool.deferred().state(name).unwrap().settled, who, "it is forgotten");
    }
}
