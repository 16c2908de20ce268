//! Where a command takes a table or a rule folder, this makes one of either.

use crate::args::DiagnosticFormat;
use crate::console::{Console, Failure};
use crate::files::read_whole;
use crate::{folder, progress, render};
use edict_compiler::{Options, compile};
use edict_table::emit::emit;
use edict_table::load::Loaded;
use edict_table::model::Table;
use std::path::Path;
use std::sync::Arc;

/// Loads a table, or compiles a rule folder and loads the result. None where the rules have errors,
/// which were then printed as remarks.
pub fn open(path: &Path, console: &mut Console) -> Result<Option<Loaded>, Failure> {
    if path.is_dir() {
        let sources = folder::read(path)?;
        // The proofs say nothing about one mail, and take their time.
        let result = progress::during("reading rules", || compile(&sources, &Options { proofs: false }));
        return match result.table.filter(|_| !render::failed(&result.diagnostics)) {
            Some(table) => load(&table).map(Some),
            None => {
                let places = render::Places::new(&sources, path);
                let styled = console.err_colour();
                let format = DiagnosticFormat::Human;
                render::diagnostics(console.err(), format, &places, &result.diagnostics, styled)?;
                Ok(None)
            }
        };
    }
    let loaded = Loaded::new(Arc::new(read_whole(path)?));
    loaded.map(Some).map_err(|e| Failure::Use(format!("`{}` is no table: {e}", path.display())))
}

/// Emits a table and loads it, as the daemon would.
pub fn load(table: &Table) -> Result<Loaded, Failure> {
    Loaded::new(Arc::new(emit(table)))
        .map_err(|e| Failure::Use(format!("the table does not load, which is a bug in edict: {e}")))
}
