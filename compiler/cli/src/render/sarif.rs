//! SARIF 2.1.0 (OASIS), the format of code scanning services. One document with one run.
//!
//! File names are URI references from the current folder, as GitHub wants them.

use super::{Places, word};
use edict_compiler::diag::Diagnostic;
use edict_compiler::span::Span;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Write};

/// The whole document.
pub fn render(out: &mut dyn Write, places: &Places<'_>, all: &[Diagnostic]) -> io::Result<()> {
    let codes: BTreeSet<&str> = all.iter().map(|d| d.code).collect();
    let rules: Vec<Value> = codes.iter().map(|code| json!({ "id": code })).collect();
    let results: Vec<Value> = all.iter().map(|d| result(places, &codes, d)).collect();
    let document = json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "edict",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    serde_json::to_writer_pretty(&mut *out, &document)?;
    out.write_all(b"\n")
}

fn result(places: &Places<'_>, codes: &BTreeSet<&str>, d: &Diagnostic) -> Value {
    let mut text = d.message.clone();
    if !d.example.is_empty() {
        text.push_str("\nexample:\n");
        text.push_str(&d.example.join("\n"));
    }
    if let Some(help) = &d.help {
        text.push_str("\nhelp: ");
        text.push_str(help);
    }
    let mut value = json!({
        "ruleId": d.code,
        "ruleIndex": codes.iter().position(|code| *code == d.code),
        "level": word(d.severity),
        "message": { "text": text },
        "locations": [location(places, d.span, &d.label)],
    });
    let related: Vec<Value> = d.labels.iter().map(|(span, label)| location(places, *span, label)).collect();
    let fixes: Vec<Value> = d
        .fixes
        .iter()
        .map(|fix| {
            json!({
                "description": { "text": fix.title },
                "artifactChanges": [{
                    "artifactLocation": artifact(places, fix.span),
                    "replacements": [{
                        "deletedRegion": region(places, fix.span),
                        "insertedContent": { "text": fix.text },
                    }],
                }],
            })
        })
        .collect();
    if let Some(object) = value.as_object_mut() {
        // The schema wants these absent rather than empty or null.
        if !related.is_empty() {
            object.insert("relatedLocations".to_owned(), Value::Array(related));
        }
        if !fixes.is_empty() {
            object.insert("fixes".to_owned(), Value::Array(fixes));
        }
    }
    value
}

fn location(places: &Places<'_>, span: Span, label: &str) -> Value {
    let mut value = json!({
        "physicalLocation": {
            "artifactLocation": artifact(places, span),
            "region": region(places, span),
        },
    });
    if let (false, Some(object)) = (label.is_empty(), value.as_object_mut()) {
        object.insert("message".to_owned(), json!({ "text": label }));
    }
    value
}

fn artifact(places: &Places<'_>, span: Span) -> Value {
    let shown = places.shown(span.file);
    let mut uri = String::with_capacity(shown.len());
    if shown.starts_with('/') {
        uri.push_str("file://");
    }
    for byte in shown.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    json!({ "uri": uri })
}

fn region(places: &Places<'_>, span: Span) -> Value {
    let region = places.region(span);
    json!({
        "startLine": region.start.line,
        "startColumn": region.start.column,
        "endLine": region.end.line,
        "endColumn": region.end.column,
    })
}
