//! The clock is set back: what was planned while it was ahead does not wait for that time to come again.

use super::*;
use crate::spool::deferred::State;

const DAYS: i64 = 10 * 86_400_000;

/// A start on a store that was written by a clock of another week: the mail goes now, what is held stays.
#[tokio::test]
async fn what_was_planned_by_a_clock_ahead_goes_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let (port, seen) = server(|_| None).await;
    let options = Options { segment: 256 << 10, reserve: 1 << 20, spare: 2 };
    let (spool, _) = Spool::open(data.path(), options, Arc::new(NoLedger)).unwrap();
    let ahead = State { attempts: 1, due: now() + DAYS, ..State::default() };
    let put = |id, to: &str, state: &State| spool.deferred().put(&message(id, &[to], "x\n"), state).unwrap();
    put(1, "late@far.example", &ahead);
    put(2, "held@far.example", &State { held: true, ..ahead.clone() });
    // A wait that a retry may have is one.
    let slow = Settings { retry_max: Duration::from_secs(3600), ..settings(data.path()) };
    put(3, "soon@far.example", &State { due: now() + 3_000_000, ..ahead });
    drop(spool);
    let queue = start(data.path(), &[("far.example", relay(port))], slow);
    while queue.counters().queued > 2
        || queue.inner.index().first().is_none_or(|(due, _)| due < now() + 60_000)
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(
        seen.all().into_iter().map(|(to, _)| to).collect::<Vec<_>>(),
        [["RCPT TO:<late@far.example>"]]
    );
    assert_eq!(queue.show(MessageId(2)).await.unwrap().listed.state, admin::Standing::Held);
    assert_eq!(queue.show(MessageId(3)).await.unwrap().listed.state, admin::Standing::Deferred);
}

/// The same while it serves.
#[tokio::test]
async fn what_was_planned_by_a_clock_ahead_goes_while_it_serves() {
    let data = tempfile::tempdir().unwrap();
    let ready = Arc::new(AtomicBool::new(false));
    let its = Arc::clone(&ready);
    let (port, seen) = server(move |line| {
        let later = line.starts_with("RCPT") && !its.load(Ordering::SeqCst);
        later.then(|| Some("450 4.2.1 later\r\n".to_owned()))
    })
    .await;
    let slow = Settings { retry_first: Duration::from_secs(600), ..settings(data.path()) };
    let slow = Settings { retry_max: Duration::from_secs(600), ..slow };
    let queue = start(data.path(), &[("far.example", relay(port))], slow);
    queue.submit(message(1, &["late@far.example"], "x\n")).await.unwrap();
    while queue.inner.index().behind(None).count() < 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    ready.store(true, Ordering::SeqCst);
    let ahead = State { attempts: 1, due: now() + DAYS, ..State::default() };
    queue.inner.spool.deferred().update(MessageId(1), &ahead).unwrap();
    queue.inner.plan(MessageId(1), &ahead);
    queue.inner.bell.notify_one();
    empty(&queue).await;
    assert_eq!(seen.all().len(), 1);
}

/// In steps, and nothing that is held or being read.
#[test]
fn only_what_waits_is_brought_forward() {
    let mut index = index::Index::default();
    let far = |id: u64| (MessageId(id), DAYS + i64::try_from(id).unwrap());
    (1..=1500).map(far).for_each(|(id, due)| {
        index.insert(due, id);
    });
    index.insert(i64::MAX, MessageId(5000));
    index.insert(index::TAKING, MessageId(5001));
    index.insert(900, MessageId(5002));
    assert_eq!(
        (index.bring_forward(1000, 7), index.bring_forward(1000, 7), index.bring_forward(1000, 7)),
        (1000, 500, 0)
    );
    let due = |id| index.behind(None).find(|(found, _)| *found == MessageId(id)).unwrap().1;
    assert_eq!((due(1), due(1500), due(5000), due(5001), due(5002)), (7, 7, i64::MAX, index::TAKING, 900));
}
