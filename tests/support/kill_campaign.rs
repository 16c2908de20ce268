//! Kills of a daemon under load, and what may have come twice to its next hop.
//!
//! RFC 5321 6.1, RFC 1047: a message comes twice only where the daemon is killed between the next hop's 250 and the record of
//! it. When that record is on disk is known without a clock: it is handed to the log before the queue is empty, and the log
//! is written in order, so once the queue was empty and one message more got its 250 all that came before stays where it is.
//! Each life of the daemon has such a moment, somewhere between its start and its kill; a daemon that forgets what it
//! delivered would be found out by the first one.

use super::daemon::Daemon;
use super::kill_load::KillLoad;
use super::life_sink::{Arrivals, LifeSink};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
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
    for kill in 0..kills {
        std::thread::sleep(random(250));
        load.send_alone(&format!("alone-{kill}-3"), || {
            daemon.wait_for_empty_queue();
            recorded.look(&sink.arrived.lock().unwrap());
        });
        std::thread::sleep(Duration::from_millis(20) + random(250));
        killed.push(Instant::now());
        daemon.kill();
        sink.next_life();
        daemon.restart();
    }
    let acknowledged = load.end();
    daemon.wait_for_empty_queue();
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
        "{kills} kills: {} acknowledged; {} reached the next hop, {} of them twice or more ({} copies too many, \
         the first at most {} ms before the kill), {} of them after they were recorded",
        acknowledged.len(),
        arrived.len(),
        twice.len(),
        copies - arrived.len(),
        longest.as_millis(),
        recorded.again.len(),
    ));
    let again = &recorded.again;
    assert!(again.is_empty(), "recorded as delivered, and delivered again: {again:?}");
    assert!(acknowledged.len() > 2 * kills as usize, "there was load");
    Survived { acknowledged, arrived }
}

/// A line that a test which passes shows, too: what the test framework keeps back is what its macros print.
pub fn tell(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn random(below: u64) -> Duration {
    Duration::from_millis(RandomState::new().build_hasher().finish() % below)
}

/// How often what is recorded as delivered came.
#[derive(Default)]
struct Recorded {
    times: BTreeMap<(String, String), usize>,
    again: BTreeSet<(String, String)>,
}

impl Recorded {
    /// All that came is to be recorded from now on.
    fn look(&mut self, arrived: &Arrivals) {
        for (what, copies) in arrived {
            if *self.times.entry(what.clone()).or_insert(copies.len()) != copies.len() {
                self.again.insert(what.clone());
            }
        }
    }
}
