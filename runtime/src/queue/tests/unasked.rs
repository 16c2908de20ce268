//! What a next hop says, or does, while it was asked nothing.

use super::elsewhere::once;
use super::*;
use tokio::net::TcpStream;

type Server = BufReader<TcpStream>;

/// Takes a connection, up to the offers.
async fn greeted(listener: &TcpListener) -> Server {
    let (stream, _) = listener.accept().await.unwrap();
    // What it says is with the client at once.
    stream.set_nodelay(true).unwrap();
    let mut server = BufReader::new(stream);
    server.write_all(b"220 hop\r\n").await.unwrap();
    server.read_line(&mut String::new()).await.unwrap();
    server.write_all(b"250-hop\r\n250-PIPELINING\r\n250 CHUNKING\r\n").await.unwrap();
    server
}

/// Hears a transaction up to the end of its message, which is given back. With a word for each command, or none at all. Where
/// the other side is gone, this never ends.
async fn letter(server: &mut Server, says: &str) -> String {
    loop {
        let mut line = String::new();
        if server.read_line(&mut line).await.unwrap_or(0) == 0 || line == "QUIT\r\n" {
            std::future::pending::<()>().await;
        }
        if let Some(size) = line.trim_end().strip_prefix("BDAT ").and_then(|rest| rest.strip_suffix(" LAST"))
        {
            let mut text = vec![0; size.parse().unwrap()];
            server.read_exact(&mut text).await.unwrap();
            return String::from_utf8(text).unwrap();
        }
        server.write_all(says.as_bytes()).await.unwrap();
    }
}

/// RFC 5321 4.2: a reply that comes while a connection rests is none to MAIL, and so none of the next ones is for the command
/// before. That connection is given up, and the message goes over another one at once.
#[tokio::test]
async fn a_reply_that_comes_at_rest_costs_the_connection_alone() {
    let data = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hop = relay(listener.local_addr().unwrap().port());
    let queue = start(data.path(), &[("far.example", hop)], once(data.path()));
    queue.submit(message(1, &["a@far.example"], "X: 1\n\n")).await.unwrap();
    let mut first = greeted(&listener).await;
    assert_eq!(letter(&mut first, "250 ok\r\n").await, "X: 1\r\n\r\n");
    first.write_all(b"250 taken\r\n").await.unwrap();
    wait("it", || queue.counters().delivered == 1).await;
    // If that is over by now, its time of rest was.
    let _ = first.write_all(b"250 by the way\r\n").await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    queue.submit(message(2, &["b@far.example"], "X: 2\n\n")).await.unwrap();
    let mut second = tokio::select! {
        second = greeted(&listener) => second,
        text = letter(&mut first, "250 ok\r\n") => panic!("it went over the first connection: {text}"),
    };
    assert_eq!(letter(&mut second, "250 ok\r\n").await, "X: 2\r\n\r\n");
    second.write_all(b"250 taken\r\n").await.unwrap();
    empty(&queue).await;
    assert_eq!((queue.counters().delivered, queue.counters().deferred), (2, 0));
}

/// RFC 5321 3.8: a connection that ends unasked counts as 451. A small message goes along with its commands, so that a hop that
/// answered none of them may have it all the same: it is not sent again before it is tried again.
#[tokio::test]
async fn what_went_out_whole_is_not_sent_again_at_once() {
    let data = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hop = relay(listener.local_addr().unwrap().port());
    let queue = start(data.path(), &[("far.example", hop)], once(data.path()));
    queue.submit(message(1, &["a@far.example"], "X: 1\n\n")).await.unwrap();
    let mut server = greeted(&listener).await;
    letter(&mut server, "250 ok\r\n").await;
    // It goes out as soon as the first one is taken.
    queue.submit(message(2, &["b@far.example"], "X: 2\n\n")).await.unwrap();
    server.write_all(b"250 taken\r\n").await.unwrap();
    assert_eq!(letter(&mut server, "").await, "X: 2\r\n\r\n");
    drop(server);
    tokio::select! {
        _ = listener.accept() => panic!("it is sent again at once"),
        () = wait("it",  || queue.counters().deferred == 1) => {}
    }
    assert_eq!(queue.counters().delivered, 1);
}

/// What went out whole may be taken, and waits for its next try. It is the only one: of the others the hop has nothing before it
/// answers, so that they go over another connection at once where it hangs up after each message.
#[tokio::test]
async fn a_hop_that_hangs_up_on_a_whole_message_gets_no_other_before_it_answers() {
    let data = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hop = relay(listener.local_addr().unwrap().port());
    let queue = start(data.path(), &[("far.example", hop)], once(data.path()));
    let submit = async |id| {
        queue.submit(message(id, &["a@far.example"], &format!("X: {id}\n\n"))).await.unwrap();
    };
    submit(1).await;
    let mut server = greeted(&listener).await;
    letter(&mut server, "250 ok\r\n").await;
    submit(2).await;
    server.write_all(b"250 taken\r\n").await.unwrap();
    assert_eq!(letter(&mut server, "").await, "X: 2\r\n\r\n");
    drop(server);
    wait("it is put off", || queue.counters().deferred == 1).await;
    submit(3).await;
    let mut server = greeted(&listener).await;
    assert_eq!(letter(&mut server, "250 ok\r\n").await, "X: 3\r\n\r\n");
    submit(4).await;
    server.write_all(b"250 taken\r\n").await.unwrap();
    for verb in ["MAIL", "RCPT"] {
        let mut line = String::new();
        server.read_line(&mut line).await.unwrap();
        assert!(line.starts_with(verb), "{line}");
    }
    assert_eq!(server.buffer(), b"");
    drop(server);
    let mut server = tokio::select! {
        server = greeted(&listener) => server,
        () = wait("it is put off", || queue.counters().deferred == 2) => panic!("it has to wait"),
    };
    assert_eq!(letter(&mut server, "250 ok\r\n").await, "X: 4\r\n\r\n");
    server.write_all(b"250 taken\r\n").await.unwrap();
    wait("the others are taken", || queue.counters().delivered == 3).await;
    assert_eq!(queue.counters().deferred, 1);
}
