//! Each renderer on the same diagnostics, as snapshots; the one for people also on random spans and bytes.

use super::*;
use edict_compiler::source::Sources;
use edict_compiler::span::Span;
use proptest::prelude::*;
use std::path::Path;

const MAIN: &str =
    "edict 1\n\nlist bad: network = [192.0.2.1/24]\n\nreject \"ü\" {\n    when client.ip in bda\n}\n";

fn sources() -> Sources {
    let mut sources = Sources::default();
    sources.insert("access/more rules.edict", "edict 1\r\nallow \"x\" { when sender in vip }\r\n");
    sources.insert("main.edict", MAIN);
    sources
}

fn span(sources: &Sources, file: &str, text: &str) -> Span {
    let id = sources.find(file).unwrap();
    let start = std::str::from_utf8(sources.bytes(id)).unwrap().find(text).unwrap() as u32;
    Span { file: id, start, end: start + text.len() as u32 }
}

fn examples(sources: &Sources) -> Vec<Diagnostic> {
    vec![
        Diagnostic::error("E1001", "no list `bda`", span(sources, "main.edict", "bda"))
            .label("not defined")
            .also(span(sources, "main.edict", "bad"), "a list of that sound is here")
            .help("write `bad`")
            .fix("write `bad`", span(sources, "main.edict", "bda"), "bad"),
        Diagnostic::warning(
            "W3001",
            "`\"ü\"` is overruled: 100% of it",
            span(sources, "main.edict", "\"ü\""),
        )
        .also(span(sources, "access/more rules.edict", "\"x\""), "this rule wins")
        .example(vec!["client 192.0.2.7".to_owned(), "sender ceo@example.com".to_owned()]),
        Diagnostic::error(
            "E0001",
            "a line\u{1b}[31m",
            span(sources, "access/more rules.edict", "allow \"x\" { when sender in vip }"),
        ),
    ]
}

fn render(format: DiagnosticFormat) -> String {
    let sources = sources();
    let places = Places::new(&sources, Path::new("./rules/"));
    let mut out = Vec::new();
    diagnostics(&mut out, format, &places, &examples(&sources), false).unwrap();
    String::from_utf8(out).unwrap()
}

/// A byte order mark takes no column, in any format.
#[test]
fn behind_a_byte_order_mark() {
    let mut sources = Sources::default();
    sources.insert("list.txt", "\u{feff}ann@@b.example\n");
    let d = Diagnostic::error("E1401", "no address", span(&sources, "list.txt", "ann@@b.example"));
    let places = Places::new(&sources, Path::new("."));
    for format in <DiagnosticFormat as clap::ValueEnum>::value_variants() {
        let mut out = Vec::new();
        diagnostics(&mut out, *format, &places, std::slice::from_ref(&d), false).unwrap();
        let out = String::from_utf8(out).unwrap();
        let first = ["list.txt:1:1", "\"column\":1,", "\"startColumn\": 1", "line=1,endLine=1,col=1,"];
        assert!(first.iter().any(|place| out.contains(place)), "{out}");
        assert!(!out.contains('\u{feff}'), "{out}");
    }
}

#[test]
fn every_format() {
    for format in <DiagnosticFormat as clap::ValueEnum>::value_variants() {
        insta::assert_snapshot!(format!("{format:?}").to_lowercase(), render(*format));
    }
}

#[test]
fn sarif_holds_to_its_schema() {
    let read: serde_sarif::sarif::Sarif = serde_json::from_str(&render(DiagnosticFormat::Sarif)).unwrap();
    let results = read.runs[0].results.as_ref().unwrap();
    assert_eq!(results.len(), 3);
    assert_eq!(results[0].fixes.as_ref().unwrap().len(), 1);
}

#[test]
fn names_of_files() {
    let sources = sources();
    for (root, want) in [
        ("rules", "rules/main.edict"),
        ("./rules", "rules/main.edict"),
        (".", "main.edict"),
        ("-", "main.edict"),
        ("/etc/edict/", "/etc/edict/main.edict"),
        ("/", "/main.edict"),
    ] {
        let places = Places::new(&sources, Path::new(root));
        assert_eq!(places.shown(sources.find("main.edict").unwrap()), want);
    }
}

#[test]
fn tallies() {
    assert_eq!(tally(&examples(&sources())).unwrap(), "2 errors, 1 warning");
    assert_eq!(tally(&[]), None);
}

proptest! {
    #[test]
    fn any_span_of_any_bytes(
        bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'\t'), any::<u8>()], 0..200),
        spans in proptest::collection::vec((0u32..260, 0u32..260), 1..4),
    ) {
        let mut sources = Sources::default();
        sources.insert("main.edict", bytes.clone());
        let mut d = Diagnostic::error("E0001", "message", Span::default());
        for (place, (start, end)) in spans.into_iter().enumerate() {
            let span = Span { file: edict_compiler::span::FileId(0), start, end };
            if place == 0 { d.span = span } else { d = d.also(span, "label") }
        }
        let places = Places::new(&sources, Path::new("rules"));
        let region = places.region(d.span);
        if d.span.start as usize <= bytes.len() {
            prop_assert_eq!(region.start, sources.place(d.span.file, d.span.start));
        }
        for format in <DiagnosticFormat as clap::ValueEnum>::value_variants() {
            let mut out = Vec::new();
            diagnostics(&mut out, *format, &places, std::slice::from_ref(&d), true).unwrap();
            prop_assert!(!out.is_empty());
        }
    }
}
