//! Every construct of the language as data: a positive, a negative and a bad-input case each, in
//! `tests/constructs/`. The suite demands a row for every fact, operator, setting and clause that there is, so that
//! what is added to the language has to be added here.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

#[path = "lowering/mail.rs"]
#[expect(dead_code, reason = "messages are also drawn, elsewhere")]
mod mail;

use edict_compiler::diag::Severity;
use edict_compiler::parse::words::{ITEMS, SETTINGS, clauses};
use edict_compiler::source::Sources;
use edict_compiler::{Compilation, Options, compile};
use edict_table::decide::{Outcome, Ruling, Scratch, verdict};
use edict_table::emit::emit;
use edict_table::fact::REGISTRY;
use edict_table::load::Loaded;
use mail::Mail;
use std::path::Path;
use std::sync::Arc;

/// The rows of a data file, each cut at ` | `.
fn rows(name: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/constructs").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split(" | ").map(|cell| cell.trim().to_owned()).collect()).collect()
}

fn run(text: &str) -> Compilation {
    let mut sources = Sources::default();
    sources.insert("main.edict", text);
    compile(&sources, &Options { proofs: false })
}

/// The codes of the errors.
fn codes(done: &Compilation) -> Vec<&'static str> {
    done.diagnostics.iter().filter(|d| d.severity == Severity::Error).map(|d| d.code).collect()
}

/// What rows may name. `people` is a group of that name only, so that `in people` is a mistake.
const WORLD: &str = "edict 1
profile { local-domains [example.com] relay-domains [branch.example] }
list nets: network = [198.51.100.0/24, 2001:db8::/32]
list senders: address = [@bad.example, worse@x.example]
list domains: domain = [listed.example, .below.example]
list words: text = [\"act now\", \"urgent wire\"]
group people = [ann@example.com, bob@example.com]
";

#[test]
fn conditions() {
    let rows = rows("conditions.txt");
    let mut wrong = Vec::new();
    for row in &rows {
        let [test, yes, no, bad, code] = row.as_slice() else { panic!("five cells: {row:?}") };
        let done = run(&format!("{WORLD}reject \"r\" {{ when {test} }}\n"));
        let Some(table) = done.table else {
            wrong.push(format!("`{test}` is refused: {:?}", done.diagnostics));
            continue;
        };
        let loaded = Loaded::new(Arc::new(emit(&table))).unwrap();
        for (text, wanted) in [(yes, true), (no, false)] {
            let mail = Mail::read(text);
            let mut scratch = Scratch::new();
            scratch.begin(&loaded);
            let found = verdict(&loaded, &mail.facts(), &mut scratch);
            let held = match found {
                Outcome::Final(Ruling::By(_)) => true,
                Outcome::Final(Ruling::Default) => false,
                other => panic!("{test}: {other:?}"),
            };
            if held != wanted {
                wrong.push(format!("`{test}` of `{text}` is {held}"));
            }
        }
        refused(&format!("{WORLD}reject \"r\" {{ when {bad} }}\n"), bad, code, &mut wrong);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let has = |what: &str| rows.iter().any(|row| format!("{} ", row[0]).contains(what));
    for row in REGISTRY.iter().filter(|row| row.name != "time") {
        assert!(has(row.name), "no row asks `{}`", row.name);
    }
    for operator in [
        " is not ",
        " not in ",
        " in [",
        " in group ",
        " contains ",
        " contains any of ",
        " starts with ",
        " starts with any of ",
        " ends with ",
        " ends with any of ",
        " matches \"",
        " matches /",
        " < ",
        " <= ",
        " > ",
        " >= ",
        " is present ",
        " is absent ",
        " is listed in ",
        "not ",
        " and ",
        " or ",
        "(",
    ] {
        assert!(has(operator), "no row uses `{operator}`");
    }
}

/// One mistake, one message, with this code, which says what to write.
fn refused(text: &str, shown: &str, code: &str, wrong: &mut Vec<String>) {
    let done = run(text);
    let found = codes(&done);
    if found != [code] {
        let said: Vec<&String> = done.diagnostics.iter().map(|d| &d.message).collect();
        wrong.push(format!("`{shown}`: {found:?} in place of {code}: {said:?}"));
    }
    for error in done.diagnostics.iter().filter(|d| d.severity == Severity::Error) {
        let told = error.help.is_some() || !error.fixes.is_empty() || error.message.contains("expected");
        if !told {
            wrong.push(format!("`{shown}` does not say what to write: {}", error.message));
        }
    }
}

#[test]
fn settings() {
    let rows = rows("settings.txt");
    let mut wrong = Vec::new();
    let around = "list people: address = [ann@a.example]\nlist domains: domain = [x.example]\n\
        group staff = [ann@a.example]\nrelay hub { host [h.example] }\n";
    let plain = run(&format!("edict 1\n{around}")).table.unwrap().profile;
    for row in &rows {
        let [setting, wanted, bad, code] = row.as_slice() else { panic!("four cells: {row:?}") };
        let whole = |setting: &str| format!("edict 1\n{around}profile {{ {setting} }}\n");
        let done = run(&whole(setting));
        let Some(table) = done.table else {
            wrong.push(format!("`{setting}` is refused: {:?}", done.diagnostics));
            continue;
        };
        let shown = format!("{:?}", table.profile);
        if !shown.contains(wanted.as_str()) {
            wrong.push(format!("`{setting}` gives {shown}"));
        }
        if format!("{plain:?}").contains(wanted.as_str()) {
            wrong.push(format!("`{setting}` is the default"));
        }
        refused(&whole(bad), bad, code, &mut wrong);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for setting in SETTINGS {
        assert!(rows.iter().any(|row| row[0].starts_with(&format!("{setting} "))), "no row sets `{setting}`");
    }
}

#[test]
fn items() {
    let rows = rows("clauses.txt");
    let mut wrong = Vec::new();
    let around = "profile { local-domains [a.example] }\ngroup staff = [ann@a.example]\nrelay hub { host [h.example] }\n";
    for row in &rows {
        let [item, wanted, bad, code] = row.as_slice() else { panic!("four cells: {row:?}") };
        let whole = |item: &str| {
            let named = match item.split_once(" { ") {
                Some((kind, rest)) if !kind.contains(' ') => format!("{kind} \"rule\" {{ {rest}"),
                _ => item.to_owned(),
            };
            format!("edict 1\n{around}{named}\n")
        };
        let done = run(&whole(item));
        let Some(mut table) = done.table else {
            wrong.push(format!("`{item}` is refused: {:?}", done.diagnostics));
            continue;
        };
        table.provenance = edict_table::model::Provenance::default();
        let shown = format!("{table:?}");
        if !shown.contains(wanted.as_str()) {
            wrong.push(format!("`{item}` gives {shown}"));
        }
        refused(&whole(bad), bad, code, &mut wrong);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for item in ITEMS.iter().filter(|item| !["profile", "test"].contains(item)) {
        for clause in clauses(item) {
            let has = |row: &Vec<String>| {
                let kind = row[0].split(' ').next().unwrap();
                kind == *item && row[0].contains(&format!(" {clause} "))
            };
            assert!(rows.iter().any(has), "no row has `{clause}` in a `{item}`");
        }
    }
}
