//! The patterns of header_checks(5): which fields a pattern is about, and what it asks of their value.

use super::regex::{has_top_alternative, literal};
use super::write::quoted;

/// Fields that a message has once at most (RFC 5322 3.6).
const SINGLE: &[&str] = &[
    "bcc",
    "cc",
    "date",
    "from",
    "in-reply-to",
    "message-id",
    "references",
    "reply-to",
    "sender",
    "subject",
    "to",
];

/// Whether a message may well have several fields of this name.
pub fn repeats(name: &str) -> bool {
    !SINGLE.contains(&name)
}

/// For each field that a pattern is about: its name in lower case, and the condition.
///
/// # Errors
/// Says what it must be like.
pub fn conditions(regex: &str) -> Result<Vec<(String, String)>, String> {
    let (names, rest) = names(regex).ok_or("it must begin with the header's name, as in `/^Subject: …/`")?;
    let one = |name: String| {
        let fact = if name.eq_ignore_ascii_case("subject") {
            "subject".to_owned()
        } else {
            format!("header({})", quoted(&name))
        };
        let condition = match rest.as_str() {
            "" => format!("{fact} is present"),
            rest => format!("{fact} matches {}", literal(rest)?),
        };
        Ok((name.to_ascii_lowercase(), condition))
    };
    names.into_iter().map(one).collect()
}

/// The names of the fields that a pattern is about, in lower case, where it says so.
pub fn about(regex: &str) -> Option<Vec<String>> {
    names(regex).map(|(names, _)| names.iter().map(|name| name.to_ascii_lowercase()).collect())
}

/// The names at the start of a header pattern, and the pattern for the value.
fn names(regex: &str) -> Option<(Vec<String>, String)> {
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
    if has_top_alternative(&rest) {
        return None;
    }
    Some((names, rest))
}
