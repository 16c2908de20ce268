//! The rule sets in the documentation do what the pages say: the cookbook checks clean, is in the one layout, and its
//! tests pass and decide every rule; each block on Postfix compiles.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::kit::edict;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)).unwrap()
}

/// Fenced blocks: what stands behind the opening fence, and the text.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    let mut open = false;
    for line in text.split_inclusive('\n') {
        if let Some(info) = line.strip_prefix("```") {
            open = !open;
            if open {
                out.push((info.trim().to_owned(), String::new()));
            }
        } else if open {
            out.last_mut().unwrap().1.push_str(line);
        }
    }
    out
}

#[test]
fn twenty_recipes() {
    let text = page("language.md");
    let chapter = text.split("\n## Cookbook\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut count = 0;
    for recipe in chapter.split("\n### ").skip(1) {
        let title = recipe.lines().next().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let rules = dir.path().join("rules");
        fs::create_dir(&rules).unwrap();
        for (info, body) in blocks(recipe) {
            let name = if info == "edict" { "main.edict" } else { info.split(' ').nth(1).unwrap() };
            fs::write(rules.join(name), body).unwrap();
        }
        for args in [&["check", "--deny", "warnings"][..], &["fmt", "--check"]] {
            let done = edict(dir.path(), args);
            assert_eq!(done.code, 0, "{title}: {args:?}: {}{}", done.out, done.err);
        }
        let tested = edict(dir.path(), &["test", "--coverage"]);
        assert_eq!(tested.code, 0, "{title}: {}", tested.out);
        assert!(!tested.out.contains("decided by no test"), "{title}: {}", tested.out);
        assert!(blocks(recipe)[0].1.contains("\ntest \""), "{title} has no test");
        count += 1;
        assert!(title.starts_with(&format!("{count}. ")), "{title}");
    }
    assert_eq!(count, 20);
}

#[test]
fn postfix_in_edict_compiles() {
    let text = page("from-postfix.md");
    let mut count = 0;
    for (info, body) in blocks(&text) {
        if info != "edict" {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("main.edict"), format!("edict 1\n\n{body}")).unwrap();
        fs::write(dir.path().join("branch-people.txt"), "bob@branch.example\n").unwrap();
        fs::write(dir.path().join("aliases.txt"), "sales: bob\n").unwrap();
        let done = edict(dir.path(), &["check", ".", "--deny", "warnings"]);
        assert_eq!(done.code, 0, "{body}\n{}", done.out);
        let laid = edict(dir.path(), &["fmt", "--check", "."]);
        assert_eq!(laid.code, 0, "{body}");
        count += 1;
    }
    assert!(count >= 8, "{count} blocks");
}

/// What the page on Postfix says of Edict is what the language has: every setting is named there.
#[test]
fn postfix_page_names_every_setting() {
    let text = page("from-postfix.md");
    let missing: Vec<_> = edict_compiler::parse::words::SETTINGS
        .iter()
        .filter(|setting| !["time-zone", "auto-forwarding"].contains(setting))
        .filter(|setting| !text.contains(*setting))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The cells of the tables of a page.
fn rows(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |")?.split_once("` | "))
}

/// What stands in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The appendix covers all that the installed Postfix knows.
#[test]
fn every_setting_of_postfix_has_its_place() {
    let text = page("postfix-settings.md");
    let mut told = Vec::new();
    for (left, right) in rows(&text) {
        assert!(!right.trim().is_empty(), "{left}");
        told.extend(left.split("`, `"));
    }
    let known: BTreeSet<&str> = told.iter().copied().collect();
    assert_eq!(known.len(), told.len(), "a setting stands there twice");
    let done = std::process::Command::new("postconf").arg("-d").output().unwrap();
    let settings = String::from_utf8(done.stdout).unwrap();
    let settings: Vec<&str> =
        settings.lines().filter_map(|line| line.split_once(" =")).map(|s| s.0).collect();
    assert!(settings.len() > 900, "{} settings: {}", settings.len(), String::from_utf8_lossy(&done.stderr));
    let missing: Vec<&&str> = settings.iter().filter(|name| !known.contains(**name)).collect();
    assert!(
        missing.is_empty(),
        "this Postfix knows settings that docs/postfix-settings.md does not name: {missing:?}"
    );
}

/// What the pages on Postfix call a key of `edictd.ron`, or a clause of the language, is one.
#[test]
fn postfix_pages_name_what_there_is() {
    let ron = page("edictd.ron");
    let language = page("language.md");
    let mut wrong = Vec::new();
    let mut count = 0;
    let text = page("postfix-settings.md");
    for (_, right) in rows(&text) {
        for said in quoted(right) {
            // `queue: (connections: …)`: each key; else the first word of what a rule or the profile says.
            let keys: Vec<&str> = said.split(['(', ',', ' ']).filter_map(|w| w.strip_suffix(':')).collect();
            count += 1;
            if keys.is_empty() {
                let word = said.split([' ', '(', '[', '@']).next().unwrap();
                // Words of the language; what others call a thing is in capitals, or has an underscore.
                let ours = word.chars().all(|c| c.is_ascii_lowercase() || "-.".contains(c))
                    && word.starts_with(|c: char| c.is_ascii_lowercase())
                    && !["authzid", "sendmail", "owner-"].contains(&word);
                if ours && !language.contains(word) && !ron.contains(word) {
                    wrong.push(said.to_owned());
                }
            }
            wrong.extend(
                keys.iter()
                    .filter(|key| !ron.contains(&format!("{key}:")))
                    .map(|key| format!("{key}: in {said}")),
            );
        }
    }
    assert!(count > 100, "{count}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
