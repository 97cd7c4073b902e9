//! Awaits a future until its session ends.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::session::{Entry, Watch};

/// A call that waits for a future and may be cancelled meanwhile.
pub(crate) trait Cancellable {
    fn entry(&self) -> &Arc<Entry>;

    /// Returns whether the call no longer needs the future. Called again at each notification of the
    /// session's end.
    fn is_cancelled(&self) -> bool;

    /// Called whenever the future is pending.
    fn on_pending(&mut self) {}
}

pin_project! {
    /// A future that stops when the call that waits for it is cancelled.
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

    /// Returns the output of the future, or `None` once `call` is cancelled.
    pub(crate) fn poll(
        self: Pin<&mut Self>,
        call: &mut impl Cancellable,
        cx: &mut Context<'_>,
    ) -> Poll<Option<F::Output>> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Some(output));
        }
        call.on_pending();
        let ended = || call.entry().lazy.changed();
        ready!(this.watch.poll(ended, || call.is_cancelled(), cx));
        Poll::Ready(None)
    }
}

/// Awaits `future`. Returns `None` once `call` is cancelled.
pub(crate) async fn until_ended<F: Future>(
    future: F,
    call: &mut impl Cancellable,
) -> Option<F::Output> {
    let mut race = pin!(UntilEnded::new(future));
    poll_fn(|cx| race.as_mut().poll(call, cx)).await
}
