//! Kills of a daemon under load, and what may have come twice to its next hop.
//!
//! RFC 5321 6.1, RFC 1047: a message comes twice only where the daemon is killed between the next hop's 250 and the record of
//! it. When that record is on disk is known without a clock: it is handed to the log, or is in the state of its message, before
//! the message is gone from the queue or waits for another attempt, and the log is written in order. So once nothing in the
//! queue was under way and one message more got its 250 all that came before stays where it is. Two in three lives of the
//! daemon have such a moment, somewhere between start and kill; a daemon that forgets what it delivered would be found out
//! by the first one. The others are killed at a random moment from the start of the process on, whatever it is at: in
//! recovery, or with all in its queue that those before left there.
//!
//! In some lives the next hop puts a part of the recipients off (450), so that messages wait in the deferred store.

use super::daemon::Daemon;
use super::kill_load::KillLoad;
use super::life_sink::{self, Arrivals, LifeSink};
use super::wait_for;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// What is left when all kills are over and the queue is empty.
pub struct Survived {
    /// The numbers of all messages that got a 250.
    pub acknowledged: BTreeSet<String>,
    /// What the next hop has.
    pub arrived: Arrivals,
}

/// So many kills at random moments. Asserts that nothing came again that was recorded, and nothing twice in one life; tells
/// how much came twice. Numbers that end with 3 must be of messages that are stored.
pub fn run(daemon: &mut Daemon, sink: &LifeSink, load: KillLoad, kills: u32) -> Survived {
    let mut recorded = Recorded::default();
    let mut killed = Vec::new();
    // Lives that were killed somewhere from their start on, and those that did not listen yet; messages sent alone.
    let (mut early, mut deaf, mut alone) = (0, 0, 0);
    // What the last start took until it listened, in milliseconds.
    let mut start = 500;
    for kill in 0..kills {
        if kill > 0 && chance(3) {
            daemon.spawn();
            std::thread::sleep(random(2 * start));
            daemon.assert_runs();
            early += 1;
            deaf += u32::from(TcpStream::connect(daemon.address).is_err());
        } else {
            if kill > 0 {
                let begun = Instant::now();
                daemon.restart();
                start = u64::try_from(begun.elapsed().as_millis()).unwrap().clamp(1, 5000);
            }
            std::thread::sleep(random(250));
            load.send_alone(&format!("alone-{kill}-3"), || recorded.look(&at_rest(daemon, sink)));
            alone += 1;
            std::thread::sleep(Duration::from_millis(20) + random(250));
        }
        killed.push(Instant::now());
        daemon.kill();
        sink.next_life();
        sink.puts_off.store(chance(2), Ordering::SeqCst);
    }
    daemon.restart();
    let acknowledged = load.end();
    drain(daemon, sink);
    let arrived = std::mem::take(&mut *sink.arrived.lock().unwrap());
    recorded.look(&arrived);

    let twice: Vec<_> = arrived.iter().filter(|(_, lives)| lives.len() > 1).collect();
    let copies = arrived.values().map(Vec::len).sum::<usize>();
    // How long it is between the 250 and the record hangs on the disk: that is told and not judged.
    let mut longest = Duration::ZERO;
    for (what, copies) in &twice {
        let apart: BTreeSet<_> = copies.iter().map(|(life, _)| life).collect();
        assert_eq!(apart.len(), copies.len(), "{what:?} came twice in one life: {copies:?}");
        for (life, when) in copies.iter().rev().skip(1) {
            let end = killed[usize::try_from(*life).unwrap()];
            longest = longest.max(end.saturating_duration_since(*when));
        }
    }
    tell(&format!(
        "{kills} kills, {early} of them at a random moment of a start, {deaf} before it listened: {} acknowledged; {} \
         reached the next hop, {} of them twice or more ({} copies too many, the first at most {} ms before the kill), {} \
         of them after they were recorded",
        acknowledged.len(),
        arrived.len(),
        twice.len(),
        copies - arrived.len(),
        longest.as_millis(),
        recorded.again.len(),
    ));
    let again = &recorded.again;
    assert!(again.is_empty(), "recorded as delivered, and delivered again: {again:?}");
    assert!(acknowledged.len() > alone, "there was load");
    Survived { acknowledged, arrived }
}

/// A line that a test which passes shows, too: what the test framework keeps back is what its macros print.
pub fn tell(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Nothing is put off any more, and all is delivered.
fn drain(daemon: &Daemon, sink: &LifeSink) {
    sink.puts_off.store(false, Ordering::SeqCst);
    wait_for("an empty queue", || {
        daemon.ask(&["queue", "retry", "--all"]);
        daemon.counter("queued") == 0
    });
}

/// What the next hop had before a moment at which nothing was under way, and all that waits had been tried in this life of the
/// daemon: of what the kill before it broke off nothing is recorded. Nor is it of whom that cost his 250, if he is put off in
/// this life: he is left out. Nobody may send meanwhile.
fn at_rest(daemon: &Daemon, sink: &LifeSink) -> Arrivals {
    let before: BTreeMap<_, _> =
        waiting(daemon).into_iter().map(|(id, attempts, _)| (id, attempts)).collect();
    daemon.ask(&["queue", "retry", "--all"]);
    wait_for("all to be tried", || {
        let was_tried = |(id, attempts, _): &Waiting| *attempts > before.get(id).copied().unwrap_or(0);
        waiting(daemon).iter().all(was_tried)
    });
    let mut arrived = Arrivals::default();
    wait_for("a queue at rest", || {
        // Before the list is read: what comes meanwhile may be under way.
        arrived = sink.arrived.lock().unwrap().clone();
        waiting(daemon).iter().all(|(.., deferred)| *deferred)
    });
    let puts_off = sink.puts_off.load(Ordering::SeqCst);
    arrived.retain(|(_, to), _| !(puts_off && life_sink::is_later(to)));
    arrived
}

/// A message in the queue, how often it was tried, and whether it waits for another attempt.
type Waiting = (String, u64, bool);

fn waiting(daemon: &Daemon) -> Vec<Waiting> {
    let (code, text) = daemon.ask(&["queue", "list", "--format", "json"]);
    assert_eq!(code, 0, "{text}");
    let list: serde_json::Value = serde_json::from_str(&text).unwrap();
    let one = |message: &serde_json::Value| {
        let id = message["id"].as_str().unwrap().to_owned();
        (id, message["attempts"].as_u64().unwrap(), message["state"] == "deferred")
    };
    list.as_array().unwrap().iter().map(one).collect()
}

fn random(below: u64) -> Duration {
    Duration::from_millis(any() % below)
}

/// Once in so many times.
fn chance(times: u64) -> bool {
    any().is_multiple_of(times)
}

fn any() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// How often what is recorded as delivered came.
#[derive(Default)]
struct Recorded {
    times: BTreeMap<(String, String), usize>,
    again: BTreeSet<(String, String)>,
}

impl Recorded {
    /// What came up to then is recorded from now on.
    fn look(&mut self, arrived: &Arrivals) {
        for (what, copies) in arrived {
            if *self.times.entry(what.clone()).or_insert(copies.len()) != copies.len() {
                self.again.insert(what.clone());
            }
        }
    }
}
