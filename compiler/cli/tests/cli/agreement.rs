//! For generated access maps, networks, patterns and header checks the verdicts of Postfix and of Edict agree.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use crate::kit::edict;
use crate::postfix::{
    ACTIONS, DOMAINS, Dice, LOCALS, address_keys, client_keys, domains, edict_says, everyone, first, folder,
    import, import_some, postmap, stranger, table,
};
use edict_table::facts::{Facts, HeaderFacts, HeaderField, Slot};
use edict_table::value::{Address, Domain, fold_text};
use std::collections::{BTreeMap, BTreeSet};

/// The place of `pass` among the results of SPF.
const PASS: u8 = 1;

const NAMES: [&str; 6] = ["example", "a.example", "mx.a.example", "mx.b.a.example", "test", "mx.d.test"];
const IPS: [&str; 8] = [
    "10.1.2.3",
    "10.1.2.4",
    "10.1.20.1",
    "10.2.0.1",
    "192.0.2.1",
    "2001:db8::1",
    "2001:db8:1:2::3",
    "2001:db9:1:2:3:4:5:6",
];
const NETS: [&str; 11] = [
    "10",
    "10.1",
    "10.1.2",
    "10.1.2.3",
    "192.0.2.1",
    "192.0",
    "2001",
    "2001:db8",
    "2001:db8:1:2",
    "2001:db9:1",
    "2001:db8:1:2::3",
];

/// Somebody that a map may be about: the keys that are asked for, in order, and the facts.
pub struct Case {
    pub keys: Vec<String>,
    pub address: Option<Address>,
    pub name: Option<Domain>,
    pub ip: Option<std::net::IpAddr>,
    of: &'static str,
}

impl Case {
    pub fn facts(&self) -> Facts<'_> {
        let mut facts = stranger();
        match self.of {
            "sender" => facts.sender = Slot::from_option(self.address.as_ref()),
            "recipient" => facts.recipient = Slot::from_option(self.address.as_ref()),
            "helo" => facts.helo = Slot::from_option(self.name.as_ref()),
            _ => {
                facts.client_name = Slot::from_option(self.name.as_ref());
                facts.client_ip = Slot::from_option(self.ip);
            }
        }
        facts
    }

    /// What Edict says where Postfix says `found`: an OK for what anybody can claim needs a proof.
    fn wanted(&self, found: &str, proven: bool) -> String {
        match (self.of, found) {
            ("sender", "OK") if !proven => "DUNNO".to_owned(),
            ("helo", "OK") => "DUNNO".to_owned(),
            _ => found.to_owned(),
        }
    }

    fn agrees(&self, table: &edict_table::load::Loaded, found: Option<String>, about: &str) {
        let found = found.unwrap_or("DUNNO".to_owned());
        let facts = self.facts();
        let shown = &self.keys[0];
        assert_eq!(edict_says(table, &facts), self.wanted(&found, false), "{} {shown}\n{about}", self.of);
        let proven = Facts { spf: Slot::Known(PASS), ..facts };
        assert_eq!(
            edict_says(table, &proven),
            self.wanted(&found, true),
            "{} {shown}, proven\n{about}",
            self.of
        );
    }
}

fn addresses(of: &'static str, dotted: bool) -> Vec<Case> {
    let null = (of == "sender").then(|| "<>".to_owned());
    let case = |who: String| Case {
        keys: address_keys(&who, dotted),
        address: Address::parse(&who).ok(),
        name: None,
        ip: None,
        of,
    };
    everyone().into_iter().chain(null).map(case).collect()
}

fn names(dotted: bool) -> Vec<Case> {
    let case = |name: &&str| Case {
        keys: domains(name, dotted),
        address: None,
        name: Domain::parse(name).ok(),
        ip: None,
        of: "helo",
    };
    NAMES.iter().map(case).collect()
}

fn clients(dotted: bool) -> Vec<Case> {
    let all = NAMES.iter().map(|n| Some(*n)).chain([None]);
    let pairs = all.flat_map(|name| IPS.iter().map(move |ip| (name, *ip)));
    let case = |(name, ip): (Option<&str>, &str)| Case {
        keys: client_keys(name, ip, dotted),
        address: None,
        name: name.and_then(|name| Domain::parse(name).ok()),
        ip: ip.parse().ok(),
        of: "client",
    };
    pairs.map(case).collect()
}

pub fn cases(of: &'static str, dotted: bool) -> Vec<Case> {
    match of {
        "helo" => names(dotted),
        "client" => clients(dotted),
        of => addresses(of, dotted),
    }
}

pub fn key(dice: &mut Dice, of: &str, dotted: bool) -> String {
    let (local, domain) = (dice.roll(&LOCALS), dice.roll(&DOMAINS));
    let dot = |dice: &mut Dice, name: &str| match dice.roll(&["", "", "."]) {
        dot if dotted => format!("{dot}{name}"),
        _ => name.to_owned(),
    };
    match (of, dice.roll(&["whole", "domain", "domain", "local", "null"])) {
        ("sender" | "recipient", "whole") => format!("{local}@{domain}"),
        ("sender" | "recipient", "local") => format!("{local}@"),
        ("sender", "null") => "<>".to_owned(),
        ("sender" | "recipient", _) => dot(dice, domain),
        ("client", "null") => "unknown".to_owned(),
        ("client", "whole" | "local") => dice.roll(&NETS).to_owned(),
        _ => {
            let name = dice.roll(&NAMES);
            dot(dice, name)
        }
    }
}

fn asked(cases: &[Case]) -> Vec<String> {
    cases.iter().flat_map(|case| case.keys.clone()).collect::<BTreeSet<_>>().into_iter().collect()
}

#[test]
fn access_maps_of_every_kind() {
    let mut dice = Dice(1);
    for round in 0..160 {
        let of = ["client", "helo", "sender", "recipient"][round % 4];
        let dotted = round % 8 >= 4;
        let map: BTreeMap<String, &str> =
            (0..10).map(|_| (key(&mut dice, of, dotted), dice.roll(&ACTIONS))).collect();
        let text: String = map.iter().map(|(key, action)| format!("{key} {action}\n")).collect();
        let mut args = vec!["access", "-", "--of", of, "--name", "old"];
        args.extend(dotted.then_some("--dotted"));
        let rules = import(&args, &text);
        let table = table(&rules);
        let cases = cases(of, dotted);
        let answers = postmap("texthash", &text, &asked(&cases));
        assert!(!answers.is_empty(), "{text}");
        for case in &cases {
            case.agrees(&table, first(&answers, &case.keys), &format!("{text}\n{rules}"));
        }
        back(of, &rules, &table);
    }
}

/// What is exported decides the same in Postfix, or is named.
fn back(of: &'static str, rules: &str, table: &edict_table::load::Loaded) {
    let dir = folder(rules);
    let out = edict(dir.path(), &["export", "access", ".", "--of", of]);
    if out.code != 0 {
        assert!(out.err.contains("refused"), "{}", out.err);
        return;
    }
    let cases = cases(of, true);
    let answers = postmap("texthash", &out.out, &asked(&cases));
    for case in &cases {
        let found = first(&answers, &case.keys).map(|found| plain(&found));
        let says = edict_says(table, &case.facts());
        assert_eq!(says, found.unwrap_or("DUNNO".to_owned()), "{}\n{rules}\n{}", case.keys[0], out.out);
    }
}

/// An exported action as the generator writes it.
fn plain(action: &str) -> String {
    let action = action.replace("554 5.7.1 Access denied", "REJECT");
    action.replace("554 5.7.1", "REJECT").replace("450 4.7.1", "450")
}

/// An entry that rules cannot say is spared by the broader ones: a map taken in part decides about less mail, never
/// about more.
#[test]
fn maps_taken_in_part_never_widen() {
    let mut dice = Dice(7);
    let actions = ["OK", "REJECT", "REJECT go away", "RELAY", "FILTER smtp:x", "my_class", "PREPEND X: y"];
    let mut refused = 0;
    for round in 0..80 {
        let of = ["client", "helo", "sender", "recipient"][round % 4];
        let map: BTreeMap<String, &str> =
            (0..10).map(|_| (key(&mut dice, of, false), dice.roll(&actions))).collect();
        let text: String = map.iter().map(|(key, action)| format!("{key} {action}\n")).collect();
        let done = import_some(&["access", "-", "--of", of, "--name", "old"], &text);
        let table = table(&done.out);
        let cases = cases(of, false);
        let answers = postmap("texthash", &text, &asked(&cases));
        for case in &cases {
            let found = first(&answers, &case.keys).unwrap_or("DUNNO".to_owned());
            let sayable = ["OK", "REJECT"].iter().any(|word| found.starts_with(word));
            refused += usize::from(!sayable && found != "DUNNO");
            let found = if sayable { found } else { "DUNNO".to_owned() };
            case.agrees(&table, Some(found), &format!("{text}\n{}", done.out));
        }
    }
    assert!(refused > 300, "{refused}");
}

#[test]
fn networks() {
    let nets = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3", "0.0.0.0/0", "2001:db8::/32", "::/0"];
    let mut dice = Dice(2);
    for round in 0..80 {
        let mut depth = 0;
        let mut lines: Vec<String> = Vec::new();
        for _ in 0..7 {
            let not = if round % 2 == 1 { dice.roll(&["", "", "!"]) } else { "" };
            let (net, action) = (dice.roll(&nets), dice.roll(&ACTIONS));
            match dice.roll(&["line", "line", "if", "endif"]) {
                "if" if round % 2 == 1 => {
                    depth += 1;
                    lines.push(format!("if {not}{net}\n"));
                }
                "endif" if depth > 0 => {
                    depth -= 1;
                    lines.push("endif\n".to_owned());
                }
                _ => lines.push(format!("{not}{net} {action}\n")),
            }
        }
        lines.extend((0..depth).map(|_| "endif\n".to_owned()));
        let text = lines.concat();
        // A network that an earlier line covers never matches, which the report says.
        let done = crate::kit::edict_with(
            std::path::Path::new("."),
            &["import", "cidr", "-", "--name", "old"],
            text.as_bytes(),
        );
        for line in done.err.lines().filter(|line| line.contains("refused: ")) {
            assert!(line.contains("so it never matches"), "{text}{line}");
        }
        let table = table(&done.out);
        let answers = postmap("cidr", &text, &IPS.map(str::to_owned));
        let says = |ip: &str| {
            let facts = Facts { client_ip: Slot::Known(ip.parse().unwrap()), ..stranger() };
            edict_says(&table, &facts)
        };
        for ip in IPS {
            let want = answers.get(ip).map_or("DUNNO", String::as_str);
            assert_eq!(says(ip), want, "{ip}\n{text}{}", done.out);
        }
        if round % 2 == 1 {
            continue;
        }
        let dir = folder(&done.out);
        let back = edict(dir.path(), &["export", "cidr", "."]);
        assert_eq!(back.code, 0, "{}", back.err);
        let again = postmap("cidr", &back.out, &IPS.map(str::to_owned));
        for ip in IPS {
            assert_eq!(says(ip), plain(again.get(ip).map_or("DUNNO", String::as_str)), "{ip}\n{}", back.out);
        }
    }
}

/// Lines of a pattern table, with blocks; at most `count` of them.
fn pattern_lines(dice: &mut Dice, patterns: &[&str], not: &[&str], actions: &[&str], count: usize) -> String {
    let (mut depth, mut text) = (0, String::new());
    for _ in 0..count {
        let (not, pattern, action) = (dice.roll(not), dice.roll(patterns), dice.roll(actions));
        match dice.roll(&["line", "line", "line", "if", "endif"]) {
            "if" => {
                depth += 1;
                text.push_str(&format!("if {not}{pattern}\n"));
            }
            "endif" if depth > 0 => {
                depth -= 1;
                text.push_str("endif\n");
            }
            _ => text.push_str(&format!("{not}{pattern} {action}\n")),
        }
    }
    text + &"endif\n".repeat(depth)
}

#[test]
fn patterns_of_every_kind() {
    let both = [
        "/^ann[@+]/",
        "/example$/",
        "/test$/",
        "/^[ab]/",
        "/b\\.a\\./",
        "/@(a|c)\\./",
        "/n@.*e/",
        "/^<>$/",
        "/a.?example/",
        "/[[:alpha:]]+\\.a/",
        "/^.?[.x-z<]/",
        "/unknown/",
        "/mx\\.[^a]/i",
        "|a/?\\.|",
    ];
    let pcre: Vec<&str> =
        both.into_iter().chain(["/\\w\\.d\\b/", "/(?:home|second)\\./", "/\\Aspam/"]).collect();
    let posix: Vec<&str> = both.into_iter().chain(["/\\bd\\./", "/[\\.]a\\./", "/[]<>[]/"]).collect();
    let mut dice = Dice(3);
    for round in 0..160 {
        let of = ["client", "helo", "sender", "recipient"][round % 4];
        let format = if round % 8 >= 4 { "pcre" } else { "regexp" };
        let patterns = if format == "pcre" { &pcre } else { &posix };
        // Of clients Postfix asks with the address too, for which every `!` holds.
        let not: &[&str] = if of == "client" { &[""] } else { &["", "", "!"] };
        let text = pattern_lines(&mut dice, patterns, not, &ACTIONS, 6);
        // What never matches is refused, and the report says so.
        let done = import_some(&[format, "-", "--of", of, "--name", "old"], &text);
        for line in done.err.lines().filter(|line| line.contains("refused: ")) {
            assert!(line.contains("never matches"), "{text}{line}");
        }
        let rules = done.out;
        let table = table(&rules);
        let cases = cases(of, false);
        // Pattern tables are asked with the whole name alone; a client's address comes after its name.
        let whole = |case: &Case| match &case.ip {
            Some(ip) => vec![case.keys[0].clone(), ip.to_string()],
            None => vec![case.keys[0].clone()],
        };
        let keys: Vec<String> = cases.iter().flat_map(whole).collect();
        let answers = postmap(format, &text, &keys);
        for case in &cases {
            case.agrees(&table, first(&answers, &whole(case)), &format!("{format}\n{text}\n{rules}"));
        }
    }
}

const FIELDS: [&str; 9] = [
    "Subject: cheap pills",
    "Subject: hello Ann",
    "Subject: [list] cheap",
    "From: ann@a.example",
    "From: Bob <bob@b.test>",
    "To: sales@home.example",
    "To: ann@a.example",
    "X-Spam: yes",
    "X-Mailer: Blaster 2.0",
];

fn name(field: &str) -> &str {
    field.split_once(':').unwrap().0
}

/// Header checks, line by line as cleanup(8) does it: the first pattern of each line counts. Where several lines of one
/// message ask for different things, the pattern that comes first counts in Edict, in Postfix the first line.
#[test]
fn header_lines() {
    let patterns = [
        "/^Subject:.*cheap/",
        "/^Subject: +hello/",
        "/^Subject:/",
        "/^From:.*@a\\./",
        "/^(From|To):.*ann@/",
        "/^X-Spam:/",
        "/^x-mailer: blaster [0-9]/",
        "/^To:[[:space:]]*sales/",
        "/^Subject:.*\\[list\\]/",
    ];
    let actions = [
        "REJECT",
        "REJECT go away",
        "DUNNO",
        "OK",
        "DISCARD",
        "HOLD",
        "INFO seen",
        "PREPEND X-A: b",
        "IGNORE",
    ];
    let mut dice = Dice(4);
    let (mut single, mut refused) = (0, 0);
    for round in 0..120 {
        let kind = if round % 2 == 0 { "regexp" } else { "pcre" };
        let actions = if round % 4 < 2 { &actions[..7] } else { &actions };
        let text = pattern_lines(&mut dice, &patterns, &[""], actions, 6);
        let done = import_some(&["header_checks", "-", "--name", "old"], &text);
        refused += done.err.lines().filter(|line| line.contains("refused: ")).count();
        let table = table(&done.out);
        let answers = postmap(kind, &text, &FIELDS.map(str::to_owned));
        for _ in 0..12 {
            let mut message: Vec<&str> = Vec::new();
            for _ in 0..4 {
                let field = dice.roll(&FIELDS);
                if !message.iter().any(|have| name(have) == name(field)) {
                    message.push(field);
                }
            }
            let found: Vec<String> = message
                .iter()
                .filter_map(|line| answers.get(*line))
                .filter(|a| ["REJECT", "DISCARD", "HOLD"].iter().any(|word| a.starts_with(word)))
                .cloned()
                .collect();
            let fields = message.iter().map(|line| HeaderField {
                name: name(line).to_lowercase(),
                value: fold_text(line.split_once(": ").unwrap().1).into_owned(),
            });
            let header = HeaderFacts { fields: fields.collect(), ..HeaderFacts::default() };
            // Postfix has a text of its own where the map has none.
            let says = edict_says(&table, &Facts { header: Slot::Known(&header), ..stranger() });
            let says = says.replace(" Message content rejected", "");
            let about = format!("{message:?}\n{text}\n{}", done.out);
            single += usize::from(found.len() == 1);
            match found.as_slice() {
                [] => assert_eq!(says, "DUNNO", "{about}"),
                [one] => assert_eq!(says, *one, "{about}"),
                several => assert!(several.contains(&says), "{says} {about}"),
            }
        }
    }
    assert!(single > 300 && refused > 20, "{single} {refused}");
}

/// What cannot be said stands before what can: those lines are only watched.
#[test]
fn patterns_behind_what_cannot_be_said_are_watched() {
    let text = "/^ok@/ REJECT\n/(?<=a)b@/ DUNNO\n/b@/ REJECT\n/c@/ DISCARD\n";
    let done = import_some(&["pcre", "-", "--of", "sender", "--name", "old"], text);
    assert_eq!(done.code, 1);
    assert!(
        done.err.contains("-:3: changed: `/b@/ REJECT`: only watched (`mode audit`): line 2"),
        "{}",
        done.err
    );
    let table = table(&done.out);
    for (who, want) in [("ok@x.example", "REJECT"), ("ab@x.example", "DUNNO"), ("c@x.example", "DUNNO")] {
        let address = Address::parse(who).unwrap();
        assert_eq!(edict_says(&table, &Facts { sender: Slot::Known(&address), ..stranger() }), want);
    }
    // A refusal that cannot be said stands in nobody's way who refuses too.
    let text = "/(?<=a)b@/ REJECT\n/b@/ REJECT no\n";
    let done = import_some(&["pcre", "-", "--of", "sender", "--name", "old"], text);
    assert!(!done.out.contains("audit"), "{}", done.out);
    // Of headers, the same header alone.
    let text = "/^Subject: =\\?koi8/ DUNNO\n/^Subject:.*x/ REJECT\n/^From:.*x/ REJECT\n";
    let done = import_some(&["header_checks", "-", "--name", "old"], text);
    assert_eq!(
        done.out.matches("mode  audit").count() + done.out.matches("mode audit").count(),
        1,
        "{}",
        done.out
    );
}
