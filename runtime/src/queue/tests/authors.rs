//! What the author of a message is told of it, and what not.

use super::*;

/// RFC 5321 3.3, 3.6.3, 4.2.1, 4.2.5, 4.4, 4.5.4.1.
#[tokio::test]
async fn refusals_are_told_and_delays_retried() {
    let data = tempfile::tempdir().unwrap();
    let tries = std::sync::atomic::AtomicU32::new(0);
    let (port, seen) = server(move |line| match line {
        "RCPT TO:<no@far.example>" => Some(Some("550 5.1.1 no such user\r\n".to_owned())),
        "RCPT TO:<late@far.example>" if tries.fetch_add(1, Ordering::SeqCst) < 2 => {
            Some(Some("450 4.2.1 later\r\n".to_owned()))
        }
        _ => None,
    })
    .await;
    let queue = start(data.path(), &[("far.example", relay(port))], settings(data.path()));
    let to = ["no@far.example", "yes@far.example", "late@far.example"];
    queue.submit(message(1, &to, "Subject: secret\n\nbody\n")).await.unwrap();
    empty(&queue).await;
    let sent: Vec<Vec<String>> = seen.all().into_iter().map(|(to, _)| to).collect();
    assert_eq!(sent, [["RCPT TO:<yes@far.example>"], ["RCPT TO:<late@far.example>"]]);
    let notices = mailbox(data.path(), "example.org/ann");
    assert_eq!(notices.len(), 1);
    let notice = &notices[0];
    assert!(notice.starts_with("Return-Path: <>\n"), "{notice}");
    for part in [
        "Final-Recipient: rfc822; no@far.example\nAction: failed\nStatus: 5.1.1\n",
        "Diagnostic-Code: smtp; 550 5.1.1 no such user\n",
        "Content-Type: text/rfc822-headers\n",
        "Subject: secret\n",
    ] {
        assert!(notice.contains(part), "{part} is not in {notice}");
    }
    assert!(!notice.contains("body"), "only the header comes back");
    let counters = queue.counters();
    assert_eq!((counters.delivered, counters.failed, counters.deferred), (3, 1, 2));
}

/// Bounces (RFC 5321 3.6.3, 4.4, 4.5.4, 4.5.5): no bounce of a bounce.
#[tokio::test]
async fn nobody_is_told_of_null_senders_or_against_their_wish() {
    let data = tempfile::tempdir().unwrap();
    let (port, _) = server(|line| line.starts_with("RCPT").then(|| Some("550 no\r\n".to_owned()))).await;
    let queue = start(data.path(), &[("far.example", relay(port))], settings(data.path()));
    let mut null = message(1, &["a@far.example"], "x\n");
    null.dispatches[0].sender.clear();
    let mut notice = message(2, &["a@far.example"], "x\n");
    notice.dispatches[0].kind = DispatchKind::Notice;
    let mut never = message(3, &["a@far.example"], "x\n");
    never.dispatches[0].recipients[0].notify = Notify { given: true, ..Notify::default() };
    for record in [null, notice, never] {
        queue.submit(record).await.unwrap();
    }
    empty(&queue).await;
    assert_eq!(queue.counters().failed, 3);
    assert!(!data.path().join("mail").exists(), "no notice");
}

/// `notice-copies`: each notice once to each of them, the author among them or not; a copy that fails tells nobody.
#[tokio::test]
async fn copies_of_notices_go_to_whom_the_profile_names() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen) = server(|line| line.starts_with("RCPT").then(|| Some("550 no\r\n".to_owned()))).await;
    let hops = [("far.example", relay(port))];
    let copies = ["ann@example.org", "log@example.org", "lost@far.example"];
    let queue = start_copying(data.path(), &hops, settings(data.path()), &copies);
    queue.submit(message(1, &["no@far.example"], "Subject: x\n\n")).await.unwrap();
    empty(&queue).await;
    for folder in ["example.org/ann", "example.org/log"] {
        let [notice] = mailbox(data.path(), folder).try_into().unwrap();
        assert!(notice.contains("Final-Recipient: rfc822; no@far.example\nAction: failed\n"), "{notice}");
        assert!(notice.contains("\nTo: <ann@example.org>\n"), "{notice}");
    }
    assert_eq!(queue.counters().failed, 2, "the message and one copy");
    assert!(seen.all().is_empty());
}

#[tokio::test]
async fn success_is_told_where_asked() {
    let data = tempfile::tempdir().unwrap();
    let (port, _) = server(|line| line.starts_with("EHLO").then(|| Some("250 sink\r\n".to_owned()))).await;
    let queue = start(data.path(), &[("far.example", relay(port))], settings(data.path()));
    let mut record = message(1, &["a@far.example", "b@here.example"], "Subject: x\n\n");
    for target in &mut record.dispatches[0].recipients {
        target.notify = Notify { given: true, success: true, ..Notify::default() };
        target.orcpt = Some("rfc822;A+2BB@orig.example".to_owned());
    }
    record.dispatches[0].envid = Some("id+3D1".to_owned());
    queue.submit(record).await.unwrap();
    empty(&queue).await;
    let all = mailbox(data.path(), "example.org/ann").join("\n");
    for part in [
        "Action: relayed",
        "Action: delivered",
        "Original-Envelope-Id: id=1",
        "Original-Recipient: rfc822; A+B@orig.example",
    ] {
        assert!(all.contains(part), "{part} is not in {all}");
    }
}

/// RFC 5321 2.1, 4.5.4.1, 6.1: whoever took a message tells its sender where it cannot be delivered.
#[tokio::test]
async fn what_waits_too_long_is_given_up() {
    let data = tempfile::tempdir().unwrap();
    let (port, _) =
        server(|line| line.starts_with("MAIL").then(|| Some("451 4.3.0 busy\r\n".to_owned()))).await;
    let hops = [("far.example", relay(port))];
    let warning = Settings { warn_after: Duration::ZERO, ..settings(data.path()) };
    let queue = start(data.path(), &hops, warning.clone());
    let mut late = message(1, &["a@far.example"], "Subject: x\n\n");
    late.dispatches[0].submitted = Submitted::Yes;
    queue.submit(late).await.unwrap();
    // Of mail from outside its failure alone is told.
    let mut outside = message(2, &["a@far.example"], "Subject: x\n\n");
    outside.dispatches[0].sender = "eve@example.org".to_owned();
    queue.submit(outside).await.unwrap();
    let told = || mailbox(data.path(), "example.org/ann").len() == 1;
    wait("word of the delay", || told() && queue.counters().deferred >= 2).await;
    // Both are past their time from now on.
    let over = Settings { lifetime: Duration::ZERO, ..warning };
    queue.go_by(Ways::new(over.clone(), over.dialer(), Box::new(aside::guide(&hops))));
    empty(&queue).await;
    let strange = mailbox(data.path(), "example.org/eve");
    assert!(strange.len() == 1 && strange[0].contains("Action: failed"), "{strange:?}");
    let notices = mailbox(data.path(), "example.org/ann");
    let count = |what: &str| notices.iter().filter(|n| n.contains(what)).count();
    assert_eq!((count("Action: delayed"), count("Action: failed"), notices.len()), (1, 1, 2));
    assert_eq!((count("\nStatus: 4.3.0\n"), count("\nWill-Retry-Until: ")), (2, 1), "{notices:?}");
}
