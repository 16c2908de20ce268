//! When the next attempt is: doubling up to a maximum, and spread so that what failed together does not come again together.

use super::*;

const MINUTE: i64 = 60_000;

fn patient(data: &Path) -> Settings {
    Settings { retry_first: Duration::from_secs(60), retry_max: Duration::from_secs(3600), ..settings(data) }
}

/// The milliseconds that a try is planned after, four fifths of them at least, six at most.
fn planned(attempts: u32) -> i64 {
    (MINUTE << (attempts - 1).min(20)).min(60 * MINUTE)
}

/// RFC 5321 4.5.4.1.
#[tokio::test]
async fn waits_double_up_to_the_maximum_and_are_spread() {
    let data = tempfile::tempdir().unwrap();
    let queue = start(data.path(), &[], patient(data.path()));
    assert_eq!([1, 2, 3, 6, 7, 8].map(|n| planned(n) / MINUTE), [1, 2, 4, 32, 60, 60]);
    for attempts in (1..=12).chain([33, 64, u32::MAX]) {
        let plan = planned(attempts);
        let waits: Vec<i64> = (0..1000).map(|_| queue.inner.wait(attempts)).collect();
        let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        assert!(
            *least >= plan * 8 / 10 && *most <= plan * 12 / 10,
            "{attempts}: {least} to {most} of {plan}"
        );
        // Of a thousand that are spread evenly none in the lowest or the highest quarter: once in 10^124.
        assert!(*least < plan * 9 / 10 && *most > plan * 11 / 10, "{attempts}: {least} to {most} of {plan}");
        assert!(*most <= queue.inner.longest_wait(), "{attempts}");
    }
}

/// The same as messages have it: each try that fails doubles the wait for the next one.
#[tokio::test]
async fn each_try_that_fails_doubles_the_wait_of_its_message() {
    let data = tempfile::tempdir().unwrap();
    let (port, _) =
        server(|line| line.starts_with("RCPT").then(|| Some("450 4.2.1 later\r\n".to_owned()))).await;
    let queue = start(data.path(), &[("far.example", relay(port))], patient(data.path()));
    let mut before = now();
    queue.submit(message(1, &["a@far.example"], "x\n")).await.unwrap();
    for attempts in 1..=8 {
        // It waits for its next time.
        wait("the end of the try", || {
            let state = queue.inner.spool.deferred().state(MessageId(1));
            state.is_ok_and(|state| state.attempts == attempts) && queue.inner.index().first().is_some()
        })
        .await;
        let (due, plan) = (queue.inner.spool.deferred().state(MessageId(1)).unwrap().due, planned(attempts));
        let (first, last) = (before + plan * 8 / 10, now() + plan * 12 / 10);
        assert!((first..=last).contains(&due), "{attempts}: {due} is not in {first} to {last}");
        before = now();
        queue.retry(MessageId(1)).await.unwrap();
    }
}
