//! Variables in disclaimers: `{name}`, escaped for where they stand.
//!
//! | variable | value |
//! |---|---|
//! | `{sender.name}` | display name of From; the address where there is none |
//! | `{sender.address}` | the sender's address |
//! | `{sender.local}`, `{sender.domain}` | its two parts |
//! | `{user.X}` | attribute X of the user in the daemon's configuration; empty where he has none |
//! | `{date}` | the day in the profile's time zone, `2026-12-01` |
//!
//! `{{` is a brace. A brace that begins none of these stays as it is (style sheets have braces).

/// How a value is written into a template.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Escape {
    /// As it is; control characters become spaces.
    Text,
    /// With `& < > " '` as entities.
    Html,
}

/// The values of the variables.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Variables<'a> {
    /// Display name of the author.
    pub name: &'a str,
    /// The sender's address.
    pub address: &'a str,
    /// Attributes of the user: name in lower case, value.
    pub attributes: &'a [(String, String)],
    /// The day, as it is to be written.
    pub date: &'a str,
}

/// A variable that there is not, with its place in the template.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unknown {
    /// What stands between the braces.
    pub name: String,
    /// Byte offset of the brace.
    pub at: usize,
}

enum Piece<'a> {
    Plain(&'a str),
    Variable(&'a str, usize),
}

/// Takes a template apart.
fn pieces<'a>(template: &'a str, mut each: impl FnMut(Piece<'a>)) {
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
            Some((name, tail)) if tail.starts_with('}') && is_name(name) => {
                each(Piece::Variable(name, at));
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

/// Whether a name in braces is meant as a variable.
fn is_name(name: &str) -> bool {
    name == "date" || name.starts_with("sender.") || name.starts_with("user.")
}

/// Fills in the variables. An unknown `sender.…` is left out.
#[must_use]
pub fn expand(template: &str, variables: &Variables<'_>, escape: Escape) -> String {
    let mut out = String::with_capacity(template.len() + 64);
    pieces(template, |piece| match piece {
        Piece::Plain(text) => out.push_str(text),
        Piece::Variable(name, _) => {
            let value = variables.get(name).unwrap_or_default();
            let clean: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            match escape {
                Escape::Text => out.push_str(&clean),
                Escape::Html => out.push_str(&crate::html::escape(&clean)),
            }
        }
    });
    out
}

/// The variables of a template that do not exist; for whoever checks templates before they are used.
#[must_use]
pub fn check_template(template: &str) -> Vec<Unknown> {
    let mut unknown = Vec::new();
    pieces(template, |piece| {
        if let Piece::Variable(name, at) = piece
            && !matches!(name, "date" | "sender.name" | "sender.address" | "sender.local" | "sender.domain")
            && name.strip_prefix("user.").is_none_or(str::is_empty)
        {
            unknown.push(Unknown { name: name.to_owned(), at });
        }
    });
    unknown
}

impl<'a> Variables<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        let (local, domain) = self.address.rsplit_once('@').unwrap_or((self.address, ""));
        Some(match name {
            "date" => self.date,
            "sender.name" if self.name.trim().is_empty() => self.address,
            "sender.name" => self.name,
            "sender.address" => self.address,
            "sender.local" => local,
            "sender.domain" => domain,
            other => {
                let wanted = other.strip_prefix("user.")?.to_ascii_lowercase();
                self.attributes.iter().find(|(n, _)| *n == wanted).map(|(_, v)| v.as_str())?
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_in_and_escapes() {
        let attributes = [("phone".to_owned(), "+49 <1>".to_owned())];
        let variables = Variables {
            name: "Ann <b>\r\nLee",
            address: "ann@example.com",
            attributes: &attributes,
            date: "2026-12-01",
        };
        let template = "{sender.name}|{sender.address}|{sender.local}|{sender.domain}|{user.Phone}|{user.none}|{date}|{{x}|{no}|{";
        assert_eq!(
            expand(template, &variables, Escape::Text),
            "Ann <b>  Lee|ann@example.com|ann|example.com|+49 <1>||2026-12-01|{x}|{no}|{"
        );
        assert_eq!(
            expand("{sender.name} {user.phone}", &variables, Escape::Html),
            "Ann &lt;b&gt;  Lee +49 &lt;1&gt;"
        );
        let nameless = Variables { address: "ann@example.com", ..Variables::default() };
        assert_eq!(expand("{sender.name}", &nameless, Escape::Text), "ann@example.com");
    }

    #[test]
    fn values_are_not_templates() {
        let variables = Variables { name: "{date}", address: "a@b", attributes: &[], date: "D" };
        assert_eq!(expand("{sender.name}", &variables, Escape::Text), "{date}");
    }

    #[test]
    fn unknown_names_are_found() {
        let found = check_template("p {color: red} {sender.nmae} {user.} {date} {user.phone}");
        let names: Vec<_> = found.iter().map(|u| (u.name.as_str(), u.at)).collect();
        assert_eq!(names, [("sender.nmae", 15), ("user.", 29)]);
    }
}
