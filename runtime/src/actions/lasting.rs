//! Work that is done in its caller's place, and goes on by itself when the caller stops waiting.
//!
//! A task for each message would cost two changes of thread; one is made only where it is needed. Inside a
//! tokio runtime, else what is left is dropped.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::runtime::Handle;

/// A piece of work that outlives whoever waits for it.
pub(super) struct Lasting<T: Send + 'static> {
    /// Empty once it is done, or has panicked.
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
}

impl<T: Send + 'static> Lasting<T> {
    pub(super) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self { work: Some(Box::pin(work)) }
    }
}

impl<T: Send + 'static> Future for Lasting<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Taken out for the time of a poll, so that a panic leaves nothing to go on with.
        let Some(mut work) = self.work.take() else { return Poll::Pending };
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Lasting<T> {
    fn drop(&mut self) {
        if let (Some(work), Ok(runtime)) = (self.work.take(), Handle::try_current()) {
            runtime.spawn(async move {
                let _nobody_waits = work.await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn it_goes_on_without_its_caller() {
        let (go, wait) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let mut work = Box::pin(Lasting::new(async move {
            wait.await.unwrap();
            tell.send(7).unwrap();
        }));
        tokio::select! {
            biased;
            () = &mut work => unreachable!("nothing was given"),
            () = tokio::task::yield_now() => {}
        }
        drop(work);
        go.send(()).unwrap();
        assert_eq!(told.await, Ok(7));
        assert_eq!(Lasting::new(async { 3 }).await, 3);
    }
}
