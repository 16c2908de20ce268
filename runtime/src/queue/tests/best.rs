//! The best server of a hop has each message first, whatever came of the one before (RFC 5321 5.1).

use super::elsewhere::{both, once};
use super::*;
use std::sync::atomic::AtomicUsize;

/// A server that gives this answer to the first such command, and none out of the ordinary later.
async fn odd_once(command: &'static str, answer: &'static str) -> (u16, Seen) {
    let asked = AtomicUsize::new(0);
    server(move |line| {
        let odd = line.starts_with(command) && asked.fetch_add(1, Ordering::SeqCst) == 0;
        odd.then(|| Some(answer.to_owned()))
    })
    .await
}

async fn wait_for(queue: &Queue, done: u64) {
    for _ in 0..TURNS {
        let now = queue.counters();
        if now.delivered + now.failed >= done {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", queue.counters());
}

/// RFC 5321 5.1: one message that the best server does not take for now, and a lesser server that refuses all: others' mail is no worse off.
#[tokio::test]
async fn a_message_that_went_elsewhere_takes_no_other_along() {
    for (command, answer) in [
        ("MAIL", "451 4.7.1 not from there now\r\n"),
        ("DATA", "452 4.3.1 full\r\n"),
        ("END", "451 4.7.1 looks odd\r\n"),
    ] {
        let data = tempfile::tempdir().unwrap();
        let (best, seen) = odd_once(command, answer).await;
        let (stale, _) =
            server(|line| line.starts_with("MAIL").then(|| Some("554 5.7.1 no\r\n".to_owned()))).await;
        let queue = start(data.path(), &[("far.example", both(best, stale))], once(data.path()));
        for id in 1..=20 {
            queue.submit(message(id, &["a@far.example"], &format!("X: {id}\n\n"))).await.unwrap();
        }
        empty(&queue).await;
        let taken = seen.all().iter().filter(|(_, body)| body.contains("X: ")).count();
        assert_eq!((taken, queue.counters().failed), (19, 1), "{command}");
    }
}

/// Where the best one takes nothing from anybody, all goes to the next: nobody waits for a second attempt.
#[tokio::test]
async fn a_server_that_takes_nothing_keeps_no_mail_waiting() {
    for (command, answer) in [("MAIL", "452 4.3.1 full\r\n"), ("DATA", "452 4.3.1 full\r\n")] {
        let data = tempfile::tempdir().unwrap();
        let (full, nothing) =
            server(move |line| line.starts_with(command).then(|| Some(answer.to_owned()))).await;
        let (good, seen) = server(|_| None).await;
        let queue = start(data.path(), &[("far.example", both(full, good))], once(data.path()));
        for id in 1..=20 {
            queue.submit(message(id, &["a@far.example"], &format!("X: {id}\n\n"))).await.unwrap();
        }
        wait_for(&queue, 20).await;
        assert_eq!(seen.all().len(), 20, "{command}");
        assert!(nothing.all().iter().all(|(_, body)| !body.contains("X: ")));
    }
}

/// RFC 5321 5.1. A restart: it was not ready for one connection, and is for the next.
#[tokio::test]
async fn a_server_that_is_back_has_the_next_message() {
    let data = tempfile::tempdir().unwrap();
    let (best, seen) = odd_once("EHLO", "421 4.3.2 going down\r\n").await;
    let (lesser, second) = server(|_| None).await;
    let queue = start(data.path(), &[("far.example", both(best, lesser))], once(data.path()));
    queue.submit(message(1, &["a@far.example"], "X: 1\n\n")).await.unwrap();
    wait_for(&queue, 1).await;
    assert_eq!((seen.all().len(), second.all().len()), (0, 1));
    // A connection to a lesser server does not rest for long.
    super::down::at_rest(&queue).await;
    queue.submit(message(2, &["a@far.example"], "X: 2\n\n")).await.unwrap();
    wait_for(&queue, 2).await;
    assert_eq!((seen.all().len(), second.all().len()), (1, 1));
}
