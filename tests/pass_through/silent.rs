//! A next hop that takes connections and says nothing: one client waits for it, and the mail of the others is stored at once.

use crate::hop::Hop;
use crate::support::client::Client;
use crate::support::daemon::Daemon;
use crate::support::{build_table, wait_for};
use crate::{daemon, on_disk, text, with_settings};
use std::sync::atomic::Ordering;

/// Sends these messages, which are all taken.
fn send(daemon: &Daemon, tokens: impl Iterator<Item = u32>) {
    for n in tokens {
        let mut client = Client::hello(daemon.address).unwrap();
        let token = format!("silent-{n}-token");
        let reply = client.message("bob@example.com", &["far@out.example"], &text(&token)).unwrap();
        assert!(reply.starts_with("250"), "{token}: {reply}");
    }
}

fn connections(hop: &Hop) -> usize {
    hop.connections.load(Ordering::SeqCst)
}

#[test]
fn a_hop_that_never_greets_is_waited_for_once() {
    let folder = tempfile::tempdir().unwrap();
    let (address, hop) = Hop::start();
    let daemon = daemon(folder.path(), address);
    "silent greeting".clone_into(&mut hop.mode.lock().unwrap());
    send(&daemon, 0..1);
    // The queue has one of its own for all that is stored.
    wait_for("the queue's connection", || connections(&hop) == 2);
    send(&daemon, 1..6);
    assert_eq!(connections(&hop), 2, "no client opens another one");
    assert!(on_disk(&daemon.data, "This is silent-5-token"));
    // It speaks again: what was stored arrives, and what comes after a while passes through as before.
    hop.mode.lock().unwrap().clear();
    for n in 0..6 {
        let token = format!("This is silent-{n}-token");
        wait_for(&token, || hop.count(&token) == 1);
    }
    let mut client = Client::hello(daemon.address).unwrap();
    let mut sent = 0;
    wait_for("one that passes through", || {
        sent += 1;
        let token = format!("later-{sent}-token");
        let reply = client.message("bob@example.com", &["far@out.example"], &text(&token)).unwrap();
        assert!(reply.starts_with("250"), "{token}: {reply}");
        !on_disk(&daemon.data, &token)
    });
}

#[test]
fn a_hop_that_never_answers_is_waited_for_once() {
    for mode in ["silent rcpt", "silent data"] {
        let folder = tempfile::tempdir().unwrap();
        let (address, hop) = Hop::start();
        let daemon = daemon(folder.path(), address);
        mode.clone_into(&mut hop.mode.lock().unwrap());
        send(&daemon, 0..4);
        // One of the first client, and one at most for each message in the queue.
        let all = connections(&hop);
        assert!(all <= 5, "{mode}: {all} connections");
        hop.mode.lock().unwrap().clear();
        for n in 0..4 {
            let token = format!("This is silent-{n}-token");
            wait_for(&token, || hop.count(&token) == 1);
        }
    }
}

/// The same where commands have less time than that.
#[test]
fn less_time_for_commands_is_waited_for_once_too() {
    let folder = tempfile::tempdir().unwrap();
    let (address, hop) = Hop::start();
    build_table("pass-through", &folder.path().join("edict.table"), |_| ());
    let daemon = with_settings(folder.path(), address, "next_hops: (command_seconds: 2)");
    "silent rcpt".clone_into(&mut hop.mode.lock().unwrap());
    send(&daemon, 0..4);
    daemon.wait_for_log(&["no way through: mail is stored"]);
    assert_eq!(daemon.read_log().matches("no way through: mail is stored").count(), 1);
}

/// What is sent when all of it is here, since a rule looks at its text: a hop that takes no more of it has not got it.
#[test]
fn a_hop_that_takes_no_more_of_a_message_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let (address, hop) = Hop::start();
    let daemon = daemon(folder.path(), address);
    "silent body".clone_into(&mut hop.mode.lock().unwrap());
    // More than the system takes for it.
    let large = text("taken-token") + &"A line of thirty bytes and two.\n".repeat(350_000);
    let mut client = Client::hello(daemon.address).unwrap();
    let reply = client.message("bob@example.com", &["far@out.example"], &large).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    daemon.wait_for_log(&["a next hop broke off: the message is stored"]);
    assert!(on_disk(&daemon.data, "This is taken-token"));
    hop.mode.lock().unwrap().clear();
    wait_for("the stored message", || hop.count("This is taken-token") == 1);
}
