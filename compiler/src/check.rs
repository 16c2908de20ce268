//! Model to checked: everything about structure that types do not say.
//!
//! Cycles of aliases, settings and clauses that contradict each other, facts that a kind of rule cannot
//! ask, replies of the wrong class. Only [`check`] makes a [`Checked`], and only of a rule set without an
//! error. Questions that need a search over messages belong to `prove`.

pub mod alias;
mod index;
mod lint;
mod profile;
mod rule;

use crate::diag::{Diagnostic, Severity};
use crate::model::Model;
use edict_table::model::Alias;

/// A rule set whose structure is sound.
#[derive(Debug)]
pub struct Checked {
    model: Model,
    aliases: Vec<Alias>,
}

impl Checked {
    /// The rule set.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Its aliases, expanded.
    #[must_use]
    pub fn aliases(&self) -> &[Alias] {
        &self.aliases
    }
}

/// Checks a rule set. Earlier stages may have found errors already; then nothing comes out either way.
pub fn check(model: Model, diagnostics: &mut Vec<Diagnostic>) -> Option<Checked> {
    profile::check(&model, diagnostics);
    for rule in model.rules.iter().chain(&model.unsound) {
        rule::check(rule, diagnostics);
    }
    rule::relays(&model, diagnostics);
    let aliases = alias::expand(&model, diagnostics);
    if diagnostics.iter().any(|d| d.severity == Severity::Error) {
        // What an error hides would look unused or strange: lints wait until all is sound.
        return None;
    }
    lint::check(&model, diagnostics);
    index::check(&model, diagnostics);
    Some(Checked { model, aliases })
}
