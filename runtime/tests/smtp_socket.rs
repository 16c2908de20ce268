//! The front on real sockets: a client that speaks SMTP, several at once, drain, overload, and peers
//! that never finish.

#[cfg(test)]
#[path = "smtp/support.rs"]
#[expect(dead_code, reason = "shared with the tests of dialogues")]
mod support;

#[cfg(test)]
#[path = "smtp_socket/exhaustion.rs"]
mod exhaustion;
#[cfg(test)]
#[path = "smtp_socket/kit.rs"]
mod kit;
#[cfg(test)]
#[path = "smtp_socket/tls.rs"]
mod tls;

#[cfg(test)]
mod tests {
    use crate::kit::{Client, server};
    use crate::support::{USERS, context, table};
    use edict_runtime::smtp::{Endpoint, Metrics, Session, Settings, Step};
    use std::time::Duration;
    use tokio::net::TcpStream;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_clients_at_once() {
        let server = server("", Settings::default()).await;
        let clients: Vec<_> = (0..20)
            .map(|number| {
                let address = server.address;
                tokio::spawn(async move {
                    let mut client = Client::new(address).await;
                    assert!(client.reply().await.starts_with("220 "));
                    assert!(client.ask("EHLO client.example").await.contains("PIPELINING"));
                    for turn in 0..10 {
                        // Larger than one buffer, so that it comes in pieces.
                        let body = format!("X: {number}.{turn}\r\n\r\n{}", "..line\r\n".repeat(20_000));
                        assert!(client.message(&body).await.starts_with("250 2.0.0 Ok: queued as "));
                    }
                    assert!(client.ask("QUIT").await.starts_with("221 "));
                    assert_eq!(client.reply().await, "");
                })
            })
            .collect();
        for client in clients {
            client.await.unwrap();
        }
        let taken = server.memory.taken.lock().unwrap();
        assert_eq!(taken.len(), 200);
        for incoming in taken.iter() {
            let text = std::str::from_utf8(&incoming.bytes).unwrap();
            assert_eq!(text.matches("\r\n.line").count(), 20_000);
            assert!(text.ends_with(".line\r\n\r\n"));
        }
        assert_eq!(Metrics::get(&server.cx.metrics.accepted), 200);
        assert_eq!(Metrics::get(&server.cx.metrics.memory), 0);
    }

    /// SIGTERM: what is in flight is finished, idle sessions end with 421, no new ones are taken.
    /// RFC 5321 3.8.
    #[tokio::test]
    async fn drains() {
        let server = server("", Settings::default()).await;
        let mut idle = Client::new(server.address).await;
        let mut busy = Client::new(server.address).await;
        idle.reply().await;
        busy.reply().await;
        busy.ask("HELO client.example").await;
        busy.ask("MAIL FROM:<carl@other.example>").await;
        server.stop.send(true).unwrap();
        assert!(idle.reply().await.starts_with("421 4.3.2 "));
        assert!(busy.ask("RCPT TO:<ann@example.com>").await.starts_with("250 "));
        assert!(busy.ask("DATA").await.starts_with("354 "));
        assert!(busy.ask("x\r\n.").await.starts_with("250 "));
        assert!(busy.reply().await.starts_with("421 4.3.2 "));
        server.task.await.unwrap();
        assert_eq!(server.memory.taken.lock().unwrap().len(), 1);
        assert!(TcpStream::connect(server.address).await.is_err());
    }

    /// RFC 1123 5.2.17, RFC 5321 4.5.1: postmaster at the address that the client connected to is ours, and nobody else there.
    #[tokio::test]
    async fn takes_mail_for_postmaster_at_its_own_address() {
        let server = server("", Settings::default()).await;
        let mut client = Client::new(server.address).await;
        client.reply().await;
        client.ask("HELO client.example").await;
        client.ask("MAIL FROM:<carl@other.example>").await;
        for (to, want) in [
            ("Postmaster@[127.0.0.1]", "250 "),
            ("postmaster@[127.0.0.2]", "550 5.7.1 "),
            ("ann@[127.0.0.1]", "550 5.7.1 "),
        ] {
            let reply = client.ask(&format!("RCPT TO:<{to}>")).await;
            assert!(reply.starts_with(want), "{to}: {reply}");
        }
        assert!(client.ask("DATA").await.starts_with("354 "));
        assert!(client.ask("x\r\n.").await.starts_with("250 "));
        let taken = server.memory.taken.lock().unwrap();
        let to: Vec<String> = taken[0].recipients.iter().map(|r| r.wire.clone()).collect();
        assert_eq!(to, ["Postmaster@example.com"]);
    }

    /// RFC 5321 3.8, 4.1.1.5, 4.1.1.10: a connection that breaks cancels what is under way, and nothing that was done.
    #[tokio::test]
    async fn a_broken_connection_takes_nothing_and_loses_nothing() {
        let server = server("", Settings::default()).await;
        for end in [
            "MAIL FROM:<x@other.example>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\nhalf\r\n.",
            "BDAT 100 LAST\r\nhalf",
        ] {
            let mut client = Client::new(server.address).await;
            client.reply().await;
            client.ask("EHLO client.example").await;
            assert!(client.message("whole").await.starts_with("250 2.0.0 "));
            client.say(end).await;
            client.say("").await;
            drop(client);
        }
        // The next one is served, and nobody's memory is held.
        let mut next = Client::new(server.address).await;
        next.reply().await;
        assert!(next.ask("HELO client.example").await.starts_with("250 "));
        while Metrics::get(&server.cx.metrics.open) > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(Metrics::get(&server.cx.metrics.memory), 0);
        let taken = server.memory.taken.lock().unwrap();
        assert_eq!(taken.len(), 2);
        assert!(taken.iter().all(|m| m.bytes == b"whole\r\n" && m.sender.wire == "carl@other.example"));
    }

    /// RFC 5321 3.8: a command that comes while the server goes down gets one 421, and the connection ends.
    #[test]
    fn going_down_is_said_once() {
        let (cx, _memory) = context(table("", ""), USERS, Settings::default());
        let mut session = Session::new(cx, Endpoint::default(), "203.0.113.9".parse().unwrap());
        session.step(b"HELO client.example\r\n", 1_700_000_000_000);
        session.output().clear();
        session.drain();
        let (_, step) = session.step(b"MAIL FROM:<carl@other.example>\r\n", 1_700_000_000_000);
        assert!(matches!(step, Step::Close));
        let said = String::from_utf8_lossy(session.output()).into_owned();
        assert_eq!(said, "421 4.3.2 this server goes down, try again later\r\n");
    }
}
