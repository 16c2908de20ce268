//! Refusals that catch whom nobody means to refuse: bounces, postmaster and abuse.

use super::{OPEN, holds, is_direction, is_recipient, is_sender, possible};
use crate::diag::Diagnostic;
use crate::model::{Cond, Model, Op, RuleDef, RuleMode, Set, Test};
use crate::span::Span;
use edict_table::fact::Fact;
use edict_table::facts::Direction;
use edict_table::model::{Action, Mode, Verb};
use edict_table::value::domain::parents;
use edict_table::value::{Address, Domain};

/// Those who have to be reachable (RFC 2142, RFC 5321 4.5.1).
const REACHABLE: [&str; 2] = ["postmaster", "abuse"];

/// Names what a refusal catches beside what it is about.
pub(super) fn check(model: &Model, rule: &RuleDef, diagnostics: &mut Vec<Diagnostic>) {
    if !everything(model, rule, diagnostics) {
        caught(model, rule, diagnostics);
    }
}

fn set_holds(model: &Model, set: &Set, address: &Address) -> bool {
    let keys = |has: &dyn Fn(&str) -> bool| {
        has(address.as_str())
            || has(&format!("@{}", address.domain()))
            || has(&format!("{}@", address.local()))
            || parents(address.domain()).any(|up| has(&format!("@.{up}")))
    };
    match set {
        Set::List(at) => {
            model.lists.get(*at).is_some_and(|l| keys(&|key| l.entries.iter().any(|e| e == key)))
        }
        Set::Group(at, _) => {
            model.groups.get(*at).is_some_and(|g| g.members.iter().any(|m| m.address == *address))
        }
        Set::Values(_, values) => keys(&|key| values.iter().any(|v| v == key)),
    }
}

/// A plain small inbound message of which nothing else is true.
fn plain(test: &Test) -> bool {
    match test.fact {
        Fact::Direction => is_direction(test, Direction::Inbound),
        Fact::Size | Fact::Hops | Fact::RecipientCount | Fact::AttachmentCount => {
            matches!(test.op, Op::Less(_) | Op::AtMost(_))
        }
        _ => false,
    }
}

/// The same to one of our addresses.
fn plain_to<'a>(model: &'a Model, address: &'a Address) -> impl Fn(&Test) -> bool + 'a {
    move |test: &Test| match (&test.op, test.fact) {
        (Op::In(set), Fact::Recipient | Fact::RecipientDomain) => set_holds(model, set, address),
        (Op::In(Set::Values(_, values)), Fact::RecipientLocal) => values.iter().any(|v| v == address.local()),
        (Op::Glob(_) | Op::Regex(_), fact) if is_recipient(fact) => true,
        _ => plain(test),
    }
}

/// A refusal without a condition, or with one that nearly all mail fulfils. Tells whether it is one.
fn everything(model: &Model, rule: &RuleDef, diagnostics: &mut Vec<Diagnostic>) -> bool {
    // Tests that are no, and so their `not`s yes, are another lint's.
    let mut narrow = false;
    rule.condition.visit(&mut |test, negated| narrow |= negated || !plain(test));
    if narrow || rule.mode != RuleMode::On(Mode::Enforce) || !holds(&rule.condition, &plain) {
        return false;
    }
    let better = |other: &&RuleDef| {
        let allows = matches!(&other.action, Action::Verdict(verdict) if verdict.verb == Verb::Allow);
        allows && other.mode == RuleMode::On(Mode::Enforce) && other.priority <= rule.priority
    };
    let allowed =
        |f: &dyn Fn(&Test) -> bool| model.rules.iter().filter(better).any(|r| holds(&r.condition, f));
    let domain = model.first_local.as_deref().and_then(|domain| Domain::parse(domain).ok());
    let people: Vec<Address> =
        domain.iter().flat_map(|domain| REACHABLE.map(|local| Address::new(local, domain))).collect();
    let mut hit: Vec<String> = people
        .iter()
        .filter(|address| !allowed(&plain_to(model, address)))
        .map(|address| format!("mail for `{address}`"))
        .collect();
    // A bounce goes to anybody: an allow for it asks nothing but that the sender is absent.
    if !allowed(&plain) {
        hit.insert(0, "all bounces".to_owned());
    }
    let Some(last) = hit.pop() else { return true };
    let all = if hit.is_empty() { last } else { format!("{} and {last}", hit.join(", ")) };
    let does = match &rule.action {
        Action::Verdict(verdict) if verdict.verb == Verb::Discard => "drops",
        _ => "refuses",
    };
    let label = match rule.condition {
        Cond::True => "no condition narrows it",
        _ => "nearly all mail from outside fulfils its condition",
    };
    let spare = match domain {
        Some(domain) => {
            format!("`unless recipient in [postmaster@{domain}, abuse@{domain}] or sender is absent`")
        }
        None => "`unless sender is absent`".to_owned(),
    };
    diagnostics.push(
        Diagnostic::warning("W0216", format!("`{}` {does} {all} too", rule.name), rule.span)
            .label(label)
            .help(format!("say in `when` what it is about; where it is meant for all the rest, add {spare}")),
    );
    true
}

/// A refusal that catches bounces, postmaster or abuse only because a `not` is true of them.
fn caught(model: &Model, rule: &RuleDef, diagnostics: &mut Vec<Diagnostic>) {
    let (mut sender, mut recipient, mut meant) = (None, None, false);
    rule.condition.visit(&mut |test, negated| {
        if negated && is_sender(test.fact) {
            // Whoever writes `sender is absent` means bounces.
            match test.op {
                Op::Present => meant = true,
                _ => sender = sender.or(Some(test.span)),
            }
        }
        if negated && is_recipient(test.fact) {
            recipient = recipient.or(Some(test.span));
        }
    });
    if let Some(span) = sender
        && !meant
        && holds(&rule.condition, &plain)
        && hits_others(&rule.condition, is_sender)
    {
        diagnostics.push(
            Diagnostic::warning(
                "W0203",
                format!("`{}` catches all bounces: their sender `<>` is in no list", rule.name),
                span,
            )
            .label("a test on an absent sender is no, so its `not` is yes")
            .also(rule.span, "in this rule")
            .help(if within_any(&rule.condition, span) {
                "write `sender is present and` before this `not`, both in parentheses, where the rest of the `or` is meant for bounces too; where it is not, add `unless sender is absent`"
            } else {
                "add `unless sender is absent`"
            }),
        );
    }
    let (Some(span), Some(domain)) = (recipient, model.first_local.as_deref()) else { return };
    let Ok(domain) = Domain::parse(domain) else { return };
    for local in REACHABLE {
        let address = Address::new(local, &domain);
        if holds(&rule.condition, &plain_to(model, &address)) && hits_others(&rule.condition, is_recipient) {
            diagnostics.push(
                Diagnostic::warning("W0203", format!("`{}` catches mail for `{address}`", rule.name), span)
                    .label(format!("`{address}` is not in there, so the `not` is true of it"))
                    .also(rule.span, "in this rule")
                    .help(format!("add `unless recipient in [postmaster@{domain}, abuse@{domain}]`: both have to be reachable (RFC 2142)")),
            );
            return;
        }
    }
}

/// Whether a condition can also hold for mail with another, ordinary address: else whom it catches is whom it means, and
/// sparing them would leave nothing of it.
fn hits_others(cond: &Cond, about: fn(Fact) -> bool) -> bool {
    let ordinary = |test: &Test| match &test.op {
        Op::Present if about(test.fact) => (true, false),
        Op::Glob(glob) if about(test.fact) && glob.chars().all(|c| c == '*') => (true, false),
        Op::In(Set::Values(_, values)) if about(test.fact) && values.iter().all(|v| is_reachable(v)) => {
            (false, true)
        }
        _ => OPEN,
    };
    possible(cond, &ordinary).0
}

/// Whether a test stands in an `or`: an exception is one from all of it.
fn within_any(cond: &Cond, span: Span) -> bool {
    match cond {
        Cond::True | Cond::Test(_) => false,
        Cond::Not(inner) => within_any(inner, span),
        Cond::All(parts) => parts.iter().any(|part| within_any(part, span)),
        Cond::Any(parts) => parts.iter().any(|part| {
            let mut found = false;
            part.visit(&mut |test, _| found |= test.span == span);
            found
        }),
    }
}

fn is_reachable(key: &str) -> bool {
    REACHABLE
        .iter()
        .any(|name| key.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('@')))
}
