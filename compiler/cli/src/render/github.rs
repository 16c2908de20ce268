//! Workflow commands of GitHub Actions, which become annotations on a pull request.
//!
//! Files are named from the current folder, which is the repository in a workflow.

use super::{Places, word};
use crate::console::clean;
use edict_compiler::diag::{Diagnostic, Severity};
use std::io::{self, Write};

/// `::error file=rules/main.edict,line=3,col=5,…,title=E1001::message`
pub fn render(out: &mut dyn Write, places: &Places<'_>, all: &[Diagnostic]) -> io::Result<()> {
    for d in all {
        let region = places.region(d.span);
        let command = match d.severity {
            Severity::Note => "notice",
            severity => word(severity),
        };
        let mut text = d.message.clone();
        if !d.label.is_empty() {
            text.push_str(": ");
            text.push_str(&d.label);
        }
        for (span, label) in &d.labels {
            let place = places.region(*span).start;
            text.push_str(&format!("\n{}:{}: {label}", places.shown(span.file), place.line));
        }
        if !d.example.is_empty() {
            text.push_str("\nexample: ");
            text.push_str(&d.example.join("; "));
        }
        if let Some(help) = &d.help {
            text.push_str("\nhelp: ");
            text.push_str(help);
        }
        // GitHub reads columns only where a region stays on one line.
        let columns = if region.start.line == region.end.line {
            format!(",col={},endColumn={}", region.start.column, region.end.column)
        } else {
            String::new()
        };
        writeln!(
            out,
            "::{command} file={},line={},endLine={}{columns},title={}::{}",
            property(&places.shown(d.span.file)),
            region.start.line,
            region.end.line,
            d.code,
            data(&clean(&text))
        )?;
    }
    Ok(())
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
