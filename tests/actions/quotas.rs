//! Quotas on the wire: exact under many sessions and kills, alone and with others in one Redis.

use crate::support::client::Client;
use crate::support::daemon::Daemon;
use crate::support::taker::Taker;
use crate::support::{at_noon, build_table, counting_sink, start_actions, start_with_users, wait_for};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const SENT: &str = "From: bob@example.com\nSubject: [plain] x\n\nHi";

fn main_rules() -> String {
    at_noon(&std::fs::read_to_string("tests/rules/actions/main.edict").unwrap())
}

/// The rules with another limit for everyone, and every client here trusted, so that none has to log in.
fn table_with(folder: &Path, limit: usize) -> std::path::PathBuf {
    let table = folder.join("edict.table");
    build_table("actions", &table, |sources| {
        let main = main_rules().replace("at most 1000 messages", &format!("at most {limit} messages"));
        sources.insert("main.edict", main.replace("[192.0.2.1]", "[127.0.0.0/8]"));
    });
    table
}

/// Several limits in one rule, its own reply, and a warning in the log where the threshold is passed.
#[test]
fn the_rule_says_what_is_counted_and_what_is_replied() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME"]);
    let mut daemon = start_actions(folder.path(), relay.address, "");
    let mut bob = Client::login(daemon.address, "bob@example.com").unwrap();
    let two = ["a@outside.example", "b@outside.example"];
    for _ in 0..3 {
        assert!(bob.message("bob@example.com", &two, SENT).unwrap().starts_with("250"));
    }
    let warned = daemon.read_log().contains("quota runs low");
    assert!(!warned, "six of eight recipients and three of five messages are below 80 %");
    // What is refused for another reason counts nothing: here an unknown recipient beside two outside ones.
    let reply = bob.message("bob@example.com", &["a@outside.example", "nobody@example.com"], SENT).unwrap();
    assert!(reply.starts_with("550 5.1.1"), "{reply}");
    // Crossing with this message refuses the whole of it, and what is inside still goes.
    let three = ["a@outside.example", "b@outside.example", "c@outside.example"];
    let reply = bob.message("bob@example.com", &three, SENT).unwrap();
    assert!(reply.starts_with("550 5.7.1 Enough for today"), "{reply}");
    assert!(bob.message("bob@example.com", &["ann@example.com"], SENT).unwrap().starts_with("250"));
    assert!(bob.message("bob@example.com", &two, SENT).unwrap().starts_with("250"));
    let line = daemon.wait_for_log(&["quota runs low", "recipients", "used=8"]);
    assert!(line.contains("most=8") && line.contains("bob"), "{line}");
    daemon.wait_for_log(&["quota runs low", "messages", "used=4"]);
    // Used up: refused at RCPT from now on, also after a kill.
    daemon.kill();
    daemon.restart();
    let mut bob = Client::login(daemon.address, "bob@example.com").unwrap();
    let reply = bob.message("bob@example.com", &["a@outside.example"], SENT).unwrap();
    assert!(reply.starts_with("550 5.7.1 Enough for today"), "{reply}");
    let (code, text) = daemon.ask(&["usage", "bob@example.com"]);
    assert!(code == 0 && text.contains("bob@example.com") && text.contains("  4         8 "), "{text}");
    // What is counted for nobody is told, and nothing is said to be done.
    let (code, text) = daemon.ask(&["usage", "reset", "nobody@example.com"]);
    assert!(code == 1 && text.contains("nothing is counted for `nobody@example.com`"), "{text}");
    // A reset is for the day, is logged, and survives the next kill.
    assert_eq!(daemon.ask(&["usage", "reset", "bob@example.com"]).0, 0);
    daemon.wait_for_log(&["quota usage reset", "user:bob@example.com"]);
    daemon.kill();
    daemon.restart();
    let mut bob = Client::login(daemon.address, "bob@example.com").unwrap();
    assert!(bob.message("bob@example.com", &two, SENT).unwrap().starts_with("250"));
    let (_, text) = daemon.ask(&["usage", "bob@example.com", "--format", "json"]);
    let usage: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (usage["today"]["messages"].as_u64(), usage["today"]["recipients"].as_u64()),
        (Some(1), Some(2))
    );
}

/// Every counter can be seen and reset, not those of users alone; `+` makes nobody another sender.
#[test]
fn counters_of_senders_domains_and_rules_are_told_and_reset() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Taker::start(&["8BITMIME"]);
    let table = folder.path().join("edict.table");
    build_table("actions", &table, |sources| {
        let more = ["sender", "sender.domain", "rule"].map(|per| {
            let name = per.replace('.', " ");
            format!("quota \"two of a {name}\" {{\n    per {per}\n    when subject contains \"[{name}]\"\n    at most 2 messages per day\n}}\n")
        });
        sources.insert("main.edict", main_rules() + "\n" + &more.join("\n"));
    });
    let daemon = start_with_users(folder.path(), &table, relay.address, "");
    let mut ann = Client::login(daemon.address, "ann@example.com").unwrap();
    for (name, counter) in [
        ("sender", "sender:ann@example.com"),
        ("sender domain", "domain:example.com"),
        ("rule", "rule:two of a rule"),
    ] {
        let mut number = 0;
        let mut send = || {
            number += 1;
            let from = format!("ann+{number}@example.com");
            let mail = format!("From: {from}\nSubject: [{name}]\n\nHi");
            ann.message(&from, &["far@outside.example"], &mail).unwrap()
        };
        assert!(send().starts_with("250") && send().starts_with("250"), "{name}");
        let reply = send();
        assert!(reply.starts_with("452"), "{name}: {reply}");
        let (_, text) = daemon.ask(&["usage"]);
        assert!(text.contains(counter), "{text}");
        assert_eq!(daemon.ask(&["usage", "reset", counter]).0, 0);
        let (_, text) = daemon.ask(&["usage", counter, "--format", "json"]);
        let usage: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((usage["user"].as_str(), usage["today"]["messages"].as_u64()), (Some(counter), Some(0)));
        assert!(send().starts_with("250"), "{name}");
    }
}

/// Makes all attempts over so many sessions; a session whose daemon is gone comes back. Counts how many got a 250, and
/// begins none while as many did as may by now.
fn storm(
    daemons: &[SocketAddr],
    sessions: usize,
    attempts: usize,
    taken: &Arc<AtomicUsize>,
    may: &AtomicUsize,
) {
    let next = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for session in 0..sessions {
            let (next, taken) = (Arc::clone(&next), Arc::clone(taken));
            let address = daemons[session % daemons.len()];
            scope.spawn(move || {
                let mut client = None;
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= attempts {
                        return;
                    }
                    while taken.load(Ordering::SeqCst) >= may.load(Ordering::SeqCst) {
                        std::thread::sleep(std::time::Duration::from_millis(1));
                    }
                    let message =
                        format!("X-Number: {number}\nFrom: ann@example.com\nSubject: [plain] x\n\nHi");
                    loop {
                        let mut open = match client.take() {
                            Some(open) => open,
                            None => match Client::hello(address) {
                                Ok(open) => open,
                                Err(_) => {
                                    std::thread::sleep(std::time::Duration::from_millis(20));
                                    continue;
                                }
                            },
                        };
                        match open.message("ann@example.com", &["far@outside.example"], &message) {
                            Ok(reply) => {
                                taken.fetch_add(usize::from(reply.starts_with("250")), Ordering::SeqCst);
                                assert!(
                                    reply.starts_with("250")
                                        || reply.starts_with("452 4.7.1 Daily quota reached"),
                                    "{reply}"
                                );
                                client = Some(open);
                            }
                            // Whether it was taken is not known: no second attempt, which would count twice.
                            Err(_) => client = None,
                        }
                        break;
                    }
                }
            });
        }
    });
}

fn used(daemon: &Daemon) -> u64 {
    let (code, text) = daemon.ask(&["usage", "ann@example.com", "--format", "json"]);
    assert_eq!(code, 0, "{text}");
    let usage: serde_json::Value = serde_json::from_str(&text).unwrap();
    usage["today"]["messages"].as_u64().unwrap()
}

/// A hundred sessions of one user, five thousand attempts, a limit of a thousand, SIGKILL in between: exactly a
/// thousand messages reach the next hop, and the counter says so. `EDICT_QUOTA_KILLS` says how often (long: 40).
#[test]
fn exactly_the_limit_gets_through_with_kills_in_between() {
    const LIMIT: usize = 1_000;
    let kills: usize = std::env::var("EDICT_QUOTA_KILLS").map_or(4, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (sink, counts) = counting_sink::start();
    let table = table_with(folder.path(), LIMIT);
    let mut daemon = start_with_users(folder.path(), &table, sink, "");
    let taken = Arc::new(AtomicUsize::new(0));
    let (address, seen) = (daemon.address, Arc::clone(&taken));
    // On a busy machine a kill may come late: not all may be through by then.
    let may = Arc::new(AtomicUsize::new(0));
    let its = Arc::clone(&may);
    let work = std::thread::spawn(move || storm(&[address], 100, 5_000, &seen, &its));
    let mut at_kill = Vec::new();
    for kill in 1..=kills {
        let goal = LIMIT * kill / (kills + 1);
        may.store(goal + 150, Ordering::SeqCst);
        wait_for("the next kill", || taken.load(Ordering::SeqCst) >= goal || work.is_finished());
        daemon.kill();
        at_kill.push(taken.load(Ordering::SeqCst));
        daemon.restart();
    }
    may.store(usize::MAX, Ordering::SeqCst);
    work.join().unwrap();
    assert!(
        at_kill.iter().filter(|taken| (1..LIMIT).contains(*taken)).count() >= kills.min(3),
        "{at_kill:?}"
    );
    let arrived = || counts.lock().unwrap().len();
    daemon.wait_for_empty_queue();
    assert_eq!(
        (arrived(), used(&daemon)),
        (LIMIT, LIMIT as u64),
        "250 was said {} times",
        taken.load(Ordering::SeqCst)
    );
    // Whatever got a 250 is among them.
    assert!(
        taken.load(Ordering::SeqCst) <= LIMIT
            && taken.load(Ordering::SeqCst) >= LIMIT.saturating_sub(100 * kills)
    );
}

/// A Redis of this test's own.
struct Redis {
    folder: tempfile::TempDir,
    child: Child,
}

impl Redis {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = Self::spawn(folder.path());
        Self { folder, child }
    }

    fn spawn(folder: &Path) -> Child {
        let child = Command::new("redis-server")
            .args(["--port", "0", "--appendonly", "yes", "--unixsocket", "redis.sock"])
            .current_dir(folder)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed by tests/run");
        wait_for("redis-server", || UnixStream::connect(folder.join("redis.sock")).is_ok());
        child
    }

    fn keys(&self, when_down: &str) -> String {
        let socket = self.folder.path().join("redis.sock");
        format!(
            "shared_quota: (url: \"unix://{}\", when_down: {when_down}, timeout_ms: 5000),",
            socket.display()
        )
    }

    fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let _ = std::fs::remove_file(self.folder.path().join("redis.sock"));
    }

    fn again(&mut self) {
        self.child = Self::spawn(self.folder.path());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn two_daemons_with_one_redis_let_exactly_the_limit_through() {
    const LIMIT: usize = 300;
    let redis = Redis::start();
    let (sink, counts) = counting_sink::start();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut daemons: Vec<Daemon> = folders
        .iter()
        .map(|folder| {
            start_with_users(folder.path(), &table_with(folder.path(), LIMIT), sink, &redis.keys("defer"))
        })
        .collect();
    let addresses: Vec<SocketAddr> = daemons.iter().map(|daemon| daemon.address).collect();
    let taken = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&taken);
    let may = Arc::new(AtomicUsize::new(LIMIT / 2));
    let its = Arc::clone(&may);
    let work = std::thread::spawn(move || storm(&addresses, 40, 1_000, &seen, &its));
    // One of them dies in the middle and comes back.
    wait_for("the kill", || taken.load(Ordering::SeqCst) >= LIMIT / 3 || work.is_finished());
    daemons[1].kill();
    daemons[1].restart();
    may.store(usize::MAX, Ordering::SeqCst);
    work.join().unwrap();
    // What died between its reservation and its record is given back when the daemon is up again, so that a last
    // few may still go.
    let mut more = 1_000;
    wait_for("the limit to be used up", || {
        let mut client = Client::hello(daemons[more % 2].address).unwrap();
        let message = format!("X-Number: {more}\nFrom: ann@example.com\nSubject: [plain] x\n\nHi");
        let reply = client.message("ann@example.com", &["far@outside.example"], &message).unwrap();
        more += 1;
        !reply.starts_with("250") && used(&daemons[0]) == LIMIT as u64
    });
    daemons.iter().for_each(Daemon::wait_for_empty_queue);
    assert_eq!(counts.lock().unwrap().len(), LIMIT);
    assert_eq!((used(&daemons[0]), used(&daemons[1])), (LIMIT as u64, LIMIT as u64), "either daemon says so");
}

#[test]
fn without_redis_mail_waits_or_is_counted_here_and_brought_later() {
    let mut redis = Redis::start();
    let (sink, _) = counting_sink::start();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let start = |folder: &tempfile::TempDir, when_down: &str| {
        start_with_users(folder.path(), &table_with(folder.path(), 5), sink, &redis.keys(when_down))
    };
    let (waits, counts) = (start(&folders[0], "defer"), start(&folders[1], "count_locally"));
    let number = Mutex::new(0);
    let send = |daemon: &Daemon, to: &str| {
        let mut client = Client::hello(daemon.address).unwrap();
        let mut number = number.lock().unwrap();
        *number += 1;
        let message = format!("X-Number: {number}\nFrom: ann@example.com\nSubject: [plain] x\n\nHi");
        client.message("ann@example.com", &[to], &message).unwrap()
    };
    let far = "far@outside.example";
    assert!(send(&waits, far).starts_with("250"));
    assert!(send(&counts, far).starts_with("250"));
    redis.stop();
    let reply = send(&waits, far);
    assert!(reply.starts_with("451 4.3.0"), "{reply}");
    assert!(send(&waits, "bob@example.com").starts_with("250"), "what stays inside needs no counter");
    // This one counts on by itself, against what it knows: its own.
    for _ in 0..4 {
        let reply = send(&counts, far);
        assert!(reply.starts_with("250"), "{reply}");
    }
    let reply = send(&counts, far);
    assert!(reply.starts_with("452 4.7.1"), "{reply}");
    redis.again();
    // Brought together: one of the first daemon, five of the second. Redis counts both, so neither takes more.
    wait_for("the counters to come together", || {
        let (code, text) = waits.ask(&["usage", "ann@example.com", "--format", "json"]);
        let usage: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        code == 0 && usage["today"]["messages"] == 6
    });
    for daemon in [&waits, &counts] {
        wait_for("Redis to be asked again", || send(daemon, far).starts_with("452 4.7.1"));
    }
    // Either of them lists what both have sent.
    let lists: BTreeSet<String> = [&waits, &counts].iter().map(|d| d.ask(&["usage"]).1).collect();
    assert!(lists.len() == 1 && lists.iter().all(|text| text.contains("ann@example.com")), "{lists:?}");
    // A reset at one is one at the other, before it asks Redis too.
    let (code, text) = waits.ask(&["usage", "reset", "ann@example.com"]);
    assert_eq!(code, 0, "{text}");
    for daemon in [&counts, &waits] {
        wait_for("the reset to be heard of", || send(daemon, far).starts_with("250"));
    }
}
