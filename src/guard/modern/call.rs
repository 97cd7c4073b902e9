//! Processes the answer to a sessionless message (contract §6, §5 "Drain"). No session ends its event
//! stream, but a drain does. The guard counts `subscriptions/listen` streams.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicUsize,
    Ordering::{AcqRel, Acquire},
};
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http::{Response, Version};
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;

use crate::extract::McpMessage;
use crate::guard::POLLED_AFTER_COMPLETION;
use crate::guard::answer::head::AnswerHead;
use crate::guard::body::boxed;
use crate::guard::body::endable::{EndableStream, StreamEnd};
use crate::guard::body::trailers;
use crate::promises::MAX_LISTENERS;
use crate::protocol::headers::SESSION_ID;
use crate::protocol::inline_bytes::InlineBytes;

use crate::refusal::Refusal;
use crate::refusal::RefusalReason;
use crate::session::{Drain, TaskToken};
use crate::sync::Notify;

/// A sessionless message that the inner service is answering.
#[derive(Debug)]
pub(crate) struct ModernCall {
    /// The id of a request, for the last event of its stream. `None` for other messages, and for
    /// `subscriptions/listen`, whose clients need no last event.
    request: Option<InlineBytes>,
    listener: Option<Listener>,
    drain: Arc<Drain>,
    /// Makes a drain wait for the call.
    token: TaskToken,
    version: Version,
}

impl ModernCall {
    pub(crate) fn new(
        message: &McpMessage,
        listener: Option<Listener>,
        drain: Arc<Drain>,
        version: Version,
    ) -> Self {
        let request = message.request_id().filter(|_| listener.is_none());
        Self {
            request: request.cloned(),
            listener,
            token: drain.calls().start(),
            drain,
            version,
        }
    }

    /// Passes the answer on without a session header. An event stream ends with the drain.
    pub(crate) fn pass<B>(self, response: Response<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (mut parts, body) = response.into_parts();
        let flags = AnswerHead::read(&parts.headers).flags;
        if flags.has_session_id {
            parts.headers.remove(&SESSION_ID);
        }
        let body = Body::new(body);
        if !flags.may_end_early(&body) {
            let body = match trailers::may_follow(&body, flags, self.version) {
                true => trailers::without_session_id(body),
                false => body,
            };
            return Response::from_parts(parts, body);
        }
        let end = DrainEnd {
            request: self.request.filter(|_| !flags.is_encoded),
            drain: self.drain,
            _token: self.token,
            _listener: self.listener,
        };
        Response::from_parts(parts, boxed(EndableStream::new(body, end)))
    }
}

pin_project! {
    /// Waits for the answer.
    pub(crate) struct ModernFuture<F> {
        #[pin]
        answer: F,
        call: Option<ModernCall>,
    }
}

impl<F> ModernFuture<F> {
    pub(crate) fn new(answer: F, call: ModernCall) -> Self {
        Self {
            answer,
            call: Some(call),
        }
    }
}

impl<F, R, E> Future for ModernFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.answer.poll(cx))?;
        let call = this.call.take().expect(POLLED_AFTER_COMPLETION);
        Poll::Ready(Ok(call.pass(response)))
    }
}

/// One open `subscriptions/listen` stream. Frees its place on drop.
#[derive(Debug)]
pub(crate) struct Listener(Arc<AtomicUsize>);

impl Listener {
    /// Counts a new stream. Returns `None` if the limit is reached.
    pub(crate) fn acquire(open: &Arc<AtomicUsize>) -> Option<Self> {
        open.fetch_update(AcqRel, Acquire, |open| {
            (open < MAX_LISTENERS).then_some(open + 1)
        })
        .ok()?;
        Some(Self(open.clone()))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.fetch_sub(1, AcqRel);
    }
}

/// Ends an event stream with the drain.
struct DrainEnd {
    request: Option<InlineBytes>,
    drain: Arc<Drain>,
    _token: TaskToken,
    _listener: Option<Listener>,
}

impl StreamEnd for DrainEnd {
    fn is_due(&self) -> bool {
        self.drain.is_over()
    }

    fn changed(&self) -> Arc<Notify> {
        self.drain.over()
    }

    fn last_event(&self) -> Option<Refusal> {
        let id = self.request.as_ref()?.as_bytes();
        Some(Refusal::for_message(RefusalReason::Draining, Some(id)))
    }

    fn on_data(&self) {}

    fn withholds_end(&self) -> bool {
        false
    }
}
