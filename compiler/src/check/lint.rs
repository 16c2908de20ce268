//! Lints that look at one rule or definition at a time.

use crate::diag::Diagnostic;
use crate::model::Model;

/// Tells what is sound and still looks wrong.
pub fn check(model: &Model, diagnostics: &mut Vec<Diagnostic>) {
    unused(model, diagnostics);
}

fn unused(model: &Model, diagnostics: &mut Vec<Diagnostic>) {
    let lists = model.lists.iter().filter(|l| !l.used).map(|l| ("list", &l.name, l.span));
    let groups = model.groups.iter().filter(|g| !g.used).map(|g| ("group", &g.name, g.span));
    let relays = model.relays.iter().filter(|r| !r.used).map(|r| ("relay", &r.name, r.span));
    for (word, name, span) in lists.chain(groups).chain(relays) {
        diagnostics.push(
            Diagnostic::warning("W0001", format!("{word} `{name}` is never used"), span)
                .label("nothing names it")
                .help("name it in a rule, or take it out"),
        );
    }
}
