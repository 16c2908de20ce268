//! `edict new`: what it makes checks, tests and formats clean.

use crate::kit::edict;
use std::process::Command;

#[test]
fn a_new_repository_is_clean() {
    let dir = tempfile::tempdir().unwrap();
    let made = edict(dir.path(), &["new", "mail"]);
    assert_eq!(made.code, 0, "{}", made.err);
    let root = dir.path().join("mail");
    for args in [&["check", "--deny", "warnings"][..], &["fmt", "--check"], &["build", "-o", "rules.table"]] {
        let done = edict(&root, args);
        assert_eq!(done.code, 0, "{args:?}: {}{}", done.out, done.err);
    }
    let tested = edict(&root, &["test", "--coverage"]);
    assert_eq!(tested.code, 0, "{}", tested.out);
    assert!(tested.out.ends_with("coverage: 6 of 6 rules decided by a test\n"), "{}", tested.out);
    let again = edict(dir.path(), &["new", "mail"]);
    assert_eq!(again.code, 2);
}

#[test]
fn a_repository_around_it_keeps_its_hooks() {
    let dir = tempfile::tempdir().unwrap();
    let git = |args: &[&str]| Command::new("git").args(args).current_dir(dir.path()).output().unwrap();
    assert!(git(&["init", "--quiet"]).status.success());
    let made = edict(dir.path(), &["new", "mail"]);
    assert!(made.code == 0 && made.err.contains("in a git repository already"), "{}", made.err);
    assert!(git(&["config", "--local", "core.hooksPath"]).stdout.is_empty());
    assert!(!dir.path().join("mail/.git").exists() && dir.path().join("mail/.githooks/pre-commit").exists());
}

#[test]
fn its_hook_runs_before_each_commit() {
    let dir = tempfile::tempdir().unwrap();
    edict(dir.path(), &["new", "mail"]);
    let root = dir.path().join("mail");
    let tool = std::path::Path::new(env!("CARGO_BIN_EXE_edict")).parent().unwrap();
    let path = format!("{}:{}", tool.display(), std::env::var("PATH").unwrap());
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=a", "-c", "user.email=a@example.com"]).args(args);
        command.current_dir(&root).env("PATH", &path).output().unwrap()
    };
    assert!(git(&["add", "-A"]).status.success());
    let good = git(&["commit", "-m", "first"]);
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    std::fs::write(root.join("rules/people.edict"), "edict 1\n\ngroup sales = [nobody]\n").unwrap();
    assert!(!git(&["commit", "-am", "second"]).status.success());
}
