//! Wrong use, exit codes, streams: what holds for every command whatever the rules are.

#![expect(clippy::unwrap_used, reason = "a helper of tests")]

use std::path::Path;
use std::process::{Command, Output};

fn edict(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_edict"))
        .args(args)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

#[test]
fn help_and_version_are_results() {
    for args in [["--help"], ["--version"]] {
        let done = edict(Path::new("."), &args);
        assert_eq!(done.status.code(), Some(0));
        assert!(!done.stdout.is_empty() && done.stderr.is_empty());
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
    ] {
        let done = edict(dir.path(), args);
        let err = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(2), "{args:?}: {err}");
        assert!(err.contains(want), "{args:?}: {err}");
        assert!(done.stdout.is_empty(), "{args:?}");
    }
}
