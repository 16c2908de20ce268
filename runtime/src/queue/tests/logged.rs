//! What the log says of mail that ends here.

use super::elsewhere::once;
use super::*;
use std::io::Write;
use tracing_subscriber::fmt::MakeWriter;

/// Lines of the log.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0.lock().unwrap()))
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Lines {
    /// Whether one line holds all of these.
    pub fn hold(&self, words: &[&str]) -> bool {
        let all = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        all.lines().any(|line| words.iter().all(|word| line.contains(word)))
    }
}

/// The author does not want to be told: the log alone says what became of his mail, whatever its size.
#[tokio::test]
async fn mail_without_a_way_leaves_a_trace() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(lines.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let data = tempfile::tempdir().unwrap();
    // It is ourselves.
    let (port, _) =
        server(|line| line.starts_with("EHLO").then(|| Some("250 mx.example\r\n".to_owned()))).await;
    let (_held, dead) = closed();
    let hops = [("loop.example", Hop::Mx("[127.0.0.1]".to_owned())), ("dead.example", relay(dead))];
    let short = Settings { mx_port: port, lifetime: Duration::ZERO, ..once(data.path()) };
    let queue = start(data.path(), &hops, short);
    let large = "0123456789\r\n".repeat(30_000);
    for (id, to, text) in [
        (1, "a@loop.example", "X: 1\n\n"),
        (2, "b@loop.example", large.as_str()),
        (3, "c@dead.example", "X: 1\n\n"),
        (4, "nomailbox", "X: 1\n\n"),
    ] {
        let mut record = message(id, &[to], text);
        record.dispatches[0].recipients[0].notify = Notify { given: true, ..Notify::default() };
        queue.submit(record).await.unwrap();
    }
    empty(&queue).await;
    assert!(!data.path().join("mail").exists(), "nobody is told");
    for (to, why, what) in [
        ("a@loop.example", "this very server", "failed"),
        ("b@loop.example", "this very server", "failed"),
        ("c@dead.example", "no connection", "given up"),
        ("nomailbox", "names no mailbox", "failed"),
    ] {
        assert!(lines.hold(&[to, why, what]), "{to}");
    }
}

/// Where a message went, under what protection and with what words, as Postfix tells it (`status=sent (250 …)`); of mailboxes each
/// recipient.
#[tokio::test]
async fn it_is_told_who_took_a_message_and_how() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(lines.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let data = tempfile::tempdir().unwrap();
    let (port, _) =
        server(|line| (line == "END").then(|| Some("250 2.0.0 Ok: as 4cXyZ\r\n".to_owned()))).await;
    let queue = start(data.path(), &[("far.example", relay(port))], once(data.path()));
    queue.submit(message(1, &["a@far.example", "b@far.example"], "X: 1\n\n")).await.unwrap();
    queue.submit(message(2, &["c@here.example", "d@here.example"], "X: 1\n\n")).await.unwrap();
    empty(&queue).await;
    let peer = format!(":{port}");
    for to in ["a@far.example", "b@far.example"] {
        assert!(
            lines.hold(&["delivered", to, &peer, "tls=none", "reply=\"250 2.0.0 Ok: as 4cXyZ\""]),
            "{lines:?}"
        );
    }
    for to in ["c@here.example", "d@here.example"] {
        assert!(lines.hold(&["delivered into a mailbox", to, &MessageId(2).to_string()]), "{lines:?}");
    }
}
