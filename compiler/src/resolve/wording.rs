//! What messages on tests call the types of facts, and the tests they show as examples.

use edict_table::fact::{Fact, Row, Type};

/// What a type is called in messages.
pub fn type_name(ty: Type) -> &'static str {
    match ty {
        Type::Flag => "a yes or no",
        Type::Network => "an IP address",
        Type::Domain => "a domain",
        Type::Address => "an address",
        Type::Text => "a text",
        Type::Count => "a number",
        Type::Size => "a number of bytes",
        Type::Enum(_) => "one of a few words",
        Type::Time => "a time",
    }
}

/// A result of a check that rules never see: it makes a test unknown.
pub const TEMPORARY: &str = "temperror";

/// The words of an enum in a row.
pub fn listed(words: &[&str]) -> String {
    words.iter().copied().filter(|word| !word.is_empty() && *word != TEMPORARY).collect::<Vec<_>>().join(", ")
}

/// A test that a fact takes, for help lines.
pub fn example(row: &Row) -> String {
    let name = if row.fact == Fact::Header { "header(\"X-Spam-Flag\")" } else { row.name };
    match row.ty {
        Type::Flag => format!("write `{name}` or `not {name}`"),
        Type::Network => format!("write `{name} is 192.0.2.7`, `{name} is 192.0.2.0/24` or `{name} in LIST`"),
        Type::Domain => {
            format!("write `{name} is example.com`, `{name} in LIST` or `{name} matches \"*.example.com\"`")
        }
        Type::Address => {
            format!("write `{name} is ann@example.com`, `{name} is @example.com` or `{name} in LIST`")
        }
        Type::Text => {
            format!("write `{name} is \"...\"`, `{name} contains \"...\"` or `{name} matches \"*...*\"`")
        }
        Type::Count => format!("write `{name} > 10` or `{name} is 1`"),
        Type::Size => format!("write `{name} > 10 MiB` or `{name} <= 50 KiB`"),
        Type::Enum(words) => {
            format!("write `{name} is {}` or `{name} in [{}]`", words.first().unwrap_or(&""), listed(words))
        }
        Type::Time => "write `active from 2026-12-01 until 2027-01-15`".to_owned(),
    }
}

pub fn type_word(ty: Type) -> &'static str {
    match ty {
        Type::Domain => "domain",
        _ => "text",
    }
}
