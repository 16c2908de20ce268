//! Syntax as data: every file in `tests/syntax/good` parses without a word, every file in
//! `tests/syntax/bad` says what its snapshot holds. A new case is a new file.

#![expect(clippy::unwrap_used, reason = "a test")]

use edict_compiler::diag::Diagnostic;
use edict_compiler::parse::parse;
use edict_compiler::source::Sources;
use edict_compiler::span::{FileId, Span};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

fn cases(folder: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/syntax").join(folder);
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, fs::read(path).unwrap())
    };
    paths.iter().filter(|p| p.extension().is_some_and(|e| e == "edict")).map(read).collect()
}

/// A diagnostic with its line and a caret, and all that belongs to it.
fn show(sources: &Sources, d: &Diagnostic) -> String {
    let place = |span: Span| {
        let p = sources.place(span.file, span.start);
        format!("{}:{}", p.line, p.column)
    };
    let start = sources.place(d.span.file, d.span.start);
    let text = sources.text(Span { file: d.span.file, start: 0, end: u32::MAX });
    let text =
        if text.is_empty() { String::from_utf8_lossy(sources.bytes(d.span.file)).into_owned() } else { text };
    let line = text.lines().nth(start.line as usize - 1).unwrap_or("").replace(|c: char| c.is_control(), "?");
    let marked = sources.text(d.span);
    let width = marked.lines().next().unwrap_or("").chars().count().max(1);
    let mut out = String::new();
    let severity = format!("{:?}", d.severity).to_lowercase();
    writeln!(out, "{severity}[{}] {}: {}", d.code, place(d.span), d.message).unwrap();
    writeln!(out, "    | {line}").unwrap();
    let label =
        format!("{}{} {}", " ".repeat(start.column as usize - 1), "^".repeat(width.min(100)), d.label);
    writeln!(out, "    | {}", label.trim_end()).unwrap();
    for (span, label) in &d.labels {
        writeln!(
            out,
            "    = {}: `{}` {label}",
            place(*span),
            sources.text(*span).lines().next().unwrap_or("")
        )
        .unwrap();
    }
    if let Some(help) = &d.help {
        writeln!(out, "    = help: {help}").unwrap();
    }
    for fix in d.fixes.iter().take(3) {
        let old = sources.text(fix.span);
        writeln!(out, "    = fix: {}: {:?} becomes {:?}", fix.title, old, fix.text).unwrap();
    }
    out
}

#[test]
fn good_files_are_good() {
    for (name, bytes) in cases("good") {
        let parsed = parse(FileId(0), &bytes);
        assert_eq!(parsed.diagnostics, [], "{name}");
        assert!(parsed.ast.edition.is_some(), "{name}");
    }
}

#[test]
fn bad_files_say_what_is_wrong() {
    let mut codes = BTreeSet::new();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("syntax/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _guard = settings.bind_to_scope();
    for (name, bytes) in cases("bad") {
        let mut sources = Sources::default();
        sources.insert("main.edict", bytes.as_slice());
        let parsed = parse(FileId(0), &bytes);
        assert!(!parsed.diagnostics.is_empty(), "{name} has no mistake");
        let shown: Vec<String> = parsed.diagnostics.iter().map(|d| show(&sources, d)).collect();
        for d in &parsed.diagnostics {
            assert!(d.help.is_some() || d.code == "E0029", "{name}: no help: {}: {}", d.code, d.message);
        }
        codes.extend(parsed.diagnostics.iter().map(|d| d.code));
        insta::assert_snapshot!(name, shown.join("\n"));
    }
    // Each code of the parser has a case.
    for number in (1..=31).filter(|n| *n != 29) {
        let code = format!("E{number:04}");
        assert!(number == 1 || codes.contains(code.as_str()), "no case shows {code}");
    }
}

/// What machines can mend is mended: applying every fix of a file leaves no diagnostic that had one.
#[test]
fn fixes_mend() {
    for (name, mut bytes) in cases("bad") {
        for _ in 0..20 {
            let parsed = parse(FileId(0), &bytes);
            let Some(fix) = parsed.diagnostics.iter().flat_map(|d| d.fixes.first()).next() else { break };
            let mended =
                [&bytes[..fix.span.start as usize], fix.text.as_bytes(), &bytes[fix.span.end as usize..]];
            bytes = mended.concat();
        }
        let left = parse(FileId(0), &bytes).diagnostics;
        let left: Vec<_> = left.iter().filter(|d| !d.fixes.is_empty()).collect();
        assert!(left.is_empty(), "{name}: {left:?}\n{}", String::from_utf8_lossy(&bytes));
    }
}

/// The reference: every example parses, every fact and setting has a row, and its grammar is the parser's.
#[test]
fn the_reference_is_the_language() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("../docs/language.md")).unwrap();
    let examples: Vec<&str> =
        page.split("```edict\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(examples.len() > 5);
    for example in examples {
        let parsed = parse(FileId(0), example.as_bytes());
        assert_eq!(parsed.diagnostics, [], "{example}");
    }
    for row in edict_table::fact::REGISTRY.iter().filter(|row| row.name != "time") {
        let name = match row.name {
            "header" => "header(\"X\")",
            "client.ip is listed in" => "client.ip is listed in \"zone\"",
            name => name,
        };
        assert!(page.contains(&format!("\n| `{name}` | ")), "{name} has no row");
    }
    for setting in edict_compiler::parse::words::SETTINGS {
        assert!(page.contains(&format!("\n| `{setting}` | ")), "{setting} has no row");
    }
    for (word, _) in edict_compiler::parse::words::RESERVED {
        assert!(page.contains(&format!("`{word}`")), "{word} is not named");
    }
    let parser = fs::read_to_string(root.join("src/parse.rs")).unwrap();
    let grammar = |text: &str| -> String {
        text.split("```text\n")
            .nth(1)
            .unwrap()
            .split("```")
            .next()
            .unwrap()
            .trim_end_matches("//! ")
            .to_owned()
    };
    let ours: String = grammar(&parser)
        .lines()
        .map(|l| format!("{}\n", l.trim_start_matches("//!").trim_start_matches(' ')))
        .collect();
    let theirs: String = grammar(&page).lines().map(|l| format!("{}\n", l.trim_start_matches(' '))).collect();
    assert_eq!(ours, theirs);
}
