//! SIGKILL at random moments under load: what got a 250 is delivered with its blind copy, and twice only where SMTP cannot
//! avoid it.
//!
//! A message may come twice to the next hop only in two lives of the daemon: killed between its 250 and the record of it
//! (`support/kill_campaign.rs`). Twice in one life, again after it was recorded, or twice in a mailbox here, is a fault; so is a
//! second notice of one refusal.
//! `EDICT_CRASH_KILLS` sets how many kills there are; 20 by default, 200 in the long campaign.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::collections::BTreeSet;
use support::daemon::Daemon;
use support::kill_campaign::{self, Survived, tell};
use support::kill_load::KillLoad;
use support::{build_table, life_sink};

const CLIENTS: usize = 16;

/// The numbers of the messages in a mailbox, which has none of them twice.
fn numbers(daemon: &Daemon, address: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for message in daemon.mailbox(address) {
        let number = message.lines().find_map(|line| line.strip_prefix("X-Number: ")).unwrap();
        assert!(all.insert(number.to_owned()), "{number} is in {address} twice");
    }
    all
}

/// By the last digit of a number. One in three goes inside, so that both ways of delivery are killed. Of the others there are
/// blind copies; some are put off for a while, and some refused, of which bob is told.
fn envelope(number: &str) -> (&'static str, &'static [&'static str]) {
    let to: &[&str] = match number.as_bytes().last() {
        Some(b'3' | b'6' | b'9') => &["alice@example.com"],
        Some(b'2') => &["later@out.example"],
        Some(b'5') => &["u@out.example", "later@out.example"],
        Some(b'8') => &["u@out.example", "never@out.example"],
        _ => &["u@out.example"],
    };
    ("bob@example.com", to)
}

/// RFC 5321 2.1, 4.2.5, 6.1: a 250 is a promise. A message and its blind copy are one record: both are there, or neither.
#[test]
fn what_got_a_250_survives_sigkill() {
    let kills: u32 = std::env::var("EDICT_CRASH_KILLS").map_or(20, |n| n.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("edict.table");
    build_table("every-kind", &table, |_| ());
    let config = folder.path().join("edictd.ron");
    std::fs::write(&config, "(queue: (first_retry_seconds: 4, longest_retry_seconds: 20))").unwrap();
    let sink = life_sink::start();
    let (table, config, relay) =
        (table.to_str().unwrap(), config.to_str().unwrap(), sink.address.to_string());
    let mut daemon = Daemon::start(folder.path(), &["--config", config, "--table", table, "--relay", &relay]);

    let load = KillLoad::start(daemon.address, CLIENTS, envelope);
    let Survived { acknowledged, arrived } = kill_campaign::run(&mut daemon, &sink, load, kills);

    let [inside, copied, told] =
        ["alice", "archive", "bob"].map(|name| numbers(&daemon, &format!("{name}@example.com")));
    let came = |number: &String, to: &&str| match *to {
        "alice@example.com" => inside.contains(number),
        "never@out.example" => told.contains(number),
        to => arrived.contains_key(&(number.clone(), to.to_owned())),
    };
    let all_came = |number: &&String| envelope(number).1.iter().all(|to| came(number, to));
    let lost: Vec<_> = acknowledged.iter().filter(|number| !all_came(number)).collect();
    let outside: BTreeSet<String> = arrived.keys().map(|(number, _)| number.clone()).collect();
    let apart: Vec<_> = outside.symmetric_difference(&copied).collect();
    tell(&format!(
        "{} lost; {} blind copies, {} without the other; {} notices",
        lost.len(),
        copied.len(),
        apart.len(),
        told.len()
    ));
    assert!(lost.is_empty(), "acknowledged, but never delivered: {lost:?}");
    assert!(apart.is_empty(), "a message without its blind copy, or a copy without its message: {apart:?}");
    assert!(!copied.is_empty() && !inside.is_empty());
}
