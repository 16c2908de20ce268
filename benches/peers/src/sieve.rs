//! Pigeonhole's Sieve, compiled by `sievec` and run by `sieve-test`.
//!
//! `sieve-test` takes one mail and starts anew for each, which takes longer than any rules. So the rules are a script that the
//! main script includes: it is compiled into one binary once and run as often as it is included, over the same message. The
//! difference between many inclusions and one is what the rules take; start, loading and parsing the mail are in neither. What
//! Sieve does not see of a mail (client, HELO, direction, login) stands in header fields.

use crate::Engine;
use crate::mail::Mail;
use crate::rules::{Entry, Rule, Set, entry, literal, prefix, rule};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What many inclusions take at least beyond one.
const RUN: Duration = Duration::from_millis(100);

struct Sieve {
    folder: TempDir,
    /// Inclusions beyond one.
    more: usize,
    enough: bool,
}

/// With so many rules or entries.
pub fn make(set: Set, size: usize) -> Option<Box<dyn Engine>> {
    let rules = match set {
        Set::Mixed => (0..size).map(|i| test(&rule(i))).map(refuse).collect(),
        Set::Patterns => {
            (0..size).map(|i| format!(r#"header :contains "subject" "{}""#, literal(i))).map(refuse).collect()
        }
        Set::Senders => refuse(senders(size)),
        Set::Networks => return None,
    };
    if Command::new("sievec").arg("-h").output().is_err() {
        eprintln!("Pigeonhole is not here (Debian: dovecot-sieve)");
        return None;
    }
    let folder = tempfile::Builder::new().permissions(open()).tempdir().expect("a folder");
    let here = folder.path().display();
    // Never as root: then as nobody.
    let owner = std::fs::metadata(folder.path()).expect("a folder");
    let (user, group) = match owner.uid() {
        0 => ("nobody".to_owned(), "nogroup".to_owned()),
        uid => (uid.to_string(), owner.gid().to_string()),
    };
    let configuration = format!(
        "mail_location = maildir:{here}/mail\nmail_uid = {user}\nmail_gid = {group}\nplugin {{\n sieve = file:{here}/none.sieve\n sieve_dir = {here}\n \
         sieve_global_dir = {here}\n sieve_max_script_size = 0\n sieve_include_max_includes = 100000\n \
         sieve_max_cpu_time = 600s\n}}\n"
    );
    let sieve = Sieve { folder, more: 1, enough: false };
    sieve.write("configuration", &configuration);
    sieve.write("rules.sieve", &format!("require [\"envelope\"];\n{rules}"));
    sieve.compile("once.sieve", 1);
    sieve.compile("many.sieve", 2);
    Some(Box::new(sieve))
}

fn open() -> std::fs::Permissions {
    PermissionsExt::from_mode(0o777)
}

fn refuse(test: String) -> String {
    format!("if {test} {{ discard; stop; }}\n")
}

fn test(rule: &Rule) -> String {
    match rule {
        Rule::Sender(who) => {
            format!(r#"allof(envelope :is "from" "{who}", header :is "x-direction" "inbound")"#)
        }
        Rule::Domain(d) => {
            format!(r#"anyof(envelope :domain :is "from" "{d}", envelope :domain :matches "from" "*.{d}")"#)
        }
        Rule::Network(net) => {
            format!(r#"allof(header :matches "x-client" "{}*", not exists "x-login")"#, prefix(net))
        }
        Rule::Pair(to, from) => {
            format!(r#"allof(envelope :is "to" "{to}", envelope :domain :matches "from" "*.{from}")"#)
        }
        Rule::Helo(helo) => format!(r#"header :is "x-helo" "{helo}""#),
    }
}

/// One test for each shape of entry, on a list.
fn senders(size: usize) -> String {
    let (mut all, mut at, mut below) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..size {
        match entry(i) {
            Entry::Address(who) => all.push(format!("\"{who}\"")),
            Entry::Domain(d) => at.push(format!("\"{d}\"")),
            Entry::Below(d) => below.push(format!("\"*.{d}\"")),
        }
    }
    format!(
        r#"anyof(envelope :is "from" [{}], envelope :domain :is "from" [{}], envelope :domain :matches "from" [{}])"#,
        all.join(","),
        at.join(","),
        below.join(",")
    )
}

impl Sieve {
    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).expect("room");
    }

    /// A main script that runs the rules so many times.
    fn compile(&self, name: &str, times: usize) {
        self.write(
            name,
            &format!("require [\"include\"];\n{}", "include :global \"rules\";\n".repeat(times)),
        );
        let out = Command::new("sievec")
            .arg("-c")
            .arg(self.path().join("configuration"))
            .arg(self.path().join(name))
            .output();
        sound(&out.expect("sievec"));
    }

    /// Runs a main script over the mail: how long it took, and whether the mail is refused.
    fn run(&self, script: &str, mail: &Mail) -> (Duration, bool) {
        let login = if mail.login.is_empty() { String::new() } else { format!("X-Login: {}\n", mail.login) };
        let direction = if mail.inbound { "inbound" } else { "outbound" };
        self.write(
            "mail",
            &format!(
                "From: {}\nSubject: {}\nX-Client: {}\nX-Helo: {}\nX-Direction: {direction}\n{login}\nhello\n",
                mail.sender, mail.subject, mail.client, mail.helo
            ),
        );
        let mut command = Command::new("sieve-test");
        command.arg("-c").arg(self.path().join("configuration"));
        command.args(["-f", &mail.sender, "-a", &mail.recipient, "-r", &mail.recipient]);
        command.arg(self.path().join(script)).arg(self.path().join("mail"));
        let start = Instant::now();
        let out = command.output().expect("sieve-test");
        let took = start.elapsed();
        sound(&out);
        (took, String::from_utf8_lossy(&out.stdout).contains("* discard"))
    }
}

fn sound(out: &Output) {
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

impl Engine for Sieve {
    fn refuses(&mut self, mails: &[Mail]) -> Vec<bool> {
        mails.iter().map(|mail| self.run("once.sieve", mail).1).collect()
    }

    fn time(&mut self, mail: &Mail, count: u64) -> Duration {
        loop {
            let one = self.run("once.sieve", mail).0;
            let (took, refused) = self.run("many.sieve", mail);
            assert!(!refused, "nothing is to match");
            let took = took.saturating_sub(one);
            // Once it was enough it stays, however short a later run is.
            if self.enough || took >= RUN || self.more > 50_000 {
                self.enough = true;
                return Duration::from_secs_f64(took.as_secs_f64() / self.more as f64 * count as f64);
            }
            let factor = RUN.as_nanos() / took.as_nanos().max(10_000_000) + 1;
            self.more *= usize::try_from(factor).unwrap_or(2).max(2);
            self.compile("many.sieve", self.more + 1);
        }
    }
}
