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

/// Adds what was proved. A rule that does nothing gives one message: what looked strange about it before goes, and
/// where that tells why, the message takes it along.
fn overshadow(asts: &[Ast], diagnostics: &mut Vec<Diagnostic>, proved: Vec<Diagnostic>) {
    let mut rules: Vec<Span> = asts
        .iter()
        .flat_map(|ast| &ast.items)
        .filter_map(|item| if let ast::Item::Rule(rule) = item { Some(rule.span) } else { None })
        .collect();
    rules.sort_unstable();
    let rule_at = |place: Span| {
        let before =
            rules.partition_point(|s| (s.file, s.start) <= (place.file, place.start)).checked_sub(1)?;
        rules.get(before).filter(|s| s.file == place.file && place.start < s.end).copied()
    };
    for mut error in proved {
        if error.severity == Severity::Error
            && let Some(rule) = rule_at(error.span)
        {
            diagnostics.retain(|d| {
                let same = d.severity != Severity::Error && span::within(&[rule], d.span);
                if same && d.code == "W0102" && error.code == "E2001" {
                    error.labels.push((d.span, d.message.clone()));
                    error.help.clone_from(&d.help);
                }
                !same
            });
        }
        diagnostics.push(error);
    }
}

/// Compiles the rule set whose root is `main.edict`. Never panics, whatever the bytes are.
#[must_use]
pub fn compile(sources: &Sources, options: &Options) -> Compilation {
    let gather::Gathered { asts, mut diagnostics } = gather::gather(sources);
    let mut table = None;
    // Without a root there is nothing to speak about.
    if !asts.is_empty() {
        let damaged: Vec<Span> = asts.iter().flat_map(|ast| &ast.damaged).copied().collect();
        let resolved = resolve::resolve(&asts, sources, &damaged);
        diagnostics.extend(resolved.diagnostics);
        let mut files: BTreeSet<FileId> = resolved.files;
        files.extend(asts.iter().map(|ast| ast.file));
        let known = diagnostics.len();
        let checked = check::check(resolved.model, &mut diagnostics);
        let mut found = diagnostics.split_off(known);
        found.retain(|d| !span::within(&damaged, d.span));
        diagnostics.extend(found);
        if let Some(checked) = checked {
            let lowered = lower::lower(&checked, sources, &files);
            if options.proofs {
                let rules: HashMap<&str, &model::RuleDef> =
                    checked.model().rules.iter().map(|rule| (rule.name.as_str(), rule)).collect();
                let rule = |name: &str| rules.get(name).copied();
                let proved = prove::report::report(&lowered, prove::prove(&lowered), rule);
                overshadow(&asts, &mut diagnostics, proved);
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
