//! `test` blocks: a mail, what the table makes of it, and whether that is what was expected.

mod coverage;
mod expect;
mod mail;

pub use coverage::Coverage;
pub use mail::dns_clause;

use crate::explained::Shown;
use crate::flow::{self, Happening, Known};
use edict_compiler::ast::{Ast, Item, Test};
use edict_compiler::source::Sources;
use edict_compiler::span::Span;
use edict_table::load::Loaded;
use edict_table::model::Table;
use std::sync::Arc;

/// What a test came to.
#[derive(Debug)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// What was not as expected: where it was expected, and what was found.
    pub failures: Vec<(Span, String)>,
    /// Why, as `explain` tells it; empty where all was well.
    pub explanation: String,
}

/// Runs every test of a rule set, in the order of files and lines.
pub fn run(
    sources: &Sources,
    asts: &[Ast],
    table: &Arc<Loaded>,
    coverage: &mut Option<Coverage>,
) -> Vec<Outcome> {
    let model = table.to_table();
    let mut out = Vec::new();
    for ast in asts {
        for item in &ast.items {
            if let Item::Test(test) = item {
                out.push(one(sources, test, table, &model, coverage));
            }
        }
    }
    out.sort_by_key(|outcome| (outcome.span.file, outcome.span.start));
    out
}

fn one(
    sources: &Sources,
    test: &Test,
    table: &Arc<Loaded>,
    model: &Table,
    coverage: &mut Option<Coverage>,
) -> Outcome {
    let mut outcome = Outcome {
        name: test.name.value.clone(),
        span: test.name.span,
        failures: Vec::new(),
        explanation: String::new(),
    };
    let mail = match mail::mail(sources, test, table) {
        Ok(mail) => mail,
        Err((span, why)) => {
            outcome.failures.push((span, why));
            return outcome;
        }
    };
    match flow::happen(table, &mail) {
        Err(unfit) => outcome.failures.push((test.name.span, unfit.to_string())),
        Ok((happening, known)) => {
            if let Some(coverage) = coverage {
                coverage.add(table, &happening, &known);
            }
            let seen = Seen { table, model, happening: &happening, known: &known };
            for expect in &test.expects {
                expect::check(&seen, expect, &mut outcome.failures);
            }
            if test.expects.is_empty() {
                outcome.failures.push((test.name.span, "it expects nothing".to_owned()));
            }
            if !outcome.failures.is_empty() {
                outcome.explanation = Shown { table, model, all: false }.human(&happening, &known);
            }
        }
    }
    outcome
}

/// What was seen of a test's mail.
#[derive(Clone, Copy)]
struct Seen<'a> {
    table: &'a Loaded,
    model: &'a Table,
    happening: &'a Happening,
    known: &'a Known,
}
