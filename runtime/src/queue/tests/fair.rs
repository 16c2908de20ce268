//! Nobody waits behind all that somebody else has: senders of one next hop, and next hops among each other.

use super::backlog::patient;
use super::*;
use std::sync::atomic::AtomicUsize;

/// A gate that a next hop stands at before it greets, so that all mail waits before any is delivered.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<AtomicBool>);

impl Gate {
    pub fn open(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Blocks the thread: a script answers at once or not at all. Longer than anybody waits, and not for ever: where a test
    /// fails before it opens the gate, its end waits for the thread.
    pub fn pass(&self) {
        for _ in 0..10 * TURNS {
            if self.0.load(Ordering::SeqCst) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A server that stands at a gate when it hears this, and whether it does.
pub(super) async fn stands_at(at: &'static str) -> (u16, Seen, Gate, Arc<AtomicBool>) {
    let (gate, asked) = (Gate::default(), Arc::new(AtomicBool::new(false)));
    let (its, was_asked) = (gate.clone(), Arc::clone(&asked));
    let (port, seen) = server(move |line| {
        if line.starts_with(at) {
            was_asked.store(true, Ordering::SeqCst);
            tokio::task::block_in_place(|| its.pass());
        }
        None
    })
    .await;
    (port, seen, gate, asked)
}

pub(super) fn from(sender: &str, id: u64, to: &str) -> Record {
    let mut record = message(id, &[to], &format!("X-Id: {id}\n\n"));
    record.dispatches[0].sender = sender.to_owned();
    record
}

/// Which message this is.
pub(super) fn id((_, body): &Mail) -> u64 {
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

/// A destination that takes nothing holds one connection, whatever it may have when it answers.
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
    let _held = silent.accept().await.unwrap();
    for n in 0..20 {
        queue.submit(from("ann@example.org", 1000 + n, "a@far.example")).await.unwrap();
    }
    for _ in 0..TURNS {
        if seen.all().len() == 20 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(seen.all().len(), 20, "{:?}", queue.counters());
    // The hop has a message before the queue notes that it has.
    wait("what cannot go alone in the queue", || queue.counters().queued == 50).await;
    let second = tokio::time::timeout(Duration::from_millis(20), silent.accept()).await;
    assert!(second.is_err(), "it is not asked twice at a time");
}

/// One connection in all: a destination with more mail than its turn lasts gives it to the other one in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn destinations_take_turns_where_connections_are_short() {
    let data = tempfile::tempdir().unwrap();
    let gate = Gate::default();
    let its = gate.clone();
    let (busy, many) = server(move |line| {
        // A slow disk is no reason that all of it is gone before the other one has mail.
        if line.starts_with("EHLO") {
            tokio::task::block_in_place(|| its.pass());
        }
        if line == "END" {
            std::thread::sleep(Duration::from_millis(25));
        }
        None
    })
    .await;
    // Counted by the other one: whoever looks now and then may miss it.
    let before = Arc::new(AtomicUsize::new(0));
    let (count, taken) = (Arc::clone(&before), many.clone());
    let (port, seen) = server(move |line| {
        if line == "END" {
            count.store(taken.all().len(), Ordering::SeqCst);
        }
        None
    })
    .await;
    let one = Settings { connections_in_all: 1, ..patient(data.path()) };
    let queue = start(data.path(), &[("busy.example", relay(busy)), ("far.example", relay(port))], one);
    for n in 0..250 {
        queue.submit(from("ann@example.org", n, "a@busy.example")).await.unwrap();
    }
    queue.submit(from("ann@example.org", 1000, "a@far.example")).await.unwrap();
    gate.open();
    wait("the turn of the other one", || seen.all().len() == 1).await;
    let before = before.load(Ordering::SeqCst);
    assert!((1..250).contains(&before), "{before} of the other's were before it");
    for _ in 0..TURNS {
        if many.all().len() == 250 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(many.all().len(), 250, "the other one has its turn again");
}

/// A next hop that takes its time for what is tried again holds up what is for others as little. More than its share waits on
/// disk, and has its turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn retries_for_a_slow_destination_do_not_hold_up_others() {
    let data = tempfile::tempdir().unwrap();
    let (gate, mode) = (Gate::default(), Arc::new(AtomicBool::new(false)));
    let (its, slow) = (gate.clone(), Arc::clone(&mode));
    let later = || Some(Some("451 4.2.2 later\r\n".to_owned()));
    let (stuck, many) = server(move |line| match line.starts_with("RCPT") {
        true if slow.load(Ordering::SeqCst) => {
            tokio::task::block_in_place(|| its.pass());
            None
        }
        true => later(),
        false => None,
    })
    .await;
    let open = Arc::clone(&mode);
    let (port, seen) =
        server(
            move |line| if line.starts_with("RCPT") && !open.load(Ordering::SeqCst) { later() } else { None },
        )
        .await;
    let long = Duration::from_secs(60);
    let one = Settings {
        connections: 1,
        retry_first: Duration::from_secs(3600),
        retry_max: Duration::from_secs(3600),
        timeouts: Timeouts { connect: long, command: long, data: long, end: long },
        ..settings(data.path())
    };
    let queue = start(data.path(), &[("stuck.example", relay(stuck)), ("far.example", relay(port))], one);
    for n in 1..=300 {
        queue.submit(from("ann@example.org", n, "a@stuck.example")).await.unwrap();
    }
    queue.submit(from("ann@example.org", 1000, "a@far.example")).await.unwrap();
    for _ in 0..TURNS {
        if queue.counters().deferred == 301 && queue.inner.index().behind(None).count() == 301 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    mode.store(true, Ordering::SeqCst);
    assert_eq!(queue.retry_all().await, 301);
    for _ in 0..TURNS {
        if queue.counters().queued == 300 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let through = (seen.all().len(), many.all().len());
    let (held, listed) = (queue.inner.under_way.load(Ordering::SeqCst), queue.list(None, 1000).await.len());
    // Whoever stands at the gate when this fails would stand there for ever.
    gate.open();
    assert_eq!(through, (1, 0), "{:?}", queue.counters());
    assert!(held < 150, "only its share is in memory, not {held}");
    assert_eq!(listed, 300);
    for _ in 0..TURNS {
        if queue.counters().queued == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let each: std::collections::BTreeSet<u64> = many.all().iter().map(id).collect();
    assert_eq!((each.len(), many.all().len()), (300, 300), "{:?}", queue.counters());
}

/// Large messages in the hands of a server that says nothing leave room for those of others.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn large_mail_for_a_silent_server_does_not_hold_up_others() {
    let data = tempfile::tempdir().unwrap();
    let gate = Gate::default();
    let its = gate.clone();
    let (slow, seen_slow) = server(move |line| {
        if line == "END" {
            tokio::task::block_in_place(|| its.pass());
        }
        None
    })
    .await;
    let (port, seen) = server(|_| None).await;
    let long = Duration::from_secs(300);
    let timeouts = Timeouts { connect: long, command: long, data: long, end: long };
    let hops = [("slow.example", relay(slow)), ("far.example", relay(port))];
    let queue = start(data.path(), &hops, Settings { timeouts, ..settings(data.path()) });
    let line = format!("{}\n", "0123456789".repeat(90));
    let large = |lines| format!("Subject: x\n\n{}", line.repeat(lines));
    for id in 1..=8 {
        queue.submit(message(id, &["a@slow.example"], &large(2000))).await.unwrap();
    }
    while queue.inner.rooms.of(&queue.inner.lane(&relay(slow))) < crate::queue::room::SHARE {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for id in 11..=14 {
        queue.submit(message(id, &["a@far.example"], &large(500))).await.unwrap();
        queue.submit(message(id + 10, &["a@here.example"], &large(500))).await.unwrap();
    }
    for _ in 0..TURNS {
        if queue.counters().queued == 8 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((seen.all().len(), mailbox(data.path(), "here.example/a").len()), (4, 4));
    assert_eq!(queue.counters().queued, 8);
    gate.open();
    empty(&queue).await;
    assert_eq!(seen_slow.all().len(), 8);
}

/// Whatever makes one sender's mail hang, others have a connection to the same server.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_sender_whose_mail_hangs_leaves_a_connection_to_others() {
    for (connections, most) in [(2, 1), (3, 2), (8, 7)] {
        let data = tempfile::tempdir().unwrap();
        let (gate, hanging) = (Gate::default(), Arc::new(AtomicUsize::new(0)));
        let (its, count) = (gate.clone(), Arc::clone(&hanging));
        let (port, seen) = server(move |line| {
            if line.starts_with("MAIL FROM:<spam@") {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::task::block_in_place(|| its.pass());
            }
            None
        })
        .await;
        let long = Duration::from_secs(60);
        let timeouts = Timeouts { connect: long, command: long, data: long, end: long };
        let few = Settings { connections, timeouts, ..settings(data.path()) };
        let queue = start(data.path(), &[("far.example", relay(port))], few);
        for n in 0..20 {
            queue.submit(from("spam@example.org", n, "a@far.example")).await.unwrap();
        }
        for _ in 0..TURNS {
            if hanging.load(Ordering::SeqCst) >= most {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for n in 0..5 {
            queue.submit(from("bob@example.org", 1000 + n, "a@far.example")).await.unwrap();
            queue.submit(from("eve@example.org", 2000 + n, "a@far.example")).await.unwrap();
        }
        for _ in 0..TURNS {
            if seen.all().len() >= 10 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let (through, stuck) = (seen.all().len(), hanging.load(Ordering::SeqCst));
        // Whoever stands at the gate when this fails would stand there for ever.
        gate.open();
        assert_eq!((through, stuck), (10, most), "{connections}: all but one, and no fewer");
        empty(&queue).await;
        let each: std::collections::BTreeSet<u64> = seen.all().iter().map(id).collect();
        assert_eq!((each.len(), seen.all().len()), (30, 30), "{connections}");
    }
}

/// A worker goes on from one sender to another while the only other one rests, or has ended: what the first sender has waits
/// for nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_sender_whose_worker_goes_on_to_another_has_one_again() {
    for ended in [false, true] {
        let data = tempfile::tempdir().unwrap();
        let gates: [Gate; 4] = Default::default();
        let reached: Arc<[AtomicUsize; 4]> = Arc::default();
        let (its, count, ann) = (gates.clone(), Arc::clone(&reached), AtomicUsize::new(0));
        let (port, seen) = server(move |line| {
            let at = match line.split_once("MAIL FROM:<")?.1.split('@').next()? {
                // Two that are stopped, then one that is not.
                "ann" => ann.fetch_add(1, Ordering::SeqCst),
                "bob" => 2,
                _ => 3,
            };
            if line.contains("<ann@") && at > 1 {
                return None;
            }
            count[at].fetch_add(1, Ordering::SeqCst);
            tokio::task::block_in_place(|| its[at].pass());
            None
        })
        .await;
        let long = Duration::from_secs(60);
        let timeouts = Timeouts { connect: long, command: long, data: long, end: long };
        let two = Settings { connections: 2, timeouts, ..settings(data.path()) };
        let hop = relay(port);
        let queue = start(data.path(), &[("far.example", hop.clone())], two);
        let stopped = async |at: usize| {
            while reached[at].load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        queue.submit(from("ann@example.org", 1, "a@far.example")).await.unwrap();
        stopped(0).await;
        queue.submit(from("bob@example.org", 2, "a@far.example")).await.unwrap();
        stopped(2).await;
        for (sender, id) in [("ann@example.org", 3), ("eve@example.org", 4), ("ann@example.org", 5)] {
            queue.submit(from(sender, id, "a@far.example")).await.unwrap();
        }
        // The first worker has both of ann and eve, the other one finds nothing that it may take.
        gates[0].open();
        stopped(1).await;
        gates[2].open();
        let idle = if ended { (1, 0) } else { (2, 1) };
        while queue.inner.lane(&hop).workers() != idle {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(seen.all().len(), 2);
        gates[1].open();
        stopped(3).await;
        for _ in 0..TURNS {
            if seen.all().len() == 4 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut through: Vec<u64> = seen.all().iter().map(id).collect();
        gates[3].open();
        through.sort_unstable();
        assert_eq!(through, [1, 2, 3, 5], "all but the one that hangs; ended: {ended}");
        empty(&queue).await;
    }
}

/// Three servers that are slow with large mail, each caused by somebody else, hold no more than leaves room for that of others. What
/// finds none is set aside: small mail goes past it, to the same server and of the same sender, and no connection rests for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn slow_servers_leave_room_and_what_finds_none_holds_up_nobody() {
    let data = tempfile::tempdir().unwrap();
    let gate = Gate::default();
    let mut hops = Vec::new();
    for n in 0..3 {
        let its = gate.clone();
        let script = move |line: &str| {
            if line == "END" {
                tokio::task::block_in_place(|| its.pass());
            }
            None
        };
        hops.push((format!("slow{n}.example"), relay(server(script).await.0)));
    }
    let (port, seen) = server(|_| None).await;
    hops.push(("far.example".to_owned(), relay(port)));
    let long = Duration::from_secs(300);
    let timeouts = Timeouts { connect: long, command: long, data: long, end: long };
    let named: Vec<(&str, Hop)> = hops.iter().map(|(name, hop)| (name.as_str(), hop.clone())).collect();
    let queue = start(data.path(), &named, Settings { timeouts, ..settings(data.path()) });
    let by = |sender: &str, id, to: &str, lines| {
        let mut record = message(id, &[to], &format!("Subject: x\n\n{}", "0123456789\n".repeat(lines)));
        record.dispatches[0].sender = sender.to_owned();
        record
    };
    for n in 0..3u64 {
        let (sender, to) = (format!("s{n}@example.org"), format!("a@slow{n}.example"));
        queue.submit(by(&sender, n, &to, 150_000)).await.unwrap();
    }
    let lane = |n: usize| queue.inner.lane(&hops[n].1);
    wait("each has one in hand", || (0..3).all(|n| queue.inner.rooms.of(&lane(n)) > 0)).await;
    // One as large finds no room, one that is smaller does, and small mail does not ask.
    queue.submit(by("bob@example.org", 11, "large@far.example", 150_000)).await.unwrap();
    wait("it is set aside", || lane(3).has_aside()).await;
    queue.submit(by("bob@example.org", 12, "small@far.example", 1)).await.unwrap();
    queue.submit(by("eve@example.org", 13, "middle@far.example", 40_000)).await.unwrap();
    let came =
        || -> std::collections::BTreeSet<String> { seen.all().iter().map(|(to, _)| to.concat()).collect() };
    wait("the others are there", || came().len() == 2).await;
    assert!(came().iter().all(|to| !to.contains("large")), "{:?}", came());
    wait("nobody rests for it", || lane(3).workers() == (0, 0)).await;
    // An admin finds it like any other.
    assert_eq!(queue.list(None, 100).await.len(), 4);
    gate.open();
    empty(&queue).await;
    assert_eq!(came().len(), 3);
}

/// What goes by MX leaves room to relays, and domains that never took mail leave some to those that did.
#[tokio::test]
async fn room_is_parted_by_next_hops() {
    use crate::queue::room::{Ask, Rooms, SHARE};
    let lane =
        |hop, proven| Arc::new(crate::queue::hop::Lane::new(hop, 1, proven, crate::queue::crowd::berths()));
    let mx = |n: usize, proven| lane(Hop::Mx(format!("{n}.example")), proven);
    let rooms = Rooms::default();
    let quarter = |n| Ask::for_test(SHARE, n);
    let small = |n| Ask::for_test(SHARE / 4, n);
    // Half of all is for domains without number, and in that nobody causes more than he leaves free.
    let first = rooms.try_take(&mx(1, false), quarter(1)).unwrap();
    assert!(
        rooms.try_take(&mx(2, false), quarter(1)).is_none()
            && rooms.try_take(&mx(2, false), quarter(2)).is_none()
    );
    let second = rooms.try_take(&mx(2, false), small(2)).unwrap();
    // The others have theirs all the same.
    let third = rooms.try_take(&mx(3, true), small(3)).unwrap();
    let own = lane(relay(1), true);
    let fourth = rooms.try_take(&own, quarter(4)).unwrap();
    // One hop has a quarter.
    assert!(rooms.try_take(&own, small(5)).is_none());
    // The smallest passes the first where others hold that up, and not where its own hop does.
    let waits = mx(4, false);
    let (_room, which) = rooms.take(&waits, [quarter(6), small(6)]).await.unwrap();
    assert_eq!(which, small(6));
    let pending = rooms.take(&own, [quarter(7), small(7)]);
    tokio::pin!(pending);
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut pending).await.is_err());
    drop(fourth);
    assert_eq!(pending.await.unwrap().1, quarter(7));
    drop((first, second, third));
}
