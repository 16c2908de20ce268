//! What users of other systems complain about in precedence, reload and explanation, each on the wire. The other
//! complaints are named in docs/complaints.md, with the test of each.

use crate::support::client::Client;
use crate::support::daemon::Daemon;
use crate::support::taker::Taker;
use crate::support::{build_table, start_with_users, wait_for};
use std::path::{Path, PathBuf};

const PROFILE: &str = "edict 1\n\nprofile {\n    hostname mx.example.com\n    local-domains [example.com]\n    \
    recipients any\n    trusted-networks [192.0.2.1]\n}\n";

fn build(folder: &Path, rules: &str) -> PathBuf {
    let table = folder.join("edict.table");
    build_table("actions", &table, |sources| {
        *sources = Default::default();
        sources.insert("main.edict", format!("{PROFILE}{rules}"));
    });
    table
}

fn start(folder: &Path, rules: &str) -> Daemon {
    let relay = Taker::start(&["8BITMIME"]);
    start_with_users(folder, &build(folder, rules), relay.address, "")
}

fn send(daemon: &Daemon, sender: &str, to: &[&str], message: &str) -> String {
    Client::hello(daemon.address).unwrap().message(sender, to, message).unwrap()
}

const HELLO: &str = "From: x@far.example\nSubject: hello\n\nHi";

#[test]
fn deny_runs_before_allow_and_cannot_be_flipped() {
    let folder = tempfile::tempdir().unwrap();
    let rules = |deny: &str| {
        format!(
            "reject \"far\" {{ {deny} when sender.domain is far.example }}\n\
             allow \"friend\" {{ when sender in [x@far.example, z@near.example] }}\n"
        )
    };
    let daemon = start(folder.path(), &rules(""));
    let try_both = || {
        let reply = |sender: &str| send(&daemon, sender, &["ann@example.com"], HELLO)[..3].to_owned();
        [reply("x@far.example"), reply("y@far.example")]
    };
    // By itself the list of the welcome comes first; a number turns it round.
    assert_eq!(try_both(), ["250", "550"]);
    build(folder.path(), &rules("priority 50"));
    assert_eq!(daemon.ask(&["reload"]).0, 0);
    assert_eq!(try_both(), ["550", "550"]);
}

#[test]
fn allow_wins_where_deny_must_be_final() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(
        folder.path(),
        "reject \"closed\" { priority 1 when recipient is closed@example.com reply 550 5.2.1 \"This mailbox is closed\" }\n\
         allow \"partners\" { when sender.domain is far.example }\n",
    );
    let reply = send(&daemon, "x@far.example", &["closed@example.com"], HELLO);
    assert!(reply.starts_with("550 5.2.1 This mailbox is closed"), "{reply}");
    assert!(send(&daemon, "x@far.example", &["open@example.com"], HELLO).starts_with("250"));
}

#[test]
fn one_good_recipient_lets_a_blocked_one_through() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(
        folder.path(),
        "reject \"no offers for bob\" { when recipient is bob@example.com and subject contains \"offer\" }\n\
         reject \"eve never\" { when recipient is eve@example.com }\n",
    );
    let mut client = Client::hello(daemon.address).unwrap();
    for (line, want) in [
        ("MAIL FROM:<x@far.example>", "250"),
        ("RCPT TO:<ann@example.com>", "250"),
        ("RCPT TO:<eve@example.com>", "550"),
        // Content may part him from ann: he comes back in a transaction of his own.
        ("RCPT TO:<bob@example.com>", "452 4.5.3"),
        ("DATA", "354"),
        ("Subject: an offer\r\n\r\nHi\r\n.", "250"),
        ("MAIL FROM:<x@far.example>", "250"),
        ("RCPT TO:<bob@example.com>", "250"),
        ("DATA", "354"),
        ("Subject: an offer\r\n\r\nHi\r\n.", "550"),
    ] {
        let reply = client.command(line).unwrap();
        assert!(reply.starts_with(want), "{line}: {reply}");
    }
    daemon.wait_for_mail("ann@example.com", 1);
    assert!(daemon.mailbox("bob@example.com").is_empty() && daemon.mailbox("eve@example.com").is_empty());
}

#[test]
fn a_header_match_fires_inside_an_attached_message() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path(), "reject \"campaign\" { when header(\"X-Campaign\") is present }\n");
    let inner = "X-Campaign: spring\nSubject: buy\n\nnow\n";
    assert!(send(&daemon, "x@far.example", &["ann@example.com"], inner).starts_with("550"));
    let report = format!(
        "From: x@far.example\nSubject: look at this\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n\
         --b\n\nSee below\n--b\nContent-Type: message/rfc822\n\n{inner}\n--b--\n"
    );
    let reply = send(&daemon, "x@far.example", &["ann@example.com"], &report);
    assert!(reply.starts_with("250"), "{reply}");
}

#[test]
fn a_relay_rule_is_not_used_or_not_dropped_until_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (usual, special) = (Taker::start(&["8BITMIME"]), Taker::start(&["8BITMIME"]));
    let rule = format!(
        "relay special {{ host [127.0.0.1:{}] tls off }}\nroute \"far\" {{ when recipient.domain is far.example via special }}\n",
        special.address.port()
    );
    let open = |rules: &str| format!("{rules}alias out@example.com = [far@far.example]\n");
    let table = build(folder.path(), &open(""));
    let daemon = start_with_users(folder.path(), &table, usual.address, "");
    let went = |count: (usize, usize)| {
        assert!(send(&daemon, "x@else.example", &["out@example.com"], HELLO).starts_with("250"));
        wait_for(&format!("{count:?} messages"), || {
            (usual.messages().len(), special.messages().len()) == count
        });
    };
    went((1, 0));
    build(folder.path(), &open(&rule));
    assert_eq!(daemon.ask(&["reload"]).0, 0);
    went((1, 1));
    build(folder.path(), &open(""));
    assert_eq!(daemon.ask(&["reload"]).0, 0);
    went((2, 1));
}

#[test]
fn other_nodes_did_not_reload_on_a_rule_change() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let rules = "reject \"far\" { when sender.domain is far.example }\n";
    let daemons = folders.each_ref().map(|folder| start(folder.path(), rules));
    let digests = || {
        daemons.each_ref().map(|daemon| {
            let (_, text) = daemon.ask(&["status", "--format", "json"]);
            let status: serde_json::Value = serde_json::from_str(&text).unwrap();
            status["table"]["digest"].as_str().unwrap().to_owned()
        })
    };
    // The same rules are the same digest, wherever they are in force; a node that lags behind is seen.
    let [one, two] = digests();
    assert_eq!(one, two);
    for (place, same) in [(0, false), (1, true)] {
        build(folders[place].path(), &rules.replace("far.example", "else.example"));
        assert_eq!(daemons[place].ask(&["reload"]).0, 0);
        let [one, two] = digests();
        assert_eq!(one == two, same);
    }
}
