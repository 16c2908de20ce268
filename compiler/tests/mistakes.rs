//! One mistake, one message: every slip of one token that hands make, in every good rule set of the project.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, reason = "a test")]

#[path = "mistakes/change.rs"]
mod change;
#[path = "fuzzed/files.rs"]
mod files;
#[path = "mistakes/good.rs"]
mod good;
#[path = "mistakes/opposite.rs"]
mod opposite;

use change::Mistake;
use edict_compiler::parse::parse;
use edict_compiler::source::Sources;
use edict_compiler::span::FileId;
use edict_compiler::{Options, compile};
use files::split;
use good::Good;
use std::collections::BTreeMap;

/// What is said of a rule set, each with how often.
type Said = BTreeMap<(&'static str, String), usize>;

fn said(sources: &Sources) -> Said {
    let mut out = BTreeMap::new();
    for d in compile(sources, &Options::default()).diagnostics {
        assert!(d.help.is_some(), "no word on what to write instead: {}: {}", d.code, d.message);
        *out.entry((d.code, d.message)).or_default() += 1;
    }
    out
}

/// What a mistake gives that was not said before.
fn news(set: &Good, path: &str, text: &str, before: &Said) -> Vec<String> {
    let after = said(&set.with(path, text));
    let more = after.into_iter().flat_map(|(key, times)| {
        let known = before.get(&key).copied().unwrap_or(0);
        std::iter::repeat_n(format!("{}: {}", key.0, key.1), times.saturating_sub(known))
    });
    more.collect()
}

/// Mistakes of which nobody can tell that they are one: what they make is a sound policy, another one, and each thing
/// that is said of it is true by itself.
fn another_policy(line: &str, text: &str) -> bool {
    // The domains of a server are others, or none, so that rules and aliases for the former ones are for nobody.
    line.contains("local-domains") && parse(FileId(0), text.as_bytes()).diagnostics.is_empty()
}

/// Of all the mistakes every so manieth is tried; `EDICT_EVERY=1` tries each.
fn every() -> usize {
    std::env::var("EDICT_EVERY").ok().and_then(|n| n.parse().ok()).unwrap_or(17)
}

#[test]
fn one_mistake_one_message() {
    let (mut count, mut tried, mut silent) = (0, 0, 0);
    let mut more = Vec::new();
    for set in good::sets() {
        let before = said(&set.sources());
        for (path, text) in set.rule_files() {
            for mistake in change::all(text) {
                count += 1;
                if count % every() != 0 {
                    continue;
                }
                tried += 1;
                let changed = mistake.make(text);
                let new = news(&set, path, &changed, &before);
                silent += usize::from(new.is_empty());
                let number = text[..mistake.place.start].matches('\n').count();
                let line = text.lines().nth(number).unwrap();
                if new.len() > 1 && !another_policy(line, &changed) {
                    let now = changed.lines().nth(number).unwrap_or_default();
                    let (name, what, said) = (&set.name, mistake.what, new.join("\n    "));
                    more.push(format!(
                        "{name} {path}:{}: {what}\n  {line}\n  {now}\n    {said}\n",
                        number + 1
                    ));
                }
            }
        }
    }
    println!("{tried} of {count} mistakes, {silent} of them make another sound rule set");
    assert!(tried > 1000 && silent * 5 < tried, "{silent} of {tried} say nothing");
    assert!(more.is_empty(), "{} of {tried} give more than one message:\n{}", more.len(), more.concat());
}

/// Messages that wait for others: what is said of names, settings and mails may come from what could not be read
/// elsewhere, lints and proofs look at rule sets without an error.
fn waits(message: &str) -> bool {
    ["E1101", "E18", "E2", "W"].iter().any(|code| message.starts_with(code))
}

/// Quiet about one mistake is not quiet about another: two of them in two items give both messages.
#[test]
fn two_mistakes_two_messages() {
    let (mut tried, mut waited) = (0, 0);
    let mut fewer = Vec::new();
    for set in good::sets() {
        let before = said(&set.sources());
        for (path, text) in set.rule_files() {
            let items: Vec<_> =
                parse(FileId(0), text.as_bytes()).ast.items.iter().map(|i| i.span()).collect();
            let item = |m: &Mistake| {
                items.iter().position(|i| (i.start as usize..i.end as usize).contains(&m.place.start))
            };
            let all = change::all(text);
            let alone = |m: &Mistake| news(&set, path, &m.make(text), &before);
            for (at, one) in all.iter().enumerate().filter(|(at, _)| at % (every() * 8) == 0) {
                // The other one stands half a file further.
                let other = &all[(at + all.len() / 2 + at % 7) % all.len()];
                let (first, last) = if at < all.len() / 2 { (one, other) } else { (other, one) };
                if item(first).is_none()
                    || item(last).is_none()
                    || item(first) == item(last)
                    || first.place.end > last.place.start
                {
                    continue;
                }
                let both = news(&set, path, &first.make(&last.make(text)), &before);
                tried += 1;
                for (which, message) in
                    [first, last].iter().flat_map(|m| alone(m).into_iter().map(move |said| (m, said)))
                {
                    if both.contains(&message) {
                        continue;
                    }
                    if waits(&message) && !both.is_empty() {
                        waited += 1;
                        continue;
                    }
                    let (name, what) = (&set.name, which.what);
                    fewer.push(format!("{name} {path}: {what}: {message}\n  hidden by {both:?}\n"));
                }
            }
        }
    }
    println!("{tried} pairs, {waited} messages wait for others");
    assert!(tried > 100 && waited * 20 < tried, "{waited} of {tried} wait");
    assert!(fewer.is_empty(), "{} of {tried} pairs hide a message:\n{}", fewer.len(), fewer.concat());
}
