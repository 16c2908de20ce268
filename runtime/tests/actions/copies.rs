//! Blind copies, and what users of other systems complain about (pains.md 1.2).

use crate::support::{Desk, Mail, Rules, When, check, envelopes, message};
use edict_runtime::envelope::{Fate, Notify, Ret};
use edict_table::facts::Direction;

const OUT: When<'static> = When::Going(&[Direction::Outbound]);

/// "One target only; a comma list becomes one bad address."
#[tokio::test]
async fn several_targets_get_a_copy_each() {
    let table = Rules::new().bcc("all", OUT, &["a1@example.com", "a2@archive.example"], "").load();
    check(
        Mail::submitted(&table, "ann@example.com", &["far@other.example"]),
        r#"message v0 <ann@example.com>: far@other.example!
           copy "all" v1 <postmaster@example.com>: a1@example.com a2@archive.example!"#,
    )
    .await;
}

/// "Two copies when sender and recipient rules both match; original envelope recipients lost."
#[tokio::test]
async fn one_copy_a_target_however_many_rules_and_recipients_match() {
    let table = Rules::new()
        .bcc("b second", When::Recipient(&["far@other.example"]), &["archive@example.com"], "record")
        .bcc("a first", OUT, &["archive@example.com"], "modified")
        .load();
    let record = check(
        Mail::submitted(&table, "ann@example.com", &["far@other.example", "near@other.example"]),
        r#"message v0 <ann@example.com>: far@other.example! near@other.example!
           copy "a first" v1 <postmaster@example.com>: archive@example.com"#,
    )
    .await;
    let copy = message(&record, 1);
    assert!(
        copy.contains("\r\nX-Edict-Sender: <ann@example.com>\r\nX-Edict-Recipient: <far@other.example>\r\n")
    );
    assert!(copy.contains("\r\nX-Edict-Recipient: <near@other.example>\r\n"));
}

/// "Alias and alias-domain addresses bypass the rule, or cannot be chosen."
#[tokio::test]
async fn rules_match_the_given_and_the_final_address_and_targets_may_be_aliases() {
    let rules = || {
        Rules::new().alias("sales@example.com", &["ann@example.com"], None).alias(
            "archive@example.com",
            &["store@example.com", "store@archive.example"],
            None,
        )
    };
    for watched in ["sales@example.com", "ann@example.com"] {
        let table = rules().bcc("w", When::Recipient(&[watched]), &["archive@example.com"], "").load();
        check(
            Mail::arriving(&table, "x@far.example", &["sales@example.com"]),
            r#"message v0 <x@far.example>: (sales@example.com) ann@example.com
               copy "w" v1 <postmaster@example.com>: (archive@example.com) store@example.com (archive@example.com) store@archive.example!"#,
        )
        .await;
    }
}

/// "Hidden address shown in interfaces or headers", "bounces leaking members".
/// RFC 5321 7.2.
#[tokio::test]
async fn no_delivered_message_names_a_copy() {
    let table = Rules::new()
        .bcc("secret rule", When::Always, &["hidden@archive.example"], "record")
        .disclaimer("legal", 100, OUT, |_| {})
        .load();
    let mail = Mail::submitted(&table, "ann@example.com", &["far@other.example", "bob@example.com"]);
    let desk = Desk::new();
    desk.send(mail.bytes("From: ann@example.com\r\nBcc: hidden@archive.example\r\n\tand@more.example\r\nSubject: x\r\n\r\nHi\r\n"))
        .await
        .unwrap();
    let record = desk.last();
    for place in 0..record.dispatches.len() - 1 {
        let text = message(&record, place);
        for secret in ["hidden", "secret rule", "X-Edict", "Bcc", "more.example"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    assert!(message(&record, record.dispatches.len() - 1).starts_with("X-Edict-Copy: "));
}

/// "Sender gets bounces for the copy."
#[tokio::test]
async fn a_lost_copy_is_reported_to_the_postmaster_and_never_to_the_author() {
    let rules = || Rules::new().bcc("all", When::Always, &["a@archive.example"], "");
    for (table, owner) in [
        (rules().load(), "postmaster@example.com"),
        (rules().profile(|p| p.postmaster = vec!["adm@x.example".into()]).load(), "adm@x.example"),
        (rules().profile(|p| p.local_domains.clear()).load(), "postmaster@mx.example.com"),
    ] {
        let desk = Desk::new();
        let mail = Mail::submitted(&table, "ann@example.com", &["far@other.example"]).with(|incoming| {
            incoming.sender.envid = Some("env".into());
            incoming.sender.ret = Some(Ret::Full);
            incoming.recipients[0].orcpt = Some("rfc822;far@other.example".into());
        });
        desk.send(mail).await.unwrap();
        let record = desk.last();
        let copy = record.dispatches.last().unwrap();
        assert_eq!(copy.sender, owner);
        assert_eq!((copy.envid.as_deref(), copy.ret), (None, None));
        assert_eq!(copy.recipients[0].orcpt, None);
        let failure = Notify { given: true, success: false, failure: true, delay: false };
        assert_eq!(copy.recipients[0].notify, failure);
    }
}

/// "BCC to `<>` on bounces."
#[tokio::test]
async fn the_copy_of_a_bounce_has_a_sender() {
    let table = Rules::new().bcc("all", When::Always, &["a@archive.example"], "record").load();
    let record = check(
        Mail::arriving(&table, "", &["ann@example.com"]),
        r#"message v0 <>: ann@example.com
           copy "all" v1 <postmaster@example.com>: a@archive.example!"#,
    )
    .await;
    assert!(message(&record, 1).contains("\r\nX-Edict-Sender: <>\r\n"));
}

#[tokio::test]
async fn a_target_that_is_a_recipient_gets_no_second_copy_unless_it_records() {
    for (options, want) in [
        ("", "message v0 <ann@example.com>: archive@example.com far@other.example!"),
        (
            "record",
            "message v0 <ann@example.com>: archive@example.com far@other.example!
             copy \"all\" v1 <postmaster@example.com>: archive@example.com",
        ),
    ] {
        let table = Rules::new().bcc("all", When::Always, &["Archive@example.com"], options).load();
        let desk = Desk::new();
        desk.send(Mail::submitted(&table, "ann@example.com", &["archive@example.com", "far@other.example"]))
            .await
            .unwrap();
        let got = envelopes(&desk.last()).replace("Archive@", "archive@");
        let want: String = want.lines().map(|line| format!("{}\n", line.trim())).collect();
        assert_eq!(got, want);
    }
}

/// What follows `+` makes no other mailbox inside; outside nobody knows.
#[tokio::test]
async fn a_target_under_an_extension_is_the_same_mailbox() {
    let table = Rules::new().bcc("all", When::Always, &["ann@example.com", "x@other.example"], "").load();
    check(
        Mail::arriving(&table, "x@far.example", &["ann+tag@example.com", "bob@example.com"]),
        "message v0 <x@far.example>: ann+tag@example.com bob@example.com
         copy \"all\" v1 <postmaster@example.com>: x@other.example!",
    )
    .await;
    let table = Rules::new().bcc("all", When::Always, &["x@other.example"], "").load();
    let desk = Desk::new();
    desk.send(Mail::submitted(&table, "ann@example.com", &["x+tag@other.example"])).await.unwrap();
    assert_eq!(desk.last().dispatches.len(), 2);
}

#[tokio::test]
async fn none_for_discarded_mail_and_none_of_a_copy() {
    let table = Rules::new().bcc("all", When::Always, &["a@example.com"], "").load();
    let desk = Desk::new();
    let mail = || Mail::arriving(&table, "x@far.example", &["ann@example.com", "bob@example.com"]);
    desk.send(mail().with(|incoming| incoming.recipients.iter_mut().for_each(|g| g.fate = Fate::Discard)))
        .await
        .unwrap();
    assert!(desk.shelf.records.lock().unwrap().is_empty());
    desk.send(mail()).await.unwrap();
    let copy = message(&desk.last(), 1);
    // It comes back through a forwarder and is not copied again; a forged mark changes nothing.
    let back =
        Mail::arriving(&table, "x@far.example", &["bob@example.com"]).bytes(format!("Received: x\r\n{copy}"));
    let receipt = desk.send(back).await.unwrap();
    assert!(receipt.effects.iter().any(|e| e.contains("no blind copy of a blind copy")), "{receipt:?}");
    assert_eq!(desk.last().dispatches.len(), 1);
    // So with a submission that had neither Date nor Message-ID: the mark is over what left.
    let bare =
        Mail::submitted(&table, "ann@example.com", &["far@other.example"]).bytes("Subject: x\r\n\r\nx\r\n");
    desk.send(bare).await.unwrap();
    let bare = message(&desk.last(), 1);
    let back = || format!("Received: x\r\n{bare}");
    desk.send(Mail::arriving(&table, "x@far.example", &["bob@example.com"]).bytes(back())).await.unwrap();
    assert_eq!(desk.last().dispatches.len(), 1);
    // Whoever logs in cannot keep his mail out of an archive with the mark of an old copy, nor out of another one.
    let again = bare.replace("\r\n\r\nx", "\r\n\r\nother words");
    desk.send(Mail::submitted(&table, "ann@example.com", &["bob@example.com"]).bytes(again)).await.unwrap();
    assert_eq!(desk.last().dispatches.len(), 2);
    let two = Rules::new().bcc("all", When::Always, &["a@example.com", "b@example.com"], "").load();
    desk.send(Mail::arriving(&two, "x@far.example", &["bob@example.com"]).bytes(back())).await.unwrap();
    let got = envelopes(&desk.last());
    assert!(got.ends_with("copy \"all\" v1 <postmaster@example.com>: b@example.com\n"), "{got}");
    let forged = mail().bytes("X-Edict-Copy: 0000000000001 00\r\nSubject: x\r\n\r\nx\r\n");
    desk.send(forged).await.unwrap();
    assert_eq!(desk.last().dispatches.len(), 2);
}

#[tokio::test]
async fn modified_is_what_outside_readers_get_and_original_what_came() {
    let table = Rules::new()
        .bcc("m", When::Always, &["m@archive.example"], "modified")
        .bcc("o", When::Always, &["o@archive.example"], "")
        .disclaimer("outside", 100, OUT, |_| {})
        .disclaimer("inside", 100, When::Going(&[Direction::Internal]), |_| {})
        .load();
    let desk = Desk::new();
    desk.send(Mail::submitted(&table, "ann@example.com", &["bob@example.com", "far@other.example"]))
        .await
        .unwrap();
    let record = desk.last();
    assert_eq!(
        envelopes(&record),
        "message v1 <ann@example.com>: bob@example.com\n\
         message v2 <ann@example.com>: far@other.example!\n\
         copy \"m\" v3 <postmaster@example.com>: m@archive.example!\n\
         copy \"o\" v4 <postmaster@example.com>: o@archive.example!\n"
    );
    let text = |place| message(&record, place);
    assert!(text(0).contains("[inside]") && !text(0).contains("[outside]"));
    assert!(text(1).contains("[outside]") && !text(1).contains("[inside]"));
    assert!(text(2).starts_with("X-Edict-Copy") && text(2).ends_with(&text(1)), "{}", text(2));
    assert!(!text(3).contains("side]"));
}

#[tokio::test]
async fn a_recording_copy_keeps_no_forged_envelope() {
    let table = Rules::new().bcc("all", When::Always, &["a@archive.example"], "record").load();
    let desk = Desk::new();
    let forged = "X-Edict-Recipient: <victim@x.example>\r\nSubject: x\r\nx-edict-sender: <boss@x.example>\r\n\r\nHi\r\n";
    desk.send(Mail::arriving(&table, "x@far.example", &["ann@example.com"]).bytes(forged)).await.unwrap();
    let record = desk.last();
    assert!(message(&record, 0).contains("victim"), "other people's mail stays as it is");
    let copy = message(&record, 1);
    assert!(!copy.contains("victim") && !copy.contains("boss"), "{copy}");
}

/// No number of fields hides a forged one. More gaps between forged ones than a header may have fields are refused.
#[tokio::test]
async fn a_recording_copy_is_read_to_the_end_of_its_header() {
    let table = Rules::new().bcc("all", When::Always, &["a@archive.example"], "record").load();
    let desk = Desk::new();
    desk.shelf.gate.add_permits(1);
    let sent = |header: String| {
        let bytes = format!("{header}Subject: x\r\n\r\nHi\r\n");
        desk.send(Mail::arriving(&table, "x@far.example", &["ann@example.com"]).bytes(bytes))
    };
    let forged = "X-Edict-Sender: <boss@x.example>\r\n";
    sent(format!("{}{forged}", "A: 1\r\n".repeat(2_000))).await.unwrap();
    let copy = message(&desk.last(), 1);
    assert!(!copy.contains("boss") && copy.ends_with("A: 1\r\nSubject: x\r\n\r\nHi\r\n"));
    sent(forged.repeat(3_000)).await.unwrap();
    assert!(!message(&desk.last(), 1).contains("boss"), "neighbours go at once");
    let refusal = sent(format!("A: 1\r\n{forged}").repeat(2_001)).await.unwrap_err();
    assert_eq!(refusal.reply, "554 5.6.0 Too many forged fields");
}

#[tokio::test]
async fn audit_rules_only_say_so() {
    let table = Rules::new().bcc("try", When::Always, &["a@archive.example"], "").audit().load();
    let desk = Desk::new();
    let receipt = desk.send(Mail::arriving(&table, "x@far.example", &["ann@example.com"])).await.unwrap();
    assert_eq!(receipt.effects, ["audit: bcc \"try\" would copy to a@archive.example"]);
    assert_eq!(desk.last().dispatches.len(), 1);
}
