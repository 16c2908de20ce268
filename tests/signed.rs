//! A daemon that insists on who signed its table, and loading that keeps nobody waiting.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use edict_table::signed::{PublicKey, attach, message};
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::path::Path;
use std::process::Command;
use support::build_table;
use support::client::Client;
use support::daemon::Daemon;

const HELLO: &str = "Subject: hello\n\nx";

fn key(seed: u8) -> (Ed25519KeyPair, PublicKey) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let public = PublicKey(pair.public_key().as_ref().try_into().unwrap());
    (pair, public)
}

/// Signs a table file as `edict build --sign` does.
fn sign(table: &Path, seed: u8) {
    let (pair, public) = key(seed);
    let mut bytes = std::fs::read(table).unwrap();
    let signature = pair.sign(&message(&bytes).unwrap());
    attach(&mut bytes, public, signature.as_ref().try_into().unwrap());
    std::fs::write(table, bytes).unwrap();
}

#[test]
fn only_tables_of_a_signer_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (table, config) = (folder.path().join("edict.table"), folder.path().join("edictd.ron"));
    let signers = format!("[\"{}\", \"{}\"]", key(1).1, key(2).1);
    std::fs::write(&config, format!("(table: \"edict.table\", signers: {signers})")).unwrap();
    build_table("every-kind", &table, |_| ());
    sign(&table, 1);
    let daemon = Daemon::start(folder.path(), &["--config", config.to_str().unwrap()]);
    let mut client = Client::hello(daemon.address).unwrap();
    let mut send = || client.message("spam@elsewhere.example", &["alice@example.com"], HELLO).unwrap();
    assert!(send().starts_with("550"));

    // A table that would let it in: by nobody, by a stranger, and with the signature of the one before.
    let good = std::fs::read(&table).unwrap();
    build_table("every-kind", &table, |sources| sources.insert("lists/bad-senders.txt", "@spam.example\n"));
    let plain = std::fs::read(&table).unwrap();
    let moved = [plain.clone(), good[good.len() - edict_table::signed::LENGTH..].to_vec()].concat();
    for (bytes, signer, want) in [
        (&plain, None, "the table is not signed".to_owned()),
        (&plain, Some(9), format!("signed by {}, who is not among", key(9).1)),
        (&moved, None, "the signature of the table is wrong".to_owned()),
    ] {
        std::fs::write(&table, bytes).unwrap();
        if let Some(seed) = signer {
            sign(&table, seed);
        }
        let (code, text) = daemon.ask(&["reload"]);
        assert_eq!(code, 1, "refused: {text}");
        assert!(text.contains(&want), "{text}");
        assert!(send().starts_with("550"), "the last good table stays");
    }
    // By the second signer.
    std::fs::write(&table, &plain).unwrap();
    sign(&table, 2);
    let (code, text) = daemon.ask(&["reload"]);
    assert_eq!(code, 0, "{text}");
    assert!(send().starts_with("250"));
}

#[test]
fn a_daemon_that_insists_does_not_start_without() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("edict.table");
    build_table("every-kind", &table, |_| ());
    let signer = key(1).1;
    for (config, want) in [
        (format!("(table: \"edict.table\", signers: [\"{signer}\"])"), "the table is not signed"),
        (format!("(signers: [\"{signer}\"])"), "embedded: the table is not signed"),
        ("(signers: [\"somebody\"])".to_owned(), "`somebody` is no public key"),
    ] {
        let path = folder.path().join("edictd.ron");
        std::fs::write(&path, &config).unwrap();
        let out = Command::new(env!("CARGO_BIN_EXE_edictd"))
            .args(["run", "--config", path.to_str().unwrap(), "--listen", "127.0.0.1:0"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{config}: {said}");
        assert!(said.contains(want), "{config}: {said}");
    }
}

/// With one worker for all connections: were the table loaded there, nobody would be answered meanwhile.
#[test]
fn loading_keeps_nobody_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("edict.table");
    build_table("every-kind", &table, |_| ());
    let daemon = Daemon::start_with(
        folder.path(),
        &["--table", table.to_str().unwrap()],
        &[("TOKIO_WORKER_THREADS", "1")],
    );
    let mut client = Client::hello(daemon.address).unwrap();
    assert!(client.command("NOOP").unwrap().starts_with("250"));
    build_table("every-kind", &table, |sources| {
        let many: String = (0..400_000).map(|i| format!("user{i}@host{}.example\n", i % 997)).collect();
        sources.insert("lists/bad-senders.txt", many);
    });
    let answered = std::thread::scope(|scope| {
        let reload = scope.spawn(|| daemon.ask(&["reload"]));
        let mut answered = 0;
        while !reload.is_finished() {
            // Commands that bring no mail forward are bounded for each connection.
            if answered % 50 == 49 {
                client = Client::hello(daemon.address).unwrap();
            }
            assert!(client.command("NOOP").unwrap().starts_with("250"));
            answered += 1;
        }
        let (code, text) = reload.join().unwrap();
        assert_eq!(code, 0, "{text}");
        answered
    });
    assert!(answered > 10, "{answered} replies while the table was loaded");
}

/// Tables of other format versions: the message says which program to update.
#[test]
fn other_versions_say_what_to_update() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("edict.table");
    build_table("every-kind", &table, |_| ());
    let daemon = Daemon::start(folder.path(), &["--table", table.to_str().unwrap()]);
    let good = std::fs::read(&table).unwrap();
    for (format, want) in [
        (99u32, "newer than this program reads (3): update this program (`edictd`"),
        (0, "older than this program reads (2): update the `edict` that built it, and build it anew"),
    ] {
        let mut bytes = good.clone();
        bytes[8..12].copy_from_slice(&format.to_le_bytes());
        bytes[12..16].copy_from_slice(&format.to_le_bytes());
        std::fs::write(&table, bytes).unwrap();
        let (code, text) = daemon.ask(&["reload"]);
        assert_eq!(code, 1, "{text}");
        assert!(text.contains(want), "{text}");
    }
    let mut client = Client::hello(daemon.address).unwrap();
    let reply = client.message("spam@elsewhere.example", &["alice@example.com"], HELLO).unwrap();
    assert!(reply.starts_with("550"), "the last good table stays: {reply}");
}
