//! pcre_table(5), regexp_table(5) and header_checks(5): the first pattern in the file wins.
//!
//! Regexes are those of the language: no look-around, no back references, and text is compared without
//! case. A header pattern must say which header it is about.
//!
//! Postfix looks at each header line by itself, and `OK` or `DUNNO` ends the search for that line alone. A rule
//! decides about a message, so what only spares one line is refused rather than widened.

use super::action::{self, Outcome};
use super::lines::logical;
use super::rank::in_order;
use super::write::{VerdictRule, Writer};
use super::{Format, Of, Report, Wish};
use edict_table::model::Verb;

/// The longest condition line that joins several patterns.
const JOINED: usize = 84;

struct Pattern {
    condition: String,
    outcome: Outcome,
}

/// Imports a table with access(5) actions.
pub fn access(wish: &Wish, text: &str, report: &mut Report) -> Result<String, String> {
    let of = wish.of.ok_or("say what the keys are: `--of client`, `sender`, `recipient` or `helo`")?;
    let fact = match of {
        Of::Client => "client.name",
        Of::Sender => "sender",
        Of::Recipient => "recipient",
        Of::Helo => "helo",
    };
    let condition = |regex: &str, notes: &mut Vec<String>| {
        if matches!(regex, "^<>$" | "<>" | "^<>") && of == Of::Sender {
            return Ok("sender is absent".to_owned());
        }
        if of == Of::Client {
            let plain: String = regex.chars().filter(|c| !"^$\\.()[]|+*?{}-,d".contains(*c)).collect();
            if plain.bytes().all(|b| b.is_ascii_digit() || b == b':') {
                return Err("it is about addresses; write networks: `client.ip in [192.0.2.0/24]`".to_owned());
            }
            notes.push("matched against the client's name, not its address".to_owned());
        }
        literal(regex).map(|regex| format!("{fact} matches {regex}"))
    };
    Ok(read(wish, text, report, &condition))
}

/// Imports header checks.
pub fn header_checks(wish: &Wish, text: &str, report: &mut Report) -> String {
    let condition = |regex: &str, _: &mut Vec<String>| {
        let (names, rest) =
            header_names(regex).ok_or("it must begin with the header's name, as in `/^Subject: …/`")?;
        let test = |name: &String| {
            let fact = if name.eq_ignore_ascii_case("subject") {
                "subject".to_owned()
            } else {
                format!("header({})", super::write::quoted(name))
            };
            match rest.as_str() {
                "" => Ok(format!("{fact} is present")),
                rest => literal(rest).map(|regex| format!("{fact} matches {regex}")),
            }
        };
        let tests: Result<Vec<String>, String> = names.iter().map(test).collect();
        Ok(tests?.join(" or "))
    };
    read(wish, text, report, &condition)
}

type Condition<'a> = dyn Fn(&str, &mut Vec<String>) -> Result<String, String> + 'a;

fn read(wish: &Wish, text: &str, report: &mut Report, condition: &Condition<'_>) -> String {
    let mut around: Vec<Option<String>> = Vec::new();
    let mut patterns = Vec::new();
    for line in logical(text) {
        let mut notes = Vec::new();
        match entry(wish, &line.text, condition, &mut notes) {
            Ok(Statement::If(condition)) => {
                around.push(Some(condition));
                report.done(line.number, &line.text, &notes);
            }
            Ok(Statement::EndIf) => match around.pop() {
                Some(_) => report.taken(line.number, &line.text),
                None => report.refused(line.number, &line.text, "there is no `if` before it"),
            },
            Ok(Statement::Entry(own, outcome)) => {
                let outer: Option<Vec<&String>> = around.iter().map(Option::as_ref).collect();
                let Some(outer) = outer else {
                    report.refused(line.number, &line.text, "the `if` around it is not sayable");
                    continue;
                };
                let parts: Vec<String> = outer.into_iter().chain([&own]).map(|c| held(c)).collect();
                let condition = if parts.len() == 1 { own } else { parts.join(" and ") };
                report.done(line.number, &line.text, &notes);
                patterns.push(Pattern { condition, outcome });
            }
            Err(why) => {
                if line.text.get(..3).is_some_and(|w| w.trim_end().eq_ignore_ascii_case("if")) {
                    around.push(None);
                }
                report.refused(line.number, &line.text, &why);
            }
        }
    }
    write(wish, &patterns)
}

/// Holds a condition together beside others.
fn held(condition: &str) -> String {
    if condition.contains(" or ") { format!("({condition})") } else { condition.to_owned() }
}

enum Statement {
    If(String),
    EndIf,
    Entry(String, Outcome),
}

fn entry(
    wish: &Wish,
    text: &str,
    condition: &Condition<'_>,
    notes: &mut Vec<String>,
) -> Result<Statement, String> {
    if text.eq_ignore_ascii_case("endif") {
        return Ok(Statement::EndIf);
    }
    let (is_if, rest) = match text.get(..3) {
        Some(word) if word.trim_end().eq_ignore_ascii_case("if") => {
            (true, text.get(3..).unwrap_or_default().trim_start())
        }
        _ => (false, text),
    };
    let (negated, rest) = match rest.strip_prefix('!') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, rest),
    };
    let of_headers = wish.format == Format::HeaderChecks;
    if negated && of_headers {
        return Err("it holds for every other header line, which no rule can say".to_owned());
    }
    let (regex, flags, value) = delimited(rest)?;
    if of_headers && regex.contains("=\\?") {
        return Err("rules see headers as a reader does, with encoded words decoded".to_owned());
    }
    let regex = with_flags(wish.format, &regex, &flags, notes)?;
    let test = condition(&regex, notes)?;
    let test = match negated {
        true if test.contains(" or ") => format!("not ({test})"),
        true => format!("not {test}"),
        false => test,
    };
    if is_if {
        return Ok(Statement::If(test));
    }
    if value.contains('$') && value.replace("$$", "").contains('$') {
        return Err("its action uses what the pattern matched".to_owned());
    }
    let outcome = action::parse(&value.replace("$$", "$"), notes)?;
    if of_headers && matches!(outcome, Outcome::Dunno | Outcome::Verdict(action::Word(Verb::Allow), _)) {
        return Err(
            "it spares one header line, and a rule decides about the whole message: write an `unless`, \
                    or an `allow`, where that is meant"
                .to_owned(),
        );
    }
    if of_headers && regex.to_ascii_lowercase().contains("content-") {
        notes.push(
            "asks the message's own header; for attachments write `attachment.name` or `.type`".to_owned(),
        );
    }
    Ok(Statement::Entry(test, outcome))
}

/// `/pattern/flags value`; any character may stand in for the slash.
fn delimited(text: &str) -> Result<(String, String, String), String> {
    let mut chars = text.char_indices();
    let (_, delimiter) = chars.next().ok_or("there is no pattern")?;
    let mut regex = String::new();
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            let (_, next) = chars.next().ok_or("the pattern does not end")?;
            if next != delimiter || delimiter.is_ascii_punctuation() && "().[]{}|*+?^$".contains(delimiter) {
                regex.push(c);
            }
            regex.push(next);
        } else if c == delimiter {
            let rest = text.get(at + c.len_utf8()..).unwrap_or_default();
            let (flags, value) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            return Ok((regex, flags.to_owned(), value.trim().to_owned()));
        } else {
            regex.push(c);
        }
    }
    Err("the pattern does not end".to_owned())
}

fn with_flags(format: Format, regex: &str, flags: &str, notes: &mut Vec<String>) -> Result<String, String> {
    let mut inline = String::new();
    for flag in flags.chars() {
        match flag {
            'i' => notes.push("compared without case".to_owned()),
            'm' => inline.push('m'),
            's' if format != Format::Regexp => {}
            'x' if format != Format::Regexp => inline.push('x'),
            flag => return Err(format!("the flag `{flag}` is not sayable")),
        }
    }
    Ok(if inline.is_empty() { regex.to_owned() } else { format!("(?{inline}){regex}") })
}

/// A regex as rules write it, once it is one that the language takes.
fn literal(regex: &str) -> Result<String, String> {
    regex_syntax::Parser::new().parse(regex).map_err(|_| {
        "the pattern uses what the language's regexes do not have (look-around, back references)".to_owned()
    })?;
    if regex.chars().any(|c| c.is_control()) {
        return Err("the pattern holds a control character".to_owned());
    }
    let mut out = "/".to_owned();
    let mut chars = regex.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                out.push(c);
                out.extend(chars.next());
            }
            '/' => out.push_str("\\/"),
            c => out.push(c),
        }
    }
    out.push('/');
    Ok(out)
}

/// The names at the start of a header pattern, and the pattern for the value.
fn header_names(regex: &str) -> Option<(Vec<String>, String)> {
    let rest = regex.strip_prefix('^')?;
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let (names, rest) = match rest.strip_prefix("(?:").or_else(|| rest.strip_prefix('(')) {
        Some(inner) => {
            let (names, after) = inner.split_once(')')?;
            (names.split('|').map(str::to_owned).collect(), after.strip_prefix(':')?)
        }
        None => {
            let (name, after) = rest.split_once(':')?;
            (vec![name.replace("\\-", "-")], after)
        }
    };
    if !names.iter().all(|name| is_name(name)) {
        return None;
    }
    // What stands before the value is white space, which the fact does not have.
    let rest = ["[[:space:]]*", "[[:space:]]+", "\\s*", "\\s+", "\\s", " *", " +", " "]
        .iter()
        .find_map(|space| rest.strip_prefix(space))
        .map(
            |rest| if rest.is_empty() { String::new() } else { format!("^{}", rest.trim_start_matches('^')) },
        )
        .unwrap_or_else(|| match rest {
            "" | ".*" => String::new(),
            rest if rest.starts_with(".*") => rest.trim_start_matches(".*").to_owned(),
            rest => format!("^{rest}"),
        });
    let rest = rest.strip_prefix("^.*").map(str::to_owned).unwrap_or(rest);
    // An alternative at the top would also hold without the header's name.
    if regex_has_top_alternative(&rest) && !rest.is_empty() {
        return None;
    }
    Some((names, rest))
}

fn regex_has_top_alternative(regex: &str) -> bool {
    let (mut depth, mut class) = (0i32, false);
    let mut chars = regex.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '[' => class = true,
            ']' => class = false,
            '(' if !class => depth += 1,
            ')' if !class => depth -= 1,
            '|' if !class && depth == 0 => return true,
            _ => {}
        }
    }
    false
}

fn write(wish: &Wish, patterns: &[Pattern]) -> String {
    let mut writer = Writer::default();
    let ranks = in_order(patterns.iter().map(|p| &p.outcome));
    let all: Vec<(u32, &Pattern)> = ranks.into_iter().zip(patterns).collect();
    let mut groups: Vec<(u32, &Outcome)> =
        all.iter().map(|(rank, p)| (*rank, &p.outcome)).filter(|(_, o)| **o != Outcome::Dunno).collect();
    groups.sort();
    groups.dedup();
    for (rank, outcome) in groups {
        let Outcome::Verdict(verb, _) = outcome else { continue };
        let unless: Vec<String> = all
            .iter()
            .filter(|(other, p)| p.outcome == Outcome::Dunno && *other <= rank)
            .map(|(_, p)| p.condition.clone())
            .collect();
        let mut lines: Vec<String> = Vec::new();
        for (_, p) in all.iter().filter(|(other, p)| *other == rank && p.outcome == *outcome) {
            match lines.last_mut() {
                Some(line)
                    if !p.condition.contains(" and ")
                        && !line.contains(" and ")
                        && line.len() + p.condition.len() < JOINED =>
                {
                    line.push_str(" or ");
                    line.push_str(&p.condition);
                }
                _ => lines.push(p.condition.clone()),
            }
        }
        for line in lines {
            writer.verdict(&VerdictRule {
                name: &format!("{} {}", wish.name, verb.0.name()),
                priority: wish.priority.saturating_add(rank),
                outcome,
                when: &[line],
                unless: &unless,
            });
        }
    }
    writer.finish()
}
