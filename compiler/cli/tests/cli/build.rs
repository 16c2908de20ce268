//! `edict build` and `edict show`: the same bytes anywhere, the old table until the new one is whole.

use crate::kit::{copy, edict, edict_with};
use std::fs;

#[test]
fn the_same_sources_give_the_same_bytes_anywhere() {
    let (one, two) = (copy("policy"), copy("policy"));
    assert_eq!(edict(one.path(), &["build", "-o", "a.table"]).code, 0);
    assert_eq!(edict(one.path(), &["build", "rules", "-o", "b.table"]).code, 0);
    let other = edict(&two.path().join("rules"), &["build", ".", "-o", "-"]);
    let bytes = fs::read(one.path().join("a.table")).unwrap();
    assert_eq!(bytes, fs::read(one.path().join("b.table")).unwrap());
    assert_eq!(bytes, other.bytes);
    assert_eq!(fs::read_dir(one.path()).unwrap().count(), 3, "nothing is left aside");
}

/// A rule set with a file of each kind: rules, tests, a list, aliases, a text, a message.
const TREE: &[(&str, &str)] = &[
    (
        "main.edict",
        "edict 1\nimport \"parts/*.edict\"\nprofile { hostname mx.example.com local-domains [example.com] }\n\
         aliases from \"aliases.txt\"\nlist spammers: address from \"lists/spammers.txt\"\n\
         reject \"spammers\" { when sender in spammers }\n",
    ),
    (
        "parts/a.edict",
        "edict 1\ndisclaimer \"legal\" { when direction is outbound text \"legal.txt\" }\n\
         test \"a spammer\" { sender ann@spam.example recipient info@example.com message \"mail.eml\"\n\
         expect reject by \"spammers\" }\n",
    ),
    ("parts/legal.txt", "Example Ltd.\n"),
    ("parts/mail.eml", "Subject: hello\n\nGood morning\n"),
    ("lists/spammers.txt", "@spam.example\nbob@bulk.example\n"),
    ("aliases.txt", "info: ann, bob\nsales: info, carl@other.example\n"),
];

#[test]
fn a_tree_with_data_files_builds_the_same_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let write = |root: &str, backwards: bool| {
        let mut files: Vec<_> = TREE.iter().collect();
        if backwards {
            files.reverse();
        }
        for (path, text) in files {
            let path = dir.path().join(root).join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    };
    write("rules", false);
    write("some/where else/Regeln", true);
    let build = |root: &str| edict(dir.path(), &["build", root, "-o", "-"]);
    let one = build("rules");
    assert_eq!(one.code, 0, "{}", one.err);
    assert_eq!(one.bytes, build("some/where else/Regeln").bytes);
    assert_eq!(edict(dir.path(), &["test", "rules"]).code, 0);
    // A mail that only a test reads is no part of the policy, nor is what it says.
    fs::write(dir.path().join("rules/parts/mail.eml"), "Subject: x\n\nx\n").unwrap();
    assert_eq!(one.bytes, build("rules").bytes);
    for (path, text) in [("lists/spammers.txt", "@spam.example\n"), ("aliases.txt", "info: ann\n")] {
        write("rules", false);
        fs::write(dir.path().join("rules").join(path), text).unwrap();
        assert_ne!(one.bytes, build("rules").bytes, "{path}");
    }
}

#[test]
fn a_broken_rule_set_leaves_the_old_table() {
    let dir = copy("broken");
    fs::write(dir.path().join("x.table"), "old").unwrap();
    let done = edict(dir.path(), &["build", "-o", "x.table"]);
    assert_eq!(done.code, 1);
    assert!(done.err.contains("nothing was written") && done.err.contains("error[E"), "{}", done.err);
    assert_eq!(fs::read_to_string(dir.path().join("x.table")).unwrap(), "old");
}

#[test]
fn show_says_what_is_inside() {
    let dir = copy("policy");
    edict(dir.path(), &["build", "-o", "x.table"]);
    let human = edict(dir.path(), &["show", "x.table"]);
    // Sizes are the table's business, and its digest changes with its format.
    let shown = human.out.lines().filter(|line| !line.starts_with("digest") && !line.starts_with("sources"));
    let shown: Vec<&str> = shown.take_while(|line| !line.ends_with(" bytes")).collect();
    insta::assert_snapshot!("show", shown.join("\n"));
    let json: serde_json::Value =
        serde_json::from_str(&edict(dir.path(), &["show", "x.table", "--format", "json"]).out).unwrap();
    assert_eq!(json["rules"].as_array().unwrap().len(), 13);
    assert_eq!(json["digest"].as_str().unwrap().len(), 64);
    let size: u64 = json["indexes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| if i["stored"] == true { i["bytes"].as_u64().unwrap() } else { 0 })
        .sum();
    assert!(size <= json["bytes"].as_u64().unwrap());
    let ron = edict(dir.path(), &["show", "x.table", "--format", "ron"]).out;
    let table: edict_table::model::Table = ron::from_str(&ron).unwrap();
    assert_eq!(table.rules.len(), 13);
    // From standard input, and straight from the rules.
    let piped = edict_with(
        dir.path(),
        &["show", "-", "--format", "json"],
        &fs::read(dir.path().join("x.table")).unwrap(),
    );
    let direct = edict(dir.path(), &["show", "rules", "--format", "json"]);
    assert_eq!(piped.out, direct.out);
}

#[test]
fn a_damaged_table_is_refused() {
    let dir = copy("policy");
    edict(dir.path(), &["build", "-o", "x.table"]);
    let mut bytes = fs::read(dir.path().join("x.table")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(dir.path().join("x.table"), bytes).unwrap();
    let done = edict(dir.path(), &["show", "x.table"]);
    assert_eq!(done.code, 2);
    assert!(done.err.contains("checksum"), "{}", done.err);
}

#[test]
fn bench_gives_figures() {
    let dir = copy("policy");
    edict(dir.path(), &["build", "-o", "x.table"]);
    let done =
        edict(dir.path(), &["bench", "x.table", "--message", "rules/mail/invoice.eml", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    for part in ["envelope", "headers", "body"] {
        assert!(json["decide_ns"][part].as_f64().unwrap() > 0.0, "{part}");
    }
    assert!(json["load_ms"].as_f64().unwrap() > 0.0);
    assert!(json["bytes"]["rules"].as_u64().unwrap() > 0);
    let indexes = json["indexes"].as_array().unwrap();
    let sender = indexes.iter().find(|i| i["fact"] == "sender").unwrap();
    assert!(sender["ns"].as_f64().unwrap() > 0.0 && sender["tests"].as_u64().unwrap() > 0, "{sender}");
    assert_eq!(json["rules_measured"], 13);
    let slowest: Vec<f64> =
        json["slowest"].as_array().unwrap().iter().map(|r| r["ns"].as_f64().unwrap()).collect();
    assert!(slowest.len() == 10 && slowest.is_sorted_by(|a, b| a >= b), "{slowest:?}");
    assert!(json["slowest"][0]["file"].as_str().unwrap().ends_with(".edict"));
    assert!(edict(dir.path(), &["bench", "rules"]).out.contains("decide  envelope "));
}

#[test]
fn bench_names_what_no_index_finds() {
    let dir = tempfile::tempdir().unwrap();
    let rules = "edict 1\nreject \"numbers\" { when subject matches /[0-9]{8}/ }\n\
                 reject \"others\" { when not client.ip in trusted }\n";
    fs::write(dir.path().join("main.edict"), rules).unwrap();
    let json: serde_json::Value =
        serde_json::from_str(&edict(dir.path(), &["bench", ".", "--format", "json"]).out).unwrap();
    assert_eq!(json["patterns_without_literal"], serde_json::json!(["subject matches /[0-9]{8}/"]));
    assert_eq!(json["unindexed_rules"], serde_json::json!(["others"]));
    let human = edict(dir.path(), &["bench", "."]).out;
    assert!(
        human.contains("subject matches /[0-9]{8}/") && human.contains("others  main.edict:3"),
        "{human}"
    );
}
