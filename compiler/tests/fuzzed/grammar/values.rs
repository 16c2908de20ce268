//! Values of every type, and lists of them.

use super::Choices;

pub(super) fn brackets(c: &mut Choices<'_>, mut each: impl FnMut(&mut Choices<'_>) -> String) -> String {
    let mut all: Vec<String> = (0..c.below(5)).map(|_| each(c)).collect();
    if all.is_empty() && !c.rarely(40) {
        all.push(each(c));
    }
    if c.rarely(6) {
        // A comma behind the last one.
        all.push(String::new());
    }
    format!("[{}]", all.join(&c.mostly(&[", ", ",", ",\n    ", " , # one\n"], &[" "])))
}

pub(super) fn set(c: &mut Choices<'_>, mut each: impl FnMut(&mut Choices<'_>) -> String) -> String {
    if c.rarely(6) {
        return each(c);
    }
    brackets(c, |c| if c.rarely(9) { "group people".to_owned() } else { each(c) })
}

pub(super) fn address(c: &mut Choices<'_>) -> String {
    c.mostly(
        &[
            "ann@example.com",
            "@example.com",
            "@.example.com",
            "bob@",
            "Ann+tag@Example.COM",
            "ann@bücher.example",
            "sales@example.com",
            "a@example.net",
            "\"a b\"@example.com",
            "ann@[192.0.2.1]",
        ],
        &["ann@@example.com", "*@example.com", "info", "example.com", "a..b@example.com"],
    )
}

/// One mailbox.
pub(super) fn mailbox(c: &mut Choices<'_>) -> String {
    c.mostly(
        &["ann@example.com", "Bob@example.net", "archive@example.com", "ext@other.example"],
        &["@example.com", "bob@", "info"],
    )
}

pub(super) fn domain(c: &mut Choices<'_>) -> String {
    c.mostly(
        &[
            "example.com",
            ".example.com",
            "bücher.example",
            "xn--bcher-kva.example",
            "EXAMPLE.org",
            "x.example.com",
            "b.example",
        ],
        &["a..b", "localhost", "xn--a.example", "-a.example"],
    )
}

pub(super) fn network(c: &mut Choices<'_>) -> String {
    c.mostly(
        &["192.0.2.7", "192.0.2.0/24", "2001:db8::/32", "::1", "10.0.0.0/8", "::ffff:192.0.2.0/120"],
        &["0.0.0.0/0", "192.0.2.7/24", "10.0.0.0/33", "example.com"],
    )
}

pub(super) fn text(c: &mut Choices<'_>) -> String {
    c.mostly(
        &[
            "\"act now\"",
            "\"x\"",
            "\"STRASSE ß\"",
            "\"a\\\"b\\\\\"",
            "\"\\u{130}\"",
            "\"\"\"\n  two\n   lines\n  \"\"\"",
            "\"ann\"",
        ],
        &["\"\"", "\"\\q\"", "ann", "\" \""],
    )
}

pub(super) fn number_word(c: &mut Choices<'_>) -> String {
    c.mostly(
        &["1", "10", "100", "007"],
        &["0", "18446744073709551615", "18446744073709551616", "10 KiB", "1.5"],
    )
}

pub(super) fn size(c: &mut Choices<'_>) -> String {
    c.mostly(&["10 KiB", "25MB", "1 B", "3MiB"], &["0 B", "16777216 TiB", "10", "10 kb", "5 s"])
}
