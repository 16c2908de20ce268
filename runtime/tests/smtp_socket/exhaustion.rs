//! Clients that use up what there is: connections, time, memory, commands.

use crate::kit::{Client, server, server_with};
use crate::support::{USERS, context, table};
use edict_runtime::smtp::{Endpoint, Metrics, Session, Settings, Step, serve};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Under overload the server answers 421 quickly and stays up.
#[tokio::test]
async fn turns_away_what_is_too_much() {
    let server = server("", Settings { max_connections: 2, ..Settings::default() }).await;
    let mut first = Client::new(server.address).await;
    let mut second = Client::new(server.address).await;
    assert!(first.reply().await.starts_with("220 "));
    assert!(second.reply().await.starts_with("220 "));
    let mut third = Client::new(server.address).await;
    assert!(third.reply().await.starts_with("421 4.3.2 "));
    assert_eq!(third.reply().await, "");
    first.ask("QUIT").await;
    assert_eq!(first.reply().await, "");
    drop(first);
    while Metrics::get(&server.cx.metrics.open) > 1 {
        tokio::task::yield_now().await;
    }
    let mut fourth = Client::new(server.address).await;
    assert!(fourth.reply().await.starts_with("220 "));
    assert_eq!(Metrics::get(&server.cx.metrics.turned_away), 1);
}

/// What hangs for ever without its bound fails here.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what).await.expect("no end within a minute")
}

/// Connection and command exhaustion: a client that a rule refuses holds no more connections than others may,
/// and each only briefly, whatever it says. RFC 5321 3.1.
#[tokio::test]
async fn who_is_refused_fills_nothing() {
    let rules = r#"reject "blocked" { priority 1  when client.ip is 127.0.0.1  reply 554 5.7.1 "Blocked" }"#;
    let two = server_with("", rules, Settings { max_per_client: 2, ..Settings::default() }).await;
    let mut held = [Client::new(two.address).await, Client::new(two.address).await];
    for client in &mut held {
        assert_eq!(client.reply().await, "554 5.7.1 Blocked\r\n");
    }
    let mut third = Client::new(two.address).await;
    assert!(third.reply().await.starts_with("421 4.7.0 too many connections from your address"));
    assert_eq!(third.reply().await, "");

    let settings = Settings { refused_timeout: Duration::from_millis(300), ..Settings::default() };
    let brief = server_with("errors slow after 100, close after 200", rules, settings).await;
    let mut silent = Client::new(brief.address).await;
    assert_eq!(silent.reply().await, "554 5.7.1 Blocked\r\n");
    assert!(soon(silent.reply()).await.starts_with("421 4.4.2 "));
    assert_eq!(soon(silent.reply()).await, "");
    // Within its chunk it has no more time.
    let mut chunk = Client::new(brief.address).await;
    assert_eq!(chunk.reply().await, "554 5.7.1 Blocked\r\n");
    chunk.say("BDAT 1000\r\n").await;
    assert!(soon(chunk.reply()).await.starts_with("421 4.4.2 "));
}

/// Connection and command exhaustion: clients are counted before the handshake, not after it.
#[tokio::test]
async fn silent_clients_of_implicit_tls_are_counted() {
    let settings = Settings { max_per_client: 2, ..Settings::default() };
    let (cx, _memory) = context(table("", ""), USERS, settings);
    cx.tls.store(Some(crate::support::tls_config()));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_stop, stopped) = watch::channel(false);
    let role = edict_runtime::smtp::Role::Submissions;
    tokio::spawn(serve(listener, Endpoint { role, ..Endpoint::default() }, Arc::clone(&cx), stopped));
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let third = silent.last_mut().unwrap();
    assert_eq!(third.read(&mut [0; 8]).await.unwrap(), 0);
    assert_eq!(Metrics::get(&cx.metrics.turned_away), 1);
}

/// BDAT state and memory: the time of a message runs on between its chunks.
#[tokio::test]
async fn chunks_buy_no_time() {
    let brief = Duration::from_millis(300);
    let server = server("", Settings { data_timeout: brief, ..Settings::default() }).await;
    let mut client = Client::new(server.address).await;
    client.reply().await;
    client.ask("EHLO client.example").await;
    client.ask("MAIL FROM:<carl@other.example>").await;
    client.ask("RCPT TO:<ann@example.com>").await;
    let mut reply = String::new();
    for _ in 0..400 {
        reply = client.ask("BDAT 3\r\nx").await;
        if !reply.starts_with("250 ") {
            break;
        }
        let more = tokio::select! {
            _ = client.0.fill_buf() => true,
            () = tokio::time::sleep(Duration::from_millis(50)) => false,
        };
        if more {
            reply = client.reply().await;
            break;
        }
    }
    assert!(reply.starts_with("421 4.4.2 "), "{reply:?}");
    while Metrics::get(&server.cx.metrics.open) > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(Metrics::get(&server.cx.metrics.memory), 0);
}

/// Connection and command exhaustion: who fills the memory and then sends no more makes room for others, who are
/// served all the while.
#[tokio::test]
async fn slow_messages_make_room() {
    let settings =
        Settings { max_memory: 4 << 20, slow_timeout: Duration::from_millis(500), ..Settings::default() };
    let server = server("max-message-size 2 MiB", settings).await;
    let mut slow = Client::new(server.address).await;
    slow.reply().await;
    slow.ask("EHLO client.example").await;
    slow.ask("MAIL FROM:<carl@other.example>").await;
    slow.ask("RCPT TO:<ann@example.com>").await;
    assert!(slow.ask("DATA").await.starts_with("354 "));
    slow.say(&"It comes fast, and then no more of it.\r\n".repeat(40_000)).await;
    // The same client, while its own message holds more than half: refused for now, and told so.
    while Metrics::get(&server.cx.metrics.memory) <= 2 << 20 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(soon(slow.reply()).await.starts_with("421 4.3.1 too many messages at once"));
    assert_eq!(soon(slow.reply()).await, "");
    while Metrics::get(&server.cx.metrics.open) > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(Metrics::get(&server.cx.metrics.memory), 0);
    let mut next = Client::new(server.address).await;
    next.reply().await;
    next.ask("EHLO client.example").await;
    assert!(next.message(&"x\r\n".repeat(100_000)).await.starts_with("250 "));
}

/// Connection and command exhaustion: one client's messages, however many, leave memory for another's.
#[test]
fn one_client_cannot_fill_the_memory() {
    let settings = Settings { max_memory: 4 << 20, ..Settings::default() };
    let (cx, _memory) = context(table("max-message-size 2 MiB", ""), USERS, settings);
    let begin = |ip: &str| {
        let mut session = Session::new(Arc::clone(&cx), Endpoint::default(), ip.parse().unwrap());
        for line in
            ["HELO client.example", "MAIL FROM:<a@other.example>", "RCPT TO:<ann@example.com>", "DATA"]
        {
            session.step(format!("{line}\r\n").as_bytes(), 1_700_000_000_000);
        }
        session.output().clear();
        session
    };
    let line = "So it goes on and on, as long as anybody listens.\r\n".repeat(200);
    let ends = |session: &mut Session| match session.step(b".\r\n", 1_700_000_000_000).1 {
        Step::Accept(incoming) => incoming.bytes.len(),
        Step::Read => {
            let said = String::from_utf8_lossy(session.output()).into_owned();
            assert_eq!(said, "452 4.3.1 too many messages at once, try again later\r\n");
            0
        }
        step => panic!("{step:?}"),
    };
    let mut hog: Vec<Session> = (1..=50).map(|n| begin(&format!("2001:db8:1:1::{n:x}"))).collect();
    for _ in 0..60 {
        for session in &mut hog {
            session.step(line.as_bytes(), 1_700_000_000_000);
            assert!(Metrics::get(&cx.metrics.memory) <= 2 << 20, "half, for one client");
        }
    }
    // Others get their mail through, each as large as it may be.
    for ip in ["192.0.2.1", "2001:db8:1:2::1"] {
        let mut session = begin(ip);
        let mut sent = 0;
        while sent + line.len() < 500_000 {
            session.step(line.as_bytes(), 1_700_000_000_000);
            sent += line.len();
        }
        assert_eq!(ends(&mut session), sent, "{ip}");
    }
    assert!(hog.iter_mut().map(ends).filter(|taken| *taken > 0).count() < 50);
    drop(hog);
    assert_eq!(Metrics::get(&cx.metrics.memory), 0);
}

/// Connection and command exhaustion: recipients refused for now count as one, but not without end.
#[test]
fn recipients_refused_for_now_count_in_the_end() {
    let rules = r#"defer "grey" { when recipient is ann@example.com  reply 450 4.7.1 "Come again" }"#;
    let (cx, _memory) =
        context(table("errors slow after 10, close after 20", rules), USERS, Settings::default());
    let mut session = Session::new(cx, Endpoint::default(), "203.0.113.9".parse().unwrap());
    session.step(b"EHLO client.example\r\n", 1_700_000_000_000);
    session.step(b"MAIL FROM:<carl@other.example>\r\n", 1_700_000_000_000);
    session.output().clear();
    let (mut waiting, mut said, mut waits) = (Vec::new(), Vec::new(), 0);
    for _ in 0..5000 {
        let (used, step) = session.step(&waiting, 1_700_000_000_000);
        waiting.drain(..used);
        said.append(session.output());
        match step {
            Step::Read => waiting.extend_from_slice(b"RCPT TO:<ann@example.com>\r\n"),
            Step::Wait(_) => waits += 1,
            Step::Close => break,
            Step::Write => {}
            step => panic!("{step:?}"),
        }
    }
    let said = String::from_utf8(said).unwrap();
    let refused = said.matches("450 4.7.1 Come again\r\n").count();
    assert!(said.ends_with("421 4.7.0 too many errors\r\n"));
    // One, then 999 that do not count, then twenty that do, half of them slowly.
    assert_eq!((refused, waits), (1020, 11));
}

/// Connection and command exhaustion: slowloris on commands and on data, and replies never read.
/// RFC 5321 3.8, 4.5.3.2, 4.5.3.2.7.
#[tokio::test]
async fn peers_that_never_finish_are_bounded() {
    let brief = Duration::from_millis(300);
    let settings =
        Settings { command_timeout: brief, data_timeout: brief, write_timeout: brief, ..Settings::default() };
    let server = server("junk-commands 100000000\npipelining lenient", settings).await;
    // At once, so that none of it comes too late on a busy machine.
    let within = async || {
        let mut client = Client::new(server.address).await;
        client.say("HELO client.example\r\nMAIL FROM:<carl@other.example>\r\n").await;
        client.say("RCPT TO:<ann@example.com>\r\nDATA\r\n").await;
        for code in ["220 ", "250 ", "250 ", "250 ", "354 "] {
            let reply = client.reply().await;
            assert!(reply.starts_with(code), "{reply}");
        }
        client
    };
    let (mut data, mut drip) = (within().await, within().await);
    let mut command = Client::new(server.address).await;
    let mut unread = Client::new(server.address).await;
    command.reply().await;
    let trickle = async {
        // A byte now and then does not buy time: the whole command has its limit.
        for _ in 0..100 {
            if command.0.get_mut().write_all(b"N").await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let drops = async {
        // Nor does one within a message: on average it must have its pace.
        let (mut reply, mut sent) = (String::new(), 0);
        while sent < 400 && reply.is_empty() {
            let _ = drip.0.get_mut().write_all(b"x").await;
            sent += 1;
            tokio::select! {
                _ = drip.0.read_line(&mut reply) => {}
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
        }
        assert!(reply.starts_with("421 4.4.2 "), "{reply:?} after {sent} bytes");
    };
    let stay = async {
        assert!(data.reply().await.starts_with("421 4.4.2 "));
        assert_eq!(data.reply().await, "");
    };
    let flood = async {
        let noise = "NOOP\r\n".repeat(10_000);
        while unread.0.get_mut().write_all(noise.as_bytes()).await.is_ok() {}
    };
    tokio::join!(trickle, drops, stay, flood);
    while Metrics::get(&server.cx.metrics.open) > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut rest = Vec::new();
    let _ = command.0.read_to_end(&mut rest).await;
}
