//! STARTTLS and implicit TLS: nothing from before the handshake is used behind it.

use crate::kit::{Client, reply, server};
use crate::support::{USERS, context, table};
use edict_runtime::smtp::{Endpoint, Metrics, Settings, serve};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A client that believes every certificate.
fn connector(own: &rcgen::CertifiedKey<rcgen::KeyPair>) -> tokio_rustls::TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(own.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tokio_rustls::TlsConnector::from(Arc::new(config))
}

/// STARTTLS command injection (CVE-2011-0411): even where early commands are allowed, what was sent in
/// the clear behind STARTTLS is not run once the connection is encrypted.
#[tokio::test]
async fn nothing_read_in_the_clear_is_used_after_starttls() {
    let own = rcgen::generate_simple_self_signed(vec!["mx.example.com".to_owned()]).unwrap();
    let server = server("pipelining lenient", Settings::default()).await;
    let tls = edict_runtime::smtp::tls::server_config(
        own.cert.pem().as_bytes(),
        own.signing_key.serialize_pem().as_bytes(),
        edict_runtime::smtp::tls::MinimumTls::V13,
    );
    server.cx.tls.store(Some(tls.unwrap()));
    let mut clear = Client::new(server.address).await;
    clear.reply().await;
    assert!(clear.ask("EHLO client.example").await.contains("STARTTLS"));
    clear.say("STARTTLS\r\nNOOP injected\r\n").await;
    assert!(clear.reply().await.starts_with("220 "));
    assert!(clear.0.buffer().is_empty());
    let name = rustls::pki_types::ServerName::try_from("mx.example.com").unwrap();
    let stream = connector(&own).connect(name, clear.0.into_inner()).await.unwrap();
    let mut stream = BufReader::new(stream);
    stream.write_all(b"EHLO client.example\r\n").await.unwrap();
    let hello = reply(&mut stream).await;
    assert!(hello.starts_with("250-mx.example.com\r\n") && !hello.contains("STARTTLS"), "{hello}");
    stream
        .write_all(b"MAIL FROM:<carl@other.example>\r\nRCPT TO:<ann@example.com>\r\nDATA\r\n")
        .await
        .unwrap();
    for code in ["250", "250", "354"] {
        assert!(reply(&mut stream).await.starts_with(code));
    }
    // CVE-2026-45185: when TLS ends within a message, the message ends with it.
    stream.write_all(b"half a message\r\n").await.unwrap();
    let (mut clear, _) = stream.into_inner().into_inner();
    let _ = clear.write_all(b".\r\nMAIL FROM:<injected@other.example>\r\n").await;
    let mut rest = Vec::new();
    let _ = clear.read_to_end(&mut rest).await;
    while Metrics::get(&server.cx.metrics.open) > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(server.memory.taken.lock().unwrap().is_empty());
    assert_eq!(Metrics::get(&server.cx.metrics.memory), 0);
}

/// STARTTLS command injection (CVE-2011-0411): wherever packets end, what came in the clear behind STARTTLS is
/// forgotten, or is no handshake.
#[tokio::test]
async fn nothing_gets_past_starttls_in_any_packets() {
    let own = rcgen::generate_simple_self_signed(vec!["mx.example.com".to_owned()]).unwrap();
    let server = server("pipelining lenient\njunk-commands 1000", Settings::default()).await;
    let tls = edict_runtime::smtp::tls::server_config(
        own.cert.pem().as_bytes(),
        own.signing_key.serialize_pem().as_bytes(),
        edict_runtime::smtp::tls::MinimumTls::V12,
    );
    server.cx.tls.store(Some(tls.unwrap()));
    let command = "STARTTLS\r\n";
    let wire = format!("{command}EHLO early.example\r\nMAIL FROM:<injected@other.example>\r\n");
    for cut in 0..=wire.len() {
        let mut clear = Client::new(server.address).await;
        clear.reply().await;
        clear.ask("EHLO client.example").await;
        clear.say(&wire[..cut]).await;
        let told = cut >= command.len();
        if told {
            assert!(clear.reply().await.starts_with("220 2.0.0 "));
        }
        clear.say(&wire[cut..]).await;
        if !told {
            assert!(clear.reply().await.starts_with("220 2.0.0 "));
        }
        assert!(clear.0.buffer().is_empty());
        if told && cut < wire.len() {
            // The server takes it for a handshake that nobody can finish.
            let mut rest = Vec::new();
            let _ = clear.0.get_mut().read_to_end(&mut rest).await;
            assert!(rest.first().is_none_or(|byte| *byte == 0x15), "a TLS alert or nothing: {rest:?}");
            continue;
        }
        let name = rustls::pki_types::ServerName::try_from("mx.example.com").unwrap();
        let stream = connector(&own).connect(name, clear.0.into_inner()).await.unwrap();
        let mut stream = BufReader::new(stream);
        // Neither the greeting nor the sender from before: 503 to a command that needs EHLO, then 250.
        stream.write_all(b"MAIL FROM:<carl@other.example>\r\n").await.unwrap();
        assert_eq!(reply(&mut stream).await, "503 5.5.1 say EHLO first\r\n", "{cut}");
        stream.write_all(b"EHLO client.example\r\n").await.unwrap();
        assert!(reply(&mut stream).await.starts_with("250-mx.example.com\r\n"));
        stream.write_all(b"MAIL FROM:<carl@other.example>\r\n").await.unwrap();
        assert_eq!(reply(&mut stream).await, "250 2.1.0 Ok\r\n", "{cut}");
    }
    assert!(server.memory.taken.lock().unwrap().is_empty());
}

/// RFC 8314 3.3: TLS from the first byte. A client that says nothing holds up nobody (CVE-2013-2125).
#[tokio::test]
async fn implicit_tls() {
    let own = rcgen::generate_simple_self_signed(vec!["mx.example.com".to_owned()]).unwrap();
    let (cx, _memory) = context(table("", ""), USERS, Settings::default());
    let tls = edict_runtime::smtp::tls::server_config(
        own.cert.pem().as_bytes(),
        own.signing_key.serialize_pem().as_bytes(),
        edict_runtime::smtp::tls::MinimumTls::V12,
    );
    cx.tls.store(Some(tls.unwrap()));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_stop, stopped) = watch::channel(false);
    let role = edict_runtime::smtp::Role::Submissions;
    let endpoint = Endpoint { role, ..Endpoint::default() };
    tokio::spawn(serve(listener, endpoint, cx, stopped));
    let _silent = TcpStream::connect(address).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("mx.example.com").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let mut stream = BufReader::new(connector(&own).connect(name, stream).await.unwrap());
    assert!(reply(&mut stream).await.starts_with("220 "));
    stream.write_all(b"EHLO client.example\r\n").await.unwrap();
    let hello = reply(&mut stream).await;
    assert!(hello.contains("AUTH PLAIN LOGIN") && !hello.contains("STARTTLS"), "{hello}");
}
