//! pcre_table(5), regexp_table(5) and header_checks(5): the first pattern in the file wins.
//!
//! Text is compared without case. A header pattern must say which header it is about: Postfix looks at each header
//! line by itself, so that an entry which spares a line spares it from the patterns for the same header alone.
//!
//! What cannot be said and stands before other lines would have decided for some of the mail that those now get. They
//! are then written in `mode audit`: what was taken never decides about more mail than it did.

use super::access::{CLAIMED, CLAIMED_HELO, SPARED, claimed};
use super::action::{self, Outcome, Word};
use super::asked::{Asked, Presence, Seen};
use super::headers;
use super::lines::logical;
use super::ordered::{Doubt, Pattern, write};
use super::regex::{delimited, finds, literal, translate};
use super::{Format, Of, Report, Wish};
use edict_table::model::Verb;

/// For each header that a pattern is about (one without a name, where it is not about headers): what it asks.
type Tests = Vec<(String, Asked)>;

/// Imports a table with access(5) actions.
pub fn access(wish: &Wish, text: &str, report: &mut Report) -> Result<String, String> {
    let of = wish.of.ok_or("say what the keys are: `--of client`, `sender`, `recipient` or `helo`")?;
    Ok(read(wish, Some(of), text, report))
}

/// Imports header checks.
pub fn header_checks(wish: &Wish, text: &str, report: &mut Report) -> String {
    read(wish, None, text, report)
}

fn read(wish: &Wish, of: Option<Of>, text: &str, report: &mut Report) -> String {
    let mut around: Vec<Option<Tests>> = Vec::new();
    let mut patterns: Vec<Pattern> = Vec::new();
    let mut doubts: Vec<Doubt> = Vec::new();
    let mut never = Seen::default();
    for line in logical(text) {
        let (number, text) = (line.number, line.text.as_str());
        let mut notes = Vec::new();
        let parts = match Parts::of(text) {
            Ok(parts) => parts,
            // Postfix ignores it too.
            Err(why) => {
                report.refused(number, text, &why);
                continue;
            }
        };
        if parts.word == Statement::EndIf {
            match around.pop() {
                Some(_) => report.taken(number, text),
                None => report.refused(number, text, "there is no `if` before it; Postfix ignores this line"),
            }
            continue;
        }
        let tests = tests(wish.format, of, &parts, &mut notes);
        let tests = tests.and_then(|own| within(&around, own));
        if let Ok(tests) = &tests
            && let Some(why) = never.because(tests)
        {
            report.refused(number, text, &why);
            // What is in it never matches either, and needs to be read to its end.
            if parts.word == Statement::If {
                around.push(Some(tests.clone()));
            }
            continue;
        }
        if parts.word == Statement::If {
            match tests {
                Ok(tests) => {
                    around.push(Some(tests));
                    report.done(number, text, &notes);
                }
                Err(why) => {
                    around.push(None);
                    report.refused(number, text, &why);
                }
            }
            continue;
        }
        let outcome = outcome(of, &parts.value, &mut notes);
        let tests = match tests {
            Ok(tests) => tests,
            Err(why) => {
                report.refused(number, text, &why);
                // What never matches decides nothing.
                if why.contains("never matches") {
                    continue;
                }
                let headers = if of.is_none() { headers::about(&parts.regex) } else { None };
                doubts.push(Doubt { line: number, outcome: outcome.unwrap_or(Outcome::Dunno), headers });
                continue;
            }
        };
        let spares = !matches!(&outcome, Ok(Outcome::Verdict(..)));
        if spares && tests.iter().any(|(name, _)| !name.is_empty() && headers::repeats(name)) {
            notes.push("of several such fields in a message one is enough".to_owned());
        }
        let doubted = |outcome: &Outcome, name: &str| {
            doubts.iter().find(|doubt| doubt.concerns(outcome, name)).map(|doubt| doubt.line)
        };
        if let Ok(outcome) = &outcome
            && let Some(before) = tests.iter().find_map(|(name, _)| doubted(outcome, name))
        {
            notes.push(format!(
                "only watched (`mode audit`): line {before}, which cannot be said, stands before it and decides otherwise"
            ));
        }
        if report.leaves_out(number, text) {
            continue;
        }
        match &outcome {
            Ok(_) => report.done(number, text, &notes),
            Err(why) => report.refused(number, text, &format!("{why}{SPARED}")),
        }
        let outcome = outcome.unwrap_or(Outcome::Dunno);
        never.add(number, &tests);
        for (header, Asked { condition, .. }) in tests {
            let doubt = doubted(&outcome, &header);
            patterns.push(Pattern { line: number, condition, outcome: outcome.clone(), header, doubt });
        }
    }
    write(wish, of, &patterns, report)
}

/// Joins a pattern with the `if` around it, header by header.
fn within(around: &[Option<Tests>], own: Tests) -> Result<Tests, String> {
    let Some(outer) = around.last() else { return Ok(own) };
    let outer = outer.as_ref().ok_or("the `if` around it is not sayable")?;
    let joined: Tests = own
        .iter()
        .flat_map(|(name, own)| {
            let outer = outer.iter().filter(move |(other, _)| other == name);
            outer.map(move |(_, outer)| (name.clone(), outer.and(own)))
        })
        .collect();
    if joined.is_empty() {
        return Err("it is about another header than the `if` around it, so it never matches".to_owned());
    }
    Ok(joined)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Statement {
    If,
    EndIf,
    Entry,
}

/// A line in its parts.
struct Parts {
    word: Statement,
    negated: bool,
    regex: String,
    flags: String,
    value: String,
}

impl Parts {
    fn of(text: &str) -> Result<Self, String> {
        // A word, and not the letter that a pattern is delimited by.
        let keyword = |word: &str| {
            let rest = text.get(word.len()..)?;
            let own = text.get(..word.len())?.eq_ignore_ascii_case(word);
            (own && !rest.starts_with(|c: char| c.is_ascii_alphanumeric())).then(|| rest.trim_start())
        };
        if keyword("endif").is_some() {
            let (regex, flags, value) = Default::default();
            return Ok(Self { word: Statement::EndIf, negated: false, regex, flags, value });
        }
        let (word, rest) = keyword("if").map_or((Statement::Entry, text), |rest| (Statement::If, rest));
        let (negated, rest) = match rest.strip_prefix('!') {
            Some(rest) => (true, rest.trim_start()),
            None => (false, rest),
        };
        let (regex, flags, value) = delimited(rest)?;
        Ok(Self { word, negated, regex, flags, value })
    }
}

/// What the pattern of a line asks.
fn tests(format: Format, of: Option<Of>, parts: &Parts, notes: &mut Vec<String>) -> Result<Tests, String> {
    let Some(of) = of else {
        if parts.negated {
            return Err("it holds for every other header line, which no rule can say".to_owned());
        }
        if parts.regex.contains("=\\?") {
            return Err("rules see headers as a reader does, with encoded words decoded".to_owned());
        }
        if parts.regex.to_ascii_lowercase().contains("content-") {
            notes.push(
                "asks the message's own header; for attachments write `attachment.name` or `.type`"
                    .to_owned(),
            );
        }
        let regex = translate(format, &parts.regex, &parts.flags, notes)?;
        let tests = headers::conditions(&regex)?;
        let one = |test: String| Asked::one(test.clone(), test, false, Presence::Present);
        return Ok(tests.into_iter().map(|(name, test)| (name, one(test))).collect());
    };
    let regex = translate(format, &parts.regex, &parts.flags, notes)?;
    let asked = envelope(of, &regex, parts.negated, notes)?;
    Ok(vec![(String::new(), asked)])
}

/// The condition of a pattern for client, HELO, sender or recipient. Postfix has a text for what is absent, and a
/// pattern may hold for it.
fn envelope(of: Of, regex: &str, negated: bool, notes: &mut Vec<String>) -> Result<Asked, String> {
    let (fact, absent) = match of {
        Of::Client => ("client.name", "unknown"),
        Of::Sender => ("sender", "<>"),
        Of::Recipient => ("recipient", ""),
        Of::Helo => ("helo", ""),
    };
    match of {
        Of::Client if negated => {
            return Err(
                "Postfix asks with the address too, for which this holds as well: so it does for everybody"
                    .to_owned(),
            );
        }
        Of::Client => {
            let plain: String = regex.chars().filter(|c| !"^$\\.()[]|+*?{}-,d".contains(*c)).collect();
            if plain.bytes().all(|b| b.is_ascii_digit() || b == b':') {
                return Err("it is about addresses; write networks: `client.ip in [192.0.2.0/24]`".to_owned());
            }
            notes.push("matched against the client's name, not its address".to_owned());
            if finds(regex, absent) {
                notes.push("a refusal of clients without a name has `unless submitted`".to_owned());
            }
        }
        Of::Helo if regex.starts_with("^\\[") => {
            return Err("it is about address literals, and rules see names alone".to_owned());
        }
        Of::Helo => notes.push("matched against names, not address literals".to_owned()),
        Of::Sender | Of::Recipient => {}
    }
    let test = format!("{fact} matches {}", literal(regex)?);
    let holds = !absent.is_empty() && finds(regex, absent);
    // A pattern that is about nothing else.
    let alone = format!("^{absent}$");
    let only = holds && (regex == alone || (absent == "<>" && matches!(regex, "<>" | "^<>")));
    let name = if only { format!("{fact} is absent") } else { test.clone() };
    let condition = match (negated, holds) {
        (false, true) if only => format!("{fact} is absent"),
        (true, true) if only => format!("{fact} is present"),
        (false, true) => format!("{fact} is absent or {test}"),
        (true, true) => format!("{fact} is present and not {test}"),
        // What is absent matches nothing, so the `not` holds for it; said aloud, since it is easily missed.
        (true, false) if !absent.is_empty() => format!("{fact} is absent or not {test}"),
        (true, false) => format!("not {test}"),
        (false, false) => test,
    };
    let presence = match (negated, holds) {
        (false, true) if only => Presence::Absent,
        (false, false) | (true, true) => Presence::Present,
        _ => Presence::Either,
    };
    Ok(Asked::one(condition, name, negated, presence))
}

/// What a line decides.
fn outcome(of: Option<Of>, value: &str, notes: &mut Vec<String>) -> Result<Outcome, String> {
    let value = action::without_matched(value, notes)?;
    let outcome = match of {
        Some(_) => action::parse(&value, notes)?,
        None => header_outcome(&value, notes)?,
    };
    match (of, &outcome) {
        // OK and DUNNO alike end the search for one header line.
        (None, Outcome::Verdict(Word(Verb::Allow), _)) => Ok(Outcome::Dunno),
        (None, _) => {
            notes.retain(|note| !note.contains("recipients that match"));
            Ok(outcome)
        }
        (Some(of), outcome) if claimed(of, outcome) => {
            notes.push(if of == Of::Helo { CLAIMED_HELO } else { CLAIMED }.to_owned());
            Ok(outcome.clone())
        }
        _ => Ok(outcome),
    }
}

/// The same of header_checks(5), which knows no replies by code, and refuses with 550.
fn header_outcome(value: &str, notes: &mut Vec<String>) -> Result<Outcome, String> {
    let (word, text) = value.split_once(char::is_whitespace).unwrap_or((value, ""));
    if word.starts_with(|c: char| c.is_ascii_digit()) || word.to_ascii_uppercase().starts_with("DEFER") {
        return Err("header_checks(5) knows no such action, and Postfix ignores it".to_owned());
    }
    if word.eq_ignore_ascii_case("REJECT") {
        let text = if text.trim().is_empty() { "Message content rejected" } else { text };
        return Ok(action::coded(550, text.trim(), notes));
    }
    action::parse(value, notes)
}
