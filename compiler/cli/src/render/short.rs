//! One line a diagnostic, in the form that editors and `grep` understand.

use super::{Places, word};
use crate::console::clean;
use edict_compiler::diag::Diagnostic;
use std::io::{self, Write};

/// `file:line:column: error[E1001]: message`
pub fn render(out: &mut dyn Write, places: &Places<'_>, all: &[Diagnostic]) -> io::Result<()> {
    for d in all {
        let start = places.region(d.span).start;
        let file = places.shown(d.span.file);
        let message = d.message.replace('\n', " ");
        let line =
            format!("{file}:{}:{}: {}[{}]: {message}", start.line, start.column, word(d.severity), d.code);
        writeln!(out, "{}", clean(&line).replace('\n', " "))?;
    }
    Ok(())
}
