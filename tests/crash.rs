//! SIGKILL at random moments under load: what got a 250 is delivered with its blind copy, and twice only where SMTP cannot
//! avoid it.
//!
//! A message may come twice to the next hop only in two lives of the daemon: killed between its 250 and the record of it
//! (`support/kill_campaign.rs`). Twice in one life, again after it was recorded, or twice in a mailbox here, is a fault.
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

/// RFC 5321 2.1, 4.2.5, 6.1: a 250 is a promise. A message and its blind copy are one record: both are there, or neither.
#[test]
fn what_got_a_250_survives_sigkill() {
    let kills: u32 = std::env::var("EDICT_CRASH_KILLS").map_or(20, |n| n.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("edict.table");
    build_table("every-kind", &table, |_| ());
    let sink = life_sink::start();
    let mut daemon = Daemon::start(
        folder.path(),
        &["--table", table.to_str().unwrap(), "--relay", &sink.address.to_string()],
    );

    // One in three goes inside, so that both ways of delivery are killed. Of the others there are blind copies.
    let load = KillLoad::start(daemon.address, CLIENTS, |number| {
        let inside = number.ends_with(['3', '6', '9']);
        ("bob@example.com", if inside { "alice@example.com" } else { "u@out.example" })
    });
    let Survived { acknowledged, arrived } = kill_campaign::run(&mut daemon, &sink, load, kills);

    let (inside, copied) = (numbers(&daemon, "alice@example.com"), numbers(&daemon, "archive@example.com"));
    let outside: BTreeSet<String> = arrived.into_keys().map(|(number, _)| number).collect();
    let came = |number: &&String| outside.contains(*number) || inside.contains(*number);
    let lost: Vec<_> = acknowledged.iter().filter(|number| !came(number)).collect();
    let apart: Vec<_> = outside.symmetric_difference(&copied).collect();
    tell(&format!("{} lost; {} blind copies, {} without the other", lost.len(), copied.len(), apart.len()));
    assert!(lost.is_empty(), "acknowledged, but never delivered: {lost:?}");
    assert!(apart.is_empty(), "a message without its blind copy, or a copy without its message: {apart:?}");
    assert!(!copied.is_empty() && !inside.is_empty());
}
