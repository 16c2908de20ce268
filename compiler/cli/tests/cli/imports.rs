//! Whatever a map holds, what is imported of it checks clean: shadowed lines, second entries, circles, names with and
//! without domains, and lines that are none are left out, each with a word about it.
//!
//! `EDICT_LONG=n` makes n maps of each kind.

use crate::kit::{edict, edict_with};
use crate::postfix::{Dice, folder};
use std::path::Path;

const HEADERS: [&str; 12] = [
    "/^Subject:/",
    "/^Subject:.*cheap/",
    "/^Subject: cheap/",
    "/^Subject:.*(cheap|pills)/",
    "/^(From|To|Cc):.*@a\\./",
    "/^From:.*@a\\.example/",
    "/^From:/",
    "/^X-Spam: yes$/",
    "/^X-Spam:/i",
    "/^Received:.*evil/",
    "/./",
    "/^Content-Type:.*name=.*\\.exe/",
];
const PATTERNS: [&str; 16] = [
    "/./",
    "/.*/",
    "/^ann@/",
    "/^ann@a\\.example$/",
    "/@a\\.example$/",
    "/a\\.example$/",
    "/example$/",
    "/example/",
    "/^[a-c]/",
    "/^[ab].*@/",
    "/^<>$/",
    "/^unknown$/",
    "/(a|b)\\.example/i",
    "/^(ann|bob)@/",
    "/^an*@/",
    "/@/",
];
const ACTIONS: [&str; 16] = [
    "OK",
    "ok",
    "REJECT",
    "Reject go away",
    "REJECT 5.7.1 go away",
    "550 5.1.1 no such user",
    "450 4.2.0 later",
    "554",
    "DUNNO",
    "DISCARD",
    "HOLD for a look",
    "WARN seen",
    "FILTER smtp:[x]:25",
    "PREPEND X-A: b",
    "my_class",
    "RELAY",
];
const ADDRESSES: [&str; 16] = [
    "ann@home.example",
    "Ann@Home.Example",
    "ann+x@home.example",
    "bob@home.example",
    "bob@second.example",
    "bob+y@second.example",
    "carl@a.example",
    "carl+z@a.example",
    "@home.example",
    "@second.example",
    "@a.example",
    "ann",
    "bob",
    "list",
    "list+a",
    "postmaster",
];
const MEMBERS: [&str; 20] = [
    "ann@home.example",
    "bob@home.example",
    "bob+q@second.example",
    "list@second.example",
    "carl@a.example",
    "x@out.example",
    "y+z@out.example",
    "ann",
    "bob",
    "list",
    "list+a",
    "Bob",
    "\\ann",
    "\"|/usr/bin/vacation ann\"",
    "|/usr/bin/procmail",
    "/var/mail/archive",
    ":include:/etc/mail/list",
    "@second.example",
    "\"odd name\"@home.example",
    "root",
];
const KEYS: [&str; 26] = [
    "example",
    "a.example",
    "A.Example",
    ".a.example",
    "b.a.example",
    "mx.b.a.example",
    "home.example",
    "test",
    "ann@a.example",
    "Ann@A.example",
    "ann+x@home.example",
    "ann@home.example",
    "ann@",
    "ann+x@",
    "<>",
    "unknown",
    "10",
    "10.1",
    "10.1.2.3",
    "192.0.2",
    "192.0.2.0/24",
    "2001:db8",
    "2001:db8::1",
    "postmaster@",
    "no domain",
    "@a.example",
];
const NETS: [&str; 10] = [
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.0/24",
    "10.1.2.3",
    "10.1.2.3/24",
    "0.0.0.0/0",
    "192.0.2.0/24",
    "2001:db8::/32",
    "2001:db8:1::/48",
    "::/0",
];
const HOPS: [&str; 12] = [
    "smtp:",
    ":",
    "local:",
    "smtp:[one.example]:25",
    "smtp:one.example",
    "relay:[192.0.2.1]:2525",
    "smtp:[one.example], [two.example]:587",
    "error:gone",
    "error:5.1.6 moved",
    "retry:4.0.0 later",
    "discard:",
    "uucp:x",
];
const ROUTED: [&str; 13] = [
    "*",
    "example",
    ".example",
    "a.example",
    ".a.example",
    "b.a.example",
    "home.example",
    ".test",
    "ann@a.example",
    "Ann@A.Example",
    "ann+x@home.example",
    "ann@home.example",
    "@a.example",
];

/// Lines with remarks, continuations and blank lines between them, as files of people are.
fn lines(dice: &mut Dice, count: usize, mut line: impl FnMut(&mut Dice) -> String) -> String {
    let mut out = String::new();
    for _ in 0..count {
        out.push_str(dice.roll(&["", "", "", "# a remark\n", "\n", "   # indented\n"]));
        let one = line(dice);
        out.push_str(&one);
        out.push('\n');
    }
    out
}

fn patterns(dice: &mut Dice, of: &[&str], not: &[&str]) -> String {
    let mut depth = 0;
    let mut text = lines(dice, 9, |dice| {
        let (not, pattern, action) = (dice.roll(not), dice.roll(of), dice.roll(&ACTIONS));
        match dice.roll(&["line", "line", "line", "line", "if", "endif"]) {
            "if" => {
                depth += 1;
                format!("if {not}{pattern}")
            }
            "endif" if depth > 0 => {
                depth -= 1;
                "endif".to_owned()
            }
            _ => format!("{not}{pattern}  {action}"),
        }
    });
    text.push_str(&"endif\n".repeat(depth));
    text
}

fn members(dice: &mut Dice) -> String {
    let count = 1 + dice.below(3);
    let all: Vec<&str> = (0..count).map(|_| dice.roll(&MEMBERS)).collect();
    all.join(dice.roll(&[", ", ",", ",\n\t"]))
}

/// A map, and the arguments that import it.
fn map(dice: &mut Dice, kind: &'static str, of: &'static str) -> (Vec<&'static str>, String) {
    let mut args = vec!["import", kind, "-", "--name", "old"];
    if !of.is_empty() {
        args.extend(["--of", of]);
    }
    if dice.below(2) == 0 {
        args.extend(["--domain", "home.example"]);
    }
    let text = match kind {
        "access" => {
            if dice.below(2) == 0 {
                args.push("--dotted");
            }
            lines(dice, 12, |dice| format!("{}\t{}", dice.roll(&KEYS), dice.roll(&ACTIONS)))
        }
        "cidr" => {
            let mut depth = 0;
            let text = lines(dice, 10, |dice| {
                let (not, net) = (dice.roll(&["", "", "", "!"]), dice.roll(&NETS));
                match dice.roll(&["line", "line", "line", "if", "endif"]) {
                    "if" => {
                        depth += 1;
                        format!("if {not}{net}")
                    }
                    "endif" if depth > 0 => {
                        depth -= 1;
                        "endif".to_owned()
                    }
                    _ => format!("{not}{net} {}", dice.roll(&ACTIONS)),
                }
            });
            text + &"endif\n".repeat(depth)
        }
        "pcre" | "regexp" => patterns(dice, &PATTERNS, &["", "", "", "!"]),
        "header_checks" => patterns(dice, &HEADERS, &["", "", "", "", "!"]),
        "aliases" => lines(dice, 10, |dice| {
            let name =
                dice.roll(&["ann", "bob", "list", "list+a", "Bob", "root", "owner-list", "\"odd name\""]);
            format!("{name}: {}", members(dice))
        }),
        "virtual" => lines(dice, 10, |dice| format!("{} {}", dice.roll(&ADDRESSES), members(dice))),
        "csv" => {
            let row = |dice: &mut Dice| format!("{},{}", dice.roll(&ADDRESSES), dice.roll(&MEMBERS));
            let rows: Vec<String> = (0..10).map(|_| row(dice)).collect();
            format!("alias,member\n{}\n", rows.join("\n"))
        }
        "transport" => lines(dice, 10, |dice| format!("{} {}", dice.roll(&ROUTED), dice.roll(&HOPS))),
        _ => lines(dice, 8, |dice| format!("{} {}", dice.roll(&ADDRESSES), dice.roll(&MEMBERS))),
    };
    (args, text)
}

#[test]
fn what_is_imported_checks_clean() {
    let count: u64 = std::env::var("EDICT_LONG").map_or(12, |n| n.parse().unwrap());
    let mut failures = Vec::new();
    let mut rules = 0;
    for (kind, of) in [
        ("access", "client"),
        ("access", "helo"),
        ("access", "sender"),
        ("access", "recipient"),
        ("cidr", ""),
        ("pcre", "client"),
        ("pcre", "sender"),
        ("regexp", "helo"),
        ("regexp", "recipient"),
        ("header_checks", ""),
        ("aliases", ""),
        ("virtual", ""),
        ("sender_bcc_maps", ""),
        ("recipient_bcc_maps", ""),
        ("transport", ""),
        ("csv", ""),
    ] {
        for seed in 0..count {
            let (args, text) = map(&mut Dice(seed), kind, of);
            let done = edict_with(Path::new("."), &args, text.as_bytes());
            assert!(done.code < 2, "{args:?}\n{text}\n{}", done.err);
            rules += done.out.lines().filter(|line| line.ends_with('{') || line.starts_with("alias")).count();
            let dir = folder(&done.out);
            let checked = edict(dir.path(), &["check", ".", "--format", "short"]);
            if checked.code != 0 || checked.out.contains("[W0101]") || checked.out.contains("[W0104]") {
                let (out, err) = (checked.out, done.err);
                failures.push(format!("{args:?} seed {seed}\n{text}\n{}\n{err}\n{out}", done.out));
            }
        }
    }
    assert!(failures.is_empty(), "{} are refused\n{}", failures.len(), failures.join("\n\n----\n"));
    assert!(rules as u64 > 20 * count, "{rules} rules");
}

/// The maps of a site that grew for twenty years: what comes of each, word for word, and all of it in one rule set.
#[test]
fn maps_of_a_site() {
    let maps = crate::kit::data("maps");
    let dir = tempfile::tempdir().unwrap();
    let mut main = "edict 1\n\n".to_owned();
    for (file, args) in [
        ("sender_access", &["access", "--of", "sender"][..]),
        ("client_access", &["access", "--of", "client"]),
        ("clients.cidr", &["cidr"]),
        ("header_checks.pcre", &["header_checks"]),
        ("recipient.pcre", &["pcre", "--of", "recipient"]),
        ("aliases", &["aliases"]),
        ("virtual", &["virtual"]),
        ("transport", &["transport"]),
        ("sender_bcc", &["sender_bcc_maps"]),
    ] {
        let done = edict(&maps, &[&["import"], args, &[file]].concat());
        insta::assert_snapshot!(
            format!("map_{}", file.replace('.', "_")),
            format!("{}\n{}", done.out, done.err)
        );
        std::fs::write(dir.path().join(format!("{file}.edict")), done.out).unwrap();
        // Its networks are those of client_access over again, which `check` would say.
        if file != "clients.cidr" {
            main.push_str(&format!("import \"{file}.edict\"\n"));
        }
    }
    main.push_str(
        "\nprofile {\n    hostname      mx.example.com\n    local-domains [example.com, old.example]\n}\n",
    );
    std::fs::write(dir.path().join("main.edict"), main).unwrap();
    let checked = edict(dir.path(), &["check", ".", "--format", "short"]);
    assert!(checked.code == 0 && !checked.out.contains("error["), "{}", checked.out);
}
