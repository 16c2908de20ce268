//! Expectations of one test that no mail meets together.
//!
//! Bounds: outcome, code, rule and stage, and `no THING` against that thing; whether a mail comes to any of them is for
//! `edict test` to say.

use super::Context;
use crate::ast::{Expect, Expectation, Test, Thing};
use crate::diag::Diagnostic;
use crate::span::Span;

/// What one `expect` says of a kind of question: the kind, the answer, and where it stands.
type Said = (&'static str, String, Span);

/// Tells the first two expectations of a test that exclude each other.
pub fn check(ctx: &mut Context<'_>, test: &Test) {
    let all: Vec<(&Expect, Vec<Said>)> = test.expects.iter().map(|expect| (expect, said(expect))).collect();
    for (at, (one, first)) in all.iter().enumerate() {
        for (other, second) in all.iter().skip(at + 1).filter(|(other, _)| same_recipient(one, other)) {
            let clash = first.iter().find_map(|a| second.iter().find(|b| excludes(a, b)).map(|b| (a, b)));
            let Some((a, b)) = clash else { continue };
            let whom = other.recipient.as_ref().or(one.recipient.as_ref());
            let whom = whom.map_or_else(|| "of one mail".to_owned(), |word| format!("for `{}`", word.value));
            ctx.report(
                Diagnostic::error("E1805", format!("`{}` and `{}` are expected {whom}", a.1, b.1), b.2)
                    .label("never both")
                    .also(a.2, "expected here")
                    .help(mend(test, (one, &a.1), (other, &b.1))),
            );
            return;
        }
    }
}

/// What to do about two expectations that exclude each other.
fn mend(test: &Test, one: (&Expect, &str), other: (&Expect, &str)) -> String {
    let everyone = match (&one.0.recipient, &other.0.recipient) {
        (None, Some(whom)) => Some((one.1, whom)),
        (Some(whom), None) => Some((other.1, whom)),
        (Some(_), Some(_)) => return "keep one of them".to_owned(),
        (None, None) => None,
    };
    let Some((said, whom)) = everyone else {
        return "keep one of them; where they are meant for two recipients, give each its own `for`, as in `expect accept for ann@example.com`".to_owned();
    };
    let another = test.recipients.iter().find(|word| !word.value.eq_ignore_ascii_case(&whom.value));
    match another {
        Some(another) => format!(
            "`{said}` without `for` is meant for every recipient: add `for {}` to it, or keep one of the two",
            another.value
        ),
        None => "keep one of them: the mail has no other recipient".to_owned(),
    }
}

fn said(expect: &Expect) -> Vec<Said> {
    let thing = |thing: Thing| match thing {
        Thing::Recipients => "recipients",
        Thing::Bcc => "bcc",
        Thing::Disclaimer => "disclaimer",
        Thing::Quota => "quota",
        Thing::Route => "route",
    };
    let mut out: Vec<Said> = Vec::new();
    for part in &expect.parts {
        match part {
            Expectation::Accept(span) => out.push(("outcome", "accept".to_owned(), *span)),
            Expectation::Verdict(verb, code) => {
                out.push(("outcome", verb.value.name().to_owned(), verb.span));
                out.extend(code.map(|code| ("code", code.value.to_string(), code.span)));
            }
            Expectation::By(name) => out.push(("rule", format!("by \"{}\"", name.value.trim()), name.span)),
            Expectation::At(stage) => out.push(("stage", format!("at {}", stage.value.name()), stage.span)),
            Expectation::Recipients(e) => out.push(("recipients", "recipients".to_owned(), e.span)),
            Expectation::Bcc(e) => out.push(("bcc", "bcc".to_owned(), e.span)),
            Expectation::Disclaimer(e) => out.push(("disclaimer", "disclaimer".to_owned(), e.span)),
            Expectation::Quota(e) => out.push(("quota", "quota".to_owned(), e.span)),
            Expectation::Route(e) => out.push(("route", "route".to_owned(), e.span)),
            Expectation::No(what) => {
                out.push((thing(what.value), format!("no {}", thing(what.value)), what.span));
            }
            Expectation::Reply(_) => {}
        }
    }
    out
}

/// Without `for` every recipient is meant.
fn same_recipient(a: &Expect, b: &Expect) -> bool {
    match (&a.recipient, &b.recipient) {
        (Some(a), Some(b)) => a.value.eq_ignore_ascii_case(&b.value),
        _ => true,
    }
}

fn excludes(a: &Said, b: &Said) -> bool {
    if a.0 != b.0 || a.1 == b.1 {
        return false;
    }
    let taken = |said: &Said| matches!(said.1.as_str(), "allow" | "hold" | "discard");
    // What is allowed, held or dropped was taken.
    let accepted = (a.1 == "accept" && taken(b)) || (b.1 == "accept" && taken(a));
    a.0 != "outcome" || !accepted
}
