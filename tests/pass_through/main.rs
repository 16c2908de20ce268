//! Pass-through: a message that needs nothing goes on while its client waits and is never on disk; whatever
//! the next hop does, what got a 250 arrives.
//!
//! `EDICT_CRASH_KILLS` sets how many kills there are; 8 by default.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "../support/mod.rs"]
mod support;

mod alone;
mod hop;
mod large;
mod silent;

use hop::Hop;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use support::client::Client;
use support::daemon::Daemon;
use support::kill_campaign::{self, Survived, tell};
use support::kill_load::KillLoad;
use support::{build_table, free_port, life_sink, wait_for};

/// A daemon that passes through to this hop.
fn daemon(folder: &std::path::Path, hop: SocketAddr) -> Daemon {
    let table = folder.join("edict.table");
    build_table("pass-through", &table, |_| ());
    with_table(folder, hop)
}

/// The same with the table that is there.
fn with_table(folder: &std::path::Path, hop: SocketAddr) -> Daemon {
    with_settings(folder, hop, "")
}

/// The same with more settings.
fn with_settings(folder: &std::path::Path, hop: SocketAddr, more: &str) -> Daemon {
    with_places(folder, hop, 20, more)
}

/// The same with so many connections to pass mail through.
fn with_places(folder: &std::path::Path, hop: SocketAddr, places: usize, more: &str) -> Daemon {
    let address = free_port();
    let config = format!(
        "(table: \"edict.table\", data: \"edict-data\", listeners: [(address: \"{address}\", role: mx)],
          outside: relay(\"{hop}\"), pass_through: (connections: {places}), queue: (first_retry_seconds: 1), {more})"
    );
    Daemon::configured(folder, address, &config)
}

fn text(token: &str) -> String {
    format!("Subject: {token}\n\nThis is {token}.\n")
}

/// Whether these bytes stand in any file of the daemon's data.
fn on_disk(folder: &std::path::Path, token: &str) -> bool {
    std::fs::read_dir(folder).unwrap().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return on_disk(&path, token);
        }
        // A socket cannot be read.
        std::fs::read(&path).is_ok_and(|bytes| memchr::memmem::find(&bytes, token.as_bytes()).is_some())
    })
}

#[test]
fn what_needs_nothing_is_never_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (address, hop) = Hop::start();
    let daemon = daemon(folder.path(), address);
    let mut client = Client::hello(daemon.address).unwrap();
    for n in 0..20 {
        let token = format!("passed-{n}-token");
        let reply = client.message("bob@example.com", &["far@out.example"], &text(&token)).unwrap();
        assert!(reply.starts_with("250 2.0.0"), "{reply}");
        // The hop has it before the client is told.
        assert_eq!(hop.count(&format!("This is {token}")), 1);
        assert!(!on_disk(&daemon.data, &token), "{token} was stored");
    }
    let message = hop.messages.lock().unwrap()[0].clone();
    assert!(message.starts_with("Received: from client.example"), "{message}");
    assert_eq!(daemon.counter("delivered"), 20);
    // Proof that the search would find it: a message with a copy is stored.
    let reply = client.message("boss@example.com", &["far@out.example"], &text("copied-token")).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    assert!(on_disk(&daemon.data, "copied-token"));
    wait_for("both copies", || hop.count("This is copied-token") == 2);
}

#[test]
fn what_needs_something_is_stored_and_arrives() {
    let folder = tempfile::tempdir().unwrap();
    let (address, hop) = Hop::start();
    let daemon = daemon(folder.path(), address);
    let mut client = Client::hello(daemon.address).unwrap();
    for (token, sender, to, arrives) in [
        ("alias", "bob@example.com", &["team@example.com"][..], 1),
        ("quota", "carol@example.com", &["far@out.example"], 1),
        ("disclaimer", "legal@example.com", &["far@out.example"], 1),
        ("mixed", "bob@example.com", &["far@out.example", "alice@example.com"], 1),
        ("twice", "bob@example.com", &["far@out.example", "far@out.example"], 1),
        ("hold me", "bob@example.com", &["far@out.example"], 0),
        ("discard me", "bob@example.com", &["far@out.example"], 0),
    ] {
        let reply = client.message(sender, to, &text(token)).unwrap();
        assert!(reply.starts_with("250"), "{token}: {reply}");
        let stored = token != "discard me";
        assert_eq!(on_disk(&daemon.data, &format!("This is {token}")), stored, "{token}");
        wait_for(token, || hop.count(&format!("This is {token}")) == arrives);
    }
    assert_eq!(hop.count("A word of the lawyers"), 1);
    daemon.wait_for_mail("alice@example.com", 1);
    // The hop has a message before the daemon hears that it has.
    wait_for("nothing but the held one in the queue", || daemon.counter("queued") == 1);
    for arrived in ["alias", "quota", "disclaimer", "mixed", "twice"] {
        assert_eq!(hop.count(&format!("This is {arrived}")), 1, "{arrived}");
    }
    for kept in ["hold me", "discard me"] {
        assert_eq!(hop.count(&format!("This is {kept}")), 0, "{kept}");
    }
    // Content decides after the recipients were offered; the hop never sees such a message.
    let reply = client.message("bob@example.com", &["far@out.example"], &text("forbidden")).unwrap();
    assert!(reply.starts_with("550 5.7.1"), "{reply}");
    assert_eq!(hop.count("forbidden"), 0);
    // Several recipients with one next hop pass together.
    let reply =
        client.message("bob@example.com", &["a@out.example", "b@out.example"], &text("together")).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(hop.count("This is together"), 1);
    assert!(!on_disk(&daemon.data, "This is together"));
}

/// Connections that rest are among those that there may be: one to another relay takes the place of what rested longest.
#[test]
fn connections_to_all_relays_have_one_bound() {
    let folder = tempfile::tempdir().unwrap();
    let ((address, hop), (other, other_hop)) = (Hop::start(), Hop::start());
    hop.keeps.store(true, Ordering::SeqCst);
    other_hop.keeps.store(true, Ordering::SeqCst);
    build_table("pass-through", &folder.path().join("edict.table"), |sources| {
        let text = std::fs::read_to_string("tests/rules/pass-through/main.edict").unwrap();
        let more = format!(
            "relay other {{ host [{other}] tls off }}\n\
             route \"other\" {{ when recipient.domain is other.example via other }}\n"
        );
        sources.insert("main.edict".to_owned(), format!("{text}{more}").into_bytes());
    });
    let daemon = with_places(folder.path(), address, 1, "");
    let mut client = Client::hello(daemon.address).unwrap();
    for (token, to) in
        [("one", "far@out.example"), ("two", "far@other.example"), ("three", "far@out.example")]
    {
        let reply = client.message("bob@example.com", &[to], &text(token)).unwrap();
        assert!(reply.starts_with("250"), "{token}: {reply}");
        assert!(!on_disk(&daemon.data, &format!("This is {token}")), "{token} was stored");
    }
    assert_eq!((hop.messages.lock().unwrap().len(), other_hop.messages.lock().unwrap().len()), (2, 1));
    assert_eq!(hop.connections.load(Ordering::SeqCst), 2, "the first one made room");
}

/// Each refusal of the next hop is what the client hears, leaves nothing to deliver, and does not touch the message behind it.
fn refused_at_each_step(client: &mut Client, hop: &Hop, daemon: &Daemon) {
    for (mode, want) in [
        ("refuse mail", "550 5.7.9 not this"),
        ("refuse rcpt", "550 5.7.9 not this"),
        ("refuse data", "550 5.7.9 not this"),
        ("refuse dot", "554 5.6.0 not like this"),
    ] {
        mode.clone_into(&mut hop.mode.lock().unwrap());
        let reply = client.message("bob@example.com", &["far@out.example"], &text(mode)).unwrap();
        assert_eq!(reply, want, "{mode}");
        assert_eq!(*hop.mode.lock().unwrap(), "", "{mode} came up");
        assert_eq!(hop.count(mode), 0);
        assert_eq!(daemon.counter("queued"), 0, "{mode}: nothing is left to deliver");
        // The next message is not touched by it.
        let token = format!("after {mode}");
        let reply = client.message("bob@example.com", &["far@out.example"], &text(&token)).unwrap();
        assert!(reply.starts_with("250"), "{token}: {reply}");
        assert_eq!(hop.count(&format!("This is {token}")), 1);
    }
}

#[test]
fn refusals_of_the_next_hop_reach_the_client() {
    let folder = tempfile::tempdir().unwrap();
    let (address, hop) = Hop::start();
    let daemon = daemon(folder.path(), address);
    let mut client = Client::hello(daemon.address).unwrap();
    refused_at_each_step(&mut client, &hop, &daemon);
}

#[test]
fn a_next_hop_that_dies_costs_nothing_up_to_the_end_of_the_message() {
    // A daemon that could not reach a hop leaves it alone for a while, in which mail is stored at once: each has its own.
    let start = || {
        let folder = tempfile::tempdir().unwrap();
        let (address, hop) = Hop::start();
        let daemon = daemon(folder.path(), address);
        let client = Client::hello(daemon.address).unwrap();
        (folder, hop, daemon, client)
    };
    // Who says 421 has nothing of it either, whenever he says so.
    for mode in ["die greeting", "die ehlo", "die mail", "die rcpt", "die data", "leave data", "leave dot"] {
        let (_folder, hop, daemon, mut client) = start();
        mode.clone_into(&mut hop.mode.lock().unwrap());
        let reply = client.message("bob@example.com", &["far@out.example"], &text(mode)).unwrap();
        assert!(reply.starts_with("250"), "{mode}: {reply}");
        assert_eq!(*hop.mode.lock().unwrap(), "", "{mode} came up");
        wait_for(mode, || hop.count(&format!("This is {mode}")) == 1);
        assert!(on_disk(&daemon.data, &format!("This is {mode}")), "{mode}: it was stored in between");
    }
    for mode in ["die body", "die dot"] {
        let (_folder, hop, daemon, mut client) = start();
        mode.clone_into(&mut hop.mode.lock().unwrap());
        let reply = client.message("bob@example.com", &["far@out.example"], &text(mode)).unwrap();
        // The end was on its way: only the client can try again without the risk of a duplicate of ours.
        assert!(reply.starts_with("451 4.4.2"), "{mode}: {reply}");
        assert_eq!(daemon.counter("queued"), 0, "{mode}");
        assert_eq!(hop.count(mode), 0, "{mode}");
    }
}

/// RFC 5321 2.1, 6.1. What was passed through is nowhere but at the next hop: nothing of it can come twice. What was stored may,
/// where the kill came before the record of its delivery.
#[test]
fn what_got_a_250_was_taken_when_the_daemon_is_killed() {
    let kills: u32 = std::env::var("EDICT_CRASH_KILLS").map_or(8, |n| n.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let sink = life_sink::start();
    let mut daemon = daemon(folder.path(), sink.address);
    // One in three is stored, since there is a copy of it.
    let is_stored = |number: &str| number.ends_with(['3', '6', '9']);
    let load = KillLoad::start(daemon.address, 12, |number| {
        let stored = number.ends_with(['3', '6', '9']);
        (if stored { "boss@example.com" } else { "bob@example.com" }, &["far@out.example"])
    });
    let Survived { acknowledged, arrived } = kill_campaign::run(&mut daemon, &sink, load, kills);
    let has = |number: &str, who: &str| arrived.contains_key(&(number.to_owned(), who.to_owned()));
    let is_lost = |number: &&String| {
        !has(number, "far@out.example") || (is_stored(number) && !has(number, "archive@out.example"))
    };
    let lost: Vec<_> = acknowledged.iter().filter(is_lost).collect();
    let passed = arrived.iter().filter(|((number, _), _)| !is_stored(number));
    let (once, twice): (Vec<_>, Vec<_>) = passed.partition(|(_, lives)| lives.len() == 1);
    let twice: Vec<_> = twice.iter().map(|(what, _)| what).collect();
    tell(&format!("passed through: {} once, {} twice; {} lost", once.len(), twice.len(), lost.len()));
    assert!(lost.is_empty(), "acknowledged, but never taken by the next hop: {lost:?}");
    assert!(twice.is_empty(), "passed through twice: {twice:?}");
    assert!(!once.is_empty());
}
