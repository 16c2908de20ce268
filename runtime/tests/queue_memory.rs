//! What a message that waits costs in memory: its name and when it is due or where it lies, nothing of itself.
//!
//! `EDICT_QUEUED` sets how many are deferred; 4,000 by default, 1,000,000 in the long form (it needs 10 GB of disk).
//! `EDICT_FRESH` sets how many wait for their first attempt; 20,000 by default.

#[cfg(test)]
mod tests {
    use edict_runtime::envelope::{
        Body, Dispatch, DispatchKind, MessageId, Notify, Record, Submitted, Target, Variant,
    };
    use edict_runtime::live::Live;
    use edict_runtime::queue::{Outside, Queue, Settings};
    use edict_runtime::spool::deferred::State;
    use edict_runtime::spool::{NoLedger, Options, Spool};
    use edict_table::load::Loaded;
    use peak_alloc::PeakAlloc;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    #[global_allocator]
    static ALLOCATOR: PeakAlloc = PeakAlloc;
    /// The allocator is that of the whole process: one test at a time.
    static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

    /// Bytes that one message may cost while it waits: two entries of 16 bytes, and their share of the trees.
    const MOST: usize = 100;
    /// Those that are looked at together hold their messages for a moment, however many wait.
    const AT_ONCE: usize = 256 << 10;

    fn table() -> Arc<Loaded> {
        let mut sources = edict_compiler::source::Sources::default();
        let text = "edict 1\nprofile {\nhostname mx.example.com\nlocal-domains [example.com]\n}\n";
        sources.insert("main.edict", text.to_owned());
        let compiled = edict_compiler::compile(&sources, &edict_compiler::Options { proofs: false });
        Arc::new(Loaded::new(Arc::new(edict_table::emit::emit(&compiled.table.unwrap()))).unwrap())
    }

    fn record(id: u64, received: i64) -> Record {
        Record {
            id: MessageId(id),
            received,
            dispatches: vec![Dispatch {
                kind: DispatchKind::Message,
                sender: "ann@example.org".to_owned(),
                recipients: vec![Target {
                    address: format!("user{id}@example.com"),
                    given: None,
                    inside: true,
                    notify: Notify::default(),
                    orcpt: None,
                }],
                variant: 0,
                body: Body::SevenBit,
                smtputf8: false,
                ret: None,
                envid: None,
                hold: false,
                client_ip: "192.0.2.1".parse().unwrap(),
                auth_user: None,
                submitted: Submitted::No,
            }],
            variants: vec![Variant::default()],
            usage: Vec::new(),
            table: "digest".to_owned(),
            bytes: vec![b'x'; 2000],
        }
    }

    fn open(folder: &Path) -> (Spool, edict_runtime::spool::Recovery) {
        Spool::open(folder, Options { reserve: 1 << 20, ..Options::default() }, Arc::new(NoLedger)).unwrap()
    }

    /// Stores so many messages that are due in a day.
    fn fill(folder: &Path, count: u64, now: i64) {
        let (spool, _) = open(folder);
        std::thread::scope(|threads| {
            for thread in 0..16 {
                let spool = &spool;
                threads.spawn(move || {
                    for id in (1..=count).filter(|id| id % 16 == thread) {
                        let state = State { attempts: 3, due: now + 86_400_000, ..State::default() };
                        spool.deferred().put(&record(id, now), &state).unwrap();
                    }
                });
            }
        });
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn messages_that_wait_are_not_in_memory() {
        let _alone = ALONE.lock().await;
        let count: u64 = std::env::var("EDICT_QUEUED").map_or(4000, |n| n.parse().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = i64::try_from(now.as_millis()).unwrap();
        fill(folder.path(), count, now);
        let live = Arc::new(Live::new(table()));
        // The start, which lists the folders, counts.
        let before = ALLOCATOR.current_usage();
        ALLOCATOR.reset_peak_usage();
        let (spool, recovery) = open(folder.path());
        // What is due later than the longest wait was planned by a wrong clock, and is due at once.
        let patient = Settings { retry_max: Duration::from_secs(2 * 86_400), ..settings(folder.path()) };
        let queue = Queue::start(spool, recovery, live, patient);
        // After a start each is looked at once, to see when it is due.
        tokio::time::sleep(Duration::from_millis(6000 + count / 10)).await;
        let messages = usize::try_from(count).unwrap();
        let peak = || ALLOCATOR.peak_usage().saturating_sub(before);
        for _ in 0..1200 {
            if peak() > 32 * messages {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // What comes of them after they were found is in memory, too: until it changes no more for a second.
        let (mut still, mut last) = (0, 0);
        for _ in 0..1200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let usage = ALLOCATOR.current_usage();
            still = if usage.abs_diff(last) < 1024 { still + 1 } else { 0 };
            last = usage;
            if still == 10 {
                break;
            }
        }
        assert_eq!(queue.counters().queued, count);
        // The last page of the list is as near as the first, and reads what it shows from the disk.
        let last = queue.list(Some(MessageId(count - 3)), 10).await;
        assert_eq!(last.len(), 3);
        assert_eq!(last[0].recipients[0].address, format!("user{}@example.com", count - 2));
        assert!(last.iter().all(|m| m.attempts == 3 && m.due == Some(now + 86_400_000)));
        let peak = peak();
        println!("{count} messages wait: {peak} bytes at the peak, {} each", peak / messages);
        assert!(peak > 32 * messages, "they were all found: {peak}");
        assert!(peak <= MOST * messages + AT_ONCE, "{peak} bytes at the peak");
    }

    /// Bytes that one message may cost while it waits for its first attempt: where it lies, and its place in its turn.
    const MOST_FRESH: usize = 160;

    /// Submits messages with these numbers, many at a time, so that they share syncs.
    async fn submit(queue: &Queue, ids: std::ops::Range<u64>, now: i64) {
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..64 {
            let (queue, ids) = (queue.clone(), ids.clone());
            tasks.spawn(async move {
                for id in ids.filter(|id| id % 64 == task) {
                    let mut record = record(id, now);
                    record.dispatches[0].recipients[0].inside = false;
                    record.dispatches[0].recipients[0].address = format!("user{id}@far.example");
                    queue.submit(record).await.unwrap();
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    }

    /// A next hop that says nothing has its share of memory, however much waits for it.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn messages_on_their_first_attempt_are_not_in_memory() {
        let _alone = ALONE.lock().await;
        let count: u64 = std::env::var("EDICT_FRESH").map_or(20_000, |n| n.parse().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = i64::try_from(now.as_millis()).unwrap();
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = silent.local_addr().unwrap().port();
        let (spool, recovery) = open(folder.path());
        let outside = Outside::Relay("127.0.0.1".to_owned(), port);
        let settings = Settings { outside, ..settings(folder.path()) };
        let queue = Queue::start(spool, recovery, Arc::new(Live::new(table())), settings);
        // What a hop may hold, and what is kept at hand of it.
        let first = 10_000;
        submit(&queue, 1..first, now).await;
        let before = ALLOCATOR.current_usage();
        submit(&queue, first..first + count, now).await;
        let each = ALLOCATOR.current_usage().saturating_sub(before) / usize::try_from(count).unwrap();
        println!("{count} messages wait for their first attempt: {each} bytes each");
        assert_eq!(queue.counters().queued, count + first - 1);
        assert!((40..=MOST_FRESH).contains(&each), "{each} bytes each");
        let last = queue.list(Some(MessageId(first + count - 3)), 10).await;
        assert_eq!(last.len(), 2);
        assert!(last.iter().all(|m| m.attempts == 0 && m.due.is_none()));
    }

    fn settings(folder: &Path) -> Settings {
        Settings::new("mx.example.com".to_owned(), folder.join("mail"))
    }
}
