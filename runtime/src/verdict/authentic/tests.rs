//! The field, and what claims to be it.

use super::*;

/// RFC 8601 5: whatever a reader could take for ours.
#[test]
fn fields_that_claim_to_be_ours() {
    for (value, want) in [
        (" mx.example.com; spf=pass", true),
        (" MX.Example.COM 1; dkim=pass", true),
        ("\r\n\tmx.example.com;\r\n\tspf=pass", true),
        (" (a comment) mx.example.com; none", true),
        (" (;) mx.example.com; none", true),
        (" (\\) ;) mx.example.com; none", true),
        (" (never closed mx.example.com; spf=pass", true),
        (" \"mx.example.com\"; none", true),
        (" \"mx.\\example.com\"; none", true),
        (" mx.example.com(a); none", true),
        (" mx.example.com", true),
        (" mx.example.com.; none", true),
        (" other.example; spf=pass smtp.mailfrom=mx.example.com", false),
        (" mx.example.com.other.example; none", false),
        (" amx.example.com; none", false),
        (" smx-mx.example.com; none", false),
        ("", false),
    ] {
        assert_eq!(claims(value.as_bytes(), "mx.example.com"), want, "{value:?}");
    }
}

#[test]
fn the_field_tells_what_is_known() {
    let sender = Address::parse("\"a;b\"@other.example").unwrap();
    let nothing = Found { spf: Slot::Pending, sender: Some(&sender), helo: None, authentic: None };
    assert_eq!(field("mx.example.com", &nothing), None);
    let spf = Found { spf: Slot::Known(result::FAIL), ..nothing };
    let text = field("mx.example.com", &spf).unwrap();
    assert_eq!(text, "mx.example.com; spf=fail smtp.mailfrom=other.example");
    let helo = Domain::parse("client.example").unwrap();
    let authentic = Authentic {
        spf: Slot::Unknown,
        domains: Slot::Unknown,
        dmarc: Slot::Known(result::PASS),
        author: Domain::parse("a.example").ok(),
        signatures: vec![
            Signature {
                result: result::PASS,
                domain: Domain::parse("a.example").ok(),
                selector: Domain::parse("one").ok(),
            },
            Signature { result: result::TEMPERROR, domain: None, selector: None },
        ],
    };
    let all = Found { spf: Slot::Unknown, sender: None, helo: Some(&helo), authentic: Some(&authentic) };
    assert_eq!(
        field("mx.example.com", &all).unwrap(),
        "mx.example.com; spf=temperror smtp.helo=client.example; dkim=pass header.d=a.example header.s=one; \
         dkim=temperror; dmarc=pass header.from=a.example"
    );
    let unsigned =
        Authentic { signatures: Vec::new(), domains: Slot::Known(Vec::new()), ..authentic.clone() };
    let none = Found { authentic: Some(&unsigned), ..all };
    assert!(field("x", &none).unwrap().contains("; dkim=none;"));
}

/// Bounds: the number of signatures, their algorithm (RFC 8301 3.1), the length of the header.
#[test]
fn only_so_much_is_checked() {
    let signature =
        |a: &str| format!("DKIM-Signature: v=1; a={a}; d=a.example; s=one; h=from; bh=MTIz; b=MTIz; r=y\r\n");
    let message = format!(
        "{}{}From: a@a.example\r\n\r\ntext\r\n",
        signature("rsa-sha1"),
        signature("rsa-sha256").repeat(40)
    );
    let signed = Signed::of(message.as_bytes()).unwrap();
    let read = signed.read().unwrap();
    assert_eq!(read.dkim_headers.len(), MAX_SIGNATURES);
    assert!(read.dkim_headers.iter().all(|h| h.header.a == Algorithm::RsaSha256 && !h.header.r));
    let long = format!("X: {}\r\nFrom: a@a.example\r\n\r\n", "x".repeat(MAX_HEADER));
    assert_eq!(Signed::of(long.as_bytes()), None);
    assert_eq!(Signed::of(b""), None);
    assert_eq!(Signed::of(b"\r\nno header\r\n"), None);
}

/// RFC 6376 3.4.4: the relaxed form ignores lines of white space at the end, the simple form does not.
#[test]
fn lines_of_white_space_at_the_end_of_a_body() {
    let hash = |form: &str, body: &str| {
        let field = format!(
            "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/{form}; d=a.example; s=s; h=from; bh=eHl6; b=eHl6"
        );
        Signed::of(format!("{field}\r\nFrom: a@a.example\r\n\r\n{body}").as_bytes()).unwrap().hashes
    };
    for (body, same) in [
        ("x\r\n \r\n", "x\r\n"),
        ("x\r\n\t\r\n\r\n", "x\r\n"),
        ("x \t\r\n\r\n \r\ny", "x\r\n\r\n\r\ny\r\n"),
        (" \r\n", ""),
        ("\t \r\n\r\n", ""),
    ] {
        assert_eq!(hash("relaxed", body), hash("relaxed", same), "{body:?}");
        assert_ne!(hash("simple", body), hash("simple", same), "{body:?}");
    }
    assert_ne!(hash("relaxed", "x\r\n \r\ny\r\n"), hash("relaxed", "x\r\ny\r\n"));
}

/// DMARC goes by a From that rules do not see only where they call the message malformed. The compiler's proofs stand on
/// that: `dmarc is pass` and no From at all are E2001 for a well-formed message alone.
#[test]
fn an_author_whom_rules_do_not_see() {
    let both = |message: &str| {
        let facts = edict_message::facts::header_facts(message.as_bytes());
        let seen = facts.fields.iter().any(|field| field.name == "from");
        let signed = Signed::of(message.as_bytes());
        let read = signed.as_ref().and_then(Signed::read);
        let author = read.is_some_and(|read| read.from.iter().any(|from| from.contains('@')));
        (seen, facts.malformed, author)
    };
    for (message, want) in [
        ("From: a@a.example\r\n\r\n", (true, false, true)),
        ("X: y\r\n\r\nFrom: a@a.example\r\n", (false, false, false)),
        ("X: y\r\n From: a@a.example\r\n\r\n", (false, false, false)),
        ("X-From: a@a.example\r\nSender: a@a.example\r\n\r\n", (false, false, false)),
        ("x\r\nFrom: a@a.example\r\n\r\n", (true, true, false)),
    ] {
        assert_eq!(both(message), want, "{message:?}");
    }
    // Behind more fields than rules look at.
    let many = format!("{}From: a@a.example\r\n\r\n", "X: y\r\n".repeat(edict_message::limits::MAX_FIELDS));
    assert_eq!(both(&many), (false, true, true));
    // What rules cannot read as an address, and DMARC can.
    let odd = "From: a@a.example b\r\n\r\n";
    assert_eq!(edict_message::facts::header_facts(odd.as_bytes()).from, []);
    assert!(both(odd).2);
}
