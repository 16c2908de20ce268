//! Time goes on for what waits for its turn: whoever asked is told that it is late, and it is given up.

use super::aside::{lazy, told};
use super::backlog::{gated, patient};
use super::fair::{from, stands_at};
use super::*;
use crate::queue::backlog::FRESH;
use crate::spool::deferred::State;

const MANY: u64 = 4 * FRESH as u64;
const HOUR: Duration = Duration::from_secs(3600);

/// It came two hours ago: ann handed it in here, and bob did not.
fn old(n: u64) -> Record {
    let sender = if n.is_multiple_of(2) { "ann@example.org" } else { "bob@example.org" };
    let mut record = from(sender, n, "slow@far.example");
    record.dispatches[0].submitted = sender.starts_with("ann").into();
    record.received -= 2 * 3_600_000;
    record
}

/// One hop and one connection to it.
fn guide(port: u16) -> Box<dyn Guide> {
    Box::new(Map(BTreeMap::from([("far.example".to_owned(), relay(port))]), Vec::new()))
}

/// Those in a mailbox that say this.
fn count(data: &Path, folder: &str, what: &str) -> u64 {
    mailbox(data, folder).iter().filter(|notice| notice.contains(what)).count() as u64
}

/// Looks at what waits until something has come about.
async fn look_until(queue: &Queue, done: impl Fn() -> bool) {
    for _ in 0..TURNS {
        queue.inner.look_at_ages().await;
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not come about: {:?}", queue.counters());
}

/// Half of it was found by a start, half came in since; more than a hop's share of each waits in the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_waits_for_its_turn_is_told_of_and_given_up() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen, gate, asked) = stands_at("RCPT TO:<slow@").await;
    let options = Options { segment: 256 << 10, reserve: 1 << 20, spare: 2 };
    {
        let (spool, _) = Spool::open(data.path(), options, Arc::new(NoLedger)).unwrap();
        for n in 1..=MANY / 2 {
            spool.append(Arc::new(old(n))).await.unwrap();
        }
    }
    let (spool, recovery) = Spool::open(data.path(), options, Arc::new(NoLedger)).unwrap();
    let settings = Settings { warn_after: 3 * HOUR, ..patient(data.path()) };
    let queue = Queue::start_with(spool, recovery, guide(port), Tls::default(), settings.clone());
    for n in MANY / 2 + 1..=MANY {
        queue.submit(old(n)).await.unwrap();
    }
    until(&asked).await;
    let waits = || queue.inner.index().waiting_behind(None).count();
    wait("all of it", || waits() + queue.inner.active.lock().unwrap().len() == MANY as usize).await;
    assert!(waits() > FRESH);
    // It is not late yet.
    queue.inner.look_at_ages().await;
    assert_eq!(queue.counters().deferred, 0);
    let late = Settings { warn_after: HOUR, ..settings };
    queue.go_by(Ways::new(late.clone(), late.dialer(), guide(port)));
    // One of both is in the hands of the hop.
    let ann = "example.org/ann";
    let told = || count(data.path(), ann, "\nAction: delayed");
    look_until(&queue, || told() >= MANY / 2 - 1).await;
    queue.inner.look_at_ages().await;
    wait("its end", || queue.inner.settling.load(Ordering::SeqCst) == 0).await;
    assert!(told() <= MANY / 2, "each once");
    assert!(mailbox(data.path(), "example.org/bob").is_empty());
    assert!(queue.counters().deferred <= MANY / 2, "what nobody is told of waits on");
    let over = Settings { lifetime: HOUR, ..late };
    queue.go_by(Ways::new(over.clone(), over.dialer(), guide(port)));
    look_until(&queue, || queue.counters().queued == 1).await;
    let gone = count(data.path(), ann, "\nAction: failed")
        + count(data.path(), "example.org/bob", "\nAction: failed");
    assert_eq!(gone, MANY - 1);
    assert_eq!((count(data.path(), ann, "\nStatus: 4.4.5") > 0, seen.all().len()), (true, 0));
    gate.open();
    empty(&queue).await;
    assert_eq!(seen.all().len(), 1);
}

/// So is what is due again, and finds that its hop has its share of others.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_finds_no_place_again_is_told_of() {
    let data = tempfile::tempdir().unwrap();
    let (port, _, gate) = gated().await;
    let share = hop::SHARE as u64;
    let settings = Settings { warn_after: HOUR, ..lazy(data.path()) };
    let options = Options { segment: 256 << 10, reserve: 1 << 20, spare: 2 };
    let (spool, _) = Spool::open(data.path(), options, Arc::new(NoLedger)).unwrap();
    let state = State { attempts: 1, ..State::default() };
    for n in 1..=share + 11 {
        let mut record = old(2 * n);
        // The first ones are new; the hop has one in its hands.
        record.received = if n <= share + 1 { now() } else { record.received };
        let due = i64::try_from(n).unwrap();
        spool.deferred().put(&record, &State { due, ..state.clone() }).unwrap();
    }
    drop(spool);
    let (spool, recovery) = Spool::open(data.path(), options, Arc::new(NoLedger)).unwrap();
    let queue = Queue::start_with(spool, recovery, guide(port), Tls::default(), settings);
    look_until(&queue, || count(data.path(), "example.org/ann", "\nAction: delayed") == 10).await;
    gate.open();
    wait("the others", || queue.counters().delivered >= share).await;
}

/// A message of whose recipients one is in the hands of a hop: of the other one it is told, and he has his next try.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn whoever_waits_while_another_is_served_is_told_of_once() {
    let data = tempfile::tempdir().unwrap();
    let (slow, _, gate, asked) = stands_at("RCPT TO:<slow@").await;
    let (other, seen_other, other_gate, other_asked) = stands_at("RCPT TO:<slow@").await;
    let hops = [("slow.example", relay(slow)), ("far.example", relay(other))];
    let queue = start(data.path(), &hops, Settings { warn_after: HOUR, ..lazy(data.path()) });
    queue.submit(message(1, &["slow@far.example"], "x\n\n")).await.unwrap();
    until(&other_asked).await;
    let mut record = message(2, &["slow@slow.example", "b@far.example"], "x\n\n");
    (record.received, record.dispatches[0].submitted) = (now() - 7_200_000, true.into());
    queue.submit(record).await.unwrap();
    until(&asked).await;
    let b = [super::aside::is("b@far.example", "delayed")];
    queue.inner.look_at_ages().await;
    wait("word of it", || told(data.path()) == b).await;
    super::aside::put_off(&queue).await;
    assert_eq!(queue.retry(MessageId(2)).await, Ok(admin::Done::AtEnd));
    wait("his next turn", || lane_has(&queue, other)).await;
    queue.inner.look_at_ages().await;
    other_gate.open();
    wait("he has it", || seen_other.all().len() == 2).await;
    gate.open();
    empty(&queue).await;
    assert_eq!(told(data.path()), b);
}

/// Whether a job waits for this hop that nobody has begun. Its workers must not look meanwhile.
fn lane_has(queue: &Queue, port: u16) -> bool {
    let lane = queue.inner.lane(&relay(port));
    let jobs = lane.withdraw_if(|_| true);
    let any = !jobs.is_empty();
    jobs.into_iter().for_each(|job| lane.put_back(job));
    any
}
