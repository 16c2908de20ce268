//! Diagnostics to text: one renderer a file. A diagnostic is data; what it looks like is decided here.
//!
//! The formats for machines are streams, so that a million findings need no million in memory, but for
//! SARIF, which is one document.

mod github;
mod human;
mod json;
mod places;
mod sarif;
mod short;

#[cfg(test)]
mod tests;

pub use places::Places;

use crate::args::DiagnosticFormat;
use edict_compiler::diag::{Diagnostic, Severity};
use std::io::{self, Write};

/// Prints diagnostics in a format. `styled` only matters to those for people.
pub fn diagnostics(
    out: &mut dyn Write,
    format: DiagnosticFormat,
    places: &Places<'_>,
    all: &[Diagnostic],
    styled: bool,
) -> io::Result<()> {
    match format {
        DiagnosticFormat::Human => human::render(out, places, all, styled),
        DiagnosticFormat::Short => short::render(out, places, all),
        DiagnosticFormat::Json => json::render(out, places, all),
        DiagnosticFormat::Sarif => sarif::render(out, places, all),
        DiagnosticFormat::Github => github::render(out, places, all),
    }
}

/// The word of a severity.
fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

/// Whether an error is among them.
pub fn failed(all: &[Diagnostic]) -> bool {
    all.iter().any(|d| d.severity == Severity::Error)
}

/// `2 errors, 1 warning`; none where there is neither.
pub fn tally(all: &[Diagnostic]) -> Option<String> {
    let count = |severity| all.iter().filter(|d| d.severity == severity).count();
    let parts: Vec<String> = [Severity::Error, Severity::Warning]
        .into_iter()
        .filter_map(|severity| match count(severity) {
            0 => None,
            1 => Some(format!("1 {}", word(severity))),
            n => Some(format!("{n} {}s", word(severity))),
        })
        .collect();
    if parts.is_empty() { None } else { Some(parts.join(", ")) }
}
