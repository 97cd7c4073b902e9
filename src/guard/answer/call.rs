//! Waits for the inner service's answer to a request in a session, until the session ends.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Response, Version};
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;

use super::head::AnswerFlags;
use super::{UnreadAnswer, not_found};
use crate::guard::POLLED_AFTER_COMPLETION;
use crate::guard::head::HeadFlags;
use crate::guard::settings::Settings;
use crate::guard::until_ended::{Cancellable, UntilEnded};
use crate::promises::{MIN_RESUMED_STREAMS, RESUMED_PER_STREAM};
use crate::protocol::inline_bytes::InlineBytes;
use crate::refusal::{Refusal, RefusalReason};
use crate::session::{EndReason, Entry, InFlight, StreamKind, StreamSlot};

/// A request in a live session that the inner service is answering.
#[derive(Debug)]
pub(crate) struct Call {
    pub(super) in_flight: InFlight,
    /// Whether the request carries a message, so it is a POST and not a GET.
    pub(super) is_message: bool,
    /// The id of the message, if the message is a request.
    pub(super) request: Option<InlineBytes>,
    /// Whether the request resumes a stream (`Last-Event-ID`).
    pub(super) resumes: bool,
    max_streams: u16,
    /// The place of a GET that waits for its answer.
    pub(super) place: Option<StreamSlot>,
    pub(super) version: Version,
}

impl Call {
    pub(crate) fn stream(
        in_flight: InFlight,
        flags: HeadFlags,
        parts: &Parts,
        settings: &Settings,
    ) -> Self {
        Self {
            is_message: false,
            ..Self::post(in_flight, None, flags, parts, settings)
        }
    }

    #[inline]
    pub(crate) fn post(
        in_flight: InFlight,
        request_id: Option<&[u8]>,
        flags: HeadFlags,
        parts: &Parts,
        settings: &Settings,
    ) -> Self {
        Self {
            in_flight,
            is_message: true,
            request: request_id.map(InlineBytes::new),
            resumes: flags.resumes,
            max_streams: settings.max_streams,
            place: None,
            version: parts.version,
        }
    }

    /// Returns the answer to a call that was cancelled before the inner service answered. A request gets
    /// an error with its id, because one client repeats the call after a 404. An evicted GET gets an
    /// event stream that has ended.
    pub(crate) fn ended_response(&self) -> Response<Body> {
        let entry = self.in_flight.entry();
        match &self.request {
            Some(id) => Refusal::for_message(RefusalReason::SessionEnded, Some(id.as_bytes()))
                .respond_in(entry, self.version),
            None if self.place.is_some() && entry.is_usable() => empty_stream(),
            None => not_found(self.version, entry),
        }
    }

    /// Returns the kind of this GET's stream, and the limit of streams of that kind.
    pub(super) fn stream_limit(&self) -> (StreamKind, usize) {
        let limit = usize::from(self.max_streams);
        match self.resumes {
            false => (StreamKind::Plain, limit),
            true => (
                StreamKind::Resumed,
                MIN_RESUMED_STREAMS.max(RESUMED_PER_STREAM * limit),
            ),
        }
    }
}

impl Cancellable for Call {
    #[inline]
    fn entry(&self) -> &Arc<Entry> {
        self.in_flight.entry()
    }

    /// Returns whether the session has ended or the GET was evicted.
    #[inline]
    fn is_cancelled(&self) -> bool {
        !self.in_flight.entry().is_usable()
            || self.place.as_ref().is_some_and(|place| place.is_lost())
    }

    /// Counts a GET among the streams of its session from now on.
    #[inline]
    fn on_pending(&mut self) {
        if !self.is_message && self.place.is_none() {
            let entry = self.in_flight.entry().clone();
            let (kind, limit) = self.stream_limit();
            self.place = Some(StreamSlot::wait(entry, kind, limit));
        }
    }
}

pin_project! {
    /// Waits for the answer, or for the end of the session.
    pub(crate) struct CallFuture<F> {
        #[pin]
        answer: UntilEnded<F>,
        call: Option<Call>,
    }
}

impl<F> CallFuture<F> {
    pub(crate) fn new(answer: F, call: Call) -> Self
    where
        F: Future,
    {
        Self {
            answer: UntilEnded::new(answer),
            call: Some(call),
        }
    }
}

impl<F, R, E> Future for CallFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    /// The answer, or an answer whose body must be read first.
    type Output = Result<Result<Response<Body>, Box<UnreadAnswer>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let call = this.call.as_mut().expect(POLLED_AFTER_COMPLETION);
        let answer = match call.is_cancelled() {
            true => None,
            false => ready!(this.answer.poll(call, cx)),
        };
        // An answer from this very poll passes even if its handler ended the session. After the
        // guard has answered a DELETE, no answer passes.
        let is_deleted = call.entry().end_reason() == Some(EndReason::Deleted);
        let call = this.call.take().expect(POLLED_AFTER_COMPLETION);
        Poll::Ready(match answer {
            Some(Err(error)) => Err(error),
            Some(Ok(answer)) if !is_deleted => Ok(call.pass(answer)),
            _ => Ok(Ok(call.ended_response())),
        })
    }
}

/// Returns an event stream that has ended. The client may open another one.
fn empty_stream() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    AnswerFlags::default().never_buffer(headers);
    response
}
