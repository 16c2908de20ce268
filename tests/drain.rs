//! SIGTERM in the middle of everything: what runs may end, idle clients are told, and what got its 250 is on disk.
//!
//! Nothing here is timed: a drain that does not end runs into the patience of the test.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use support::client::Client;
use support::daemon::Daemon;
use support::{build_text, free_port, wait_for};

const RULES: &str = "edict 1
profile { local-domains [example.com] recipients any trusted-networks [127.0.0.0/8] }
";
const MESSAGE: &str = "From: ann@example.com\nSubject: hello\n\nx";

/// A daemon whose drain takes so many seconds at most, and which sends what leaves to `relay`.
fn daemon(folder: &Path, drain: u32, relay: SocketAddr) -> Daemon {
    build_text(RULES, &folder.join("edict.table"));
    let address = free_port();
    let config = format!(
        "(table: \"edict.table\", listeners: [(address: \"{address}\")], drain_seconds: {drain}, \
         outside: relay(\"{relay}\"), queue: (first_retry_seconds: 1))"
    );
    Daemon::configured(folder, address, &config)
}

/// Waits until SIGTERM is heard: no new client is let in.
fn stopping(daemon: &Daemon) {
    daemon.signal("TERM");
    daemon.wait_for_log(&["stopping: nothing new"]);
    wait_for("the listener to be gone", || TcpStream::connect(daemon.address).is_err());
}

/// What is left to read.
fn rest(client: &mut Client) -> String {
    match client.reply() {
        Ok(reply) => reply,
        Err(error) => format!("{error}"),
    }
}

const GOING: &str = "421 4.3.2 ";

/// RFC 5321 3.8: idle clients hear 421, wherever they stand; those with a transaction end it first.
#[test]
fn transactions_end_and_idle_clients_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path(), 100, free_port());
    let open = |commands: &[&str]| {
        let mut client = Client::hello(daemon.address).unwrap();
        for command in commands {
            let reply = client.command(command).unwrap();
            assert!(reply.starts_with(['2', '3']), "{command}: {reply}");
        }
        client
    };
    let mail = "MAIL FROM:<ann@example.com>";
    let mut greeted = Client::connect(daemon.address).unwrap();
    let mut idle = open(&[]);
    let mut between = open(&[mail, "RCPT TO:<bob@example.com>", "RSET"]);
    let mut sender = open(&[mail]);
    let mut recipient = open(&[mail, "RCPT TO:<b@example.com>"]);
    let mut data = open(&[mail, "RCPT TO:<c@example.com>", "DATA"]);
    data.send(b"From: ann@example.com\r\nSubject: half\r\n\r\nhalf of it\r\n").unwrap();
    let mut chunks = open(&[mail, "RCPT TO:<d@example.com>"]);
    chunks.send(b"BDAT 31\r\nFrom: ann@example.com\r\n\r\nhalf\r\n").unwrap();
    assert!(chunks.reply().unwrap().starts_with("250"));
    let mut leaves = open(&[mail, "RCPT TO:<e@example.com>", "DATA"]);
    leaves.send(b"Subject: broken off\r\n\r\nhalf").unwrap();
    stopping(&daemon);

    for client in [&mut greeted, &mut idle, &mut between] {
        assert!(rest(client).starts_with(GOING));
        assert!(client.reply().is_err(), "and then the connection is closed");
    }
    for (client, to) in [(&mut sender, "a"), (&mut recipient, "b")] {
        for command in [&format!("RCPT TO:<{to}@example.com>"), "DATA"] {
            let reply = client.command(command).unwrap();
            assert!(reply.starts_with(['2', '3']), "{command}: {reply}");
        }
        client.send(format!("{}\r\n.\r\n", MESSAGE.replace('\n', "\r\n")).as_bytes()).unwrap();
    }
    data.send(b"and the other\r\n.\r\n").unwrap();
    chunks.send(b"BDAT 7 LAST\r\nother\r\n").unwrap();
    let mut acknowledged = BTreeSet::new();
    for client in [&mut sender, &mut recipient, &mut data, &mut chunks] {
        let reply = client.reply().unwrap();
        assert!(reply.starts_with("250 2.0.0 "), "{reply}");
        assert!(acknowledged.insert(reply));
        assert!(rest(client).starts_with(GOING), "its next word");
        assert!(client.reply().is_err());
    }
    drop(leaves);
    let mut daemon = daemon;
    assert!(daemon.ended().success(), "it ends once the last of them is gone");
    daemon.restart();
    daemon.wait_for_empty_queue();
    let both = ["a", "b", "c", "d", "e"].map(|to| daemon.mailbox(&format!("{to}@example.com")));
    assert_eq!(both.each_ref().map(Vec::len), [1, 1, 1, 1, 0], "each once, and never half a message");
    let whole =
        both.iter().flatten().filter(|mail| mail.replace('\r', "").contains("half of it\nand the other"));
    assert_eq!(whole.count(), 1, "whole, with what came before SIGTERM and after");
}

/// Whoever does not come to an end is cut off at the end of the drain; no half message is taken.
#[test]
fn the_drain_has_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = daemon(folder.path(), 1, free_port());
    let mut client = Client::hello(daemon.address).unwrap();
    for command in ["MAIL FROM:<ann@example.com>", "RCPT TO:<bob@example.com>", "DATA"] {
        assert!(client.command(command).unwrap().starts_with(['2', '3']));
    }
    client.send(b"Subject: half\r\n\r\nhalf of it\r\n").unwrap();
    daemon.signal("TERM");
    assert!(daemon.ended().success());
    assert!(client.reply().is_err(), "no 250 for half a message");
    assert!(daemon.read_log().contains("sessions were still open at the end of the drain"));
    daemon.restart();
    assert_eq!(daemon.counter("queued"), 0);
    assert!(daemon.mailbox("bob@example.com").is_empty());
}

/// A next hop that keeps each message until it is let go: what it was given, by subject, and whether it said 250.
#[derive(Clone, Default)]
struct Slow {
    begun: Arc<Mutex<Vec<String>>>,
    taken: Arc<Mutex<Vec<String>>>,
    let_go: Arc<Mutex<bool>>,
}

impl Slow {
    fn start(address: SocketAddr) -> Self {
        let slow = Self::default();
        let (listener, own) = (TcpListener::bind(address).unwrap(), slow.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let slow = own.clone();
                // A connection that breaks off is what the test makes happen.
                std::thread::spawn(move || slow.serve(stream).ok());
            }
        });
        slow
    }

    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut out = stream.try_clone()?;
        let mut lines = BufReader::new(stream).lines();
        out.write_all(b"220 slow\r\n")?;
        while let Some(line) = lines.next().transpose()? {
            if line != "DATA" {
                out.write_all(b"250 2.0.0 fine\r\n")?;
                continue;
            }
            out.write_all(b"354 go on\r\n")?;
            let mut subject = String::new();
            while let Some(line) = lines.next().transpose()? {
                if let Some(text) = line.strip_prefix("Subject: ") {
                    text.clone_into(&mut subject);
                }
                if line == "." {
                    break;
                }
            }
            self.begun.lock().unwrap().push(subject.clone());
            wait_for("the slow hop to be let go", || *self.let_go.lock().unwrap());
            // Before it is said: whoever heard that looks for it here.
            self.taken.lock().unwrap().push(subject);
            out.write_all(b"250 2.0.0 taken\r\n")?;
        }
        Ok(())
    }

    fn let_go(&self) {
        *self.let_go.lock().unwrap() = true;
    }
}

fn send(daemon: &Daemon, subject: &str) {
    let mut client = Client::hello(daemon.address).unwrap();
    let message = format!("From: ann@example.com\nSubject: {subject}\n\nx");
    let reply = client.message("ann@example.com", &["x@far.example"], &message).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
}

/// RFC 5321 4.5.4.1, 6.1: what is on its way to a next hop ends within the drain and is not sent again; what waits behind
/// it is sent after the restart.
#[test]
fn an_attempt_under_way_ends_and_is_not_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let relay = free_port();
    let slow = Slow::start(relay);
    let mut daemon = daemon(folder.path(), 100, relay);
    send(&daemon, "under way");
    wait_for("the attempt", || slow.begun.lock().unwrap().len() == 1);
    stopping(&daemon);
    slow.let_go();
    assert!(daemon.ended().success());
    assert_eq!(*slow.taken.lock().unwrap(), ["under way"]);
    daemon.restart();
    assert_eq!(daemon.counter("queued"), 0, "the end of the attempt was noted");
    send(&daemon, "later");
    wait_for("the later one", || slow.taken.lock().unwrap().len() == 2);
    assert_eq!(*slow.begun.lock().unwrap(), ["under way", "later"], "each once");
}

/// The drain ends before the next hop does: nothing is lost, and the restart tries again.
#[test]
fn an_attempt_that_outlasts_the_drain_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let relay = free_port();
    let slow = Slow::start(relay);
    let mut daemon = daemon(folder.path(), 1, relay);
    send(&daemon, "first");
    wait_for("the attempt", || slow.begun.lock().unwrap().len() == 1);
    send(&daemon, "second");
    daemon.signal("TERM");
    assert!(daemon.ended().success());
    assert!(slow.taken.lock().unwrap().is_empty(), "the hop never said 250");
    // The connections are gone by now; the hop may speak into the void.
    slow.let_go();
    wait_for("the broken attempts to end", || Arc::strong_count(&slow.begun) == 2);
    slow.taken.lock().unwrap().clear();
    daemon.restart();
    daemon.wait_for_empty_queue();
    let mut taken = slow.taken.lock().unwrap().clone();
    taken.sort();
    assert_eq!(taken, ["first", "second"], "each once");
}
