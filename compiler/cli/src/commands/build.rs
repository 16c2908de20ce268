//! `edict build`: the table that the daemon loads.
//!
//! What was emitted is loaded once before it is written, so that no table leaves here that the daemon
//! would refuse.

use crate::args::{BuildArgs, DiagnosticFormat};
use crate::console::{Console, Failure};
use crate::files::{is_dash, one_dash, write_whole};
use crate::{folder, progress, render, signing};
use edict_compiler::{Options, compile};
use edict_table::emit::emit;
use edict_table::load::Loaded;
use serde_json::json;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

/// Builds; nothing is written when there is an error.
pub fn run(args: &BuildArgs, console: &mut Console) -> Result<bool, Failure> {
    let root = &args.rules.rules;
    let to_stdout = is_dash(&args.output);
    one_dash((root, "the rules"), args.sign.as_deref().map(|path| (path, "the key")))?;
    if to_stdout && io::stdout().is_terminal() {
        return Err(Failure::Use("a table is binary; send it to a file or a pipe".to_owned()));
    }
    // A key that cannot be used is told before the work.
    let key = args.sign.as_deref().map(signing::read).transpose()?;
    let sources = folder::read(root)?;
    let options = Options { proofs: !args.no_proofs };
    let result = progress::during("checking rules", || compile(&sources, &options));
    let places = render::Places::new(&sources, root);
    let styled = console.err_colour();
    render::diagnostics(console.err(), args.format, &places, &result.diagnostics, styled)?;
    let Some(table) = result.table.filter(|_| !render::failed(&result.diagnostics)) else {
        let tally = render::tally(&result.diagnostics).unwrap_or_else(|| "no table".to_owned());
        console.remark(&format!("{}: {tally}; nothing was written", root.display()));
        return Ok(false);
    };
    let mut bytes = emit(&table);
    if let Some(key) = &key {
        signing::sign(&mut bytes, key)?;
    }
    let size = bytes.len();
    let image: Arc<Vec<u8>> = Arc::new(bytes);
    let loaded = Loaded::new(image.clone())
        .map_err(|e| Failure::Use(format!("the table does not load, which is a bug in edict: {e}")))?;
    if to_stdout {
        console.out().write_all(&image)?;
        console.finish()?;
    } else {
        write_whole(&args.output, &image)?;
    }
    if args.format == DiagnosticFormat::Json {
        let object = json!({
            "output": args.output.display().to_string(),
            "rules": loaded.rule_count(),
            "bytes": size,
            "digest": loaded.digest(),
            "signer": loaded.signer().map(|key| key.to_string()),
        });
        // Where the table itself is the result, this is a remark about it.
        let out: &mut dyn Write = if to_stdout { console.err() } else { console.out() };
        writeln!(out, "{object}")?;
        return Ok(true);
    }
    let signed = loaded.signer().map(|key| format!(", signed by {key}")).unwrap_or_default();
    console.remark(&format!(
        "{}: {} rules, {size} bytes, digest {}{signed}",
        args.output.display(),
        loaded.rule_count(),
        loaded.digest().get(..12).unwrap_or_default()
    ));
    Ok(true)
}
