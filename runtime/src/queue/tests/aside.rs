//! What one hop made of its recipients does not wait for another hop that hangs.

use super::admin::{Listed, Standing};
use super::backlog::{gated, patient};
use super::*;
use std::sync::atomic::AtomicUsize;

pub(super) const BUSY: &str = "450 4.2.1 busy\r\n";

/// A server that says this to the first RCPTs for `late@`, so many times, and refuses `no@`; and how often `late@` was tried.
pub(super) async fn picky(times: usize) -> (u16, Seen, Arc<AtomicUsize>) {
    let tries = Arc::new(AtomicUsize::new(0));
    let its = Arc::clone(&tries);
    let (port, seen) = server(move |line| match line {
        "RCPT TO:<no@far.example>" => Some(Some("550 5.1.1 nobody\r\n".to_owned())),
        "RCPT TO:<late@far.example>" if its.fetch_add(1, Ordering::SeqCst) < times => {
            Some(Some(BUSY.to_owned()))
        }
        _ => None,
    })
    .await;
    (port, seen, tries)
}

/// What is known of the only message in the queue.
async fn listed(queue: &Queue) -> Listed {
    queue.list(None, 10).await.pop().unwrap()
}

/// The reasons that are shown of who waits.
async fn reasons(queue: &Queue) -> Vec<(String, Option<String>)> {
    listed(queue).await.recipients.into_iter().map(|r| (r.address, r.reason)).collect()
}

pub(super) fn recipients(seen: &Seen) -> Vec<String> {
    let mut all: Vec<String> = seen.all().into_iter().flat_map(|(to, _)| to).collect();
    all.sort();
    all
}

/// What a notice says of whom.
pub(super) fn told(data: &Path) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for notice in mailbox(data, "example.org/ann") {
        let mut who = String::new();
        for line in notice.lines() {
            if let Some(address) = line.strip_prefix("Final-Recipient: rfc822; ") {
                who = address.to_owned();
            } else if let Some(action) = line.strip_prefix("Action: ") {
                all.push((who.clone(), action.to_owned()));
            }
        }
    }
    all.sort();
    all
}

pub(super) fn is(who: &str, action: &str) -> (String, String) {
    (who.to_owned(), action.to_owned())
}

/// RFC 5321 4.5.4.1: put off at one hop, tried again though another one hangs, as often as it takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn whoever_is_put_off_is_tried_again_while_another_hop_hangs() {
    let data = tempfile::tempdir().unwrap();
    let (slow, seen_slow, gate) = gated().await;
    let (port, seen, tries) = picky(3).await;
    let hops = [("slow.example", relay(slow)), ("far.example", relay(port))];
    let hasty = Settings { retry_first: Duration::from_millis(30), ..patient(data.path()) };
    let queue = start(data.path(), &hops, hasty);
    let to = ["late@far.example", "yes@far.example", "b@slow.example"];
    queue.submit(message(1, &to, "Subject: x\n\n")).await.unwrap();
    wait("late@ has it", || seen.all().len() == 2).await;
    assert_eq!(seen_slow.all().len(), 0);
    assert_eq!(tries.load(Ordering::SeqCst), 4);
    // It is counted a moment before it is noted.
    let left = [("b@slow.example".to_owned(), None)];
    for _ in 0..TURNS {
        if reasons(&queue).await == left {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((reasons(&queue).await, queue.counters().delivered), (left.to_vec(), 2));
    gate.open();
    empty(&queue).await;
    assert_eq!(recipients(&seen), ["RCPT TO:<late@far.example>", "RCPT TO:<yes@far.example>"]);
    assert_eq!(seen_slow.all().len(), 1);
    assert_eq!(queue.counters(), Counters { delivered: 3, deferred: 3, ..Counters::default() });
    assert!(queue.inner.active.lock().unwrap().is_empty());
}

/// RFC 5321 6.1: a refusal is told while another hop hangs, and once.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_refusal_is_told_while_another_hop_hangs() {
    let data = tempfile::tempdir().unwrap();
    let (slow, seen_slow, gate) = gated().await;
    let (port, seen, _) = picky(0).await;
    let hops = [("slow.example", relay(slow)), ("far.example", relay(port))];
    let queue = start(data.path(), &hops, patient(data.path()));
    let to = ["no@far.example", "yes@far.example", "b@slow.example"];
    queue.submit(message(1, &to, "Subject: x\n\n")).await.unwrap();
    wait("the notice", || told(data.path()) == [is("no@far.example", "failed")]).await;
    // The notice is done with; the message is not.
    wait("one left", || queue.counters().queued == 1).await;
    let left = || async { reasons(&queue).await };
    for _ in 0..TURNS {
        if left().await.len() == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(left().await, [("b@slow.example".to_owned(), None)]);
    gate.open();
    empty(&queue).await;
    assert_eq!(told(data.path()), [is("no@far.example", "failed")]);
    assert_eq!((seen.all().len(), seen_slow.all().len()), (1, 1));
    assert_eq!(queue.counters().failed, 1);
}

/// Refusals at several hops, one after the other: each is told, by a notice of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn refusals_that_come_one_by_one_are_told_one_by_one() {
    let data = tempfile::tempdir().unwrap();
    let no = |line: &str| line.starts_with("RCPT").then(|| Some("550 5.1.1 nobody\r\n".to_owned()));
    let mut hops = Vec::new();
    let mut gates = Vec::new();
    for name in ["one.example", "two.example", "three.example"] {
        let gate = super::fair::Gate::default();
        let its = gate.clone();
        let (port, _) = server(move |line| {
            if line.starts_with("RCPT") {
                tokio::task::block_in_place(|| its.pass());
            }
            no(line)
        })
        .await;
        hops.push((name, relay(port)));
        gates.push(gate);
    }
    let queue = start(data.path(), &hops, patient(data.path()));
    let to = ["a@one.example", "b@two.example", "c@three.example"];
    queue.submit(message(1, &to, "Subject: x\n\n")).await.unwrap();
    let mut all = Vec::new();
    for (gate, who) in gates.iter().zip(to) {
        gate.open();
        all.push(is(who, "failed"));
        all.sort();
        wait("the next notice", || told(data.path()) == all).await;
    }
    empty(&queue).await;
    assert_eq!(mailbox(data.path(), "example.org/ann").len(), 3);
}

/// The lifetime of a message ends for who is put off, whatever hangs elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn whoever_is_put_off_is_given_up_in_time() {
    let data = tempfile::tempdir().unwrap();
    let (slow, seen_slow, gate) = gated().await;
    let (port, seen, _) = picky(usize::MAX).await;
    let hops = [("slow.example", relay(slow)), ("far.example", relay(port))];
    let short = Settings {
        lifetime: Duration::from_millis(500),
        retry_first: Duration::from_millis(30),
        ..patient(data.path())
    };
    let queue = start(data.path(), &hops, short);
    queue.submit(message(1, &["late@far.example", "b@slow.example"], "Subject: x\n\n")).await.unwrap();
    wait("the notice", || told(data.path()) == [is("late@far.example", "failed")]).await;
    gate.open();
    empty(&queue).await;
    assert_eq!(told(data.path()), [is("late@far.example", "failed")], "once");
    assert_eq!((seen.all().len(), seen_slow.all().len()), (0, 1));
}

/// A delay is told while another hop hangs; who waits there is told of at the end, and nobody twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_delay_is_told_while_another_hop_hangs() {
    let data = tempfile::tempdir().unwrap();
    let gate = super::fair::Gate::default();
    let its = gate.clone();
    let (slow, _) = server(move |line| {
        line.starts_with("RCPT").then(|| {
            tokio::task::block_in_place(|| its.pass());
            Some("451 4.3.0 later\r\n".to_owned())
        })
    })
    .await;
    let (port, _, tries) = picky(usize::MAX).await;
    let hops = [("slow.example", relay(slow)), ("far.example", relay(port))];
    let warning = Settings {
        warn_after: Duration::ZERO,
        retry_first: Duration::from_millis(30),
        ..patient(data.path())
    };
    let queue = start(data.path(), &hops, warning);
    let mut record = message(1, &["late@far.example", "b@slow.example"], "Subject: x\n\n");
    record.dispatches[0].submitted = Submitted::Yes;
    record.received -= 1000;
    queue.submit(record).await.unwrap();
    wait("the first notice", || told(data.path()) == [is("late@far.example", "delayed")]).await;
    wait("more tries", || tries.load(Ordering::SeqCst) > 3).await;
    assert_eq!(mailbox(data.path(), "example.org/ann").len(), 1);
    gate.open();
    let both = [is("b@slow.example", "delayed"), is("late@far.example", "delayed")];
    wait("the second notice", || told(data.path()) == both).await;
    wait("it is tried on", || queue.counters().deferred > 12).await;
    assert_eq!(told(data.path()), both, "nobody is told twice");
}

/// At the end of the attempt the next one is as soon as the hop wants it that was slow; what is known of each is shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn whoever_was_tried_least_says_how_long_a_message_waits() {
    let data = tempfile::tempdir().unwrap();
    let gate = super::fair::Gate::default();
    let its = gate.clone();
    let (slow, _) = server(move |line| {
        line.starts_with("RCPT").then(|| {
            tokio::task::block_in_place(|| its.pass());
            Some("451 4.3.0 later\r\n".to_owned())
        })
    })
    .await;
    let (port, _, tries) = picky(usize::MAX).await;
    let hops = [("slow.example", relay(slow)), ("far.example", relay(port))];
    let (short, hour) = (Duration::from_millis(20), Duration::from_secs(3600));
    let doubling = Settings { retry_first: short, retry_max: hour, ..patient(data.path()) };
    let queue = start(data.path(), &hops, doubling.clone());
    queue.submit(message(1, &["late@far.example", "b@slow.example"], "Subject: x\n\n")).await.unwrap();
    wait("some tries", || tries.load(Ordering::SeqCst) > 4).await;
    let shown = reasons(&queue).await;
    let late = ("late@far.example".to_owned(), Some(BUSY.trim().to_owned()));
    assert_eq!(shown, [late.clone(), ("b@slow.example".to_owned(), None)]);
    // From now on it waits an hour.
    let slow = Settings { retry_first: hour, ..doubling };
    queue.go_by(Ways::new(slow.clone(), slow.dialer(), Box::new(guide(&hops))));
    wait("a long wait", || {
        let least = Instant::now() + Duration::from_secs(600);
        let active = queue.inner.active.lock().unwrap();
        active.values().any(|entry| {
            let progress = entry.progress();
            let all = progress.results.aside.iter().flat_map(|aside| aside.put_off.values());
            all.filter_map(|put_off| put_off.due).any(|due| due > least)
        })
    })
    .await;
    gate.open();
    let mut end = listed(&queue).await;
    for _ in 0..TURNS {
        end = listed(&queue).await;
        if end.state == Standing::Deferred {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((end.state, end.attempts), (Standing::Deferred, 1));
    let both = [late, ("b@slow.example".to_owned(), Some("451 4.3.0 later".to_owned()))];
    assert_eq!(reasons(&queue).await, both);
    let state = queue.inner.spool.deferred().state(MessageId(1)).unwrap();
    assert!(state.due > now() + 600_000 && state.settled.is_empty() && !state.held, "{state:?}");
}

pub(super) fn guide(hops: &[(&str, Hop)]) -> Map {
    Map(hops.iter().map(|(domain, hop)| ((*domain).to_owned(), hop.clone())).collect(), Vec::new())
}

/// Who is over a hop's limit of recipients goes in the next transaction, whatever hangs elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn recipients_over_a_limit_do_not_wait_for_another_hop() {
    let data = tempfile::tempdir().unwrap();
    let (slow, seen_slow, gate) = gated().await;
    let taken = AtomicUsize::new(0);
    let (port, seen) = server(move |line| {
        if line.starts_with("MAIL") {
            taken.store(0, Ordering::SeqCst);
        }
        let over = line.starts_with("RCPT") && taken.fetch_add(1, Ordering::SeqCst) >= 2;
        over.then(|| Some("452 4.5.3 too many\r\n".to_owned()))
    })
    .await;
    let hops = [("slow.example", relay(slow)), ("far.example", relay(port))];
    let queue = start(data.path(), &hops, lazy(data.path()));
    let mut to: Vec<String> = (0..7).map(|n| format!("u{n}@far.example")).collect();
    to.push("b@slow.example".to_owned());
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    queue.submit(message(1, &to, "Subject: x\n\n")).await.unwrap();
    wait("all of that hop", || queue.counters().delivered == 7).await;
    gate.open();
    empty(&queue).await;
    assert_eq!((seen.all().len(), recipients(&seen).len(), seen_slow.all().len()), (4, 7, 1));
}

/// Retries only where somebody asks.
pub(super) fn lazy(data: &Path) -> Settings {
    let hour = Duration::from_secs(3600);
    Settings { retry_first: hour, retry_max: hour, ..patient(data) }
}

/// Waits until somebody waits in memory for another try.
pub(super) async fn put_off(queue: &Queue) {
    wait("somebody waits", || {
        let active = queue.inner.active.lock().unwrap();
        active.values().any(|e| e.progress().results.aside.iter().any(|a| a.waiting().count() > 0))
    })
    .await;
}

/// Lets their time come.
fn hurry(queue: &Queue) {
    assert!(queue.inner.active.lock().unwrap().values().all(|entry| entry.hurry()));
}

/// A held message is left alone in the middle of an attempt, too, and goes on when it is released.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_an_admin_holds_is_not_tried_meanwhile() {
    let data = tempfile::tempdir().unwrap();
    let (slow, seen_slow, gate) = gated().await;
    let (port, seen, tries) = picky(1).await;
    let hops = [("slow.example", relay(slow)), ("far.example", relay(port))];
    let queue = start(data.path(), &hops, lazy(data.path()));
    queue.submit(message(1, &["late@far.example", "b@slow.example"], "Subject: x\n\n")).await.unwrap();
    put_off(&queue).await;
    queue.hold(MessageId(1)).await.unwrap();
    hurry(&queue);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(tries.load(Ordering::SeqCst), 1, "its time came, and it is held");
    queue.release(MessageId(1)).await.unwrap();
    wait("late@ has it", || seen.all().len() == 1).await;
    assert_eq!(seen_slow.all().len(), 0);
    gate.open();
    empty(&queue).await;
    assert_eq!((seen.all().len(), seen_slow.all().len()), (1, 1));
}

/// What is left of a message that was held in between is held at the end, and whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_an_admin_holds_is_held_at_the_end() {
    let data = tempfile::tempdir().unwrap();
    let (slow, seen_slow, gate) = gated().await;
    let (port, seen, _) = picky(1).await;
    let hops = [("slow.example", relay(slow)), ("far.example", relay(port))];
    let queue = start(data.path(), &hops, lazy(data.path()));
    let to = ["late@far.example", "no@far.example", "b@slow.example"];
    queue.submit(message(1, &to, "Subject: x\n\n")).await.unwrap();
    put_off(&queue).await;
    queue.hold(MessageId(1)).await.unwrap();
    gate.open();
    for _ in 0..TURNS {
        if listed(&queue).await.state == Standing::Held {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let left = listed(&queue).await;
    assert_eq!((left.state, left.attempts), (Standing::Held, 1));
    assert_eq!(reasons(&queue).await, [("late@far.example".to_owned(), Some(BUSY.trim().to_owned()))]);
    queue.release(MessageId(1)).await.unwrap();
    empty(&queue).await;
    assert_eq!((seen.all().len(), seen_slow.all().len()), (1, 1));
    assert_eq!(told(data.path()), [is("no@far.example", "failed")]);
}

/// Of what is thrown away nobody is told, and nothing of it is tried.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_an_admin_removes_is_gone_at_the_end() {
    let data = tempfile::tempdir().unwrap();
    let (slow, _, gate) = gated().await;
    let (port, seen, tries) = picky(usize::MAX).await;
    let word = super::fair::Gate::default();
    let (its, asked) = (word.clone(), Arc::new(AtomicBool::new(false)));
    let was_asked = Arc::clone(&asked);
    let (other, _) = server(move |line| {
        line.starts_with("RCPT").then(|| {
            was_asked.store(true, Ordering::SeqCst);
            tokio::task::block_in_place(|| its.pass());
            Some("550 5.1.1 nobody\r\n".to_owned())
        })
    })
    .await;
    let hops = [("slow.example", relay(slow)), ("far.example", relay(port)), ("other.example", relay(other))];
    let queue = start(data.path(), &hops, lazy(data.path()));
    let to = ["late@far.example", "no@other.example", "b@slow.example"];
    queue.submit(message(1, &to, "Subject: x\n\n")).await.unwrap();
    put_off(&queue).await;
    wait("the other one is asked", || asked.load(Ordering::SeqCst)).await;
    queue.remove(MessageId(1)).await.unwrap();
    hurry(&queue);
    word.open();
    wait("its refusal", || queue.counters().failed == 1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((tries.load(Ordering::SeqCst), queue.counters().queued), (1, 1));
    gate.open();
    empty(&queue).await;
    assert!(seen.all().is_empty() && !data.path().join("mail").exists(), "nobody has it, nobody was told");
}

/// `queue retry` is for who waits in the middle of an attempt, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_admin_has_them_tried_at_once() {
    for all in [false, true] {
        let data = tempfile::tempdir().unwrap();
        let (slow, _, gate) = gated().await;
        let (port, seen, _) = picky(1).await;
        let hops = [("slow.example", relay(slow)), ("far.example", relay(port))];
        let queue = start(data.path(), &hops, lazy(data.path()));
        queue.submit(message(1, &["late@far.example", "b@slow.example"], "Subject: x\n\n")).await.unwrap();
        put_off(&queue).await;
        match all {
            true => assert_eq!(queue.retry_all().await, 1),
            false => assert_eq!(queue.retry(MessageId(1)).await, Ok(admin::Done::AtEnd)),
        }
        wait("late@ has it", || seen.all().len() == 1).await;
        gate.open();
        empty(&queue).await;
    }
}
