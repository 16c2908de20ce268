//! Golden cases: small rule sets with what the compiler says about each. A case is a file in
//! `tests/golden/`; add one there, no function here. Lines `=== path` begin further files of a case.

#![expect(clippy::unwrap_used, reason = "a test")]

use edict_compiler::diag::Severity;
use edict_compiler::source::Sources;
use edict_compiler::span::Span;
use edict_compiler::{Compilation, Options, compile};
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
    for line in text.split_inclusive('\n') {
        if let Some(next) = line.strip_prefix("=== ") {
            if path != "main.edict" || !body.is_empty() {
                out.insert(path, std::mem::take(&mut body));
            }
            path = next.trim().to_owned();
            body.clear();
        } else {
            body.push_str(line);
        }
    }
    out.insert(path, body);
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
