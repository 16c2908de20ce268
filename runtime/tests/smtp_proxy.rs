//! PROXY headers: each of `smtp/proxy-headers` read in pieces, and the front behind a proxy.

#[cfg(test)]
#[path = "smtp/support.rs"]
#[expect(dead_code, reason = "shared with the tests of dialogues")]
mod support;

#[cfg(test)]
mod tests {
    use crate::support::{USERS, context, table, unescape};
    use edict_runtime::smtp::proxy::{Header, Progress, ProxyError, read};
    use edict_runtime::smtp::{Context, Endpoint, Metrics, Proxies, Settings, serve};
    use edict_table::value::parse_network;
    use proptest::prelude::*;
    use std::net::SocketAddr;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::watch;

    /// Reads as the server does: never more than was asked for. What came of it, and how many bytes it took.
    fn run(bytes: &[u8]) -> (String, usize) {
        let mut have = 0;
        loop {
            match read(&bytes[..have]) {
                Ok(Progress::More(more)) => {
                    assert!(more > 0);
                    if have + more > bytes.len() {
                        return ("more".to_owned(), have);
                    }
                    have += more;
                }
                Ok(Progress::Done(Header::Client(ip))) => return (format!("client {ip}"), have),
                Ok(Progress::Done(Header::Own)) => return ("own".to_owned(), have),
                Err(ProxyError::None) => return ("none".to_owned(), have),
                Err(ProxyError::Shape) => return ("shape".to_owned(), have),
                Err(ProxyError::Hidden) => return ("hidden".to_owned(), have),
                Err(ProxyError::TooLong) => return ("too long".to_owned(), have),
            }
        }
    }

    #[test]
    fn headers_say_what_they_say() {
        let mut seen = 0;
        for line in include_str!("smtp/proxy-headers").lines().filter(|l| !l.starts_with('#')) {
            let (text, want) = line.rsplit_once(" = ").unwrap();
            let text = text.replace("V2", "\\r\\n\\r\\n\\0\\r\\nQUIT\\n");
            let bytes = unescape(&format!("{text}\\c"));
            let (got, used) = run(&bytes);
            assert_eq!(got, want, "{line}");
            if got.starts_with("client") || got == "own" {
                assert_eq!(used, bytes.len(), "{line}");
                // Whatever follows is the client's: not a byte of it is asked for.
                let behind = [bytes.as_slice(), b"EHLO x\r\n"].concat();
                assert_eq!(run(&behind), (got, used), "{line}");
                // No front of it is a header.
                for end in 0..bytes.len() {
                    assert_eq!(run(&bytes[..end]).0, "more", "{line}: {end}");
                }
            }
            seen += 1;
        }
        assert!(seen > 30);
    }

    proptest! {
        /// Any bytes end in an answer, within the bound.
        #[test]
        fn any_bytes(
            start in prop_oneof![
                Just(&b""[..]), Just(&b"PROXY "[..]), Just(&b"PROXY TCP4 "[..]),
                Just(&b"\r\n\r\n\0\r\nQUIT\n"[..]), Just(&b"\r\n\r\n\0\r\nQUIT\n\x21\x11"[..])],
            rest in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let (_, used) = run(&[start, rest.as_slice()].concat());
            prop_assert!(used <= 16 + 4096);
        }
    }

    async fn server(profile: &str) -> (SocketAddr, Arc<Context>, watch::Sender<bool>) {
        server_with(profile, Settings::default()).await
    }

    async fn server_with(
        profile: &str,
        settings: Settings,
    ) -> (SocketAddr, Arc<Context>, watch::Sender<bool>) {
        let (cx, _memory) = context(table(profile, ""), USERS, settings);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let proxies = Proxies { proxy: vec![parse_network("127.0.0.1").unwrap()], xclient: Vec::new() };
        let endpoint = Endpoint { proxies: Arc::new(proxies), ..Endpoint::default() };
        tokio::spawn(serve(listener, endpoint, Arc::clone(&cx), stopped));
        (address, cx, stop)
    }

    async fn talk(address: SocketAddr, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text).await;
        text
    }

    /// Connection and command exhaustion: those of which no proxy has said yet whose they are leave room for others.
    #[tokio::test]
    async fn headers_that_do_not_come_fill_half() {
        let settings = Settings { max_connections: 4, ..Settings::default() };
        let (address, cx, _stop) = server_with("", settings).await;
        let mut silent = Vec::new();
        for _ in 0..3 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut text = String::new();
        silent.pop().unwrap().read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "421 4.3.2 too many connections, try again later\r\n");
        assert_eq!(Metrics::get(&cx.metrics.turned_away), 1);
        drop(silent.pop());
        let mut named = String::new();
        while !named.starts_with("220 ") {
            // The server may not have seen yet that one is gone.
            named = talk(address, b"PROXY TCP4 203.0.113.9 192.0.2.2 4000 25\r\nQUIT\r\n").await;
        }
    }

    /// Behind a proxy the client's address decides who may relay, and nobody comes in without a header.
    #[tokio::test]
    async fn trust_follows_the_header() {
        // 10.0.0.0/8 is trusted, the proxy's own address and all others are not.
        let (address, _cx, _stop) = server("pipelining lenient").await;
        let mail = "HELO x\r\nMAIL FROM:<a@other.example>\r\nRCPT TO:<b@outside.example>\r\nQUIT\r\n";
        let from = |ip: &str| format!("PROXY TCP4 {ip} 192.0.2.2 4000 25\r\n{mail}");
        let inside = talk(address, from("10.1.2.3").as_bytes()).await;
        assert!(inside.starts_with("220 ") && inside.contains("250 2.1.5"), "{inside}");
        let outside = talk(address, from("203.0.113.9").as_bytes()).await;
        assert!(outside.starts_with("220 ") && outside.contains("550 5.7.1"), "{outside}");
        let v2 = [
            &b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x09\xcb\0\x71\x02\xdc\x04\0\x19"[..],
            mail.as_bytes(),
        ];
        let outside = talk(address, &v2.concat()).await;
        assert!(outside.starts_with("220 ") && outside.contains("550 5.7.1"), "{outside}");
        for broken in
            ["EHLO client.example\r\n", "PROXY UNKNOWN\r\nEHLO x\r\n", "PROXY TCP4 x y z\r\n\r\n\r\n"]
        {
            let answer = talk(address, broken.as_bytes()).await;
            assert!(
                answer.is_empty() || answer == "421 4.3.0 the PROXY header cannot be read\r\n",
                "{answer}"
            );
        }
    }
    /// XCLIENT, wherever packets end: the same replies, and the trust is the client's that it names.
    #[tokio::test]
    async fn xclient_comes_in_any_packets() {
        let profile = "pipelining lenient\nerrors slow after 100, close after 200";
        let (cx, _memory) = context(table(profile, ""), USERS, Settings::default());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_stop, stopped) = watch::channel(false);
        let proxies = Proxies { proxy: Vec::new(), xclient: vec![parse_network("127.0.0.1").unwrap()] };
        let endpoint = Endpoint { proxies: Arc::new(proxies), ..Endpoint::default() };
        tokio::spawn(serve(listener, endpoint, Arc::clone(&cx), stopped));
        for (client, taken) in [("10.1.2.3", true), ("203.0.113.9", false)] {
            // The second one is the client's own, and is for nobody.
            let wire = format!(
                "XCLIENT ADDR={client} HELO=client.example\r\nXCLIENT ADDR=10.9.9.9\r\nMAIL FROM:<a@other.example>\r\n\
                 RCPT TO:<b@outside.example>\r\nQUIT\r\n"
            );
            let whole = talk(address, wire.as_bytes()).await;
            assert_eq!(whole.matches("220 mx.example.com").count(), 2, "{whole}");
            assert_eq!(whole.matches("550 5.7.0 XCLIENT is not for this client\r\n").count(), 1, "{whole}");
            assert_eq!(whole.contains("250 2.1.5 Ok\r\n"), taken, "{whole}");
            assert_eq!(whole.contains("550 5.7.1 relaying denied\r\n"), !taken, "{whole}");
            for cut in 1..wire.len() {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                stream.write_all(&wire.as_bytes()[..cut]).await.unwrap();
                // The server has its turn before the rest is there.
                tokio::task::yield_now().await;
                stream.write_all(&wire.as_bytes()[cut..]).await.unwrap();
                let mut text = String::new();
                stream.read_to_string(&mut text).await.unwrap();
                assert_eq!(text, whole, "{cut}");
            }
        }
    }
}
