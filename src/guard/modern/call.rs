//! The answer to a message of the modern era (contract §6, §5 "Drain"). There is no session that
//! would end its event stream; a drain does. `subscriptions/listen` streams are counted.

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
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::extract::McpMessage;
use crate::guard::answer::head::AnswerHead;
use crate::guard::body::trailers;
use crate::guard::future::POLLED_AGAIN;
use crate::protocol::headers::SESSION_ID;
use crate::protocol::inline_bytes::InlineBytes;
use crate::protocol::sse::Tail;
use crate::refusal::Refusal;
use crate::refusal::RefusalReason;
use crate::session::{Drain, Held, Watch};

/// A message of the modern era that the inner service is answering.
#[derive(Debug)]
pub(crate) struct ModernCall {
    /// What a request that is cut off is told about; `None` on anything else, and on
    /// `subscriptions/listen`, whose clients take the end of the stream for what it is.
    request: Option<InlineBytes>,
    listener: Option<Listener>,
    drain: Arc<Drain>,
    /// A drain waits for it.
    held: Held,
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
            held: drain.calls().hold(),
            drain,
            version,
        }
    }

    /// Passes the answer on, without a session header; an event stream ends with the drain.
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
        let stream = ModernStream {
            body,
            watch: Watch::default(),
            request: self.request.filter(|_| !flags.is_encoded),
            tail: Tail::default(),
            held: Some((self.held, self.listener)),
            drain: self.drain,
        };
        Response::from_parts(parts, Body::new(stream))
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
        let call = this.call.take().expect(POLLED_AGAIN);
        Poll::Ready(Ok(call.pass(response)))
    }
}

/// One open `subscriptions/listen`; given back on drop.
#[derive(Debug)]
pub(crate) struct Listener(Arc<AtomicUsize>);

impl Listener {
    /// `None` beyond the limit.
    pub(crate) fn take(open: &Arc<AtomicUsize>) -> Option<Self> {
        open.fetch_update(AcqRel, Acquire, |open| (open < MOST).then_some(open + 1))
            .ok()?;
        Some(Self(open.clone()))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.fetch_sub(1, AcqRel);
    }
}

pin_project! {
    /// An event stream that ends with the drain at the latest.
    struct ModernStream {
        body: Body,
        #[pin]
        watch: Watch,
        request: Option<InlineBytes>,
        tail: Tail,
        drain: Arc<Drain>,
        // `None` once the stream is over.
        held: Option<(Held, Option<Listener>)>,
    }
}

impl HttpBody for ModernStream {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.project();
        if this.held.is_none() {
            return Poll::Ready(None);
        }
        if !this.drain.is_over() {
            if let Poll::Ready(mut frame) = Pin::new(&mut *this.body).poll_frame(cx) {
                match &mut frame {
                    Some(Ok(frame)) => {
                        trailers::strip(frame);
                        this.tail.push(frame.data_ref().map_or(&[], |data| data));
                    }
                    Some(Err(_)) | None => *this.held = None,
                }
                return Poll::Ready(frame);
            }
            ready!(
                this.watch
                    .poll(|| this.drain.bell(), || this.drain.is_over(), cx)
            );
        }
        *this.held = None;
        let request = this
            .request
            .as_ref()
            .filter(|_| this.tail.is_between_events());
        Poll::Ready(request.map(|request| {
            let refusal = Refusal::of_message(RefusalReason::Draining, Some(request.as_bytes()));
            Ok(Frame::data(refusal.to_event()))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none() || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

const MOST: usize = 1024;
