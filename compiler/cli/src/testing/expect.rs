//! Expectations against what was seen.

use super::Seen;
use crate::explained::word;
use crate::flow::{Ended, Person, Reach, recipient};
use edict_compiler::ast::{Class, Entries, Entry, Expect, Expectation, Thing};
use edict_compiler::span::Span;
use edict_table::fact::Stage;
use edict_table::load::RuleId;
use edict_table::model::Verb;
use std::collections::BTreeSet;

/// Checks one `expect` clause. A failure says what was found in place of it.
pub fn check(seen: &Seen<'_>, expect: &Expect, failures: &mut Vec<(Span, String)>) {
    let people: Vec<&Person> = match &expect.recipient {
        None => seen.happening.people.iter().collect(),
        Some(wanted) => {
            let address = recipient(seen.table, &wanted.value).ok().map(|(_, address)| address);
            let found = seen.happening.people.iter().find(|person| {
                seen.known.people.get(person.place).is_some_and(|who| Some(&who.address) == address.as_ref())
            });
            match found {
                Some(person) => vec![person],
                None => {
                    return failures
                        .push((wanted.span, format!("`{}` is no recipient of this test", wanted.value)));
                }
            }
        }
    };
    for part in &expect.parts {
        if let Some(found) = part_of(seen, part, &people, expect.recipient.is_none()) {
            failures.push((expect.span, found));
        }
    }
}

/// None where it is as expected, else what was found.
fn part_of(seen: &Seen<'_>, part: &Expectation, people: &[&Person], whole: bool) -> Option<String> {
    match part {
        Expectation::Accept(_) => each(seen, people, "accept", |p| {
            whole_reply(seen, whole).is_none() && matches!(p.decided.word(), "accept" | "hold")
        }),
        Expectation::Verdict(verb, code) => {
            let code = code.map(|code| code.value);
            let wanted = match code {
                Some(code) => format!("{} {code}", verb.value.name()),
                None => verb.value.name().to_owned(),
            };
            each(seen, people, &wanted, |p| verdict(seen, p, verb.value, code, whole))
        }
        Expectation::By(name) => each(seen, people, &format!("by \"{}\"", name.value), |p| {
            decider(seen, p, whole)
                .and_then(|id| seen.table.rule(id))
                .is_some_and(|rule| rule.name == name.value.trim())
        }),
        Expectation::At(stage) => each(seen, people, &format!("at {}", stage.value.name()), |p| {
            when(seen, p, whole).name() == stage.value.name()
        }),
        Expectation::Reply(text) => each(seen, people, &format!("reply \"{}\"", text.value), |p| {
            reply(seen, p, whole).is_some_and(|reply| reply.contains(&text.value))
        }),
        Expectation::Recipients(entries) => {
            let found: BTreeSet<String> = reaches(seen, people).map(|r| policy(seen, &r.wire)).collect();
            same(&addresses(seen, entries), &found, "recipients")
        }
        Expectation::Bcc(entries) => bcc(seen, entries),
        Expectation::Disclaimer(entries) => {
            let found = reaches(seen, people).flat_map(|r| r.disclaimers.iter().cloned()).collect();
            same(&names(entries), &found, "disclaimer")
        }
        Expectation::Quota(entries) => {
            let mut found: BTreeSet<String> =
                reaches(seen, people).flat_map(|r| rule_names(seen, &r.quotas)).collect();
            // A quota that refused the message is one that counted it.
            found.extend(
                seen.happening
                    .rule
                    .and_then(|id| seen.table.rule(id))
                    .filter(|r| word(r) == "quota")
                    .map(|r| r.name.to_owned()),
            );
            same(&names(entries), &found, "quota")
        }
        Expectation::Route(entries) => route(seen, entries, people),
        Expectation::No(thing) => none(seen, thing.value, people),
    }
}

/// Holds every recipient to something.
fn each(seen: &Seen<'_>, people: &[&Person], wanted: &str, fine: impl Fn(&Person) -> bool) -> Option<String> {
    let wrong = people.iter().find(|person| !fine(person))?;
    let who = seen.known.people.get(wrong.place).map_or("", |who| who.wire.as_str());
    let decided = &wrong.decided;
    let whole = seen.happening.reply.as_ref().filter(|_| !decided.is_refused());
    let by = match (decided.ended, whole.and(seen.happening.rule)) {
        (_, Some(id)) | (Ended::Rule(id, _), None) => {
            seen.table.rule(id).map(|rule| format!(" by {} \"{}\"", word(&rule), rule.name))
        }
        (Ended::Setting(setting), None) => Some(format!(" by {setting}")),
        _ => None,
    };
    let by = by.unwrap_or_default();
    let (verdict, stage, reply) = match whole {
        Some(reply) => (seen.happening.whole.name(), seen.happening.stage, Some(reply)),
        None => (decided.word(), decided.stage, decided.reply.as_ref()),
    };
    let reply = reply.map(|reply| format!(": {reply}")).unwrap_or_default();
    Some(format!("expected {wanted}; {who} got {verdict}{by} at {}{reply}", stage.name()))
}

/// What the whole is told after every recipient passed: a quota, a disclaimer that cannot be set.
fn whole_reply<'a>(seen: &Seen<'a>, whole: bool) -> Option<&'a String> {
    let late = seen.happening.people.iter().all(|person| !person.decided.is_refused());
    seen.happening.reply.as_ref().filter(|_| whole && late)
}

fn reply<'a>(seen: &Seen<'a>, person: &'a Person, whole: bool) -> Option<&'a String> {
    person.decided.reply.as_ref().or_else(|| whole_reply(seen, whole))
}

fn when(seen: &Seen<'_>, person: &Person, whole: bool) -> Stage {
    if whole_reply(seen, whole).is_some() { seen.happening.stage } else { person.decided.stage }
}

fn decider(seen: &Seen<'_>, person: &Person, whole: bool) -> Option<RuleId> {
    if whole_reply(seen, whole).is_some() { seen.happening.rule } else { person.decided.rule() }
}

fn verdict(seen: &Seen<'_>, person: &Person, verb: Verb, code: Option<u16>, whole: bool) -> bool {
    let reply = reply(seen, person, whole);
    let coded = code.is_none_or(|code| reply.is_some_and(|reply| reply.starts_with(&code.to_string())));
    coded
        && match verb {
            Verb::Reject => reply.is_some_and(|reply| reply.starts_with('5')),
            Verb::Defer => reply.is_some_and(|reply| reply.starts_with('4')),
            verb => reply.is_none() && matches!(person.decided.ended, Ended::Rule(_, had) if had == verb),
        }
}

fn reaches<'a>(seen: &Seen<'a>, people: &[&Person]) -> impl Iterator<Item = &'a Reach> {
    let places: BTreeSet<usize> = people.iter().map(|person| person.place).collect();
    seen.happening
        .sent
        .iter()
        .flat_map(|sent| &sent.reaches)
        .filter(move |reach| places.iter().any(|place| reach.serves(*place)))
}

fn rule_names(seen: &Seen<'_>, ids: &[RuleId]) -> Vec<String> {
    ids.iter().filter_map(|id| seen.table.rule(*id)).map(|rule| rule.name.to_owned()).collect()
}

/// An address in policy form, a domain alias replaced, or what else was written.
fn policy(seen: &Seen<'_>, text: &str) -> String {
    recipient(seen.table, text).map_or_else(|_| text.to_owned(), |(_, address)| address.as_str().to_owned())
}

fn names(entries: &Entries) -> BTreeSet<String> {
    entries
        .entries
        .iter()
        .map(|entry| match entry {
            Entry::Value(value) => value.text.trim().to_owned(),
            Entry::Group(word) => word.value.clone(),
        })
        .collect()
}

/// Addresses in policy form, groups by their members.
fn addresses(seen: &Seen<'_>, entries: &Entries) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for entry in &entries.entries {
        match entry {
            Entry::Value(value) => {
                out.insert(policy(seen, &value.text));
            }
            Entry::Group(name) => {
                let group = seen.model.groups.iter().find(|group| group.name == name.value);
                out.extend(group.map(|group| group.members.clone()).unwrap_or_default());
            }
        }
    }
    out
}

fn same(wanted: &BTreeSet<String>, found: &BTreeSet<String>, what: &str) -> Option<String> {
    if wanted == found {
        return None;
    }
    let list = |of: Vec<&String>| of.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let missing = list(wanted.difference(found).collect());
    let surplus = list(found.difference(wanted).collect());
    let mut parts = Vec::new();
    if !missing.is_empty() {
        parts.push(format!("missing: {missing}"));
    }
    if !surplus.is_empty() {
        parts.push(format!("not expected: {surplus}"));
    }
    Some(format!("{what}: {}", parts.join("; ")))
}

/// Addresses are all copies; quoted names are the rules that sent them.
fn bcc(seen: &Seen<'_>, entries: &Entries) -> Option<String> {
    let copies = seen.happening.sent.iter().flat_map(|sent| &sent.copies);
    let quoted = |entry: &Entry| matches!(entry, Entry::Value(value) if value.class == Class::Text);
    if entries.entries.iter().all(quoted) {
        return same(
            &names(entries),
            &copies.flat_map(|copy| copy.also.iter().chain([&copy.rule]).cloned()).collect(),
            "bcc",
        );
    }
    same(&addresses(seen, entries), &copies.map(|copy| policy(seen, &copy.wire)).collect(), "bcc")
}

/// Names of rules stand in quotes, names of relays do not.
fn route(seen: &Seen<'_>, entries: &Entries, people: &[&Person]) -> Option<String> {
    let quoted =
        entries.entries.iter().all(|e| matches!(e, Entry::Value(value) if value.class == Class::Text));
    let found: BTreeSet<String> = if quoted {
        reaches(seen, people).filter_map(|r| r.route).flat_map(|id| rule_names(seen, &[id])).collect()
    } else {
        reaches(seen, people).map(|r| r.via.clone()).collect()
    };
    same(&names(entries), &found, "route")
}

fn none(seen: &Seen<'_>, thing: Thing, people: &[&Person]) -> Option<String> {
    let found: Vec<String> = match thing {
        Thing::Recipients => reaches(seen, people).map(|r| r.wire.clone()).collect(),
        Thing::Bcc => {
            seen.happening.sent.iter().flat_map(|s| &s.copies).map(|copy| copy.wire.clone()).collect()
        }
        Thing::Disclaimer => reaches(seen, people).flat_map(|r| r.disclaimers.clone()).collect(),
        Thing::Quota => reaches(seen, people).flat_map(|r| rule_names(seen, &r.quotas)).collect(),
        Thing::Route => {
            reaches(seen, people).filter_map(|r| r.route).flat_map(|id| rule_names(seen, &[id])).collect()
        }
    };
    let what = match thing {
        Thing::Recipients => "recipients",
        Thing::Bcc => "bcc",
        Thing::Disclaimer => "disclaimer",
        Thing::Quota => "quota",
        Thing::Route => "route",
    };
    (!found.is_empty()).then(|| format!("expected no {what}; found {}", found.join(", ")))
}
