//! What only the log knows of a message, for want of a disk that takes it elsewhere, outlasts all that goes through the log.

use super::elsewhere::both;
use super::entry::{Entry, Place, Start};
use super::fair::{Gate, stands_at};
use super::full::until_waiting;
use super::reads::hesitant;
use super::*;
use crate::queue::holders::keep_log;
use crate::spool::TestDisk;
use crate::spool::deferred::State;

fn open(disk: &TestDisk, hops: &[(&str, Hop)]) -> Queue {
    let options = Options { segment: 256 << 10, reserve: 1 << 20, spare: 2 };
    let opened =
        Spool::open_on(Arc::new(disk.clone()), Path::new("/data"), options, Arc::new(NoLedger), None);
    let (spool, recovery) = opened.unwrap();
    let map = hops.iter().map(|(domain, hop)| ((*domain).to_owned(), hop.clone())).collect();
    let (guide, settings) = (Box::new(Map(map, Vec::new())), settings(Path::new("/nowhere")));
    Queue::start_with(spool, recovery, guide, Tls::default(), settings)
}

/// Mail goes through the log until it has moved on several times.
async fn turn_over(queue: &Queue) {
    for id in 5000..5200 {
        let text = "0123456789\n".repeat(800);
        let record = Arc::new(message(id, &["x@here.example"], &text));
        let position = queue.inner.spool.append(record).await.unwrap();
        queue.inner.spool.note(&crate::spool::Note::Done(MessageId(id)));
        queue.inner.spool.release(position);
    }
    queue.inner.spool.flush().await.unwrap();
}

/// The same again and again, where the log alone knows something of a message for as long: it says that anew, and does not grow.
async fn turn_over_and_over(queue: &Queue, id: u64) {
    let entry = Arc::clone(&queue.inner.active.lock().unwrap()[&MessageId(id)]);
    for _ in 0..6 {
        turn_over(queue).await;
        let said = || entry.progress().kept.as_ref().is_some_and(|kept| !kept.is_behind());
        wait("the log says it anew", said).await;
    }
    // Each turn is seven segments.
    assert!(queue.inner.spool.segments() < 20, "{}", queue.inner.spool.segments());
}

/// Where a message of the deferred store lies.
fn file(id: u64) -> std::path::PathBuf {
    let home = crate::spool::deferred::home(MessageId(id));
    format!("/data/spool/deferred/{home:02x}/{}", MessageId(id)).into()
}

/// Who asks a server for what a restart finds: recipients, in one line each.
async fn asked_for_by(found: &TestDisk) -> Vec<String> {
    found.fail_removes(false);
    found.fail_renames([]);
    let (good, again) = server(|_| None).await;
    let queue = open(found, &[("far.example", relay(good))]);
    empty(&queue).await;
    again.all().into_iter().map(|(to, _)| to.concat()).collect()
}

/// Whom a server took is in the log alone while the state cannot be written: the log is kept, until the state is.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn who_has_a_message_whose_state_cannot_be_written_outlasts_the_log() {
    let first_gate = Gate::default();
    let its = first_gate.clone();
    let (first, seen) = server(move |line| {
        if line.starts_with("EHLO") {
            tokio::task::block_in_place(|| its.pass());
        }
        line.starts_with("RCPT TO:<b@").then(|| Some("451 4.2.1 busy\r\n".to_owned()))
    })
    .await;
    let (hanging, _, gate, asked) = stands_at("EHLO").await;
    let disk = TestDisk::default();
    let queue = open(&disk, &[("far.example", both(first, hanging))]);
    let text = format!("Subject: x\n\n{}", "x".repeat(100_000));
    queue.submit(message(1, &["a@far.example", "b@far.example"], &text)).await.unwrap();
    wait("it has its name", || disk.bytes(&file(1)).is_some()).await;
    disk.fail_renames([file(1).parent().unwrap()]);
    first_gate.open();
    until(&asked).await;
    assert_eq!(seen.all().len(), 1);
    let kept = || queue.inner.active.lock().unwrap()[&MessageId(1)].progress().kept.is_some();
    wait("its state cannot be written", kept).await;
    turn_over_and_over(&queue, 1).await;
    let found = disk.after_cut(7);
    disk.fail_renames([]);
    super::attempts::first_settled(&queue, 1).await;
    wait("the state says it", || !kept()).await;
    turn_over(&queue).await;
    assert!(queue.inner.spool.segments() <= 4, "the log moves on");
    gate.open();
    empty(&queue).await;
    assert_eq!(asked_for_by(&found).await, ["RCPT TO:<b@far.example>"]);
}

/// What is delivered and cannot be removed is not delivered again.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_is_done_and_cannot_be_removed_outlasts_the_log() {
    let (port, seen, ready) = hesitant().await;
    let disk = TestDisk::default();
    let queue = open(&disk, &[("far.example", relay(port))]);
    queue.submit(message(1, &["late@far.example"], "Subject: x\n\n")).await.unwrap();
    wait("it is put off", || queue.inner.index().behind(None).count() == 1).await;
    disk.fail_removes(true);
    ready.store(true, Ordering::SeqCst);
    until_waiting(&queue, 1).await;
    assert_eq!(seen.all().len(), 1);
    turn_over_and_over(&queue, 1).await;
    let found = disk.after_cut(7);
    disk.fail_removes(false);
    empty(&queue).await;
    turn_over(&queue).await;
    assert!(queue.inner.spool.segments() <= 4, "the log moves on");
    assert_eq!(asked_for_by(&found).await, [""; 0]);
}

/// A file that stayed behind when a message could not leave the log goes with the message, or the message waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_could_not_leave_the_log_leaves_no_file_behind() {
    let (port, seen, gate, asked) = stands_at("EHLO").await;
    let disk = TestDisk::default();
    let queue = open(&disk, &[("far.example", relay(port))]);
    queue.submit(message(1, &["a@far.example"], "Subject: x\n\n")).await.unwrap();
    until(&asked).await;
    // Behind those that make its folder.
    disk.fail_dir_sync(2);
    disk.fail_removes(true);
    let entry = Arc::clone(&queue.inner.active.lock().unwrap()[&MessageId(1)]);
    assert!(entry.join());
    queue.inner.relocate_open(&entry).await.unwrap_err();
    queue.inner.part_done(entry);
    assert!(disk.bytes(&file(1)).is_some(), "there is one");
    gate.open();
    until_waiting(&queue, 1).await;
    disk.fail_removes(false);
    empty(&queue).await;
    assert_eq!((seen.all().len(), disk.bytes(&file(1))), (1, None));
    turn_over(&queue).await;
    assert_eq!(asked_for_by(&disk.after_cut(7)).await, [""; 0]);
}

/// Whoever lets go of a message because the daemon ends has not written what is known of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_log_is_kept_for_what_a_drain_breaks_off() {
    for drains in [false, true] {
        let disk = TestDisk::default();
        let queue = open(&disk, &[]);
        let record = Arc::new(message(1, &["a@far.example"], "Subject: x\n\n"));
        let (place, state, size) = (Place::Deferred, State::default(), record.bytes.len());
        let start = Start { place, state, again: true, waited: false, size, permit: None };
        let entry = Entry::new(&queue.inner, &record, start);
        // The oldest one counts.
        keep_log(&entry, queue.inner.spool.keep_log());
        turn_over(&queue).await;
        assert!(queue.inner.spool.segments() > 4, "it is kept");
        keep_log(&entry, queue.inner.spool.keep_log());
        queue.inner.draining.send_replace(drains);
        drop(entry);
        turn_over(&queue).await;
        assert_eq!(queue.inner.spool.segments() > 4, drains, "it is kept where a drain broke it off");
    }
}

/// Whom a retry delivered to does not get it again, though the state cannot be written at its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_a_retry_came_to_outlasts_the_log() {
    let ready = Arc::new(AtomicBool::new(false));
    let its = Arc::clone(&ready);
    let (port, seen) = server(move |line| {
        let late = line.contains("<busy@") || (line.contains("<late@") && !its.load(Ordering::SeqCst));
        late.then(|| Some("450 4.2.1 later\r\n".to_owned()))
    })
    .await;
    let disk = TestDisk::default();
    let queue = open(&disk, &[("far.example", relay(port))]);
    queue.submit(message(1, &["late@far.example", "busy@far.example"], "Subject: x\n\n")).await.unwrap();
    wait("it is put off", || queue.inner.index().behind(None).count() == 1).await;
    disk.fail_renames([file(1).parent().unwrap()]);
    ready.store(true, Ordering::SeqCst);
    queue.retry_all().await;
    until_waiting(&queue, 1).await;
    assert_eq!(seen.all().len(), 1);
    turn_over_and_over(&queue, 1).await;
    let found = disk.after_cut(7);
    disk.fail_renames([]);
    wait("it is stored", || queue.inner.settling.load(Ordering::SeqCst) == 0).await;
    turn_over(&queue).await;
    assert!(queue.inner.spool.segments() <= 4, "the log moves on");
    assert_eq!(asked_for_by(&found).await, ["RCPT TO:<busy@far.example>"]);
}

/// What was noted before a message left the log stands in the state that it left with.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_log_is_not_kept_for_what_a_move_wrote() {
    let (port, _, gate, asked) = stands_at("EHLO").await;
    let disk = TestDisk::default();
    let queue = open(&disk, &[("far.example", relay(port))]);
    queue.submit(message(1, &["a@far.example"], "Subject: x\n\n")).await.unwrap();
    until(&asked).await;
    let entry = Arc::clone(&queue.inner.active.lock().unwrap()[&MessageId(1)]);
    // As where somebody was served while it was on the move.
    keep_log(&entry, queue.inner.spool.keep_log());
    assert!(entry.join());
    assert!(queue.inner.relocate_open(&entry).await.unwrap());
    queue.inner.part_done(Arc::clone(&entry));
    wait("the state says it", || entry.progress().kept.is_none()).await;
    drop(entry);
    turn_over(&queue).await;
    assert!(queue.inner.spool.segments() <= 4, "the log moves on");
    gate.open();
    empty(&queue).await;
}
