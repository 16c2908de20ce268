//! Next hops that talk nonsense: bounded, tried again, and told in the log with the hop and what it did.

use super::logged::Lines;
use super::*;

#[tokio::test]
async fn hostile_hops_are_survived() {
    let clock = tame_clock();
    // Each tells nonsense on its first connection and behaves afterwards.
    let nonsense: Vec<(&str, Option<String>, &str)> = vec![
        ("EHLO", Some("250-x\r\n".repeat(100_000)), "its reply is too long"),
        ("EHLO", Some("\r\n".to_owned()), "its reply is malformed"),
        ("MAIL", Some("250 ok\r\n250 ok\r\n".repeat(3)), "its reply is malformed"),
        ("MAIL", Some("25".to_owned()), "its reply is malformed"),
        ("MAIL", Some("550-a\r\n250 b\r\n".to_owned()), "its reply is malformed"),
        ("RCPT", None, "it hung up"),
        ("DATA", Some("250 data, how nice\r\n".to_owned()), "its reply is malformed"),
        ("DATA", Some("100 what\r\n".to_owned()), "its reply is malformed"),
        ("END", None, "it hung up"),
        ("END", Some("354 more\r\n".to_owned()), "its reply is malformed"),
        ("END", Some(String::new()), "it said nothing in time"),
        ("END", Some("421 4.3.2 closing\r\n".to_owned()), "421 4.3.2 closing"),
    ];
    for (at, answer, told) in nonsense {
        let data = tempfile::tempdir().unwrap();
        let first = AtomicBool::new(true);
        let said = answer.clone();
        let (port, seen) = server(move |line| {
            (line.starts_with(at) && first.swap(false, Ordering::SeqCst)).then(|| said.clone())
        })
        .await;
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(lines.clone()).finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let queue = start(data.path(), &[("far.example", relay(port))], brief(&clock, data.path()));
        queue.submit(message(1, &["a@far.example"], "Subject: x\n\n")).await.unwrap();
        empty(&queue).await;
        assert!(!seen.all().is_empty(), "{at} {answer:?}");
        assert!(seen.all().iter().all(|(_, body)| body == "Subject: x\r\n\r\n.\r\n"), "{:?}", seen.all());
        let hop = format!(":{port}");
        assert!(lines.hold(&[&hop, told]), "{at} {answer:?}: {hop} and {told:?} are in no line: {lines:?}");
    }
}
