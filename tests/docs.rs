//! The pages that promise tests: docs/conformance.md and docs/threat-model.md name tests that exist, and the tests
//! name what they hold.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// The test of this name in a source: its comment, its attributes and its body. None where there is no such function, or
/// it is no test.
fn test_in(source: &str, function: &str) -> Option<String> {
    let lines: Vec<&str> = source.lines().collect();
    let head = format!("fn {function}(");
    let begin = lines.iter().position(|line| {
        let line = line.trim_start();
        line.strip_prefix("async ").unwrap_or(line).starts_with(&head)
    })?;
    let indent = |line: &str| line.len() - line.trim_start().len();
    let above = |line: &&&str| line.trim_start().starts_with(['/', '#']);
    let first = begin - lines[..begin].iter().rev().take_while(above).count();
    let test = |line: &&str| ["#[test]", "#[tokio::test"].iter().any(|a| line.trim_start().starts_with(a));
    if !lines[first..begin].iter().any(test) {
        return None;
    }
    let end =
        lines[begin..].iter().position(|line| line.trim() == "}" && indent(line) == indent(lines[begin]))?;
    Some(lines[first..=begin + end].join("\n"))
}

/// The text of the test that a page names: of a dialogue the whole, else the function alone, so that what it names is its
/// own and not its neighbour's.
fn test_text(name: &str) -> Result<String, String> {
    if name.ends_with(".txt") {
        let folder = if name.contains('/') { "runtime/tests" } else { "runtime/tests/smtp" };
        return read(&root().join(folder).join(name)).ok_or_else(|| format!("there is no dialogue {name}"));
    }
    let (place, function) = name.rsplit_once("::").ok_or_else(|| format!("{name} names no test"))?;
    let candidates: Vec<PathBuf> = match place.strip_suffix(".rs") {
        // A file of tests, or a folder of them.
        Some(stem) => {
            ["tests", "runtime/tests", "runtime/message/tests", "compiler/cli/tests", "runtime/table/tests"]
                .iter()
                .flat_map(|folder| {
                    let base = root().join(folder);
                    let mut all = vec![base.join(format!("{stem}.rs"))];
                    if let Ok(entries) = std::fs::read_dir(base.join(stem)) {
                        all.extend(entries.map(|e| e.unwrap().path()));
                    }
                    all
                })
                .collect()
        }
        None => {
            let path = place.replace("::", "/");
            let mut all = Vec::new();
            for source in ["runtime/src", "runtime/message/src", "runtime/table/src", "compiler/src"] {
                let base = root().join(source);
                all.push(base.join(format!("{path}.rs")));
                all.push(base.join(&path).join("mod.rs"));
                all.push(base.join(&path).join("tests.rs"));
            }
            all
        }
    };
    candidates
        .iter()
        .filter_map(|path| test_in(&read(path)?, function))
        .next()
        .ok_or_else(|| format!("there is no test {name}"))
}

/// The rows of a page's tables: the cells, without heads and rules.
fn rows(page: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut in_head = true;
    for line in page.lines() {
        if !line.starts_with('|') {
            in_head = true;
            continue;
        }
        if line.starts_with("|---") {
            in_head = false;
            continue;
        }
        if !in_head {
            rows.push(line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect());
        }
    }
    rows
}

/// What stands in backticks and names a test.
fn tests_of(cell: &str) -> Vec<&str> {
    let quoted = cell.split('`').skip(1).step_by(2);
    quoted.filter(|word| word.ends_with(".txt") || word.contains("::")).collect()
}

/// Whether a text names a section, and not only one below it: `4.1.1`, where `4.1.1.4` is not enough.
fn names(text: &str, section: &str) -> bool {
    text.match_indices(section).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let mut after = text[at + section.len()..].chars();
        let more = match (after.next(), after.next()) {
            (Some(c), _) if c.is_ascii_digit() => true,
            (Some('.'), Some(c)) => c.is_ascii_digit(),
            _ => false,
        };
        !more && !before.is_some_and(|c| c.is_ascii_digit() || c == '.')
    })
}

/// Sections of RFC 5321 that say MUST, SHOULD, REQUIRED, SHALL or RECOMMENDED of anybody; its appendices by letter.
const SECTIONS: &str = "1.3 2.1 2.2.1 2.2.2 2.2.3 2.3.4 2.3.5 2.3.8 2.3.11 2.4 3.1 3.2 3.3 3.4 3.5.1 3.5.2 3.5.3 3.5.4 \
    3.6.1 3.6.2 3.6.3 3.7.2 3.7.3 3.7.4 3.7.5 3.8 3.9 4.1.1 4.1.1.1 4.1.1.3 4.1.1.4 4.1.1.5 4.1.1.8 4.1.1.9 4.1.1.10 \
    4.1.2 4.1.3 4.1.4 4.1.5 4.2 4.2.1 4.2.4 4.2.5 4.3.1 4.3.2 4.4 4.5.1 4.5.2 4.5.3.1 4.5.3.1.7 4.5.3.1.8 4.5.3.1.10 \
    4.5.3.2 4.5.3.2.7 4.5.4 4.5.4.1 4.5.4.2 4.5.5 5.1 6.1 6.2 6.3 6.4 7.2 7.3 7.5 7.9 8 B C E F F.1 F.2 F.3 F.4 F.5 F.6";

/// The sections in a row's first cell; `4.1.1.6 to 4.1.1.9` are four.
fn sections(cell: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut words = cell.split([',', ' ']).filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        if word != "to" {
            out.push(word.to_owned());
            continue;
        }
        let (front, end) = words.next().and_then(|word| word.rsplit_once('.')).unwrap();
        let begin: u32 = out.last().unwrap().rsplit_once('.').unwrap().1.parse().unwrap();
        out.extend((begin + 1..=end.parse().unwrap()).map(|n| format!("{front}.{n}")));
    }
    out
}

#[test]
fn every_requirement_names_a_test_that_names_it() {
    let page = read(&root().join("docs/conformance.md")).unwrap();
    let parts: Vec<_> = page.split("\n## ").filter(|part| part.starts_with("RFC 5321, the ")).collect();
    assert_eq!(parts.len(), 2, "receiving and sending");
    let mut wrong = Vec::new();
    let mut told = Vec::new();
    for row in parts.into_iter().flat_map(rows) {
        let [section, requirement, held] = row.as_slice() else { panic!("{row:?}") };
        told.extend(sections(section));
        let tests = tests_of(held);
        if tests.is_empty() {
            // The reason is said, and not only that there is one.
            let reasons =
                ["does not apply: ", "does not apply as a rule: ", "does not: ", "docs/threat-model.md"];
            if !reasons.iter().any(|reason| held.starts_with(reason)) {
                wrong.push(format!("{section} {requirement}: neither a test nor a reason"));
            }
            continue;
        }
        let texts: Vec<String> = tests.iter().filter_map(|name| test_text(name).ok()).collect();
        for number in sections(section) {
            let named = if number.len() == 1 { format!("appendix {number}") } else { number };
            if !texts.iter().any(|text| names(text, &named)) {
                wrong.push(format!("{section}: none of {tests:?} names {named}"));
            }
        }
    }
    for section in SECTIONS.split_whitespace() {
        if !told.iter().any(|number| number == section) {
            wrong.push(format!("{section} says MUST or SHOULD, and no row is about it"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The same for the extensions: each RFC of a row is named by one of the row's tests.
#[test]
fn every_extension_is_named_by_a_test_of_it() {
    let page = read(&root().join("docs/conformance.md")).unwrap();
    let parts: Vec<_> = page.split("\n## ").filter(|part| part.starts_with("Extensions, the ")).collect();
    assert_eq!(parts.len(), 2, "receiving and sending");
    let mut wrong = Vec::new();
    for row in parts.into_iter().flat_map(rows) {
        let [what, _, held] = row.as_slice() else { panic!("{row:?}") };
        let tests = tests_of(held);
        let texts: Vec<String> = tests.iter().filter_map(|name| test_text(name).ok()).collect();
        let numbers =
            what.split([',', ' ']).filter(|w| w.len() == 4 && w.bytes().all(|b| b.is_ascii_digit()));
        for number in numbers {
            if !texts.iter().any(|text| text.contains(number)) {
                wrong.push(format!("{what}: none of {tests:?} names RFC {number}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_test_that_a_page_names_exists() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for name in ["docs/conformance.md", "docs/threat-model.md"] {
        let page = read(&root().join(name)).unwrap();
        for row in rows(&page) {
            let held = row.last().map_or("", String::as_str);
            // A file of tests holds nothing by itself: a row names the function.
            if let Some(file) = held.split('`').skip(1).step_by(2).find(|word| word.ends_with(".rs")) {
                wrong.push(format!("{name}: {file} is no test, one in it is"));
            }
            for test in row.last().map(|cell| tests_of(cell)).unwrap_or_default() {
                count += 1;
                if let Err(why) = test_text(test) {
                    wrong.push(format!("{name}: {why}"));
                }
            }
        }
    }
    assert!(count > 100, "{count} tests were found on the pages");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each class of flaw of other mail servers has a test that names it.
#[test]
fn every_class_of_flaw_has_a_test_that_names_it() {
    let page = read(&root().join("docs/threat-model.md")).unwrap();
    let table = page.split("\n## ").find(|part| part.starts_with("Classes of flaws")).unwrap();
    let rows = rows(table);
    assert!(rows.len() >= 21, "{} classes", rows.len());
    let mut wrong = Vec::new();
    for row in rows {
        let [class, _, held] = row.as_slice() else { panic!("{row:?}") };
        let tests = tests_of(held);
        let texts: Vec<String> = tests.iter().filter_map(|name| test_text(name).ok()).collect();
        let lower = class.to_lowercase();
        if !texts.iter().any(|text| text.to_lowercase().contains(&lower)) {
            wrong.push(format!("none of {tests:?} names `{class}`"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
