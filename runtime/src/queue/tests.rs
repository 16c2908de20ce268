//! The queue with scripted next hops and a real spool.

mod ages;
mod aside;
mod attempts;
mod backlog;
mod backoff;
mod best;
mod clock;
mod crowd;
mod down;
mod elsewhere;
mod fair;
mod flush;
mod groups;
mod hang;
mod holders;
mod hostile;
mod killed;
mod listing;
mod logged;
mod notices;
mod outlive;
mod owed;
mod passing;
mod reads;
mod short;
mod sockets;
mod told;
mod unasked;
mod wishes;

use super::*;
use crate::deliver::client::Timeouts;
use crate::envelope::{Dispatch, DispatchKind, Notify, Submitted, Target};
use crate::spool::{NoLedger, Options, test_record};
use crate::tame::{Tame, tame_clock};
use edict_table::model::{Host, Relay, RelayTls};
use edict_table::value::Address;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket};

/// How often a test looks whether something has come about, some milliseconds apart: minutes, since test machines are shared.
const TURNS: usize = 12_000;

/// Routes by domain; what is not named is local. Then who gets copies of notices.
struct Map(BTreeMap<String, Hop>, Vec<String>);

impl Guide for Map {
    fn hops(&self, dispatch: &Dispatch, _now: i64) -> Vec<Hop> {
        let hop = |t: &Target| {
            let domain = t.address.rsplit('@').next().unwrap();
            self.0.get(domain).cloned().unwrap_or(Hop::Local)
        };
        dispatch.recipients.iter().map(hop).collect()
    }
    fn hostname(&self) -> Option<String> {
        Some("mx.example".to_owned())
    }
    fn authors(&self, wire: &str, _: &Address, _: i64) -> Vec<(String, bool)> {
        vec![(wire.to_owned(), true)]
    }
    fn notice_copies(&self) -> Vec<(String, bool)> {
        self.1.iter().map(|address| (address.clone(), true)).collect()
    }
    fn digest(&self) -> String {
        "test".to_owned()
    }
}

fn relay(port: u16) -> Hop {
    let host = Host { name: "127.0.0.1".to_owned(), port };
    Hop::Relay(Relay { name: String::new(), hosts: vec![host], tls: RelayTls::Off, credentials: None })
}

/// Retries come soon. A hop that is slow for once is none that failed: one attempt more would be counted.
fn settings(data: &Path) -> Settings {
    Settings {
        retry_first: Duration::from_millis(30),
        retry_max: Duration::from_millis(60),
        timeouts: timeouts(Duration::from_secs(300)),
        ..Settings::new("mx.example".to_owned(), data.join("mail"))
    }
}

/// The same for hops that say nothing.
fn brief(_: &Tame, data: &Path) -> Settings {
    Settings { timeouts: timeouts(Duration::from_millis(500)), ..settings(data) }
}

fn timeouts(each: Duration) -> Timeouts {
    Timeouts { connect: each, command: each, data: each, end: each }
}

/// A port on which nobody listens as long as the socket is there.
fn closed() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

fn start(data: &Path, hops: &[(&str, Hop)], settings: Settings) -> Queue {
    start_copying(data, hops, settings, &[])
}

fn start_copying(data: &Path, hops: &[(&str, Hop)], settings: Settings, copies: &[&str]) -> Queue {
    let options = Options { segment: 256 << 10, reserve: 1 << 20, spare: 2 };
    let (spool, recovery) = Spool::open(data, options, Arc::new(NoLedger)).unwrap();
    let map = hops.iter().map(|(domain, hop)| ((*domain).to_owned(), hop.clone())).collect();
    let copies = copies.iter().map(|address| (*address).to_owned()).collect();
    Queue::start_with(spool, recovery, Box::new(Map(map, copies)), Tls::default(), settings)
}

/// A message from ann@example.org for these.
fn message(id: u64, to: &[&str], text: &str) -> Record {
    let mut record = test_record(id, text.replace('\n', "\r\n").into_bytes());
    record.received = now();
    let target = |address: &&str| Target {
        address: (*address).to_owned(),
        given: None,
        inside: false,
        notify: Notify::default(),
        orcpt: None,
    };
    record.dispatches[0].recipients = to.iter().map(target).collect();
    record
}

/// Waits until the queue is empty.
async fn empty(queue: &Queue) {
    for _ in 0..TURNS {
        if queue.counters().queued == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the queue does not get empty: {:?}", queue.counters());
}

/// The messages in a mailbox, sorted.
fn mailbox(data: &Path, folder: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(data.join("mail").join(folder).join("new")) else {
        return Vec::new();
    };
    let mut all: Vec<String> = entries.map(|e| std::fs::read_to_string(e.unwrap().path()).unwrap()).collect();
    all.sort();
    all
}

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Mail>>>);

/// RCPT lines and the data.
type Mail = (Vec<String>, String);

impl Seen {
    fn all(&self) -> Vec<Mail> {
        self.0.lock().unwrap().clone()
    }
}

/// What a scripted server says to a command line; none hangs up.
type Script = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// A polite server that keeps what it gets; `script` may answer some lines in its own way.
async fn server(script: impl Fn(&str) -> Option<Option<String>> + Send + Sync + 'static) -> (u16, Seen) {
    server_at("127.0.0.1", script).await
}

/// The same at another address; 0.0.0.0 is each of this machine.
async fn server_at(
    address: &str,
    script: impl Fn(&str) -> Option<Option<String>> + Send + Sync + 'static,
) -> (u16, Seen) {
    let listener = TcpListener::bind((address, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Seen::default();
    let keep = seen.clone();
    let script: Script = Arc::new(move |line| match script(line) {
        Some(answer) => answer,
        None if line.starts_with("EHLO") => {
            Some("250-sink\r\n250-PIPELINING\r\n250-DSN\r\n250 SIZE\r\n".to_owned())
        }
        None if line == "DATA" => Some("354 go\r\n".to_owned()),
        None => Some("250 2.0.0 ok\r\n".to_owned()),
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (script, keep) = (Arc::clone(&script), keep.clone());
            tokio::spawn(async move {
                // Its replies go one by one: each would wait for the client's delayed ACK of the one before.
                stream.set_nodelay(true).unwrap();
                let mut stream = BufReader::new(stream);
                stream.write_all(b"220 sink\r\n").await.unwrap();
                let mut to = Vec::new();
                let mut line = String::new();
                loop {
                    line.clear();
                    if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                        return;
                    }
                    let command = line.trim_end().to_owned();
                    let Some(mut answer) = script(&command) else { return };
                    if command == "DATA" && answer.starts_with("354") && to.is_empty() {
                        answer = "554 5.5.1 no valid recipients\r\n".to_owned();
                    }
                    if command.starts_with("RCPT") && answer.starts_with('2') {
                        to.push(command.clone());
                    }
                    if command == "DATA" && answer.starts_with("354") {
                        stream.write_all(answer.as_bytes()).await.unwrap();
                        let mut body = String::new();
                        while !body.ends_with("\r\n.\r\n") && body != ".\r\n" {
                            if stream.read_line(&mut body).await.unwrap_or(0) == 0 {
                                return;
                            }
                        }
                        let Some(end) = script("END") else { return };
                        answer = end;
                        if answer.starts_with('2') {
                            keep.0.lock().unwrap().push((std::mem::take(&mut to), body));
                        }
                    }
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (port, seen)
}

#[tokio::test]
async fn mail_for_mailboxes_and_relays() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen) = server(|_| None).await;
    let queue = start(data.path(), &[("far.example", relay(port))], settings(data.path()));
    let to = ["bob@here.example", "carl@far.example", "eve@far.example"];
    queue.submit(message(1, &to, "Subject: x\n\n.dot\n")).await.unwrap();
    empty(&queue).await;
    let sent = seen.all();
    assert_eq!(sent.len(), 1, "one transaction for both");
    assert_eq!(sent[0].0, ["RCPT TO:<carl@far.example>", "RCPT TO:<eve@far.example>"]);
    assert_eq!(sent[0].1, "Subject: x\r\n\r\n..dot\r\n.\r\n");
    let got = mailbox(data.path(), "here.example/bob");
    assert_eq!(got, ["Return-Path: <ann@example.org>\nDelivered-To: bob@here.example\nSubject: x\n\n.dot\n"]);
    assert_eq!(queue.counters(), Counters { delivered: 3, ..Counters::default() });
}

#[tokio::test]
async fn many_messages_arrive_once_each() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen) = server(|_| None).await;
    let queue = start(data.path(), &[("far.example", relay(port))], settings(data.path()));
    let tasks: Vec<_> = (0..8u64)
        .map(|task| {
            let queue = queue.clone();
            tokio::spawn(async move {
                for n in 0..100 {
                    let id = 1 + task * 100 + n;
                    queue.submit(message(id, &["a@far.example"], &format!("X: {id}\n\n"))).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    empty(&queue).await;
    let bodies: std::collections::BTreeSet<String> = seen.all().into_iter().map(|(_, body)| body).collect();
    assert_eq!((bodies.len(), seen.all().len()), (800, 800));
}

/// RFC 2920 3.1. A hop that hangs up behind a message has taken that one, and nothing of the announced one.
#[tokio::test]
async fn the_next_message_is_announced_behind_the_end_of_one() {
    let data = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (seen, ahead) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU64::new(0)));
    let (keep, count) = (Arc::clone(&seen), Arc::clone(&ahead));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            stream.write_all(b"220 sink\r\n").await.unwrap();
            let mut line = String::new();
            for turn in 0.. {
                line.clear();
                if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                    break;
                }
                let answer = match line.trim_end() {
                    "DATA" => "354 go\r\n",
                    hello if hello.starts_with("EHLO") => "250-sink\r\n250 PIPELINING\r\n",
                    _ => "250 2.0.0 ok\r\n",
                };
                stream.write_all(answer.as_bytes()).await.unwrap();
                if answer.starts_with("354") {
                    let mut body = String::new();
                    while !body.ends_with("\r\n.\r\n") {
                        assert!(stream.read_line(&mut body).await.unwrap() > 0);
                    }
                    // The answer waits for what comes without it.
                    let more = tokio::time::timeout(Duration::from_secs(1), stream.fill_buf()).await;
                    count.fetch_add(u64::from(more.is_ok_and(|m| !m.unwrap().is_empty())), Ordering::SeqCst);
                    keep.lock().unwrap().push(body);
                    stream.write_all(b"250 2.0.0 taken\r\n").await.unwrap();
                    if turn > 20 {
                        break;
                    }
                }
            }
        }
    });
    let settings = Settings { connections: 1, ..settings(data.path()) };
    let queue = start(data.path(), &[("far.example", relay(port))], settings);
    for id in 1..=30 {
        queue.submit(message(id, &["a@far.example"], &format!("X: {id}\n\n"))).await.unwrap();
    }
    empty(&queue).await;
    let all = seen.lock().unwrap().clone();
    let each: std::collections::BTreeSet<&String> = all.iter().collect();
    assert_eq!((each.len(), all.len()), (30, 30));
    assert!(ahead.load(Ordering::SeqCst) > 10, "only {} came ahead", ahead.load(Ordering::SeqCst));
}

/// A worker that cannot run ahead leaves what waits where it is: no job is taken and then forgotten.
#[tokio::test]
async fn nothing_is_lost_where_the_next_message_cannot_be_announced() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen) =
        server(|line| line.starts_with("EHLO").then(|| Some("250 plain.example\r\n".to_owned()))).await;
    let settings = Settings { connections: 1, ..settings(data.path()) };
    let queue = start(data.path(), &[("far.example", relay(port))], settings);
    for id in 1..=30 {
        queue.submit(message(id, &["a@far.example"], &format!("X: {id}\n\n"))).await.unwrap();
    }
    empty(&queue).await;
    let bodies: std::collections::BTreeSet<String> = seen.all().into_iter().map(|(_, body)| body).collect();
    assert_eq!((bodies.len(), seen.all().len()), (30, 30));
}

/// Once in the log, and once in the deferred store however often it is tried again; large ones once in all.
#[tokio::test]
async fn a_body_is_written_twice_at_most() {
    let token = "a token that stands nowhere else";
    for (size, tries, writes) in [(2_000, 0, 1), (2_000, 4, 2), (200_000, 4, 1)] {
        let data = tempfile::tempdir().unwrap();
        let left = AtomicU64::new(tries);
        let (port, seen) = server(move |line| {
            let late = line == "END"
                && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
            late.then(|| Some("451 4.3.0 later\r\n".to_owned()))
        })
        .await;
        let disk = crate::spool::TestDisk::default();
        disk.watch(token.as_bytes());
        let options = Options { segment: 256 << 10, reserve: 1 << 20, spare: 2 };
        let opened =
            Spool::open_on(Arc::new(disk.clone()), Path::new("/data"), options, Arc::new(NoLedger), None);
        let (spool, recovery) = opened.unwrap();
        let map = [("far.example".to_owned(), relay(port))].into();
        let (guide, settings) = (Box::new(Map(map, Vec::new())), settings(data.path()));
        let queue = Queue::start_with(spool, recovery, guide, Tls::default(), settings);
        let filler = "a line of it\n".repeat(size / 13);
        let text = format!("Subject: x\n\n{filler}{token}\n{filler}");
        queue.submit(message(1, &["bob@far.example"], &text)).await.unwrap();
        empty(&queue).await;
        assert_eq!(seen.all().len(), 1);
        assert_eq!(disk.written(), writes, "{size} bytes, {tries} failed attempts");
    }
}

/// RFC 5321 3.3, 3.6.3, 4.2.1, 4.2.5, 4.4, 4.5.4.1.
#[tokio::test]
async fn refusals_are_told_and_delays_retried() {
    let data = tempfile::tempdir().unwrap();
    let tries = std::sync::atomic::AtomicU32::new(0);
    let (port, seen) = server(move |line| match line {
        "RCPT TO:<no@far.example>" => Some(Some("550 5.1.1 no such user\r\n".to_owned())),
        "RCPT TO:<late@far.example>" if tries.fetch_add(1, Ordering::SeqCst) < 2 => {
            Some(Some("450 4.2.1 later\r\n".to_owned()))
        }
        _ => None,
    })
    .await;
    let queue = start(data.path(), &[("far.example", relay(port))], settings(data.path()));
    let to = ["no@far.example", "yes@far.example", "late@far.example"];
    queue.submit(message(1, &to, "Subject: secret\n\nbody\n")).await.unwrap();
    empty(&queue).await;
    let sent: Vec<Vec<String>> = seen.all().into_iter().map(|(to, _)| to).collect();
    assert_eq!(sent, [["RCPT TO:<yes@far.example>"], ["RCPT TO:<late@far.example>"]]);
    let notices = mailbox(data.path(), "example.org/ann");
    assert_eq!(notices.len(), 1);
    let notice = &notices[0];
    assert!(notice.starts_with("Return-Path: <>\n"), "{notice}");
    for part in [
        "Final-Recipient: rfc822; no@far.example\nAction: failed\nStatus: 5.1.1\n",
        "Diagnostic-Code: smtp; 550 5.1.1 no such user\n",
        "Content-Type: text/rfc822-headers\n",
        "Subject: secret\n",
    ] {
        assert!(notice.contains(part), "{part} is not in {notice}");
    }
    assert!(!notice.contains("body"), "only the header comes back");
    let counters = queue.counters();
    assert_eq!((counters.delivered, counters.failed, counters.deferred), (3, 1, 2));
}

/// Bounces (RFC 5321 3.6.3, 4.4, 4.5.4, 4.5.5): no bounce of a bounce.
#[tokio::test]
async fn nobody_is_told_of_null_senders_or_against_their_wish() {
    let data = tempfile::tempdir().unwrap();
    let (port, _) = server(|line| line.starts_with("RCPT").then(|| Some("550 no\r\n".to_owned()))).await;
    let queue = start(data.path(), &[("far.example", relay(port))], settings(data.path()));
    let mut null = message(1, &["a@far.example"], "x\n");
    null.dispatches[0].sender.clear();
    let mut notice = message(2, &["a@far.example"], "x\n");
    notice.dispatches[0].kind = DispatchKind::Notice;
    let mut never = message(3, &["a@far.example"], "x\n");
    never.dispatches[0].recipients[0].notify = Notify { given: true, ..Notify::default() };
    for record in [null, notice, never] {
        queue.submit(record).await.unwrap();
    }
    empty(&queue).await;
    assert_eq!(queue.counters().failed, 3);
    assert!(!data.path().join("mail").exists(), "no notice");
}

/// `notice-copies`: each notice once to each of them, the author among them or not; a copy that fails tells nobody.
#[tokio::test]
async fn copies_of_notices_go_to_whom_the_profile_names() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen) = server(|line| line.starts_with("RCPT").then(|| Some("550 no\r\n".to_owned()))).await;
    let hops = [("far.example", relay(port))];
    let copies = ["ann@example.org", "log@example.org", "lost@far.example"];
    let queue = start_copying(data.path(), &hops, settings(data.path()), &copies);
    queue.submit(message(1, &["no@far.example"], "Subject: x\n\n")).await.unwrap();
    empty(&queue).await;
    for folder in ["example.org/ann", "example.org/log"] {
        let [notice] = mailbox(data.path(), folder).try_into().unwrap();
        assert!(notice.contains("Final-Recipient: rfc822; no@far.example\nAction: failed\n"), "{notice}");
        assert!(notice.contains("\nTo: <ann@example.org>\n"), "{notice}");
    }
    assert_eq!(queue.counters().failed, 2, "the message and one copy");
    assert!(seen.all().is_empty());
}

#[tokio::test]
async fn success_is_told_where_asked() {
    let data = tempfile::tempdir().unwrap();
    let (port, _) = server(|line| line.starts_with("EHLO").then(|| Some("250 sink\r\n".to_owned()))).await;
    let queue = start(data.path(), &[("far.example", relay(port))], settings(data.path()));
    let mut record = message(1, &["a@far.example", "b@here.example"], "Subject: x\n\n");
    for target in &mut record.dispatches[0].recipients {
        target.notify = Notify { given: true, success: true, ..Notify::default() };
        target.orcpt = Some("rfc822;A+2BB@orig.example".to_owned());
    }
    record.dispatches[0].envid = Some("id+3D1".to_owned());
    queue.submit(record).await.unwrap();
    empty(&queue).await;
    let all = mailbox(data.path(), "example.org/ann").join("\n");
    for part in [
        "Action: relayed",
        "Action: delivered",
        "Original-Envelope-Id: id=1",
        "Original-Recipient: rfc822; A+B@orig.example",
    ] {
        assert!(all.contains(part), "{part} is not in {all}");
    }
}

/// RFC 5321 2.1, 4.5.4.1, 6.1: whoever took a message tells its sender where it cannot be delivered.
#[tokio::test]
async fn what_waits_too_long_is_given_up() {
    let data = tempfile::tempdir().unwrap();
    let (port, _) =
        server(|line| line.starts_with("MAIL").then(|| Some("451 4.3.0 busy\r\n".to_owned()))).await;
    let hops = [("far.example", relay(port))];
    let warning = Settings { warn_after: Duration::ZERO, ..settings(data.path()) };
    let queue = start(data.path(), &hops, warning.clone());
    let mut late = message(1, &["a@far.example"], "Subject: x\n\n");
    late.dispatches[0].submitted = Submitted::Yes;
    queue.submit(late).await.unwrap();
    // Of mail from outside its failure alone is told.
    let mut outside = message(2, &["a@far.example"], "Subject: x\n\n");
    outside.dispatches[0].sender = "eve@example.org".to_owned();
    queue.submit(outside).await.unwrap();
    let told = || mailbox(data.path(), "example.org/ann").len() == 1;
    aside::wait("word of the delay", || told() && queue.counters().deferred >= 2).await;
    // Both are past their time from now on.
    let over = Settings { lifetime: Duration::ZERO, ..warning };
    queue.go_by(Ways::new(over.clone(), over.dialer(), Box::new(aside::guide(&hops))));
    empty(&queue).await;
    let strange = mailbox(data.path(), "example.org/eve");
    assert!(strange.len() == 1 && strange[0].contains("Action: failed"), "{strange:?}");
    let notices = mailbox(data.path(), "example.org/ann");
    let count = |what: &str| notices.iter().filter(|n| n.contains(what)).count();
    assert_eq!((count("Action: delayed"), count("Action: failed"), notices.len()), (1, 1, 2));
    assert_eq!((count("\nStatus: 4.3.0\n"), count("\nWill-Retry-Until: ")), (2, 1), "{notices:?}");
}

#[tokio::test]
async fn a_restart_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let (_held, dead) = closed();
    let queue = start(data.path(), &[("far.example", relay(dead))], settings(data.path()));
    for id in 1..=20 {
        queue
            .submit(message(id, &["a@far.example", "b@here.example"], &format!("X: {id}\n\n")))
            .await
            .unwrap();
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    queue.drain(Duration::from_secs(1)).await;
    drop(queue);
    // The lock is free once the last task let go of the spool.
    let (port, seen) = server(|_| None).await;
    let mut queue = None;
    for _ in 0..TURNS {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let options = Options { segment: 256 << 10, reserve: 1 << 20, spare: 2 };
        if let Ok((spool, recovery)) = Spool::open(data.path(), options, Arc::new(NoLedger)) {
            let map = [("far.example".to_owned(), relay(port))].into();
            queue = Some(Queue::start_with(
                spool,
                recovery,
                Box::new(Map(map, Vec::new())),
                Tls::default(),
                settings(data.path()),
            ));
            break;
        }
    }
    let queue = queue.unwrap();
    empty(&queue).await;
    assert_eq!(seen.all().len(), 20);
    assert_eq!(mailbox(data.path(), "here.example/b").len(), 20);
}

#[tokio::test]
async fn a_listener_that_never_speaks_is_left() {
    let clock = tame_clock();
    let data = tempfile::tempdir().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let (good, seen) = server(|_| None).await;
    let Hop::Relay(mut both) = relay(port) else { unreachable!() };
    both.hosts.push(Host { name: "127.0.0.1".to_owned(), port: good });
    let queue = start(data.path(), &[("far.example", Hop::Relay(both))], brief(&clock, data.path()));
    queue.submit(message(1, &["a@far.example"], "x\n")).await.unwrap();
    empty(&queue).await;
    assert_eq!(seen.all().len(), 1, "the second host has it");
    let (mut stream, _) = silent.accept().await.unwrap();
    let mut buffer = [0; 10];
    assert_eq!(stream.read(&mut buffer).await.unwrap(), 0, "nothing is said before the greeting");
}

#[tokio::test]
async fn an_admin_holds_releases_retries_and_removes() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen) =
        server(|line| line.contains("<busy@").then(|| Some("450 4.2.0 mailbox busy\r\n".to_owned()))).await;
    let slow = Settings {
        retry_first: Duration::from_secs(3600),
        retry_max: Duration::from_secs(3600),
        ..settings(data.path())
    };
    let queue = start(data.path(), &[("far.example", relay(port))], slow);
    let mut held = message(1, &["a@far.example"], "Subject: one\n\n");
    held.dispatches[0].hold = true;
    queue.submit(held).await.unwrap();
    queue.submit(message(2, &["busy@far.example", "ok@far.example"], "Subject: two\n\n")).await.unwrap();
    queue.submit(message(3, &["busy@far.example"], "Subject: three\n\n")).await.unwrap();
    let settled = |l: &[admin::Listed]| l.len() == 3 && l.iter().all(|m| m.state != admin::Standing::Active);
    let mut list = Vec::new();
    for _ in 0..TURNS {
        list = queue.list(None, 10).await;
        if settled(&list) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let states: Vec<admin::Standing> = list.iter().map(|m| m.state).collect();
    assert_eq!(states, [admin::Standing::Held, admin::Standing::Deferred, admin::Standing::Deferred]);
    assert_eq!((list[1].recipients.len(), list[1].attempts, list[0].attempts), (1, 1, 0));
    assert_eq!(list[1].recipients[0].reason.as_deref(), Some("450 4.2.0 mailbox busy"));
    assert_eq!(queue.list(Some(MessageId(1)), 1).await[0].id, MessageId(2).to_string());
    assert_eq!(queue.show(MessageId(2)).await.unwrap().header, "Subject: two\n");
    assert_eq!(queue.retry_all().await, 2, "the held one is left alone");
    queue.release(MessageId(1)).await.unwrap();
    for _ in 0..TURNS {
        list = queue.list(None, 10).await;
        if list.len() == 2 && list.iter().all(|m| m.attempts == 2 && m.state == admin::Standing::Deferred) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((list.len(), list[0].attempts), (2, 2), "{list:?}");
    queue.hold(MessageId(2)).await.unwrap();
    assert_eq!(queue.show(MessageId(2)).await.unwrap().listed.state, admin::Standing::Held);
    queue.remove(MessageId(2)).await.unwrap();
    queue.remove(MessageId(3)).await.unwrap();
    assert_eq!(queue.hold(MessageId(3)).await, Err(admin::QueueError::Unknown(MessageId(3))));
    empty(&queue).await;
    let to: Vec<Vec<String>> = seen.all().into_iter().map(|(to, _)| to).collect();
    assert_eq!(to, [["RCPT TO:<ok@far.example>"], ["RCPT TO:<a@far.example>"]]);
    assert!(!data.path().join("mail").exists(), "nobody was told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_slow_hop_does_not_pin_the_log() {
    let data = tempfile::tempdir().unwrap();
    // It is not to be hurried: nothing is answered before this is rung.
    let (ring, bell) = std::sync::mpsc::channel::<()>();
    let bell = Mutex::new(Some(bell));
    let (port, seen) = server(move |line| {
        if line.starts_with("MAIL")
            && let Some(bell) = bell.lock().unwrap().take()
        {
            tokio::task::block_in_place(|| bell.recv().unwrap_or_default());
        }
        None
    })
    .await;
    let patient = Timeouts { command: Duration::from_secs(300), ..Timeouts::default() };
    let slow = Settings { timeouts: patient, connections: 1, ..settings(data.path()) };
    let queue = start(data.path(), &[("far.example", relay(port))], slow);
    let text = format!("Subject: x\n\n{}", "0123456789\n".repeat(2000));
    for id in 1..=60 {
        queue.submit(message(id, &["a@far.example"], &text)).await.unwrap();
    }
    assert!(queue.inner.spool.span() > 4);
    let mut moved = 0;
    loop {
        match queue.inner.unpin(u64::MAX).await {
            0 => break,
            more => moved += more,
        }
    }
    assert!(moved > 20, "{moved}");
    assert!(queue.inner.spool.span() <= 3, "{}", queue.inner.spool.span());
    ring.send(()).unwrap();
    empty(&queue).await;
    assert_eq!(seen.all().len(), 60, "each once, wherever it lay");
    queue.drain(Duration::from_secs(5)).await;
}
