//! Messages that cannot be read for a while: they stay in the queue, with what is known of them.

use super::full::fill;
use super::*;
use crate::spool::TestDisk;
use crate::spool::deferred::State;

pub(super) fn opened(disk: &TestDisk) -> (Spool, Recovery) {
    let options = Options { segment: 256 << 10, reserve: 1 << 20, spare: 2 };
    Spool::open_on(Arc::new(disk.clone()), Path::new("/data"), options, Arc::new(NoLedger), None).unwrap()
}

pub(super) fn on(disk: &TestDisk, data: &Path, port: u16) -> Queue {
    let (spool, recovery) = opened(disk);
    let map = [("far.example".to_owned(), relay(port))].into();
    let patient = Duration::from_secs(60);
    let timeouts = Timeouts { connect: patient, command: patient, data: patient, end: patient };
    let settings = Settings { timeouts, ..settings(data) };
    Queue::start_with(spool, recovery, Box::new(Map(map, Vec::new())), Tls::default(), settings)
}

/// Waits until the disk refused so many opens more.
async fn refused(disk: &TestDisk, more: u64) {
    let before = disk.refused();
    for _ in 0..TURNS {
        if disk.refused() >= before + more {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody reads: {} refused", disk.refused());
}

/// A server that takes `yes`, and `late` once the switch is on.
pub(super) async fn hesitant() -> (u16, Seen, Arc<AtomicBool>) {
    let ready = Arc::new(AtomicBool::new(false));
    let its = Arc::clone(&ready);
    let (port, seen) = server(move |line| {
        let late = line.contains("<late@") && !its.load(Ordering::SeqCst);
        late.then(|| Some("450 4.2.1 later\r\n".to_owned()))
    })
    .await;
    (port, seen, ready)
}

#[tokio::test]
async fn a_deferred_message_that_cannot_be_read_now_stays_in_the_queue() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen, ready) = hesitant().await;
    let disk = TestDisk::default();
    let queue = on(&disk, data.path(), port);
    for id in 1..=5 {
        queue.submit(message(id, &["yes@far.example", "late@far.example"], "x\n")).await.unwrap();
    }
    while seen.all().len() < 5 || queue.inner.index().behind(None).count() < 5 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    disk.fail_opens(true);
    // What was read before is tried to its end: that one would be through.
    refused(&disk, 1).await;
    while !queue.inner.active.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    ready.store(true, Ordering::SeqCst);
    refused(&disk, 20).await;
    assert_eq!(queue.counters().queued, 5);
    disk.fail_opens(false);
    empty(&queue).await;
    let mut to: Vec<Vec<String>> = seen.all().into_iter().map(|(to, _)| to).collect();
    to.sort();
    let late = vec!["RCPT TO:<late@far.example>".to_owned()];
    let yes = vec!["RCPT TO:<yes@far.example>".to_owned()];
    assert_eq!(to, [vec![late; 5], vec![yes; 5]].concat(), "each once");
}

/// The whole of a large one is read when it is its turn, and again to record the attempt.
#[tokio::test]
async fn a_large_message_that_cannot_be_read_now_stays_in_the_queue() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen, ready) = hesitant().await;
    ready.store(true, Ordering::SeqCst);
    let disk = TestDisk::default();
    let queue = on(&disk, data.path(), port);
    queue.submit(message(1, &["yes@far.example"], "x\n")).await.unwrap();
    empty(&queue).await;
    disk.fail_opens(true);
    let text = format!("Subject: x\n\n{}", "0123456789\n".repeat(40_000));
    queue.submit(message(2, &["late@far.example"], &text)).await.unwrap();
    refused(&disk, 12).await;
    assert_eq!(queue.counters().queued, 1);
    disk.fail_opens(false);
    empty(&queue).await;
    assert_eq!(seen.all().len(), 2);
}

/// After a restart the states are read first: one that cannot be read does not make a held message a free one.
#[tokio::test]
async fn a_held_message_stays_held_where_its_state_cannot_be_read() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen, ready) = hesitant().await;
    ready.store(true, Ordering::SeqCst);
    let disk = TestDisk::default();
    let (spool, _) = opened(&disk);
    let held = State { held: true, ..State::default() };
    spool.deferred().put(&message(1, &["yes@far.example"], "x\n"), &held).unwrap();
    let due = State { settled: vec![(0, 0)], ..State::default() };
    spool.deferred().put(&message(2, &["yes@far.example", "late@far.example"], "x\n"), &due).unwrap();
    drop(spool);
    let (spool, recovery) = opened(&disk);
    disk.fail_opens(true);
    let map = [("far.example".to_owned(), relay(port))].into();
    let guide = Box::new(Map(map, Vec::new()));
    let queue = Queue::new(spool, &recovery, guide, Tls::default(), settings(data.path()));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(disk.refused(), 0, "a queue at rest reads nothing");
    queue.begin(recovery);
    refused(&disk, 10).await;
    disk.fail_opens(false);
    while queue.counters().queued > 1 || queue.inner.index().first().is_none_or(|(due, _)| due < i64::MAX) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(
        seen.all().into_iter().map(|(to, _)| to).collect::<Vec<_>>(),
        [["RCPT TO:<late@far.example>"]]
    );
    assert_eq!(queue.show(MessageId(1)).await.unwrap().listed.state, admin::Standing::Held);
}

/// Accepted mail is delivered or reported (RFC 5321 6.1): what rots is out of the queue, and its sender hears of it.
#[tokio::test]
async fn the_sender_of_a_damaged_message_is_told() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen, _) = hesitant().await;
    let disk = TestDisk::default();
    let (spool, _) = opened(&disk);
    let state = State { settled: vec![(0, 0)], ..State::default() };
    for id in [1, 2] {
        let both = message(id, &["yes@far.example", "late@far.example"], "Subject: x\n\nsome text\n");
        spool.deferred().put(&both, &state).unwrap();
    }
    drop(spool);
    let file = |id: u64, suffix| {
        let home = crate::spool::deferred::home(MessageId(id));
        format!("/data/spool/deferred/{home:02x}/{}{suffix}", MessageId(id))
    };
    let length = disk.bytes(Path::new(&file(1, ""))).unwrap().len();
    // The text of the one, the head of the other.
    disk.damage(Path::new(&file(1, "")), length - 3);
    disk.damage(Path::new(&file(2, "")), 40);
    let queue = on(&disk, data.path(), port);
    empty(&queue).await;
    let [notice] = mailbox(data.path(), "example.org/ann").try_into().unwrap();
    assert!(
        notice.contains("Final-Recipient: rfc822; late@far.example\nAction: failed\nStatus: 5.3.0\n"),
        "{notice}"
    );
    assert!(!notice.contains("yes@far.example"), "{notice}");
    assert!(seen.all().is_empty());
    for id in [1, 2] {
        assert!(disk.bytes(Path::new(&file(id, ".bad"))).is_some());
    }
}

/// So he is where neither the disk nor the log has anything for the notice for a while.
#[tokio::test]
async fn the_sender_of_a_damaged_message_is_told_once_its_head_can_be_read() {
    let data = tempfile::tempdir().unwrap();
    let (port, _, _) = hesitant().await;
    let disk = TestDisk::default();
    let (spool, _) = opened(&disk);
    let held = State { held: true, ..State::default() };
    spool.deferred().put(&message(1, &["late@far.example"], "Subject: x\n\nsome text\n"), &held).unwrap();
    drop(spool);
    let home = crate::spool::deferred::home(MessageId(1));
    let file = format!("/data/spool/deferred/{home:02x}/{}", MessageId(1));
    let length = disk.bytes(Path::new(&file)).unwrap().len();
    disk.damage(Path::new(&file), length - 3);
    let queue = on(&disk, data.path(), port);
    fill(&queue, &disk).await;
    queue.release(MessageId(1)).await.unwrap();
    wait("its notice waits for room", || queue.inner.settlers.waiting() == 1).await;
    disk.fail_opens(true);
    refused(&disk, 1).await;
    disk.fail_segments(false);
    disk.fail_opens(false);
    empty(&queue).await;
    assert_eq!(mailbox(data.path(), "example.org/ann").len(), 1);
}

/// One that the disk does not give stays in the queue, for the disk may give it later; the others go.
#[tokio::test]
async fn a_message_in_the_log_that_cannot_be_read_holds_up_no_others() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen, ready) = hesitant().await;
    ready.store(true, Ordering::SeqCst);
    let disk = TestDisk::default();
    let (spool, _) = opened(&disk);
    for id in 1..=5 {
        let text = format!("Subject: x\n\n{}this is number {id}\n", "0123456789\n".repeat(500));
        spool.append(Arc::new(message(id, &["yes@far.example"], &text))).await.unwrap();
    }
    drop(spool);
    let (spool, recovery) = opened(&disk);
    let log = Path::new("/data/spool/log/00000000.seg");
    let at = memchr::memmem::find(&disk.bytes(log).unwrap(), b"this is number 1").unwrap() as u64;
    disk.rot(log, at..at + 10);
    let map = [("far.example".to_owned(), relay(port))].into();
    let guide = Box::new(Map(map, Vec::new()));
    let queue = Queue::start_with(spool, recovery, guide, Tls::default(), settings(data.path()));
    while queue.counters().queued > 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!((queue.counters().queued, seen.all().len()), (1, 4));
    disk.heal();
    empty(&queue).await;
    assert_eq!(seen.all().len(), 5);
}
