//! `recipients ask`: next hops that say yes, no, later, or nothing, over SMTP and LMTP.

#[cfg(test)]
#[path = "smtp/support.rs"]
#[expect(dead_code, reason = "shared with the dialogues")]
mod support;

#[cfg(test)]
mod tests {
    use edict_runtime::deliver::probe::Prober;
    use edict_runtime::live::Live;
    use edict_runtime::queue::{Local, Settings};
    use edict_table::facts::Slot;
    use edict_table::value::Address;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{TcpListener, TcpStream};

    /// A next hop whose local parts say what it answers.
    #[derive(Default)]
    struct Hop {
        connections: AtomicUsize,
        lines: Mutex<Vec<String>>,
        /// It offers SMTPUTF8, and holds to RFC 6531.
        utf8: bool,
        /// As long as this is so, it says nothing of local parts that begin with `wait`.
        shut: AtomicBool,
        /// Connections that are open.
        open: AtomicUsize,
    }

    impl Hop {
        fn heard(&self, start: &str) -> usize {
            self.lines.lock().unwrap().iter().filter(|line| line.starts_with(start)).count()
        }

        async fn serve(self: Arc<Self>, stream: TcpStream) -> std::io::Result<()> {
            let mut stream = BufReader::new(stream);
            stream.write_all(b"220 hop ESMTP\r\n").await?;
            let mut line = String::new();
            loop {
                line.clear();
                if stream.read_line(&mut line).await? == 0 {
                    return Ok(());
                }
                self.lines.lock().unwrap().push(line.trim_end().to_owned());
                let declared = {
                    let lines = self.lines.lock().unwrap();
                    let mail = lines.iter().rev().find(|line| line.starts_with("MAIL"));
                    mail.is_some_and(|line| line.ends_with(" SMTPUTF8"))
                };
                let local = line.strip_prefix("RCPT TO:<").and_then(|l| l.split('@').next());
                let reply = match local {
                    Some("yes") => "250 2.1.5 Ok",
                    Some("no") => "550 5.1.1 no such user",
                    Some("full") => "552 5.2.2 mailbox full",
                    Some("policy") => "550 5.7.1 go away",
                    Some("later") => "450 4.2.0 later",
                    Some("nonsense") => "this is no reply",
                    Some("silent") => continue,
                    Some("gone") => return Ok(()),
                    Some(local) if local.starts_with("wait") => {
                        until(|| !self.shut.load(Ordering::SeqCst)).await;
                        "250 2.1.5 Ok"
                    }
                    Some("jörg") if self.utf8 && declared => "250 2.1.5 Ok",
                    Some("jörg" | "nö") if self.utf8 && !declared => {
                        "553 5.6.7 this address needs SMTPUTF8"
                    }
                    None if self.utf8 && line.starts_with("EHLO") => "250-hop\r\n250 SMTPUTF8",
                    Some(_) => "550 5.1.1 no such user",
                    None => "250 2.0.0 Ok",
                };
                stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
            }
        }
    }

    async fn hop() -> (Arc<Hop>, u16) {
        hop_that(false).await
    }

    async fn hop_that(utf8: bool) -> (Arc<Hop>, u16) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let hop = Arc::new(Hop { utf8, ..Hop::default() });
        let serving = Arc::clone(&hop);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.connections.fetch_add(1, Ordering::Relaxed);
                let hop = Arc::clone(&serving);
                tokio::spawn(async move {
                    hop.open.fetch_add(1, Ordering::SeqCst);
                    let _ = Arc::clone(&hop).serve(stream).await;
                    hop.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        (hop, port)
    }

    /// Waits until it is so.
    async fn until(is_so: impl Fn() -> bool) {
        for _ in 0..20_000 {
            if is_so() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("waited in vain");
    }

    fn prober(relay: u16, local: Local) -> Prober {
        prober_of([relay, 1], local)
    }

    /// One that has these two relays, the second for `closed.example`.
    fn prober_of([next, shut]: [u16; 2], local: Local) -> Prober {
        let table = super::support::table(
            "relay-domains [asked.example via next, closed.example via shut]\nrecipients ask",
            &format!(
                "relay next {{ host [127.0.0.1:{next}] tls off }}\nrelay shut {{ host [127.0.0.1:{shut}] tls off }}"
            ),
        );
        let mut settings = Settings::new("mx.example.com".to_owned(), "mail".into());
        settings.local = local;
        // A hop that is slow for once is none that says nothing.
        Prober::new(Arc::new(Live::new(table)), &settings).with_patience(Duration::from_secs(60))
    }

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[tokio::test]
    async fn a_relay_domain_is_asked_of_its_host() {
        let (hop, port) = hop().await;
        let (prober, brief) = (prober(port, Local::Maildir), prober(port, Local::Maildir));
        let brief = brief.with_patience(Duration::from_millis(500));
        let of = |local: &str| if local == "silent" { &brief } else { &prober };
        for (local, want) in [
            ("yes", Slot::Known(true)),
            ("no", Slot::Known(false)),
            ("full", Slot::Unknown),
            ("policy", Slot::Unknown),
            ("later", Slot::Unknown),
            ("nonsense", Slot::Unknown),
            ("silent", Slot::Unknown),
            ("gone", Slot::Unknown),
            ("Yes", Slot::Known(true)),
        ] {
            let found = of(local).exists(&address(&format!("{local}@asked.example"))).await;
            assert_eq!(found, want, "{local}");
        }
        // What is known is not asked again, and what could not be told not at once.
        let asked = hop.heard("RCPT");
        for local in ["yes", "no", "later", "silent"] {
            let _ = of(local).exists(&address(&format!("{local}@asked.example"))).await;
        }
        assert_eq!(hop.heard("RCPT"), asked);
        // The null sender, never a message; and each good answer leaves the connection fit for the next.
        assert_eq!(hop.heard("MAIL FROM:<>"), hop.heard("MAIL"));
        assert_eq!(hop.heard("DATA") + hop.heard("BDAT"), 0);
        let before = hop.connections.load(Ordering::Relaxed);
        for n in 0..10 {
            let found = prober.exists(&address(&format!("user{n}@asked.example"))).await;
            assert_eq!(found, Slot::Known(false));
        }
        assert!(hop.connections.load(Ordering::Relaxed) <= before + 1);
        // A host that cannot be reached says nothing.
        assert_eq!(prober.exists(&address("yes@closed.example")).await, Slot::Unknown);
    }

    /// RFC 6531 3.4: the parameter MUST be given.
    #[tokio::test]
    async fn an_internationalized_address_is_asked_for_as_such() {
        for (utf8, there) in [(true, true), (false, false)] {
            let (hop, port) = hop_that(utf8).await;
            let prober = prober(port, Local::Maildir);
            assert_eq!(prober.exists(&address("yes@asked.example")).await, Slot::Known(true));
            assert_eq!(prober.exists(&address("jörg@asked.example")).await, Slot::Known(there));
            assert_eq!(prober.exists(&address("nö@asked.example")).await, Slot::Known(false));
            assert_eq!(hop.heard("MAIL FROM:<> SMTPUTF8"), if utf8 { 2 } else { 0 });
        }
    }

    #[tokio::test]
    async fn a_local_domain_is_asked_of_the_lmtp_server() {
        let (hop, port) = hop().await;
        let lmtp = prober(1, Local::LmtpTcp("127.0.0.1".to_owned(), port));
        assert_eq!(lmtp.exists(&address("yes@example.com")).await, Slot::Known(true));
        assert_eq!(lmtp.exists(&address("no@example.com")).await, Slot::Known(false));
        assert_eq!(hop.heard("LHLO mx.example.com"), 1);
        // With Maildirs there is nobody to ask.
        let maildirs = prober(1, Local::Maildir);
        assert_eq!(maildirs.exists(&address("yes@example.com")).await, Slot::Unknown);
    }

    /// Harvesting: many addresses at once are asked in turn, each once.
    #[tokio::test]
    async fn many_at_once() {
        let (hop, port) = hop().await;
        let prober = Arc::new(prober(port, Local::Maildir));
        let asking: Vec<_> = (0..100)
            .map(|n| {
                let prober = Arc::clone(&prober);
                tokio::spawn(async move { prober.exists(&address(&format!("user{n}@asked.example"))).await })
            })
            .collect();
        for one in asking {
            assert_eq!(one.await.unwrap(), Slot::Known(false));
        }
        assert_eq!(hop.heard("RCPT"), 100);
        assert!(hop.connections.load(Ordering::Relaxed) <= 100);
    }

    /// Nobody who asks for many addresses takes more connections than there may be, those that rest included.
    #[tokio::test]
    async fn connections_have_a_bound() {
        const HOUR: Duration = Duration::from_secs(3600);
        let ((first, port), (second, other_port)) = (hop().await, hop().await);
        let prober = Arc::new(prober_of([port, other_port], Local::Maildir).with_patience(HOUR));
        let ask = |count: usize, domain: &'static str| -> Vec<_> {
            let asked = |n| {
                let prober = Arc::clone(&prober);
                tokio::spawn(async move { prober.exists(&address(&format!("wait{n}@{domain}"))).await })
            };
            (0..count).map(asked).collect()
        };
        first.shut.store(true, Ordering::SeqCst);
        let asking = ask(8, "asked.example");
        until(|| first.heard("RCPT") == 8).await;
        first.shut.store(false, Ordering::SeqCst);
        for one in asking {
            assert_eq!(one.await.unwrap(), Slot::Known(true));
        }
        assert_eq!(first.open.load(Ordering::SeqCst), 8, "they rest");
        second.shut.store(true, Ordering::SeqCst);
        let asking = ask(100, "closed.example");
        until(|| second.heard("RCPT") == 32).await;
        until(|| first.open.load(Ordering::SeqCst) == 0).await;
        assert_eq!(first.heard("QUIT"), 8, "each of those that make room is told so");
        assert_eq!(second.connections.load(Ordering::SeqCst), 32);
        second.shut.store(false, Ordering::SeqCst);
        for one in asking {
            assert_eq!(one.await.unwrap(), Slot::Known(true));
        }
    }
}
