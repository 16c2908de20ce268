//! What waits for its first attempt beyond its hop's share: in the log, and in nobody's way.

use super::admin::Standing;
use super::fair::{Gate, from, id};
use super::*;
use crate::queue::backlog::FRESH;

const MANY: u64 = 6 * FRESH as u64;

pub(super) fn patient(data: &Path) -> Settings {
    let long = Duration::from_secs(300);
    let timeouts = Timeouts { connect: long, command: long, data: long, end: long };
    Settings { connections: 1, timeouts, ..settings(data) }
}

/// A server that says nothing to EHLO before its gate is open.
pub(super) async fn gated() -> (u16, Seen, Gate) {
    let gate = Gate::default();
    let its = gate.clone();
    let (port, seen) = server(move |line| {
        if line.starts_with("EHLO") {
            tokio::task::block_in_place(|| its.pass());
        }
        None
    })
    .await;
    (port, seen, gate)
}

/// Messages of two senders in turn.
async fn submit_many(queue: &Queue) {
    for n in 1..=MANY {
        let sender = if n % 2 == 0 { "ann@example.org" } else { "bob@example.org" };
        queue.submit(from(sender, n, "a@far.example")).await.unwrap();
    }
}

/// How many are in memory.
fn held(queue: &Queue) -> usize {
    queue.inner.active.lock().unwrap().len()
}

fn sorted(seen: &Seen) -> Vec<u64> {
    let mut all: Vec<u64> = seen.all().iter().map(id).collect();
    all.sort_unstable();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn more_than_a_share_waits_in_the_log() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen, gate) = gated().await;
    let queue = start(data.path(), &[("far.example", relay(port))], patient(data.path()));
    submit_many(&queue).await;
    let held = held(&queue);
    assert!((FRESH..=2 * FRESH + 1).contains(&held), "{held} of {MANY}");
    assert_eq!(queue.counters().queued, MANY);
    // The list knows no difference.
    let list = queue.list(None, 1000).await;
    assert_eq!(list.len() as u64, MANY);
    assert!(list.iter().all(|m| m.state == Standing::Active && m.attempts == 0 && m.recipients.len() == 1));
    assert!(list.is_sorted_by_key(|m| m.received) && list.is_sorted_by(|a, b| a.id < b.id));
    let last = queue.list(Some(MessageId(MANY - 1)), 10).await;
    assert_eq!(last.iter().map(|m| m.id.clone()).collect::<Vec<_>>(), [MessageId(MANY).to_string()]);
    assert!(queue.show(MessageId(MANY)).await.unwrap().header.starts_with(&format!("X-Id: {MANY}\n")));
    gate.open();
    empty(&queue).await;
    assert_eq!(sorted(&seen), (1..=MANY).collect::<Vec<_>>(), "each once");
    for parity in [0, 1] {
        let own: Vec<u64> = seen.all().iter().map(id).filter(|id| id % 2 == parity).collect();
        assert!(own.is_sorted(), "one sender's mail keeps its order: {own:?}");
    }
}

/// One that waits in the log is held, released and removed like others.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_admin_reaches_what_waits_in_the_log() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen, gate) = gated().await;
    let queue = start(data.path(), &[("far.example", relay(port))], patient(data.path()));
    submit_many(&queue).await;
    let [removed, kept, freed] = [MANY - 2, MANY - 1, MANY].map(MessageId);
    assert!([removed, kept, freed].iter().all(|id| queue.inner.index().waits(*id)));
    queue.remove(removed).await.unwrap();
    queue.hold(kept).await.unwrap();
    queue.hold(freed).await.unwrap();
    assert_eq!(queue.hold(removed).await, Err(admin::QueueError::Unknown(removed)));
    assert_eq!(queue.show(kept).await.unwrap().listed.state, Standing::Held);
    queue.release(freed).await.unwrap();
    gate.open();
    for _ in 0..TURNS {
        if queue.counters().queued == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut expected: Vec<u64> = (1..=MANY).collect();
    expected.retain(|id| ![removed.0, kept.0].contains(id));
    assert_eq!(sorted(&seen), expected);
    queue.release(kept).await.unwrap();
    empty(&queue).await;
    assert_eq!(seen.all().last().map(id), Some(kept.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_restart_finds_what_waits_in_the_log() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen, gate) = gated().await;
    let hops = [("far.example", relay(port))];
    let queue = start(data.path(), &hops, patient(data.path()));
    submit_many(&queue).await;
    queue.drain(Duration::from_millis(50)).await;
    drop(queue);
    let queue = loop {
        // The worker that is in the hop's hands lets go of the folder when its connection is closed.
        let options = Options { segment: 256 << 10, reserve: 1 << 20, spare: 2 };
        match Spool::open(data.path(), options, Arc::new(NoLedger)) {
            Ok((spool, recovery)) => {
                let map = hops.iter().map(|(domain, hop)| ((*domain).to_owned(), hop.clone())).collect();
                let guide = Box::new(Map(map, Vec::new()));
                break Queue::start_with(spool, recovery, guide, Tls::default(), patient(data.path()));
            }
            Err(SpoolError::Locked(_)) => gate.open(),
            Err(error) => panic!("{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    gate.open();
    empty(&queue).await;
    let all = sorted(&seen);
    let once: std::collections::BTreeSet<u64> = all.iter().copied().collect();
    assert_eq!(once.len() as u64, MANY, "each one");
    assert!(all.len() as u64 <= MANY + 2, "but for what was under way, once: {}", all.len());
}

/// What waits in the log leaves it like others, where it would keep segments from being reused.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_waits_does_not_pin_the_log() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen, gate) = gated().await;
    let queue = start(data.path(), &[("far.example", relay(port))], patient(data.path()));
    for n in 1..=MANY {
        let mut record = from("ann@example.org", n, "a@far.example");
        record.bytes.extend("0123456789\r\n".repeat(500).bytes());
        queue.submit(record).await.unwrap();
    }
    let before = queue.inner.index().waiting_behind(None).count();
    assert!(queue.inner.spool.span() > 4 && before > 0);
    while queue.inner.unpin(u64::MAX).await > 0 {}
    assert!(queue.inner.spool.span() <= 3, "{}", queue.inner.spool.span());
    assert!(queue.inner.index().waiting_behind(None).count() < before);
    gate.open();
    empty(&queue).await;
    assert_eq!(sorted(&seen), (1..=MANY).collect::<Vec<_>>(), "each once, wherever it lay");
}

/// What a worker has in its hands, which ends as it began.
const IN_HAND: u64 = 1;

/// A reload that shows another way shows it to all that waits, in memory and in the log: but for what is in a worker's hands.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_waits_goes_another_way_after_a_reload() {
    let data = tempfile::tempdir().unwrap();
    let (stuck, seen_late, gate) = gated().await;
    let (port, seen) = server(|_| None).await;
    let queue = start(data.path(), &[("far.example", relay(stuck))], patient(data.path()));
    submit_many(&queue).await;
    assert!(held(&queue) >= FRESH);
    let hops = BTreeMap::from([("far.example".to_owned(), relay(port))]);
    let settings = patient(data.path());
    let dialer = Dialer { tls: Tls::default(), ..settings.dialer() };
    queue.go_by(Ways::new(settings, dialer, Box::new(Map(hops, Vec::new()))));
    for _ in 0..TURNS {
        if queue.counters().queued == IN_HAND {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let moved = seen.all().len() as u64;
    gate.open();
    assert_eq!(moved, MANY - IN_HAND);
    empty(&queue).await;
    let (mut all, late) = (sorted(&seen), sorted(&seen_late));
    all.extend(late);
    all.sort_unstable();
    assert_eq!(all, (1..=MANY).collect::<Vec<_>>(), "each once");
}

/// One way, then another.
struct Switch(Arc<AtomicBool>, Map, Map);

impl Switch {
    fn now(&self) -> &Map {
        if self.0.load(Ordering::SeqCst) { &self.2 } else { &self.1 }
    }
}

impl Guide for Switch {
    fn hops(&self, dispatch: &Dispatch, now: i64) -> Vec<Hop> {
        self.now().hops(dispatch, now)
    }
    fn hostname(&self) -> Option<String> {
        self.now().hostname()
    }
    fn authors(&self, wire: &str, address: &Address, now: i64) -> Vec<(String, bool)> {
        self.now().authors(wire, address, now)
    }
    fn notice_copies(&self) -> Vec<(String, bool)> {
        self.now().notice_copies()
    }
    fn digest(&self) -> String {
        self.now().digest()
    }
}

/// Another table alone does so as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_waits_goes_another_way_after_a_reload_of_the_table() {
    let data = tempfile::tempdir().unwrap();
    let (stuck, seen_late, gate) = gated().await;
    let (port, seen) = server(|_| None).await;
    let by = |port| Map(BTreeMap::from([("far.example".to_owned(), relay(port))]), Vec::new());
    let new = Arc::new(AtomicBool::new(false));
    let guide = Box::new(Switch(Arc::clone(&new), by(stuck), by(port)));
    let options = Options { segment: 256 << 10, reserve: 1 << 20, spare: 2 };
    let (spool, recovery) = Spool::open(data.path(), options, Arc::new(NoLedger)).unwrap();
    let queue = Queue::start_with(spool, recovery, guide, Tls::default(), patient(data.path()));
    submit_many(&queue).await;
    assert!(held(&queue) >= FRESH);
    new.store(true, Ordering::SeqCst);
    queue.rerouted();
    for _ in 0..TURNS {
        if queue.counters().queued == IN_HAND {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let moved = seen.all().len() as u64;
    gate.open();
    assert_eq!(moved, MANY - IN_HAND);
    empty(&queue).await;
    assert_eq!((seen.all().len() + seen_late.all().len()) as u64, MANY, "each once");
}

/// A message of which one job goes two ways now, and then one again: its attempt ends when both are done, and not before.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_waits_is_parted_anew_at_each_reload() {
    let data = tempfile::tempdir().unwrap();
    let (stuck, _, gate) = gated().await;
    let (other, _, second) = gated().await;
    let (port, seen) = server(|_| None).await;
    let ways = |far, near| {
        let hops = [("far.example".to_owned(), relay(far)), ("near.example".to_owned(), relay(near))];
        let settings = patient(data.path());
        let dialer = Dialer { tls: Tls::default(), ..settings.dialer() };
        Ways::new(settings, dialer, Box::new(Map(hops.into(), Vec::new())))
    };
    let hops = [("far.example", relay(stuck)), ("near.example", relay(stuck))];
    let queue = start(data.path(), &hops, patient(data.path()));
    queue.submit(from("ann@example.org", 1, "a@far.example")).await.unwrap();
    let lane = |port| queue.inner.lane(&relay(port));
    wait("it is in hand", || lane(stuck).workers().0 == 1).await;
    queue
        .submit(message(2, &["a@far.example", "b@near.example", "c@far.example"], "X-Id: 2\n\n"))
        .await
        .unwrap();
    // One part of it is begun, the other waits behind the first message.
    queue.go_by(ways(other, stuck));
    wait("one is in hand there", || lane(other).workers().0 == 1).await;
    let outstanding = || queue.inner.active.lock().unwrap()[&MessageId(2)].progress().outstanding;
    assert_eq!(outstanding(), 2);
    queue.go_by(ways(port, port));
    wait("what nobody has begun goes the last way", || seen.all().len() == 1).await;
    assert_eq!(seen.all()[0].0, ["RCPT TO:<b@near.example>"]);
    assert_eq!(outstanding(), 1);
    second.open();
    gate.open();
    empty(&queue).await;
    assert_eq!(queue.counters().delivered, 4);
}
