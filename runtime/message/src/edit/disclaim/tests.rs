//! Disclaimers on small messages; the corpus under tests/ holds the shapes of real mail programs.

use super::*;
use crate::edit::apply;

fn order<'a>() -> Order<'a> {
    Order {
        text: Some("Confidential. Grüße from Example Corp, registered in Berlin.\n"),
        html: Some("<p>Confidential. Grüße from <b>Example</b> Corp, registered in Berlin.</p>"),
        marker: "legal",
        above_quote: false,
        replies: Replies::Once,
        signed: OnSigned::Skip,
    }
}

fn run(message: &str, order: &Order<'_>) -> Result<String, Untouched> {
    disclaim(message.as_bytes(), order).map(|edits| {
        assert!(!edits.is_empty());
        String::from_utf8_lossy(&apply(message.as_bytes(), &edits)).into_owned()
    })
}

const DIV: &str = "<div class=\"edict-disclaimer edict-legal\">";

#[test]
fn plain_text_in_utf8() {
    let got = run(
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nHallo\r\n",
        &order(),
    );
    assert_eq!(
        got.unwrap(),
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nHallo\r\n\r\n\
         Confidential. Grüße from Example Corp, registered in Berlin.\r\n"
    );
}

#[test]
fn seven_bit_becomes_quoted_printable() {
    let got = run("Subject: x\r\n\r\nHallo = x\r\n", &order()).unwrap();
    assert_eq!(
        got,
        "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\nHallo =3D x\r\n\r\n\
         Confidential. Gr=C3=BC=C3=9Fe from Example Corp, registered in Berlin.\r\n"
    );
}

#[test]
fn html_gets_entities_and_its_header_stays() {
    let message = "Content-Type: text/html\r\n\r\n<html><body><p>Hi</p></body></html>\r\n";
    let got = run(message, &order()).unwrap();
    assert!(got.starts_with("Content-Type: text/html\r\n\r\n<html><body><p>Hi</p>\r\n"), "{got}");
    assert!(got.contains(&format!("{DIV}\r\n<p>Confidential. Gr&#252;&#223;e from <b>")), "{got}");
    assert!(got.ends_with("</div>\r\n</body></html>\r\n"), "{got}");
}

#[test]
fn both_alternatives_change_and_nothing_else() {
    let message = "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\nHi=20\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\n\
        Content-Transfer-Encoding: base64\r\n\r\nPHA+SGk8L3A+\r\n--b--\r\n";
    let got = run(message, &order()).unwrap();
    assert!(got.contains("\r\n\r\nHi=20\r\n\r\nConfidential. Gr=C3=BC=C3=9Fe from"), "{got}");
    assert!(got.contains("\r\n\r\nPHA+SGk8L3A+DQo8ZGl2"), "{got}");
    assert!(got.ends_with("\r\n--b--\r\n"));
}

#[test]
fn once_in_a_thread() {
    let message = "Content-Type: text/html; charset=utf-8\r\n\r\n<p>Hi</p>\r\n";
    let first = run(message, &order()).unwrap();
    assert_eq!(run(&first, &order()), Err(Untouched::AlreadyThere));
    let other = Order {
        text: Some("Something else entirely, said by others."),
        html: None,
        marker: "other",
        ..order()
    };
    assert!(run(&first, &other).is_ok());
    let always = Order { replies: Replies::Always, ..order() };
    assert!(run(&first, &always).unwrap().matches(DIV).count() == 2);
}

#[test]
fn known_again_in_quoted_text() {
    let quoted = "Subject: x\r\nIn-Reply-To: <1@x>\r\n\r\nAnswer\r\n\r\n> text\r\n> \r\n> Confidential. Gr\u{fc}\u{df}e from\r\n\
        > Example Corp,\r\n>  registered in Berlin.\r\n";
    assert_eq!(run(quoted, &order()), Err(Untouched::AlreadyThere));
    let never = Order { replies: Replies::Never, ..order() };
    assert_eq!(run(quoted, &never), Err(Untouched::Reply));
}

#[test]
fn several_at_once() {
    let message = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nNew\r\n\r\nOn 3 Mar, Bob wrote:\r\n> old\r\n";
    let second = Order { text: Some("Visit us."), html: None, marker: "ad", ..order() };
    let above = Order { text: Some("Above."), html: None, marker: "up", above_quote: true, ..order() };
    let never = Order { marker: "no", text: None, html: None, ..order() };
    let outcome = disclaim_all(message.as_bytes(), &[order(), second, above, never]);
    assert_eq!(outcome.results, [Ok(()), Ok(()), Ok(()), Err(Untouched::Empty)]);
    let got = String::from_utf8(apply(message.as_bytes(), &outcome.edits)).unwrap();
    let body = got.split("\r\n\r\n").skip(1).collect::<Vec<_>>();
    assert_eq!(
        body,
        [
            "New",
            "Above.",
            "On 3 Mar, Bob wrote:\r\n> old",
            "Confidential. Grüße from Example Corp, registered in Berlin.",
            "Visit us.\r\n"
        ]
    );
}

#[test]
fn each_has_its_place_where_a_body_is_split() {
    let message = "In-Reply-To: <1@x>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\
        Content-Transfer-Encoding: 8bit\r\n\r\nNew\r\n\r\n> old\r\n--b\r\nContent-Type: image/png; name=a.png\r\n\r\nx\r\n--b\r\n\
        Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n> more\r\n--b--\r\n";
    let above = Order { text: Some("Above."), html: None, marker: "up", above_quote: true, ..order() };
    let outcome = disclaim_all(message.as_bytes(), &[order(), above]);
    assert_eq!(outcome.results, [Ok(()), Ok(())]);
    let got = String::from_utf8(apply(message.as_bytes(), &outcome.edits)).unwrap();
    assert!(got.contains("New\r\n\r\nAbove.\r\n\r\n> old\r\n--b"), "{got}");
    assert!(
        got.contains("> more\r\n\r\nConfidential.") && got.matches("Confidential.").count() == 1,
        "{got}"
    );
    let again = disclaim_all(got.as_bytes(), &[order(), above]);
    assert_eq!(again.results, [Err(Untouched::AlreadyThere), Err(Untouched::AlreadyThere)]);
}

#[test]
fn several_that_are_there_already_are_known() {
    let second = Order { text: Some("Visit us."), html: None, marker: "ad", ..order() };
    for header in [
        "Content-Type: text/html; charset=utf-8\r\n\r\n<p>New</p>\r\n",
        "Content-Type: text/plain\r\n\r\nNew\r\n",
    ] {
        let outcome = disclaim_all(header.as_bytes(), &[order(), second]);
        assert_eq!(outcome.results, [Ok(()), Ok(())]);
        let got = apply(header.as_bytes(), &outcome.edits);
        let again = disclaim_all(&got, &[order(), second]);
        assert_eq!(again.results, [Err(Untouched::AlreadyThere), Err(Untouched::AlreadyThere)]);
    }
}

#[test]
fn a_word_at_the_end_of_another_is_not_the_disclaimer() {
    let short = Order { text: Some("us."), html: None, marker: "ad", ..order() };
    assert!(run("Content-Type: text/plain\r\n\r\nVisit us\r\n", &short).is_ok());
    assert_eq!(
        run("Content-Type: text/plain\r\n\r\nVisit\r\n\r\nUs.\r\n", &short),
        Err(Untouched::AlreadyThere)
    );
}

#[test]
fn one_that_cannot_be_added_takes_no_other_with_it() {
    let unknown = b"Subject: x\r\n\r\n\xe4\xf6 of an unknown charset\r\n";
    let ascii = Order { text: Some("Visit us."), html: None, marker: "ad", ..order() };
    let empty = Order { text: Some(" "), html: None, marker: "no", ..order() };
    let outcome = disclaim_all(unknown, &[order(), ascii, empty]);
    assert_eq!(outcome.results, [Err(Untouched::Charset), Ok(()), Err(Untouched::Empty)]);
    assert!(apply(unknown, &outcome.edits).ends_with(b"charset\r\n\r\nVisit us.\r\n"));
}
