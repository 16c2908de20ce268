//! Next hops that hang hold few connections: local mail, relays and domains that are well keep theirs.

use super::fair::{Gate, from};
use super::*;
use crate::queue::shares::{Origin, Rank};
use std::sync::atomic::AtomicUsize;

pub(super) fn patient(data: &Path) -> Settings {
    let long = Duration::from_secs(60);
    Settings { timeouts: Timeouts { connect: long, command: long, data: long, end: long }, ..settings(data) }
}

fn by_mx(last: usize) -> Hop {
    Hop::Mx(format!("[127.0.0.{last}]"))
}

/// Servers at other addresses with the port of a good one, which take connections and say nothing. How many each has.
async fn silent(port: u16, addresses: impl Iterator<Item = usize>) -> Vec<Arc<AtomicUsize>> {
    let mut all = Vec::new();
    for last in addresses {
        let listener = TcpListener::bind(format!("127.0.0.{last}:{port}")).await.unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        all.push(Arc::clone(&count));
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok(connection) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                held.push(connection);
            }
        });
    }
    all
}

/// One newsletter to a dozen domains whose servers hang, where eight connections may be open.
#[tokio::test]
async fn domains_that_hang_leave_connections_to_others() {
    let data = tempfile::tempdir().unwrap();
    let (local, mailboxes) = server(|_| None).await;
    let (own, relayed) = server(|_| None).await;
    let (port, good) = server(|_| None).await;
    let held = silent(port, 2..14).await;
    let mut hops: Vec<(String, Hop)> = (2..14).map(|n| (format!("stuck{n}.example"), by_mx(n))).collect();
    hops.push(("good.example".to_owned(), by_mx(1)));
    hops.push(("own.example".to_owned(), relay(own)));
    let hops: Vec<(&str, Hop)> = hops.iter().map(|(domain, hop)| (domain.as_str(), hop.clone())).collect();
    let few = Settings {
        connections_in_all: 8,
        mx_port: port,
        local: Local::LmtpTcp("127.0.0.1".to_owned(), local),
        ..patient(data.path())
    };
    let queue = start(data.path(), &hops, few);
    queue.submit(from("ann@example.org", 1, "a@good.example")).await.unwrap();
    empty(&queue).await;
    for n in 0..60 {
        let to = format!("a@stuck{}.example", 2 + n % 12);
        queue.submit(from("ann@example.org", 10 + n as u64, &to)).await.unwrap();
    }
    let open = || held.iter().map(|count| count.load(Ordering::SeqCst)).sum::<usize>();
    // One user has half of what there is for domains that are not proven.
    wait("they are not asked", || open() == 2).await;
    for (id, to) in [(100, "a@here.example"), (101, "a@own.example"), (102, "a@good.example")] {
        queue.submit(from("ann@example.org", id, to)).await.unwrap();
    }
    wait("local mail waits", || mailboxes.all().len() == 1).await;
    wait("a relay's mail waits", || relayed.all().len() == 1).await;
    wait("mail of a domain that took some waits", || good.all().len() == 2).await;
    wait("what was taken is still in the queue", || queue.counters().queued == 60).await;
    assert_eq!(open(), 2);
    assert!(held.iter().all(|count| count.load(Ordering::SeqCst) <= 1), "one connection first for each");
}

/// However few connections there are: mail that stays here waits for nobody's server.
#[tokio::test]
async fn local_mail_needs_none_of_the_connections_to_others() {
    let data = tempfile::tempdir().unwrap();
    let (local, mailboxes) = server(|_| None).await;
    let (port, _) = server(|_| None).await;
    let held = silent(port, 2..3).await;
    let hops = [("stuck.example", by_mx(2)), ("good.example", by_mx(1))];
    let one = Settings {
        connections_in_all: 1,
        mx_port: port,
        local: Local::LmtpTcp("127.0.0.1".to_owned(), local),
        ..patient(data.path())
    };
    let queue = start(data.path(), &hops, one);
    queue.submit(from("ann@example.org", 1, "a@stuck.example")).await.unwrap();
    let open = || held.iter().map(|count| count.load(Ordering::SeqCst)).sum::<usize>();
    wait("it is not asked", || open() == 1).await;
    queue.submit(from("ann@example.org", 2, "a@good.example")).await.unwrap();
    for id in 3..10 {
        queue.submit(from("ann@example.org", id, "a@here.example")).await.unwrap();
    }
    wait("local mail waits", || mailboxes.all().len() == 7).await;
    // The others wait for the one connection.
    wait("they do not wait", || queue.counters().queued == 2).await;
    assert_eq!(queue.counters().delivered, 7);
}

/// A domain with much mail is tried over one connection; once its server took a message it has as many as it may.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_domain_that_takes_mail_has_all_its_connections() {
    let data = tempfile::tempdir().unwrap();
    let (gate, asked) = (Gate::default(), Arc::new(AtomicUsize::new(0)));
    let (its, count) = (gate.clone(), Arc::clone(&asked));
    let (port, seen) = server(move |line| {
        if line == "DATA" && count.fetch_add(1, Ordering::SeqCst) > 0 {
            tokio::task::block_in_place(|| its.pass());
        }
        None
    })
    .await;
    let three = Settings { connections_per_domain: 3, mx_port: port, ..patient(data.path()) };
    let queue = start(data.path(), &[("far.example", by_mx(1))], three);
    for id in 0..20 {
        // One sender alone has all but one.
        let sender = if id % 2 == 0 { "ann@example.org" } else { "bob@example.org" };
        queue.submit(from(sender, id, "a@far.example")).await.unwrap();
    }
    for _ in 0..TURNS {
        if asked.load(Ordering::SeqCst) == 4 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (before, through) = (asked.load(Ordering::SeqCst), seen.all().len());
    // Whoever stands at the gate when this fails would stand there for ever.
    gate.open();
    assert_eq!((before, through), (4, 1), "one, then three at a time");
    empty(&queue).await;
    assert_eq!(seen.all().len(), 20);
}

/// Connections that were opened before a reload count on where it leaves their number alone.
#[tokio::test]
async fn a_reload_counts_open_connections_on() {
    let data = tempfile::tempdir().unwrap();
    let queue = start(data.path(), &[], patient(data.path()));
    let held =
        queue.inner.ways.load().sockets.place(Rank::Own, Origin::of(&message(1, &["a@b"], "").dispatches[0]));
    for (all, same) in [(500, true), (400, false)] {
        let before = Arc::clone(&queue.inner.ways.load().sockets);
        let settings =
            Settings { connections_in_all: all, retry_max: Duration::from_secs(9), ..patient(data.path()) };
        let dialer = settings.dialer();
        queue.go_by(ways::Ways::new(settings, dialer, Box::new(Map(BTreeMap::new(), Vec::new()))));
        assert_eq!(Arc::ptr_eq(&before, &queue.inner.ways.load().sockets), same, "{all}");
        assert_eq!(queue.inner.ways.load().settings.retry_max, Duration::from_secs(9));
    }
    drop(held);
}

/// A dozen domains whose servers hang, which a stranger has us send notices to.
#[tokio::test]
async fn notices_to_silent_servers_leave_connections_to_mail_for_domains_never_tried() {
    let data = tempfile::tempdir().unwrap();
    let (port, good) = server(|_| None).await;
    let held = silent(port, 2..14).await;
    let mut hops: Vec<(String, Hop)> = (2..14).map(|n| (format!("stuck{n}.example"), by_mx(n))).collect();
    hops.push(("new.example".to_owned(), by_mx(1)));
    let hops: Vec<(&str, Hop)> = hops.iter().map(|(domain, hop)| (domain.as_str(), hop.clone())).collect();
    let few = Settings { connections_in_all: 8, mx_port: port, ..patient(data.path()) };
    let queue = start(data.path(), &hops, few);
    for n in 2..14 {
        queue.submit(from("", n, &format!("a@stuck{n}.example"))).await.unwrap();
    }
    let open = || held.iter().map(|count| count.load(Ordering::SeqCst)).sum::<usize>();
    wait("half of those for domains that are not proven", || open() == 2).await;
    // A notice for it waits behind the others, and does not keep a user's mail there.
    queue.submit(from("", 20, "a@new.example")).await.unwrap();
    queue.submit(from("ann@example.org", 21, "a@new.example")).await.unwrap();
    wait("a user's mail waits", || good.all().len() == 2).await;
    wait("what was taken is still in the queue", || queue.counters().queued == 12).await;
    assert_eq!(open(), 2);
}
