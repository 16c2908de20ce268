//! One JSON object a line. Keys are only ever added. Files are relative to the rule folder.

use super::{Places, word};
use edict_compiler::diag::Diagnostic;
use edict_compiler::span::Span;
use serde::Serialize;
use std::io::{self, Write};

#[derive(Serialize)]
struct Object<'a> {
    code: &'static str,
    severity: &'static str,
    message: &'a str,
    #[serde(flatten)]
    at: At<'a>,
    label: &'a str,
    labels: Vec<Label<'a>>,
    help: Option<&'a str>,
    fixes: Vec<Edit<'a>>,
    example: &'a [String],
}

#[derive(Serialize)]
struct At<'a> {
    file: &'a str,
    line: u32,
    column: u32,
    end_line: u32,
    end_column: u32,
}

#[derive(Serialize)]
struct Label<'a> {
    #[serde(flatten)]
    at: At<'a>,
    message: &'a str,
}

#[derive(Serialize)]
struct Edit<'a> {
    title: &'a str,
    #[serde(flatten)]
    at: At<'a>,
    text: &'a str,
}

fn at<'a>(places: &Places<'a>, span: Span) -> At<'a> {
    let region = places.region(span);
    At {
        file: places.relative(span.file),
        line: region.start.line,
        column: region.start.column,
        end_line: region.end.line,
        end_column: region.end.column,
    }
}

/// Lines and columns count from 1, columns in characters; an end is behind the last character.
pub fn render(out: &mut dyn Write, places: &Places<'_>, all: &[Diagnostic]) -> io::Result<()> {
    for d in all {
        let object = Object {
            code: d.code,
            severity: word(d.severity),
            message: &d.message,
            at: at(places, d.span),
            label: &d.label,
            labels: d.labels.iter().map(|(span, message)| Label { at: at(places, *span), message }).collect(),
            help: d.help.as_deref(),
            fixes: d
                .fixes
                .iter()
                .map(|fix| Edit { title: &fix.title, at: at(places, fix.span), text: &fix.text })
                .collect(),
            example: &d.example,
        };
        serde_json::to_writer(&mut *out, &object)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
