//! Notices over next hops that do not take all of them.

use super::*;

/// RFC 5321 6.1: whoever sends it is told, over a hop of seven bits too, that such a hop does not take his header.
#[tokio::test]
async fn a_hop_of_seven_bits_gets_notices_about_eight() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen) = server(|_| None).await;
    let hops = [("far.example", relay(port)), ("example.org", relay(port))];
    let queue = start(data.path(), &hops, settings(data.path()));
    queue.submit(message(1, &["a@far.example"], "Subject: \u{fc}ber\n\nx\n")).await.unwrap();
    empty(&queue).await;
    let all = seen.all();
    assert_eq!(all.len(), 1, "{:?}", queue.counters());
    let (to, notice) = &all[0];
    assert_eq!(to, &["RCPT TO:<ann@example.org>"]);
    let returned =
        "message/global-headers\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nSubject: =C3=BCber";
    assert!(notice.is_ascii() && notice.contains(returned), "{notice}");
    assert!(notice.contains("Status: 5.6.3\r\n"), "{notice}");
}

/// RFC 5321 6.1: each recipient that failed is told of, also where a hop takes them in several turns of one attempt
/// (452 4.5.3): a second notice of the same name would take the place of the first.
#[tokio::test]
async fn turns_of_one_attempt_are_told_of_one_by_one() {
    let data = tempfile::tempdir().unwrap();
    let taken = std::sync::atomic::AtomicU32::new(0);
    let (port, _) = server(move |line| {
        if line.starts_with("MAIL") {
            taken.store(0, Ordering::SeqCst);
        }
        if !line.starts_with("RCPT") {
            return None;
        }
        match taken.fetch_add(1, Ordering::SeqCst) {
            0 => Some(Some("250 2.1.5 ok\r\n".to_owned())),
            1 => Some(Some("550 5.1.1 nobody\r\n".to_owned())),
            _ => Some(Some("452 4.5.3 too many\r\n".to_owned())),
        }
    })
    .await;
    let hops = [("far.example", relay(port)), ("example.org", Hop::Local)];
    let queue = start(data.path(), &hops, settings(data.path()));
    let to: Vec<String> = (0..6).map(|n| format!("r{n}@far.example")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    queue.submit(message(1, &to, "Subject: x\n\nx\n")).await.unwrap();
    empty(&queue).await;
    let told = mailbox(data.path(), "example.org/ann").concat();
    let about: Vec<&&str> =
        to.iter().filter(|address| told.contains(&format!("Final-Recipient: rfc822; {address}"))).collect();
    assert_eq!(about.len(), 3, "each of the three that were refused: {about:?}\n{told}");
}
