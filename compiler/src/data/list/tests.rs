//! Entries of every shape, what is told about them, and that the short way reads as the long one.

use super::*;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn read(ty: ListType, bytes: &[u8]) -> (Vec<String>, Vec<String>) {
    let (entries, diagnostics) = parse_list(ty, bytes, FileId(0));
    let told = diagnostics.iter().map(|d| {
        let fix = d.fixes.first().map(|f| format!(" => {}", f.text)).unwrap_or_default();
        format!("{} {}..{} {}{fix}", d.code, d.span.start, d.span.end, d.message)
    });
    (entries.iter().map(str::to_owned).collect(), told.collect())
}

fn good(ty: ListType, text: &str, want: &[&str]) {
    assert_eq!(
        read(ty, text.as_bytes()),
        (want.iter().map(|s| (*s).to_owned()).collect(), vec![]),
        "{text:?}"
    );
}

fn bad(ty: ListType, bytes: &[u8], want: &[&str]) {
    assert_eq!(read(ty, bytes).1, want, "{:?}", String::from_utf8_lossy(bytes));
}

#[test]
fn entries() {
    good(
        ListType::Address,
        "\u{feff}Ann@Example.COM # why\r\n\r\n# all\r\n@b.example\n  @.c.example\t\nABUSE@\n\"a # b\"@d.example\njörg@bücher.example",
        &[
            "@.c.example",
            "@b.example",
            "a # b@d.example",
            "abuse@",
            "ann@example.com",
            "jörg@xn--bcher-kva.example",
        ],
    );
    good(
        ListType::Domain,
        "B.example\n.a.example\nbücher.example\nxn--bcher-kva.test",
        &["@.a.example", "@b.example", "@xn--bcher-kva.example", "@xn--bcher-kva.test"],
    );
    good(
        ListType::Network,
        "10.0.0.0/8\n192.0.2.7\n2001:DB8::/32\n::ffff:192.0.2.9",
        &["10.0.0.0/8", "192.0.2.7/32", "192.0.2.9/32", "2001:db8::/32"],
    );
    good(
        ListType::Text,
        "Act  Now # so\n\"# \\\"x\\\" \"\nÜBER\nC#\n",
        &["# \"x\" ", "act now", "c#", "über"],
    );
    good(ListType::Address, "", &[]);
    good(ListType::Address, "\n#\n", &[]);
}

#[test]
fn mistakes() {
    let address = ListType::Address;
    bad(address, b"ann@example.com\nann\n", &["E1401 16..19 `ann` is no address"]);
    bad(address, b"example.com", &["E1401 0..11 `example.com` is no address => @example.com"]);
    bad(
        address,
        b"*@example.com\n@*.b.example",
        &[
            "E1401 0..13 `*@example.com` is no address => @example.com",
            "E1401 14..26 `@*.b.example` is no address => @.b.example",
        ],
    );
    bad(
        address,
        b"\"!a\"@b.example\n!a@b.example\n!@c.example",
        &["E1401 15..27 `!a@b.example` is no address", "E1401 28..39 `!@c.example` is no address"],
    );
    bad(ListType::Network, b"!10.1.0.0/16", &["E1401 0..12 `!10.1.0.0/16` is no network"]);
    bad(ListType::Domain, b"!b.example", &["E1401 0..10 `!b.example` is no domain"]);
    bad(address, b"a@b.example,", &["E1401 0..12 `a@b.example,` is no address => a@b.example"]);
    bad(address, b"<a@b.example>", &["E1401 0..13 `<a@b.example>` is no address => a@b.example"]);
    bad(address, b"a@b.example  REJECT", &["E1401 0..19 `a@b.example  REJECT` is no address"]);
    bad(address, b"a@b.example\rc@d.example", &["E1401 0..23 a carriage return stands without a line feed"]);
    bad(address, b"a\0@b.example", &["E1401 1..2 `U+0000` cannot be seen => "]);
    bad(address, b"ok@b.example\ngr\xfcn@b.example\n", &["E1401 15..16 byte 0xFC is no UTF-8"]);
    bad(address, b"\xff\xfea\0", &["E1401 0..2 the file is UTF-16"]);
    bad(address, &vec![b'a'; super::super::MAX_LINE + 1], &["E1401 0..1 this line is longer than 64 KiB"]);
    bad(ListType::Domain, b"ann@example.com", &["E1401 0..15 `ann@example.com` is an address, not a domain"]);
    bad(
        ListType::Domain,
        b"1.2.3.4\n10.0.0.0/8\n::1\n[192.0.2.1]\n",
        &[
            "E1401 0..7 `1.2.3.4` is an IP address, not a domain",
            "E1401 8..18 `10.0.0.0/8` is an IP address, not a domain",
            "E1401 19..22 `::1` is an IP address, not a domain",
        ],
    );
    bad(
        ListType::Domain,
        b"*.a.example\n@b.example\nc.example.",
        &[
            "E1401 0..11 `*.a.example` is no domain => .a.example",
            "E1401 12..22 `@b.example` is no domain => b.example",
            "E1401 23..33 `c.example.` is no domain => c.example",
        ],
    );
    bad(
        ListType::Network,
        b"192.0.2.1/24\n192.0.2\n10.\n10.1.0.0/255.255.0.0\n10.2.*\nx\n",
        &[
            "E1401 0..12 `192.0.2.1/24` has bits set beyond its prefix",
            "E1401 13..20 `192.0.2` is no network",
            "E1401 21..24 `10.` is no network => 10.0.0.0/8",
            "E1401 25..45 `10.1.0.0/255.255.0.0` is no network => 10.1.0.0/16",
            "E1401 46..52 `10.2.*` is no network => 10.2.0.0/16",
            "E1401 53..54 `x` is no network",
        ],
    );
    bad(
        ListType::Text,
        b"\"a\n\"\"\n\"a\\q\"\n\"a\" b",
        &[
            "E1401 0..2 this text is not closed",
            "E1401 3..5 an empty text would match everything",
            "E1401 6..11 an escape in this text means nothing",
            "E1401 12..17 `b` stands behind the text",
        ],
    );
}

#[test]
fn many_mistakes_are_counted() {
    let (_, told) = read(ListType::Network, "x\n".repeat(1000).as_bytes());
    assert_eq!(told.len(), super::super::MAX_TOLD + 1);
    assert_eq!(told.last().unwrap(), "E1401 0..0 980 more lines of this file are wrong");
    let (entries, told) = read(ListType::Domain, "a.example\n".repeat(1000).as_bytes());
    assert_eq!((entries.len(), told.len()), (1, super::super::MAX_TOLD + 1));
    assert_eq!(told.first().unwrap(), "W0101 10..19 `a.example` is listed twice");
    assert_eq!(told.last().unwrap(), "W0101 0..0 979 more lines of this file are like this");
}

#[test]
fn doubles_and_covered_entries() {
    bad(
        ListType::Address,
        b"Ann@a.example\nb@b.example\nann@A.example\n",
        &["W0101 26..39 `ann@a.example` is listed twice"],
    );
    bad(
        ListType::Address,
        b"ann@a.example\n@a.example\nx@b.c.example\n@.c.example\n@.d.c.example\nabuse@\nabuse@e.example\n",
        &[
            "W0104 0..13 `ann@a.example` is covered by `@a.example`",
            "W0104 25..38 `x@b.c.example` is covered by `@.c.example`",
            "W0104 51..64 `@.d.c.example` is covered by `@.c.example`",
            "W0104 72..87 `abuse@e.example` is covered by `abuse@`",
        ],
    );
    bad(ListType::Domain, b".example\na.example\n", &["W0104 9..18 `a.example` is covered by `.example`"]);
    bad(ListType::Domain, b".a.example\na.example\n", &[]);
    bad(
        ListType::Network,
        b"10.1.0.0/16\n10.0.0.0/8\n10.1.2.3\n11.0.0.0/8\n::/0\n2001:db8::1\n",
        &[
            "W0104 0..11 `10.1.0.0/16` is covered by `10.0.0.0/8`",
            "W0104 23..31 `10.1.2.3` is covered by `10.0.0.0/8`",
            "W0104 48..59 `2001:db8::1` is covered by `::/0`",
        ],
    );
}

/// What the short way takes, the parser of the values takes, with the same key.
fn same(entry: &str) {
    for ty in [ListType::Address, ListType::Domain] {
        if Plain::read(entry.as_bytes(), ty).is_none() {
            continue;
        }
        let (entries, diagnostics) = parse_list(ty, entry.as_bytes(), FileId(0));
        assert_eq!(diagnostics, [], "{entry:?}");
        assert_eq!(entries.get(0), Some(Pattern::parse(entry).unwrap().key().as_str()), "{entry:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, rng_seed: RngSeed::Fixed(3), ..ProptestConfig::default() })]

    #[test]
    fn the_short_way_is_the_long_one(entry in "[a-cXN@.#_+ -]{0,12}|[.]?[a-z-]{1,66}[.@][a-zA-Z0-9.-]{0,200}|[!-~]{0,20}") {
        same(&entry);
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(prop::sample::select(b"ab@.-/1:#\"\\ \r\n\xc3\xbc\xff\0".to_vec()), 0..60)) {
        for ty in [ListType::Address, ListType::Domain, ListType::Network, ListType::Text] {
            let (entries, diagnostics) = parse_list(ty, &bytes, FileId(0));
            let all: Vec<&str> = entries.iter().collect();
            prop_assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(diagnostics.iter().all(|d| d.span.start <= d.span.end && d.span.end as usize <= bytes.len()));
        }
    }
}
