//! Postfix's own load generator through the daemon into Postfix's own sink, with reloads all along.

#![expect(clippy::expect_used, reason = "a test")]

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use support::daemon::Daemon;
use support::sink::Sink;
use support::{build_table, wait_for};

/// Messages at least; the load goes on past them until the last reload has ended.
const MESSAGES: usize = 10_000;
/// Messages of one run of the generator.
const RUN: usize = 500;
const RELOADS: u64 = 100;

/// Runs of the generator, one after the other, until told to stop; each takes a domain of its own, so that no recipient
/// comes twice. How many messages got their 250.
fn load(daemon: SocketAddr, sender: &str, domain: &str, stop: &AtomicBool) -> usize {
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) || sent < MESSAGES / 2 {
        let status = Command::new("/usr/sbin/smtp-source")
            .args(["-s", "25", "-l", "4096", "-d", "-N", "-m", &RUN.to_string(), "-f", sender])
            .args(["-t", &format!("user@{sent}.{domain}"), &daemon.to_string()])
            .stdout(Stdio::null())
            .status()
            .expect("smtp-source of Postfix is installed by tests/run");
        assert!(status.success(), "smtp-source saw no connection fail and no message refused: {status}");
        sent += RUN;
    }
    sent
}

/// Ends the load, also where an assertion fails beside it.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// RFC 5321 4.5.4.2, 6.1: listening at all times, and no message lost.
#[test]
fn ten_thousand_messages_and_a_hundred_reloads_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("edict.table");
    // The route's relay is the sink too, so that both ways out are counted.
    let sink = Sink::start(folder.path());
    let build = |extra: &str| {
        build_table("every-kind", &table, |sources| {
            let main =
                String::from_utf8(sources.iter().find(|(path, _)| *path == "main.edict").unwrap().1.to_vec())
                    .unwrap();
            let main = main.replace("127.0.0.1:10025", &sink.address.to_string());
            sources.insert("main.edict", format!("{main}\n{extra}"));
        });
    };
    build("");
    let daemon = Daemon::start(
        folder.path(),
        &["--table", table.to_str().unwrap(), "--relay", &sink.address.to_string()],
    );
    let digest = || {
        let status = daemon.ask(&["status", "--format", "json"]).1;
        serde_json::from_str::<serde_json::Value>(&status).unwrap()["table"]["digest"].to_string()
    };
    let accepted = || daemon.counter("accepted");
    let stop = AtomicBool::new(false);
    // Half of it leaves by the route, half as --relay says; bob's is copied to the archive.
    let (copied, routed) = std::thread::scope(|scope| {
        let ends = Ends(&stop);
        let copied = scope.spawn(|| load(daemon.address, "bob@example.com", "one.example", &stop));
        let routed = scope.spawn(|| load(daemon.address, "x@news.example.com", "two.example", &stop));
        wait_for("the load to begin", || accepted() > 0);
        let mut marks = vec![accepted()];
        for round in 0..RELOADS {
            build(&format!("reject \"round {round}\" {{ when sender is nobody{round}@nowhere.example }}\n"));
            let before = (digest(), accepted());
            // One at a time: signals that come in one moment would come as one.
            daemon.signal("HUP");
            wait_for("the reload", || daemon.counter("reloads") > round);
            assert_ne!(digest(), before.0, "reload {round} put its table in force");
            if (round + 1) % (RELOADS / 4) == 0 {
                marks.push(accepted());
            }
            if round + 1 == RELOADS {
                wait_for("mail behind the last reload", || accepted() > before.1);
                assert!(!copied.is_finished() && !routed.is_finished(), "the load outlasts the reloads");
            }
        }
        assert!(marks.is_sorted_by(|a, b| a < b), "mail was taken in each quarter of the reloads: {marks:?}");
        drop(ends);
        (copied.join().unwrap(), routed.join().unwrap())
    });
    assert_eq!(daemon.counter("reloads"), RELOADS);
    assert!(!daemon.read_log().contains("reload refused"));
    let sent = copied + routed;
    println!("{sent} messages beside {RELOADS} reloads");

    daemon.wait_for_empty_queue();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    wait_for("the sink to write all", || {
        seen.clear();
        for recipient in sink.messages().into_iter().flat_map(|m| m.recipients) {
            *seen.entry(recipient).or_default() += 1;
        }
        seen.len() >= sent
    });
    assert_eq!(seen.len(), sent, "every message that got its 250 arrived");
    let twice: Vec<_> = seen.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "each exactly once, but {twice:?}");
    daemon.wait_for_mail("archive@example.com", copied);
    assert_eq!(accepted(), sent as u64);
}
