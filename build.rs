//! Compiles `rules/` into the table that the daemon embeds.
//!
//! Prints the compiler's diagnostics as cargo errors and warnings, writes the artifact to OUT_DIR and
//! generates no Rust.

use edict_compiler::diag::{Diagnostic, Severity};
use edict_compiler::source::Sources;
use edict_compiler::{Options, compile};
use std::error::Error;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=rules");
    let mut sources = Sources::default();
    read_folder(Path::new("rules"), "", &mut sources)?;
    let compilation = compile(&sources, &Options::default());
    for diagnostic in &compilation.diagnostics {
        let kind = if diagnostic.severity == Severity::Error { "error" } else { "warning" };
        println!("cargo::{kind}={}", line(&sources, diagnostic));
    }
    // Without a table there was an error, and cargo stops at the line printed above.
    let Some(table) = compilation.table else {
        return Ok(());
    };
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    std::fs::write(out.join("default.table"), edict_table::emit::emit(&table))?;
    Ok(())
}

fn read_folder(folder: &Path, prefix: &str, sources: &mut Sources) -> Result<(), Box<dyn Error>> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|n| format!("{} is not UTF-8", n.display()))?;
        let path = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            read_folder(&entry.path(), &format!("{path}/"), sources)?;
        } else {
            sources.insert(path, std::fs::read(entry.path())?);
        }
    }
    Ok(())
}

/// `rules/main.edict:3:5: E1001: message (help)`; cargo takes one line each.
fn line(sources: &Sources, diagnostic: &Diagnostic) -> String {
    let place = sources.place(diagnostic.span.file, diagnostic.span.start);
    let path = sources.path(diagnostic.span.file);
    let help = diagnostic.help.as_ref().map(|h| format!(" ({h})")).unwrap_or_default();
    let text = format!(
        "rules/{path}:{}:{}: {}: {}{help}",
        place.line, place.column, diagnostic.code, diagnostic.message
    );
    text.replace('\n', " ")
}
