//! Conditions: tests on every fact there is, joined and nested.

use super::Choices;
use super::values::{address, brackets, domain, network, number_word, size, text};
use edict_table::fact::{Fact, REGISTRY, Row, Type};

/// The clauses that every rule takes.
pub(super) fn conditions(c: &mut Choices<'_>) -> String {
    let mut out = String::new();
    for _ in 0..c.below(3) {
        out.push_str(c.pick(&["when ", "unless "]));
        out.push_str(&condition(c, 4));
        out.push_str(c.pick(&["\n    ", " ", " # why\n"]));
    }
    out.push_str(&c.mostly(
        &[
            "",
            "",
            "priority 10 ",
            "priority 4294967295 ",
            "mode audit ",
            "mode off ",
            "note \"\\u{20AC}\" ",
            "active from 2026-12-01 until 2027-01-15 ",
        ],
        &["active until 2026-02-29 ", "priority x ", "mode on ", "active "],
    ));
    out
}

fn condition(c: &mut Choices<'_>, depth: usize) -> String {
    match c.below(8) {
        0 if depth > 0 => format!("({})", condition(c, depth - 1)),
        1 if depth > 0 => format!("not {}", condition(c, depth - 1)),
        2 if depth > 0 => format!("{} and {}", condition(c, depth - 1), condition(c, depth - 1)),
        3 if depth > 0 => format!("{} or {}", condition(c, depth - 1), condition(c, depth - 1)),
        4 if c.rarely(16) => {
            // As deep as it goes, and one more.
            let deep = c.pick(&[59, 60, 61, 62, 200]);
            format!("{}submitted{}", "(".repeat(deep), ")".repeat(deep))
        }
        _ => fact_test(c),
    }
}

/// A test on any fact there is, mostly one that its type takes.
fn fact_test(c: &mut Choices<'_>) -> String {
    let row = c.pick(REGISTRY);
    // Flags that are asked by a phrase have it in their names.
    let name = match row.fact {
        Fact::Header => format!("header(\"{}\")", c.mostly(&["X-Spam", "Received", "Subject"], &["x y", ""])),
        Fact::ClientListed => {
            return format!(
                "client.ip is listed in \"{}\"",
                c.mostly(&["zen.example", "b.example"], &["b.example.", "", "[::1]"])
            );
        }
        Fact::Time => "size".to_owned(),
        _ => row.name.to_owned(),
    };
    if row.optional && c.rarely(8) || c.rarely(60) {
        return format!(
            "{name} {}",
            c.pick(&[
                "is present",
                "is absent",
                "is not present",
                "is unqualified",
                "is malformed",
                "is unresolvable",
                "is unknown"
            ])
        );
    }
    match row.ty {
        Type::Flag => name,
        Type::Count => {
            format!("{name} {} {}", c.pick(&[">", ">=", "<", "<=", "is", "is not"]), number_word(c))
        }
        Type::Size => format!("{name} {} {}", c.pick(&[">", ">=", "<", "<=", "is", "is not"]), size(c)),
        Type::Enum(words) => {
            let word = c.pick(words);
            c.pick(&[format!("{name} is {word}"), format!("{name} not in [{word}, {}]", words[0])].each_ref())
                .clone()
        }
        _ => {
            let row = if c.rarely(60) { c.pick(REGISTRY) } else { row };
            one_of(c, &name, &row)
        }
    }
}

fn one_of(c: &mut Choices<'_>, name: &str, row: &Row) -> String {
    let value = |c: &mut Choices<'_>| match row.ty {
        Type::Address => address(c),
        Type::Domain => domain(c),
        Type::Network => network(c),
        _ => text(c),
    };
    let list = match row.ty {
        Type::Address => c.pick(&["a-list", "d-list", "f-list", "local-domains"]),
        Type::Domain => c.pick(&["d-list", "relay-domains", "local-domains"]),
        Type::Network => c.pick(&["n-list", "trusted"]),
        _ => "t-list",
    };
    let globs = row.ty != Type::Network;
    let texts = row.ty == Type::Text || c.rarely(60);
    match c.below(12) {
        1 => format!("{name} is not {}", value(c)),
        2 => format!("{name} in {list}"),
        3 => format!("{name} not in {list}"),
        4 => format!("{name} in {}", brackets(c, value)),
        5 if row.ty == Type::Address || c.rarely(60) => format!("{name} in group people"),
        6 if texts => format!("{name} contains {}", text(c)),
        7 if texts => format!("{name} contains any of {}", c.pick(&["t-list", "[\"a\", \"b\"]"])),
        8 if texts => format!("{name} {} with {}", c.pick(&["starts", "ends"]), text(c)),
        9 if texts => format!("{name} {} with any of t-list", c.pick(&["starts", "ends"])),
        10 if globs => {
            format!(
                "{name} matches {}",
                c.mostly(
                    &["\"spring-*\"", "\"*\"", "\"a?c\\\\*\"", "\"*.example.com\""],
                    &["\"\"", "\"a\\\\\"", "\"plain\""]
                )
            )
        }
        11 if globs => {
            let regex = c.mostly(
                &["win (a|the) prize", "^x+$", "a\\/b", "\\d{1,9}", "é|ß"],
                &["[", "(a*)*b", "", ".{900}", "(?=a)"],
            );
            format!("{name} matches /{regex}/")
        }
        _ => format!("{name} is {}", value(c)),
    }
}
