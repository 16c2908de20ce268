//! Failover: what one server of a hop does not take for now, another one is asked for.

use super::*;
use std::sync::atomic::AtomicUsize;

/// A server with an answer of its own to one command (END is the end of a message; none: it hangs up there), and how often it
/// was greeted.
async fn bad(command: &'static str, answer: Option<&'static str>) -> (u16, Seen, Arc<AtomicUsize>) {
    let tries = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tries);
    let (port, seen) = server(move |line| {
        count.fetch_add(usize::from(line.starts_with("EHLO")), Ordering::SeqCst);
        line.starts_with(command).then(|| answer.map(str::to_owned))
    })
    .await;
    (port, seen, tries)
}

/// A relay of two servers, in this order.
fn both(first: u16, second: u16) -> Hop {
    let Hop::Relay(mut both) = relay(first) else { unreachable!() };
    both.hosts.push(Host { name: "127.0.0.1".to_owned(), port: second });
    Hop::Relay(both)
}

/// One connection, and no second attempt while the test runs.
fn once(data: &Path) -> Settings {
    let hour = Duration::from_secs(3600);
    Settings { connections: 1, retry_first: hour, retry_max: hour, ..settings(data) }
}

/// RFC 5321 5.1: the next server is tried where the best one is reached and takes nothing for now, wherever it says so.
#[tokio::test]
async fn another_server_is_asked_where_the_first_puts_mail_off() {
    for (command, answer) in [
        ("MAIL", Some("451 4.3.0 broken\r\n")),
        ("MAIL", Some("421 4.3.2 too busy\r\n")),
        ("MAIL", None),
        ("RCPT", Some("421 4.3.2 too busy\r\n")),
        ("RCPT", None),
        ("DATA", Some("452 4.3.1 full\r\n")),
        ("DATA", Some("421 4.3.2 too busy\r\n")),
        ("DATA", None),
        ("END", Some("451 4.3.0 broken\r\n")),
    ] {
        let data = tempfile::tempdir().unwrap();
        let (bad, nothing, tries) = bad(command, answer).await;
        let (good, seen) = server(|_| None).await;
        let queue = start(data.path(), &[("far.example", both(bad, good))], once(data.path()));
        for id in 1..=20 {
            queue.submit(message(id, &["a@far.example"], &format!("X: {id}\n\n"))).await.unwrap();
        }
        empty(&queue).await;
        assert_eq!(seen.all().len(), 20, "{command} {answer:?}");
        assert!(nothing.all().iter().all(|(_, body)| body.len() <= 3));
        let tries = tries.load(Ordering::SeqCst);
        assert_eq!(tries, 1, "the connection that works is kept: {command} {answer:?}");
    }
}

/// A message whose end went out may have been taken: no other server gets it before it is tried again.
#[tokio::test]
async fn what_may_have_been_taken_is_not_sent_elsewhere_at_once() {
    let data = tempfile::tempdir().unwrap();
    let (bad, _, tries) = bad("END", None).await;
    let (good, seen) = server(|_| None).await;
    let queue = start(data.path(), &[("far.example", both(bad, good))], once(data.path()));
    queue.submit(message(1, &["a@far.example"], "X: 1\n\n")).await.unwrap();
    for _ in 0..1000 {
        if queue.counters().deferred == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((queue.counters().deferred, seen.all().len(), tries.load(Ordering::SeqCst)), (1, 0, 1));
}

/// Those that the first server took do not go to the second; the connection to the first is used on.
#[tokio::test]
async fn only_recipients_that_were_put_off_are_asked_for_elsewhere() {
    let data = tempfile::tempdir().unwrap();
    let (bad, first, tries) = bad("RCPT TO:<b@", Some("451 4.2.1 busy\r\n")).await;
    let (good, second) = server(|_| None).await;
    let queue = start(data.path(), &[("far.example", both(bad, good))], once(data.path()));
    queue.submit(message(1, &["a@far.example", "b@far.example", "c@far.example"], "X: 1\n\n")).await.unwrap();
    empty(&queue).await;
    queue.submit(message(2, &["d@far.example"], "X: 2\n\n")).await.unwrap();
    empty(&queue).await;
    let whom = |seen: &Seen| seen.all().into_iter().map(|(to, _)| to.concat()).collect::<Vec<_>>();
    assert_eq!(
        whom(&first),
        ["RCPT TO:<a@far.example>RCPT TO:<c@far.example>", "RCPT TO:<d@far.example>"],
        "the first server has what it took, and the next message"
    );
    assert_eq!(whom(&second), ["RCPT TO:<b@far.example>"]);
    assert_eq!(tries.load(Ordering::SeqCst), 1);
    assert_eq!(queue.counters().delivered, 4);
}

/// Where a server puts off one recipient after the other, each is asked for elsewhere at the latest when it is tried again.
#[tokio::test]
async fn each_recipient_that_was_put_off_is_asked_for_elsewhere() {
    let data = tempfile::tempdir().unwrap();
    let (bad, first, _) = bad("RCPT", Some("451 4.7.1 later\r\n")).await;
    let (good, second) = server(|_| None).await;
    let one = Settings { connections: 1, ..settings(data.path()) };
    let queue = start(data.path(), &[("far.example", both(bad, good))], one);
    for id in 1..=10 {
        queue.submit(message(id, &["a@far.example"], &format!("X: {id}\n\n"))).await.unwrap();
    }
    empty(&queue).await;
    assert_eq!((first.all().len(), second.all().len()), (0, 10));
}
