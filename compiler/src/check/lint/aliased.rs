//! Senders at a domain alias: rules see them as they were given, so that one who is asked for at the domain alone comes
//! by the alias.

use crate::diag::Diagnostic;
use crate::model::{Model, Op, RuleDef, RuleMode, Set, Test};
use edict_table::fact::Fact;

/// Names the rules on senders at a domain that leave out a domain alias of it, in one message for each alias.
pub(super) fn check(model: &Model, diagnostics: &mut Vec<Diagnostic>) {
    const SHOWN: usize = 3;
    for (from, to) in &model.profile.domain_aliases {
        let rules = model.rules.iter().filter(|rule| rule.mode != RuleMode::Off);
        let mut found = rules.filter_map(|rule| Some((rule, left_out(model, rule, from, to)?)));
        let Some((rule, (test, negated))) = found.next() else { continue };
        let text = format!("senders at `{from}` are not senders at `{to}` to `{}`", rule.name);
        let mut diagnostic = Diagnostic::warning("W0218", text, test.span)
            .label("a sender is seen as given, a domain alias is not replaced")
            .also(rule.span, "in this rule");
        for (rule, _) in found.take(SHOWN) {
            diagnostic = diagnostic.also(rule.span, "and in this one");
        }
        diagnostics.push(diagnostic.help(both(model, (test, negated), from, to)));
    }
}

/// What to write in a rule so that its test holds for senders at both domains.
fn both(model: &Model, (test, negated): (&Test, bool), from: &str, to: &str) -> String {
    let fact = test.fact.row().name;
    let twin = |value: &str| {
        let local = value.rsplit_once('@').map_or("", |(local, _)| local);
        if test.fact == Fact::SenderDomain { from.to_owned() } else { format!("{local}@{from}") }
    };
    let not = |both: &str, one: &str| {
        if negated { format!(", `not ({both})` in place of `{one}`") } else { String::new() }
    };
    let Op::In(set) = &test.op else { return String::new() };
    match set {
        Set::Values(_, values) => {
            let at = |value: &&String| value.rsplit_once('@').is_some_and(|(_, d)| d == to);
            let value = values.iter().find(at).map_or("", String::as_str);
            let shown = value.strip_prefix('@').filter(|_| test.fact == Fact::SenderDomain).unwrap_or(value);
            let pair = format!("[{shown}, {}]", twin(value));
            // The `not` may stand in the test, before it, or be an `unless`.
            let other = if negated {
                format!(", or `{fact} not in {pair}` in place of `is not` and `not in`")
            } else {
                String::new()
            };
            format!("name both where they are meant, as in `{fact} in {pair}`{other}")
        }
        Set::List(at) => {
            let name = model.lists.get(*at).map_or("", |list| list.name.as_str());
            let one = if test.fact == Fact::SenderDomain { from.to_owned() } else { format!("@{from}") };
            format!(
                "name both where they are meant: `({fact} in {name} or {fact} is {one})` in place of `{fact} in {name}`{}",
                not(&format!("{fact} in {name} or {fact} is {one}"), &format!("{fact} not in {name}"))
            )
        }
        Set::Group(at, _) => {
            let group = model.groups.get(*at);
            let member = group.and_then(|g| g.members.iter().find(|m| m.address.domain() == to));
            let name = group.map_or("", |group| group.name.as_str());
            let one = member.map_or_else(String::new, |m| twin(m.address.as_str()));
            format!(
                "name both where they are meant: `({fact} in group {name} or {fact} is {one})` in place of `{fact} in group {name}`{}",
                not(
                    &format!("{fact} in group {name} or {fact} is {one}"),
                    &format!("{fact} not in group {name}")
                )
            )
        }
    }
}

/// The first test of a rule on senders at a domain, and whether it is negated, where none is on those at its alias.
fn left_out<'a>(model: &Model, rule: &'a RuleDef, from: &str, to: &str) -> Option<(&'a Test, bool)> {
    let (mut first, mut both) = (None, false);
    rule.condition.visit(&mut |test, negated| {
        if matches!(test.fact, Fact::Sender | Fact::SenderDomain | Fact::From) {
            both |= names(model, test, from);
            if first.is_none() && names(model, test, to) {
                first = Some((test, negated));
            }
        }
    });
    first.filter(|_| !both)
}

/// Whether a test names a domain, or an address there. Of a list only the whole domain counts.
fn names(model: &Model, test: &Test, domain: &str) -> bool {
    let Op::In(set) = &test.op else { return false };
    match set {
        Set::Values(_, values) => values.iter().any(|v| v.rsplit_once('@').is_some_and(|(_, d)| d == domain)),
        Set::Group(at, _) => {
            model.groups.get(*at).is_some_and(|g| g.members.iter().any(|m| m.address.domain() == domain))
        }
        Set::List(at) => model.lists.get(*at).is_some_and(|list| {
            list.entries.iter().any(|entry| entry.strip_prefix('@').is_some_and(|d| d == domain))
        }),
    }
}
