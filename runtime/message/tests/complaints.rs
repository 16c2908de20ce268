//! What users of other systems complain about in disclaimers, one test each. The corpus has more of the same in the
//! shapes of real mail programs; complaints about signing order are tested with DKIM.

#![expect(clippy::unwrap_used, reason = "tests may say what they mean")]

use edict_message::edit::{Order, Untouched, apply, disclaim, disclaim_all};
use edict_table::model::{OnSigned, Replies};

fn order<'a>() -> Order<'a> {
    Order {
        text: Some("Confidential, for its recipient alone. Example Corp, Berlin."),
        html: None,
        marker: "legal",
        above_quote: false,
        replies: Replies::Once,
        signed: OnSigned::Skip,
    }
}

const WORDS: &str = "Confidential, for its recipient alone.";

fn run(message: &str, order: &Order<'_>) -> Result<String, Untouched> {
    disclaim(message.as_bytes(), order)
        .map(|edits| String::from_utf8(apply(message.as_bytes(), &edits)).unwrap())
}

const REPLY: &str = "In-Reply-To: <1@x>\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
    New text\r\n\r\nOn 3 Mar 2025, Bob wrote:\r\n> old text\r\n";

#[test]
fn text_lands_under_the_whole_thread_not_under_the_new_reply() {
    let got = run(REPLY, &Order { above_quote: true, ..order() }).unwrap();
    assert!(got.contains(&format!("New text\r\n\r\n{WORDS}")), "{got}");
    assert!(got.ends_with("Berlin.\r\n\r\nOn 3 Mar 2025, Bob wrote:\r\n> old text\r\n"), "{got}");
}

#[test]
fn repeats_on_each_reply() {
    let first = run(REPLY, &order()).unwrap();
    let quoted: String = first.split("\r\n\r\n").skip(1).collect::<Vec<_>>().join("\n\n");
    let quoted: String = quoted.lines().map(|l| format!("> {l}\r\n")).collect();
    let second = format!("In-Reply-To: <2@x>\r\n\r\nAgain\r\n\r\n{quoted}");
    assert_eq!(run(&second, &order()), Err(Untouched::AlreadyThere));
}

#[test]
fn it_must_be_on_replies_too() {
    let first = run(REPLY, &order()).unwrap();
    let second = run(&first, &Order { replies: Replies::Always, ..order() }).unwrap();
    assert_eq!(second.matches(WORDS).count(), 2);
}

#[test]
fn forwards_are_not_detectable_by_header() {
    let forward =
        "Subject: Fwd: x\r\n\r\nSee below\r\n\r\n---------- Forwarded message ---------\r\nFrom: Bob\r\n";
    let got = run(forward, &Order { above_quote: true, replies: Replies::Never, ..order() }).unwrap();
    assert!(got.contains("Berlin.\r\n\r\n---------- Forwarded"), "{got}");
}

#[test]
fn added_several_times_in_one_multipart_message() {
    let message = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: image/png\r\n\r\nx\r\n\
        --b\r\n\r\ntwo\r\n--b\r\nContent-Type: image/png\r\n\r\nx\r\n--b\r\n\r\nthree\r\n--b--\r\n";
    let got = run(message, &order()).unwrap();
    assert_eq!(got.matches(WORDS).count(), 1);
    assert!(got.contains(&format!("three\r\n\r\n{WORDS}")), "{got}");
}

#[test]
fn mime_damaged_stray_dashes() {
    // Nothing but the insertion differs: whatever stood around the delimiters still does.
    let message = "Content-Type: multipart/alternative; boundary=\"--x--\"\r\n\r\n----x--\r\n\r\ntext\r\n----x--\r\n\
        Content-Type: text/html\r\n\r\n<p>text</p>\r\n----x----\r\n\r\n--\r\n";
    let edits = disclaim(message.as_bytes(), &order()).unwrap();
    assert!(edits.iter().all(|e| e.range.is_empty()));
    assert_eq!(edits.len(), 2);
}

#[test]
fn mime_damaged_a_disclaimer_that_holds_the_boundary() {
    let message = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b--\r\n";
    let evil = Order { text: Some("a\n--b--\nb"), ..order() };
    assert_eq!(run(message, &evil), Err(Untouched::Check));
}

#[test]
fn mime_damaged_wrong_transfer_encoding_declared() {
    let message = "Content-Type: text/html; charset=utf-8\r\n\r\n<p style=\"a=3D\">x</p>\r\n";
    let got = run(message, &Order { text: Some("für alle, die es lesen"), ..order() }).unwrap();
    assert!(!got.to_lowercase().contains("content-transfer-encoding"), "{got}");
    assert!(got.contains("<p style=\"a=3D\">x</p>") && got.contains("f&#252;r alle"), "{got}");
}

#[test]
fn mime_damaged_text_outside_the_html_element() {
    let got = run("Content-Type: text/html\r\n\r\n<html><body>x</body></html>\r\n", &order()).unwrap();
    assert!(got.find(WORDS).unwrap() < got.find("</body>").unwrap());
}

#[test]
fn a_line_over_998_bytes_is_folded_on_the_way_and_breaks_dkim() {
    let long = "legal words without end ".repeat(100);
    for kind in ["text/plain", "text/html", "text/plain; format=flowed"] {
        let got = run(&format!("Content-Type: {kind}\r\n\r\nx\r\n"), &Order { text: Some(&long), ..order() })
            .unwrap();
        assert!(got.lines().all(|l| l.len() <= 998), "{kind}");
    }
    let word = "w".repeat(2000);
    let got = run("\r\nx\r\n", &Order { text: Some(&word), ..order() }).unwrap();
    assert!(got.lines().all(|l| l.len() <= 998), "{got}");
}

const SIGNED: &str = "From: a@example.com\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\nsigned \r\n--s\r\n\
    Content-Type: application/pgp-signature\r\n\r\nx\r\n--s--\r\n";

#[test]
fn signed_mail_is_skipped_wrapped_or_refused_as_the_rule_says() {
    assert_eq!(run(SIGNED, &order()), Err(Untouched::Signed));
    assert!(!Untouched::Signed.refuses(OnSigned::Skip));
    assert!(Untouched::Signed.refuses(OnSigned::Reject));
    let wrapped = run(SIGNED, &Order { signed: OnSigned::Wrap, ..order() }).unwrap();
    let body = SIGNED.split_once("\r\n\r\n").unwrap().1;
    assert!(
        wrapped.contains(body) && wrapped.find(WORDS).unwrap() < wrapped.find(body).unwrap(),
        "{wrapped}"
    );
}

const TNEF: &str = "From: a@example.com\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhidden\r\n--b\r\n\
    Content-Type: application/ms-tnef; name=winmail.dat\r\nContent-Transfer-Encoding: base64\r\n\r\neJ8+\r\n--b--\r\n";

#[test]
fn wrapping_gives_outsiders_no_winmail_dat() {
    // Neither for a message in Outlook's own format nor for a signed one is the wrapper in that format: what readers
    // of any program see is the text and the message, and the winmail.dat that was there lies inside of it.
    for (message, attached) in [(TNEF, 1), (SIGNED, 0)] {
        let wrapped = run(message, &Order { signed: OnSigned::Wrap, ..order() }).unwrap();
        let read = mail_parser::MessageParser::default().parse(wrapped.as_bytes()).unwrap();
        let outer: Vec<String> = read
            .parts
            .iter()
            .map(|part| {
                let content = mail_parser::MimeHeaders::content_type(part).unwrap();
                format!("{}/{}", content.ctype(), content.subtype().unwrap())
            })
            .collect();
        assert_eq!(outer, ["multipart/mixed", "text/plain", "message/rfc822"], "{wrapped}");
        assert_eq!(wrapped.matches("winmail.dat").count(), attached, "{wrapped}");
        assert!(
            wrapped.find("message/rfc822") < wrapped.find("winmail.dat").or(Some(usize::MAX)),
            "{wrapped}"
        );
        assert!(wrapped.find(WORDS) < wrapped.find("message/rfc822"), "{wrapped}");
        assert!(wrapped.contains(message), "{wrapped}");
    }
}

#[test]
fn tnef_would_hide_the_disclaimer_so_it_is_not_edited() {
    let message = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhidden\r\n--b\r\n\
        Content-Type: application/octet-stream; name=WINMAIL.DAT\r\n\r\nx\r\n--b--\r\n";
    assert_eq!(run(message, &order()), Err(Untouched::Tnef));
    assert_eq!(run(TNEF, &order()), Err(Untouched::Tnef));
}

#[test]
fn umlauts_in_the_body_destroyed_when_any_footer_is_on() {
    let message = b"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\xfc\xdfe\r\n";
    let got = apply(message, &disclaim(message, &order()).unwrap());
    assert!(got.starts_with(message));
}

#[test]
fn silently_not_added_when_the_charset_cannot_hold_it() {
    let message =
        "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\nx\r\n";
    let got = run(message, &Order { text: Some("5 € für 日本"), ..order() }).unwrap();
    assert!(got.contains("charset=utf-8\r\n") && got.contains("5 € für 日本"), "{got}");
    // Where no charset is sure to hold both, the reason is there for the log.
    let unknown = b"\r\n\xe4\xf6 of an unknown charset\r\n";
    let reason = disclaim(unknown, &Order { text: Some("5 €"), ..order() }).unwrap_err();
    assert_eq!(reason.to_string(), "the charset of the text part cannot hold the disclaimer");
}

#[test]
fn html_set_and_the_text_part_forgotten() {
    let message = "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\nContent-Type: text/html\r\n\r\n\
        <p>text</p>\r\n--b--\r\n";
    let html =
        Order { text: None, html: Some("<p>Confidential, <b>for its recipient</b> alone.</p>"), ..order() };
    let got = run(message, &html).unwrap();
    assert!(got.contains(&format!("text\r\n\r\n{WORDS}\r\n--b")), "{got}");
    let text = run(message, &order()).unwrap();
    assert!(text.contains(&format!("edict-legal\">\r\n{WORDS}")), "{text}");
}

#[test]
fn inside_and_outside_recipients_need_different_bodies() {
    // Splices leave the original to those who get no disclaimer, and each group gets its own.
    let outside = disclaim(REPLY.as_bytes(), &order()).unwrap();
    let other =
        disclaim(REPLY.as_bytes(), &Order { text: Some("For our partners only, this is."), ..order() })
            .unwrap();
    let stored = REPLY.as_bytes();
    assert!(String::from_utf8(apply(stored, &outside)).unwrap().contains(WORDS));
    assert!(!String::from_utf8(apply(stored, &other)).unwrap().contains(WORDS));
    assert_eq!(apply(stored, &[]), stored);
}

#[test]
fn a_second_disclaimer_by_continue_stands_beside_the_first() {
    let second = Order { text: Some("Visit our stand in hall seven."), marker: "fair", ..order() };
    let outcome = disclaim_all(REPLY.as_bytes(), &[order(), second]);
    assert_eq!(outcome.results, [Ok(()), Ok(())]);
    let got = String::from_utf8(apply(REPLY.as_bytes(), &outcome.edits)).unwrap();
    assert!(got.ends_with("Berlin.\r\n\r\nVisit our stand in hall seven.\r\n"), "{got}");
}
