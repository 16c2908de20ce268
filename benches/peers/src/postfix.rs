//! The lists in Postfix's maps, asked by `postmap -q -`: one process, many keys on its standard input.
//!
//! A mail costs the lookups that access(5) states: the sender as a whole, its domain, each domain above that, and
//! the local part with an `@`. What it takes to start postmap and to open the map is measured with no key and taken off.

use crate::rules::{CLIENT, Mail, SUBJECT, literal, network, sender_key};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A command of Postfix with a configuration of its own: the machine's may not be there, or be anything.
fn command(name: &str) -> Command {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("main.cf"), "compatibility_level = 3.6\n").expect("room");
        folder
    });
    let mut command = Command::new(name);
    command.env("MAIL_CONFIG", folder.path());
    command
}

/// Whether Postfix is here and knows maps of this type.
pub fn has(kind: &str) -> bool {
    let types = command("postconf").arg("-m").output();
    types.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).lines().any(|line| line == kind))
}

/// Runs postmap over these keys.
fn ask(map: &str, keys: &str) -> Duration {
    let start = Instant::now();
    let mut child = command("postmap")
        .args(["-q", "-", map])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("postmap");
    child.stdin.take().expect("a pipe").write_all(keys.as_bytes()).expect("keys");
    let out = child.wait_with_output().expect("an end");
    assert!(out.stdout.is_empty(), "nothing is to match: {}", String::from_utf8_lossy(&out.stdout));
    start.elapsed()
}

/// Nanoseconds a mail: the median of some runs over many mails, without what a run with no key takes.
fn cost(map: &str, keys_of_mail: &str) -> f64 {
    let one = ask(map, keys_of_mail);
    let mails = (Duration::from_millis(400).as_nanos() / one.as_nanos().max(1)).clamp(1, 20) as usize;
    // Maps that answer in microseconds are asked about thousands.
    let mut mails = mails.max(1);
    loop {
        let took = ask(map, &keys_of_mail.repeat(mails)).saturating_sub(one);
        if took > Duration::from_millis(200) || mails > 1 << 18 {
            break;
        }
        mails *= 4;
    }
    let many = keys_of_mail.repeat(mails);
    let mut samples: Vec<f64> = (0..5)
        .map(|_| (ask(map, &many).saturating_sub(ask(map, ""))).as_nanos() as f64 / mails as f64)
        .collect();
    samples.sort_by(f64::total_cmp);
    samples[2]
}

fn write(path: &Path, lines: impl Iterator<Item = String>) {
    let text: String = lines.map(|line| line + "\n").collect();
    std::fs::write(path, text).expect("room");
}

/// An indexed map of senders.
pub fn senders(kind: &str, entries: usize, mail: &Mail) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("senders");
    write(&path, (0..entries).map(|i| format!("{} REJECT", sender_key(i).trim_start_matches('@'))));
    let map = format!("{kind}:{}", path.display());
    assert!(command("postmap").arg(&map).status().expect("postmap").success(), "{map}");
    let domain = mail.sender.domain();
    let mut keys = format!("{}\n{domain}\n", mail.sender.as_str());
    for (at, _) in domain.match_indices('.') {
        keys.push_str(&format!("{}\n", &domain[at..]));
    }
    keys.push_str(&format!("{}@\n", mail.sender.local()));
    cost(&map, &keys)
}

/// A map of networks.
pub fn networks(entries: usize, _: &Mail) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("networks");
    write(&path, (0..entries).map(|i| format!("{} REJECT", network(i))));
    cost(&format!("cidr:{}", path.display()), &format!("{CLIENT}\n"))
}

/// A map of patterns.
pub fn patterns(rules: usize, _: &Mail) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("patterns");
    write(&path, (0..rules).map(|i| format!("/{}/ REJECT", literal(i))));
    cost(&format!("pcre:{}", path.display()), &format!("{SUBJECT}\n"))
}
