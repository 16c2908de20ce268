//! What the suites on other mail systems share: generated maps, Postfix's answers, and Edict's beside them.
//!
//! `postmap -q` answers for the tables; the order in which the daemons ask for keys is written out in the suites, as
//! the manual pages tell it, and held to a running Postfix in `running.rs`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

use crate::kit::{Done, edict, edict_with};
use edict_compiler::source::Sources;
use edict_compiler::{Options, compile};
use edict_table::decide::{Outcome, Ruling, Scratch, verdict};
use edict_table::facts::{Facts, Slot};
use edict_table::load::Loaded;
use edict_table::model::{Action, Verdict};
use edict_table::value::domain::parents;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The rule set around imported rules. Its domain takes extensions.
pub const HEAD: &str =
    "edict 1\n\nimport \"more.edict\"\n\nprofile {\n    local-domains [home.example, second.example]\n}\n";

/// Compiles imported rules, without the proofs: a map may well have entries that never match.
pub fn table(rules: &str) -> Loaded {
    let mut sources = Sources::default();
    sources.insert("main.edict", HEAD);
    sources.insert("more.edict", rules);
    let done = compile(&sources, &Options { proofs: false });
    let said: Vec<String> = done.diagnostics.iter().map(|d| format!("{} {}", d.code, d.message)).collect();
    let table = done.table.unwrap_or_else(|| panic!("{said:?}\n{rules}"));
    Loaded::new(Arc::new(edict_table::emit::emit(&table))).unwrap()
}

/// A folder with imported rules.
pub fn folder(rules: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("main.edict"), HEAD).unwrap();
    fs::write(dir.path().join("more.edict"), rules).unwrap();
    dir
}

/// Imports a map, of which every line must be sayable.
pub fn import(args: &[&str], map: &str) -> String {
    let done = import_some(args, map);
    assert_eq!(done.code, 0, "{map}\n{}", done.err);
    done.out
}

/// Imports a map. What comes of it is formatted, and checks without a warning.
pub fn import_some(args: &[&str], map: &str) -> Done {
    let mut all = vec!["import"];
    all.extend(args);
    let done = edict_with(Path::new("."), &all, map.as_bytes());
    assert!(done.code < 2, "{}", done.err);
    let tidy = edict_with(Path::new("."), &["fmt", "-"], done.out.as_bytes());
    assert_eq!(tidy.out, done.out, "what is imported is formatted");
    let dir = folder(&done.out);
    let checked = edict(dir.path(), &["check", ".", "--format", "short"]);
    // A map that refuses all of our own domain but for some refuses postmaster, which is worth a warning.
    let said: Vec<&str> = checked
        .out
        .lines()
        .filter(|line| {
            // So are aliases at domains that are not ours. Notes deny nothing.
            !["catches mail for `postmaster@", "[W0209]", ": note["].iter().any(|fine| line.contains(fine))
        })
        .collect();
    assert!(said.is_empty() && checked.code == 0, "{map}\n{}\n{}", done.out, checked.out);
    done
}

/// The verdict that stands, where one does.
pub fn decided(table: &Loaded, facts: &Facts<'_>) -> Option<Verdict> {
    let mut scratch = Scratch::new();
    scratch.begin(table);
    match verdict(table, facts, &mut scratch) {
        Outcome::Final(Ruling::Default) => None,
        Outcome::Final(Ruling::By(id)) => match table.rule(id).unwrap().action {
            Action::Verdict(verdict) => Some(verdict.clone()),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// The verdict as Postfix would write it: `OK`, `REJECT`, `DUNNO` and so on.
pub fn edict_says(table: &Loaded, facts: &Facts<'_>) -> String {
    let Some(verdict) = decided(table, facts) else { return "DUNNO".to_owned() };
    let text = || verdict.reply.as_ref().unwrap().text.clone();
    match verdict.verb.name() {
        "allow" => "OK".to_owned(),
        "reject" if text() == "Access denied" => "REJECT".to_owned(),
        "reject" => format!("REJECT {}", text()),
        "defer" => format!("450 {}", text()),
        other => other.to_uppercase(),
    }
}

/// Facts of a stranger of whom no lookup is open.
pub fn stranger<'a>() -> Facts<'a> {
    Facts { submitted: Slot::Known(false), spf: Slot::Known(0), ..Facts::default() }
}

/// Asks a real Postfix for many keys at once.
pub fn postmap(kind: &str, map: &str, keys: &[String]) -> BTreeMap<String, String> {
    let dir = tempfile::tempdir().unwrap();
    // Names and networks are given, or it would ask DNS for them.
    let main = "compatibility_level = 3.6\nmyhostname = mx.home.example\nmynetworks = 127.0.0.0/8\n";
    fs::write(dir.path().join("main.cf"), main).unwrap();
    let file = dir.path().join("map");
    fs::write(&file, map).unwrap();
    // Postfix waits for files that were written a moment ago to settle.
    for name in ["main.cf", "map"] {
        let file = fs::OpenOptions::new().write(true).open(dir.path().join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
    }
    let run = |program: &str, last: &[&str]| {
        let mut command = Command::new(program);
        command.arg("-c").arg(dir.path()).args(last);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("postfix is installed by the project's test command");
        child.stdin.take().unwrap().write_all((keys.join("\n") + "\n").as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let done = if kind == "aliases" {
        // aliases(5) are asked of an indexed file alone.
        let made = run("postalias", &[&format!("hash:{}", file.display())]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        run("postalias", &["-q", "-", &format!("hash:{}", file.display())])
    } else {
        run("postmap", &["-q", "-", &format!("{kind}:{}", file.display())])
    };
    let found = String::from_utf8(done.stdout).unwrap();
    let pair = |line: &str| {
        let (key, value) = if kind == "aliases" {
            line.split_once(":\t").or(line.split_once('\t'))
        } else {
            line.split_once('\t')
        }?;
        // smtpd(8) takes a number alone for OK.
        let ok = value.bytes().all(|b| b.is_ascii_digit());
        Some((key.to_owned(), if ok { "OK" } else { value }.to_owned()))
    };
    found.lines().filter_map(pair).collect()
}

/// A generator that gives the same tables on every machine.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % count
    }

    pub fn roll<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

pub const LOCALS: [&str; 5] = ["ann", "bob", "spam", "ann+x", "bob+y+z"];
pub const DOMAINS: [&str; 8] = [
    "example",
    "a.example",
    "b.a.example",
    "c.a.example",
    "test",
    "d.test",
    "home.example",
    "second.example",
];
pub const ACTIONS: [&str; 7] = ["OK", "REJECT", "REJECT go away", "DUNNO", "DISCARD", "450 later", "550"];

/// Whether a domain is one of ours, where extensions count.
pub fn inside(domain: &str) -> bool {
    ["home.example", "second.example"].contains(&domain)
}

/// Every address of the generator. Elsewhere an extension is part of a name: none is there to differ about.
pub fn everyone() -> Vec<String> {
    let at = |local: &str, domain: &str| format!("{local}@{domain}");
    let all = LOCALS.iter().flat_map(|l| DOMAINS.iter().map(move |d| (*l, *d)));
    all.filter(|(l, d)| inside(d) || !l.contains('+')).map(|(l, d)| at(l, d)).collect()
}

/// A local part without what `recipient_delimiter = +` takes off.
pub fn base(local: &str) -> Option<&str> {
    local.split_once('+').map(|(base, _)| base)
}

/// A domain and those above it, as smtpd asks for them (access(5)).
pub fn domains(name: &str, dotted: bool) -> Vec<String> {
    let dot = if dotted { "." } else { "" };
    std::iter::once(name.to_owned()).chain(parents(name).map(|up| format!("{dot}{up}"))).collect()
}

/// What is asked for an address: access(5), EMAIL ADDRESS PATTERNS and EMAIL ADDRESS EXTENSION.
pub fn address_keys(address: &str, dotted: bool) -> Vec<String> {
    if address == "<>" {
        return vec![address.to_owned()];
    }
    let (local, domain) = address.rsplit_once('@').unwrap();
    let short = base(local);
    let mut keys = vec![address.to_owned()];
    keys.extend(short.map(|short| format!("{short}@{domain}")));
    keys.extend(domains(domain, dotted));
    keys.push(format!("{local}@"));
    keys.extend(short.map(|short| format!("{short}@")));
    keys
}

/// What is asked for a client: access(5), HOST NAME/ADDRESS PATTERNS. The name first, then the address, a part less
/// at a time.
pub fn client_keys(name: Option<&str>, ip: &str, dotted: bool) -> Vec<String> {
    let mut keys = domains(name.unwrap_or("unknown"), dotted);
    let delimiter = if ip.contains(':') { ':' } else { '.' };
    let mut rest = Some(ip);
    while let Some(key) = rest {
        keys.push(key.to_owned());
        rest = key.rsplit_once(delimiter).map(|(front, _)| front);
    }
    keys
}

/// The first answer in the order of the keys.
pub fn first(answers: &BTreeMap<String, String>, keys: &[String]) -> Option<String> {
    keys.iter().find_map(|key| answers.get(key).cloned())
}
