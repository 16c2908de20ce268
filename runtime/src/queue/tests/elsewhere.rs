//! Failover: what one server of a hop does not take for now, another one is asked for.

use super::*;
use crate::acceptor::Expected;
use crate::queue::through::{Offered, Passed};
use std::sync::atomic::AtomicUsize;

/// A server with an answer of its own to one command (END is the end of a message; none: it hangs up there), and how often it
/// was greeted.
pub(super) async fn bad(
    command: &'static str,
    answer: Option<&'static str>,
) -> (u16, Seen, Arc<AtomicUsize>) {
    let tries = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tries);
    let (port, seen) = server(move |line| {
        count.fetch_add(usize::from(line.starts_with("EHLO")), Ordering::SeqCst);
        line.starts_with(command).then(|| answer.map(str::to_owned))
    })
    .await;
    (port, seen, tries)
}

/// A relay of two servers, in this order.
pub(super) fn both(first: u16, second: u16) -> Hop {
    let Hop::Relay(mut both) = relay(first) else { unreachable!() };
    both.hosts.push(Host { name: "127.0.0.1".to_owned(), port: second });
    Hop::Relay(both)
}

/// One connection, and no second attempt while the test runs.
pub(super) fn once(data: &Path) -> Settings {
    let hour = Duration::from_secs(3600);
    Settings { connections: 1, retry_first: hour, retry_max: hour, ..settings(data) }
}

/// RFC 5321 5.1: the next server is tried where the best one is reached and takes nothing for now, wherever it says so.
#[tokio::test]
async fn another_server_is_asked_where_the_first_puts_mail_off() {
    for (command, answer) in [
        ("MAIL", Some("451 4.3.0 broken\r\n")),
        ("MAIL", Some("421 4.3.2 too busy\r\n")),
        ("MAIL", None),
        ("RCPT", Some("421 4.3.2 too busy\r\n")),
        ("RCPT", None),
        ("DATA", Some("452 4.3.1 full\r\n")),
        ("DATA", Some("421 4.3.2 too busy\r\n")),
        ("DATA", None),
        ("END", Some("451 4.3.0 broken\r\n")),
    ] {
        let data = tempfile::tempdir().unwrap();
        let (bad, nothing, tries) = bad(command, answer).await;
        let (good, seen) = server(|_| None).await;
        let queue = start(data.path(), &[("far.example", both(bad, good))], once(data.path()));
        for id in 1..=20 {
            queue.submit(message(id, &["a@far.example"], &format!("X: {id}\n\n"))).await.unwrap();
        }
        empty(&queue).await;
        assert_eq!(seen.all().len(), 20, "{command} {answer:?}");
        assert!(nothing.all().iter().all(|(_, body)| body.len() <= 3));
        let tries = tries.load(Ordering::SeqCst);
        assert_eq!(tries, 1, "the connection that works is kept: {command} {answer:?}");
    }
}

/// A message whose end went out may have been taken: no other server gets it before it is tried again.
#[tokio::test]
async fn what_may_have_been_taken_is_not_sent_elsewhere_at_once() {
    let data = tempfile::tempdir().unwrap();
    let (bad, _, tries) = bad("END", None).await;
    let (good, seen) = server(|_| None).await;
    let queue = start(data.path(), &[("far.example", both(bad, good))], once(data.path()));
    queue.submit(message(1, &["a@far.example"], "X: 1\n\n")).await.unwrap();
    for _ in 0..TURNS {
        if queue.counters().deferred == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((queue.counters().deferred, seen.all().len(), tries.load(Ordering::SeqCst)), (1, 0, 1));
}

/// Those that the first server took do not go to the second; the connection to the first is used on.
#[tokio::test]
async fn only_recipients_that_were_put_off_are_asked_for_elsewhere() {
    let data = tempfile::tempdir().unwrap();
    let (bad, first, tries) = bad("RCPT TO:<b@", Some("451 4.2.1 busy\r\n")).await;
    let (good, second) = server(|_| None).await;
    let queue = start(data.path(), &[("far.example", both(bad, good))], once(data.path()));
    queue.submit(message(1, &["a@far.example", "b@far.example", "c@far.example"], "X: 1\n\n")).await.unwrap();
    empty(&queue).await;
    queue.submit(message(2, &["d@far.example"], "X: 2\n\n")).await.unwrap();
    empty(&queue).await;
    let whom = |seen: &Seen| seen.all().into_iter().map(|(to, _)| to.concat()).collect::<Vec<_>>();
    assert_eq!(
        whom(&first),
        ["RCPT TO:<a@far.example>RCPT TO:<c@far.example>", "RCPT TO:<d@far.example>"],
        "the first server has what it took, and the next message"
    );
    assert_eq!(whom(&second), ["RCPT TO:<b@far.example>"]);
    assert_eq!(tries.load(Ordering::SeqCst), 1);
    assert_eq!(queue.counters().delivered, 4);
}

/// Where a server puts off one recipient after the other, each is asked for elsewhere at the latest when it is tried again.
#[tokio::test]
async fn each_recipient_that_was_put_off_is_asked_for_elsewhere() {
    let data = tempfile::tempdir().unwrap();
    let (bad, first, _) = bad("RCPT", Some("451 4.7.1 later\r\n")).await;
    let (good, second) = server(|_| None).await;
    let one = Settings { connections: 1, ..settings(data.path()) };
    let queue = start(data.path(), &[("far.example", both(bad, good))], one);
    for id in 1..=10 {
        queue.submit(message(id, &["a@far.example"], &format!("X: {id}\n\n"))).await.unwrap();
    }
    empty(&queue).await;
    assert_eq!((first.all().len(), second.all().len()), (0, 10));
}

/// A server that offers this, with an answer of its own to some lines.
pub(super) async fn offering(
    offers: &'static str,
    script: impl Fn(&str) -> Option<Option<String>> + Send + Sync + 'static,
) -> (u16, Seen) {
    let hello = move || Some(format!("250-sink\r\n{offers}250 PIPELINING\r\n"));
    server(move |line| script(line).or_else(|| line.starts_with("EHLO").then(hello))).await
}

/// What a server lacks in turn, and a message that needs it.
fn needy() -> [(&'static str, &'static str, Record); 3] {
    let signed = "DKIM-Signature: v=1; a=rsa-sha256; b=abc\nContent-Type: multipart/signed; boundary=b\n\n--b\n\n\u{fc}\n--b--\n";
    let mut internationalized = message(1, &["j\u{f6}rg@far.example"], "X: 1\n\n");
    internationalized.dispatches[0].smtputf8 = true;
    [
        ("", "250-SMTPUTF8\r\n", internationalized),
        ("250-SIZE 50\r\n", "250-SIZE 1000\r\n", message(1, &["a@far.example"], &"x: 1\n".repeat(20))),
        ("", "250-8BITMIME\r\n", message(1, &["a@far.example"], signed)),
    ]
}

/// RFC 5321 4.5.4.1, 5.1: what a lesser server lacks ends nothing where a better one only said "later".
#[tokio::test]
async fn a_lesser_server_that_lacks_something_ends_no_hope() {
    for answer in [Some("451 4.7.1 greylisted\r\n"), Some("421 4.3.2 busy\r\n"), None] {
        for command in ["RCPT", "MAIL", "EHLO"] {
            for (less, more, record) in needy() {
                let data = tempfile::tempdir().unwrap();
                let up = Arc::new(AtomicBool::new(false));
                let is_up = Arc::clone(&up);
                let late = move |line: &str| {
                    let late = line.starts_with(command) && !is_up.load(Ordering::SeqCst);
                    late.then(|| answer.map(str::to_owned))
                };
                let (good, seen) = offering(more, late).await;
                let (lesser, nothing) = offering(less, |_| None).await;
                let one = Settings { connections: 1, ..settings(data.path()) };
                let queue = start(data.path(), &[("far.example", both(good, lesser))], one);
                queue.submit(record).await.unwrap();
                for _ in 0..TURNS {
                    if queue.counters().deferred > 0 || queue.counters().failed > 0 {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                up.store(true, Ordering::SeqCst);
                empty(&queue).await;
                let counters = queue.counters();
                // Behind a MAIL that it refused it takes DATA, and gets nothing for it.
                let taken = seen.all().iter().filter(|(_, body)| body.len() > 3).count();
                let got = (counters.failed, taken, nothing.all().len());
                assert_eq!(got, (0, 1, 0), "{command} {answer:?} {less} {more}");
            }
        }
    }
}

/// RFC 5321 2.2.3, 5.1. A message that the best server takes in no form goes to one that does, each time; the connection to the best
/// one is kept.
#[tokio::test]
async fn what_a_server_takes_in_no_form_goes_to_another() {
    for (less, more, record) in needy() {
        let data = tempfile::tempdir().unwrap();
        let greeted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&greeted);
        let (lesser, first) = offering(less, move |line| {
            count.fetch_add(usize::from(line.starts_with("EHLO")), Ordering::SeqCst);
            None
        })
        .await;
        let (good, second) = offering(more, |_| None).await;
        let queue = start(data.path(), &[("far.example", both(lesser, good))], once(data.path()));
        for id in 1..=3 {
            queue.submit(Record { id: MessageId(id), ..record.clone() }).await.unwrap();
            empty(&queue).await;
        }
        queue.submit(message(4, &["a@far.example"], "X: 4\n\n")).await.unwrap();
        empty(&queue).await;
        let counters = queue.counters();
        let got = (counters.failed, counters.delivered, first.all().len(), second.all().len());
        assert_eq!(got, (0, 4, 1, 3), "{less} {more}");
        assert_eq!(greeted.load(Ordering::SeqCst), 1);
    }
}

/// What none of them takes is told at once.
#[tokio::test]
async fn what_no_server_takes_is_told_at_once() {
    for (less, _, record) in needy() {
        let data = tempfile::tempdir().unwrap();
        let (one, other) = (offering(less, |_| None).await.0, offering(less, |_| None).await.0);
        let queue = start(data.path(), &[("far.example", both(one, other))], once(data.path()));
        queue.submit(record).await.unwrap();
        empty(&queue).await;
        assert_eq!(queue.counters().failed, 1, "{less}");
    }
}

/// RFC 5321 4.2.1: who refuses MAIL and hangs up behind the reply, before RCPT is answered, was heard.
#[tokio::test]
async fn a_refusal_of_mail_is_heard_though_the_server_hangs_up() {
    let data = tempfile::tempdir().unwrap();
    let script = |line: &str| match line.split(' ').next() {
        Some("MAIL") => Some(Some("554 5.7.1 you are blocked\r\n".to_owned())),
        Some("RCPT") => Some(None),
        _ => None,
    };
    let (bad, nothing) = server(script).await;
    let (good, seen) = server(|_| None).await;
    let queue = start(data.path(), &[("far.example", both(bad, good))], once(data.path()));
    for id in 1..=2 {
        queue.submit(message(id, &["a@far.example", "b@far.example"], "X: 1\n\n")).await.unwrap();
    }
    empty(&queue).await;
    assert_eq!((queue.counters().failed, nothing.all().len(), seen.all().len()), (4, 0, 0));
}

/// RFC 5321 5.1: a second server that is silent takes the workers of a first one that serves others well only a few at a time.
#[tokio::test]
async fn a_silent_second_server_keeps_no_mail_from_the_first() {
    let data = tempfile::tempdir().unwrap();
    let full =
        |line: &str| line.starts_with("RCPT TO:<full").then(|| Some("452 4.2.2 mailbox full\r\n".to_owned()));
    let (first, seen) = server(full).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let long = Duration::from_secs(600);
    let timeouts = Timeouts { connect: long, command: long, data: long, end: long };
    let four = Settings { connections: 4, timeouts, ..settings(data.path()) };
    let second = silent.local_addr().unwrap().port();
    let queue = start(data.path(), &[("far.example", both(first, second))], four);
    for id in 1..=20 {
        let to = if id < 20 { format!("full{id}@far.example") } else { "good@far.example".to_owned() };
        let mut record = message(id, &[to.as_str()], "X: 1\n\n");
        record.dispatches[0].sender = format!("s{id}@example.org");
        queue.submit(record).await.unwrap();
    }
    // Somebody asks it, and hangs there.
    let _held = silent.accept().await.unwrap();
    for _ in 0..TURNS {
        if seen.all().iter().any(|(to, _)| to == &["RCPT TO:<good@far.example>"]) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("all workers wait for the second server");
}

/// RFC 5321 5.1, where mail passes through: what one of several servers puts off is nobody's yet. It is stored, and goes to
/// another one. What it refuses for good, and what a single one says, is told to the client.
#[tokio::test]
async fn what_passes_through_goes_to_another_server_too() {
    for (command, answer) in [
        ("MAIL", "452 4.3.1 full"),
        ("RCPT", "452 4.3.1 full"),
        ("RCPT TO:<b@", "452 4.3.1 full"),
        ("DATA", "452 4.3.1 full"),
        ("END", "451 4.3.0 broken"),
        ("MAIL", "550 5.7.1 no"),
        ("RCPT TO:<b@", "550 5.1.1 no"),
        ("END", "554 5.6.0 no"),
    ] {
        for (several, last) in [(false, false), (false, true), (true, false), (true, true)] {
            let data = tempfile::tempdir().unwrap();
            let script = move |line: &str| line.starts_with(command).then(|| Some(format!("{answer}\r\n")));
            let (bad, nothing) = offering("250-8BITMIME\r\n", script).await;
            let (good, seen) = server(|_| None).await;
            let hop = if several { both(bad, good) } else { relay(bad) };
            let queue = start(data.path(), &[("far.example", hop)], once(data.path()));
            let record = message(1, &["a@far.example", "b@far.example"], "X: 1\n\n");
            let passage = queue.passage(2);
            let mut open = None;
            let mut said = Vec::new();
            for place in 0..2 {
                let mut dispatch = record.dispatches[0].clone();
                dispatch.recipients = vec![dispatch.recipients[place].clone()];
                let expected = Expected { size: None, last: last && place == 1 };
                said.push(passage.offer(&mut open, dispatch, expected).await);
                if said.last() != Some(&Offered::Taken) {
                    break;
                }
            }
            let taken = said.iter().all(|offered| *offered == Offered::Taken);
            let passed = match open.take().filter(|_| taken) {
                Some(mut through) => {
                    through.announce().await;
                    Some(through.send(&record).await)
                }
                None => None,
            };
            let what = format!("{command} {answer} {several} {last}");
            let elsewhere = several && answer.starts_with('4');
            match passed {
                Some(passed) if elsewhere => assert_eq!(passed, Passed::Unsent, "{what}"),
                Some(passed) => assert_eq!(passed, Passed::Refused(answer.to_owned()), "{what}"),
                None if elsewhere => assert_eq!(said.last(), Some(&Offered::Store), "{what}"),
                None => assert_eq!(said.last(), Some(&Offered::Refused(answer.to_owned())), "{what}"),
            }
            assert!(nothing.all().iter().all(|(_, body)| body.len() <= 3), "nobody has it: {what}");
            if elsewhere {
                queue.submit(record).await.unwrap();
                empty(&queue).await;
                // The first one has whom it takes; its empty messages are for nobody.
                let real = |seen: &Seen| {
                    let all = seen.all().into_iter().filter(|(_, body)| body.len() > 3);
                    all.flat_map(|(to, _)| to).collect::<std::collections::BTreeSet<_>>()
                };
                let (first, second) = (real(&nothing), real(&seen));
                let a_first = usize::from(command == "RCPT TO:<b@");
                assert_eq!((first.len(), second.len()), (a_first, 2 - a_first), "{what}");
                assert_eq!(queue.counters().delivered, 2, "{what}");
            }
        }
    }
}
