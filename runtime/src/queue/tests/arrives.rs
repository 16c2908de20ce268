//! Mail on its way: into mailboxes and to relays, once each, over restarts, with the log given back.

use super::*;

#[tokio::test]
async fn mail_for_mailboxes_and_relays() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen) = server(|_| None).await;
    let queue = start(data.path(), &[("far.example", relay(port))], settings(data.path()));
    let to = ["bob@here.example", "carl@far.example", "eve@far.example"];
    queue.submit(message(1, &to, "Subject: x\n\n.dot\n")).await.unwrap();
    empty(&queue).await;
    let sent = seen.all();
    assert_eq!(sent.len(), 1, "one transaction for both");
    assert_eq!(sent[0].0, ["RCPT TO:<carl@far.example>", "RCPT TO:<eve@far.example>"]);
    assert_eq!(sent[0].1, "Subject: x\r\n\r\n..dot\r\n.\r\n");
    let got = mailbox(data.path(), "here.example/bob");
    assert_eq!(got, ["Return-Path: <ann@example.org>\nDelivered-To: bob@here.example\nSubject: x\n\n.dot\n"]);
    assert_eq!(queue.counters(), Counters { delivered: 3, ..Counters::default() });
}

#[tokio::test]
async fn many_messages_arrive_once_each() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen) = server(|_| None).await;
    let queue = start(data.path(), &[("far.example", relay(port))], settings(data.path()));
    let tasks: Vec<_> = (0..8u64)
        .map(|task| {
            let queue = queue.clone();
            tokio::spawn(async move {
                for n in 0..100 {
                    let id = 1 + task * 100 + n;
                    queue.submit(message(id, &["a@far.example"], &format!("X: {id}\n\n"))).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    empty(&queue).await;
    let bodies: std::collections::BTreeSet<String> = seen.all().into_iter().map(|(_, body)| body).collect();
    assert_eq!((bodies.len(), seen.all().len()), (800, 800));
}

/// RFC 2920 3.1. A hop that hangs up behind a message has taken that one, and nothing of the announced one.
#[tokio::test]
async fn the_next_message_is_announced_behind_the_end_of_one() {
    let data = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (seen, ahead) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU64::new(0)));
    let (keep, count) = (Arc::clone(&seen), Arc::clone(&ahead));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            stream.write_all(b"220 sink\r\n").await.unwrap();
            let mut line = String::new();
            for turn in 0.. {
                line.clear();
                if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                    break;
                }
                let answer = match line.trim_end() {
                    "DATA" => "354 go\r\n",
                    hello if hello.starts_with("EHLO") => "250-sink\r\n250 PIPELINING\r\n",
                    _ => "250 2.0.0 ok\r\n",
                };
                stream.write_all(answer.as_bytes()).await.unwrap();
                if answer.starts_with("354") {
                    let mut body = String::new();
                    while !body.ends_with("\r\n.\r\n") {
                        assert!(stream.read_line(&mut body).await.unwrap() > 0);
                    }
                    // The answer waits for what comes without it.
                    let more = tokio::time::timeout(Duration::from_secs(1), stream.fill_buf()).await;
                    count.fetch_add(u64::from(more.is_ok_and(|m| !m.unwrap().is_empty())), Ordering::SeqCst);
                    keep.lock().unwrap().push(body);
                    stream.write_all(b"250 2.0.0 taken\r\n").await.unwrap();
                    if turn > 20 {
                        break;
                    }
                }
            }
        }
    });
    let settings = Settings { connections: 1, ..settings(data.path()) };
    let queue = start(data.path(), &[("far.example", relay(port))], settings);
    for id in 1..=30 {
        queue.submit(message(id, &["a@far.example"], &format!("X: {id}\n\n"))).await.unwrap();
    }
    empty(&queue).await;
    let all = seen.lock().unwrap().clone();
    let each: std::collections::BTreeSet<&String> = all.iter().collect();
    assert_eq!((each.len(), all.len()), (30, 30));
    assert!(ahead.load(Ordering::SeqCst) > 10, "only {} came ahead", ahead.load(Ordering::SeqCst));
}

/// A worker that cannot run ahead leaves what waits where it is: no job is taken and then forgotten.
#[tokio::test]
async fn nothing_is_lost_where_the_next_message_cannot_be_announced() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen) =
        server(|line| line.starts_with("EHLO").then(|| Some("250 plain.example\r\n".to_owned()))).await;
    let settings = Settings { connections: 1, ..settings(data.path()) };
    let queue = start(data.path(), &[("far.example", relay(port))], settings);
    for id in 1..=30 {
        queue.submit(message(id, &["a@far.example"], &format!("X: {id}\n\n"))).await.unwrap();
    }
    empty(&queue).await;
    let bodies: std::collections::BTreeSet<String> = seen.all().into_iter().map(|(_, body)| body).collect();
    assert_eq!((bodies.len(), seen.all().len()), (30, 30));
}

/// Once in the log, and once in the deferred store however often it is tried again; large ones once in all.
#[tokio::test]
async fn a_body_is_written_twice_at_most() {
    let token = "a token that stands nowhere else";
    for (size, tries, writes) in [(2_000, 0, 1), (2_000, 4, 2), (200_000, 4, 1)] {
        let data = tempfile::tempdir().unwrap();
        let left = AtomicU64::new(tries);
        let (port, seen) = server(move |line| {
            let late = line == "END"
                && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
            late.then(|| Some("451 4.3.0 later\r\n".to_owned()))
        })
        .await;
        let disk = crate::spool::TestDisk::default();
        disk.watch(token.as_bytes());
        let options = Options { segment: 256 << 10, reserve: 1 << 20, spare: 2 };
        let opened =
            Spool::open_on(Arc::new(disk.clone()), Path::new("/data"), options, Arc::new(NoLedger), None);
        let (spool, recovery) = opened.unwrap();
        let map = [("far.example".to_owned(), relay(port))].into();
        let (guide, settings) = (Box::new(Map(map, Vec::new())), settings(data.path()));
        let queue = Queue::start_with(spool, recovery, guide, Tls::default(), settings);
        let filler = "a line of it\n".repeat(size / 13);
        let text = format!("Subject: x\n\n{filler}{token}\n{filler}");
        queue.submit(message(1, &["bob@far.example"], &text)).await.unwrap();
        empty(&queue).await;
        assert_eq!(seen.all().len(), 1);
        assert_eq!(disk.written(), writes, "{size} bytes, {tries} failed attempts");
    }
}

#[tokio::test]
async fn a_restart_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let (_held, dead) = closed();
    let queue = start(data.path(), &[("far.example", relay(dead))], settings(data.path()));
    for id in 1..=20 {
        queue
            .submit(message(id, &["a@far.example", "b@here.example"], &format!("X: {id}\n\n")))
            .await
            .unwrap();
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    queue.drain(Duration::from_secs(1)).await;
    drop(queue);
    // The lock is free once the last task let go of the spool.
    let (port, seen) = server(|_| None).await;
    let mut queue = None;
    for _ in 0..TURNS {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let options = Options { segment: 256 << 10, reserve: 1 << 20, spare: 2 };
        if let Ok((spool, recovery)) = Spool::open(data.path(), options, Arc::new(NoLedger)) {
            let map = [("far.example".to_owned(), relay(port))].into();
            queue = Some(Queue::start_with(
                spool,
                recovery,
                Box::new(Map(map, Vec::new())),
                Tls::default(),
                settings(data.path()),
            ));
            break;
        }
    }
    let queue = queue.unwrap();
    empty(&queue).await;
    assert_eq!(seen.all().len(), 20);
    assert_eq!(mailbox(data.path(), "here.example/b").len(), 20);
}

#[tokio::test]
async fn a_listener_that_never_speaks_is_left() {
    let clock = tame_clock();
    let data = tempfile::tempdir().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let (good, seen) = server(|_| None).await;
    let Hop::Relay(mut both) = relay(port) else { unreachable!() };
    both.hosts.push(Host { name: "127.0.0.1".to_owned(), port: good });
    let queue = start(data.path(), &[("far.example", Hop::Relay(both))], brief(&clock, data.path()));
    queue.submit(message(1, &["a@far.example"], "x\n")).await.unwrap();
    empty(&queue).await;
    assert_eq!(seen.all().len(), 1, "the second host has it");
    let (mut stream, _) = silent.accept().await.unwrap();
    let mut buffer = [0; 10];
    assert_eq!(stream.read(&mut buffer).await.unwrap(), 0, "nothing is said before the greeting");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_slow_hop_does_not_pin_the_log() {
    let data = tempfile::tempdir().unwrap();
    // It is not to be hurried: nothing is answered before this is rung.
    let (ring, bell) = std::sync::mpsc::channel::<()>();
    let bell = Mutex::new(Some(bell));
    let (port, seen) = server(move |line| {
        if line.starts_with("MAIL")
            && let Some(bell) = bell.lock().unwrap().take()
        {
            tokio::task::block_in_place(|| bell.recv().unwrap_or_default());
        }
        None
    })
    .await;
    let patient = Timeouts { command: Duration::from_secs(300), ..Timeouts::default() };
    let slow = Settings { timeouts: patient, connections: 1, ..settings(data.path()) };
    let queue = start(data.path(), &[("far.example", relay(port))], slow);
    let text = format!("Subject: x\n\n{}", "0123456789\n".repeat(2000));
    for id in 1..=60 {
        queue.submit(message(id, &["a@far.example"], &text)).await.unwrap();
    }
    assert!(queue.inner.spool.span() > 4);
    let mut moved = 0;
    loop {
        match queue.inner.unpin(u64::MAX).await {
            0 => break,
            more => moved += more,
        }
    }
    assert!(moved > 20, "{moved}");
    assert!(queue.inner.spool.span() <= 3, "{}", queue.inner.spool.span());
    ring.send(()).unwrap();
    empty(&queue).await;
    assert_eq!(seen.all().len(), 60, "each once, wherever it lay");
    queue.drain(Duration::from_secs(5)).await;
}
