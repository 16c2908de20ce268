//! `edict check` on rules with mistakes: codes and places in each format, and what makes it fail. How a
//! format looks is held by the renderers' own snapshots, what a message says by the compiler's.

use crate::kit::{copy, data, edict};
use serde_json::Value;

/// Code, file, line and column of mistakes in `broken`.
const MISTAKES: [(&str, &str, u64, u64); 4] = [
    ("E1116", "access/more.edict", 4, 17),
    ("E0012", "access/more.edict", 7, 1),
    ("E1113", "main.edict", 9, 27),
    ("E1101", "main.edict", 12, 24),
];

fn broken(format: &str) -> String {
    let done = edict(&data("broken"), &["check", "--format", format]);
    assert_eq!(done.code, 1, "{format}");
    assert_eq!(done.err.is_empty(), format != "human", "{format}: {}", done.err);
    done.out
}

#[test]
fn people_see_place_line_and_caret() {
    let out = broken("human");
    for (code, file, line, column) in MISTAKES {
        assert!(out.contains(&format!("error[{code}]: ")), "{code}: {out}");
        assert!(out.contains(&format!("--> rules/{file}:{line}:{column}\n")), "{code}: {out}");
    }
    assert!(out.contains("12 |     when  client.ip in bad-nts\n") && out.contains("^^^^^^^"), "{out}");
    assert!(out.contains("::: rules/access/more.edict:3:8"), "the other definition: {out}");
}

#[test]
fn editors_read_one_line_each() {
    let out = broken("short");
    for (code, file, line, column) in MISTAKES {
        let want = format!("rules/{file}:{line}:{column}: error[{code}]: ");
        assert!(out.lines().any(|line| line.starts_with(&want)), "{want} in {out}");
    }
}

#[test]
fn json_lines_have_their_keys() {
    let all: Vec<Value> = broken("json").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (code, file, line, column) in MISTAKES {
        let found = all.iter().find(|d| d["code"] == code).unwrap();
        assert_eq!(
            (&found["file"], &found["line"], &found["column"]),
            (&file.into(), &line.into(), &column.into())
        );
    }
    for (key, object) in [
        "code",
        "severity",
        "message",
        "file",
        "line",
        "column",
        "end_line",
        "end_column",
        "labels",
        "help",
        "fixes",
    ]
    .into_iter()
    .flat_map(|key| all.iter().map(move |object| (key, object)))
    {
        assert!(object.get(key).is_some(), "{key} in {object}");
    }
}

#[test]
fn sarif_points_at_the_mistakes() {
    let read: serde_sarif::sarif::Sarif = serde_json::from_str(&broken("sarif")).unwrap();
    let results = read.runs[0].results.as_ref().unwrap();
    for (code, file, line, _) in MISTAKES {
        let found = results.iter().find(|r| r.rule_id.as_deref() == Some(code)).unwrap();
        let place = found.locations.as_ref().unwrap()[0].physical_location.as_ref().unwrap();
        assert_eq!(
            place.artifact_location.as_ref().unwrap().uri.as_deref(),
            Some(format!("rules/{file}").as_str())
        );
        assert_eq!(place.region.as_ref().unwrap().start_line, Some(i64::try_from(line).unwrap()));
    }
}

#[test]
fn a_pull_request_gets_annotations() {
    let out = broken("github");
    for (code, file, line, column) in MISTAKES {
        let found = out.lines().find(|text| text.contains(&format!("title={code}::"))).unwrap();
        assert!(found.starts_with(&format!("::error file=rules/{file},line={line},")), "{found}");
        assert!(found.contains(&format!(",col={column},")), "{found}");
    }
}

#[test]
fn warnings_fail_only_where_they_are_denied() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("main.edict"), "edict 1\n\nlist unused: network = [192.0.2.0/24]\n")
        .unwrap();
    let fine = edict(dir.path(), &["check", "."]);
    assert_eq!(fine.code, 0);
    assert!(fine.out.contains("warning[W"), "{}", fine.out);
    let denied = edict(dir.path(), &["check", ".", "--deny", "warnings"]);
    assert_eq!(denied.code, 1);
    assert!(denied.err.contains("warnings are denied"), "{}", denied.err);
}

#[test]
fn proofs_can_be_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let text = "edict 1\n\nreject \"a\" {\n    when size > 10 MiB\n}\n\nreject \"b\" {\n    priority 200\n    when size > 20 MiB\n}\n";
    std::fs::write(dir.path().join("main.edict"), text).unwrap();
    let with = edict(dir.path(), &["check", ".", "--format", "short"]).out;
    let without = edict(dir.path(), &["check", ".", "--format", "short", "--no-proofs"]).out;
    assert!(with.contains("[E2") || with.contains("[W2"), "{with}");
    assert!(!without.contains("[E2") && !without.contains("[W2"), "{without}");
}

/// Of a statement one mistake is told at a time; one run mends them all the same, and ends as if each had stood alone.
#[test]
fn one_run_mends_a_line_with_several_mistakes() {
    let dir = tempfile::tempdir().unwrap();
    let line = "wehn sender.domain == b.example && size => 10 kib || not subject contain \"x\" || client.ip in trustd";
    let good = "when sender.domain is b.example and size >= 10 KiB or not subject contains \"x\" or client.ip in trusted";
    let rules = |line: &str| {
        format!(
            "edict 1\n\nprofile {{ hostname mx.example   local-domains [example.org] }}\n\nreject \"a\" {{ {line} }}\n"
        )
    };
    std::fs::write(dir.path().join("main.edict"), rules(line)).unwrap();
    let args = ["check", ".", "--fix", "--format", "short"];
    let done = edict(dir.path(), &args);
    assert_eq!(std::fs::read_to_string(dir.path().join("main.edict")).unwrap(), rules(good), "{}", done.out);
    assert!(done.err.contains("9 edits applied"), "{}", done.err);
    assert!(edict(dir.path(), &args).err.contains("0 edits applied"));
}

#[test]
fn fixes_are_applied_where_they_leave_no_choice() {
    let dir = copy("broken");
    let before = edict(dir.path(), &["check", "--format", "short"]).out;
    let done = edict(dir.path(), &["check", "--fix", "--format", "short"]);
    assert!(done.err.contains("applied") && !done.err.starts_with("0 "), "{}", done.err);
    assert!(done.out.lines().count() < before.lines().count(), "{}", done.out);
    let again = edict(dir.path(), &["check", "--fix", "--format", "short"]);
    assert_eq!(again.out, done.out);
    assert!(again.err.contains("0 edits applied"), "{}", again.err);
}
