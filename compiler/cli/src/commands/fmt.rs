//! `edict fmt`: one canonical layout.

use crate::args::{DiagnosticFormat, FmtArgs, ResultFormat};
use crate::console::{Console, Failure, clean};
use crate::files::{read_whole, write_whole};
use crate::folder::MAX_DEPTH;
use crate::render;
use edict_compiler::fmt::format_bytes;
use edict_compiler::source::Sources;
use edict_compiler::span::FileId;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// Formats files, folders, or standard input.
pub fn run(args: &FmtArgs, console: &mut Console) -> Result<bool, Failure> {
    let mut files = Vec::new();
    for path in &args.paths {
        if path != Path::new("-") && fs::metadata(path).map_err(|e| Failure::read(path, e))?.is_dir() {
            find(path, 0, &mut files)?;
        } else {
            files.push(path.clone());
        }
    }
    files.sort();
    files.dedup();
    let machine = args.format == ResultFormat::Json;
    let (mut good, mut count) = (true, 0);
    for path in files {
        let bytes = read_whole(&path)?;
        let Some(text) = format(&path, &bytes, machine, console)? else {
            good = false;
            continue;
        };
        let piped = path == Path::new("-");
        let same = text.as_bytes() == bytes;
        count += usize::from(!same);
        good &= same || !args.check;
        if !args.check && !piped && !same {
            write_whole(&path, text.as_bytes())?;
        }
        let shown = path.display().to_string();
        match (machine, args.check) {
            (true, false) if piped => {
                writeln!(console.out(), "{}", json!({ "file": shown, "changed": !same, "text": text }))?;
            }
            (true, _) => writeln!(console.out(), "{}", json!({ "file": shown, "changed": !same }))?,
            (false, true) if !same => writeln!(console.out(), "{}", clean(&shown))?,
            (false, false) if piped => console.out().write_all(text.as_bytes())?,
            (false, _) => {}
        }
    }
    let files = if count == 1 { "file" } else { "files" };
    if args.check && count > 0 {
        console.remark(&format!("{count} {files} would change; run `edict fmt`"));
    } else if !args.check && count > 0 && args.paths != [Path::new("-")] {
        console.remark(&format!("{count} {files} changed"));
    }
    Ok(good)
}

/// The text in its layout; none where the file has syntax errors, which were printed then.
fn format(
    path: &Path,
    bytes: &[u8],
    machine: bool,
    console: &mut Console,
) -> Result<Option<String>, Failure> {
    match format_bytes(FileId(0), bytes) {
        Ok(text) => Ok(Some(text)),
        Err(diagnostics) => {
            let name = if path == Path::new("-") { "main.edict".into() } else { path.to_string_lossy() };
            let mut sources = Sources::default();
            sources.insert(name, bytes);
            let places = render::Places::new(&sources, Path::new("."));
            if machine {
                render::diagnostics(console.out(), DiagnosticFormat::Json, &places, &diagnostics, false)?;
            } else {
                let styled = console.err_colour();
                render::diagnostics(console.err(), DiagnosticFormat::Human, &places, &diagnostics, styled)?;
            }
            Ok(None)
        }
    }
}

/// Every rule file under a folder. Hidden names and links are left alone.
fn find(folder: &Path, depth: usize, out: &mut Vec<PathBuf>) -> Result<(), Failure> {
    if depth > MAX_DEPTH {
        return Err(Failure::Use(format!("`{}` lies too deep", folder.display())));
    }
    let fail = |e| Failure::read(folder, e);
    for entry in fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let kind = entry.file_type().map_err(fail)?;
        if kind.is_dir() {
            find(&entry.path(), depth + 1, out)?;
        } else if kind.is_file() && entry.path().extension().is_some_and(|ext| ext == "edict") {
            out.push(entry.path());
        }
    }
    Ok(())
}
