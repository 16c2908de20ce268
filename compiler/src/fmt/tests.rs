//! What the layout is, and that nothing but the layout changes.

use super::*;
use crate::ast::Ast;
use crate::lex::lex;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn check(before: &str, after: &str) {
    let formatted = format(before).unwrap();
    assert_eq!(formatted, after);
    assert_eq!(format(&formatted).unwrap(), after, "a second time");
}

/// The Ast without the places, and without the space between a number and its unit.
fn meaning(ast: &Ast) -> String {
    let debug = joined(&joined(&format!("{ast:?}"), "Size"), "Duration");
    let mut out = String::new();
    let mut rest = debug.as_str();
    while let Some((before, behind)) = rest.split_once("Span {") {
        out.push_str(before);
        let inner = behind.split_once('}').unwrap().1;
        rest = inner.split_once('}').unwrap().1;
    }
    out + rest
}

/// An Ast with the amounts of a class in one word.
fn joined(debug: &str, class: &str) -> String {
    let class = format!("\", class: {class}(");
    let (mut out, mut rest) = (String::new(), debug);
    while let Some((before, behind)) = rest.split_once(&class) {
        let (before, written) = before.rsplit_once('"').unwrap();
        out.extend([before, "\"", &written.replace(' ', ""), &class]);
        rest = behind;
    }
    out + rest
}

fn comments(text: &str) -> Vec<String> {
    let lexed = lex(FileId(0), text.as_bytes());
    let comments = lexed.tokens.iter().filter(|t| t.kind == TokenKind::Comment);
    comments.map(|t| lexed.str(*t).trim_end().to_owned()).collect()
}

/// Formatting keeps meaning and comments, and is done after one time.
fn holds(text: &str) {
    let before = parse(FileId(0), text.as_bytes());
    assert!(before.diagnostics.is_empty(), "{text}\n{:?}", before.diagnostics);
    let formatted = format(text).unwrap();
    let after = parse(FileId(0), formatted.as_bytes());
    assert_eq!(after.diagnostics, [], "{formatted}");
    assert_eq!(meaning(&before.ast), meaning(&after.ast), "{text}\n----\n{formatted}");
    let (had, has) = (comments(text), comments(&formatted));
    let differ = had.iter().zip(&has).find(|(a, b)| a != b);
    assert!(had.len() == has.len() && differ.is_none(), "{differ:?}\n{text}\n----\n{formatted}");
    let again = format(&formatted).unwrap();
    let differ = formatted.lines().zip(again.lines()).find(|(a, b)| a != b);
    assert!(formatted == again, "{differ:?}\n{text}\n----\n{formatted}");
    assert!(formatted.lines().all(|l| formatted.contains("\"\"\"") || l == l.trim_end()), "{formatted}");
}

const FILES: [&str; 2] = [
    include_str!("../../tests/syntax/good/reference.edict"),
    include_str!("../../tests/syntax/good/every-form.edict"),
];

#[test]
fn files_hold() {
    for text in FILES {
        holds(text);
        holds(&text.replace('\n', "\r\n"));
        holds(&format!("\u{feff}{text}"));
    }
}

#[test]
fn layout() {
    check("edict 1", "edict 1\n");
    check(
        "\n\n# top\n\n\n\nedict   1 # one\nlist a:domain=[ ]",
        "# top\n\nedict 1  # one\n\nlist a: domain = []\n",
    );
    check(
        "edict 1 reject \"x\"{when a is b unless(c is d)reply 550}",
        "edict 1\n\nreject \"x\" { when a is b   unless (c is d)   reply 550 }\n",
    );
    check(
        "edict 1\nreject \"x\" { # why\n\n  # first\n  when submitted # so\n\n\n\n  reply 550\n\n  # last\n\n}\n# end",
        "edict 1\n\nreject \"x\" {  # why\n    # first\n    when  submitted  # so\n\n    reply 550\n\n    # last\n}\n# end\n",
    );
    check("edict 1\nreject \"x\" # why\n{\n}", "edict 1\n\nreject \"x\" {  # why\n}\n");
    check("edict 1\nreject \"x\" {\n\n}", "edict 1\n\nreject \"x\" {}\n");
    check(
        "edict 1\nlist a: domain = [a.example # one\n, b.example,\n# two\n\n c.example]",
        "edict 1\n\nlist a: domain = [\n    a.example,  # one\n    b.example,\n    # two\n    c.example,\n]\n",
    );
    check(
        "edict 1\nlist a: domain = [a.example,]\nlist b: domain = [# none\n]",
        "edict 1\n\nlist a: domain = [\n    a.example,\n]\nlist b: domain = [  # none\n]\n",
    );
    check(
        "edict 1\nallow \"x\" {\n when # here\n submitted\n # there\n and client.tls }",
        "edict 1\n\nallow \"x\" {\n    when  # here\n         submitted\n         # there\n         and client.tls\n}\n",
    );
    check(
        "edict 1\nroute \"a\" { via mx }\n# b\nbcc \"b\" {\n to a@b.example }\nroute \"c\" { via mx }",
        "edict 1\n\nroute \"a\" { via mx }\n\n# b\nbcc \"b\" {\n    to a@b.example\n}\n\nroute \"c\" { via mx }\n",
    );
}

/// A number and its unit are two words, where an amount is meant; elsewhere one word is one.
#[test]
fn amounts() {
    check(
        "edict 1\nprofile { max-message-size 25MB max-attachment-size 3MiB }",
        "edict 1\n\nprofile { max-message-size 25 MB   max-attachment-size 3 MiB }\n",
    );
    check(
        "edict 1\nreject \"x\" {\nwhen size>10KiB and (not attachment.size<1KB or size in [1B,2TiB]) # so\nunless size is not 3MiB }",
        "edict 1\n\nreject \"x\" {\n    when   size > 10 KiB and (not attachment.size < 1 KB or size in [1 B, 2 TiB])  # so\n    unless size is not 3 MiB\n}\n",
    );
    check(
        "edict 1\nlimit \"x\" { per client.ip at most 3 messages per 90s at most 5 connections per 10min }",
        "edict 1\n\nlimit \"x\" { per client.ip   at most 3 messages per 90 s   at most 5 connections per 10 min }\n",
    );
    check(
        "edict 1\nquota \"x\" {\nat most 200MiB per day\nwarn at 80% }",
        "edict 1\n\nquota \"x\" {\n    at most 200 MiB per day\n    warn at 80 %\n}\n",
    );
    check(
        "edict 1\ntest \"x\" { size 1KiB usage 199MB expect accept }",
        "edict 1\n\ntest \"x\" { size 1 KiB   usage 199 MB   expect accept }\n",
    );
    // A login, a host and a name of somebody, and what is a mistake where it stands.
    for one in [
        "test \"x\" { login 5d   helo 10min   expect accept for 3h@a.example }",
        "group x = [5d, 10KiB]",
        "alias 5d = 10s",
        "allow \"x\" { when auth.user is 5d and sender.local in [1h, 2h] and hops < 5s }",
    ] {
        let one = format!("edict 1\n\n{one}\n");
        check(&one, &one);
    }
}

#[test]
fn long_lines_break() {
    let long = "a-rather-long-name.example";
    let list = [long; 5].join(", ");
    let lines = [long; 5].map(|d| format!("    {d},\n")).concat();
    check(
        &format!("edict 1\nlist a: domain = [{list}]"),
        &format!("edict 1\n\nlist a: domain = [\n{lines}]\n"),
    );
    let test = |n: u8| format!("sender.domain is {n}.{long}");
    check(
        &format!("edict 1\nallow \"x\" {{\nwhen {} and {} or {} }}", test(1), test(2), test(3)),
        &format!(
            "edict 1\n\nallow \"x\" {{\n    when {} and {}\n         or {}\n}}\n",
            test(1),
            test(2),
            test(3)
        ),
    );
}

#[test]
fn a_file_with_mistakes_stays() {
    assert_eq!(format("edict 1\nrject \"x\" { }").unwrap_err().len(), 1);
    assert!(format_bytes(FileId(0), b"edict 1\n# \xff").is_err());
}

/// The tokens of the good files, and how what stands between them may be written otherwise.
fn retold(text: &str, choices: &[u8]) -> String {
    let lexed = lex(FileId(0), text.as_bytes());
    let tokens: Vec<_> = lexed.tokens.iter().filter(|t| !t.kind.is_trivia()).collect();
    let mut out = String::new();
    for (at, token) in tokens.iter().enumerate() {
        let choice = choices.get(at % choices.len().max(1)).copied().unwrap_or(0);
        out.push_str(&match (at, choice % 12) {
            (0, _) => String::new(),
            (_, 0) => "\n".to_owned(),
            (_, 1) => "\n\n\n".to_owned(),
            (_, 2) => format!(" # {at}\n"),
            (_, 3) => format!("\n  #{at}\n"),
            (_, 4) => format!(" # {at}  \n\n#x\n\n\n"),
            (_, 5) => "\t \r\n".to_owned(),
            _ => " ".to_owned(),
        });
        out.push_str(lexed.str(*(*token)));
    }
    out
}

fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "a.example",
        "ann@example.com",
        "@.b.example",
        "::1",
        "10.0.0.0/8",
        "x",
        "100",
        "5 MiB",
        "5MiB",
        "90s",
        "\"t # {\"",
        "\"\"\"b\n  c\"\"\"",
    ])
    .prop_map(str::to_owned)
}

fn set() -> impl Strategy<Value = String> {
    let entry = prop_oneof![4 => word(), 1 => Just("group g".to_owned())];
    (prop::collection::vec(entry, 0..9), any::<bool>()).prop_map(|(entries, comma)| {
        let comma = if comma && !entries.is_empty() { "," } else { "" };
        format!("[{}{comma}]", entries.join(","))
    })
}

fn condition() -> impl Strategy<Value = String> {
    let test = prop_oneof![
        word().prop_map(|w| format!("sender is not {w}")),
        set().prop_map(|s| format!("recipient.domain not in {s}")),
        set().prop_map(|s| format!("subject contains any of {s}")),
        word().prop_map(|w| format!("size>={w}")),
        set().prop_map(|s| format!("attachment.size in {s}")),
        prop::sample::select(vec![
            "submitted",
            "header(\"X\") is absent",
            "helo matches /a(b|c)\\/d/",
            "client.ip in trusted"
        ])
        .prop_map(str::to_owned),
    ];
    test.prop_recursive(6, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| parts.join(" and ")),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| parts.join(" or ")),
            inner.clone().prop_map(|c| format!("({c})")),
            inner.prop_map(|c| format!("not ({c})")),
        ]
    })
}

fn item() -> impl Strategy<Value = String> {
    prop_oneof![
        set().prop_map(|s| format!("list l: address = {s}")),
        set().prop_map(|s| format!("alias a@example.com = {s} {{ may-send {s} }}")),
        (condition(), condition())
            .prop_map(|(a, b)| format!("reject \"r\" {{ when {a} unless {b} reply 550 }}")),
        prop::collection::vec(condition(), 0..4).prop_map(|all| {
            let when: Vec<String> = all.iter().map(|c| format!("when {c}")).collect();
            format!("disclaimer \"d\" {{ continue {} text \"t\" }}", when.join(" "))
        }),
        set().prop_map(|s| format!(
            "profile {{ local-domains {s} auth off errors slow after 1,close after 2 }}"
        )),
        set().prop_map(|s| format!("test \"t\" {{ sender <> expect no bcc expect recipients {s} }}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default() })]

    #[test]
    fn generated_files(items in prop::collection::vec(item(), 0..6), choices in prop::collection::vec(any::<u8>(), 1..100)) {
        let text = format!("edict 1 {}", items.join(" "));
        holds(&text);
        holds(&retold(&text, &choices));
    }

    #[test]
    fn any_white_space(choices in prop::collection::vec(any::<u8>(), 1..400)) {
        for text in FILES {
            holds(&retold(text, &choices));
        }
    }
}
