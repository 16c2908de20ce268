//! How many recipients one transaction has.

use super::*;

/// RFC 5321 4.5.3.1.8: what every server takes is a hundred recipients, so a message to more goes in several transactions.
#[tokio::test]
async fn a_hundred_recipients_at_a_time() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen) = server(|_| None).await;
    let queue = start(data.path(), &[("far.example", relay(port))], settings(data.path()));
    let to: Vec<String> = (0..250).map(|n| format!("u{n}@far.example")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    queue.submit(message(1, &to, "Subject: x\n\n")).await.unwrap();
    empty(&queue).await;
    let sent: Vec<Vec<String>> = seen.all().into_iter().map(|(to, _)| to).collect();
    let mut sizes: Vec<usize> = sent.iter().map(Vec::len).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [50, 100, 100]);
    let all: std::collections::BTreeSet<String> = sent.into_iter().flatten().collect();
    assert_eq!(all.len(), 250, "each once");
}
