//! Messages to a single recipient: their DATA goes to the next hop along with it, where it can be known or guessed that no
//! other follows. A wrong guess costs a connection, and nothing else.

use crate::hop::Hop;
use crate::support::client::Client;
use crate::support::daemon::Daemon;
use crate::support::{build_table, wait_for};
use crate::{on_disk, refused_at_each_step, text, with_table};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A daemon without a rule that could refuse what is in hand, before a hop that keeps its connections.
fn start(folder: &Path) -> (Arc<Hop>, Daemon) {
    let (address, hop) = Hop::start();
    hop.keeps.store(true, Ordering::SeqCst);
    build_table("pass-through", &folder.join("edict.table"), |sources| {
        let text = std::fs::read_to_string("tests/rules/pass-through/main.edict").unwrap();
        let (before, rest) = text.split_once("reject \"forbidden").unwrap();
        let (_, after) = rest.split_once("bcc \"archive\"").unwrap();
        sources.insert("main.edict".to_owned(), format!("{before}bcc \"archive\"{after}").into_bytes());
    });
    (hop, with_table(folder, address))
}

fn along(hop: &Hop) -> usize {
    hop.along.load(Ordering::SeqCst)
}

fn pass(client: &mut Client, hop: &Hop, to: &[&str], token: &str) {
    let reply = client.message("bob@example.com", to, &text(token)).unwrap();
    assert!(reply.starts_with("250"), "{token}: {reply}");
    assert_eq!(hop.count(&format!("This is {token}")), 1, "{token}");
}

#[test]
fn a_client_that_sends_each_message_to_one_goes_on_doing_so() {
    let folder = tempfile::tempdir().unwrap();
    let (hop, daemon) = start(folder.path());
    let mut client = Client::hello(daemon.address).unwrap();
    for n in 0..5 {
        pass(&mut client, &hop, &["far@out.example"], &format!("number-{n}"));
        assert_eq!(along(&hop), n, "the first tells what the others are like");
    }
    assert_eq!(hop.connections.load(Ordering::SeqCst), 1);
    // Two recipients after all: asked anew over another connection, and both get it.
    pass(&mut client, &hop, &["far@out.example", "near@out.example"], "for-two");
    assert_eq!((along(&hop), hop.connections.load(Ordering::SeqCst)), (5, 2));
    wait_for("the first connection's end", || hop.cut.load(Ordering::SeqCst) == 1);
    // It was wrong once, and is not guessed again.
    for n in 5..8 {
        pass(&mut client, &hop, &["far@out.example"], &format!("number-{n}"));
    }
    assert_eq!((along(&hop), hop.connections.load(Ordering::SeqCst)), (5, 2));
    assert!(!on_disk(&daemon.data, "This is"), "nothing of it was stored");
    assert_eq!((daemon.counter("delivered"), daemon.counter("queued")), (10, 0));
}

#[test]
fn a_client_that_says_data_at_once_needs_no_guess() {
    let folder = tempfile::tempdir().unwrap();
    let (hop, daemon) = start(folder.path());
    let mut client = Client::hello(daemon.address).unwrap();
    for (n, group) in [
        "MAIL FROM:<bob@example.com>\r\nRCPT TO:<far@out.example>\r\nDATA\r\n",
        "MAIL FROM:<bob@example.com>\r\nRCPT TO:<far@out.example>\r\ndata\r\n",
    ]
    .iter()
    .enumerate()
    {
        client.send(group.as_bytes()).unwrap();
        let replies: Vec<String> = (0..3).map(|_| client.reply().unwrap()).collect();
        assert!(replies[2].starts_with("354"), "{replies:?}");
        client.send(format!("{}.\r\n", text("grouped").replace('\n', "\r\n")).as_bytes()).unwrap();
        assert!(client.reply().unwrap().starts_with("250"));
        assert_eq!((along(&hop), hop.count("This is grouped")), (n + 1, n + 1));
    }
    // For two, it follows the second.
    let group =
        "MAIL FROM:<bob@example.com>\r\nRCPT TO:<a@out.example>\r\nRCPT TO:<b@out.example>\r\nDATA\r\n";
    client.send(group.as_bytes()).unwrap();
    let replies: Vec<String> = (0..4).map(|_| client.reply().unwrap()).collect();
    assert!(replies[3].starts_with("354"), "{replies:?}");
    client.send(format!("{}.\r\n", text("of-two").replace('\n', "\r\n")).as_bytes()).unwrap();
    assert!(client.reply().unwrap().starts_with("250"));
    assert_eq!((along(&hop), hop.count("This is of-two"), hop.cut.load(Ordering::SeqCst)), (2, 1, 0));
    assert_eq!(hop.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn what_is_taken_back_costs_one_connection_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let (hop, daemon) = start(folder.path());
    let mut client = Client::hello(daemon.address).unwrap();
    pass(&mut client, &hop, &["far@out.example"], "first");
    for _ in 0..5 {
        for (command, want) in
            [("MAIL FROM:<bob@example.com>", "250"), ("RCPT TO:<far@out.example>", "250"), ("RSET", "250")]
        {
            let reply = client.command(command).unwrap();
            assert!(reply.starts_with(want), "{command}: {reply}");
        }
    }
    pass(&mut client, &hop, &["far@out.example"], "last");
    wait_for("the end of the connection that had DATA", || hop.cut.load(Ordering::SeqCst) == 1);
    assert_eq!((along(&hop), hop.connections.load(Ordering::SeqCst)), (1, 2));
}

/// RFC 2920 3.1: whoever asks for a message that has no recipient gets an empty one, for nobody.
#[test]
fn a_refusal_stays_one_where_data_went_along() {
    let folder = tempfile::tempdir().unwrap();
    let (hop, daemon) = start(folder.path());
    let mut client = Client::hello(daemon.address).unwrap();
    pass(&mut client, &hop, &["far@out.example"], "first");
    refused_at_each_step(&mut client, &hop, &daemon);
    // Five that passed but the first, and four that did not.
    assert_eq!(along(&hop), 8);
    // A hop that dies at DATA: the message is stored, and arrives.
    "die data".clone_into(&mut hop.mode.lock().unwrap());
    let reply = client.message("bob@example.com", &["far@out.example"], &text("stored")).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    wait_for("the stored one", || hop.count("This is stored") == 1);
    assert!(on_disk(&daemon.data, "This is stored"));
}
