//! The queue with scripted next hops and a real spool.

mod ages;
mod arrives;
mod aside;
mod attempts;
mod authors;
mod backlog;
mod backoff;
mod best;
mod clock;
mod crowd;
mod down;
mod elsewhere;
mod fair;
mod flush;
mod full;
mod groups;
mod hang;
mod holders;
mod hostile;
mod kept;
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

/// Waits until something has come about.
async fn wait(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..TURNS {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not come about: {what}");
}

/// Waits until a server says that it was asked.
async fn until(asked: &AtomicBool) {
    wait("a server is asked", || asked.load(Ordering::SeqCst)).await;
}

/// Waits until the queue is empty.
async fn empty(queue: &Queue) {
    wait("an empty queue", || queue.counters().queued == 0).await;
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
