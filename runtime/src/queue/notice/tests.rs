//! What a notice says and how much of a message it returns.

use super::*;
use crate::spool::test_record;

/// The notice about the first recipient of a message of so many bytes.
fn notice(event: Event, ret: Option<Ret>, size: usize) -> String {
    let text = format!("Subject: x\r\n\r\n{}the end\r\n", "some text\r\n".repeat(size / 11));
    about(event, ret, text)
}

/// The notice about the first recipient of this message.
fn about(event: Event, ret: Option<Ret>, text: String) -> String {
    let mut record = test_record(1, text.into_bytes());
    record.received = 1_700_000_000_000;
    record.dispatches[0].ret = ret;
    let dispatch = &record.dispatches[0];
    let report = Report {
        hostname: "mx.example",
        record: &record,
        dispatch,
        action: event.action(),
        lines: &[(&dispatch.recipients[0], &event)],
        id: MessageId(7),
        now: 1_700_000_100_000,
        until: Some(1_700_432_000_000),
    };
    String::from_utf8(report.text()).unwrap()
}

/// RFC 3464 2.1.2, 2.3.5: a name or an address literal, and no port.
#[test]
fn the_remote_server_is_a_name_or_a_literal() {
    for (peer, want) in [
        ("mx.far.example[192.0.2.1]:25", Some("mx.far.example")),
        ("127.0.0.1[127.0.0.1]:35253", Some("[127.0.0.1]")),
        ("2001:db8::1[2001:db8::1]:25", Some("[IPv6:2001:db8::1]")),
        ("/run/dovecot/lmtp", None),
        ("x\r\nBcc: y[192.0.2.1]:25", None),
    ] {
        assert_eq!(remote_mta(peer).as_deref(), want, "{peer}");
    }
    let refused = Reason { remote: Some("mx.far.example[192.0.2.1]:25".to_owned()), ..reason() };
    let text = notice(Event::Failed(refused), None, 100);
    assert!(text.contains("\r\nRemote-MTA: dns; mx.far.example\r\n"), "{text}");
}

/// RFC 6533 3, 4: addresses beyond ASCII as they are for whoever sends such mail, in ASCII for all others.
#[test]
fn addresses_beyond_ascii_are_of_a_media_type_of_their_own() {
    let mut record = test_record(1, b"Subject: x\r\n\r\n".to_vec());
    record.dispatches[0].recipients[0].address = "\u{fc}@b\u{fc}cher.example".to_owned();
    let event = Event::Failed(reason());
    let mut said = |smtputf8| {
        record.dispatches[0].smtputf8 = smtputf8;
        let dispatch = &record.dispatches[0];
        let lines = &[(&dispatch.recipients[0], &event)];
        let (hostname, action, id) = ("mx.example", event.action(), MessageId(7));
        let report = Report { hostname, record: &record, dispatch, action, lines, id, now: 0, until: None };
        String::from_utf8(report.text()).unwrap()
    };
    let global = said(true);
    let part = "Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n\r\n";
    assert!(global.contains(part), "{global}");
    assert!(global.contains("Final-Recipient: utf-8; \u{fc}@b\u{fc}cher.example\r\n"), "{global}");
    let plain = said(false);
    assert!(plain.contains("Content-Type: message/delivery-status\r\n\r\n"), "{plain}");
    assert!(plain.contains("Final-Recipient: utf-8; \\x{FC}@b\\x{FC}cher.example\r\n"), "{plain}");
}

/// Backscatter: a stranger's sender may be forged, and hears of a delay only where he asked for it (RFC 3461 4.1).
#[test]
fn strangers_hear_of_delays_where_they_asked() {
    let asked = |delay, failure| Notify { given: true, delay, failure, ..Notify::default() };
    let delayed = Event::Delayed(reason());
    for (notify, submitted, want) in [
        (Notify::default(), true, true),
        (Notify::default(), false, false),
        (asked(true, true), false, true),
        (asked(false, true), true, false),
    ] {
        assert_eq!(delayed.wanted(notify, submitted), want, "{notify:?} {submitted}");
    }
    assert!(Event::Failed(reason()).wanted(Notify::default(), false));
}

/// Recipients that a hop takes in several turns of one attempt (452 4.5.3) are told of in notices of their own: with one name
/// the later would replace the earlier.
#[test]
fn notices_of_one_attempt_differ_by_whom_they_are_about() {
    let name = |about: &[u16]| name(MessageId(7), 0, "failed", 1, about.to_vec());
    assert_eq!(name(&[1, 2]), name(&[2, 1]), "the same notice made again");
    assert_ne!(name(&[1, 2]), name(&[12]));
    assert_ne!(name(&[1]), name(&[2]));
}

/// RFC 3461 4.4: an envelope identifier is printable ASCII; what is none goes back as it came.
#[test]
fn an_envelope_identifier_is_ascii() {
    for (given, want) in [
        ("QQ+2B314", "QQ+314"),
        ("a+20b", "a b"),
        ("+C3+BC+0D+0AX", "+C3+BC+0D+0AX"),
        ("a+7Fb", "a+7Fb"),
        ("+XY+", "+XY+"),
        ("\u{fc}\r\nX: y", "?X: y"),
    ] {
        assert_eq!(envelope_id(given), want, "{given}");
    }
}

/// RFC 6531 3.2: a domain in U-labels has another form, which goes over any server.
#[test]
fn an_author_at_a_domain_in_u_labels_hears_of_it_without_smtputf8() {
    for (sender, want) in [
        ("bob@b\u{fc}cher.example", "bob@xn--bcher-kva.example"),
        ("b\u{f6}b@b\u{fc}cher.example", "b\u{f6}b@b\u{fc}cher.example"),
        ("Bob@Example.org", "Bob@Example.org"),
    ] {
        let mut record = test_record(1, b"Subject: x\r\n\r\n".to_vec());
        record.dispatches[0].sender = sender.to_owned();
        let dispatch = &record.dispatches[0];
        let event = Event::Failed(reason());
        let lines = &[(&dispatch.recipients[0], &event)];
        let (hostname, action, id) = ("mx.example", event.action(), MessageId(7));
        let report = Report { hostname, record: &record, dispatch, action, lines, id, now: 0, until: None };
        let text = String::from_utf8(report.text()).unwrap();
        assert!(text.contains(&format!("\r\nTo: <{want}>\r\n")), "{text}");
        assert_eq!(edict_message::edit::has_utf8_header(text.as_bytes()), !want.is_ascii());
    }
}

fn reason() -> Reason {
    Reason::new((4, 4, 1), "nobody answers")
}

/// RFC 3464 2.3.9: a field of the recipient, in notices of delay alone.
#[test]
fn a_delay_says_until_when_it_is_tried() {
    let field = "Will-Retry-Until: Sun, 19 Nov 2023 22:13:20 +0000\r\n";
    let delayed = notice(Event::Delayed(reason()), None, 100);
    let fields = delayed.split("message/delivery-status").nth(1).unwrap();
    assert!(fields.contains("Action: delayed\r\nStatus: 4.4.1\r\n"), "{fields}");
    assert!(fields.contains(field), "{fields}");
    assert!(delayed.contains("It will be tried until Sun, 19 Nov 2023 22:13:20 +0000."), "{delayed}");
    for event in [Event::Failed(reason()), Event::Delivered, Event::Relayed] {
        let other = notice(event, None, 100);
        assert!(!other.contains("Will-Retry-Until") && !other.contains("tried until"), "{other}");
    }
}

/// RFC 3461 4.3: the whole message where it was asked for and failed; a large one would double on its way back.
#[test]
fn only_small_messages_are_returned_whole() {
    let failed = || Event::Failed(reason());
    let whole = notice(failed(), Some(Ret::Full), MAX_FULL - 100);
    assert!(whole.contains("Content-Type: message/rfc822\r\n") && whole.contains("the end"));
    assert!(!whole.contains("too large"));
    let large = notice(failed(), Some(Ret::Full), MAX_FULL + 100);
    assert!(large.contains("Content-Type: text/rfc822-headers\r\n") && !large.contains("the end"));
    assert!(large.contains("It is too large to be returned whole; its header follows."));
    for (event, ret) in [
        (failed(), None),
        (failed(), Some(Ret::Headers)),
        (Event::Delayed(reason()), Some(Ret::Full)),
        (Event::Delivered, Some(Ret::Full)),
    ] {
        let header = notice(event, ret, 100);
        assert!(header.contains("Content-Type: text/rfc822-headers\r\n") && !header.contains("the end"));
        assert!(!header.contains("too large"));
    }
}

/// RFC 6532 3.7: `message/global` is for headers beyond ASCII; old programs show the other one. A hop of seven bits gets
/// either.
#[test]
fn what_is_returned_whole_is_called_what_it_is() {
    let part =
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n";
    let signed = format!(
        "MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n{part}\r\n\u{fc}\r\n--s--\r\n"
    );
    for (text, want) in [
        ("Subject: x\r\n\r\nx\r\n".to_owned(), "message/rfc822"),
        (format!("{part}\r\n\u{fc}\r\n"), "message/rfc822"),
        ("Subject: x\r\n\r\n\u{fc}\r\n".to_owned(), "message/rfc822"),
        ("Subject: \u{fc}\r\n\r\nx\r\n".to_owned(), "message/global"),
        (format!("Subject: \u{fc}\r\n{part}\r\n\u{fc}\r\n"), "message/global"),
        (signed, "message/global"),
    ] {
        let whole = about(Event::Failed(reason()), Some(Ret::Full), text.clone());
        assert!(whole.contains(&format!("Content-Type: {want}\r\n")) && whole.contains(&text), "{whole}");
        assert!(seven_bit(whole.as_bytes()).is_ok(), "{whole}");
        let header = about(Event::Failed(reason()), None, text);
        assert!(seven_bit(header.as_bytes()).is_ok(), "{header}");
    }
    // Nobody can tell what it holds: no hop of seven bits would get it in any form.
    let broken = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed\r\n\r\n\u{fc}\r\n".to_owned();
    let header = about(Event::Failed(reason()), Some(Ret::Full), broken);
    assert!(header.contains("Content-Type: text/rfc822-headers\r\n") && header.is_ascii(), "{header}");
}

/// Who writes to an alias is not told who stands behind it, or what his server is; who writes to him is.
#[test]
fn nobody_learns_from_a_notice_who_stands_behind_an_alias() {
    use crate::deliver::client::Trouble;
    let words = |text: &str| text.to_owned();
    let peer = "mx7.hoster.example[192.0.2.7]:25";
    let reply = |text: &str| Reason { remote: Some(peer.to_owned()), ..Reason::new((5, 1, 1), text) };
    let member = "it could not be delivered to a member";
    let cases = [
        (reply("550 5.1.1 no such user"), "550 5.1.1 no such user"),
        (
            reply("550 5.1.1 <ceo@firm.example> is not here"),
            "550 5.1.1 it could not be delivered to a member",
        ),
        (reply("550 MX7.hoster.example says no"), "550 it could not be delivered to a member"),
        (reply("550 [192.0.2.7] says no"), "550 it could not be delivered to a member"),
        (reply("550 see www.hoster.example"), "550 it could not be delivered to a member"),
        (Trouble::Connect(words(peer), words("refused")).reason(), member),
        (Trouble::Refused(words("554 hoster says no")).reason(), member),
        (Trouble::Tls(words("mx7.hoster.example: no")).reason(), member),
        (Trouble::Auth(words("it says 535 no account at hoster")).reason(), member),
        (Trouble::Loop(words(peer)).reason(), member),
        (Trouble::Lost(words("it says 421 hoster closes")).reason(), member),
        (Trouble::Never((5, 1, 2), words("the domain firm.example does not exist")).reason(), member),
        (Trouble::Silent.reason(), "it said nothing in time"),
        (Reason::of_hop((5, 3, 4), format!("the message has 430 bytes, and {peer} takes 100")), member),
        (Reason::new((4, 3, 0), "the message is damaged"), "the message is damaged"),
    ];
    let mut record = test_record(1, b"Subject: x\r\n\r\n".to_vec());
    for (reason, want) in cases {
        record.dispatches[0].recipients[0].address = words("ceo@firm.example");
        record.dispatches[0].recipients[0].given = Some(words("info@example.com"));
        assert_eq!(told(&record.dispatches[0].recipients[0], &reason), want);
        let event = Event::Failed(reason.clone());
        let lines = &[(&record.dispatches[0].recipients[0], &event)];
        let (hostname, action, id) = ("mx.example", event.action(), MessageId(7));
        let dispatch = &record.dispatches[0];
        let report = Report { hostname, record: &record, dispatch, action, lines, id, now: 0, until: None };
        let said = String::from_utf8(report.text()).unwrap();
        assert!(["ceo", "firm", "hoster", "192.0.2"].iter().all(|secret| !said.contains(secret)), "{said}");
        record.dispatches[0].recipients[0].given = None;
        assert_eq!(told(&record.dispatches[0].recipients[0], &reason), reason.text);
    }
}
