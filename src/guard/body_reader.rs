//! Reads the body of a request (contract rows 10 and 11) or of an answer, or drops it unread (§3).
//!
//! The reader returns a body of one frame without a copy. It creates no timer until it first has to wait.

use std::error::Error;
use std::iter;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::Version;
use http::header::EXPECT;
use http::request::Parts;
use http_body::Body as HttpBody;
use http_body_util::LengthLimitError;

use super::read_deadline::ReadDeadline;
use super::settings::Settings;
use crate::promises::{DROP_TIMEOUT, DROPPED_BODY_LIMITS};
use crate::refusal::RefusalReason;

/// Reads one body.
#[derive(Debug)]
pub(crate) struct BodyReader {
    body: Body,
    received: Received,
    limit: usize,
    deadline: ReadDeadline,
}

impl BodyReader {
    /// Creates a reader for the body of a request.
    #[inline]
    pub(crate) fn new(body: Body, settings: &Settings) -> Self {
        let deadline = ReadDeadline::new(settings.progress_timeout, settings.body_timeout);
        Self::within(body, settings.body_limit, deadline)
    }

    /// Creates a reader for the body of an answer, with a limit in bytes and a limit of time.
    pub(super) fn of_answer(body: Body, limit: usize, time: Duration) -> Self {
        Self::within(body, limit, ReadDeadline::new(time, time))
    }

    fn within(body: Body, limit: usize, deadline: ReadDeadline) -> Self {
        Self {
            body,
            received: Received::Nothing,
            limit,
            deadline,
        }
    }

    /// Returns the body, which the caller must not have begun to read.
    pub(crate) fn into_body(self) -> Body {
        self.body
    }

    /// Returns the unread rest of the body, if the guard must read and drop it before it answers. HTTP/1
    /// resets a connection with unread bytes, and then the client loses the answer. A client that waits
    /// for `100 Continue` has sent no body.
    pub(crate) fn if_must_be_dropped(self, parts: &Parts) -> Option<Self> {
        let waits =
            parts.headers.contains_key(EXPECT) && matches!(self.received, Received::Nothing);
        let must = parts.version <= Version::HTTP_11 && !waits && !self.body.is_end_stream();
        must.then(|| Self {
            received: Received::Dropped(0),
            deadline: ReadDeadline::new(DROP_TIMEOUT, DROP_TIMEOUT),
            ..self
        })
    }

    /// Returns the whole body if it has already arrived. Neither waits nor creates a timer.
    #[inline]
    pub(crate) fn read_now(&mut self) -> Option<Result<Bytes, RefusalReason>> {
        match self.poll_frames(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(body) => Some(body),
            Poll::Pending => None,
        }
    }

    /// Polls for the whole body. Fails if the body is too long, late or broken off.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, RefusalReason>> {
        match self.poll_frames(cx) {
            Poll::Pending => self
                .deadline
                .poll_elapsed(cx)
                .map(|()| Err(RefusalReason::BodyLate)),
            ready => ready,
        }
    }

    fn poll_frames(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, RefusalReason>> {
        for _ in 0..FRAMES_A_TURN {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers are dropped, because the inner service gets only the bytes that were judged.
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    self.deadline.progress(data.len());
                    self.received.add(data);
                    if self.received.len() > self.limit {
                        return Poll::Ready(Err(RefusalReason::BodyTooLarge));
                    }
                    if self.body.is_end_stream() {
                        return Poll::Ready(Ok(self.received.whole()));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    let reason = reason_of(&error);
                    if reason == RefusalReason::BodyBroken {
                        // A body that broke off carries no more data.
                        self.body = Body::empty();
                    }
                    return Poll::Ready(Err(reason));
                }
                Poll::Ready(None) => return Poll::Ready(Ok(self.received.whole())),
                Poll::Pending => return Poll::Pending,
            }
        }
        // A body that is always ready must neither block the thread nor escape the deadline.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads the body and drops it. Ready at the end of the body, beyond twice the limit, or after two
    /// seconds. A client that sends a little too much can thus still read the answer.
    pub(crate) fn poll_drop(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..FRAMES_A_TURN {
            if self.received.len() > DROPPED_BODY_LIMITS * self.limit {
                return Poll::Ready(());
            }
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.received.add(data);
                    }
                }
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => return self.deadline.poll_elapsed(cx),
            }
        }
        cx.waker().wake_by_ref();
        self.deadline.poll_elapsed(cx)
    }
}

/// The data that has arrived so far.
#[derive(Debug)]
enum Received {
    Nothing,
    One(Bytes),
    Many(BytesMut),
    /// The number of bytes that were dropped.
    Dropped(usize),
}

impl Received {
    #[inline]
    fn add(&mut self, data: Bytes) {
        match self {
            Self::Nothing => *self = Self::One(data),
            Self::One(first) => {
                let mut many = BytesMut::with_capacity(2 * (first.len() + data.len()));
                many.extend_from_slice(first);
                many.extend_from_slice(&data);
                *self = Self::Many(many);
            }
            Self::Many(many) => many.extend_from_slice(&data),
            Self::Dropped(bytes) => *bytes = bytes.saturating_add(data.len()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::One(first) => first.len(),
            Self::Many(many) => many.len(),
            Self::Dropped(bytes) => *bytes,
        }
    }

    #[inline]
    fn whole(&mut self) -> Bytes {
        match std::mem::replace(self, Self::Nothing) {
            Self::Nothing | Self::Dropped(_) => Bytes::new(),
            Self::One(first) => first,
            Self::Many(many) => many.freeze(),
        }
    }
}

/// Returns why a body failed. The limit of an outer layer counts as ours. Any other error means that the
/// body broke off.
fn reason_of(error: &(dyn Error + 'static)) -> RefusalReason {
    let mut causes = iter::successors(Some(error), |error| (*error).source());
    match causes.any(|cause| cause.is::<LengthLimitError>()) {
        true => RefusalReason::BodyTooLarge,
        false => RefusalReason::BodyBroken,
    }
}

const FRAMES_A_TURN: usize = 64;
