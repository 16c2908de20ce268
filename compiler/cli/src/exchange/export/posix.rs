//! What regexes have that POSIX has not.

/// What of a regex POSIX does not know, or reads as something else.
pub fn foreign(regex: &str) -> Option<String> {
    let mut rest = regex.chars().peekable();
    let mut class = false;
    let mut before = ' ';
    while let Some(c) = rest.next() {
        match c {
            '\\' if class => return Some("\\ in […]".to_owned()),
            '\\' => {
                let next = rest.next().unwrap_or('\\');
                if next.is_alphanumeric() || next == '<' || next == '>' {
                    return Some(format!("\\{next}"));
                }
                before = 'x';
                continue;
            }
            // A class in a class has a name between colons; `]` in front is itself.
            '[' if class => match rest.next() {
                Some(':') => while rest.next().is_some_and(|c| c != ']') {},
                _ => return Some("[ in […]".to_owned()),
            },
            '[' => {
                class = true;
                if rest.peek() == Some(&'^') {
                    rest.next();
                }
                if rest.peek() == Some(&']') {
                    rest.next();
                }
            }
            ']' if class => class = false,
            '&' | '~' | '-' if class && rest.peek() == Some(&c) => return Some(format!("{c}{c}")),
            _ if class => {}
            '?' if before == '(' => return Some("(?".to_owned()),
            '?' | '+' if matches!(before, '*' | '+' | '?' | '}') => return Some(format!("{before}{c}")),
            _ => {}
        }
        // Postfix compares bytes there, and this one is several.
        if !c.is_ascii() && (class || rest.peek().is_some_and(|next| "*+?{".contains(*next))) {
            return Some(c.to_string());
        }
        before = c;
    }
    None
}

/// Whether a `^` stands in a regex that is the start of the text.
pub fn has_anchor(regex: &str) -> bool {
    let mut before = ' ';
    for c in regex.chars() {
        if c == '^' && before != '[' && before != '\\' {
            return true;
        }
        before = if before == '\\' { ' ' } else { c };
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_posix_lacks() {
        for (regex, part) in [
            (r"^a\d+@", r"\d"),
            (r"\bz", r"\b"),
            ("z(?:q)", "(?"),
            ("q+?@", "+?"),
            ("q*+", "*+"),
            (r"^\p{L}", r"\p"),
            (r"[\w.]", r"\ in […]"),
            ("[é]", "é"),
            ("é+", "é"),
            ("[a[b]]", "[ in […]"),
            ("[a-z&&[b]]", "&&"),
        ] {
            assert_eq!(foreign(regex).as_deref(), Some(part), "{regex}");
        }
        for regex in
            ["^ann@", "^[[:alpha:]]+@x\\.example$", "[^]a-z]", "a|b$", "(a|b)?", "é@", r"\?\+", "a{2,3}"]
        {
            assert_eq!(foreign(regex), None, "{regex}");
        }
        for (regex, has) in [("a", false), ("[^a]", false), (r"\^", false), ("(^a|b)", true), ("a|^b", true)]
        {
            assert_eq!(has_anchor(regex), has, "{regex}");
        }
    }
}
