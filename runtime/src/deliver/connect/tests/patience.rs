//! Servers that cost time or refuse a login: how long they are waited for, and how often they are asked.

use super::*;

/// However many servers take their time, the way to a next hop has an end.
#[tokio::test]
async fn servers_that_only_take_time_are_not_all_waited_for() {
    let mut hosts = Vec::new();
    let mut listeners = Vec::new();
    for _ in 0..12 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        hosts.push(Host { name: "127.0.0.1".to_owned(), port: listener.local_addr().unwrap().port() });
        listeners.push(listener);
    }
    let short = Duration::from_millis(200);
    let timeouts = Timeouts { connect: short, command: short, data: short, end: short };
    let dialer = Dialer { timeouts, ..Dialer::default() };
    let relay = Relay { name: "r".to_owned(), hosts, tls: RelayTls::Off, credentials: None };
    assert!(dialer.connect(&Hop::Relay(relay), "us.example").await.is_err());
    let mut tried = 0;
    for listener in &listeners {
        let accepted = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        tried += usize::from(accepted.is_ok());
    }
    assert!((1..=5).contains(&tried), "{tried} of 12");
}

/// A server of which each connection is served as `talks` says of its number, and how many there were.
async fn counted(
    talks: impl Fn(usize) -> bool + Send + 'static,
    auth: &'static str,
) -> (u16, Arc<std::sync::atomic::AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (its, by_login) = (Arc::clone(&count), !auth.is_empty());
    tokio::spawn(async move {
        let mut connections = 0;
        while let Ok((stream, _)) = listener.accept().await {
            connections += 1;
            its.fetch_add(usize::from(!by_login), std::sync::atomic::Ordering::SeqCst);
            let (talks, its) = (talks(connections), Arc::clone(&its));
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                if !talks {
                    std::future::pending::<()>().await;
                }
                stream.write_all(b"220 here\r\n").await.unwrap();
                let mut line = String::new();
                while stream.read_line(&mut line).await.unwrap_or(0) > 0 {
                    let answer = match line.starts_with("AUTH") {
                        true => {
                            its.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                            auth
                        }
                        false => "250-here\r\n250 AUTH PLAIN\r\n",
                    };
                    let _ = stream.write_all(answer.as_bytes()).await;
                    line.clear();
                }
            });
        }
    });
    (port, count)
}

fn relay(ports: &[u16], login: Option<&str>) -> Hop {
    let hosts = ports.iter().map(|port| Host { name: "127.0.0.1".to_owned(), port: *port }).collect();
    let credentials = login.map(str::to_owned);
    Hop::Relay(Relay { name: "r".to_owned(), hosts, tls: RelayTls::Off, credentials })
}

fn how_often(count: &std::sync::atomic::AtomicUsize) -> usize {
    count.load(std::sync::atomic::Ordering::SeqCst)
}

/// A server that only costs time is left alone for a while, but where there is no other one (RFC 5321 5.1, 4.5.4.1).
#[tokio::test]
async fn who_was_silent_is_left_alone_while_there_are_others() {
    let clock = tame_clock();
    let (silent, tries) = counted(|_| false, "").await;
    let (good, _) = counted(|_| true, "").await;
    let dialer = brief(&clock, RootCertStore::empty());
    let both = relay(&[silent, good], None);
    for _ in 0..3 {
        let session = dialer.connect(&both, "us.example").await.unwrap();
        assert!(session.peer.ends_with(&good.to_string()));
        assert_eq!(how_often(&tries), 1);
        let other = dialer.connect_beyond(&both, "us.example", &[session.peer]).await.unwrap_err();
        assert_eq!((other, how_often(&tries)), (Trouble::Silent, 1), "there is one, but not now");
    }
    for n in 2..=3 {
        assert!(dialer.connect(&relay(&[silent], None), "us.example").await.is_err());
        assert_eq!(how_often(&tries), n, "all of them are such");
    }
}

#[tokio::test]
async fn who_answers_again_is_not_left_alone_any_more() {
    let clock = tame_clock();
    let (late, _) = counted(|n| n > 1, "").await;
    let (good, _) = counted(|_| true, "").await;
    let dialer = brief(&clock, RootCertStore::empty());
    for (ports, want) in
        [(&[late, good][..], good), (&[late, good], good), (&[late], late), (&[late, good], late)]
    {
        let session = dialer.connect(&relay(ports, None), "us.example").await.unwrap();
        assert!(session.peer.ends_with(&want.to_string()), "{ports:?}");
    }
}

/// A few failed logins lock an account at many providers, whoever makes them.
#[tokio::test]
async fn a_refused_login_is_tried_once_by_all() {
    let (bad, refused) = counted(|_| true, "535 5.7.8 no\r\n").await;
    let (good, taken) = counted(|_| true, "235 in\r\n").await;
    let of_queue = Arc::new(dialer(RootCertStore::empty()));
    let of_probes = Dialer { known: Arc::clone(&of_queue.known), ..dialer(RootCertStore::empty()) };
    let of_probes = Arc::new(of_probes);
    let both = relay(&[bad, good], Some("good"));
    let connects: Vec<_> = (0..20)
        .map(|n| {
            let dialer = Arc::clone(if n % 2 == 0 { &of_queue } else { &of_probes });
            let both = both.clone();
            tokio::spawn(async move { dialer.connect(&both, "us.example").await })
        })
        .collect();
    for session in connects {
        assert!(session.await.unwrap().unwrap().peer.ends_with(&good.to_string()));
    }
    assert_eq!((how_often(&refused), how_often(&taken)), (1, 20));
    // Another login, or the same one of another configuration, is another one.
    for (dialer, login, want) in [
        (&*of_queue, "good", 1),
        (&*of_probes, "good", 1),
        (&*of_queue, "other", 2),
        (&*of_queue, "other", 2),
        (&dialer(RootCertStore::empty()), "good", 3),
    ] {
        let trouble = dialer.connect(&relay(&[bad], Some(login)), "us.example").await.unwrap_err();
        assert_eq!(trouble, Trouble::Auth("it says 535 5.7.8 no".to_owned()));
        assert_eq!(how_often(&refused), want, "{login}");
    }
}
