//! Attempts that the disk has no room for: they wait, and hold up nobody who needs none.

use super::admin::Done;
use super::aside::{is, recipients, told};
use super::backlog::gated;
use super::elsewhere::once;
use super::entry::{Entry, Place, Results, Start};
use super::fair::Gate;
use super::notice::{Event, Line};
use super::reads::{hesitant, on, opened};
use super::settle::Told;
use super::settlers::MOST;
use super::*;
use crate::deliver::{Outcome, Reason};
use crate::queue::backlog::MOST_READS;
use crate::spool::TestDisk;
use crate::spool::deferred::State;

/// More than are recorded at a time, and than those may be for which others are left in the log.
const COUNT: u64 = MOST as u64 + 6;

/// A server that has this for each recipient, once its gate is open.
async fn saying(answer: &'static str) -> (u16, Gate) {
    let gate = Gate::default();
    let its = gate.clone();
    let (port, _) = server(move |line| {
        if line.starts_with("EHLO") {
            tokio::task::block_in_place(|| its.pass());
        }
        line.starts_with("RCPT").then(|| Some(answer.to_owned()))
    })
    .await;
    (port, gate)
}

/// A queue with a message in the deferred store that its hop takes by now, and many for hops that stand at their gates.
async fn queue(disk: &TestDisk, data: &Path, gated: &[(&str, u16)]) -> (Queue, Seen) {
    let (far, seen, ready) = hesitant().await;
    let options = Options { segment: 256 << 10, reserve: 1 << 20, spare: 2 };
    let opened =
        Spool::open_on(Arc::new(disk.clone()), Path::new("/data"), options, Arc::new(NoLedger), None);
    let (spool, recovery) = opened.unwrap();
    let hops = gated.iter().copied().chain([("far.example", far)]);
    let map = hops.map(|(domain, port)| (domain.to_owned(), relay(port))).collect();
    let guide = Box::new(Map(map, Vec::new()));
    let queue = Queue::start_with(spool, recovery, guide, Tls::default(), once(data));
    // None is kept in memory.
    queue.inner.hot_bytes.fetch_add(16 << 20, Ordering::Relaxed);
    queue.submit(message(1, &["late@far.example"], "Subject: x\n\n")).await.unwrap();
    wait("the first one is put off", || queue.inner.index().behind(None).count() == 1).await;
    ready.store(true, Ordering::SeqCst);
    for id in 2..=COUNT + 1 {
        let to: Vec<String> = gated.iter().map(|(domain, _)| format!("r{id}@{domain}")).collect();
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        queue.submit(message(id, &to, "Subject: x\n\n")).await.unwrap();
    }
    (queue, seen)
}

/// Leaves no room in the log, for what stands there for nobody.
pub(super) async fn fill(queue: &Queue, disk: &TestDisk) {
    disk.fail_segments(true);
    let text = "0123456789\n".repeat(50);
    while queue.inner.spool.append(Arc::new(message(1000, &["x@here.example"], &text))).await.is_ok() {}
}

/// Waits until so many wait for the disk.
pub(super) async fn until_waiting(queue: &Queue, count: usize) {
    wait("some wait for the disk", || queue.inner.settlers.waiting() == count).await;
}

/// What is put off for long is taken now, and is done with.
async fn is_done_with(queue: &Queue, seen: &Seen) {
    assert_eq!(queue.retry_all().await, 1);
    wait("it is not in the queue any more", || queue.counters().queued == COUNT).await;
    assert_eq!(seen.all().len(), 1);
    wait("the others wait on", || queue.inner.settling.load(Ordering::SeqCst) as u64 == COUNT).await;
}

/// Turns are free while notices wait for room, at the end of attempts and while another hop hangs; and all of them are sent in the
/// end, each once.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn notices_that_wait_for_room_hold_up_nobody() {
    let mut all: Vec<_> = (2..=COUNT + 1).map(|id| is(&format!("r{id}@slow.example"), "failed")).collect();
    all.sort();
    for hangs in [false, true] {
        let (disk, data) = (TestDisk::default(), tempfile::tempdir().unwrap());
        let (slow, gate) = saying("550 5.1.1 nobody\r\n").await;
        let (hanging, seen_late, last_gate) = gated().await;
        let hops = [("hanging.example", hanging), ("slow.example", slow)];
        let (queue, seen) = queue(&disk, data.path(), &hops[usize::from(!hangs)..]).await;
        fill(&queue, &disk).await;
        gate.open();
        wait("all wait", || queue.inner.settling.load(Ordering::SeqCst) as u64 == COUNT).await;
        is_done_with(&queue, &seen).await;
        assert_eq!(told(data.path()), []);
        wait("no turn is kept", || queue.inner.settlers.free() == MOST).await;
        disk.fail_segments(false);
        wait("all are told", || told(data.path()) == all).await;
        last_gate.open();
        empty(&queue).await;
        assert_eq!(
            (told(data.path()), seen_late.all().len() as u64),
            (all.clone(), u64::from(hangs) * COUNT)
        );
    }
}

/// So it is while messages cannot be stored for their next attempt, also for what lies in the log. To throw one of them away needs
/// no room.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn messages_that_wait_for_room_hold_up_nobody() {
    let (disk, data) = (TestDisk::default(), tempfile::tempdir().unwrap());
    let (port, gate) = saying("450 4.2.1 later\r\n").await;
    let (queue, seen) = queue(&disk, data.path(), &[("slow.example", port)]).await;
    disk.fail_creates(true);
    gate.open();
    wait("all wait", || queue.inner.settling.load(Ordering::SeqCst) as u64 == COUNT).await;
    is_done_with(&queue, &seen).await;
    wait("no turn is kept", || queue.inner.settlers.free() == MOST).await;
    let record = Arc::new(message(1000, &["yes@far.example"], "Subject: x\n\n"));
    let position = queue.inner.spool.append(Arc::clone(&record)).await.unwrap();
    queue.inner.queued.fetch_add(1, Ordering::Relaxed);
    queue.inner.index().wait(record.id, position, false, record.received);
    assert!(queue.inner.call(vec![record.id]));
    wait("it is taken from the log", || queue.counters().queued == COUNT).await;
    assert_eq!(queue.remove(MessageId(COUNT + 1)).await, Ok(Done::Now));
    assert_eq!(queue.counters().queued, COUNT - 1);
    disk.fail_creates(false);
    wait("all are stored", || queue.inner.index().behind(None).count() as u64 == COUNT - 1).await;
    wait("all are done", || queue.inner.settling.load(Ordering::SeqCst) == 0).await;
    let attempts = |id| queue.inner.spool.deferred().state(MessageId(id)).unwrap().attempts;
    assert!((2..=COUNT).all(|id| attempts(id) == 1));
}

/// Those of them that cannot be read while they wait keep no others from being told of.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn messages_that_cannot_be_read_hold_up_nobody() {
    const UNREADABLE: u64 = 19;
    let (disk, data) = (TestDisk::default(), tempfile::tempdir().unwrap());
    let (port, gate) = saying("550 5.1.1 nobody\r\n").await;
    let (queue, _) = queue(&disk, data.path(), &[("slow.example", port)]).await;
    fill(&queue, &disk).await;
    gate.open();
    wait("all wait", || queue.inner.settlers.waiting() as u64 == COUNT).await;
    let log = Path::new("/data/spool/log/00000000.seg");
    let last = format!("r{}@slow.example", UNREADABLE + 1);
    let end = memchr::memmem::find(&disk.bytes(log).unwrap(), last.as_bytes()).unwrap() as u64;
    disk.rot(log, 0..end);
    disk.fail_segments(false);
    wait("the others are told of", || told(data.path()).len() as u64 == COUNT - UNREADABLE).await;
    wait("no turn is kept", || queue.inner.settlers.free() == MOST).await;
    // And the one that is put off.
    wait("the others are done with", || queue.counters().queued == UNREADABLE + 1).await;
}

/// Nor do reads that fail now and then add up while a notice waits for room, until a sound message counts as a damaged one.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn reads_that_fail_now_and_then_do_not_add_up() {
    let (disk, data) = (TestDisk::default(), tempfile::tempdir().unwrap());
    let (port, seen) =
        server(|line| line.starts_with("RCPT").then(|| Some("550 5.1.1 nobody\r\n".to_owned()))).await;
    let (spool, _) = opened(&disk);
    let held = State { held: true, ..State::default() };
    spool.deferred().put(&message(1, &["a@far.example"], "Subject: x\n\n"), &held).unwrap();
    drop(spool);
    let queue = on(&disk, data.path(), port);
    // None is kept in memory.
    queue.inner.hot_bytes.fetch_add(16 << 20, Ordering::Relaxed);
    fill(&queue, &disk).await;
    queue.release(MessageId(1)).await.unwrap();
    until_waiting(&queue, 1).await;
    disk.fail_opens_but_each(8);
    let enough = disk.refused() + u64::from(MOST_READS) + 16;
    wait("it is read again and again", || disk.refused() > enough).await;
    assert_eq!(queue.counters().queued, 1);
    disk.fail_opens(false);
    disk.fail_segments(false);
    wait("its author is told", || told(data.path()) == [is("a@far.example", "failed")]).await;
    empty(&queue).await;
    let home = crate::spool::deferred::home(MessageId(1));
    let damaged = format!("/data/spool/deferred/{home:02x}/{}.bad", MessageId(1));
    assert!(disk.bytes(Path::new(&damaged)).is_none(), "it was never damaged");
    assert!(seen.all().is_empty());
}

/// What is delivered, or thrown away, is in the queue until its files are gone; nobody says before that it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_cannot_be_removed_is_under_way() {
    let (disk, data) = (TestDisk::default(), tempfile::tempdir().unwrap());
    let (port, seen, ready) = hesitant().await;
    let queue = on(&disk, data.path(), port);
    for removed in [false, true] {
        let id = MessageId(1 + u64::from(removed));
        ready.store(false, Ordering::SeqCst);
        queue.submit(message(id.0, &["late@far.example"], "Subject: x\n\n")).await.unwrap();
        wait("it is put off", || queue.inner.index().behind(None).count() == 1).await;
        disk.fail_removes(true);
        if removed {
            // Its state cannot be written.
            disk.fail_creates(true);
            until_waiting(&queue, 1).await;
            assert_eq!(queue.remove(id).await, Err(admin::QueueError::Ending(id)));
        } else {
            ready.store(true, Ordering::SeqCst);
            until_waiting(&queue, 1).await;
        }
        assert_eq!((queue.counters().queued, seen.all().len()), (1, 1));
        assert_eq!(queue.show(id).await.unwrap().listed.then, removed.then_some("removed"));
        disk.fail_creates(false);
        disk.fail_removes(false);
        empty(&queue).await;
        until_waiting(&queue, 0).await;
    }
    assert_eq!(seen.all().len(), 1);
    drop(queue);
    let (_, recovery) = opened(&disk);
    assert!(recovery.log.is_empty() && recovery.deferred.is_empty(), "nothing comes back");
}

/// A message that cannot be read any more while a notice waits for room: nobody is told of a recipient again, and the others are
/// not forgotten.
#[tokio::test]
async fn who_is_told_of_a_damaged_message_was_not_before() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen) = server(|_| None).await;
    let queue = start(data.path(), &[("example.org", relay(port))], settings(data.path()));
    let mut record = message(1, &["a@far.example"], "Subject: x\n\n");
    let mut other = record.dispatches[0].clone();
    other.sender = "bob@example.org".to_owned();
    record.dispatches.push(other);
    let state = State { held: true, ..State::default() };
    queue.inner.spool.deferred().put(&record, &state).unwrap();
    queue.inner.queued.fetch_add(1, Ordering::Relaxed);
    let reason = Reason::new((5, 1, 1), "there is nobody of that name");
    let line = Line { dispatch: 0, target: 0, event: Event::Failed(reason.clone()) };
    let mut told = Told::default();
    queue.inner.tell(&record, &[line], 0, now(), &mut told).await.unwrap();
    let (size, record) = (record.bytes.len(), Arc::new(record));
    let start = Start { place: Place::Deferred, state, again: true, waited: false, size, permit: None };
    let entry = Entry::new(&queue.inner, &record, start);
    let each = (0..2).map(|dispatch| (dispatch, 0, Outcome::Failed(reason.clone()))).collect();
    let results = Results { each, ..Results::default() };
    let error = SpoolError::Damaged("it is".to_owned());
    queue.inner.give_up_damaged(&entry, &error, &results, &told).await.unwrap();
    empty(&queue).await;
    assert_eq!(recipients(&seen), ["RCPT TO:<ann@example.org>", "RCPT TO:<bob@example.org>"]);
}

/// Where there was room for some of its notices, the rest alone is told when it is tried again.
#[tokio::test]
async fn nobody_is_told_again_for_the_sake_of_others() {
    let data = tempfile::tempdir().unwrap();
    // A server cannot tell that it has a notice already.
    let (port, seen) = server(|_| None).await;
    let queue = start(data.path(), &[("example.org", relay(port))], settings(data.path()));
    let mut record = message(1, &["a@far.example"], "Subject: x\n\n");
    let mut other = record.dispatches[0].clone();
    other.sender = "bob@example.org".to_owned();
    record.dispatches.push(other);
    let line = |dispatch| Line {
        dispatch,
        target: 0,
        event: Event::Failed(Reason::new((5, 1, 1), "there is nobody of that name")),
    };
    let mut told = Told::default();
    for lines in [vec![line(0)], vec![line(0), line(1)], vec![line(0), line(1)]] {
        queue.inner.tell(&record, &lines, 0, now(), &mut told).await.unwrap();
    }
    empty(&queue).await;
    assert_eq!(recipients(&seen), ["RCPT TO:<ann@example.org>", "RCPT TO:<bob@example.org>"]);
}
