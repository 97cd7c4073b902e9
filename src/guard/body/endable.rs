//! Ends an event stream before the inner service does.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::trailers;
use crate::protocol::sse::Tail;
use crate::refusal::Refusal;
use crate::session::Watch;
use crate::sync::Notify;

/// The conditions under which an event stream ends early. The stream drops them when it ends.
pub(crate) trait StreamEnd {
    /// Returns whether the stream must end now. Called for each frame.
    fn is_due(&self) -> bool;

    /// Returns the notifier for changes of [`is_due`](Self::is_due) and
    /// [`withholds_end`](Self::withholds_end).
    fn changed(&self) -> Arc<Notify>;

    /// Returns the last event, if a client still waits for its answer.
    fn last_event(&self) -> Option<Refusal>;

    /// Records that bytes have passed.
    fn on_data(&self);

    /// Returns whether the end of the inner stream must wait, because a last event may have to follow.
    fn withholds_end(&self) -> bool;
}

pin_project! {
    /// An event stream that may end before the inner service ends it.
    pub(crate) struct EndableStream<E> {
        body: Body,
        tail: Tail,
        #[pin]
        watch: Watch,
        // Whether the inner service has ended the stream, and `end` withholds this from the client.
        is_end_withheld: bool,
        // `None` once the stream has ended.
        end: Option<E>,
    }
}

impl<E: StreamEnd> EndableStream<E> {
    pub(crate) fn new(body: Body, end: E) -> Self {
        let end = (!body.is_end_stream()).then_some(end);
        Self {
            body,
            tail: Tail::default(),
            watch: Watch::default(),
            is_end_withheld: false,
            end,
        }
    }
}

impl<E: StreamEnd> HttpBody for EndableStream<E> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.project();
        let Some(end) = &*this.end else {
            return Poll::Ready(None);
        };
        if !*this.is_end_withheld && !end.is_due() {
            match Pin::new(&mut *this.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(mut frame))) => {
                    trailers::strip(&mut frame);
                    if let Some(data) = frame.data_ref() {
                        end.on_data();
                        this.tail.push(data);
                    }
                    // The consumer may not poll again.
                    if this.body.is_end_stream() && !end.withholds_end() {
                        *this.end = None;
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                Poll::Ready(None) if end.withholds_end() => *this.is_end_withheld = true,
                Poll::Ready(over) => {
                    *this.end = None;
                    return Poll::Ready(over);
                }
                Poll::Pending => {}
            }
        }
        let must_end = || end.is_due() || *this.is_end_withheld && !end.withholds_end();
        ready!(this.watch.poll(|| end.changed(), must_end, cx));
        let last = end.last_event().filter(|_| this.tail.is_between_events());
        *this.end = None;
        Poll::Ready(last.map(|refusal| Ok(Frame::data(refusal.to_event()))))
    }

    fn is_end_stream(&self) -> bool {
        self.end.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.end {
            // The stream may end early.
            Some(_) => SizeHint::default(),
            None => SizeHint::with_exact(0),
        }
    }
}
