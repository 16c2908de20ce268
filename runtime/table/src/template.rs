//! Variables in disclaimers: which there are, and where they stand in a text.
//!
//! | variable | value |
//! |---|---|
//! | `{sender.name}` | display name of From; the address where there is none |
//! | `{sender.address}` | the sender's address |
//! | `{sender.local}`, `{sender.domain}` | its two parts |
//! | `{user.X}` | attribute X of the user in the daemon's configuration; empty where he has none |
//! | `{date}` | the day in the profile's time zone, `2026-12-01` |
//!
//! `{{` is a brace. So is one that no name follows (style sheets have braces). Here because the compiler checks
//! the names that the daemon fills in.

/// The variables with a fixed name.
pub const VARIABLES: &[&str] = &["sender.name", "sender.address", "sender.local", "sender.domain", "date"];

/// What the names of user attributes begin with.
pub const USER: &str = "user.";

/// A piece of a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece<'a> {
    /// To be taken as it is.
    Plain(&'a str),
    /// A name in braces, with the byte offset of its brace.
    Name(&'a str, usize),
}

/// Takes a text apart.
pub fn pieces<'a>(template: &'a str, mut each: impl FnMut(Piece<'a>)) {
    let mut rest = template;
    let mut at = 0;
    while let Some(open) = rest.find('{') {
        let (before, from) = rest.split_at_checked(open).unwrap_or((rest, ""));
        each(Piece::Plain(before));
        at += open;
        let after = from.get(1..).unwrap_or_default();
        if after.starts_with('{') {
            each(Piece::Plain("{"));
            rest = after.get(1..).unwrap_or_default();
            at += 2;
            continue;
        }
        // A name is short: letters, digits, `.`, `-`, `_`.
        let length = after.bytes().take_while(|b| b.is_ascii_alphanumeric() || b".-_".contains(b)).count();
        match after.split_at_checked(length) {
            Some((name, tail)) if tail.starts_with('}') && !name.is_empty() => {
                each(Piece::Name(name, at));
                rest = tail.get(1..).unwrap_or_default();
                at += length + 2;
            }
            _ => {
                each(Piece::Plain("{"));
                rest = after;
                at += 1;
            }
        }
    }
    each(Piece::Plain(rest));
}

/// Whether there is a variable of that name. Which attributes users have is for the daemon's configuration to say.
#[must_use]
pub fn is_variable(name: &str) -> bool {
    VARIABLES.contains(&name) || name.strip_prefix(USER).is_some_and(|attribute| !attribute.is_empty())
}

/// Names in braces that are no variables, with the byte offsets of their braces.
#[must_use]
pub fn unknown(template: &str) -> Vec<(&str, usize)> {
    let mut found = Vec::new();
    pieces(template, |piece| {
        if let Piece::Name(name, at) = piece
            && !is_variable(name)
        {
            found.push((name, at));
        }
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_variables_are_found() {
        let text = "p {color: red} {sender.nmae} {user.} {date} {user.phone} {{name} {} {Name} { {date}";
        assert_eq!(unknown(text), [("sender.nmae", 15), ("user.", 29), ("Name", 68)]);
    }

    #[test]
    fn pieces_are_the_whole_text() {
        let mut out = String::new();
        pieces("a {{b} {c} {d e} {", |piece| match piece {
            Piece::Plain(text) => out.push_str(text),
            Piece::Name(name, _) => out.push_str(&format!("<{name}>")),
        });
        assert_eq!(out, "a {b} <c> {d e} {");
    }
}
