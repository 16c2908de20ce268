//! Counters that several daemons share in a real Redis: never past the limit, whoever dies or is away.
//!
//! Needs `redis-server` in the path (Debian: `redis-server`). Each test has one of its own, on a unix socket.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use edict_runtime::envelope::{MessageId, Usage};
use edict_runtime::quota::amount::{Amount, Unit, Window};
use edict_runtime::quota::book::{Bound, Need, Over};
use edict_runtime::quota::shared::{Shared, SharedSettings, WhenDown};
use edict_runtime::quota::{Quotas, Reservation, Unheld};
use edict_runtime::spool::Ledger;
use jiff::tz::TimeZone;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const NOW: i64 = 1_795_521_600_000;
const KEY: &str = "user:ann@example.com";

/// A Redis that ends with the test.
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
        let mut child = Command::new("redis-server")
            .args(["--port", "0", "--appendonly", "yes", "--unixsocket", "redis.sock"])
            .current_dir(folder)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is needed for this test");
        let socket = folder.join("redis.sock");
        for _ in 0..12_000 {
            if std::os::unix::net::UnixStream::connect(&socket).is_ok() {
                return child;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
        panic!("redis-server did not come up");
    }

    fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let _ = std::fs::remove_file(self.folder.path().join("redis.sock"));
    }

    fn again(&mut self) {
        self.child = Self::spawn(self.folder.path());
    }

    fn settings(&self, down: WhenDown) -> SharedSettings {
        SharedSettings {
            url: format!("unix://{}", self.folder.path().join("redis.sock").display()),
            prefix: "edict:".to_owned(),
            down,
            // A Redis that is slow for once is not away.
            timeout: Duration::from_secs(60),
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One daemon: its counters, and what its log holds.
struct Daemon {
    quotas: Arc<Quotas>,
    seq: AtomicU64,
}

impl Daemon {
    fn start(file: &Path, log: &[Vec<Usage>], settings: SharedSettings) -> Self {
        let quotas = Arc::new(Quotas::open(file, "UTC").unwrap());
        for (place, usage) in log.iter().enumerate() {
            quotas.replay(place as u64 + 1, usage);
        }
        quotas.share(settings).unwrap();
        Self { quotas, seq: AtomicU64::new(log.len() as u64) }
    }

    async fn hold(&self, id: u64, most: u64) -> Result<Reservation, Unheld> {
        self.hold_for(KEY, id, most, NOW).await
    }

    async fn hold_for(&self, key: &str, id: u64, most: u64, now: i64) -> Result<Reservation, Unheld> {
        let bound = Bound { unit: Unit::Messages, most, window: Window::CalendarDay, warn_from: None };
        let add = Amount { messages: 1, recipients: 2, bytes: 100 };
        let need = [Need { key: key.to_owned(), add, bounds: vec![(0, bound)] }];
        self.quotas.hold(MessageId(id), &need, now, &TimeZone::UTC).await.map(|(held, _)| held)
    }

    /// As the spool does it: durable, then told to the ledger.
    fn commit(&self, held: Reservation) -> Vec<Usage> {
        let usage = held.usage().to_vec();
        self.quotas.committed(self.seq.fetch_add(1, Ordering::SeqCst) + 1, &usage);
        held.keep();
        usage
    }

    /// What all daemons together have used.
    async fn together(redis: &Redis) -> u64 {
        let asker = Shared::new(redis.settings(WhenDown::Defer), "asker".to_owned()).unwrap();
        asker.counter(KEY).await.unwrap().since(0).messages
    }
}

/// Messages that are held and neither kept nor given back yet, in Redis' eyes.
async fn open(redis: &Redis) -> i64 {
    let client = redis::Client::open(redis.settings(WhenDown::Defer).url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> =
        redis::cmd("KEYS").arg("edict:open:*").query_async(&mut connection).await.unwrap();
    let mut all = 0;
    for key in keys {
        let own: i64 = redis::cmd("HLEN").arg(&key).query_async(&mut connection).await.unwrap();
        all += own;
    }
    all
}

async fn until(what: &str, mut test: impl AsyncFnMut() -> bool) {
    for _ in 0..6_000 {
        if test().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never came true: {what}");
}

fn file(folder: &tempfile::TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}

/// Quota and counter races: parallel sessions of two daemons.
#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_at_once_never_exceed_the_limit() {
    let redis = Redis::start();
    let folder = tempfile::tempdir().unwrap();
    let start = |name| Arc::new(Daemon::start(&file(&folder, name), &[], redis.settings(WhenDown::Defer)));
    let daemons = [start("a"), start("b")];
    let mut sessions = Vec::new();
    for session in 0..40_u64 {
        let daemon = Arc::clone(&daemons[session as usize % 2]);
        sessions.push(tokio::spawn(async move {
            let mut kept = 0;
            for attempt in 0..25 {
                match daemon.hold(session * 1000 + attempt + 1, 200).await {
                    // Some messages come to nothing after all.
                    Ok(held) if attempt % 5 == 4 => drop(held),
                    Ok(held) => {
                        daemon.commit(held);
                        kept += 1;
                    }
                    Err(error) => assert_eq!(error, Unheld::Over(Over::Bound(0, Unit::Messages))),
                }
            }
            kept
        }));
    }
    let mut kept = 0;
    for session in sessions {
        kept += session.await.unwrap();
    }
    assert!(kept <= 200, "{kept}");
    // What was given back is free again.
    let mut id = 900_000;
    until("the rest can be used", async || {
        id += 1;
        if let Ok(held) = daemons[id as usize % 2].hold(id, 200).await {
            daemons[id as usize % 2].commit(held);
            kept += 1;
        }
        kept == 200
    })
    .await;
    assert!(daemons[0].hold(1_000_000, 200).await.is_err());
    assert_eq!(Daemon::together(&redis).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_dies_keeps_what_is_durable_and_gives_back_the_rest() {
    let redis = Redis::start();
    let folder = tempfile::tempdir().unwrap();
    let mut log = Vec::new();
    {
        let daemon = Daemon::start(&file(&folder, "a"), &[], redis.settings(WhenDown::Defer));
        for id in 1..=3 {
            let held = daemon.hold(id, 10).await.unwrap();
            log.push(daemon.commit(held));
        }
        // Durable, but the daemon dies before it can say so: what the log replays says it later.
        let held = daemon.hold(4, 10).await.unwrap();
        log.push(held.usage().to_vec());
        let lost = daemon.hold(5, 10).await.unwrap();
        assert_eq!(Daemon::together(&redis).await, 5);
        // As a kill does it: neither kept nor given back.
        until("the first three are confirmed", async || open(&redis).await == 2).await;
        std::mem::forget((held, lost));
        // The database of a daemon that is gone is free; here a copy has to do.
        std::fs::copy(file(&folder, "a"), file(&folder, "b")).unwrap();
    }
    let daemon = Daemon::start(&file(&folder, "b"), &log, redis.settings(WhenDown::Defer));
    until("the lost one is given back", async || Daemon::together(&redis).await == 4).await;
    daemon.quotas.checkpoint(4).unwrap();
    assert!(daemon.hold(6, 4).await.is_err());
    assert!(daemon.hold(7, 5).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_mail_waits_or_is_counted_here_and_brought_later() {
    let mut redis = Redis::start();
    let folder = tempfile::tempdir().unwrap();
    let waits = Daemon::start(&file(&folder, "a"), &[], redis.settings(WhenDown::Defer));
    let counts = Daemon::start(&file(&folder, "b"), &[], redis.settings(WhenDown::CountLocally));
    for id in 1..=2 {
        counts.commit(counts.hold(id, 5).await.unwrap());
    }
    redis.stop();
    assert_eq!(waits.hold(10, 5).await.unwrap_err(), Unheld::Down);
    // What it counted itself before still counts.
    for id in 3..=5 {
        counts.commit(counts.hold(id, 5).await.unwrap());
    }
    assert_eq!(counts.hold(6, 5).await.unwrap_err(), Unheld::Over(Over::Bound(0, Unit::Messages)));
    // Chores outlast the log and the daemon.
    counts.quotas.checkpoint(5).unwrap();
    drop(counts);
    redis.again();
    let mut counts = None;
    until("the database is free", async || match Quotas::open(&file(&folder, "b"), "UTC") {
        Ok(quotas) => {
            counts = Some(Arc::new(quotas));
            true
        }
        Err(_) => false,
    })
    .await;
    let counts = counts.unwrap();
    assert_eq!(counts.covered(), 5);
    counts.share(redis.settings(WhenDown::CountLocally)).unwrap();
    until("all is counted together", async || Daemon::together(&redis).await == 5).await;
    until("the other one goes on", async || waits.hold(11, 6).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_for_all_and_a_late_refund_takes_nothing_back() {
    let redis = Redis::start();
    let folder = tempfile::tempdir().unwrap();
    let image = edict_table::emit::emit(&edict_table::model::Table::default());
    let table = Arc::new(edict_table::load::Loaded::new(Arc::new(image)).unwrap());
    let one = Daemon::start(&file(&folder, "a"), &[], redis.settings(WhenDown::Defer));
    let two = Daemon::start(&file(&folder, "b"), &[], redis.settings(WhenDown::Defer));
    one.commit(one.hold(1, 2).await.unwrap());
    let late = two.hold(2, 2).await.unwrap();
    assert!(one.hold(3, 2).await.is_err());
    one.quotas.reset_everywhere(&table, "ann@example.com", NOW).await.unwrap();
    one.commit(one.hold(4, 2).await.unwrap());
    drop(late);
    one.commit(one.hold(5, 2).await.unwrap());
    until("all is kept or given back", async || open(&redis).await == 0).await;
    assert!(two.hold(6, 2).await.is_err());
    assert_eq!(Daemon::together(&redis).await, 2);
    // Either daemon shows what both have sent.
    for daemon in [&one, &two] {
        let usage = daemon.quotas.usage_everywhere(&table, "ann@example.com", NOW).await.unwrap();
        assert_eq!(usage.today.messages, 2);
    }
}

/// Ninety days and all users are told by either daemon as both together counted them.
#[tokio::test(flavor = "multi_thread")]
async fn the_history_and_the_list_are_those_of_all_daemons() {
    const DAY: i64 = 24 * 3_600_000;
    let mut redis = Redis::start();
    let folder = tempfile::tempdir().unwrap();
    let image = edict_table::emit::emit(&edict_table::model::Table::default());
    let table = Arc::new(edict_table::load::Loaded::new(Arc::new(image)).unwrap());
    let one = Daemon::start(&file(&folder, "a"), &[], redis.settings(WhenDown::CountLocally));
    let two = Daemon::start(&file(&folder, "b"), &[], redis.settings(WhenDown::CountLocally));
    let mut id = 0;
    // A message of each on every day, and one that came to nothing.
    for back in (0..=100).rev() {
        let now = NOW - back * DAY;
        for daemon in [&one, &two] {
            id += 1;
            daemon.commit(daemon.hold_for(KEY, id, 1000, now).await.unwrap());
        }
        id += 1;
        drop(one.hold_for(KEY, id, 1000, now).await.unwrap());
    }
    let usage =
        async |daemon: &Daemon| daemon.quotas.usage_everywhere(&table, "ann@example.com", NOW).await.unwrap();
    until("what came to nothing is given back", async || {
        usage(&one).await.earlier.iter().all(|day| day.messages == 2) && usage(&two).await.today.messages == 2
    })
    .await;
    for daemon in [&one, &two] {
        let usage = usage(daemon).await;
        assert_eq!(usage.earlier.len(), 90);
        assert_eq!((usage.earlier[0].recipients, usage.earlier[89].bytes), (4, 200));
        let dates: Vec<&str> = usage.earlier.iter().map(|day| day.date.as_str()).collect();
        assert!(dates.is_sorted_by(|a, b| a > b), "{dates:?}");
    }

    // Counted alone while Redis is away, for its day.
    redis.stop();
    one.commit(one.hold_for(KEY, 5000, 1000, NOW - DAY).await.unwrap());
    redis.again();
    until("it is brought to Redis", async || {
        let told = two.quotas.usage_everywhere(&table, "ann@example.com", NOW).await;
        told.is_ok_and(|told| told.earlier[0].messages == 3)
    })
    .await;

    // Whoever sent most in the last day stands first; a user of one daemon is told by the other.
    for other in 0..9 {
        id += 1;
        two.commit(two.hold_for("user:bob@example.com", id, 1000, NOW - other).await.unwrap());
    }
    id += 1;
    one.commit(one.hold_for("user:old@example.com", id, 1000, NOW - 2 * DAY).await.unwrap());
    for daemon in [&one, &two] {
        let all = daemon.quotas.usage_of_all_everywhere(&table, NOW).await.unwrap();
        let all: Vec<_> = all.iter().map(|each| (each.user.as_str(), each.today.messages)).collect();
        assert_eq!(all, [("bob@example.com", 9), ("ann@example.com", 2)]);
    }

    // A reset forgets today and no day before.
    one.quotas.reset_everywhere(&table, "ann@example.com", NOW).await.unwrap();
    let after = usage(&two).await;
    assert_eq!((after.today.messages, after.last_24_hours.messages, after.earlier.len()), (0, 0, 90));
}

/// A daemon refuses at RCPT by what it remembers itself: that ends with a reset anywhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_heard_of_by_all_daemons() {
    let redis = Redis::start();
    let folder = tempfile::tempdir().unwrap();
    let image = edict_table::emit::emit(&edict_table::model::Table::default());
    let table = Arc::new(edict_table::load::Loaded::new(Arc::new(image)).unwrap());
    let one = Daemon::start(&file(&folder, "a"), &[], redis.settings(WhenDown::Defer));
    let two = Daemon::start(&file(&folder, "b"), &[], redis.settings(WhenDown::Defer));
    let now = || {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        i64::try_from(since.as_millis()).unwrap()
    };
    let own = |daemon: &Daemon| daemon.quotas.used(KEY, Window::Rolling, now(), &TimeZone::UTC).messages;
    two.commit(two.hold_for(KEY, 1, 9, now()).await.unwrap());
    two.commit(two.hold_for(KEY, 2, 9, now()).await.unwrap());
    assert_eq!((own(&one), own(&two)), (0, 2));
    one.quotas.reset_everywhere(&table, "ann@example.com", now()).await.unwrap();
    until("the other one hears of it", async || own(&two) == 0).await;
    // Once each: what is counted after it stays, when the next one is heard of.
    two.commit(two.hold_for(KEY, 3, 9, now()).await.unwrap());
    let bob = "user:bob@example.com";
    two.commit(two.hold_for(bob, 4, 9, now()).await.unwrap());
    one.quotas.reset_everywhere(&table, "bob@example.com", now()).await.unwrap();
    let of_bob = || two.quotas.used(bob, Window::Rolling, now(), &TimeZone::UTC).messages;
    until("the other one hears of bob's", async || of_bob() == 0).await;
    assert_eq!(own(&two), 1);
    // Nobody of that name.
    assert!(one.quotas.reset_everywhere(&table, "nobody@example.com", now()).await.is_err());
}
