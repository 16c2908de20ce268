//! The compiler: text, tokens, tree, model, checked, table, proved.
//!
//! A pure core: sources in memory in, diagnostics and a table out; no paths, no printing, no clock.
//! A module imports only from stages above it here, and from the leaves `span`, `source`, `diag`.

pub mod ast;
pub mod check;
pub mod codes;
pub mod data;
pub mod diag;
pub mod fmt;
pub mod gather;
pub mod lex;
pub mod lower;
pub mod model;
pub mod parse;
pub mod prove;
pub mod resolve;
pub mod source;
pub mod span;
pub mod tree;

use ast::Ast;
use diag::{Diagnostic, Severity};
use edict_table::model::Table;
use source::Sources;
use span::{FileId, Span};
use std::collections::{BTreeSet, HashMap};

/// What compiling came to.
#[derive(Clone, Debug)]
pub struct Compilation {
    /// Everything there is to say, in order of file and place.
    pub diagnostics: Vec<Diagnostic>,
    /// The table; none when there is an error.
    pub table: Option<Table>,
    /// The rule files as they were read, for who runs their `test` blocks.
    pub asts: Vec<Ast>,
}

impl Compilation {
    /// Whether an error stands among the diagnostics.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }
}

/// How to compile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Run the stage `prove`.
    pub proofs: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { proofs: true }
    }
}

/// Compiles the rule set whose root is `main.edict`. Never panics, whatever the bytes are.
#[must_use]
pub fn compile(sources: &Sources, options: &Options) -> Compilation {
    let gather::Gathered { asts, mut diagnostics } = gather::gather(sources);
    let mut table = None;
    // Without a root there is nothing to speak about.
    if !asts.is_empty() {
        let resolved = resolve::resolve(&asts, sources);
        diagnostics.extend(resolved.diagnostics);
        let mut files: BTreeSet<FileId> = resolved.files;
        files.extend(asts.iter().map(|ast| ast.file));
        if let Some(checked) = check::check(resolved.model, &mut diagnostics) {
            let lowered = lower::lower(&checked, sources, &files);
            if options.proofs {
                let spans: HashMap<&str, Span> =
                    checked.model().rules.iter().map(|rule| (rule.name.as_str(), rule.span)).collect();
                let at = |name: &str| spans.get(name).copied().unwrap_or_default();
                diagnostics.extend(prove::report::report(&lowered, prove::prove(&lowered), at));
            }
            if !diagnostics.iter().any(|d| d.severity == Severity::Error) {
                table = Some(lowered);
            }
        }
    }
    // Equal places: errors first, then by what they say, so that the order is always the same.
    diagnostics.sort_by(|a, b| {
        (a.span.file, a.span.start, a.severity, a.code, &a.message).cmp(&(
            b.span.file,
            b.span.start,
            b.severity,
            b.code,
            &b.message,
        ))
    });
    Compilation { diagnostics, table, asts }
}
