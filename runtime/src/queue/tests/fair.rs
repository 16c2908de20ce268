//! Nobody waits behind all that somebody else has: senders of one next hop, and next hops among each other.

use super::*;

/// A gate that a next hop stands at before it greets, so that all mail waits before any is delivered.
#[derive(Clone, Default)]
struct Gate(Arc<AtomicBool>);

impl Gate {
    fn open(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Blocks the thread: a script answers at once or not at all.
    fn pass(&self) {
        while !self.0.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn from(sender: &str, id: u64, to: &str) -> Record {
    let mut record = message(id, &[to], &format!("X-Id: {id}\n\n"));
    record.dispatches[0].sender = sender.to_owned();
    record
}

/// Which message this is.
fn id((_, body): &Mail) -> u64 {
    body.lines().next().unwrap().strip_prefix("X-Id: ").unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_sender_with_much_mail_does_not_hold_up_others() {
    let data = tempfile::tempdir().unwrap();
    let gate = Gate::default();
    let its = gate.clone();
    let (port, seen) = server(move |line| {
        if line.starts_with("EHLO") {
            its.pass();
        }
        None
    })
    .await;
    let long = Duration::from_secs(60);
    let one = Settings {
        connections: 1,
        timeouts: Timeouts { connect: long, command: long, data: long, end: long },
        ..settings(data.path())
    };
    let queue = start(data.path(), &[("far.example", relay(port))], one);
    for n in 0..200 {
        queue.submit(from("flood@example.org", n, "a@far.example")).await.unwrap();
    }
    for n in 0..3 {
        queue.submit(from("bob@example.org", 1000 + n, "a@far.example")).await.unwrap();
        queue.submit(from("eve@example.org", 2000 + n, "a@far.example")).await.unwrap();
    }
    gate.open();
    empty(&queue).await;
    let order: Vec<u64> = seen.all().iter().map(id).collect();
    assert_eq!(order.len(), 206);
    // One or two of the flood were in hand already; from then on each of the three has its turn.
    let last = order.iter().rposition(|id| *id >= 1000).unwrap();
    assert!(last < 12, "the small ones were through after {last}: {order:?}");
    for one in [0..1000, 1000..2000, 2000..3000] {
        let own: Vec<u64> = order.iter().copied().filter(|id| one.contains(id)).collect();
        assert!(own.is_sorted(), "one sender's mail keeps its order: {own:?}");
    }
}

/// A destination that takes nothing holds its own connections, and no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_silent_destination_does_not_hold_up_others() {
    let data = tempfile::tempdir().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stuck = silent.local_addr().unwrap().port();
    let (port, seen) = server(|_| None).await;
    let long = Duration::from_secs(60);
    let few = Settings {
        connections: 2,
        connections_in_all: 3,
        timeouts: Timeouts { connect: long, command: long, data: long, end: long },
        ..settings(data.path())
    };
    let hops = [("stuck.example", relay(stuck)), ("far.example", relay(port))];
    let queue = start(data.path(), &hops, few);
    for n in 0..50 {
        queue.submit(from("ann@example.org", n, "a@stuck.example")).await.unwrap();
    }
    // It has both of its connections, and says nothing on either.
    let _held = (silent.accept().await.unwrap(), silent.accept().await.unwrap());
    for n in 0..20 {
        queue.submit(from("ann@example.org", 1000 + n, "a@far.example")).await.unwrap();
    }
    for _ in 0..1000 {
        if seen.all().len() == 20 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(seen.all().len(), 20, "{:?}", queue.counters());
    assert_eq!(queue.counters().queued, 50, "what cannot go waits");
}

/// One connection in all: a destination with more mail than its turn lasts gives it to the other one in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn destinations_take_turns_where_connections_are_short() {
    let data = tempfile::tempdir().unwrap();
    let (busy, many) = server(|line| {
        if line == "END" {
            std::thread::sleep(Duration::from_millis(25));
        }
        None
    })
    .await;
    let (port, seen) = server(|_| None).await;
    let one = Settings { connections: 1, connections_in_all: 1, ..settings(data.path()) };
    let queue = start(data.path(), &[("busy.example", relay(busy)), ("far.example", relay(port))], one);
    for n in 0..250 {
        queue.submit(from("ann@example.org", n, "a@busy.example")).await.unwrap();
    }
    queue.submit(from("ann@example.org", 1000, "a@far.example")).await.unwrap();
    let mut before = 0;
    for _ in 0..3000 {
        if !seen.all().is_empty() {
            break;
        }
        before = many.all().len();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(seen.all().len(), 1);
    assert!((1..250).contains(&before), "{before} of the other's were before it");
    for _ in 0..6000 {
        if many.all().len() == 250 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(many.all().len(), 250, "the other one has its turn again");
}
