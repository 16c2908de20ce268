//! What was done for some recipients in the middle of an attempt outlives what comes in between: a restart, a power cut, the end of
//! the log, whatever hops say.

use super::aside::{BUSY, guide, is, lazy, picky, put_off, recipients, told};
use super::attempts::first_settled;
use super::backlog::{gated, patient};
use super::fair::Gate;
use super::*;
use crate::spool::TestDisk;
use std::sync::atomic::AtomicUsize;

/// A start on what is on this disk.
fn on(disk: &TestDisk, hops: &[(&str, Hop)], settings: Settings) -> Queue {
    let options = Options { segment: 256 << 10, reserve: 1 << 20, spare: 2 };
    let opened =
        Spool::open_on(Arc::new(disk.clone()), Path::new("/data"), options, Arc::new(NoLedger), None);
    let (spool, recovery) = opened.unwrap();
    Queue::start_with(spool, recovery, Box::new(guide(hops)), Tls::default(), settings)
}

/// Whoever was told of is not asked for again after a restart, wherever the message lies, and who waited is not forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_was_told_in_between_outlives_a_restart() {
    for lines in [1, 40_000] {
        let data = tempfile::tempdir().unwrap();
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hang = relay(silent.local_addr().unwrap().port());
        let asked = Arc::new(AtomicUsize::new(0));
        let (its, late) = (Arc::clone(&asked), AtomicUsize::new(0));
        let (port, seen) = server(move |line| match line {
            "RCPT TO:<no@far.example>" => {
                its.fetch_add(1, Ordering::SeqCst);
                Some(Some("550 5.1.1 nobody\r\n".to_owned()))
            }
            "RCPT TO:<late@far.example>" if late.fetch_add(1, Ordering::SeqCst) == 0 => {
                Some(Some(BUSY.to_owned()))
            }
            _ => None,
        })
        .await;
        let disk = TestDisk::default();
        let first = [("slow.example", hang), ("far.example", relay(port))];
        let queue = on(&disk, &first, lazy(data.path()));
        let text = format!("Subject: x\n\n{}", "0123456789\n".repeat(lines));
        let to = ["no@far.example", "late@far.example", "yes@far.example", "b@slow.example"];
        queue.submit(message(1, &to, &text)).await.unwrap();
        put_off(&queue).await;
        let no = [is("no@far.example", "failed")];
        wait("the notice", || {
            told(data.path()) == no
                && queue.counters().queued == 1
                && queue.inner.settling.load(Ordering::SeqCst) == 0
        })
        .await;
        queue.drain(Duration::from_millis(1)).await;
        drop(queue);
        let (good, seen_slow) = server(|_| None).await;
        let second = [("slow.example", relay(good)), ("far.example", relay(port))];
        let queue = on(&disk, &second, patient(data.path()));
        empty(&queue).await;
        assert_eq!(recipients(&seen), ["RCPT TO:<late@far.example>", "RCPT TO:<yes@far.example>"]);
        assert_eq!(seen_slow.all().len(), 1);
        assert_eq!((told(data.path()), asked.load(Ordering::SeqCst)), (no.to_vec(), 1));
    }
}

/// The power goes at any moment of that: nobody is lost, and the refusal is told, at worst twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_power_cut_in_between_loses_nobody() {
    for lines in [1, 13_000] {
        for operation in 1.. {
            let data = tempfile::tempdir().unwrap();
            let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let hang = relay(silent.local_addr().unwrap().port());
            let (port, seen, _) = picky(2).await;
            let disk = TestDisk::default();
            let first = [("slow.example", hang), ("far.example", relay(port))];
            let queue = on(&disk, &first, patient(data.path()));
            let end = disk.operations() + operation;
            disk.cut_at(end);
            let is_cut = || disk.operations() >= end;
            let text = format!("Subject: x\n\n{}", "0123456789\n".repeat(lines));
            let to = ["no@far.example", "late@far.example", "yes@far.example", "b@slow.example"];
            let taken = queue.submit(message(1, &to, &text)).await.is_ok();
            let over = || {
                let told = told(data.path()).len() == 1 && queue.counters().queued == 1;
                told && seen.all().len() == 2 && queue.inner.settling.load(Ordering::SeqCst) == 0
            };
            if taken {
                wait("all, or the end", || over() || is_cut()).await;
            }
            let cut = is_cut();
            queue.drain(Duration::from_millis(1)).await;
            drop(queue);
            let (good, seen_slow) = server(|_| None).await;
            let second = [("slow.example", relay(good)), ("far.example", relay(port))];
            let queue = on(&disk.after_cut(operation), &second, patient(data.path()));
            empty(&queue).await;
            if taken {
                let mut all = recipients(&seen);
                all.dedup();
                assert_eq!(all, ["RCPT TO:<late@far.example>", "RCPT TO:<yes@far.example>"], "{operation}");
                assert_eq!(seen_slow.all().len(), 1, "{operation}");
                let mut told = told(data.path());
                told.dedup();
                assert_eq!(told, [is("no@far.example", "failed")], "{operation}");
            }
            if !cut {
                assert!(operation > 10, "something was written");
                break;
            }
        }
    }
}

/// So it is with one that leaves the log in between: its state has all that the log knew.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_was_told_in_between_is_known_when_a_message_leaves_the_log() {
    for told_first in [true, false] {
        let data = tempfile::tempdir().unwrap();
        let (slow, seen_slow, gate) = gated().await;
        let word = Gate::default();
        let its = word.clone();
        let (port, seen) = server(move |line| {
            (line == "RCPT TO:<no@far.example>").then(|| {
                tokio::task::block_in_place(|| its.pass());
                Some("550 5.1.1 nobody\r\n".to_owned())
            })
        })
        .await;
        let (other, _) = server(|_| None).await;
        let hops =
            [("slow.example", relay(slow)), ("far.example", relay(port)), ("other.example", relay(other))];
        let queue = start(data.path(), &hops, lazy(data.path()));
        queue.submit(message(1, &["no@far.example", "b@slow.example"], "Subject: x\n\n")).await.unwrap();
        let text = format!("Subject: x\n\n{}", "0123456789\n".repeat(3000));
        for id in 2..=40 {
            queue.submit(message(id, &["a@other.example"], &text)).await.unwrap();
        }
        wait("the others", || queue.counters().queued == 1).await;
        if told_first {
            word.open();
            wait("the notice", || told(data.path()).len() == 1 && queue.counters().queued == 1).await;
        }
        assert_eq!(queue.inner.unpin(u64::MAX).await, 1);
        word.open();
        first_settled(&queue, 1).await;
        gate.open();
        empty(&queue).await;
        assert_eq!(told(data.path()), [is("no@far.example", "failed")]);
        assert_eq!((seen.all().len(), seen_slow.all().len()), (0, 1));
    }
}

/// Whatever hops say and admins do meanwhile: each recipient has each message once, or its author one notice of him.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_recipient_is_served_or_told_of_once() {
    let data = tempfile::tempdir().unwrap();
    let refused = Arc::new(AtomicUsize::new(0));
    let (mut hops, mut all) = (Vec::new(), Vec::new());
    for name in ["one.example", "two.example", "three.example", "four.example"] {
        let count = Arc::clone(&refused);
        let (port, seen) = server(move |line| {
            if line.starts_with("MAIL") {
                tokio::task::block_in_place(|| {
                    std::thread::sleep(Duration::from_millis(fastrand::u64(..60)))
                });
            }
            if !line.starts_with("RCPT") {
                return None;
            }
            match fastrand::u8(..10) {
                0 => {
                    count.fetch_add(1, Ordering::SeqCst);
                    Some(Some("550 5.1.1 nobody\r\n".to_owned()))
                }
                1..=3 => Some(Some(BUSY.to_owned())),
                4 => Some(Some("452 4.5.3 too many\r\n".to_owned())),
                _ => None,
            }
        })
        .await;
        hops.push((name, relay(port)));
        all.push(seen);
    }
    let busy = Settings { connections: 4, ..settings(data.path()) };
    let long = Duration::from_secs(300);
    let timeouts = Timeouts { connect: long, command: long, data: long, end: long };
    let queue = start(data.path(), &hops, Settings { timeouts, ..busy });
    const MANY: u64 = 60;
    for id in 1..=MANY {
        let to: Vec<String> =
            hops.iter().flat_map(|(h, _)| (0..3).map(move |n| format!("m{id}-{n}@{h}"))).collect();
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        let lines = if id % 10 == 0 { 30_000 } else { 1 };
        let text = format!("X-Id: {id}\n\n{}", "0123456789\n".repeat(lines));
        queue.submit(message(id, &to, &text)).await.unwrap();
    }
    for turn in 0..2000 {
        if queue.counters().queued == 0 {
            break;
        }
        let id = MessageId(fastrand::u64(1..=MANY));
        // Some are gone by then.
        if queue.hold(id).await.is_ok() {
            let _ = queue.release(id).await;
        }
        if turn % 20 == 0 {
            queue.retry_all().await;
            queue.inner.unpin(u64::MAX).await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    empty(&queue).await;
    let mut served: Vec<String> = all.iter().flat_map(recipients).collect();
    let count = served.len();
    served.sort();
    served.dedup();
    assert_eq!(served.len(), count, "nobody has it twice");
    let failed: Vec<(String, String)> = told(data.path());
    assert!(failed.iter().all(|(_, action)| action == "failed"), "{failed:?}");
    assert_eq!(failed.len(), refused.load(Ordering::SeqCst), "each refusal is told once");
    let mut everybody: Vec<String> = failed.into_iter().map(|(who, _)| format!("RCPT TO:<{who}>")).collect();
    everybody.extend(served);
    everybody.sort();
    everybody.dedup();
    assert_eq!(everybody.len() as u64, MANY * 12, "nobody is lost");
}
