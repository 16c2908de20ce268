//! Trace fields, and what a submission is given.

use crate::support::{Desk, Mail, Rules, check, message};
use edict_runtime::envelope::Submitted;
use edict_table::facts::Direction;

async fn stored(mail: Mail) -> String {
    let desk = Desk::new();
    desk.shelf.gate.add_permits(1);
    desk.send(mail).await.unwrap();
    message(&desk.last(), 0)
}

fn unfold(text: &str) -> String {
    text.replace("\r\n ", " ").replace("\r\n\t", " ")
}

/// RFC 5321 4.4, 7.2: a trace field in front, with a recipient only where there is one, and (F.5) a year of four digits.
#[tokio::test]
async fn received_says_how_the_message_came() {
    let table = Rules::new().load();
    let one = Mail::arriving(&table, "x@far.example", &["ann@example.com"]);
    assert_eq!(
        unfold(&stored(one).await).lines().next().unwrap(),
        "Received: from client.example (client.example [192.0.2.7]) by mx.example.com with ESMTPS id \
         0000000000001 for <ann@example.com>; Tue, 24 Nov 2026 12:00:00 +0000"
    );
    // With several recipients none is named: each would learn of another.
    let two = Mail::arriving(&table, "x@far.example", &["ann@example.com", "bob@example.com"]);
    assert!(!unfold(&stored(two).await).lines().next().unwrap().contains(" for "));
}

/// RFC 6531 3.2: a domain has a form in ASCII, which asks nothing of the next hops; a local part has none.
#[tokio::test]
async fn a_recipient_is_named_in_ascii_where_that_can_be() {
    let table = Rules::new().load();
    for (wire, utf8, want) in [
        ("u@bücher.example", true, Some(" for <u@xn--bcher-kva.example>; ")),
        ("u@bücher.example", false, Some(" for <u@xn--bcher-kva.example>; ")),
        ("ü@bücher.example", true, Some(" for <ü@bücher.example>; ")),
        ("ü@bücher.example", false, None),
    ] {
        let mail = Mail::arriving(&table, "x@far.example", &["ann@example.com"]).with(|incoming| {
            incoming.recipients[0].wire = wire.to_owned();
            incoming.sender.smtputf8 = utf8;
        });
        let text = unfold(&stored(mail).await);
        let field = text.lines().next().unwrap();
        match want {
            Some(want) => assert!(field.contains(want), "{field}"),
            None => assert!(field.is_ascii() && !field.contains(" for "), "{field}"),
        }
    }
}

#[tokio::test]
async fn protocols() {
    let table = Rules::new().load();
    for (esmtp, tls, login, utf8, want) in [
        (false, false, false, false, " with SMTP id "),
        (true, false, false, false, " with ESMTP id "),
        (true, false, true, false, " with ESMTPA id "),
        (true, true, true, false, " with ESMTPSA id "),
        (true, true, true, true, " with UTF8SMTPSA id "),
        (true, false, false, true, " with UTF8SMTP id "),
    ] {
        let mail = Mail::arriving(&table, "x@far.example", &["ann@example.com"]).with(|incoming| {
            incoming.client.esmtp = esmtp;
            incoming.client.tls = tls;
            incoming.client.auth_user = login.then(|| "ann".to_owned());
            incoming.sender.smtputf8 = utf8;
        });
        let text = unfold(&stored(mail).await);
        assert!(text.lines().next().unwrap().contains(want), "{text}");
    }
}

/// A client's texts cannot begin a field or a line of their own.
/// CR/LF injection in addresses and headers (CVE-2026-23829 Mailpit, GHSA-g7hc-96xr-gvvx MimeKit): RFC 5321 4.4.
#[tokio::test]
async fn nothing_is_injected() {
    let table = Rules::new().profile(|p| p.hostname = None).load();
    let mail = Mail::arriving(&table, "x@far.example", &["ann@example.com"]).with(|incoming| {
        incoming.client.helo = "x\r\nBcc: evil@x (a) \u{1b}[2J \"".to_owned();
        incoming.client.name = Some("y\r\n\r\nbody".to_owned());
        incoming.client.ip = "2001:db8::1".parse().unwrap();
        incoming.client.tls = false;
    });
    let text = stored(mail).await;
    let header = text.split("\r\nFrom: ").next().unwrap();
    assert!(unfold(header).lines().count() == 1, "{header}");
    assert!(!header.contains('\u{1b}') && header.contains("[IPv6:2001:db8::1]"), "{header}");
    assert!(unfold(header).contains(" by host.example with ESMTP id "));
}

/// RFC 6409 8 for submissions; RFC 5321 6.4 for everything else.
/// RFC 5321 3.6.3: only submissions are completed.
#[tokio::test]
async fn submissions_are_completed_and_nothing_else_is() {
    let table = Rules::new().load();
    let bare = "Subject: x\r\nBcc: secret@x.example,\r\n more@x.example\r\n\r\nHi\r\n";
    let text = stored(Mail::submitted(&table, "ann@example.com", &["far@other.example"]).bytes(bare)).await;
    assert!(text.contains("\r\nMessage-ID: <0000000000001@mx.example.com>\r\n"), "{text}");
    assert!(text.contains("\r\nDate: Tue, 24 Nov 2026 12:00:00 +0000\r\n"), "{text}");
    assert!(text.ends_with("\r\nSubject: x\r\n\r\nHi\r\n") && !text.contains("secret"), "{text}");
    let text = stored(Mail::arriving(&table, "x@far.example", &["ann@example.com"]).bytes(bare)).await;
    assert!(text.ends_with(&format!("+0000\r\n{bare}")), "{text}");
    // Empty ones are as good as none, and give way.
    let empty = "Date:\r\nMessage-ID: \r\nSubject: x\r\n\r\nHi\r\n";
    let text = stored(Mail::submitted(&table, "ann@example.com", &["far@other.example"]).bytes(empty)).await;
    assert!(text.ends_with("+0000\r\nSubject: x\r\n\r\nHi\r\n"), "{text}");
    assert!(text.contains("\r\nMessage-ID: <0000000000001@mx.example.com>\r\nDate: Tue, 24"), "{text}");
    let whole = Mail::submitted(&table, "ann@example.com", &["far@other.example"]);
    let sent = String::from_utf8(whole.0.bytes.clone()).unwrap();
    assert!(stored(whole).await.ends_with(&format!("+0000\r\n{sent}")));
}

#[tokio::test]
async fn dates_are_of_the_profiles_zone() {
    let table = Rules::new().profile(|p| p.time_zone = "Asia/Kathmandu".to_owned()).load();
    let mail =
        Mail::submitted(&table, "ann@example.com", &["far@other.example"]).bytes("Subject: x\r\n\r\nHi\r\n");
    assert!(stored(mail).await.contains("\r\nDate: Tue, 24 Nov 2026 17:45:00 +0545\r\n"));
}

/// The text of a message without a header must not become one.
#[tokio::test]
async fn a_message_without_header_keeps_its_text_as_text() {
    let table = Rules::new().load();
    for (sent, want) in
        [("Hello you\r\n", "\r\n\r\nHello you\r\n"), ("\r\nHi\r\n", "\r\n\r\nHi\r\n"), ("", "\r\n")]
    {
        let text = stored(Mail::arriving(&table, "x@far.example", &["ann@example.com"]).bytes(sent)).await;
        assert!(text.ends_with(want), "{text:?}");
    }
}

#[tokio::test]
async fn eight_bit_text_is_declared() {
    use edict_runtime::envelope::Body;
    let table = Rules::new().load();
    let desk = Desk::new();
    let mail = || Mail::arriving(&table, "x@far.example", &["ann@example.com"]);
    for (sent, want) in
        [("Subject: x\r\n\r\nHi\r\n", Body::SevenBit), ("Subject: x\r\n\r\nä\r\n", Body::EightBitMime)]
    {
        desk.send(mail().bytes(sent)).await.unwrap();
        assert_eq!(desk.last().dispatches[0].body, want);
    }
}

/// RFC 8601 5: what claims to be ours and is not goes, everything else stays; a server of ours may have written.
#[tokio::test]
async fn results_are_told_and_forged_ones_removed() {
    let table = Rules::new().load();
    let sent = "Authentication-Results: mx.example.com; spf=pass\r\nSubject: x\r\n\
                authentication-results: (hm)\r\n MX.example.com; dmarc=pass\r\n\
                Authentication-Results: other.example; dkim=pass\r\n\r\nHi\r\n";
    let mut mail = Mail::arriving(&table, "x@far.example", &["ann@example.com"]).bytes(sent);
    mail.0.authentication.id = "mx.example.com".to_owned();
    mail.0.authentication.results =
        Some("mx.example.com; spf=fail smtp.mailfrom=far.example\r\nBcc: evil@x.example\0".to_owned());
    let text = stored(mail).await;
    let header = unfold(&text);
    assert!(
        header.starts_with(
            "Authentication-Results: mx.example.com; spf=fail smtp.mailfrom=far.example Bcc: evil@x.example"
        ),
        "{text}"
    );
    assert_eq!(header.matches("mx.example.com; ").count(), 1, "{text}");
    assert!(
        text.ends_with("Subject: x\r\nAuthentication-Results: other.example; dkim=pass\r\n\r\nHi\r\n"),
        "{text}"
    );
    let mail = Mail::arriving(&table, "x@far.example", &["ann@example.com"]).bytes(sent);
    assert!(stored(mail).await.ends_with(sent));
}

/// RFC 8601 5: no number of fields and no length of one hides a forged field, or a Bcc that was submitted.
/// MIME and header bombs.
#[tokio::test]
async fn nothing_hides_behind_a_long_header() {
    let table = Rules::new().load();
    let rest = "Authentication-Results: other.example; dkim=pass\r\nSubject: x\r\n\r\nBcc: Hi\r\n";
    let forged =
        "Bcc: boss@example.com,\r\n c@x.example\r\nAuthentication-Results: mx.example.com; dmarc=pass\r\n";
    for front in ["A: 1\r\n".repeat(2_000), format!("A: {}\r\n", "x".repeat(512 << 10))] {
        let sent = format!("{front}{forged}{rest}");
        let mut mail = Mail::arriving(&table, "x@far.example", &["ann@example.com"]).bytes(sent);
        mail.0.authentication.id = "mx.example.com".to_owned();
        let text = stored(mail).await;
        let want = format!("\r\n{front}Bcc: boss@example.com,\r\n c@x.example\r\n{rest}");
        assert!(text.ends_with(&want), "what came from outside keeps its Bcc");
        // An own Date and Message-ID are found there, too.
        let sent = format!("{front}Date: then\r\nMessage-ID: <one@x.example>\r\n{forged}{rest}");
        let mut mail = Mail::submitted(&table, "ann@example.com", &["far@other.example"]).bytes(sent);
        mail.0.authentication.id = "mx.example.com".to_owned();
        let text = stored(mail).await;
        let want = format!("\r\n{front}Date: then\r\nMessage-ID: <one@x.example>\r\n{rest}");
        assert!(text.ends_with(&want));
        assert_eq!(text.matches("Date: ").count(), 1);
        assert_eq!(text.matches("Message-ID: ").count(), 1);
    }
}

/// What the next hop hears of them is the same, so that it has one transaction: a trusted client's mail is submitted where it
/// goes out, and a stranger's where it comes in.
#[tokio::test]
async fn recipients_share_a_dispatch_whether_submitted_or_not() {
    let table = Rules::new().load();
    let to = ["bob@example.com", "far@other.example", "eve@example.com"];
    let mail = Mail::arriving(&table, "x@far.example", &to).with(|incoming| {
        incoming.submitted = true;
        incoming.recipients[1].direction = Direction::Outbound;
    });
    let record =
        check(mail, "message v0 <x@far.example>: bob@example.com far@other.example! eve@example.com").await;
    assert_eq!(record.dispatches[0].submitted, Submitted::Of(vec![1]));
}
