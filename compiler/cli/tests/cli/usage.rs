//! Wrong use, exit codes, streams: what holds for every command whatever the rules are.

use crate::kit::{edict, edict_with};
use std::path::Path;

#[test]
fn help_and_version_are_results() {
    for args in [["--help"], ["--version"]] {
        let done = edict(Path::new("."), &args);
        assert_eq!(done.code, 0);
        assert!(!done.out.is_empty() && done.err.is_empty());
        assert!(!done.out.contains('\u{1b}'), "no colour with NO_COLOR");
    }
}

#[test]
fn a_folder_without_rules_is_a_diagnostic() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("empty/deeper")).unwrap();
    let done = edict(dir.path(), &["check", "empty"]);
    assert_eq!(done.code, 1, "{}", done.err);
    assert!(done.out.contains("error[E1003]: there is no `main.edict`"), "{}", done.out);
    assert!(done.out.contains("edict 1"), "{}", done.out);
    std::fs::write(dir.path().join("empty/deeper/main.edict"), "edict 1\n").unwrap();
    let short = edict(dir.path(), &["check", "empty", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&short.out).unwrap();
    assert_eq!(
        (&json["code"], &json["file"], &json["line"]),
        (&"E1003".into(), &"main.edict".into(), &1.into())
    );
    assert!(json["help"].as_str().unwrap().contains("`deeper`"), "{json}");
    for command in [&["build", "empty", "-o", "-"][..], &["test", "empty"], &["show", "empty"]] {
        let done = edict(dir.path(), command);
        assert!(
            done.code == 1 && done.err.contains("E1003") && done.out.is_empty(),
            "{command:?}: {}",
            done.err
        );
    }
}

#[test]
fn wrong_use_is_2_and_a_remark() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("main.edict"), "edict 1\n").unwrap();
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    for (args, want) in [
        (&["frobnicate"][..], "unrecognized subcommand"),
        (&["check"][..], "no folder `rules`; `main.edict` is in this folder, so give `.`"),
        (&["check", "main.edict"][..], "`main.edict` is a file; give the folder"),
        (&["build", "."][..], "--output"),
        (&["show", "no.table"][..], "cannot read `no.table`"),
        (&["show", "main.edict"][..], "`main.edict` is no table"),
        (&["check", "-", "--fix"][..], "standard input is none"),
        (&["explain-code", "E9999"][..], "there is no code `E9999`"),
        (&["new", "."][..], "`.` is not empty"),
        (&["import", "access", "main.edict"][..], "say what the keys are"),
        (
            &["explain", ".", "--sender", "x", "--recipient", "a@b.example"][..],
            "the sender `x` is no address",
        ),
        (&["fmt", "nowhere"][..], "cannot read `nowhere`"),
    ] {
        let done = edict(dir.path(), args);
        assert_eq!(done.code, 2, "{args:?}: {}", done.err);
        assert!(done.err.contains(want), "{args:?}: {}", done.err);
        assert!(done.out.is_empty(), "{args:?}");
    }
}

#[test]
fn a_single_file_comes_from_standard_input() {
    let good = edict_with(Path::new("."), &["check", "-", "--format", "short"], b"edict 1\n");
    assert_eq!((good.code, good.out.as_str()), (0, ""));
    let bad = edict_with(Path::new("."), &["check", "-", "--format", "short"], b"edict 1\nalow \"x\" {}\n");
    assert_eq!(bad.code, 1);
    assert!(bad.out.starts_with("main.edict:2:1: error[E"), "{}", bad.out);
    let fmt = edict_with(Path::new("."), &["fmt", "-"], b"edict 1\nlist  a :address=[x@y.example]\n");
    assert_eq!(fmt.out, "edict 1\n\nlist a: address = [x@y.example]\n");
    let text = b"edict 1\nlist  a :address=[x@y.example]\n";
    let fmt = edict_with(Path::new("."), &["fmt", "-", "--check", "--format", "json"], text);
    assert_eq!((fmt.code, fmt.out.as_str()), (1, "{\"changed\":true,\"file\":\"-\"}\n"));
    let fmt = edict_with(Path::new("."), &["fmt", "-", "--format", "json"], text);
    let json: serde_json::Value = serde_json::from_str(&fmt.out).unwrap();
    assert_eq!((fmt.code, json["text"].as_str()), (0, Some("edict 1\n\nlist a: address = [x@y.example]\n")));
    let broken = edict_with(Path::new("."), &["fmt", "-", "--format", "json"], b"edict 1\nlist\n");
    let json: serde_json::Value = serde_json::from_str(&broken.out).unwrap();
    assert_eq!((broken.code, &json["severity"]), (1, &"error".into()));
}

/// What was made is a result too.
#[test]
fn what_is_made_is_told_to_machines() {
    let dir = tempfile::tempdir().unwrap();
    let json = |args: &[&str]| -> serde_json::Value {
        let done = edict(dir.path(), &[args, &["--format", "json"]].concat());
        assert_eq!(done.code, 0, "{args:?}: {}", done.err);
        serde_json::from_str(&done.out).unwrap()
    };
    let new = json(&["new", "mail"]);
    let files = new["files"].as_array().unwrap();
    assert!(files.iter().all(|file| dir.path().join("mail").join(file.as_str().unwrap()).is_file()), "{new}");
    let key = json(&["keygen", "table.key"]);
    assert_eq!(json(&["keygen", "--public", "table.key"])["public"], key["public"]);
    let built = json(&["build", "mail/rules", "-o", "a.table", "--sign", "table.key"]);
    assert_eq!(built["signer"], key["public"]);
    assert_eq!(built["bytes"], std::fs::metadata(dir.path().join("a.table")).unwrap().len());
    assert_eq!(json(&["show", "a.table"])["digest"], built["digest"]);
    // Standard input holds one thing.
    for args in [&["build", "-", "-o", "x", "--sign", "-"][..], &["bench", "-", "--message", "-"]] {
        let done = edict(dir.path(), args);
        assert!(done.code == 2 && done.err.contains("both come from standard input"), "{}", done.err);
    }
    // The name of the file aside tells nobody anything.
    let nowhere = edict(dir.path(), &["build", "mail/rules", "-o", "no/where"]);
    assert!(nowhere.code == 2 && !nowhere.err.contains(".edict-"), "{}", nowhere.err);
}

#[test]
fn manuals_come_from_the_same_definitions() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(edict(dir.path(), &["man", "man1"]).code, 0);
    let page = std::fs::read_to_string(dir.path().join("man1/edict-check.1")).unwrap();
    assert!(page.contains("\\-\\-deny"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(edict(dir.path(), &["completions", shell]).out.contains("explain-code"), "{shell}");
    }
}
