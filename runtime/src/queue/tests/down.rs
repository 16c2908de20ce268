//! What is remembered of a next hop, and what is not.

use super::*;
use std::sync::atomic::AtomicUsize;

/// RFC 5321 4.5.4.1: a hop that cannot be reached is tried for all that waits for it, not once for each message.
#[tokio::test]
async fn a_hop_that_is_down_is_not_tried_for_each_message() {
    let data = tempfile::tempdir().unwrap();
    let (up, tries) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (is_up, count) = (Arc::clone(&up), Arc::clone(&tries));
    let (port, seen) = server(move |line| {
        let hangs_up = line.starts_with("EHLO") && !is_up.load(Ordering::SeqCst);
        hangs_up.then(|| {
            count.fetch_add(1, Ordering::SeqCst);
            None
        })
    })
    .await;
    let slow = Settings { connections: 2, retry_first: Duration::from_secs(3600), ..settings(data.path()) };
    let queue = start(data.path(), &[("far.example", relay(port))], slow);
    for id in 1..=200 {
        queue.submit(message(id, &["a@far.example"], &format!("X: {id}\n\n"))).await.unwrap();
    }
    while tries.load(Ordering::SeqCst) < 4 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    up.store(true, Ordering::SeqCst);
    empty(&queue).await;
    assert_eq!(seen.all().len(), 200);
    let tries = tries.load(Ordering::SeqCst);
    assert!(tries < 20, "{tries} connections for 200 messages");
}

/// RFC 5321 4.5.4.1: a 5yz to MAIL speaks of this message alone.
#[tokio::test]
async fn a_refused_sender_is_asked_about_again() {
    let data = tempfile::tempdir().unwrap();
    let asked = AtomicBool::new(false);
    let (port, seen) = server(move |line| {
        let first = line.starts_with("MAIL") && !asked.swap(true, Ordering::SeqCst);
        first.then(|| Some("550 5.7.1 not you\r\n".to_owned()))
    })
    .await;
    let queue = start(data.path(), &[("far.example", relay(port))], settings(data.path()));
    for id in 1..=2 {
        queue.submit(message(id, &["a@far.example"], &format!("X: {id}\n\n"))).await.unwrap();
        empty(&queue).await;
    }
    let counters = queue.counters();
    // The notice of the first is delivered, too. This server takes DATA behind a refused MAIL, and gets nothing for it.
    assert_eq!((counters.failed, counters.delivered), (1, 2));
    let bodies: Vec<String> = seen.all().into_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies, [".\r\n", "X: 2\r\n\r\n.\r\n"]);
}
