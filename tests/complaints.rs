//! docs/complaints.md names a test for each complaint; here is seen to it that there is one.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The rows of each section: complaint, file, function.
fn rows() -> BTreeMap<String, Vec<(String, String, String)>> {
    let text = std::fs::read_to_string(root().join("docs/complaints.md")).unwrap();
    let mut out: BTreeMap<String, Vec<_>> = BTreeMap::new();
    let mut section = String::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            title.clone_into(&mut section);
        }
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        if !line.starts_with("| ") || cells.first() == Some(&"complaint") {
            continue;
        }
        let [complaint, _, test] = cells.as_slice() else { panic!("three cells are wanted: {line}") };
        let (file, function) = test.split_once("` ").unwrap_or_else(|| panic!("no test is named: {line}"));
        let row = ((*complaint).to_owned(), file.trim_matches('`').to_owned(), function.to_owned());
        out.entry(section.clone()).or_default().push(row);
    }
    out
}

#[test]
fn every_complaint_has_a_test_that_is_there() {
    let rows = rows();
    let counts: Vec<(&str, usize)> =
        rows.iter().map(|(section, rows)| (section.as_str(), rows.len())).collect();
    let least = [
        ("Blind copies", 7),
        ("Disclaimers", 15),
        ("Explain and test", 2),
        ("Lists and precedence", 4),
        ("Quotas", 7),
        ("Reload", 5),
    ];
    assert_eq!(counts.len(), least.len(), "{counts:?}");
    for ((section, count), (name, least)) in counts.iter().zip(least) {
        assert!(*section == name && *count >= least, "{section}: {count} of {least} complaints of {name}");
    }
    for (complaint, file, function) in rows.into_values().flatten() {
        let text = std::fs::read_to_string(root().join(&file))
            .unwrap_or_else(|e| panic!("{complaint}: {file}: {e}"));
        let at = text
            .find(&format!("fn {function}("))
            .unwrap_or_else(|| panic!("{complaint}: no {function} in {file}"));
        // The line above says that it is one.
        let above = text.get(..at).unwrap().lines().rev().take(3).collect::<Vec<_>>().join("\n");
        assert!(
            above.contains("test]") || above.contains("test("),
            "{complaint}: {function} in {file} is no test"
        );
    }
}

/// The file that shows every key says which of them a reload takes over, and the code agrees with it.
#[test]
fn the_configuration_says_what_a_reload_reads() {
    let text = std::fs::read_to_string(root().join("docs/edictd.ron")).unwrap();
    let told =
        text.split("A reload that\n// changes ").nth(1).and_then(|rest| rest.split(" is refused").next());
    let told = told.unwrap_or_else(|| panic!("docs/edictd.ron tells what a reload refuses to change"));
    let told: BTreeSet<&str> =
        told.split([',', ' ', '\n']).filter(|word| !["", "//", "or"].contains(word)).collect();
    let code = std::fs::read_to_string(root().join("runtime/src/config/restart.rs")).unwrap();
    let refused = code.split("compare(\"").skip(1).filter_map(|rest| rest.split('"').next());
    let refused: BTreeSet<&str> = refused.collect();
    assert!(refused.len() > 4);
    assert_eq!(told, refused);
}
