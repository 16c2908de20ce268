//! Postfix's own load generator through the daemon into Postfix's own sink, with reloads all along.

mod support;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use support::daemon::Daemon;
use support::sink::Sink;
use support::{build_table, wait_for};

const MESSAGES: usize = 10_000;
const RELOADS: u64 = 100;

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

    // Half of it leaves by the route, half as --relay says; bob's is copied to the archive.
    let load = |sender: &str, domain: &str| {
        Command::new("/usr/sbin/smtp-source")
            .args(["-s", "25", "-l", "4096", "-d", "-N", "-m", &(MESSAGES / 2).to_string()])
            .args(["-f", sender, "-t", &format!("user@{domain}"), &daemon.address.to_string()])
            .stdout(Stdio::null())
            .spawn()
            .expect("smtp-source of Postfix is installed by tests/run")
    };
    let mut sources = [load("bob@example.com", "one.example"), load("x@news.example.com", "two.example")];
    for round in 0..RELOADS {
        build(&format!("reject \"round {round}\" {{ when sender is nobody{round}@nowhere.example }}\n"));
        daemon.signal("HUP");
        // Reloads are counted by the daemon; two signals in one moment may come as one.
        wait_for("the reload", || daemon.counter("reloads") > round);
    }
    for source in &mut sources {
        let status = source.wait().unwrap();
        assert!(status.success(), "smtp-source saw no connection fail: {status}");
    }
    assert_eq!(daemon.counter("reloads"), RELOADS);

    wait_for("an empty queue", || daemon.counter("queued") == 0);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    wait_for("the sink to write all", || {
        seen.clear();
        for recipient in sink.messages().into_iter().flat_map(|m| m.recipients) {
            *seen.entry(recipient).or_default() += 1;
        }
        seen.len() >= MESSAGES
    });
    assert_eq!(seen.len(), MESSAGES);
    let twice: Vec<_> = seen.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "each exactly once, but {twice:?}");
    daemon.wait_for_mail("archive@example.com", MESSAGES / 2);
    assert_eq!(daemon.counter("accepted"), MESSAGES as u64);
}
