//! Mail that passes through: over which connections, and which of it is stored for another server.

use super::elsewhere::{both, offering, once};
use super::*;
use crate::acceptor::Expected;
use crate::queue::through::{Offered, Passage, Passed, Through};
use std::sync::atomic::AtomicUsize;

/// Offers the one recipient of a message.
async fn offer(passage: &Passage, record: &Record, size: Option<u64>) -> (Offered, Option<Through>) {
    let mut open = None;
    let expected = Expected { size, last: false };
    let offered = passage.offer(&mut open, record.dispatches[0].clone(), expected).await;
    (offered, open)
}

async fn pass(passage: &Passage, record: &Record) {
    let (_, open) = offer(passage, record, None).await;
    assert!(matches!(open.unwrap().send(record).await, Passed::Taken(_)));
}

/// After a reload with other logins, names or times, mail goes over connections that were opened with those.
#[tokio::test]
async fn connections_that_were_opened_before_a_reload_serve_no_other_message() {
    let data = tempfile::tempdir().unwrap();
    let greeted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&greeted);
    let (port, seen) = offering("250-8BITMIME\r\n", move |line| {
        count.fetch_add(usize::from(line.starts_with("EHLO")), Ordering::SeqCst);
        None
    })
    .await;
    let hops = [("far.example", relay(port))];
    let queue = start(data.path(), &hops, settings(data.path()));
    let passage = queue.passage(3);
    let record = message(1, &["a@far.example"], "X: 1\n\n");
    pass(&passage, &record).await;
    pass(&passage, &record).await;
    assert_eq!(greeted.load(Ordering::SeqCst), 1);
    // One rests, one is in the middle of a message.
    let (_, half) = offer(&passage, &record, None).await;
    let (_, other) = offer(&passage, &record, None).await;
    drop(other);
    assert_eq!(greeted.load(Ordering::SeqCst), 2);
    let ways = settings(data.path());
    queue.go_by(Ways::new(ways.clone(), ways.dialer(), Box::new(aside::guide(&hops))));
    assert!(matches!(half.unwrap().send(&record).await, Passed::Taken(_)));
    for _ in 0..3 {
        pass(&passage, &record).await;
    }
    assert_eq!((greeted.load(Ordering::SeqCst), seen.all().len()), (3, 6));
}

/// RFC 5321 5.1, RFC 1870 6.1: what is too large for one of several servers goes to the next one, however its size comes
/// to be known. Where there is a single one its word is the client's.
#[tokio::test]
async fn what_is_too_large_for_one_server_goes_to_another() {
    let text = "x: 1\n".repeat(20);
    for several in [false, true] {
        for (size, goes_ahead) in [(Some(120), false), (None, false), (None, true)] {
            let data = tempfile::tempdir().unwrap();
            let (small, nothing) = offering("250-8BITMIME\r\n250-SIZE 50\r\n", |line| {
                (line.contains("SIZE=") || line == "END").then(|| Some("552 5.3.4 too big\r\n".to_owned()))
            })
            .await;
            let (large, seen) = offering("250-8BITMIME\r\n250-SIZE 1000\r\n", |_| None).await;
            let hop = if several { both(small, large) } else { relay(small) };
            let queue = start(data.path(), &[("far.example", hop)], once(data.path()));
            let record = message(1, &["a@far.example"], &text);
            let passage = queue.passage(2);
            let (offered, open) = offer(&passage, &record, size).await;
            let passed = match open {
                Some(mut open) => {
                    if goes_ahead {
                        open.begin(&record.bytes, record.bytes.len()).await;
                    }
                    Some(open.send(&record).await)
                }
                None => None,
            };
            let what = format!("{several} {size:?} {goes_ahead}: {offered:?} {passed:?}");
            let refused = "552 5.3.4 too big".to_owned();
            match (several, size) {
                (true, Some(_)) => assert_eq!(offered, Offered::Store, "{what}"),
                (true, None) => assert_eq!(passed, Some(Passed::Unsent), "{what}"),
                (false, Some(_)) => assert_eq!(offered, Offered::Refused(refused), "{what}"),
                (false, None) => assert_eq!(passed, Some(Passed::Refused(refused)), "{what}"),
            }
            if several {
                queue.submit(record).await.unwrap();
                empty(&queue).await;
            }
            assert_eq!((nothing.all().len(), seen.all().len()), (0, usize::from(several)), "{what}");
        }
    }
}
