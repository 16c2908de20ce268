//! Every kind of rule of the language, from rule text to mail on the wire.

#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use std::path::Path;
use support::client::Client;
use support::daemon::Daemon;
use support::sink::Sink;
use support::{build_table, wait_for};

/// A daemon with the rule set of `tests/rules/every-kind` that relays into a sink.
fn start(folder: &Path, sink: &Sink) -> Daemon {
    let table = folder.join("edict.table");
    build_table("every-kind", &table, |_| ());
    Daemon::start(folder, &["--table", table.to_str().unwrap(), "--relay", &sink.address.to_string()])
}

fn one_part(html: bool, body: &str) -> String {
    let kind = if html { "html" } else { "plain" };
    format!(
        "From: bob@example.com\nSubject: hello\nMIME-Version: 1.0\nContent-Type: text/{kind}; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{body}"
    )
}

#[test]
fn verdicts_are_given_for_each_recipient_and_name_their_rule() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::start(folder.path());
    let daemon = start(folder.path(), &sink);
    let mut client = Client::hello(daemon.address).unwrap();
    let hello = "Subject: hello\n\nx";
    for (sender, recipient, message, reply) in [
        ("spam@elsewhere.example", "alice@example.com", hello, "550 5.7.1 We take no mail from this sender"),
        ("x@spam.example", "alice@example.com", hello, "550 5.7.1"),
        ("x@deep.spam.example", "alice@example.com", hello, "550 5.7.1"),
        ("x@notspam.example", "alice@example.com", hello, "250 2."),
        ("x@elsewhere.example", "nobody@example.com", hello, "550 5.1.1"),
        ("x@elsewhere.example", "Alice@EXAMPLE.net", hello, "250 2."),
        ("x@elsewhere.example", "alice+tag@example.com", hello, "250 2."),
        ("x@elsewhere.example", "leser@xn--bcher-kva.example", hello, "250 2."),
        (
            "x@elsewhere.example",
            "alice@example.com",
            "Subject: Act   NOW please\n\nx",
            "550 5.7.1 Please do not shout",
        ),
        (
            "x@elsewhere.example",
            "alice@example.com",
            "Subject: =?utf-8?B?QUNUIE5PVw==?=\n\nx",
            "550 5.7.1 Please do not shout",
        ),
        ("alice@example.com", "alice@example.com", "Subject: act now\n\nx", "250 2."),
        (
            "x@elsewhere.example",
            "alice@example.com",
            "X-Campaign: Spring-2026\nSubject: noise\n\nx",
            "250 2.",
        ),
        ("later@elsewhere.example", "alice@example.com", hello, "450 4.7.1 Come back later"),
        ("", "alice@example.com", hello, "250 2."),
    ] {
        let got = client.message(sender, &[recipient], message).unwrap();
        assert!(got.starts_with(reply), "{sender} to {recipient} {message:?}: {got}");
    }
    let line = daemon.wait_for_log(&["bad senders", "verdicts.edict", "spam@elsewhere.example"]);
    let digest = {
        let (_, status) = daemon.ask(&["status", "--format", "json"]);
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        status["table"]["digest"].as_str().unwrap()[..12].to_owned()
    };
    assert!(line.contains(&digest), "the log line names the table: {line}");
    daemon.wait_for_log(&["known noise", "verdicts.edict"]);
    daemon.wait_for_empty_queue();
    // x@notspam, +tag, alice to alice, Alice@EXAMPLE.net and <>: five; the noise is dropped.
    let mail = daemon.wait_for_mail("alice@example.com", 5);
    assert!(mail.iter().all(|m| !m.contains("noise")), "{mail:?}");
    daemon.wait_for_mail("leser@xn--bcher-kva.example", 1);
}

#[test]
fn aliases_are_expanded_and_equal_recipients_get_one_copy() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::start(folder.path());
    let daemon = start(folder.path(), &sink);
    let mut client = Client::hello(daemon.address).unwrap();
    let to = ["everyone@example.com", "alice@example.com", "team@example.com"];
    let reply = client.message("x@elsewhere.example", &to, "Subject: to all\n\nx").unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    daemon.wait_for_mail("alice@example.com", 1);
    daemon.wait_for_mail("bob@example.com", 1);
    daemon.wait_for_empty_queue();
    assert_eq!(sink.messages().len(), 1);
    assert_eq!(sink.messages()[0].recipients, ["ext@other.example"]);
}

#[test]
fn a_blind_copy_is_one_and_invisible() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::start(folder.path());
    let daemon = start(folder.path(), &sink);
    let mut client = Client::hello(daemon.address).unwrap();
    let to = ["eve@outside.example", "mallory@outside.example"];
    let reply = client.message("bob@example.com", &to, &one_part(false, "secret plan")).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    let copy = &daemon.wait_for_mail("archive@example.com", 1)[0];
    assert!(
        copy.contains("eve@outside.example") && copy.contains("mallory@outside.example"),
        "recorded: {copy}"
    );
    assert!(copy.contains("bob@example.com") && copy.contains("secret plan"), "{copy}");
    assert!(!copy.contains("Example Ltd."), "an original copy has no disclaimer: {copy}");
    assert!(copy.starts_with("Return-Path: <alice@example.com>"), "bounces go to the postmaster: {copy}");
    daemon.wait_for_empty_queue();
    assert_eq!(sink.messages().iter().map(|m| m.recipients.len()).sum::<usize>(), 2);
    for message in sink.messages() {
        assert!(!message.text.contains("archive"), "invisible: {}", message.text);
        assert_eq!(message.sender, "bob@example.com");
    }
}

#[test]
fn a_disclaimer_goes_out_and_not_in() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::start(folder.path());
    let daemon = start(folder.path(), &sink);
    let mut client = Client::hello(daemon.address).unwrap();
    let alternative = "From: bob@example.com\nSubject: both\nMIME-Version: 1.0\n\
        Content-Type: multipart/alternative; boundary=b1\n\n\
        --b1\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nGr=FC=DFe\n\
        --b1\nContent-Type: text/html; charset=utf-8\n\n<html><body><p>Hi</p></body></html>\n--b1--\n";
    let to = ["eve@outside.example", "alice@example.com"];
    for message in
        [&one_part(false, "Guten Tag"), &one_part(true, "<html><body>Hi</body></html>"), alternative]
    {
        let reply = client.message("bob@example.com", &to, message).unwrap();
        assert!(reply.starts_with("250"), "{reply}");
    }
    let tagged = one_part(false, "x").replace("hello", "[no-disclaimer] hello");
    assert!(client.message("bob@example.com", &to[..1], &tagged).unwrap().starts_with("250"));
    daemon.wait_for_empty_queue();
    assert_eq!(sink.messages().len(), 4);
    for message in sink.messages() {
        let wants = !message.text.contains("[no-disclaimer]");
        assert_eq!(message.text.contains("Example Ltd."), wants, "{}", message.text);
        if message.text.contains("text/html") {
            let text = &message.text;
            let (place, end) = (text.rfind("Example Ltd."), text.find("</body>"));
            assert!(place < end, "stands inside the body: {text}");
        }
        if message.text.contains("iso-8859-1") {
            assert!(message.text.contains("Gr=FC=DFe!"), "in the charset of its part: {}", message.text);
        }
    }
    for message in daemon.wait_for_mail("alice@example.com", 3) {
        assert!(!message.contains("Example Ltd."), "inside readers get none: {message}");
    }
}

#[test]
fn a_quota_counts_what_was_accepted_and_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::start(folder.path());
    let mut daemon = start(folder.path(), &sink);
    let shout = "Subject: act now\n\nx";
    let hello = "Subject: hello\n\nx";
    let send = |daemon: &Daemon, to: &str, message: &str| {
        let mut client = Client::hello(daemon.address).unwrap();
        client.message("carol@example.com", &[to], message).unwrap()
    };
    assert!(send(&daemon, "eve@outside.example", hello).starts_with("250"));
    assert!(send(&daemon, "eve@outside.example", shout).starts_with("550"), "refused mail does not count");
    assert!(send(&daemon, "alice@example.com", hello).starts_with("250"), "internal mail does not count");
    daemon.kill();
    daemon.restart();
    assert!(send(&daemon, "eve@outside.example", hello).starts_with("250"));
    let over = send(&daemon, "eve@outside.example", hello);
    assert!(over.starts_with("452 4.7.1 Daily quota reached"), "{over}");
    assert!(send(&daemon, "alice@example.com", hello).starts_with("250"), "internal mail still goes");
    daemon.wait_for_log(&["carol is new", "main.edict"]);
}

#[test]
fn held_mail_waits_until_it_is_released() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::start(folder.path());
    let mut daemon = start(folder.path(), &sink);
    let mut client = Client::hello(daemon.address).unwrap();
    let reply =
        client.message("x@elsewhere.example", &["alice@example.com"], "Subject: Please review\n\nx").unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    daemon.kill();
    daemon.restart();
    let mut listing = serde_json::Value::Null;
    wait_for("the message to be held", || {
        let (code, text) = daemon.ask(&["queue", "list", "--format", "json"]);
        assert_eq!(code, 0, "{text}");
        listing = serde_json::from_str(&text).unwrap();
        listing[0]["state"] == "held"
    });
    assert!(daemon.mailbox("alice@example.com").is_empty());
    let id = listing[0]["id"].as_str().unwrap();
    assert_eq!(daemon.ask(&["queue", "release", id]).0, 0);
    daemon.wait_for_mail("alice@example.com", 1);
}
