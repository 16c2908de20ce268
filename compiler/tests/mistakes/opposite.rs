//! No edit that a machine makes takes a negation away: whatever `not` of another language stands at a word of a good
//! rule set, mending it never gives the word as it was.

use super::{every, good};
use edict_compiler::lex::{TokenKind, lex};
use edict_compiler::source::Sources;
use edict_compiler::span::FileId;
use edict_compiler::{Options, compile};

/// A word with a `not` at it, as other languages and hurried hands write one.
const NEGATED: &[&str] = &[
    "!{}", "-{}", "~{}", "^{}", "¬{}", "n{}", "no{}", "un{}", "non{}", "not{}", "no-{}", "not-{}", "not_{}",
    "non-{}", "in{}", "dis{}", "{}not", "{}n't", "{}nt", "{}-not", "{}-off", "{}no",
];
/// Answers, none of which is a slip of another.
const ANSWERS: &[&str] =
    &["on", "off", "yes", "no", "true", "false", "not", "none", "never", "always", "enabled", "disabled"];

/// The files as `check --fix` leaves them, each edit made alone: the text with each of them.
fn mended(sources: &Sources, path: &str, text: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for d in compile(sources, &Options::default()).diagnostics {
        for fix in d.fixes.iter().filter(|fix| sources.find(path) == Some(fix.span.file)) {
            let (start, end) = (fix.span.start as usize, fix.span.end as usize);
            out.push((d.message.clone(), [&text[..start], &fix.text, &text[end..]].concat()));
        }
    }
    out
}

#[test]
fn no_edit_takes_a_negation_away() {
    let (mut count, mut tried, mut edits) = (0, 0, 0);
    let mut faults = Vec::new();
    for set in good::sets() {
        for (path, text) in set.rule_files() {
            let tokens = lex(FileId(0), text.as_bytes()).tokens;
            for token in tokens.iter().filter(|t| t.kind == TokenKind::Word) {
                let place = token.start as usize..token.end as usize;
                let word = &text[place.clone()];
                // The edition has no opposite.
                if word == "edict" {
                    continue;
                }
                let negated = NEGATED.iter().map(|form| form.replace("{}", word));
                // Of the answers, any other in its place.
                let answers = ANSWERS.iter().filter(|_| ANSWERS.contains(&word)).map(|a| (*a).to_owned());
                for other in negated.chain(answers).filter(|other| other != word) {
                    count += 1;
                    if count % every() != 0 {
                        continue;
                    }
                    tried += 1;
                    let changed = [&text[..place.start], &other, &text[place.end..]].concat();
                    for (message, after) in mended(&set.with(path, &changed), path, &changed) {
                        edits += 1;
                        if after == text {
                            faults.push(format!("{} {path}: {message}: `{other}` to `{word}`", set.name));
                        }
                    }
                }
            }
        }
    }
    println!("{tried} of {count} negations, {edits} edits");
    assert!(tried > 1000 && edits > 10, "{tried} tried, {edits} edits");
    assert!(faults.is_empty(), "{} of {tried} say the opposite:\n{}", faults.len(), faults.join("\n"));
}
