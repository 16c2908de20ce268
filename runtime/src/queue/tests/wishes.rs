//! What an admin wants of a message in the middle of an attempt, and what he sees of it.

use super::*;
use admin::{Done, Listed, QueueError, Standing};

/// Retries only where somebody asks.
pub(super) fn patient(data: &Path) -> Settings {
    let long = Duration::from_secs(60);
    Settings {
        retry_first: Duration::from_secs(3600),
        retry_max: Duration::from_secs(3600),
        timeouts: Timeouts { connect: long, command: long, data: long, end: long },
        ..settings(data)
    }
}

/// A server that says this to RCPT for `slow@` once it is let go: asked, and let go.
pub(super) async fn gated(answer: &'static str) -> (u16, Seen, Arc<AtomicBool>, Arc<AtomicBool>) {
    let (asked, open) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (its, may) = (Arc::clone(&asked), Arc::clone(&open));
    let (port, seen) = server(move |line| {
        if !line.starts_with("RCPT TO:<slow@") {
            return None;
        }
        its.store(true, Ordering::SeqCst);
        while !may.load(Ordering::SeqCst) {
            tokio::task::block_in_place(|| std::thread::sleep(Duration::from_millis(2)));
        }
        Some(Some(answer.to_owned()))
    })
    .await;
    (port, seen, asked, open)
}

/// Waits until no message is under way, and lists them.
pub(super) async fn settled(queue: &Queue) -> Vec<Listed> {
    for _ in 0..TURNS {
        let list = queue.list(None, 100).await;
        if list.iter().all(|m| m.state != Standing::Active) {
            return list;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("something is always under way");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_a_rule_holds_goes_when_it_is_released_in_the_middle_of_an_attempt() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen, asked, open) = gated("451 4.2.2 later\r\n").await;
    let queue = start(data.path(), &[("far.example", relay(port))], patient(data.path()));
    let mut record = message(1, &["slow@far.example"], "X: 1\n\n");
    let mut held = record.dispatches[0].clone();
    (held.hold, held.recipients[0].address) = (true, "held@far.example".to_owned());
    record.dispatches.push(held);
    queue.submit(record).await.unwrap();
    until(&asked).await;
    queue.release(MessageId(1)).await.unwrap();
    open.store(true, Ordering::SeqCst);
    for _ in 0..TURNS {
        if !seen.all().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let to: Vec<Vec<String>> = seen.all().into_iter().map(|(to, _)| to).collect();
    assert_eq!(to, [["RCPT TO:<held@far.example>"]]);
}

/// The last wish counts; another attempt now is none, and nothing calls back what is thrown away: whoever tries is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn wishes_for_a_message_under_way() {
    type Want = (&'static [&'static str], Result<Done, QueueError>, Option<Standing>);
    let removed = || Err(QueueError::Removed(MessageId(1)));
    let cases: [Want; 6] = [
        (&["hold", "retry"], Err(QueueError::Held(MessageId(1))), Some(Standing::Held)),
        (&["hold", "release"], Ok(Done::AtEnd), Some(Standing::Deferred)),
        (&["release", "retry", "hold"], Ok(Done::AtEnd), Some(Standing::Held)),
        (&["remove", "release"], removed(), None),
        (&["remove", "hold", "retry"], removed(), None),
        (&["remove", "remove"], Ok(Done::AtEnd), None),
    ];
    for (wishes, told, want) in cases {
        let data = tempfile::tempdir().unwrap();
        let (port, _, asked, open) = gated("451 4.2.2 later\r\n").await;
        let queue = start(data.path(), &[("far.example", relay(port))], patient(data.path()));
        queue.submit(message(1, &["slow@far.example"], "X: 1\n\n")).await.unwrap();
        until(&asked).await;
        let mut done = Vec::new();
        for wish in wishes {
            done.push(match *wish {
                "hold" => queue.hold(MessageId(1)).await,
                "release" => queue.release(MessageId(1)).await,
                "retry" => queue.retry(MessageId(1)).await,
                _ => queue.remove(MessageId(1)).await,
            });
        }
        open.store(true, Ordering::SeqCst);
        let (last, before) = done.split_last().unwrap();
        assert_eq!(before.first(), Some(&Ok(Done::AtEnd)), "{wishes:?}");
        assert_eq!(*last, told, "{wishes:?}");
        let list = settled(&queue).await;
        assert_eq!(list.first().map(|m| m.state), want, "{wishes:?}");
    }
}

/// Time in which a message was held is not time in which it could not be delivered.
#[tokio::test]
async fn the_lifetime_of_what_was_held_counts_from_its_release() {
    let data = tempfile::tempdir().unwrap();
    let left = AtomicU64::new(2);
    let (port, seen) = server(move |line| {
        let late = line.starts_with("RCPT")
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        late.then(|| Some("451 4.2.2 later\r\n".to_owned()))
    })
    .await;
    let queue = start(data.path(), &[("far.example", relay(port))], settings(data.path()));
    let mut record = message(1, &["a@far.example"], "X: 1\n\n");
    record.received -= 10 * 86_400_000;
    record.dispatches[0].hold = true;
    queue.submit(record).await.unwrap();
    assert_eq!(settled(&queue).await[0].state, Standing::Held);
    queue.release(MessageId(1)).await.unwrap();
    empty(&queue).await;
    assert_eq!((queue.counters().failed, seen.all().len()), (0, 1));
    assert!(!data.path().join("mail").exists(), "nobody is told of a delay or worse");
}

/// A message that is taken up or put off again is in the list at any moment, and can be removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_message_is_always_in_the_list() {
    let data = tempfile::tempdir().unwrap();
    let (port, _) =
        server(|line| line.starts_with("RCPT").then(|| Some("451 4.2.2 later\r\n".to_owned()))).await;
    let often = Settings {
        retry_first: Duration::from_millis(1),
        retry_max: Duration::from_millis(1),
        ..settings(data.path())
    };
    let queue = start(data.path(), &[("far.example", relay(port))], often);
    for id in 1..=40 {
        queue.submit(message(id, &["a@far.example"], "X\n\n")).await.unwrap();
    }
    for _ in 0..300 {
        assert_eq!(queue.list(None, 100).await.len(), 40);
        for id in 1..=40 {
            assert!(queue.inner.find(MessageId(id)).is_ok());
        }
    }
    for id in 1..=40 {
        queue.remove(MessageId(id)).await.unwrap();
    }
    empty(&queue).await;
}

/// What is held is not tried, and whoever asks for it is told.
#[tokio::test]
async fn a_held_message_is_released_before_it_is_tried() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen) =
        server(|line| line.starts_with("RCPT").then(|| Some("451 4.2.2 later\r\n".to_owned()))).await;
    let queue = start(data.path(), &[("far.example", relay(port))], patient(data.path()));
    queue.submit(message(1, &["a@far.example"], "X: 1\n\n")).await.unwrap();
    assert_eq!(settled(&queue).await[0].state, Standing::Deferred);
    queue.hold(MessageId(1)).await.unwrap();
    let refused = queue.retry(MessageId(1)).await;
    assert_eq!(refused, Err(QueueError::Held(MessageId(1))));
    assert_eq!(settled(&queue).await[0].state, Standing::Held);
    queue.release(MessageId(1)).await.unwrap();
    queue.retry(MessageId(1)).await.unwrap();
    assert!(seen.all().is_empty());
    queue.remove(MessageId(1)).await.unwrap();
    // It may be under way: it is thrown away at the end of the attempt then.
    empty(&queue).await;
}

/// Several people at one message: each finds it, and it is in the list all the while.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn admins_do_not_hide_a_message_from_each_other() {
    let data = tempfile::tempdir().unwrap();
    let (port, _) =
        server(|line| line.starts_with("RCPT").then(|| Some("451 4.2.2 later\r\n".to_owned()))).await;
    let queue = start(data.path(), &[("far.example", relay(port))], patient(data.path()));
    for id in 1..=20 {
        queue.submit(message(id, &["a@far.example"], "X\n\n")).await.unwrap();
    }
    settled(&queue).await;
    let busy: Vec<_> = (0..3)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move {
                for id in (1..=20).cycle().take(100) {
                    queue.hold(MessageId(id)).await.unwrap();
                    queue.release(MessageId(id)).await.unwrap();
                }
            })
        })
        .collect();
    while !busy.iter().all(tokio::task::JoinHandle::is_finished) {
        assert_eq!(queue.list(None, 100).await.len(), 20);
    }
    for task in busy {
        task.await.unwrap();
    }
    for id in 1..=20 {
        queue.remove(MessageId(id)).await.unwrap();
    }
    empty(&queue).await;
    assert_eq!(queue.list(None, 100).await, []);
    assert_eq!(queue.remove(MessageId(1)).await, Err(QueueError::Unknown(MessageId(1))));
}

/// Folders of the deferred store that cannot be written keep no message out of the others.
#[tokio::test]
async fn folders_that_cannot_be_written_keep_nobody_from_waiting() {
    let data = tempfile::tempdir().unwrap();
    let (port, _) =
        server(|line| line.starts_with("RCPT").then(|| Some("451 4.2.2 later\r\n".to_owned()))).await;
    let queue = start(data.path(), &[("far.example", relay(port))], patient(data.path()));
    let folder = |id| {
        let home = crate::spool::deferred::home(MessageId(id));
        data.path().join(format!("spool/deferred/{home:02x}"))
    };
    for id in 1..=12 {
        assert_ne!(folder(id), folder(100));
        std::fs::write(folder(id), "in the way").unwrap();
        queue.submit(message(id, &["a@far.example"], "X\n\n")).await.unwrap();
    }
    while queue.counters().deferred < 12 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    queue.submit(message(100, &["a@far.example"], "X\n\n")).await.unwrap();
    let waits = |id| queue.inner.index().behind(None).any(|(other, _)| other == MessageId(id));
    for _ in 0..TURNS {
        if waits(100) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(waits(100) && !waits(1));
    for id in 1..=12 {
        // Two may have the same one.
        let _ = std::fs::remove_file(folder(id));
    }
    assert_eq!(settled(&queue).await.len(), 13);
}

/// Of a message under way: who has it by now, what was said of others, who is held, and what becomes of it then.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_is_known_of_a_message_under_way_is_in_the_list() {
    let data = tempfile::tempdir().unwrap();
    let (far, _, asked, open) = gated("451 4.2.2 later\r\n").await;
    let (near, _) =
        server(|line| line.starts_with("RCPT TO:<late").then(|| Some("450 4.2.1 full\r\n".to_owned()))).await;
    let hops = [("far.example", relay(far)), ("near.example", relay(near))];
    let queue = start(data.path(), &hops, patient(data.path()));
    let mut record =
        message(1, &["yes@near.example", "late@near.example", "slow@far.example"], "Subject: x\n\n");
    let mut held = record.dispatches[0].clone();
    (held.hold, held.recipients) =
        (true, message(1, &["held@far.example"], "").dispatches[0].recipients.clone());
    record.dispatches.push(held);
    queue.submit(record).await.unwrap();
    until(&asked).await;
    for _ in 0..TURNS {
        if queue.list(None, 10).await[0].recipients.len() == 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let told = queue.hold(MessageId(1)).await;
    let shown = queue.show(MessageId(1)).await;
    let list = queue.list(None, 10).await;
    open.store(true, Ordering::SeqCst);
    assert_eq!(told, Ok(Done::AtEnd));
    let shown = shown.unwrap();
    assert_eq!(list.first(), Some(&shown.listed));
    assert_eq!((shown.listed.state, shown.listed.then), (Standing::Active, Some("held")));
    let waits: Vec<_> =
        shown.listed.recipients.iter().map(|r| (r.address.as_str(), r.held, r.reason.as_deref())).collect();
    let want = [
        ("late@near.example", false, Some("450 4.2.1 full")),
        ("slow@far.example", false, None),
        ("held@far.example", true, None),
    ];
    assert_eq!(waits, want);
    let after = settled(&queue).await;
    assert_eq!((after[0].state, after[0].then), (Standing::Held, None));
    assert!(after[0].recipients.iter().all(|r| r.held));
    assert_eq!(after[0].recipients[1].reason.as_deref(), Some("451 4.2.2 later"));
}

/// What waits in line for a hop that hangs need not wait for that to be held, or thrown away.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_waits_in_line_is_stopped_at_once() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen, asked, open) = gated("250 2.1.5 ok\r\n").await;
    let one = Settings { connections: 1, ..patient(data.path()) };
    let queue = start(data.path(), &[("far.example", relay(port))], one);
    queue.submit(message(1, &["slow@far.example"], "X: 1\n\n")).await.unwrap();
    until(&asked).await;
    for id in 2..=5 {
        queue.submit(message(id, &["a@far.example"], &format!("X: {id}\n\n"))).await.unwrap();
    }
    let told =
        [queue.remove(MessageId(2)).await, queue.hold(MessageId(3)).await, queue.release(MessageId(4)).await];
    let mut left = Vec::new();
    for _ in 0..TURNS {
        let list = queue.list(None, 10).await;
        left = list.into_iter().map(|m| (m.id.parse::<MessageId>().unwrap().0, m.state)).collect();
        if left.contains(&(3, Standing::Held)) && left.len() == 4 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The hop still hangs.
    let through = seen.all().len();
    open.store(true, Ordering::SeqCst);
    assert_eq!(told, [Ok(Done::Now), Ok(Done::Now), Ok(Done::AtEnd)]);
    let active = |id| (id, Standing::Active);
    assert_eq!((left, through), (vec![active(1), (3, Standing::Held), active(4), active(5)], 0));
    for _ in 0..TURNS {
        if queue.counters().queued == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let bodies: Vec<String> = seen.all().into_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies, ["X: 1\r\n\r\n.\r\n", "X: 4\r\n\r\n.\r\n", "X: 5\r\n\r\n.\r\n"]);
}

#[tokio::test]
async fn an_admin_holds_releases_retries_and_removes() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen) =
        server(|line| line.contains("<busy@").then(|| Some("450 4.2.0 mailbox busy\r\n".to_owned()))).await;
    let slow = Settings {
        retry_first: Duration::from_secs(3600),
        retry_max: Duration::from_secs(3600),
        ..settings(data.path())
    };
    let queue = start(data.path(), &[("far.example", relay(port))], slow);
    let mut held = message(1, &["a@far.example"], "Subject: one\n\n");
    held.dispatches[0].hold = true;
    queue.submit(held).await.unwrap();
    queue.submit(message(2, &["busy@far.example", "ok@far.example"], "Subject: two\n\n")).await.unwrap();
    queue.submit(message(3, &["busy@far.example"], "Subject: three\n\n")).await.unwrap();
    let settled = |l: &[admin::Listed]| l.len() == 3 && l.iter().all(|m| m.state != admin::Standing::Active);
    let mut list = Vec::new();
    for _ in 0..TURNS {
        list = queue.list(None, 10).await;
        if settled(&list) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let states: Vec<admin::Standing> = list.iter().map(|m| m.state).collect();
    assert_eq!(states, [admin::Standing::Held, admin::Standing::Deferred, admin::Standing::Deferred]);
    assert_eq!((list[1].recipients.len(), list[1].attempts, list[0].attempts), (1, 1, 0));
    assert_eq!(list[1].recipients[0].reason.as_deref(), Some("450 4.2.0 mailbox busy"));
    assert_eq!(queue.list(Some(MessageId(1)), 1).await[0].id, MessageId(2).to_string());
    assert_eq!(queue.show(MessageId(2)).await.unwrap().header, "Subject: two\n");
    assert_eq!(queue.retry_all().await, 2, "the held one is left alone");
    queue.release(MessageId(1)).await.unwrap();
    for _ in 0..TURNS {
        list = queue.list(None, 10).await;
        if list.len() == 2 && list.iter().all(|m| m.attempts == 2 && m.state == admin::Standing::Deferred) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((list.len(), list[0].attempts), (2, 2), "{list:?}");
    queue.hold(MessageId(2)).await.unwrap();
    assert_eq!(queue.show(MessageId(2)).await.unwrap().listed.state, admin::Standing::Held);
    queue.remove(MessageId(2)).await.unwrap();
    queue.remove(MessageId(3)).await.unwrap();
    assert_eq!(queue.hold(MessageId(3)).await, Err(admin::QueueError::Unknown(MessageId(3))));
    empty(&queue).await;
    let to: Vec<Vec<String>> = seen.all().into_iter().map(|(to, _)| to).collect();
    assert_eq!(to, [["RCPT TO:<ok@far.example>"], ["RCPT TO:<a@far.example>"]]);
    assert!(!data.path().join("mail").exists(), "nobody was told");
}
