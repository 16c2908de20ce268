//! The lists in Postfix's maps, asked by `postmap -q -`: one process, many keys on its standard input.
//!
//! A mail costs the lookups that access(5) states: the sender as a whole, its domain, each domain above that, and
//! the local part with an `@`. What it takes to start postmap and to open the map is measured with no key and taken off.

use crate::Engine;
use crate::mail::Mail;
use crate::rules::{Set, entry, literal, network};
use std::collections::HashSet;
use std::io::{Seek, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What a run takes at least beyond its start, so that the start can be taken off.
const RUN: Duration = Duration::from_millis(100);

struct Map {
    _folder: TempDir,
    name: String,
    keys: fn(&Mail) -> Vec<String>,
    /// Mails of one run.
    mails: u32,
    enough: bool,
}

/// A map of senders.
pub fn hash(set: Set, size: usize) -> Option<Box<dyn Engine>> {
    (set == Set::Senders).then(|| senders("hash", size))?
}

/// A map of senders.
pub fn cdb(set: Set, size: usize) -> Option<Box<dyn Engine>> {
    (set == Set::Senders).then(|| senders("cdb", size))?
}

/// A map of networks.
pub fn cidr(set: Set, size: usize) -> Option<Box<dyn Engine>> {
    let lines = (0..size).map(|i| format!("{} REJECT", network(i)));
    (set == Set::Networks).then(|| make("cidr", lines, |mail| vec![mail.client.to_string()]))?
}

/// A map of patterns.
pub fn pcre(set: Set, size: usize) -> Option<Box<dyn Engine>> {
    let lines = (0..size).map(|i| format!("/{}/ REJECT", literal(i)));
    (set == Set::Patterns).then(|| make("pcre", lines, |mail| vec![mail.subject.clone()]))?
}

fn senders(kind: &'static str, size: usize) -> Option<Box<dyn Engine>> {
    make(kind, (0..size).map(|i| format!("{} REJECT", entry(i).key())), Mail::keys)
}

fn make(
    kind: &'static str,
    lines: impl Iterator<Item = String>,
    keys: fn(&Mail) -> Vec<String>,
) -> Option<Box<dyn Engine>> {
    if !has(kind) {
        eprintln!("Postfix is not here, or has no maps of type {kind}");
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("map");
    write(&path, lines);
    let name = format!("{kind}:{}", path.display());
    if matches!(kind, "hash" | "cdb") {
        assert!(command("postmap").arg(&name).status().expect("postmap").success(), "{name}");
    }
    Some(Box::new(Map { _folder: folder, name, keys, mails: 1, enough: false }))
}

/// A command of Postfix with a configuration of its own: the machine's may not be there, or be anything.
fn command(name: &str) -> Command {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
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
fn has(kind: &str) -> bool {
    let types = command("postconf").arg("-m").output();
    types.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).lines().any(|line| line == kind))
}

fn write(path: &Path, lines: impl Iterator<Item = String>) {
    let text: String = lines.map(|line| line + "\n").collect();
    std::fs::write(path, text).expect("room");
}

impl Map {
    /// Runs postmap over these keys: how long it took, and what it found.
    fn ask(&self, keys: &str) -> (Duration, String) {
        let mut input = tempfile::tempfile().expect("a file");
        input.write_all(keys.as_bytes()).expect("room");
        input.rewind().expect("a file");
        let start = Instant::now();
        let out = command("postmap").args(["-q", "-", &self.name]).stdin(Stdio::from(input)).output();
        let took = start.elapsed();
        (took, String::from_utf8(out.expect("postmap").stdout).expect("text"))
    }

    fn lines(&self, mail: &Mail) -> String {
        (self.keys)(mail).iter().map(|key| format!("{key}\n")).collect()
    }
}

impl Engine for Map {
    fn refuses(&mut self, mails: &[Mail]) -> Vec<bool> {
        // All in one run: what is found comes out as key, tab and value.
        let asked: String = mails.iter().map(|mail| self.lines(mail)).collect();
        let answer = self.ask(&asked).1;
        let found: HashSet<&str> = answer.lines().filter_map(|line| Some(line.split_once('\t')?.0)).collect();
        mails.iter().map(|mail| (self.keys)(mail).iter().any(|key| found.contains(key.as_str()))).collect()
    }

    fn time(&mut self, mail: &Mail, count: u64) -> Duration {
        let keys = self.lines(mail);
        // What a mail costs may be far less than a start scatters: ask about many, and divide.
        loop {
            let start = self.ask("").0;
            let (took, found) = self.ask(&keys.repeat(self.mails as usize));
            assert!(found.is_empty(), "nothing is to match: {found}");
            let took = took.saturating_sub(start);
            // Once it was enough it stays, however short a later run is.
            if self.enough || took >= RUN || self.mails >= 1 << 20 {
                self.enough = true;
                return Duration::from_secs_f64(took.as_secs_f64() / f64::from(self.mails) * count as f64);
            }
            let factor = RUN.as_nanos() / took.as_nanos().max(1_000_000) + 1;
            self.mails =
                self.mails.saturating_mul(u32::try_from(factor.clamp(2, 100)).unwrap_or(2)).min(1 << 20);
        }
    }
}
