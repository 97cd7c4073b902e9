//! A future that is awaited no longer once its session has ended.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::session::{Entry, Watch};

/// What waits for a future.
pub(crate) trait Waiting {
    fn entry(&self) -> &Arc<Entry>;

    /// Whether the future is no longer needed. Asked again whenever the session's end is notified.
    fn is_over(&self) -> bool;

    /// The future was not ready at once.
    fn wait(&mut self) {}
}

pin_project! {
    /// The race of a future with the end of what waits for it.
    pub(crate) struct UntilEnded<F> {
        #[pin]
        future: F,
        #[pin]
        watch: Watch,
    }
}

impl<F: Future> UntilEnded<F> {
    pub(crate) fn new(future: F) -> Self {
        Self {
            future,
            watch: Watch::default(),
        }
    }

    /// The future's output, or `None` once `waiting` is over.
    pub(crate) fn poll(
        self: Pin<&mut Self>,
        waiting: &mut impl Waiting,
        cx: &mut Context<'_>,
    ) -> Poll<Option<F::Output>> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Some(output));
        }
        waiting.wait();
        let ended = || waiting.entry().extras.bell();
        ready!(this.watch.poll(ended, || waiting.is_over(), cx));
        Poll::Ready(None)
    }
}

/// Awaits `future`, or returns `None` once `waiting` is over.
pub(crate) async fn until_ended<F: Future>(
    future: F,
    waiting: &mut impl Waiting,
) -> Option<F::Output> {
    let mut race = pin!(UntilEnded::new(future));
    poll_fn(|cx| race.as_mut().poll(waiting, cx)).await
}
