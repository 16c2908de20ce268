//! Who has a message is on disk while others of its recipients are still served.

use super::elsewhere::{bad, both};
use super::fair::stands_at;
use super::*;
use crate::spool::TestDisk;

/// A kill at any moment: whom the first server took is known while another one is waited for, and he does not get it again.
/// So it is in the log, in the deferred store, and of a message that leaves the log meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn whom_a_server_took_is_known_while_another_one_is_waited_for() {
    for (size, moves) in [(1, false), (1, true), (100_000, false)] {
        let (first, seen, _) = bad("RCPT TO:<b@", Some("451 4.2.1 busy\r\n")).await;
        // The other one is asked once it is noted what the first one took.
        let (hanging, _, gate, asked) = stands_at("EHLO").await;
        let (other, _) = server(|_| None).await;
        let disk = TestDisk::default();
        let open = |disk: &TestDisk, far: Hop| {
            let options = Options { segment: 256 << 10, reserve: 1 << 20, spare: 2 };
            let opened =
                Spool::open_on(Arc::new(disk.clone()), Path::new("/data"), options, Arc::new(NoLedger), None);
            let (spool, recovery) = opened.unwrap();
            let map = [("far.example".to_owned(), far), ("more.example".to_owned(), relay(other))].into();
            let (guide, settings) = (Box::new(Map(map, Vec::new())), settings(Path::new("/nowhere")));
            Queue::start_with(spool, recovery, guide, Tls::default(), settings)
        };
        let queue = open(&disk, both(first, hanging));
        let text = format!("Subject: x\n\n{}", "x".repeat(size));
        queue.submit(message(1, &["a@far.example", "b@far.example"], &text)).await.unwrap();
        until(&asked).await;
        assert_eq!(seen.all().len(), 1);
        if moves {
            super::attempts::leaves_log(&queue, "a@more.example").await;
        }
        if moves || size > 50_000 {
            super::attempts::first_settled(&queue, 1).await;
        }
        // What is noted rides along with what somebody waits for.
        queue.inner.spool.flush().await.unwrap();
        let found = disk.after_cut(7);
        gate.open();
        empty(&queue).await;
        let (good, again) = server(|_| None).await;
        let queue = open(&found, relay(good));
        empty(&queue).await;
        let whom: Vec<String> = again.all().into_iter().map(|(to, _)| to.concat()).collect();
        assert_eq!(whom, ["RCPT TO:<b@far.example>"], "{size} {moves}");
    }
}
