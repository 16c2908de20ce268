//! A hop that falls silent at one recipient's RCPT, or hangs up there: whoever shares a transaction or the hop with him is served.

use super::aside::recipients;
use super::*;
use std::sync::atomic::AtomicUsize;

/// What a hop does at `RCPT TO:<bad@…>`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    /// It says nothing more.
    Silent,
    /// The same, and what it said of the group of commands before is not out yet: Postfix writes its replies to a group at once.
    SilentBehindGroup,
    HangsUp,
}

/// Such a hop; how often it was asked for him, and whether it is well by now.
async fn hop(at: At) -> (u16, Seen, Arc<AtomicUsize>, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (seen, asked, well) =
        (Seen::default(), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (keep, count, is_well) = (seen.clone(), Arc::clone(&asked), Arc::clone(&well));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let (keep, count, is_well) = (keep.clone(), Arc::clone(&count), Arc::clone(&is_well));
            tokio::spawn(async move {
                // Whoever gives up on it hangs up.
                let _ = serve(BufReader::new(stream), at, (&keep, &count, &is_well)).await;
            });
        }
    });
    (port, seen, asked, well)
}

async fn serve(
    mut stream: BufReader<tokio::net::TcpStream>,
    at: At,
    (keep, count, is_well): (&Seen, &AtomicUsize, &AtomicBool),
) -> std::io::Result<()> {
    let (mut replies, mut to) = ("220 sink\r\n".to_owned(), Vec::new());
    loop {
        if at != At::SilentBehindGroup || stream.buffer().is_empty() {
            stream.write_all(std::mem::take(&mut replies).as_bytes()).await?;
        }
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        if line.starts_with("RCPT TO:<bad@") && !is_well.load(Ordering::SeqCst) {
            count.fetch_add(1, Ordering::SeqCst);
            if at == At::HangsUp {
                return Ok(());
            }
            // Until the other side has had enough.
            while stream.read_line(&mut String::new()).await? > 0 {}
            return Ok(());
        }
        match line {
            hello if hello.starts_with("EHLO") => replies.push_str("250-sink\r\n250 PIPELINING\r\n"),
            "DATA" => {
                replies.push_str("354 go\r\n");
                stream.write_all(std::mem::take(&mut replies).as_bytes()).await?;
                let mut body = String::new();
                while !body.ends_with("\r\n.\r\n") {
                    if stream.read_line(&mut body).await? == 0 {
                        return Ok(());
                    }
                }
                keep.0.lock().unwrap().push((std::mem::take(&mut to), body));
                replies.push_str("250 2.0.0 taken\r\n");
            }
            other => {
                if other.starts_with("MAIL") {
                    to.clear();
                }
                if other.starts_with("RCPT") {
                    to.push(other.to_owned());
                }
                replies.push_str("250 2.0.0 ok\r\n");
            }
        }
    }
}

/// RFC 5321 4.5.4.1: a recipient that a hop hangs at is tried again by himself, and the others of the message arrive.
#[tokio::test]
async fn whoever_makes_a_hop_hang_keeps_no_mail_from_others() {
    let clock = tame_clock();
    for at in [At::Silent, At::SilentBehindGroup, At::HangsUp] {
        let data = tempfile::tempdir().unwrap();
        let (port, seen, asked, well) = hop(at).await;
        let queue = start(data.path(), &[("far.example", relay(port))], brief(&clock, data.path()));
        let to = ["a@far.example", "bad@far.example", "b@far.example"];
        queue.submit(message(1, &to, "X: 1\n\n")).await.unwrap();
        wait("the others", || recipients(&seen).len() == 2).await;
        assert_eq!(seen.all().len(), 1, "{at:?}: in one transaction");
        assert_eq!(recipients(&seen), ["RCPT TO:<a@far.example>", "RCPT TO:<b@far.example>"], "{at:?}");
        // He is known: others who write to him and to somebody else do not find out again.
        let before = asked.load(Ordering::SeqCst);
        queue.hold(MessageId(1)).await.unwrap();
        queue.submit(message(2, &to, "X: 2\n\n")).await.unwrap();
        wait("the others of the second", || recipients(&seen).len() == 4).await;
        assert_eq!(seen.all().len(), 2, "{at:?}");
        assert!(asked.load(Ordering::SeqCst) <= before + 2, "{at:?}: once for each message");
        well.store(true, Ordering::SeqCst);
        queue.release(MessageId(1)).await.unwrap();
        empty(&queue).await;
        assert_eq!(recipients(&seen).len(), 6, "{at:?}: nobody gets it twice");
    }
}

/// The hop answers for others: it is not down for one of them, and nobody else hears what was meant for that one.
#[tokio::test]
async fn a_hop_that_hangs_at_a_recipient_is_not_down() {
    let clock = tame_clock();
    for (at, reason) in
        [(At::Silent, "it said nothing in time"), (At::HangsUp, "the connection broke: it hung up")]
    {
        bears(&clock, at, reason).await;
    }
}

async fn bears(clock: &Tame, at: At, reason: &str) {
    let data = tempfile::tempdir().unwrap();
    let (port, seen, _, _) = hop(at).await;
    let slow = Settings {
        connections: 1,
        retry_first: Duration::from_secs(3600),
        retry_max: Duration::from_secs(3600),
        ..brief(clock, data.path())
    };
    let queue = start(data.path(), &[("far.example", relay(port))], slow);
    let lane = queue.inner.lane(&relay(port));
    let mut id = 0;
    let mut submit = |who: &'static str| {
        id += 1;
        let queue = &queue;
        async move { queue.submit(message(id, &[who], &format!("X: {id}\n\n"))).await.unwrap() }
    };
    for round in 1..=3 {
        submit("bad@far.example").await;
        wait("the first", || queue.counters().deferred == 2 * round - 1).await;
        assert!(!lane.is_probed() && lane.down_for().is_zero(), "{at:?}, {round}");
        submit("bad@far.example").await;
        wait("the second", || queue.counters().deferred == 2 * round).await;
        assert!(!lane.is_probed() && lane.down_for().is_zero(), "{at:?}, {round}");
        submit("good@far.example").await;
        wait("the third", || seen.all().len() as u64 == round).await;
    }
    assert_eq!(queue.counters().deferred, 6, "nobody else was put off");
    // Where it has no answer for anybody it is down all the same.
    for _ in 0..3 {
        submit("bad@far.example").await;
    }
    wait("a hop that is down", || lane.is_probed() || !lane.down_for().is_zero()).await;
    let first = queue.list(Some(MessageId(0)), 1).await.pop().unwrap();
    assert_eq!(first.recipients[0].reason.as_deref(), Some(reason));
}

/// A hop that takes chunks, and longer to say 250 to `RCPT TO:<bad@…>` than anybody waits; it counts the messages for him that it has.
async fn late() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let taken = Arc::new(AtomicUsize::new(0));
    let all = Arc::clone(&taken);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let all = Arc::clone(&all);
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let (mut line, mut bad) = ("220 sink".to_owned(), false);
                loop {
                    let mut reply = "250 2.0.0 ok\r\n";
                    if line.starts_with("220") {
                        reply = "220 sink\r\n";
                    } else if line.starts_with("EHLO") {
                        reply = "250-sink\r\n250-PIPELINING\r\n250 CHUNKING\r\n";
                    } else if line.starts_with("MAIL") {
                        bad = false;
                    } else if line.starts_with("RCPT TO:<bad@") {
                        bad = true;
                        tokio::time::sleep(Duration::from_secs(3)).await;
                    } else if let Some(size) = line.strip_prefix("BDAT ") {
                        let size = size.split(' ').next().unwrap().trim().parse().unwrap();
                        let mut chunk = vec![0; size];
                        if stream.read_exact(&mut chunk).await.is_err() {
                            return;
                        }
                        all.fetch_add(usize::from(bad), Ordering::SeqCst);
                    }
                    // Whoever hung up hears nothing, and what he said before counts.
                    let _ = stream.write_all(reply.as_bytes()).await;
                    line.clear();
                    if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
            });
        }
    });
    (port, taken)
}

/// RFC 3030 4.2, RFC 1047: to a hop that is slow about a recipient the message does not go along with him a second time: it would have
/// it once more with each try.
#[tokio::test]
async fn a_slow_hop_does_not_find_the_message_behind_him_each_time() {
    let clock = tame_clock();
    let data = tempfile::tempdir().unwrap();
    let (port, taken) = late().await;
    let hour = Duration::from_secs(3600);
    let settings =
        Settings { connections: 1, retry_first: hour, retry_max: hour, ..brief(&clock, data.path()) };
    let queue = start(data.path(), &[("far.example", relay(port))], settings);
    queue.submit(message(1, &["bad@far.example"], "X: bad\n\n")).await.unwrap();
    for round in 1..=3 {
        wait("a try", || queue.counters().deferred == round).await;
        // The connection serves somebody first, so that it is one that answers in time.
        queue.submit(message(1 + round, &["good@far.example"], "X: good\n\n")).await.unwrap();
        wait("the other", || queue.counters().delivered == round).await;
        queue.retry(MessageId(1)).await.unwrap();
    }
    wait("the last try", || queue.counters().deferred == 4).await;
    // The hop is through with that one, too.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(taken.load(Ordering::SeqCst) <= 1, "{taken:?}");
}
