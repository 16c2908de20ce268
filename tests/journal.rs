//! The journal of a real daemon: every verdict is in it, with what is needed to judge the mail anew.

#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use edict_runtime::journal::{Entry, Reader};
use support::client::Client;
use support::daemon::Daemon;
use support::{build_table, free_port};

fn run(bodies: bool) -> Vec<Entry> {
    let folder = tempfile::tempdir().unwrap();
    build_table("every-kind", &folder.path().join("edict.table"), |_| ());
    let address = free_port();
    let mut daemon = Daemon::configured(
        folder.path(),
        address,
        &format!(
            r#"(
                table: "edict.table",
                listeners: [(address: "{address}")],
                journal: (folder: "journal", bodies: {bodies}),
            )"#
        ),
    );
    let mut client = Client::hello(daemon.address).unwrap();
    for (sender, to, message) in [
        ("x@elsewhere.example", "alice@example.com", "Subject: fine\n\nthe body"),
        ("spam@elsewhere.example", "alice@example.com", "Subject: seen\n\nx"),
        ("x@elsewhere.example", "nobody@example.com", "Subject: never seen\n\nx"),
        ("x@elsewhere.example", "alice@example.com", "Subject: act now\n\nthe body"),
        ("", "alice@example.com", "X-Campaign: Spring-2026\nSubject: noise\n\nthe body"),
    ] {
        client.message(sender, &[to], message).unwrap();
    }
    assert!(daemon.stop(), "the end of the journal is written");
    let entries: Result<Vec<Entry>, _> = Reader::open(&folder.path().join("journal")).unwrap().collect();
    entries.unwrap()
}

#[test]
fn every_verdict_is_recorded_with_its_mail() {
    let entries = run(true);
    let told: Vec<String> = entries
        .iter()
        .map(|e| {
            let rule = e.rule.as_ref().map(|r| format!(" by {:?} {}", r.name, r.file)).unwrap_or_default();
            let to: Vec<String> =
                e.recipients.iter().map(|r| format!("{} {}", r.address, r.verdict)).collect();
            let from = e.sender.as_deref().unwrap_or("-");
            format!("{} {}{rule}: <{from}> to {}", e.stage, e.verdict, to.join(", "))
        })
        .collect();
    assert_eq!(
        told,
        [
            "accept accept: <x@elsewhere.example> to alice@example.com accept",
            "end-of-data reject by \"bad senders\" access/verdicts.edict: <spam@elsewhere.example> to alice@example.com accept",
            "rcpt reject: <x@elsewhere.example> to nobody@example.com reject",
            "end-of-data reject by \"shouting\" access/verdicts.edict: <x@elsewhere.example> to alice@example.com accept",
            "accept discard by \"known noise\" access/verdicts.edict: <> to alice@example.com discard",
        ],
        "{told:#?}"
    );
    assert_eq!(
        entries[0].message().as_deref(),
        Some(&b"Subject: fine\r\n\r\nthe body\r\n"[..]),
        "as it was received"
    );
    assert!(entries[0].reply.starts_with("250 2.0.0 Ok: queued as "));
    assert_eq!((entries[0].client.helo.as_str(), entries[0].client.trusted), ("client.example", true));
    assert_eq!(entries[2].header, None, "there was no message yet");
    assert!(entries[3].message().unwrap().ends_with(b"the body\r\n"));
    assert!(entries.iter().all(|e| e.time > 1_700_000_000_000 && e.table == entries[0].table));
}

#[test]
fn bodies_are_kept_only_where_asked_for() {
    let entries = run(false);
    // All but the recipient that is not known had a message.
    assert_eq!((entries.len(), entries.iter().filter(|e| e.message().is_some()).count()), (5, 4));
    for entry in entries {
        assert_eq!(entry.body, None);
        if let Some(message) = entry.message() {
            assert!(message.ends_with(b"\r\n\r\n") && entry.size > message.len() as u64);
        }
    }
}
