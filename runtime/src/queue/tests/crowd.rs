//! Destinations without number: few of them are in memory, and nobody's keep those of others out.

use super::entry::{Entry, Place, Start};
use super::fair::from;
use super::sockets::patient;
use super::*;
use crate::queue::crowd::{BERTHS, is_of_berths, lacks_berth};
use crate::queue::shares::{Origin, Rank};
use crate::queue::sockets::Sockets;
use crate::queue::turns::MAX_DEFERRED;
use crate::spool::deferred::State;

/// More than may be tried again at a time.
const MANY: usize = 3 * MAX_DEFERRED / 2;

/// A server at all addresses of this machine, which says this and hangs up, or nothing at all. How many came, and its port.
async fn everywhere(greeting: &'static str) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let open = Arc::clone(&count);
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            open.fetch_add(1, Ordering::SeqCst);
            if greeting.is_empty() {
                held.push(stream);
            } else {
                // Whoever hung up hears nothing.
                let _ = stream.write_all(greeting.as_bytes()).await;
            }
        }
    });
    (port, count)
}

/// The address of a domain.
fn address(n: usize) -> Hop {
    Hop::Mx(format!("[127.9.{}.{}]", n / 250, 1 + n % 250))
}

/// A message to each of the domains that nobody but a stranger wants.
fn notices() -> impl Iterator<Item = Record> {
    (0..MANY).map(|n| from("", 1 + n as u64, &format!("a@d{n}.example")))
}

/// One more is a relay.
fn guide(relay: Option<Hop>) -> Map {
    let domains = (0..=MANY).map(|n| (format!("d{n}.example"), address(n)));
    Map(domains.chain(relay.map(|hop| ("own.example".to_owned(), hop))).collect(), Vec::new())
}

/// How mail comes into the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum By {
    Submission,
    /// It is in the log at the start.
    Log,
    /// It is tried again.
    Deferral,
}

/// A stranger's notices have half at most of what there is for domains that are not proven, and each user's mail what it needs.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn destinations_without_number_keep_nobody_out() {
    for by in [By::Submission, By::Log, By::Deferral] {
        let data = tempfile::tempdir().unwrap();
        let (port, open) = everywhere("").await;
        let (own, seen) = server(|_| None).await;
        let users = |id| from("ann@example.org", id, "a@own.example");
        let options = || Options { segment: 256 << 10, reserve: 1 << 20, spare: 2 };
        if by != By::Submission {
            let (spool, _) = Spool::open(data.path(), options(), Arc::new(NoLedger)).unwrap();
            // A user's comes last.
            for record in notices().chain([users(9000)]) {
                match by {
                    By::Deferral => spool.deferred().put(&record, &State::default()).unwrap(),
                    _ => drop(spool.append(Arc::new(record)).await.unwrap()),
                }
            }
        }
        let (spool, recovery) = Spool::open(data.path(), options(), Arc::new(NoLedger)).unwrap();
        let few = Settings { connections_in_all: 8, mx_port: port, ..patient(data.path()) };
        let guide = Box::new(guide(Some(relay(own))));
        let queue = Queue::start_with(spool, recovery, guide, Tls::default(), few);
        if by == By::Submission {
            for record in notices().chain([users(9000)]) {
                queue.submit(record).await.unwrap();
            }
        }
        wait("a relay's mail waits", || seen.all().len() == 1).await;
        wait("not all are looked at", || queue.inner.crowd.len() >= MANY - BERTHS / 2).await;
        wait("nobody is asked", || open.load(Ordering::SeqCst) == 2).await;
        let lanes = || {
            let lanes = queue.inner.lanes.lock().unwrap();
            lanes.values().filter(|lane| lane.has_berth()).count()
        };
        let messages = queue.inner.under_way.load(Ordering::SeqCst);
        assert!(messages <= BERTHS / 2 && lanes() <= BERTHS / 2, "{by:?}: {messages} {}", lanes());
        queue.submit(from("ann@example.org", 9001, &format!("a@d{MANY}.example"))).await.unwrap();
        wait("a user's mail waits", || open.load(Ordering::SeqCst) == 3).await;
        queue.submit(users(9002)).await.unwrap();
        wait("a relay's mail waits", || seen.all().len() == 2).await;
        assert_eq!(queue.counters().queued, MANY as u64 + 1, "{by:?}");
    }
}

/// Whoever waits for a berth has his turn, and nobody is asked for long meanwhile who refuses.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn those_who_wait_for_a_berth_have_their_turn() {
    let data = tempfile::tempdir().unwrap();
    let (port, _) = everywhere("554 no\r\n").await;
    let hour = Duration::from_secs(3600);
    let later = Settings { mx_port: port, retry_first: hour, retry_max: hour, ..patient(data.path()) };
    let queue = started(data.path(), guide(None), later);
    for record in notices() {
        queue.submit(record).await.unwrap();
    }
    wait("they wait", || queue.counters().deferred as usize >= MANY - BERTHS / 2).await;
    wait("the others wait", || queue.inner.crowd.len() == 0).await;
}

fn started(data: &Path, guide: Map, settings: Settings) -> Queue {
    let options = Options { segment: 256 << 10, reserve: 1 << 20, spare: 2 };
    let (spool, recovery) = Spool::open(data, options, Arc::new(NoLedger)).unwrap();
    Queue::start_with(spool, recovery, Box::new(guide), Tls::default(), settings)
}

/// A message to so many domains.
fn newsletter(sender: &str, id: u64, domains: std::ops::Range<usize>) -> Record {
    let to: Vec<String> = domains.map(|n| format!("a@d{n}.example")).collect();
    let mut record = message(id, &to.iter().map(String::as_str).collect::<Vec<_>>(), "X: 1\n\n");
    record.dispatches[0].sender = sender.to_owned();
    record
}

/// However many domains somebody writes to in one message, and whoever else does: the next one finds a berth.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn messages_to_many_domains_leave_berths_to_others() {
    let data = tempfile::tempdir().unwrap();
    let (port, _) = everywhere("").await;
    let settings = Settings { mx_port: port, ..patient(data.path()) };
    let queue = started(data.path(), guide(Some(relay(port))), settings);
    // Where little is under way nobody looks before it is tried.
    for id in 100..130 {
        queue.submit(from("eve@example.org", id, "a@own.example")).await.unwrap();
    }
    let berths = |domains: std::ops::Range<usize>| {
        let lanes = queue.inner.lanes.lock().unwrap();
        domains.filter(|n| lanes.get(&address(*n)).is_some_and(|lane| lane.has_berth())).count()
    };
    for (nth, sender) in ["ann@example.org", "bob@example.org", "carl@example.org"].iter().enumerate() {
        let domains = nth * 100..nth * 100 + 40;
        queue.submit(newsletter(sender, 1 + nth as u64, domains.clone())).await.unwrap();
        assert!((1..40).contains(&berths(domains)), "{sender}");
    }
    queue.submit(from("dora@example.org", 9, "a@d500.example")).await.unwrap();
    wait("another one's mail waits", || berths(500..501) == 1).await;
}

/// Who has no berth while others of his message have one was not tried: he does not wait for its next attempt, which is far off.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_message_to_many_domains_goes_on_as_berths_come_free() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen) = server_at("0.0.0.0", |_| None).await;
    let hour = Duration::from_secs(3600);
    let later = Settings { mx_port: port, retry_first: hour, retry_max: hour, ..patient(data.path()) };
    let queue = started(data.path(), guide(None), later);
    queue.submit(newsletter("ann@example.org", 1, 0..100)).await.unwrap();
    queue.submit(newsletter("bob@example.org", 2, 100..200)).await.unwrap();
    empty(&queue).await;
    let mut all: Vec<String> = seen.all().into_iter().flat_map(|(to, _)| to).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!((all.len(), seen.all().len()), (200, 200), "each once");
}

/// The same beside others who were refused for now, at more domains than there are berths: at the next attempt, which is
/// that after a first one, those who had none go first, and none of them is the last each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn those_without_a_berth_do_not_wait_for_others_of_their_message() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen) = server_at("0.0.0.0", |line| {
        let late = line.starts_with("RCPT TO:<late@");
        late.then(|| Some("451 4.7.1 greylisted\r\n".to_owned()))
    })
    .await;
    let (hour, most) = (Duration::from_secs(3600), Duration::from_secs(100 * 3600));
    let settings = Settings { mx_port: port, retry_first: hour, retry_max: most, ..patient(data.path()) };
    let queue = started(data.path(), guide(None), settings);
    let mut to: Vec<String> = (0..40).map(|n| format!("late@d{n}.example")).collect();
    to.extend((40..60).map(|n| format!("a@d{n}.example")));
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    queue.submit(message(1, &to, "X: 1\n\n")).await.unwrap();
    // Those who were refused have no place the next time, and so on in turn.
    for _ in 0..100 {
        if seen.all().len() == 20 {
            break;
        }
        let left = wishes::settled(&queue).await.remove(0);
        if left.recipients.iter().any(|r| r.reason.as_deref().is_some_and(is_of_berths)) {
            let wait = left.due.unwrap() - now();
            assert!(wait < 4_500_000, "attempt {} is {wait} ms away", left.attempts);
        }
        // Workers rest for a moment, and then their places are free.
        tokio::time::sleep(2 * work::MX_REST).await;
        queue.retry_all().await;
    }
    assert_eq!(seen.all().len(), 20);
}

/// The back-off of those others does not grow by what came so soon for the sake of somebody else.
#[tokio::test]
async fn the_back_off_of_others_does_not_grow_for_want_of_a_berth() {
    let data = tempfile::tempdir().unwrap();
    let hour = Duration::from_secs(3600);
    let settings = Settings { retry_first: hour, retry_max: 100 * hour, ..patient(data.path()) };
    let queue = started(data.path(), guide(None), settings);
    let text = lacks_berth().text;
    let put_off = (0, 0, "451 4.7.1 greylisted".to_owned());
    let without = (0, 1, text);
    let next = |reasons: &[(u16, u16, String)]| {
        let state = State { attempts: 3, reasons: reasons.to_vec(), ..State::default() };
        let (tries, due) = queue.inner.next_try(&state, None);
        (tries, (due - now()) / 60_000)
    };
    let (tries, minutes) = next(&[put_off.clone(), without.clone()]);
    assert!(tries == 0 && (40..=72).contains(&minutes), "{tries}, {minutes}");
    let (tries, minutes) = next(std::slice::from_ref(&put_off));
    assert!(tries == 1 && (8 * 48 - 1..=8 * 72).contains(&minutes), "{tries}, {minutes}");
    assert_eq!(next(std::slice::from_ref(&without)), (0, 0));
    // That they were put off counts all the same: other servers are asked for them.
    let record = Arc::new(message(1, &["a@d1.example", "b@d2.example"], "X: 1\n\n"));
    let state = State { reasons: vec![put_off, without], ..State::default() };
    let (place, size) = (Place::Deferred, record.bytes.len());
    let start = Start { place, state, again: true, waited: false, size, permit: None };
    let entry = Entry::new(&queue.inner, &record, start);
    let jobs = queue.inner.jobs(&entry, &record, false, |_, _, _| true);
    let mut put_off: Vec<_> = jobs.iter().map(|(_, job)| (job.targets[0], job.was_put_off())).collect();
    put_off.sort_unstable();
    assert_eq!(put_off, [(0, true), (1, false)]);
}

/// Nobody is given up for want of a berth, however old his message is; whoever finds none when he is due again waits like all
/// who do, and no longer than that.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn nobody_is_given_up_who_had_no_berth() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen) = server_at("0.0.0.0", |_| None).await;
    let settings = Settings { mx_port: port, lifetime: Duration::ZERO, ..patient(data.path()) };
    let queue = started(data.path(), guide(None), settings);
    queue.submit(newsletter("ann@example.org", 1, 0..100)).await.unwrap();
    empty(&queue).await;
    let notices = mailbox(data.path(), "example.org/ann").join("");
    assert!(!notices.contains(lacks_berth().text.as_str()), "{notices}");
    let waited = notices.matches("Action: failed").count();
    assert_eq!(seen.all().len() + waited, 100);
}

/// What is known of a domain outlives its lane, however many others come; and those with nothing to do are thrown out.
#[tokio::test]
async fn a_domain_that_takes_mail_is_remembered() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen) = server(|_| None).await;
    let good = Hop::Mx("[127.0.0.1]".to_owned());
    let some = Settings { mx_port: port, ..patient(data.path()) };
    let queue = start(data.path(), &[("good.example", good.clone())], some);
    queue.submit(message(1, &["a@good.example"], "X: 1\n\n")).await.unwrap();
    empty(&queue).await;
    wait("its worker rests", || queue.inner.lane(&good).is_idle()).await;
    for n in 0..5000 {
        queue.inner.lane(&Hop::Mx(format!("d{n}.example")));
    }
    let lanes = queue.inner.lanes.lock().unwrap().len();
    assert!(lanes <= hop::MOST_LANES, "{lanes}");
    assert!(!queue.inner.lanes.lock().unwrap().contains_key(&good));
    assert!(queue.inner.lane(&good).is_proven() && !queue.inner.lane(&address(1)).is_proven());
    assert_eq!(seen.all().len(), 1);
    let proven = crate::queue::crowd::Proven::default();
    let known = |n: usize| proven.has(&address(n));
    for n in 0..1000 {
        proven.add(&address(n));
        // Whoever takes mail all the time is not forgotten for others who came once.
        proven.add(&address(0));
    }
    let young = (0..1000).filter(|n| known(*n)).count();
    assert!(known(0) && known(999) && !known(1) && young <= 200, "{young}");
    proven.remove(&address(0));
    assert!(!known(0));
}

/// Somebody else's mail that goes where one's waits has a turn of its own, and what was given and not taken comes back.
#[tokio::test]
async fn turns_are_had_by_whoever_has_mail_there() {
    let sockets = Arc::new(Sockets::new(4));
    let stranger = Origin::of(&from("", 1, "a@far.example").dispatches[0]);
    let place = sockets.place(Rank::Unproven, stranger).unwrap();
    let turn = sockets.turn(Rank::Unproven);
    turn.join(stranger);
    // Somebody else's mail goes there, too, and has a turn of its own.
    turn.join(Origin::of(&from("ann@example.org", 2, "a@far.example").dispatches[0]));
    let other = tokio::time::timeout(Duration::from_secs(60), turn.place()).await.expect("no turn");
    turn.end();
    // Who ends before he takes what he was given gives it back.
    let late = sockets.turn(Rank::Unproven);
    late.join(stranger);
    drop((place, other));
    late.end();
    let all = std::iter::from_fn(|| sockets.place(Rank::Own, stranger));
    assert_eq!(all.take(9).collect::<Vec<_>>().len(), 4, "they are all given back");
}
