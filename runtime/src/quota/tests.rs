//! The store across starts: nothing is lost and nothing is counted twice, wherever a crash falls.

mod full;

use super::book::{Bound, Need};
use super::*;
use crate::quota::amount::Unit;

const NOW: i64 = 1_795_521_600_000;
const KEY: &str = "user:ann@example.com";

fn open(folder: &Path) -> Arc<Quotas> {
    Arc::new(Quotas::open(&folder.join("quota.redb"), "UTC").unwrap())
}

/// Mail is worth more than its numbers: they begin anew, and the file is kept.
#[test]
fn a_damaged_database_is_set_aside() {
    let whole = tempfile::tempdir().unwrap();
    let path = |folder: &Path| folder.join("quota.redb");
    {
        let quotas = open(whole.path());
        let mut log = Vec::new();
        (0..50).for_each(|_| send(&quotas, &mut log));
        quotas.checkpoint(50).unwrap();
    }
    let bytes = std::fs::read(path(whole.path())).unwrap();
    let half = bytes.get(..bytes.len() / 2).unwrap().to_vec();
    let mut damaged: Vec<Vec<u8>> = vec![Vec::new(), half];
    for at in [0, 64, 128, 256, 320, 4096, 8192, 12288, 20480, 40960] {
        let mut bytes = bytes.clone();
        bytes.iter_mut().skip(at).take(512).for_each(|byte| *byte ^= 0x5a);
        damaged.push(bytes);
    }
    let mut anew = 0;
    for (nth, bytes) in damaged.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(path(folder.path()), &bytes).unwrap();
        let quotas = open(folder.path());
        let kept = std::fs::read(folder.path().join("quota.redb.bad")).ok();
        if let Some(kept) = kept {
            assert_eq!((kept == bytes, used(&quotas, KEY)), (true, 0), "{nth}");
            anew += 1;
        }
        let mut log = Vec::new();
        send(&quotas, &mut log);
    }
    assert!(anew > 3, "{anew}");
    // What another process has is not damaged.
    let first = open(whole.path());
    assert!(Quotas::open(&path(whole.path()), "UTC").is_err());
    assert_eq!(used(&first, KEY), 50);
}

fn used(quotas: &Quotas, key: &str) -> u64 {
    quotas.used(key, Window::CalendarDay, NOW, &TimeZone::UTC).messages
}

fn need(most: u64) -> [Need; 1] {
    let bound = Bound { unit: Unit::Messages, most, window: Window::CalendarDay, warn_from: None };
    let add = Amount { messages: 1, recipients: 1, bytes: 100 };
    [Need { key: KEY.to_owned(), add, bounds: vec![(0, bound)] }]
}

/// What the spool would hold: each record's usage under its number.
fn send(quotas: &Arc<Quotas>, log: &mut Vec<Vec<Usage>>) {
    let (held, _) = quotas.reserve(&need(u64::MAX), NOW, &TimeZone::UTC).unwrap();
    log.push(held.usage().to_vec());
    quotas.committed(log.len() as u64, held.usage());
    held.keep();
}

fn replay(quotas: &Quotas, log: &[Vec<Usage>]) {
    for (place, usage) in log.iter().enumerate() {
        quotas.replay(place as u64 + 1, usage);
    }
}

#[test]
fn counters_survive_a_crash_at_every_point_between_checkpoints() {
    for checkpoint in 0..=6 {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Vec::new();
        {
            let quotas = open(folder.path());
            for sent in 1..=6 {
                send(&quotas, &mut log);
                if sent == checkpoint {
                    quotas.checkpoint(sent).unwrap();
                }
            }
            // Reserved, never durable: nothing of it reaches the disk.
            let (lost, _) = quotas.reserve(&need(7), NOW, &TimeZone::UTC).unwrap();
            assert!(quotas.reserve(&need(7), NOW, &TimeZone::UTC).is_err());
            drop(lost);
        }
        // Twice: the replay of one start must not become part of what the next one finds.
        for _ in 0..2 {
            let quotas = open(folder.path());
            assert_eq!(quotas.covered(), checkpoint);
            replay(&quotas, &log);
            assert_eq!(used(&quotas, KEY), 6);
            assert!(quotas.reserve(&need(6), NOW, &TimeZone::UTC).is_err());
        }
        let quotas = open(folder.path());
        replay(&quotas, &log);
        quotas.checkpoint(6).unwrap();
        drop(quotas);
        let quotas = open(folder.path());
        replay(&quotas, &log);
        assert_eq!((quotas.covered(), used(&quotas, KEY)), (6, 6));
    }
}

#[test]
fn a_checkpoint_takes_only_what_it_covers() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = Vec::new();
    let quotas = open(folder.path());
    for _ in 0..10 {
        send(&quotas, &mut log);
    }
    quotas.checkpoint(4).unwrap();
    drop(quotas);
    let quotas = open(folder.path());
    assert_eq!(used(&quotas, KEY), 4);
    replay(&quotas, &log);
    assert_eq!(used(&quotas, KEY), 10);
}

#[test]
fn ninety_days_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let quotas = open(folder.path());
    let day = 24 * 3_600_000;
    for (seq, back) in (0..120).rev().enumerate() {
        let usage = usage_of(KEY, NOW - back * day, Amount { messages: 1, recipients: 2, bytes: 3 });
        quotas.replay(seq as u64 + 1, &[usage]);
        if back % 7 == 0 {
            quotas.checkpoint(seq as u64 + 1).unwrap();
        }
    }
    let today = day_of(NOW, &TimeZone::UTC).number;
    let (history, _) = quotas.disk.history(KEY, i32::MIN, today).unwrap();
    assert_eq!(history.len(), 91, "today and ninety days before");
    assert_eq!(history.first().unwrap().0, today - 90);
    // Slots that cannot count any more are gone.
    assert!(quotas.disk.load().unwrap().slots.len() <= 3);
    assert_eq!(used(&quotas, KEY), 1);
}

#[test]
fn one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let _first = open(folder.path());
    assert!(Quotas::open(&folder.path().join("quota.redb"), "UTC").is_err());
}
