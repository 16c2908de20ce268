//! Tokens of good and of broken texts.

use super::leaf::{Amount, AmountError, amount, bad_escapes, date, enhanced, quote, regex, text};
use super::*;

fn kinds(source: &str) -> Vec<(TokenKind, String)> {
    let lexed = lex(FileId(0), source.as_bytes());
    whole(source.as_bytes(), &lexed);
    lexed
        .tokens
        .iter()
        .filter(|t| !matches!(t.kind, TokenKind::Space))
        .map(|t| (t.kind, lexed.str(*t).to_owned()))
        .collect()
}

fn words(source: &str) -> Vec<String> {
    kinds(source).into_iter().filter(|(kind, _)| *kind == TokenKind::Word).map(|(_, text)| text).collect()
}

/// Every byte is in one token.
fn whole(bytes: &[u8], lexed: &Lexed<'_>) {
    let mut at = 0;
    for token in &lexed.tokens {
        assert_eq!(token.start, at, "{lexed:?}");
        assert!(token.end > token.start);
        at = token.end;
    }
    assert_eq!(at as usize, bytes.len());
}

fn codes(bytes: &[u8]) -> Vec<(&'static str, u32, u32)> {
    let lexed = lex(FileId(0), bytes);
    whole(bytes, &lexed);
    lexed.diagnostics.iter().map(|d| (d.code, d.span.start, d.span.end)).collect()
}

#[test]
fn words_of_every_shape() {
    for word in [
        "example.com",
        ".partner.example",
        "@.board.example.com",
        "abuse@",
        "@example.com",
        "ann+x@example.com",
        "a=b@example.com",
        "10.20.0.0/16",
        "::1",
        "2001:db8::/32",
        "fe80::",
        "smtp.provider.example:587",
        "[2001:db8::1]:587",
        "bücher.example",
        "client.ip",
        "bad-nets",
        "25MiB",
        "80%",
        "2026-12-01T10:30",
        "ann@[192.0.2.1]",
        "ann@[IPv6:2001:db8::1]",
        "\"a b\"@example.com",
        "\"a\\\"b\"@example.com",
        "o'brien@example.com",
        "5.7.1",
        "*",
        "a%b@example.com",
    ] {
        assert_eq!(kinds(word), [(TokenKind::Word, word.to_owned())]);
        assert_eq!(kinds(&format!("[{word},{word}]"))[1], (TokenKind::Word, word.to_owned()));
        assert_eq!(words(&format!("x {word}#c\n{word}{{")), ["x", word, word]);
        assert!(codes(word.as_bytes()).is_empty());
    }
}

#[test]
fn colons_and_equals_part_words() {
    assert_eq!(words("list a:domain=[b]"), ["list", "a", "domain", "b"]);
    assert_eq!(words("list a: domain = [b]"), ["list", "a", "domain", "b"]);
    assert_eq!(words("alias a@b=[c]"), ["alias", "a@b", "c"]);
    assert_eq!(words("size>=10 size<5"), ["size", "10", "size", "5"]);
}

#[test]
fn a_slash_opens_a_regex_only_behind_matches() {
    use TokenKind as K;
    let found: Vec<TokenKind> =
        kinds("subject matches /a\\/b [c]/ and client.ip in 10.0.0.0/8").iter().map(|t| t.0).collect();
    assert_eq!(found, [K::Word, K::Word, K::Regex, K::Word, K::Word, K::Word, K::Word]);
    assert_eq!(kinds("matches # why\n /x/")[2].0, K::Regex);
    assert_eq!(codes(b"matches /x/i"), [("E0007", 11, 12)]);
    assert_eq!(codes(b"matches /x\n}"), [("E0007", 8, 10)]);
}

#[test]
fn texts() {
    use TokenKind as K;
    assert_eq!(kinds("\"a # b\"").len(), 1);
    assert_eq!(kinds("\"\"\"a\n\"b\"\n\"\"\" x")[0], (K::Block, "\"\"\"a\n\"b\"\n\"\"\"".to_owned()));
    assert_eq!(kinds("\"\" x")[0], (K::Text, "\"\"".to_owned()));
    assert_eq!(codes(b"x \"abc\r\ny"), [("E0005", 2, 6)]);
    assert_eq!(codes(b"x \"abc\\"), [("E0005", 2, 7)]);
    assert_eq!(codes(b"\"\"\"abc"), [("E0005", 0, 3)]);
    assert!(lex(FileId(0), b"\"\"\"abc").cut);
    assert_eq!(codes(b"\"a\\qb\\u{110000}\\u12\""), [("E0006", 2, 4), ("E0006", 5, 15), ("E0006", 15, 17)]);
}

#[test]
fn what_people_write_by_habit() {
    assert_eq!(codes(b"a;"), [("E0009", 1, 2)]);
    assert_eq!(codes(b"'abc' x"), [("E0004", 0, 5)]);
    assert_eq!(codes("“abc” x".as_bytes()), [("E0004", 0, 9)]);
    assert_eq!(codes("„abc“".as_bytes()), [("E0004", 0, 9)]);
    assert_eq!(codes(b"// abc ; '"), [("E0008", 0, 10)]);
    assert_eq!(codes("a\u{a0}b".as_bytes()), [("E0003", 1, 3)]);
    assert_eq!(kinds("a != b == c <> d").len(), 7);
}

#[test]
fn bytes_that_no_text_holds() {
    assert!(codes("\u{feff}edict 1\r\n# x\r\n\"y\"\r\n".as_bytes()).is_empty());
    assert_eq!(codes("a \u{feff}b".as_bytes()), [("E0003", 2, 5)]);
    assert_eq!(codes(b"a\rb"), [("E0003", 1, 2)]);
    assert_eq!(codes(b"# a\rb\n"), [("E0003", 3, 4)]);
    assert_eq!(codes(b"a\0b \"\x1b\""), [("E0003", 1, 2), ("E0003", 5, 6)]);
    assert_eq!(codes("\"a\u{202e}b\"".as_bytes()), [("E0003", 2, 5)]);
    assert_eq!(codes("# \u{2066}\n".as_bytes()), [("E0003", 2, 5)]);
    assert_eq!(codes(b"note \"gr\xfc\xdf\" \xff"), [("E0002", 8, 9)]);
    assert_eq!(codes(b"\x1a"), [("E0003", 0, 1)]);
    assert_eq!(codes(b"\xff\xfee\0"), [("E0002", 0, 2)]);
    assert_eq!(codes(&vec![b'a'; MAX_FILE + 1]), [("E0001", 0, 0)]);
    assert_eq!(codes(&[0; 100_000]).len(), 1);
    assert_eq!(codes(&b"a\0".repeat(1000)).len(), MAX_DIAGNOSTICS);
}

#[test]
fn amounts() {
    assert_eq!(amount("100", None), Ok(Amount::Number(100)));
    assert_eq!(amount("25", Some("MiB")), Ok(Amount::Size(25 << 20)));
    assert_eq!(amount("25MB", None), Ok(Amount::Size(25_000_000)));
    assert_eq!(amount("10", Some("s")), Ok(Amount::Duration(10)));
    assert_eq!(amount("1h", None), Ok(Amount::Duration(3600)));
    assert_eq!(amount("10", Some("apples")), Err(AmountError::Unit));
    assert_eq!(amount("1e3", None), Err(AmountError::Unit));
    assert_eq!(amount("99999999999999999999", None), Err(AmountError::TooLarge));
    assert_eq!(amount("99999999999", Some("TiB")), Err(AmountError::TooLarge));
    assert_eq!(amount("-1", None), Err(AmountError::NoNumber));
}

#[test]
fn dates_and_codes() {
    assert_eq!(date("2026-12-01"), Some((2026, 12, 1, None)));
    assert_eq!(date("2024-02-29T23:59"), Some((2024, 2, 29, Some((23, 59, 0)))));
    assert_eq!(date("2024-02-29T23:59:07"), Some((2024, 2, 29, Some((23, 59, 7)))));
    for wrong in
        ["2026-02-29", "2026-13-01", "2026-1-1", "2026-12-01T24:00", "1969-01-01", "2026-12-01x", "0", ""]
    {
        assert_eq!(date(wrong), None, "{wrong}");
    }
    assert_eq!(enhanced("5.7.1"), Some((5, 7, 1)));
    for wrong in ["3.7.1", "5.7", "5.7.1.2", "5.7.1000", "x"] {
        assert_eq!(enhanced(wrong), None, "{wrong}");
    }
}

#[test]
fn what_texts_say() {
    for (token, want) in [
        ("\"\"", ""),
        ("\"a\\\"b\\\\c\\n\\t\\u{20AC}\"", "a\"b\\c\n\t€"),
        ("\"a\\q\"", "a\\q"),
        ("\"abc", "abc"),
        ("\"abc\\\"", "abc\""),
        ("\"abc\\\\\"", "abc\\"),
        ("\"", ""),
        ("'abc'", "abc"),
        ("\"\"\"one\"\"\"", "one"),
        ("\"\"\"\n    one\n      two\n    \"\"\"", "one\n  two"),
        ("\"\"\"\r\n  one\r\n\r\n  two\r\n  \"\"\"", "one\n\ntwo"),
        ("\"\"\"\n  one\n  two\"\"\"", "  one\n  two"),
        ("\"\"\"\n\"\"\"", ""),
        ("\"\"\"a\\nb", "a\nb"),
    ] {
        assert_eq!(text(token), want, "{token}");
    }
    for (token, want) in [("/a\\/b\\d/", "a/b\\d"), ("/abc/i", "abc"), ("/", ""), ("/abc", "abc")] {
        assert_eq!(regex(token), want, "{token}");
    }
    for say in ["", "a\"b\\", "x\ny\t\u{1b}ü"] {
        assert_eq!(text(&quote(say)), say);
    }
    assert_eq!(bad_escapes("\"\\\""), []);
}
