//! Processes the inner service's answers to requests in a session (contract §5). The guard removes the
//! session header, ties event streams to the session, turns empty acknowledgements into 202, and interprets
//! the inner service's own 404.

pub(crate) mod call;
pub(crate) mod head;
mod unread;

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use http::{Response, StatusCode, Version};
use http_body::Body as HttpBody;

use self::call::Call;
use self::head::{AnswerFlags, AnswerHead};
use self::unread::BodyCheck;
pub(crate) use self::unread::UnreadAnswer;
use super::body::boxed;
use super::body::endable::EndableStream;
use super::body::in_flight::InFlightBody;
use super::body::session_end::SessionEnd;
use super::body::trailers;
use super::inner::lost;
use crate::protocol::headers::SESSION_ID;
use crate::refusal::{Refusal, RefusalReason};
use crate::session::{EndReason, Entry, StreamSlot};

impl Call {
    /// Passes the answer on. Fails if the guard must read its body first.
    pub(crate) fn pass<B>(self, response: Response<B>) -> Result<Response<Body>, Box<UnreadAnswer>>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut response = response.map(Body::new);
        let flags = AnswerHead::read(response.headers()).flags;
        if flags.has_session_id {
            response.headers_mut().remove(&SESSION_ID);
        }
        if flags.is_event_stream {
            flags.never_buffer(response.headers_mut());
            if !self.is_message && response.status().is_success() {
                self.in_flight.entry().mark_streamed();
            }
        }
        let hint = response.body().size_hint();
        let is_sized = hint.exact().is_some();
        let body_check = self.body_check(response.status(), flags);
        match body_check {
            Some(BodyCheck::IsEmpty) if is_empty(response.body()) => {
                *response.status_mut() = StatusCode::ACCEPTED;
            }
            Some(BodyCheck::IsEmpty) if is_sized => {}
            Some(body_check) => {
                return Err(Box::new(UnreadAnswer {
                    call: self,
                    response,
                    body_check,
                }));
            }
            None => {}
        }
        let may_have_trailers = trailers::may_follow(response.body(), flags, self.version);
        if is_sized && hint.lower() <= SMALL && !may_have_trailers {
            return Ok(response);
        }
        Ok(response.map(|body| match flags.may_end_early(&body) {
            true => boxed(self.endable(body, flags)),
            false => boxed(InFlightBody::new(body, self.in_flight)),
        }))
    }

    /// Wraps an event stream, so that it ends with its session. The stream of a GET also ends when it is
    /// evicted.
    fn endable(self, body: Body, flags: AnswerFlags) -> EndableStream<SessionEnd> {
        let (kind, limit) = self.stream_limit();
        let end = match self.request {
            Some(request) if !flags.is_encoded => SessionEnd::of_call(self.in_flight, request),
            None if !self.is_message => {
                let entry = self.in_flight.entry().clone();
                let place = StreamSlot::open(entry, kind, limit, self.place.as_ref());
                SessionEnd::of_get(self.in_flight, place)
            }
            Some(_) | None => SessionEnd::new(self.in_flight),
        };
        EndableStream::new(body, end)
    }

    #[inline]
    fn body_check(&self, status: StatusCode, flags: AnswerFlags) -> Option<BodyCheck> {
        // The guard cannot read an encoded answer to a message, so the answer passes.
        let may_be_read = !self.is_message || !flags.is_encoded;
        if status == StatusCode::NOT_FOUND
            && !self.resumes
            && may_be_read
            && self.in_flight.entry().inner_id().is_some()
        {
            return Some(BodyCheck::IsSessionLost);
        }
        let expects_no_answer = self.is_message && self.request.is_none();
        let may_be_empty = status.is_success() && status != StatusCode::ACCEPTED;
        (expects_no_answer && may_be_empty && !flags.is_event_stream).then_some(BodyCheck::IsEmpty)
    }
}

impl Call {
    /// Returns whether the inner service's 404 means that the inner session is lost.
    fn is_session_lost(&self, body: &[u8]) -> bool {
        match self.is_message {
            true => lost::by_message(body, self.request.as_ref()),
            false => lost::by_stream(body, self.in_flight.entry().has_streamed()),
        }
    }

    /// Ends the session, because the inner session is lost, and returns the answer.
    fn end_as_lost(&self) -> Response<Body> {
        let entry = self.in_flight.entry();
        entry.leave(EndReason::InnerLost);
        not_found(self.version, entry)
    }

    fn no_stream(&self) -> Response<Body> {
        Refusal::for_head(RefusalReason::NoStream).respond_in(self.in_flight.entry(), self.version)
    }
}

pub(crate) fn not_found(version: Version, entry: &Entry) -> Response<Body> {
    Refusal::for_message(RefusalReason::SessionNotFound, None).respond_in(entry, version)
}

fn is_empty<B: HttpBody>(body: &B) -> bool {
    body.is_end_stream() || body.size_hint().exact() == Some(0)
}

/// The longest body, in bytes, that passes unwrapped if its length is known. It fits the buffer of the
/// socket, so it ends together with its head.
const SMALL: u64 = 64 << 10;
