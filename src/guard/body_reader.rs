//! Takes a request's body in (contract rows 10 and 11), or drops it unread (§3); an answer's too.
//!
//! A body of one frame is kept as it came, without a copy. No timer is made before the body first
//! keeps us waiting.

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

/// A body on its way in.
#[derive(Debug)]
pub(crate) struct BodyReader {
    body: Body,
    taken: Taken,
    limit: usize,
    deadline: ReadDeadline,
}

impl BodyReader {
    /// Of a request.
    #[inline]
    pub(crate) fn new(body: Body, settings: &Settings) -> Self {
        let deadline = ReadDeadline::new(settings.progress_timeout, settings.body_timeout);
        Self::within(body, settings.body_limit, deadline)
    }

    /// Of an answer, which may have so many bytes and take so long.
    pub(super) fn of_answer(body: Body, limit: usize, time: Duration) -> Self {
        Self::within(body, limit, ReadDeadline::new(time, time))
    }

    fn within(body: Body, limit: usize, deadline: ReadDeadline) -> Self {
        Self {
            body,
            taken: Taken::Nothing,
            limit,
            deadline,
        }
    }

    /// The body as it came, if nothing of it was read.
    pub(crate) fn into_body(self) -> Body {
        self.body
    }

    /// The rest of the body, where it must be read and dropped before the answer: HTTP/1 resets a
    /// connection with unread bytes, and the reset eats the answer. A client that waits for
    /// `100 Continue` has sent none.
    pub(crate) fn if_must_be_dropped(self, parts: &Parts) -> Option<Self> {
        let waits = parts.headers.contains_key(EXPECT) && matches!(self.taken, Taken::Nothing);
        let must = parts.version <= Version::HTTP_11 && !waits && !self.body.is_end_stream();
        must.then(|| Self {
            taken: Taken::Dropped(0),
            deadline: ReadDeadline::new(DROP_TIMEOUT, DROP_TIMEOUT),
            ..self
        })
    }

    /// The whole body, if it is there: nobody waits, and no timer is made.
    #[inline]
    pub(crate) fn read_now(&mut self) -> Option<Result<Bytes, RefusalReason>> {
        match self.poll_frames(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(body) => Some(body),
            Poll::Pending => None,
        }
    }

    /// The whole body.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, RefusalReason>> {
        match self.poll_frames(cx) {
            Poll::Pending => self
                .deadline
                .poll_late(cx)
                .map(|()| Err(RefusalReason::BodyLate)),
            ready => ready,
        }
    }

    fn poll_frames(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, RefusalReason>> {
        for _ in 0..FRAMES_A_TURN {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers are dropped: the inner service gets what was judged.
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    self.deadline.progress(data.len());
                    self.taken.add(data);
                    if self.taken.len() > self.limit {
                        return Poll::Ready(Err(RefusalReason::BodyTooLarge));
                    }
                    if self.body.is_end_stream() {
                        return Poll::Ready(Ok(self.taken.whole()));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    // Nothing more can come.
                    self.body = Body::empty();
                    return Poll::Ready(Err(reason_of(&error)));
                }
                Poll::Ready(None) => return Poll::Ready(Ok(self.taken.whole())),
                Poll::Pending => return Poll::Pending,
            }
        }
        // A body that is always ready must neither keep the thread nor escape the clock.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads and drops. Ready at the body's end, past twice the limit, or after two seconds: a
    /// client that sends a little too much gets to read why.
    pub(crate) fn poll_drop(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..FRAMES_A_TURN {
            if self.taken.len() > DROPPED_BODY_LIMITS * self.limit {
                return Poll::Ready(());
            }
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.taken.add(data);
                    }
                }
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => return self.deadline.poll_late(cx),
            }
        }
        cx.waker().wake_by_ref();
        self.deadline.poll_late(cx)
    }
}

/// What has come so far.
#[derive(Debug)]
enum Taken {
    Nothing,
    One(Bytes),
    Many(BytesMut),
    /// So many bytes were dropped.
    Dropped(usize),
}

impl Taken {
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

/// A limit of an outer layer counts like ours; anything else means that the body broke off.
fn reason_of(error: &(dyn Error + 'static)) -> RefusalReason {
    let mut causes = iter::successors(Some(error), |error| (*error).source());
    match causes.any(|cause| cause.is::<LengthLimitError>()) {
        true => RefusalReason::BodyTooLarge,
        false => RefusalReason::BodyBroken,
    }
}

const FRAMES_A_TURN: usize = 64;
