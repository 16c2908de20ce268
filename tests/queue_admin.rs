//! `edictd queue list|show|hold|release|retry|remove` against a real daemon: each does what it says and nothing else, says so to
//! people and to programs, and says what is wrong.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod support;

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use support::client::Client;
use support::daemon::Daemon;
use support::{build_table, free_port, wait_for};

const BUSY: &str = "450 4.2.1 the mailbox is busy";

/// A next hop where every mailbox is busy until it is `well`.
#[derive(Clone, Default)]
struct Hop {
    well: Arc<AtomicBool>,
    /// How often it was asked for a mailbox.
    asked: Arc<AtomicUsize>,
    /// Subjects of what it took.
    took: Arc<Mutex<Vec<String>>>,
}

impl Hop {
    fn start() -> (SocketAddr, Self) {
        let address = free_port();
        let listener = TcpListener::bind(address).unwrap();
        let hop = Self::default();
        let shared = hop.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let hop = shared.clone();
                std::thread::spawn(move || {
                    // Whoever has enough hangs up.
                    let _ = hop.serve(stream);
                });
            }
        });
        (address, hop)
    }

    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut out = stream.try_clone()?;
        out.write_all(b"220 hop\r\n")?;
        let mut in_data = false;
        for line in BufReader::new(stream).lines() {
            let line = line?;
            let reply = match line.as_str() {
                "." if in_data => {
                    in_data = false;
                    "250 2.0.0 taken"
                }
                line if in_data => {
                    let subject = line.strip_prefix("Subject: ");
                    self.took.lock().unwrap().extend(subject.map(str::to_owned));
                    continue;
                }
                "DATA" => {
                    in_data = true;
                    "354 go on"
                }
                line if line.starts_with("RCPT") => {
                    self.asked.fetch_add(1, Ordering::SeqCst);
                    if self.well.load(Ordering::SeqCst) { "250 2.1.5 fine" } else { BUSY }
                }
                _ => "250 2.0.0 fine",
            };
            out.write_all(format!("{reply}\r\n").as_bytes())?;
        }
        Ok(())
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// A daemon that waits an hour before it tries again on its own.
fn start(folder: &std::path::Path, hop: SocketAddr) -> Daemon {
    build_table("every-kind", &folder.join("edict.table"), |_| ());
    let address = free_port();
    let config = format!(
        "(table: \"edict.table\", data: \"edict-data\", listeners: [(address: \"{address}\", role: mx)],
          outside: relay(\"{hop}\"), queue: (first_retry_seconds: 3600))"
    );
    Daemon::configured(folder, address, &config)
}

fn list(daemon: &Daemon) -> Vec<Value> {
    let (code, text) = daemon.ask(&["queue", "list", "--format", "json"]);
    assert_eq!(code, 0, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Where a message stands, and how often it was tried; none where it is in the queue no more.
fn stands(daemon: &Daemon, id: &str) -> Option<(String, u64)> {
    let row = list(daemon).into_iter().find(|row| row["id"] == *id)?;
    Some((row["state"].as_str().unwrap().to_owned(), row["attempts"].as_u64().unwrap()))
}

fn wait_until_it_stands(daemon: &Daemon, id: &str, state: &str, attempts: u64) {
    let want = Some((state.to_owned(), attempts));
    wait_for(&format!("{id} to be {state} after {attempts}"), || stands(daemon, id) == want);
}

/// Sends a message for which the hop has no room yet: its name in the queue.
fn put_off(daemon: &Daemon, subject: &str) -> String {
    let mut client = Client::hello(daemon.address).unwrap();
    let text = format!("Subject: {subject}\n\nx");
    let reply = client.message("x@elsewhere.example", &["u@out.example"], &text).unwrap();
    let id = reply.rsplit(' ').next().unwrap().to_owned();
    assert!(reply.starts_with("250"), "{reply}");
    wait_until_it_stands(daemon, &id, "deferred", 1);
    id
}

/// Does something to a message; it must be done at once, and be told so.
fn done(daemon: &Daemon, verb: &str, id: &str, json: bool) {
    let mut words = vec!["queue", verb, id];
    words.extend(json.then_some(["--format", "json"]).into_iter().flatten());
    let (code, text) = daemon.ask(&words);
    assert_eq!(code, 0, "{verb}: {text}");
    match json {
        true => {
            let told: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(told, json!({"done": true, "under_way": false}), "{verb}");
        }
        false => assert_eq!(text, "done\n", "{verb}"),
    }
}

/// The same, refused for this reason.
fn refused(daemon: &Daemon, verb: &str, id: &str, why: &str, json: bool) {
    let mut words = vec!["queue", verb, id];
    words.extend(json.then_some(["--format", "json"]).into_iter().flatten());
    let (code, text) = daemon.ask(&words);
    assert_eq!(code, 1, "{verb}: {text}");
    match json {
        true => assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({"error": why}), "{verb}"),
        false => assert_eq!(text, format!("{why}\n"), "{verb}"),
    }
}

#[test]
fn each_command_does_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let (address, hop) = Hop::start();
    let daemon = start(folder.path(), address);
    for json in [false, true] {
        let subject = |what: &str| format!("{what} {json}");
        let (one, two) = (put_off(&daemon, &subject("one")), put_off(&daemon, &subject("two")));
        let asked = hop.asked();
        looked_at(&daemon, &one, &subject("one"), json);
        done(&daemon, "hold", &one, json);
        wait_until_it_stands(&daemon, &one, "held", 1);
        refused(&daemon, "retry", &one, &format!("message {one} is held: release it first"), json);
        assert_eq!(stands(&daemon, &one), Some(("held".to_owned(), 1)));
        assert_eq!(hop.asked(), asked, "nothing was tried so far");
        // What is let go is tried at once, and waits again where the hop is busy still.
        done(&daemon, "release", &one, json);
        wait_until_it_stands(&daemon, &one, "deferred", 2);
        done(&daemon, "retry", &one, json);
        wait_until_it_stands(&daemon, &one, "deferred", 3);
        assert_eq!(hop.asked(), asked + 2, "once for each");
        assert_eq!(stands(&daemon, &two), Some(("deferred".to_owned(), 1)), "the other one is left alone");

        done(&daemon, "remove", &one, json);
        assert_eq!(stands(&daemon, &one), None);
        for verb in ["show", "hold", "release", "retry", "remove"] {
            let unknown = format!("there is no message {one} in the queue");
            refused(&daemon, verb, &one, &unknown, json);
            refused(&daemon, verb, "what!", "`what!` is no message id", json);
        }
        hop.well.store(true, Ordering::SeqCst);
        done(&daemon, "retry", &two, json);
        daemon.wait_for_empty_queue();
        hop.well.store(false, Ordering::SeqCst);
    }
    let took = hop.took.lock().unwrap().clone();
    assert_eq!(took, ["two false", "two true"], "what was removed did not go, and nobody was told of it");
    assert_eq!(daemon.ask(&["queue"]), (0, "nothing\n".to_owned()));
    assert_eq!(daemon.ask(&["queue", "list", "--format", "json"]), (0, "[]\n".to_owned()));
}

/// `list` and `show` tell the same of a message that was put off.
fn looked_at(daemon: &Daemon, id: &str, subject: &str, json: bool) {
    let row = list(daemon).into_iter().find(|row| row["id"] == *id).unwrap();
    let waiting = json!([{"address": "u@out.example", "kind": "message", "held": false, "reason": BUSY}]);
    let told = (&row["sender"], &row["state"], &row["then"], &row["attempts"], &row["recipients"]);
    assert_eq!(told, (&json!("x@elsewhere.example"), &json!("deferred"), &Value::Null, &json!(1), &waiting));
    assert!(row["due"].as_i64().unwrap() > row["received"].as_i64().unwrap(), "{row}");
    if json {
        let (code, text) = daemon.ask(&["queue", "show", id, "--format", "json"]);
        let shown: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(code, 0);
        for (name, value) in row.as_object().unwrap() {
            assert_eq!(&shown[name], value, "{name}");
        }
        assert!(shown["header"].as_str().unwrap().contains(&format!("Subject: {subject}\n")), "{text}");
        return;
    }
    let (code, text) = daemon.ask(&["queue", "show", id]);
    assert_eq!(code, 0, "{text}");
    for line in [
        format!("id         {id}"),
        "state      deferred".to_owned(),
        "sender     x@elsewhere.example".to_owned(),
        "attempts   1".to_owned(),
        format!("recipient  u@out.example ({BUSY})"),
        format!("Subject: {subject}"),
    ] {
        assert!(text.lines().any(|found| found == line), "no line {line:?} in\n{text}");
    }
    let (code, text) = daemon.ask(&["queue", "list"]);
    assert_eq!(code, 0, "{text}");
    let line = text.lines().find(|line| line.starts_with(id)).unwrap();
    assert!(line.contains("deferred") && line.ends_with(&format!("u@out.example ({BUSY})")), "{text}");
}

/// Whoever asks where no daemon is hears that, in every way of asking.
#[test]
fn a_daemon_that_is_not_there_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (address, _) = Hop::start();
    let mut daemon = start(folder.path(), address);
    let id = put_off(&daemon, "left");
    assert!(daemon.stop());
    for verb in ["list", "show", "hold", "release", "retry", "remove"] {
        for format in ["human", "json"] {
            let words = ["queue", verb, &id, "--format", format];
            let words: Vec<&str> = words.into_iter().filter(|word| verb != "list" || *word != id).collect();
            let (code, text) = daemon.ask(&words);
            assert_eq!(code, 2, "{verb}: {text}");
            assert!(
                text.starts_with("edictd: no daemon answers at ") && text.contains("admin.sock"),
                "{text}"
            );
        }
    }
    // Nothing was done to it by that.
    daemon.restart();
    assert!(stands(&daemon, &id).is_some());
}

/// Whoever knows the configuration need not know where the socket is; whichever folder he is in.
#[test]
fn a_daemon_is_found_by_its_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let (hop, _) = Hop::start();
    let daemon = start(folder.path(), hop);
    let elsewhere = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_edictd"));
        let out = command.args(words).current_dir(elsewhere.path()).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        (out.status.code().unwrap_or(-1), text)
    };
    let config = folder.path().join("edictd.ron");
    let config = config.to_str().unwrap();
    let nothing = (0, "nothing\n".to_owned());
    assert_eq!(run(&["queue", "--config", config]), nothing);
    assert_eq!(run(&["queue", "list", "--config", config]), nothing);
    assert_eq!(run(&["status", "--config", config]).0, 0);
    // Where `admin` names another socket, that is asked.
    let text = std::fs::read_to_string(config).unwrap();
    let other = folder.path().join("other.ron");
    std::fs::write(&other, text.replacen('(', "(admin: \"elsewhere.sock\", ", 1)).unwrap();
    let (code, said) = run(&["queue", "--config", other.to_str().unwrap()]);
    assert!(code == 2 && said.contains("elsewhere.sock"), "{code} {said}");
    let missing = run(&["queue", "--config", "nowhere.ron"]);
    assert!(missing.0 == 2 && missing.1.contains("nowhere.ron"), "{missing:?}");
    // Two answers to one question.
    assert_eq!(run(&["queue", "--config", config, "--data", "x"]).0, 2);
    drop(daemon);
}
