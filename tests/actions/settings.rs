//! Settings of the profile that look at what a message is: automatic forwarding, the size of one
//! attachment; and the fields that a submission is given.

use crate::support::client::Client;
use crate::support::start_actions;
use crate::support::taker::Taker;

#[test]
fn what_a_client_forwarded_by_itself_may_not_leave_exceptions_apart() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME"]);
    let daemon = start_actions(folder.path(), relay.address, "");
    let refused = "550 5.7.1 mail that was forwarded automatically may not leave";
    let mut ann = Client::login(daemon.address, "ann@example.com").unwrap();
    let forward = |from: &str, field: &str| format!("{field}\nFrom: {from}\nSubject: Fwd: [plain] x\n\nHi");
    for (field, outside) in [
        ("Auto-Submitted: auto-forwarded", refused),
        ("Auto-Submitted: Auto-Forwarded (by rule); id=1", refused),
        ("Autoforwarded: true", refused),
        ("X-Autoforwarded: yes", refused),
        ("Auto-Submitted: no", "250"),
        ("Auto-Submitted: auto-replied", "250"),
        ("X-Autoforward: false", "250"),
        ("X-Other: auto-forwarded", "250"),
    ] {
        let message = forward("ann@example.com", field);
        let reply = ann.message("ann@example.com", &["far@outside.example"], &message).unwrap();
        assert!(reply.starts_with(outside), "{field}: {reply}");
        // Inside it goes on as ever; with somebody outside among them, the whole is refused.
        let reply = ann.message("ann@example.com", &["bob@example.com"], &message).unwrap();
        assert!(reply.starts_with("250"), "{field}: {reply}");
        let reply =
            ann.message("ann@example.com", &["bob@example.com", "far@outside.example"], &message).unwrap();
        assert!(reply.starts_with(outside), "{field}: {reply}");
    }
    // Through an alias that leads outside it does not leave either.
    let message = forward("ann@example.com", "Auto-Submitted: auto-forwarded");
    for to in ["alone@example.com", "sales@example.com"] {
        let reply = ann.message("ann@example.com", &[to], &message).unwrap();
        assert!(reply.starts_with(refused), "{to}: {reply}");
    }
    // A catch-all that leads outside is such an alias, for those whom nobody has by himself.
    for (to, want) in [("nobody@example.edu", refused), ("real@example.edu", "250")] {
        let reply = ann.message("ann@example.com", &[to], &message).unwrap();
        assert!(reply.starts_with(want), "{to}: {reply}");
    }
    // By address and by domain.
    for user in ["boss@example.com", "dora@example.org"] {
        let mut client = Client::login(daemon.address, user).unwrap();
        let message = forward(user, "Auto-Submitted: auto-forwarded");
        let reply = client.message(user, &["far@outside.example"], &message).unwrap();
        assert!(reply.starts_with("250"), "{user}: {reply}");
    }
    // Mail of strangers comes in, whoever forwarded it to us.
    let mut stranger = Client::hello(daemon.address).unwrap();
    let message = forward("x@far.example", "Auto-Submitted: auto-forwarded");
    assert!(stranger.message("x@far.example", &["ann@example.com"], &message).unwrap().starts_with("250"));
}

#[test]
fn one_attachment_is_bounded_in_decoded_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME"]);
    let daemon = start_actions(folder.path(), relay.address, "");
    let mut stranger = Client::hello(daemon.address).unwrap();
    let part = |bytes: usize, name: &str| {
        let line = format!("{}\n", "QUJD".repeat(19));
        let lines = line.repeat(bytes / 57);
        format!(
            "--b\nContent-Type: application/pdf; name={name}\nContent-Transfer-Encoding: base64\n\n{lines}"
        )
    };
    let message = |parts: &[String]| {
        format!(
            "From: x@far.example\nSubject: files\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nHi\n{}--b--\n",
            parts.concat()
        )
    };
    for (parts, want) in [
        // 84 KiB on the wire, 62 KiB decoded.
        (vec![part(62 << 10, "a.pdf")], "250"),
        // Each for itself: two that fit are no one that does not.
        (vec![part(62 << 10, "a.pdf"), part(62 << 10, "b.pdf")], "250"),
        (vec![part(66 << 10, "a.pdf")], "552 5.3.4"),
        (vec![part(1 << 10, "a.pdf"), part(66 << 10, "b.pdf")], "552 5.3.4"),
    ] {
        let reply = stranger.message("x@far.example", &["ann@example.com"], &message(&parts)).unwrap();
        assert!(reply.starts_with(want), "{} bytes: {reply}", message(&parts).len());
    }
    // A long text is no attachment.
    let text = format!("From: x@far.example\nSubject: text\n\n{}", "words and more words\n".repeat(5_000));
    assert!(stranger.message("x@far.example", &["ann@example.com"], &text).unwrap().starts_with("250"));
    // An attachment inside an attached message counts as well.
    let inner = message(&[part(66 << 10, "inner.pdf")]);
    let outer = format!(
        "From: x@far.example\nSubject: fwd\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\
         Content-Type: message/rfc822\n\n{inner}\n--c--\n"
    );
    let reply = stranger.message("x@far.example", &["ann@example.com"], &outer).unwrap();
    assert!(reply.starts_with("552 5.3.4"), "{reply}");
}

/// RFC 6409 8: a submission is completed; everything else passes with a trace field and no other change.
#[test]
fn fields_are_added_for_submissions_only() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME"]);
    let daemon = start_actions(folder.path(), relay.address, "");
    let bare = "Return-Path: <forged@far.example>\nBcc: hidden@far.example\nFrom: ann@example.com\nSubject: [plain] x\n\nHi";
    let mut ann = Client::login(daemon.address, "ann@example.com").unwrap();
    assert!(ann.message("ann@example.com", &["far@outside.example"], bare).unwrap().starts_with("250"));
    let sent = relay.wait_for("far@outside.example").text();
    for (field, count) in [
        ("Received: ", 1),
        ("Date: ", 1),
        ("Message-ID: <", 1),
        ("Bcc:", 0),
        ("Return-Path:", 0),
        ("From: ann@example.com", 1),
    ] {
        assert_eq!(sent.lines().filter(|line| line.starts_with(field)).count(), count, "{field}: {sent}");
    }
    assert!(sent.contains("with ESMTPA id") && sent.contains("for <far@outside.example>"), "{sent}");
    assert!(sent.ends_with("\r\nSubject: [plain] x\r\n\r\nHi\r\n"), "{sent}");

    let mut stranger = Client::hello(daemon.address).unwrap();
    assert!(stranger.message("x@far.example", &["bob@example.com"], bare).unwrap().starts_with("250"));
    let got = &daemon.wait_for_mail("bob@example.com", 1)[0];
    assert!(got.starts_with("Return-Path: <x@far.example>\n"), "{got}");
    assert!(!got.contains("\nDate: ") && !got.contains("\nMessage-ID: "), "{got}");
    // One Return-Path, that of the delivery (RFC 5321 4.4).
    let rest = bare.strip_prefix("Return-Path: <forged@far.example>\n").unwrap();
    assert!(got.ends_with(&format!("+0000\n{rest}\n")), "what strangers send stays as it is: {got}");
}
