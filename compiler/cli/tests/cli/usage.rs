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
fn wrong_use_is_2_and_a_remark() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("main.edict"), "edict 1\n").unwrap();
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    for (args, want) in [
        (&["frobnicate"][..], "unrecognized subcommand"),
        (&["check"][..], "no folder `rules`; `main.edict` is in this folder, so give `.`"),
        (&["check", "main.edict"][..], "`main.edict` is a file; give the folder"),
        (&["check", "empty"][..], "`empty` holds no `main.edict`"),
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
