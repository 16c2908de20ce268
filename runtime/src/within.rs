//! A limit in time for work that is mostly done at once.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

/// As [`tokio::time::timeout`], but the clock is read only where there is something to wait for: writes to a socket seldom
/// wait, and there are seven for each message.
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, Elapsed> {
    let mut work = pin!(work);
    match poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => timeout(limit, work).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_limit_holds_for_what_waits() {
        let (long, short) = (Duration::from_secs(3600), Duration::from_millis(10));
        assert_eq!(within(short, async { 1 }).await.unwrap(), 1);
        assert!(within(long, tokio::task::yield_now()).await.is_ok());
        assert!(within(short, std::future::pending::<()>()).await.is_err());
    }
}
