//! Asts to model: names become places, every value gets its type and its normal form.
//!
//! One mistake gives one message: a name that is not defined is told once with its other uses beside it,
//! and a rule, list or setting in which something was wrong is left out of the model without another
//! word. Nothing here asks whether the whole makes sense; that is `check`.

mod alias;
mod braces;
pub mod case;
mod condition;
mod contradiction;
mod data;
mod disclaimer;
mod expect;
mod fact;
mod joined;
mod mailbox;
mod moment;
mod named;
mod names;
mod operand;
mod pattern;
mod plain;
mod profile;
mod relay;
mod rule;
mod set;
mod testing;
mod value;
mod wording;

pub use moment::unix;

use crate::ast::{Ast, Item};
use crate::diag::{Diagnostic, Severity};
use crate::model::{LOCAL_DOMAINS, ListDef, ListType, Model, RELAY_DOMAINS, TRUSTED, Test};
use crate::source::Sources;
use crate::span::{FileId, Span, within};
use names::{Declared, Names, Sort};
use std::collections::BTreeSet;

/// What resolving came to.
#[derive(Debug)]
pub struct Resolved {
    /// The rule set, without what was wrong in it.
    pub model: Model,
    /// The data files that it names: lists, aliases, texts.
    pub files: BTreeSet<FileId>,
    /// What was wrong.
    pub diagnostics: Vec<Diagnostic>,
}

/// What all of resolving shares.
struct Context<'a> {
    sources: &'a Sources,
    diagnostics: Vec<Diagnostic>,
    /// Errors that were told, and consequences of them, which are not.
    errors: usize,
    model: Model,
    names: Names,
    files: BTreeSet<FileId>,
    /// The tests of the rule at hand, as far as they could be read.
    tests: Vec<Test>,
    /// Aliases that were left out, by name: a second one of that name is told all the same.
    left_out: Vec<(String, Span)>,
    /// The test at hand says `is not` or `not in`.
    negated: bool,
    /// A `not` stands right before the test at hand.
    turned: bool,
    /// Something that may define names could not be read.
    partial: bool,
    /// Statements with a syntax error, sorted: nothing more is told of them.
    damaged: &'a [Span],
}

/// Resolves the files of a rule set, in the order of their ids.
#[must_use]
pub fn resolve<'a>(asts: &'a [Ast], sources: &'a Sources, damaged: &'a [Span]) -> Resolved {
    let mut ctx = Context {
        sources,
        diagnostics: Vec::new(),
        errors: 0,
        model: Model::default(),
        names: Names::default(),
        files: BTreeSet::new(),
        tests: Vec::new(),
        left_out: Vec::new(),
        negated: false,
        turned: false,
        partial: asts.iter().any(|ast| ast.partial),
        damaged,
    };
    builtin_lists(&mut ctx);
    named::declare(&mut ctx, asts);
    let items = || asts.iter().flat_map(|ast| ast.items.iter().map(move |item| (ast.file, item)));

    // Relays have to be known to the profile, the profile to whatever holds a bare name.
    for (_, item) in items() {
        if let Item::Relay(relay) = item {
            relay::relay(&mut ctx, relay);
        }
    }
    profile::resolve(&mut ctx, asts);
    let groups: Vec<_> = items()
        .filter_map(|(_, item)| if let Item::Group(group) = item { Some(group) } else { None })
        .collect();
    alias::groups(&mut ctx, &groups);
    profile::late_exceptions(&mut ctx, asts);
    for (file, item) in items() {
        if let Item::List(list) = item {
            data::list(&mut ctx, file, list);
        }
    }
    fill_builtin_lists(&mut ctx);
    profile::recipients(&mut ctx, asts);
    for (file, item) in items() {
        match item {
            Item::Alias(item) => alias::alias(&mut ctx, item),
            Item::Aliases(item) => alias::file(&mut ctx, file, item),
            _ => {}
        }
    }
    alias::unique(&mut ctx);
    for (file, item) in items() {
        if let Item::Rule(item) = item {
            rule::rule(&mut ctx, file, item);
        }
    }
    for (file, item) in items() {
        if let Item::Test(test) = item {
            testing::test(&mut ctx, file, test);
        }
    }
    ctx.tell_unknown();
    ctx.use_mentioned();
    Resolved { model: ctx.model, files: ctx.files, diagnostics: ctx.diagnostics }
}

impl Context<'_> {
    fn report(&mut self, diagnostic: Diagnostic) {
        self.errors += usize::from(diagnostic.severity == Severity::Error);
        if !within(self.damaged, diagnostic.span) {
            self.diagnostics.push(diagnostic);
        }
    }

    fn extend(&mut self, diagnostics: impl IntoIterator<Item = Diagnostic>) {
        for diagnostic in diagnostics {
            self.report(diagnostic);
        }
    }

    /// The operators of the test at hand, as it is to be written: what it negates stays negated.
    fn is(&self) -> &'static str {
        if self.negated { "is not" } else { "is" }
    }

    fn within(&self) -> &'static str {
        if self.negated { "not in" } else { "in" }
    }

    /// How many errors there were so far, told or not: more of them since then means that something is wrong.
    fn errors(&self) -> usize {
        self.errors
    }

    /// Counts what hangs on a setting that was wrong, which was told: it is wrong too, without a word.
    fn hangs_on(&mut self, setting: &str) -> bool {
        let faulty = self.model.faulty.contains(setting);
        self.errors += usize::from(faulty);
        faulty
    }
}

fn builtin_lists(ctx: &mut Context<'_>) {
    debug_assert_eq!((LOCAL_DOMAINS, RELAY_DOMAINS, TRUSTED), (0, 1, 2));
    let lists = [
        ("local-domains", ListType::Domain),
        ("relay-domains", ListType::Domain),
        ("trusted", ListType::Network),
    ];
    for (name, ty) in lists {
        let place = ctx.model.lists.len();
        ctx.names.define_builtin(Sort::List, name, place);
        ctx.names.declare(Sort::List, Declared { name: name.to_owned(), ty: Some(ty), span: None });
        ctx.model.lists.push(ListDef {
            name: name.to_owned(),
            ty,
            entries: edict_table::model::Entries::default(),
            span: Span::default(),
            used: true,
        });
    }
    for name in ["mx", "local"] {
        ctx.names.define_builtin(Sort::Relay, name, usize::MAX);
    }
}

/// The built-in lists hold what the profile says.
fn fill_builtin_lists(ctx: &mut Context<'_>) {
    let profile = &ctx.model.profile;
    let keys = |domains: &mut dyn Iterator<Item = &str>| {
        let all: BTreeSet<String> = domains.map(|d| format!("@{d}")).collect();
        all.into_iter().collect()
    };
    let contents = [
        (LOCAL_DOMAINS, keys(&mut profile.local_domains.iter().map(String::as_str))),
        (RELAY_DOMAINS, keys(&mut profile.relay_domains.iter().map(|d| d.domain.as_str()))),
        (TRUSTED, profile.trusted_networks.iter().collect::<edict_table::model::Entries>().sorted()),
    ];
    for (place, entries) in contents {
        if let Some(list) = ctx.model.lists.get_mut(place) {
            list.entries = entries;
        }
    }
}
