//! What a test expects: the rules, relays and groups that it names, and parts that no mail brings together.
//!
//! Bounds: only what a rule is and says is looked at, not whether a mail can come to it.

use super::Context;
use super::named::Place;
use super::names::Sort;
use super::testing::address;
use crate::ast::{Class, Entries, Entry, Expect, Expectation, Spanned, Text, Value};
use crate::diag::Diagnostic;
use crate::model::{RuleDef, RuleMode};
use crate::span::Span;
use edict_table::model::{Action, Mode, OnSigned, Verb};

/// Resolves one `expect`.
pub fn expect(ctx: &mut Context<'_>, expect: &Expect, broken: bool) {
    let mut outcome: Option<(&'static str, Span)> = None;
    let mut code: Option<Spanned<u16>> = None;
    let mut reply: Option<Span> = None;
    let mut by: Option<&Text> = None;
    // Where an `expect` could not be read, its parts may stand in another.
    let mut twice = broken;
    for part in &expect.parts {
        match part {
            Expectation::Accept(span) => twice |= one(ctx, &mut outcome, "accept", *span, broken),
            Expectation::Verdict(verb, number) => {
                twice |= one(ctx, &mut outcome, verb.value.name(), verb.span, broken);
                code = *number;
                if let Some(number) = number {
                    class(ctx, verb.value, number);
                }
            }
            Expectation::By(name) => by = Some(name),
            Expectation::Reply(text) => reply = Some(text.span),
            Expectation::Bcc(entries) => bcc(ctx, entries),
            Expectation::Recipients(entries) => addresses(ctx, entries),
            Expectation::Disclaimer(entries) => rules(ctx, entries, "disclaimer"),
            Expectation::Quota(entries) => rules(ctx, entries, "quota"),
            Expectation::Route(entries) => route(ctx, entries),
            Expectation::At(_) | Expectation::No(_) => {}
        }
    }
    if let (false, Some((word @ ("accept" | "allow" | "hold" | "discard"), span)), Some(said)) =
        (twice, outcome, reply)
    {
        ctx.report(
            Diagnostic::error("E1805", format!("what is to `{word}` has no reply"), said)
                .label("only a refusal says something")
                .also(span, "not refused here")
                .help("write `reject` or `defer`, or take the `reply` out"),
        );
    }
    if let Some(name) = by {
        decider(ctx, name, outcome, code);
    }
}

/// One mail ends in one way. Whether it was to end in another already.
fn one(
    ctx: &mut Context<'_>,
    before: &mut Option<(&'static str, Span)>,
    word: &'static str,
    span: Span,
    quiet: bool,
) -> bool {
    if let Some((first, at)) = before.filter(|_| !quiet) {
        ctx.report(
            Diagnostic::error("E1805", format!("no mail comes to `{first}` and to `{word}` at once"), span)
                .label("a second outcome")
                .also(at, "the first one")
                .help(format!(
                    "keep one of them; for two recipients write two lines, each with its own `for`: `expect {word} for ann@example.com`"
                )),
        );
    }
    let twice = before.is_some();
    *before = before.or(Some((word, span)));
    twice
}

/// The code that a refusal is expected to give.
fn class(ctx: &mut Context<'_>, verb: Verb, code: &Spanned<u16>) {
    let (class, example, other) = match verb {
        Verb::Reject => (5, "reject 550", "defer"),
        _ => (4, "defer 450", "reject"),
    };
    if code.value / 100 == class {
        return;
    }
    let instead = match code.value / 100 {
        4 | 5 => format!("write `{example}`, or `{other} {}`", code.value),
        _ => format!("write `{example}`; what is taken is `accept`, without a code"),
    };
    ctx.report(
        Diagnostic::error("E1803", format!("`{}` never replies `{}`", verb.name(), code.value), code.span)
            .label(format!("its replies are {class}xx"))
            .help(instead),
    );
}

/// What decides, against what is expected of it.
fn decider(
    ctx: &mut Context<'_>,
    name: &Text,
    outcome: Option<(&'static str, Span)>,
    code: Option<Spanned<u16>>,
) {
    if ctx.find_at(Sort::Rule, name.value.trim(), name.span).is_none() {
        return;
    }
    let Some(rule) = ctx.model.rules.iter().find(|rule| rule.name == name.value.trim()) else { return };
    let text = rule.name.as_str();
    let never = |why: String| Diagnostic::error("E1805", why, name.span).also(rule.span, "the rule");
    let diagnostic = match (&rule.action, outcome) {
        _ if rule.mode != RuleMode::On(Mode::Enforce) => {
            let mode = if rule.mode == RuleMode::Off { "off" } else { "audit" };
            never(format!("rule `{text}` decides nothing while it is in `mode {mode}`"))
                .label("never the one that decides")
                .help("set it to `mode enforce`, or take this out")
        }
        (Action::Verdict(verdict), Some((word, span))) if !fits(word, verdict.verb) => {
            let verb = verdict.verb.name();
            never(format!("rule `{text}` never comes to `{word}`"))
                .label(format!("its verdict is `{verb}`"))
                .also(span, "expected here")
                .help(format!("write `expect {verb} by \"{text}\"`, or name another rule"))
        }
        (Action::Verdict(verdict), _) => {
            let Some((reply, code)) = verdict.reply.as_ref().zip(code) else { return };
            if reply.code == code.value || reply.code / 100 != code.value / 100 {
                return;
            }
            never(format!("rule `{text}` replies `{}`, not `{}`", reply.code, code.value))
                .label("so this is never right")
                .help(format!("write `expect {} {} by \"{text}\"`", verdict.verb.name(), reply.code))
        }
        (Action::Quota(_), Some((word @ ("accept" | "allow" | "hold" | "discard"), span))) => {
            never(format!("quota `{text}` never comes to `{word}`"))
                .label("a quota decides by refusing")
                .also(span, "expected here")
                .help(format!("for mail that it counts write `expect {word} quota \"{text}\"`"))
        }
        (Action::Quota(_), _) => return,
        (Action::Disclaimer(disclaimer), _) if disclaimer.signed == OnSigned::Reject => return,
        (action, _) => {
            let word = word(action);
            let diagnostic = never(format!("{word} `{text}` never decides what becomes of a mail"))
                .label("`by` names what accepts or refuses");
            match action {
                Action::Limit(_) => diagnostic
                    .help("a test sends one mail and comes to no limit; take this out, and try the limit on the daemon"),
                _ => diagnostic.help(format!("write `expect {word} \"{text}\"`")),
            }
        }
    };
    ctx.report(diagnostic);
}

/// Whether a verdict comes to what is expected. Mail that is allowed or held is accepted.
fn fits(word: &str, verb: Verb) -> bool {
    word == verb.name() || (word == "accept" && matches!(verb, Verb::Allow | Verb::Hold))
}

fn word(action: &Action) -> &'static str {
    match action {
        Action::Verdict(verdict) => verdict.verb.name(),
        Action::Limit(_) => "limit",
        Action::Bcc(_) => "bcc",
        Action::Quota(_) => "quota",
        Action::Disclaimer(_) => "disclaimer",
        Action::Route(_) => "route",
    }
}

fn is_text(entry: &Entry) -> bool {
    matches!(entry, Entry::Value(value) if value.class == Class::Text)
}

/// Tells entries of which some are in quotes and some are not. False where it did.
fn of_one_kind(ctx: &mut Context<'_>, entries: &Entries, what: &str) -> bool {
    let quoted = entries.entries.iter().filter(|entry| is_text(entry)).count();
    let mixed = quoted > 0 && quoted < entries.entries.len();
    if mixed {
        ctx.report(
            Diagnostic::error("E1805", "names of rules and other names stand in one list", entries.span)
                .label(format!("in quotes stand rules, without quotes {what}"))
                .help("write two `expect` lines, one for the rules and one for the rest"),
        );
    }
    !mixed
}

/// Copies: addresses, or rules in quotes.
fn bcc(ctx: &mut Context<'_>, entries: &Entries) {
    if !of_one_kind(ctx, entries, "addresses") {
        return;
    }
    if entries.entries.iter().any(is_text) {
        rules(ctx, entries, "bcc");
    } else {
        addresses(ctx, entries);
    }
}

fn addresses(ctx: &mut Context<'_>, entries: &Entries) {
    for entry in &entries.entries {
        match entry {
            Entry::Value(value) if ctx.names_set(value, Place::Mailboxes { groups: true }) => {}
            Entry::Value(value) => drop(address(ctx, value, "")),
            Entry::Group(name) => {
                if let Some(place) = ctx.find(Sort::Group, name)
                    && let Some(group) = ctx.model.groups.get_mut(place)
                {
                    group.used = true;
                }
            }
        }
    }
}

/// Rules of one kind, each by its name.
fn rules(ctx: &mut Context<'_>, entries: &Entries, kind: &str) {
    for entry in &entries.entries {
        let Entry::Value(value) = entry else {
            let Entry::Group(name) = entry else { continue };
            ctx.report(
                Diagnostic::error("E1124", format!("group `{}` cannot stand here", name.value), name.span)
                    .label("a group holds addresses")
                    .help(format!("name the rule: `expect {kind} \"...\"`")),
            );
            continue;
        };
        rule(ctx, value, kind);
    }
}

fn rule(ctx: &mut Context<'_>, value: &Value, kind: &str) {
    let name = value.text.trim();
    if ctx.find_at(Sort::Rule, name, value.span).is_none() {
        return;
    }
    let Some(rule) = ctx.model.rules.iter().find(|rule| rule.name == name) else { return };
    if let Some(diagnostic) = of_kind(rule, value.span, kind) {
        ctx.report(diagnostic);
    }
}

/// Tells a rule that is no rule of this kind, or does nothing.
fn of_kind(rule: &RuleDef, span: Span, kind: &str) -> Option<Diagnostic> {
    let (name, is) = (rule.name.as_str(), word(&rule.action));
    if is != kind {
        return Some(
            Diagnostic::error("E1805", format!("`{name}` is no `{kind}` rule"), span)
                .label(format!("its kind is `{is}`"))
                .also(rule.span, "defined here")
                .help(match &rule.action {
                    Action::Verdict(_) => format!("write `expect {is} by \"{name}\"`"),
                    Action::Limit(_) => "name another rule; a test comes to no limit".to_owned(),
                    _ => format!("write `expect {is} \"{name}\"`"),
                }),
        );
    }
    (rule.mode != RuleMode::On(Mode::Enforce)).then(|| {
        let mode = if rule.mode == RuleMode::Off { "off" } else { "audit" };
        Diagnostic::error("E1805", format!("rule `{name}` does nothing while it is in `mode {mode}`"), span)
            .label("never seen in a mail")
            .also(rule.span, "the rule")
            .help("set it to `mode enforce`, or take this out")
    })
}

/// Relays by name, or rules in quotes.
fn route(ctx: &mut Context<'_>, entries: &Entries) {
    if !of_one_kind(ctx, entries, "relays") {
        return;
    }
    if entries.entries.iter().any(is_text) {
        return rules(ctx, entries, "route");
    }
    for entry in &entries.entries {
        match entry {
            Entry::Value(value) => {
                let name = value.text.as_str();
                let rule = ctx.model.rules.iter().find(|rule| rule.name == name).map(|rule| rule.span);
                let relay = ctx.names.knows(Sort::Relay, name);
                if let (Some(rule), false) = (rule, relay) {
                    ctx.report(
                        Diagnostic::error("E1101", format!("no relay is named `{name}`"), value.span)
                            .label("without quotes stands a relay, `mx` or `local`")
                            .also(rule, "a rule of this name")
                            .help(format!("for the rule write `route \"{name}\"`"))
                            .fix("put it in quotes", value.span, format!("\"{name}\"")),
                    );
                } else {
                    // A relay that nothing but a test names is used by nothing.
                    ctx.find_at(Sort::Relay, name, value.span);
                }
            }
            Entry::Group(_) => rules(ctx, entries, "route"),
        }
    }
}
