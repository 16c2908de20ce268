//! Regexes of pcre_table(5) and regexp_table(5), as those of the language.
//!
//! The same text can mean different things: a backslash in brackets is itself in POSIX, `&&` and `[` there are more
//! in ours. What ours do not have (look-around, back references, possessive repetition) is refused.

use super::Format;
use regex_automata::meta::Regex;
use regex_automata::util::syntax::Config;

/// Escapes by a letter that glibc's POSIX regexes have.
const POSIX_LETTERS: &str = "wWsSbB<>`'";

/// `/pattern/flags value` in its parts; any character may stand in for the slash.
///
/// # Errors
/// The pattern does not end; Postfix ignores such a line.
pub fn delimited(text: &str) -> Result<(String, String, String), String> {
    const OPEN: &str = "the pattern does not end; Postfix ignores this line";
    let mut chars = text.char_indices();
    let (_, delimiter) = chars.next().ok_or("there is no pattern; Postfix ignores this line")?;
    let mut regex = String::new();
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            let (_, next) = chars.next().ok_or(OPEN)?;
            if next != delimiter || "().[]{}|*+?^$".contains(delimiter) || delimiter.is_alphanumeric() {
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
    Err(OPEN.to_owned())
}

/// The pattern as a regex of the language. The notes say what is different.
///
/// # Errors
/// Says what ours do not have.
pub fn translate(
    format: Format,
    regex: &str,
    flags: &str,
    notes: &mut Vec<String>,
) -> Result<String, String> {
    let posix = !matches!(format, Format::Pcre);
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
    let mut out = if inline.is_empty() { String::new() } else { format!("(?{inline})") };
    if format != Format::Regexp && edict_compiler::resolve::case::is_asked_for(regex) {
        return Err("`(?-i)` is not sayable: rules compare without case".to_owned());
    }
    // header_checks(5) may be of either kind; where the two differ it is not known which is meant.
    let either = format == Format::HeaderChecks;
    let mut chars = regex.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let Some(next) = chars.next() else { return Err("a backslash ends it".to_owned()) };
                let letter = next.is_ascii_alphabetic() && !POSIX_LETTERS.contains(next);
                if format == Format::Regexp && letter {
                    return Err(format!("POSIX regexes have no `\\{next}`; there it is the letter"));
                }
                out.extend([c, next]);
            }
            '[' => class(&mut chars, &mut out, posix, either)?,
            '*' | '+' | '?' | '}' if !posix && chars.peek() == Some(&'+') => {
                return Err("rules have no possessive repetition".to_owned());
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// The inside of brackets: everything that is itself there and more in ours gets a backslash.
fn class(chars: &mut Chars<'_>, out: &mut String, posix: bool, either: bool) -> Result<(), String> {
    out.push('[');
    if chars.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    if chars.next_if_eq(&']').is_some() {
        out.push_str("\\]");
    }
    while let Some(c) = chars.next() {
        match c {
            ']' => {
                out.push(']');
                return Ok(());
            }
            '[' if matches!(chars.peek(), Some(':')) => {
                out.push('[');
                for c in chars.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            '[' if matches!(chars.peek(), Some('.' | '=')) => {
                return Err("rules have no collating elements".to_owned());
            }
            // In POSIX a backslash is one character of the set.
            '\\' if posix && either && chars.peek().is_some_and(char::is_ascii_alphabetic) => {
                return Err(
                    "in brackets the backslash is itself for `regexp:` and not for `pcre:`".to_owned()
                );
            }
            '\\' if posix && !either => out.push_str("\\\\"),
            '\\' => {
                out.push('\\');
                out.extend(chars.next());
            }
            '[' | '&' | '~' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    Err("its brackets do not close".to_owned())
}

/// A regex as rules write it, once it is one that the language takes.
///
/// # Errors
/// Says what is wrong with it.
pub fn literal(regex: &str) -> Result<String, String> {
    if regex.chars().any(char::is_control) {
        return Err("the pattern holds a control character".to_owned());
    }
    regex_syntax::Parser::new().parse(regex).map_err(|_| {
        "the pattern uses what the language's regexes do not have (look-around, back references)".to_owned()
    })?;
    edict_table::decide::check_regex(regex).map_err(|e| e.to_string())?;
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

/// Whether a regex finds something in a text; no where it cannot be told.
pub fn finds(regex: &str, text: &str) -> bool {
    let syntax = Config::new().case_insensitive(true);
    Regex::builder().syntax(syntax).build(regex).is_ok_and(|regex| regex.is_match(text))
}

/// Whether alternatives stand side by side at the top, outside of groups.
pub fn has_top_alternative(regex: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(format: Format, regex: &str) -> String {
        translate(format, regex, "", &mut Vec::new()).unwrap_or_else(|why| format!("! {why}"))
    }

    #[test]
    fn what_brackets_hold() {
        for (format, regex, want) in [
            (Format::Regexp, "[\\.]x", "[\\\\.]x"),
            (Format::Regexp, "[]a[]", "[\\]a\\[]"),
            (Format::Regexp, "[[:space:]&&]\\.", "[[:space:]\\&\\&]\\."),
            (Format::Pcre, "[\\w.-]+@", "[\\w.-]+@"),
            (Format::Pcre, "[^]~]", "[^\\]\\~]"),
        ] {
            assert_eq!(shown(format, regex), want, "{regex}");
        }
        for (format, regex) in [
            (Format::Regexp, "\\d+"),
            (Format::Pcre, "a++"),
            (Format::HeaderChecks, "[\\w]"),
            (Format::Pcre, "[a"),
            (Format::Regexp, "[[=a=]]"),
        ] {
            assert!(shown(format, regex).starts_with('!'), "{regex}");
        }
    }

    #[test]
    fn delimiters() {
        assert_eq!(delimited("/a\\/b/i REJECT x"), Ok(("a/b".into(), "i".into(), "REJECT x".into())));
        assert_eq!(delimited("|a\\.b|"), Ok(("a\\.b".into(), String::new(), String::new())));
        assert!(delimited("/a").is_err());
    }
}
