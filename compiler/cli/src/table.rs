//! Where a command takes a table or a rule folder, this makes one of either.

use crate::args::DiagnosticFormat;
use crate::console::{Console, Failure};
use crate::files::read_whole;
use crate::{folder, render};
use edict_compiler::{Options, compile};
use edict_table::emit::emit;
use edict_table::load::Loaded;
use std::path::Path;
use std::sync::Arc;

/// Loads a table, or compiles a rule folder and loads the result. None where the rules have errors,
/// which were then printed as remarks.
pub fn open(path: &Path, console: &mut Console) -> Result<Option<Loaded>, Failure> {
    let bytes = if path.is_dir() {
        let sources = folder::read(path)?;
        // The proofs say nothing about one mail, and take their time.
        let result = compile(&sources, &Options { proofs: false });
        let Some(table) = result.table.filter(|_| !render::failed(&result.diagnostics)) else {
            let places = render::Places::new(&sources, path);
            let styled = console.err_colour();
            let format = DiagnosticFormat::Human;
            render::diagnostics(console.err(), format, &places, &result.diagnostics, styled)?;
            return Ok(None);
        };
        emit(&table)
    } else {
        read_whole(path)?
    };
    let loaded = Loaded::new(Arc::new(bytes));
    loaded.map(Some).map_err(|e| Failure::Use(format!("`{}` is no table: {e}", path.display())))
}
