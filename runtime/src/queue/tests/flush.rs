//! What an admin has tried before its time: all of it, or what goes to one destination.

use super::wishes::{patient, settled};
use super::*;
use crate::queue::flush::{Destination, Flushed};
use admin::Standing;

/// Two hops that put everything off until they are told otherwise.
async fn two(data: &Path) -> (Queue, [Seen; 2], Arc<AtomicBool>, [u16; 2]) {
    let good = Arc::new(AtomicBool::new(false));
    let later = |good: &Arc<AtomicBool>| {
        let good = Arc::clone(good);
        move |line: &str| {
            let late = line.starts_with("RCPT") && !good.load(Ordering::SeqCst);
            late.then(|| Some("451 4.2.2 later\r\n".to_owned()))
        }
    };
    let (far, seen_far) = server(later(&good)).await;
    let (other, seen_other) = server(later(&good)).await;
    let hops =
        [("far.example", relay(far)), ("further.example", relay(far)), ("other.example", relay(other))];
    (start(data, &hops, patient(data)), [seen_far, seen_other], good, [far, other])
}

async fn through(seen: &Seen, count: usize) {
    for _ in 0..TURNS {
        if seen.all().len() >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(seen.all().len(), count);
}

#[tokio::test]
async fn what_goes_to_one_destination_is_tried() {
    let data = tempfile::tempdir().unwrap();
    let (queue, [far, other], good, [port, _]) = two(data.path()).await;
    queue.submit(message(1, &["a@far.example"], "x\n")).await.unwrap();
    queue.submit(message(2, &["a@other.example"], "x\n")).await.unwrap();
    queue.submit(message(3, &["b@further.example"], "x\n")).await.unwrap();
    let mut held = message(4, &["c@far.example"], "x\n");
    held.dispatches[0].hold = true;
    queue.submit(held).await.unwrap();
    queue.submit(message(5, &["d@far.example", "d@other.example"], "x\n")).await.unwrap();
    let all = settled(&queue).await;
    assert_eq!(all.iter().filter(|m| m.attempts == 1 && m.state == Standing::Deferred).count(), 4, "{all:?}");
    good.store(true, Ordering::SeqCst);
    let to = |queue: &Queue, to: &str| {
        let (queue, to) = (queue.clone(), Destination::new(to));
        async move { queue.retry_to(to, None, 100).await.messages }
    };
    assert_eq!(to(&queue, "nowhere.example").await, 0);
    assert_eq!(to(&queue, "b@further.example").await, 1);
    through(&far, 1).await;
    // Of a message that goes to two, both are tried.
    assert_eq!(to(&queue, "FAR.example").await, 2, "the held one is left alone");
    through(&far, 3).await;
    through(&other, 1).await;
    assert_eq!(to(&queue, &format!("127.0.0.1:{port}")).await, 0);
    let left: Vec<String> = settled(&queue).await.into_iter().map(|m| m.id).collect();
    assert_eq!(left, [MessageId(2).to_string(), MessageId(4).to_string()]);
    assert_eq!(queue.retry_all().await, 1);
    through(&other, 2).await;
}

/// A long queue is gone through a page at a time.
#[tokio::test]
async fn pages_of_the_queue_follow_each_other() {
    let data = tempfile::tempdir().unwrap();
    let (queue, [_, other], good, _) = two(data.path()).await;
    for id in 1..=7 {
        let to = if id % 2 == 0 { "a@far.example" } else { "a@other.example" };
        queue.submit(message(id, &[to], "x\n")).await.unwrap();
    }
    settled(&queue).await;
    good.store(true, Ordering::SeqCst);
    let (mut after, mut pages) = (None, Vec::new());
    loop {
        let flushed = queue.retry_to(Destination::new("other.example"), after, 3).await;
        pages.push(flushed);
        after = flushed.after;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(pages.iter().map(|page| page.messages).sum::<usize>(), 4, "{pages:?}");
    assert_eq!(pages[0], Flushed { messages: 2, after: Some(MessageId(3)) });
    through(&other, 4).await;
    let left = settled(&queue).await;
    assert!(left.iter().all(|m| m.attempts == 1), "{left:?}");
    assert_eq!(left.len(), 3);
}

/// Nothing is written for it: what a state says of when a message is due is passed over once.
#[tokio::test]
async fn what_was_tried_before_its_time_waits_again() {
    let data = tempfile::tempdir().unwrap();
    let (queue, [far, _], _, _) = two(data.path()).await;
    queue.submit(message(1, &["a@far.example"], "x\n")).await.unwrap();
    settled(&queue).await;
    for attempts in 2..4 {
        assert_eq!(queue.retry_all().await, 1);
        for _ in 0..TURNS {
            if queue.list(None, 1).await.iter().all(|m| m.attempts == attempts && m.due.is_some()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let list = queue.list(None, 1).await;
        assert_eq!((list[0].attempts, list[0].state), (attempts, Standing::Deferred));
        assert!(list[0].due.is_some_and(|due| due > now()), "{list:?}");
    }
    assert!(far.all().is_empty());
}
