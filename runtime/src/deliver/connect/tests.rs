//! Connecting to scripted servers: TLS at each level, injected replies, logins, LMTP.

mod patience;
mod secrecy;

use super::super::tls::Tls;
use super::super::{Hand, Letter, Outcome, Pace};
use super::*;
use crate::tame::{Tame, tame_clock};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// A server's certificate for `localhost`, and the roots that trust it.
fn certificate() -> (TlsAcceptor, RootCertStore) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], made.signing_key.serialize_der().try_into().unwrap())
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), roots)
}

/// What a server does.
#[derive(Clone, Copy, PartialEq)]
enum Does {
    /// Offers STARTTLS and does it.
    Starttls,
    /// Offers it and refuses.
    Refuses,
    /// Says more than its consent before the handshake.
    Injects,
    /// Offers it and then talks nonsense in place of a handshake.
    Babbles,
    /// Offers it and hangs up on it.
    Drops,
    /// Offers it and says 421 to it, then hangs up.
    Closes,
    /// Offers it and says nothing to it.
    Silent,
    /// Does it and hangs up behind the handshake.
    Leaves,
    /// Does it and takes no EHLO inside.
    Regrets,
    /// Does not offer it.
    Plain,
    /// TLS from the first byte.
    Implicit,
}

async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    does: Does,
    inside: bool,
) -> Option<BufReader<impl AsyncRead + AsyncWrite + Unpin>> {
    let mut stream = BufReader::new(stream);
    if !inside {
        stream.write_all(b"220 here\r\n").await.ok()?;
    }
    let mut steps = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return None;
        }
        let line = line.trim_end();
        let offers = if inside || matches!(does, Does::Plain | Does::Implicit) {
            "250-here\r\n250-AUTH PLAIN LOGIN\r\n250 SIZE\r\n"
        } else {
            "250-here\r\n250-AUTH LOGIN\r\n250 STARTTLS\r\n"
        };
        let answer = match line {
            _ if inside && does == Does::Regrets => "421 4.3.0 not any more\r\n",
            _ if line.starts_with("EHLO") => offers,
            "STARTTLS" => match does {
                Does::Refuses => "454 not now\r\n",
                Does::Drops => return None,
                Does::Closes => {
                    let _ = stream.write_all(b"421 4.7.0 no TLS now\r\n").await;
                    return None;
                }
                Does::Silent => std::future::pending().await,
                Does::Injects => "220 go\r\n250-evil\r\n250 SIZE\r\n",
                _ => {
                    stream.write_all(b"220 go\r\n").await.ok()?;
                    return Some(stream);
                }
            },
            "AUTH PLAIN AGFubgBzZWNyZXQ=" => "235 ok\r\n",
            "AUTH LOGIN" => "334 VXNlcm5hbWU6\r\n",
            "YW5u" => {
                steps += 1;
                "334 UGFzc3dvcmQ6\r\n"
            }
            "c2VjcmV0" if steps == 1 => "235 ok\r\n",
            _ => "535 no\r\n",
        };
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

async fn serve(does: Does, acceptor: TlsAcceptor) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if does == Does::Implicit {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        talk(stream, does, false).await;
                    }
                    return;
                }
                let Some(stream) = talk(stream, does, false).await else { return };
                let mut stream = stream;
                if does == Does::Babbles {
                    let _ = stream.write_all(b"this is no handshake, sorry\r\n").await;
                    return;
                }
                if let Ok(stream) = acceptor.accept(stream).await
                    && does != Does::Leaves
                {
                    talk(stream, does, true).await;
                }
            });
        }
    });
    port
}

/// Waits for long: a server that is slow for once is none that says nothing.
fn dialer(roots: RootCertStore) -> Dialer {
    dialer_with(roots, Duration::from_secs(60))
}

/// The same for servers that say nothing.
fn brief(_: &Tame, roots: RootCertStore) -> Dialer {
    dialer_with(roots, Duration::from_secs(2))
}

fn dialer_with(roots: RootCertStore, each: Duration) -> Dialer {
    Dialer {
        timeouts: Timeouts { connect: each, command: each, data: each, end: each },
        logins: [
            ("good".to_owned(), Login { login: "ann".to_owned(), password: "secret".to_owned() }),
            ("other".to_owned(), Login { login: "bob".to_owned(), password: "secret".to_owned() }),
            ("bad".to_owned(), Login { login: "ann".to_owned(), password: "wrong".to_owned() }),
        ]
        .into(),
        tls: Tls::with_roots(roots),
        ..Dialer::default()
    }
}

/// What the connection came to: `plain`, `tls` or the trouble's kind.
async fn outcome(
    clock: &Tame,
    does: Does,
    tls: RelayTls,
    login: Option<&str>,
    trusted: bool,
) -> &'static str {
    let (acceptor, roots) = certificate();
    let (_, strangers) = certificate();
    let port = serve(does, acceptor).await;
    let roots = if trusted { roots } else { strangers };
    let dialer = if does == Does::Silent { brief(clock, roots) } else { dialer(roots) };
    let relay = Relay {
        name: "r".to_owned(),
        hosts: vec![Host { name: "localhost".to_owned(), port }],
        tls,
        credentials: login.map(str::to_owned),
    };
    match dialer.connect(&Hop::Relay(relay), "us.example").await {
        // The server offers SIZE inside TLS, or where it knows no STARTTLS at all.
        Ok(session) if session.offers().size.is_some() => "inside",
        Ok(_) => "plain",
        Err(Trouble::Tls(_)) => "tls trouble",
        Err(Trouble::Auth(_)) => "auth trouble",
        Err(error) => panic!("{error}"),
    }
}

/// STARTTLS response injection (CVE-2021-38371 Exim as client): what came before the handshake is not believed.
/// TLS downgrade, fail-open: a relay that must have TLS and is not offered it gets no mail.
#[tokio::test]
async fn every_level_of_tls() {
    let clock = tame_clock();
    use RelayTls::{Implicit, Off, Opportunistic, Required, Verified};
    for (does, tls, trusted, want) in [
        (Does::Starttls, Off, true, "plain"),
        (Does::Starttls, Opportunistic, false, "inside"),
        (Does::Starttls, Required, false, "inside"),
        (Does::Starttls, Verified, true, "inside"),
        (Does::Starttls, Verified, false, "tls trouble"),
        (Does::Refuses, Opportunistic, true, "plain"),
        (Does::Refuses, Required, true, "tls trouble"),
        (Does::Injects, Opportunistic, true, "plain"),
        (Does::Injects, Required, true, "tls trouble"),
        (Does::Injects, Verified, true, "tls trouble"),
        (Does::Babbles, Opportunistic, true, "plain"),
        (Does::Babbles, Required, true, "tls trouble"),
        // As Postfix does: what goes wrong between STARTTLS and EHLO inside costs TLS, where it is not asked for, and no mail.
        (Does::Drops, Opportunistic, true, "plain"),
        (Does::Drops, Required, true, "tls trouble"),
        (Does::Closes, Opportunistic, true, "plain"),
        (Does::Closes, Verified, true, "tls trouble"),
        (Does::Silent, Opportunistic, true, "plain"),
        (Does::Silent, Required, true, "tls trouble"),
        (Does::Leaves, Opportunistic, true, "plain"),
        (Does::Leaves, Required, true, "tls trouble"),
        (Does::Leaves, Verified, true, "tls trouble"),
        (Does::Regrets, Opportunistic, true, "plain"),
        (Does::Regrets, Required, true, "tls trouble"),
        (Does::Plain, Opportunistic, true, "inside"),
        (Does::Plain, Required, true, "tls trouble"),
        (Does::Plain, Verified, true, "tls trouble"),
        (Does::Implicit, Implicit, true, "inside"),
        (Does::Implicit, Implicit, false, "tls trouble"),
    ] {
        let got = outcome(&clock, does, tls, None, trusted).await;
        assert_eq!(got, want, "{} {tls:?} {trusted}", does as u8);
    }
}

/// A server that says nothing to STARTTLS, or nothing behind its consent, is not asked each time: mail would wait for minutes
/// at each connection. One that fails at once is asked again.
#[tokio::test]
async fn who_is_silent_on_starttls_is_not_asked_each_time() {
    let clock = tame_clock();
    for (answer, tls, want) in [
        (None, RelayTls::Opportunistic, (3, 1)),
        (Some("220 go\r\n"), RelayTls::Opportunistic, (3, 1)),
        (Some("454 no\r\n"), RelayTls::Opportunistic, (3, 3)),
        // Whoever insists on it never goes on without.
        (None, RelayTls::Required, (0, 3)),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let count = Arc::clone(&count);
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    stream.write_all(b"220 here\r\n").await.unwrap();
                    let mut line = String::new();
                    while stream.read_line(&mut line).await.unwrap_or(0) > 0 {
                        let starttls = line.starts_with("STARTTLS");
                        count.fetch_add(usize::from(starttls), std::sync::atomic::Ordering::SeqCst);
                        let answer = if starttls { answer } else { Some("250-here\r\n250 STARTTLS\r\n") };
                        let _ = stream.write_all(answer.unwrap_or_default().as_bytes()).await;
                        if starttls && answer.is_none_or(|answer| answer.starts_with("220")) {
                            std::future::pending::<()>().await;
                        }
                        line.clear();
                    }
                });
            }
        });
        let hosts = vec![Host { name: "127.0.0.1".to_owned(), port }];
        let hop = Hop::Relay(Relay { name: "r".to_owned(), hosts, tls, credentials: None });
        let dialer = brief(&clock, RootCertStore::empty());
        let mut connected = 0;
        for _ in 0..3 {
            connected += usize::from(dialer.connect(&hop, "us.example").await.is_ok());
        }
        let got = (connected, asked.load(std::sync::atomic::Ordering::SeqCst));
        assert_eq!(got, want, "{answer:?} {tls:?}");
    }
}

#[tokio::test]
async fn logins() {
    let clock = tame_clock();
    use RelayTls::{Off, Opportunistic, Required};
    for (does, tls, login, want) in [
        (Does::Starttls, Required, "good", "inside"),
        (Does::Starttls, Required, "bad", "auth trouble"),
        (Does::Starttls, Required, "nobody", "auth trouble"),
        // In the clear by LOGIN, since the rule says so.
        (Does::Starttls, Off, "good", "plain"),
        (Does::Starttls, Off, "bad", "auth trouble"),
        // A password is worth more than a delivery: no way around TLS.
        (Does::Plain, Opportunistic, "good", "auth trouble"),
        (Does::Babbles, Opportunistic, "good", "tls trouble"),
        (Does::Drops, Opportunistic, "good", "tls trouble"),
        (Does::Leaves, Opportunistic, "good", "tls trouble"),
    ] {
        assert_eq!(
            outcome(&clock, does, tls, Some(login), true).await,
            want,
            "{} {tls:?} {login}",
            does as u8
        );
    }
}

/// RFC 5321 3.1, 4.1.1.10: a server that can be talked to and is of no use hears QUIT before the connection ends.
#[tokio::test]
async fn who_is_of_no_use_is_left_with_a_quit() {
    use RelayTls::{Off, Opportunistic, Required};
    let (open, plain) = ("220 here\r\n", "250 here\r\n");
    for (greeting, hello, tls, login) in [
        ("554 5.7.1 not you\r\n", plain, Off, None),
        (open, "550 5.7.1 not you\r\n", Off, None),
        (open, "250 us.example\r\n", Off, None),
        (open, plain, Required, None),
        (open, "250-here\r\n250 STARTTLS\r\n", Required, None),
        (open, "250-here\r\n250 AUTH PLAIN\r\n", Off, Some("bad")),
        (open, plain, Opportunistic, Some("good")),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = tokio::spawn(async move {
            let mut stream = BufReader::new(listener.accept().await.unwrap().0);
            stream.write_all(greeting.as_bytes()).await.unwrap();
            let (mut line, mut last) = (String::new(), String::new());
            while stream.read_line(&mut line).await.unwrap_or(0) > 0 {
                let answer = if line.starts_with("EHLO") { hello } else { "550 5.7.1 no\r\n" };
                // It may be gone behind QUIT.
                let _ = stream.write_all(answer.as_bytes()).await;
                last = std::mem::take(&mut line);
            }
            last
        });
        let hosts = vec![Host { name: "127.0.0.1".to_owned(), port }];
        // It is ourselves.
        let by_mx = hello.contains("us.example");
        let hop = match by_mx {
            true => Hop::Mx("[127.0.0.1]".to_owned()),
            false => {
                Hop::Relay(Relay { name: "r".to_owned(), hosts, tls, credentials: login.map(str::to_owned) })
            }
        };
        let exchanges = Exchanges::new(Vec::new(), port);
        let dialer = Dialer { exchanges, ..dialer(RootCertStore::empty()) };
        let trouble = dialer.connect(&hop, "us.example").await.unwrap_err();
        assert_eq!(heard.await.unwrap(), "QUIT\r\n", "{trouble}");
    }
}

#[tokio::test]
async fn lmtp_answers_for_each_recipient() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lmtp");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 lmtp\r\n").await.unwrap();
        let mut line = String::new();
        while stream.read_line(&mut line).await.unwrap() > 0 {
            let answer = match line.split_whitespace().next().unwrap_or_default() {
                "LHLO" => "250-here\r\n250 PIPELINING\r\n",
                "DATA" => "354 go\r\n",
                "." => "250 2.0.0 kept\r\n452 4.2.2 full\r\n",
                "MAIL" | "RCPT" => "250 ok\r\n",
                _ => "",
            };
            stream.write_all(answer.as_bytes()).await.unwrap();
            line.clear();
        }
    });
    let dialer = Dialer { local: Local::LmtpUnix(path), ..dialer(RootCertStore::empty()) };
    let mut session = dialer.connect(&Hop::Local, "us.example").await.unwrap();
    let record = crate::spool::test_record(1, b"Subject: x\r\n\r\n".to_vec());
    let letter = Letter {
        id: record.id,
        received: 0,
        place: 0,
        dispatch: &record.dispatches[0],
        targets: &[0, 1],
        bytes: &record.bytes,
        again: false,
        pace: Pace::Whole,
    };
    let sent = session.send(&letter).await;
    assert_eq!(sent.outcomes[0], Outcome::Delivered { by_hop: Hand::Mailbox });
    assert!(matches!(&sent.outcomes[1], Outcome::Deferred(r) if r.status == (4, 2, 2)));
    assert_eq!(sent.said, [(0, "250 2.0.0 kept".to_owned())]);
    assert!(session.usable());
}

#[tokio::test]
async fn a_missing_server_is_told() {
    let dialer = Dialer { local: Local::LmtpUnix("/nowhere/lmtp".into()), ..dialer(RootCertStore::empty()) };
    assert!(matches!(dialer.connect(&Hop::Local, "us").await, Err(Trouble::Connect(..))));
    let local = Local::LmtpTcp("127.0.0.1".to_owned(), 1);
    let dialer = Dialer { local, ..dialer };
    assert!(matches!(dialer.connect(&Hop::Local, "us").await, Err(Trouble::Connect(..))));
    assert!(dialer.connect(&Hop::Nowhere("x".to_owned()), "us").await.is_err());
}

/// Mailboxes are handed to an LMTP server, which hands nothing back; and a filter behind a port of its own is not where mail
/// comes in. Both may have this machine's name, and are no loop. Whoever an MX names is, and so is a relay at port 25.
#[tokio::test]
async fn another_server_of_this_machine_may_have_our_name() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            stream.write_all(b"220 us.example here\r\n").await.unwrap();
            let mut line = String::new();
            while stream.read_line(&mut line).await.unwrap_or(0) > 0 {
                stream.write_all(b"250-us.example\r\n250 PIPELINING\r\n").await.unwrap();
                line.clear();
            }
        }
    });
    let local = Local::LmtpTcp("127.0.0.1".to_owned(), port);
    let dialer = Dialer { local, ..dialer(RootCertStore::empty()) };
    let session = dialer.connect(&Hop::Local, "us.example").await.unwrap();
    assert!(session.is("us.example"));
    drop(session);
    let host = Host { name: "127.0.0.1".to_owned(), port };
    let relay =
        Relay { name: String::new(), hosts: vec![host.clone()], tls: RelayTls::Off, credentials: None };
    let session = dialer.connect(&Hop::Relay(relay), "us.example").await.unwrap();
    assert!(session.is("us.example"));
    drop(session);
    let dialer = Dialer { exchanges: Exchanges::new(Vec::new(), port), ..dialer };
    let looped = dialer.connect(&Hop::Mx("[127.0.0.1]".to_owned()), "us.example").await;
    assert!(matches!(looped, Err(Trouble::Never((5, 4, 6), _))), "{looped:?}");
    let way = |port, lmtp, by_mx| {
        let host = Host { port, ..host.clone() };
        Way { host: &host, tls: RelayTls::Off, login: None, lmtp, by_mx }.may_be_us()
    };
    let cases = [(25, false, false), (10_025, false, true), (10_025, false, false), (25, true, false)];
    assert_eq!(cases.map(|(port, lmtp, by_mx)| way(port, lmtp, by_mx)), [true, true, false, false]);
}

/// With TLS a write ends in memory: the bound holds for what is still to be sent, too.
#[tokio::test]
async fn a_hop_that_stops_reading_is_left_with_tls_too() {
    let (acceptor, roots) = certificate();
    let (ours, theirs) = tokio::io::duplex(1024);
    let server = tokio::spawn(async move { acceptor.accept(theirs).await.unwrap() });
    let stream = Tls::with_roots(roots).start(Box::new(ours), "localhost", true).await.unwrap();
    // It stays open, and nobody reads.
    let _server = server.await.unwrap();
    let short = Duration::from_millis(200);
    let timeouts = Timeouts { connect: short, command: short, data: short, end: short };
    let mut session = Session::new(stream, "there".to_owned(), false, timeouts);
    let written = session.write_bytes(&[b'x'; 8000], short);
    let written = timeout(Duration::from_secs(60), written).await.expect("it is never given up");
    assert_eq!(written, Err(Trouble::Silent));
}
