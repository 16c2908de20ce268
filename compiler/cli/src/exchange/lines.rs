//! The lines of Postfix maps: comments, continuation, and the first field.

/// One logical line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// The physical line it begins on, from 1.
    pub number: u32,
    /// With continued lines joined by a space.
    pub text: String,
}

/// Logical lines (postconf(5)): `#` and empty lines are passed over, also between continued lines; a line
/// that begins with white space continues the one before.
pub fn logical(text: &str) -> Vec<Line> {
    let mut out: Vec<Line> = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (place, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        match out.last_mut() {
            Some(before) if line.starts_with([' ', '\t']) => {
                before.text.push(' ');
                before.text.push_str(trimmed);
            }
            _ => out.push(Line {
                number: u32::try_from(place + 1).unwrap_or(u32::MAX),
                text: trimmed.to_owned(),
            }),
        }
    }
    out
}

/// The key and the value of a map line (postmap(1)). White space within double quotes belongs to the key; a key that
/// stands in quotes as a whole loses them.
pub fn key_value(text: &str) -> Option<(String, &str)> {
    let (mut quoted, mut escaped) = (false, false);
    let end = text.find(|c: char| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c => return c.is_whitespace() && !quoted,
        }
        false
    })?;
    let (key, value) = text.split_at_checked(end)?;
    Some((unquoted(key), value.trim()))
}

/// Takes off quotes that are around the whole.
fn unquoted(key: &str) -> String {
    let Some(inner) = key.strip_prefix('"').and_then(|k| k.strip_suffix('"')) else { return key.to_owned() };
    let mut out = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            '"' => return key.to_owned(),
            c => out.push(c),
        }
    }
    out
}

/// The parts of a list between commas, and white space where `spaces` says so; quotes and comments in
/// parentheses hold together.
pub fn split_list(text: &str, spaces: bool) -> Vec<String> {
    let mut out = Vec::new();
    let mut part = String::new();
    let (mut quoted, mut chars) = (false, text.chars());
    while let Some(c) = chars.next() {
        match c {
            '\\' if quoted => {
                part.push(c);
                part.extend(chars.next());
            }
            '"' => {
                quoted = !quoted;
                part.push(c);
            }
            ',' if !quoted => out.push(std::mem::take(&mut part)),
            c if c.is_whitespace() && spaces && !quoted => out.push(std::mem::take(&mut part)),
            c => part.push(c),
        }
    }
    out.push(part);
    out.into_iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_continue_over_comments() {
        let lines = logical("\u{feff}# c\na  b\n# c\n\tc\n\nd e\r\n");
        let lines: Vec<(u32, &str)> = lines.iter().map(|l| (l.number, l.text.as_str())).collect();
        assert_eq!(lines, [(2, "a  b c"), (6, "d e")]);
    }

    #[test]
    fn keys() {
        assert_eq!(key_value("a\t b c"), Some(("a".to_owned(), "b c")));
        assert_eq!(key_value("\"a \\\"b\"  c"), Some(("a \"b".to_owned(), "c")));
        assert_eq!(key_value("\"a b\"@c.example OK"), Some(("\"a b\"@c.example".to_owned(), "OK")));
        assert_eq!(key_value("a"), None);
        assert_eq!(key_value("\"a b"), None);
    }

    #[test]
    fn lists() {
        assert_eq!(split_list("a, \"b, c\" ,|\"/bin/x y\"", false), ["a", "\"b, c\"", "|\"/bin/x y\""]);
        assert_eq!(split_list("a b,c", true), ["a", "b", "c"]);
    }
}
