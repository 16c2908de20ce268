//! Reading and building header fields.

use super::*;
use crate::edit::apply;

#[test]
fn reads_fields_folds_and_the_end() {
    let message = b"A: 1\r\n  more\r\nB : 2\r\n\r\nbody: no\r\n";
    let read = fields(message);
    assert!(!read.malformed);
    let got: Vec<_> = read.fields.iter().map(|f| (f.name, f.value)).collect();
    assert_eq!(got, [(&b"A"[..], &b" 1\r\n  more"[..]), (b"B", b" 2")]);
    assert_eq!(message.get(read.body..), Some(&b"body: no\r\n"[..]));
}

#[test]
fn garbage_is_malformed_and_reading_goes_on() {
    for message in [&b"A: 1\nno field\nB: 2\n\n"[..], b" fold first\nA: 1\nB: 2\n\n", b": x\nA: 1\nB: 2"] {
        let read = fields(message);
        assert!(read.malformed);
        assert_eq!(read.fields.len(), 2, "{message:?}");
    }
}

#[test]
fn past_the_limits_is_malformed() {
    for (count, malformed) in [(MAX_FIELDS - 1, false), (MAX_FIELDS, false), (MAX_FIELDS + 1, true)] {
        let many = [&b"A: 1\r\n 2\r\n".repeat(count)[..], b"\r\nbody"].concat();
        let read = fields(&many);
        assert_eq!(read.malformed, malformed, "{count} fields");
        assert_eq!(read.fields.len(), count.min(MAX_FIELDS));
        assert_eq!(many.get(read.body..), Some(&b"body"[..]));
    }
    let mut long = vec![b'x'; MAX_HEADER + 10];
    long.splice(0..0, *b"A: 1\r\nB: ");
    long.extend_from_slice(b"\r\n\r\nbody");
    let read = fields(&long);
    assert!(read.malformed);
    assert_eq!(long.get(read.body..), Some(&b"body"[..]));
}

#[test]
fn removes_every_field_of_a_name() {
    let message = b"Bcc: a@x,\r\n b@x\r\nTo: c@x\r\nBCC: d@x\r\n\r\nBcc: body\r\n";
    let got = apply(message, &remove(message, "bcc"));
    assert_eq!(got, b"To: c@x\r\n\r\nBcc: body\r\n");
}

/// MIME and header bombs: nobody can hide a field behind many others, or behind one that is long.
#[test]
fn no_limit_hides_a_field() {
    let long = format!("B: {}\r\n", "x".repeat(MAX_HEADER));
    let folds = format!("B: x\r\n{}", " y\r\n".repeat(MAX_HEADER / 4));
    for front in ["A: 1\r\n".repeat(MAX_FIELDS), long, folds, "no field\r\n".repeat(MAX_FIELDS)] {
        let message = format!("{front}Bcc: a@x,\r\n b@x\r\nTo: c@x\r\nbcc : d@x\r\n\r\nBcc: body\r\n");
        let got = apply(message.as_bytes(), &remove(message.as_bytes(), "Bcc"));
        let got = String::from_utf8(got).unwrap();
        assert_eq!(got.strip_prefix(&front), Some("To: c@x\r\n\r\nBcc: body\r\n"));
    }
    // A field that begins before the limit and ends behind it goes as a whole.
    let message = format!("A: 1\r\nBcc: x\r\n{}To: c@x\r\n\r\n", " y\r\n".repeat(MAX_HEADER / 4));
    let got = apply(message.as_bytes(), &remove(message.as_bytes(), "bcc"));
    assert_eq!(String::from_utf8(got).unwrap(), "A: 1\r\nTo: c@x\r\n\r\n");
}

#[test]
fn both_ways_to_read_a_header_read_the_same() {
    for message in [
        &b""[..],
        b"\r\nA: body",
        b"A: 1",
        b"A: 1\r\n",
        b"A: 1\r\n 2\r\nB : 3\r\n\r\nC: 4\r\n",
        b" fold first\r\nA: 1\nno field\n fold\nB:\n\t2\n: x\n\nC: 4",
    ] {
        let read = fields(message).fields;
        assert_eq!(each(message).collect::<Vec<_>>(), read, "{:?}", message.escape_ascii().to_string());
    }
}

#[test]
fn nothing_can_be_injected() {
    let received = Received {
        helo: "evil)\r\nX: y",
        client_name: Some("a b"),
        client_ip: "2001:db8::1".parse().unwrap(),
        by: "mx.example.com",
        protocol: "ESMTPS",
        id: "ID",
        recipient: Some("a>\r\nBcc: <b@x"),
        time: 0,
    };
    let mut top = Builder::default();
    top.add("Received", &received.value());
    top.add("X\r\nInjected: y", "z");
    let bytes = top.finish();
    let text = String::from_utf8(bytes.clone()).unwrap();
    let read = fields(&bytes);
    assert!(!read.malformed);
    assert_eq!(read.fields.len(), 2);
    assert!(text.lines().all(|l| l.len() <= 100), "{text}");
    assert!(text.contains("[IPv6:2001:db8::1]"), "{text}");
    assert!(text.contains("Thu, 1 Jan 1970 00:00:00 +0000"), "{text}");
}

#[test]
fn one_endless_word_is_cut() {
    let mut top = Builder::default();
    top.add("X-Long", &"ä".repeat(2_000));
    let bytes = top.finish();
    assert!(bytes.split(|b| *b == b'\n').all(|l| l.len() <= MAX_LINE + 1));
    assert!(std::str::from_utf8(&bytes).is_ok());
}

/// A field as [`Builder::add`] writes it, one word after the other.
fn slowly(name: &str, value: &str) -> Vec<u8> {
    let mut out = format!("{name}:").into_bytes();
    let mut line = 0;
    for word in value.split(|c: char| c == ' ' || c.is_control()).filter(|word| !word.is_empty()) {
        let have = out.len() - line;
        let worth = if line == 0 { have > name.len() + 1 } else { have > name.len() + 2 };
        if have + 1 + word.len() > 78 && worth {
            out.extend_from_slice(b"\r\n");
            line = out.len();
        }
        out.push(b' ');
        let room = MAX_LINE.saturating_sub(out.len() - line);
        out.extend_from_slice(front(word.as_bytes(), room));
    }
    out.extend_from_slice(b"\r\n");
    out
}

proptest::proptest! {
    #[test]
    fn folding_in_one_go_is_folding_word_by_word(
        name in "[A-Za-z-]{1,20}|n{70,90}|n{990,1000}",
        words in proptest::collection::vec(("[ -~äÖ\u{1}\u{85}]{0,12}|x{60,90}|y{900,1100}", "[ \t\r\n]{0,2}"), 0..40),
    ) {
        let value: String = words.into_iter().flat_map(|(word, blank)| [word, blank]).collect();
        let mut top = Builder::default();
        top.add(&name, &value);
        proptest::prop_assert_eq!(top.finish(), slowly(&name, &value));
    }
}

/// RFC 5321 4.1.3: an address as a literal, whatever its digits.
#[test]
fn addresses_are_literals() {
    let literal = |ip: IpAddr| {
        let mut out = String::new();
        push_literal(&mut out, ip);
        out
    };
    for part in 0..=255u8 {
        let ip = std::net::Ipv4Addr::new(part, 0, 255 - part, 10);
        assert_eq!(literal(ip.into()), format!("[{ip}]"));
    }
    assert_eq!(literal("2001:db8::1".parse().unwrap()), "[IPv6:2001:db8::1]");
}
