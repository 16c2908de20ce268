//! Disclaimers as `actions` applies them: who gets which, in how many variants. The edits themselves are
//! tested where they are made.

use crate::support::{Desk, Mail, Rules, When, envelopes, message};
use edict_table::facts::Direction;
use edict_table::model::OnSigned;

const OUT: When<'static> = When::Going(&[Direction::Outbound]);
const SIGNED: &str = "From: ann@example.com\r\nSubject: x\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/signed; boundary=b; protocol=\"application/pgp-signature\"; micalg=pgp-sha256\r\n\r\n\
    --b\r\nContent-Type: text/plain\r\n\r\nHi\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n";

/// Inside and outside recipients need different bodies (pains.md 1.1).
#[tokio::test]
async fn each_recipient_gets_his_and_equal_ones_share_a_variant() {
    let table = Rules::new()
        .disclaimer("outside", 100, OUT, |_| {})
        .disclaimer("partner", 50, When::Recipient(&["@partner.example"]), |_| {})
        .load();
    let desk = Desk::new();
    let to =
        ["bob@example.com", "x@other.example", "p@partner.example", "y@other.example", "q@partner.example"];
    desk.send(Mail::submitted(&table, "ann@example.com", &to)).await.unwrap();
    let record = desk.last();
    assert_eq!(
        envelopes(&record),
        "message v0 <ann@example.com>: bob@example.com\n\
         message v1 <ann@example.com>: x@other.example! y@other.example!\n\
         message v2 <ann@example.com>: p@partner.example! q@partner.example!\n"
    );
    assert!(!message(&record, 0).contains("[outside]") && !message(&record, 0).contains("[partner]"));
    assert!(message(&record, 1).contains("[outside]"));
    assert!(message(&record, 2).contains("[partner]") && !message(&record, 2).contains("[outside]"));
}

#[tokio::test]
async fn continue_lets_the_next_apply_and_nothing_else_does() {
    let table = Rules::new()
        .disclaimer("a", 10, OUT, |text| text.proceed = true)
        .disclaimer("b", 20, OUT, |_| {})
        .disclaimer("c", 30, OUT, |_| {})
        .load();
    let desk = Desk::new();
    let receipt = desk.send(Mail::submitted(&table, "ann@example.com", &["x@other.example"])).await.unwrap();
    let text = message(&desk.last(), 0);
    assert!(text.contains("[a]") && text.contains("[b]") && !text.contains("[c]"), "{text}");
    assert!(text.find("[a]") < text.find("[b]"));
    assert_eq!(receipt.effects, ["disclaimer \"a\"", "disclaimer \"b\""]);
}

#[tokio::test]
async fn mail_that_must_not_be_edited_goes_as_it_is_or_is_refused() {
    for (signed, refused) in [(OnSigned::Skip, false), (OnSigned::Reject, true)] {
        let table = Rules::new().disclaimer("legal", 100, OUT, |text| text.signed = signed).load();
        let desk = Desk::new();
        let got =
            desk.send(Mail::submitted(&table, "ann@example.com", &["x@other.example"]).bytes(SIGNED)).await;
        match got {
            Ok(receipt) => {
                assert!(!refused);
                assert_eq!(receipt.effects, ["disclaimer \"legal\" left out: the message is signed"]);
                assert!(desk.last().variants.len() == 1);
            }
            Err(refusal) => {
                assert!(
                    refused && refusal.reply.starts_with("550 5.7.1 the message is signed"),
                    "{refusal:?}"
                );
                assert_eq!(refusal.rule.unwrap().0, "legal");
                assert!(desk.shelf.records.lock().unwrap().is_empty());
            }
        }
    }
}

#[tokio::test]
async fn mail_of_others_is_never_written_into() {
    let table = Rules::new()
        .alias("far@example.com", &["far@other.example"], None)
        .disclaimer("wrong", 100, When::Always, |_| {})
        .load();
    let desk = Desk::new();
    desk.send(Mail::arriving(&table, "x@far.example", &["ann@example.com", "far@example.com"]))
        .await
        .unwrap();
    assert_eq!(desk.last().variants.len(), 1);
}

#[tokio::test]
async fn variables_are_filled_in_and_audit_rules_only_watched() {
    let table = Rules::new()
        .disclaimer("audit", 10, OUT, |_| {})
        .audit()
        .disclaimer("legal", 100, OUT, |text| {
            text.text = Some("{sender.name} <{sender.address}> {date}\n".into())
        })
        .load();
    let desk = Desk::new();
    let receipt = desk.send(Mail::submitted(&table, "ann@example.com", &["x@other.example"])).await.unwrap();
    assert!(message(&desk.last(), 0).contains("Ann <ann@example.com> 2026-11-24"));
    assert_eq!(receipt.effects, ["audit: disclaimer \"audit\" would apply", "disclaimer \"legal\""]);
}
