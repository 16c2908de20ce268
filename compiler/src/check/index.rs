//! Lints about what no index of the table finds, and every message therefore pays for.
//!
//! A rule is found through the tests of its *cover*: of an `and` those of one part, of an `or` those of every part. A negation
//! covers nothing. A pattern is found through a text that all it matches must hold.

use crate::diag::{Diagnostic, Severity};
use crate::model::{Cond, Model, Op, RuleDef, RuleMode, Test};
use edict_table::decide::required_literals;
use edict_table::fact::Fact;
use edict_table::model::{Action, Test as TableTest};

/// Names rules and patterns that no index finds.
pub fn check(model: &Model, diagnostics: &mut Vec<Diagnostic>) {
    for rule in model.rules.iter().filter(|rule| rule.mode != RuleMode::Off) {
        patterns(rule, diagnostics);
        // Of other kinds there are few rules, and most are meant for all mail but some. So is one without a condition.
        let verdict = matches!(rule.action, Action::Verdict(_)) && !matches!(rule.condition, Cond::True);
        if verdict && !covered(&rule.condition, false, &|_| true) {
            let mut note = Diagnostic::warning(
                "W0211",
                format!("no index finds rule `{}`: it is evaluated for every message", rule.name),
                rule.span,
            )
            .label("nothing that must hold for it can be looked up")
            .help("leave it where such rules are few: each costs some nanoseconds; else join a test that must hold, as `direction is inbound` or `recipient in LIST`");
            note.severity = Severity::Note;
            diagnostics.push(note);
        }
    }
}

/// Patterns without a text that must be there.
fn patterns(rule: &RuleDef, diagnostics: &mut Vec<Diagnostic>) {
    let found_otherwise = covered(&rule.condition, false, &has_literal);
    rule.condition.visit(&mut |test, negated| {
        if has_literal(test) {
            return;
        }
        // All other facts are short: an address, a field of the header. A few hundred bytes cost nobody anything.
        let long = test.fact == Fact::Body;
        let (label, help) = if found_otherwise {
            (
                "run only where the rest of the rule holds".to_owned(),
                "leave it, or write at least two plain characters into it: they are looked for first, at no cost",
            )
        } else if !long {
            (
                format!("run over the `{}` of every message", test.written()),
                "leave it where such rules are few: that text is short; two plain characters side by side in the pattern would be looked for first, at no cost",
            )
        } else {
            (
                format!("run over the `{}` of every message", test.written()),
                "join a test with `and` that rules out most mail, as in `sender in LIST and ...`; write two plain characters side by side into the pattern, where it may ask for them; or leave it where such rules are few",
            )
        };
        let any = fits_all(test, negated);
        let costs = any.is_some() || (long && !found_otherwise);
        let help = any.unwrap_or_else(|| help.to_owned());
        let mut diagnostic = Diagnostic::warning(
            "W0210",
            format!("the pattern of `{}` has no fixed text that could be looked for first", rule.name),
            test.span,
        )
        .label(label)
        .help(help);
        if !costs {
            diagnostic.severity = Severity::Note;
        }
        diagnostics.push(diagnostic);
    });
}

/// What to write for a glob that any text fits.
fn fits_all(test: &Test, negated: bool) -> Option<String> {
    let Op::Glob(glob) = &test.op else { return None };
    if !glob.contains('*') || glob.contains(|c| !matches!(c, '*' | '?')) {
        return None;
    }
    let fact = test.written();
    Some(if !test.fact.row().optional || glob.contains('?') {
        format!(
            "`{glob}` fits nearly any text: write what you look for, as `\"*lottery*\"`; as it stands it tells nearly no mail apart"
        )
    } else if negated {
        format!("`{glob}` fits any text: write `{fact} is absent` for `not {fact} matches \"{glob}\"`")
    } else {
        format!("`{glob}` fits any text: write `{fact} is present`")
    })
}

/// Whether a test is no pattern, or one that cannot match without a certain text.
fn has_literal(test: &Test) -> bool {
    let pattern = match &test.op {
        Op::Glob(glob) => TableTest::Glob(glob.clone()),
        Op::Regex(regex) => TableTest::Regex(regex.clone()),
        _ => return true,
    };
    required_literals(&pattern).is_some()
}

/// Whether a condition, or its opposite, has a cover of such tests.
fn covered(cond: &Cond, opposite: bool, usable: &dyn Fn(&Test) -> bool) -> bool {
    let one = |part: &Cond| covered(part, opposite, usable);
    match (cond, opposite) {
        (Cond::True, opposite) => opposite,
        (Cond::Test(test), opposite) => !opposite && usable(test),
        (Cond::Not(inner), opposite) => covered(inner, !opposite, usable),
        (Cond::All(parts), false) | (Cond::Any(parts), true) => parts.iter().any(one),
        (Cond::Any(parts), false) | (Cond::All(parts), true) => parts.iter().all(one),
    }
}
