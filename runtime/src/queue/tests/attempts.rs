//! What an attempt leaves behind: what is known of each recipient outlives it, whatever comes in between.

use super::backlog::{gated, patient};
use super::reads::{hesitant, on};
use super::*;
use crate::spool::{Note, TestDisk};
use std::sync::atomic::AtomicUsize;

/// Has the only message under way leave the log, behind forty others for this address.
pub(super) async fn leaves_log(queue: &Queue, others: &str) {
    let text = format!("Subject: x\n\n{}", "0123456789\n".repeat(3000));
    for id in 2..=40 {
        queue.submit(message(id, &[others], &text)).await.unwrap();
    }
    wait("the others", || queue.counters().queued == 1).await;
    assert_eq!(queue.inner.unpin(u64::MAX).await, 1);
}

/// Waits until the state on disk says that the first recipient has its message.
pub(super) async fn first_settled(queue: &Queue, id: u64) {
    for _ in 0..TURNS {
        let state = queue.inner.spool.deferred().state(MessageId(id)).unwrap();
        if state.settled == [(0, 0)] {
            return;
        }
        assert_eq!(state.settled, []);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody wrote down who has it");
}

/// The log forgets its notes when it moves on: of a message in the deferred store the state says who has it, at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn who_has_a_large_message_is_known_while_another_hop_is_slow() {
    let data = tempfile::tempdir().unwrap();
    let (slow, seen_slow, gate) = gated().await;
    let (port, seen) = server(|_| None).await;
    let hops = [("slow.example", relay(slow)), ("far.example", relay(port))];
    let queue = start(data.path(), &hops, patient(data.path()));
    let text = format!("Subject: x\n\n{}", "0123456789\n".repeat(40_000));
    queue.submit(message(1, &["a@far.example", "b@slow.example"], &text)).await.unwrap();
    first_settled(&queue, 1).await;
    gate.open();
    empty(&queue).await;
    assert_eq!((seen.all().len(), seen_slow.all().len()), (1, 1));
}

/// So it is with one that leaves the log because it would pin it.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn who_has_a_message_is_known_when_it_leaves_the_log() {
    let data = tempfile::tempdir().unwrap();
    let (slow, seen_slow, gate) = gated().await;
    let (port, seen) = server(|_| None).await;
    let hops = [("slow.example", relay(slow)), ("far.example", relay(port))];
    let queue = start(data.path(), &hops, patient(data.path()));
    queue.submit(message(1, &["a@far.example", "b@slow.example"], "Subject: x\n\n")).await.unwrap();
    while seen.all().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let text = format!("Subject: x\n\n{}", "0123456789\n".repeat(3000));
    for id in 2..=40 {
        queue.submit(message(id, &["a@far.example"], &text)).await.unwrap();
    }
    while queue.counters().queued > 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(queue.inner.unpin(u64::MAX).await, 1);
    first_settled(&queue, 1).await;
    gate.open();
    empty(&queue).await;
    assert_eq!((seen.all().len(), seen_slow.all().len()), (40, 1));
}

/// Hops that answer at the same moment: one task of the message writes down who has it, all of it, and keeps nobody else from
/// the disk meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn who_has_a_message_is_written_by_one_task() {
    const HOPS: u16 = 12;
    let data = tempfile::tempdir().unwrap();
    let (slow, seen_slow, gate) = gated().await;
    let mut hops = vec![("slow.example".to_owned(), relay(slow))];
    let mut all = Vec::new();
    for n in 0..HOPS {
        let (port, seen) = server(|_| None).await;
        hops.push((format!("h{n}.example"), relay(port)));
        all.push(seen);
    }
    let hops: Vec<(&str, Hop)> = hops.iter().map(|(domain, hop)| (domain.as_str(), hop.clone())).collect();
    let queue = start(data.path(), &hops, patient(data.path()));
    let to: Vec<String> =
        (0..HOPS).map(|n| format!("a@h{n}.example")).chain(["b@slow.example".to_owned()]).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    // All that write wait, until everybody has it.
    let turns = queue.inner.movers.acquire_many(8).await.unwrap();
    // Large: it is in the deferred store from the beginning.
    queue.submit(message(1, &to, &format!("Subject: x\n\n{}", "0123456789\n".repeat(40_000)))).await.unwrap();
    while queue.counters().delivered < u64::from(HOPS) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(queue.inner.settling.load(Ordering::SeqCst), 1);
    drop(turns);
    let want: Vec<(u16, u16)> = (0..HOPS).map(|target| (0, target)).collect();
    let state = || queue.inner.spool.deferred().state(MessageId(1)).unwrap();
    for _ in 0..TURNS {
        if state().settled == want {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((state().settled, state().held), (want, false));
    gate.open();
    empty(&queue).await;
    assert!(all.iter().chain([&seen_slow]).all(|seen| seen.all().len() == 1));
}

/// A message is in the deferred store, and the log has no room for the note of it: it goes on once there is some.
#[tokio::test]
async fn a_message_is_tried_again_though_the_disk_was_full() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen, ready) = hesitant().await;
    let disk = TestDisk::default();
    let queue = on(&disk, data.path(), port);
    // All that move wait, until the log is full.
    let turns = queue.inner.movers.acquire_many(8).await.unwrap();
    let count = 5;
    for id in 1..=count {
        queue.submit(message(id, &["late@far.example"], "Subject: x\n\n")).await.unwrap();
    }
    while queue.counters().deferred < count {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // No room for another segment, and what segments there are, are used up.
    disk.fail_segments(true);
    for length in [10_000, 0] {
        let note = Note::Settled(MessageId(0), vec![(0, 0); length]);
        while queue.inner.spool.note_durably(&note).await.is_ok() {}
    }
    drop(turns);
    let attempts = |id| queue.inner.spool.deferred().state(MessageId(id)).unwrap().attempts;
    while (1..=count).any(|id| attempts(id) == 0) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let list = queue.list(None, 1000).await;
    assert_eq!(list.len() as u64, count);
    let active = list.iter().all(|m| m.state == admin::Standing::Active);
    assert!(active, "none is noted, and none taken up: {list:?}");
    disk.fail_segments(false);
    ready.store(true, Ordering::SeqCst);
    empty(&queue).await;
    assert_eq!(seen.all().len() as u64, count);
}

/// Whoever holds or removes a message under way wants nobody told that it is late.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn nobody_is_told_of_what_an_admin_stops() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen, gate) = gated().await;
    let old = Settings { lifetime: Duration::ZERO, warn_after: Duration::ZERO, ..patient(data.path()) };
    let queue = start(data.path(), &[("far.example", relay(port))], old);
    for id in 1..=3 {
        let mut record = message(id, &["a@far.example"], "Subject: x\n\n");
        record.received -= 60_000;
        queue.submit(record).await.unwrap();
    }
    // The first is in the worker's hands.
    queue.hold(MessageId(2)).await.unwrap();
    queue.remove(MessageId(3)).await.unwrap();
    gate.open();
    let mut list = Vec::new();
    for _ in 0..TURNS {
        list = queue.list(None, 10).await;
        if list.len() == 1 && list[0].state == admin::Standing::Held {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((list.len(), list[0].state, list[0].attempts), (1, admin::Standing::Held, 1));
    assert!(!data.path().join("mail").exists(), "nobody was told");
    queue.release(MessageId(2)).await.unwrap();
    empty(&queue).await;
    assert_eq!(seen.all().len(), 2, "the first and the second");
}

/// RFC 5321 4.5.3.1.10: what is over a hop's limit of recipients goes in further transactions, at once.
#[tokio::test]
async fn recipients_over_a_limit_go_in_the_next_transaction() {
    for reply in ["452 4.5.3 Too many recipients\r\n", "452 too many\r\n", "552 too many\r\n"] {
        let data = tempfile::tempdir().unwrap();
        let taken = AtomicUsize::new(0);
        let (port, seen) = server(move |line| {
            if line.starts_with("MAIL") {
                taken.store(0, Ordering::SeqCst);
            }
            let over = line.starts_with("RCPT") && taken.fetch_add(1, Ordering::SeqCst) >= 2;
            over.then(|| Some(reply.to_owned()))
        })
        .await;
        let hour = Duration::from_secs(3600);
        let slow = Settings { retry_first: hour, retry_max: hour, ..settings(data.path()) };
        let queue = start(data.path(), &[("far.example", relay(port))], slow);
        let to: Vec<String> = (0..7).map(|n| format!("u{n}@far.example")).collect();
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        queue.submit(message(1, &to, "Subject: x\n\n")).await.unwrap();
        empty(&queue).await;
        assert_eq!(queue.counters().delivered, 7, "{reply}");
        assert_eq!(seen.all().len(), 4, "{reply}");
    }
}

/// RFC 5321 4.5.3.1.10: one full mailbox among them keeps nobody waiting but itself.
#[tokio::test]
async fn recipients_over_a_limit_do_not_wait_for_a_full_mailbox() {
    let data = tempfile::tempdir().unwrap();
    let taken = AtomicUsize::new(0);
    let (port, seen) = server(move |line| {
        if line.starts_with("MAIL") {
            taken.store(0, Ordering::SeqCst);
        }
        if line.starts_with("RCPT TO:<full@") {
            return Some(Some("452 4.2.2 mailbox full\r\n".to_owned()));
        }
        let over = line.starts_with("RCPT") && taken.fetch_add(1, Ordering::SeqCst) >= 2;
        over.then(|| Some("452 4.5.3 too many\r\n".to_owned()))
    })
    .await;
    let hour = Duration::from_secs(3600);
    let slow = Settings { retry_first: hour, retry_max: hour, ..settings(data.path()) };
    let queue = start(data.path(), &[("far.example", relay(port))], slow);
    let to: Vec<String> = (0..7).map(|n| format!("u{n}@far.example")).collect();
    let to: Vec<&str> = ["full@far.example"].into_iter().chain(to.iter().map(String::as_str)).collect();
    queue.submit(message(1, &to, "Subject: x\n\n")).await.unwrap();
    for _ in 0..TURNS {
        if queue.counters().delivered == 7 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let now = queue.counters();
    assert_eq!((now.delivered, now.queued, seen.all().len()), (7, 1, 4));
}
