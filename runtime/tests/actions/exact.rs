//! Exactness under concurrency and crashes: a hundred sessions of one user, five thousand attempts, a
//! quota of a thousand, SIGKILL at random moments: a thousand records, no more and no fewer.
//!
//! The test starts this same program again as the daemon that is killed. Every record that became durable
//! is either still in the log or was delivered, which here means noted in a file.

use crate::support::{Mail, NOON, Rules, When, quota};
use edict_runtime::acceptor::Acceptor;
use edict_runtime::actions::{Pipeline, Store, Storing};
use edict_runtime::envelope::{MessageId, Record};
use edict_runtime::quota::Quotas;
use edict_runtime::spool::{Note, Options, Recovery, Spool, SpoolError};
use edict_table::load::Loaded;
use edict_table::model::{Quota, QuotaPer};
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const FOLDER: &str = "EDICT_EXACT_FOLDER";
/// So many records, and no more are begun: the kill is to come in the middle of the work, however late it is.
const MOST: &str = "EDICT_EXACT_MOST";
const SESSIONS: usize = 100;
const ATTEMPTS: usize = 5_000;
const LIMIT: u64 = 1_000;

/// Stores in the real spool and delivers at once, so that segments are given back and counters saved.
struct Line {
    spool: Spool,
    delivered: File,
}

impl Store for Line {
    fn ready(&self) -> Result<(), SpoolError> {
        self.spool.ready()
    }

    fn submit(&self, record: Record) -> Storing<'_> {
        Box::pin(async move {
            let id = record.id;
            let position = self.spool.append(Arc::new(record)).await?;
            (&self.delivered).write_all(format!("{id}\n").as_bytes()).unwrap();
            self.spool.note(&Note::Done(id));
            self.spool.release(position);
            Ok(())
        })
    }
}

fn table() -> Arc<Loaded> {
    let rule = Quota { messages: Some(LIMIT), ..quota(QuotaPer::User) };
    Rules::new().quota("q", 100, When::Always, rule).load()
}

fn open(folder: &Path) -> (Arc<Quotas>, Spool, Recovery) {
    let quotas = Arc::new(Quotas::open(&folder.join("quota.redb"), "UTC").unwrap());
    let options = Options { segment: 64 << 10, reserve: 0, spare: 2 };
    let ledger: Arc<Quotas> = Arc::clone(&quotas);
    let (spool, recovery) = Spool::open(folder, options, ledger).unwrap();
    (quotas, spool, recovery)
}

/// What the child does until it is killed or has made all attempts.
fn serve(folder: &Path) {
    let most: usize = std::env::var(MOST).map_or(usize::MAX, |text| text.parse().unwrap());
    let taken = Arc::new(AtomicUsize::new(delivered(folder)));
    let table = table();
    let (quotas, spool, _) = open(folder);
    let delivered = OpenOptions::new().append(true).create(true).open(folder.join("delivered")).unwrap();
    let store = Arc::new(Line { spool, delivered });
    let pipeline = Arc::new(Pipeline::open(folder, "host.example", quotas, store).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut sessions = Vec::new();
        for _ in 0..SESSIONS {
            let (pipeline, table, taken) = (Arc::clone(&pipeline), Arc::clone(&table), Arc::clone(&taken));
            sessions.push(tokio::spawn(async move {
                for _ in 0..ATTEMPTS / SESSIONS {
                    while taken.load(Ordering::SeqCst) >= most {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    let mut mail = Mail::submitted(&table, "ann@example.com", &["far@other.example"]).0;
                    mail.id = pipeline.next_id();
                    taken.fetch_add(
                        usize::from(pipeline.accept(Box::new(mail)).await.is_ok()),
                        Ordering::SeqCst,
                    );
                }
            }));
        }
        for session in sessions {
            session.await.unwrap();
        }
    });
}

/// Every record that ever became durable.
fn records(folder: &Path) -> (HashSet<MessageId>, u64) {
    let (quotas, _spool, recovery) = open(folder);
    let used = quotas.usage(&table(), "ann@example.com", NOON).unwrap().today.messages;
    let text = std::fs::read_to_string(folder.join("delivered")).unwrap_or_default();
    let mut all: HashSet<MessageId> = text.lines().filter_map(|line| line.parse().ok()).collect();
    all.extend(recovery.log.iter().map(|found| found.id));
    (all, used)
}

fn delivered(folder: &Path) -> usize {
    std::fs::read(folder.join("delivered")).map_or(0, |text| text.iter().filter(|b| **b == b'\n').count())
}

fn child(folder: &Path, most: usize) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["exact::exactly_a_thousand_records_with_kills_in_between", "--exact"])
        .env(FOLDER, folder)
        .env(MOST, most.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn exactly_a_thousand_records_with_kills_in_between() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return serve(&PathBuf::from(folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut counts = Vec::new();
    // Once while everything is being made, then in the middle of the work.
    for goal in [0, 1, 90, 250, 480, 700, 930] {
        let mut daemon = child(folder.path(), goal + 20);
        while delivered(folder.path()) < goal && daemon.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = daemon.kill();
        daemon.wait().unwrap();
        let (all, used) = records(folder.path());
        assert!(all.len() as u64 <= LIMIT, "{} records", all.len());
        assert_eq!(used, all.len() as u64, "the counter is what is durable");
        counts.push(used);
    }
    assert!(child(folder.path(), usize::MAX).wait().unwrap().success());
    let (all, used) = records(folder.path());
    assert_eq!((all.len() as u64, used), (LIMIT, LIMIT), "after {counts:?}");
    assert!(
        counts.windows(2).filter(|pair| pair[0] < pair[1]).count() > 3,
        "kills fell into the work: {counts:?}"
    );
}
