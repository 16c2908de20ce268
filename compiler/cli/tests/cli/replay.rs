//! `edict replay`: the daemon's journal, messages, mboxes and Maildirs through tables.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::kit::{Done, edict};
use edict_runtime::envelope::Client;
use edict_runtime::journal::{Entry, Journal, Octets, Recipient, Rule, Settings, VERSION};
use serde_json::Value;
use std::path::Path;

const RULES: &str = r#"edict 1
profile {
    hostname mx.example.com
    local-domains [example.com]
}
reject "no lottery" { when subject contains "lottery" }
"#;

/// A folder with rules, and others in which one rule is new.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, more) in [("old", ""), ("new", "reject \"eve\" { when sender is eve@bad.example }\n")] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        std::fs::write(folder.path().join(name).join("main.edict"), format!("{RULES}{more}")).unwrap();
    }
    folder
}

fn entry(id: &str, sender: &str, subject: &str, verdict: &str) -> Entry {
    let message = format!("Subject: {subject}\r\n\r\nhello\r\n");
    let mut entry = Entry {
        version: VERSION,
        time: 1_790_000_000_000,
        id: id.to_owned(),
        stage: "accept".to_owned(),
        verdict: verdict.to_owned(),
        reply: "250 2.0.0 ok".to_owned(),
        rule: None,
        table: "digest".to_owned(),
        client: Client {
            ip: "203.0.113.9".parse().unwrap(),
            name: None,
            helo: "client.example".to_owned(),
            esmtp: true,
            tls: false,
            auth_user: None,
            trusted: false,
        },
        sender: Some(sender.to_owned()),
        recipients: vec![Recipient { address: "bob@example.com".to_owned(), verdict: "accept".to_owned() }],
        size: 0,
        header: None,
        body_left_out: false,
        body: None,
    };
    entry.put_message(message.as_bytes(), false);
    entry
}

/// Ann is taken, the lottery refused by a rule, Eve taken, one client turned away, one message damaged.
fn journal(folder: &Path) {
    let settings = Settings { folder: folder.join("journal"), bodies: false, file_bytes: 1 << 20, files: 4 };
    let journal = Journal::open(&settings).unwrap();
    journal.add(entry("A1", "ann@good.example", "hello", "accept"));
    let mut refused = entry("A2", "ann@good.example", "a lottery", "reject");
    refused.stage = "end-of-data".to_owned();
    refused.rule = Some(Rule { name: "no lottery".to_owned(), file: "main.edict".to_owned(), line: 6 });
    journal.add(refused);
    journal.add(entry("A3", "eve@bad.example", "hello", "accept"));
    let mut early = entry("", "", "", "reject");
    (early.stage, early.sender, early.header) = ("connect".to_owned(), None, None);
    early.recipients.clear();
    journal.add(early);
    let mut damaged = entry("A4", "ann@good.example", "hello", "accept");
    damaged.header = Some(Octets::Base64("not base64!".to_owned()));
    journal.add(damaged);
    journal.close();
}

fn lines(done: &Done) -> Vec<Value> {
    done.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_journal_is_replayed() {
    let folder = folder();
    journal(folder.path());
    let done = edict(folder.path(), &["replay", "new", "journal"]);
    assert_eq!(done.code, 0, "{}", done.err);
    let summary = "3 mails, 1 treated differently than was recorded, 1 refused before there was a recipient, 1 not replayed";
    assert!(done.err.contains(summary), "{}", done.err);
    assert!(done.err.contains("not replayed: A4: its base64 cannot be read"), "{}", done.err);
    let expected = "A1 <ann@good.example>\n    bob@example.com: accept at end-of-data, no rule decides; to bob@example.com via local\n";
    assert!(done.out.contains(expected), "{}", done.out);
    assert!(
        done.out.contains("A2 <ann@good.example>\n    bob@example.com: reject at end-of-data: 550"),
        "{}",
        done.out
    );
    let eve = done.out.split_once("A3 <eve@bad.example>\n").unwrap().1;
    assert!(eve.contains("by reject \"eve\" (main.edict:7)\n    recorded: accept\n"), "{eve}");
}

#[test]
fn only_what_changes_is_shown() {
    let folder = folder();
    journal(folder.path());
    let args = ["replay", "new", "journal", "--against", "old"];
    let done = edict(folder.path(), &args);
    assert_eq!(done.code, 1, "something changes: {}", done.err);
    assert!(done.err.contains("3 mails, 1 treated differently than by the old table"), "{}", done.err);
    let [header, gone, come] = done.out.lines().collect::<Vec<_>>()[..] else { panic!("{}", done.out) };
    assert_eq!(header, "A3 <eve@bad.example>");
    assert!(
        gone.starts_with("  - bob@example.com: accept") && come.starts_with("  + bob@example.com: reject")
    );

    let json = lines(&edict(folder.path(), &[&args[..], &["--format", "json"]].concat()));
    let [only] = json.as_slice() else { panic!("{json:?}") };
    assert_eq!((&only["mail"], &only["changed"]), (&Value::from("A3"), &Value::from(true)));
    assert_eq!((&only["before"]["verdict"], &only["now"]["verdict"]), (&"accept".into(), &"reject".into()));

    // Rules that moved and have other names treat nobody differently.
    let text = RULES.replace("\"no lottery\"", "\"games\"").replace("reject \"", "\n\nreject \"");
    std::fs::write(folder.path().join("new/main.edict"), text).unwrap();
    let same = edict(folder.path(), &args);
    assert_eq!((same.code, same.out.as_str()), (0, ""), "{}", same.err);

    // Nor does a rule on texts that matches none of it, though it is known later then that mail is taken.
    std::fs::write(
        folder.path().join("old/main.edict"),
        "edict 1\nprofile { local-domains [example.com] }\n",
    )
    .unwrap();
    let more = "reject \"never\" { when body contains \"no such text\" }\n";
    let text = format!("edict 1\nprofile {{ local-domains [example.com] }}\n{more}");
    std::fs::write(folder.path().join("new/main.edict"), text).unwrap();
    let same = edict(folder.path(), &args);
    assert_eq!((same.code, same.out.as_str()), (0, ""), "{}", same.err);
}

/// What was refused at RCPT is one recipient of a mail that goes on without it.
#[test]
fn a_refused_recipient_is_replayed_by_itself() {
    let folder = folder();
    let settings =
        Settings { folder: folder.path().join("journal"), bodies: false, file_bytes: 1 << 20, files: 4 };
    let journal = Journal::open(&settings).unwrap();
    let mut refused = entry("B1", "ann@good.example", "", "reject");
    (refused.stage, refused.header) = ("rcpt".to_owned(), None);
    refused
        .recipients
        .push(Recipient { address: "far@other.example".to_owned(), verdict: "reject".to_owned() });
    journal.add(refused);
    journal.close();
    let done = lines(&edict(folder.path(), &["replay", "old", "journal", "--format", "json"]));
    let people = done[0]["now"]["recipients"].as_array().unwrap();
    assert_eq!(people.len(), 1);
    assert_eq!(people[0]["address"], "far@other.example");
    assert_eq!((&people[0]["verdict"], &done[0]["changed"]), (&"reject".into(), &false.into()));
}

#[test]
fn messages_mboxes_and_maildirs_are_replayed() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let stored = |sender: &str, subject: &str| {
        format!(
            "Return-Path: <{sender}>\nDelivered-To: bob@example.com\nReceived: from mail.good.example (mail.good.example \
             [198.51.100.7])\n\tby mx.example.com with ESMTP id 1;\n\tMon, 2 Nov 2026 10:00:00 +0000\nReceived: from x \
             ([192.0.2.99]) by mail.good.example; Mon, 2 Nov 2026 09:59:59 +0000\nSubject: {subject}\n\nhello\n"
        )
    };
    std::fs::create_dir_all(at("Maildir/cur")).unwrap();
    std::fs::create_dir_all(at("Maildir/new")).unwrap();
    std::fs::write(at("Maildir/cur/2.b:2,S"), stored("eve@bad.example", "hello")).unwrap();
    std::fs::write(at("Maildir/new/1.a"), stored("", "lottery")).unwrap();
    let mbox = "From ann@good.example Mon Nov  2 10:00:00 2026\nSubject: lottery\nDelivered-To: bob@example.com\n\n>From here\n\n\
                From MAILER-DAEMON Mon Nov  2 10:00:00 2026\nSubject: x\n\nno recipient\n";
    std::fs::write(at("sent.mbox"), mbox).unwrap();
    std::fs::write(at("plain.eml"), "Subject: hi\n\nnobody knows who sent this\n").unwrap();

    let args = ["replay", "new", "Maildir", "sent.mbox", "plain.eml", "--format", "json"];
    let done = edict(folder.path(), &args);
    let found = lines(&done);
    let seen: Vec<_> = found
        .iter()
        .map(|f| (f["sender"].as_str().unwrap(), f["now"]["verdict"].as_str().unwrap()))
        .collect();
    let expected = [("", "reject"), ("eve@bad.example", "reject"), ("ann@good.example", "reject")];
    assert_eq!(seen, expected, "in the order of names: {}", done.out);
    assert!(done.err.contains("sent.mbox, mail 2: no `Delivered-To` tells its recipient"), "{}", done.err);
    assert!(done.err.contains("plain.eml: no `Return-Path` tells its sender"), "{}", done.err);
    assert!(done.err.contains("3 mails, 2 not replayed"), "{}", done.err);

    let given = edict(folder.path(), &[&args[..], &["--recipient", "bob@example.com"]].concat());
    assert_eq!(lines(&given).len(), 4, "{}", given.err);

    // What our own server wrote on top is not there when it decides: no loop. Older servers count.
    let own = stored("ann@good.example", "hello").replacen("ESMTP id 1", "ESMTP id 6H2K0MKQ80000", 1);
    std::fs::write(at("own.eml"), own).unwrap();
    let loose = format!("{RULES}reject \"hops\" {{ when header(\"Delivered-To\") is present }}\n");
    std::fs::write(at("new/main.edict"), loose).unwrap();
    let done = edict(folder.path(), &["replay", "new", "own.eml"]);
    assert!(done.out.contains("accept at end-of-data, no rule decides"), "{}{}", done.out, done.err);

    // The client is the one that the topmost server saw.
    let rules = format!("{RULES}reject \"net\" {{ when client.ip in [198.51.100.0/24] }}\n");
    std::fs::write(at("new/main.edict"), rules).unwrap();
    let done = edict(folder.path(), &["replay", "new", "Maildir/cur/2.b:2,S"]);
    assert!(done.out.contains("by reject \"net\""), "{}", done.out);
}

#[test]
fn what_is_no_record_is_named() {
    let folder = folder();
    for (mail, what) in [("new", "neither a journal"), ("absent", "cannot read `absent`")] {
        let done = edict(folder.path(), &["replay", "old", mail]);
        assert!(done.code == 2 && done.err.contains(what), "{}", done.err);
    }
    std::fs::write(folder.path().join("torn.jsonl"), "{\"version\":1").unwrap();
    let torn = edict(folder.path(), &["replay", "old", "torn.jsonl"]);
    assert!(torn.code == 2 && torn.err.contains("torn.jsonl:1: the line breaks off"), "{}", torn.err);
}
