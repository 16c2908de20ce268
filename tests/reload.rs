//! SIGHUP: a whole new table or none, between transactions, with connections kept.

mod support;

use std::process::Command;
use support::client::Client;
use support::daemon::Daemon;
use support::{build_table, free_port};

const HELLO: &str = "Subject: hello\n\nx";

#[test]
fn a_removed_rule_is_gone_and_a_broken_table_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("edict.table");
    build_table("every-kind", &table, |_| ());
    let daemon = Daemon::start(folder.path(), &["--table", table.to_str().unwrap()]);
    let mut client = Client::hello(daemon.address).unwrap();
    let mut send = || client.message("spam@elsewhere.example", &["alice@example.com"], HELLO).unwrap();
    assert!(send().starts_with("550"));

    // The entry is taken off its list; the connection stays open.
    build_table("every-kind", &table, |sources| sources.insert("lists/bad-senders.txt", "@spam.example\n"));
    let (code, text) = daemon.ask(&["reload"]);
    assert_eq!(code, 0, "{text}");
    assert!(send().starts_with("250"), "every removal takes effect");

    // A table with one byte wrong, one cut short, and none at all.
    let good = std::fs::read(&table).unwrap();
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for broken in [flipped, good[..good.len() - 1].to_vec(), b"no table".to_vec(), Vec::new()] {
        std::fs::write(&table, &broken).unwrap();
        let (code, text) = daemon.ask(&["reload"]);
        assert_eq!(code, 1, "refused: {text}");
        assert!(send().starts_with("250"), "the last good table stays");
    }
    std::fs::remove_file(&table).unwrap();
    daemon.signal("HUP");
    daemon.wait_for_log(&["reload refused", "edict.table"]);
    assert!(send().starts_with("250"), "the last good table stays");

    let (code, text) = daemon.ask(&["rollback"]);
    assert_eq!(code, 0, "{text}");
    assert!(send().starts_with("550"), "the table before is in force again");
}

/// A pipe that nobody writes into and a device that never ends hold up nothing: neither the reload nor the stop.
#[test]
fn what_is_no_file_is_refused_and_holds_up_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    build_table("every-kind", &path("edict.table"), |_| ());
    std::fs::write(path("users"), "ann@example.com:\n").unwrap();
    let address = free_port();
    let config = format!("(table: \"edict.table\", users: \"users\", listeners: [(address: \"{address}\")])");
    let mut daemon = Daemon::configured(folder.path(), address, &config);
    for name in ["users", "edict.table", "edictd.ron"] {
        let kept = path("kept");
        std::fs::rename(path(name), &kept).unwrap();
        assert!(Command::new("mkfifo").arg(path(name)).status().unwrap().success());
        for what in ["a pipe", "a device"] {
            let (code, text) = daemon.ask(&["reload"]);
            assert!(code == 1 && text.contains(name) && text.contains("regular file"), "{what}: {text}");
            std::fs::remove_file(path(name)).unwrap();
            std::os::unix::fs::symlink("/dev/zero", path(name)).unwrap();
        }
        std::fs::remove_file(path(name)).unwrap();
        std::fs::rename(&kept, path(name)).unwrap();
        assert_eq!(daemon.ask(&["reload"]).0, 0);
    }
    assert!(Client::hello(address).is_ok());
    assert!(daemon.stop());
}

#[test]
fn a_transaction_keeps_its_table_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("edict.table");
    build_table("every-kind", &table, |_| ());
    let daemon = Daemon::start(folder.path(), &["--table", table.to_str().unwrap()]);
    let mut client = Client::hello(daemon.address).unwrap();
    assert!(client.command("MAIL FROM:<x@elsewhere.example>").unwrap().starts_with("250"));
    build_table("every-kind", &table, |sources| {
        sources.insert("lists/bad-senders.txt", "x@elsewhere.example\n");
    });
    assert_eq!(daemon.ask(&["reload"]).0, 0);
    assert!(client.command("RCPT TO:<alice@example.com>").unwrap().starts_with("250"));
    assert!(client.command("DATA").unwrap().starts_with("354"));
    client.send(b"Subject: hello\r\n\r\nx\r\n.\r\n").unwrap();
    assert!(client.reply().unwrap().starts_with("250"));
    let reply = client.message("x@elsewhere.example", &["alice@example.com"], HELLO).unwrap();
    assert!(reply.starts_with("550"), "the next transaction has the new table: {reply}");
}
