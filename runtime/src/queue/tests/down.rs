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

/// A server that hangs up at EHLO until it is up.
async fn flapping() -> (u16, Seen, Arc<AtomicBool>) {
    let up = Arc::new(AtomicBool::new(false));
    let is_up = Arc::clone(&up);
    let (port, seen) =
        server(move |line| (line.contains("HLO ") && !is_up.load(Ordering::SeqCst)).then_some(None)).await;
    (port, seen, up)
}

/// Waits until somebody waits to try this hop again.
async fn probed(queue: &Queue, hop: &Hop) {
    let lane = queue.inner.lane(hop);
    for _ in 0..TURNS {
        if lane.is_probed() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody tries again");
}

/// Waits until no worker is left.
pub(super) async fn at_rest(queue: &Queue) {
    for _ in 0..TURNS {
        if queue.inner.workers.load(Ordering::SeqCst) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the workers do not end");
}

/// The worker that was to try again finds nothing to try with, and ends. Mail that comes later goes out all the same.
#[tokio::test]
async fn a_hop_is_not_stuck_where_what_waited_was_taken_away() {
    for held in [false, true] {
        let data = tempfile::tempdir().unwrap();
        let (port, seen, up) = flapping().await;
        let slow = Settings { retry_first: Duration::from_secs(3600), ..settings(data.path()) };
        let queue = start(data.path(), &[("far.example", relay(port))], slow);
        queue.submit(message(1, &["a@far.example"], "X: 1\n\n")).await.unwrap();
        probed(&queue, &relay(port)).await;
        if held {
            queue.hold(MessageId(1)).await.unwrap();
        } else {
            queue.remove(MessageId(1)).await.unwrap();
        }
        at_rest(&queue).await;
        up.store(true, Ordering::SeqCst);
        queue.submit(message(2, &["a@far.example"], "X: 2\n\n")).await.unwrap();
        if held {
            for _ in 0..TURNS {
                if queue.counters().queued == 1 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(queue.counters().queued, 1, "the held one");
        } else {
            empty(&queue).await;
        }
        assert_eq!(seen.all().len(), 1);
    }
}

/// A domain whose server cannot be reached, then is ourselves by name, then is well again.
#[tokio::test]
async fn a_hop_is_not_stuck_where_mail_for_it_can_never_go() {
    let data = tempfile::tempdir().unwrap();
    let tries = AtomicUsize::new(0);
    let (port, seen) = server(move |line| {
        let hello = line.starts_with("EHLO").then(|| tries.fetch_add(1, Ordering::SeqCst));
        match hello {
            Some(0) => Some(None),
            Some(1) => Some(Some("250 mx.example\r\n".to_owned())),
            _ => None,
        }
    })
    .await;
    let hop = Hop::Mx("[127.0.0.1]".to_owned());
    let settings = Settings { mx_port: port, ..settings(data.path()) };
    let queue = start(data.path(), &[("far.example", hop)], settings);
    queue.submit(message(1, &["a@far.example"], "X: 1\n\n")).await.unwrap();
    empty(&queue).await;
    assert_eq!((queue.counters().failed, seen.all().len()), (1, 0));
    at_rest(&queue).await;
    queue.submit(message(2, &["a@far.example"], "X: 2\n\n")).await.unwrap();
    empty(&queue).await;
    assert_eq!(seen.all().len(), 1);
}

/// An LMTP server is down when a reload brings Maildirs.
#[tokio::test]
async fn local_mail_is_not_stuck_where_a_reload_changes_its_way() {
    let data = tempfile::tempdir().unwrap();
    let (port, _, _up) = flapping().await;
    let lmtp = Local::LmtpTcp("127.0.0.1".to_owned(), port);
    let queue = start(data.path(), &[], Settings { local: lmtp, ..settings(data.path()) });
    queue.submit(message(1, &["a@here.example"], "X: 1\n\n")).await.unwrap();
    probed(&queue, &Hop::Local).await;
    let settings = settings(data.path());
    let dialer = settings.dialer();
    queue.go_by(Ways::new(settings, dialer, Box::new(Map(BTreeMap::new(), Vec::new()))));
    empty(&queue).await;
    at_rest(&queue).await;
    queue.submit(message(2, &["a@here.example"], "X: 2\n\n")).await.unwrap();
    empty(&queue).await;
    assert_eq!(mailbox(data.path(), "here.example/a").len(), 2);
}

/// RFC 5321 3.8, 4.5.4.1: a hop that takes nothing for now (421) is not asked for each message either.
#[tokio::test]
async fn a_hop_that_is_closing_is_not_asked_for_each_message() {
    let data = tempfile::tempdir().unwrap();
    let (up, tries) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (is_up, count) = (Arc::clone(&up), Arc::clone(&tries));
    let (port, seen) = server(move |line| {
        count.fetch_add(usize::from(line.starts_with("EHLO")), Ordering::SeqCst);
        let closing = line.starts_with("MAIL") && !is_up.load(Ordering::SeqCst);
        closing.then(|| Some("421 4.3.2 too busy\r\n".to_owned()))
    })
    .await;
    let queue = start(
        data.path(),
        &[("far.example", relay(port))],
        Settings { connections: 2, ..settings(data.path()) },
    );
    for id in 1..=200 {
        queue.submit(message(id, &["a@far.example"], &format!("X: {id}\n\n"))).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = tries.load(Ordering::SeqCst);
    assert!((1..20).contains(&before), "{before} connections for 200 messages");
    up.store(true, Ordering::SeqCst);
    empty(&queue).await;
    assert_eq!(seen.all().iter().filter(|(_, body)| body.len() > 3).count(), 200);
}

/// A refused login is told at once, and is not tried again within a minute: a few of them lock an account at many providers.
#[tokio::test]
async fn a_login_that_is_refused_is_not_tried_over_and_over() {
    let data = tempfile::tempdir().unwrap();
    let Hop::Relay(mut hub) = relay(1) else { unreachable!() };
    hub.credentials = Some("nobody".to_owned());
    let slow = Settings { retry_first: Duration::from_secs(3600), ..settings(data.path()) };
    let queue = start(data.path(), &[("far.example", Hop::Relay(hub.clone()))], slow);
    queue.submit(message(1, &["a@far.example"], "X: 1\n\n")).await.unwrap();
    for _ in 0..TURNS {
        if queue.counters().deferred == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(queue.counters().deferred, 1, "it does not wait for the next try in somebody's hands");
    at_rest(&queue).await;
    let until = queue.inner.lane(&Hop::Relay(hub)).down_for();
    assert!(until > Duration::from_secs(40), "{until:?}");
}
