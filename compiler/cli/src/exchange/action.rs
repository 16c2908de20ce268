//! The right hand sides of access(5) and header_checks(5).

use edict_table::model::Verb;

/// What a table entry decides.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Outcome {
    /// The search ends without a decision.
    Dunno,
    /// A verdict; the reply as rules write it, `554 5.7.1 "…"`, where the entry says more than the default.
    Verdict(Word, Option<String>),
}

/// [`Verb`] with the order of the language.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Word(pub Verb);

impl Outcome {
    /// By how much the rank of `other` must be above this one's, so that this one wins.
    pub fn step_to(&self, other: &Self) -> u32 {
        match (self, other) {
            // A rule spares what is dunno at its own rank or below.
            (Self::Dunno, _) => 0,
            (Self::Verdict(..), Self::Dunno) => 1,
            (Self::Verdict(mine, _), Self::Verdict(its, _)) => u32::from(mine >= its),
        }
    }
}

/// Reads an action. The notes say what is different in Edict.
///
/// # Errors
/// Says why Edict cannot say it.
pub fn parse(value: &str, notes: &mut Vec<String>) -> Result<Outcome, String> {
    let (word, rest) = value.split_once(char::is_whitespace).unwrap_or((value, ""));
    let rest = rest.trim();
    let upper = word.to_ascii_uppercase();
    let verdict = |verb, reply| Ok(Outcome::Verdict(Word(verb), reply));
    let quiet = |notes: &mut Vec<String>| {
        if !rest.is_empty() {
            notes.push("the text for the log is left out".to_owned());
        }
    };
    match upper.as_str() {
        "OK" | "PERMIT" => verdict(Verb::Allow, None),
        "REJECT" => verdict(Verb::Reject, reply(554, (5, 7, 1), rest, "Access denied", notes)),
        "DEFER" => verdict(Verb::Defer, reply(450, (4, 7, 1), rest, "Access denied", notes)),
        // It puts off what something else would refuse, and nothing that would be taken.
        "DEFER_IF_REJECT" => {
            notes.push("what other rules refuse is refused at once; taken as DUNNO".to_owned());
            Ok(Outcome::Dunno)
        }
        "DEFER_IF_PERMIT" => {
            notes.push("defers at once, whatever comes later".to_owned());
            verdict(Verb::Defer, reply(450, (4, 7, 1), rest, "Access denied", notes))
        }
        "DISCARD" | "HOLD" => {
            quiet(notes);
            notes.push("for the recipients that match, not for the whole message".to_owned());
            verdict(if upper == "HOLD" { Verb::Hold } else { Verb::Discard }, None)
        }
        "DUNNO" => Ok(Outcome::Dunno),
        "INFO" | "WARN" => {
            notes.push("nothing is logged".to_owned());
            Ok(Outcome::Dunno)
        }
        "RELAY" => Err("relaying is for `trusted-networks` and logins; no rule can allow it".to_owned()),
        "BCC" => Err("write a `bcc` rule".to_owned()),
        "FILTER" | "PREPEND" | "REDIRECT" | "REPLACE" | "IGNORE" | "STRIP" => {
            Err(format!("{upper} is reserved for a later edition"))
        }
        // smtpd(8) takes a number alone for OK, whatever it is: a time stamp of pop-before-smtp.
        _ if rest.is_empty() && !upper.is_empty() && upper.bytes().all(|b| b.is_ascii_digit()) => {
            if upper.len() == 3 && upper.starts_with(['4', '5']) {
                notes.push("Postfix takes a number without a text for OK".to_owned());
            }
            verdict(Verb::Allow, None)
        }
        _ if upper.len() == 3
            && upper.starts_with(['4', '5'])
            && upper.bytes().all(|b| b.is_ascii_digit()) =>
        {
            let code: u16 = upper.parse().unwrap_or(554);
            if code == 521 {
                notes.push("the connection stays".to_owned());
            }
            Ok(coded(code, rest, notes))
        }
        _ if upper.starts_with(|c: char| c.is_ascii_digit()) => {
            Err("Postfix knows numbers alone, and 4xx and 5xx before a text".to_owned())
        }
        "" => Err("there is no action".to_owned()),
        _ => Err(format!("`{word}` is a restriction class or no action; write its conditions out")),
    }
}

/// Whether this is a word of access(5) or a number, which [`parse`] says more of.
pub fn is_word(word: &str) -> bool {
    const WORDS: &[&str] = &[
        "bcc",
        "defer",
        "defer_if_permit",
        "defer_if_reject",
        "discard",
        "dunno",
        "filter",
        "hold",
        "ignore",
        "info",
        "ok",
        "permit",
        "prepend",
        "redirect",
        "reject",
        "relay",
        "replace",
        "strip",
        "warn",
    ];
    word.is_empty()
        || word.starts_with(|c: char| c.is_ascii_digit())
        || WORDS.contains(&word.to_ascii_lowercase().as_str())
}

/// An action without its text, where that holds what a pattern matched (`$1`): what is refused stays refused. An enhanced
/// code stays, and a reply keeps its code.
///
/// # Errors
/// Says so where the action itself is what the pattern matched.
pub fn without_matched(value: &str, notes: &mut Vec<String>) -> Result<String, String> {
    let has_match = |text: &str| text.replace("$$", "").contains('$');
    let plain = |text: &str| text.replace("$$", "$");
    if !has_match(value) {
        return Ok(plain(value));
    }
    let (word, text) = value.split_once(char::is_whitespace).unwrap_or((value, ""));
    if has_match(word) {
        return Err("its action uses what the pattern matched".to_owned());
    }
    notes.push("its text holds what the pattern matched, and is left out".to_owned());
    let code = text.split_whitespace().next().filter(|first| enhanced(first).is_some()).unwrap_or_default();
    // A number alone is OK.
    let text = if word.bytes().all(|b| b.is_ascii_digit()) { "Access denied" } else { "" };
    Ok([word, code, text].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" "))
}

/// A refusal with this code.
pub fn coded(code: u16, text: &str, notes: &mut Vec<String>) -> Outcome {
    let (verb, class) = if code < 500 { (Verb::Defer, 4) } else { (Verb::Reject, 5) };
    Outcome::Verdict(Word(verb), reply(code, (class, 7, 1), text, "Access denied", notes))
}

/// A reply as rules write it. An enhanced code in front of the text is taken out of it.
fn reply(
    code: u16,
    default: (u8, u16, u16),
    text: &str,
    empty: &str,
    notes: &mut Vec<String>,
) -> Option<String> {
    let (first, after) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let (enhanced, text) = match enhanced(first) {
        Some(enhanced) => (enhanced, after.trim()),
        None => (default, text),
    };
    let class = if code < 500 { 4 } else { 5 };
    if enhanced.0 != class {
        notes.push(format!("the enhanced code begins with {class}, as the reply does"));
    }
    // A reply is ASCII (RFC 5321 4.2); Postfix sends what it finds.
    if !text.is_ascii() {
        notes.push("what is not ASCII in the reply is written `?`".to_owned());
    }
    let ascii = |c: char| if c.is_ascii() { c } else { '?' };
    let text: String = text.chars().filter(|c| !c.is_control()).map(ascii).collect();
    let mut text = if text.is_empty() { empty.to_owned() } else { text };
    if text.len() > 400 {
        notes.push("the reply is cut to 400 bytes".to_owned());
        while text.len() > 400 {
            text.pop();
        }
    }
    Some(format!("{code} {class}.{}.{} {}", enhanced.1, enhanced.2, super::write::quoted(&text)))
}

fn enhanced(text: &str) -> Option<(u8, u16, u16)> {
    let mut parts = text.split('.');
    let number =
        |part: Option<&str>| part.filter(|p| (1..=3).contains(&p.len())).and_then(|p| p.parse::<u16>().ok());
    let (a, b, c) = (number(parts.next())?, number(parts.next())?, number(parts.next())?);
    if parts.next().is_some() || !matches!(a, 2 | 4 | 5) {
        return None;
    }
    Some((u8::try_from(a).ok()?, b, c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions() {
        for (text, want) in [
            ("REJECT Gr\u{fc}\u{df}e", r#"reject 554 5.7.1 "Gr??e""#),
            ("OK", "allow"),
            ("1234", "allow"),
            ("550", "allow"),
            ("450", "allow"),
            ("reject", "reject 554 5.7.1 \"Access denied\""),
            ("REJECT 5.1.8 Bad \"sender\"", "reject 554 5.1.8 \"Bad \\\"sender\\\"\""),
            ("550 No such user", "reject 550 5.7.1 \"No such user\""),
            ("450 4.2.0 later", "defer 450 4.2.0 \"later\""),
            ("DEFER", "defer 450 4.7.1 \"Access denied\""),
            ("discard", "discard"),
            ("HOLD", "hold"),
            ("dunno", "dunno"),
        ] {
            let got = match parse(text, &mut Vec::new()).unwrap() {
                Outcome::Dunno => "dunno".to_owned(),
                Outcome::Verdict(verb, None) => verb.0.name().to_owned(),
                Outcome::Verdict(verb, Some(reply)) => format!("{} {reply}", verb.0.name()),
            };
            assert_eq!(got, want, "{text}");
        }
        for text in
            ["RELAY", "FILTER smtp:x", "permit_mynetworks", "my_class", "250 ok", "1234 x", "5501 x", ""]
        {
            assert!(parse(text, &mut Vec::new()).is_err(), "{text}");
        }
    }

    #[test]
    fn what_a_pattern_matched() {
        for (text, want) in [
            ("REJECT bad $1", "REJECT"),
            ("REJECT 5.7.9 bad ${2}", "REJECT 5.7.9"),
            ("550 bad $1", "550 Access denied"),
            ("550 5.7.9 bad $(1)", "550 5.7.9 Access denied"),
            ("REJECT costs 5 $$", "REJECT costs 5 $"),
            ("DISCARD $1", "DISCARD"),
        ] {
            let mut notes = Vec::new();
            assert_eq!(without_matched(text, &mut notes).as_deref(), Ok(want), "{text}");
            assert_eq!(notes.is_empty(), text.contains("$$"), "{text}");
        }
        assert!(without_matched("$1", &mut Vec::new()).is_err());
    }
}
