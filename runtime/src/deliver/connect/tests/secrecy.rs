//! Whether others can read along, as the log says it; and what is refused for want of TLS that did not come about.

use super::*;
use crate::acceptor::Expected;
use crate::deliver::tls::Secrecy;

fn relay_at(port: u16, tls: RelayTls) -> Hop {
    let hosts = vec![Host { name: "localhost".to_owned(), port }];
    Hop::Relay(Relay { name: "r".to_owned(), hosts, tls, credentials: None })
}

#[tokio::test]
async fn it_is_known_whether_others_can_read_along() {
    use RelayTls::{Implicit, Off, Opportunistic, Required, Verified};
    for (does, tls, want) in [
        (Does::Plain, Opportunistic, Secrecy::None),
        (Does::Starttls, Off, Secrecy::None),
        (Does::Refuses, Opportunistic, Secrecy::None),
        (Does::Babbles, Opportunistic, Secrecy::None),
        (Does::Starttls, Opportunistic, Secrecy::Encrypted),
        (Does::Starttls, Required, Secrecy::Encrypted),
        (Does::Starttls, Verified, Secrecy::Verified),
        (Does::Implicit, Implicit, Secrecy::Verified),
    ] {
        let (acceptor, roots) = certificate();
        let port = serve(does, acceptor).await;
        let session = dialer(roots).connect(&relay_at(port, tls), "us.example").await.unwrap();
        assert_eq!(session.secrecy, want, "{} {tls:?}", does as u8);
    }
    assert_eq!(
        [Secrecy::None, Secrecy::Encrypted, Secrecy::Verified].map(|s| s.to_string()),
        ["none", "encrypted", "verified"]
    );
}

/// A server that offers STARTTLS, or not, answers it so, and takes mail under TLS alone (RFC 3207 4).
async fn insists(offers: bool, answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut line = String::from("220 here\r\n");
                loop {
                    let words = match line.split_whitespace().next().unwrap_or_default() {
                        "220" => "220 here\r\n",
                        "EHLO" if offers => "250-here\r\n250-8BITMIME\r\n250 STARTTLS\r\n",
                        "EHLO" => "250-here\r\n250 8BITMIME\r\n",
                        "STARTTLS" => answer,
                        _ => "530 5.7.0 Must issue a STARTTLS command first\r\n",
                    };
                    stream.write_all(words.as_bytes()).await.unwrap();
                    line.clear();
                    if words.is_empty() || stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// Who wants TLS that did not come about this time, however it failed, may take the mail the next time: no author hears that it
/// failed for good. Who never offers it has said so for good.
#[tokio::test]
async fn mail_waits_for_tls_that_failed_once() {
    for (offers, answer, waits) in [
        (true, "454 4.7.0 not now\r\n", true),
        (true, "220 go\r\nthis is no handshake\r\n", true),
        (true, "", true),
        (false, "", false),
    ] {
        let hop = relay_at(insists(offers, answer).await, RelayTls::Opportunistic);
        let dialer = dialer(RootCertStore::empty());
        let connect = || dialer.connect(&hop, "us.example");
        let record = crate::spool::test_record(1, b"Subject: x\r\n\r\n".to_vec());
        let letter = Letter {
            id: record.id,
            received: 0,
            place: 0,
            dispatch: &record.dispatches[0],
            targets: &[0],
            bytes: &record.bytes,
            again: false,
            pace: Pace::Whole,
        };
        let sent = connect().await.unwrap().send(&letter).await;
        let status = match &sent.outcomes[0] {
            Outcome::Deferred(reason) | Outcome::Failed(reason) => reason.status,
            other => panic!("{other:?}"),
        };
        assert_eq!(status, if waits { (4, 7, 0) } else { (5, 7, 0) }, "{answer}");
        // What is passed through is stored then, and waits in the queue.
        let dispatch = &record.dispatches[0];
        let mut session = connect().await.unwrap();
        let opened = session.open(dispatch, &dispatch.recipients[0], Expected::default()).await;
        match waits {
            true => assert!(matches!(opened, Err(Trouble::Tls(_))), "{opened:?}"),
            false => assert_eq!(opened.unwrap().unwrap().code, 530),
        }
    }
}
