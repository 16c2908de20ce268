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
