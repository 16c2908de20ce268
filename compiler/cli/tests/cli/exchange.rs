//! Import and export: round trips, and the verdicts of a real Postfix beside ours.
//!
//! `postmap -q` answers for the tables; the order in which smtpd asks for keys (access(5)) is written out
//! here, since no command of Postfix does that.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

use crate::kit::{copy, edict, edict_with};
use edict_compiler::source::Sources;
use edict_compiler::{Options, compile};
use edict_table::decide::{Outcome, Ruling, Scratch, verdict};
use edict_table::facts::{Facts, Slot};
use edict_table::load::Loaded;
use edict_table::model::Action;
use edict_table::value::{Address, domain::parents};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const HEAD: &str = "edict 1\n\nimport \"more.edict\"\n\nprofile {\n    local-domains [home.example]\n}\n";

/// Compiles imported rules, without the proofs: a map may well have entries that never match.
fn table(rules: &str) -> Loaded {
    let mut sources = Sources::default();
    sources.insert("main.edict", HEAD);
    sources.insert("more.edict", rules);
    let done = compile(&sources, &Options { proofs: false });
    let said: Vec<String> = done.diagnostics.iter().map(|d| format!("{} {}", d.code, d.message)).collect();
    let table = done.table.unwrap_or_else(|| panic!("{said:?}\n{rules}"));
    Loaded::new(Arc::new(edict_table::emit::emit(&table))).unwrap()
}

/// The verdict as Postfix would write it: `OK`, `REJECT`, `DUNNO` and so on.
fn edict_says(table: &Loaded, facts: &Facts<'_>) -> String {
    let mut scratch = Scratch::new();
    scratch.begin(table);
    match verdict(table, facts, &mut scratch) {
        Outcome::Final(Ruling::Default) => "DUNNO".to_owned(),
        Outcome::Final(Ruling::By(id)) => match table.rule(id).unwrap().action {
            Action::Verdict(verdict) => match verdict.verb.name() {
                "allow" => "OK".to_owned(),
                "reject" if verdict.reply.as_ref().unwrap().text == "Access denied" => "REJECT".to_owned(),
                "reject" => format!("REJECT {}", verdict.reply.as_ref().unwrap().text),
                "defer" => format!("450 {}", verdict.reply.as_ref().unwrap().text),
                other => other.to_uppercase(),
            },
            _ => "?".to_owned(),
        },
        other => format!("{other:?}"),
    }
}

/// Asks a real Postfix for many keys at once.
fn postmap(kind: &str, map: &str, keys: &[String]) -> BTreeMap<String, String> {
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
    let mut child = Command::new("postmap")
        .arg("-c")
        .arg(dir.path())
        .args(["-q", "-", &format!("{kind}:{}", file.display())])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("postfix is installed by the project's test command");
    child.stdin.take().unwrap().write_all((keys.join("\n") + "\n").as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    let found = String::from_utf8(done.stdout).unwrap();
    found.lines().filter_map(|l| l.split_once('\t')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// A generator that gives the same tables on every machine.
struct Dice(u64);

impl Dice {
    fn roll<'a>(&mut self, of: &[&'a str]) -> &'a str {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        of[usize::try_from(self.0 >> 33).unwrap() % of.len()]
    }
}

const LOCALS: [&str; 3] = ["ann", "bob", "spam"];
const DOMAINS: [&str; 6] = ["example", "a.example", "b.a.example", "c.a.example", "test", "d.test"];
const ACTIONS: [&str; 6] = ["OK", "REJECT", "REJECT go away", "DUNNO", "DISCARD", "450 later"];

fn import(args: &[&str], map: &str) -> String {
    let mut all = vec!["import"];
    all.extend(args);
    let done = edict_with(Path::new("."), &all, map.as_bytes());
    assert_eq!(done.code, 0, "{map}\n{}", done.err);
    let tidy = edict_with(Path::new("."), &["fmt", "-"], done.out.as_bytes());
    assert_eq!(tidy.out, done.out, "what is imported is formatted");
    done.out
}

/// The keys that smtpd asks for, in order (access(5), EMAIL ADDRESS PATTERNS).
fn keys_of(address: &str, dotted: bool) -> Vec<String> {
    let (local, domain) = address.rsplit_once('@').unwrap();
    let dot = if dotted { "." } else { "" };
    let mut keys = vec![address.to_owned(), domain.to_owned()];
    keys.extend(parents(domain).map(|up| format!("{dot}{up}")));
    keys.push(format!("{local}@"));
    keys
}

#[test]
fn access_tables_decide_as_in_postfix() {
    let mut dice = Dice(1);
    for round in 0..60 {
        let dotted = round % 2 == 1;
        let mut map: BTreeMap<String, &str> = BTreeMap::new();
        for _ in 0..9 {
            let (local, domain) = (dice.roll(&LOCALS), dice.roll(&DOMAINS));
            let key = match dice.roll(&["whole", "domain", "domain", "local", "dot"]) {
                "whole" => format!("{local}@{domain}"),
                "local" => format!("{local}@"),
                "dot" if dotted => format!(".{domain}"),
                _ => domain.to_owned(),
            };
            map.insert(key, dice.roll(&ACTIONS));
        }
        let text: String = map.iter().map(|(key, action)| format!("{key} {action}\n")).collect();
        let mut args = vec!["access", "-", "--of", "sender", "--name", "old"];
        args.extend(dotted.then_some("--dotted"));
        let rules = import(&args, &text);
        let table = table(&rules);
        let everyone: Vec<String> =
            LOCALS.iter().flat_map(|l| DOMAINS.iter().map(move |d| format!("{l}@{d}"))).collect();
        let keys: BTreeSet<String> = everyone.iter().flat_map(|a| keys_of(a, dotted)).collect();
        let answers = postmap("texthash", &text, &keys.into_iter().collect::<Vec<_>>());
        assert!(!answers.is_empty());
        for who in &everyone {
            let found = keys_of(who, dotted).into_iter().find_map(|key| answers.get(&key).cloned());
            let address = Address::parse(who).unwrap();
            let facts = Facts { sender: Slot::Known(&address), ..Facts::default() };
            assert_eq!(
                edict_says(&table, &facts),
                found.unwrap_or("DUNNO".to_owned()),
                "{who}\n{text}\n{rules}"
            );
        }
        // And back: what is exported decides the same in Postfix.
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("main.edict"), HEAD).unwrap();
        fs::write(dir.path().join("more.edict"), &rules).unwrap();
        let out = edict(dir.path(), &["export", "access", ".", "--of", "sender"]);
        if out.code == 0 {
            let keys: BTreeSet<String> = everyone.iter().flat_map(|a| keys_of(a, true)).collect();
            let answers = postmap("texthash", &out.out, &keys.into_iter().collect::<Vec<_>>());
            for who in &everyone {
                let found = keys_of(who, true).into_iter().find_map(|key| answers.get(&key).cloned());
                let address = Address::parse(who).unwrap();
                let facts = Facts { sender: Slot::Known(&address), ..Facts::default() };
                let found = plain(&found.unwrap_or("DUNNO".to_owned()));
                assert_eq!(edict_says(&table, &facts), found, "{who}\n{text}\n{rules}\n{}", out.out);
            }
        } else {
            assert!(out.err.contains("refused"), "{}", out.err);
        }
    }
}

/// An exported action as the generator writes it.
fn plain(action: &str) -> String {
    action
        .replace("554 5.7.1 Access denied", "REJECT")
        .replace("554 5.7.1", "REJECT")
        .replace("450 4.7.1", "450")
}

#[test]
fn networks_decide_as_in_postfix() {
    let nets = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3", "0.0.0.0/0", "2001:db8::/32", "::/0"];
    let ips = ["10.1.2.3", "10.1.2.4", "10.1.3.1", "10.2.0.1", "192.0.2.1", "2001:db8::1", "2001:db9::1"];
    let mut dice = Dice(2);
    for _ in 0..40 {
        let lines: Vec<String> =
            (0..6).map(|_| format!("{} {}\n", dice.roll(&nets), dice.roll(&ACTIONS))).collect();
        // A network that an earlier line covers never matches, which the report says.
        let done =
            edict_with(Path::new("."), &["import", "cidr", "-", "--name", "old"], lines.concat().as_bytes());
        let table = table(&done.out);
        let answers = postmap("cidr", &lines.concat(), &ips.map(str::to_owned));
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("main.edict"), HEAD).unwrap();
        fs::write(dir.path().join("more.edict"), &done.out).unwrap();
        let back = edict(dir.path(), &["export", "cidr", "."]);
        assert_eq!(back.code, 0, "{}", back.err);
        let again = postmap("cidr", &back.out, &ips.map(str::to_owned));
        for ip in ips {
            let facts = Facts { client_ip: Slot::Known(ip.parse().unwrap()), ..Facts::default() };
            let says = edict_says(&table, &facts);
            let want = answers.get(ip).map_or("DUNNO", String::as_str);
            assert_eq!(says, want, "{ip}\n{}{}", lines.concat(), done.out);
            assert_eq!(says, plain(again.get(ip).map_or("DUNNO", String::as_str)), "{ip}\n{}", back.out);
        }
    }
}

#[test]
fn patterns_decide_as_in_postfix() {
    let patterns = ["/^ann@/", "/example$/", "!/test$/", "/^[ab]/", "/b\\.a\\./", "/@(a|c)\\./", "/n@.*e/"];
    let mut dice = Dice(3);
    for _ in 0..40 {
        let lines: String =
            (0..5).map(|_| format!("{} {}\n", dice.roll(&patterns), dice.roll(&ACTIONS))).collect();
        let rules = import(&["regexp", "-", "--of", "sender", "--name", "old"], &lines);
        let table = table(&rules);
        let everyone: Vec<String> =
            LOCALS.iter().flat_map(|l| DOMAINS.iter().map(move |d| format!("{l}@{d}"))).collect();
        let answers = postmap("regexp", &lines, &everyone);
        for who in &everyone {
            let address = Address::parse(who).unwrap();
            let facts = Facts { sender: Slot::Known(&address), ..Facts::default() };
            let want = answers.get(who).map_or("DUNNO", String::as_str);
            assert_eq!(edict_says(&table, &facts), want, "{who}\n{lines}{rules}");
        }
    }
}

#[test]
fn maps_come_back() {
    let home = |text: &str| text.replace("edict 1\n", "");
    for (format, extra, map) in [
        ("virtual", "", "ann@home.example\tann@x.example, bob@x.example\n"),
        ("aliases", "", "list: a@x.example, b@x.example\nowner-list: ann@x.example\n"),
        ("csv", "", "alias,member\nlist@home.example,a@x.example\nlist@home.example,b@x.example\n"),
        ("sender_bcc_maps", "", "@x.example\tarchive@home.example\nann@x.example\tann@home.example\n"),
        ("recipient_bcc_maps", "", "ann@home.example\tarchive@home.example\n"),
        (
            "transport",
            "",
            "*\tsmtp:[hub.example]:2525\n.x.example\tsmtp:\nx.example\tsmtp:[mx.x.example]:25\n",
        ),
        ("header_checks", "", "/^subject:.*viagra/\t550 5.7.1 no\n/^x-spam:/\tDISCARD\n"),
    ] {
        let done = edict_with(Path::new("."), &["import", format, "-", "--name", "old"], map.as_bytes());
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("main.edict"), format!("{HEAD}{extra}")).unwrap();
        fs::write(dir.path().join("more.edict"), &done.out).unwrap();
        let back = edict(dir.path(), &["export", format, "."]);
        assert_eq!(back.code, 0, "{format}: {}\n{}", back.err, home(&done.out));
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(|l| l.replace(":[[:space:]]*", ":")).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&back.out), sorted(map), "{format}\n{}", done.out);
    }
}

#[test]
fn all_or_nothing() {
    let map = b"ann: bob\nfiles: /dev/null\n";
    let some = edict_with(Path::new("."), &["import", "aliases", "-"], map);
    assert_eq!((some.code, some.out.contains("alias ann = [bob]")), (1, true));
    assert!(some.err.contains("-:2: refused: `files: /dev/null`"), "{}", some.err);
    let none = edict_with(Path::new("."), &["import", "aliases", "-", "--all-or-nothing"], map);
    assert_eq!((none.code, none.out.as_str()), (1, ""));
    assert!(none.err.contains("nothing was imported"), "{}", none.err);
    let json = edict_with(Path::new("."), &["import", "aliases", "-", "--format", "json"], map);
    let object: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(object["lines"][1]["fate"], "refused");
}

#[test]
fn what_a_format_cannot_hold_is_named() {
    let dir = copy("policy");
    let done = edict(dir.path(), &["export", "aliases"]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.out.contains("owner-list: ann@example.com"), "{}", done.out);
    let done = edict(dir.path(), &["export", "virtual"]);
    assert_eq!(done.code, 1);
    assert!(done.err.contains("alias list@example.com: its `owner`"), "{}", done.err);
    let done = edict(dir.path(), &["export", "sender_bcc_maps"]);
    assert!(done.err.contains("1 rules are about something else"), "{}", done.err);
    let done = edict(dir.path(), &["export", "header_checks"]);
    assert!(done.err.contains("rule \"campaign\""), "{}", done.err);
}
