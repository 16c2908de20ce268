//! A kill after a notice was made durable and before it was written down whom it is about: the attempt is made again, and nobody
//! is told twice.

use super::backlog::{gated, patient};
use super::*;
use crate::spool::deferred::State;
use crate::spool::{Note, TestDisk};

pub(super) fn open(disk: &TestDisk) -> (Spool, Recovery) {
    let options = Options { segment: 256 << 10, reserve: 1 << 20, spare: 2 };
    Spool::open_on(Arc::new(disk.clone()), Path::new("/data"), options, Arc::new(NoLedger), None).unwrap()
}

pub(super) fn start_on(disk: &TestDisk, data: &Path, hops: &[(&str, u16)]) -> Queue {
    start_by(disk, hops, patient(data))
}

pub(super) fn start_by(disk: &TestDisk, hops: &[(&str, u16)], settings: Settings) -> Queue {
    let (spool, recovery) = open(disk);
    let map = hops.iter().map(|(domain, port)| ((*domain).to_owned(), relay(*port))).collect();
    Queue::start_with(spool, recovery, Box::new(Map(map, Vec::new())), Tls::default(), settings)
}

fn refused() -> Record {
    message(1, &["no@far.example", "never@far.example"], "Subject: x\n\nx\n")
}

/// A server that refuses these.
async fn refusing(whom: &'static [&'static str]) -> u16 {
    let says = move |line: &str| {
        let no = whom.iter().any(|who| line.starts_with(&format!("RCPT TO:<{who}@")));
        no.then(|| Some("550 5.1.1 nobody\r\n".to_owned()))
    };
    server(says).await.0
}

/// The notice about the first of the two recipients, as the queue makes it.
async fn notice() -> Record {
    let data = tempfile::tempdir().unwrap();
    let (author, _, gate) = gated().await;
    let far = refusing(&["no"]).await;
    let queue = start_on(&TestDisk::default(), data.path(), &[("far.example", far), ("example.org", author)]);
    queue.submit(refused()).await.unwrap();
    let active = || queue.inner.active.lock().unwrap().clone();
    let mut found = None;
    wait("a notice", || {
        found = active().into_values().find(|entry| entry.id.is_of_notice());
        found.is_some()
    })
    .await;
    let (record, _) = found.unwrap().record(room::For::Record).await.unwrap();
    gate.open();
    empty(&queue).await;
    Record::clone(&record)
}

/// Starts on what is there, before a server that refuses these; what the author's server gets, which cannot tell that it has
/// one already.
async fn told_after_start(disk: &TestDisk, whom: &'static [&'static str]) -> Vec<String> {
    let data = tempfile::tempdir().unwrap();
    let (far, (author, seen)) = (refusing(whom).await, server(|_| None).await);
    let queue = start_on(&disk.after_cut(1), data.path(), &[("far.example", far), ("example.org", author)]);
    empty(&queue).await;
    seen.all().into_iter().map(|(_, body)| body).collect()
}

/// How many notices say that somebody failed.
fn about(told: &[String], whom: &str) -> usize {
    told.iter().filter(|notice| notice.contains(&format!("Final-Recipient: rfc822; {whom}"))).count()
}

/// How the disk has the notice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lies {
    Nowhere,
    Log,
    Store,
    /// It was in the log, and the author has it.
    Sent,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn nobody_is_told_twice_after_a_kill() {
    let notice = notice().await;
    for lies in [Lies::Nowhere, Lies::Log, Lies::Store, Lies::Sent] {
        let disk = TestDisk::default();
        {
            let (spool, _) = open(&disk);
            spool.append(Arc::new(refused())).await.unwrap();
            if matches!(lies, Lies::Log | Lies::Sent) {
                spool.append(Arc::new(notice.clone())).await.unwrap();
            }
            if lies == Lies::Sent {
                spool.note_durably(&Note::Done(notice.id)).await.unwrap();
            }
            if lies == Lies::Store {
                spool.deferred().put(&notice, &State::default()).unwrap();
            }
        }
        let told = told_after_start(&disk, &["no"]).await;
        let expected = if lies == Lies::Sent { 0 } else { 1 };
        assert_eq!(about(&told, "no@"), expected, "{lies:?}: {told:?}");
    }
}

/// Who was not told of before is told of, whatever notice about the message is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn whoever_is_refused_after_a_kill_is_told_of() {
    let notice = notice().await;
    let disk = TestDisk::default();
    {
        let (spool, _) = open(&disk);
        spool.append(Arc::new(refused())).await.unwrap();
        spool.append(Arc::new(notice.clone())).await.unwrap();
    }
    let told = told_after_start(&disk, &["no", "never"]).await;
    assert_eq!(about(&told, "never@"), 1, "{told:?}");
}
