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

/// All that may end an event stream before the inner service does, as one. It is dropped once the stream is
/// over.
pub(crate) trait StreamEnd {
    /// Whether the stream has to end now. Asked for each frame.
    fn is_due(&self) -> bool;

    /// Notified when [`is_due`](Self::is_due) or [`holds_end`](Self::holds_end) may have changed.
    fn changed(&self) -> Arc<Notify>;

    /// What a client that waits for its answer must still be told.
    fn last_event(&self) -> Option<Refusal>;

    /// Bytes have passed.
    fn carried(&self);

    /// Whether the inner service's end must not pass yet, because a last event may have to follow.
    fn holds_end(&self) -> bool;
}

pin_project! {
    /// An event stream that may have to end before the inner service ends it.
    pub(crate) struct EndableStream<E> {
        body: Body,
        tail: Tail,
        #[pin]
        watch: Watch,
        // The inner service has ended the stream, and `end` holds this back.
        is_held: bool,
        // `None` once the stream is over.
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
            is_held: false,
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
        if !*this.is_held && !end.is_due() {
            match Pin::new(&mut *this.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(mut frame))) => {
                    trailers::strip(&mut frame);
                    if let Some(data) = frame.data_ref() {
                        end.carried();
                        this.tail.push(data);
                    }
                    // The consumer may not ask again.
                    if this.body.is_end_stream() && !end.holds_end() {
                        *this.end = None;
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                Poll::Ready(None) if end.holds_end() => *this.is_held = true,
                Poll::Ready(over) => {
                    *this.end = None;
                    return Poll::Ready(over);
                }
                Poll::Pending => {}
            }
        }
        let is_over = || end.is_due() || *this.is_held && !end.holds_end();
        ready!(this.watch.poll(|| end.changed(), is_over, cx));
        let last = end.last_event().filter(|_| this.tail.is_between_events());
        *this.end = None;
        Poll::Ready(last.map(|refusal| Ok(Frame::data(refusal.to_event()))))
    }

    fn is_end_stream(&self) -> bool {
        self.end.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.end {
            // It may end early.
            Some(_) => SizeHint::default(),
            None => SizeHint::with_exact(0),
        }
    }
}
