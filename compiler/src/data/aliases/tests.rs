//! aliases(5) as people write it.

use super::*;

fn read(text: &str) -> (Vec<String>, Vec<String>) {
    let (aliases, diagnostics) = parse_aliases(text.as_bytes(), FileId(0));
    let shown = |a: &AliasLine| {
        for word in a.targets.iter().chain([&a.name]) {
            let place = &text[word.span.start as usize..word.span.end as usize];
            assert!(
                place.contains(word.value.as_str()) || place.contains('\\') || place.contains('"'),
                "{place}"
            );
        }
        let targets: Vec<&str> = a.targets.iter().map(|t| t.value.as_str()).collect();
        format!("{}: {}{}", a.name.value, targets.join(" | "), if a.broken { " (broken)" } else { "" })
    };
    let told = diagnostics.iter().map(|d| format!("{}..{} {}", d.span.start, d.span.end, d.message));
    (aliases.iter().map(shown).collect(), told.collect())
}

#[test]
fn forms() {
    let (aliases, told) = read(concat!(
        "\u{feff}# Basic system aliases\r\n",
        "postmaster: root\r\n",
        "root:   ann@example.com,\r\n",
        "\tbob@example.com\r\n",
        "   # a comment inside\r\n",
        "\r\n",
        "   carol   # and one behind\n",
        "list:ann,bob , carol,\n",
        "\"john doe\": \"jane doe\"@example.com, \"plain\"\n",
        "filter: \"|/usr/bin/filter -a, -b\", |\"/bin/other x\"\n",
        "file: /var/mail/file, \"/var/mail/a b\"\n",
        "inc: :include:/etc/list\n",
        "dora: \\dora, dora@other.example\n",
        "eve: \\_eve\n",
        "empty:\n",
        "@example.org: catchall\n",
    ));
    assert_eq!(told, [] as [&str; 0]);
    assert_eq!(
        aliases,
        [
            "postmaster: root",
            "root: ann@example.com | bob@example.com | carol",
            "list: ann | bob | carol",
            "\"john doe\": \"jane doe\"@example.com | plain",
            "filter: |/usr/bin/filter -a, -b | |\"/bin/other x\"",
            "file: /var/mail/file | /var/mail/a b",
            "inc: :include:/etc/list",
            "dora: dora | dora@other.example",
            "eve: _eve",
            "empty: ",
            "@example.org: catchall",
        ]
    );
    assert_eq!(target("|x"), Target::Command);
    assert_eq!(target("/x"), Target::File);
    assert_eq!(target(":INCLUDE:/x"), Target::Include);
    assert_eq!(target("x@y"), Target::Address);
}

#[test]
fn mistakes() {
    let (aliases, told) = read("  ann\nsales ann\n  bob\na: b\n: c\nd: \"e\nf: g h\n  i\nj: k\x00\n l: m\n");
    assert_eq!(
        told,
        [
            "2..5 this line continues an alias, but none stands before it",
            "6..15 this line is no alias",
            "27..28 no name stands before this colon",
            "33..36 a quote is not closed",
            "40..43 a comma is missing behind `g`",
            "52..53 `U+0000` cannot be seen",
        ]
    );
    assert_eq!(aliases, ["a: b", "d:  (broken)", "f: i (broken)"]);
}

#[test]
fn bytes_that_no_file_holds() {
    let (aliases, diagnostics) = parse_aliases(b"a: b\nc: \xff\n  d\ne: f\n", FileId(0));
    assert_eq!(diagnostics.len(), 1);
    assert_eq!(aliases.len(), 2);
    assert_eq!(parse_aliases(b"\xff\xfea\0", FileId(0)).1.len(), 1);
}
