//! Golden cases: small rule sets with what the compiler says about each. A case is a file in
//! `tests/golden/`; add one there, no function here. Lines `=== path` begin further files of a case; `=== path latin-1` one that is not UTF-8,
//! `=== path named pipe` what is no file.

#![expect(clippy::unwrap_used, reason = "a test")]

use edict_compiler::diag::{Diagnostic, Severity};
use edict_compiler::source::Sources;
use edict_compiler::span::Span;
use edict_compiler::{Compilation, Options, compile};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn cases() -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "edict"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    out.sort();
    out
}

fn sources(text: &str) -> Sources {
    let mut out = Sources::default();
    let mut path = "main.edict".to_owned();
    let mut body = String::new();
    let mut insert = |path: String, body: String| {
        let latin = |text: &str| text.chars().map(|c| u8::try_from(c).unwrap()).collect::<Vec<u8>>();
        match (path.strip_suffix(" latin-1"), path.strip_suffix(" named pipe")) {
            (Some(path), _) => out.insert(path, latin(&body)),
            (_, Some(path)) => out.note(path, "a named pipe"),
            _ => out.insert(path, body),
        }
    };
    for line in text.split_inclusive('\n') {
        if let Some(next) = line.strip_prefix("=== ") {
            if path != "main.edict" || !body.is_empty() {
                insert(path, std::mem::take(&mut body));
            }
            path = next.trim().to_owned();
            body.clear();
        } else {
            body.push_str(line);
        }
    }
    insert(path, body);
    out
}

fn place(sources: &Sources, span: Span) -> String {
    let at = sources.place(span.file, span.start);
    format!(
        "{}:{}:{} `{}`",
        sources.path(span.file),
        at.line,
        at.column,
        sources.text(span).replace('\n', "\\n")
    )
}

fn render(sources: &Sources, compilation: &Compilation) -> String {
    let mut out = String::new();
    for d in &compilation.diagnostics {
        let severity = match d.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        writeln!(out, "{severity}[{}]: {}", d.code, d.message).unwrap();
        writeln!(out, "  at {}: {}", place(sources, d.span), d.label).unwrap();
        for (span, label) in &d.labels {
            writeln!(out, "  at {}: {label}", place(sources, *span)).unwrap();
        }
        if let Some(help) = &d.help {
            writeln!(out, "  help: {help}").unwrap();
        }
        for fix in &d.fixes {
            writeln!(out, "  fix: {} at {} gives `{}`", fix.title, place(sources, fix.span), fix.text)
                .unwrap();
        }
        for line in &d.example {
            writeln!(out, "  | {line}").unwrap();
        }
    }
    if compilation.diagnostics.is_empty() {
        out.push_str("nothing to say\n");
    }
    out
}

#[test]
fn cases_say_what_they_said() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder().join("said"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for (name, text) in cases() {
            let sources = sources(&text);
            let compilation = compile(&sources, &Options::default());
            assert_eq!(compilation.failed(), compilation.table.is_none(), "{name}");
            insta::assert_snapshot!(name.as_str(), render(&sources, &compilation));
        }
    });
}

/// Each message says what to write instead.
#[test]
fn every_message_helps() {
    let mut without = Vec::new();
    for (name, text) in cases() {
        let said = compile(&sources(&text), &Options::default()).diagnostics;
        without.extend(
            said.into_iter()
                .filter(|d| d.help.is_none())
                .map(|d| format!("{name}: {}: {}", d.code, d.message)),
        );
    }
    assert!(without.is_empty(), "{without:#?}");
}

/// A case is named after the code that it shows: `E1101-unknown-list`.
#[test]
fn cases_show_their_code() {
    for (name, text) in cases() {
        let code = name.split('-').next().unwrap().to_owned();
        let compilation = compile(&sources(&text), &Options::default());
        let codes: Vec<&str> = compilation.diagnostics.iter().map(|d| d.code).collect();
        if code == "fine" {
            assert!(!compilation.failed(), "{name} fails: {codes:?}");
        } else {
            assert!(codes.contains(&code.as_str()), "{name} says {codes:?}");
        }
    }
}

/// What a fix offers works: once it is made, what it was offered for is said no more, and nothing that is worse.
#[test]
fn fixes_mend() {
    let mut count = 0;
    for (name, text) in cases() {
        let before = sources(&text);
        let said = compile(&before, &Options::default()).diagnostics;
        for (diagnostic, fix) in said.iter().flat_map(|d| d.fixes.iter().map(move |fix| (d, fix))) {
            let mut after = Sources::default();
            for (path, bytes) in before.iter() {
                let mut bytes = bytes.to_vec();
                if before.find(path) == Some(fix.span.file) {
                    bytes.splice(fix.span.start as usize..fix.span.end as usize, fix.text.bytes());
                }
                after.insert(path, bytes);
            }
            let now = compile(&after, &Options::default()).diagnostics;
            // A name that is wrong in several places is told once, and mended one place after the other.
            let same = |d: &&Diagnostic| (d.code, &d.message) == (diagnostic.code, &diagnostic.message);
            let places =
                |all: &[Diagnostic]| all.iter().filter(same).map(|d| 1 + d.labels.len()).sum::<usize>();
            let still = places(&now) >= places(&said);
            assert!(!still, "{name}: `{}` mends nothing: {}", fix.title, diagnostic.message);
            let errors = |all: &[Diagnostic]| {
                all.iter().filter(|d| d.severity == Severity::Error && d.code < "E1").count()
            };
            assert!(errors(&now) <= errors(&said), "{name}: `{}` breaks the syntax: {now:#?}", fix.title);
            count += 1;
        }
    }
    assert!(count > 20, "{count} fixes");
}

/// Every code that stands in the compiler's sources has a page and a case, and no page speaks of a code
/// that does not exist.
#[test]
fn codes_have_pages_and_cases() {
    let mut used = BTreeSet::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut used);
    let paged: BTreeSet<String> =
        edict_compiler::codes::PAGES.iter().map(|(code, _)| (*code).to_owned()).collect();
    let shown: BTreeSet<String> =
        cases().iter().filter_map(|(name, _)| name.split('-').next().map(str::to_owned)).collect();
    // Syntax has cases of its own.
    let syntax = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/syntax/snapshots");
    let said: String = std::fs::read_dir(syntax)
        .unwrap()
        .map(|e| std::fs::read_to_string(e.unwrap().path()).unwrap())
        .collect();
    let without_page: Vec<_> = used.difference(&paged).collect();
    let without_use: Vec<_> = paged.difference(&used).collect();
    let without_case = used.difference(&shown).filter(|code| !said.contains(code.as_str()));
    // A file of more than 16 MiB is no case to keep in a folder: the lexer's own tests make one.
    let without_case: Vec<_> = without_case.filter(|code| *code != "E0001").collect();
    assert!(without_page.is_empty(), "codes without a page: {without_page:?}");
    assert!(without_use.is_empty(), "pages of unknown codes: {without_use:?}");
    assert!(without_case.is_empty(), "codes without a golden case: {without_case:?}");
    for (code, page) in edict_compiler::codes::PAGES {
        assert!(page.starts_with(&format!("# {code}")), "the page of {code} begins with its name");
    }
}

fn collect(folder: &Path, out: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, out);
        } else if !path.ends_with("codes.rs") && path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            // Codes are quoted strings of a letter and four digits.
            for piece in text.split('"') {
                let digits = piece.get(1..).unwrap_or_default();
                let letter = piece.starts_with(['E', 'W']);
                if letter && piece.len() == 5 && digits.bytes().all(|b| b.is_ascii_digit()) {
                    out.insert(piece.to_owned());
                }
            }
        }
    }
}
