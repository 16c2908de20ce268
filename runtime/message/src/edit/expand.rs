//! Variables in disclaimers, filled in and escaped for where they stand. Which there are, and how they are written,
//! says [`edict_table::template`].

use edict_table::template::{self, Piece, USER};

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

/// Fills in the variables. A name that is none stays as it is written: a text that leaves braces in it is seen,
/// a gap is not.
#[must_use]
pub fn expand(template: &str, variables: &Variables<'_>, escape: Escape) -> String {
    let mut out = String::with_capacity(template.len() + 64);
    template::pieces(template, |piece| match piece {
        Piece::Plain(text) => out.push_str(text),
        Piece::Name(name, at) if !template::is_variable(name) => {
            out.push_str(template.get(at..at + name.len() + 2).unwrap_or_default());
        }
        Piece::Name(name, _) => {
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
                let wanted = other.strip_prefix(USER)?.to_ascii_lowercase();
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
        let template = "{sender.name}|{sender.address}|{sender.local}|{sender.domain}|{user.Phone}|{user.none}|{date}|{{x}|{no}|{sender.no}|{";
        assert_eq!(
            expand(template, &variables, Escape::Text),
            "Ann <b>  Lee|ann@example.com|ann|example.com|+49 <1>||2026-12-01|{x}|{no}|{sender.no}|{"
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
}
