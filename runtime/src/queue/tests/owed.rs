//! What is to be told of who has a message, and of whom a delay was told, is on disk with the word that it is so: a restart in
//! the middle of an attempt neither loses it nor says it twice.

use super::aside::{BUSY, is, lazy, recipients, told};
use super::backlog::gated;
use super::told::{open, start_by, start_on};
use super::*;
use crate::spool::deferred::{Fates, Word};
use crate::spool::{Note, TestDisk};

/// A message whose author asks to hear of success.
fn asking(to: &[&str], text: &str) -> Record {
    let mut record = message(1, to, text);
    for target in &mut record.dispatches[0].recipients {
        target.notify = Notify { given: true, success: true, ..Notify::default() };
    }
    record
}

/// A server that knows nothing of notices.
async fn careless() -> (u16, Seen) {
    server(|line| line.starts_with("EHLO").then(|| Some("250 sink\r\n".to_owned()))).await
}

/// RFC 3461 5.2.3: so it is in the log, in the deferred store, and of a message that leaves the log meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn success_is_told_though_a_restart_comes_between() {
    for (size, moves) in [(1, false), (1, true), (100_000, false)] {
        let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (slow, _, gate) = gated().await;
        let disk = TestDisk::default();
        let queue = start_on(&disk, before.path(), &[("slow.example", slow)]);
        let text = format!("Subject: x\n\n{}", "x".repeat(size));
        queue.submit(asking(&["b@here.example", "x@slow.example"], &text)).await.unwrap();
        wait("b@ has it", || queue.counters().delivered == 1).await;
        // It is noted once the worker has nothing more to do with it.
        let lane = queue.inner.lane(&Hop::Local);
        wait("its worker comes to rest", || lane.workers().0 == lane.workers().1).await;
        if moves {
            super::attempts::leaves_log(&queue, "more@here.example").await;
        }
        if moves || size > 50_000 {
            super::attempts::first_settled(&queue, 1).await;
        }
        queue.inner.spool.flush().await.unwrap();
        let found = disk.after_cut(7);
        gate.open();
        empty(&queue).await;
        let (good, seen) = careless().await;
        let queue = start_on(&found, after.path(), &[("slow.example", good)]);
        empty(&queue).await;
        let both = [is("b@here.example", "delivered"), is("x@slow.example", "relayed")];
        assert_eq!(told(after.path()), both, "{size} {moves}");
        assert_eq!(recipients(&seen), ["RCPT TO:<x@slow.example>"]);
        assert!(mailbox(after.path(), "here.example/b").is_empty(), "{size} {moves}: he had it");
    }
}

/// It is told at the end of the attempt, of all together, and not again after the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn success_is_told_once() {
    let data = tempfile::tempdir().unwrap();
    let tries = std::sync::atomic::AtomicU32::new(0);
    let (port, _) = server(move |line| match line {
        "RCPT TO:<late@far.example>" if tries.fetch_add(1, Ordering::SeqCst) < 3 => {
            Some(Some(BUSY.to_owned()))
        }
        line if line.starts_with("EHLO") => Some(Some("250 sink\r\n".to_owned())),
        _ => None,
    })
    .await;
    let queue = start(data.path(), &[("far.example", relay(port))], settings(data.path()));
    queue
        .submit(asking(&["a@here.example", "b@here.example", "late@far.example"], "Subject: x\n\n"))
        .await
        .unwrap();
    empty(&queue).await;
    let all = [
        is("a@here.example", "delivered"),
        is("b@here.example", "delivered"),
        is("late@far.example", "relayed"),
    ];
    assert_eq!(told(data.path()), all);
    assert_eq!(mailbox(data.path(), "example.org/ann").len(), 2, "one for both");
}

/// A kill between the notice and the record of whom it told of: he is not told of again, whoever else has the message since.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn success_that_was_told_before_a_kill_is_not_told_again() {
    for made in [false, true] {
        let data = tempfile::tempdir().unwrap();
        let disk = TestDisk::default();
        {
            let (spool, _) = open(&disk);
            let to = ["a@here.example", "b@here.example", "x@here.example"];
            spool.append(Arc::new(asking(&to, "Subject: x\n\n"))).await.unwrap();
            let words = vec![(0, 0, Word::Delivered), (0, 1, Word::Delivered)];
            let fates = Fates { settled: vec![(0, 0), (0, 1)], words };
            spool.note(&Note::Known(MessageId(1), fates));
            let mut notice = message(2, &["ann@example.org"], "X: it was told before\n\n");
            notice.id = notice::name(MessageId(1), 0, "delivered", 0, vec![1, 0]);
            notice.dispatches[0].kind = DispatchKind::Notice;
            if made {
                spool.append(Arc::new(notice)).await.unwrap();
            }
            spool.flush().await.unwrap();
        }
        let queue = start_on(&disk.after_cut(1), data.path(), &[]);
        empty(&queue).await;
        let mut all =
            ["a@here.example", "b@here.example", "x@here.example"].map(|who| is(who, "delivered")).to_vec();
        if made {
            all.drain(..2);
        }
        assert_eq!(told(data.path()), all, "{made}");
        assert_eq!(mailbox(data.path(), "example.org/ann").len(), 1 + usize::from(made));
    }
}

/// Of whom a delay was told while another hop hung, it is not told again; of the other one it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_delay_is_told_once_though_a_restart_comes_between() {
    let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let busy = |line: &str| line.starts_with("RCPT").then(|| Some(BUSY.to_owned()));
    let (slow, _, gate) = gated().await;
    let (port, _) = server(busy).await;
    let disk = TestDisk::default();
    let warning = |data: &Path| Settings { warn_after: Duration::ZERO, ..lazy(data) };
    let queue = start_by(&disk, &[("slow.example", slow), ("far.example", port)], warning(before.path()));
    let mut record = message(1, &["late@far.example", "b@slow.example"], "Subject: x\n\n");
    record.dispatches[0].submitted = Submitted::Yes;
    record.received -= 1000;
    queue.submit(record).await.unwrap();
    wait("the first notice", || told(before.path()) == [is("late@far.example", "delayed")]).await;
    // It is written down when whoever told of it is done.
    wait("the record of it", || {
        let active = queue.inner.active.lock().unwrap();
        active.get(&MessageId(1)).is_some_and(|entry| {
            let progress = entry.progress();
            progress.outstanding == 1 && !progress.results.words.is_empty()
        })
    })
    .await;
    queue.inner.spool.flush().await.unwrap();
    let found = disk.after_cut(7);
    gate.open();
    let queue = start_by(&found, &[("slow.example", port), ("far.example", port)], warning(after.path()));
    let is_told = |who| told(after.path()).contains(&is(who, "delayed"));
    wait("the other notice", || is_told("b@slow.example")).await;
    wait("the end of the attempt", || queue.inner.index().behind(None).count() == 1).await;
    assert_eq!(told(after.path()), [is("b@slow.example", "delayed")]);
    // The next attempt says nothing either.
    assert!(queue.retry(MessageId(1)).await.is_ok());
    wait("it", || queue.counters().deferred >= 4).await;
    wait("its end", || queue.counters().queued == 1 && queue.inner.active.lock().unwrap().is_empty()).await;
    assert_eq!(told(after.path()), [is("b@slow.example", "delayed")]);
}
