//! What an admin was told is done of a message under way holds where the machine stops in the same moment.

use super::wishes::{gated, patient, settled};
use super::*;
use crate::spool::deferred::State;
use crate::spool::{Note, TestDisk};
use admin::{Done, QueueError, Standing};

fn on(disk: &TestDisk, hops: &[(&str, u16)], settings: Settings) -> Queue {
    let options = Options { segment: 256 << 10, reserve: 1 << 20, spare: 2 };
    let opened =
        Spool::open_on(Arc::new(disk.clone()), Path::new("/data"), options, Arc::new(NoLedger), None);
    let (spool, recovery) = opened.unwrap();
    let map = hops.iter().map(|(domain, port)| ((*domain).to_owned(), relay(*port))).collect();
    Queue::start_with(spool, recovery, Box::new(Map(map, Vec::new())), Tls::default(), settings)
}

async fn eventually(what: &str, reached: impl Fn() -> bool) {
    for _ in 0..TURNS {
        if reached() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{what}");
}

/// Where a message lies when somebody wants something of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lies {
    /// In the log, at its first attempt.
    Log,
    /// In the deferred store, at its second.
    Store,
    /// There at its first one: the log would not have it.
    Large,
}

/// Has a message wait in the middle of an attempt, one recipient of which has it; asks for something, and stops the machine.
async fn stopped_after(wish: &str, lies: Lies, seed: u64) -> (TestDisk, tempfile::TempDir) {
    let data = tempfile::tempdir().unwrap();
    let (near, _) = server(|_| None).await;
    let (far, _, asked, open) = gated("451 4.2.2 later\r\n").await;
    let disk = TestDisk::default();
    let hops = [("near.example", near), ("far.example", far)];
    let queue = on(&disk, &hops, patient(data.path()));
    let text = format!("X: 1\n\n{}", "text\n".repeat(if lies == Lies::Large { 20_000 } else { 1 }));
    let mut record = message(1, &["a@near.example", "slow@far.example"], &text);
    let mut held = record.dispatches[0].clone();
    (held.hold, held.recipients) =
        (true, message(1, &["held@near.example"], "").dispatches[0].recipients.clone());
    record.dispatches.push(held);
    queue.submit(record).await.unwrap();
    until(&asked).await;
    if lies == Lies::Store {
        open.store(true, Ordering::SeqCst);
        assert_eq!(settled(&queue).await[0].state, Standing::Deferred);
        for flag in [&open, &asked] {
            flag.store(false, Ordering::SeqCst);
        }
        queue.retry(MessageId(1)).await.unwrap();
        until(&asked).await;
    }
    let mut known = false;
    for _ in 0..TURNS {
        // Before that it would be sent once more, as after any kill.
        known = queue.list(None, 1).await[0].recipients.iter().all(|r| r.address != "a@near.example");
        if known {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(known);
    // It is noted once the worker has nothing more to do with it.
    let lane = queue.inner.lane(&relay(near));
    eventually("its worker does not come to rest", || lane.workers().0 == lane.workers().1).await;
    let told = match wish {
        "hold" => queue.hold(MessageId(1)).await,
        "release" => queue.release(MessageId(1)).await,
        _ => queue.remove(MessageId(1)).await,
    };
    let found = disk.after_cut(seed);
    open.store(true, Ordering::SeqCst);
    assert_eq!(told, Ok(Done::AtEnd));
    (found, data)
}

fn recipients(seen: &Seen) -> Vec<String> {
    let lines = seen.all().into_iter().flat_map(|(to, _)| to);
    let mut all: Vec<String> =
        lines.map(|line| line.replace("RCPT TO:<", "").split('>').next().unwrap().to_owned()).collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_was_removed_is_not_delivered_after_a_restart() {
    for (seed, lies) in [(1, Lies::Log), (2, Lies::Store), (3, Lies::Large), (4, Lies::Log)] {
        let (disk, data) = stopped_after("remove", lies, seed).await;
        let (port, seen) = server(|_| None).await;
        let queue = on(&disk, &[("near.example", port), ("far.example", port)], patient(data.path()));
        assert!(queue.counters().queued <= 1);
        empty(&queue).await;
        assert_eq!(recipients(&seen), [""; 0], "{lies:?}");
        assert!(!data.path().join("mail").exists(), "nobody is told");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_was_held_waits_for_its_release_after_a_restart() {
    for (seed, lies) in [(1, Lies::Log), (2, Lies::Store), (3, Lies::Large), (4, Lies::Log)] {
        let (disk, data) = stopped_after("hold", lies, seed).await;
        let (port, seen) = server(|_| None).await;
        let queue = on(&disk, &[("near.example", port), ("far.example", port)], patient(data.path()));
        let held = || queue.inner.index().behind(None).all(|(_, due)| due == i64::MAX);
        eventually("it is not held", held).await;
        let list = settled(&queue).await;
        assert_eq!(list.iter().map(|m| m.state).collect::<Vec<_>>(), [Standing::Held], "{lies:?}");
        assert_eq!(recipients(&seen), [""; 0], "{lies:?}");
        queue.release(MessageId(1)).await.unwrap();
        empty(&queue).await;
        assert_eq!(recipients(&seen), ["held@near.example", "slow@far.example"], "{lies:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_was_released_goes_after_a_restart() {
    for (seed, lies) in [(1, Lies::Log), (2, Lies::Store), (3, Lies::Large), (4, Lies::Log)] {
        let (disk, data) = stopped_after("release", lies, seed).await;
        let (port, seen) = server(|_| None).await;
        let queue = on(&disk, &[("near.example", port), ("far.example", port)], patient(data.path()));
        empty(&queue).await;
        assert_eq!(recipients(&seen), ["held@near.example", "slow@far.example"], "{lies:?}");
    }
}

/// Without room for a note nothing is promised, and nothing stays behind that a restart would deliver once more.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_log_without_room_promises_nothing() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen, asked, open) = gated("250 2.1.5 ok\r\n").await;
    let disk = TestDisk::default();
    let queue = on(&disk, &[("far.example", port)], patient(data.path()));
    queue.submit(message(1, &["slow@far.example"], "X: 1\n\n")).await.unwrap();
    until(&asked).await;
    disk.fail_segments(true);
    for length in [5000, 1] {
        let note = Note::Settled(MessageId(0), vec![(0, 0); length]);
        while queue.inner.spool.note_durably(&note).await.is_ok() {}
    }
    let refused = queue.remove(MessageId(1)).await;
    let state = queue.inner.spool.deferred().state(MessageId(1));
    disk.fail_segments(false);
    // Whoever stands at the gate when this fails would stand there for ever.
    open.store(true, Ordering::SeqCst);
    assert!(matches!(refused, Err(QueueError::Disk(_))), "{refused:?}");
    assert_eq!(state, Ok(State::default()));
    empty(&queue).await;
    assert_eq!(recipients(&seen), ["slow@far.example"]);
    queue.drain(Duration::from_secs(60)).await;
    let queue = on(&disk.after_cut(1), &[("far.example", port)], patient(data.path()));
    assert_eq!(queue.counters().queued, 0);
}

/// An attempt whose end cannot be recorded promises nothing either.
#[tokio::test]
async fn the_end_of_an_attempt_that_cannot_be_recorded_is_told() {
    let data = tempfile::tempdir().unwrap();
    let (port, _) =
        server(|line| line.starts_with("RCPT").then(|| Some("451 4.2.2 later\r\n".to_owned()))).await;
    let queue = start(data.path(), &[("far.example", relay(port))], patient(data.path()));
    let home = crate::spool::deferred::home(MessageId(1));
    let folder = data.path().join(format!("spool/deferred/{home:02x}"));
    std::fs::write(&folder, "in the way").unwrap();
    queue.submit(message(1, &["a@far.example"], "X\n\n")).await.unwrap();
    eventually("it is not tried", || queue.counters().deferred > 0).await;
    assert_eq!(queue.hold(MessageId(1)).await, Err(QueueError::Ending(MessageId(1))));
    std::fs::remove_file(&folder).unwrap();
    // It is done all the same.
    let held = || queue.inner.index().behind(None).any(|(_, due)| due == i64::MAX);
    eventually("it is not held", held).await;
}
