//! Messages that go on before their end is here: what no rule on the text can change any more.

use crate::hop::Hop;
use crate::support::build_table;
use crate::support::client::Client;
use crate::support::daemon::Daemon;
use crate::support::wait_for;
use crate::{on_disk, with_table};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering;

/// The rules of the others, without the one that looks at texts.
fn daemon(folder: &Path, hop: SocketAddr) -> Daemon {
    build_table("pass-through", &folder.join("edict.table"), |sources| {
        let text = std::fs::read_to_string("tests/rules/pass-through/main.edict").unwrap();
        let other = text.replace(r#"body contains "discard me""#, r#"subject contains "discard me""#);
        assert_ne!(text, other);
        sources.insert("main.edict".to_owned(), other.into_bytes());
    });
    with_table(folder, hop)
}

/// So many bytes of text; every third line begins with a dot, as it goes over the wire and as it is meant.
fn lines(bytes: usize, token: &str) -> (String, String) {
    let (mut wire, mut meant) = (String::new(), String::new());
    for n in 0..bytes / 64 {
        let line = format!("{}{token} {n:>50}\n", if n % 3 == 0 { "." } else { "" });
        wire.push_str(&format!("{}{line}", if n % 3 == 0 { "." } else { "" }).replace('\n', "\r\n"));
        meant.push_str(&line);
    }
    (wire, meant)
}

/// Everything up to the header's end.
fn begin(daemon: &Daemon, subject: &str) -> Client {
    let mut client = Client::hello(daemon.address).unwrap();
    for (command, want) in
        [("MAIL FROM:<bob@example.com>", "250"), ("RCPT TO:<far@out.example>", "250"), ("DATA", "354")]
    {
        let reply = client.command(command).unwrap();
        assert!(reply.starts_with(want), "{command}: {reply}");
    }
    client.send(format!("Subject: {subject}\r\n\r\n").as_bytes()).unwrap();
    client
}

#[test]
fn a_large_message_follows_its_header_and_ends_after_its_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let (address, hop) = Hop::start();
    let daemon = daemon(folder.path(), address);
    let mut client = begin(&daemon, "large");
    let (first, meant) = lines(300_000, "first-token");
    client.send(first.as_bytes()).unwrap();
    wait_for("most of it", || hop.so_far.load(Ordering::SeqCst) > 200_000);
    assert_eq!(hop.count("large"), 0, "its end is not here");
    let (second, rest) = lines(200_000, "second-token");
    client.send(format!("{second}.\r\n").as_bytes()).unwrap();
    let reply = client.reply().unwrap();
    assert!(reply.starts_with("250 2.0.0"), "{reply}");
    let messages = hop.messages.lock().unwrap().clone();
    assert_eq!(messages.len(), 1);
    let stuffed: String = (meant + &rest)
        .lines()
        .map(|line| format!("{}{line}\n", if line.starts_with('.') { "." } else { "" }))
        .collect();
    assert!(messages[0].starts_with("Received: from client.example"));
    assert!(messages[0].ends_with(&format!("Subject: large\n\n{stuffed}")), "not a byte more or less");
    assert!(!on_disk(&daemon.data, "first-token"));
    assert_eq!((daemon.counter("delivered"), daemon.counter("queued")), (1, 0));
}

#[test]
fn one_that_ends_badly_never_reaches_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let (address, hop) = Hop::start();
    let daemon = daemon(folder.path(), address);
    let (text, _) = lines(300_000, "cut-token");
    for (number, (end, want)) in [
        (&b"a bare\nline end\r\n.\r\n"[..], Some("554 5.6.0")),
        (b"a bare\rreturn\r\n.\r\n", Some("554 5.6.0")),
        // The client hangs up.
        (b"half a li", None),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = begin(&daemon, "bad");
        client.send(text.as_bytes()).unwrap();
        wait_for("most of it", || hop.so_far.load(Ordering::SeqCst) > 200_000);
        client.send(end).unwrap();
        if let Some(want) = want {
            let reply = client.reply().unwrap();
            assert!(reply.starts_with(want), "{reply}");
        }
        drop(client);
        wait_for("the end of the connection", || hop.cut.load(Ordering::SeqCst) == number + 1);
        hop.so_far.store(0, Ordering::SeqCst);
    }
    assert_eq!(hop.messages.lock().unwrap().len(), 0);
    assert_eq!(daemon.counter("queued"), 0);
    assert!(!on_disk(&daemon.data, "cut-token"));
}

#[test]
fn a_next_hop_that_breaks_off_in_the_middle_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (address, hop) = Hop::start();
    let daemon = daemon(folder.path(), address);
    "die late".clone_into(&mut hop.mode.lock().unwrap());
    let mut client = begin(&daemon, "cut");
    let (text, _) = lines(400_000, "late-token");
    client.send(text.as_bytes()).unwrap();
    wait_for("its death", || hop.mode.lock().unwrap().is_empty());
    let (rest, _) = lines(400_000, "late-token");
    client.send(format!("{rest}.\r\n").as_bytes()).unwrap();
    let reply = client.reply().unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    wait_for("the stored message", || hop.count("Subject: cut") == 1);
    assert!(on_disk(&daemon.data, "late-token"), "it was stored in between");
}

#[test]
fn a_refusal_reaches_the_client_and_the_connection_is_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let (address, hop) = Hop::start();
    let daemon = daemon(folder.path(), address);
    let (text, _) = lines(400_000, "again-token");
    for (mode, want) in
        [("refuse data", "550 5.7.9 not this"), ("refuse dot", "554 5.6.0 not like this"), ("", "250 2.0.0")]
    {
        mode.clone_into(&mut hop.mode.lock().unwrap());
        let mut client = begin(&daemon, "again");
        client.send(text.as_bytes()).unwrap();
        client.send(b".\r\n").unwrap();
        let reply = client.reply().unwrap();
        assert!(reply.starts_with(want), "{mode}: {reply}");
        assert_eq!(*hop.mode.lock().unwrap(), "", "{mode} came up");
    }
    assert_eq!((hop.count("Subject: again"), daemon.counter("queued")), (1, 0));
}

#[test]
fn a_header_that_a_rule_refuses_is_not_shown_to_anybody() {
    let folder = tempfile::tempdir().unwrap();
    let (address, hop) = Hop::start();
    let daemon = daemon(folder.path(), address);
    for (subject, want) in [("forbidden", "550 5.7.1"), ("hold me", "250")] {
        let mut client = begin(&daemon, subject);
        let (text, _) = lines(400_000, "secret-token");
        client.send(format!("{text}.\r\n").as_bytes()).unwrap();
        let reply = client.reply().unwrap();
        assert!(reply.starts_with(want), "{subject}: {reply}");
        assert_eq!((hop.so_far.load(Ordering::SeqCst), hop.messages.lock().unwrap().len()), (0, 0));
    }
    assert_eq!(daemon.counter("queued"), 1, "the held one");
}
