//! A disk with less left than is to stay free: what few messages keep of the log is given back.

use super::backlog::{gated, patient};
use super::*;
use crate::spool::disk::Disk as _;
use crate::spool::{TestDisk, leave_no_room};

const TEXT: usize = 20_000;

/// A queue on a disk of its own, with one hop that hangs and one that does not.
async fn queue() -> (Queue, TestDisk, [Seen; 2], fair::Gate) {
    let (stuck, seen_late, gate) = gated().await;
    let (port, seen) = server(|_| None).await;
    let disk = TestDisk::default();
    let options = Options { segment: 256 << 10, reserve: 1 << 20, spare: 2 };
    let opened =
        Spool::open_on(Arc::new(disk.clone()), Path::new("/data"), options, Arc::new(NoLedger), None);
    let (spool, recovery) = opened.unwrap();
    let ways = [("slow.example", relay(stuck)), ("far.example", relay(port))];
    let map = Map(ways.map(|(domain, hop)| (domain.to_owned(), hop)).into(), Vec::new());
    let settings = patient(Path::new("/nowhere"));
    let queue = Queue::start_with(spool, recovery, Box::new(map), Tls::default(), settings);
    (queue, disk, [seen_late, seen], gate)
}

/// What went out cannot be noted on a full disk: it goes out once there is room, and not at each restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn nothing_goes_out_that_cannot_be_noted() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen) = server(|_| None).await;
    let options = Options { segment: 256 << 10, reserve: 1 << 20, spare: 2 };
    let open = |disk: &TestDisk| {
        let disk = Arc::new(disk.clone());
        Spool::open_on(disk, Path::new("/data"), options, Arc::new(NoLedger), None).unwrap()
    };
    let mut disk = TestDisk::default();
    let (spool, _) = open(&disk);
    for id in 1..=5 {
        let to = if id > 3 { "b@here.example" } else { "a@far.example" };
        spool.append(Arc::new(message(id, &[to], "Subject: x\n\n"))).await.unwrap();
    }
    drop(spool);
    leave_no_room(&disk, options);
    for life in 0..3 {
        let (spool, recovery) = open(&disk);
        let map = [("far.example".to_owned(), relay(port))].into();
        let (guide, settings) = (Box::new(Map(map, Vec::new())), patient(data.path()));
        let queue = Queue::start_with(spool, recovery, guide, Tls::default(), settings);
        assert_eq!(queue.counters().queued, 5);
        let delivered = || seen.all().len() + mailbox(data.path(), "here.example/b").len();
        if life == 2 {
            disk.fail_segments(false);
            empty(&queue).await;
            assert_eq!(delivered(), 5, "each once");
        } else {
            // It would not take long.
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_millis(10)).await;
                assert_eq!(delivered(), 0);
            }
        }
        queue.drain(Duration::from_secs(5)).await;
        drop(queue);
        disk = disk.after_cut(life);
    }
}

async fn submit(queue: &Queue, ids: std::ops::RangeInclusive<u64>, to: &str) {
    let text = format!("Subject: x\n\n{}", "0123456789\n".repeat(TEXT / 11));
    for id in ids {
        queue.submit(message(id, &[to], &text)).await.unwrap();
    }
}

async fn until_queued(queue: &Queue, want: u64) {
    for _ in 0..TURNS {
        if queue.counters().queued == want {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", queue.counters());
}

/// Waits until the queue has seen that little is left.
async fn short(queue: &Queue, disk: &TestDisk) {
    disk.set_free(1000);
    while !queue.inner.spool.is_short() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// One that waits for long leaves the log: behind it lies what nothing needs.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn one_message_does_not_keep_the_log_on_a_short_disk() {
    let (queue, disk, [seen_late, seen], gate) = queue().await;
    submit(&queue, 1..=1, "a@slow.example").await;
    submit(&queue, 2..=60, "a@far.example").await;
    until_queued(&queue, 1).await;
    let before = queue.inner.spool.span();
    assert!((4..=8).contains(&before), "{before}");
    queue.inner.shorten().await;
    assert_eq!(queue.inner.spool.span(), before, "there is room enough");
    assert_eq!(queue.inner.spool.pinned(), (before as u64 - 1) * (256 << 10));
    short(&queue, &disk).await;
    assert!(queue.ready().is_err());
    queue.inner.shorten().await;
    assert_eq!(queue.inner.spool.span(), 0, "nothing stands in the log that is needed");
    gate.open();
    empty(&queue).await;
    assert_eq!((seen_late.all().len(), seen.all().len()), (1, 59), "each once");
}

/// What is full of mail that waits stays: it would take as much room elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn much_mail_stays_in_the_log_of_a_short_disk() {
    let (queue, disk, [seen, _], gate) = queue().await;
    submit(&queue, 1..=60, "a@slow.example").await;
    let before = queue.inner.spool.span();
    assert!((4..=8).contains(&before), "{before}");
    short(&queue, &disk).await;
    queue.inner.shorten().await;
    assert_eq!(queue.inner.spool.span(), before);
    assert_eq!(disk.list(Path::new("/data/spool/deferred")).unwrap(), Vec::<String>::new());
    gate.open();
    empty(&queue).await;
    assert_eq!(seen.all().len(), 60, "each once");
}
