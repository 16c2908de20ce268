//! Test blocks: the names in them. What a test's mail and expectations mean is for `edict test` to say.

use super::Context;
use super::names::Sort;
use crate::ast::Class;
use crate::ast::{Entries, Entry, Expectation, Test};
use crate::span::FileId;

/// Finds every rule and file that a test names.
pub fn test(ctx: &mut Context<'_>, file: FileId, test: &Test) {
    if let Some(path) = &test.message {
        // Not part of the policy: the file is looked for, and not counted among the sources.
        let known = ctx.files.clone();
        ctx.data_file(file, path);
        ctx.files = known;
    }
    for part in test.expects.iter().flat_map(|e| &e.parts) {
        match part {
            Expectation::By(name) => {
                ctx.find_at(Sort::Rule, name.value.trim(), name.span);
            }
            Expectation::Bcc(entries)
            | Expectation::Disclaimer(entries)
            | Expectation::Quota(entries)
            | Expectation::Route(entries) => rules(ctx, entries),
            _ => {}
        }
    }
}

/// Quoted entries are names of rules.
fn rules(ctx: &mut Context<'_>, entries: &Entries) {
    for entry in &entries.entries {
        if let Entry::Value(value) = entry
            && value.class == Class::Text
        {
            ctx.find_at(Sort::Rule, value.text.trim(), value.span);
        }
    }
}
