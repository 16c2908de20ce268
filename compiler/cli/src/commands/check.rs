//! `edict check`: everything there is to say about a rule set.

use super::fix;
use crate::args::{CheckArgs, Deny, DiagnosticFormat};
use crate::console::{Console, Failure};
use crate::{folder, progress, render};
use edict_compiler::diag::Severity;
use edict_compiler::{Compilation, Options, compile};
use std::path::Path;

/// Checks, and mends first where it was asked to.
pub fn run(args: &CheckArgs, console: &mut Console) -> Result<bool, Failure> {
    let root = &args.rules.rules;
    let options = Options { proofs: !args.no_proofs };
    let mut sources = folder::read(root)?;
    let mut result = progress::during("checking rules", || compile(&sources, &options));
    if args.fix {
        if root == Path::new("-") {
            return Err(Failure::Use("`--fix` edits files; standard input is none".to_owned()));
        }
        let mut edits = 0;
        for _ in 0..fix::MAX_ROUNDS {
            let Some(round) = fix::apply(root, &sources, &result.diagnostics)? else { break };
            edits += round;
            sources = folder::read(root)?;
            result = progress::during("checking rules", || compile(&sources, &options));
        }
        console.remark(&format!("{edits} edit{} applied", if edits == 1 { "" } else { "s" }));
    }
    let places = render::Places::new(&sources, root);
    let styled = console.out_colour();
    render::diagnostics(console.out(), args.format, &places, &result.diagnostics, styled)?;
    let denied = args.deny == Some(Deny::Warnings)
        && result.diagnostics.iter().any(|d| d.severity == Severity::Warning);
    if args.format == DiagnosticFormat::Human {
        console.remark(&summary(root, &result, denied));
    }
    Ok(!result.failed() && !denied)
}

fn summary(root: &Path, result: &Compilation, denied: bool) -> String {
    let tally = render::tally(&result.diagnostics).unwrap_or_else(|| "no errors, no warnings".to_owned());
    let denied = if denied && !result.failed() { " (warnings are denied)" } else { "" };
    format!("{}: {tally}{denied}", root.display())
}
